"""``/ops/today``: money in now, approval, what waits, what is wrong, and where to go. Its parts are live."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from fastapi import Response

from tongbao.clearing.schema.days import AgeLine
from tongbao.parties.schema import OperatorPermission
from tongbao.routing.schema.health import Cell
from tongbao.routing.schema.payments import Mark
from tongbao.web.ops import alerts
from tongbao.web.ops.health_reading import MONEY_BACK, Reading
from tongbao.web.ops.rendering_desk import Desk, Pages, Shown, texts
from tongbao.web.ui import charts_bars, charts_lines
from tongbao.web.ui.figure import Axis, Figure, Series
from tongbao.web.ui.kit import Kit
from tongbao.web.wording import Say

MINUTES = int(MONEY_BACK / timedelta(minutes=1))
RECENT_MINUTES = 15
ALERTS_SHOWN = 5
KINDS_SHOWN = 6
AGES = ("age_today", "age_3", "age_7", "age_30", "age_more")
O = OperatorPermission  # noqa: E741  # one letter keeps the list readable
DOORS: tuple[tuple[str, str, OperatorPermission], ...] = (
    ("go_cases", "/ops/risk/cases", O.CASES_READ),
    ("go_routing", "/ops/routing", O.OPERATIONS_READ),
    ("go_payments", "/ops/payments", O.OPERATIONS_READ),
    ("go_breaks", "/ops/breaks", O.BOOKS_READ),
    ("go_payouts", "/ops/payouts", O.BOOKS_READ),
    ("go_days", "/ops/days", O.BOOKS_READ),
    ("go_decisions", "/ops/decisions", O.OPERATIONS_READ),
    ("go_wall", "/ops/wall", O.OPERATIONS_READ),
)


class Flow(NamedTuple):
    """Money approved in the last hour in one currency, by minute, oldest first; minor units."""

    currency: str
    minor: tuple[int, ...]

    @property
    def per_minute_minor(self) -> int:
        """Return the mean of the last ``RECENT_MINUTES`` minutes that are over."""
        return round(sum(self.minor[-RECENT_MINUTES - 1 : -1]) / RECENT_MINUTES)


class Approval(NamedTuple):
    """Approved of judged attempts in two halves of the hour; None where none were judged."""

    now: float | None
    before: float | None
    judged_count: int


def add(pages: Pages) -> None:
    """Add the page."""
    pages.get("/ops/today", _page, OperatorPermission.OPERATIONS_READ, moded=True)


async def _page(desk: Desk) -> Response:
    reading = await desk.floor.readings.read(desk.live)
    doors = [(desk.t(key), desk.to(path)) for key, path, permission in DOORS if desk.visitor.may(permission)]
    return desk.page(Shown("today.html", "today", {"part": part(reading, desk.language), "ways": doors}))


def flows(cells: Sequence[Cell], at: datetime) -> list[Flow]:
    """Return the money of a reading by currency, the currency with most attempts first."""
    end = at.replace(second=0, microsecond=0)
    sums: dict[str, list[int]] = {}
    counts: dict[str, int] = {}
    for cell in cells:
        if cell.mark != Mark.APPROVED or cell.at is None:
            continue
        place = MINUTES - 1 - int((end - cell.at) / timedelta(minutes=1))
        if 0 <= place < MINUTES:
            sums.setdefault(cell.currency, [0] * MINUTES)[place] += cell.amount_minor
            counts[cell.currency] = counts.get(cell.currency, 0) + cell.count
    return [Flow(each, tuple(sums[each])) for each in sorted(sums, key=lambda each: (-counts[each], each))]


def approval(cells: Sequence[Cell], at: datetime) -> Approval:
    """Return the approval rate of the last half hour and of the one before it."""
    middle = at - MONEY_BACK / 2
    good, judged = [0, 0], [0, 0]
    for cell in cells:
        if cell.mark == Mark.NEUTRAL or cell.at is None:
            continue
        half = int(cell.at < middle)
        judged[half] += cell.count
        good[half] += cell.count if cell.mark == Mark.APPROVED else 0
    rates = [good[half] / judged[half] if judged[half] else None for half in (0, 1)]
    return Approval(rates[0], rates[1], sum(judged))


def part(reading: Reading, language: str) -> dict[str, object]:
    """Return what the live part of the page shows."""
    ui, t = Kit(language, reading.at), texts(language)
    money = flows(reading.money, reading.at)
    shown = alerts.views(reading, language)
    return {
        "t": t,
        "ui": ui,
        "kpis": _kpis(reading, money, ui, t),
        "money": _money_figure(money[0], reading.at, ui, t) if money else None,
        "others": [(each.currency, ui.money(each.per_minute_minor, each.currency)) for each in money[1:5]],
        "alerts": shown[:ALERTS_SHOWN],
        "alert_count": len(shown),
        "breaks": _breaks_figure(reading.breaks, ui, t),
        "standing": reading.board.standing,
        "notices": reading.board.notices[:5],
    }


def _kpis(reading: Reading, money: Sequence[Flow], ui: Kit, t: Say) -> list[tuple[object, ...]]:
    rate = approval(reading.money, reading.at)
    first = money[0] if money else None
    waiting, cases = reading.waiting, reading.cases
    open_breaks = sum(sum(each.counts) for each in reading.breaks)
    change = (
        ""
        if rate.now is None or rate.before is None
        else t("k_before", points=_points(rate.now - rate.before))
    )
    return [
        (
            t("k_money"),
            ui.money(first.per_minute_minor, first.currency) if first else "—",
            t("k_money_note") if first else t("k_money_none"),
            "",
            charts_lines.spark(first.minor) if first else "",
            "/ops/payments",
        ),
        (
            t("k_approval"),
            "—" if rate.now is None else ui.percent(rate.now),
            change or t("k_approval_note", n=ui.count(rate.judged_count)),
            "",
            "",
            "/ops/routing",
        ),
        (
            t("k_unresolved"),
            ui.count(waiting.count),
            t("k_unresolved_note", age=ui.when(waiting.oldest_at, "age"))
            if waiting.oldest_at
            else t("k_none_waits"),
            "warn" if waiting.count else "",
            "",
            "/ops/payments?state=unknown",
        ),
        (
            t("k_cases"),
            ui.count(cases.waiting_count),
            t("k_cases_note", n=cases.overdue_count) if cases.overdue_count else t("k_cases_well"),
            "error" if cases.overdue_count else "",
            "",
            "/ops/risk/cases",
        ),
        (t("k_breaks"), ui.count(open_breaks), t("k_breaks_note"), "", "", "/ops/breaks"),
    ]


def _points(change: float) -> str:
    return f"{change * 100:+.1f}".replace("-", "−")


def _money_figure(flow: Flow, at: datetime, ui: Kit, t: Say) -> Figure:
    end = at.replace(second=0, microsecond=0)
    clock = [(end - timedelta(minutes=MINUTES - 1 - place)).strftime("%H:%M") for place in range(MINUTES)]
    axis = Axis(str(t("f_money", currency=flow.currency)), str(t("f_minute")), _money_text(ui, flow.currency))
    return charts_lines.columns([Series(str(t("k_money")), flow.minor)], clock, axis)


def _money_text(ui: Kit, currency: str) -> Callable[[float], str]:
    return lambda minor: ui.money(round(minor), currency)


def _breaks_figure(lines: Sequence[AgeLine], ui: Kit, t: Say) -> Figure | None:
    """Return open breaks by kind and age, the most frequent kinds first; None where there are none."""
    sums: dict[str, list[int]] = {}
    for line in lines:
        of_kind = sums.setdefault(line.kind, [0] * len(AGES))
        for place, count in enumerate(line.counts):
            of_kind[place] += count
    kinds = sorted(sums, key=lambda kind: -sum(sums[kind]))[:KINDS_SHOWN]
    if not kinds:
        return None
    names = [str(t(key)) for key in AGES]
    axis = Axis(str(t("f_breaks")), str(t("f_kind")), ui.count)
    return charts_bars.stacked([(str(t(f"bk_{kind}")), sums[kind]) for kind in kinds], names, axis)
