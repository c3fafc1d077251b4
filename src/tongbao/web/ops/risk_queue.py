"""The cases: what to look at next, what one has, what waits for a second person, with colleagues, closed lately.

Each of these is a tab over the same table, whose whole state is its address. The queue stands in the order of its rank.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from fastapi import Request, Response
from fastapi.responses import PlainTextResponse
from markupsafe import Markup

from tongbao.core.errors import NotFound
from tongbao.parties.schema import OperatorPermission
from tongbao.risk.schema.cases import CaseFile, CaseScope, CaseState, Cause, Severity, parse_case
from tongbao.risk.service import case_showing, wording
from tongbao.risk.service.case_reading import PAGE_MAX, Wanted
from tongbao.web.ops import risk_cells as cells
from tongbao.web.ops.entering import names_of, visitor_of
from tongbao.web.ops.rendering import choice, query
from tongbao.web.ops.risk_desk import MODES, Desk, Failed, Shown, Typed, language_of, words_of
from tongbao.web.ops.risk_words import translator
from tongbao.web.ui import saved_views, tables
from tongbao.web.ui.kit import Kit
from tongbao.web.ui.table_views import TableView
from tongbao.web.ui.tables import Column, Filter, Query, Row, Table
from tongbao.web.wording import Say

PATH = "/ops/risk/cases"
CLOSED_SHOWN = 50
TABS = ("queue", "mine", "asked", "others", "closed")
TONES = {"low": "plain", "medium": "plain", "high": "warn", "critical": "error"}


class _Found(NamedTuple):
    """The cases of a tab with the minutes that each is expected to take; ``after`` is the cursor of the next page."""

    files: Sequence[tuple[CaseFile, float]]
    after: str = ""


class QueuePage:
    """Answers the page."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._reading = desk.house.risk.case_reading

    async def show(self, request: Request) -> Response:
        """Answer a tab of a mode; with ``format=csv`` its rows as a file."""
        return await self._page(request, await self._desk.mode(request), None)

    async def take_next(self, request: Request) -> Response:
        """Give the first case of the queue to whoever asks, and go to it."""
        mode = await self._desk.mode(request)

        async def take(typed: Typed) -> str:
            typed.require(OperatorPermission.CASES_DECIDE)
            case = await self._desk.house.risk.cases.take_next(typed.actor, CaseScope(live=MODES[mode]))
            if case is None:
                raise NotFound("queue_empty", "nobody waits")
            return f"{PATH}/{case.name}?said=taken"

        async def again(failed: Failed) -> Response:
            return await self._page(request, mode, failed)

        return await self._desk.act(await self._desk.read(request), take, again)

    async def _page(self, request: Request, mode: str, failed: Failed | None) -> Response:
        tab = choice(request, "tab", dict.fromkeys(TABS), TABS[0])
        language = language_of(request)
        say, scope = translator(language), CaseScope(live=MODES[mode])
        table = _table(say, tab, language)
        asked = tables.read(table, request.query_params)
        found = await self._found(scope, tab, visitor_of(request).actor, query(request, "after"))
        kept = [each for each in found.files if _fits(each[0], asked)]
        lines = _Lines(request, Kit(language, self._desk.clock.now()), say)
        if query(request, "format") == "csv":
            return _file(tables.csv_text(table, asked, [lines.plain(*each) for each in kept]))
        context = {
            "mode": mode,
            "tab": tab,
            "tabs": [(key, say(f"tab_{key}"), f"{PATH}?mode={mode}&tab={key}") for key in TABS],
            "asked": len(await self._reading.waiting(scope, visitor_of(request).actor)),
            "view": TableView(
                table,
                asked,
                [Row(lines.cells(*each)) for each in kept],
                PATH,
                found.after,
                page=(("mode", mode), ("tab", tab)),
                saved=saved_views.of(request, table.name),
                export=True,
                saving=True,
                empty_line=say(f"empty_{tab}"),
            ),
        }
        return self._desk.page(request, Shown("risk_cases.html", "cases", context, failed))

    async def _found(self, scope: CaseScope, tab: str, actor: str, after: str) -> _Found:
        reading = self._reading
        if tab == "queue":
            return _Found([(each.case, each.minutes) for each in await reading.queue(scope)])
        if tab == "asked":
            return _Found([(each, 0.0) for each in await reading.waiting(scope, actor)])
        if tab == "closed":
            files = await reading.page(Wanted(scope, CaseState.CLOSED), _cursor(after), CLOSED_SHOWN)
            more = files[-1].name if len(files) == CLOSED_SHOWN else ""
            return _Found([(each, 0.0) for each in files], more)
        owner = actor if tab == "mine" else None
        files = await reading.page(Wanted(scope, CaseState.ASSIGNED, owner), limit=PAGE_MAX)
        return _Found([(each, 0.0) for each in files if tab == "mine" or each.assignee != actor])


