"""The first page of risk control: payments of a day by tier, what stands out among them, what waits, what decides."""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from fastapi import Request, Response

from tongbao.core.errors import NotFound
from tongbao.risk.schema.models import Alarm, Severity
from tongbao.risk.schema.tiers import TIERS, Tier
from tongbao.risk.service import wording
from tongbao.risk.service.overviewing import Overview
from tongbao.risk.service.rule_drafting import InForce
from tongbao.web.ops.rendering import choice
from tongbao.web.ops.risk_desk import MODES, Desk, Shown, language_of

PERIODS = {"1d": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
PERIOD = "1d"


class TierRow(NamedTuple):
    """A tier: payments, share of all, what became of them."""

    tier: Tier
    payment_count: int
    share: float
    approved_count: int
    passed_count: int
    failed_count: int
    fraud_count: int


class TodayView(NamedTuple):
    """What the page shows. ``alarms`` of the model in force; None: no trained model."""

    overview: Overview
    rows: tuple[TierRow, ...]
    total: int
    unseen_share: float | None
    fraud_count: int
    in_force: InForce
    model: str
    alarms: tuple[Alarm, ...] | None
    is_watched: bool
    standing: tuple[str, str]


class TodayPage:
    """Answers the page."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def show(self, request: Request) -> Response:
        """Answer the first page."""
        mode = await self._desk.mode(request)
        period = choice(request, "period", PERIODS, PERIOD)
        language = language_of(request)
        context = {
            "view": await self._view(MODES[mode], PERIODS[period]),
            "mode": mode,
            "period": period,
            "periods": PERIODS,
            "alarm_text": lambda alarm: wording.alarm_text(alarm, language),
        }
        return self._desk.page(request, Shown("risk_today.html", "today", context))

    async def _view(self, live: bool, length: timedelta) -> TodayView:
        overview = await self._desk.overviewing.look(live, length)
        in_force = await self._desk.drafting.in_force()
        spec = {} if in_force.version is None else in_force.version.spec
        model = str(spec.get("model", ""))
        alarms, is_watched = await self._drift(model)
        rows = _rows(overview)
        total = sum(each.payment_count for each in rows)
        return TodayView(
            overview=overview,
            rows=rows,
            total=total,
            unseen_share=rows[0].share if total else None,
            fraud_count=sum(each.fraud_count for each in rows),
            in_force=in_force,
            model=model,
            alarms=alarms,
            is_watched=is_watched,
            standing=_standing(overview, total, alarms or ()),
        )

    async def _drift(self, digest: str) -> tuple[tuple[Alarm, ...] | None, bool]:
        """Return the alarms of the model in force and whether it was measured at all.

        They are those of the latest look by any process, otherwise those told when the model was made. None: no trained model.
        """
        if not digest:
            return None, False
        risk = self._desk.house.risk
        latest = await risk.watching.kept(digest)
        if latest is not None:
            return tuple(each.alarm for each in latest.alarms), True
        try:
            row = await risk.shelf.row(digest)
        except NotFound:
            return (), False
        facts = wording.facts_of_card(row.card)
        if facts is None or facts.drift is None:
            return (), False
        return tuple(wording.alarms(facts.drift)), True


def _rows(overview: Overview) -> tuple[TierRow, ...]:
    """Return every tier, those without a payment too, from the mildest on."""
    known = {each.tier: each for each in overview.shares}
    total = sum(each.payment_count for each in overview.shares) or 1
    rows = []
    for tier in TIERS:
        found = known.get(tier.value)
        if found is None:
            rows.append(TierRow(tier, 0, 0.0, 0, 0, 0, 0))
            continue
        count = found.payment_count
        rows.append(
            TierRow(
                tier,
                count,
                count / total,
                found.approved_count,
                found.passed_count,
                found.failed_count,
                found.fraud_count,
            )
        )
    return tuple(rows)


def _standing(overview: Overview, total: int, alarms: Sequence[Alarm]) -> tuple[str, str]:
    """Return the key of the first sentence and its tone: the worst that is to be said."""
    if overview.waiting.overdue_count:
        return "risk_s_overdue", "bad"
    if any(each.severity is Severity.CRITICAL for each in alarms):
        return "risk_s_drift", "bad"
    if any(each.recent_count for each in overview.patterns):
        return "risk_s_patterns", "warn"
    if overview.waiting.open_count:
        return "risk_s_open", "warn"
    return ("risk_s_well", "good") if total else ("risk_s_nothing", "quiet")
