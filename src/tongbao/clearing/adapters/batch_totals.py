"""Totals of a card acquirer: counts and sums by day, currency and kind, without single payments.

The reconciliation messages of ISO 8583 (0500, 0520) carry such counts and sums, but leave kinds and currencies to each acquirer; this
is the form in which they are handed on here. Text, comma, UTF-8, one row for each day, currency and kind::

    date,currency,kind,count,amount_minor
    2026-11-02,CNY,sale,1204,88213400
    2026-11-02,CNY,refund,17,-120000
    end,,,2,88093400

Amounts are signed minor units: money to us is positive. ``kind`` is ``sale``, ``refund``, ``dispute`` or ``dispute_won``. The last line
tells how many rows there are and the sum of their amounts, over all currencies; without it the file is cut.
"""

from typing import BinaryIO

import msgspec

from tongbao.clearing.adapters.amounts import count_of, exponent_of, whole_of
from tongbao.clearing.adapters.instants import Instants
from tongbao.clearing.adapters.keys import named_key
from tongbao.clearing.adapters.tables import Dialect, Table
from tongbao.clearing.adapters.text_lines import TextLines
from tongbao.clearing.adapters.unfit import Unfit
from tongbao.clearing.schema.lines import Line, LineKind, SourceTerms

END = "end"
HEAD = ("date", "currency", "kind", "count", "amount_minor")
_SIGNS = {
    LineKind.SALE: 1,
    LineKind.REFUND: -1,
    LineKind.DISPUTE: -1,
    LineKind.DISPUTE_WON: 1,
}


class BatchTotals(Table):
    """One file of totals."""

    def __init__(self, stream: BinaryIO, terms: SourceTerms) -> None:
        super().__init__(TextLines(stream), terms, Dialect(ends=(f"{END},",)))
        head = self._take_head(HEAD[0])
        self._places = [head[name] for name in HEAD]
        self._instants = Instants(terms.zone)

    def _line(self, number: int, cells: list[str], key: str) -> Line:
        del key
        day_text, currency, kind_text, count_text, amount_text = (
            cells[each].strip() for each in self._places
        )
        on = self._instants.day(day_text, "date")
        exponent_of(currency, "currency")
        sign = _SIGNS.get(LineKind(kind_text)) if kind_text in LineKind.__members__.values() else None
        if sign is None:
            raise Unfit("kind_unknown", "sale, refund, dispute or dispute_won", "kind", kind_text)
        amount = whole_of(amount_text, "amount_minor")
        if amount * sign < 0:
            raise Unfit("sign_wrong", "money to us is positive", "amount_minor", amount_text)
        return Line(
            number=number,
            key=named_key((on.isoformat(), currency, kind_text)),
            kind=LineKind.TOTAL,
            currency=currency,
            gross_minor=amount,
            net_minor=amount,
            batch=f"{on.isoformat()}/{currency}/{kind_text}",
            occurred_at=self._instants.noon(on),
            value_on=on,
            count=count_of(count_text, "count"),
        )

    def _closing(self, text: str) -> bool:
        cells = [each.strip() for each in text.split(",")]
        if len(cells) != len(HEAD) or self._lines.is_open:
            return False
        self._header = msgspec.structs.replace(
            self._header, declared_count=count_of(cells[3], "count"), declared_minor=whole_of(cells[4])
        )
        return True

    def _is_closed(self) -> bool:
        return self._header.declared_count is not None
