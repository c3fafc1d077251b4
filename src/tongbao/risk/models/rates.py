"""What becomes of payments that are stepped up or reviewed: good ones lost, frauds caught, learned by segment.

One Beta belief for each tier (step-up, review), kind (``lost``: share of good payments that end there; ``caught``: share
of frauds that end there) and node of a segment's path. A node believes what the wider one above it does, as far as
that one knows anything itself; with many outcomes of its own it believes those. The root of every path is the tier.

Truth comes late, and for a payment that was stopped mostly never. An outcome without truth is therefore shared out by
the chance of fraud that the payment had: stopped, it was fraud with the odds ``p caught : (1 - p) lost``; passed, with
``p (1 - caught) : (1 - p) (1 - lost)``, by the rates believed at that moment. ``learn`` tells the share that it counted as
fraud; once the truth is known, ``correct`` puts it right with the weight that the outcome has kept since.

- Features: the segment, a path of names, widest first, up to 8 deep (``("new", "card")``); one never seen believes its
  nearest known ancestor, an empty one the tier. Nothing else is read.
- Output: shares in [0, 1]; ``lost`` lower is better, ``caught`` higher. Calibrated where the chances given are. Without the
  truth of what is stopped they are found slowly: 8,000 step-ups bring the priors to within 2 points of 6 % and 90 %.
- Label: whether the payer passed (step-up) or the payment was let through (review); truth weeks later or never.
- Forgetting: by the clock and by the count of outcomes of any tier, see ``HALF_LIVES``.
- Seed: none; ``draw`` takes its uniforms as arguments. Equal outcomes in equal order give equal bytes and digests.
- Cost per event on one core: beliefs 0.5 us where nothing was learned since, else 50 us; learn 120 us.
- Baseline to beat: the fixed rates of ``PRIORS``; ``tongbao.bench.risk_policy`` measures both.
- Reference: Gelman et al., Bayesian Data Analysis, 5.3 (hierarchical Beta); Neal and Hinton 1998 (incremental EM).

>>> learned = LearnedRates()
>>> for _ in range(300):
...     share = learned.learn(Outcome(tier=Tier.STEP_UP, segment=("new",), is_passed=True, is_fraud=False), 0.0)
>>> new, known = (learned.beliefs((name,), 0.0).step_up.lost.mean for name in ("new", "known"))
>>> round(new, 3), round(known, 3), round(LearnedRates().beliefs((), 0.0).step_up.lost.mean, 3)
(0.005, 0.006, 0.1)
"""

import hashlib
import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from scipy.special import betaincinv

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.models.base import SEGMENT_DEPTH_MAX, Segment
from tongbao.decisions.models.beta_thompson import Prior
from tongbao.decisions.models.cells import Cells, Key, Memory
from tongbao.decisions.models.forgetting import HalfLives
from tongbao.risk.schema.tiers import Rates, Tier

KIND = "risk_rates"
LEARNED = (Tier.STEP_UP, Tier.REVIEW)
"""The tiers of which something is learned: nothing stops a frictionless payment, and a declined one shows nothing."""
LOST, CAUGHT = "lost", "caught"
PRIORS = {
    (Tier.STEP_UP, LOST): Prior(0.10, 20.0),
    (Tier.STEP_UP, CAUGHT): Prior(0.80, 10.0),
    (Tier.REVIEW, LOST): Prior(0.15, 20.0),
    (Tier.REVIEW, CAUGHT): Prior(0.95, 20.0),
}
"""What is held before any outcome, from both ends of what the field reports (5 to 15 % of payers give up at a challenge,
70 to 90 % of frauds do not pass it; people let one fraud in twenty through); worth a few outcomes each."""
PULLS = {LOST: 100.0, CAUGHT: 40.0}
"""Outcomes that the wider node is worth at most: segments differ by some 3 points of 10 % lost, 5 of 90 % caught."""
HALF_LIVES = HalfLives(seconds=180 * 86_400.0, count=10_000.0)
"""Short enough that outcomes shared out by the priors give way to later ones; 14,000 are remembered at most."""
CELLS_MAX = 16_384
STEP_S = 3_600.0
"""Beliefs fade by whole steps, so that all payments of an hour between two outcomes see the same."""
SEGMENTS_KEPT_MAX = 1_024


class Belief(NamedTuple):
    """A share in [0, 1]: its mean, the standard deviation of that mean, and how many outcomes it is worth."""

    mean: float
    sd: float
    strength: float

    def at(self, uniform: float) -> float:
        """Return the quantile of the Beta belief at ``uniform`` in [0, 1): a draw where that is chance.

        Raises InvalidRequest ``uniform_invalid``.
        """
        if not 0 <= uniform < 1:
            raise InvalidRequest("uniform_invalid", "a uniform lies in [0, 1)")
        if math.isinf(self.strength):
            return self.mean
        return float(betaincinv(self.mean * self.strength, (1 - self.mean) * self.strength, uniform))


