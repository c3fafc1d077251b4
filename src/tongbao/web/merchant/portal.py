"""What the pages of the portal reach, how they are answered, and how their forms are done once."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import cached_property
from typing import NamedTuple
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse
from markupsafe import Markup

from tongbao.core.errors import AppError, InvalidRequest, InvariantBroken, NotFound
from tongbao.core.ids import int_text, parse_uuid
from tongbao.core.requests.asks import Ask, Rendered, ask_digest
from tongbao.core.requests.running import kept_until
from tongbao.parties.schema import MERCHANT_PREFIX, Permission
from tongbao.payments.service.overviews import Overviews
from tongbao.payments.service.pay_codes import PayCodes
from tongbao.web import errors, pages, wording
from tongbao.web.api.pay_codes import open_pay_codes
from tongbao.web.house import House
from tongbao.web.locale import merchant, stories
from tongbao.web.page_route import page_route
from tongbao.web.signing import frames
from tongbao.web.signing.guarding import MODE_COOKIE, MODES, Guards, MerchantVisitor
from tongbao.web.signing.refusing import error_page
from tongbao.web.signing.rooms import guards_of
from tongbao.web.stories.payment_story import PaymentStories
from tongbao.web.stories.reader import Links, Reader
from tongbao.web.ui import saved_views, tables
from tongbao.web.ui.kit import Kit
from tongbao.web.ui.live import Hub
from tongbao.web.ui.table_views import TableView
from tongbao.web.ui.tables import Query, Row, Table

PREFIX = "/merchant/{merchant}"
ONCE_BYTES = 12
ONCE_CHARS = (8, 64)
CATALOGUES = (merchant.TEXTS, stories.TEXTS)
PROBLEM_TEXT = "p_"
PageRoute = page_route(error_page)
"""The kind of route of every page here: what goes wrong is told by a page."""


@dataclass(frozen=True)
class Portal:
    """What the pages reach. ``hub`` carries their live parts."""

    house: House
    guards: Guards
    hub: Hub
    stories: PaymentStories
    overviews: Overviews
    pay_codes: PayCodes

    def now(self) -> datetime:
        """Return the instant it is now."""
        return self.house.runtime.clock.now()


class Shown(NamedTuple):
    """A page that is answered: its template under ``merchant/``, the key of its place, what it shows, and its status."""

    template: str
    place: str
    context: Mapping[str, object]
    status: int = 200


@dataclass(frozen=True)
class Desk:
    """One visitor at one request: their words, their merchant's addresses and zone."""

    portal: Portal
    request: Request
    visitor: MerchantVisitor

    @cached_property
    def language(self) -> str:
        """The reader's language."""
        return pages.preferences(self.request).language

    @cached_property
    def ui(self) -> Kit:
        """The reader's kit, which knows what time it is."""
        return Kit(self.language, self.portal.now())

    @cached_property
    def base(self) -> str:
        """Where this merchant's pages begin."""
        return base_of(self.visitor)

    @property
    def mode(self) -> str:
        """``live`` or ``test``."""
        return "live" if self.visitor.scope.live else "test"

    @property
    def zone(self) -> tzinfo:
        """The merchant's time zone, by which its days are counted."""
        return ZoneInfo(self.visitor.merchant.timezone)

    @property
    def currency(self) -> str:
        """The currency that the merchant thinks in."""
        return self.visitor.merchant.default_currency

    @cached_property
    def reader(self) -> Reader:
        """Whom stories are told to."""
        return Reader(self.language, links=links(self.base))

    def t(self, key: str, **values: object) -> Markup:
        """Return a text by its key."""
        return text(self.language, key, **values)

    def plural(self, key: str, number: int, **values: object) -> Markup:
        """Return a text with forms of number, divided by ``|``: one and other in English, other in Chinese."""
        forms = str(self.t(key, count=self.ui.count(number), **values)).split("|")
        return Markup(forms[0 if number == 1 or len(forms) == 1 else 1])  # noqa: S704 - values were escaped into it

    def in_language(self, language: str) -> "Desk":
        """Return the same for a reader of another language, at a later instant; for what is rendered again and again."""
        return _Elsewhere(self.portal, self.request, self.visitor, language)

    def to(self, path: str, **params: str) -> str:
        """Return the address of a page of this merchant."""
        return f"{self.base}{path}" + (f"?{urlencode(params)}" if params else "")

    def act(self, path: str) -> str:
        """Return where a form is sent: the address names the mode, whatever was chosen in another tab since."""
        return self.to(path, mode=self.mode)

    def may(self, permission: str) -> bool:
        """Return whether the visitor holds a permission by its value; for templates."""
        return self.visitor.may(Permission(permission))

    def page(self, shown: Shown) -> Response:
        """Answer a page; ``?said=`` of an act that was done is told at its head."""
        said = f"said_{self.request.query_params.get('said', '')}"
        frame = {
            "t": self.t,
            "ui": self.ui,
            "desk": self,
            "base": self.base,
            "short": short,
            "once": secrets.token_urlsafe(ONCE_BYTES),
            "flash": (self.t(said), "ok") if said in merchant.TEXTS else None,
        }
        template = f"merchant/{shown.template}"
        page = frames.Page(template, shown.place, frame | dict(shown.context), shown.status)
        response = frames.merchant(self.request, self.visitor, page)
        if self.request.query_params.get("mode") in MODES:
            response.set_cookie(
                MODE_COOKIE, self.mode, max_age=pages.YEAR_S, path="/", httponly=True, samesite="lax"
            )
        return response

    def done(self, path: str, said: str) -> Response:
        """Answer an act that was done: to the page that shows what came of it."""
        address = self.to(path, mode=self.mode, said=said)
        return RedirectResponse(address, 303, {"Cache-Control": "no-store"})

    async def form(self) -> dict[str, str]:
        """Return the fields of the form that was sent; see ``Guards.form`` for what it raises."""
        return await self.portal.guards.form(self.request, self.visitor)

    def ask(self, act: str, fields: Mapping[str, str], *, moves_money: bool = False) -> Ask:
        """Return a form as a request that may be repeated: the same page sent twice is done once.

        Raises InvalidRequest ``form_invalid`` for a form without the key that its page gave it.
        """
        once = fields.get("once", "")
        if not ONCE_CHARS[0] <= len(once) <= ONCE_CHARS[1] or not once.isascii():
            raise InvalidRequest("form_invalid", "the form has no key; open its page again")
        path = self.request.url.path
        return Ask(
            digest=ask_digest("page", act, path, once),
            fingerprint=ask_digest(*(f"{name}={value}" for name, value in sorted(fields.items()))),
            key=once,
            request_id=f"page:{act}",
            render=lambda _: Rendered(200, b"{}"),
            kept_until=kept_until(self.portal.now(), moves_money=moves_money),
        )

    def problem(self, error: AppError) -> Markup:
        """Return why an act was not done, in words; raise what is a fault of ours."""
        if isinstance(error, InvariantBroken):
            raise error
        key = f"{PROBLEM_TEXT}{error.code}"
        return self.t(key) if key in merchant.TEXTS else self.t("p_other", code=error.code)

    def query(self, table: Table) -> Query:
        """Return what this request asks of a table."""
        return tables.read(table, self.request.query_params)

    def table(
        self,
        query: Query,
        table: Table,
        rows: Sequence[Row],
        path: str,
        after: str = "",
        empty: str = "",
        *,
        export: bool = True,
    ) -> TableView:
        """Return a table ready to be drawn, with views, and with export where its page has one."""
        saved = saved_views.of(self.request, table.name)
        address = self.to(path)
        return TableView(
            table, query, rows, address, after, saved=saved, export=export, saving=True, empty_line=empty
        )

    @property
    def wants_csv(self) -> bool:
        """Whether rows are asked for as CSV."""
        return self.request.query_params.get("format") == "csv"

    def csv(self, name: str, table: Table, query: Query, rows: Sequence[Mapping[str, str]]) -> Response:
        """Answer rows as a file."""
        text_of = tables.csv_text(table, query, rows)
        named = {"Content-Disposition": f'attachment; filename="{name}.csv"', "Cache-Control": "no-store"}
        return PlainTextResponse(text_of, media_type="text/csv; charset=utf-8", headers=named)

    def when(self, at: datetime, style: str = "minute") -> Markup:
        """Return an instant, in UTC as everywhere on these pages, which a browser can read too."""
        return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
            at.isoformat(), self.ui.instant(at), self.ui.when(at, style)
        )


