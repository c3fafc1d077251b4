"""Where something got worse, and by whose fault: a stepwise search over parts of the traffic.

For each fault and each part (everything; one value of channel, method, issuer or currency; a pair of values) the
attempts of both periods are compared within strata, so that a shift of the traffic explains nothing: Mantel and
Haenszel's test for significance, guarded by Benjamini and Hochberg's procedure over all of them, and the likelihood
of a common change for the choice, less a price for the number of parts that it was chosen from. A part that is too
wide fits badly where only a piece of it changed; one that is too narrow leaves evidence unexplained. What a cause
covers is not looked at again for the same fault, and the search goes on in what is left.

Sources: Mantel and Haenszel (JNCI 22, 1959); variance of the common difference by Greenland and Robins (Biometrics 41,
1985). Attempts count as independent; retries of one payer make intervals a little too narrow.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import bdtrc, ndtr

from tongbao.routing.policy.doctor_effects import Decomposition, discoveries
from tongbao.routing.policy.doctor_strata import FAULTS, Floats, Ints, Part, Strata
from tongbao.routing.schema.health import Dimension, Fault

CAUSES_MAX = 8
POINTS_MIN = 0.001
"""A cause takes a tenth of a point of all attempts at least; less is not worth anyone's time."""
ORDERS = (0, 1, 2)
VARIANCE_NORMAL = 10.0
"""Below this variance of the count the normal tail is too light; the binomial one is taken."""
NEWTON_STEPS = 25
LOG_ODDS_MAX = 12.0
CODES_TOLD_MAX = 5
CODE_SHARE_MIN = 0.1


class Found(NamedTuple):
    """A cause with its size: approvals lost in the current period, and their variance. MIX has no members."""

    fault: Fault
    segment: dict[Dimension, str]
    members: Ints
    p_value: float
    lost: float
    lost_variance: float
    before: float
    now: float


class _Tables:
    """The two by two tables of one fault in every stratum, and what a part makes of them."""

    def __init__(self, strata: Strata, fault: Fault) -> None:
        risk, stopped = strata.at_risk(fault), strata.stopped[FAULTS.index(fault)]
        both = (risk > 0).all(axis=0)
        self.open: Floats = np.asarray(both, dtype=np.float64)
        self.count: Floats = np.where(both, risk, 0.0)
        self.hit: Floats = np.where(both, stopped, 0.0)
        whole = np.asarray(np.maximum(self.count.sum(axis=0), 2.0), dtype=np.float64)
        hits: Floats = np.asarray(self.hit.sum(axis=0))
        self.expected: Floats = np.asarray(self.count[1] * hits / whole)
        # Given that nothing was hit, a stratum says nothing; where hits were to be expected its silence speaks against
        # a rise, so it is given one hit at most, spread as its attempts are.
        usual = float(self.hit[1].sum()) / max(float(self.count[1].sum()), 1.0)
        hidden = np.where(hits > 0, 0.0, np.minimum(self.count.sum(axis=0) * usual, 1.0))
        self.silent: Floats = hidden * self.count / whole
        self.variance: Floats = (
            self.count[0] * self.count[1] * hits * (whole - hits) / (whole**2 * (whole - 1))
        )

    def close(self, members: Ints) -> None:
        """Leave strata out from now on: they are explained."""
        self.open[members] = 0.0

    def p_value(self, members: Ints) -> float:
        """Return how likely so many hits or more are in the current period, had nothing changed."""
        opened = self.open[members]
        seen = float(self.hit[1][members] @ opened)
        expected = float(self.expected[members] @ opened)
        variance = float(self.variance[members] @ opened)
        hits = float(self.hit[:, members].sum(axis=0) @ opened)
        if seen <= expected or hits == 0:
            return 1.0
        if variance >= VARIANCE_NORMAL:
            return float(ndtr(-(seen - expected - 0.5) / math.sqrt(variance)))
        return float(bdtrc(seen - 1, int(hits), min(expected / hits, 1.0)))

    def likelihood(self, members: Ints) -> float:
        """Return the log likelihood ratio of one common rise of the odds against none, given all hits."""
        opened = self.open[members] > 0
        now, before = self.count[1][members][opened], self.count[0][members][opened]
        seen = self.hit[1][members][opened] + self.silent[1][members][opened]
        hits = (self.hit + self.silent)[:, members].sum(axis=0)[opened]
        total = seen.sum()
        odds = 0.0
        for _ in range(NEWTON_STEPS):
            share = now / (now + before * math.exp(-odds))
            slope, curve = float(total - hits @ share), float(hits @ (share * (1 - share)))
            if curve < 1e-9 or abs(odds) >= LOG_ODDS_MAX:
                break
            step = min(max(slope / curve, -1.0), 1.0)
            odds = min(max(odds + step, -LOG_ODDS_MAX), LOG_ODDS_MAX)
            if abs(step) < 1e-6:
                break
        if odds <= 0:
            return 0.0
        return float(odds * total - hits @ np.log((now * math.exp(odds) + before) / (now + before)))

    def difference(self, members: Ints) -> tuple[float, float]:
        """Return the common difference of the share of hits, with its variance; (0, 0) without strata."""
        kept = members[self.open[members] > 0]
        return common_difference(self.hit[:, kept], self.count[:, kept])


