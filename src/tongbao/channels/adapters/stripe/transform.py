"""From calls to form fields, and from Stripe's objects to answers. The only place where its amounts are written.

Stripe counts in the smallest unit of a currency, and means its own list by that: the króna and the shilling of
Uganda, without decimals in ISO 4217, are written with two (and the two must be zeros), the ariary of Madagascar
without any, and in currencies of three decimals the last digit must be zero. What cannot be written is refused,
never rounded. Source: Stripe's public pages "Currencies", "PaymentIntents", "Charges", "Refunds".
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tongbao.channels.policy.reasons import standard
from tongbao.channels.schema import (
    Action,
    ActionKind,
    Answer,
    Authentication,
    AuthenticationFlow,
    AuthenticationResult,
    Operation,
    Outcome,
    Reason,
)
from tongbao.core import currencies
from tongbao.core.errors import InvalidRequest
from tongbao.privacy.schema import RevealedCard

Json = Mapping[str, Any]

_EXPONENTS = {"ISK": 2, "UGX": 2, "MGA": 0}
_STEPS = {"ISK": 100, "UGX": 100}


class Unwritable(Exception):
    """An amount that Stripe cannot express in this currency."""


def to_wire(amount_minor: int, currency: str) -> int:
    """Return Stripe's number for an amount in minor units; raise Unwritable where there is none."""
    exponent = currencies.currency(currency).exponent
    wire_exponent = _EXPONENTS.get(currency, exponent)
    if wire_exponent >= exponent:
        wire, rest = amount_minor * _ten_to(wire_exponent - exponent), 0
    else:
        wire, rest = divmod(amount_minor, _ten_to(exponent - wire_exponent))
    if rest or wire % _step(currency):
        raise Unwritable(f"{amount_minor} minor units of {currency}")
    return wire


def from_wire(wire: int, currency: str) -> int:
    """Return the minor units of Stripe's number; raise Unwritable for a fraction of one."""
    exponent = currencies.currency(currency).exponent
    wire_exponent = _EXPONENTS.get(currency, exponent)
    amount_minor, rest = divmod(wire * _ten_to(exponent), _ten_to(wire_exponent))
    if rest:
        raise Unwritable(f"{wire} of {currency}")
    return amount_minor


def card_form(card: RevealedCard) -> dict[str, str]:
    """Return the form of ``POST /v1/payment_methods`` for a card in clear."""
    form = {
        "type": "card",
        "card[number]": card.number,
        "card[exp_month]": str(card.exp_month),
        "card[exp_year]": str(card.exp_year),
    }
    if card.cvc:
        form["card[cvc]"] = card.cvc
    return form


def read_error(status: int, body: Json, operation: Operation) -> Answer:
    """Return the answer that an HTTP error means. 409 and 5xx say nothing about the act: unresolved."""
    error = _object(body.get("error"))
    kind, code = _text(error.get("type")), _text(error.get("decline_code")) or _text(error.get("code"))
    intent = _object(error.get("payment_intent"))
    known = _text(intent.get("id")) or _text(error.get("charge"))
    if status == 409 or not 400 <= status < 500:
        return Answer(outcome=Outcome.UNRESOLVED, code=code or f"http_{status}", channel_reference=known)
    if status in (401, 403):
        reason = Reason.CONFIGURATION_INVALID
    elif status == 429:
        reason = Reason.CHANNEL_RATE_LIMITED
    elif operation is Operation.REFUND and error.get("param") == "amount":
        reason = Reason.REFUND_TOO_LARGE
    else:
        reason = standard("stripe", code or kind or "")
    return Answer(
        outcome=Outcome.DECLINED,
        reason=reason,
        code=code or kind or f"http_{status}",
        message=_text(error.get("message")),
        channel_reference=known,
    )


