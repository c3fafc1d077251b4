"""What the pages around money and books reach, how they are answered, and how an act of theirs is done.

A page asks its visitor in, reads, and answers with ``Desk.page``. An act reads the form (``Desk.form`` checks where it came
from and its token), calls one service, and leads back to the page that shows what came of it (``said``); what could not be done
is told at the head of the same page, with what was typed still in its place.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse
from markupsafe import Markup

from tongbao.core.errors import AppError, InvariantBroken, NotFound
from tongbao.core.ids import int_text, parse_int, parse_uuid, uuid_text
from tongbao.ledger.schema import BOOK_PREFIX
from tongbao.parties.schema import PERSON_PREFIX, OperatorPermission
from tongbao.parties.service.access import operator_of_job, require_operator, roles_with
from tongbao.web import errors, pages, wording
from tongbao.web.house import House
from tongbao.web.locale import ledger, ops_money
from tongbao.web.ops.entering import PERSON, Entrance, names_of
from tongbao.web.page_route import page_route
from tongbao.web.signing import frames
from tongbao.web.signing.guarding import Guards, OperatorVisitor
from tongbao.web.signing.refusing import error_page
from tongbao.web.signing.rooms import guards_of
from tongbao.web.ui import saved_views, tables
from tongbao.web.ui.kit import Kit
from tongbao.web.ui.table_views import TableView
from tongbao.web.ui.tables import Query, Row, Table

ROWS = 25
BYTES_MAX = 200_000
"""A form may hold a price list."""
O = OperatorPermission  # noqa: E741  # one letter, as in the matrix of roles
NEAR = {
    "recon": (("breaks", "/ops/breaks"), ("matched", "/ops/matched"), ("sources", "/ops/sources")),
    "out": (
        ("batches", "/ops/batches"),
        ("payouts", "/ops/payouts"),
        ("destinations", "/ops/payouts/accounts"),
        ("fees", "/ops/fees"),
    ),
    "days": (("days", "/ops/days"), ("profits", "/ops/days/profits"), ("holidays", "/ops/holidays")),
}
"""Pages that stand beside each other."""
MODES = {"live": True, "test": False}
PageRoute = page_route(error_page)
"""The kind of route of every page here: what goes wrong is told by a page."""


class Money:
    """What the pages reach: the house, who may come in, and the merchants by their books."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.clearing = house.clearing
        self.guards: Guards = guards_of(house)
        self._entrance = Entrance(house)
        self._reader = operator_of_job("console", frozenset({O.MERCHANTS_READ, O.STAFF_READ}))

    async def desk(self, request: Request, permission: OperatorPermission = O.BOOKS_READ) -> "Desk":
        """Let a visitor in who may look; raises as ``Guards.operator`` does."""
        visitor = await self._entrance.of(O.BOOKS_READ)(request)
        if permission is not O.BOOKS_READ:
            require_operator(visitor.operator, permission)
        return Desk(self, request, visitor)

    def now(self) -> datetime:
        """Return the instant it is now."""
        return self.house.runtime.clock.now()

    async def colleagues(self, permission: OperatorPermission) -> list[tuple[str, str]]:
        """Return who of the house may do something: how trails name them, and their names in order."""
        allowed = set(roles_with(permission))
        found = [
            (f"{PERSON}{uuid_text(PERSON_PREFIX, each.person.person_id)}", each.person.name)
            for each in await self.house.parties.people.staff(self._reader)
            if each.person.disabled_at is None and allowed.intersection(each.roles)
        ]
        return sorted(found, key=lambda each: each[1])

    async def merchants(self, books: Iterable[int | None]) -> dict[int, str]:
        """Return the names of the merchants whose books these are; a book of nobody has none."""
        found: dict[int, str] = {}
        for book_id in dict.fromkeys(each for each in books if each):
            try:
                merchant = await self.house.parties.merchants.of_book(self._reader, book_id)
            except NotFound:
                continue
            found[book_id] = merchant.display_name or merchant.name
        return found


class Shown(NamedTuple):
    """A page: its template under ``ops/``, the place that is marked, what it shows, its status."""

    template: str
    place: str
    context: Mapping[str, object]
    status: int = 200


