"""Entries of camt statements as lines: what was booked, payment by payment where the bank says which payments it was.

An entry of several payments becomes one line for each where their amounts sum to the entry's; otherwise it stays one line that
counts for all of them. A credit with a reason of return (RtrInf), or the reversal of a debit, is a payout that came back.

Source: ISO 20022 message definitions camt.052–054 (ReportEntry), external codes of bank transactions and of return reasons.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime

import msgspec
from lxml import etree

from tongbao.clearing.adapters.amounts import COUNT_MAX, exponent_of, minor_of
from tongbao.clearing.adapters.instants import Instants
from tongbao.clearing.adapters.keys import digest
from tongbao.clearing.adapters.said import note, reference
from tongbao.clearing.adapters.unfit import Unfit
from tongbao.clearing.schema.lines import Line, LineKind

DETAILS_MAX = 200_000
"""Payments that are told one by one for an entry; one of more is a line of its sum."""
NAMES_MAX = 1_000
_CREDIT, _DEBIT = "CRDT", "DBIT"
_NOT_PROVIDED = "NOTPROVIDED"
_CHARGES = frozenset({"CHRG", "COMM", "FEES", "COME", "COMI", "COMT"})
_RETURNS = frozenset({"RRTN", "RPCR", "PRDD", "UPDD", "UPCT", "UPCQ"})
_DIRECT_DEBITS = frozenset({"RDDT", "IDDT"})


class Detail(msgspec.Struct, frozen=True, gc=False):
    """One payment of an entry. ``amount`` as the file writes it, empty where it tells none; ``side`` likewise."""

    end_to_end: str
    theirs: str
    batch: str
    amount: str
    currency: str
    side: str
    reason: str
    code: str
    text: str


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry says of the whole. ``signed_minor``: as it stands on the account; ``is_booked``: it counts."""

    currency: str
    exponent: int
    signed_minor: int
    is_booked: bool
    is_reversal: bool
    theirs: str
    batch: str
    count: int
    occurred_at: datetime | None
    value_on: date | None
    codes: tuple[str, str]
    text: str
    identity: str


