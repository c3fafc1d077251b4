"""Sources and their files as they are read: who sends what, what came when, which days are missing. Pure."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from markupsafe import Markup

from tongbao.clearing.schema.lines import FILE_PREFIX, FileState, SourceFile, SourceTerms
from tongbao.core.ids import uuid_text
from tongbao.web.ops.money_desk import Desk
from tongbao.web.ui.charts_grids import Span, state_timeline
from tongbao.web.ui.figure import Axis, Figure
from tongbao.web.ui.tables import Column, Filter, Row, Table

PATH = "/ops/sources"
COVER_DAYS = 21
REFUSALS_SHOWN = 100
SIZES = (("GB", 10**9), ("MB", 10**6), ("kB", 10**3))


def reference(file: SourceFile) -> str:
    """Return a file's id as people see it."""
    return uuid_text(FILE_PREFIX, file.id)


def table(desk: Desk, sources: Sequence[str]) -> Table:
    """Return what the list of files is."""
    t = desk.t
    return Table(
        "files",
        str(t("files")),
        (
            Column("name", str(t("c_file")), fixed=True),
            Column("source", str(t("c_source"))),
            Column("state", str(t("c_state"))),
            Column("days", str(t("c_days"))),
            Column("lines", str(t("c_lines")), number=True),
            Column("refused", str(t("c_refused")), number=True),
            Column("repeated", str(t("c_repeated")), number=True, shown=False),
            Column("size", str(t("c_size")), number=True),
            Column("at", str(t("c_received"))),
            Column("by", str(t("c_by")), shown=False),
        ),
        (Filter("source", str(t("c_source")), tuple((each, each) for each in sources)),),
    )


def rows(files: Sequence[SourceFile], desk: Desk) -> list[Row]:
    """Return files as rows; the name leads to the file."""
    found = []
    for file in files:
        plain = plain_row(file, desk)
        cells: dict[str, str | Markup] = dict(plain)
        name = Markup("<bdi>{}</bdi>").format(file.name)
        cells["name"] = desk.link(f"{PATH}/files/{reference(file)}", name)
        cells["state"] = desk.tag("file", file.state.value)
        if file.problems and file.state is FileState.READ:
            cells["state"] += Markup(" ") + Markup('<span class="tag warn">{}</span>').format(
                desk.t("has_problems")
            )
        cells["source"] = Markup("<bdi>{}</bdi>").format(file.header.source)
        cells["by"] = desk.who(file.received_by)
        if file.refused_count:
            cells["refused"] = Markup('<span class="tag error">{}</span>').format(plain["refused"])
        found.append(Row(cells))
    return found


def plain_row(file: SourceFile, desk: Desk) -> dict[str, str]:
    """Return a file as a row of a table that is exported."""
    return {
        "name": file.name,
        "source": file.header.source,
        "state": str(desk.t(f"file_{file.state}")),
        "days": days(file),
        "lines": desk.ui.count(file.line_count),
        "refused": desk.ui.count(file.refused_count),
        "repeated": desk.ui.count(file.repeated_count),
        "size": size(file.size_bytes),
        "at": desk.ui.when(file.received_at, "minute"),
        "by": str(desk.who(file.received_by).striptags()),
    }


def days(file: SourceFile) -> str:
    """Return which days a file is of."""
    first, last = file.header.from_on, file.header.until_on
    if first is None or last is None:
        return ""
    return str(first) if first == last else f"{first} – {last}"


def size(count: int) -> str:
    """Return a number of bytes in few characters."""
    for unit, number in SIZES:
        if count >= number:
            return f"{count / number:.1f}\u00a0{unit}"
    return f"{count}\u00a0B"


def cover(
    sources: Mapping[str, SourceTerms], files: Sequence[SourceFile], today: date, desk: Desk
) -> Figure | None:
    """Return of which of the last days there is a file, by source that sends one daily; None where nobody does."""
    first = today - timedelta(days=COVER_DAYS)
    named = sorted(name for name, terms in sources.items() if terms.is_daily)
    if not named:
        return None
    tracks = []
    for name in named:
        mine = [file for file in files if file.header.source == name and file.state is FileState.READ]
        there = [any(_covers(file, first + timedelta(days=n)) for file in mine) for n in range(COVER_DAYS)]
        tracks.append((name, _spans(there)))
    states = {"in": ("ok", str(desk.t("day_in"))), "none": ("warn", str(desk.t("day_none")))}
    axis = Axis(str(desk.t("cover_caption")), str(desk.t("c_source")), desk.ui.percent)
    words = (str(desk.t("c_state")), str(desk.t("c_share")), str(desk.t("c_stretches")))
    return state_timeline(tracks, states, (str(first), str(today - timedelta(days=1))), axis, words)


def problems(file: SourceFile, desk: Desk) -> list[Markup]:
    """Return what is wrong with a file, in words."""
    return [
        desk.t(f"problem_{code}") if code in PROBLEMS else desk.t("problem_other", code=code)
        for code in file.problems
    ]


PROBLEMS = frozenset(
    {
        *("file_truncated", "lines_refused", "count_differs", "total_differs", "account_differs"),
        *("statement_repeated", "balances_differ", "file_unreadable", "format_unknown", "file_too_long"),
    }
)


def facts(file: SourceFile, desk: Desk) -> list[tuple[Markup, object]]:
    """Return what a file says of itself."""
    header, ui, t = file.header, desk.ui, desk.t
    found: list[tuple[Markup, object]] = [
        (t("c_source"), desk.link(f"{PATH}?source={header.source}", header.source)),
        (t("c_format"), header.format.value),
        (t("c_days"), days(file) or "—"),
        (t("c_size"), size(file.size_bytes)),
        (t("c_lines"), ui.count(file.line_count)),
        (t("c_repeated"), ui.count(file.repeated_count)),
        (t("c_refused"), ui.count(file.refused_count)),
        (t("c_received"), ui.when(file.received_at, "instant")),
        (t("c_by"), desk.who(file.received_by)),
    ]
    if header.sequence is not None:
        found.append((t("c_sequence"), header.sequence))
    for key, balance in (("c_opening", header.opening), ("c_closing", header.closing)):
        if balance is not None:
            found.append((t(key), f"{ui.money(balance.amount_minor, balance.currency)} · {balance.on}"))
    if header.declared_count is not None:
        found.append((t("c_declared"), ui.count(header.declared_count)))
    return found


def _covers(file: SourceFile, on: date) -> bool:
    first, last = file.header.from_on, file.header.until_on
    return first is not None and last is not None and first <= on <= last


def _spans(there: Sequence[bool]) -> list[Span]:
    """Return equal days side by side as one stretch."""
    spans: list[Span] = []
    for place, is_in in enumerate(there):
        state = "in" if is_in else "none"
        start, end = place / len(there), (place + 1) / len(there)
        if spans and spans[-1].state == state:
            spans[-1] = Span(spans[-1].start, end, state)
        else:
            spans.append(Span(start, end, state))
    return spans
