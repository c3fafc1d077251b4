"""Events, webhook endpoints, balances and balance transactions, and the object of an event for any document."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import json, structs

from tongbao.core.ids import uuid_text
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.balances import BalanceLine, BalanceTransaction
from tongbao.payments.schema.checkout import CheckoutSession, PaymentLink
from tongbao.payments.schema.complaints import Complaint
from tongbao.payments.schema.facts import AnyDocument
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.methods import Mandate, PaymentMethod, SetupIntent
from tongbao.payments.schema.notices import AccountNotice, PayoutNotice
from tongbao.payments.schema.refunds import Dispute, Refund
from tongbao.payments.schema.webhooks import Endpoint, EventRow
from tongbao.web.api.v1.renderings.attempts import charge_object
from tongbao.web.api.v1.renderings.bases import TRANSACTION_PREFIX, Tree, encode, nulls, seconds
from tongbao.web.api.v1.renderings.checkout import link_object, session_object
from tongbao.web.api.v1.renderings.intents import bare_intent_object
from tongbao.web.api.v1.renderings.methods import bare_setup_object, mandate_object, method_object
from tongbao.web.api.v1.renderings.payouts import account_object, payout_object
from tongbao.web.api.v1.renderings.refunds import complaint_object, dispute_object, refund_object

API_VERSION = "2026-10-28.endive"
"""The version of Stripe's interface whose shapes these are."""


def event_object(event: EventRow, cashier_url: str) -> Tree:
    """Return an ``event`` with its object as it was. ``sequence``, of ours, orders the events of one object."""
    now = _document(event, cashier_url)
    data: Tree = {"object": now}
    if event.previous is not None:
        earlier = {**json.decode(event.snapshot), **json.decode(event.previous)}
        before = _document(structs.replace(event, snapshot=json.encode(earlier).decode()), cashier_url)
        data["previous_attributes"] = {
            name: value
            for name, value in before.items()
            if value != now.get(name) and name not in ("updated", "version")
        }
    return {
        "id": event.reference,
        "object": "event",
        "account": None,
        "api_version": API_VERSION,
        "context": None,
        "created": seconds(event.created_at),
        "data": data,
        "livemode": event.live,
        "pending_webhooks": 0,
        "request": {"id": event.request_id, "idempotency_key": event.idempotency_key},
        "sequence": event.sequence,
        "type": event.type,
    }


def event_bytes(event: EventRow, cashier_url: str) -> bytes:
    """Return an event as webhooks carry it: the same bytes at every attempt."""
    return encode(event_object(event, cashier_url))


def _document(event: EventRow, cashier_url: str) -> Tree:
    document = event.document()
    match document:
        case Endpoint():
            return endpoint_object(document)
        case PayoutNotice():
            return payout_object(document)
        case AccountNotice():
            return account_object(document)
    return document_object(document, cashier_url, event.created_at)


def document_object(document: AnyDocument, cashier_url: str, now: datetime) -> Tree:
    """Return the object of an event about a document, as it was at its commit."""
    match document:
        case Intent():
            return bare_intent_object(document)
        case Attempt():
            return charge_object(document)
        case Refund():
            return refund_object(document)
        case Dispute():
            return dispute_object(document, now)
        case Complaint():
            return complaint_object(document)
        case PaymentMethod():
            return method_object(document)
        case SetupIntent():
            return bare_setup_object(document)
        case Mandate():
            return mandate_object(document)
        case PaymentLink():
            return link_object(document, cashier_url)
        case CheckoutSession():
            return session_object(document, cashier_url)
    return {
        "id": document.reference,
        "object": "wallet_transfer",
        "amount": document.amount_minor,
        "created": seconds(document.created_at),
        "currency": document.currency.lower(),
        "livemode": document.live,
        "metadata": document.metadata,
        "note": document.note,
    }


def endpoint_object(endpoint: Endpoint, secret: str | None = None) -> Tree:
    """Return a ``webhook_endpoint``; its secret is told once, when it is made."""
    tree: Tree = {
        "id": endpoint.reference,
        "object": "webhook_endpoint",
        "api_version": endpoint.api_version or API_VERSION,
        "application": None,
        "created": seconds(endpoint.created_at),
        "description": endpoint.description or None,
        "disabled_reason": endpoint.disabled_reason,
        "enabled_events": list(endpoint.enabled_events),
        "livemode": endpoint.live,
        "metadata": endpoint.metadata,
        "status": endpoint.state.value,
        "updated": seconds(endpoint.updated_at),
        "url": endpoint.url,
        "version": endpoint.version,
    }
    return tree | ({"secret": secret} if secret is not None else {})


def balance_object(lines: Sequence[BalanceLine], *, live: bool) -> Tree:
    """Return the ``balance``, one entry a currency."""
    return {
        "object": "balance",
        "available": [_money(line.currency, line.available_minor) for line in lines],
        **nulls("connect_reserved", "instant_available", "issuing", "refund_and_dispute_prefunding"),
        "livemode": live,
        "pending": [_money(line.currency, line.pending_minor) for line in lines],
    }


def transaction_object(transaction: BalanceTransaction) -> Tree:
    """Return a ``balance_transaction``; derived from the journal, never stored."""
    currency = transaction.currency.lower()
    fees: list[Tree] = []
    if transaction.fee_minor:
        fees = [
            {
                "amount": transaction.fee_minor,
                "application": None,
                "currency": currency,
                "description": "processing fee",
                "type": "processing_fee",
            }
        ]
    return {
        "id": uuid_text(TRANSACTION_PREFIX, transaction.id),
        "object": "balance_transaction",
        "amount": transaction.amount_minor,
        "available_on": seconds(transaction.available_at),
        "balance_type": "payments",
        "created": seconds(transaction.created_at),
        "currency": currency,
        "description": transaction.description,
        "exchange_rate": None,
        "fee": transaction.fee_minor,
        "fee_details": fees,
        "net": transaction.amount_minor - transaction.fee_minor,
        "reporting_category": transaction.type,
        "source": transaction.source,
        "status": "available" if transaction.is_available else "pending",
        "type": transaction.type,
    }


def _money(currency: str, amount_minor: int) -> Tree:
    return {"amount": amount_minor, "currency": currency.lower(), "source_types": {}}
