"""Statistics of a city: what is counted, over what, and what a person reads of it."""

from collections.abc import Sequence
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.core.errors import InvalidRequest
from tongbao.simulator.city.planning import plan
from tongbao.simulator.city.report import report_lines
from tongbao.simulator.city.schema import CityTerms, Outcome, School, Visit, Visited
from tongbao.simulator.city.statistics import (
    Aftermath,
    day_rows,
    hour_rows,
    kind_rows,
    paired,
    statistics,
)

TERMS = CityTerms(seed=6, began_on=date(2026, 10, 1), days=4, payers=60, visits_per_day=50, fraud_share=0.2)
CITY = plan(TERMS)
VISITS = [visit for _, found in CITY.days() for visit in found]
SHANGHAI = ZoneInfo("Asia/Shanghai")
HONEST = [visit for visit in VISITS if visit.school is None]
THEFTS = [visit for visit in VISITS if visit.school is School.STOLEN_CARD]


def _visited(visit: Visit, outcome: Outcome, *, stepped: bool = False, refunded: int = 0) -> Visited:
    took = visit.amount_minor if outcome is Outcome.APPROVED else 0
    return Visited(
        number=visit.number,
        outcome=outcome,
        payment=None if outcome is Outcome.REFUSED else f"pi_{visit.number}",
        was_stepped_up=stepped,
        captured_minor=took,
        refunded_minor=refunded,
    )


def test_statistics_count_visits_by_how_they_ended() -> None:
    seen = [*HONEST[:8], *THEFTS[:4]]
    ends = [
        _visited(HONEST[0], Outcome.APPROVED),
        _visited(HONEST[1], Outcome.APPROVED, stepped=True, refunded=100),
        _visited(HONEST[2], Outcome.DECLINED),
        _visited(HONEST[3], Outcome.UNRESOLVED),
        _visited(HONEST[4], Outcome.BLOCKED),
        _visited(HONEST[5], Outcome.HELD),
        _visited(HONEST[6], Outcome.ABANDONED, stepped=True),
        _visited(HONEST[7], Outcome.REFUSED),
        _visited(THEFTS[0], Outcome.APPROVED),
        _visited(THEFTS[1], Outcome.BLOCKED),
        _visited(THEFTS[2], Outcome.ABANDONED, stepped=True),
        _visited(THEFTS[3], Outcome.DECLINED),
    ]
    later = Aftermath(settled_minor={"USD": 7, "CNY": 9}, batches=2, breaks=1, in_transit=4, disputes=3)
    found = statistics(VISITS, ends, later)
    assert (found.visits, found.payments, found.approved) == (12, 11, 3)
    assert found.approval_share == 3 / 6
    taken = {
        code: sum(v.amount_minor for v in (seen[0], seen[1], seen[8]) if v.currency == code)
        for code in ("CNY", "USD", "JPY")
    }
    assert found.taken_minor == {code: total for code, total in taken.items() if total}
    assert found.refunded_minor == {HONEST[1].currency: 100}
    assert (found.fraud_visits, found.fraud_share) == (4, 4 / 12)
    assert found.fraud_stopped_share == 2 / 3
    assert found.by_school == {School.STOLEN_CARD: (4, 2)}
    assert (found.step_ups, found.false_step_up_share) == (3, 2 / 8)
    assert found.false_block_share == 2 / 8
    assert list(found.settled_minor.items()) == [("CNY", 9), ("USD", 7)]
    assert (found.batches, found.breaks, found.in_transit) == (2, 1, 4)
    assert (found.disputes, found.unresolved) == (3, 1)


def test_statistics_of_nothing_have_no_shares() -> None:
    found = statistics(VISITS, [])
    assert (found.visits, found.approval_share, found.fraud_share) == (0, None, None)
    assert (found.fraud_stopped_share, found.false_step_up_share, found.false_block_share) == (None,) * 3
    assert found.taken_minor == {}


