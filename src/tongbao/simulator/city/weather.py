"""The weather of a city like Shanghai: a seeded Markov chain of days by season.

The chain begins anew with each year, at the long-run shares of its month, so that the weather of a day is that of its
date whenever the city begins. Monthly highs and shares of wet days after the normals of 1991 to 2020 for Shanghai,
rounded. A day's temperature is its high: the normal of the date and an anomaly that lasts for some days (AR(1)).
"""

import math
from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple

from tongbao.simulator.city.chances import chance
from tongbao.simulator.city.schema import Sky

HIGHS = (8.0, 10.5, 15.0, 20.5, 25.5, 28.5, 33.0, 32.5, 28.5, 23.5, 17.5, 11.0)
WET_SHARES = (0.33, 0.35, 0.42, 0.38, 0.37, 0.47, 0.39, 0.41, 0.35, 0.24, 0.29, 0.28)
PERSISTENCE = 0.3
"""How far today's sky is yesterday's, beyond the month's shares: 0 is independent days, 1 never changes."""
CLEAR_SHARE = 0.45
"""Share of dry days that are clear."""
ANOMALY_LASTS, ANOMALY_DEGREES = 0.7, 3.2
HEAT_FROM, SNOW_UP_TO = 34, 3
RAIN_COOLS = 1.5
YEARS_KEPT = 8


class Weather(NamedTuple):
    """The sky of a day and its highest temperature in degrees Celsius."""

    sky: Sky
    celsius: int


def weather(seed: int, on: date) -> Weather:
    """Return the weather of a day."""
    return _year(seed, on.year)[on.timetuple().tm_yday - 1]


@lru_cache(maxsize=YEARS_KEPT)
def _year(seed: int, year: int) -> tuple[Weather, ...]:
    rng = chance(seed, "weather", year)
    on, found = date(year, 1, 1), []
    is_wet, is_clear, anomaly = rng.random() < WET_SHARES[0], rng.random() < CLEAR_SHARE, rng.gauss(0.0, 1.0)
    while on.year == year:
        found.append(_named(on, is_wet=is_wet, is_clear=is_clear, anomaly=anomaly))
        is_wet = rng.random() < _next(WET_SHARES[on.month - 1], stays=is_wet)
        is_clear = rng.random() < _next(CLEAR_SHARE, stays=is_clear)
        anomaly = ANOMALY_LASTS * anomaly + math.sqrt(1 - ANOMALY_LASTS**2) * rng.gauss(0.0, 1.0)
        on += timedelta(days=1)
    return tuple(found)


def _next(share: float, *, stays: bool) -> float:
    """Return the chance of a state for tomorrow; its long-run share is ``share`` whatever the persistence."""
    return share * (1 - PERSISTENCE) + PERSISTENCE * stays


def _named(on: date, *, is_wet: bool, is_clear: bool, anomaly: float) -> Weather:
    celsius = round(_normal(on) + ANOMALY_DEGREES * anomaly - RAIN_COOLS * is_wet)
    if is_wet:
        return Weather(Sky.SNOW if celsius <= SNOW_UP_TO else Sky.RAIN, celsius)
    if celsius >= HEAT_FROM:
        return Weather(Sky.HEAT, celsius)
    return Weather(Sky.CLEAR if is_clear else Sky.CLOUDY, celsius)


def _normal(on: date) -> float:
    """Return the normal high of a date, linear between the middles of months."""
    months = on.month - 1 + (on.day - 15) / 30
    before = math.floor(months)
    share = months - before
    return HIGHS[before % 12] * (1 - share) + HIGHS[(before + 1) % 12] * share
