"""``/wallet/methods``: the cards that a payer keeps in the wallet; they fill it. Numbers go into the vault and never come back.

A card is sealed under the book of the payer's own wallet. The default one stands first wherever cards are offered.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from tongbao.channels.schema import Card
from tongbao.core.errors import InvalidRequest, LimitExceeded, NotFound
from tongbao.core.ids import parse_uuid
from tongbao.payments.schema.methods import PaymentMethod
from tongbao.payments.schema.orders import PageOrder
from tongbao.privacy.schema import CardInput
from tongbao.web.api.v1.joining import VaultCards
from tongbao.web.api.v1.routes.cards import card_of
from tongbao.web.cashier.views import method_text
from tongbao.web.signing.guarding import PayerVisitor
from tongbao.web.ui.forms import Form
from tongbao.web.wallet.rooms import PageRoute, Rooms, Shown, answer, kit_of, language_of, own_scope, text

METHODS = "/wallet/methods"
CARDS_MAX = 10
DEFAULT = "default"
YEARS_AHEAD_MAX = 30
_EXPIRY = re.compile(r"\s*(\d{1,2})\s*[/.\-]?\s*(\d{4}|\d{2})\s*", re.ASCII)
_FIELDS = {"number": "number", "exp_month": "expiry", "exp_year": "expiry", "cvc": "cvc", "name": "holder"}
"""The field of the form for each part of a card that the vault may refuse."""


class KeptCard(NamedTuple):
    """A card as it is shown; ``is_over``: past its expiry."""

    reference: str
    name: str
    expiry: str
    is_default: bool
    is_over: bool
    card: Card


def router(rooms: Rooms) -> APIRouter:
    """Return the routes."""
    page = _CardsPage(rooms)
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)
    routes.add_api_route(METHODS, page.show, methods=["GET", "HEAD"], response_model=None)
    routes.add_api_route(METHODS, page.add, methods=["POST"], response_model=None)
    routes.add_api_route(f"{METHODS}/{{reference}}/{{act}}", page.act, methods=["POST"], response_model=None)
    return routes


async def kept_cards(rooms: Rooms, visitor: PayerVisitor, language: str) -> list[KeptCard]:
    """Return the cards of a payer's own wallet, the default one first, then the newest."""
    order = PageOrder(limit=CARDS_MAX, owner_id=visitor.payer.payer_id)
    found = await rooms.house.payments.methods.page(own_scope(visitor), order)
    return shown_cards(found.items, rooms.house.runtime.clock.now(), language)


def shown_cards(methods: Sequence[PaymentMethod], now: datetime, language: str) -> list[KeptCard]:
    """Return cards as they are shown; without any that was chosen the newest is the default."""
    held = [(each, each.method) for each in methods if isinstance(each.method, Card)]
    chosen = max(
        (each for each, _ in held), key=lambda each: (each.metadata.get(DEFAULT, ""), each.id), default=None
    )
    cards = [
        KeptCard(
            each.reference,
            method_text(card, language),
            f"{card.exp_month:02d}/{card.exp_year % 100:02d}",
            chosen is not None and each.id == chosen.id,
            (card.exp_year, card.exp_month) < (now.year, now.month),
            card,
        )
        for each, card in held
    ]
    return sorted(cards, key=lambda each: not each.is_default)


class _CardsPage:
    """Answers the page and its forms."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._methods = rooms.house.payments.methods
        self._vault = VaultCards(rooms.house.vault, rooms.house.runtime.database)

    async def show(self, request: Request) -> Response:
        """Answer the page."""
        visitor = await self._rooms.guards.payer(request)
        return await self._page(request, visitor, Form({}, kit_of(request)))

    async def add(self, request: Request) -> Response:
        """Keep a card."""
        rooms, language = self._rooms, language_of(request)
        visitor = await rooms.guards.payer(request)
        form = Form(await rooms.guards.form(request, visitor), kit_of(request))
        typed = _typed(form, language)
        if len(await kept_cards(rooms, visitor, language)) >= CARDS_MAX:
            raise LimitExceeded("cards_full", f"at most {CARDS_MAX} cards in a wallet")
        if typed is None:
            return await self._page(request, visitor, form, 400)
        try:
            token = await self._vault.keep(own_scope(visitor), typed)
        except InvalidRequest as error:
            field = _FIELDS.get(str(error.facts.get("param")), "number")
            form.wrong(field, text(language, f"p_{field}"))
            return await self._page(request, visitor, form, 400)
        scope = own_scope(visitor)
        made = await self._methods.create(scope, card_of(token), fingerprint=token.fingerprint)
        assert made.view is not None
        await self._methods.attach(scope, made.view.id, visitor.payer.payer_id)
        return RedirectResponse(f"{METHODS}?said=card_added", 303, {"Cache-Control": "no-store"})

    async def act(self, request: Request, reference: str, act: str) -> Response:
        """Make a card the default one, or take it out of the wallet."""
        rooms = self._rooms
        visitor = await rooms.guards.payer(request)
        await rooms.guards.form(request, visitor)
        method = await self._own(visitor, reference)
        scope = own_scope(visitor)
        if act == "remove":
            await self._methods.detach(scope, method.id)
            return RedirectResponse(f"{METHODS}?said=card_removed", 303, {"Cache-Control": "no-store"})
        if act != DEFAULT:
            raise NotFound("act_unknown", "this page has no such form")
        # The one that was chosen last counts: its mark is the instant, which only grows.
        mark = rooms.house.runtime.clock.now().isoformat()
        await self._methods.change(scope, method.id, metadata={DEFAULT: mark})
        return RedirectResponse(f"{METHODS}?said=card_default", 303, {"Cache-Control": "no-store"})

    async def _own(self, visitor: PayerVisitor, reference: str) -> PaymentMethod:
        """Return one of the payer's own cards; raise NotFound ``method_unknown`` for any other id."""
        try:
            found = await self._methods.get(own_scope(visitor), parse_uuid(PaymentMethod.PREFIX, reference))
        except (ValueError, NotFound):
            raise NotFound("method_unknown", "there is no such card in this wallet") from None
        if found.customer_id != visitor.payer.payer_id:
            raise NotFound("method_unknown", "there is no such card in this wallet")
        return found

    async def _page(self, request: Request, visitor: PayerVisitor, form: Form, status: int = 200) -> Response:
        cards = await kept_cards(self._rooms, visitor, language_of(request))
        context = {"cards": cards, "form": form, "is_full": len(cards) >= CARDS_MAX}
        return answer(request, visitor, Shown("methods", "me", context, status))


def _typed(form: Form, language: str) -> CardInput | None:
    """Return a card as it was typed; None with the errors kept in the form. Nothing of it is shown again."""
    number, cvc = form.secret("number", most=40), form.secret("cvc", most=6)
    expiry = _EXPIRY.fullmatch(form.text("expiry", most=9))
    holder = form.text("holder", most=100, required=False)
    for name, is_there in (("number", number), ("cvc", cvc), ("expiry", expiry)):
        if not is_there:
            form.wrong(name, text(language, f"p_{name}"))
    if form.errors or expiry is None:
        return None
    return CardInput(
        number=number,
        exp_month=int(expiry[1]),
        exp_year=int(expiry[2]),
        cvc=cvc,
        holder_name=holder or None,
    )
