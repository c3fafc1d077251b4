"""Which unlabelled payments are worth a person's look: the unusual ones and those the model is unsure of.

Priority is a mixture of how unusual a payment is (the share of good traffic that is less so) and how close its score is
to where the tier changes. One payment stands for its entity: twenty payments of one spree teach little more than one.
Labels from here are no fair sample of traffic: they train models, they do not measure them.
"""

import math

import msgspec
import numpy as np

from tongbao.core.errors import InvalidRequest
from tongbao.risk.models.base import Floats

HELD_MAX = 2_000
ANOMALY_WEIGHT = 0.5
POINTS = 1_000


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A payment without a label: ``id`` of its signals, the entity that it is about, how unusual (0 to 1), its score.

    ``entity`` is a pseudonym with its kind, such as ``card:...``; empty: the payment stands for itself.
    """

    id: str
    entity: str
    anomaly_rank: float
    score: float


class Wanted(msgspec.Struct, frozen=True):
    """A candidate with its priority in [0, 1], higher first."""

    candidate: Candidate
    priority: float


class Ranks:
    """Turns scores of one detector into ranks: the share of good traffic that is less unusual, in [0, 1]."""

    def __init__(self, good_scores: Floats) -> None:
        """``good_scores`` (n,): of the sample that the detector was fitted on; kept as ``POINTS`` + 1 quantiles."""
        if not len(good_scores) or not bool(np.all(np.isfinite(good_scores))):
            raise InvalidRequest("ranks_invalid", "ranks need scores that are numbers")
        self._quantiles = np.quantile(good_scores, np.linspace(0, 1, POINTS + 1))

    def rank(self, scores: Floats) -> Floats:
        """Return the ranks (n,) of scores (n,)."""
        return np.searchsorted(self._quantiles, scores) / len(self._quantiles)


class LabelQueue:
    """Holds the ``held_max`` candidates of the highest priority, one an entity. ``cut``: the score where the tier changes.

    Ties are broken by id, so that equal offers in any order give equal queues as long as nothing had to be let go.
    """

    def __init__(self, cut: float, anomaly_weight: float = ANOMALY_WEIGHT, held_max: int = HELD_MAX) -> None:
        if not 0 < cut < 1 or not 0 <= anomaly_weight <= 1 or not 1 <= held_max <= HELD_MAX:
            raise InvalidRequest(
                "label_queue_invalid", "the cut, weight or size of the queue is out of range"
            )
        self._cut = math.log(cut / (1 - cut))
        self._weight = anomaly_weight
        self._held_max = held_max
        self._held: dict[str, Wanted] = {}
        self._let_go: tuple[float, str] | None = None

    def __len__(self) -> int:
        return len(self._held)

    def priority(self, candidate: Candidate) -> float:
        """Return the priority; raises InvalidRequest ``label_candidate_invalid`` for a rank or score outside [0, 1]."""
        if not (0 <= candidate.anomaly_rank <= 1 and 0 <= candidate.score <= 1):
            raise InvalidRequest(
                "label_candidate_invalid", f"rank or score of {candidate.id} is out of range"
            )
        score = min(max(candidate.score, 1e-9), 1 - 1e-9)
        unsure = math.exp(-abs(math.log(score / (1 - score)) - self._cut))
        return self._weight * candidate.anomaly_rank + (1 - self._weight) * unsure

    def offer(self, candidate: Candidate) -> None:
        """Take in a candidate where it is worth more than what its entity has, or than the least that is held."""
        wanted = Wanted(candidate, self.priority(candidate))
        key = candidate.entity or f"payment:{candidate.id}"
        held = self._held.get(key)
        if held is None and self._let_go is not None and _order(wanted) > self._let_go:
            return  # all that are held are worth more than what had to go last
        if held is None or _order(wanted) < _order(held):
            self._held[key] = wanted
        if len(self._held) > self._held_max:
            least = max(self._held, key=lambda each: _order(self._held[each]))
            self._let_go = _order(self._held.pop(least))

    def drop(self, ids: frozenset[str]) -> None:
        """Take out payments that got a label, or that a case is about."""
        self._held = {key: each for key, each in self._held.items() if each.candidate.id not in ids}
        self._let_go = None

    def first(self, count: int) -> list[Wanted]:
        """Return the most wanted, first first; the queue keeps them until they are dropped."""
        return sorted(self._held.values(), key=_order)[:count]


def _order(wanted: Wanted) -> tuple[float, str]:
    return (-wanted.priority, wanted.candidate.id)