def test_statistics_of_an_outcome_without_a_visit_or_twice_are_refused() -> None:
    stray = Visited(number=5, outcome=Outcome.APPROVED)
    with pytest.raises(InvalidRequest) as refused:
        statistics(VISITS, [stray])
    assert refused.value.code == "city_outcome_unknown"
    once = _visited(HONEST[0], Outcome.APPROVED)
    with pytest.raises(InvalidRequest) as refused:
        statistics(VISITS, [once, once])
    assert refused.value.code == "city_outcome_repeated"


@given(ends=st.lists(st.sampled_from(Outcome), min_size=len(VISITS), max_size=len(VISITS)))
def test_rows_of_days_hours_and_kinds_add_up_to_the_statistics(ends: Sequence[Outcome]) -> None:
    outcomes = [_visited(visit, end) for visit, end in zip(VISITS, ends, strict=True)]
    found, pairs = statistics(VISITS, outcomes), paired(VISITS, outcomes)
    shares = (found.approval_share, found.fraud_share, found.fraud_stopped_share, found.false_block_share)
    assert all(share is None or 0 <= share <= 1 for share in shares)
    for rows in (day_rows(pairs, SHANGHAI), hour_rows(pairs, SHANGHAI), kind_rows(pairs, CITY.shops)):
        assert sum(row.visits for row in rows) == found.visits
        assert sum(row.approved for row in rows) == found.approved
        assert sum(row.fraud for row in rows) == found.fraud_visits
        assert sum(row.taken_minor.get("CNY", 0) for row in rows) == found.taken_minor.get("CNY", 0)
        assert [row.key for row in rows] == sorted({row.key for row in rows})
        assert all(row.stopped <= row.fraud <= row.visits for row in rows)
        assert all(row.approval_share is None or row.approved <= row.asked for row in rows)


def test_day_rows_are_of_local_days_and_hours_of_local_hours() -> None:
    pairs = paired(VISITS, [_visited(visit, Outcome.APPROVED) for visit in VISITS])
    days = [(TERMS.began_on + timedelta(days=each)).isoformat() for each in range(4)]
    assert [row.key for row in day_rows(pairs, SHANGHAI)] == days
    assert {row.key for row in hour_rows(pairs, SHANGHAI)} <= {f"{hour:02d}" for hour in range(24)}
    assert [row.visits for row in day_rows(pairs, SHANGHAI)] == [len(found) for _, found in CITY.days()]


def test_report_says_the_same_in_chinese_and_english() -> None:
    outcomes = [_visited(visit, Outcome.APPROVED) for visit in VISITS]
    found = statistics(VISITS, outcomes, Aftermath(settled_minor={"CNY": 123_456, "JPY": 5_000}, batches=4))
    chinese, english = report_lines(found, "zh"), report_lines(found, "en")
    assert len(chinese) == len(english) == 16 + len(found.by_school)
    assert dict(english)["Paid out"] == "CN¥1,234.56, ¥5,000"
    assert dict(chinese)["支付成功率"] == dict(english)["Approved"] == "100.0%"
    assert dict(english)["Unresolved"] == "0"
    assert dict(chinese)["  盗卡"] == f"{len(THEFTS)} 次中拦下 0 次"
    assert not any(name.isascii() for name, _ in chinese)


def test_report_of_nothing_says_none_and_of_another_language_is_refused() -> None:
    empty = report_lines(statistics([], []), "en")
    assert dict(empty)["Approved"] == dict(empty)["Taken"] == "none"
    with pytest.raises(InvalidRequest) as refused:
        report_lines(statistics([], []), "fr")
    assert refused.value.code == "locale_unknown"


def test_statistics_are_written_and_read_as_json() -> None:
    found = statistics(VISITS, [_visited(visit, Outcome.APPROVED) for visit in VISITS])
    assert msgspec.json.decode(msgspec.json.encode(found), type=type(found)) == found
