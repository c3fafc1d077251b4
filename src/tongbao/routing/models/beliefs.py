"""Beliefs: how likely an issuer says yes over a channel, and how likely the channel is technically well.

Two questions over the same rows: *acceptance* from approvals and issuers' declines alone, *health* from every end. Features:
the method's pool, the channel within it, the issuer within the channel; a segment that was never seen is its parent.
Output: for each question mean in [0, 1] and standard deviation of a forgetting Beta posterior, calibrated as far as the
recent past is like the present. Each level is shrunk towards the one above it: pool, the channel in the long run, the
channel of late, the issuer over the channel of late; so a channel that was not tried lately is what it used to be, with
the doubt that this deserves. All rows of a pool forget together, by the clock and by the count of its attempts, over
whichever channel. A payment that goes on after a no is evidence too: where its issuer refuses it again, that says less of the
channel (it may be refused everywhere), by a factor that follows from how often second attempts succeed at all; such
attempts cost nothing and keep the knowledge of the other channels fresh. Label: the end of an attempt, seconds to minutes
late. No chance is used. Cost: about 35 us a reading of eight channels, 35 us a lesson. Baseline to beat: the mean of a
window with a flat share of exploration.

Every function works on any number of payments side by side: a service decides for one, a benchmark for hundreds of
worlds by the same lines.

References: Raj and Kalyani 2017 (discounted sampling); Gelman et al. 2013, chapter 5 (shrinkage by levels); Dempster,
Laird and Rubin 1977 (weighing a failure by whose fault it may be).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

POOL, CHANNEL, ISSUER = range(3)
LONG, LATE, WELL = range(3)
"""Columns of the counts: acceptance with a long and with a short memory, health."""
AGE_MAX = 200.0
"""Half-lives after which a pool gets a new unit of weight: well inside of what a float can hold."""
AGAIN_MAX = 0.98
_FIRST_ROWS = 256
_GOOD, _BAD = range(2)


class BeliefTuning(msgspec.Struct, frozen=True, kw_only=True):
    """How both questions are learned; chosen on the benchmark's tuning seeds (0 to 49).

    Half-lives are in attempts of the pool, and one in seconds for all; strengths in attempts that a prior or a parent
    counts for. ``again``: how much of its usual acceptance a second attempt is taken to have before any was seen.
    """

    long_count: float = 8_000.0
    late_count: float = 500.0
    well_count: float = 300.0
    half_s: float = 7 * 86_400.0
    accepted: float = 0.88
    accepted_strength: float = 4.0
    channel_strength: float = 20.0
    late_strength: float = 60.0
    issuer_strength: float = 150.0
    healthy: float = 0.99
    healthy_strength: float = 4.0
    health_channel_strength: float = 4.0
    health_issuer_strength: float = 40.0
    again: float = 0.6
    again_strength: float = 20.0


class Belief(NamedTuple):
    """What is believed of a probability: mean and standard deviation, (n, k) each."""

    mean: Floats
    sd: Floats


class Chance(NamedTuple):
    """What is believed of an approval over one channel: an issuer's yes over a way that is technically well."""

    mean: float
    sd: float


class Lesson(NamedTuple):
    """Ends of n attempts, (n,) each.

    ``yes``: 1 for an approval, 0 for an issuer's no, nan where the issuer did not speak. ``well``: 1 for an end that is not
    technical, 0 for one that is, nan where that is known already. ``again``: another channel had said no before.
    """

    yes: Floats
    well: Floats
    again: NDArray[np.bool_]


