"""Those who look ahead: what a tier costs now and what it leads to, for the payments of a pair in their order.

Three learners of ``Q(state, tier)``, the expected cost of this payment and, at ``DISCOUNT`` a step, of those that follow:

- ``FittedQ``: a table over bins of chance, amount and history, by repeated sweeps over the log (Ernst et al. 2005). Cells lean on
  the cost of the single payment until they have been seen some ``LEAN`` times.
- ``AheadRule``: the cost of this payment is not learned but that of the cost rule; only what follows comes from a table.
- ``DeepQ``: a neural network with replay, a target network and double learning (van Hasselt et al. 2016), in numpy: 32 hidden
  units in each of two layers beside a linear path, Adam. Its inputs hold the terms of the cost rule, so that it can say the same.

What a payment cost is what the house can tell (``risk_adversary_log.costs_seen``): the truth where it came, else its chance.
"""

from typing import NamedTuple

import numpy as np

from tongbao.bench.risk_adversary_defenders import cheapest
from tongbao.bench.risk_adversary_log import (
    Batch,
    ChanceModel,
    costs_seen,
    expected_costs,
    features_of,
)
from tongbao.bench.risk_adversary_world import (
    Asked,
    Codes,
    Floats,
    Mask,
    harm_of,
    loss_of,
)

DISCOUNT = 0.95
SWEEPS = 10
LEAN = 10.0
AHEAD_LEAN = 50.0
CHANCE_EDGES = np.log(np.array([0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7]))
VALUE_EDGES = np.array([15.0, 50.0, 150.0])
HISTORIES = 5
CELLS = (len(CHANCE_EDGES) + 1) * (len(VALUE_EDGES) + 1) * HISTORIES


def cells_of(chance: Floats, value: Floats, features: Floats) -> Codes:
    """Return the cell of each payment (n,): chance by amount by history.

    Histories: new, new but proven, known, known and proven, stopped since the last approved payment.
    """
    is_new, is_proven, stops = features[:, 5] > 0, features[:, 7] > 0, features[:, 8] > 0
    history = np.where(stops, 4, 2 * ~is_new + is_proven)
    by_value = np.searchsorted(VALUE_EDGES, value) + (len(VALUE_EDGES) + 1) * np.searchsorted(
        CHANCE_EDGES, np.log(chance)
    )
    return (by_value * HISTORIES + history).astype(np.int64)


class FittedQ:
    """A table of what tiers cost from here on."""

    name, explores = "fitted_q", True

    def __init__(self) -> None:
        self.chance = ChanceModel()
        self._table = np.zeros((CELLS, 4))

    def decide(self, asked: Asked) -> Codes:
        """Return the tiers of the lowest cost to come."""
        features = features_of(asked.view)
        cells = cells_of(self.chance.chances(features), asked.view.value, features)
        return cheapest(self._table[cells])

    def learn(self, batch: Batch) -> None:
        """Fit chances, then sweep over the log."""
        self.chance.fit(batch)
        chance = self.chance.chances(batch.features)
        cells = cells_of(chance, batch.value, batch.features)
        place = cells * 4 + batch.tier
        cost, following = costs_seen(batch, chance), batch.following()
        prior = _cell_means(cells, expected_costs(chance, batch.value, batch.approved))
        counts = np.bincount(place, minlength=CELLS * 4).reshape(CELLS, 4)
        self._table = prior
        for _ in range(SWEEPS):
            ahead = np.where(following >= 0, self._table.min(axis=1)[cells[following]], 0.0)
            sums = np.bincount(place, cost + DISCOUNT * ahead, CELLS * 4).reshape(CELLS, 4)
            means = np.bincount(cells, ahead, CELLS) / np.maximum(np.bincount(cells, minlength=CELLS), 1)
            leaned = prior + DISCOUNT * means[:, None]
            self._table = (sums + LEAN * leaned) / (counts + LEAN)


def _cell_means(cells: Codes, costs: Floats) -> Floats:
    counts = np.maximum(np.bincount(cells, minlength=CELLS), 1)
    sums = [np.bincount(cells, costs[:, tier], CELLS) for tier in range(4)]
    return np.asarray(np.stack(sums, axis=1) / counts[:, None], dtype=np.float64)


