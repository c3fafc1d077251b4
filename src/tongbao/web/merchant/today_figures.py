"""The figures of a merchant's day, from the sums of its hours. Pure.

Hours are counted from the midnight, by the merchant's own clock, of the same weekday a week ago; ``Day.first_hour`` is where
today begins. A share comes with the interval of Wilson (1927) at 95 %, which is honest about few payments too.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import NamedTuple, TypeVar

from tongbao.payments.schema.overviews import GoneBack, Rail, Taking

Key = TypeVar("Key")
WEEK_DAYS = 7
HOURS = 24
NORMAL_95 = 1.959964
TARGET_SHARE = 0.9
"""The share of attempts with a yes below which a way to pay is looked at."""
RAILS_SHOWN = 8


class Day(NamedTuple):
    """The week behind a moment: where it begins, the hour today begins at, and the hour it is now."""

    from_at: datetime
    to_at: datetime
    first_hour: int
    hour: int


class Taken(NamedTuple):
    """What was taken today, and on the same weekday a week ago up to this hour and in all, minor units."""

    today_minor: int
    before_minor: int
    before_whole_minor: int
    by_hour: tuple[int, ...]
    others: tuple[tuple[str, int], ...]

    @property
    def change(self) -> float | None:
        """By how much today is more, as a share; None where there was nothing."""
        return None if not self.before_minor else self.today_minor / self.before_minor - 1


class Share(NamedTuple):
    """A share of cases with its interval; all in [0, 1], None without cases."""

    cases: int
    value: float | None
    low: float = 0.0
    high: float = 1.0
    by_day: tuple[float, ...] = ()


class Back(NamedTuple):
    """What went back today: refunds and disputes, and both by day of the week behind, minor units."""

    refund_count: int
    refund_minor: int
    dispute_count: int
    dispute_minor: int
    by_day: tuple[int, ...]


def day_of(now: datetime, zone: tzinfo) -> Day:
    """Return the week behind an instant by the clock of a zone."""
    midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    start = midnight - timedelta(days=WEEK_DAYS)
    # Over a change of the clocks a day has 23 or 25 hours: instants are compared, not what clocks show.
    passed = int((midnight.timestamp() - start.timestamp()) // 3600)
    hour = int((now.timestamp() - start.timestamp()) // 3600)
    return Day(start, now + timedelta(seconds=1), passed, hour)


def taken(hours: Sequence[Taking], day: Day, currency: str) -> Taken:
    """Return what was taken in a currency; what came in others today stands beside it."""
    by_hour = _summed((each.hour, each.taken_minor) for each in hours_of(hours, currency))
    since = day.hour - day.first_hour
    others = _summed(
        (each.currency, each.taken_minor)
        for each in hours
        if each.currency != currency and each.hour >= day.first_hour
    )
    today = tuple(by_hour.get(day.first_hour + hour, 0) for hour in range(since + 1))
    return Taken(
        sum(today),
        sum(by_hour.get(hour, 0) for hour in range(since + 1)),
        sum(by_hour.get(hour, 0) for hour in range(HOURS)),
        today,
        tuple(sorted((code, minor) for code, minor in others.items() if minor)),
    )


def hours_of(hours: Iterable[Taking], currency: str) -> list[Taking]:
    """Return the hours of one currency."""
    return [each for each in hours if each.currency == currency]


def approval(hours: Iterable[Taking], day: Day) -> Share:
    """Return the share of payments with a yes over the week, and by day."""
    tried, approved = defaultdict[int, int](int), defaultdict[int, int](int)
    for each in hours:
        place = _day_place(each.hour, day)
        tried[place] += each.tried_count
        approved[place] += each.approved_count
    cases, good = sum(tried.values()), sum(approved.values())
    days = tuple(approved[place] / tried[place] for place in sorted(tried) if tried[place])
    if not cases:
        return Share(0, None)
    low, high = interval(good, cases)
    return Share(cases, good / cases, low, high, days)


def back(found: Iterable[GoneBack], day: Day, currency: str) -> Back:
    """Return what went back in a currency."""
    own = [each for each in found if each.currency == currency]
    today = [each for each in own if each.hour >= day.first_hour]
    by_day = _summed((_day_place(each.hour, day), each.refund_minor + each.dispute_minor) for each in own)
    return Back(
        sum(each.refund_count for each in today),
        sum(each.refund_minor for each in today),
        sum(each.dispute_count for each in today),
        sum(each.dispute_minor for each in today),
        tuple(by_day.get(place, 0) for place in range(WEEK_DAYS + 1)),
    )


def shares(rails: Sequence[Rail]) -> list[tuple[Rail, float]]:
    """Return the busiest ways to pay with their shares of a yes."""
    return [
        (each, each.approved_count / each.ended_count) for each in rails[:RAILS_SHOWN] if each.ended_count
    ]


def interval(good: int, cases: int) -> tuple[float, float]:
    """Return Wilson's interval at 95 % for ``good`` of ``cases``, which are at least one."""
    share, square = good / cases, NORMAL_95**2
    middle = share + square / (2 * cases)
    spread = NORMAL_95 * math.sqrt(share * (1 - share) / cases + square / (4 * cases**2))
    whole = 1 + square / cases
    return max(0.0, (middle - spread) / whole), min(1.0, (middle + spread) / whole)


def _day_place(hour: int, day: Day) -> int:
    """Return the day that an hour lies in: 0 a week ago, ``WEEK_DAYS`` today."""
    if hour >= day.first_hour:
        return WEEK_DAYS
    return max(WEEK_DAYS - 1 - (day.first_hour - 1 - hour) // HOURS, 0)


def _summed(pairs: Iterable[tuple[Key, int]]) -> dict[Key, int]:
    found: dict[Key, int] = {}
    for key, value in pairs:
        found[key] = found.get(key, 0) + value
    return found
