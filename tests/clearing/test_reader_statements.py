"""Statements of banks: camt.052–054 and MT940, written and read, and read by somebody else."""

import importlib
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.clearing.reader_files import DAY, bank_rows, known, read, row, said, statement

from tongbao.clearing.schema.lines import Balance, Format, LineKind
from tongbao.core.errors import InvalidRequest
from tongbao.simulator.sandbox import settlement_files as written
from tongbao.simulator.sandbox.settlement_files import Row

CAMT = {"camt.052": Format.CAMT_052, "camt.053": Format.CAMT_053, "camt.054": Format.CAMT_054}
ENTRY = (
    '<Ntry><Amt Ccy="EUR">{amount}</Amt><CdtDbtInd>{side}</CdtDbtInd>{status}<BookgDt><Dt>2026-11-02</Dt></BookgDt>'
    "<ValDt><Dt>2026-11-03</Dt></ValDt>{rest}</Ntry>"
)


def _document(entries: str, head: str = "", version: str = "08") -> bytes:
    return (
        f'<?xml version="1.0"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version}"><BkToCstmrStmt>'
        f"<Stmt><Id>S1</Id>{head}<Acct><Id><IBAN>DE89370400440532013000</IBAN></Id></Acct>{entries}</Stmt>"
        "</BkToCstmrStmt></Document>"
    ).encode()


def _entry(amount: str = "10.00", side: str = "CRDT", rest: str = "", status: str = "<Sts>BOOK</Sts>") -> str:
    return ENTRY.format(amount=amount, side=side, rest=rest, status=status)


@given(
    rows=bank_rows(),
    message=st.sampled_from(sorted(CAMT)),
    version=st.sampled_from((2, 4, 6, 8, 10, 13)),
    opening=st.integers(-(10**9), 10**9),
)
@settings(max_examples=60)
def test_statement_of_any_version_written_and_read_says_the_same(
    rows: list[Row], message: str, version: int, opening: int
) -> None:
    told = statement(message=message, version=version, opening_minor=opening)
    found = read(CAMT[message], written.camt(rows, told))
    assert (said(found.lines), found.refusals) == (known(rows), [])
    assert (found.header.declared_count, found.header.declared_minor) == (
        len(rows),
        sum(each.amount_minor for each in rows),
    )
    assert (found.header.sequence, found.header.account) == (7, "****1234")
    if message != "camt.054":
        closing = opening + sum(each.amount_minor for each in rows)
        assert found.header.opening == Balance(currency="CNY", amount_minor=opening, on=DAY)
        assert found.header.closing == Balance(currency="CNY", amount_minor=closing, on=DAY)
    assert len({each.key for each in found.lines}) == len(rows)


@pytest.mark.parametrize("currency", ["JPY", "EUR", "KWD"])
@given(data=st.data())
@settings(max_examples=25)
def test_mt940_written_and_read_says_the_same(currency: str, data: st.DataObject) -> None:
    rows = data.draw(bank_rows(currency))
    found = read(Format.MT940, written.mt940(rows, statement(currency=currency)))
    assert (said(found.lines), found.refusals) == (known(rows), [])
    assert found.header.closing == Balance(
        currency=currency, amount_minor=5_000 + sum(each.amount_minor for each in rows), on=DAY
    )
    assert (found.header.sequence, found.header.until_on) == (7, DAY)


def test_entry_of_several_payments_is_a_line_for_each_with_its_booking_as_batch() -> None:
    rows = [row(number, -100 * number, kind="payout", batch="run") for number in (1, 2, 3)]
    lines = read(Format.CAMT_053, written.camt(rows, statement())).lines
    assert [(each.gross_minor, each.batch, each.count) for each in lines] == [
        (-100, "run", 1),
        (-200, "run", 1),
        (-300, "run", 1),
    ]


