"""Alarms over time: one that stands is told once, one that went and comes back soon is the same, and few are kept. Pure.

What an alarm is about (its kind and subject) makes it one; how far it is out may change from look to look. It is told again
only where it becomes more severe.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from tongbao.risk.schema.models import Alarm, AlarmKind, Severity
from tongbao.risk.schema.watches import KeptAlarm

PAST_MAX = 50
"""Alarms that went away and are kept, the newest."""
QUIET = timedelta(hours=24)
"""An alarm that comes back sooner goes on: a figure that sways around its bound rings once."""
_WEIGHTS = {Severity.NOTICE: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}


class Followed(NamedTuple):
    """Alarms that stand, in the order given; those among them that are news; those that went away, the newest first."""

    standing: tuple[KeptAlarm, ...]
    news: tuple[Alarm, ...]
    past: tuple[KeptAlarm, ...]


def followed(
    before: Sequence[KeptAlarm], past: Sequence[KeptAlarm], found: Sequence[Alarm], now: datetime
) -> Followed:
    """Return what alarms of a look at ``now`` are against those of the looks before it."""
    known = {_key(each.alarm): each for each in reversed(past) if each.last_at > now - QUIET}
    known |= {_key(each.alarm): each for each in before}
    standing: list[KeptAlarm] = []
    news: list[Alarm] = []
    for alarm in found:
        earlier = known.get(_key(alarm))
        since = now if earlier is None else earlier.since
        worst = alarm.severity if earlier is None else _worse(earlier.worst, alarm.severity)
        if earlier is None or _WEIGHTS[alarm.severity] > _WEIGHTS[earlier.worst]:
            news.append(alarm)
        standing.append(KeptAlarm(alarm=alarm, since=since, last_at=now, worst=worst))
    here = {_key(each.alarm) for each in standing}
    gone = [each for each in before if _key(each.alarm) not in here]
    rest = [each for each in past if _key(each.alarm) not in here]
    return Followed(tuple(standing), tuple(news), tuple([*gone, *rest][:PAST_MAX]))


def _key(alarm: Alarm) -> tuple[AlarmKind, str]:
    return alarm.kind, alarm.subject


def _worse(one: Severity, other: Severity) -> Severity:
    return max(one, other, key=_WEIGHTS.__getitem__)
