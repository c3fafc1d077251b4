"""What Alipay's replies mean: from its codes and states to our outcomes.

``10000`` is a yes to what was asked, ``10003`` waits for the payer, ``2000x`` and ``4000x`` refuse. Everything else,
and every refusal that speaks of a system error, leaves the outcome open. Source: Alipay open platform, public return
codes; states of ``alipay.trade.query``, ``alipay.trade.fastpay.refund.query`` and ``alipay.fund.trans.common.query``.
"""

from collections.abc import Callable
from datetime import datetime

from tongbao.channels.adapters.alipay import transform
from tongbao.channels.adapters.alipay.wire import Reply
from tongbao.channels.schema import Action, ActionKind, Answer, Outcome, Reason

Standard = Callable[[str, str], Reason]
NETWORK = "alipay"
DONE = "10000"
AWAITS_PAYER = "10003"
_REFUSALS = frozenset({"20001", "40001", "40002", "40003", "40004", "40005", "40006"})
_OPEN_MARKS = ("SYSTEM_ERROR", "UNKNOW")  # ``isp.unknow-error`` is spelled so
_NOT_FOUND = frozenset({"ACQ.TRADE_NOT_EXIST", "ORDER_NOT_EXIST"})
_PAYOUT_OUTCOMES = {
    "SUCCESS": Outcome.APPROVED,
    "FAIL": Outcome.DECLINED,
    "REFUND": Outcome.DECLINED,  # the money came back from the payee's bank
    "CLOSED": Outcome.DECLINED,
    "DEALING": Outcome.PENDING,
    "INIT": Outcome.PENDING,
    "WAIT_PAY": Outcome.PENDING,
}


def unresolved(code: str, message: str) -> Answer:
    """Return the answer to a call of which nothing can be said."""
    return Answer(outcome=Outcome.UNRESOLVED, code=code, message=message)


def is_refusal(reply: Reply) -> bool:
    """Return whether the reply says for certain that what was asked did not happen."""
    sub_code = (reply.sub_code or "").upper()
    return reply.code in _REFUSALS and not any(mark in sub_code for mark in _OPEN_MARKS)


def is_not_found(reply: Reply) -> bool:
    """Return whether Alipay has never seen the reference."""
    return is_refusal(reply) and reply.sub_code in _NOT_FOUND


def refused(reply: Reply, standard: Standard) -> Answer:
    """Return a decline with its reason, or unresolved where the reply is no certain refusal."""
    code, message = reply.sub_code or reply.code, reply.sub_msg or reply.msg
    if not is_refusal(reply):
        return unresolved(code, message)
    return Answer(outcome=Outcome.DECLINED, code=code, message=message, reason=standard(NETWORK, code))


def inquiry_refused(reply: Reply) -> Answer:
    """Return what a refused inquiry tells: that there is no such thing, or nothing at all."""
    outcome = Outcome.NOT_FOUND if is_not_found(reply) else Outcome.UNRESOLVED
    return Answer(outcome=outcome, code=reply.sub_code or reply.code, message=reply.sub_msg or reply.msg)


def paid(reply: Reply) -> Answer:
    """Return the approval of a trade that was paid."""
    return Answer(
        outcome=Outcome.APPROVED,
        amount_minor=_minor(reply.total_amount),
        currency=reply.trans_currency,
        captured=True,
        refunded_minor=_minor(reply.refund_fee),
        channel_reference=reply.trade_no,
        code=reply.code or reply.trade_status,  # equal whether the payment answers or an inquiry of it
        occurred_at=_instant(reply.gmt_payment or reply.send_pay_date),
    )


def awaits_payer(reply: Reply) -> Answer:
    """Return the answer while the payer is asked by Alipay's app."""
    return Answer(
        outcome=Outcome.PENDING,
        channel_reference=reply.trade_no,
        code=reply.trade_status or reply.code,
        message=reply.msg or None,
        action=Action(kind=ActionKind.AWAIT_PAYER),
    )