def test_entry_whose_payments_do_not_sum_to_it_stays_one_line_that_counts_for_all() -> None:
    rows = [row(number, 100 * number, kind="transfer", batch="run") for number in (1, 2, 3)]
    data = written.camt(rows, statement()).replace(b'<Amt Ccy="CNY">2.00</Amt>', b'<Amt Ccy="CNY">2.01</Amt>')
    (line,) = read(Format.CAMT_053, data).lines
    assert (line.gross_minor, line.count, line.batch) == (600, 3, "run")


@pytest.mark.parametrize("status", ["<Sts>PDNG</Sts>", "<Sts><Cd>INFO</Cd></Sts>", "<Sts>FUTR</Sts>"])
def test_what_is_not_booked_counts_as_nothing_and_totals_still_fit(status: str) -> None:
    totals = "<TxsSummry><TtlNtries><NbOfNtries>2</NbOfNtries></TtlNtries></TxsSummry>"
    found = read(Format.CAMT_053, _document(totals + _entry() + _entry("99.00", status=status)))
    assert ([each.gross_minor for each in found.lines], found.refusals) == ([1_000], [])
    assert found.header.declared_count == 1


def test_total_that_names_an_entry_more_is_told() -> None:
    totals = "<TxsSummry><TtlNtries><NbOfNtries>3</NbOfNtries></TtlNtries></TxsSummry>"
    assert read(Format.CAMT_053, _document(totals + _entry() + _entry())).header.declared_count == 3


@pytest.mark.parametrize(
    ("side", "rest", "kind"),
    [
        ("CRDT", "", LineKind.TRANSFER),
        ("DBIT", "", LineKind.PAYOUT),
        (
            "CRDT",
            "<NtryDtls><TxDtls><RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf></TxDtls></NtryDtls>",
            LineKind.RETURN,
        ),
        (
            "DBIT",
            "<NtryDtls><TxDtls><RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf></TxDtls></NtryDtls>",
            LineKind.TRANSFER,
        ),
        ("CRDT", "<RvslInd>true</RvslInd>", LineKind.RETURN),
        ("DBIT", "<BkTxCd><Domn><Fmly><Cd>RDDT</Cd></Fmly></Domn></BkTxCd>", LineKind.TRANSFER),
        ("DBIT", "<BkTxCd><Domn><Fmly><SubFmlyCd>CHRG</SubFmlyCd></Fmly></Domn></BkTxCd>", LineKind.FEE),
        ("CRDT", "<BkTxCd><Domn><Fmly><SubFmlyCd>RRTN</SubFmlyCd></Fmly></Domn></BkTxCd>", LineKind.RETURN),
    ],
)
def test_kind_of_an_entry_follows_its_direction_and_reason(side: str, rest: str, kind: LineKind) -> None:
    (line,) = read(Format.CAMT_053, _document(_entry(side=side, rest=rest))).lines
    assert (line.kind, line.gross_minor) == (kind, 1_000 if side == "CRDT" else -1_000)
    assert (line.occurred_at and line.occurred_at.date(), line.value_on) == (DAY, date(2026, 11, 3))


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (_entry(amount="ten"), "amount_malformed"),
        (_entry(amount="-1.00"), "sign_wrong"),
        (_entry(side="BOTH"), "sign_wrong"),
        (_entry().replace("EUR", "EUX"), "currency_unknown"),
        (_entry().replace("2026-11-02", "1026-11-02"), "date_absurd"),
        (_entry().replace("2026-11-02", "2026-11-32"), "date_malformed"),
        (_entry(rest=f"<AcctSvcrRef>{'x' * 121}</AcctSvcrRef>"), "reference_too_long"),
    ],
)
def test_bad_entry_is_refused_and_the_next_one_taken(entry: str, code: str) -> None:
    found = read(Format.CAMT_053, _document(entry + _entry("7.00")))
    assert ([each.gross_minor for each in found.lines], found.codes) == ([700], [code])


