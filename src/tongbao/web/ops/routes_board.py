"""``/ops/routing``: every channel by method with its breaker, the way of attempts, what would be chosen for a payment now."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from fastapi import Response
from markupsafe import Markup

from tongbao.core.errors import AppError, InvalidRequest
from tongbao.parties.schema import OperatorPermission
from tongbao.routing.schema.health import Cell, Dimension, HealthScope, Period
from tongbao.routing.schema.notices import Notice, NoticeKind
from tongbao.routing.schema.payments import Mark
from tongbao.routing.service import explaining
from tongbao.routing.service.trying import Trying
from tongbao.web.api.callers import Caller
from tongbao.web.api.rule_models import Simulation, Supposed
from tongbao.web.api.supposing import Supposing
from tongbao.web.ops.board_view import COURSE, HALF_OPEN, OPEN, BoardView, ChannelRow, MethodRows
from tongbao.web.ops.rendering_desk import Desk, Pages, Shown
from tongbao.web.ui import charts_flows, charts_grids, charts_lines
from tongbao.web.ui.charts_flows import Flow
from tongbao.web.ui.charts_grids import Span
from tongbao.web.ui.figure import Axis, Figure
from tongbao.web.ui.forms import Form

PATH = "/ops/routing"
METHODS = ("card", "wallet", "alipay", "wechat_pay")
FLOWS_MAX = 40
NOTICES_READ = 100
TONES = {"good": "ok", "bad": "error", "warn": "warn", "quiet": "plain"}
NOTICE_TONES = {
    NoticeKind.OPENED: "error",
    NoticeKind.TOGETHER: "error",
    NoticeKind.CLOSED: "ok",
    NoticeKind.ACCEPTANCE_ROSE: "ok",
    NoticeKind.ACCEPTANCE_FELL: "warn",
}
MARK_TONES = {
    Mark.APPROVED: "ok",
    Mark.ISSUER_DECLINED: "warn",
    Mark.TECHNICAL: "error",
    Mark.UNRESOLVED: "review",
    Mark.NEUTRAL: "plain",
}
AMOUNT_MINOR_MAX = 10**12


def add(pages: Pages) -> None:
    """Add the page."""
    pages.get(PATH, _page, OperatorPermission.OPERATIONS_READ, moded=True)


async def _page(desk: Desk) -> Response:
    view = await desk.floor.boards.read(desk.live)
    now = desk.house.runtime.clock.now()
    end = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    by = (Dimension.METHOD, Dimension.CHANNEL, Dimension.MARK)
    cells = await desk.house.routing.health.cells(
        HealthScope(live=desk.live), Period(end - timedelta(days=1), end), by
    )
    told = await desk.house.routing.health.notices(live=desk.live, limit=NOTICES_READ)
    form, supposed, status = await _supposed(desk)
    context = {
        "view": view,
        "standing": (
            desk.t(view.standing.key, names=desk.t("comma").join(view.standing.names)),
            TONES[view.standing.tone],
        ),
        "rails": [(_method(each.method, desk), _rows(each, desk)) for each in view.methods],
        "kpis": _kpis(view, desk),
        "flows": _flows(cells, desk),
        "states": _states(view, told.items, now, desk),
        "notices": [_notice(each, desk) for each in view.notices],
        "idle": desk.t("comma").join(view.idle),
        "form": form,
        "supposed": supposed,
        "methods": [(each, desk.t(f"method_{each}")) for each in METHODS],
    }
    return desk.page(Shown("routing.html", "routing", context, status))


def _method(method: str, desk: Desk) -> str | Markup:
    return desk.word(f"method_{method}", method)


def _kpis(view: BoardView, desk: Desk) -> list[tuple[object, ...]]:
    ui, t, total = desk.ui, desk.t, view.totals
    return [
        (t("sum_payments"), ui.count(total.total), t("last_day")),
        (
            t("sum_approved"),
            ui.percent(total.approved / total.judged) if total.judged else "—",
            t("of_judged", good=ui.count(total.approved), count=ui.count(total.judged)),
        ),
        (t("sum_technical"), ui.percent(total.technical / total.total) if total.total else "—", t("of_all")),
        (t("sum_unresolved"), ui.count(total.unresolved), t("being_asked")),
    ]


def _rows(group: MethodRows, desk: Desk) -> list[tuple[str | Markup, ...]]:
    ui = desk.ui
    rows: list[tuple[str | Markup, ...]] = []
    for row in group.rows:
        course = [each for each in row.course if each is not None]
        rows.append(
            (
                Markup("<bdi>{}</bdi>").format(row.channel),
                _state(row, desk),
                Markup('{} <span class="mut">{}</span>').format(
                    ui.percent(row.approval.value),
                    desk.t("n_of_m", good=ui.count(row.counts.approved), count=ui.count(row.counts.judged)),
                )
                if row.approval
                else desk.t("unseen"),
                ui.percent(row.technical),
                Markup('{} <span class="mut">{} – {}</span>').format(
                    *(ui.percent(each) for each in (row.believed.value, row.believed.low, row.believed.high))
                ),
                ui.percent(row.share, 0) if row.share is not None else "—",
                Markup('<span class="inline-spark">{}</span> {}').format(
                    charts_lines.spark(course), ui.percent(course[-1])
                )
                if len(course) > 1
                else desk.t("course_none"),
            )
        )
    return rows


def _state(row: ChannelRow, desk: Desk) -> Markup:
    """Return how a channel stands: in traffic, tried again, out of it, since when, until when."""
    key, tone = (
        ("b_off", "plain")
        if not row.enabled
        else ("b_open", "error")
        if row.state == OPEN
        else ("b_half_open", "warn")
        if row.state == HALF_OPEN
        else ("b_closed", "ok")
    )
    notes = []
    if row.enabled and row.state in (OPEN, HALF_OPEN) and row.since is not None:
        notes.append(desk.t("b_since", at=desk.ui.when(row.since, "time")))
    if row.enabled and row.wait_s > 0:
        notes.append(desk.t("b_again", n=row.wait_s))
    return Markup('<span class="tag {}">{}</span>{}').format(
        tone,
        desk.t(key),
        Markup(' <span class="mut">{}</span>').format(Markup(" · ").join(notes)) if notes else "",
    )


def _notice(notice: Notice, desk: Desk) -> dict[str, object]:
    tone = NOTICE_TONES[notice.kind]
    return {
        "at": notice.at,
        "title": explaining.notice_text(notice, desk.short),
        "tone": tone,
        "glyph": {"ok": "check", "error": "alert", "warn": "alert"}[tone],
    }


def _flows(cells: Sequence[Cell], desk: Desk) -> Figure | None:
    """Return the way of the attempts of a day: from method over channel to how they ended; None without any."""
    into: dict[tuple[str, str], float] = {}
    out: dict[tuple[str, Mark], float] = {}
    for cell in sorted(cells, key=lambda each: -each.count)[: FLOWS_MAX * len(Mark)]:
        method = str(_method(cell.method, desk))
        into[method, cell.channel] = into.get((method, cell.channel), 0) + cell.count
        out[cell.channel, Mark(cell.mark)] = out.get((cell.channel, Mark(cell.mark)), 0) + cell.count
    if not into:
        return None
    # A channel may be called as a method is; its stage tells them apart.
    named = {
        channel: f"{channel} " if channel in {method for method, _ in into} else channel
        for _, channel in into
    }
    flows = [Flow(method, named[channel], value, "1") for (method, channel), value in into.items()]
    flows += [
        Flow(named[channel], str(desk.t(f"mark_{mark}")), value, MARK_TONES[mark])
        for (channel, mark), value in out.items()
    ]
    axis = Axis(str(desk.t("f_flows")), str(desk.t("f_from")), desk.ui.count)
    try:
        return charts_flows.sankey(flows, axis, (str(desk.t("f_to")), str(desk.t("sum_payments"))))
    except ValueError:
        # More channels than can be told apart in a drawing: the tables below hold them all.
        return None


def _states(view: BoardView, notices: Sequence[Notice], now: datetime, desk: Desk) -> Figure | None:
    """Return when each channel was in traffic over the last hours, by what was announced; None without channels."""
    begin = now - COURSE
    tracks = []
    for group in view.methods:
        for row in group.rows:
            changes = [
                each
                for each in reversed(notices)
                if each.channel == row.channel
                and each.method in ("", group.method)
                and not each.issuer
                and each.kind in (NoticeKind.OPENED, NoticeKind.CLOSED)
            ]
            tracks.append((f"{row.channel} · {_method(group.method, desk)}", _spans(changes, begin, now)))
    if not tracks:
        return None
    states = {"in": ("ok", str(desk.t("b_closed"))), "out": ("error", str(desk.t("b_open")))}
    ends = (desk.ui.when(begin, "time"), desk.ui.when(now, "time"))
    axis = Axis(str(desk.t("f_states")), str(desk.t("c_channel")), lambda share: desk.ui.percent(share, 0))
    words = (str(desk.t("c_state")), str(desk.t("f_share")), str(desk.t("f_times")))
    return charts_grids.state_timeline(tracks, states, ends, axis, words)


def _spans(changes: Sequence[Notice], begin: datetime, now: datetime) -> list[Span]:
    """Return the stretches between announcements, oldest first; before the first one it was as that ends it."""
    length = now - begin
    before = [each for each in changes if each.at <= begin]
    after = [each for each in changes if begin < each.at <= now]
    state = "in"
    if before:
        state = "out" if before[-1].kind is NoticeKind.OPENED else "in"
    elif after and after[0].kind is NoticeKind.CLOSED:
        state = "out"
    spans, at = [], 0.0
    for each in after:
        place = (each.at - begin) / length
        spans.append(Span(at, place, state))
        at, state = place, "out" if each.kind is NoticeKind.OPENED else "in"
    return [*spans, Span(at, 1.0, state)]


async def _supposed(desk: Desk) -> tuple[Form, dict[str, object] | None, int]:
    """Return the form of a payment that nobody makes, and what would be chosen for it where it was filled in."""
    params = dict(desk.request.query_params)
    form = Form({"currency": "CNY", "method": "card", "amount": "100.00", **params}, desk.ui)
    if "amount" not in params:
        return form, None, 200
    currency = form.text("currency", most=3, least=3).upper()
    amount = form.amount("amount", currency, least=1, most=AMOUNT_MINOR_MAX) if not form.errors else None
    method = form.choice("method", METHODS)
    issuer = form.text("issuer", most=40, required=False)
    if form.errors or amount is None:
        return form, None, 422
    try:
        asked = Supposed(amount_minor=amount, currency=currency, method=method, issuer=issuer)
        found = await _supposing(desk).simulate(Caller(desk.live, desk.visitor.actor), asked)
    except (AppError, ValueError) as error:
        wrong = (
            error
            if isinstance(error, AppError)
            else InvalidRequest("form_invalid", "no such payment can be made")
        )
        return form, {"problem": desk.t("su_none", detail=_objections(wrong))}, desk.wrong(wrong)
    return form, _told(found, currency, desk), 200


def _objections(error: AppError) -> str:
    """Return why no channel takes a payment: the codes by channel, where the error tells them."""
    told = error.facts.get("objections")
    return (
        ", ".join(f"{name}: {code}" for name, code in told.items())
        if isinstance(told, dict)
        else error.detail
    )


def _supposing(desk: Desk) -> Supposing:
    house = desk.house
    return Supposing(
        house.payments.channels,
        house.parties.merchants,
        Trying(house.routing.router),
        house.runtime.clock,
        house.runtime.ledger.ids,
    )


def _told(found: Simulation, currency: str, desk: Desk) -> dict[str, object]:
    """Return what would be chosen, in words and as a table."""
    ui = desk.ui
    rows = []
    for each in sorted(found.candidates, key=lambda each: (each.name != found.chosen, -each.propensity)):
        cost, rate = each.facts.get("cost_minor"), each.facts.get("approval")
        excluded = each.excluded_words
        rows.append(
            (
                Markup("<bdi>{}</bdi>{}").format(
                    each.name,
                    Markup(' <span class="tag ok">{}</span>').format(desk.t("chosen"))
                    if each.name == found.chosen
                    else "",
                ),
                ui.percent(each.propensity) if each.excluded is None else "—",
                ui.percent(float(rate)) if isinstance(rate, int | float) else "—",
                ui.money(round(float(cost)), currency) if isinstance(cost, int | float) else "—",
                (excluded.zh if desk.short == "zh" else excluded.en) if excluded else "",
            )
        )
    why = "" if found.why is None else (found.why.zh if desk.short == "zh" else found.why.en)
    return {"why": why, "rows": rows, "fallbacks": desk.t("comma").join(found.fallbacks)}
