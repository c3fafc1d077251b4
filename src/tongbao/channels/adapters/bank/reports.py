"""Reading what banks say: pain.002 and pacs.004 in any version, and the entries of camt.052, .053 and .054.

Only what is said of single transfers, of blocks and of messages is read here, by our own ids; balances and everything else
of a statement is read where statements are reconciled. Nothing outside of the document is ever fetched.
"""

import re
from collections.abc import Iterator
from datetime import date
from typing import Any

from lxml import etree

from tongbao.channels.adapters.bank.values import CONTENT_BYTES_MAX, LineKind, Report, ReportLine
from tongbao.core.errors import InvalidRequest
from tongbao.core.money import Money

_NAMESPACE = re.compile(r"\{urn:iso:std:iso:20022:tech:xsd:([a-z]{4}\.\d{3})\.\d{3}\.\d{2}\}Document")
_RETURN_FAMILIES = frozenset({"RRTN", "RPCR", "RVSL", "ARET"})
"""Sub-families of bank transaction codes: reversals because of a return, a cancellation, by the bank."""
TEXT_CHARS_MAX = 200
Element = Any
"""An element of lxml, which ships no types."""


def read(content: bytes) -> Report:
    """Return what a message says; raise InvalidRequest ``bank_message_unreadable``.

    A message of a kind that tells nothing of transfers comes back without lines.
    """
    if len(content) > CONTENT_BYTES_MAX:
        raise _unreadable("too long")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise _unreadable("no XML") from error
    if root.getroottree().docinfo.doctype:
        raise _unreadable("it declares a document type")
    known = _NAMESPACE.fullmatch(str(root.tag))
    if known is None or not len(root):
        raise _unreadable("no message of ISO 20022")
    kind, body = known[1], root[0]
    message_id = _text(body, "GrpHdr/MsgId")
    if kind == "pain.002":
        return Report(kind=kind, message_id=message_id, lines=tuple(_statuses(body)))
    if kind in ("camt.052", "camt.053", "camt.054"):
        return Report(kind=kind, message_id=message_id, lines=tuple(_bookings(body)))
    if kind == "pacs.004":
        return Report(kind=kind, message_id=message_id, lines=tuple(_returns(body)))
    return Report(kind=kind, message_id=message_id)


def _returns(body: Element) -> Iterator[ReportLine]:
    """Yield the payments that a pacs.004 brings back, each with the amount that came: less than was paid is no plain return."""
    group = _text(body, "OrgnlGrpInf/OrgnlMsgId")
    reason = _text(body, "OrgnlGrpInf/RtrRsnInf/Rsn/Cd")
    for entry in _each(body, "TxInf"):
        end_to_end = _text(entry, "OrgnlEndToEndId")
        amount = _found(entry, "RtrdIntrBkSttlmAmt")
        if not end_to_end or amount is None:
            continue
        amount_minor, currency = _amount(amount)
        day = _text(entry, "IntrBkSttlmDt") or _text(body, "GrpHdr/IntrBkSttlmDt")
        yield ReportLine(
            kind=LineKind.RETURNED,
            end_to_end=end_to_end,
            message_id=_text(entry, "OrgnlGrpInf/OrgnlMsgId") or group,
            code=_text(entry, "RtrRsnInf/Rsn/Cd") or _text(entry, "RtrRsnInf/Rsn/Prtry") or reason,
            text=_text(entry, "RtrRsnInf/AddtlInf")[:TEXT_CHARS_MAX],
            amount_minor=amount_minor,
            currency=currency,
            booked_on=_date(day),
            bank_reference=_text(entry, "RtrId"),
        )


def _amount(element: Element) -> tuple[int, str]:
    """Return an amount in minor units with its currency; raise InvalidRequest ``bank_message_unreadable``."""
    currency = element.get("Ccy", "")
    try:
        return Money.of_major(_plain((element.text or "").strip()), currency).amount_minor, currency
    except InvalidRequest as error:
        raise _unreadable("an amount that is none") from error


