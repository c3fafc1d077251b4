"""Payment links, checkout sessions and their line items. Addresses of pages begin with ``cashier_url``."""

from collections.abc import Sequence

from tongbao.payments.schema.checkout import (
    CheckoutSession,
    ExtraKind,
    LineItem,
    PaymentLink,
    SessionState,
)
from tongbao.web.api.v1.renderings.bases import Tree, list_object, maybe_id, nulls, seconds

_LINK_NULLS = nulls(
    *("application", "application_fee_amount", "application_fee_percent", "consent_collection"),
    *("invoice_creation", "managed_payments", "name_collection", "on_behalf_of", "optional_items"),
    *("payment_method_options", "shipping_address_collection", "subscription_data", "transfer_data"),
)
_SESSION_NULLS = nulls(
    *("adaptive_pricing", "after_expiration", "allow_promotion_codes", "allowed_payment_method_types"),
    *("billing_address_collection", "branding_settings", "collected_information", "consent"),
    *("consent_collection", "currency_conversion", "customer_account", "customer_creation", "discounts"),
    *("excluded_payment_method_types", "integration_identifier", "invoice", "invoice_creation"),
    *("managed_payments", "name_collection", "optional_items", "origin_context"),
    *("payment_method_configuration_details", "payment_method_options", "permissions"),
    *("phone_number_collection", "presentment_details", "recovered_from", "redirect_on_completion"),
    *("return_url", "saved_payment_method_options", "setup_intent", "shipping_address_collection"),
    *("shipping_cost", "submit_type", "subscription", "tax_id_collection", "wallet_options"),
)
_TEXTS = nulls("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")


def link_object(link: PaymentLink, cashier_url: str) -> Tree:
    """Return a ``payment_link``."""
    if link.redirect_url:
        after: Tree = {
            "type": "redirect",
            "redirect": {"url": link.redirect_url},
            "hosted_confirmation": None,
        }
    else:
        after = {
            "type": "hosted_confirmation",
            "redirect": None,
            "hosted_confirmation": {"custom_message": None},
        }
    limit = link.completed_count_max
    return {
        "id": link.reference,
        "object": "payment_link",
        **_LINK_NULLS,
        "active": link.active,
        "after_completion": after,
        "allow_promotion_codes": False,
        "amount_total": link.amount_minor,
        "automatic_tax": {"enabled": False, "liability": None},
        "billing_address_collection": "auto",
        "created": seconds(link.created_at),
        "currency": link.currency.lower(),
        "custom_fields": [],
        "custom_text": _TEXTS,
        "customer_creation": "if_required",
        "inactive_message": link.inactive_message,
        "livemode": link.live,
        "metadata": link.metadata,
        "payment_intent_data": {
            "capture_method": link.capture_method.value,
            "metadata": {},
            **nulls("description", "setup_future_usage", "statement_descriptor"),
            **nulls("statement_descriptor_suffix", "transfer_group"),
        },
        "payment_method_collection": "always",
        "payment_method_types": list(link.method_kinds) or None,
        "phone_number_collection": {"enabled": False},
        "restrictions": {"completed_sessions": {"count": link.completed_count, "limit": limit}}
        if limit is not None
        else None,
        "shipping_options": [],
        "submit_type": "auto",
        "tax_id_collection": {"enabled": False, "required": "never"},
        "updated": seconds(link.updated_at),
        "url": f"{cashier_url}/l/{link.reference}",
        "version": link.version,
    }


def session_object(session: CheckoutSession, cashier_url: str) -> Tree:
    """Return a ``checkout.session``; it has an address only while it is open."""
    is_open = session.state is SessionState.OPEN
    details: Tree | None = None
    if session.customer_email:
        details = nulls("address", "business_name", "individual_name", "name", "phone", "tax_ids")
        details |= {"email": session.customer_email, "tax_exempt": "none"}
    return {
        "id": session.reference,
        "object": "checkout.session",
        **_SESSION_NULLS,
        "amount_subtotal": session.subtotal_minor,
        "amount_total": session.amount_minor,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "cancel_url": session.cancel_url,
        "client_reference_id": session.client_reference,
        "client_secret": session.client_secret,
        "created": seconds(session.created_at),
        "currency": session.currency.lower(),
        "custom_fields": [],
        "custom_text": _TEXTS,
        "customer": maybe_id("cus", session.customer_id),
        "customer_details": details,
        "customer_email": session.customer_email,
        "expires_at": seconds(session.expires_at),
        "livemode": session.live,
        "locale": session.locale,
        "metadata": session.metadata,
        "mode": session.mode,
        "payment_intent": maybe_id("pi", session.intent_id),
        "payment_link": maybe_id("plink", session.link_id),
        "payment_method_collection": "always",
        "payment_method_types": list(session.method_kinds),
        "payment_status": "paid" if session.paid else "unpaid",
        "shipping_options": [],
        "status": session.state.value,
        "success_url": session.success_url,
        "total_details": {
            "amount_discount": -session.extra_minor(ExtraKind.DISCOUNT),
            "amount_shipping": session.extra_minor(ExtraKind.SHIPPING),
            "amount_tax": session.extra_minor(ExtraKind.TAX),
            "breakdown": None,
        },
        "ui_mode": "hosted_page",
        "updated": seconds(session.updated_at),
        "url": f"{cashier_url}/c/{session.reference}" if is_open else None,
        "version": session.version,
    }


def line_items_object(owner: str, url: str, items: Sequence[LineItem], currency: str) -> Tree:
    """Return the line items of ``owner`` as a list; an item's id tells its place."""
    return list_object(
        url, [_line_item(owner, at, item, currency.lower()) for at, item in enumerate(items)], has_more=False
    )


def link_items_object(link: PaymentLink, url: str) -> Tree:
    """Return the line items of a link as a list; one whose payer chooses the sum tells its bounds."""
    bounds = link.open_amount
    if bounds is None:
        return line_items_object(link.reference, url, link.items, link.currency)
    custom: Tree = {
        "maximum": bounds.most_minor,
        "minimum": bounds.least_minor,
        "preset": bounds.preset_minor,
    }
    found = [
        _line_item(link.reference, at, item, link.currency.lower()) | {"custom_unit_amount": custom}
        for at, item in enumerate(link.items)
    ]
    return list_object(url, found, has_more=False)


def _line_item(owner: str, at: int, item: LineItem, currency: str) -> Tree:
    return {
        "id": f"li_{owner.rpartition('_')[2]}_{at}",
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": item.total_minor,
        "amount_tax": 0,
        "amount_total": item.total_minor,
        "currency": currency,
        "description": item.description or item.name,
        "discounts": [],
        "metadata": {},
        "name": item.name,
        "price": None,
        "quantity": item.quantity,
        "taxes": [],
        "unit_amount": item.unit_minor,
    }
