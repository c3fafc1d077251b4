"""Cycles: cuts and dates of payment over weekends, holidays and changes of the clock."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.clearing.policy.agreements import check, house_default
from tongbao.clearing.policy.calendars import of_codes, working_day
from tongbao.clearing.policy.cycles import cut_of, last_cut, local_date, settlement_calendar
from tongbao.clearing.schema.agreements import Agreement, Cut, Cycle
from tongbao.core.errors import InvalidRequest

NIGHT = (time(23, 0),)
NOON = (time(12, 0), time(18, 0))
REAL_TIME = Agreement(cycle=Cycle.REAL_TIME, days=0, calendars=(), approval_above_minor=0)
AGREEMENTS = st.builds(
    Agreement,
    cycle=st.sampled_from([Cycle.D, Cycle.T]),
    days=st.integers(0, 10),
    cuts=st.sets(st.times().map(lambda at: at.replace(fold=0)), min_size=1, max_size=4).map(
        lambda cuts: tuple(sorted(cuts))
    ),
    zone=st.sampled_from(
        [
            *("Asia/Shanghai", "Europe/Berlin", "America/New_York", "UTC"),
            *("Africa/Cairo", "Australia/Lord_Howe", "Pacific/Apia", "America/St_Johns"),
        ]
    ),
    calendars=st.sampled_from([("CN",), ("TARGET",), ("US",), ("CN", "US")]),
)
INSTANTS = st.datetimes(
    datetime(2023, 1, 1),  # noqa: DTZ001 - the zone is given apart
    datetime(2031, 12, 31),  # noqa: DTZ001
    timezones=st.just(UTC),
)


def local(text: str, zone: str = "Asia/Shanghai", fold: int = 0) -> datetime:
    """An instant by the wall clock of a zone."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


@pytest.mark.parametrize(
    ("cycle", "days", "cuts", "occurred", "cut", "paid"),
    [
        # Midnight closes the day that ends: T1 of Wednesday's sales is Thursday.
        (Cycle.T, 1, (time(0, 0),), "2026-03-04T10:00", "2026-03-05T00:00", "2026-03-05"),
        (Cycle.T, 1, (time(0, 0),), "2026-03-05T00:00", "2026-03-06T00:00", "2026-03-06"),
        (Cycle.T, 1, (time(0, 0),), "2026-03-06T10:00", "2026-03-07T00:00", "2026-03-09"),
        (Cycle.T, 1, (time(0, 0),), "2026-03-07T10:00", "2026-03-10T00:00", "2026-03-10"),
        # Before and at a cut; over the Spring Festival, whose Saturday before is worked.
        (Cycle.T, 1, NIGHT, "2026-02-13T22:59:59", "2026-02-13T23:00", "2026-02-14"),
        (Cycle.T, 1, NIGHT, "2026-02-13T23:00", "2026-02-14T23:00", "2026-02-24"),
        (Cycle.T, 0, NIGHT, "2026-02-14T23:30", "2026-02-24T23:00", "2026-02-24"),
        (Cycle.T, 2, NIGHT, "2026-09-29T10:00", "2026-09-29T23:00", "2026-10-08"),
        # Several cuts a day, on all days.
        (Cycle.D, 0, NOON, "2026-10-01T11:59", "2026-10-01T12:00", "2026-10-01"),
        (Cycle.D, 0, NOON, "2026-10-01T12:00", "2026-10-01T18:00", "2026-10-01"),
        (Cycle.D, 1, NOON, "2026-10-01T18:00", "2026-10-02T12:00", "2026-10-03"),
        # Nothing is paid before the day on which it is cut.
        (Cycle.D, 0, (time(0, 0),), "2026-10-01T11:59", "2026-10-02T00:00", "2026-10-02"),
        (Cycle.T, 0, (time(0, 0),), "2026-03-06T10:00", "2026-03-07T00:00", "2026-03-09"),
    ],
)
def test_cut_of_cycles_by_the_wall_clock(
    cycle: Cycle, days: int, cuts: tuple[time, ...], occurred: str, cut: str, paid: str
) -> None:
    agreement = Agreement(cycle=cycle, days=days, cuts=cuts, calendars=("CN",))
    assert cut_of(agreement, local(occurred)) == Cut(local(cut), date.fromisoformat(paid))


def test_cut_of_real_time_lies_right_behind_the_sale_and_pays_today() -> None:
    at = local("2026-10-01T23:59:59")
    assert cut_of(REAL_TIME, at) == Cut(at + timedelta(microseconds=1), date(2026, 10, 1))


@pytest.mark.parametrize(
    ("occurred", "cut"),
    [
        # 29 March 2026: clocks go from 2 to 3; half past two does not exist and is cut at half past three.
        ("2026-03-29T01:59", "2026-03-29T01:30+00:00"),
        ("2026-03-29T03:29", "2026-03-29T01:30+00:00"),
        ("2026-03-29T03:30", "2026-03-30T00:30+00:00"),
        # 25 October 2026: half past two is there twice, and the first counts.
        ("2026-10-25T02:29", "2026-10-25T00:30+00:00"),
        ("2026-10-25T02:31", "2026-10-26T01:30+00:00"),
    ],
)
def test_cut_at_a_time_that_is_missing_or_there_twice(occurred: str, cut: str) -> None:
    berlin = Agreement(cycle=Cycle.D, cuts=(time(2, 30),), zone="Europe/Berlin", calendars=())
    assert cut_of(berlin, local(occurred, "Europe/Berlin")).cut_at == datetime.fromisoformat(cut)


