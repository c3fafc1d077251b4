"""A bank behind two folders that pays whatever it is told to: it reads pain.001 and answers with pain.002, all booked."""

from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

from lxml import etree

FILES_MAX = 1_000
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
_ANSWER = """<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"><CstmrPmtStsRpt><GrpHdr><MsgId>R{message}</MsgId>\
<CreDtTm>{at}</CreDtTm></GrpHdr><OrgnlGrpInfAndSts><OrgnlMsgId>{message}</OrgnlMsgId>\
<OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId></OrgnlGrpInfAndSts>{parts}</CstmrPmtStsRpt></Document>
"""


class BankClerk:
    """Answers what lies in ``out`` into ``into``. Answered files are moved to ``out/done``: each is answered once."""

    def __init__(self, out: Path, into: Path) -> None:
        self._out = out
        self._into = into
        for folder in (out / "done", into):
            folder.mkdir(parents=True, exist_ok=True)

    def work(self) -> int:
        """Answer every message that lies there; return how many."""
        count = 0
        for path in sorted(self._out.glob("*.xml"))[:FILES_MAX]:
            aside = self._into / f".{path.name}.part"
            aside.write_text(_answer(path), encoding="utf-8")
            aside.replace(self._into / f"status-{path.name}")
            path.replace(self._out / "done" / path.name)
            count += 1
        return count


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
