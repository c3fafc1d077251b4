"""Where all chance in a city comes from, and what terms a city can have.

Every draw belongs to a name: seed, what is drawn, and whom or which day it is for. So each day, payer and episode has
chance of its own, a day can be made without the days before it, and a city that begins later goes on as the same city.
"""

import math
import random
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from tongbao.core.errors import InvalidRequest
from tongbao.simulator.city.schema import DAYS_MAX, PAYERS_MAX, SHOPS_MAX, CityTerms

FIRST_DAY = date(2020, 1, 1)
"""Days are counted from here, whenever a city begins."""
LAST_YEAR = 2099
VISITS_PER_DAY_MAX = 100_000
FRAUD_SHARE_MAX = 0.5
POISSON_NORMAL_FROM = 30.0
"""Above this mean a Poisson count is drawn as the normal number that it is close to."""
_MIDNIGHT = datetime.min.time()


def chance(seed: int, *names: object) -> random.Random:
    """Return the randomness of one thing: equal seeds and names give equal draws."""
    return random.Random("/".join((str(seed), *map(str, names))))


def day_number(on: date) -> int:
    """Return how many days ``on`` lies after ``FIRST_DAY``."""
    return (on - FIRST_DAY).days


def zone_of(terms: CityTerms) -> ZoneInfo:
    """Return the time zone of a city; raise InvalidRequest ``city_terms_invalid`` where there is none of that name."""
    try:
        return ZoneInfo(terms.zone)
    except (ValueError, OSError, KeyError):
        raise _invalid("zone", f"no time zone {terms.zone[:40]!r}") from None


def instant(on: date, second: float, zone: ZoneInfo) -> datetime:
    """Return the second of a local day as an instant in UTC, to the millisecond."""
    # Adding to a local instant moves the clock on the wall, which is what opening hours are read from.
    return (datetime.combine(on, _MIDNIGHT, zone) + timedelta(milliseconds=int(second * 1000))).astimezone(
        UTC
    )


def poisson(rng: random.Random, mean: float) -> int:
    """Return a Poisson count (Knuth's product of uniforms; normal above ``POISSON_NORMAL_FROM``), never negative."""
    if mean > POISSON_NORMAL_FROM:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    floor, product, count = math.exp(-mean), rng.random(), 0
    while product > floor:
        product *= rng.random()
        count += 1
    return count


def after(rng: random.Random, median_days: float, sigma: float, days: tuple[float, float]) -> timedelta:
    """Return a log-normal time around a median, cut to ``days`` (shortest and longest), to the second."""
    drawn = median_days * rng.lognormvariate(0.0, sigma)
    return timedelta(seconds=int(min(max(drawn, days[0]), days[1]) * 86_400))


def checked(terms: CityTerms) -> CityTerms:
    """Return the terms; raise InvalidRequest ``city_terms_invalid`` naming the first ``field`` that is out of range."""
    last = date(LAST_YEAR, 12, 31) - timedelta(days=DAYS_MAX)
    if not FIRST_DAY <= terms.began_on <= last:
        raise _invalid("began_on", f"a city begins between {FIRST_DAY} and {last}, not on {terms.began_on}")
    for name, low, high in (
        ("days", 1, DAYS_MAX),
        ("payers", 1, PAYERS_MAX),
        ("shops", 1, SHOPS_MAX),
        ("visits_per_day", 1, VISITS_PER_DAY_MAX),
        ("fraud_share", 0.0, FRAUD_SHARE_MAX),
    ):
        # Written so that NaN, which is in no range, is refused as well.
        if not low <= getattr(terms, name) <= high:
            raise _invalid(name, f"{name} is {low} to {high}, not {getattr(terms, name)}")
    zone_of(terms)
    return terms


def _invalid(field: str, detail: str) -> InvalidRequest:
    return InvalidRequest("city_terms_invalid", detail, field=field)