class _Lines:
    """Puts cases into the cells of the table."""

    def __init__(self, request: Request, ui: Kit, say: Say) -> None:
        self._names = names_of(request)
        self._ui = ui
        self._say = say

    def plain(self, case: CaseFile, minutes: float) -> dict[str, str]:
        """Return a case as text, for a file."""
        said = case_showing.case_words(case, self._ui.language)
        return {
            "who": said.who,
            "why": said.kind,
            "severity": said.severity,
            "held": said.held if said.held != "0" else "",
            "stake": said.at_stake,
            "payments": str(case.payment_count),
            "chance": self._ui.percent(case.chance_max),
            "minutes": f"{minutes:.0f}",
            "with": self._names.get(case.assignee or "", case.assignee or ""),
            "due": case.due_at.isoformat(),
            "outcome": said.disposition,
            "closed": "" if case.closed_at is None else case.closed_at.isoformat(),
        }

    def cells(self, case: CaseFile, minutes: float) -> dict[str, str | Markup]:
        """Return a case as cells."""
        own = self.plain(case, minutes)
        late = self._ui.now is not None and case.due_at < self._ui.now
        due = cells.due(self._ui, self._say, case.due_at)
        return {
            **own,
            "who": cells.link(f"{PATH}/{case.name}", own["who"]),
            "severity": cells.tag(own["severity"], TONES[case.severity]),
            "minutes": self._say("minutes", n=own["minutes"]),
            "with": cells.name(own["with"]),
            "due": cells.tag(due, "error") if late else due,
            "outcome": own["outcome"],
            "closed": "" if case.closed_at is None else cells.when(self._ui, case.closed_at, "age"),
        }


def _table(say: Say, tab: str, language: str) -> Table:
    """Return the columns of a tab: what is due while a case is open, what it came to once it is closed."""
    is_closed, is_queue = tab == "closed", tab == "queue"
    ends = (
        [Column("outcome", say("outcome")), Column("closed", say("at"))]
        if is_closed
        else [Column("minutes", say("expected_time"))] * is_queue + [Column("due", say("due"))]
    )
    columns = (
        Column("who", say("about"), fixed=True),
        Column("why", say("w_kind")),
        Column("severity", say("severity")),
        Column("held", say("held"), number=True),
        Column("stake", say("at_stake"), number=True),
        Column("payments", say("w_payments"), number=True, shown=False),
        Column("chance", say("w_chance"), number=True),
        *([] if is_queue else [Column("with", say("with"))]),
        *ends,
    )
    filters = (
        Filter("severity", say("severity"), _options(wording.SEVERITIES, Severity, language)),
        Filter("kind", say("w_kind"), _options(wording.CAUSES, Cause, language)),
    )
    return Table(f"cases-{tab}", say(f"tab_{tab}"), columns, () if is_closed else filters)


def _options(
    words: dict[Severity, tuple[str, str]] | dict[Cause, tuple[str, str]],
    known: type[Severity] | type[Cause],
    language: str,
) -> tuple[tuple[str, str], ...]:
    return tuple((each.value, words_of(words, each, language)) for each in known)


def _fits(case: CaseFile, asked: Query) -> bool:
    filters = asked.filters
    return (
        filters.get("severity", case.severity) == case.severity
        and filters.get("kind", case.kind) == case.kind
    )


def _cursor(after: str) -> UUID | None:
    try:
        return parse_case(after) if after else None
    except ValueError:
        return None


def _file(text: str) -> Response:
    named = {"Content-Disposition": 'attachment; filename="cases.csv"', "Cache-Control": "no-store"}
    return PlainTextResponse(text, media_type="text/csv; charset=utf-8", headers=named)
