"""Alipay's daily bill of business details: GBK, lines of ``#`` around a table, tabs behind values.

A row's gross is the order's amount; what the merchant received less the fee is its net, so that a discount the merchant pays is
part of the cost. Rows of refunds carry negative amounts and the number of the refund request, which is our reference of it.
The summary by stores is a file of its own; where one stands behind the details it is not read.

Source: Alipay's public pages "对账单下载", sample bill ``业务明细``.
"""

import re
from datetime import timedelta
from typing import BinaryIO

import msgspec

from tongbao.clearing.adapters.amounts import count_of, minor_of
from tongbao.clearing.adapters.chinese_bills import CURRENCY, EXPONENT, ChineseBill
from tongbao.clearing.adapters.keys import named_key
from tongbao.clearing.adapters.said import masked, note, reference
from tongbao.clearing.adapters.tables import Dialect
from tongbao.clearing.adapters.text_lines import CHINESE, TextLines
from tongbao.clearing.adapters.unfit import Unfit
from tongbao.clearing.schema.lines import Line, LineKind, SourceTerms

KINDS = {"交易": LineKind.SALE, "退款": LineKind.REFUND}
_PERIOD = re.compile(r"#起始日期：\[(?P<first>[^\]]{8,30})\]\s*终止日期：\[(?P<last>[^\]]{8,30})\]")
_ACCOUNT = re.compile(r"#账号：\[(?P<account>[^\]]{1,64})\]")
_TOTALS = re.compile(
    r"#+(?P<kind>交易|退款)合计：(?P<count>[0-9]{1,9})笔，商家实收(?:退款)?共(?P<received>-?[0-9.]{1,20})元，"
    r"商家优惠(?:退款)?共(?P<discount>-?[0-9.]{1,20})元"
)
_CHINESE_DATE = str.maketrans({"年": "-", "月": "-", "日": None})
_ENDS = ("#",)


class AlipayBill(ChineseBill):
    """One bill."""

    def __init__(self, stream: BinaryIO, terms: SourceTerms) -> None:
        super().__init__(TextLines(stream, CHINESE), terms, Dialect(ends=_ENDS))
        self._totals: dict[str, tuple[int, int]] = {}
        self._has_end = False
        head = self._take_head("支付宝交易号")
        self._theirs, self._ours = head["支付宝交易号"], head["商户订单号"]
        self._kind = head["业务类型"]
        self._at = head.find("完成时间", "创建时间")
        self._at = self._at if self._at >= 0 else head["完成时间"]
        self._gross = head["订单金额（元）"]
        self._received = head["商家实收（元）"]
        self._fee = head["服务费（元）"]
        self._request = head["退款批次号/请求号"]
        self._name = head.find("商品名称")

    def _names(self, line: str) -> list[str]:
        if line.startswith("#"):
            self._begin(line)
            return []
        # Some bills write brackets and slashes of half width.
        return [
            each.replace("(", "（").replace(")", "）").replace("／", "/") for each in super()._names(line)
        ]

    def _begin(self, line: str) -> None:
        """Hear a line before the table: the account and the period, whose end is no part of it."""
        if found := _ACCOUNT.match(line):
            self._header = msgspec.structs.replace(self._header, account=masked(found["account"]))
        if found := _PERIOD.match(line):
            try:
                first = self._instants.instant(found["first"].translate(_CHINESE_DATE), "")
                last = self._instants.instant(found["last"].translate(_CHINESE_DATE), "")
            except Unfit:
                return
            until = self._instants.local(max(first, last - timedelta(seconds=1)))
            self._header = msgspec.structs.replace(
                self._header, from_on=self._instants.local(first), until_on=until
            )

    def _line(self, number: int, cells: list[str], key: str) -> Line:
        del key
        kind_text, request = cells[self._kind].strip(), cells[self._request].strip()
        kind = KINDS.get(kind_text, LineKind.OTHER)
        gross = minor_of(cells[self._gross].strip(), EXPONENT, "订单金额（元）")
        received = minor_of(cells[self._received].strip(), EXPONENT, "商家实收（元）")
        net = received + minor_of(cells[self._fee].strip() or "0", EXPONENT, "服务费（元）", pads=True)
        if (kind is LineKind.SALE and gross < 0) or (kind is LineKind.REFUND and gross > 0):
            raise Unfit(
                "sign_wrong", "a sale is not negative, a refund not positive", "订单金额（元）", str(gross)
            )
        if kind is LineKind.REFUND and not request:
            raise Unfit("key_missing", "a refund has the number of its request", "退款批次号/请求号")
        theirs, ours = cells[self._theirs].strip(), cells[self._ours].strip()
        line = Line(
            number=number,
            key=named_key((theirs, kind_text, request)),
            kind=kind,
            currency=CURRENCY,
            gross_minor=gross,
            fee_minor=gross - net,
            net_minor=net,
            reference=reference(request if kind is LineKind.REFUND else ours, "商户订单号"),
            channel_reference=reference(theirs, "支付宝交易号"),
            occurred_at=self._instants.instant(cells[self._at].strip(), "完成时间"),
            text=note(cells[self._name].strip() if self._name >= 0 else ""),
        )
        self._counted(gross, gross)
        return line

    def _closing(self, text: str) -> bool:
        if text.startswith("#") and "业务明细列表结束" in text:
            self._has_end = True
            return True
        if "合计：" in text:
            return self._total(text)
        return True

    def _total(self, text: str) -> bool:
        found = _TOTALS.match(text)
        if found is None:
            return False
        amount = minor_of(found["received"], EXPONENT) + minor_of(found["discount"], EXPONENT)
        self._totals[found["kind"]] = count_of(found["count"]), amount
        count = sum(each for each, _ in self._totals.values())
        self._declare(count, sum(each for _, each in self._totals.values()))
        return True

    def _is_closed(self) -> bool:
        return self._has_end and self._totals.keys() == KINDS.keys()