def test_equal_entries_without_references_stay_two_and_keep_their_keys() -> None:
    data = _document(_entry() + _entry())
    keys = [each.key for each in read(Format.CAMT_053, data).lines]
    assert len(set(keys)) == 2
    assert keys == [each.key for each in read(Format.CAMT_053, data).lines]


def test_statement_of_another_account_counts_nothing() -> None:
    found = read(Format.CAMT_053, _document(_entry()), account="DE02120300000000202051")
    assert (found.lines, set(found.codes), found.header.account) == ([], {"account_differs"}, "")
    spaced = read(Format.CAMT_053, _document(_entry()), account="DE89 3704 0044 0532 0130 00")
    assert (len(spaced.lines), spaced.header.account) == (1, "****3000")


def test_document_cut_anywhere_keeps_whole_entries_and_says_so() -> None:
    data = written.camt([row(1, 900, kind="transfer"), row(2, -70, kind="payout")], statement())
    whole = read(Format.CAMT_053, data).lines
    for length in range(0, len(data.rstrip()) - 1, 7):
        try:
            found = read(Format.CAMT_053, data[:length])
        except InvalidRequest as error:
            assert error.code == "file_unreadable"  # noqa: PT017 - some cuts are readable, some are not
            continue
        assert found.lines == whole[: len(found.lines)]
        assert found.codes == ["file_truncated"]


@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE Document [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>',
        '<!DOCTYPE Document [<!ENTITY x SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE Document SYSTEM "http://127.0.0.1:1/x.dtd">',
    ],
)
def test_document_types_and_entities_are_refused(head: str) -> None:
    data = _document(_entry()).replace(b'<?xml version="1.0"?>', f'<?xml version="1.0"?>{head}'.encode())
    with pytest.raises(InvalidRequest, match="file_unreadable"):
        read(Format.CAMT_053, data)


def test_other_message_than_agreed_is_unreadable() -> None:
    with pytest.raises(InvalidRequest, match="file_unreadable"):
        read(Format.CAMT_052, _document(_entry()))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_document_in_other_encodings_says_the_same(encoding: str) -> None:
    data = _document(_entry())
    assert read(Format.CAMT_053, data.decode().encode(encoding)).lines == read(Format.CAMT_053, data).lines


@pytest.mark.parametrize(
    ("line", "kind", "minor"),
    [
        (":61:2611021102C10,00NTRFNONREF//B1", LineKind.TRANSFER, 1_000),
        (":61:2611021102D10,NTRFNONREF//B1", LineKind.PAYOUT, -1_000),
        (":61:2611021102RD10,5NTRFNONREF//B1", LineKind.RETURN, 1_050),
        (":61:2611021102RC10,00NTRFNONREF//B1", LineKind.TRANSFER, -1_000),
        (":61:261102CR10,00NRTINONREF//B1", LineKind.RETURN, 1_000),
        (":61:261102D0,50NCHGNONREF", LineKind.FEE, -50),
        (":61:261102D0,50FDDTNONREF", LineKind.TRANSFER, -50),
    ],
)
def test_mark_of_a_statement_line_says_sign_and_kind(line: str, kind: LineKind, minor: int) -> None:
    (found,) = read(Format.MT940, _mt940(line)).lines
    assert (found.kind, found.gross_minor) == (kind, minor)


def _mt940(*entries: str, number: int = 1) -> bytes:
    lines = [
        ":20:X",
        ":25:12345678",
        f":28C:{number}/1",
        ":60F:C261102EUR0,00",
        *entries,
        ":62F:C261102EUR0,00",
        "-",
    ]
    return "".join(f"{line}\r\n" for line in lines).encode()


@pytest.mark.parametrize(
    ("told", "reference"),
    [
        (":86:/EREF/E2E-1/REMI/tea", "E2E-1"),
        (":86:166?00SEPA?20EREF+E2E-1?21 KREF+NONE?22SVWZ+tea", "E2E-1"),
        (":86:166?00SEPA?20EREF+E2E-?211SVWZ+tea", "E2E-1"),
        (":86:tea for two", "OURS"),
    ],
)
def test_end_to_end_id_is_found_in_what_the_bank_tells(told: str, reference: str) -> None:
    (line,) = read(Format.MT940, _mt940(":61:261102C1,00NTRFOURS//B1", told)).lines
    assert (line.reference, line.channel_reference) == (reference, "B1")