class AheadRule:
    """The cost rule, and a table of what follows after each tier."""

    name, explores = "cost_rule_ahead", True

    def __init__(self) -> None:
        self.chance = ChanceModel()
        self._ahead = np.zeros((CELLS, 4))

    def decide(self, asked: Asked) -> Codes:
        """Return the tiers of the lowest cost now and later."""
        view, features = asked.view, features_of(asked.view)
        chance = self.chance.chances(features)
        now = expected_costs(chance, view.value, view.approved)
        return cheapest(now + self._ahead[cells_of(chance, view.value, features)])

    def learn(self, batch: Batch) -> None:
        """Fit chances, then what follows."""
        self.chance.fit(batch)
        chance = self.chance.chances(batch.features)
        cells = cells_of(chance, batch.value, batch.features)
        place, following = cells * 4 + batch.tier, batch.following()
        now = expected_costs(chance, batch.value, batch.approved)
        counts = np.bincount(place, minlength=CELLS * 4).reshape(CELLS, 4)
        of_cell = np.maximum(counts.sum(axis=1), 1)
        self._ahead = np.zeros((CELLS, 4))
        for _ in range(SWEEPS):
            best = (now + self._ahead[cells]).min(axis=1)
            ahead = np.where(following >= 0, DISCOUNT * best[following], 0.0)
            sums = np.bincount(place, ahead, CELLS * 4).reshape(CELLS, 4)
            means = np.bincount(cells, ahead, CELLS) / of_cell
            # Tiers of a cell lead to the same until enough was seen to tell them apart.
            self._ahead = (sums + AHEAD_LEAN * means[:, None]) / (counts + AHEAD_LEAN)


class Step(NamedTuple):
    """Payments as the network learns from them: inputs (n, k), tier, cost, row of the next or -1, and who is suspected.

    ``given`` (n, 4): what is added to what the network says, nothing or the cost of the single payment.
    """

    inputs: Floats
    given: Floats
    tier: Codes
    cost: Floats
    following: Codes
    is_suspect: Mask


HIDDEN = 32
SCALE = 20.0
"""Costs are learned in units of so many major ones."""
BATCH = 128
FIRST_STEPS, WEEKLY_STEPS = 5_000, 300
RATE, RATE_END = 1e-3, 1e-4
RENEW_TARGET = 200
SUSPECT_CHANCE = 0.02
Net = tuple[Floats, ...]
"""Weights and offsets of two hidden layers and the output, and of the linear path."""


