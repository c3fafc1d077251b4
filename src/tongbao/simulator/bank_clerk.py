"""A bank behind two folders that pays whatever it is told to, and closes its days with statements.

It reads pain.001, answers with pain.002, all booked, and tells with a camt.053 for each currency what it booked since the last one.
That lies in ``out/done`` until a statement shows it, and in ``out/stated`` afterwards; numbers and balances stand in
``out/balances.json``, so that a clerk that is started again goes on where the last one stopped.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from xml.sax.saxutils import escape

from lxml import etree

from tongbao.core.money import Money
from tongbao.simulator.sandbox import settlement_files
from tongbao.simulator.sandbox.settlement_files import Row, Statement

OPENING_MINOR = 10_000_000_00
"""What lies on an account before its first day, minor units."""
FILES_MAX = 1_000
BALANCES = "balances.json"
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
_ANSWER = """<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"><CstmrPmtStsRpt><GrpHdr><MsgId>R{message}</MsgId>\
<CreDtTm>{at}</CreDtTm></GrpHdr><OrgnlGrpInfAndSts><OrgnlMsgId>{message}</OrgnlMsgId>\
<OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId></OrgnlGrpInfAndSts>{parts}</CstmrPmtStsRpt></Document>
"""


class BankClerk:
    """Answers what lies in ``out`` into ``into``. Answered files are moved to ``out/done``: each is answered once."""

    def __init__(self, out: Path, into: Path, account: str = "") -> None:
        self._out = out
        self._into = into
        self._account = account
        for folder in (out / "done", out / "stated", into):
            folder.mkdir(parents=True, exist_ok=True)

    def work(self) -> int:
        """Answer every message that lies there; return how many."""
        count = 0
        for path in sorted(self._out.glob("*.xml"))[:FILES_MAX]:
            _put(self._into / f"status-{path.name}", _answer(path))
            path.replace(self._out / "done" / path.name)
            count += 1
        return count

    def credit(self, currency: str, amount_minor: int, reference: str) -> None:
        """Book money that somebody sends to the account; ``reference`` is theirs, and makes it come once."""
        path = self._out / "done" / f"credit-{reference}.json"
        if not (path.exists() or (self._out / "stated" / path.name).exists()):
            _put(path, json.dumps([currency, amount_minor, reference]))

    def close_day(self, at: datetime) -> int:
        """Tell everything that was booked since the last statement, one for each currency; return how many were written."""
        booked = sorted((self._out / "done").iterdir())[:FILES_MAX]
        rows: dict[str, list[Row]] = defaultdict(list)
        for path in booked:
            for row in _entries(path, at):
                rows[row.currency].append(row)
        accounts = self._accounts()
        for currency, entries in sorted(rows.items()):
            number, balance = accounts.get(currency, (0, OPENING_MINOR))
            told = Statement(
                account=self._account,
                on=at.date(),
                number=number + 1,
                currency=currency,
                opening_minor=balance,
            )
            name = f"statement-{currency}-{at:%Y%m%d}-{number + 1:06d}.xml"
            _put(self._into / name, settlement_files.camt(entries, told).decode())
            accounts[currency] = (number + 1, balance + sum(row.amount_minor for row in entries))
        _put(self._out / BALANCES, json.dumps(accounts))
        for path in booked:
            path.replace(self._out / "stated" / path.name)
        return len(rows)

    def _accounts(self) -> dict[str, tuple[int, int]]:
        """Return the number of the last statement and the balance of each currency."""
        path = self._out / BALANCES
        if not path.exists():
            return {}
        return {
            currency: (number, balance)
            for currency, (number, balance) in json.loads(path.read_text()).items()
        }


def _put(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all."""
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)


def _entries(path: Path, at: datetime) -> Iterator[Row]:
    """Yield what a message, or a credit, booked on the account."""
    if path.suffix == ".json":
        currency, amount_minor, reference = json.loads(path.read_text())
        yield _entry("transfer", reference, amount_minor, currency, at)
        return
    for order in etree.parse(path, _PARSER).iterfind(".//{*}CdtTrfTxInf"):
        amount = order.find("{*}Amt/{*}InstdAmt")
        if amount is None:
            continue
        paid = Money.of_major((amount.text or "").strip(), amount.get("Ccy", ""))
        end_to_end = order.findtext("{*}PmtId/{*}EndToEndId", "")
        yield _entry("payout", end_to_end, -paid.amount_minor, paid.currency, at)


def _entry(kind: str, reference: str, amount_minor: int, currency: str, at: datetime) -> Row:
    return Row(
        reference=reference,
        channel_reference=f"B{reference}"[:35],
        kind=kind,
        amount_minor=amount_minor,
        currency=currency,
        at=at,
    )


def _answer(path: Path) -> str:
    """Return the report on a message: every payment in it is booked."""
    tree = etree.parse(path, _PARSER)
    parts = "".join(_part(each) for each in tree.iterfind(".//{*}PmtInf"))
    message = tree.findtext(".//{*}GrpHdr/{*}MsgId", "")
    return _ANSWER.format(
        message=escape(message), at=escape(tree.findtext(".//{*}GrpHdr/{*}CreDtTm", "")), parts=parts
    )


def _part(part: etree._Element) -> str:
    return "".join(
        (
            f"<OrgnlPmtInfAndSts><OrgnlPmtInfId>{escape(part.findtext('{*}PmtInfId', ''))}</OrgnlPmtInfId>",
            *(
                f"<TxInfAndSts><OrgnlEndToEndId>{each}</OrgnlEndToEndId><TxSts>ACSC</TxSts></TxInfAndSts>"
                for each in _ids(part)
            ),
            "</OrgnlPmtInfAndSts>",
        )
    )


def _ids(part: etree._Element) -> Iterator[str]:
    for each in part.iterfind(".//{*}EndToEndId"):
        yield escape(each.text or "")
