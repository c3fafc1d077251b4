"""Chart templates: the accounts that a book of each kind begins with.

Balances are signed credits minus debits. A debit-normal account that must not go the wrong way therefore has
ceiling 0, a credit-normal one floor 0. Accounts without limits that every payment touches are striped.
Sub-accounts are opened below these by path: ``available/store_12``, ``collection/order_99``.
"""

import msgspec

from tongbao.core.errors import InvalidRequest
from tongbao.ledger.schema import Side


class AccountSpec(msgspec.Struct, frozen=True):
    """How an account of a template is opened."""

    code: str
    name: str
    side: Side
    floor_minor: int | None = None
    ceiling_minor: int | None = None
    striped: bool = False


_D, _C = Side.DEBIT, Side.CREDIT

TEMPLATES: dict[str, tuple[AccountSpec, ...]] = {
    # One per merchant: a payment posts inside this book alone.
    "merchant": (
        AccountSpec("channel_receivable", "Owed by channels", _D),
        AccountSpec("in_transit", "Captured, not yet settled by the channel", _C),
        AccountSpec("available", "Payable to the merchant now", _C, floor_minor=0),
        AccountSpec("merchant_reserve", "Rolling reserve", _C, floor_minor=0),
        AccountSpec("fee_revenue", "Fees earned from this merchant", _C),
        AccountSpec("channel_cost", "Costs of channels", _D),
        AccountSpec("refund_clearing", "Refunds on their way to payers", _C),
        AccountSpec("dispute_reserve", "Withheld for open disputes", _C, floor_minor=0),
        AccountSpec("payout_clearing", "Payouts on their way to the bank", _C),
        AccountSpec("house_receivable", "Held by the house for the merchant", _D),
        AccountSpec("merchant_debt", "Owed by the merchant", _D, ceiling_minor=0),
        AccountSpec("write_offs", "Differences written off", _D),
        AccountSpec("coupon_funding", "Put aside for coupons by whoever funds them", _D),
        AccountSpec("coupon_budget", "What coupons may still cost", _C, floor_minor=0),
        AccountSpec("suspense", "Not yet explained", _C),
    ),
    # One per wallet owner.
    "wallet": (
        AccountSpec("wallet_funding", "Money that backs the wallet", _D),
        AccountSpec("wallet", "The owner's money", _C, floor_minor=0),
        AccountSpec("wallet_clearing", "On its way to another book", _C),
        AccountSpec("suspense", "Not yet explained", _C),
    ),
    # The platform's own funds.
    "platform": (
        AccountSpec("bank", "Money in the bank", _D),
        AccountSpec("clearing", "Between books", _C, striped=True),
        AccountSpec("fee_revenue", "Fees earned", _C, striped=True),
        AccountSpec("channel_cost", "Costs of channels", _D, striped=True),
        AccountSpec("fx_gain_loss", "Gains and losses of conversion", _C, striped=True),
        AccountSpec("write_offs", "Differences written off", _D),
        AccountSpec("equity", "Paid in by the owners", _C),
        AccountSpec("suspense", "Not yet explained", _C),
    ),
    # No accounts of its own: for importers, points and experiments.
    "empty": (),
}


def template(name: str) -> tuple[AccountSpec, ...]:
    """Return the accounts of a template; raise InvalidRequest ``template_unknown``."""
    if name not in TEMPLATES:
        raise InvalidRequest(
            "template_unknown", f"no chart template {name}; there are {', '.join(TEMPLATES)}"
        )
    return TEMPLATES[name]
