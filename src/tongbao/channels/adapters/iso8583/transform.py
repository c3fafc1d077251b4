"""From calls to fields, and from fields to answers. The only place where this protocol's amounts are written.

Source: the tables in ``dialect``.
"""

from datetime import datetime

import msgspec

from tongbao.channels.adapters.iso8583 import dialect
from tongbao.channels.policy import codes_iso8583
from tongbao.channels.policy.reasons import standard
from tongbao.channels.schema import (
    Action,
    ActionKind,
    Answer,
    Authentication,
    AuthenticationFlow,
    AuthenticationResult,
    Authorize,
    Follow,
    Initiator,
    Inquire,
    Merchant,
    Operation,
    Outcome,
    Reason,
)
from tongbao.privacy.schema import RevealedCard

_CVC_RESULTS = {"M": "pass", "N": "fail", "P": "unavailable"}
_NAME_CHARS, _CITY_CHARS = 25, 13


class Terminal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who we are to the acquirer. Ids are ASCII; ``city`` and ``country`` complete field 43."""

    terminal_id: str
    merchant_id: str
    acquirer_id: str
    forwarding_id: str = ""
    city: str = "SHANGHAI"


def authorization_fields(
    call: Authorize, card: RevealedCard, terminal: Terminal, now: datetime
) -> dict[str, str]:
    """Return the fields of a reservation (0100) or a sale (0200), without the trace number."""
    from_merchant = call.initiator is Initiator.MERCHANT
    fields = {
        **_fields(call.reference, call.reference, terminal, now),
        **_money(call.amount_minor, call.currency),
        "2": card.number,
        "3": dialect.PURCHASE,
        "14": f"{card.exp_year % 100:02d}{card.exp_month:02d}",
        "18": call.merchant.mcc,
        "22": "100" if from_merchant else "812",
        "24": "000",
        "25": dialect.MERCHANT_INITIATED if from_merchant else dialect.ECOMMERCE,
        "43": _name_and_place(call.merchant, terminal.city),
    }
    if card.cvc and not from_merchant:
        fields["61"] = card.cvc
    if call.network_reference:
        fields["60"] = call.network_reference
    if call.authenticate:
        fields["46"] = dialect.AUTHENTICATE
        back = call.return_url or ""
        if back and back.isascii() and len(back) <= dialect.ADDRESS_CHARS_MAX:
            fields["47"] = back
    return fields


def follow_fields(
    operation: Operation, call: Follow, card: RevealedCard, terminal: Terminal, now: datetime
) -> dict[str, str]:
    """Return the fields of an act on an earlier authorization, without the trace number."""
    fields = {
        **_fields(call.reference, call.authorization_reference, terminal, now),
        **_money(call.amount_minor, call.currency),
        "2": card.number,
        "3": dialect.REFUND if operation is Operation.REFUND else dialect.PURCHASE,
        "22": "100",
        "24": "000",
        "25": dialect.FINAL if operation is Operation.CAPTURE and call.final else dialect.ECOMMERCE,
        "62": call.authorization_reference,
    }
    if operation in (Operation.CAPTURE, Operation.VOID):
        original = dialect.SALE if call.captured else dialect.AUTHORIZATION
        fields["90"] = dialect.original_data(original, terminal.acquirer_id, terminal.forwarding_id)
    if operation in (Operation.INCREMENT, Operation.REFUND):
        fields["14"] = f"{card.exp_year % 100:02d}{card.exp_month:02d}"
    return fields


def inquiry_fields(call: Inquire, terminal: Terminal, now: datetime) -> dict[str, str]:
    """Return the fields of an inquiry, without the trace number."""
    return _fields(call.reference, call.authorization_reference, terminal, now)


def read_answer(mti: str, sent: dict[str, str], got: dict[str, str]) -> Answer:
    """Return what an answer to request ``mti`` says. One without a readable field 39 or 4 leaves it unresolved."""
    code = got.get("39", "")
    if code in codes_iso8583.APPROVED:
        return _approved(mti, sent, got)
    if code == codes_iso8583.PENDING:
        return Answer(outcome=Outcome.PENDING, code=code)
    if code == dialect.AUTHENTICATING and "46" in sent:
        return _authenticating(got)
    if not code.strip() or code in codes_iso8583.OPEN:
        return Answer(outcome=Outcome.UNRESOLVED, code=code or "unreadable")
    is_large_refund = sent["3"] == dialect.REFUND and code == codes_iso8583.AMOUNT_INVALID
    return Answer(
        outcome=Outcome.DECLINED,
        code=code,
        reason=Reason.REFUND_TOO_LARGE if is_large_refund else standard("iso8583", code),
        cvc_check=_CVC_RESULTS.get(got.get("44", "")[:1]),
        network_reference=got.get("62"),
        authentication=_authentication(got),
    )


def read_inquiry(call: Inquire, got: dict[str, str]) -> Answer:
    """Return what a 0610 says became of an act."""
    code, state = got.get("39", ""), got.get("63", "")
    if code == codes_iso8583.NOT_FOUND:
        return Answer(outcome=Outcome.NOT_FOUND, code=code)
    if state == "declined":
        return Answer(
            outcome=Outcome.DECLINED,
            code=code,
            reason=standard("iso8583", code),
            authentication=_authentication(got),
        )
    if state == "authenticating":
        return _authenticating(got)
    if state == "pending":
        return Answer(outcome=Outcome.PENDING, code=code)
    if state not in ("authorized", "captured", "voided", "refunded"):
        return Answer(outcome=Outcome.UNRESOLVED, code=code or "unreadable")
    try:
        amount_minor = dialect.amount_minor(got["4"]) if "4" in got else None
        refunded_minor = dialect.amount_minor(got["60"]) if "60" in got else 0
    except ValueError:
        return Answer(outcome=Outcome.UNRESOLVED, code="unreadable")
    is_payment = call.operation is Operation.AUTHORIZE
    if is_payment and state == "refunded" and "60" not in got:
        refunded_minor = amount_minor or 0
    return Answer(
        outcome=Outcome.APPROVED,
        amount_minor=amount_minor,
        currency=dialect.currency_code(got.get("49", "")),
        captured=state in ("captured", "refunded"),
        voided=state == "voided",
        refunded_minor=refunded_minor if is_payment else None,
        channel_reference=got.get("37"),
        network_reference=got.get("62"),
        approval_code=_code(got),
        code=code,
        authentication=_authentication(got) if is_payment else None,
    )


def _approved(mti: str, sent: dict[str, str], got: dict[str, str]) -> Answer:
    try:
        amount_minor = dialect.amount_minor(got["4"]) if "4" in got else None
    except ValueError:
        return Answer(outcome=Outcome.UNRESOLVED, code="unreadable")
    return Answer(
        outcome=Outcome.APPROVED,
        amount_minor=amount_minor,
        currency=dialect.currency_code(got.get("49", "")),
        captured=mti in (dialect.SALE, dialect.COMPLETION) and sent["3"] == dialect.PURCHASE,
        channel_reference=sent["37"],
        network_reference=got.get("62"),
        approval_code=_code(got),
        cvc_check=_CVC_RESULTS.get(got.get("44", "")[:1]),
        code=got["39"],
        authentication=_authentication(got),
    )


def _authenticating(got: dict[str, str]) -> Answer:
    """Return that the payer has to go to the issuer's page; one without an address that can be opened is open."""
    url = got.get("47", "").strip()
    if not url.startswith(("https://", "http://")):
        return Answer(outcome=Outcome.UNRESOLVED, code="unreadable")
    action = Action(kind=ActionKind.REDIRECT, url=url)
    return Answer(outcome=Outcome.ACTION_REQUIRED, code=got.get("39"), action=action)


