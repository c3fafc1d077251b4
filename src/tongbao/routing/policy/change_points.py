"""An alarm for changes of a rate: the generalized likelihood ratio over a stream of yes and no.

For every instant at which the rate may have changed, the outcomes since are compared with those before by twice a
binomial likelihood ratio; the largest decides. Neither the rate before nor the rate after needs to be known, falls and
rises are found alike, and the instant that explains most is the estimate of the change.

The threshold follows from the mean number of outcomes between two false alarms (``ARL``) by the approximation of
Siegmund and Venkatraman (Annals of Statistics 23, 1995, 255-271) for the Gaussian ratio. Looking only once a block
and leaving out small changes make false alarms rarer than that (measured in the tests). See also Besson, Kaufmann, Maillard and Seznec,
"Efficient change-point detection for tackling piecewise-stationary bandits" (JMLR 23, 2022).

Memory is bounded: outcomes are kept in blocks that double in size as they age, and what is older than that is a
baseline of limited weight, so that it follows a slow drift.
"""

import math
from collections.abc import Sequence
from datetime import datetime

import msgspec

from tongbao.routing.policy.rates import wilson

ARL = 50_000
"""Outcomes between two false alarms, at the least, on average."""
BLOCK = 8
"""Outcomes of the smallest block, and between two looks."""
BLOCKS_OF_SIZE = 6
SIZES = 9
"""Sizes of blocks: the largest holds ``BLOCK`` * 2 ** (``SIZES`` - 1) outcomes."""
BASELINE_WEIGHT_MAX = 20_000.0
LEARN = 400
"""Outcomes before the first alarm, and after each."""
SIZE_MIN = 0.02
"""Changes of less are followed, not announced."""


class Block(msgspec.Struct, array_like=True):
    """Outcomes in a row: how many were good, how many there were, and when the first one was."""

    good: float
    count: float
    since: datetime
    rank: int = 0


