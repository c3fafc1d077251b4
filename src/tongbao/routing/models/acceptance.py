"""Acceptance: how likely an issuer says yes over a channel, from approvals and issuers' declines alone.

Features: the method's pool, the channel within it, the issuer within the channel; a segment that was never seen is its
parent. Output: mean in [0, 1] and standard deviation of a forgetting Beta posterior, shrunk level by level towards the
parent, calibrated as far as the recent past is like the present. Several memories run side by side; each is trusted as
far as it foretold the channel's last results (a forgetting Bayesian mixture), so a quiet time is remembered long, and
after a sudden change the short memory speaks. Label: the end of an attempt, seconds to minutes late. No chance is used.
Baseline to beat: the mean of a window with a flat share of exploration.

References: Raj and Kalyani 2017 (discounted sampling); Raftery, Karny and Ettler 2010 (mixtures by forgetting).
"""

from typing import NamedTuple

import msgspec
import numpy as np

from tongbao.routing.models.cells import Cells, Floats, Ints, Memory

FORETOLD_MIN = 0.02
"""No single surprise takes more trust from a memory than this likelihood."""


class AcceptanceTuning(msgspec.Struct, frozen=True, kw_only=True):
    """How acceptance is learned. Strengths and half-lives are in attempts; chosen on tuning seeds (0 to 49)."""

    half_counts: tuple[float, ...] = (150.0, 600.0, 4000.0)
    half_s: float = 7 * 86_400.0
    prior_mean: float = 0.88
    prior_strength: float = 4.0
    channel_strength: float = 10.0
    issuer_strength: float = 40.0
    trust_half_count: float = 100.0


class Path(NamedTuple):
    """Rows of a segment from the pool down: ``pool`` (n,), ``channel`` and ``issuer`` (n, k)."""

    pool: Ints
    channel: Ints
    issuer: Ints


class Belief(NamedTuple):
    """What is believed of a probability: mean and standard deviation, (n, k) each."""

    mean: Floats
    sd: Floats


class Acceptance:
    """The posterior over rows. Reading changes nothing; row 0 is what was never seen and stays empty."""

    def __init__(self, tuning: AcceptanceTuning) -> None:
        self.tuning = tuning
        self.cells = Cells(Memory(tuning.half_counts, tuning.half_s))

    def read(
        self,
        path: Path,
        index: Floats,
        at_s: Floats,
        offset: Floats | float = 0.0,
        pending: Floats | float = 0.0,
    ) -> Belief:
        """Return the belief for (n, k) channels as of pool counts (n,) and instants (n,).

        ``offset``: what the context says beyond the segment, added to the log-odds of the prior of each channel.
        ``pending``: attempts under way, (n, k). They count as ends that turn out as believed, so that a channel is not
        tried a hundred times before the first answer.
        """
        mean, strength = self._levels(path, index, at_s, offset)
        strength = strength + np.asarray(pending)[..., None]
        trust = self._trust(path.channel, index)
        mixed = (trust * mean).sum(-1)
        spread = trust * (mean * (1.0 - mean) / (strength + 1.0) + (mean - mixed[..., None]) ** 2)
        return Belief(mixed, np.sqrt(spread.sum(-1)))

    def learn(self, path: Path, index: Floats, at_s: Floats, good: Floats) -> None:
        """Take in one end for each of n paths with k = 1: ``good`` (n,) is 1 for a yes, 0 for a no; no row twice."""
        mean, _ = self._levels(path, index, at_s, 0.0)
        foretold = np.maximum(np.where(good[:, None] > 0.5, mean[:, 0], 1.0 - mean[:, 0]), FORETOLD_MIN)
        channel, issuer = path.channel[:, 0], path.issuer[:, 0]
        gap = index - self.cells.index[channel]
        kept = self.cells.trust[channel] * np.exp2(-gap / self.tuning.trust_half_count)[:, None]
        bad = 1.0 - good
        for rows in (path.pool, channel, issuer):
            self.cells.add(rows, index, at_s, good, bad)
        self.cells.trust[channel] = kept + np.log(foretold)

    def _levels(
        self, path: Path, index: Floats, at_s: Floats, offset: Floats | float
    ) -> tuple[Floats, Floats]:
        """Return mean and strength of the leaf by memory, (n, k, memories)."""
        tuning = self.tuning
        good, bad = self.cells.read(path.pool, index, at_s)
        total = good + bad + tuning.prior_strength
        mean = ((good + tuning.prior_strength * tuning.prior_mean) / total)[:, None, :]
        mean = np.broadcast_to(mean, (*path.channel.shape, mean.shape[-1]))
        if np.ndim(offset):
            odds = mean / (1.0 - mean) * np.exp(offset)[..., None]
            mean = odds / (1.0 + odds)
        index, at_s = index[:, None], at_s[:, None]
        good, bad = self.cells.read(path.channel, index, at_s)
        seen = good + bad + tuning.channel_strength
        mean = (good + tuning.channel_strength * mean) / seen
        good, bad = self.cells.read(path.issuer, index, at_s)
        strength = good + bad + tuning.issuer_strength
        mean = (good + tuning.issuer_strength * mean) / strength
        strength = good + bad + np.minimum(tuning.issuer_strength, seen)
        return mean, strength

    def _trust(self, channel: Ints, index: Floats) -> Floats:
        """Return how far each memory of each channel is believed, (n, k, memories); sums to one."""
        gap = np.maximum(index[:, None] - self.cells.index[channel], 0.0)
        log = self.cells.trust[channel] * np.exp2(-gap / self.tuning.trust_half_count)[..., None]
        weight = np.exp(log - log.max(-1, keepdims=True))
        return np.asarray(weight / weight.sum(-1, keepdims=True))
