"""Stripe's itemized reports of a balance: CSV, major units, one row for each balance transaction.

Our reference stands in ``payment_metadata[reference]`` and ``refund_metadata[reference]``, as the channel's adapter writes
it; both columns have to be asked for when a report is made. A payout is a transfer to us: its sign is turned, and its
reference is its own name, which the bank shows. Reports end without any mark: a last line that is cut is told by its missing break.

Source: Stripe's public pages "Balance summary report", "Payout reconciliation report", "Reporting categories". Amounts have the
decimals of Stripe's own list, which writes some currencies with more (zeros) than ISO 4217.
"""

from typing import BinaryIO

from tongbao.clearing.adapters.amounts import exponent_of, minor_of
from tongbao.clearing.adapters.instants import Instants
from tongbao.clearing.adapters.keys import named_key
from tongbao.clearing.adapters.said import note, reference
from tongbao.clearing.adapters.tables import Dialect, Table
from tongbao.clearing.adapters.text_lines import TextLines
from tongbao.clearing.adapters.unfit import Unfit
from tongbao.clearing.schema.lines import Line, LineKind, SourceTerms

KINDS = {
    "charge": LineKind.SALE,
    "charge_failure": LineKind.SALE,
    "partial_capture_reversal": LineKind.SALE,
    "refund": LineKind.REFUND,
    "refund_failure": LineKind.REFUND,
    "dispute": LineKind.DISPUTE,
    "dispute_reversal": LineKind.DISPUTE_WON,
    "fee": LineKind.FEE,
    "tax": LineKind.FEE,
    "network_cost": LineKind.FEE,
    "payout": LineKind.TRANSFER,
    "payout_reversal": LineKind.TRANSFER,
    "topup": LineKind.TRANSFER,
    "topup_reversal": LineKind.TRANSFER,
}
"""What reporting categories are; any other is ``other``."""
_BY_INTENT = frozenset({LineKind.SALE})


class StripeBalance(Table):
    """One report."""

    def __init__(self, stream: BinaryIO, terms: SourceTerms) -> None:
        super().__init__(TextLines(stream), terms, Dialect())
        head = self._take_head("balance_transaction_id")
        # Columns in UTC are there in every report; those in the zone of the report would need to know that zone.
        self._at = head.find("created_utc", "created (UTC)", "Created (UTC)")
        self._is_utc = self._at >= 0
        if not self._is_utc:
            self._at = head["created"]
        self._value_on = head.find(
            "available_on_utc", "available_on (UTC)", "available_on", otherwise=head.width
        )
        self._key = head["balance_transaction_id"]
        self._currency = head["currency"]
        self._gross, self._fee, self._net = head["gross"], head["fee"], head["net"]
        self._category = head["reporting_category"]
        self._source_id = head.find("source_id", otherwise=head.width)
        self._intent = head.find("payment_intent_id", otherwise=head.width)
        self._charge = head.find("charge_id", otherwise=head.width)
        self._batch = head.find("automatic_payout_id", "payout_id", otherwise=head.width)
        self._text = head.find("description", otherwise=head.width)
        self._ours = head.find("payment_metadata[reference]", otherwise=head.width)
        self._ours_refund = head.find("refund_metadata[reference]", otherwise=head.width)
        self._instants = Instants("UTC" if self._is_utc else terms.zone)

    def _line(self, number: int, cells: list[str], key: str) -> Line:
        del key
        # What columns that are not there say.
        cells.append("")
        kind = KINDS.get(cells[self._category], LineKind.OTHER)
        currency = cells[self._currency].upper()
        exponent = exponent_of(currency, "currency")
        gross = minor_of(cells[self._gross], exponent, "gross", pads=True)
        fee = minor_of(cells[self._fee], exponent, "fee", pads=True)
        net = minor_of(cells[self._net], exponent, "net", pads=True)
        if gross - fee != net:
            raise Unfit("amounts_contradict", "gross less fee is not net", "net", cells[self._net])
        source = cells[self._source_id]
        batch = cells[self._batch]
        if kind is LineKind.TRANSFER:
            gross, fee, net = -gross, -fee, -net
            ours = theirs = source or batch
            batch = batch or source
        else:
            ours = cells[self._ours_refund if kind is LineKind.REFUND else self._ours]
            intent = cells[self._intent] if kind in _BY_INTENT else ""
            theirs = intent or source or cells[self._charge]
        value = cells[self._value_on]
        return Line(
            number=number,
            key=named_key((cells[self._key],)),
            kind=kind,
            currency=currency,
            gross_minor=gross,
            fee_minor=fee,
            net_minor=net,
            reference=ours and reference(ours, "reference"),
            channel_reference=reference(theirs, "source_id"),
            batch=batch and reference(batch, "automatic_payout_id"),
            occurred_at=self._instants.instant(cells[self._at], "created"),
            value_on=self._instants.day(value, "available_on") if value else None,
            text=cells[self._text] and note(cells[self._text]),
        )
