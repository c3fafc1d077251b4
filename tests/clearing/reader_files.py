"""What tests of readers share: terms, rows as other sides know them, and a reading taken apart."""

import io
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tongbao.clearing.adapters.opening import open_file
from tongbao.clearing.schema.lines import CsvColumns, Format, Header, Line, Refusal, Side, SourceTerms
from tongbao.simulator.sandbox.settlement_files import Row, Statement

DAY = date(2026, 11, 2)
NOON = datetime(2026, 11, 2, 4, tzinfo=UTC)
"""Noon of Shanghai: the day is the same there and in UTC."""
BANK = (Format.CAMT_052, Format.CAMT_053, Format.CAMT_054, Format.MT940)
COLUMNS = CsvColumns(
    key=("id",),
    reference="ours",
    channel_reference="theirs",
    kind="kind",
    kinds={"sale": "sale", "refund": "refund"},
    currency="currency",
    gross="gross",
    fee="fee",
    net="net",
    occurred_at="at",
)


class Reading(NamedTuple):
    """What came of a file."""

    lines: list[Line]
    refusals: list[Refusal]
    header: Header

    @property
    def codes(self) -> list[str]:
        """Why lines were refused, in order."""
        return [each.code for each in self.refusals]


def terms(form: Format, **fields: Any) -> SourceTerms:
    """The terms of a source that sends files of this format."""
    side = Side.BANK if form in BANK else Side.CHANNEL
    if form is Format.CSV:
        fields = {"columns": COLUMNS, **fields}
    return SourceTerms(source="somebody", side=side, format=form, **fields)


def read(form: Format, data: bytes, **fields: Any) -> Reading:
    """Read a file to its end."""
    reader = open_file(io.BytesIO(data), terms(form, **fields))
    entries = list(reader)
    lines = [each for each in entries if isinstance(each, Line)]
    return Reading(lines, [each for each in entries if isinstance(each, Refusal)], reader.header)


def row(number: int, amount_minor: int = 1_000, **fields: Any) -> Row:
    """A sale, or a refund where the amount is negative."""
    plain: dict[str, Any] = {
        "reference": f"{'pa' if amount_minor >= 0 else 're'}_{number:026d}",
        "channel_reference": f"ch{number:020d}",
        "kind": "sale" if amount_minor >= 0 else "refund",
        "amount_minor": amount_minor,
        "at": NOON + timedelta(seconds=number),
    }
    return Row(**(plain | fields))


def statement(**fields: Any) -> Statement:
    """A statement of the day."""
    plain: dict[str, Any] = {"account": "622848001234", "on": DAY, "number": 7, "opening_minor": 5_000}
    return Statement(**(plain | fields))


@st.composite
def channel_rows(draw: st.DrawFn, currency: str = "CNY", size: int = 12) -> list[Row]:
    """Sales and refunds with fees, of any size that books hold."""
    amounts = st.integers(-(10**11), 10**11).filter(bool)
    chosen = draw(st.lists(st.tuples(amounts, st.integers(0, 10**6)), max_size=size))
    return [
        row(number, amount, fee_minor=fee if amount > 0 else -fee, currency=currency)
        for number, (amount, fee) in enumerate(chosen)
    ]


@st.composite
def bank_rows(draw: st.DrawFn, currency: str = "CNY", size: int = 12) -> list[Row]:
    """Transfers, payouts and returns, some of them booked in batches."""
    kinds = st.sampled_from(("transfer", "payout", "return"))
    chosen = draw(st.lists(st.tuples(kinds, st.integers(1, 10**11), st.integers(0, 2)), max_size=size))
    return [
        row(
            number,
            -amount if kind == "payout" else amount,
            kind=kind,
            reference=f"e2e{number}",
            channel_reference=f"bank{number}",
            currency=currency,
            batch=f"{kind}{batch}" if batch else "",
        )
        for number, (kind, amount, batch) in enumerate(chosen)
    ]


def said(lines: list[Line]) -> list[tuple[object, ...]]:
    """What lines say, in an order of its own."""
    return sorted(
        (
            each.reference,
            each.channel_reference,
            each.kind.value,
            each.currency,
            each.gross_minor,
            each.fee_minor,
        )
        for each in lines
    )


def known(rows: list[Row]) -> list[tuple[object, ...]]:
    """What rows say, likewise."""
    return sorted(
        (each.reference, each.channel_reference, each.kind, each.currency, each.amount_minor, each.fee_minor)
        for each in rows
    )


def plain_csv(rows: list[Row]) -> bytes:
    """A table by the columns above, in minor units of a currency with two decimals."""
    lines = ["id,ours,theirs,kind,currency,gross,fee,net,at,rest"]
    for number, each in enumerate(rows):
        amounts = (each.amount_minor, each.fee_minor, each.amount_minor - each.fee_minor)
        gross, fee, net = (f"{'-' * (n < 0)}{abs(n) // 100}.{abs(n) % 100:02d}" for n in amounts)
        cells = (each.reference, each.channel_reference, each.kind, each.currency, gross, fee, net)
        lines.append(f"{number},{','.join(cells)},{each.at.isoformat()},")
    return "".join(f"{line}\n" for line in lines).encode()
