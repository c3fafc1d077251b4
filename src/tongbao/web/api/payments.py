"""``/v2/payments`` and ``/v2/mandates``: a payment's whole story, a search by any id, and ending mandates."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError

from tongbao.core.errors import NotFound
from tongbao.core.ids import parse_uuid
from tongbao.core.requests.asks import Rendered
from tongbao.ledger.schema import Account, AccountId, BookId, JournalRow
from tongbao.ledger.service.ledger import Ledger
from tongbao.parties.schema import CUSTOMER_PREFIX, Permission, Scope
from tongbao.payments.schema import methods
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.orders import PageOrder
from tongbao.payments.service.intents import SEARCH_CHARS_MAX
from tongbao.payments.service.payments import Payments
from tongbao.web.api import payment_models as models
from tongbao.web.api.access import Gate
from tongbao.web.api.calls import Calls, rendered, replied
from tongbao.web.api.shapes import PAGE_SIZE_MAX, After, IdPath, Limit, cursor, given_id, path_id, storable

PREFIX = "/v2"


def router(calls: Calls, gate: Gate, payments: Payments, ledger: Ledger) -> APIRouter:
    """Return the routes over open payments and the ledger that they post to."""
    routes = calls.router(PREFIX, "payments")
    _add_payments(routes, gate, payments, ledger)
    _add_mandates(routes, calls, gate, payments)
    return routes


def _add_payments(routes: APIRouter, gate: Gate, payments: Payments, ledger: Ledger) -> None:
    may_read = Depends(gate.scope(Permission.PAYMENTS_READ))

    @routes.get("/payments/search")
    async def search(
        scope: Annotated[Scope, may_read],
        q: Annotated[str, Query(min_length=1, max_length=SEARCH_CHARS_MAX, description="Any id.")],
    ) -> models.Found:
        """Find payments by any id: ours of anything around them, the merchant's, the channel's, a customer's."""
        return await _found(payments, scope, storable(q, "q").strip())

    @routes.get("/payments/{id}/story")
    async def story(id: IdPath, scope: Annotated[Scope, may_read]) -> models.PaymentStory:  # noqa: A002
        """Return everything that belongs to a payment, and its whole money trail."""
        told = await payments.intents.story(scope, path_id(Intent.PREFIX, id))
        return models.PaymentStory.of(told, await _accounts(ledger, told.transfers))
