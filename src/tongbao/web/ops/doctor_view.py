"""What the page of the doctor shows: a diagnosis with the scales on which its intervals are drawn."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from tongbao.routing.schema.health import Action, Cause, Diagnosis, Estimate, HealthScope, Period
from tongbao.routing.service.health import Health
from tongbao.web.ops.board_view import Span

PERIODS = {
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "1d": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
BASELINES = {"before": timedelta(0), "day": timedelta(days=1), "week": timedelta(days=7)}
"""How much earlier the baseline lies; never so little that it would overlap the period."""
PERIOD = "1d"
BASELINE = "before"
CAUSES_SHOWN = 10
ACTIONS_SHOWN = 12
Scale = tuple[float, float]


class Visit(NamedTuple):
    """What a reader asked the doctor."""

    period: Period
    baseline: Period


class DoctorView(NamedTuple):
    """A diagnosis; causes by size and what to do, each proposal once, with the scales of both."""

    visit: Visit
    diagnosis: Diagnosis
    causes: tuple[Cause, ...]
    actions: tuple[Action, ...]
    cause_scale: Scale
    action_scale: Scale


def visit(now: datetime, period: str, baseline: str) -> Visit:
    """Return the two periods of a question; both are of equal length and the later one ends with this minute."""
    length = PERIODS[period]
    end = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    earlier = max(length, BASELINES[baseline])
    return Visit(Period(end - length, end), Period(end - length - earlier, end - earlier))


async def view(health: Health, asked: Visit, *, live: bool) -> DoctorView:
    """Return what the doctor says; raise LimitExceeded where the periods hold too much."""
    diagnosis = await health.doctor(HealthScope(live=live), asked.period, asked.baseline)
    causes = diagnosis.causes[:CAUSES_SHOWN]
    actions: list[Action] = []
    for each in (action for cause in causes for action in cause.actions):
        if not any((each.kind, each.segment, each.to_channel) == _key(known) for known in actions):
            actions.append(each)
    shown = tuple(actions[:ACTIONS_SHOWN])
    gains = [each.gain.payments_a_day for each in shown if each.gain.payments_a_day is not None]
    return DoctorView(
        asked,
        diagnosis,
        causes,
        shown,
        _scale([loss_of(each.points) for each in causes]),
        _scale([Span(each.value, each.low, each.high) for each in gains]),
    )


def loss_of(points: Estimate) -> Span:
    """Return what a cause took from the rate as a number that is the greater the more was lost."""
    return Span(-points.value, -points.high, -points.low)


def span_of(estimate: Estimate) -> Span:
    """Return an estimate as it is drawn."""
    return Span(estimate.value, estimate.low, estimate.high)


def _key(action: Action) -> tuple[object, object, str]:
    return action.kind, action.segment, action.to_channel


def _scale(spans: Sequence[Span]) -> Scale:
    """Return a scale that holds all intervals and zero."""
    low = min((each.low for each in spans), default=0.0)
    high = max((each.high for each in spans), default=1.0)
    return min(low, 0.0), max(high, 0.0)
