"""``/v2/wallets`` and ``/v2/wallet_transfers``: stored balances that a merchant keeps for its payers.

A wallet belongs to the ledger book of the merchant and mode that opened it. That is written down where neither can be
changed: the wallet's own book has an account ``wallet_funding/<book>``, which says whose book its money comes from.
Live and test mode are two books of a merchant, so a wallet of one mode is as unknown to the other as a stranger's, and
money can neither be paid nor topped up across.
"""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from tongbao.channels.schema import METHOD_KINDS
from tongbao.core.db import Connection
from tongbao.core.errors import NotFound
from tongbao.core.ids import int_text, parse_int
from tongbao.core.requests.asks import Rendered
from tongbao.ledger.schema import BOOK_PREFIX, BookId, Side
from tongbao.ledger.service.ledger import Ledger
from tongbao.ledger.service.reading import PAGE_SIZE_MAX as STATEMENT_SIZE_MAX
from tongbao.parties.schema import CUSTOMER_PREFIX, CustomerId, Feature, Permission, Scope
from tongbao.parties.service.parties import Parties
from tongbao.payments.schema.checkout import WalletTransfer as Paid
from tongbao.payments.schema.methods import PaymentMethod
from tongbao.payments.schema.orders import ConfirmOrder, IntentOrder, IntentView, PageOrder
from tongbao.payments.service.payments import Payments
from tongbao.web.api import ledger_models
from tongbao.web.api import wallet_models as models
from tongbao.web.api.access import Gate
from tongbao.web.api.calls import Calls, rendered, replied
from tongbao.web.api.payment_models import WALLET_PREFIX, Intent
from tongbao.web.api.shapes import (
    PAGE_SIZE,
    After,
    Before,
    Currency,
    IdPath,
    Limit,
    cursor,
    given_id,
    one_cursor,
)

PREFIX = "/v2"
FUNDING = "wallet_funding"
BALANCE = "wallet"
TOP_UP_KINDS = tuple(kind for kind in METHOD_KINDS if kind != "wallet")
CurrencyQuery = Annotated[Currency, Query(description="Which of the wallet's currencies.")]


class WalletDesk:
    """What the routes do besides parsing and rendering: opening wallets, and telling one's own from others'."""

    def __init__(self, parties: Parties, payments: Payments, ledger: Ledger, calls: Calls) -> None:
        self.parties = parties
        self.payments = payments
        self.ledger = ledger
        self.calls = calls
        # One opening at a time: each holds a connection while it asks for others, and a pool is small.
        self.opening = asyncio.Lock()

    async def require(self, scope: Scope) -> None:
        """Raise FeatureMissing where the merchant's package has no wallets."""
        await self.parties.merchants.require_feature(scope, Feature.WALLET)

    async def open(self, connection: Connection, scope: Scope, draft: models.WalletDraft) -> models.Wallet:
        """Open a wallet for somebody new; joins the caller's transaction, the empty book excepted.

        A book whose payer was not committed belongs to nobody and stays empty.
        """
        book_id = self.calls.ids.int63()
        balance = await self.payments.wallets.open(book_id, draft.currency)
        await self.ledger.accounts.open_account(
            BookId(book_id),
            _funding_code(scope),
            balance.currency,
            side=Side.DEBIT,
            name="Whose book the money comes from",
        )
        payer = await self.parties.payers.create(connection, book_id, draft.name, draft.locale)
        return models.Wallet.of(payer, balance, live=scope.live)

    async def own(self, scope: Scope, text: str) -> int:
        """Return the book of one of the scope's own wallets.

        Raises NotFound ``wallet_unknown``, also for a wallet of another merchant or of the other mode.
        """
        try:
            book_id = parse_int(WALLET_PREFIX, text)
        except ValueError:
            raise _unknown() from None
        funding = await self.ledger.accounts.accounts(BookId(book_id), below=_funding_code(scope), limit=1)
        if not funding:
            raise _unknown()
        return book_id

    async def wallet(self, scope: Scope, text: str, currency: str) -> models.Wallet:
        """Return one of the scope's own wallets as it is sent; raise NotFound ``wallet_unknown``."""
        book_id = await self.own(scope, text)
        balance = await self.payments.wallets.balance(book_id, currency)
        return models.Wallet.of(await self.parties.payers.of_wallet(book_id), balance, live=scope.live)

    async def top_up_order(self, scope: Scope, text: str, order: models.TopUpOrder) -> IntentOrder:
        """Return the payment that fills a wallet.

        Raises NotFound ``wallet_unknown`` (also where it is not kept in this currency), UnknownCustomer,
        InvalidRequest ``id_malformed``.
        """
        book_id = await self.own(scope, text)
        await self.payments.wallets.balance(book_id, order.currency)
        customer_id = None
        if order.customer is not None:
            customer_id = CustomerId(given_id(CUSTOMER_PREFIX, order.customer, "customer"))
            await self.parties.customers.get(scope, customer_id)
        method_id = given_id(PaymentMethod.PREFIX, order.payment_method, "payment_method")
        return IntentOrder(
            amount_minor=order.amount_minor,
            currency=order.currency,
            method_kinds=TOP_UP_KINDS,
            customer_id=customer_id,
            method_id=method_id,
            merchant_reference=order.merchant_reference,
            wallet_book_id=book_id,
            confirm=ConfirmOrder(method_id=method_id, return_url=order.return_url),
        )


