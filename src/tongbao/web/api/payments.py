"""``/v2/payments`` and ``/v2/mandates``: a payment's whole story, a search by any id, and ending mandates."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from tongbao.core.errors import NotFound
from tongbao.core.ids import parse_uuid
from tongbao.core.requests.asks import Rendered
from tongbao.ledger.schema import Account, AccountId, BookId, JournalRow
from tongbao.ledger.service.ledger import Ledger
from tongbao.parties.schema import CUSTOMER_PREFIX, CustomerId, Permission, Scope
from tongbao.parties.service.parties import Parties
from tongbao.payments.schema import methods
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.orders import PageOrder
from tongbao.payments.service.payments import Payments
from tongbao.web.api import payment_models as models
from tongbao.web.api.access import Gate
from tongbao.web.api.calls import Calls, rendered, replied
from tongbao.web.api.shapes import PAGE_SIZE_MAX, After, IdPath, Limit, Text, cursor, given_id, path_id
from tongbao.web.api.story_models import PaymentStory

PREFIX = "/v2"


def router(calls: Calls, gate: Gate, parties: Parties, payments: Payments, ledger: Ledger) -> APIRouter:
    """Return the routes over open payments and the ledger that they post to."""
    routes = calls.router(PREFIX, "payments")
    _add_payments(routes, gate, payments, ledger)
    _add_mandates(routes, calls, gate, parties, payments)
    return routes


def _add_payments(routes: APIRouter, gate: Gate, payments: Payments, ledger: Ledger) -> None:
    reader = Depends(gate.scope(Permission.PAYMENTS_READ))

    @routes.get("/payments/search")
    async def search(
        scope: Annotated[Scope, reader],
        q: Annotated[
            Text, Query(min_length=1, description="Any id: ours, the merchant's, a channel's, a customer's.")
        ],
    ) -> models.Found:
        """Find the payments that an id names; one that names nothing finds nothing."""
        return await _found(payments, scope, q.strip())

    @routes.get("/payments/{payment}/story")
    async def story(scope: Annotated[Scope, reader], payment: IdPath) -> PaymentStory:
        """Return everything that belongs to a payment, `pi_…`, and its whole money trail."""
        told = await payments.intents.story(scope, path_id(Intent.PREFIX, payment))
        return PaymentStory.of(told, await _accounts(ledger, told.transfers))


def _add_mandates(routes: APIRouter, calls: Calls, gate: Gate, parties: Parties, payments: Payments) -> None:
    reader = Depends(gate.scope(Permission.PAYMENTS_READ))
    writer = Depends(gate.scope(Permission.PAYMENTS_WRITE))

    @routes.get("/mandates")
    async def mandates(
        scope: Annotated[Scope, reader],
        customer: Annotated[Text, Query(description="Whose: `cus_…`.")],
        after: After = None,
        limit: Limit = 10,
    ) -> models.Mandates:
        """List the mandates that a customer gave, newest first."""
        owner_id = CustomerId(given_id(CUSTOMER_PREFIX, customer, "customer"))
        await parties.customers.get(scope, owner_id)
        # Every mandate was given with a set-up, so the customer's set-ups lead to all of them, in their order.
        order = PageOrder(
            limit=limit,
            after=cursor(methods.SetupIntent.PREFIX, after, "after"),
            owner_id=owner_id,
            state=methods.SetupState.SUCCEEDED,
        )
        page = await payments.setups.page(scope, order)
        given = [setup.mandate_id for setup in page.items if setup.mandate_id is not None]
        return models.Mandates(
            data=[models.Mandate.of(await payments.setups.mandate(scope, each)) for each in given],
            next_after=page.items[-1].reference if page.has_more else None,
        )

    @routes.post("/mandates/{mandate}/end", response_model=models.Mandate)
    async def end(request: Request, scope: Annotated[Scope, writer], mandate: IdPath) -> Response:
        """End a mandate for good; ending it again changes nothing."""
        mandate_id = path_id(methods.Mandate.PREFIX, mandate)
        done = await payments.setups.end_mandate(scope, mandate_id, ask=calls.ask(request, _mandate))
        return replied(done, _mandate)


async def _found(payments: Payments, scope: Scope, text: str) -> models.Found:
    """Return what an id finds. Customers and set-ups are looked up here, all other ids by ``Intents.find``."""
    prefix, _, _ = text.rpartition("_")
    try:
        if prefix == CUSTOMER_PREFIX:
            order = PageOrder(limit=PAGE_SIZE_MAX, owner_id=parse_uuid(prefix, text))
            page = await payments.intents.page(scope, order)
            shown = [models.Intent.of(view.intent) for view in page.items]
            return models.Found(data=list(shown), has_more=page.has_more)
        if prefix == methods.SetupIntent.PREFIX:
            view = await payments.setups.get(scope, parse_uuid(prefix, text))
            return models.Found(data=[models.SetupIntent.of(view.setup)])
    except (NotFound, ValueError):
        return models.Found(data=[])
    found = await payments.intents.find(scope, text)
    return models.Found(data=[models.Intent.of(each.intent) for each in found])


async def _accounts(ledger: Ledger, rows: list[JournalRow]) -> dict[AccountId, Account]:
    """Return the accounts that rows of one book name: a handful, however many rows there are."""
    named = {(row.book_id, each) for row in rows for each in (row.debit_account_id, row.credit_account_id)}
    return {each: await ledger.accounts.account(BookId(book_id), each) for book_id, each in sorted(named)}


def _mandate(mandate: methods.Mandate) -> Rendered:
    return rendered(models.Mandate.of(mandate))