class Detector(msgspec.Struct, kw_only=True):
    """State of one stream. ``blocks``: oldest first, the last one still filling. Serializable with msgspec."""

    good: float = 0.0
    count: float = 0.0
    blocks: list[Block] = msgspec.field(default_factory=list)
    seen: int = 0

    def copy(self) -> "Detector":
        """Return a copy that shares nothing."""
        return Detector(
            good=self.good,
            count=self.count,
            seen=self.seen,
            blocks=[Block(each.good, each.count, each.since, each.rank) for each in self.blocks],
        )


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A rate changed ``since``; ``size`` = ``after`` - ``before`` with an interval of 95 % (Newcombe's)."""

    since: datetime
    before: float
    after: float
    size: float
    size_low: float
    size_high: float
    count: int
    score: float


def threshold(arl: float = ARL) -> float:
    """Return the log likelihood ratio that alarms about once in ``arl`` outcomes of an unchanged rate.

    Raises ValueError below 100 outcomes, where the approximation says nothing.
    """
    if arl < 100:
        raise ValueError("a mean of less than 100 outcomes between false alarms is not supported")
    low, high = 1.0, 12.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _gaussian_arl(middle) < arl else (low, middle)
    return high * high / 2


def _gaussian_arl(b: float) -> float:
    """Return the mean outcomes to ``|Z| >= b`` for windows from one block to everything that is kept in blocks."""
    longest = BLOCK * BLOCKS_OF_SIZE * 2**SIZES
    low, high = b / math.sqrt(longest), b / math.sqrt(BLOCK)
    steps = 200
    width = (high - low) / steps
    points = (low + (index + 0.5) * width for index in range(steps))
    integral = sum(x * _overshoot(x) ** 2 * width for x in points)
    return math.sqrt(2 * math.pi) * math.exp(b * b / 2) / (b * integral)


def _overshoot(x: float) -> float:
    """Return Siegmund's correction for a sum that jumps over its boundary."""
    upper = 0.5 * (1 + math.erf(x / 2 / math.sqrt(2)))
    density = math.exp(-x * x / 8) / math.sqrt(2 * math.pi)
    return (2 / x) * (upper - 0.5) / ((x / 2) * upper + density)


THRESHOLD = threshold()


def observe(detector: Detector, good: bool, at: datetime, limit: float = THRESHOLD) -> Change | None:
    """Take in one outcome; return the change that it makes evident, after which the stream is learned anew.

    ``limit``: of ``threshold``. Changes the detector.
    """
    detector.seen += 1
    if not detector.blocks or detector.blocks[-1].count >= BLOCK:
        detector.blocks.append(Block(0.0, 0.0, at))
    last = detector.blocks[-1]
    last.good += good
    last.count += 1
    if last.count < BLOCK:
        return None
    change = None
    if detector.seen >= LEARN:
        change = _look(detector, limit)
    if change is None:
        _compact(detector)
    return change


def observe_many(
    detector: Detector, outcomes: Sequence[bool], at: datetime, limit: float = THRESHOLD
) -> list[Change]:
    """Take in outcomes of one instant, in order; return the changes."""
    found = (observe(detector, good, at, limit) for good in outcomes)
    return [change for change in found if change is not None]


def amend(detector: Detector, at: datetime, good: int, count: int) -> None:
    """Correct what was taken in about ``at``: ``good`` and ``count`` are added, and may be negative.

    The correction goes to the block of that time, or to the baseline; it raises no alarm by itself.
    """
    for block in reversed(detector.blocks):
        if block.since <= at:
            block.count = max(block.count + count, 0.0)
            block.good = min(max(block.good + good, 0.0), block.count)
            return
    detector.count = max(detector.count + count, 0.0)
    detector.good = min(max(detector.good + good, 0.0), detector.count)


def _look(detector: Detector, limit: float) -> Change | None:
    """Return the most likely change where its score reaches ``limit``, and begin anew with what came after."""
    blocks = detector.blocks
    good = detector.good + sum(block.good for block in blocks)
    count = detector.count + sum(block.count for block in blocks)
    whole = _entropy(good, count)
    best, cut, after_good, after_count = 0.0, -1, 0.0, 0.0
    best_good = best_count = 0.0
    for index in range(len(blocks) - 1, -1, -1):
        after_good += blocks[index].good
        after_count += blocks[index].count
        before_count = count - after_count
        if before_count < LEARN / 2:
            break
        score = whole - _entropy(after_good, after_count) - _entropy(good - after_good, before_count)
        if score > best:
            best, cut, best_good, best_count = score, index, after_good, after_count
    if cut < 0 or best < limit:
        return None
    change = _change((good - best_good, count - best_count), (best_good, best_count), best, blocks[cut].since)
    if abs(change.size) < SIZE_MIN:
        return None
    detector.good = detector.count = 0.0
    detector.blocks = blocks[cut:]
    detector.seen = int(best_count)
    _compact(detector)
    return change


def _entropy(good: float, count: float) -> float:
    """Return the negative log likelihood of the outcomes at their own rate."""
    bad = count - good
    total = 0.0
    if good > 0:
        total -= good * math.log(good / count)
    if bad > 0:
        total -= bad * math.log(bad / count)
    return total


def _change(before: tuple[float, float], after: tuple[float, float], score: float, since: datetime) -> Change:
    before_rate, before_low, before_high = wilson(*before)
    after_rate, after_low, after_high = wilson(*after)
    size = after_rate - before_rate
    return Change(
        since=since,
        before=before_rate,
        after=after_rate,
        size=size,
        size_low=size - math.hypot(after_rate - after_low, before_high - before_rate),
        size_high=size + math.hypot(after_high - after_rate, before_rate - before_low),
        count=int(after[1]),
        score=score,
    )


def _compact(detector: Detector) -> None:
    """Merge the two oldest blocks of a size of which there are too many; the oldest of all go to the baseline."""
    blocks = detector.blocks
    for rank in range(SIZES):
        same = [index for index, block in enumerate(blocks) if block.rank == rank]
        if len(same) <= BLOCKS_OF_SIZE:
            return
        first, second = blocks[same[0]], blocks[same[1]]
        if rank == SIZES - 1:
            _forget(detector, first)
            blocks.remove(first)
            return
        first.good += second.good
        first.count += second.count
        first.rank = rank + 1
        del blocks[same[1]]


def _forget(detector: Detector, block: Block) -> None:
    """Add a block to the baseline, whose weight is limited: older outcomes count less and less."""
    detector.good += block.good
    detector.count += block.count
    if detector.count > BASELINE_WEIGHT_MAX:
        detector.good *= BASELINE_WEIGHT_MAX / detector.count
        detector.count = BASELINE_WEIGHT_MAX
