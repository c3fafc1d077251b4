"""Messages of banks: pain.001 as it goes out, reports and bookings as they come in, in letters that banks take."""

import json
import subprocess
import tempfile
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.peers.programs import PEERS

from tongbao.channels.adapters.bank.initiation import NAMESPACE, initiation, part_id
from tongbao.channels.adapters.bank.letters import written
from tongbao.channels.adapters.bank.reports import read
from tongbao.channels.adapters.bank.values import (
    BankSettings,
    Charset,
    LineKind,
    Order,
    OrderMessage,
    OwnAccount,
)
from tongbao.core.errors import InvalidRequest

HOUSE = BankSettings(
    holder="Häuser & Söhne GmbH",
    accounts={
        "EUR": OwnAccount(number="NL41MOCK0000000001", agent_code="MOCKNL2A"),
        "CNY": OwnAccount(
            number="0200001909000000001", scheme="local", agent_code="102100099996", country="CN"
        ),
        "JPY": OwnAccount(number="1234567", scheme="local", agent_code="BOTKJPJT", country="JP"),
    },
)
SEPA = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/-?:().,'+ ")
MADE_AT = datetime(2027, 3, 1, 9, tzinfo=UTC)


def order(place: int = 1, **fields: object) -> Order:
    values: dict[str, object] = {
        "end_to_end": f"PO{place:026}",
        "amount_minor": 1_234 + place,
        "currency": "EUR",
        "execution_on": date(2027, 3, 1),
        "holder": "Café Zoë",
        "scheme": "iban",
        "number": "DE89370400440532013000",
        "text": "po_1 // thanks",
    }
    return Order(**(values | fields))  # type: ignore[arg-type]  # one test a field


def message(*orders: Order) -> OrderMessage:
    return OrderMessage(message_id="MG" + "0" * 26, made_at=MADE_AT, orders=orders)


def texts(content: bytes, path: str) -> list[str]:
    place = "/".join(f"{{{NAMESPACE}}}{name}" for name in path.split("/"))
    return [each.text or "" for each in ElementTree.fromstring(content).iterfind(f".//{place}")]


@given(st.text(max_size=200))
def test_write_any_text_in_the_sepa_set_keeps_its_rules(text: str) -> None:
    done = written(text, Charset.SEPA, 70)
    assert set(done) <= SEPA
    assert len(done) <= 70
    assert "//" not in done
    assert not done.startswith(("/", " "))
    assert not done.endswith(("/", " "))
    assert written(done, Charset.SEPA, 70) == done


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Müller & Söhne", "Muller + Sohne"),
        ("Straße", "Strasse"),
        ("Łódź Øre Æther", "Lodz Ore AEther"),
        ("a_b", "a-b"),
        ("//x//", "x"),
        ("茶馆 Tea", ".. Tea"),
    ],
)
def test_write_letters_with_accents_loses_them_only(text: str, expected: str) -> None:
    assert written(text, Charset.SEPA, 70) == expected


def test_write_in_any_set_keeps_every_letter_and_drops_controls() -> None:
    assert written("茶\x00馆\n", Charset.ANY, 70) == "茶 馆"


def test_initiation_of_two_days_has_a_block_each_and_sums_that_add_up() -> None:
    orders = [order(number, execution_on=date(2027, 3, 1 + number % 2)) for number in range(1, 6)]
    content = initiation(message(*orders), HOUSE)
    assert texts(content, "GrpHdr/NbOfTxs") == ["5"]
    total = sum((Decimal(each.amount_minor) / 100 for each in orders), Decimal(0))
    assert [Decimal(each) for each in texts(content, "GrpHdr/CtrlSum")] == [total]
    assert sum(Decimal(each) for each in texts(content, "PmtInf/CtrlSum")) == total
    assert texts(content, "ReqdExctnDt/Dt") == ["2027-03-01", "2027-03-02"]
    assert [len(each) for each in texts(content, "PmtInfId")] == [35, 35]
    assert texts(content, "Cdtr/Nm") == ["Cafe Zoe"] * 5
    assert texts(content, "Dbtr/Nm") == ["Hauser + Sohne GmbH"] * 2
    assert texts(content, "RmtInf/Ustrd")[0] == "po-1 / thanks"


def test_initiation_of_equal_orders_is_equal_to_the_byte_in_any_order() -> None:
    orders = [order(number) for number in range(1, 9)]
    assert initiation(message(*orders), HOUSE) == initiation(message(*orders[::-1]), HOUSE)


def test_initiation_in_china_names_accounts_and_banks_of_the_place() -> None:
    paid = order(
        currency="CNY", scheme="local", number="6222021001116245702", agent_code="308584000013", country="CN"
    )
    content = initiation(message(paid), HOUSE)
    assert texts(content, "CdtrAcct/Id/Othr/Id") == ["6222021001116245702"]
    assert texts(content, "CdtrAgt/FinInstnId/ClrSysMmbId/MmbId") == ["308584000013"]
    assert texts(content, "ClrSysMmbId/ClrSysId/Cd") == ["CNAPS", "CNAPS"]
    assert texts(content, "SvcLvl/Cd") == []