class Names:
    """The local names of elements, looked up once each."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, element: etree._Element) -> str:
        """Return the local name of an element."""
        tag = str(element.tag)
        name = self._known.get(tag)
        if name is None:
            name = tag.rpartition("}")[2]
            if len(self._known) < NAMES_MAX:
                self._known[tag] = name
        return name

    def texts(self, element: etree._Element) -> dict[str, str]:
        """Return the first text at each path of local names below an element; of amounts also ``@Ccy``, of others that they are there."""
        found: dict[str, str] = {}
        self._walk(element, "", found)
        return found

    def _walk(self, parent: etree._Element, prefix: str, found: dict[str, str]) -> None:
        for child in parent:
            path = prefix + self.of(child)
            if path in found:
                continue
            found[path] = (child.text or "").strip()
            if currency := child.get("Ccy"):
                found[f"{path}@Ccy"] = currency
            if len(child):
                self._walk(child, f"{path}/", found)


def read_detail(element: etree._Element, names: Names) -> Detail:
    """Return what a TxDtls says."""
    said = names.texts(element).get
    path = "Amt" if said("Amt") else "AmtDtls/TxAmt/Amt"
    reason = ""
    if said("RtrInf") is not None:
        reason = said("RtrInf/Rsn/Cd") or said("RtrInf/Rsn/Prtry") or "returned"
    end_to_end = said("Refs/EndToEndId", "")
    return Detail(
        end_to_end="" if end_to_end == _NOT_PROVIDED else end_to_end,
        theirs=said("Refs/AcctSvcrRef") or said("Refs/TxId", ""),
        batch=said("Refs/PmtInfId") or said("Refs/MsgId", ""),
        amount=said(path, ""),
        currency=said(f"{path}@Ccy", ""),
        side=said("CdtDbtInd", ""),
        reason=reason,
        code=said("BkTxCd/Domn/Fmly/SubFmlyCd", ""),
        text=said("RmtInf/Ustrd") or said("AddtlTxInf", ""),
    )


def read_entry(element: etree._Element, names: Names, instants: Instants) -> Entry:
    """Return what an Ntry says of the whole; raise Unfit."""
    texts = names.texts(element)
    said = texts.get
    currency = said("Amt@Ccy", "")
    exponent = exponent_of(currency, "Amt/@Ccy")
    minor = minor_of(said("Amt", ""), exponent, "Amt", pads=True)
    occurred_at, booked_on = _booked(texts, instants)
    value = said("ValDt/Dt") or said("ValDt/DtTm", "")
    theirs = said("AcctSvcrRef", "")
    count = said("NtryDtls/Btch/NbOfTxs", "")
    return Entry(
        currency=currency,
        exponent=exponent,
        signed_minor=_signed(minor, said("CdtDbtInd", "")),
        is_booked=(said("Sts/Cd") or said("Sts", "")) == "BOOK",
        is_reversal=said("RvslInd") in {"true", "1"},
        theirs=reference(theirs, "AcctSvcrRef"),
        batch=said("NtryDtls/Btch/PmtInfId") or said("NtryDtls/Btch/MsgId", ""),
        count=min(int(count), COUNT_MAX) if count.isascii() and count.isdigit() and len(count) <= 15 else 0,
        occurred_at=occurred_at,
        value_on=instants.day(value[:10], "ValDt") if value else booked_on,
        codes=(said("BkTxCd/Domn/Fmly/Cd", ""), said("BkTxCd/Domn/Fmly/SubFmlyCd", "")),
        text=said("AddtlNtryInf", ""),
        identity=theirs or said("NtryRef", ""),
    )


def lines_of(entry: Entry, details: Sequence[Detail], statement: str, number: int) -> Iterator[Line]:
    """Yield the lines of a booked entry, numbered from ``number``; raise Unfit.

    ``statement``: account, and the statement where the bank has no reference of its own: a part of the keys.
    """
    amounts = _amounts(entry, details)
    if amounts is None:
        one = details[0] if len(details) == 1 else None
        count = max(1, len(details), entry.count)
        yield _line(entry, one, entry.signed_minor, _Place(statement, number, 0, count))
        return
    for index, (detail, amount) in enumerate(zip(details, amounts, strict=True)):
        yield _line(entry, detail, amount, _Place(statement, number + index, index, 1))


class _Place(msgspec.Struct, frozen=True, gc=False):
    statement: str
    number: int
    index: int
    count: int


def _booked(texts: Mapping[str, str], instants: Instants) -> tuple[datetime | None, date | None]:
    """Return when an entry was booked: noon where only the day is told, so that it stays that day."""
    if moment := texts.get("BookgDt/DtTm"):
        at = instants.instant(moment, "BookgDt")
        return at, instants.local(at)
    if day := texts.get("BookgDt/Dt"):
        on = instants.day(day[:10], "BookgDt")
        return instants.noon(on), on
    return None, None


def _signed(minor: int, side: str) -> int:
    if minor < 0 or side not in {_CREDIT, _DEBIT}:
        raise Unfit("sign_wrong", "an amount that is not negative, and CRDT or DBIT", "CdtDbtInd", side)
    return minor if side == _CREDIT else -minor


def _amounts(entry: Entry, details: Sequence[Detail]) -> list[int] | None:
    """Return the signed amounts of the payments of an entry; None where they are fewer than two or do not come to its sum."""
    if not 2 <= len(details) < DETAILS_MAX:
        return None
    side = _CREDIT if entry.signed_minor >= 0 else _DEBIT
    amounts = []
    for detail in details:
        if detail.currency != entry.currency:
            return None
        minor = minor_of(detail.amount, entry.exponent, "TxDtls/Amt", pads=True)
        amounts.append(_signed(minor, detail.side or side))
    return amounts if sum(amounts) == entry.signed_minor else None


def _line(entry: Entry, detail: Detail | None, amount: int, place: _Place) -> Line:
    ours = detail.end_to_end if detail else ""
    theirs = (detail.theirs if detail else "") or entry.theirs
    batch = (detail.batch if detail else "") or entry.batch
    text = (detail.text if detail else "") or entry.text
    if detail is not None and detail.reason:
        text = f"{detail.reason} {text}"
    parts = (
        place.statement,
        entry.identity,
        str(place.index),
        ours,
        theirs,
        str(amount),
        entry.currency,
        str(entry.value_on),
        text if not entry.theirs else "",
    )
    return Line(
        number=place.number,
        key=digest("\x1f".join(parts).encode("utf-8", "replace")).hex(),
        kind=_kind(entry, detail, amount),
        currency=entry.currency,
        gross_minor=amount,
        net_minor=amount,
        reference=reference(ours, "EndToEndId"),
        channel_reference=reference(theirs, "AcctSvcrRef"),
        batch=reference(batch, "PmtInfId"),
        occurred_at=entry.occurred_at,
        value_on=entry.value_on,
        count=place.count,
        text=note(text),
    )


def _kind(entry: Entry, detail: Detail | None, amount: int) -> LineKind:
    family, code = entry.codes
    code = (detail.code if detail else "") or code
    is_back = bool(detail and detail.reason) or entry.is_reversal or code in _RETURNS
    if code in _CHARGES:
        return LineKind.FEE
    if amount >= 0:
        return LineKind.RETURN if is_back else LineKind.TRANSFER
    # What others took from the account, or took back, is no payout of ours.
    return LineKind.TRANSFER if is_back or family in _DIRECT_DEBITS else LineKind.PAYOUT
