"""The queue for labels: which waiting payments a person should look at first, and why, one of each spree.

What is unusual counts by its rarity, the orders of magnitude of the share of good payments that are as unusual: one in ten is
a third of one in a thousand. And it counts for more than what the model is unsure of: that it is asked about anyway, by
step-ups and reviews, while nobody else asks about what it never saw.
"""

import math
from collections.abc import Collection
from typing import NamedTuple
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from tongbao.risk.models.artifact import ModelScorer
from tongbao.risk.models.base import Floats
from tongbao.risk.models.label_queue import HELD_MAX, Candidate, LabelQueue, Wanted
from tongbao.risk.models.registry import NAMES
from tongbao.risk.policy import tiering
from tongbao.risk.policy.tiering import Range, Terms
from tongbao.risk.schema.discoveries import QueuedPayment
from tongbao.risk.schema.facts import Assessed
from tongbao.risk.schema.signals import Entity, Signals
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service.discovery_detectors import Detectors
from tongbao.risk.service.discovery_reading import Seen
from tongbao.risk.service.discovery_words import Wish, wish_text

QUEUE_MAX = 200
WAITING_MAX = 50_000
"""Of more the newest are ranked."""
RARITY_WEIGHT = 0.8
RAREST = 0.001
"""The share of good payments beyond which nothing is rarer: a sample tells no more."""
UNSURE_LOGITS = 1.0
"""A score so near to the cut counts as unsure: odds within 2.7 times of it."""
PAYERS = (Entity.CARD, Entity.CUSTOMER, Entity.DEVICE)
"""Of each a queue holds one payment. Merchants and addresses are of too many people for that."""
_LOGIT_MAX = 14.0
_STEPS = 40


class Judging(NamedTuple):
    """What payments are judged by: the model in force and what tiers cost."""

    scorer: ModelScorer
    terms: Terms
    within: Range


class Ranked(NamedTuple):
    """Waiting payments in the order in which labels of them are wanted; ``cut``: the chance at which the tier changes.

    ``places`` gives by the text of an id which of the payments seen it is, and its rank among good payments.
    """

    wanted: tuple[Wanted, ...]
    places: dict[str, tuple[int, float]]
    cut: float

    @property
    def ids(self) -> list[UUID]:
        """The ids of the payments."""
        return [UUID(each.candidate.id) for each in self.wanted]


def ranked(seen: Seen, detectors: Detectors, judging: Judging) -> Ranked:
    """Return the waiting payments, at most ``HELD_MAX``, most wanted first."""
    rows = np.flatnonzero(seen.is_waiting)[-WAITING_MAX:]
    cut = _cut(seen, rows, judging)
    if not len(rows):
        return Ranked((), {}, cut)
    x = seen.x[rows]
    scores = np.clip(judging.scorer.score(x), 0.0, 1.0)
    queue = LabelQueue(cut, RARITY_WEIGHT, HELD_MAX)
    ranks = detectors.rank(x)
    rarity = np.clip(np.log(np.maximum(1 - ranks, RAREST)) / math.log(RAREST), 0.0, 1.0)
    candidates: list[Candidate] = []
    places: dict[str, tuple[int, float]] = {}
    columns = (rows, ranks, rarity, scores)
    for row, rank, rare, score in zip(*(each.tolist() for each in columns), strict=True):
        signals = seen.judged[row].signals
        name = str(signals.id)
        candidates.append(Candidate(id=name, entity=_payer(signals), anomaly_rank=rare, score=score))
        places[name] = (row, rank)
    # The best first: once the queue is full none that follows moves anything.
    for candidate in sorted(candidates, key=lambda each: (-queue.priority(each), each.id)):
        queue.offer(candidate)
    return Ranked(tuple(queue.first(HELD_MAX)), places, cut)


def first(
    found: Ranked, seen: Seen, detectors: Detectors, still: Collection[UUID], count: int
) -> tuple[QueuedPayment, ...]:
    """Return the first ``count`` payments of those that are ``still`` without a label, one of each payer."""
    met: set[tuple[Entity, str]] = set()
    queue: list[QueuedPayment] = []
    for wanted in found.wanted:
        if len(queue) == count:
            break
        row, rank = found.places[wanted.candidate.id]
        signals = seen.judged[row].signals
        payers = {(entity, signals.key(entity)) for entity in PAYERS if signals.key(entity)}
        if signals.id in still and not payers & met:
            met |= payers
            features = seen.x[row]
            wish = Wish(
                rank=rank,
                score=wanted.candidate.score,
                cut=found.cut,
                is_unsure=abs(_logit(wanted.candidate.score) - _logit(found.cut)) < UNSURE_LOGITS,
                features=[(name, float(features[NAMES.index(name)])) for name in detectors.telling(features)],
            )
            queue.append(_queued(seen.judged[row], wish, wanted.priority))
    return tuple(queue)


def _payer(signals: Signals) -> str:
    """Return whom a payment stands for in the queue; empty where nobody is known."""
    for entity in PAYERS:
        if key := signals.key(entity):
            return f"{entity.name.lower()}:{key}"
    return ""


def _queued(judged: Assessed, wish: Wish, priority: float) -> QueuedPayment:
    return QueuedPayment(
        id=judged.signals.id,
        book_id=judged.signals.book_id,
        subject=judged.subject,
        at=judged.signals.at,
        value=judged.signals.value,
        currency=judged.signals.currency,
        tier=judged.tier,
        score=wish.score,
        anomaly_rank=wish.rank,
        priority=priority,
        en=wish_text(wish, "en"),
        zh=wish_text(wish, "zh"),
    )


def _cut(seen: Seen, rows: NDArray[np.int64], judging: Judging) -> float:
    """Return the chance of fraud from which on a payment of the median amount is no longer let pass unseen, in (0, 1)."""
    values: Floats = np.array(
        [seen.judged[row].signals.value for row in rows.tolist()] or [0], dtype=np.float64
    )
    value = int(np.median(values))
    low, high = -_LOGIT_MAX, _LOGIT_MAX
    for _ in range(_STEPS):
        middle = (low + high) / 2
        chance = 1 / (1 + math.exp(-middle))
        best = tiering.weigh(chance, value, seen.beliefs, judging.terms, judging.within).best
        low, high = (middle, high) if best is Tier.FRICTIONLESS else (low, middle)
    return 1 / (1 + math.exp(-high))


def _logit(chance: float) -> float:
    within = min(max(chance, 1e-9), 1 - 1e-9)
    return math.log(within / (1 - within))