def test_initiation_writes_amounts_with_the_decimals_of_the_currency() -> None:
    content = initiation(message(order(currency="JPY", amount_minor=500)), HOUSE)
    assert texts(content, "Amt/InstdAmt") == ["500"]
    content = initiation(message(order(amount_minor=500)), HOUSE)
    assert texts(content, "Amt/InstdAmt") == ["5.00"]


@pytest.mark.parametrize(
    "wrong",
    [
        message(),
        message(order(1), order(1)),
        message(order(1), order(2, currency="JPY")),
        message(order(1, currency="USD")),
        message(order(1, end_to_end="P" * 36)),
        message(order(1, end_to_end="")),
        message(order(1, amount_minor=0)),
        OrderMessage(message_id="M" * 29, made_at=MADE_AT, orders=(order(1),)),
    ],
)
def test_initiation_of_what_no_bank_takes_is_refused(wrong: OrderMessage) -> None:
    with pytest.raises(InvalidRequest) as refused:
        initiation(wrong, HOUSE)
    assert refused.value.code == "bank_message_invalid"


def test_initiation_is_read_alike_by_a_parser_of_others() -> None:
    python = PEERS / "mock-bank" / "bin" / "python"
    if not python.exists():
        pytest.skip("mock-bank is not installed: make peers")
    orders = [order(number) for number in range(1, 4)]
    script = (
        "import json, sys\n"
        "from mockbank import messages, validate\n"
        "data = open(sys.argv[1], 'rb').read()\n"
        "found = [list(each) for each in validate.validate(data)]\n"
        "print(json.dumps([found, messages.read_pain001(data).to_json()], default=str))\n"
    )
    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / "payments.xml"
        path.write_bytes(initiation(message(*orders), HOUSE))
        done = subprocess.run([str(python), "-c", script, str(path)], capture_output=True, check=True)
    findings, found = json.loads(done.stdout)
    assert [each for each in findings if each[0] == "error"] == []
    [batch] = found["batches"]
    assert batch["pmt_inf_id"] == part_id(found["msg_id"], date(2027, 3, 1))
    assert [(each["end_to_end_id"], each["amount"]) for each in batch["payments"]] == [
        (each.end_to_end, each.amount_minor) for each in orders
    ]


def document(kind: str, body: str) -> bytes:
    return f'<?xml version="1.0"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:{kind}">{body}</Document>'.encode()


def booking(entry: str, details: str, root: str = "BkToCstmrStmt", part: str = "Stmt") -> bytes:
    kind = "camt.053.001.08" if part == "Stmt" else "camt.054.001.08"
    return document(
        kind,
        f"<{root}><GrpHdr><MsgId>B</MsgId></GrpHdr><{part}><Ntry>{entry}<NtryDtls>{details}</NtryDtls></Ntry></{part}></{root}>",
    )


def test_read_a_report_yields_message_block_and_transfers_in_this_order() -> None:
    report = read(
        document(
            "pain.002.001.03",
            "<CstmrPmtStsRpt><GrpHdr><MsgId>R1</MsgId></GrpHdr><OrgnlGrpInfAndSts><OrgnlMsgId>MG1</OrgnlMsgId>"
            "<GrpSts>PART</GrpSts></OrgnlGrpInfAndSts><OrgnlPmtInfAndSts><OrgnlPmtInfId>P1</OrgnlPmtInfId>"
            "<PmtInfSts>PART</PmtInfSts><TxInfAndSts><OrgnlEndToEndId>E1</OrgnlEndToEndId><TxSts>RJCT</TxSts>"
            "<StsRsnInf><Rsn><Cd>AC04</Cd></Rsn><AddtlInf>closed</AddtlInf></StsRsnInf></TxInfAndSts>"
            "<TxInfAndSts><OrgnlEndToEndId>E2</OrgnlEndToEndId><TxSts>ACSP</TxSts></TxInfAndSts>"
            "</OrgnlPmtInfAndSts></CstmrPmtStsRpt>",
        )
    )
    assert (report.kind, report.message_id) == ("pain.002", "R1")
    found = [(each.end_to_end, each.part_id, each.status, each.code, each.text) for each in report.lines]
    assert found == [
        ("", "", "PART", "", ""),
        ("", "P1", "PART", "", ""),
        ("E1", "P1", "RJCT", "AC04", "closed"),
        ("E2", "P1", "ACSP", "", ""),
    ]


