"""Alarms over time: told once, told again when worse, one while they sway, and never more than are kept."""

from datetime import UTC, datetime, timedelta

from tongbao.risk.policy.alarm_log import PAST_MAX, QUIET, Followed, followed
from tongbao.risk.schema.models import Alarm, AlarmKind, Severity

AT = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOTHING = Followed((), (), ())


def drift(subject: str = "value", severity: Severity = Severity.WARNING, value: float = 0.3) -> Alarm:
    return Alarm(kind=AlarmKind.FEATURE_DRIFT, severity=severity, value=value, subject=subject)


def after(before: Followed, *found: Alarm, at: datetime) -> Followed:
    return followed(before.standing, before.past, found, at)


def test_alarm_that_stands_is_news_once_and_keeps_its_beginning() -> None:
    first = after(NOTHING, drift(), at=AT)
    second = after(first, drift(value=0.5), at=AT + HOUR)
    assert first.news == (drift(),)
    assert second.news == ()
    (kept,) = second.standing
    assert (kept.since, kept.last_at, kept.alarm.value) == (AT, AT + HOUR, 0.5)


def test_alarm_that_gets_worse_is_news_again_and_getting_better_is_not() -> None:
    mild = after(NOTHING, drift(severity=Severity.NOTICE), at=AT)
    worse = after(mild, drift(severity=Severity.WARNING), at=AT + HOUR)
    better = after(worse, drift(severity=Severity.NOTICE), at=AT + 2 * HOUR)
    again = after(better, drift(severity=Severity.WARNING), at=AT + 3 * HOUR)
    assert [len(each.news) for each in (mild, worse, better, again)] == [1, 1, 0, 0]


def test_alarm_that_sways_is_one_and_one_that_comes_back_later_is_another() -> None:
    first = after(NOTHING, drift(), at=AT)
    gone = after(first, at=AT + HOUR)
    assert (gone.standing, [each.since for each in gone.past]) == ((), [AT])
    back = after(gone, drift(), at=AT + 2 * HOUR)
    assert (back.news, back.past, back.standing[0].since) == ((), (), AT)
    later = AT + QUIET + 2 * HOUR
    anew = after(gone, drift(), at=later)
    assert anew.news == (drift(),)
    assert anew.standing[0].since == later


def test_past_alarms_are_bounded_and_the_newest_stay() -> None:
    state = NOTHING
    for number in range(PAST_MAX + 5):
        state = after(state, drift(f"f{number}"), at=AT + number * HOUR)
    assert len(state.past) == PAST_MAX
    assert state.past[0].alarm.subject == f"f{PAST_MAX + 3}"
