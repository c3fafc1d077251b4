"""``/wallet/top-up``: money into a wallet of test money, by a payment with one of the payer's cards.

Money comes in through a merchant, whose books it passes. A wallet that a merchant has opened is filled through that one, any
other through the keeper of the house; of real money neither is taken here.
"""

import re
import secrets
from typing import NamedTuple

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from markupsafe import Markup

from tongbao.core.errors import AppError, Conflict, InvariantBroken, LimitExceeded, OutcomeUnknown
from tongbao.core.ids import int_text, uuid_text
from tongbao.core.money import Money
from tongbao.core.requests.asks import Ask, Rendered, ask_digest
from tongbao.core.requests.running import kept_until
from tongbao.ledger.schema import BOOK_PREFIX, BookId, Side
from tongbao.parties.schema import MerchantId, Permission, Scope
from tongbao.payments.schema.intents import Intent, IntentState
from tongbao.payments.schema.orders import ConfirmOrder, IntentOrder
from tongbao.web.api.wallets import FUNDING, TOP_UP_KINDS
from tongbao.web.signing.guarding import PayerVisitor
from tongbao.web.ui.forms import Form
from tongbao.web.wallet.cards import KeptCard, kept_cards
from tongbao.web.wallet.rooms import JOB, PageRoute, Rooms, Shown, answer, kit_of, language_of, text

TOP_UP = "/wallet/top-up"
CHOICES_MAJOR = (50, 100, 200)
MAJOR_MAX = 5_000
OTHER = "other"
ONCE_BYTES = 12
_ONCE = re.compile(r"[A-Za-z0-9_-]{8,64}")


class _Wanted(NamedTuple):
    """What a form asks for: minor units, the card, and which form it is."""

    amount_minor: int
    card: KeptCard
    once: str


def router(rooms: Rooms) -> APIRouter:
    """Return the routes."""
    page = _FillingPage(rooms)
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)
    routes.add_api_route(TOP_UP, page.show, methods=["GET", "HEAD"], response_model=None)
    routes.add_api_route(TOP_UP, page.fill, methods=["POST"], response_model=None)
    return routes


