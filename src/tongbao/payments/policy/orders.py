"""Which orders make sense: amounts, methods, states. Refusals name the parameter; codes are Stripe's where it has one."""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from tongbao.channels.schema import METHOD_KINDS, Method, kind_of
from tongbao.core import currencies
from tongbao.core.errors import InvalidRequest
from tongbao.ledger.schema import AMOUNT_MINOR_MAX
from tongbao.payments.errors import BadAmount, BadParameter, WrongState
from tongbao.payments.policy import schedule, step_ups
from tongbao.payments.schema.attempts import OPEN, Attempt
from tongbao.payments.schema.documents import (
    METADATA_KEY_CHARS_MAX,
    METADATA_KEYS_MAX,
    METADATA_VALUE_CHARS_MAX,
)
from tongbao.payments.schema.intents import (
    CONFIRMABLE,
    DESCRIPTION_CHARS_MAX,
    DESCRIPTOR_CHARS_MAX,
    REFERENCE_CHARS_MAX,
    CaptureMethod,
    Intent,
    IntentState,
)
from tongbao.payments.schema.orders import IntentChange, IntentOrder

DEFAULT_KINDS = ("card",)
CHANGEABLE = frozenset(
    {
        IntentState.REQUIRES_PAYMENT_METHOD,
        IntentState.REQUIRES_CONFIRMATION,
        IntentState.REQUIRES_ACTION,
    }
)
LIFE_MAX = timedelta(days=30)


def intent_from(
    order: IntentOrder, *, intent_id: UUID, book_id: int, live: bool, client_secret: str, now: datetime
) -> Intent:
    """Return the intent that an order asks for; raise BadAmount or BadParameter.

    Without an ``expires_at`` of its own it lives for ``schedule.INTENT_LIFE``.
    """
    currency = known_currency(order.currency)
    check_amount(order.amount_minor, "amount")
    check_metadata(order.metadata)
    check_texts(order.description, order.descriptor, order.merchant_reference)
    kinds = known_kinds(order.method_kinds)
    if order.method is not None and kind_of(order.method) not in kinds:
        raise BadParameter(
            "payment_method_type_mismatch", "payment_method", "the method is not of an allowed type"
        )
    check_top_up(order.wallet_book_id, order.capture_method)
    # A method that is given in full is there only for a confirmation that comes with it.
    has_method = order.method_id is not None or (order.method is not None and order.confirm is not None)
    return Intent(
        id=intent_id,
        book_id=book_id,
        live=live,
        created_at=now,
        updated_at=now,
        due_at=expiry(order.expires_at, now),
        expires_at=expiry(order.expires_at, now),
        state=IntentState.REQUIRES_CONFIRMATION if has_method else IntentState.REQUIRES_PAYMENT_METHOD,
        amount_minor=order.amount_minor,
        currency=currency,
        capture_method=order.capture_method,
        method_kinds=kinds,
        method_id=order.method_id,
        customer_id=order.customer_id,
        description=order.description,
        descriptor=order.descriptor,
        receipt_email=order.receipt_email,
        merchant_reference=order.merchant_reference,
        transfer_group=order.transfer_group,
        setup_future_usage=order.setup_future_usage,
        shipping=order.shipping,
        metadata=order.metadata,
        client_secret=client_secret,
        link_id=order.link_id,
        session_id=order.session_id,
        wallet_book_id=order.wallet_book_id,
        must_prove=order.must_prove,
    )


def changed_intent(
    intent: Intent, change: IntentChange, now: datetime, attempt: Attempt | None = None
) -> Intent:
    """Return the intent with what was changed before it is confirmed; ``attempt`` is its latest.

    Raises WrongState ``payment_intent_unexpected_state`` where nothing but metadata and description may change,
    ``payment_intent_attempt_open`` while its payer is asked for what the intent said before.
    """
    fields = {
        name: value
        for name in IntentChange.__struct_fields__
        if (value := getattr(change, name)) is not msgspec.UNSET
    }
    if set(fields) - {"metadata", "description"} and intent.state not in CHANGEABLE:
        raise unexpected(intent, "change")
    if set(fields) - {"metadata", "description"}:
        _check_no_attempt_open(intent, attempt)
    check_top_up(intent.wallet_book_id, fields.get("capture_method", CaptureMethod.AUTOMATIC))
    if "amount_minor" in fields:
        check_amount(fields["amount_minor"], "amount")
    if "currency" in fields:
        fields["currency"] = known_currency(fields["currency"])
    if "method_kinds" in fields:
        fields["method_kinds"] = known_kinds(fields["method_kinds"])
    if "metadata" in fields:
        fields["metadata"] = merged_metadata(intent.metadata, fields["metadata"])
    check_texts(fields.get("description"), fields.get("descriptor"), None)
    state = intent.state
    if fields.get("method_id") is not None:
        state = IntentState.REQUIRES_CONFIRMATION
    elif "method_id" in fields:
        state = IntentState.REQUIRES_PAYMENT_METHOD
    elif step_ups.is_waiting(intent, attempt) and step_ups.BOUND & set(fields):
        # What the payer was to prove is no longer what is asked for.
        state = IntentState.REQUIRES_CONFIRMATION
    if intent.state is IntentState.REQUIRES_ACTION and state is not intent.state:
        fields |= {"next_action": None, "due_at": intent.expires_at}
    return intent.changed(now, **fields, state=state)


def check_confirmable(intent: Intent, attempt: Attempt | None) -> None:
    """Raise WrongState where an intent cannot be confirmed, or an attempt that may still succeed is under way."""
    if intent.state not in CONFIRMABLE:
        raise unexpected(intent, "confirm")
    _check_no_attempt_open(intent, attempt)