def _authentication(got: dict[str, str]) -> Authentication | None:
    """Return what field 46 says of the payer; None where it says nothing that is known."""
    result, flow, version, eci = (got.get("46", "") + "///").split("/")[:4]
    if result not in AuthenticationResult.__members__.values():
        return None
    return Authentication(
        result=AuthenticationResult(result),
        flow=AuthenticationFlow(flow) if flow in AuthenticationFlow.__members__.values() else None,
        version=version.strip() or None,
        eci=eci.strip() or None,
    )


def _fields(
    reference: str, authorization_reference: str, terminal: Terminal, now: datetime
) -> dict[str, str]:
    sent = dialect.transmission_time(now)
    fields = {
        "7": sent,
        "12": sent[4:],
        "13": sent[:4],
        "32": terminal.acquirer_id,
        "37": dialect.retrieval_reference(authorization_reference),
        "41": f"{terminal.terminal_id:<8}",
        "42": f"{terminal.merchant_id:<15}",
        "48": reference,
    }
    if terminal.forwarding_id:
        fields["33"] = terminal.forwarding_id
    return fields


def _money(amount_minor: int, currency: str) -> dict[str, str]:
    return {"4": dialect.amount_text(amount_minor), "49": dialect.currency_number(currency)}


def _name_and_place(merchant: Merchant, city: str) -> str:
    """Return field 43; a name without any letter of ASCII becomes the number of its trade."""
    name = "".join(char for char in merchant.descriptor or merchant.name if " " <= char <= "~").strip()
    place = "".join(char for char in city if " " <= char <= "~")
    name = name or f"MCC {merchant.mcc}"
    return f"{name[:_NAME_CHARS]:<25}{place[:_CITY_CHARS]:<13}{merchant.country:.2}".ljust(40)


def _code(got: dict[str, str]) -> str | None:
    return got.get("38", "").strip() or None
