"""Payment intents. The hottest rendering of all: the tree is built in one go and encoded once."""

from tongbao.channels.schema import Action, ActionKind, kind_of
from tongbao.core.ids import uuid_text
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.orders import IntentView
from tongbao.web.api.v1.declines import error_object
from tongbao.web.api.v1.renderings.bases import CHARGE_PREFIX, Tree, maybe_seconds, nulls
from tongbao.web.api.v1.renderings.methods import method_object
from tongbao.web.api.v1.renderings.outcomes import stopped_outcome

_NULLS = nulls(
    *("allowed_payment_method_types", "amount_details", "application", "application_fee_amount"),
    *("automatic_payment_methods", "customer_account", "excluded_payment_method_types", "hooks"),
    *("managed_payments", "on_behalf_of", "payment_details", "payment_method_configuration_details"),
    *("payment_method_options", "payment_record", "presentment_details", "processing", "review", "source"),
    *("statement_descriptor_suffix", "transfer_data"),
)


def intent_object(view: IntentView) -> Tree:
    """Return a ``payment_intent``, with our side fields for what Stripe's states cannot say."""
    intent = view.intent
    return {
        "id": intent.reference,
        "object": "payment_intent",
        **_NULLS,
        "amount": intent.amount_minor,
        "amount_capturable": intent.amount_capturable_minor,
        "amount_received": intent.amount_received_minor,
        "amount_refunded": intent.amount_refunded_minor,
        "canceled_at": maybe_seconds(intent.canceled_at),
        "cancellation_reason": intent.cancel_reason,
        "capture_method": intent.capture_method,
        "capture_state": intent.capture_state,
        "client_secret": intent.client_secret,
        "confirmation_method": "automatic",
        "created": int(intent.created_at.timestamp()),
        "currency": intent.currency.lower(),
        "customer": uuid_text("cus", intent.customer_id) if intent.customer_id else None,
        "description": intent.description,
        "expires_at": maybe_seconds(intent.expires_at),
        "last_payment_error": _last_error(view) if intent.last_error else None,
        "latest_charge": uuid_text(CHARGE_PREFIX, intent.attempt_id) if intent.attempt_id else None,
        "livemode": intent.live,
        "mandate": uuid_text("mandate", intent.mandate_id) if intent.mandate_id else None,
        "merchant_reference": intent.merchant_reference,
        "metadata": intent.metadata,
        "next_action": _next_action(intent.next_action, view) if intent.next_action else None,
        "outcome_certainty": intent.certainty,
        "payment_method": uuid_text("pm", intent.method_id) if intent.method_id else None,
        "payment_method_types": intent.method_kinds,
        "receipt_email": intent.receipt_email,
        "risk_state": intent.risk_state,
        "setup_future_usage": intent.setup_future_usage,
        "shipping": intent.shipping,
        "statement_descriptor": intent.descriptor,
        "status": intent.state,
        "transfer_group": intent.transfer_group,
        "updated": int(intent.updated_at.timestamp()),
        "version": intent.version,
    }


def bare_intent_object(intent: Intent) -> Tree:
    """Return a ``payment_intent`` where its attempt and method are not at hand."""
    return intent_object(IntentView(intent))


def _last_error(view: IntentView) -> Tree:
    assert view.intent.last_error is not None
    error = error_object(view.intent.last_error)
    error["payment_method"] = method_object(view.method) if view.method else None
    error["payment_method_type"] = _kind(view)
    error["outcome"] = stopped_outcome(view.intent)
    return error


def _kind(view: IntentView) -> str:
    """Return with what kind of method the payer acts, as far as it can be known."""
    if view.attempt is not None:
        return kind_of(view.attempt.method)
    if view.method is not None:
        return view.method.kind
    return view.intent.method_kinds[0] if len(view.intent.method_kinds) == 1 else "card"


def _next_action(action: Action, view: IntentView) -> Tree:
    """Return what the payer must do, in Stripe's words where it has any for this kind of method."""
    kind = _kind(view)
    expires: Tree = {"expires_at": maybe_seconds(action.expires_at)}
    if action.kind is ActionKind.REDIRECT:
        back: Tree = {"return_url": view.intent.return_url, "url": action.url}
        if kind == "alipay":
            back |= {"native_data": None, "native_url": None}
            return {"type": "alipay_handle_redirect", "alipay_handle_redirect": back, **expires}
        return {"type": "redirect_to_url", "redirect_to_url": back, **expires}
    if action.kind is ActionKind.SHOW_QR:
        name = "wechat_pay_display_qr_code" if kind == "wechat_pay" else "display_qr_code"
        pictures = nulls("hosted_instructions_url", "image_data_url", "image_url_png", "image_url_svg")
        return {"type": name, name: {"data": action.qr_text, **pictures}, **expires}
    if action.kind is ActionKind.INVOKE_APP:
        return {"type": "invoke_app", "invoke_app": {"data": action.data, "url": action.url}, **expires}
    return {"type": "await_payer", "await_payer": {}, **expires}