def router(calls: Calls, gate: Gate, parties: Parties, payments: Payments, ledger: Ledger) -> APIRouter:
    """Return the routes over open services."""
    routes = calls.router(PREFIX, "wallets")
    desk = WalletDesk(parties, payments, ledger, calls)
    _add_wallets(routes, gate, desk)
    _add_transfers(routes, gate, desk)
    return routes


def _add_wallets(routes: APIRouter, gate: Gate, desk: WalletDesk) -> None:
    reader = Depends(gate.scope(Permission.WALLETS_READ))
    writer = Depends(gate.scope(Permission.WALLETS_WRITE))

    @routes.post("/wallets", response_model=models.Wallet, status_code=201)
    async def open_wallet(
        request: Request, scope: Annotated[Scope, writer], draft: models.WalletDraft
    ) -> Response:
        """Open a wallet for a new payer."""
        await desk.require(scope)

        async def work(connection: Connection) -> models.Wallet:
            return await desk.open(connection, scope, draft)

        async with desk.opening:
            return await desk.calls.write(request, scope, work, _created)

    @routes.get("/wallets/{wallet}")
    async def wallet(
        scope: Annotated[Scope, reader], wallet: IdPath, currency: CurrencyQuery
    ) -> models.Wallet:
        """Return a wallet with its balance."""
        return await desk.wallet(scope, wallet, currency)

    @routes.post("/wallets/{wallet}/top_ups", response_model=Intent, status_code=201)
    async def top_up(
        request: Request, scope: Annotated[Scope, writer], wallet: IdPath, order: models.TopUpOrder
    ) -> Response:
        """Collect money into a wallet; a decline is an answer too, told in `last_error`."""
        await desk.require(scope)
        wanted = await desk.top_up_order(scope, wallet, order)
        ask = desk.calls.ask(request, _intent, moves_money=True)
        return replied(await desk.payments.intents.create(scope, wanted, ask=ask), _intent)

    @routes.get("/wallets/{wallet}/statement")
    async def statement(
        scope: Annotated[Scope, reader],
        wallet: IdPath,
        currency: CurrencyQuery,
        limit: Annotated[int, Query(ge=1, le=STATEMENT_SIZE_MAX)] = 50,
        before: Annotated[
            str | None, Query(max_length=100, description="`next_before` of the page before.")
        ] = None,
    ) -> ledger_models.Statement:
        """Return the entries of a wallet, newest first, with the balance after each."""
        book_id = await desk.own(scope, wallet)
        balance = await desk.payments.wallets.balance(book_id, currency)
        account = await desk.ledger.accounts.account_by_code(BookId(book_id), BALANCE, balance.currency)
        page = await desk.ledger.reading.statement(
            account.book_id, account.account_id, before=before, limit=limit
        )
        return ledger_models.Statement.of(page)


def _add_transfers(routes: APIRouter, gate: Gate, desk: WalletDesk) -> None:
    reader = Depends(gate.scope(Permission.WALLETS_READ))
    writer = Depends(gate.scope(Permission.WALLETS_WRITE))

    @routes.post("/wallet_transfers", response_model=models.WalletTransfer, status_code=201)
    async def pay(request: Request, scope: Annotated[Scope, writer], order: models.TransferOrder) -> Response:
        """Move money from one wallet to another, at once or not at all."""
        await desk.require(scope)
        done = await desk.payments.wallets.pay(
            scope,
            await desk.own(scope, order.from_wallet),
            await desk.own(scope, order.to_wallet),
            order.amount_minor,
            order.currency,
            note=order.note,
            ask=desk.calls.ask(request, _paid, moves_money=True),
        )
        return replied(done, _paid)

    @routes.get("/wallet_transfers")
    async def transfers(
        scope: Annotated[Scope, reader],
        limit: Limit = PAGE_SIZE,
        starting_after: After = None,
        ending_before: Before = None,
    ) -> models.WalletTransfers:
        """List transfers between wallets, newest first."""
        after = cursor(Paid.PREFIX, starting_after, "starting_after")
        before = cursor(Paid.PREFIX, ending_before, "ending_before")
        one_cursor(after, before)
        order = PageOrder(limit=limit, after=after, before=before)
        page = await desk.payments.wallets.page(scope, order)
        return models.WalletTransfers(
            data=[models.WalletTransfer.of(paid) for paid in page.items], has_more=page.has_more
        )


def _funding_code(scope: Scope) -> str:
    """Return the account that marks a wallet as one of the scope's."""
    return f"{FUNDING}/{int_text(BOOK_PREFIX, scope.book_id)}"


def _unknown() -> NotFound:
    return NotFound("wallet_unknown", "there is no such wallet")


def _created(wallet: models.Wallet) -> Rendered:
    return rendered(wallet, 201)


def _intent(view: IntentView) -> Rendered:
    return rendered(Intent.of(view.intent), 201)


def _paid(paid: Paid) -> Rendered:
    return rendered(models.WalletTransfer.of(paid), 201)
