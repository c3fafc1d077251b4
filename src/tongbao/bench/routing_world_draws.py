"""What happens in a world of routing, drawn once per seed: levels, drifts, outages, issuers, costs.

Each seed has its own streams (``SeedSequence([seed, stream])``), so a seed gives the same world whichever other seeds
are played beside it, and the same base levels and the same luck in every regime. The ranges are this bench's own choice:
acceptance 0.80-0.92, outages that leave 0-60 % of the success for 300-3,000 payments, costs of 40-220 bps where they
matter. Lengths count payments and shrink with worlds shorter than ``PAYMENTS_FULL``.
"""

import enum
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tongbao.core.errors import InvalidRequest

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

PAYMENTS_MAX = 1_000_000
PAYMENTS_FULL = 20_000
CHANNELS_MAX = 8
GROUPS_MAX = 8
SEEDS_MAX = 1_000
LEVELS_MAX = 4
"""One more than the largest number of swaps."""
EVENTS_PER_CHANNEL_MAX = 1_000
ACCEPTANCE_BASE = (0.80, 0.92)
TECHNICAL_BASE = (0.002, 0.01)
MARGIN_BPS = 300
"""What a success earns before the cost of its channel."""
HARD_FACTOR_MAX = 0.1
"""An outage is hard, and counts for the figures of shedding, when at most this part of the success is left."""


class Regime(enum.StrEnum):
    """How a world changes over time. The words of a regime say what differs from ``STATIONARY``."""

    STATIONARY = "stationary"
    DRIFT = "drift"  # acceptance swings by 2-4 points, each channel in its own phase
    SWAP = "swap"  # best and worst channel exchange their acceptance at 1-3 instants
    HARD_OUTAGE = "hard_outage"  # technical, 0-60 % of the success is left
    BROWN_OUT = "brown_out"  # technical, 5-10 points for long stretches
    CORRELATED_OUTAGE = "correlated_outage"  # the best channel and another share an upstream
    ISSUER_DEGRADATION = "issuer_degradation"  # one issuer group on one channel loses 20-50 points
    RATE_LIMIT = "rate_limit"  # technical failures rise with the channel's own share above its capacity
    DELAYED = "delayed"  # drift and outages; answers come 50 payments later, 2 % never
    MISLABELLED = "mislabelled"  # drift and outages; technical and issuer failures exchange their labels
    COST_SPREAD = "cost_spread"  # nearly equal acceptance, costs of 40-220 bps


DRIFTING = {Regime.DRIFT, Regime.DELAYED, Regime.MISLABELLED}
WITH_OUTAGES = {Regime.HARD_OUTAGE, Regime.DELAYED, Regime.MISLABELLED}


@dataclass(frozen=True)
class WorldSpec:
    """A kind of world. ``mislabel`` is the share of failures with the wrong label, of ``MISLABELLED`` only.

    Raises InvalidRequest (``world_spec_invalid``) for sizes outside 2-8 channels, 1-8 groups, 1-1,000,000 payments.
    """

    regime: Regime
    payments: int = PAYMENTS_FULL
    channels: int = 5
    groups: int = 4
    mislabel: float = 0.0

    def __post_init__(self) -> None:
        sizes_fit = (
            1 <= self.payments <= PAYMENTS_MAX
            and 2 <= self.channels <= CHANNELS_MAX
            and 1 <= self.groups <= GROUPS_MAX
        )
        labels_fit = 0.0 <= self.mislabel <= 1.0 and (
            self.mislabel == 0.0 or self.regime is Regime.MISLABELLED
        )
        if not (sizes_fit and labels_fit):
            raise InvalidRequest("world_spec_invalid", "A world cannot have these sizes.", spec=str(self))

    @property
    def label(self) -> str:
        """The regime in one word, with the share of wrong labels: ``mislabelled_05``."""
        if self.regime is Regime.MISLABELLED:
            return f"{self.regime.value}_{round(self.mislabel * 100):02d}"
        return self.regime.value

    @property
    def scale(self) -> float:
        """By what lengths are shortened, at most 1."""
        return min(1.0, self.payments / PAYMENTS_FULL)


SPECS: tuple[tuple[Regime, float], ...] = (
    *((each, 0.0) for each in Regime if each not in {Regime.MISLABELLED, Regime.COST_SPREAD}),
    *((Regime.MISLABELLED, share) for share in (0.0, 0.05, 0.20)),
    (Regime.COST_SPREAD, 0.0),
)
"""Every regime of the protocol with its share of wrong labels."""


def every_spec(payments: int = PAYMENTS_FULL, channels: int = 5, groups: int = 4) -> list[WorldSpec]:
    """Return the specification of each regime of the protocol, the mislabelled one at 0, 5 and 20 %."""
    return [WorldSpec(regime, payments, channels, groups, share) for regime, share in SPECS]


@dataclass(frozen=True)
class Event:
    """Something that is wrong with channel ``arm`` of the seed at place ``row`` in payments ``[start, end)``.

    ``factor`` is the part of technical successes that is left; ``drop`` is taken from the acceptance of ``group``.
    """

    row: int
    arm: int
    start: int
    end: int
    factor: float = 1.0
    group: int = -1
    drop: float = 0.0

    @property
    def is_hard(self) -> bool:
        """Return whether the channel is (nearly) dead."""
        return self.factor <= HARD_FACTOR_MAX


@dataclass
class Draw:
    """All that is drawn for one seed; shapes ``(K,)`` unless noted. ``levels`` (S, K), ``shift`` (K, G)."""

    levels: FloatArray
    starts: IntArray
    amplitude: FloatArray
    period: FloatArray
    phase: FloatArray
    technical: FloatArray
    shift: FloatArray
    shares: FloatArray
    cost_bps: FloatArray
    capacity: FloatArray
    steepness: FloatArray
    day_offset_s: float
    events: list[Event] = field(default_factory=list)


