"""What each method of Alipay's gateway does to the book, and what it answers: business fields only, no transport.

From Alipay's public API pages. Worth knowing: a code made by ``precreate`` is no trade until somebody scans it, so a
query says ``ACQ.TRADE_NOT_EXIST``; a trade that went back whole is ``TRADE_CLOSED``, like one never paid; a refund that is
unknown is answered with success and without a status.
"""

from collections.abc import Callable
from datetime import datetime

from tongbao.simulator.sandbox.behavior import Plan
from tongbao.simulator.sandbox.declines import WORDS, Decline
from tongbao.simulator.sandbox.desk import Desk
from tongbao.simulator.sandbox.payers import Payers
from tongbao.simulator.sandbox.schema import Act, Operation, Payment, Purpose, Refusal, State
from tongbao.simulator.sandbox.wire import beijing, fen, instant, span, yuan

CHANNEL = "alipay"
BUYER_ID = "2088102169481075"
ASKING_CODE_PREFIX = "2899"
"""Payer codes that begin so make the payer type a password first (answer 10003)."""

Fields = dict[str, object]
Content = dict[str, object]

_CONFLICTS = {
    Refusal.NOT_FOUND: "ACQ.TRADE_NOT_EXIST",
    Refusal.REFERENCE_CONFLICT: "ACQ.CONTEXT_INCONSISTENT",
    Refusal.STATE_INVALID: "ACQ.TRADE_STATUS_ERROR",
    Refusal.AMOUNT_TOO_LARGE: "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL",
    Refusal.EXPIRED: "ACQ.TRADE_HAS_CLOSE",
}


def success(**fields: object) -> Fields:
    """Return the fields of a success."""
    return {"code": "10000", "msg": "Success", **fields}


def failure(sub_code: str, *, code: str = "40004", msg: str = "Business Failed") -> Fields:
    """Return the fields of a refusal."""
    return {"code": code, "msg": msg, "sub_code": sub_code, "sub_msg": f"sandbox: {sub_code}"}


def trade_status(payment: Payment) -> str:
    """Return the trade's state in Alipay's four words."""
    if payment.state in (State.PRESENTED, State.WAITING, State.PENDING):
        return "WAIT_BUYER_PAY"
    if payment.taken_minor and payment.state is State.CAPTURED:
        return "TRADE_SUCCESS"
    return "TRADE_CLOSED"