class TierBelief(NamedTuple):
    """What is believed of one tier in one segment."""

    lost: Belief
    caught: Belief

    @property
    def rates(self) -> Rates:
        """The expected shares."""
        return Rates(lost_share=self.lost.mean, caught_share=self.caught.mean)


class TierBeliefs(NamedTuple):
    """What is believed of both tiers in one segment."""

    step_up: TierBelief
    review: TierBelief


class Uniforms(NamedTuple):
    """One number in [0, 1) for each share that is drawn."""

    step_up_lost: float
    step_up_caught: float
    review_lost: float
    review_caught: float


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of a payment that was stepped up or reviewed, as far as it is known.

    ``is_passed``: whether the payer proved who it is, read of step-ups. ``is_approved``: whether the payment was let
    through, read of reviews. ``is_fraud``: the truth. None is not known (yet). ``chance``: the calibrated chance of fraud
    that it was judged with; without it and without the truth nothing can be learned.
    """

    tier: Tier
    segment: Segment = ()
    chance: float | None = None
    is_passed: bool | None = None
    is_approved: bool | None = None
    is_fraud: bool | None = None

    @property
    def is_stopped(self) -> bool | None:
        """Whether the tier ended the payment; None where that is not known yet."""
        went_on = self.is_passed if self.tier is Tier.STEP_UP else self.is_approved
        return None if went_on is None else not went_on


def known(step_up: Rates, review: Rates) -> TierBeliefs:
    """Return beliefs that are certain, for rates that are known and not learned."""
    return TierBeliefs(
        *(TierBelief(_sure(each.lost_share), _sure(each.caught_share)) for each in (step_up, review))
    )


class LearnedRates:
    """Learns the shares by tier and segment. Not safe for use by two threads at once.

    ``half_lives``: after how many seconds, and how many outcomes of any tier, an outcome weighs half.
    """

    def __init__(self, half_lives: HalfLives = HALF_LIVES) -> None:
        memory = Memory(half_lives=half_lives, in_flight_weight=0.0, cells_max=CELLS_MAX)
        self._cells = Cells(memory, width=2)  # stopped, passed
        self._kept: dict[Segment, TierBeliefs] = {}
        self._kept_step = -1

    def beliefs(self, segment: Segment, at_s: float) -> TierBeliefs:
        """Return the beliefs about both tiers in ``segment`` as of the hour of ``at_s`` (seconds UTC); change nothing.

        Raises InvalidRequest ``segment_too_deep`` and ``instant_invalid``.
        """
        _check_instant(at_s)
        step = int(at_s // STEP_S)
        if step != self._kept_step or len(self._kept) >= SEGMENTS_KEPT_MAX:
            self._kept.clear()
            self._kept_step = step
        found = self._kept.get(segment)
        if found is None:
            found = self._kept[segment] = self._believed(segment, step * STEP_S)
        return found

    def draw(self, segment: Segment, at_s: float, uniforms: Uniforms) -> TierBeliefs:
        """Return certain beliefs drawn from those of ``beliefs``. Raises InvalidRequest ``uniform_invalid`` too."""
        step_up, review = self.beliefs(segment, at_s)
        return TierBeliefs(
            TierBelief(
                _sure(step_up.lost.at(uniforms.step_up_lost)),
                _sure(step_up.caught.at(uniforms.step_up_caught)),
            ),
            TierBelief(
                _sure(review.lost.at(uniforms.review_lost)), _sure(review.caught.at(uniforms.review_caught))
            ),
        )

    def learn(self, outcome: Outcome, at_s: float) -> float | None:
        """Take in what came at ``at_s`` of one payment, once; return the share in [0, 1] that was counted as fraud.

        None where nothing could be learned yet: it is not known whether the payment was stopped, or neither truth nor
        chance is. Raises InvalidRequest ``outcome_invalid``, ``segment_too_deep``, ``instant_invalid``.
        """
        _check(outcome)
        fraud_share = self._fraud_share(outcome, at_s)
        if fraud_share is None:
            return None
        keys = _paths(outcome)
        self._cells.count_fact([key for path in keys.values() for key in path], at_s)
        self._add(outcome, {LOST: 1 - fraud_share, CAUGHT: fraud_share}, at_s)
        return fraud_share

    def correct(self, outcome: Outcome, counted: float, at_s: float) -> None:
        """Put right an outcome of ``at_s`` whose truth is known by now, of which ``counted`` was counted as fraud.

        Raises as ``learn``, ``outcome_invalid`` also without the truth or for a share outside of [0, 1].
        """
        _check(outcome)
        if outcome.is_fraud is None or outcome.is_stopped is None or not 0 <= counted <= 1:
            raise _invalid("a correction needs the truth and the share that was counted before")
        _check_instant(at_s)
        missing = float(outcome.is_fraud) - counted
        self._add(outcome, {LOST: -missing, CAUGHT: missing}, at_s)

    def dump(self) -> bytes:
        """Return the state as bytes; equal states give equal bytes."""
        return self._cells.dump(KIND, "")

    def load(self, data: bytes) -> None:
        """Take over a state. Raises InvalidRequest ``learner_state_invalid`` and then changes nothing."""
        self._cells.load(data, KIND, "")
        self._kept.clear()

    def digest(self) -> str:
        """Return what names the state: SHA-256 of its bytes, hexadecimal."""
        return hashlib.sha256(self.dump()).hexdigest()

    def _fraud_share(self, outcome: Outcome, at_s: float) -> float | None:
        """Return how much of an outcome is fraud as far as is known, None where it tells nothing."""
        if outcome.is_stopped is None:
            return None
        if outcome.is_fraud is not None:
            return float(outcome.is_fraud)
        if outcome.chance is None:
            return None
        both = self.beliefs(outcome.segment, at_s)
        lost, caught = both.step_up if outcome.tier is Tier.STEP_UP else both.review
        fraud = outcome.chance * (caught.mean if outcome.is_stopped else 1 - caught.mean)
        good = (1 - outcome.chance) * (lost.mean if outcome.is_stopped else 1 - lost.mean)
        return fraud / (fraud + good) if fraud + good else outcome.chance

    def _add(self, outcome: Outcome, weights: dict[str, float], at_s: float) -> None:
        place = 0 if outcome.is_stopped else 1
        for kind, path in _paths(outcome).items():
            if weights[kind]:
                for key in path:
                    row, left = self._cells.touch(key, at_s)
                    # A correction may meet a row that forgot more by count than by the clock; counts stay counts.
                    row[place] = max(row[place] + left * weights[kind], 0.0)
        self._kept.clear()

    def _believed(self, segment: Segment, at_s: float) -> TierBeliefs:
        nodes = _nodes(segment)
        depth = len(nodes)
        keys: list[Key] = [(tier, kind, *node) for tier, kind in PRIORS for node in nodes]
        rows = self._cells.read(keys, at_s).tolist()
        found = {
            arm: _posterior(rows[place * depth : (place + 1) * depth], prior, PULLS[arm[1]])
            for place, (arm, prior) in enumerate(PRIORS.items())
        }
        return TierBeliefs(*(TierBelief(found[tier, LOST], found[tier, CAUGHT]) for tier in LEARNED))


def _posterior(nested: list[list[float]], prior: Prior, pull: float) -> Belief:
    """Return the belief of the last node of a path from its counts (stopped, passed), root first.

    The law is that of ``decisions.models.hierarchy``, where a node's counts hold those of its children, in plain numbers.
    """
    mean, strength = prior.mean, prior.strength
    for place, (stopped, passed) in enumerate(nested):
        if place + 1 < len(nested):
            below = nested[place + 1]
            stopped, passed = max(stopped - below[0], 0.0), max(passed - below[1], 0.0)
        pulled = 1 / (1 / pull + 1 / strength) if place else strength
        strength = pulled + stopped + passed
        mean = (pulled * mean + stopped) / strength
    return Belief(mean, math.sqrt(mean * (1 - mean) / (strength + 1)), strength)


def _sure(share: float) -> Belief:
    return Belief(share, 0.0, math.inf)


def _nodes(segment: Segment) -> Sequence[Segment]:
    if len(segment) > SEGMENT_DEPTH_MAX:
        raise InvalidRequest("segment_too_deep", f"a segment has at most {SEGMENT_DEPTH_MAX} levels")
    return [segment[:depth] for depth in range(len(segment) + 1)]


def _paths(outcome: Outcome) -> dict[str, list[Key]]:
    """Return the keys by kind, leaf first, so that a leaf is forgotten before its parent."""
    nodes = _nodes(outcome.segment)
    return {kind: [(outcome.tier, kind, *node) for node in reversed(nodes)] for kind in (LOST, CAUGHT)}


def _check_instant(at_s: float) -> None:
    if not math.isfinite(at_s):
        raise InvalidRequest("instant_invalid", f"{at_s} is no instant")


def _check(outcome: Outcome) -> None:
    if outcome.tier not in LEARNED:
        raise _invalid(f"nothing is learned of {outcome.tier}")
    if outcome.chance is not None and not 0 <= outcome.chance <= 1:
        raise _invalid("a chance of fraud lies in 0 to 1")


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest("outcome_invalid", why)
