"""``/ops/costs``: what channels cost against what they earn and how well they approve."""

from datetime import timedelta

from fastapi import Response
from markupsafe import Markup

from tongbao.clearing.schema.statements import ProfitLine
from tongbao.parties.schema import OperatorPermission
from tongbao.routing.schema.health import Dimension, HealthScope, Period, RateRow
from tongbao.web.ops.rendering_desk import Desk, Pages, Shown
from tongbao.web.ui import charts_bars
from tongbao.web.ui.figure import Axis, Figure
from tongbao.web.ui.tables import Column, Row, Table

PATH = "/ops/costs"
SPANS = {"7": 7, "30": 30, "90": 90}
SPAN = "30"
BARS_MAX = 10


def add(pages: Pages) -> None:
    """Add the page."""
    pages.get(PATH, _page, OperatorPermission.OPERATIONS_READ, moded=True)


async def _page(desk: Desk) -> Response:
    span = desk.chosen("days", SPANS, SPAN)
    now = desk.house.runtime.clock.now()
    today = now.date()
    first = today - timedelta(days=SPANS[span] - 1)
    lines = await desk.house.clearing.profits.report(
        first, today + timedelta(days=1), zone="UTC", live=desk.live, by=("channel",)
    )
    end = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    rates = await desk.house.routing.health.rates(
        HealthScope(live=desk.live), Period(end - timedelta(days=SPANS[span]), end), (Dimension.CHANNEL,)
    )
    by_channel = {each.segment[Dimension.CHANNEL]: each for each in rates}
    shown = _table(desk)
    query = desk.query(shown)
    ordered = sorted(lines, key=lambda each: -each.volume_minor)
    if desk.wants_csv:
        return desk.csv(shown, query, [_plain(each, by_channel, desk) for each in ordered])
    rows = [Row(_cells(each, by_channel, desk)) for each in ordered]
    view = desk.table(query, shown, rows, PATH, empty=str(desk.t("costs_none")))
    context = {
        "view": view,
        "title": desk.t("costs"),
        "line": desk.t("costs_line", first=first, last=today),
        "spans": [(each, desk.t("last_days", n=each), desk.to(PATH, days=each)) for each in SPANS],
        "span": span,
        "cost": _figure(ordered, desk, "f_cost"),
        "success": _success(rates, desk),
    }
    return desk.page(Shown("costs.html", "costs", context))


def _table(desk: Desk) -> Table:
    t = desk.t
    return Table(
        "costs",
        str(t("costs")),
        (
            Column("channel", str(t("c_channel")), fixed=True),
            Column("volume", str(t("c_volume")), number=True),
            Column("count", str(t("c_count")), number=True),
            Column("cost", str(t("c_cost")), number=True),
            Column("rate", str(t("c_cost_rate")), number=True),
            Column("fees", str(t("c_fees")), number=True),
            Column("margin", str(t("c_margin")), number=True),
            Column("approval", str(t("c_approval")), number=True),
            Column("currency", str(t("c_currency")), shown=False),
        ),
    )


def _cells(line: ProfitLine, rates: dict[str, RateRow], desk: Desk) -> dict[str, str | Markup]:
    plain = _plain(line, rates, desk)
    return {**plain, "channel": Markup("<bdi>{}</bdi>").format(plain["channel"])}


def _plain(line: ProfitLine, rates: dict[str, RateRow], desk: Desk) -> dict[str, str]:
    ui, currency = desk.ui, line.key.currency
    rate = rates.get(line.key.channel)
    return {
        "channel": line.key.channel or str(desk.t("channel_none")),
        "volume": ui.money(line.volume_minor, currency),
        "count": ui.count(line.count),
        "cost": ui.money(line.cost_minor, currency),
        "rate": ui.percent(line.cost_minor / line.volume_minor, 2) if line.volume_minor else "—",
        "fees": ui.money(line.fees_minor, currency),
        "margin": ui.money(line.margin_minor, currency, sign=True),
        "approval": ui.percent(rate.approval.value) if rate and rate.approval else "—",
        "currency": currency,
    }


def _figure(lines: list[ProfitLine], desk: Desk, key: str) -> Figure | None:
    """Return the cost of each channel in hundredths of its volume; None where there is none."""
    items = [
        (
            f"{each.key.channel or desk.t('channel_none')} · {each.key.currency}",
            each.cost_minor / each.volume_minor,
        )
        for each in lines
        if each.volume_minor
    ][:BARS_MAX]
    if not items:
        return None
    axis = Axis(str(desk.t(key)), str(desk.t("c_channel")), lambda share: desk.ui.percent(share, 2))
    return charts_bars.bars(items, axis, str(desk.t("c_cost_rate")))


def _success(rates: list[RateRow], desk: Desk) -> Figure | None:
    """Return the approval of each channel beside that of all; None where nothing was judged."""
    items = [(each.segment[Dimension.CHANNEL], each.approval.value) for each in rates if each.approval][
        :BARS_MAX
    ]
    if not items:
        return None
    judged = sum(each.counts.judged for each in rates)
    mean = sum(each.counts.approved for each in rates) / judged
    axis = Axis(str(desk.t("f_success")), str(desk.t("c_channel")), desk.ui.percent, high=1.0)
    return charts_bars.dots(items, mean, axis, (str(desk.t("c_approval")), str(desk.t("mean_of_all"))))
