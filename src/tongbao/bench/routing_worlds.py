"""Worlds of routing: payments, channels, issuers and luck, many seeds side by side.

A world is walked in blocks of time; every array has time, then the seeds (n), then the channels (K) as its axes. Luck
is drawn per (seed, payment, channel) before anybody chooses, so every policy meets the same luck, and asking the same
channel for the same payment always gives the same answer. A payment over channel k succeeds with
``p = (1 - technical) * acceptance * (1 - NEUTRAL_SHARE)``.

Stated simplifications: half of the issuer's luck belongs to the payment and is shared by all channels
(``SHARED_LUCK``); a time-out counts as a failure even when an inquiry finds later that the payer was charged.
"""

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tongbao.bench.routing_world_draws import (
    MARGIN_BPS,
    SEEDS_MAX,
    Draw,
    Event,
    FloatArray,
    IntArray,
    Regime,
    WorldSpec,
    draw,
)
from tongbao.core.errors import InvalidRequest

ClassArray = NDArray[np.int8]
BoolArray = NDArray[np.bool_]

BLOCK = 512
NEUTRAL_SHARE = 0.03
"""Payments that fail for the payer's own reason (insufficient funds), whatever the channel."""
TIMEOUT_SHARE = 0.30
"""Technical failures that are time-outs; half of them were charged."""
SHARED_LUCK = 0.5
DELAY_MEAN = 50
DELAY_MAX = 1_000
LOST_SHARE = 0.02
ARRIVALS_PER_S = 10.0
DAY_S = 86_400.0
DAY_SWING = 0.3
LOAD_MEMORY = 100
"""Payments over which a channel's own share of the traffic is averaged, in ``RATE_LIMIT``."""
LOAD_TECHNICAL_MAX = 0.6
ACCEPTANCE_RANGE = (0.01, 0.995)


class Outcome(enum.IntEnum):
    """What an attempt met. Only players of the harness see these; ``HIDDEN_CHARGED`` they see as ``UNRESOLVED``."""

    APPROVED = 0
    ISSUER_DECLINED = 1
    TECHNICAL = 2
    UNRESOLVED = 3  # a time-out; the payer was not charged
    NEUTRAL = 4
    HIDDEN_CHARGED = 5  # a time-out; the payer was charged, which only an inquiry can tell


@dataclass(frozen=True)
class Luck:
    """Uniforms in [0, 1): ``technical`` and ``accept`` per channel (..., K), ``neutral`` per payment (...)."""

    technical: FloatArray
    accept: FloatArray
    neutral: FloatArray

    def at(self, step: int) -> "Luck":
        """Return the luck of one step of a block."""
        return Luck(self.technical[step], self.accept[step], self.neutral[step])


@dataclass(frozen=True)
class Block:
    """A stretch of payments from ``start`` on: arrays of (B, n), (B, n, K) where the channel matters.

    ``mislabel``: uniforms; ``delay``: payments until the answer is seen, -1 for never; ``draws`` (B, n, K + 2):
    uniforms for the policy's own use. The harness writes the technical rate under load into ``technical``.
    """

    start: int
    group: IntArray
    now_s: FloatArray
    acceptance: FloatArray
    technical: FloatArray
    luck: Luck
    mislabel: FloatArray
    delay: IntArray
    draws: FloatArray

    @property
    def success(self) -> FloatArray:
        """The true probability of success (B, n, K)."""
        return success(self.technical, self.acceptance)


def success(technical: FloatArray, acceptance: FloatArray) -> FloatArray:
    """Return the true probability of success of a payment of unknown payer."""
    return (1.0 - technical) * acceptance * (1.0 - NEUTRAL_SHARE)


def value(success_prob: FloatArray, cost_bps: FloatArray) -> FloatArray:
    """Return what a payment is expected to earn, as a share of its amount: p * (margin - cost)."""
    return success_prob * (MARGIN_BPS - cost_bps) / 1e4


def outcomes(technical: FloatArray, acceptance: FloatArray, luck: Luck) -> ClassArray:
    """Return the ``Outcome`` that each channel would give (..., K).

    The smallest uniforms are the time-outs that were charged, the next those that were not, then plain failures.
    """
    result = (luck.accept >= acceptance).astype(np.int8)
    result[luck.neutral < NEUTRAL_SHARE] = Outcome.NEUTRAL
    result[luck.technical < technical] = Outcome.TECHNICAL
    result[luck.technical < technical * TIMEOUT_SHARE] = Outcome.UNRESOLVED
    result[luck.technical < technical * (TIMEOUT_SHARE / 2)] = Outcome.HIDDEN_CHARGED
    return result


