"""The calendar of a city: days off as the State Council of China announces them, festivals of shops, and the weather.

Which days are worked is told by the house's own calendar of China (``clearing``), swapped days included; a day off is
named after the festival into whose run of days off it falls. What a day does to trade is in ``day_factor`` and
``kind_factors``: shares of an ordinary working day, judged by hand after how people shop, not measured anywhere.
"""

from datetime import date, timedelta
from functools import lru_cache

from tongbao.clearing.service.working_days import working_day
from tongbao.simulator.city.chances import checked
from tongbao.simulator.city.schema import CityTerms, Day, ShopKind, Sky
from tongbao.simulator.city.trades import TRADES
from tongbao.simulator.city.weather import weather

CHINA = ("CN",)
SATURDAY = 5
RUN_DAYS_MAX = 20
GIFT_DAYS = 12
"""So many days before Spring Festival presents are bought."""
DAYS_KEPT = 4_096
SPRING_FESTIVAL = "春节 Spring Festival"
MID_YEAR, SINGLES, VALENTINE = "六一八 Mid-year sale", "双十一 Singles' Day", "情人节 Valentine's Day"
GIFTS, MOON_CAKES = "年货 New Year gifts", "中秋送礼 Mid-Autumn gifts"
_FIXED = (((1, 1), "元旦 New Year"), ((5, 1), "劳动节 Labor Day"), ((10, 1), "国庆节 National Day"))
_BY_MONTH = {
    1: SPRING_FESTIVAL,
    2: SPRING_FESTIVAL,
    4: "清明节 Qingming",
    5: "端午节 Dragon Boat Festival",
    6: "端午节 Dragon Boat Festival",
    9: "中秋节 Mid-Autumn Festival",
    10: "中秋节 Mid-Autumn Festival",
}
# First and last (month, day) of the shops' own festivals.
_SALES = (
    ((2, 13), (2, 14), VALENTINE),
    ((6, 16), (6, 18), MID_YEAR),
    ((11, 9), (11, 11), SINGLES),
)
_DAY_OFF_FACTOR, _WORKDAY_FACTOR = 1.15, 0.95
_HOLIDAY_FACTORS = {SPRING_FESTIVAL: 0.8}
_FESTIVAL_FACTORS = {MID_YEAR: 1.5, SINGLES: 1.8, VALENTINE: 1.1, GIFTS: 1.25, MOON_CAKES: 1.1}
_SKY_FACTORS = {Sky.CLEAR: 1.05, Sky.CLOUDY: 1.0, Sky.RAIN: 0.9, Sky.HEAT: 0.95, Sky.SNOW: 0.8}
_BAD = {Sky.RAIN: 0.6, Sky.SNOW: 0.45, Sky.HEAT: 0.85}
"""What is left of walks to shops that deliver nothing; shops that deliver gain ``_DELIVERED``."""
_DELIVERED = {Sky.RAIN: 1.2, Sky.SNOW: 1.25, Sky.HEAT: 1.1}
_INDOORS = {ShopKind.GAMES, ShopKind.UTILITIES, ShopKind.HOTEL}
_FESTIVAL_KINDS: dict[str, dict[ShopKind, float]] = {
    MID_YEAR: {ShopKind.ELECTRONICS: 4.0, ShopKind.CLOTHES: 2.5, ShopKind.GAMES: 1.5, ShopKind.BOOKSHOP: 2.0},
    SINGLES: {ShopKind.ELECTRONICS: 5.0, ShopKind.CLOTHES: 4.0, ShopKind.GROCERY: 1.3},
    VALENTINE: {ShopKind.FLOWERS: 12.0, ShopKind.CINEMA: 3.0, ShopKind.HOTEL: 2.0},
    GIFTS: {ShopKind.TEA_HOUSE: 1.8, ShopKind.GROCERY: 2.0, ShopKind.CLOTHES: 2.2, ShopKind.FLOWERS: 3.0},
    MOON_CAKES: {ShopKind.TEA_HOUSE: 2.5, ShopKind.GROCERY: 1.5},
}
_HOLIDAY_KINDS = {ShopKind.HOTEL: 2.5, ShopKind.CINEMA: 1.8, ShopKind.BIKES: 1.5, ShopKind.COFFEE: 0.8}


def calendar(terms: CityTerms) -> tuple[Day, ...]:
    """Return all days of a city in order; raise InvalidRequest ``city_terms_invalid``."""
    checked(terms)
    return tuple(day_of(terms.seed, terms.began_on + timedelta(days=each)) for each in range(terms.days))


def day_of(seed: int, on: date) -> Day:
    """Return one day; only its weather depends on the seed."""
    sky, celsius = weather(seed, on)
    return Day(
        on=on,
        is_off=not is_worked(on),
        holiday=holiday(on),
        sky=sky,
        celsius=celsius,
        festival=festival(on),
    )


@lru_cache(maxsize=DAYS_KEPT)
def is_worked(on: date) -> bool:
    """Return whether offices in China work on a day; weekends that are worked for a longer holiday count as worked."""
    return working_day(CHINA, on, 0) == on


@lru_cache(maxsize=DAYS_KEPT)
def holiday(on: date) -> str | None:
    """Return the name of the holiday in whose run of days off a day lies; None for working days and plain weekends."""
    if is_worked(on):
        return None
    first, last = _end(on, -1), _end(on, 1)
    run = [first + timedelta(days=each) for each in range((last - first).days + 1)]
    if not any(day.weekday() < SATURDAY for day in run):
        return None
    for (month, number), name in _FIXED:
        if any((day.month, day.day) == (month, number) for day in run):
            return name
    return _BY_MONTH.get(run[len(run) // 2].month)


def festival(on: date) -> str | None:
    """Return what shops celebrate on a day, or make presents of before a holiday."""
    for first, last, name in _SALES:
        if first <= (on.month, on.day) <= last:
            return name
    if holiday(on) is not None:
        return None
    for ahead in range(1, GIFT_DAYS + 1):
        name_ahead = holiday(on + timedelta(days=ahead))
        if name_ahead == SPRING_FESTIVAL:
            return GIFTS
        if name_ahead == _BY_MONTH[9] and ahead <= GIFT_DAYS // 2:
            return MOON_CAKES
    return None


def day_factor(day: Day) -> float:
    """Return how many visits a day brings, as a share of an ordinary one."""
    factor = _DAY_OFF_FACTOR if day.is_off else _WORKDAY_FACTOR
    factor *= _HOLIDAY_FACTORS.get(day.holiday or "", 1.0)
    return factor * _FESTIVAL_FACTORS.get(day.festival or "", 1.0) * _SKY_FACTORS[day.sky]


def kind_factors(day: Day) -> dict[ShopKind, float]:
    """Return how much more or less each kind is wanted on a day, beside the others."""
    wanted = {}
    for kind, trade in TRADES.items():
        factor = _FESTIVAL_KINDS.get(day.festival or "", {}).get(kind, 1.0)
        if day.holiday is not None:
            factor *= _HOLIDAY_KINDS.get(kind, 1.0)
        if kind not in _INDOORS:
            factor *= (_DELIVERED if trade.delivers else _BAD).get(day.sky, 1.0)
        wanted[kind] = factor
    return wanted


def _end(on: date, step: int) -> date:
    """Return the last day off in one direction."""
    for _ in range(RUN_DAYS_MAX):
        ahead = on + timedelta(days=step)
        if is_worked(ahead):
            break
        on = ahead
    return on
