"""Tables whose columns are told by configuration (``schema.lines.CsvColumns``); nothing is guessed.

Where the file has no mark that ends it, a last line without a line break is taken only if nothing that counts can have been cut:
its last column tells nothing here, and the source names its lines.
"""

from typing import BinaryIO

from tongbao.clearing.adapters.amounts import exponent_of, minor_of, minor_with_comma, whole_of
from tongbao.clearing.adapters.instants import Instants
from tongbao.clearing.adapters.keys import named_key
from tongbao.clearing.adapters.said import note, reference
from tongbao.clearing.adapters.tables import Dialect, Table
from tongbao.clearing.adapters.text_lines import CHINESE, UTF_8, TextLines
from tongbao.clearing.adapters.unfit import Unfit
from tongbao.clearing.schema.lines import CsvColumns, Line, LineKind, Side, SourceTerms
from tongbao.core.errors import InvalidRequest

SKIPPED_MAX = 1_000
_CHINESE_ZONES = frozenset({"Asia/Shanghai", "Asia/Urumqi"})
_SINGLE = ("kind", "currency", "gross", "fee", "net", "reference", "channel_reference", "batch")
_OTHERS = ("occurred_at", "value_on", "text")


class CsvFile(Table):
    """One file. Where it has no column of kinds, the sign says it: a sale or a refund of a channel, a transfer or a payout at a bank."""

    def __init__(self, stream: BinaryIO, terms: SourceTerms) -> None:
        columns = terms.columns
        _check(terms)
        otherwise = CHINESE if terms.zone in _CHINESE_ZONES else UTF_8
        ends = (columns.end_mark,) if columns.end_mark else ()
        dialect = Dialect(delimiter=columns.delimiter, ends=ends, has_keys=bool(columns.key))
        super().__init__(TextLines(stream, otherwise), terms, dialect)
        head = self._take_head("", exact_at=columns.skip_before)
        self._columns = columns
        self._places = {
            name: head[getattr(columns, name)] if getattr(columns, name) else head.width
            for name in _SINGLE + _OTHERS
        }
        self._key = [head[name] for name in columns.key]
        self._last = head.width - 1
        self._kinds = {text: LineKind(kind) for text, kind in columns.kinds.items()}
        self._negative = frozenset(columns.negative_kinds)
        self._instants = Instants(terms.zone, columns.time_format)
        self._by_sign = (
            (LineKind.SALE, LineKind.REFUND)
            if terms.side is Side.CHANNEL
            else (LineKind.TRANSFER, LineKind.PAYOUT)
        )

    def _line(self, number: int, cells: list[str], key: str) -> Line:
        # What columns that are not there say.
        cells.append("")
        currency = self._cell(cells, "currency").upper() or self._terms.currency
        exponent = exponent_of(currency, self._columns.currency)
        gross, fee, net = self._amounts(cells, exponent)
        kind_text = self._cell(cells, "kind")
        if not self._columns.kind:
            kind = self._by_sign[(gross if gross is not None else net or 0) < 0]
        else:
            kind = self._kinds.get(kind_text, LineKind.OTHER)
        if kind.value in self._negative:
            gross = None if gross is None else -abs(gross)
            net = None if net is None else -abs(net)
        gross, fee, net = self._whole(gross, fee, net)
        occurred, value = self._cell(cells, "occurred_at"), self._cell(cells, "value_on")
        return Line(
            number=number,
            key=named_key([cells[place].strip() for place in self._key]) if self._key else key,
            kind=kind,
            currency=currency,
            gross_minor=gross,
            fee_minor=fee,
            net_minor=net,
            reference=reference(self._cell(cells, "reference"), self._columns.reference),
            channel_reference=reference(
                self._cell(cells, "channel_reference"), self._columns.channel_reference
            ),
            batch=reference(self._cell(cells, "batch"), self._columns.batch) if self._columns.batch else "",
            occurred_at=self._instants.instant(occurred, self._columns.occurred_at) if occurred else None,
            value_on=self._instants.day(value, self._columns.value_on) if value else None,
            text=note(self._cell(cells, "text")) if self._columns.text else "",
        )

    def _cell(self, cells: list[str], name: str) -> str:
        return cells[self._places[name]].strip()

    def _amounts(self, cells: list[str], exponent: int) -> tuple[int | None, int | None, int | None]:
        """Return what a row tells of gross, fee and net; None for what it does not tell."""
        return (
            self._amount(cells, "gross", self._columns.gross, exponent),
            self._amount(cells, "fee", self._columns.fee, exponent),
            self._amount(cells, "net", self._columns.net, exponent),
        )

    def _amount(self, cells: list[str], name: str, column: str, exponent: int) -> int | None:
        if not column:
            return None
        text = cells[self._places[name]].strip()
        if not text and name == "fee":
            return 0
        if self._columns.amount_unit == "minor":
            return whole_of(text, column)
        return (minor_with_comma if self._columns.decimal_comma else minor_of)(text, exponent, column)

    def _whole(self, gross: int | None, fee: int | None, net: int | None) -> tuple[int, int, int]:
        """Return all three, of which two give the third; a fee may be told with either sign, as a cost or as what was kept.

        Raises Unfit ``amounts_contradict`` where all three are told and do not fit.
        """
        if gross is not None and net is not None:
            if fee is not None and abs(gross - net) != abs(fee):
                raise Unfit("amounts_contradict", "gross less fee is not net", self._columns.net, str(net))
            return gross, gross - net, net
        cost = fee or 0
        if gross is not None:
            return gross, cost, gross - cost
        return (net or 0) + cost, cost, net or 0

    def _is_complete(self, cells: list[str]) -> bool:
        used = {*self._places.values(), *self._key}
        return bool(self._key) and len(cells) == self._last + 1 and self._last not in used


def _check(terms: SourceTerms) -> None:
    """Raise InvalidRequest ``file_unreadable`` where the agreed columns cannot tell what a line needs."""
    columns = terms.columns
    wrong = ""
    if not (columns.gross or columns.net):
        wrong = "neither gross nor net has a column"
    elif not (columns.currency or terms.currency):
        wrong = "neither a column nor the source tells the currency"
    elif not _is_delimiter(columns):
        wrong = "a delimiter is one character, no quotation mark and no line break"
    elif columns.amount_unit not in {"major", "minor"}:
        wrong = "amounts are in major or minor units"
    elif not 0 <= columns.skip_before <= SKIPPED_MAX:
        wrong = f"at most {SKIPPED_MAX} lines stand before the head line"
    elif not {*columns.kinds.values(), *columns.negative_kinds} <= {*LineKind.__members__.values()}:
        wrong = "a kind is none of those that lines have"
    if wrong:
        raise InvalidRequest("file_unreadable", f"the agreement with {terms.source}: {wrong}")


def _is_delimiter(columns: CsvColumns) -> bool:
    return len(columns.delimiter) == 1 and columns.delimiter not in '"\r\n\x00'
