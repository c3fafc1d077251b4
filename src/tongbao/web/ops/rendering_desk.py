"""What the pages of operations, decisions and health reach, and how they are answered.

A page lets its visitor in, reads through services, and answers with ``Desk.page``. An act reads its form (``Desk.form`` checks
its token and where it came from), calls one service and leads back with what was done (``said``); what could not be done is
told at the head of the same page.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse
from markupsafe import Markup

from tongbao.core.errors import AppError, InvariantBroken
from tongbao.parties.schema import OperatorPermission
from tongbao.web import errors, pages, wording
from tongbao.web.house import House
from tongbao.web.locale import ops, ops_house, stories
from tongbao.web.ops import board_view
from tongbao.web.ops.entering import PERSON, Entrance, names_of
from tongbao.web.ops.health_reading import Readings
from tongbao.web.page_route import page_route
from tongbao.web.signing import frames
from tongbao.web.signing.guarding import OperatorVisitor
from tongbao.web.signing.refusing import error_page
from tongbao.web.signing.rooms import guards_of
from tongbao.web.stories.reader import Links, Reader
from tongbao.web.ui import saved_views, tables
from tongbao.web.ui.kit import Kit
from tongbao.web.ui.live import Hub
from tongbao.web.ui.table_views import TableView
from tongbao.web.ui.tables import Query, Row, Table
from tongbao.web.wording import Say

ROWS = 25
MODES = {"live": True, "test": False}
PROBLEM_TEXT = "p_"
ACTOR_TEXT = "who_"
PageRoute = page_route(error_page)
LINKS = Links(
    batch="/ops/batches/{id}", payout="/ops/payouts/{id}", transfer="/transfers/{id}", dispute="", refund=""
)
"""Where parts of a payment's story have pages of the house."""


@dataclass(frozen=True)
class Floor:
    """What every page here reaches. ``hub`` carries live parts; ``readings`` is how the house does."""

    house: House
    hub: Hub
    readings: Readings
    boards: board_view.Boards

    @cached_property
    def entrance(self) -> Entrance:
        """Who may come in."""
        return Entrance(self.house)


class Shown(NamedTuple):
    """A page: its template under ``ops/``, the place that is marked, what it shows, its status."""

    template: str
    place: str
    context: Mapping[str, object]
    status: int = 200


