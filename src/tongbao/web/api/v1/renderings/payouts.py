"""Payouts and the accounts that they go to, as events carry them in the shapes of Stripe's interface.

``batch``, ``end_to_end`` and ``settlement_state`` are ours: the batch that is paid, what every bank on the way finds the payout by,
and the state that ``/v2/payouts`` tells.
"""

from datetime import UTC, datetime, time

from tongbao.core.ids import uuid_text
from tongbao.payments.schema.notices import AccountNotice, PayoutNotice
from tongbao.web.api.v1.renderings.bases import Tree, nulls, seconds

PAYOUT_PREFIX = "po"
ACCOUNT_PREFIX = "dst"
BATCH_PREFIX = "bat"
_STATUSES = {
    "created": "pending",
    "sent": "in_transit",
    "accepted": "in_transit",
    "unresolved": "in_transit",
    "paid": "paid",
    "rejected": "failed",
    "returned": "failed",
    "canceled": "canceled",
}
_ACCOUNT_STATUSES = {
    "proposed": "new",
    "cooling": "validated",
    "active": "verified",
    "paused": "errored",
    "retired": "errored",
}


def payout_object(payout: PayoutNotice) -> Tree:
    """Return a ``payout``; one that came back is ``failed``, as Stripe has it, and ``settlement_state`` tells the difference."""
    status = _STATUSES[payout.state]
    return {
        "id": uuid_text(PAYOUT_PREFIX, payout.id),
        "object": "payout",
        "amount": payout.amount_minor,
        "arrival_date": int(datetime.combine(payout.arrive_on, time(), UTC).timestamp()),
        "automatic": True,
        "batch": uuid_text(BATCH_PREFIX, payout.batch_id),
        "created": seconds(payout.created_at),
        "currency": payout.currency.lower(),
        "destination": uuid_text(ACCOUNT_PREFIX, payout.destination_id),
        "end_to_end": payout.end_to_end,
        "failure_code": (payout.failure_code or None) if status == "failed" else None,
        "livemode": payout.live,
        "metadata": {},
        "method": "standard",
        "reconciliation_status": "not_applicable",
        "settlement_state": payout.state,
        "source_type": "card",
        "status": status,
        "type": "bank_account",
        "version": payout.version,
        **nulls(
            *("application_fee", "application_fee_amount", "balance_transaction", "description"),
            *("failure_balance_transaction", "failure_message", "original_payout", "payout_method"),
            *("reversed_by", "statement_descriptor", "trace_id"),
        ),
    }


def account_object(account: AccountNotice) -> Tree:
    """Return a ``bank_account``; of its number only the end is told."""
    return {
        "id": uuid_text(ACCOUNT_PREFIX, account.id),
        "object": "bank_account",
        "account_holder_name": account.holder,
        "country": account.country,
        "created": seconds(account.created_at),
        "currency": account.currency.lower(),
        "default_for_currency": account.state == "active",
        "last4": account.last4,
        "livemode": account.live,
        "metadata": {},
        "settlement_state": account.state,
        "status": _ACCOUNT_STATUSES[account.state],
        "usable_at": None if account.usable_at is None else seconds(account.usable_at),
        "version": account.version,
        **nulls(
            *("account", "account_holder_type", "account_type", "available_payout_methods", "bank_name"),
            *("customer", "fingerprint", "future_requirements", "requirements", "routing_number"),
        ),
    }