class World:
    """The worlds of several seeds, of one specification. Walking it again gives the same blocks again.

    A seed may be repeated: its rows are then equal, for several players side by side. Raises InvalidRequest
    (``world_seeds_invalid``) for no seeds or more than ``SEEDS_MAX``.
    """

    def __init__(self, spec: WorldSpec, seeds: Sequence[int]) -> None:
        if not 0 < len(seeds) <= SEEDS_MAX:
            raise InvalidRequest("world_seeds_invalid", "A world has 1 to 1,000 seeds.")
        self.spec = spec
        self.seeds = tuple(int(seed) for seed in seeds)
        parts = [draw(spec, seed, row) for row, seed in enumerate(self.seeds)]
        self.events: list[Event] = [event for part in parts for event in part.events]
        self.cost_bps = np.stack([part.cost_bps for part in parts])
        self._load(parts)

    def _load(self, parts: list[Draw]) -> None:
        self._levels = np.stack([part.levels for part in parts])
        self._starts = np.stack([part.starts for part in parts])
        self._amplitude = np.stack([part.amplitude for part in parts])
        self._period = np.stack([part.period for part in parts])
        self._phase = np.stack([part.phase for part in parts])
        self._technical = np.stack([part.technical for part in parts])
        self._shift = np.stack([part.shift for part in parts])
        self._edges = np.cumsum(np.stack([part.shares for part in parts]), axis=1)
        self._capacity = np.stack([part.capacity for part in parts])
        self._steepness = np.stack([part.steepness for part in parts])
        self._day_offset_s = np.array([part.day_offset_s for part in parts])

    @property
    def count(self) -> int:
        """How many seeds are played side by side."""
        return len(self.seeds)

    @property
    def channels(self) -> int:
        """How many channels there are to choose from."""
        return self.spec.channels

    @property
    def is_loaded(self) -> bool:
        """Return whether technical failures depend on the player's own traffic."""
        return self.spec.regime is Regime.RATE_LIMIT

    def technical_under(self, load: FloatArray) -> FloatArray:
        """Return the technical rates (n, K) for each channel's share of the recent traffic (n, K)."""
        over = np.maximum(load - self._capacity, 0.0)
        return np.minimum(self._technical + self._steepness * over, LOAD_TECHNICAL_MAX)

    def blocks(self) -> Iterator[Block]:
        """Walk the world from its first payment to its last."""
        luck = [np.random.default_rng(np.random.SeedSequence([seed, 2])) for seed in self.seeds]
        own = [np.random.default_rng(np.random.SeedSequence([seed, 3])) for seed in self.seeds]
        now_s = np.zeros(self.count)
        for start in range(0, self.spec.payments, BLOCK):
            # Always whole blocks: the streams then do not depend on where the world ends.
            uniforms = _uniforms(luck, 2 * self.spec.channels + 8)
            draws = _uniforms(own, self.spec.channels + 2)
            block = self._block(start, uniforms, draws, now_s)
            now_s = block.now_s[-1]
            yield block

    def _block(self, start: int, uniforms: FloatArray, draws: FloatArray, now_s: FloatArray) -> Block:
        size = min(BLOCK, self.spec.payments - start)
        uniforms, count = uniforms[:size], self.spec.channels
        shared, is_shared, neutral, group_draw, arrival, mislabel, delay, lost = np.moveaxis(
            uniforms[:, :, 2 * count :], -1, 0
        )
        # The last edge may lie below 1 by rounding.
        group = np.minimum((group_draw[..., None] >= self._edges).sum(axis=-1), self.spec.groups - 1)
        accept = np.where(
            (is_shared < SHARED_LUCK)[..., None], shared[..., None], uniforms[:, :, count : 2 * count]
        )
        clean, drop = self._troubles(start, group)
        return Block(
            start=start,
            group=group,
            now_s=self._times(arrival, now_s),
            acceptance=np.clip(self._acceptance(start, group) - drop, *ACCEPTANCE_RANGE),
            technical=1.0 - (1.0 - self._technical) * clean,
            luck=Luck(uniforms[:, :, :count], accept, neutral),
            mislabel=mislabel,
            delay=self._delays(delay, lost),
            draws=draws[:size],
        )

    def _times(self, arrival: FloatArray, now_s: FloatArray) -> FloatArray:
        """Arrivals are Poisson; the rate swings over the day and is held constant over a block."""
        day = np.sin(2 * np.pi * (now_s + self._day_offset_s) / DAY_S)
        rate = ARRIVALS_PER_S * (1.0 + DAY_SWING * day)
        return np.asarray(now_s + np.cumsum(-np.log1p(-arrival) / rate, axis=0), dtype=np.float64)

    def _acceptance(self, start: int, group: IntArray) -> FloatArray:
        rows = np.arange(self.count)
        steps = np.arange(start, start + len(group))
        level = (self._starts[None] <= steps[:, None, None]).sum(axis=-1) - 1
        angle = steps[:, None, None] / self._period + self._phase
        swing = self._amplitude * np.sin(2 * np.pi * angle) if self._amplitude.any() else 0.0
        by_group = np.moveaxis(self._shift, 1, 2)[rows, group]
        return np.asarray(self._levels[rows, level] + swing + by_group, dtype=np.float64)

    def _troubles(self, start: int, group: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return what is left of technical success, and what is lost of acceptance, (B, n, K)."""
        size = len(group)
        clean = np.ones((size, self.count, self.spec.channels))
        drop = np.zeros_like(clean)
        for event in self.events:
            first, last = max(event.start - start, 0), min(event.end - start, size)
            if first >= last:
                continue
            clean[first:last, event.row, event.arm] *= event.factor
            if event.drop:
                hit = group[first:last, event.row] == event.group
                drop[first:last, event.row, event.arm] += event.drop * hit
        return clean, drop

    def _delays(self, uniform: FloatArray, lost: FloatArray) -> IntArray:
        if self.spec.regime is not Regime.DELAYED:
            return np.zeros(uniform.shape, dtype=np.int64)
        geometric = 1 + np.floor(np.log1p(-uniform) / np.log1p(-1.0 / DELAY_MEAN)).astype(np.int64)
        return np.where(lost < LOST_SHARE, -1, np.minimum(geometric, DELAY_MAX))


def _uniforms(streams: list[np.random.Generator], width: int) -> FloatArray:
    """Return uniforms (BLOCK, n, width): each seed's own stream fills its own column."""
    result = np.empty((BLOCK, len(streams), width))
    for row, stream in enumerate(streams):
        result[:, row] = stream.random((BLOCK, width))
    return result
