"""What WeChat Pay's replies mean: from its states and codes to our outcomes.

A verified status of 4xx refuses what was asked; 5xx, system and bank errors leave the outcome open. Source: WeChat
Pay API v3, error codes and the states of payments, refunds and transfer bills.
"""

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from tongbao.channels.adapters.wechatpay import transform
from tongbao.channels.adapters.wechatpay.wire import Reply
from tongbao.channels.schema import Action, ActionKind, Answer, Outcome, Reason

Standard = Callable[[str, str], Reason]
NETWORK = "wechat_pay"
_OPEN_CODES = frozenset({"SYSTEM_ERROR", "SYSTEMERROR", "BANK_ERROR", "BANKERROR"})
_USER_PAYING = frozenset({"USERPAYING", "USER_PAYING"})
_NOT_FOUND = frozenset(
    {"ORDER_NOT_EXIST", "ORDERNOTEXIST", "RESOURCE_NOT_EXISTS", "REFUNDNOTEXIST", "NOT_FOUND"}
)
_CLOSED = frozenset({"ORDER_CLOSED", "ORDERCLOSED", "ORDER_REVERSED", "ORDERREVERSED"})
_PAYOUT_OUTCOMES = {
    "SUCCESS": Outcome.APPROVED,
    "FAIL": Outcome.DECLINED,
    "CANCELLED": Outcome.DECLINED,
    "ACCEPTED": Outcome.PENDING,
    "PROCESSING": Outcome.PENDING,
    "WAIT_USER_CONFIRM": Outcome.PENDING,
    "TRANSFERING": Outcome.PENDING,  # spelled so
    "CANCELING": Outcome.PENDING,
}


class Verified(msgspec.Struct, frozen=True):
    """An answer that WeChat Pay signed: its status and what it says."""

    status: int
    reply: Reply

    @property
    def is_done(self) -> bool:
        """Whether it is a yes to what was asked."""
        return 200 <= self.status < 300

    @property
    def code(self) -> str:
        """The code of an error, the status where it has none."""
        return self.reply.code or str(self.status)


def unresolved(code: str, message: str) -> Answer:
    """Return the answer to a call of which nothing can be said."""
    return Answer(outcome=Outcome.UNRESOLVED, code=code, message=message)


def refused(told: Verified, standard: Standard) -> Answer:
    """Return a decline with its reason; pending or unresolved where the answer is no certain refusal."""
    if told.code in _USER_PAYING:
        return awaits_payer(told.reply, told.code)
    if not 400 <= told.status < 500 or told.code in _OPEN_CODES:
        return unresolved(told.code, told.reply.message or "")
    return Answer(
        outcome=Outcome.DECLINED,
        code=told.code,
        message=told.reply.message,
        reason=standard(NETWORK, told.code),
    )


def inquiry_refused(told: Verified) -> Answer:
    """Return what a refused inquiry tells: that there is no such thing, or nothing at all."""
    found = not (told.status == 404 and told.code in _NOT_FOUND)
    outcome = Outcome.UNRESOLVED if found else Outcome.NOT_FOUND
    return Answer(outcome=outcome, code=told.code, message=told.reply.message)


def awaits_payer(reply: Reply, code: str) -> Answer:
    """Return the answer while the payer is asked by WeChat."""
    return Answer(
        outcome=Outcome.PENDING,
        channel_reference=reply.transaction_id,
        code=code,
        message=reply.trade_state_desc or reply.message,
        action=Action(kind=ActionKind.AWAIT_PAYER),
    )


def payment(reply: Reply, standard: Standard) -> Answer:
    """Return what the state of a payment means for its authorization.

    ``REFUND`` is a paid payment of which some went back; how much, only its refunds tell.
    """
    state = reply.trade_state or ""
    if state in {"SUCCESS", "REFUND"}:
        return _with_amount(
            reply,
            Answer(
                outcome=Outcome.APPROVED,
                captured=True,
                channel_reference=reply.transaction_id,
                code=state,
                occurred_at=_instant(reply.success_time),
            ),
        )
    if state in {"NOTPAY", "USERPAYING", "ACCEPT"}:
        return awaits_payer(reply, state)
    if state in {"CLOSED", "REVOKED", "PAYERROR"}:
        return Answer(
            outcome=Outcome.DECLINED,
            voided=state != "PAYERROR",
            channel_reference=reply.transaction_id,
            code=state,
            message=reply.trade_state_desc,
            reason=Reason.EXPIRED if state == "CLOSED" else standard(NETWORK, state),
        )
    return unresolved(state, "a payment in an unknown state")


def voided(code: str) -> Answer:
    """Return the approval of a void."""
    return Answer(outcome=Outcome.APPROVED, voided=True, code=code)


def was_voided(told: Verified) -> bool:
    """Return whether a refused void was refused because it is done already."""
    return 400 <= told.status < 500 and told.code in _CLOSED


def void_inquired(reply: Reply, standard: Standard) -> Answer:
    """Return what the state of a payment means for a void of it: not closed is not voided, and may be repeated."""
    answer = payment(reply, standard)
    if answer.voided:
        return voided(reply.trade_state or "")
    if answer.outcome is Outcome.UNRESOLVED:
        return answer
    return Answer(outcome=Outcome.NOT_FOUND, code=reply.trade_state, message="the payment was not voided")


def refund(reply: Reply) -> Answer:
    """Return what the state of a refund means, in an answer or in a notification.

    ``ABNORMAL`` waits for the merchant: the payer's bank took nothing, the money stands at WeChat Pay, and it may
    still go to the payer. So it is not over.
    """
    state = reply.status or reply.refund_status or ""
    outcome = {
        "SUCCESS": Outcome.APPROVED,
        "PROCESSING": Outcome.PENDING,
        "ABNORMAL": Outcome.PENDING,
        "CLOSED": Outcome.DECLINED,
    }.get(state, Outcome.UNRESOLVED)
    answer = Answer(
        outcome=outcome,
        channel_reference=reply.refund_id,
        code=state,
        reason=Reason.OTHER if outcome is Outcome.DECLINED else None,
        occurred_at=_instant(reply.success_time),
    )
    return _with_amount(reply, answer, is_refund=True)


def payout(reply: Reply, standard: Standard, action: Action | None = None) -> Answer:
    """Return what the state of a transfer bill means; ``action`` is what the payee does to take the money."""
    outcome = _PAYOUT_OUTCOMES.get(reply.state or "", Outcome.UNRESOLVED)
    amount = reply.transfer_amount
    return Answer(
        outcome=outcome,
        amount_minor=None if amount is None else transform.from_wire(amount),
        currency=None if amount is None else transform.CURRENCY,
        channel_reference=reply.transfer_bill_no,
        code=reply.fail_reason or reply.state,
        reason=standard(NETWORK, reply.fail_reason or "") if outcome is Outcome.DECLINED else None,
        action=action if outcome is Outcome.PENDING else None,
        occurred_at=_instant(reply.update_time),
    )


def _with_amount(reply: Reply, answer: Answer, *, is_refund: bool = False) -> Answer:
    amount = reply.amount
    if amount is None:
        return answer
    said = amount.refund if is_refund else amount.total
    return msgspec.structs.replace(
        answer,
        amount_minor=None if said is None else transform.from_wire(said),
        currency=amount.currency,
    )


def _instant(at: datetime | None) -> datetime | None:
    return None if at is None else at.astimezone(UTC)