class DeepQ:
    """A neural network of what tiers cost from here on. ``seed``: of its first weights and of what is replayed.

    ``is_ahead``: it learns only what follows; what the payment itself costs is added by the cost rule. ``effort`` scales its steps.
    """

    explores = True

    def __init__(self, seed: int, *, is_ahead: bool = False, effort: float = 1.0) -> None:
        self.name = "deep_q_ahead" if is_ahead else "deep_q"
        self.chance = ChanceModel()
        self._rng = np.random.default_rng((seed, 7))
        self._is_ahead, self._effort = is_ahead, effort
        self._net: Net = ()
        self._moments: tuple[Net, Net] = ((), ())
        self._steps = 0
        self._mean, self._spread = np.zeros(0), np.ones(0)

    def decide(self, asked: Asked) -> Codes:
        """Return the tiers of the lowest cost to come."""
        view = asked.view
        inputs, given = self._read(features_of(view), view.value, view.approved)
        said = _forward(self._net, (inputs - self._mean) / self._spread)[0]
        return cheapest(given + said)

    def learn(self, batch: Batch) -> None:
        """Fit chances, then replay the log, at a rate that falls."""
        self.chance.fit(batch)
        inputs, given = self._read(batch.features, batch.value, batch.approved)
        is_first = not self._net
        if is_first:
            self._mean, self._spread = inputs.mean(axis=0), inputs.std(axis=0) + 1e-6
            self._net = _start(inputs.shape[1], self._rng)
            self._moments = (
                tuple(np.zeros_like(each) for each in self._net),
                tuple(np.zeros_like(each) for each in self._net),
            )
        chance = self.chance.chances(batch.features)
        now = np.zeros(len(chance)) if self._is_ahead else costs_seen(batch, chance) / SCALE
        step = Step(
            inputs=(inputs - self._mean) / self._spread,
            given=given,
            tier=batch.tier,
            cost=now,
            following=batch.following(),
            is_suspect=chance > SUSPECT_CHANCE,
        )
        self._replay(step, int((FIRST_STEPS if is_first else WEEKLY_STEPS) * self._effort))

    def _read(self, features: Floats, value: Floats, approved: Codes) -> tuple[Floats, Floats]:
        """Return the inputs (n, k) and what is given (n, 4)."""
        odds = self.chance.log_odds(features)
        chance = 1.0 / (1.0 + np.exp(-odds))
        harm, loss = chance * harm_of(value), (1 - chance) * loss_of(value)
        inputs = np.column_stack([features[:, 1:], odds, chance, harm, loss, loss * features[:, 5]])
        given = (
            expected_costs(chance, value, approved) / SCALE if self._is_ahead else np.zeros((len(odds), 4))
        )
        return inputs, given

    def _replay(self, step: Step, steps: int) -> None:
        target, suspects = self._net, np.flatnonzero(step.is_suspect)
        for number in range(steps):
            if number % RENEW_TARGET == 0:
                target = tuple(each.copy() for each in self._net)
            rows, weight = self._drawn(step.is_suspect, suspects)
            following = step.following[rows]
            inputs, given = step.inputs[following], step.given[following]
            chosen = (given + _forward(self._net, inputs)[0]).argmin(axis=1)
            ahead = (given + _forward(target, inputs)[0])[np.arange(BATCH), chosen]
            wanted = step.cost[rows] + DISCOUNT * np.where(following >= 0, np.maximum(ahead, 0.0), 0.0)
            slopes = _slopes(self._net, step.inputs[rows], (step.tier[rows], wanted, weight))
            self._move(slopes, RATE + (RATE_END - RATE) * number / steps)

    def _drawn(self, is_suspect: Mask, suspects: Codes) -> tuple[Codes, Floats]:
        """Return rows, more than half of them suspects, with the weights that make the loss that of all rows."""
        rows = self._rng.integers(0, len(is_suspect), BATCH)
        if not len(suspects):
            return rows, np.ones(BATCH)
        rows[: BATCH // 2] = suspects[self._rng.integers(0, len(suspects), BATCH // 2)]
        share = len(suspects) / len(is_suspect)
        return rows, np.where(is_suspect[rows], share / (0.5 + 0.5 * share), 2.0)

    def _move(self, slopes: Net, rate: float) -> None:
        """One step of Adam."""
        self._steps += 1
        first, second = self._moments
        size = np.sqrt(sum(float((slope**2).sum()) for slope in slopes))
        brake = min(1.0, 5.0 / (size + 1e-12))
        for weight, slope, mean, square in zip(self._net, slopes, first, second, strict=True):
            mean += 0.1 * (brake * slope - mean)
            square += 0.001 * ((brake * slope) ** 2 - square)
            level, spread = mean / (1 - 0.9**self._steps), square / (1 - 0.999**self._steps)
            weight -= rate * level / (np.sqrt(spread) + 1e-8)


def _start(width: int, rng: np.random.Generator) -> Net:
    def drawn(rows: int, columns: int) -> Floats:
        return rng.normal(0.0, np.sqrt(2.0 / rows), (rows, columns))

    return (
        drawn(width, HIDDEN),
        np.zeros(HIDDEN),
        drawn(HIDDEN, HIDDEN),
        np.zeros(HIDDEN),
        0.1 * drawn(HIDDEN, 4),
        np.zeros(4),
        np.zeros((width, 4)),
    )


def _forward(net: Net, inputs: Floats) -> tuple[Floats, Floats, Floats]:
    """Return costs (n, 4) and both hidden layers."""
    first = np.maximum(inputs @ net[0] + net[1], 0.0)
    second = np.maximum(first @ net[2] + net[3], 0.0)
    return second @ net[4] + net[5] + inputs @ net[6], first, second


def _slopes(net: Net, inputs: Floats, wanted: tuple[Codes, Floats, Floats]) -> Net:
    """Return the slopes of half the mean weighted squared error; ``wanted``: tiers, their costs, weights."""
    tier, cost, weight = wanted
    said, first, second = _forward(net, inputs)
    rows = np.arange(len(tier))
    error = np.zeros_like(said)
    error[rows, tier] = (said[rows, tier] - cost) * weight / len(tier)
    at_second = (error @ net[4].T) * (second > 0)
    at_first = (at_second @ net[2].T) * (first > 0)
    return (
        inputs.T @ at_first,
        at_first.sum(axis=0),
        first.T @ at_second,
        at_second.sum(axis=0),
        second.T @ error,
        error.sum(axis=0),
        inputs.T @ error,
    )
