"""WeChat Pay's daily bills of trades and of the account's flow: UTF-8, a back-tick before every value, totals in two last lines.

In the bill of trades a sale's gross is the order's amount and its net what is settled less the fee; a refund's fee is negative:
it is given back. In the bill of flow fees stand on lines of their own, and a withdrawal to the bank is a transfer to us.

Source: WeChat Pay's public pages "申请交易账单", "申请资金账单".
"""

from typing import BinaryIO

from tongbao.clearing.adapters.amounts import count_of, exponent_of, minor_of
from tongbao.clearing.adapters.chinese_bills import CURRENCY, EXPONENT, ChineseBill
from tongbao.clearing.adapters.keys import named_key
from tongbao.clearing.adapters.said import note, reference
from tongbao.clearing.adapters.tables import Dialect, Head
from tongbao.clearing.adapters.text_lines import CHINESE, TextLines
from tongbao.clearing.adapters.unfit import Unfit
from tongbao.clearing.schema.lines import Line, LineKind, Refusal, SourceTerms

TRADE_KINDS = {"SUCCESS": LineKind.SALE, "REFUND": LineKind.REFUND, "REVOKED": LineKind.REFUND}
FLOW_KINDS = {
    "交易": LineKind.SALE,
    "退款": LineKind.REFUND,
    "扣除交易手续费": LineKind.FEE,
    "交易手续费": LineKind.FEE,
    "退款手续费": LineKind.FEE,
    "提现": LineKind.TRANSFER,
    "充值": LineKind.TRANSFER,
    "企业付款": LineKind.PAYOUT,
    "商家转账": LineKind.PAYOUT,
    "企业付款退款": LineKind.RETURN,
    "商家转账退款": LineKind.RETURN,
}
_TICK = "`"
_BETWEEN = ",`"
_INCOME, _EXPENSE = "收入", "支出"
_NO_REFUND = frozenset({"", "0"})


class _WechatBill(ChineseBill):
    """A bill whose totals are a line of names and a line of values."""

    def __init__(self, stream: BinaryIO, terms: SourceTerms, mark: str) -> None:
        super().__init__(TextLines(stream, CHINESE), terms, Dialect(ends=(mark, _TICK + mark)))
        self._total_names: list[str] = []

    def _clean(self, cell: str) -> str:
        return cell.strip().removeprefix(_TICK)

    def _cells(self, number: int, line: str) -> list[str] | Refusal:
        # A comma without a tick behind it is a part of a value.
        if line.startswith(_TICK):
            return line[1:].split(_BETWEEN)
        cells = super()._cells(number, line)
        return cells if isinstance(cells, Refusal) else [self._clean(each) for each in cells]

    def _closing(self, text: str) -> bool:
        cells = [self._clean(each) for each in self._split(text) or []]
        if not self._total_names:
            self._total_names = cells
            return True
        if len(cells) != len(self._total_names) or not cells[-1]:
            return False
        self._total(dict(zip(self._total_names, cells, strict=True)))
        # A last amount without its two decimals was cut.
        return not self._lines.is_open or cells[-1][-EXPONENT - 1 :].startswith(".")

    def _total(self, totals: dict[str, str]) -> None:
        raise NotImplementedError