class _Elsewhere(Desk):
    """A desk whose language its maker chose."""

    def __init__(self, portal: Portal, request: Request, visitor: MerchantVisitor, language: str) -> None:
        super().__init__(portal, request, visitor)
        self.__dict__["language"] = language


def open_portal(house: House, hub: Hub | None = None) -> Portal:
    """Return the portal of an open house; ``hub`` is that of the process where there is one."""
    runtime = house.runtime
    pay_codes = open_pay_codes(
        house.payments, house.requests, house.parties, runtime.ledger, secret=house.proofs.secret
    )
    return Portal(
        house, guards_of(house), hub or Hub(), PaymentStories(house), Overviews(runtime.database), pay_codes
    )


def text(language: str, key: str, **values: object) -> Markup:
    """Return a text of the portal or of stories by its key, with values escaped into it; raise KeyError for an unknown one."""
    return wording.text(language, CATALOGUES, key, values)


def base_of(visitor: MerchantVisitor) -> str:
    """Return where a merchant's pages begin."""
    return f"/merchant/{int_text(MERCHANT_PREFIX, visitor.merchant.merchant_id)}"


def links(base: str) -> Links:
    """Return where parts of a story have pages of the portal."""
    return Links(
        refund=f"{base}/refunds/{{id}}",
        dispute=f"{base}/disputes/{{id}}",
        batch=f"{base}/settlements/{{id}}",
        payout=f"{base}/payouts/{{id}}",
        endpoint=f"{base}/webhooks/{{id}}",
    )


def path_id(prefix: str, reference: str) -> UUID:
    """Return the id that an address names; raise NotFound ``resource_missing`` for what is none."""
    try:
        return parse_uuid(prefix, reference)
    except ValueError:
        raise NotFound("resource_missing", "nothing here has this id") from None


def short(reference: str) -> str:
    """Return an id as lists show it: its kind and its end, by which people tell neighbors apart."""
    prefix, _, rest = reference.rpartition("_")
    return f"{prefix}_…{rest[-8:]}"


def status_of(error: AppError) -> int:
    """Return the status of an act that was not done."""
    return errors.answer(error).status