def read_intent(intent: Json) -> Answer:
    """Return what a payment intent says about the authorization it stands for."""
    status, reference = intent.get("status"), _text(intent.get("id"))
    currency = _currency(intent)
    charge = _object(intent.get("latest_charge"))
    match status:
        case "succeeded":
            amount_minor = _amount(intent, "amount_received", currency)
            return Answer(
                outcome=Outcome.APPROVED,
                captured=True,
                amount_minor=amount_minor
                if "amount_received" in intent
                else _amount(intent, "amount", currency),
                refunded_minor=_refunded(charge, currency),
                **_known(reference, currency, charge),
            )
        case "requires_capture":
            name = "amount_capturable" if "amount_capturable" in intent else "amount"
            return Answer(
                outcome=Outcome.APPROVED,
                amount_minor=_amount(intent, name, currency),
                **_known(reference, currency, charge),
            )
        case "requires_action":
            action = _action(intent)
            return Answer(outcome=Outcome.ACTION_REQUIRED, action=action, channel_reference=reference)
        case "processing":
            return Answer(outcome=Outcome.PENDING, channel_reference=reference)
        case "canceled" if intent.get("latest_charge"):
            return Answer(outcome=Outcome.APPROVED, voided=True, **_known(reference, currency, charge))
        case "canceled" | "requires_payment_method" | "requires_confirmation":
            error = _object(intent.get("last_payment_error"))
            code = _text(error.get("decline_code")) or _text(error.get("code")) or str(status)
            return Answer(
                outcome=Outcome.DECLINED,
                voided=status == "canceled",
                reason=standard("stripe", code) if error else Reason.STATE_INVALID,
                code=code,
                message=_text(error.get("message")),
                channel_reference=reference,
                authentication=authentication_of(charge),
            )
        case _:
            return Answer(outcome=Outcome.UNRESOLVED, code="unreadable", channel_reference=reference)


def read_capture(intent: Json) -> Answer:
    """Return what the intent says after a capture; how much only where Stripe says how much was received."""
    answer = read_intent(intent)
    if answer.captured and "amount_received" not in intent:
        return Answer(
            outcome=answer.outcome,
            captured=True,
            currency=answer.currency,
            channel_reference=answer.channel_reference,
        )
    return answer


def read_charge(charge: Json) -> Answer:
    """Return what a charge says about the authorization it stands for."""
    currency, captured = _currency(charge), charge.get("captured") is True
    known = _known(_text(charge.get("id")), currency, charge)
    match charge.get("status"):
        case "succeeded" if charge.get("refunded") is True and not captured:
            return Answer(outcome=Outcome.APPROVED, voided=True, **known)
        case "succeeded":
            name = "amount_captured" if captured and "amount_captured" in charge else "amount"
            return Answer(
                outcome=Outcome.APPROVED,
                captured=captured,
                amount_minor=_amount(charge, name, currency),
                refunded_minor=_refunded(charge, currency),
                **known,
            )
        case "pending":
            return Answer(outcome=Outcome.PENDING, channel_reference=_text(charge.get("id")))
        case "failed":
            code = _text(charge.get("failure_code")) or "card_declined"
            return Answer(
                outcome=Outcome.DECLINED,
                reason=standard("stripe", code),
                code=code,
                message=_text(charge.get("failure_message")),
                channel_reference=_text(charge.get("id")),
            )
        case _:
            return Answer(outcome=Outcome.UNRESOLVED, code="unreadable")


def read_refund(refund: Json) -> Answer:
    """Return what a refund object says."""
    currency, reference = _currency(refund), _text(refund.get("id"))
    match refund.get("status"):
        case "succeeded":
            return Answer(
                outcome=Outcome.APPROVED,
                amount_minor=_amount(refund, "amount", currency),
                currency=currency,
                channel_reference=reference,
            )
        case "pending" | "requires_action":
            return Answer(outcome=Outcome.PENDING, channel_reference=reference)
        case "failed" | "canceled":
            code = _text(refund.get("failure_reason")) or str(refund.get("status"))
            return Answer(
                outcome=Outcome.DECLINED,
                reason=standard("stripe", code),
                code=code,
                channel_reference=reference,
            )
        case _:
            return Answer(outcome=Outcome.UNRESOLVED, code="unreadable")