class Beliefs:
    """The table: good and bad counts of every row. Row 0 is what was never seen and stays empty.

    Forgetting costs nothing: a new end weighs ever more instead of the old ones ever less, and what is read is divided by
    the weight of now. ``counts`` (rows, 2, columns) in the pool's own unit of weight; ``since`` (rows, 2): pool count and
    instant at which that unit was 1; ``again`` (rows, 2): approvals of second attempts, and how many were to be expected
    of first ones. The last two are kept in the pool's row.
    """

    COLUMNS = ("counts", "since", "again")

    def __init__(self, tuning: BeliefTuning) -> None:
        self._tuning = tuning
        self._per_count = 1.0 / np.array([tuning.long_count, tuning.late_count, tuning.well_count])
        self._per_second = 1.0 / tuning.half_s
        self._prior = np.array([tuning.accepted_strength, 1.0, tuning.healthy_strength])
        self._prior_good = self._prior * np.array([tuning.accepted, 0.5, tuning.healthy])
        self._channel = np.array([tuning.channel_strength, 1.0, tuning.health_channel_strength])
        self._issuer = np.array([tuning.issuer_strength, tuning.health_issuer_strength])
        self.counts = np.zeros((_FIRST_ROWS, 2, 3))
        self.since = np.zeros((_FIRST_ROWS, 2))
        self.again = np.zeros((_FIRST_ROWS, 2))
        self.members: dict[int, list[int]] = {}
        """Rows of channels and issuers by the row of their pool."""

    def hold(self, count: int) -> None:
        """Make room for rows up to ``count``."""
        while count > len(self.since):
            for name in self.COLUMNS:
                column = getattr(self, name)
                setattr(self, name, np.concatenate([column, np.zeros_like(column)]))

    def keep(self, rows: Ints) -> None:
        """Keep these rows only, in this order."""
        for name in self.COLUMNS:
            setattr(self, name, getattr(self, name)[rows])

    def read(
        self,
        path: Ints,
        index: Floats,
        at_s: Floats,
        offset: Floats | None = None,
        pending: Floats | None = None,
    ) -> tuple[Belief, Belief]:
        """Return acceptance and health of (n, k) channels as of pool counts (n,) and instants (n,).

        ``path`` (n, k, 3): rows of pool, channel and issuer. ``offset`` (n, k): by how much payments like this one are
        accepted more, or less, than others of their segment, in log-odds. ``pending`` (n, k): attempts under way. They count as ends that turn out as
        believed, so that a channel is not tried a hundred times before the first answer.
        """
        return self._levels(path, self._age(path[:, 0, POOL], index, at_s), offset, pending)

    def chances(
        self, path: Ints, index: float, at_s: float, offset: Sequence[float] | None, pending: Sequence[int]
    ) -> list[Chance]:
        """Return for the channels of one payment, ``path`` (k, 3), what ``read`` returns, put together to one chance each.

        In plain numbers, which for a handful of channels is several times as fast as arrays (a test holds the two together).
        """
        tuning = self._tuning
        begun, at = self.since[path[0, POOL]].tolist()
        clock = (at_s - at) * self._per_second
        long, late, well = (2.0 ** -((index - begun) * each + clock) for each in self._per_count.tolist())
        yes_prior, _, well_prior = self._prior_good.tolist()
        chances = []
        for place, (pool, channel, issuer) in enumerate(self.counts[path].tolist()):
            waiting = pending[place] + 1.0
            (good, _, fine), (bad, _, ill) = pool
            accepted = (good * long + yes_prior) / ((good + bad) * long + tuning.accepted_strength)
            healthy = (fine * well + well_prior) / ((fine + ill) * well + tuning.healthy_strength)

            (good, good_late, fine), (bad, bad_late, ill) = channel
            strength = (good + bad) * long + tuning.channel_strength
            accepted = (good * long + tuning.channel_strength * accepted) / strength
            seen, pull = (good_late + bad_late) * late, tuning.late_strength
            accepted = (good_late * late + pull * accepted) / (seen + pull)
            strength = seen + min(pull, strength)
            health_strength = (fine + ill) * well + tuning.health_channel_strength
            healthy = (fine * well + tuning.health_channel_strength * healthy) / health_strength

            (_, good_late, fine), (_, bad_late, ill) = issuer
            seen, pull = (good_late + bad_late) * late, tuning.issuer_strength
            accepted = (good_late * late + pull * accepted) / (seen + pull)
            if offset is not None:
                odds = accepted / (1.0 - accepted) * math.exp(offset[place])
                accepted = odds / (1.0 + odds)
            accepted_var = accepted * (1.0 - accepted) / (seen + min(pull, strength) + waiting)
            seen, pull = (fine + ill) * well, tuning.health_issuer_strength
            healthy = (fine * well + pull * healthy) / (seen + pull)
            healthy_var = healthy * (1.0 - healthy) / (seen + min(pull, health_strength) + waiting)
            var = healthy * healthy * accepted_var + accepted * accepted * healthy_var
            chances.append(Chance(accepted * healthy, math.sqrt(var)))
        return chances

    def learn(self, path: Ints, index: Floats, at_s: Floats, lesson: Lesson) -> None:
        """Take in one end for each of n payments of different pools; ``path`` (n, 3)."""
        age = self._renewed(path, index, at_s)
        weight = np.exp2(age)
        judged, told = np.isfinite(lesson.yes), np.isfinite(lesson.well)
        yes = np.where(judged, lesson.yes, 0.0)
        no = np.where(judged, 1.0 - yes, 0.0)
        if lesson.again.any():
            no = no * self._blame(path, age, weight[:, LONG], judged, yes, lesson.again)
        added = np.empty((len(index), 2, 3))
        added[:, _GOOD, :WELL] = yes[:, None]
        added[:, _BAD, :WELL] = no[:, None]
        added[:, _GOOD, WELL] = np.where(told, lesson.well, 0.0)
        added[:, _BAD, WELL] = np.where(told, 1.0 - lesson.well, 0.0)
        self.counts[path] += (added * weight[:, None, :])[:, None]

    def teach(
        self, path: Sequence[int], index: float, at_s: float, yes: float | None, well: float | None
    ) -> bool:
        """Take in one end of one first attempt as ``learn`` does, in plain numbers; False where only ``learn`` can.

        ``path``: rows of pool, channel and issuer. None stands for nan.
        """
        begun, at = self.since[path[POOL]].tolist()
        if begun == 0.0:
            return False
        clock = (at_s - at) * self._per_second
        ages = [(index - begun) * each + clock for each in self._per_count.tolist()]
        if max(ages) > AGE_MAX:
            return False
        long, late, fine = (2.0**age for age in ages)
        good = 0.0 if yes is None else yes
        bad = 0.0 if yes is None else 1.0 - yes
        healthy = 0.0 if well is None else well
        ill = 0.0 if well is None else 1.0 - well
        added = np.array(((good * long, good * late, healthy * fine), (bad * long, bad * late, ill * fine)))
        for row in path:
            self.counts[row] += added
        return True

    def _blame(
        self,
        path: Ints,
        age: Floats,
        weight: Floats,
        judged: NDArray[np.bool_],
        yes: Floats,
        again: NDArray[np.bool_],
    ) -> Floats:
        """Return how much of an issuer's no the channel is to blame for, (n,); learn how often second attempts succeed.

        A payment that was refused once is doomed with probability 1 - r. So of a second no, the part r (1 - p) / (1 - r p)
        is the channel's own.
        """
        pool = path[:, POOL]
        mean = self._levels(path[:, None, :], age, None, None)[0].mean[:, 0]
        seen = self.again[pool] / weight[:, None]
        strength = self._tuning.again_strength
        rate = (seen[:, 0] + strength * self._tuning.again) / (seen[:, 1] + strength)
        rate = np.minimum(rate, AGAIN_MAX)
        learned = (judged & again) * weight
        self.again[pool, 0] += yes * learned
        self.again[pool, 1] += mean * learned
        return np.where(again, rate * (1.0 - mean) / (1.0 - rate * mean), 1.0)

    def _levels(
        self, path: Ints, age: Floats, offset: Floats | None, pending: Floats | None
    ) -> tuple[Belief, Belief]:
        tuning = self._tuning
        counts = self.counts[path] * np.exp2(-age)[:, None, None, None, :]
        good = counts[..., _GOOD, :]
        seen = good + counts[..., _BAD, :]
        pool = (good[:, :1, POOL] + self._prior_good) / (seen[:, :1, POOL] + self._prior)
        strength = seen[..., CHANNEL, :] + self._channel
        parent = (good[..., CHANNEL, :] + self._channel * pool) / strength
        # The parent of an issuer's acceptance is the channel of late, itself drawn to the channel in the long run.
        late_seen, pull = seen[..., CHANNEL, LATE], tuning.late_strength
        parent[..., LATE] = (good[..., CHANNEL, LATE] + pull * parent[..., LONG]) / (late_seen + pull)
        strength[..., LATE] = late_seen + np.minimum(pull, strength[..., LONG])
        own = seen[..., ISSUER, LATE:]
        mean = (good[..., ISSUER, LATE:] + self._issuer * parent[..., LATE:]) / (own + self._issuer)
        if offset is not None:
            mean[..., 0] = _tilted(mean[..., 0], offset)
        total = own + np.minimum(self._issuer, strength[..., LATE:]) + 1.0
        if pending is not None:
            total += pending[..., None]
        sd = np.sqrt(mean * (1.0 - mean) / total)
        return Belief(mean[..., 0], sd[..., 0]), Belief(mean[..., 1], sd[..., 1])

    def _age(self, pool: Ints, index: Floats, at_s: Floats) -> Floats:
        """Return how many half-lives a pool's unit of weight is old, (n, columns)."""
        since = self.since[pool]
        clock = (at_s - since[:, 1]) * self._per_second
        return np.asarray((index - since[:, 0])[:, None] * self._per_count + clock[:, None])

    def _renewed(self, path: Ints, index: Floats, at_s: Floats) -> Floats:
        """Return the ages, with new units of weight for pools that are new or whose old one is worth too little."""
        pool = path[:, POOL]
        # A pool counts from one, so a count of zero is one that has learned nothing yet.
        fresh = self.since[pool, 0] == 0.0
        if fresh.any():
            self.since[pool[fresh]] = np.stack((index, at_s), axis=1)[fresh]
        age = self._age(pool, index, at_s)
        worn = age.max(axis=1) > AGE_MAX
        if not worn.any():
            return age
        for place in np.flatnonzero(worn):
            row, weight = int(pool[place]), np.exp2(-age[place])
            self.counts[[row, *self.members.get(row, ())]] *= weight
            self.again[row] *= weight[LONG]
        self.since[pool[worn]] = np.stack((index, at_s), axis=1)[worn]
        return self._age(pool, index, at_s)


def _tilted(mean: Floats, offset: Floats) -> Floats:
    """Return probabilities with log-odds added."""
    odds = mean / (1.0 - mean) * np.exp(offset)
    return np.asarray(odds / (1.0 + odds))