def trade(reply: Reply) -> Answer:
    """Return what the state of a trade means for its authorization.

    ``TRADE_CLOSED`` has two stories: nobody paid in time, or all that was paid went back; the time of payment
    tells them apart.
    """
    if reply.trade_status == "WAIT_BUYER_PAY":
        return awaits_payer(reply)
    if reply.trade_status in {"TRADE_SUCCESS", "TRADE_FINISHED"}:
        return paid(reply)
    if reply.trade_status != "TRADE_CLOSED":
        return unresolved(reply.trade_status or "", "a trade in an unknown state")
    if reply.gmt_payment is None and reply.send_pay_date is None:
        return Answer(
            outcome=Outcome.DECLINED,
            voided=True,
            channel_reference=reply.trade_no,
            code=reply.trade_status,
            reason=Reason.EXPIRED,
        )
    return Answer(
        outcome=Outcome.APPROVED,
        amount_minor=_minor(reply.total_amount),
        currency=reply.trans_currency,
        captured=True,
        voided=True,
        refunded_minor=_minor(reply.total_amount),
        channel_reference=reply.trade_no,
        code=reply.trade_status,
        occurred_at=_instant(reply.gmt_payment or reply.send_pay_date),
    )


def voided(reply: Reply) -> Answer:
    """Return the approval of a void."""
    return Answer(
        outcome=Outcome.APPROVED,
        voided=True,
        channel_reference=reply.trade_no,
        code=reply.trade_status or reply.code,
    )


def void_inquired(reply: Reply) -> Answer:
    """Return what the state of a trade means for a void of it: not closed is not voided, and may be repeated."""
    if reply.trade_status == "TRADE_CLOSED":
        return voided(reply)
    if reply.trade_status in {"WAIT_BUYER_PAY", "TRADE_SUCCESS", "TRADE_FINISHED"}:
        return Answer(outcome=Outcome.NOT_FOUND, code=reply.trade_status, message="the trade stands")
    return unresolved(reply.trade_status or "", "a trade in an unknown state")


def refunded(reply: Reply) -> Answer:
    """Return the approval of a refund. The reply to a refund tells only the sum of all refunds of the trade."""
    amount_minor = _minor(reply.refund_amount)
    return Answer(
        outcome=Outcome.APPROVED,
        amount_minor=amount_minor,
        currency=None if amount_minor is None else reply.trans_currency,
        refunded_minor=_minor(reply.refund_fee),
        channel_reference=reply.trade_no,
        code=reply.refund_status or reply.code,
        occurred_at=_instant(reply.gmt_refund_pay),
    )


def refund_inquired(reply: Reply) -> Answer:
    """Return what became of a refund. Alipay says nothing of one that it does not know, or that failed.

    Both may be repeated with the same reference, so both are ``not_found``.
    """
    if reply.refund_status == "REFUND_SUCCESS":
        return refunded(reply)
    if reply.refund_status is None:
        return Answer(outcome=Outcome.NOT_FOUND, code=reply.code, message="no refund of this reference")
    return unresolved(reply.refund_status, "a refund in an unknown state")


def payout(reply: Reply, standard: Standard) -> Answer:
    """Return what the state of a transfer means."""
    outcome = _PAYOUT_OUTCOMES.get(reply.status or "", Outcome.UNRESOLVED)
    amount_minor = _minor(reply.trans_amount)
    return Answer(
        outcome=outcome,
        amount_minor=amount_minor,
        currency=None if amount_minor is None else reply.trans_currency,
        channel_reference=reply.order_id,
        code=reply.error_code or reply.status or reply.code,
        message=reply.fail_reason,
        reason=standard(NETWORK, reply.error_code or "") if outcome is Outcome.DECLINED else None,
        occurred_at=_instant(reply.trans_date or reply.pay_date),
    )


def _minor(amount: str | None) -> int | None:
    return None if amount is None else transform.from_wire(amount)


def _instant(at: datetime | None) -> datetime | None:
    return None if at is None else transform.from_wire_time(at)
