"""The calendar of a city: real holidays and swapped days of China, festivals of shops, weather by season."""

import statistics
from collections import Counter
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongbao.simulator.city.days import (
    GIFTS,
    MID_YEAR,
    MOON_CAKES,
    SINGLES,
    VALENTINE,
    calendar,
    day_factor,
    day_of,
    festival,
    holiday,
    is_worked,
    kind_factors,
)
from tongbao.simulator.city.schema import CityTerms, ShopKind, Sky
from tongbao.simulator.city.weather import WET_SHARES, weather

SPRING, NATIONAL, MID_AUTUMN = "春节 Spring Festival", "国庆节 National Day", "中秋节 Mid-Autumn Festival"


@pytest.mark.parametrize(
    ("on", "expected"),
    [
        (date(2026, 9, 20), (True, None)),  # a Sunday, worked for National Day
        (date(2026, 9, 25), (False, MID_AUTUMN)),
        (date(2026, 9, 27), (False, MID_AUTUMN)),
        (date(2026, 9, 28), (True, None)),
        (date(2026, 9, 30), (True, None)),
        (date(2026, 10, 1), (False, NATIONAL)),
        (date(2026, 10, 7), (False, NATIONAL)),
        (date(2026, 10, 8), (True, None)),
        (date(2026, 10, 10), (True, None)),  # a Saturday, worked
        (date(2026, 10, 11), (False, None)),  # a Sunday like others
        (date(2026, 2, 14), (True, None)),
        (date(2026, 2, 15), (False, SPRING)),
        (date(2026, 2, 23), (False, SPRING)),
        (date(2026, 2, 28), (True, None)),
        (date(2026, 1, 1), (False, "元旦 New Year")),
        (date(2026, 1, 3), (False, "元旦 New Year")),
        (date(2026, 1, 4), (True, None)),
        (date(2026, 4, 6), (False, "清明节 Qingming")),
        (date(2026, 5, 5), (False, "劳动节 Labor Day")),
        (date(2026, 6, 19), (False, "端午节 Dragon Boat Festival")),
        (date(2025, 10, 8), (False, NATIONAL)),
        (date(2025, 1, 26), (True, None)),
        (date(2025, 1, 28), (False, SPRING)),
    ],
)
def test_days_off_are_those_that_were_announced(on: date, expected: tuple[bool, str | None]) -> None:
    assert (is_worked(on), holiday(on)) == expected


def test_every_day_off_in_the_week_has_a_name() -> None:
    days = (date(2025, 1, 1) + timedelta(days=each) for each in range(730))
    unnamed = [on for on in days if on.weekday() < 5 and not is_worked(on) and holiday(on) is None]
    assert unnamed == []


@pytest.mark.parametrize(
    ("on", "expected"),
    [
        (date(2026, 6, 15), None),
        (date(2026, 6, 18), MID_YEAR),
        (date(2026, 11, 8), None),
        (date(2026, 11, 11), SINGLES),
        (date(2026, 11, 12), None),
        (date(2026, 2, 14), VALENTINE),
        (date(2026, 2, 5), GIFTS),
        (date(2026, 2, 2), None),
        (date(2026, 2, 16), None),
        (date(2026, 9, 22), MOON_CAKES),
        (date(2026, 9, 10), None),
    ],
)
def test_festivals_of_shops_have_their_days(on: date, expected: str | None) -> None:
    assert festival(on) == expected


def test_calendar_has_all_days_in_order_and_is_equal_for_equal_terms() -> None:
    terms = CityTerms(seed=5, began_on=date(2026, 9, 20), days=30)
    found = calendar(terms)
    assert [day.on for day in found] == [date(2026, 9, 20) + timedelta(days=each) for each in range(30)]
    assert found == calendar(terms)
    later = calendar(CityTerms(seed=5, began_on=date(2026, 10, 10), days=10))
    assert later == found[20:]


def test_singles_day_sells_electronics_and_brings_more_visits_than_the_week_before() -> None:
    singles, before = day_of(5, date(2026, 11, 11)), day_of(5, date(2026, 11, 4))
    assert day_factor(singles) > 1.4 * day_factor(before)
    assert kind_factors(singles)[ShopKind.ELECTRONICS] > 4 * kind_factors(before)[ShopKind.ELECTRONICS]


def test_rain_keeps_people_from_walking_and_lets_more_be_delivered() -> None:
    days = [day_of(5, date(2026, 10, 12) + timedelta(days=each)) for each in range(40)]
    rain = kind_factors(next(day for day in days if day.sky is Sky.RAIN))
    clear = kind_factors(next(day for day in days if day.sky is Sky.CLEAR and not day.festival))
    assert rain[ShopKind.BIKES] < clear[ShopKind.BIKES]
    assert rain[ShopKind.NOODLES] > clear[ShopKind.NOODLES]
    assert rain[ShopKind.GAMES] == clear[ShopKind.GAMES]


def test_weather_of_many_years_follows_the_seasons() -> None:
    skies: dict[int, Counter[Sky]] = {month: Counter() for month in range(1, 13)}
    highs: dict[int, list[int]] = {month: [] for month in range(1, 13)}
    for seed in range(12):
        for each in range(365):
            on = date(2026, 1, 1) + timedelta(days=each)
            sky, celsius = weather(seed, on)
            skies[on.month][sky] += 1
            highs[on.month].append(celsius)
    for month, share in enumerate(WET_SHARES, 1):
        wet = skies[month][Sky.RAIN] + skies[month][Sky.SNOW]
        assert wet / skies[month].total() == pytest.approx(share, abs=0.1)
    assert statistics.mean(highs[7]) - statistics.mean(highs[1]) > 20
    assert all(not skies[month][Sky.SNOW] for month in range(4, 12))
    assert skies[7][Sky.HEAT] > 50
    assert not skies[1][Sky.HEAT]


@settings(max_examples=40, deadline=None)
@given(on=st.dates(date(2020, 1, 1), date(2098, 12, 31)), seed=st.integers(0, 1_000))
def test_day_of_any_date_is_whole(on: date, seed: int) -> None:
    day = day_of(seed, on)
    assert day.on == on
    assert (day.holiday is None) or day.is_off
    assert -20 < day.celsius < 50
    assert 0.3 < day_factor(day) < 3
    assert all(factor > 0 for factor in kind_factors(day).values())