def test_several_statements_in_a_file_are_read_in_order_with_or_without_blocks() -> None:
    first, second = _mt940(":61:2612310101C1,00NTRFA", number=4), _mt940(":61:261102D2,00NTRFA", number=5)
    found = read(Format.MT940, b"{1:F01BANK}{2:O940}{4:\r\n" + first + b"-}\r\n{1:F01BANK}{4:" + second)
    assert ([each.gross_minor for each in found.lines], found.refusals) == ([100, -200], [])
    assert found.header.sequence == 5
    assert found.lines[0].occurred_at is not None
    assert found.lines[0].occurred_at.date() == date(2027, 1, 1)


def test_bad_statement_lines_are_refused_with_their_number() -> None:
    data = _mt940(
        ":61:2611C1,00NTRFA", ":61:261102C1,00NTRFA", ":61:261302C1,00NTRFA", ":61:261102C1.00NTRFA"
    )
    found = read(Format.MT940, data)
    assert [each.number for each in found.lines] == [6]
    assert [(each.number, each.code) for each in found.refusals] == [
        (5, "entry_malformed"),
        (7, "date_malformed"),
        (8, "entry_malformed"),
    ]


def test_broken_bytes_take_their_entry_and_no_other() -> None:
    data = _mt940(
        ":61:261102C1,00NTRFA", ":86:tea", ":61:261102C2,00NTRFA", ":86:te?", ":61:261102C3,00NTRFA"
    )
    found = read(Format.MT940, data.replace(b"te?", b"te\xff"))
    assert [each.gross_minor for each in found.lines] == [100, 300]
    assert [(each.number, each.code) for each in found.refusals] == [(8, "encoding_broken")]


def test_mt940_cut_anywhere_keeps_whole_entries_and_says_so() -> None:
    data = _mt940(":61:261102C1,00NTRFA//B1", ":86:/EREF/one/", ":61:261102C2,00NTRFA//B2", ":86:/EREF/two/")
    whole = read(Format.MT940, data).lines
    for length in range(len(data) - len("-\r\n") - 2):
        try:
            found = read(Format.MT940, data[:length])
        except InvalidRequest as error:
            assert error.code == "file_unreadable"  # noqa: PT017 - some cuts are readable, some are not
            continue
        assert found.lines == whole[: len(found.lines)]
        assert found.codes == ["file_truncated"], length


@given(rows=bank_rows("EUR", size=6))
@settings(max_examples=15)
def test_independent_parser_reads_the_same_amounts_and_balances(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row]
) -> None:
    theirs = _independent_parser()
    path = tmp_path_factory.mktemp("camt") / "statement.xml"
    told = statement(currency="EUR", version=2)
    path.write_bytes(written.camt(rows, told))
    parser = theirs(str(path))
    wanted = _cents(parser.get_account_balances())
    found = read(Format.CAMT_053, path.read_bytes())
    assert found.header.opening is not None
    assert found.header.closing is not None
    assert {found.header.opening.amount_minor, found.header.closing.amount_minor} <= wanted
    if rows:
        amounts = [round(each * 100) for each in parser.parse()["Amount"]]
        assert sum(amounts) == sum(each.gross_minor for each in found.lines)


def _cents(balances: Any) -> set[int]:
    return {round(each * 100) for each in balances["Amount"]}


def _independent_parser() -> Any:
    """The CAMT parser of the package bankstatementparser (development only), which shares no code with ours."""
    try:
        return importlib.import_module("bankstatementparser").CamtParser
    except ImportError:
        pytest.skip("the package bankstatementparser is not installed (pip install tongbao[dev])")
