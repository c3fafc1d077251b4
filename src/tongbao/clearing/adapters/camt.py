"""Statements of ISO 20022: camt.052, camt.053 and camt.054 of any version, read by local names as they come.

The document is parsed in pieces and what was read is thrown away; no entities, no network, no document type. Entries that are not
booked count as nothing, entries of another account than the agreed one are refused. The numbers of lines are those of
entries and their payments in order.

Several statements of one file are told one by one; one that comes again in it counts once, and each of its entries is refused.

Totals that the file tells are compared with its own entries, and the difference is told as one of the lines: an entry may
become several lines, or none.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import BinaryIO

import msgspec
from lxml import etree

from tongbao.clearing.adapters import camt_entries
from tongbao.clearing.adapters.amounts import count_of, exponent_of, minor_of
from tongbao.clearing.adapters.camt_entries import Detail, Names
from tongbao.clearing.adapters.instants import Instants
from tongbao.clearing.adapters.keys import distinct
from tongbao.clearing.adapters.said import masked
from tongbao.clearing.adapters.statement_parts import REPEATED, Statements, of_channel
from tongbao.clearing.adapters.unfit import Unfit, refused, truncated
from tongbao.clearing.schema.lines import Balance, Format, Header, Line, Refusal, Side, SourceTerms, Told
from tongbao.core.errors import InvalidRequest

BLOCK_BYTES = 1 << 16
ELEMENT_BYTES_MAX = 8_000_000
"""Bytes without any entry, payment or statement in them; more is no statement."""
_PARTS = {
    Format.CAMT_052: ("BkToCstmrAcctRpt", "Rpt"),
    Format.CAMT_053: ("BkToCstmrStmt", "Stmt"),
    Format.CAMT_054: ("BkToCstmrDbtCdtNtfctn", "Ntfctn"),
}
_DIGITS_MAX = 15
_OPENING, _CLOSING = ("OPBD", "PRCD"), ("CLBD",)


class _Totals(msgspec.Struct):
    """What statements declare, and what their entries come to."""

    is_counting: bool = False
    is_summing: bool = False
    count: int = 0
    minor: int = 0
    seen_count: int = 0
    seen_minor: int = 0
    line_count: int = 0
    line_minor: int = 0


class Camt:
    """One file (``ports.FileReader``)."""

    def __init__(self, stream: BinaryIO, terms: SourceTerms) -> None:
        self._stream = stream
        self._terms = terms
        self._instants = Instants(terms.zone)
        self._header = Header(source=terms.source, format=terms.format, side=terms.side)
        self._parser = etree.XMLPullParser(
            events=("start", "end"),
            tag=["{*}" + name for name in (*_PARTS[terms.format], "Document", "Ntry", "TxDtls")],
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
            remove_comments=True,
            remove_pis=True,
        )
        self._names = Names()
        self._told = _Totals()
        self._statements = Statements()
        self._details: list[Detail] = []
        self._number = 0
        self._account = ""
        self._statement = ""
        self._is_ours = True
        self._is_repeat = False
        self._has_begun = False
        self._is_whole = False
        self._since = 0
        self._failure = ""
        self._events = self._pulled()
        self._check_root()

    @property
    def header(self) -> Header:
        """What the statements say of themselves: of several, the first opening and the last closing balance."""
        told = self._told
        changes: dict[str, object] = {"statements": self._statements.kept}
        if told.is_counting:
            changes["declared_count"] = told.count - told.seen_count + told.line_count
        if told.is_summing:
            changes["declared_minor"] = told.minor - told.seen_minor + told.line_minor
        return msgspec.structs.replace(self._header, **changes)

    def __iter__(self) -> Iterator[Line | Refusal]:
        """Yield what each booked payment says or why it was refused; the last word where the file stops in the middle."""
        yield from distinct(self._entries())

    def _entries(self) -> Iterator[Line | Refusal]:
        for event, element in self._events:
            name = self._names.of(element)
            if name == "TxDtls":
                if event == "end":
                    self._take_detail(element)
            elif name == "Ntry":
                if event == "start":
                    self._begin(element.getparent())
                    self._details = []
                else:
                    yield from self._entry(element)
                    _forget(element)
            elif name == _PARTS[self._terms.format][1]:
                yield from self._statement_event(event, element)
            elif name == "Document" and event == "end":
                self._is_whole = True
        if not self._is_whole or self._failure:
            yield truncated(self._number, self._failure or "the document stops before its end")

    def _pulled(self) -> Iterator[tuple[str, etree._Element]]:
        """Yield the events of the document; what makes it end early stands in ``_failure``."""
        while not self._failure:
            try:
                block = self._stream.read(BLOCK_BYTES)
                self._since += len(block)
                if block:
                    self._parser.feed(block)
                else:
                    self._parser.close()
            except etree.LxmlError as error:
                self._failure = f"no XML from here on: {type(error).__name__}"
            except OSError:
                self._failure = "the file cannot be read from its place any more"
            for event, element in self._parser.read_events():
                self._since = 0
                yield event, element
            if not block:
                return
            if self._since > ELEMENT_BYTES_MAX:
                self._failure = f"{ELEMENT_BYTES_MAX:,} bytes without an entry"

    def _check_root(self) -> None:
        """Read up to the kind of message; raise InvalidRequest ``file_unreadable`` where it is another one, or none."""
        wanted = _PARTS[self._terms.format][0]
        for event, element in self._events:
            if element.getroottree().docinfo.doctype:
                break
            if event == "start" and self._names.of(element) == wanted:
                return
            if self._names.of(element) != "Document":
                break
        raise InvalidRequest("file_unreadable", f"this is no {self._terms.format.value} ({wanted})")

    def _statement_event(self, event: str, element: etree._Element) -> Iterator[Refusal]:
        if event == "start":
            self._has_begun = False
            return
        self._begin(element)
        if not self._is_ours and not self._header.account:
            # Nothing of the agreed account so far: who is named instead is worth knowing.
            yield refused(self._number, "account_differs", "the statement is of another account")
        if self._is_repeat:
            yield refused(self._number, REPEATED, "the statement stood before in this file")
        _forget(element)

    def _begin(self, statement: etree._Element | None) -> None:
        """Hear what a statement says before its first entry."""
        if statement is None or self._has_begun:
            return
        self._has_begun = True
        said = self._said(statement)
        account = said.get("Acct/Id/IBAN") or said.get("Acct/Id/Othr/Id", "")
        wanted = self._terms.account or self._account
        self._is_ours = not (wanted and account) or _bare(account) == _bare(wanted)
        if not self._is_ours:
            return
        self._account = account or self._account
        self._statement = f"{_bare(account)}/{said.get('Id', '')}"
        self._is_repeat = not self._take_statement(said, account, statement)
        if not self._is_repeat:
            self._take_totals(said)

    def _take_statement(self, said: dict[str, str], account: str, statement: etree._Element) -> bool:
        """Keep what a statement says of itself; False where it stood before in this file."""
        sequence = said.get("LglSeqNb") or said.get("ElctrncSeqNb", "")
        page = said.get("StmtPgntn/PgNb") or said.get("RptPgntn/PgNb", "")
        opening, closing = self._balances(statement)
        first, last = self._days(said)
        of_balance = closing.on if closing else None
        told = Told(
            statement=said.get("Id", "")[:64],
            account=masked(account) if account else "",
            sequence=int(sequence) if _is_number(sequence) else None,
            page=int(page) if _is_number(page) else 0,
            from_on=first or last or of_balance,
            until_on=last or of_balance,
            opening=opening,
            closing=closing,
        )
        if not self._statements.add(told):
            return False
        self._header = self._statements.joined(self._header)
        return True

    def _said(self, statement: etree._Element) -> dict[str, str]:
        """Return the texts before the first entry, but for those of balances."""
        found: dict[str, str] = {}
        for child in statement:
            name = self._names.of(child)
            if name not in {"Bal", "Ntry"}:
                found.setdefault(name, (child.text or "").strip())
                for path, text in self._names.texts(child).items():
                    found.setdefault(f"{name}/{path}", text)
        return found

    def _days(self, said: dict[str, str]) -> tuple[date | None, date | None]:
        """Return the first and the last day of the period that is told; the instant of its end is no part of it."""
        first, last = said.get("FrToDt/FrDtTm"), said.get("FrToDt/ToDtTm")
        try:
            since = self._instants.instant(first, "") if first else None
            until = self._instants.instant(last, "") if last else None
        except Unfit:
            return None, None
        if until is not None:
            until = max(since or until - timedelta(seconds=1), until - timedelta(seconds=1))
        return (
            self._instants.local(since) if since else None,
            self._instants.local(until) if until else None,
        )

    def _balances(self, statement: etree._Element) -> tuple[Balance | None, Balance | None]:
        """Return the opening and the closing balance; one that cannot be read is as if it were not told."""
        found: dict[str, Balance] = {}
        for element in statement:
            if self._names.of(element) != "Bal":
                continue
            said = self._names.texts(element)
            try:
                found.setdefault(said.get("Tp/CdOrPrtry/Cd", ""), self._balance(said))
            except Unfit:
                continue
        opening = next((found[code] for code in _OPENING if code in found), None)
        closing = next((found[code] for code in _CLOSING if code in found), None)
        return opening, closing

    def _balance(self, said: dict[str, str]) -> Balance:
        currency = said.get("Amt@Ccy", "")
        minor = minor_of(said.get("Amt", ""), exponent_of(currency), "Bal", pads=True)
        if said.get("CdtDbtInd") == "DBIT":
            minor = -minor
        on = self._instants.day((said.get("Dt/Dt") or said.get("Dt/DtTm", ""))[:10], "Bal")
        return Balance(currency=currency, amount_minor=minor, on=on)

    def _take_totals(self, said: dict[str, str]) -> None:
        told, begin = self._told, "TxsSummry/TtlNtries"
        count = said.get(f"{begin}/NbOfNtries")
        net = said.get(f"{begin}/TtlNetNtry/Amt") or said.get(f"{begin}/TtlNetNtryAmt")
        side = said.get(f"{begin}/TtlNetNtry/CdtDbtInd") or said.get(f"{begin}/CdtDbtInd")
        currency = said.get("Acct/Ccy") or (
            self._header.closing.currency if self._header.closing else self._terms.currency
        )
        try:
            if count:
                told.count, told.is_counting = told.count + count_of(count), True
            if net and side and currency:
                minor = minor_of(net, exponent_of(currency), "TtlNetNtry", pads=True)
                told.minor, told.is_summing = told.minor + (minor if side == "CRDT" else -minor), True
        except Unfit:
            return

    def _take_detail(self, element: etree._Element) -> None:
        if len(self._details) < camt_entries.DETAILS_MAX:
            self._details.append(camt_entries.read_detail(element, self._names))
        _forget(element)

    def _entry(self, element: etree._Element) -> Iterator[Line | Refusal]:
        """Yield the lines of an entry, or one refusal for all of it."""
        told = self._told
        first = self._number + 1
        try:
            entry = camt_entries.read_entry(element, self._names, self._instants)
            if not self._is_ours:
                raise Unfit("account_differs", "the statement is of another account", "Acct/Id")
            if self._is_repeat:
                raise Unfit(REPEATED, "the statement stood before in this file", "Id", self._statement)
            told.seen_count += 1
            told.seen_minor += entry.signed_minor
            if not entry.is_booked:
                return
            statement = _bare(self._account) if entry.theirs else self._statement
            lines = list(camt_entries.lines_of(entry, self._details, statement, first))
            if self._terms.side is Side.CHANNEL:
                lines = [of_channel(line) for line in lines]
        except Unfit as error:
            self._number = first
            yield error.refusal(first)
            return
        self._number += len(lines)
        told.line_count += len(lines)
        told.line_minor += entry.signed_minor
        yield from lines


def _bare(account: str) -> str:
    return account.replace(" ", "").upper()


def _forget(element: etree._Element) -> None:
    """Free an element that was read, and its elder siblings of the same name, but not its parent."""
    parent = element.getparent()
    element.clear(keep_tail=True)
    if parent is None:
        return
    while (elder := element.getprevious()) is not None and elder.tag == element.tag:
        parent.remove(elder)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX
