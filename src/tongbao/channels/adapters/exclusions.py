"""What the capabilities of a channel exclude, found before anything is sent.

An excluded call is answered DECLINED with ``Reason.REQUEST_INVALID``: nothing left the house, and repeating the
call as it is makes no sense.
"""

import re

from tongbao.channels.schema import (
    Answer,
    Authorize,
    Capabilities,
    Card,
    Follow,
    Initiator,
    Inquire,
    Method,
    Operation,
    Outcome,
    Payout,
    Presentment,
    Reason,
    Wallet,
    kind_of,
)

Call = Authorize | Follow | Inquire | Payout
REFERENCE = re.compile(r"[a-zA-Z0-9_]{1,32}")
_NEEDS = {
    Operation.INCREMENT: "increment",
    Operation.CAPTURE: "manual_capture",
    Operation.VOID: "void",
    Operation.REFUND: "refund",
    Operation.PAYOUT: "payout",
}


def refuse(why: str) -> Answer:
    """Return the answer to a call that is never sent."""
    return Answer(outcome=Outcome.DECLINED, reason=Reason.REQUEST_INVALID, code="excluded", message=why)


def refusal(can: Capabilities, operation: Operation, call: Call) -> Answer | None:
    """Return the answer to a call that ``can`` excludes, with the first objection; None where it may be sent.

    The amount is not looked at in inquiries and voids, which move none of their own.
    """
    needed = _NEEDS.get(operation)
    if needed is not None and not getattr(can, needed):
        return refuse(f"{can.adapter} knows no {operation}")
    if call.currency not in can.currencies:
        return refuse(f"{can.adapter} takes no {call.currency}")
    if not all(REFERENCE.fullmatch(reference) for reference in _references(call)):
        return refuse("a reference has 1 to 32 of a-z, A-Z, 0-9 and _")
    if not isinstance(call, Inquire) and operation is not Operation.VOID:
        if call.amount_minor < can.amount_minor_min:
            return refuse(f"less than {can.amount_minor_min} minor units")
        if can.amount_minor_max is not None and call.amount_minor > can.amount_minor_max:
            return refuse(f"more than {can.amount_minor_max} minor units")
    why = _of_method(can, call) or _of_authorization(can, call) or _of_follow(can, operation, call)
    return refuse(why) if why else None


def presentment_of(method: Method) -> Presentment:
    """Return how the payer meets a method."""
    return Presentment.DIRECT if isinstance(method, Card | Wallet) else method.presentment


def _references(call: Call) -> tuple[str, ...]:
    return (
        (call.reference,)
        if isinstance(call, Authorize | Payout)
        else (call.reference, call.authorization_reference)
    )


def _of_method(can: Capabilities, call: Call) -> str | None:
    if isinstance(call, Payout) or (isinstance(call, Inquire) and call.operation is Operation.PAYOUT):
        return None
    if kind_of(call.method) not in can.methods:
        return f"{can.adapter} takes no {kind_of(call.method)}"
    if presentment_of(call.method) not in can.presentments:
        return f"{can.adapter} knows no {presentment_of(call.method)}"
    return None


def _of_authorization(can: Capabilities, call: Call) -> str | None:
    if not isinstance(call, Authorize):
        return None
    if not call.capture and not can.manual_capture:
        return f"{can.adapter} claims the money at once"
    if call.initiator is Initiator.MERCHANT and not can.mandates:
        return f"{can.adapter} knows no mandates"
    return None


def _of_follow(can: Capabilities, operation: Operation, call: Call) -> str | None:
    if not isinstance(call, Follow):
        return None
    if operation is Operation.VOID and call.captured and not can.void_after_capture:
        return f"{can.adapter} voids nothing that was captured"
    if operation is Operation.REFUND and call.amount_minor < call.total_minor and not can.partial_refund:
        return f"{can.adapter} refunds whole payments only"
    return None