def test_cut_in_the_second_of_two_equal_hours_belongs_to_the_next_day() -> None:
    berlin = Agreement(cycle=Cycle.D, cuts=(time(2, 30),), zone="Europe/Berlin", calendars=())
    again = local("2026-10-25T02:10", "Europe/Berlin", fold=1)
    assert cut_of(berlin, again).cut_at == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


@given(agreement=AGREEMENTS, first=INSTANTS, gap=st.timedeltas(timedelta(0), timedelta(days=20)))
def test_cut_of_never_goes_back_and_never_lies_before_what_it_holds(
    agreement: Agreement, first: datetime, gap: timedelta
) -> None:
    check(agreement)
    one, other = cut_of(agreement, first), cut_of(agreement, first + gap)
    assert first < one.cut_at <= other.cut_at
    assert one.payout_on <= other.payout_on
    assert one.payout_on >= local_date(agreement, one.cut_at)
    if agreement.cycle is Cycle.T:
        calendars = of_codes(agreement.calendars)
        assert working_day(calendars, one.payout_on)
        assert working_day(calendars, local_date(agreement, one.cut_at - timedelta(microseconds=1)))


@given(agreement=AGREEMENTS, at=INSTANTS)
def test_cut_of_everything_up_to_the_cut_is_that_cut(agreement: Agreement, at: datetime) -> None:
    cut = cut_of(agreement, at)
    assert cut_of(agreement, cut.cut_at - timedelta(microseconds=1)).cut_at == cut.cut_at
    assert cut_of(agreement, cut.cut_at).cut_at > cut.cut_at


@given(agreement=AGREEMENTS, now=INSTANTS)
def test_last_cut_is_over_and_none_lies_between_it_and_now(agreement: Agreement, now: datetime) -> None:
    last = last_cut(agreement, now)
    assert last is not None
    assert last.cut_at <= now < cut_of(agreement, last.cut_at).cut_at
    assert last_cut(agreement, last.cut_at) == last


def test_settlement_calendar_over_the_national_day_tells_each_cut_once() -> None:
    agreement = Agreement(cuts=NIGHT)
    found = settlement_calendar(agreement, local("2026-09-29T12:00"), 4)
    assert [(each.cut_at, each.payout_on.isoformat()) for each in found] == [
        (local("2026-09-29T23:00"), "2026-09-30"),
        (local("2026-09-30T23:00"), "2026-10-08"),
        (local("2026-10-08T23:00"), "2026-10-09"),
        (local("2026-10-09T23:00"), "2026-10-10"),
    ]
    assert len(settlement_calendar(REAL_TIME, local("2026-09-29T12:00"), 4)) == 1


def test_settlement_calendar_into_a_year_not_announced_is_provisional() -> None:
    found = settlement_calendar(Agreement(cuts=NIGHT), local("2026-12-29T12:00"), 3)
    assert [each.is_provisional for each in found] == [False, False, True]


@pytest.mark.parametrize("count", [0, 61])
def test_settlement_calendar_of_an_odd_length_is_refused(count: int) -> None:
    with pytest.raises(InvalidRequest, match="settlement_days_invalid"):
        settlement_calendar(Agreement(), local("2026-12-29T12:00"), count)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"zone": "Asia/Peking2"}, "zone_unknown"),
        ({"zone": "../etc/passwd"}, "zone_unknown"),
        ({"zone": ""}, "zone_unknown"),
        ({"calendars": ("XX",)}, "calendar_unknown"),
        ({"calendars": ("CN", "CN")}, "calendar_twice"),
        ({"cuts": (time(12), time(11))}, "cuts_not_ascending"),
        ({"cuts": (time(12), time(12))}, "cuts_not_ascending"),
        ({"cuts": (time(12, tzinfo=UTC),)}, "cuts_not_ascending"),
        ({"cycle": Cycle.REAL_TIME, "days": 1, "approval_above_minor": 1}, "cycle_days_invalid"),
        ({"calendars": ()}, "cycle_without_calendar"),
        ({"cycle": Cycle.REAL_TIME, "days": 0}, "cycle_needs_limit"),
        ({"reserve_e6": 1}, "reserve_incomplete"),
        ({"reserve_days": 1}, "reserve_incomplete"),
    ],
)
def test_check_of_what_cannot_be_kept_names_the_reason(changes: dict[str, object], code: str) -> None:
    check(Agreement())
    with pytest.raises(InvalidRequest) as refused:
        check(msgspec.structs.replace(Agreement(), **changes))
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("currency", "zone", "calendars"),
    [
        ("CNY", "Asia/Shanghai", ("CN",)),
        ("EUR", "Europe/Berlin", ("TARGET",)),
        ("USD", "America/New_York", ("US",)),
    ],
)
def test_house_default_goes_by_the_currency(currency: str, zone: str, calendars: tuple[str, ...]) -> None:
    found = house_default(currency)
    check(found)
    assert (found.zone, found.calendars, found.cycle, found.days) == (zone, calendars, Cycle.T, 1)


def test_house_default_of_no_currency_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="currency_unknown"):
        house_default("XQQ")