def check_method(intent: Intent, method: Method) -> None:
    """Raise BadParameter where the intent does not take this kind of method."""
    kind = kind_of(method)
    if kind not in intent.method_kinds:
        raise BadParameter(
            "payment_method_type_mismatch",
            "payment_method",
            f"{intent.reference} takes {', '.join(intent.method_kinds)}, not {kind}",
            payment_intent=intent.reference,
        )


def in_review(intent: Intent) -> WrongState:
    """Return the error for a capture or increment of a payment that people are still looking at."""
    return WrongState(
        "payment_intent_in_review",
        f"{intent.reference} is held for a review and is captured or canceled by its result",
        payment_intent=intent.reference,
    )


def unexpected(intent: Intent, verb: str) -> WrongState:
    """Return the error for an act that the state of an intent does not allow."""
    return WrongState(
        "payment_intent_unexpected_state",
        f"{intent.reference} is {intent.state}; it cannot be used to {verb}",
        payment_intent=intent.reference,
        status=intent.state.value,
    )


def known_currency(code: str) -> str:
    """Return the code of money in capitals; raise BadParameter ``invalid_currency``, also for metals and the like."""
    try:
        known = currencies.currency(code.upper())
    except InvalidRequest as error:
        raise BadParameter("invalid_currency", "currency", f"no ISO 4217 currency {code[:8]}") from error
    if known.kind is not currencies.Kind.MONEY:
        raise BadParameter("invalid_currency", "currency", f"{known.code} is nothing that people pay with")
    return known.code


def known_kinds(kinds: tuple[str, ...]) -> tuple[str, ...]:
    """Return the kinds of method, cards where none is named; raise BadParameter for one that does not exist."""
    for kind in kinds:
        if kind not in METHOD_KINDS:
            raise BadParameter(
                "payment_method_type_unknown", "payment_method_types", f"there are {', '.join(METHOD_KINDS)}"
            )
    return tuple(dict.fromkeys(kinds)) or DEFAULT_KINDS


def shown_kinds(kinds: tuple[str, ...]) -> tuple[str, ...]:
    """Return the kinds of method that a checkout may offer: all where none is named, of which it shows what channels carry.

    Raises as ``known_kinds``.
    """
    return known_kinds(kinds or METHOD_KINDS)


def check_amount(amount_minor: int, param: str) -> None:
    """Raise BadAmount unless an amount is positive and one that the ledger can post."""
    if amount_minor <= 0:
        raise BadAmount("amount_too_small", param, "an amount is at least one minor unit")
    if amount_minor > AMOUNT_MINOR_MAX:
        raise BadAmount("amount_too_large", param, f"an amount is at most {AMOUNT_MINOR_MAX}")


def check_metadata(metadata: dict[str, str]) -> None:
    """Raise BadParameter where metadata has too many keys, or too long ones."""
    if len(metadata) > METADATA_KEYS_MAX:
        raise BadParameter("metadata_too_large", "metadata", f"metadata has at most {METADATA_KEYS_MAX} keys")
    for key, value in metadata.items():
        if not 0 < len(key) <= METADATA_KEY_CHARS_MAX or len(value) > METADATA_VALUE_CHARS_MAX:
            raise BadParameter(
                "metadata_too_large",
                "metadata",
                f"keys have 1 to {METADATA_KEY_CHARS_MAX}, values at most {METADATA_VALUE_CHARS_MAX} characters",
            )


def merged_metadata(before: dict[str, str], change: dict[str, str]) -> dict[str, str]:
    """Return metadata with a change merged in: an empty value removes its key."""
    merged = {key: value for key, value in (before | change).items() if value != ""}
    check_metadata(merged)
    return merged


def check_texts(description: str | None, descriptor: str | None, reference: str | None) -> None:
    """Raise BadParameter for texts that are too long, or a merchant reference that is empty."""
    for text, param, longest in (
        (description, "description", DESCRIPTION_CHARS_MAX),
        (descriptor, "statement_descriptor", DESCRIPTOR_CHARS_MAX),
        (reference, "merchant_reference", REFERENCE_CHARS_MAX),
    ):
        if text is not None and len(text) > longest:
            raise BadParameter("parameter_too_long", param, f"at most {longest} characters")
    if reference == "":
        raise BadParameter("parameter_invalid_empty", "merchant_reference", "leave it out, or name the order")


def expiry(asked: datetime | None, now: datetime) -> datetime:
    """Return until when an intent may be paid; raise BadParameter for the past or too far a future."""
    if asked is None:
        return now + schedule.INTENT_LIFE
    if not now < asked <= now + LIFE_MAX:
        raise BadParameter(
            "expires_at_invalid", "expires_at", f"between now and {LIFE_MAX.days} days from now"
        )
    return asked


def captures_at_once(intent: Intent, asked: CaptureMethod | None) -> bool:
    """Return whether the channel is told to claim the money with the authorization."""
    return (asked or intent.capture_method).at_once


def _check_no_attempt_open(intent: Intent, attempt: Attempt | None) -> None:
    if attempt is not None and attempt.state in OPEN:
        raise WrongState(
            "payment_intent_attempt_open",
            f"an attempt of {intent.reference} may still succeed; cancel it, or wait until it is known",
            payment_intent=intent.reference,
        )


def check_top_up(wallet_book_id: int | None, capture_method: CaptureMethod) -> None:
    """Raise BadParameter where a wallet would be topped up by anything but an automatic capture."""
    if wallet_book_id is not None and capture_method is not CaptureMethod.AUTOMATIC:
        raise BadParameter(
            "parameter_invalid", "capture_method", "a wallet is topped up by automatic captures"
        )
