"""The desk of the pages about money on its way out and about the workshop: their words, their currencies, their forms."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import urlencode

from fastapi import Request, Response
from markupsafe import Markup

from tongbao.clearing.service.house import ClearingHouse
from tongbao.core.db import Connection
from tongbao.core.errors import AppError, InvariantBroken
from tongbao.core.ids import uuid_text
from tongbao.parties.schema import PERSON_PREFIX, Permission
from tongbao.web import wording
from tongbao.web.locale import merchant, merchant_money, merchant_workshop
from tongbao.web.merchant.payments_view import named
from tongbao.web.merchant.portal import CATALOGUES as PORTAL_CATALOGUES
from tongbao.web.merchant.portal import PROBLEM_TEXT, Desk, Portal, Shown
from tongbao.web.ui.table_views import TableView
from tongbao.web.ui.tables import Query, Row, Table

Texts = Mapping[str, tuple[str, str]]
CATALOGUES: tuple[Texts, ...] = (merchant_money.TEXTS, merchant_workshop.TEXTS)
BATCHES_LOOKED_AT = 20


@dataclass(frozen=True)
class Office(Desk):
    """A visitor's desk with the words of settlements, payouts, papers, people and programs."""

    @property
    def clearing(self) -> ClearingHouse:
        """Where money is settled."""
        return self.portal.house.clearing

    def t(self, key: str, **values: object) -> Markup:
        """Return a text by its key."""
        return wording.text(self.language, (*CATALOGUES, *PORTAL_CATALOGUES), key, values)

    def known(self, key: str, otherwise: str) -> str | Markup:
        """Return the text of a key that a later version may not have; then ``otherwise``."""
        return self.t(key) if any(key in each for each in CATALOGUES) else otherwise

    def tag(self, key: str, tone: str) -> Markup:
        """Return a state as the kit's tag."""
        return Markup('<span class="tag {}">{}</span>').format(tone, self.t(key))

    def link(self, path: str, words: object) -> Markup:
        """Return a link to a page of this merchant."""
        return Markup('<a href="{}">{}</a>').format(self.to(path), words)

    def day(self, on: date) -> str:
        """Return a day as all pages write it."""
        return on.isoformat()

    def written(self, at: datetime, style: str = "minute") -> str:
        """Return an instant as all pages write it, in UTC."""
        return self.ui.when(at, style)

    def page(self, shown: Shown) -> Response:
        """Answer a page; what was done is told at its head in the words of this desk."""
        told = f"said_{self.request.query_params.get('said', '')}"
        is_known = any(told in each for each in CATALOGUES)
        context = {"flash": (self.t(told), "ok")} if is_known else {}
        return super().page(shown._replace(context=context | dict(shown.context)))

    def problem(self, error: AppError) -> Markup:
        """Return why an act was not done, in words; raise what is a fault of ours."""
        if isinstance(error, InvariantBroken):
            raise error
        key = f"{PROBLEM_TEXT}{error.code}"
        if any(key in each for each in CATALOGUES) or key in merchant.TEXTS:
            return self.t(key)
        return self.t("p_other", code=error.code)

    def listed(
        self,
        query: Query,
        table: Table,
        rows: Sequence[Row],
        path: str,
        *,
        after: str = "",
        empty: str = "",
        page: Mapping[str, str] | None = None,
        export: bool = False,
    ) -> TableView:
        """Return a table ready to be drawn; ``page`` are parameters of the page that its addresses keep."""
        kept = tuple((page or {}).items())
        return TableView(
            table, query, rows, self.to(path), after, page=kept, export=export, empty_line=str(self.t(empty))
        )

    async def once(
        self, act: str, fields: Mapping[str, str], work: Callable[[Connection], Awaitable[object]]
    ) -> bool:
        """Do what a form asks for once, in one transaction; return whether that was done now, not before."""
        requests, scope = self.portal.house.requests, self.visitor.scope
        _, is_replay = await requests.run(scope.book_id, self.ask(act, fields), work)
        return not is_replay

    async def currencies(self) -> list[str]:
        """Return the currencies in which the merchant has money with the house, its own first."""
        book_id = self.visitor.scope.book_id
        found = {each.currency for each in await self.clearing.destinations.page(book_id)}
        found |= {
            each.currency for each in await self.clearing.settling.page(book_id, limit=BATCHES_LOOKED_AT)
        }
        found |= {each.currency for each in await self.clearing.bills.coming(self.visitor.scope)}
        return [self.currency, *sorted(found - {self.currency})]

    def chosen(self, currencies: Sequence[str]) -> str:
        """Return the currency that the address asks for, the merchant's own where it asks for none of these."""
        asked = self.request.query_params.get("currency", "")
        return asked if asked in currencies else currencies[0]

    def currency_tabs(self, currencies: Sequence[str], path: str) -> list[tuple[str, str, str]]:
        """Return the tabs of a page that shows one currency at a time; none where there is only one."""
        if len(currencies) < 2:
            return []
        return [(each, each, f"{self.to(path)}?{urlencode({'currency': each})}") for each in currencies]

    def actor(self, actor: str, names: Mapping[str, str]) -> str | Markup:
        """Return who did something, as the merchant may know it: its own people by name, everybody else as the house."""
        if actor in names:
            return named(names[actor])
        if actor.startswith("person:"):
            return self.t("by_person")
        return self.t(
            "by_key" if actor.startswith("key:") else "by_nobody" if "job:" in actor else "by_house"
        )

    async def names(self) -> dict[str, str]:
        """Return the names of the merchant's people by how trails call them."""
        found = await self.portal.house.parties.people.members(self.visitor.scope)
        return {
            f"person:{uuid_text(PERSON_PREFIX, member.person.person_id)}": member.person.name
            for member in found
        }

    def moment(self, day: str, days: int = 0) -> datetime | None:
        """Return the beginning of a day, ``days`` later, in UTC as every instant of these pages; None for what is no day."""
        try:
            found = date.fromisoformat(day) + timedelta(days=days)
            return datetime.combine(found, time(), UTC)
        except (ValueError, OverflowError):
            return None

    @property
    def today(self) -> date:
        """The day that it is at the merchant's."""
        return self.portal.now().astimezone(self.zone).date()


async def enter(portal: Portal, request: Request, merchant: str, *permissions: Permission) -> Office:
    """Let a visitor in who holds the permissions; raises as ``Guards.at_merchant`` does."""
    visitor = await portal.guards.at_merchant(request, merchant, *permissions)
    return Office(portal, request, visitor)
