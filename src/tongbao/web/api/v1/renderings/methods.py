"""Payment methods, set-up intents, mandates and card tokens."""

from tongbao.channels.schema import Alipay, Card, Method, WechatPay, kind_of
from tongbao.core.ids import uuid_text
from tongbao.payments.schema.methods import Mandate, MandateState, PaymentMethod, SetupIntent
from tongbao.payments.schema.orders import SetupView
from tongbao.web.api.v1.declines import error_object
from tongbao.web.api.v1.renderings.bases import Tree, maybe_id, maybe_seconds, nulls, seconds

TOKEN_PREFIX = "tok"  # noqa: S105  # the beginning of every token
_ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")
_CARD_NULLS = nulls("description", "generated_from", "issuer", "regulated_status", "wallet")


def card_checks(cvc_check: str | None) -> Tree:
    """Return what was checked of a card."""
    return {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": cvc_check}


def card_object(card: Card, fingerprint: str | None) -> Tree:
    """Return what may be shown of a card: never more than first six and last four digits."""
    return {
        **_CARD_NULLS,
        "brand": card.brand,
        "checks": card_checks(None),
        "country": card.country,
        "display_brand": card.brand,
        "exp_month": card.exp_month,
        "exp_year": card.exp_year,
        "fingerprint": fingerprint,
        "funding": card.funding,
        "iin": card.card_bin[:6],
        "last4": card.last4,
        "networks": {"available": [card.brand], "preferred": None},
        "three_d_secure_usage": {"supported": False},
    }


def details_of(method: Method, fingerprint: str | None) -> Tree:
    """Return the part of a payment method that only its kind has, under the name of its kind."""
    kind = kind_of(method)
    if isinstance(method, Card):
        return {kind: card_object(method, fingerprint)}
    if isinstance(method, Alipay | WechatPay):
        return {kind: {"presentment": method.presentment.value}}
    return {kind: {}}


def billing_object(billing: dict[str, object]) -> Tree:
    """Return billing details with every field there is."""
    address = billing.get("address")
    inner = address if isinstance(address, dict) else {}
    return {
        "address": {name: inner.get(name) for name in _ADDRESS},
        "email": billing.get("email"),
        "name": billing.get("name"),
        "phone": billing.get("phone"),
        "tax_id": None,
    }


def method_object(method: PaymentMethod) -> Tree:
    """Return a ``payment_method``."""
    return {
        "id": method.reference,
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": billing_object(method.billing),
        "created": seconds(method.created_at),
        "customer": maybe_id("cus", method.customer_id),
        "customer_account": None,
        "livemode": method.live,
        "metadata": method.metadata,
        "radar_options": {},
        "type": method.kind,
        **details_of(method.method, method.fingerprint),
        "updated": seconds(method.updated_at),
        "version": method.version,
    }


_SETUP_NULLS = nulls(
    *("allowed_payment_method_types", "application", "attach_to_self", "automatic_payment_methods"),
    *("customer_account", "excluded_payment_method_types", "flow_directions", "latest_attempt"),
    *("managed_payments", "next_action", "on_behalf_of", "payment_method_configuration_details"),
    *("payment_method_options", "single_use_mandate"),
)


def setup_object(view: SetupView) -> Tree:
    """Return a ``setup_intent``; what it could not keep stands in ``last_setup_error``."""
    setup = view.setup
    error: Tree | None = None
    if setup.last_error is not None:
        error = error_object(setup.last_error)
        error["payment_method"] = method_object(view.method) if view.method else None
    kind = view.method.kind if view.method else "card"
    return {
        "id": setup.reference,
        "object": "setup_intent",
        **_SETUP_NULLS,
        "cancellation_reason": setup.cancel_reason,
        "client_secret": setup.client_secret,
        "created": seconds(setup.created_at),
        "customer": maybe_id("cus", setup.customer_id),
        "description": setup.description,
        "last_setup_error": error,
        "livemode": setup.live,
        "mandate": maybe_id("mandate", setup.mandate_id),
        "metadata": setup.metadata,
        "payment_method": maybe_id("pm", setup.method_id),
        "payment_method_types": [kind],
        "status": setup.state.value,
        "updated": seconds(setup.updated_at),
        "usage": setup.usage,
        "version": setup.version,
    }


def bare_setup_object(setup: SetupIntent) -> Tree:
    """Return a ``setup_intent`` where its method is not at hand."""
    return setup_object(SetupView(setup))


def mandate_object(mandate: Mandate, kind: str = "card") -> Tree:
    """Return a ``mandate``; its caps are fields of ours, minor units of ``currency``. ``kind``: of its method."""
    cap: Tree = {
        "amount": mandate.amount_minor_max,
        "currency": mandate.currency.lower() if mandate.currency else None,
    }
    return {
        "id": mandate.reference,
        "object": "mandate",
        "customer_acceptance": {
            "accepted_at": seconds(mandate.accepted_at),
            "offline": None,
            "online": {"ip_address": mandate.accepted_address, "user_agent": None},
            "type": "online",
        },
        "caps": {
            **cap,
            "ends_at": maybe_seconds(mandate.ends_at),
            "period": mandate.period.value if mandate.period else None,
            "period_amount": mandate.period_minor_max,
            "period_count": mandate.period_count_max,
            "used_amount": mandate.used_minor,
            "used_count": mandate.used_count,
        },
        "created": seconds(mandate.created_at),
        "livemode": mandate.live,
        "multi_use": None if mandate.single_use else cap,
        "on_behalf_of": None,
        "payment_method": uuid_text("pm", mandate.method_id),
        "payment_method_details": {"type": kind, kind: {}},
        "single_use": cap if mandate.single_use else None,
        "paused": mandate.state is MandateState.PAUSED,
        "status": _mandate_status(mandate),
        "type": "single_use" if mandate.single_use else "multi_use",
        "version": mandate.version,
    }


def _mandate_status(mandate: Mandate) -> str:
    """Return the state in Stripe's words, which have none for a pause: it may not be used."""
    state = MandateState.INACTIVE if mandate.state is MandateState.PAUSED else mandate.state
    return state.value


def token_object(method: PaymentMethod) -> Tree:
    """Return a ``token``: a card that was kept, and may be named in ``payment_method_data[card][token]``."""
    assert isinstance(method.method, Card)
    shown = card_object(method.method, method.fingerprint)
    reference = uuid_text(TOKEN_PREFIX, method.id)
    names = ("brand", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4")
    return {
        "id": reference,
        "object": "token",
        "bank_account": None,
        "card": {"id": reference, "object": "card", **{name: shown[name] for name in names}},
        "client_ip": None,
        "created": seconds(method.created_at),
        "livemode": method.live,
        "type": "card",
        "used": False,
    }