@pytest.mark.parametrize(
    ("entry", "details", "expected"),
    [
        (
            '<Amt Ccy="EUR">1.50000</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts>BOOK</Sts><BookgDt><Dt>2027-03-01</Dt></BookgDt>',
            "<TxDtls><Refs><EndToEndId>E1</EndToEndId></Refs></TxDtls>",
            [(LineKind.BOOKED, "E1", 150)],
        ),
        (
            '<Amt Ccy="EUR">3</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>',
            '<TxDtls><Refs><EndToEndId>E1</EndToEndId></Refs><Amt Ccy="EUR">1</Amt></TxDtls>'
            '<TxDtls><Refs><EndToEndId>E2</EndToEndId></Refs><AmtDtls><TxAmt><Amt Ccy="EUR">2</Amt></TxAmt></AmtDtls></TxDtls>'
            "<TxDtls><Refs><EndToEndId>E3</EndToEndId></Refs></TxDtls>",
            [(LineKind.BOOKED, "E1", 100), (LineKind.BOOKED, "E2", 200)],
        ),
        (
            '<Amt Ccy="EUR">1</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts><Cd>PDNG</Cd></Sts>',
            "<TxDtls><Refs><EndToEndId>E1</EndToEndId></Refs></TxDtls>",
            [],
        ),
        (
            '<Amt Ccy="EUR">1</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>',
            "<TxDtls><Refs><EndToEndId>E1</EndToEndId></Refs></TxDtls>",
            [],
        ),
        (
            '<Amt Ccy="EUR">1</Amt><CdtDbtInd>CRDT</CdtDbtInd><RvslInd>true</RvslInd><Sts><Cd>BOOK</Cd></Sts>',
            "<TxDtls><Refs><EndToEndId>E1</EndToEndId></Refs></TxDtls>",
            [(LineKind.RETURNED, "E1", 100)],
        ),
    ],
    ids=["older form", "one entry for several", "not booked yet", "somebody paid us", "reversed"],
)
def test_read_bookings_yields_those_of_our_account_only(entry: str, details: str, expected: Any) -> None:
    report = read(booking(entry, details))
    assert [(each.kind, each.end_to_end, each.amount_minor) for each in report.lines] == expected


def test_read_a_message_that_tells_of_no_transfers_has_no_lines() -> None:
    report = read(document("pacs.004.001.09", "<PmtRtr><GrpHdr><MsgId>X</MsgId></GrpHdr></PmtRtr>"))
    assert (report.kind, report.message_id, report.lines) == ("pacs.004", "X", ())


BOMB = b"""<?xml version="1.0"?><!DOCTYPE Document [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"><CstmrPmtStsRpt>&b;</CstmrPmtStsRpt></Document>"""
FETCH = b"""<?xml version="1.0"?><!DOCTYPE Document [<!ENTITY a SYSTEM "file:///etc/hostname">]>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"><CstmrPmtStsRpt>&a;</CstmrPmtStsRpt></Document>"""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not xml",
        b"<a/>",
        b'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"/>',
        BOMB,
        FETCH,
        booking('<Amt Ccy="EUR">1,5</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts>BOOK</Sts>', "<TxDtls><Refs><EndToEndId>E</EndToEndId></Refs></TxDtls>"),
        booking('<Amt Ccy="???">1</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts>BOOK</Sts>', "<TxDtls><Refs><EndToEndId>E</EndToEndId></Refs></TxDtls>"),
    ],
)  # fmt: skip
def test_read_what_is_no_message_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(content)
    assert refused.value.code == "bank_message_unreadable"


@given(st.binary(max_size=300))
def test_read_any_bytes_raises_nothing_else(content: bytes) -> None:
    with suppress(InvalidRequest):
        assert read(content).lines is not None


def _returned(amount: str, more: str = "") -> bytes:
    """A pacs.004 that brings one payment back, with five decimals as the standard allows them."""
    return (
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.004.001.11"><PmtRtr><GrpHdr><MsgId>R1</MsgId>'
        "<IntrBkSttlmDt>2027-03-03</IntrBkSttlmDt></GrpHdr><OrgnlGrpInf><OrgnlMsgId>MG1</OrgnlMsgId></OrgnlGrpInf>"
        f"<TxInf><RtrId>RT1</RtrId><OrgnlEndToEndId>PO1</OrgnlEndToEndId>{amount}<RtrRsnInf><Rsn><Cd>AC04</Cd></Rsn>"
        f"</RtrRsnInf></TxInf>{more}</PmtRtr></Document>"
    ).encode()


def test_return_names_its_payment_amount_reason_and_day() -> None:
    nobody = "<TxInf><RtrId>RT2</RtrId></TxInf>"
    report = read(_returned('<RtrdIntrBkSttlmAmt Ccy="EUR">42.00000</RtrdIntrBkSttlmAmt>', nobody))
    assert (report.kind, report.message_id) == ("pacs.004", "R1")
    [line] = report.lines
    assert (line.kind, line.end_to_end, line.message_id) == (LineKind.RETURNED, "PO1", "MG1")
    assert (line.amount_minor, line.currency, line.code) == (4_200, "EUR", "AC04")
    assert (line.booked_on, line.bank_reference) == (date(2027, 3, 3), "RT1")


def test_return_of_an_amount_that_is_none_is_unreadable() -> None:
    with pytest.raises(InvalidRequest, match="bank_message_unreadable"):
        read(_returned('<RtrdIntrBkSttlmAmt Ccy="EUR">4.2.0</RtrdIntrBkSttlmAmt>'))
    assert read(_returned("")).lines == ()