class AlipayActs:
    """The methods of the gateway, by name."""

    def __init__(self, desk: Desk, payers: Payers, base_url: Callable[[], str]) -> None:
        self._desk = desk
        self._world = desk.world
        self._payers = payers
        self._base_url = base_url
        self.methods: dict[str, tuple[Operation, Callable[[Content, Fields, Plan], Fields]]] = {
            "alipay.trade.precreate": (Operation.AUTHORIZE, self.precreate),
            "alipay.trade.create": (Operation.AUTHORIZE, self.create),
            "alipay.trade.pay": (Operation.AUTHORIZE, self.pay),
            "alipay.trade.query": (Operation.INQUIRE, self.query),
            "alipay.trade.cancel": (Operation.VOID, self.cancel),
            "alipay.trade.close": (Operation.VOID, self.close),
            "alipay.trade.refund": (Operation.REFUND, self.refund),
            "alipay.trade.fastpay.refund.query": (Operation.INQUIRE, self.query_refund),
            "alipay.fund.trans.uni.transfer": (Operation.PAYOUT, self.transfer),
            "alipay.fund.trans.common.query": (Operation.INQUIRE, self.query_transfer),
        }

    def precreate(self, content: Content, common: Fields, plan: Plan) -> Fields:
        """Make a code for the payer to scan."""
        opened = self.open(content, common, State.PRESENTED, "qr")
        if not isinstance(opened, Payment):
            return opened
        code = f"{self._base_url()}/payer/{opened.channel_reference}"
        return success(out_trade_no=opened.reference, qr_code=code)

    def create(self, content: Content, common: Fields, plan: Plan) -> Fields:
        """Make a trade for a known buyer, who pays it in an app."""
        if not (content.get("buyer_id") or content.get("buyer_open_id")):
            return failure("ACQ.INVALID_PARAMETER")
        opened = self.open(content, common, State.WAITING, "app")
        if not isinstance(opened, Payment):
            return opened
        return success(out_trade_no=opened.reference, trade_no=opened.channel_reference)

    def pay(self, content: Content, common: Fields, plan: Plan) -> Fields:
        """Take the money of the payer whose code was scanned."""
        code = content.get("auth_code")
        if not isinstance(code, str) or not (
            code.isdigit() and 16 <= len(code) <= 24 and "25" <= code[:2] <= "30"
        ):
            return failure("ACQ.PAYMENT_AUTH_CODE_INVALID")
        known = self._world.payment(CHANNEL, str(content.get("out_trade_no")))
        opened = self.open(content, common, State.WAITING, "code", repeatable=True)
        if not isinstance(opened, Payment):
            return opened
        if known is None:
            self._decide(opened, code, plan)
        return self._paid_fields(opened)

    def query(self, content: Content, common: Fields, plan: Plan) -> Fields:
        """Tell how a trade stands."""
        payment = self._find(content)
        if payment is None or not payment.scanned:
            return failure("ACQ.TRADE_NOT_EXIST")
        self._world.expire(payment)
        fields = success(**self._buyer_fields(payment), trade_status=trade_status(payment))
        if payment.approved_minor and payment.decided_at:
            fields["send_pay_date"] = beijing(payment.decided_at)
        return fields

    def cancel(self, content: Content, common: Fields, plan: Plan) -> Fields:
        """Undo a trade, whatever happened: close it unpaid, or give all the money back."""
        payment = self._find(content)
        if payment is None:
            return success(out_trade_no=content.get("out_trade_no", ""), retry_flag="N")
        was_paid = payment.taken_minor > 0
        action = "refund" if was_paid else "close"
        voided = self._world.void(payment, f"cancel_{payment.reference}")
        if voided is Refusal.STATE_INVALID and was_paid:
            self._world.refund(payment, f"cancel_{payment.reference}_rest", payment.taken_minor)
        return success(
            out_trade_no=payment.reference,
            trade_no=payment.channel_reference,
            retry_flag="N",
            action=action if isinstance(voided, Act) or was_paid else "",
        )

    def close(self, content: Content, common: Fields, plan: Plan) -> Fields:
        """Close a trade that is not paid."""
        payment = self._find(content)
        if payment is None or not payment.scanned:
            return failure("ACQ.TRADE_NOT_EXIST")
        if payment.state is not State.WAITING:
            return failure("ACQ.REASON_TRADE_STATUS_INVALID")
        self._world.void(payment, f"close_{payment.reference}")
        return success(out_trade_no=payment.reference, trade_no=payment.channel_reference)

    def refund(self, content: Content, common: Fields, plan: Plan) -> Fields:
        """Give money back. ``refund_fee`` is the sum of all refunds; ``fund_change`` whether this call moved any."""
        payment = self._find(content)
        amount_minor = fen(content.get("refund_amount"))
        if payment is None:
            return failure("ACQ.TRADE_NOT_EXIST")
        if amount_minor is None:
            return failure("ACQ.INVALID_PARAMETER")
        reference = str(content.get("out_request_no") or payment.reference)
        is_new = reference not in payment.acts
        if is_new and plan.decline is not None:
            return failure("ACQ.SELLER_BALANCE_NOT_ENOUGH")
        if is_new and amount_minor != payment.captured_minor and not content.get("out_request_no"):
            return failure("ACQ.INVALID_PARAMETER")
        act = self._world.refund(payment, reference, amount_minor)
        if isinstance(act, Refusal):
            repeated = "ACQ.DISCORDANT_REPEAT_REQUEST"
            return failure(repeated if act is Refusal.REFERENCE_CONFLICT else _CONFLICTS[act])
        if is_new:
            self._desk.tellers[CHANNEL].tell_refunded(payment, act)
        return success(
            **self._buyer_fields(payment),
            fund_change="Y" if is_new else "N",
            refund_fee=yuan(payment.refunded_minor),
            gmt_refund_pay=beijing(act.at),
        )

    def query_refund(self, content: Content, common: Fields, plan: Plan) -> Fields:
        """Tell how a refund stands; an unknown one is a success without a status."""
        payment = self._find(content)
        if payment is None:
            return failure("ACQ.TRADE_NOT_EXIST")
        act = payment.acts.get(str(content.get("out_request_no")))
        fields = success(out_trade_no=payment.reference, trade_no=payment.channel_reference)
        if act is not None and act.operation is Operation.REFUND:
            fields |= {
                "out_request_no": act.reference,
                "refund_amount": yuan(act.amount_minor),
                "total_amount": yuan(payment.said_minor),
                "refund_status": "REFUND_SUCCESS",
                "gmt_refund_pay": beijing(act.at),
            }
        return fields

    def transfer(self, content: Content, common: Fields, plan: Plan) -> Fields:
        """Pay money out to an Alipay account."""
        reference, amount_minor = content.get("out_biz_no"), fen(content.get("trans_amount"))
        payee = content.get("payee_info")
        if not isinstance(reference, str) or not reference or amount_minor is None:
            return failure("INVALID_PARAMETER")
        if not isinstance(payee, dict) or not payee.get("identity") or not payee.get("identity_type"):
            return failure("PAYEE_NOT_EXIST")
        payout = self._world.ask(CHANNEL, reference, amount_minor, "CNY", purpose=Purpose.PAYOUT)
        if isinstance(payout, Refusal):
            return failure(
                "REQUEST_PROCESSING_CONFLICT" if payout is Refusal.STATE_INVALID else "PARAM_ILLEGAL"
            )
        if payout.state is State.WAITING and plan.decline is not None:
            self._world.decline(payout, plan.decline)
        elif payout.state is State.WAITING:
            self._world.approve(payout, captured=True, tampered_by_minor=plan.tampered_by_minor)
        if payout.state is State.DECLINED:
            return failure("PAYER_BALANCE_NOT_ENOUGH")
        return success(**self._transfer_fields(payout))

    def query_transfer(self, content: Content, common: Fields, plan: Plan) -> Fields:
        """Tell how a payout stands."""
        payout = self._world.payment(CHANNEL, str(content.get("out_biz_no")))
        if payout is None and content.get("order_id"):
            payout = self._world.by_channel_reference(str(content["order_id"]))
        if payout is None or payout.purpose is not Purpose.PAYOUT:
            return failure("ORDER_NOT_EXIST")
        return success(**self._transfer_fields(payout), trans_amount=yuan(payout.said_minor))

    def open(
        self, content: Content, common: Fields, state: State, product: str, *, repeatable: bool = False
    ) -> Payment | Fields:
        """Return the trade of this request, opened or known, or the refusal of a bad request."""
        reference, amount_minor = content.get("out_trade_no"), fen(content.get("total_amount"))
        if not (isinstance(reference, str) and 0 < len(reference) <= 64) or amount_minor is None:
            return failure("ACQ.INVALID_PARAMETER")
        if not content.get("subject"):
            return failure("ACQ.INVALID_PARAMETER")
        expires_at = self._expires_at(content)
        details = {"subject": str(content["subject"])[:256], "product": product}
        for name in ("notify_url", "return_url"):
            if common.get(name):
                details[name] = str(common[name])
        is_new = self._world.payment(CHANNEL, reference) is None
        opened = self._world.ask(
            CHANNEL, reference, amount_minor, "CNY", state=state, expires_at=expires_at, details=details
        )
        if isinstance(opened, Refusal):
            return failure(_CONFLICTS[opened])
        self._world.expire(opened)
        if not repeatable and opened.state is State.CAPTURED:
            return failure("ACQ.TRADE_HAS_SUCCESS")
        if not repeatable and opened.state is State.VOIDED:
            return failure("ACQ.TRADE_HAS_CLOSE")
        if is_new and product != "code":
            self._payers.expect(opened)
        return opened

    def _expires_at(self, content: Content) -> datetime | None:
        length = span(content.get("timeout_express"))
        return instant(content.get("time_expire")) or (self._desk.clock.now() + length if length else None)

    def _decide(self, payment: Payment, payer_code: str, plan: Plan) -> None:
        """Approve or decline a payment by code, or leave it waiting for the payer's password."""
        if plan.decline is not None:
            self._world.decline(payment, plan.decline)
        elif payer_code.startswith(ASKING_CODE_PREFIX) or plan.pending_ms is not None:
            if plan.pending_ms is not None:
                self._world.note(payment, capture="yes")
                self._world.postpone(payment, plan.pending_ms, None)
                self._payers.decide_later(payment)
            else:
                self._payers.expect(payment)
        else:
            self._world.approve(payment, captured=True, tampered_by_minor=plan.tampered_by_minor)
            self._payers.paid(payment, disputed=plan.disputed)

    def _paid_fields(self, payment: Payment) -> Fields:
        if payment.state is State.DECLINED:
            return failure(WORDS[Decline(payment.decline or Decline.DO_NOT_HONOR)].alipay)
        if payment.state in (State.WAITING, State.PENDING):
            waiting = self._buyer_fields(payment)
            return {"code": "10003", "msg": " order success pay inprocess", **waiting}
        if payment.state is State.VOIDED:
            return failure("ACQ.TRADE_HAS_CLOSE")
        assert payment.decided_at is not None
        return success(**self._buyer_fields(payment), gmt_payment=beijing(payment.decided_at))

    def _find(self, content: Content) -> Payment | None:
        """Return the trade by Alipay's number, which goes first where both are given, or by the merchant's."""
        if content.get("trade_no"):
            found = self._world.by_channel_reference(str(content["trade_no"]))
        else:
            found = self._world.payment(CHANNEL, str(content.get("out_trade_no")))
        is_trade = found is not None and found.channel == CHANNEL and found.purpose is Purpose.PAYMENT
        return found if is_trade else None

    @staticmethod
    def _buyer_fields(payment: Payment) -> Fields:
        amount = yuan(payment.said_minor or payment.amount_minor)
        return {
            "out_trade_no": payment.reference,
            "trade_no": payment.channel_reference,
            "buyer_logon_id": "san***@sandbox.com",
            "buyer_user_id": BUYER_ID,
            "total_amount": amount,
            "receipt_amount": amount if payment.approved_minor else "0.00",
            "buyer_pay_amount": amount if payment.approved_minor else "0.00",
            "fund_bill_list": [{"amount": amount, "fund_channel": "ALIPAYACCOUNT"}],
        }

    @staticmethod
    def _transfer_fields(payout: Payment) -> Fields:
        return {
            "out_biz_no": payout.reference,
            "order_id": payout.channel_reference,
            "pay_fund_order_id": payout.channel_reference,
            "status": "SUCCESS" if payout.captured_minor else "FAIL",
            "trans_date": beijing(payout.decided_at or payout.opened_at),
        }
