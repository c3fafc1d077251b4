"""Customers and the account of the merchant itself."""

from tongbao.core.ids import int_text, uuid_text
from tongbao.parties.schema import (
    CUSTOMER_PREFIX,
    MERCHANT_PREFIX,
    Address,
    Customer,
    Merchant,
    MerchantState,
)
from tongbao.web.api.v1.renderings.bases import Tree, deleted_object, nulls, seconds

_CUSTOMER_NULLS = nulls(
    *("business_name", "cash_balance", "currency", "customer_account", "default_source", "discount"),
    *("individual_name", "invoice_credit_balance", "invoice_prefix", "shipping", "tax", "test_clock"),
)
_ACCOUNT_NULLS = nulls(
    "business_type", "company", "email", "external_accounts", "individual", "tos_acceptance"
)


def customer_object(customer: Customer, *, live: bool) -> Tree:
    """Return a ``customer``; of a deleted one its id is left."""
    reference = uuid_text(CUSTOMER_PREFIX, customer.customer_id)
    if customer.deleted_at is not None:
        return deleted_object("customer", reference)
    return {
        "id": reference,
        "object": "customer",
        **_CUSTOMER_NULLS,
        "address": address_object(customer.address) if customer.address else None,
        "balance": 0,
        "created": seconds(customer.created_at),
        "delinquent": False,
        "description": customer.description,
        "email": customer.email,
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": customer.default_payment_method,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": live,
        "metadata": customer.metadata,
        "name": customer.name,
        "phone": customer.phone,
        "preferred_locales": [],
        "tax_exempt": "none",
        "version": customer.version,
    }


def address_object(address: Address) -> Tree:
    """Return an address; parts that are not known are null."""
    return {
        "city": address.city or None,
        "country": address.country or None,
        "line1": address.line1 or None,
        "line2": address.line2 or None,
        "postal_code": address.postal_code or None,
        "state": address.region or None,
    }


def account_object(merchant: Merchant) -> Tree:
    """Return the ``account`` of a merchant."""
    is_open = merchant.state is MerchantState.OPEN
    return {
        "id": int_text(MERCHANT_PREFIX, merchant.merchant_id),
        "object": "account",
        **_ACCOUNT_NULLS,
        "business_profile": {
            "mcc": merchant.mcc,
            "name": merchant.display_name,
            **nulls("product_description", "support_email", "support_phone", "support_url", "url"),
        },
        "capabilities": {"card_payments": "active" if is_open else "inactive"},
        "charges_enabled": is_open,
        "controller": {"type": "account"},
        "country": merchant.country,
        "created": seconds(merchant.created_at),
        "default_currency": merchant.default_currency.lower(),
        "details_submitted": True,
        "metadata": merchant.metadata,
        "payouts_enabled": is_open,
        "settings": {"dashboard": {"display_name": merchant.display_name, "timezone": merchant.timezone}},
        "type": "standard",
    }
