"""The rules of the close of a day: what fails, what warns, what it scores, and who may close and open."""

from datetime import UTC, date, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.clearing.policy import closing
from tongbao.clearing.policy.closing import POINTS, Facts
from tongbao.clearing.schema.days import CheckState, Day, DayState
from tongbao.core.errors import Conflict, InvalidRequest, NotPermitted

ON = date(2026, 11, 2)
AT = datetime(2026, 11, 3, 9, tzinfo=UTC)
GOOD = Facts()
WARNS = Facts(files_refused=1)
OPEN = Day(on=ON, state=DayState.OPEN)

FAILS = [
    (Facts(behind_sources=("stripe",)), "runs_done", CheckState.FAILED),
    (Facts(files_reading=1), "files_read", CheckState.FAILED),
    (Facts(movements_uncut=1), "movements_cut", CheckState.FAILED),
    (Facts(batches_unpriced=1), "batches_priced", CheckState.FAILED),
    (Facts(dead_letters=1), "facts_handled", CheckState.FAILED),
    (Facts(trial_balance={"CNY": 1}), "trial_balance", CheckState.FAILED),
    (Facts(law={"CNY": -1}), "house_law", CheckState.FAILED),
    (Facts(findings=1), "ledger_proved", CheckState.FAILED),
    (Facts(earlier_open=date(2026, 11, 1)), "earlier_days_closed", CheckState.FAILED),
    (Facts(silent_sources=("stripe",)), "files_in", CheckState.WARNED),
    (Facts(files_refused=2), "files_accepted", CheckState.WARNED),
    (Facts(unresolved=3), "payments_resolved", CheckState.WARNED),
    (Facts(batches_unapproved=1), "batches_approved", CheckState.WARNED),
    (Facts(payouts_unknown=1), "payouts_known", CheckState.WARNED),
    (Facts(payouts_unbooked=1), "payouts_booked", CheckState.WARNED),
    (Facts(overdue=1), "breaks_ended", CheckState.WARNED),
    (Facts(proposed=1), "write_offs_decided", CheckState.WARNED),
]


def test_parts_come_to_a_hundred_and_a_day_without_fault_has_all() -> None:
    report = closing.report(ON, Facts(trial_balance={"CNY": 0}, movement_count=7, matched_count=7))
    assert sum(POINTS.values()) == report.score == 100
    assert {check.state for check in report.checks} == {CheckState.PASSED}
    assert report.matched_share == 1.0


@pytest.mark.parametrize(("facts", "code", "state"), FAILS)
def test_check_tells_what_is_wrong_and_costs_points(facts: Facts, code: str, state: CheckState) -> None:
    report = closing.report(ON, facts)
    wrong = {check.code: check.state for check in report.checks if check.state is not CheckState.PASSED}
    assert wrong == {code: state}
    assert report.score < 100 or code == "earlier_days_closed"


def test_names_of_a_check_are_cut_and_counted() -> None:
    report = closing.report(ON, Facts(behind_sources=tuple(f"s{number}" for number in range(30))))
    (check,) = [each for each in report.checks if each.code == "runs_done"]
    assert check.facts["count"] == 30
    assert len(str(check.facts["names"]).split(", ")) == 10


def test_breaks_are_told_by_kind_currency_and_age() -> None:
    ages = (("missing", "CNY", 0, 2, 50), ("missing", "CNY", 5, 1, 7), ("expected", "USD", 31, 1, 9))
    lines = {(each.kind, each.currency): each for each in closing.report(ON, Facts(ages=ages)).breaks}
    assert lines["missing", "CNY"].counts == (2, 0, 1, 0, 0)
    assert lines["missing", "CNY"].amounts_minor == (50, 0, 7, 0, 0)
    assert lines["expected", "USD"].counts == (0, 0, 0, 0, 1)


@given(
    matched=st.integers(0, 50),
    unmatched=st.integers(0, 50),
    flags=st.sets(st.sampled_from(range(len(FAILS)))),
)
def test_score_lies_between_nothing_and_a_hundred_and_never_grows_with_faults(
    matched: int, unmatched: int, flags: set[int]
) -> None:
    plain = {"movement_count": matched + unmatched, "matched_count": matched}
    before = closing.report(ON, Facts(**plain))  # type: ignore[arg-type]  # names and values of its fields
    fields: dict[str, object] = dict(plain)
    for flag in flags:
        fields |= {name: value for name, value in msgspec.structs.asdict(FAILS[flag][0]).items() if value}
    after = closing.report(ON, Facts(**fields))  # type: ignore[arg-type]  # names and values of its fields
    assert 0 <= after.score <= before.score <= 100
    assert sum(after.score_parts.values()) == after.score


def test_day_without_warnings_is_closed_by_one_person() -> None:
    day = closing.closed(OPEN, closing.report(ON, GOOD), AT, "mei", "")
    assert (day.state, day.closed_by, day.closed_at, day.version) == (DayState.CLOSED, "mei", AT, 1)
    with pytest.raises(Conflict) as again:
        closing.closed(day, closing.report(ON, GOOD), AT, "li", "")
    assert again.value.code == "day_closed"


def test_day_over_warnings_needs_a_second_person_who_saw_no_other_ones() -> None:
    report = closing.report(ON, WARNS)
    asked = closing.closed(OPEN, report, AT, "mei", "their file is broken")
    assert (asked.state, asked.asked, asked.asked_by) == (DayState.OPEN, "close", "mei")
    with pytest.raises(NotPermitted) as alone:
        closing.closed(asked, report, AT, "mei", "still")
    assert alone.value.code == "four_eyes"
    worse = closing.closed(asked, closing.report(ON, Facts(overdue=1)), AT, "li", "agreed")
    assert (worse.state, worse.asked_by) == (DayState.OPEN, "li")
    done = closing.closed(asked, report, AT, "li", "agreed")
    assert (done.state, done.closed_by, done.asked_by, done.asked) == (DayState.CLOSED, "li", "mei", "")


def test_day_that_fails_or_lacks_a_reason_stays_open() -> None:
    with pytest.raises(Conflict) as failed:
        closing.closed(OPEN, closing.report(ON, Facts(files_reading=1)), AT, "mei", "please")
    assert (failed.value.code, failed.value.facts["checks"]) == ("day_not_closable", ["files_read"])
    with pytest.raises(InvalidRequest) as noteless:
        closing.closed(OPEN, closing.report(ON, WARNS), AT, "mei", " ")
    assert noteless.value.code == "note_invalid"


def test_day_is_opened_again_by_two_people() -> None:
    day = closing.closed(OPEN, closing.report(ON, GOOD), AT, "mei", "")
    asked = closing.reopened(day, "li", "a file was wrong")
    assert (asked.state, asked.asked) == (DayState.CLOSED, "reopen")
    with pytest.raises(NotPermitted):
        closing.reopened(asked, "li", "now")
    opened = closing.reopened(asked, "mei", "yes")
    assert (opened.state, opened.closed_by, opened.asked) == (DayState.OPEN, "", "")
    with pytest.raises(Conflict) as open_one:
        closing.reopened(opened, "li", "again")
    assert open_one.value.code == "day_not_closed"
    assert [closing.act_of(*each) for each in ((OPEN, day), (day, asked), (asked, opened))] == [
        "closed",
        "asked_reopen",
        "reopened",
    ]