@dataclass(frozen=True)
class Desk:
    """One visitor at one request."""

    floor: Floor
    request: Request
    visitor: OperatorVisitor
    mode: str = ""
    problems: list[Markup] = field(default_factory=list)

    @property
    def house(self) -> House:
        """The house."""
        return self.floor.house

    @property
    def live(self) -> bool:
        """Whether live money is shown."""
        return MODES[self.mode]

    @cached_property
    def language(self) -> str:
        """The reader's language."""
        return pages.preferences(self.request).language

    @property
    def short(self) -> str:
        """The reader's language as routing and decisions name it."""
        return "zh" if self.language == "zh-CN" else "en"

    @cached_property
    def ui(self) -> Kit:
        """The reader's kit, which knows what time it is."""
        return Kit(self.language, self.house.runtime.clock.now())

    @cached_property
    def reader(self) -> Reader:
        """Whom stories are told to."""
        return Reader(self.language, for_house=True, links=LINKS)

    def t(self, key: str, **values: object) -> Markup:
        """Return a text by its key."""
        return text(self.language, key, **values)

    def who(self, actor: str) -> str | Markup:
        """Return an actor of a trail in words: a person's name, or what the program calls its own parts."""
        known = names_of(self.request).get(actor)
        if known is not None:
            return known
        if actor.startswith(PERSON):
            return self.t("who_left")
        key = f"{ACTOR_TEXT}{actor.partition(':')[0].replace(' ', '_')}"
        return self.t(key, name=actor.partition(":")[2]) if key in ops_house.TEXTS else actor

    def word(self, key: str, otherwise: str) -> str | Markup:
        """Return the text of a key that a later version may not have; then ``otherwise``."""
        return self.t(key) if known_text(key) else otherwise

    def to(self, path: str, **params: str) -> str:
        """Return an address that keeps the mode."""
        kept = {"mode": self.mode, **params} if self.mode else params
        return path + (f"?{urlencode(kept)}" if kept else "")

    def param(self, name: str, most: int = 200) -> str:
        """Return a parameter of the address, cut to a sane length and without what no text column can hold."""
        return self.request.query_params.get(name, "")[:most].replace("\0", "").strip()

    def chosen(self, name: str, known: Mapping[str, object] | Sequence[str], otherwise: str) -> str:
        """Return a parameter that is one of ``known``, or the usual one."""
        asked = self.param(name)
        return asked if asked in known else otherwise

    def may(self, permission: str) -> bool:
        """Return whether the visitor holds a permission by its value; for templates."""
        return self.visitor.may(OperatorPermission(permission))

    def page(self, shown: Shown) -> Response:
        """Answer a page; ``?said=`` of an act that was done is told at its head, before it what went wrong."""
        said = f"said_{self.param('said', 40)}"
        flash = (self.t(said), "ok") if said in ops_house.TEXTS else None
        if self.problems:
            flash = (self.problems[0], "error")
        frame = {
            "t": self.t,
            "ui": self.ui,
            "desk": self,
            "mode_shown": self.mode,
            "flash": flash,
            "who": self.who,
        }
        page = frames.Page(f"ops/{shown.template}", shown.place, frame | dict(shown.context), shown.status)
        return frames.operator(self.request, self.visitor, page)

    def done(self, path: str, said: str, **params: str) -> Response:
        """Answer an act that was done: to the page that shows what came of it."""
        return RedirectResponse(self.to(path, said=said, **params), 303, {"Cache-Control": "no-store"})

    async def form(self) -> dict[str, str]:
        """Return the fields of the form that was sent; see ``Guards.form`` for what it raises."""
        return await guards_of(self.house).form(self.request, self.visitor)

    def wrong(self, error: AppError) -> int:
        """Keep why an act was not done, to be told by the page; return its status. Raise what is a fault of ours."""
        if isinstance(error, InvariantBroken):
            raise error
        key = f"{PROBLEM_TEXT}{error.code}"
        told = (
            self.t(key) if key in ops_house.TEXTS else self.t("p_other", code=error.code, detail=error.detail)
        )
        self.problems.append(told)
        return errors.answer(error).status

    def query(self, table: Table) -> Query:
        """Return what this request asks of a table."""
        return tables.read(table, self.request.query_params)

    def table(
        self, query: Query, table: Table, rows: Sequence[Row], path: str, after: str = "", empty: str = ""
    ) -> TableView:
        """Return a table ready to be drawn, with views and export."""
        saved = saved_views.of(self.request, table.name)
        page = (("mode", self.mode),) if self.mode else ()
        return TableView(
            table, query, rows, path, after, page, saved, export=True, saving=True, empty_line=empty
        )

    @property
    def wants_csv(self) -> bool:
        """Whether rows are asked for as CSV."""
        return self.request.query_params.get("format") == "csv"

    def csv(self, table: Table, query: Query, rows: Sequence[Mapping[str, str]]) -> Response:
        """Answer rows as a file."""
        told = tables.csv_text(table, query, rows)
        named = {
            "Content-Disposition": f'attachment; filename="{table.name}.csv"',
            "Cache-Control": "no-store",
        }
        return PlainTextResponse(told, media_type="text/csv; charset=utf-8", headers=named)


Answer = Callable[[Desk], Awaitable[Response]]
CATALOGUES = (ops_house.TEXTS, ops.TEXTS, stories.TEXTS)
"""Gives a text by its key, with values escaped into it."""


class Pages:
    """Makes routes: each lets in who holds a permission, opens a desk for them and answers."""

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        self.routes = APIRouter(include_in_schema=False, route_class=PageRoute)

    def get(self, path: str, answer: Answer, permission: OperatorPermission, *, moded: bool = False) -> None:
        """Add a page; ``moded``: it shows live or test money."""
        self._add("GET", path, answer, permission, moded=moded)

    def post(self, path: str, answer: Answer, permission: OperatorPermission, *, moded: bool = False) -> None:
        """Add an act."""
        self._add("POST", path, answer, permission, moded=moded)

    def _add(
        self, method: str, path: str, answer: Answer, permission: OperatorPermission, *, moded: bool
    ) -> None:
        enter = self.floor.entrance.of(permission)

        async def endpoint(request: Request) -> Response:
            visitor = await enter(request)
            mode = await mode_of(self.floor, request) if moded else ""
            return await answer(Desk(self.floor, request, visitor, mode))

        methods = ["GET", "HEAD"] if method == "GET" else [method]
        self.routes.add_api_route(path, endpoint, methods=methods, response_model=None)


async def mode_of(floor: Floor, request: Request) -> str:
    """Return the mode that is asked for; otherwise live where there are live payments at all."""
    asked = request.query_params.get("mode", "")
    if asked in MODES:
        return asked
    return "live" if await floor.boards.busier_mode() else "test"


def known_text(key: str) -> bool:
    """Return whether there is a text for a key."""
    return any(key in each for each in CATALOGUES)


def text(language: str, key: str, **values: object) -> Markup:
    """Return a text of these pages by its key, with values escaped into it; raise KeyError for an unknown one."""
    return wording.text(language, CATALOGUES, key, values)


def texts(language: str) -> Say:
    """Return the function that gives texts in one language."""
    return wording.translator(language, *CATALOGUES)
