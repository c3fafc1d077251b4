"""Files that hold several statements, messages that are none, and accounts at channels."""

import io
from datetime import timedelta

import msgspec
import pytest
from tests.clearing.reader_files import DAY, read, row, statement, terms

from tongbao.clearing.adapters.opening import open_file
from tongbao.clearing.schema.lines import Format, Line, LineKind, Side, SourceTerms
from tongbao.core.errors import InvalidRequest
from tongbao.simulator.sandbox import settlement_files as written
from tongbao.simulator.sandbox.settlement_files import Row

PAID = {"kind": "payout", "reference": "PO1", "channel_reference": "B1"}


def day(number: int, amount: int = -100, opening: int = 5_000) -> tuple[list[Row], dict[str, object]]:
    """The entries of the statement of a number, which is of a day of its own, and what it says of itself."""
    on = DAY + timedelta(days=number - 7)
    entry = row(number, amount, kind="transfer", channel_reference=f"B{number}")
    return [entry], {"number": number, "on": on, "opening_minor": opening}


def joined(form: Format, *days: tuple[list[Row], dict[str, object]]) -> bytes:
    """One file of the statements of several days."""
    if form is Format.MT940:
        return b"".join(written.mt940(rows, statement(**said)) for rows, said in days)
    documents = [written.camt(rows, statement(**said)).decode() for rows, said in days]
    head, _, rest = documents[0].partition("<Stmt>")
    tail = rest.partition("</Stmt>")[2]
    bodies = [each.partition("<Stmt>")[2].partition("</Stmt>")[0] for each in documents]
    return (head + "".join(f"<Stmt>{each}</Stmt>" for each in bodies) + tail).encode()


@pytest.mark.parametrize("form", [Format.CAMT_053, Format.MT940])
def test_each_statement_of_a_file_keeps_its_number_days_and_balances(form: Format) -> None:
    found = read(form, joined(form, day(7), day(9, opening=4_000)), currency="CNY")
    assert (len(found.lines), found.refusals) == (2, [])
    told = found.header.statements
    assert [each.sequence for each in told] == [7, 9]
    assert [each.until_on for each in told] == [DAY, DAY + timedelta(days=2)]
    balances = [(each.opening, each.closing) for each in told]
    assert [(a.amount_minor, b.amount_minor) for a, b in balances if a and b] == [
        (5_000, 4_900),
        (4_000, 3_900),
    ]
    assert (found.header.from_on, found.header.until_on) == (DAY, DAY + timedelta(days=2))


@pytest.mark.parametrize("form", [Format.CAMT_053, Format.MT940])
def test_statement_that_comes_twice_in_a_file_counts_once_and_is_refused_the_second_time(
    form: Format,
) -> None:
    found = read(form, joined(form, day(7), day(8, opening=4_900), day(7)), currency="CNY")
    assert [each.channel_reference for each in found.lines] == ["B7", "B8"]
    assert set(found.codes) == {"statement_repeated"}
    assert [each.sequence for each in found.header.statements] == [7, 8]


def test_end_of_a_period_at_midnight_is_no_day_of_it() -> None:
    data = written.camt([], statement()).decode()
    since, until = f"{DAY}T00:00:00Z", f"{DAY + timedelta(days=1)}T00:00:00Z"
    period = f"<FrToDt><FrDtTm>{since}</FrDtTm><ToDtTm>{until}</ToDtTm></FrToDt><Acct>"
    found = read(Format.CAMT_053, data.replace("<Acct>", period, 1).encode())
    assert (found.header.from_on, found.header.until_on) == (DAY, DAY)


def at_channel(form: Format) -> SourceTerms:
    """What is agreed about an account of ours at a channel."""
    return msgspec.structs.replace(terms(form, currency="CNY"), side=Side.CHANNEL)


@pytest.mark.parametrize("form", [Format.CAMT_053, Format.MT940])
def test_nothing_on_an_account_at_a_channel_is_a_payout_of_ours(form: Format) -> None:
    write = written.camt if form is Format.CAMT_053 else written.mt940
    rows = [
        row(1, 900, kind="transfer", reference="pa_1"),
        row(2, -300, kind="payout", reference="re_1"),
        row(3, -500, kind="payout", reference=""),
        row(4, 500, kind="return", reference=""),
        row(5, -7, kind="fee", reference=""),
    ]
    data = write(rows, statement())
    reader = open_file(io.BytesIO(data), at_channel(form))
    found = [(each.kind, each.gross_minor) for each in reader if isinstance(each, Line)]
    assert found == [
        (LineKind.SALE, 900),
        (LineKind.REFUND, -300),
        (LineKind.TRANSFER, 500),
        (LineKind.TRANSFER, -500),
        (LineKind.FEE, -7),
    ]
    assert read(form, data, currency="CNY").lines[1].kind is LineKind.PAYOUT


def notice(kind: str = "pacs.004", body: str = "") -> bytes:
    """A message of a bank that is no statement."""
    name = {"pacs.004": "PmtRtr", "pain.002": "CstmrPmtStsRpt", "camt.054": "BkToCstmrDbtCdtNtfctn"}[kind]
    return (
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:{kind}.001.09"><{name}><GrpHdr><MsgId>M1</MsgId></GrpHdr>{body}'
        f"</{name}></Document>"
    ).encode()


@pytest.mark.parametrize("kind", ["pacs.004", "pain.002", "camt.054"])
def test_message_that_is_no_statement_has_no_lines_and_no_day(kind: str) -> None:
    found = read(Format.CAMT_053, notice(kind))
    assert (found.lines, found.refusals, found.header.format) == ([], [], Format.NOTICE)
    assert (found.header.statement, found.header.until_on) == ("M1", None)


def test_statement_of_the_agreed_kind_is_read_as_one() -> None:
    data = written.camt([row(1, -5, **PAID)], statement(message="camt.054"))
    assert [each.reference for each in read(Format.CAMT_054, data).lines] == ["PO1"]
    assert read(Format.CAMT_053, data).header.format is Format.NOTICE


@pytest.mark.parametrize(
    "data",
    [
        notice()[:-20],
        b'<!DOCTYPE x [<!ENTITY e "f">]>' + notice(),
        notice("pacs.004").replace(b"pacs.004", b"pacs.008"),
    ],
)
def test_message_that_is_cut_or_of_no_known_kind_is_unreadable(data: bytes) -> None:
    with pytest.raises(InvalidRequest, match="file_unreadable"):
        read(Format.CAMT_053, data)


def test_message_for_a_channel_is_no_notice() -> None:
    with pytest.raises(InvalidRequest, match="file_unreadable"):
        open_file(io.BytesIO(notice()), at_channel(Format.CAMT_053))
