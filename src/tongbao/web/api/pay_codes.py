"""``/v2/pay_codes``: a merchant collects with the code that a payer's phone shows.

Codes are made for the payer's own wallet page and nowhere else (``payments.service.pay_codes``). Whether a wallet's money is
real is written where nobody can change it: in the account of its book that says whose book the money comes from.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from tongbao.core.errors import NotFound
from tongbao.core.ids import parse_int
from tongbao.core.requests.asks import Rendered
from tongbao.core.requests.running import Requests
from tongbao.ledger.schema import BOOK_PREFIX, BookId
from tongbao.ledger.service.ledger import Ledger
from tongbao.parties.schema import CUSTOMER_PREFIX, CustomerId, OperatorPermission, Permission, Scope
from tongbao.parties.service.access import operator_of_job
from tongbao.parties.service.parties import Parties
from tongbao.payments.schema.orders import IntentView
from tongbao.payments.service.pay_codes import CODE_CHARS, PayCodeOrder, PayCodes
from tongbao.payments.service.payments import Payments
from tongbao.web.api.access import Gate
from tongbao.web.api.calls import Calls, rendered, replied
from tongbao.web.api.payment_models import Intent
from tongbao.web.api.shapes import Amount, Body, Currency, Text, Url, given_id
from tongbao.web.api.wallets import FUNDING

PREFIX = "/v2"
ACCOUNTS_MAX = 100


class PayCodeCharge(Body):
    """A scanned pay code and what is to be collected with it."""

    code: Text = Field(max_length=CODE_CHARS, description="The text of the code on the payer's phone.")
    amount_minor: Amount
    currency: Currency
    description: Text | None = Field(default=None, max_length=500)
    merchant_reference: Text | None = Field(
        default=None, description="Your own number of it: one number, one payment."
    )
    customer: Text | None = Field(
        default=None, description="`cus_…`; needed above the limit up to which a code pays by itself."
    )
    receipt_email: Text | None = Field(default=None, max_length=250)
    return_url: Url | None = Field(default=None, description="Where the payer comes back to after a proof.")


def open_pay_codes(
    payments: Payments, requests: Requests, parties: Parties, ledger: Ledger, *, secret: bytes
) -> PayCodes:
    """Return the pay codes of a house; ``secret`` is that of its proofs."""
    operator = operator_of_job("pay_codes", frozenset({OperatorPermission.MERCHANTS_READ}))

    async def is_live(wallet_book_id: int) -> bool:
        found = await ledger.accounts.accounts(BookId(wallet_book_id), below=FUNDING, limit=ACCOUNTS_MAX)
        # Each currency has an account of that name; the one below them says whose book it is.
        owners = [each.code.partition("/")[2] for each in found if "/" in each.code]
        if not owners:
            raise NotFound("wallet_unknown", "there is no such wallet")
        book_id = parse_int(BOOK_PREFIX, owners[0])
        merchant = await parties.merchants.of_book(operator, book_id)
        return merchant.live_book_id == book_id

    return PayCodes(payments.intents, requests, payments.clock, is_live, secret=secret)


def router(calls: Calls, gate: Gate, parties: Parties, pay_codes: PayCodes) -> APIRouter:
    """Return the routes over open services."""
    routes = calls.router(PREFIX, "pay codes")
    writer = Depends(gate.scope(Permission.PAYMENTS_WRITE))

    @routes.post("/pay_codes/charges", response_model=Intent, status_code=201)
    async def charge(request: Request, scope: Annotated[Scope, writer], order: PayCodeCharge) -> Response:
        """Collect with a scanned code, once; a decline is an answer too, told in `last_error`."""
        customer_id = None
        if order.customer is not None:
            customer_id = CustomerId(given_id(CUSTOMER_PREFIX, order.customer, "customer"))
            await parties.customers.get(scope, customer_id)
        wanted = PayCodeOrder(
            text=order.code,
            amount_minor=order.amount_minor,
            currency=order.currency,
            description=order.description,
            merchant_reference=order.merchant_reference,
            customer_id=customer_id,
            receipt_email=order.receipt_email,
            return_url=order.return_url,
        )
        done = await pay_codes.charge(scope, wanted, ask=calls.ask(request, _intent, moves_money=True))
        return replied(done, _intent)

    return routes


def _intent(view: IntentView) -> Rendered:
    return rendered(Intent.of(view.intent), 201)
