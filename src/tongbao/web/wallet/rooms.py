"""What the pages of the wallet reach, and how they are answered."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from fastapi import Request, Response
from markupsafe import Markup

from tongbao.core.errors import NotFound
from tongbao.core.ids import parse_int
from tongbao.ledger.schema import BOOK_PREFIX, BookId
from tongbao.parties.schema import Merchant, MerchantId, OperatorPermission, Scope
from tongbao.parties.service.access import operator_of_job
from tongbao.payments.service.pay_codes import PayCodes
from tongbao.payments.service.payer_reads import Held, PayerReads
from tongbao.web import pages, wording
from tongbao.web.api.pay_codes import ACCOUNTS_MAX, open_pay_codes
from tongbao.web.api.wallets import FUNDING
from tongbao.web.house import House
from tongbao.web.locale import wallet as words
from tongbao.web.page_route import page_route
from tongbao.web.signing import frames
from tongbao.web.signing.guarding import Guards, PayerVisitor
from tongbao.web.signing.opening_wallets import CURRENCY
from tongbao.web.signing.refusing import wallet_error_page
from tongbao.web.signing.rooms import guards_of
from tongbao.web.ui.kit import Kit

JOB = "wallet"
NOBODY = MerchantId(0)
"""Whose the cards are that a payer keeps: no merchant's."""
PageRoute = page_route(wallet_error_page)
"""The kind of route of every page here: what goes wrong is told by a page."""


@dataclass(frozen=True)
class Rooms:
    """What the pages reach. ``keeper``: the merchant that keeps the test money of wallets that nobody else has opened."""

    house: House
    guards: Guards
    reads: PayerReads
    pay_codes: PayCodes
    keeper: MerchantId | None = None

    async def shops(self, book_ids: Iterable[int]) -> dict[int, Merchant]:
        """Return the merchants of books; a book of nobody is left out."""
        operator = operator_of_job(JOB, frozenset({OperatorPermission.MERCHANTS_READ}))
        found: dict[int, Merchant] = {}
        for book_id in set(book_ids):
            try:
                found[book_id] = await self.house.parties.merchants.of_book(operator, book_id)
            except NotFound:
                continue
        return found

    async def held(self, visitor: PayerVisitor) -> tuple[Held, list[Held]]:
        """Return what is in the wallet in its first currency, and in its others."""
        found = await self.reads.balances(visitor.payer.wallet_book_id)
        first = next((each for each in found if each.currency == CURRENCY), found[0] if found else None)
        if first is None:
            return Held(CURRENCY, 0, 0), []
        return first, [each for each in found if each is not first]

    async def owner(self, visitor: PayerVisitor) -> int | None:
        """Return the book that the money of a wallet comes from; None while nobody has filled it."""
        book_id = BookId(visitor.payer.wallet_book_id)
        found = await self.house.runtime.ledger.accounts.accounts(book_id, below=FUNDING, limit=ACCOUNTS_MAX)
        owners = [each.code.partition("/")[2] for each in found if "/" in each.code]
        return parse_int(BOOK_PREFIX, owners[0]) if owners else None


class Shown(NamedTuple):
    """A page that is answered: its template under ``wallet/``, the key of its place, what it shows, and its status."""

    template: str
    place: str
    context: Mapping[str, object]
    status: int = 200


def open_rooms(house: House, keeper: MerchantId | None = None) -> Rooms:
    """Return what the pages reach, over an open house."""
    runtime = house.runtime
    codes = open_pay_codes(
        house.payments, house.requests, house.parties, runtime.ledger, secret=house.proofs.secret
    )
    return Rooms(house, guards_of(house), PayerReads(runtime.database, runtime.ledger), codes, keeper)


def own_scope(visitor: PayerVisitor) -> Scope:
    """Return on whose behalf a payer keeps cards: in the book of their own wallet, with no right over anybody else's.

    There is no key or membership to make it from: the payer's session is what gives it.
    """
    return Scope(
        merchant_id=NOBODY,
        book_id=visitor.payer.wallet_book_id,
        live=False,
        actor=visitor.actor,
        permissions=frozenset(),
    )


def language_of(request: Request) -> str:
    """Return the reader's language."""
    return pages.preferences(request).language


def kit_of(request: Request) -> Kit:
    """Return the reader's kit."""
    return Kit(language_of(request))


def text(language: str, key: str, **values: object) -> Markup:
    """Return a text of the wallet by its key, with values escaped into it; raise KeyError for an unknown key."""
    return wording.text(language, (words.TEXTS,), key, values)


def answer(request: Request, visitor: PayerVisitor, page: Shown) -> Response:
    """Answer a page; its template finds the words of the wallet at ``w``."""
    language = language_of(request)

    def w(key: str, **values: object) -> Markup:
        return text(language, key, **values)

    said = request.query_params.get("said", "")
    context = {"w": w, "said": said if f"said_{said}" in words.TEXTS else "", **page.context}
    return frames.payer(
        request, visitor, frames.Page(f"wallet/{page.template}.html", page.place, context, page.status)
    )