@dataclass(frozen=True)
class Failed:
    """An act that was not done: what was typed, why not, and with which status that is told."""

    problem: Markup
    status: int
    fields: Mapping[str, str] = field(default_factory=dict)


Act = Callable[[Mapping[str, str]], Awaitable[str]]
"""Does what a form asks for; gives the address to go to."""
Again = Callable[[Failed], Awaitable[Response]]
"""Answers the page of a form once more."""


@dataclass(frozen=True)
class Desk:
    """One visitor at one request."""

    money: Money
    request: Request
    visitor: OperatorVisitor

    @cached_property
    def language(self) -> str:
        """The reader's language."""
        return pages.preferences(self.request).language

    @cached_property
    def ui(self) -> Kit:
        """The reader's kit, which knows what time it is."""
        return Kit(self.language, self.money.now())

    @property
    def actor(self) -> str:
        """Who acts, as trails name them."""
        return self.visitor.actor

    def t(self, key: str, **values: object) -> Markup:
        """Return a text by its key."""
        return text(self.language, key, **values)

    def plural(self, key: str, number: int, **values: object) -> Markup:
        """Return a text of which there is one for a single thing (``<key>_one``); ``n`` is filled in."""
        one = number == 1 and f"{key}_one" in ops_money.TEXTS
        return self.t(f"{key}_one" if one else key, n=self.ui.count(number), **values)

    def words(self, by_language: Mapping[str, str]) -> str:
        """Return one of the texts that a room gives by language."""
        return by_language.get(self.language) or by_language.get("zh" if self.language != "en" else "en", "")

    def may(self, permission: str) -> bool:
        """Return whether the visitor holds a permission by its value; for templates."""
        return self.visitor.may(OperatorPermission(permission))

    def who(self, actor: str | None) -> Markup:
        """Return somebody whom a trail names, by name; a program is the house by itself, a merchant's person theirs."""
        if not actor:
            return Markup()
        name = names_of(self.request).get(actor)
        if name is not None:
            return Markup("<bdi>{}</bdi>").format(name)
        if actor.startswith(f"{BOOK_PREFIX}_"):
            return self.t("merchants_person")
        if actor.startswith("job:") or ":" not in actor:
            return self.t("by_itself")
        return self.t("former_person")

    def is_mine(self, actor: str | None) -> bool:
        """Return whether a trail names the visitor."""
        return bool(actor) and actor == self.actor

    def tag(self, group: str, value: str) -> Markup:
        """Return a state as the kit's tag: its word is ``<group>_<value>``, its tone stands in the catalogue."""
        tone = ops_money.TONES.get(f"{group}_{value}", "plain")
        return Markup('<span class="tag {}">{}</span>').format(tone, self.t(f"{group}_{value}"))

    def mode(self, live: bool) -> Markup:
        """Return a mark beside what is of tests; nothing beside real money."""
        return Markup() if live else Markup(' <span class="tag warn">{}</span>').format(self.t("test_mode"))

    def book(self, book_id: int | None, names: Mapping[int, str]) -> Markup:
        """Return a merchant by name, with the way to its book's pages of payouts."""
        if book_id is None:
            return Markup()
        return Markup("<bdi>{}</bdi>").format(names.get(book_id) or int_text(BOOK_PREFIX, book_id))

    def link(self, address: str, words: object) -> Markup:
        """Return a way to somewhere."""
        return Markup('<a href="{}">{}</a>').format(address, words)

    def page(self, shown: Shown, failed: Failed | None = None) -> Response:
        """Answer a page; ``?said=`` of an act that was done is told at its head, and what was not done as well."""
        said = f"said_{self.request.query_params.get('said', '')}"
        flash = (self.t(said), "ok") if said in ops_money.TEXTS and failed is None else None
        if failed is not None:
            flash = (failed.problem, "error")
        frame = {
            "t": self.t,
            "ui": self.ui,
            "desk": self,
            "flash": flash,
            "typed": failed.fields if failed is not None else {},
        }
        status = shown.status if failed is None else failed.status
        page = frames.Page(f"ops/{shown.template}", shown.place, frame | dict(shown.context), status)
        return frames.operator(self.request, self.visitor, page)

    async def form(self) -> dict[str, str]:
        """Return the fields of the form that was sent; see ``Guards.form`` for what it raises."""
        return await self.money.guards.form(self.request, self.visitor, BYTES_MAX)

    async def act(self, do: Act, again: Again) -> Response:
        """Do what a form asks for and lead on, or answer its page again with why it was not done."""
        fields = await self.form()
        try:
            address = await do(fields)
        except AppError as error:
            return await again(self.failed(error, fields))
        return RedirectResponse(address, 303, {"Cache-Control": "no-store"})

    def failed(self, error: AppError, fields: Mapping[str, str]) -> Failed:
        """Return an act that was not done; raise what is a fault of ours, and what there is not."""
        if isinstance(error, InvariantBroken | NotFound):
            raise error
        key = f"p_{error.code}"
        # What a room says of a list of prices names the place of the fault, which no catalogue can.
        problem = self.t(key) if key in ops_money.TEXTS else self.t("p_other", code=error.code)
        if error.code in ops_money.DETAILED:
            problem = Markup("{} <span lang='en'>{}</span>").format(problem, error.detail)
        return Failed(problem, errors.answer(error).status, fields)

    def near(self, group: str) -> list[tuple[str, str, str]]:
        """Return the pages that belong together with this one: key, words and address."""
        return [(key, str(self.t(f"near_{key}")), address) for key, address in NEAR[group]]

    def query(self, table: Table) -> Query:
        """Return what this request asks of a table."""
        return tables.read(table, self.request.query_params)

    def table(
        self,
        query: Query,
        table: Table,
        rows: Sequence[Row],
        after: str = "",
        empty: str = "",
        page: Sequence[tuple[str, str]] = (),
    ) -> TableView:
        """Return a table ready to be drawn, with views and export."""
        saved = saved_views.of(self.request, table.name)
        path = self.request.url.path
        return TableView(
            table, query, rows, path, after, page, saved=saved, export=True, saving=True, empty_line=empty
        )

    @property
    def wants_csv(self) -> bool:
        """Whether rows are asked for as CSV."""
        return self.request.query_params.get("format") == "csv"

    def csv(self, name: str, table: Table, rows: Sequence[Mapping[str, str]]) -> Response:
        """Answer rows as a file, in all columns."""
        every = Query(tuple(column.key for column in table.columns))
        named = {"Content-Disposition": f'attachment; filename="{name}.csv"', "Cache-Control": "no-store"}
        body = tables.csv_text(table, every, rows)
        return PlainTextResponse(body, media_type="text/csv; charset=utf-8", headers=named)

    def choice(self, name: str, known: Sequence[str], otherwise: str) -> str:
        """Return a parameter of the address that is one of ``known``."""
        found = self.request.query_params.get(name, "")
        return found if found in known else otherwise

    def tabs(self, group: str, path: str, keys: Sequence[str], name: str) -> list[tuple[str, ...]]:
        """Return the tabs of a page: key, words and address; the words are ``<group>_<key>``."""
        return [(key, str(self.t(f"{group}_{key}")), f"{path}?{urlencode({name: key})}") for key in keys]


