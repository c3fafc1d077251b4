"""Simulating the choice of tiers over a file of payments, by the very lines that decide a payment.

For benchmarks and for trying policies out. Nothing is reimplemented: rates are learned, costs weighed, neighbors explored
and propensities written by the code of the payment path. What is added is the order of events: whether a payment was
stopped is known at once, whether one that went on was fraud after a delay, and what a stopped one was nobody learns.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.models.base import Segment
from tongbao.risk.models.base import Floats
from tongbao.risk.models.rates import LEARNED, LearnedRates, Outcome, TierBeliefs
from tongbao.risk.policy.exploring import choose
from tongbao.risk.policy.tiering import weigh
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service.compiling import Compiled

Stops = Callable[[int, Tier], bool]
"""Whether the payment of a row ends in the tier that it got."""


class Stream(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Payments in order of time, arrays (n,): instants in seconds, calibrated chances of fraud, values in hundredths.

    ``uniform`` in [0, 1) is the chance of exploration. ``truth_delay_s``: when it is known whether a payment was fraud.
    """

    at_s: Floats
    chance: Floats
    value: NDArray[np.int64]
    is_fraud: NDArray[np.bool_]
    segments: Sequence[Segment]
    uniform: Floats
    truth_delay_s: float


class Walk(NamedTuple):
    """What was done: the place of each payment's tier (n,) and its propensities (n, 4), both in the order of ``TIERS``.

    ``is_explored`` (n,): the tier was not the best one.
    """

    tier: NDArray[np.int64]
    propensities: Floats
    is_explored: NDArray[np.bool_]


class _Pending(NamedTuple):
    due_s: float
    at_s: float
    outcome: Outcome
    counted: float


class TierWalker:
    """A policy with the rates that it learns on its way."""

    def __init__(self, compiled: Compiled) -> None:
        self._compiled = compiled
        self._rates = LearnedRates()
        self._pending: deque[_Pending] = deque()

    def beliefs(self, segment: Segment, at_s: float) -> TierBeliefs:
        """Return what has been learned of the rates by now."""
        return self._rates.beliefs(segment, at_s)

    def walk(self, stream: Stream, stops: Stops) -> Walk:
        """Decide and learn payment by payment. Raises InvalidRequest ``stream_invalid`` for arrays that do not fit."""
        _check(stream)
        _, _, terms, exploring, within = self._compiled
        count = len(stream.at_s)
        tiers, explored = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.bool_)
        shares = np.zeros((count, 4))
        instants, chances = stream.at_s.tolist(), stream.chance.tolist()
        values, uniforms = stream.value.tolist(), stream.uniform.tolist()
        for row, (at_s, chance, value, segment) in enumerate(
            zip(instants, chances, values, stream.segments, strict=True)
        ):
            self._take_truths(at_s)
            weighed = weigh(chance, value, self._rates.beliefs(segment, at_s), terms, within)
            chosen = choose(weighed, chance, value, exploring, uniforms[row])
            tiers[row], explored[row] = chosen.tier.strictness, chosen.is_explored
            shares[row] = chosen.propensities
            if chosen.tier in LEARNED:
                outcome = _outcome(chosen.tier, segment, chance, stops(row, chosen.tier))
                self._learn(outcome, at_s, stream.truth_delay_s, is_fraud=bool(stream.is_fraud[row]))
        return Walk(tiers, shares, explored)

    def _learn(self, outcome: Outcome, at_s: float, delay_s: float, *, is_fraud: bool) -> None:
        counted = self._rates.learn(outcome, at_s)
        if counted is not None and not outcome.is_stopped:
            known = msgspec.structs.replace(outcome, is_fraud=is_fraud)
            self._pending.append(_Pending(at_s + delay_s, at_s, known, counted))

    def _take_truths(self, now_s: float) -> None:
        while self._pending and self._pending[0].due_s <= now_s:
            due = self._pending.popleft()
            self._rates.correct(due.outcome, due.counted, due.at_s)


def _outcome(tier: Tier, segment: Segment, chance: float, is_stopped: bool) -> Outcome:
    return Outcome(
        tier=tier,
        segment=segment,
        chance=chance,
        is_passed=not is_stopped if tier is Tier.STEP_UP else None,
        is_approved=not is_stopped if tier is Tier.REVIEW else None,
    )


def _check(stream: Stream) -> None:
    arrays = (stream.at_s, stream.chance, stream.value, stream.is_fraud, stream.uniform)
    count = len(stream.segments)
    if not all(each.shape == (count,) for each in arrays) or stream.truth_delay_s < 0:
        raise InvalidRequest("stream_invalid", "a stream has one entry a payment in each of its arrays")
    if count and not (np.diff(stream.at_s) >= 0).all():
        raise InvalidRequest("stream_invalid", "a stream is in order of time")
