"""When thieves come: episodes of each school, a burst of visits on one day, drawn from the seed.

Episodes lie on a jittered grid, one somewhere in each piece of time, so that the share of thefts among all visits is close
to what the terms say in a single month too, and a day's episodes are found without those of other days.
"""

import random
from collections.abc import Iterator
from math import ceil, floor
from typing import NamedTuple

from tongbao.simulator.city.chances import chance, day_number
from tongbao.simulator.city.schema import CityTerms, Day, School

SHARES = {
    School.STOLEN_CARD: 0.28,
    School.TAKEOVER: 0.12,
    School.CARD_TESTING: 0.35,
    School.COLLUSION: 0.15,
    School.REFUND_ABUSE: 0.10,
}
"""How the visits of thieves are shared out between the schools."""
SIZES = {
    School.STOLEN_CARD: (4, 9),
    School.TAKEOVER: (1, 4),
    School.CARD_TESTING: (8, 24),
    School.COLLUSION: (3, 8),
    School.REFUND_ABUSE: (2, 5),
}
"""Fewest and most visits of an episode."""
OF_A_DAY = 10
"""In a small city no episode is more than one part in so many of a day's visits."""

PER_DAY_MIN = 1e-6
"""What is rarer than once in three thousand years does not happen."""


class Episode(NamedTuple):
    """One burst of a school on one day: its own chance and how many visits it is to come to."""

    school: School
    day: Day
    rng: random.Random
    size: int


def episodes(terms: CityTerms, school: School, day: Day) -> Iterator[Episode]:
    """Yield the episodes of a school on a day; none where the terms have next to no fraud."""
    low, high = sizes(terms, school)
    thefts = terms.visits_per_day * terms.fraud_share / (1 - terms.fraud_share)
    per_day = thefts * SHARES[school] / ((low + high) / 2)
    if per_day < PER_DAY_MIN:
        return
    number = day_number(day.on)
    # Episode k falls somewhere into the k-th piece of time; a piece is 1 / per_day days long.
    for k in range(max(floor(number * per_day) - 1, 0), ceil((number + 1) * per_day) + 1):
        rng = chance(terms.seed, school, k)
        if floor((k + rng.random()) / per_day) == number:
            yield Episode(school, day, rng, rng.randint(low, high))


def sizes(terms: CityTerms, school: School) -> tuple[int, int]:
    """Return the fewest and most visits of an episode in a city of this size."""
    most = max(1, terms.visits_per_day // OF_A_DAY)
    low, high = SIZES[school]
    return min(low, most), min(high, most)