def text(language: str, key: str, **values: object) -> Markup:
    """Return a text of these pages by its key, with values escaped into it; raise KeyError for an unknown one."""
    return wording.text(language, (ops_money.TEXTS, ledger.TEXTS), key, values)


def path_id(prefix: str, reference: str) -> UUID:
    """Return the id that an address names; raise NotFound ``resource_missing`` for what is none."""
    try:
        return parse_uuid(prefix, reference)
    except ValueError:
        raise NotFound("resource_missing", "nothing here has this id") from None


def path_book(reference: str) -> int:
    """Return the book that an address names; raise NotFound ``resource_missing`` for what is none."""
    try:
        return parse_int(BOOK_PREFIX, reference)
    except ValueError:
        raise NotFound("resource_missing", "nothing here has this id") from None


def book_text(book_id: int) -> str:
    """Return a book as addresses name it."""
    return int_text(BOOK_PREFIX, book_id)


def version_of(fields: Mapping[str, str]) -> int | None:
    """Return the version of a thing that a form was made from; None where it does not say so."""
    found = fields.get("version", "")
    return int(found) if found.isascii() and found.isdigit() and len(found) < 10 else None


def said(path: str, key: str) -> str:
    """Return the address that shows what came of an act."""
    return f"{path}?{urlencode({'said': key})}"
