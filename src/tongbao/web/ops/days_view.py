"""Days and profits as they are read: the list with the health of each, one as a checklist, what the house earned. Pure."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from markupsafe import Markup

from tongbao.clearing.schema.breaks import BreakKind
from tongbao.clearing.schema.days import Check, CheckState, Day, DayAct, DayReport, DayState
from tongbao.clearing.schema.statements import ProfitLine
from tongbao.clearing.service import break_words
from tongbao.web.ops.money_desk import Desk
from tongbao.web.ui.charts_bars import bars
from tongbao.web.ui.figure import Axis, Figure
from tongbao.web.ui.tables import Column, Filter, Row, Table

PATH = "/ops/days"
PROFITS = f"{PATH}/profits"
GOOD, FAIR = 90, 70
"""From these scores on a day is well, or fair."""
PARTS = ("files", "runs", "payments", "batches", "payouts", "books", "breaks")
POINTS = {"files": 15, "runs": 15, "payments": 10, "batches": 15, "payouts": 10, "books": 20, "breaks": 15}
"""What each part of a score counts at most, as the room says it."""
HELP = {
    "files_in": "/ops/sources",
    "files_read": "/ops/sources",
    "files_accepted": "/ops/sources",
    "runs_done": "/ops/sources",
    "movements_cut": "/ops/batches?state=cut",
    "batches_priced": "/ops/batches?state=cut",
    "batches_approved": "/ops/batches?state=priced",
    "payouts_known": "/ops/payouts?state=unresolved",
    "payouts_booked": "/ops/payouts?state=accepted",
    "trial_balance": "/ops/ledger",
    "house_law": "/ops/ledger",
    "ledger_proved": "/ops/ledger",
    "breaks_ended": "/ops/breaks",
    "write_offs_decided": "/ops/breaks?state=proposed",
}
"""Where each check is mended."""


def table(desk: Desk) -> Table:
    """Return what the list of days is."""
    t = desk.t
    return Table(
        "days",
        str(t("closes")),
        (
            Column("on", str(t("c_day")), fixed=True),
            Column("state", str(t("c_state"))),
            Column("score", str(t("c_score")), number=True),
            Column("matched", str(t("c_matched")), number=True),
            Column("closed", str(t("c_closed_by"))),
            Column("at", str(t("c_when"))),
            Column("note", str(t("note"))),
        ),
    )


def rows(days: Sequence[Day], desk: Desk) -> list[Row]:
    """Return days as rows; the day leads to its page."""
    return [Row(_cells(day, desk)) for day in days]


def plain_row(day: Day, desk: Desk) -> dict[str, str]:
    """Return a day as a row of a file."""
    report = day.report
    return {
        "on": str(day.on),
        "state": str(desk.t(f"day_{day.state}")),
        "score": str(report.score) if report else "",
        "matched": desk.ui.percent(report.matched_share) if report else "",
        "closed": str(desk.who(day.closed_by).striptags()),
        "at": desk.ui.when(day.closed_at, "minute") if day.closed_at else "",
        "note": day.note,
    }


def with_untouched(days: Sequence[Day], today: date, count: int, before: date | None) -> list[Day]:
    """Return the days that somebody touched with those of the last ``count`` that nobody did, newest first."""
    if before is not None:
        return list(days)
    known = {day.on for day in days}
    open_days = [
        Day(on=on, state=DayState.OPEN)
        for on in (today - timedelta(days=n) for n in range(1, count + 1))
        if on not in known
    ]
    return sorted([*days, *open_days], key=lambda day: day.on, reverse=True)


def state_tag(day: Day, desk: Desk) -> Markup:
    """Return the state of a day as a tag; one that a first person wants closed or opened waits for a second."""
    shown = desk.tag("day", day.state.value)
    if day.asked:
        shown += Markup(' <span class="tag review">{}</span>').format(desk.t("second_needed"))
    return shown


def score_tone(score: int) -> str:
    """Return how a score is colored; it always stands there as a number too."""
    return "ok" if score >= GOOD else "warn" if score >= FAIR else "error"


def checks(report: DayReport, desk: Desk) -> list[dict[str, object]]:
    """Return the checklist in words: what failed first, then what warns."""
    order = (CheckState.FAILED, CheckState.WARNED, CheckState.PASSED)
    found = sorted(report.checks, key=lambda each: order.index(each.state))
    return [
        {
            "title": desk.t(f"check_{each.code}"),
            "state": desk.tag("check", each.state.value),
            "line": _told(each, desk),
            "href": HELP.get(each.code, "") if each.state is not CheckState.PASSED else "",
        }
        for each in found
    ]


def parts(report: DayReport, desk: Desk) -> list[tuple[Markup, int, int]]:
    """Return the parts of a score: name, points, and points at most."""
    return [(desk.t(f"part_{name}"), report.score_parts.get(name, 0), POINTS[name]) for name in PARTS]


def balance(report: DayReport, desk: Desk) -> list[tuple[str, Markup]]:
    """Return the trial balance by asset: equal, or by how much debits and credits differ."""
    return [
        (
            asset,
            desk.tag("balance", "differs" if minor else "equal")
            + Markup(" {}").format(desk.ui.money(minor, asset) if minor else ""),
        )
        for asset, minor in report.trial_balance.items()
    ]


def breaks(report: DayReport, desk: Desk) -> list[tuple[str, ...]]:
    """Return the breaks that stand by kind, currency and age, with their amounts without signs."""
    words = break_words.kinds()
    return [
        (
            desk.words(words[BreakKind(line.kind)]),
            line.currency,
            *(desk.ui.count(count) if count else "–" for count in line.counts),
            desk.ui.money(sum(line.amounts_minor), line.currency) if line.currency else "—",
        )
        for line in report.breaks
    ]


def history(acts: Sequence[DayAct], desk: Desk) -> list[dict[str, object]]:
    """Return what was done about a day, newest first."""
    return [
        {
            "at": each.at,
            "title": desk.t(f"day_did_{each.act}"),
            "who": desk.who(each.actor),
            "line": each.note,
            "tone": {"closed": "ok", "reopened": "warn"}.get(each.act, "review"),
            "glyph": {"closed": "lock"}.get(each.act, "dot"),
        }
        for each in reversed(acts)
    ]


def profit_table(desk: Desk) -> Table:
    """Return what the profit report is asked by."""
    t = desk.t
    by = ("month_on", "book_id", "method", "channel")
    return Table(
        "profits",
        str(t("profits")),
        (
            Column("what", str(t("c_of")), fixed=True),
            Column("currency", str(t("c_currency"))),
            Column("count", str(t("c_payments")), number=True),
            Column("volume", str(t("c_volume")), number=True),
            Column("fees", str(t("c_fees")), number=True),
            Column("tax", str(t("c_tax")), number=True, shown=False),
            Column("cost", str(t("c_channel_cost")), number=True),
            Column("agent", str(t("c_agents")), number=True, shown=False),
            Column("lost", str(t("c_written_off")), number=True, shown=False),
            Column("margin", str(t("c_margin")), number=True),
            Column("share", str(t("c_margin_share")), number=True),
        ),
        (
            Filter("from", str(t("from_day")), kind="date"),
            Filter("to", str(t("to_day")), kind="date"),
            Filter("by", str(t("c_by_what")), tuple((each, str(t(f"by_{each}"))) for each in by)),
            Filter("mode", str(t("c_mode")), (("live", str(t("live_mode"))), ("test", str(t("test_mode"))))),
        ),
    )


def profit_rows(lines: Sequence[ProfitLine], by: str, names: Mapping[int, str], desk: Desk) -> list[Row]:
    """Return the lines of a profit report."""
    found = []
    for line in lines:
        money, code = desk.ui.money, line.key.currency
        share = line.margin_e6
        found.append(
            Row(
                {
                    "what": _of(line, by, names, desk),
                    "currency": code,
                    "count": desk.ui.count(line.count),
                    "volume": money(line.volume_minor, code),
                    "fees": money(line.fees_minor, code),
                    "tax": money(line.tax_minor, code),
                    "cost": money(line.cost_minor, code),
                    "agent": money(line.agent_minor, code),
                    "lost": money(line.write_offs_minor, code),
                    "margin": money(line.margin_minor, code),
                    "share": desk.ui.percent(share / 1_000_000, 2) if share is not None else "—",
                }
            )
        )
    return found


def profit_chart(lines: Sequence[ProfitLine], by: str, names: Mapping[int, str], desk: Desk) -> Figure | None:
    """Return the margins of the currency with most payments, the largest first, as bars."""
    counts: dict[str, int] = {}
    for line in lines:
        counts[line.key.currency] = counts.get(line.key.currency, 0) + line.count
    if not counts:
        return None
    currency = max(counts, key=lambda each: counts[each])
    mine = [line for line in lines if line.key.currency == currency]
    if by != "month_on":
        mine.sort(key=lambda line: -line.margin_minor)
    items = [(str(_of(line, by, names, desk).striptags()), float(line.margin_minor)) for line in mine[:12]]
    axis = Axis(
        str(desk.t("margin_caption", currency=currency)),
        str(desk.t("c_of")),
        lambda minor: desk.ui.money(int(minor), currency),
    )
    return bars(items, axis, str(desk.t("c_margin")))


def _of(line: ProfitLine, by: str, names: Mapping[int, str], desk: Desk) -> Markup:
    key = line.key
    if by == "month_on":
        return Markup("{}").format(f"{key.month_on:%Y-%m}")
    if by == "book_id":
        return desk.book(key.book_id, names) or desk.t("not_known")
    found = key.method if by == "method" else key.channel
    return Markup("<bdi>{}</bdi>").format(found) if found else desk.t("not_known")


def _cells(day: Day, desk: Desk) -> dict[str, str | Markup]:
    cells: dict[str, str | Markup] = dict(plain_row(day, desk))
    cells["on"] = desk.link(f"{PATH}/{day.on}", str(day.on))
    cells["state"] = state_tag(day, desk)
    if day.report is not None:
        tone = score_tone(day.report.score)
        cells["score"] = Markup('<span class="tag {}">{}</span>').format(tone, day.report.score)
    cells["closed"] = desk.who(day.closed_by)
    cells["note"] = Markup("<bdi>{}</bdi>").format(day.note) if day.note else ""
    return cells


def _told(check: Check, desk: Desk) -> str:
    """Return what a check found: names, or how many."""
    if check.state is CheckState.PASSED:
        return ""
    facts = check.facts
    if "names" in facts:
        return str(facts["names"])
    if "on" in facts:
        return str(facts["on"])
    return str(desk.t("found_n", n=facts.get("count", "")))