class _FillingPage:
    """Answers the page and its form."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def show(self, request: Request) -> Response:
        """Answer the page."""
        visitor = await self._rooms.guards.payer(request)
        return await self._page(request, visitor, Form({}, kit_of(request)))

    async def fill(self, request: Request) -> Response:
        """Take the money of a card into the wallet, once for each form."""
        rooms, language = self._rooms, language_of(request)
        visitor = await rooms.guards.payer(request)
        form = Form(await rooms.guards.form(request, visitor), kit_of(request))
        held, _ = await rooms.held(visitor)
        wanted = self._wanted(form, await kept_cards(rooms, visitor, language), held.currency)
        scope = await self._through(visitor, held.currency) if wanted else None
        if wanted is None or scope is None:
            return await self._page(request, visitor, form, status=400 if wanted is None else 409)
        try:
            problem = await self._paid(visitor, scope, wanted, held.currency)
        except AppError as error:
            if isinstance(error, InvariantBroken):
                raise
            problem = "busy"
        if problem:
            return await self._page(
                request, visitor, form, problem=text(language, f"p_fill_{problem}"), status=409
            )
        return RedirectResponse("/wallet?said=filled", 303, {"Cache-Control": "no-store"})

    async def _paid(self, visitor: PayerVisitor, scope: Scope, wanted: _Wanted, currency: str) -> str:
        """Collect; return why nothing came in, empty where it did."""
        order = IntentOrder(
            amount_minor=wanted.amount_minor,
            currency=currency,
            method_kinds=TOP_UP_KINDS,
            method=wanted.card.card,
            wallet_book_id=visitor.payer.wallet_book_id,
            description="Wallet top-up",
            confirm=ConfirmOrder(),
        )
        try:
            done = await self._rooms.house.payments.intents.create(
                scope, order, ask=self._ask(visitor, wanted)
            )
        except OutcomeUnknown:
            return "unknown"
        except (Conflict, LimitExceeded):
            return "busy"
        if done.view is None:
            return ""
        return _problem(done.view.intent)

    def _ask(self, visitor: PayerVisitor, wanted: _Wanted) -> Ask:
        runtime = self._rooms.house.runtime
        return Ask(
            digest=ask_digest("wallet.top_up", visitor.actor, wanted.once),
            fingerprint=ask_digest(str(wanted.amount_minor), wanted.card.reference),
            key=wanted.once,
            request_id=uuid_text("req", runtime.ledger.ids.uuid()),
            render=lambda _: Rendered(303, b"/wallet"),
            kept_until=kept_until(runtime.clock.now(), moves_money=True),
        )

    async def _through(self, visitor: PayerVisitor, currency: str) -> Scope | None:
        """Return the merchant through whom test money comes in; None where there is none, or the money is real."""
        rooms = self._rooms
        owner = await rooms.owner(visitor)
        if owner is None:
            if rooms.keeper is None:
                return None
            scope = await self._scope(rooms.keeper)
            await rooms.house.runtime.ledger.accounts.open_account(
                BookId(visitor.payer.wallet_book_id),
                f"{FUNDING}/{int_text(BOOK_PREFIX, scope.book_id)}",
                currency,
                side=Side.DEBIT,
                name="Whose book the money comes from",
            )
            return scope
        merchant = (await rooms.shops([owner])).get(owner)
        if merchant is None or merchant.live_book_id == owner:
            return None
        return await self._scope(merchant.merchant_id)

    async def _scope(self, merchant_id: MerchantId) -> Scope:
        return await self._rooms.house.parties.access.scope_of_job(
            merchant_id, live=False, job=JOB, permissions=frozenset({Permission.WALLETS_WRITE})
        )

    def _wanted(self, form: Form, cards: list[KeptCard], currency: str) -> _Wanted | None:
        usable = {each.reference: each for each in cards if not each.is_over}
        card = usable.get(form.choice("card", list(usable)))
        once = form["once"]
        choice = form.choice("amount", [*(str(each) for each in CHOICES_MAJOR), OTHER])
        most = Money.of_major(MAJOR_MAX, currency)
        if choice == OTHER:
            minor = form.amount("other", currency, most=most.amount_minor)
        else:
            minor = Money.of_major(int(choice), currency).amount_minor if choice else None
        if form.errors or card is None or not minor or not _ONCE.fullmatch(once):
            return None
        return _Wanted(minor, card, once)

    async def _page(
        self,
        request: Request,
        visitor: PayerVisitor,
        form: Form,
        problem: Markup | str = "",
        status: int = 200,
    ) -> Response:
        rooms, language = self._rooms, language_of(request)
        held, _ = await rooms.held(visitor)
        owner = await rooms.owner(visitor)
        merchant = (await rooms.shops([owner])).get(owner) if owner is not None else None
        is_real = merchant is not None and merchant.live_book_id == owner
        context = {
            "held": held,
            "form": form,
            "cards": [each for each in await kept_cards(rooms, visitor, language) if not each.is_over],
            "choices": [(str(each), Money.of_major(each, held.currency)) for each in CHOICES_MAJOR],
            "is_open": not is_real and (owner is not None or rooms.keeper is not None),
            "is_real": is_real,
            "once": secrets.token_urlsafe(ONCE_BYTES),
            "problem": problem,
        }
        return answer(request, visitor, Shown("top_up", "home", context, status))


def _problem(intent: Intent) -> str:
    """Return why a top-up brought nothing in: ``declined``, ``prove`` or ``unknown``; empty where it did."""
    if intent.state is IntentState.SUCCEEDED:
        return ""
    if intent.state is IntentState.REQUIRES_ACTION:
        return "prove"
    return "declined" if intent.last_error is not None else "unknown"
