"""Where payments come from: codes of countries, places, distances and the speed between two payments."""

import math

import numpy as np

from tongbao.risk.models.borrowing import borrowing
from tongbao.risk.models.country_places import PLACES
from tongbao.risk.schema.signals import Signals

LETTERS = 26
EARTH_KM = 6_371.0
"""Mean radius of the earth."""
GAP_S_MIN = 60.0
"""Payments closer in time count as a minute apart: clocks differ, and a speed over an instant says nothing."""


def country_code(country: str) -> int:
    """Return 1 to 676 for two letters, 0 for anything else, which counts as unknown."""
    if len(country) != 2 or not (country.isascii() and country.isalpha()):
        return 0
    first, second = country.upper().encode()
    return (first - 65) * LETTERS + second - 65 + 1


def _centers() -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    centers = np.full((LETTERS * LETTERS + 1, 2), np.nan)
    for country, place in PLACES.items():
        centers[country_code(country)] = place
    return centers


CENTERS = _centers()
"""Shape (677, 2): latitude and longitude of the middle of each country by its code, NaN where unknown."""


def place_of(signals: Signals) -> tuple[float, float]:
    """Return degrees of latitude and longitude: as given, else the middle of the address's country, else NaN twice."""
    if signals.latitude is not None and signals.longitude is not None:
        return signals.latitude, signals.longitude
    if not signals.address_country:
        return math.nan, math.nan
    latitude, longitude = CENTERS[country_code(signals.address_country)]
    return float(latitude), float(longitude)


@borrowing
def kilometers(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Return the distance over the ground between two places in degrees, by the haversine formula."""
    one, other = math.radians(latitude), math.radians(other_latitude)
    north = math.sin((other - one) / 2.0)
    east = math.sin(math.radians(other_longitude - longitude) / 2.0)
    share = north * north + math.cos(one) * math.cos(other) * east * east
    return 2.0 * EARTH_KM * math.asin(math.sqrt(min(share, 1.0)))


@borrowing
def speed_kmh(distance_km: float, gap_ms: int) -> float:
    """Return kilometers an hour over a distance and a time of at least a minute."""
    return distance_km / (max(gap_ms / 1_000.0, GAP_S_MIN) / 3_600.0)


@borrowing
def mismatch(one: int, other: int) -> float:
    """Return 1 where two countries differ, 0 where they are the same, NaN where either is unknown."""
    if one == 0 or other == 0:
        return math.nan
    return 1.0 if one != other else 0.0