def authentication_of(charge: Json) -> Authentication | None:
    """Return what the issuer's check of the payer came to; None where the charge does not say, or is not at hand."""
    card = _object(_object(charge.get("payment_method_details")).get("card"))
    said = _object(card.get("three_d_secure"))
    result, flow = _text(said.get("result")), _text(said.get("authentication_flow"))
    if result is None or result not in AuthenticationResult.__members__.values():
        # Stripe leaves the block out where nobody was asked.
        is_told = "three_d_secure" in card
        return Authentication(result=AuthenticationResult.NOT_SUPPORTED) if is_told else None
    return Authentication(
        result=AuthenticationResult(result),
        flow=AuthenticationFlow(flow) if flow and flow in AuthenticationFlow.__members__.values() else None,
        version=_text(said.get("version")),
        eci=_text(said.get("electronic_commerce_indicator")),
    )


def hides_authentication(intent: Json) -> bool:
    """Return whether an intent was to be authenticated and names its charge without showing what came of that."""
    asked = _object(_object(intent.get("payment_method_options")).get("card")).get("request_three_d_secure")
    return asked == "any" and isinstance(intent.get("latest_charge"), str)


def amount_of(thing: Json, name: str) -> tuple[int | None, str | None]:
    """Return an amount of one of Stripe's objects in minor units, and its currency; None where unreadable."""
    currency = _currency(thing)
    return _amount(thing, name, currency), currency


def reference_of(thing: Json) -> str:
    """Return our reference, that we put into the object's metadata; empty where it is not ours."""
    return _text(_object(thing.get("metadata")).get("reference")) or ""


def instant_of(seconds: object) -> datetime | None:
    """Return an instant from Stripe's seconds since 1970; None for anything else."""
    try:
        return datetime.fromtimestamp(seconds, UTC) if type(seconds) is int else None
    except (ValueError, OverflowError, OSError):
        return None


def _known(reference: str | None, currency: str | None, charge: Json) -> dict[str, Any]:
    """Return the fields that every approval carries, as far as Stripe says them."""
    card = _object(_object(charge.get("payment_method_details")).get("card"))
    return {
        "channel_reference": reference,
        "currency": currency,
        "network_reference": _text(card.get("network_transaction_id")),
        "approval_code": _text(charge.get("authorization_code")),
        "cvc_check": _text(_object(card.get("checks")).get("cvc_check")),
        "occurred_at": instant_of(charge.get("created")),
        "authentication": authentication_of(charge),
    }


def _action(intent: Json) -> Action:
    """Return what the payer has to do: go to a page, or let Stripe's own client code handle the step."""
    step = _object(intent.get("next_action"))
    url = _text(_object(step.get("redirect_to_url")).get("url"))
    if url:
        return Action(kind=ActionKind.REDIRECT, url=url)
    secret = _text(intent.get("client_secret")) or ""
    return Action(kind=ActionKind.INVOKE_APP, data={"client_secret": secret})


def _refunded(charge: Json, currency: str | None) -> int | None:
    """Return how much went back; None after a partial capture, whose rest Stripe counts as refunded, too."""
    if not charge or charge.get("amount_captured") != charge.get("amount"):
        return None
    return _amount(charge, "amount_refunded", currency)


def _amount(thing: Json, name: str, currency: str | None) -> int | None:
    wire = thing.get(name)
    if type(wire) is not int or currency is None:
        return None
    try:
        return from_wire(wire, currency)
    except Unwritable:
        return None


def _currency(thing: Json) -> str | None:
    try:
        return currencies.currency((_text(thing.get("currency")) or "").upper()).code
    except InvalidRequest:
        return None


def _ten_to(power: int) -> int:
    """Return a power of ten as an integer, which ``**`` promises for literals only."""
    return int("1" + "0" * power)


def _step(currency: str) -> int:
    return _STEPS.get(currency) or (10 if currencies.currency(currency).exponent == 3 else 1)


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
