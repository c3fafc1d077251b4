"""Where payers go and when: the tables that the visits of all days are drawn from.

A payer's liking of a shop is taste for its kind, times loyalty (log-normal, the same for life, so payers come back to the
same shops), times nearness of its district, times what the salary allows. Opening hours are never broken: the instants of
a shop's visits are drawn from the hours of its rhythm inside its opening hours.
"""

import math
import random
from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate

from tongbao.simulator.city.chances import chance
from tongbao.simulator.city.schema import Day, Payer, Shop, ShopKind
from tongbao.simulator.city.shops import DISTRICTS, PER_YUAN, scale_of
from tongbao.simulator.city.trades import RHYTHMS, TRADES

LOYALTY_SPREAD = 0.9
NEAR, FAR = 1.6, 0.7
"""Weights of a shop in the own district and in the one across the city."""
DEAR_SHARE = 0.08
"""A ticket of more than this share of a monthly salary is bought the less often the dearer it is."""
USUAL_SALARY_MINOR = 9_000_00
KEPT_MAX = 2_000_000
"""So many likings are remembered; those of further payers are worked out again for each visit."""
SLOT_MINUTES = 15
_SLOTS = 24 * 60 // SLOT_MINUTES
_SLEEP_IN_UNTIL = 9
_SLEEP_IN = 0.5
_Slots = tuple[tuple[int, ...], tuple[float, ...]]


class Habits:
    """Likings and hours of one city. Holds what was worked out once; draws nothing that is not named by its seed."""

    def __init__(self, seed: int, shops: Sequence[Shop]) -> None:
        self._seed = seed
        self.shops = tuple(shops)
        self._likings: dict[int, tuple[float, ...]] = {}
        self._slots: dict[tuple[int, int, bool], _Slots] = {}

    def likings(self, payer: Payer) -> tuple[float, ...]:
        """Return how much a payer likes each shop, on an ordinary day."""
        known = self._likings.get(payer.number)
        if known is None:
            rng = chance(self._seed, "loyalty", payer.number)
            known = tuple(_liking(rng, payer, shop) for shop in self.shops)
            if (len(self._likings) + 1) * len(self.shops) <= KEPT_MAX:
                self._likings[payer.number] = known
        return known

    def shop_factors(self, day: Day, kinds: dict[ShopKind, float]) -> tuple[float, ...]:
        """Return by shop how much it is wanted on a day beside the others; 0 where it is closed all day."""
        weekday = day.on.weekday()
        return tuple(kinds[shop.kind] if shop.hours[weekday] else 0.0 for shop in self.shops)

    def second(self, rng: random.Random, shop: Shop, day: Day) -> float:
        """Return the second of the local day of a visit, inside the opening hours; the shop is open on that day."""
        hours = shop.hours[day.on.weekday()]
        assert hours is not None
        key = (shop.number, day.on.weekday(), day.is_off)
        slots = self._slots.get(key)
        if slots is None:
            slots = self._slots[key] = _open_slots(shop, hours, is_off=day.is_off)
        starts, bounds = slots
        slot = starts[min(bisect(bounds, rng.random() * bounds[-1]), len(starts) - 1)]
        first, last = max(slot, hours[0]), min(slot + SLOT_MINUTES, hours[1])
        # A millisecond before closing is open.
        return min(first * 60 + rng.random() * (last - first) * 60, last * 60 - 0.001)


def is_open(shop: Shop, weekday: int, second: float) -> bool:
    """Return whether a shop is open at a second of a day of the week (0 is Monday); it closes at its closing minute."""
    hours = shop.hours[weekday]
    return hours is not None and hours[0] * 60 <= second < hours[1] * 60


def _liking(rng: random.Random, payer: Payer, shop: Shop) -> float:
    steps = abs(payer.home - shop.district)
    away = min(steps, DISTRICTS - steps) / (DISTRICTS // 2)
    ticket_minor = yuan_minor(shop)
    dear = min(1.0, DEAR_SHARE * payer.salary_minor / ticket_minor)
    return (
        payer.tastes[shop.kind]
        * rng.lognormvariate(0.0, LOYALTY_SPREAD)
        * (NEAR + (FAR - NEAR) * away)
        * dear
    )


def yuan_minor(shop: Shop) -> float:
    """Return about what a shop's ticket is worth in fen."""
    return shop.ticket_minor / scale_of(shop.currency) / float(PER_YUAN[shop.currency]) * 100


def purse(payer: Payer) -> float:
    """Return how much larger or smaller a payer's tickets are than usual: the square root of the salary's ratio."""
    return math.sqrt(payer.salary_minor / USUAL_SALARY_MINOR)


def _open_slots(shop: Shop, hours: tuple[int, int], *, is_off: bool) -> _Slots:
    """Return the quarters of an hour in which a shop is open, and their weights summed up."""
    rhythm = RHYTHMS[TRADES[shop.kind].rhythm]
    starts, weights = [], []
    for slot in range(_SLOTS):
        start = slot * SLOT_MINUTES
        shared = min(start + SLOT_MINUTES, hours[1]) - max(start, hours[0])
        if shared <= 0:
            continue
        hour = start // 60
        weight = rhythm[hour] * (_SLEEP_IN if is_off and hour < _SLEEP_IN_UNTIL else 1.0)
        starts.append(start)
        # Somebody may come at any hour that a shop keeps.
        weights.append((weight + 0.01) * shared)
    return tuple(starts), tuple(accumulate(weights))