def _statuses(body: Element) -> Iterator[ReportLine]:
    """Yield statuses, the widest first: the message, its blocks, single transfers."""
    for group in _each(body, "OrgnlGrpInfAndSts"):
        yield from _status(group, "GrpSts", _text(group, "OrgnlMsgId"))
    message_id = _text(body, "OrgnlGrpInfAndSts/OrgnlMsgId")
    for part in _each(body, "OrgnlPmtInfAndSts"):
        part_id = _text(part, "OrgnlPmtInfId")
        yield from _status(part, "PmtInfSts", message_id, part_id)
        for entry in _each(part, "TxInfAndSts"):
            end_to_end = _text(entry, "OrgnlEndToEndId")
            if end_to_end:
                yield from _status(entry, "TxSts", message_id, part_id, end_to_end)


def _status(
    place: Element, name: str, message_id: str, part_id: str = "", end_to_end: str = ""
) -> Iterator[ReportLine]:
    status = _text(place, name)
    if status:
        yield ReportLine(
            kind=LineKind.STATUS,
            end_to_end=end_to_end,
            message_id=message_id,
            part_id=part_id,
            status=status,
            code=_text(place, "StsRsnInf/Rsn/Cd") or _text(place, "StsRsnInf/Rsn/Prtry"),
            text=_text(place, "StsRsnInf/AddtlInf")[:TEXT_CHARS_MAX],
            bank_reference=_text(place, "AcctSvcrRef"),
        )


def _bookings(body: Element) -> Iterator[ReportLine]:
    for entry in body.iterfind("{*}*/{*}Ntry"):
        # Older versions write the status as it is, newer ones as a code.
        if (_text(entry, "Sts/Cd") or _text(entry, "Sts")) != "BOOK":
            continue
        details = list(entry.iterfind("{*}NtryDtls/{*}TxDtls"))
        for detail in details:
            line = _booking(entry, detail, is_only=len(details) == 1)
            if line is not None:
                yield line


def _booking(entry: Element, detail: Element, *, is_only: bool) -> ReportLine | None:
    end_to_end = _text(detail, "Refs/EndToEndId")
    amount = _found(detail, "Amt", "AmtDtls/TxAmt/Amt")
    if amount is None and is_only:
        amount = _found(entry, "Amt")
    if not end_to_end or amount is None:
        return None
    is_credit = (_text(detail, "CdtDbtInd") or _text(entry, "CdtDbtInd")) == "CRDT"
    amount_minor, currency = _amount(amount)
    is_return = is_credit and (
        _found(detail, "RtrInf") is not None
        or _text(entry, "RvslInd") == "true"
        or (_text(detail, "BkTxCd/Domn/Fmly/SubFmlyCd") or _text(entry, "BkTxCd/Domn/Fmly/SubFmlyCd"))
        in _RETURN_FAMILIES
    )
    if is_credit and not is_return:
        return None
    return ReportLine(
        kind=LineKind.RETURNED if is_return else LineKind.BOOKED,
        end_to_end=end_to_end,
        message_id=_text(detail, "Refs/MsgId"),
        part_id=_text(detail, "Refs/PmtInfId"),
        code=_text(detail, "RtrInf/Rsn/Cd"),
        text=_text(detail, "RtrInf/AddtlInf")[:TEXT_CHARS_MAX],
        amount_minor=amount_minor,
        currency=currency,
        booked_on=_date(_text(entry, "BookgDt/Dt") or _text(entry, "BookgDt/DtTm")),
        bank_reference=_text(entry, "AcctSvcrRef"),
    )


def _plain(number: str) -> str:
    """Return a number without zeros behind its decimals: the standard allows five of them in any currency."""
    return number.rstrip("0").rstrip(".") if number.count(".") == 1 else number


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None


def _each(place: Element, name: str) -> Iterator[Element]:
    yield from place.iterfind(f"{{*}}{name}")


def _found(place: Element, *paths: str) -> Element | None:
    for path in paths:
        found: Element | None = place.find("/".join(f"{{*}}{name}" for name in path.split("/")))
        if found is not None:
            return found
    return None


def _text(place: Element, path: str) -> str:
    found = _found(place, path)
    return "" if found is None else (found.text or "").strip()


def _unreadable(why: str) -> InvalidRequest:
    return InvalidRequest("bank_message_unreadable", f"a bank's message cannot be read: {why}")