class WechatTrade(_WechatBill):
    """The bill of trades: sales, refunds and what was revoked."""

    def __init__(self, stream: BinaryIO, terms: SourceTerms) -> None:
        super().__init__(stream, terms, "总交易单数")
        head = self._take_head("微信订单号")
        self._at, self._state = head["交易时间"], head["交易状态"]
        self._theirs, self._ours = head["微信订单号"], head["商户订单号"]
        self._their_refund, self._our_refund = head["微信退款单号"], head["商户退款单号"]
        self._currency = head["货币种类"]
        # Bills before 2018 have one amount only.
        self._settled = _either(head, "应结订单金额", "总金额")
        self._amount = _either(head, "订单金额", "应结订单金额", "总金额")
        self._refunded = head["退款金额"]
        self._asked = _either(head, "申请退款金额", "退款金额")
        self._fee = head["手续费"]
        self._name = head.find("商品名称")

    def _line(self, number: int, cells: list[str], key: str) -> Line:
        del key
        state = cells[self._state]
        kind = TRADE_KINDS.get(state)
        if kind is None:
            raise Unfit("state_unknown", "SUCCESS, REFUND or REVOKED", "交易状态", state)
        currency = cells[self._currency] or CURRENCY
        exponent = exponent_of(currency, "货币种类")
        fee = minor_of(cells[self._fee], exponent, "手续费", pads=True)
        is_sale = kind is LineKind.SALE
        if is_sale:
            gross = minor_of(cells[self._amount], exponent, "订单金额")
            net = minor_of(cells[self._settled], exponent, "应结订单金额") - fee
        else:
            gross = -minor_of(cells[self._asked], exponent, "申请退款金额")
            net = -minor_of(cells[self._refunded], exponent, "退款金额") - fee
        if (gross < 0) is is_sale and gross:
            raise Unfit("sign_wrong", "amounts of a bill of trades are positive", "订单金额", str(gross))
        order, refund = cells[self._theirs], cells[self._their_refund]
        if is_sale or refund in _NO_REFUND:
            theirs, ours = order, cells[self._ours]
        else:
            theirs, ours = refund, cells[self._our_refund]
        line = Line(
            number=number,
            key=named_key((order, state, "" if refund in _NO_REFUND else refund)),
            kind=kind,
            currency=currency,
            gross_minor=gross,
            fee_minor=gross - net,
            net_minor=net,
            reference=reference(ours, "商户订单号"),
            channel_reference=reference(theirs, "微信订单号"),
            occurred_at=self._instants.instant(cells[self._at], "交易时间"),
            text=note(cells[self._name] if self._name >= 0 else ""),
        )
        self._counted(gross, gross)
        return line

    def _total(self, totals: dict[str, str]) -> None:
        sales = totals.get("订单总金额") or totals.get("应结订单总金额") or totals.get("总交易额") or ""
        refunds = totals.get("申请退款总金额") or totals.get("退款总金额") or totals.get("总退款金额") or ""
        raw = minor_of(sales, EXPONENT, pads=True) - minor_of(refunds, EXPONENT, pads=True)
        self._declare(count_of(totals.get("总交易单数", "")), raw)


class WechatFund(_WechatBill):
    """The bill of the account's flow."""

    def __init__(self, stream: BinaryIO, terms: SourceTerms) -> None:
        super().__init__(stream, terms, "资金流水总笔数")
        head = self._take_head("资金流水单号")
        self._at, self._theirs, self._flow = head["记账时间"], head["微信支付业务单号"], head["资金流水单号"]
        self._kind, self._way = head["业务类型"], head["收支类型"]
        self._amount = _either(head, "收支金额（元）", "收支金额(元)")
        self._ours = head["业务凭证号"]
        self._note = head.find("备注")

    def _line(self, number: int, cells: list[str], key: str) -> Line:
        del key
        kind_text, way = cells[self._kind], cells[self._way]
        kind = FLOW_KINDS.get(kind_text, LineKind.OTHER)
        amount = minor_of(cells[self._amount], EXPONENT, "收支金额（元）")
        if way not in {_INCOME, _EXPENSE} or amount < 0:
            raise Unfit(
                "sign_wrong", "income or expense, and an amount that is not negative", "收支类型", way
            )
        raw = amount if way == _INCOME else -amount
        gross = -raw if kind is LineKind.TRANSFER else raw
        theirs, flow = cells[self._theirs], cells[self._flow]
        line = Line(
            number=number,
            key=named_key((flow, theirs, kind_text, way)),
            kind=kind,
            currency=CURRENCY,
            gross_minor=gross,
            net_minor=gross,
            reference=reference(cells[self._ours], "业务凭证号"),
            channel_reference=reference(theirs, "微信支付业务单号"),
            occurred_at=self._instants.instant(cells[self._at], "记账时间"),
            text=note(cells[self._note] if self._note >= 0 else ""),
        )
        self._counted(gross, raw)
        return line

    def _total(self, totals: dict[str, str]) -> None:
        income = minor_of(totals.get("收入金额", ""), EXPONENT, pads=True)
        expense = minor_of(totals.get("支出金额", ""), EXPONENT, pads=True)
        self._declare(count_of(totals.get("资金流水总笔数", "")), income - expense)


def _either(head: Head, *names: str) -> int:
    """Return the place of the first of these columns; raise InvalidRequest ``file_unreadable`` without any."""
    place = head.find(*names)
    return place if place >= 0 else head[names[0]]