def draw(spec: WorldSpec, seed: int, row: int) -> Draw:
    """Draw the world of one seed; ``row`` is its place among the seeds played side by side."""
    base = np.random.default_rng(np.random.SeedSequence([seed, 0]))
    later = np.random.default_rng(np.random.SeedSequence([seed, 1]))
    count = spec.channels
    acceptance = base.uniform(*ACCEPTANCE_BASE, count)
    shares = _group_shares(spec, base)
    spread = base.uniform(0.0, 1.0, count)
    result = Draw(
        levels=np.repeat(acceptance[None], LEVELS_MAX, axis=0),
        starts=np.array([0] + [spec.payments] * (LEVELS_MAX - 1), dtype=np.int64),
        amplitude=np.zeros(count),
        period=spec.scale * base.uniform(5_000, 20_000, count),
        phase=base.uniform(0.0, 1.0, count),
        technical=base.uniform(*TECHNICAL_BASE, count),
        shift=np.broadcast_to(_group_offsets(shares, base), (count, spec.groups)).copy(),
        shares=shares,
        cost_bps=np.round(60 + 80 * spread),
        capacity=np.ones(count),
        steepness=np.zeros(count),
        day_offset_s=float(base.uniform(0, 86_400)),
    )
    _add_regime(spec, result, later)
    _add_events(spec, result, later, row)
    return result


def _group_shares(spec: WorldSpec, rng: np.random.Generator) -> FloatArray:
    weights = rng.uniform(0.7, 1.3, spec.groups) / np.arange(1, spec.groups + 1)
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _group_offsets(shares: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Issuers differ by up to 2 points over all channels alike; their mean over payments is zero."""
    offsets = rng.uniform(-0.02, 0.02, len(shares))
    return np.asarray(offsets - offsets @ shares, dtype=np.float64)


def _add_regime(spec: WorldSpec, result: Draw, rng: np.random.Generator) -> None:
    count = spec.channels
    if spec.regime in DRIFTING:
        result.amplitude = rng.uniform(0.02, 0.04, count)
    if spec.regime is Regime.SWAP:
        _add_swaps(spec, result, rng)
    if spec.regime is Regime.ISSUER_DEGRADATION:
        result.shift = result.shift + rng.uniform(-0.04, 0.04, result.shift.shape)
    if spec.regime is Regime.RATE_LIMIT:
        result.capacity = rng.uniform(0.3, 0.7, count)
        result.steepness = rng.uniform(0.3, 0.8, count)
    if spec.regime is Regime.COST_SPREAD:
        result.levels = np.broadcast_to(0.87 + rng.uniform(-0.01, 0.01, count), (LEVELS_MAX, count)).copy()
        result.cost_bps = np.round(rng.uniform(40, 220, count))


def _add_swaps(spec: WorldSpec, result: Draw, rng: np.random.Generator) -> None:
    swaps = int(rng.integers(1, LEVELS_MAX))
    instants = np.sort(rng.uniform(0.1, 0.9, swaps)) * spec.payments
    for number in range(1, LEVELS_MAX):
        result.levels[number] = result.levels[number - 1]
        if number <= swaps:
            level = result.levels[number]
            best, worst = int(level.argmax()), int(level.argmin())
            level[[best, worst]] = level[[worst, best]]
            result.starts[number] = int(instants[number - 1])


def _add_events(spec: WorldSpec, result: Draw, rng: np.random.Generator, row: int) -> None:
    level = result.levels[0]
    if spec.regime is Regime.CORRELATED_OUTAGE:
        best = int(level.argmax())
        other = int((best + rng.integers(1, spec.channels)) % spec.channels)
        for start, end in _stretches(spec, rng, 6_000, (300, 3_000)):
            factor = _outage_factor(rng)
            result.events += [Event(row, arm, start, end, factor) for arm in (best, other)]
        return
    for arm in range(spec.channels):
        if spec.regime in WITH_OUTAGES:
            for start, end in _stretches(spec, rng, 15_000, (300, 3_000)):
                result.events.append(Event(row, arm, start, end, _outage_factor(rng)))
        elif spec.regime is Regime.BROWN_OUT:
            for start, end in _stretches(spec, rng, 8_000, (3_000, 8_000)):
                factor = 1.0 - float(rng.uniform(0.05, 0.10) / level[arm])
                result.events.append(Event(row, arm, start, end, factor))
        elif spec.regime is Regime.ISSUER_DEGRADATION:
            for start, end in _stretches(spec, rng, 10_000, (1_000, 5_000)):
                group, drop = int(rng.integers(spec.groups)), float(rng.uniform(0.2, 0.5))
                result.events.append(Event(row, arm, start, end, group=group, drop=drop))


def _outage_factor(rng: np.random.Generator) -> float:
    """Three of ten outages are complete; the others leave up to 60 %."""
    complete, left = rng.uniform(), rng.uniform(0.0, 0.6)
    return 0.0 if complete < 0.3 else float(left)


def _stretches(
    spec: WorldSpec, rng: np.random.Generator, gap_mean: float, lengths: tuple[float, float]
) -> list[tuple[int, int]]:
    """Return stretches that do not touch, with exponential gaps, that start before the world ends."""
    found: list[tuple[int, int]] = []
    at = 0
    while len(found) < EVENTS_PER_CHANNEL_MAX:
        start = at + 1 + int(rng.exponential(gap_mean * spec.scale))
        if start >= spec.payments:
            break
        at = start + max(1, int(rng.uniform(*lengths) * spec.scale))
        found.append((start, min(at, spec.payments)))
    return found
