"""Baselines that keep the last outcomes of each channel in a queue and send a small share to the others.

The shape is that of the published success-rate routers (arXiv 2510.16735 and the open decision engine behind it): a
queue of the last ``bucket`` outcomes per channel, filled with successes at first, the mean as score, a hedge share for
the channels that are not the best. The queue moves only when its channel is used.
"""

import numpy as np

from tongbao.bench.routing_play import Feedback, Moment, best_of
from tongbao.bench.routing_world_draws import FloatArray, IntArray

BUCKET = 125
HEDGE_SHARE = 0.05
CALIBRATE_S = 900.0
VOLUME_S = 3_600.0
VOLUME_MIN = 100
BUCKET_RANGE = (100, 2_000)
BUCKET_STEP = 25
HEDGE_MAX = 0.30
HEDGE_MIN_EACH = 0.01
REWARD = 0.0526
PENALTY = 0.05
ELIMINATED_BELOW = 0.6
"""Chosen by routing_tuning from 0.35 and 0.6; what the published form is run with is not known."""


class Queues:
    """Rings of the last outcomes per seed and channel, each with its own length limit (n,).

    Scores are means (n, K) in [0, 1]. A shorter limit drops the oldest outcomes at once, a longer one fills with time.
    """

    def __init__(self, count: int, channels: int, bucket: int, capacity: int) -> None:
        self._ring = np.ones((count, channels, capacity), dtype=np.int8)
        self._capacity = capacity
        self._next = np.full((count, channels), bucket % capacity, dtype=np.int64)
        self._length = np.full((count, channels), bucket, dtype=np.int64)
        self._sum = np.full((count, channels), bucket, dtype=np.int64)
        self._limit = np.full(count, bucket, dtype=np.int64)

    @property
    def scores(self) -> FloatArray:
        """Mean of each queue (n, K)."""
        return self._sum / self._length

    def push(self, row: IntArray, arm: IntArray, won: IntArray) -> None:
        """Add an outcome (0 or 1) to the queue of each (row, arm); no row twice."""
        at, length = self._next[row, arm], self._length[row, arm]
        full = length >= self._limit[row]
        oldest = self._ring[row, arm, (at - length) % self._capacity]
        self._sum[row, arm] += won - np.where(full, oldest, 0)
        self._length[row, arm] = np.where(full, length, length + 1)
        self._ring[row, arm, at] = won
        self._next[row, arm] = (at + 1) % self._capacity

    def resize(self, row: int, bucket: int) -> None:
        """Set the limit of one seed's queues."""
        self._limit[row] = bucket
        for arm in range(self._ring.shape[1]):
            length = min(int(self._length[row, arm]), bucket)
            places = (self._next[row, arm] - 1 - np.arange(length)) % self._capacity
            self._length[row, arm] = length
            self._sum[row, arm] = int(self._ring[row, arm, places].sum())


class WindowedHedge:
    """Best mean of the last ``bucket`` outcomes; ``hedge`` of the payments go to the other channels evenly."""

    def __init__(self, count: int, channels: int, bucket: int = BUCKET, hedge: float = HEDGE_SHARE) -> None:
        self.name = f"hedge_{bucket}"
        self._channels = channels
        self._hedge = hedge
        self._rows = np.arange(count)
        self._queues = Queues(count, channels, bucket, bucket)

    def choose(self, moment: Moment) -> IntArray:
        """Return the best channel, or with the hedge's share one of the others."""
        return hedged(self._queues.scores, moment.uniforms, np.full(len(self._rows), self._hedge))

    def best_but(self, first: IntArray) -> IntArray:
        """Return the best channel that is not ``first`` (n,)."""
        scores = self._queues.scores
        scores[self._rows, first] = -1.0
        return best_of(scores)

    def learn(self, feedback: Feedback) -> None:
        """Push the outcomes."""
        won = feedback.won.astype(np.int64)
        self._queues.push(feedback.row, feedback.arm, won)


def hedged(scores: FloatArray, uniforms: FloatArray, hedge: FloatArray) -> IntArray:
    """Return the best scores' channels, ties by chance, and another one evenly with probability ``hedge`` (n,)."""
    channels = scores.shape[1]
    best = best_of(scores + 1e-9 * uniforms[:, :channels])
    step = 1 + (uniforms[:, channels] * (channels - 1)).astype(np.int64)
    others = (best + step) % channels
    return np.asarray(np.where(uniforms[:, channels + 1] < hedge, others, best), dtype=np.int64)


class Autopilot:
    """The self-tuning form: bucket and hedge follow the traffic, and failing channels are eliminated.

    Every 900 s, with V the payments of the last hour: ``bucket = round25(5 * sqrt(V / (K - 1)))`` within 100-2,000;
    each other channel gets a share of ``bucket / V``, at least 1 %, all of them at most 30 %. A second score per
    channel is multiplied by 1.0526 after a success (to 1 at most) and by 0.95 after a failure; below
    ``ELIMINATED_BELOW`` the channel ranks after all that are not. Hedging reaches it, so it comes back.
    """

    name = "autopilot"

    def __init__(self, count: int, channels: int, eliminated_below: float = ELIMINATED_BELOW) -> None:
        self._count = count
        self._channels = channels
        self._eliminated_below = eliminated_below
        self._queues = Queues(count, channels, BUCKET, BUCKET_RANGE[1])
        self._health = np.ones((count, channels))
        self._hedge = np.full(count, HEDGE_SHARE)
        self._calibrate_at_s = np.full(count, CALIBRATE_S)
        # Payments of each full calibration interval of the last hour, and of the running one.
        self._volumes = np.zeros((count, round(VOLUME_S / CALIBRATE_S)))
        self._volume = np.zeros(count)

    def choose(self, moment: Moment) -> IntArray:
        """Return the best channel that is not eliminated, or a hedge."""
        self._volume += 1
        for row in np.flatnonzero(moment.now_s >= self._calibrate_at_s):
            self._calibrate(int(row))
        scores = self._queues.scores - (self._health < self._eliminated_below)
        return hedged(scores, moment.uniforms, self._hedge)

    def _calibrate(self, row: int) -> None:
        self._calibrate_at_s[row] += CALIBRATE_S
        self._volumes[row] = np.append(self._volumes[row, 1:], self._volume[row])
        self._volume[row] = 0
        volume = float(self._volumes[row].sum())
        if volume < VOLUME_MIN:
            return
        bucket, self._hedge[row] = calibration(volume, self._channels)
        self._queues.resize(row, bucket)

    def learn(self, feedback: Feedback) -> None:
        """Push the outcomes and move the health scores."""
        row, arm = feedback.row, feedback.arm
        won = feedback.won
        self._queues.push(row, arm, won.astype(np.int64))
        factor = np.where(won, 1 + REWARD, 1 - PENALTY)
        self._health[row, arm] = np.minimum(self._health[row, arm] * factor, 1.0)


def calibration(volume: float, channels: int) -> tuple[int, float]:
    """Return bucket and hedge share (0-0.30) for the payments of the last hour."""
    others = channels - 1
    steps = round(5.0 * float(np.sqrt(volume / others)) / BUCKET_STEP)
    bucket = min(max(steps * BUCKET_STEP, BUCKET_RANGE[0]), BUCKET_RANGE[1])
    each = max(min(bucket / volume, HEDGE_MAX / others), HEDGE_MIN_EACH)
    return bucket, min(each * others, HEDGE_MAX)
