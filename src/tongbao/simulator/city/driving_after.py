"""What comes after a visit, and when: looking again, the capture, money back, a complaint and its end, a report of fraud. Pure."""

from datetime import timedelta
from enum import IntEnum
from typing import NamedTuple

from tongbao.simulator.city.schema import Outcome, Visit, Visited

CAPTURE_MINUTES_MIN, CAPTURE_MINUTES_SPAN = 20, 240
"""Shops that capture later send what was ordered within hours."""
LOOK_AFTER = timedelta(hours=1)
VERDICT_AFTER = timedelta(days=9)
"""So long the network thinks about a complaint."""
SOON = timedelta(minutes=1)
"""Between a capture and the earliest act on what was captured."""


class Due(IntEnum):
    """What happens; at one instant and for one visit in this order."""

    VISIT = 0
    LOOK = 1
    LAST_LOOK = 2
    CAPTURE = 3
    REFUND = 4
    DISPUTE = 5
    VERDICT = 6
    LABEL = 7


class After(NamedTuple):
    """Something that comes so long after what it follows."""

    due: Due
    delay: timedelta


def after_of(visit: Visit, visited: Visited) -> list[After]:
    """Return what comes after a visit that ended so. Only who paid gets money back, complains, or is reported."""
    if visited.payment is None:
        return []
    if visited.outcome in (Outcome.UNRESOLVED, Outcome.HELD):
        return [After(Due.LOOK, LOOK_AFTER)]
    if visited.outcome is not Outcome.APPROVED:
        return []
    found, captured_after = [], timedelta(0)
    if not visited.captured_minor:
        captured_after = timedelta(minutes=CAPTURE_MINUTES_MIN + visit.number * 37 % CAPTURE_MINUTES_SPAN)
        found.append(After(Due.CAPTURE, captured_after))
    for due, delay in (
        (Due.REFUND, visit.refund_after),
        (Due.DISPUTE, visit.dispute_after),
        (Due.LABEL, visit.label_after),
    ):
        if delay is not None:
            found.append(After(due, max(delay, captured_after + SOON)))
    return found


def has_after(visit: Visit) -> bool:
    """Return whether anything is planned to come after a visit, should it be paid."""
    planned = (visit.refund_after, visit.dispute_after, visit.label_after)
    return visit.is_manual or any(each is not None for each in planned)


def verdict_of(visit: Visit) -> str:
    """Return how the network ends a complaint: fraud is lost, other complaints are won about half the time."""
    return "lost" if visit.school is not None or visit.number % 2 else "won"