def common_difference(hits: Floats, counts: Floats) -> tuple[float, float]:
    """Return Mantel and Haenszel's difference of rates, of row 1 less row 0 of (2, n), and its variance.

    Strata that are empty in one row say nothing; without any other the answer is (0, 0).
    """
    both = (counts > 0).all(axis=0)
    hits, counts = hits[:, both], counts[:, both]
    if not both.any():
        return 0.0, 0.0
    whole = counts.sum(axis=0)
    weight = float((counts[0] * counts[1] / whole).sum())
    difference = float(((hits[1] * counts[0] - hits[0] * counts[1]) / whole).sum()) / weight
    missed = counts - hits
    terms = hits[1] * missed[1] * counts[0] ** 3 + hits[0] * missed[0] * counts[1] ** 3
    return difference, float((terms / (counts[0] * counts[1] * whole**2)).sum()) / weight**2


def search(strata: Strata, completion: Decomposition) -> list[Found]:
    """Return the causes of lost approvals, the largest first; at most ``CAUSES_MAX``."""
    parts = strata.parts(ORDERS)
    prices = _prices(parts)
    looks = {fault: _Look(_Tables(strata, fault), parts) for fault in FAULTS}
    mix = _mix(strata, completion)
    found: list[Found] = []
    has_mix = False
    while len(found) < CAUSES_MAX:
        kept = discoveries([mix.p_value, *(value for look in looks.values() for value in look.p_values)])
        has_mix = has_mix or kept[0]
        tried = [(fault, place) for fault in FAULTS for place in range(len(parts))]
        evidence = [
            (looks[fault].likelihood(place) - prices[len(parts[place].segment)], fault, place)
            for (fault, place), is_kept in zip(tried, kept[1:], strict=True)
            if is_kept
        ]
        if not evidence:
            break
        # Of equal evidence the first wins: faults in their order, wide parts before narrow ones.
        _, fault, place = max(evidence, key=lambda each: each[0])
        found.append(_measured(strata, looks[fault], fault, place))
        looks[fault].close(place)
    if has_mix:
        found.append(mix)
    floor = POINTS_MIN * float(strata.total[1].sum())
    return sorted((each for each in found if each.lost >= floor), key=lambda each: -each.lost)[:CAUSES_MAX]


class _Look:
    """The parts as one fault shows them: p-values and likelihoods, reckoned anew where something was explained."""

    def __init__(self, table: _Tables, parts: list[Part]) -> None:
        self.table = table
        self.parts = parts
        self.p_values = [table.p_value(part.members) for part in parts]
        self._likelihoods: dict[int, float] = {}

    def likelihood(self, place: int) -> float:
        """Return the likelihood ratio of a part."""
        if place not in self._likelihoods:
            self._likelihoods[place] = self.table.likelihood(self.parts[place].members)
        return self._likelihoods[place]

    def close(self, place: int) -> None:
        """Take a part for explained."""
        self.table.close(self.parts[place].members)
        self.p_values = [self.table.p_value(part.members) for part in self.parts]
        self._likelihoods.clear()


def _prices(parts: list[Part]) -> dict[int, float]:
    """Return the price of a part by the number of its dimensions: the log of how many there are to choose from."""
    orders = [len(part.segment) for part in parts]
    return {order: math.log(orders.count(order)) for order in set(orders)}


def _measured(strata: Strata, look: _Look, fault: Fault, place: int) -> Found:
    """Return a cause with its size; who is not stopped there meets what comes after, as others of the part do."""
    table, part = look.table, look.parts[place]
    members = part.members[table.open[part.members] > 0]
    difference, variance = table.difference(members)
    count, hit = table.count[:, members].sum(axis=1), table.hit[:, members].sum(axis=1)
    passed = float((count - hit).sum())
    onward = float(strata.approved[:, members].sum()) / passed if passed else 0.0
    reach = float(count[1]) * min(onward, 1.0)
    before, now = (float(each) for each in hit / np.maximum(count, 1.0))
    return Found(fault, part.segment, members, 1.0, difference * reach, variance * reach * reach, before, now)


def _mix(strata: Strata, completion: Decomposition) -> Found:
    """Return the loss by traffic that moved to parts with lower rates, and where to it moved above all."""
    value, variance = float(completion.mix.sum()), completion.mix_variance
    p_value = float(ndtr(value / math.sqrt(variance))) if variance > 0 else 1.0
    total = float(strata.total[1].sum())
    worst = min(strata.parts((1,)), key=lambda part: _pull(strata, part))
    share = [float(strata.total[row][worst.members].sum() / strata.total[row].sum()) for row in (0, 1)]
    none = np.empty(0, dtype=np.int64)
    segment = worst.segment
    return Found(Fault.MIX, segment, none, p_value, -value * total, variance * total**2, share[0], share[1])


def _pull(strata: Strata, part: Part) -> float:
    """Return how far a part pulled the completion rate by its share; parts that shrank do not count as the place."""
    total, approved = strata.total, strata.approved
    moved = total[1][part.members].sum() / total[1].sum() - total[0][part.members].sum() / total[0].sum()
    better = approved[:, part.members].sum() / total[:, part.members].sum() - approved.sum() / total.sum()
    return float(max(moved, 0.0) * better)


def codes_risen(strata: Strata, found: Found, fault_codes: list[tuple[str, str]]) -> tuple[str, ...]:
    """Return the codes of a fault that rose in a cause's part, the most first, at most ``CODES_TOLD_MAX``."""
    total = strata.total[:, found.members].sum(axis=1)
    if not total.all():
        return ()
    rises: dict[str, float] = {}
    for key in fault_codes:
        counts = strata.codes[key][:, found.members].sum(axis=1)
        rises[key[1]] = rises.get(key[1], 0.0) + float(counts[1] - counts[0] * total[1] / total[0])
    whole = sum(rise for rise in rises.values() if rise > 0)
    # What is unresolved has no code.
    told = [code for code, rise in rises.items() if code and rise > CODE_SHARE_MIN * whole]
    return tuple(sorted(told, key=lambda code: (-rises[code], code))[:CODES_TOLD_MAX])
