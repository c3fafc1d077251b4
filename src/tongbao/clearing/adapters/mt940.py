"""Statements of accounts as SWIFT's MT940: one or several in a file, with or without the blocks around them.

Fields 20, 25, 28C, 60F/60M, 61, 86, 62F/62M are read; others are passed over. A statement that does not reach its closing balance
is cut. A line whose bytes are no text costs the entry that it belongs to. A statement that comes again in the file counts once, and
each of its entries is refused.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from tongbao.clearing.adapters import mt940_fields
from tongbao.clearing.adapters.amounts import exponent_of
from tongbao.clearing.adapters.instants import Instants
from tongbao.clearing.adapters.keys import digest, distinct
from tongbao.clearing.adapters.said import masked, note, reference
from tongbao.clearing.adapters.statement_parts import REPEATED, Statements, of_channel
from tongbao.clearing.adapters.text_lines import TextLines
from tongbao.clearing.adapters.unfit import Unfit, truncated
from tongbao.clearing.schema.lines import (
    STATEMENTS_MAX,
    Balance,
    Header,
    Line,
    Refusal,
    Side,
    SourceTerms,
    Told,
)
from tongbao.core.errors import InvalidRequest

FIELD_CHARS_MAX = 4_000
"""More belongs to no field; the rest of it is passed over."""
HEAD_LINES_MAX = 1_000
_TAG = re.compile(r"(?:\{[^\n]{0,200}\{4:)?:(?P<tag>[0-9]{2}[A-Z]?):(?P<text>.*)")
_SEQUENCE = re.compile(r"(?P<number>[0-9]{1,5})(?:/(?P<page>[0-9]{1,5}))?")


class _Field(msgspec.Struct):
    """A field in the making. Entries wait for what field 86 tells of them."""

    number: int
    tag: str
    text: str


class Mt940:
    """One file (``ports.FileReader``)."""

    def __init__(self, stream: BinaryIO, terms: SourceTerms) -> None:
        self._lines = TextLines(stream)
        self._source = iter(self._lines)
        self._terms = terms
        self._instants = Instants(terms.zone)
        self._header = Header(source=terms.source, format=terms.format, side=terms.side)
        self._entry: _Field | None = None
        self._told = ""
        self._currency = terms.currency
        self._account = ""
        self._sequence = ""
        self._is_ours = True
        self._is_open = False
        self._statements = Statements()
        self._begun: set[Told] = set()
        self._part = Told()
        self._is_repeat = False
        self._field: _Field | None = self._first()

    @property
    def header(self) -> Header:
        """What the statements say of themselves: of several, the first opening and the last closing balance."""
        kept = self._statements.kept
        return msgspec.structs.replace(self._header, encoding=self._lines.encoding, statements=kept)

    def __iter__(self) -> Iterator[Line | Refusal]:
        """Yield what each entry says or why it was refused; the last word where the file stops in the middle."""
        yield from distinct(self._entries())

    def _first(self) -> _Field:
        """Return the field with which the first statement begins; raise InvalidRequest ``file_unreadable``."""
        for number, line in self._source:
            found = _TAG.match(line) if isinstance(line, str) else None
            if found and found["tag"] == "20":
                return _Field(number, "20", found["text"])
            if number >= HEAD_LINES_MAX:
                break
        raise InvalidRequest("file_unreadable", "there is no field 20, with which an MT940 begins")

    def _entries(self) -> Iterator[Line | Refusal]:
        for number, line in self._source:
            if not isinstance(line, str):
                yield from self._broken(line)
            elif found := _TAG.match(line):
                yield from self._end_field()
                self._field = _Field(number, found["tag"], found["text"])
            elif line.startswith("-"):
                yield from self._end_field()
            elif self._field is not None and len(self._field.text) < FIELD_CHARS_MAX:
                self._field.text += "\n" + line
        yield from self._last()

    def _last(self) -> Iterator[Line | Refusal]:
        """Yield what the end of the file leaves: nothing, where it ended with a closing balance."""
        field, is_cut = self._field, False
        if self._lines.is_open and field is not None:
            # A last line without a break: all but a balance with all its decimals may have been cut.
            is_cut = not field.tag.startswith("62") or mt940_fields.decimals_of(field.text) < self._decimals()
        if is_cut:
            self._field = self._entry = None
        else:
            yield from self._end_field()
        if is_cut or self._is_open:
            yield truncated(self._lines.number, "the statement stops before its closing balance")

    def _decimals(self) -> int:
        try:
            return exponent_of(self._currency)
        except Unfit:
            return 0

    def _broken(self, refusal: Refusal) -> Iterator[Line | Refusal]:
        """Yield the refusal of a line, which takes the entry with it that the line belongs to."""
        begins = refusal.value.startswith(":")
        if begins and not refusal.value.startswith(":86:"):
            yield from self._end_field()
            yield from self._flush()
        elif self._field is not None and self._field.tag == "61":
            # The entry before is whole; what is told here belongs to the one that is dropped.
            yield from self._flush()
        self._field = self._entry = None
        yield refusal

    def _end_field(self) -> Iterator[Line | Refusal]:
        """Hear a field that is whole."""
        field, self._field = self._field, None
        if field is None:
            return
        tag = field.tag
        if tag == "86" and self._entry is not None:
            self._told += field.text
            return
        yield from self._flush()
        if tag == "61":
            self._entry, self._told = field, ""
            return
        try:
            self._hear(tag, field.text.strip())
        except Unfit as error:
            yield error.refusal(field.number)

    def _hear(self, tag: str, text: str) -> None:
        if tag == "20":
            self._is_open, self._is_ours, self._is_repeat = True, True, False
            self._part = Told(statement=text[:64])
            self._header = msgspec.structs.replace(
                self._header, statement=self._header.statement or text[:64]
            )
        elif tag == "25":
            self._take_account(text)
        elif tag in {"28C", "28"}:
            found = _SEQUENCE.match(text)
            self._sequence = text
            if found:
                number, page = int(found["number"]), int(found["page"] or 0)
                self._part = msgspec.structs.replace(self._part, sequence=number, page=page)
        elif tag in {"60F", "60M"}:
            self._begin(mt940_fields.balance_of(text, self._instants))
        elif tag in {"62F", "62M"}:
            self._is_open = False
            self._close(mt940_fields.balance_of(text, self._instants))

    def _begin(self, opening: Balance) -> None:
        """Hear with what a statement begins, by which one that stood in the file before is known."""
        self._currency = opening.currency
        self._part = msgspec.structs.replace(self._part, opening=opening)
        self._is_repeat = self._is_ours and self._part.sequence is not None and self._part in self._begun
        if self._is_ours and len(self._begun) < STATEMENTS_MAX:
            self._begun.add(self._part)

    def _close(self, closing: Balance) -> None:
        """Hear with what a statement ends, and keep what it said of itself."""
        if not self._is_ours:
            return
        if self._is_repeat:
            raise Unfit(REPEATED, "the statement stood before in this file", ":28C:", self._sequence)
        name = self._header.statement
        self._statements.add(
            msgspec.structs.replace(self._part, closing=closing, from_on=closing.on, until_on=closing.on)
        )
        self._header = msgspec.structs.replace(self._statements.joined(self._header), statement=name)

    def _take_account(self, text: str) -> None:
        account = text.replace(" ", "")
        wanted = (self._terms.account or self._account).replace(" ", "")
        self._is_ours = not wanted or account == wanted or account.endswith(f"/{wanted}")
        if self._is_ours:
            self._account = account
            self._part = msgspec.structs.replace(self._part, account=masked(account))
            self._header = msgspec.structs.replace(self._header, account=masked(account))
        else:
            raise Unfit("account_differs", "the statement is of another account", ":25:")

    def _flush(self) -> Iterator[Line | Refusal]:
        """Yield the entry that waits, now that everything told of it was heard."""
        field, told = self._entry, self._told
        self._entry, self._told = None, ""
        if field is None:
            return
        try:
            if not self._is_ours:
                raise Unfit("account_differs", "the statement is of another account", ":25:")
            if self._is_repeat:
                raise Unfit(REPEATED, "the statement stood before in this file", ":28C:", self._sequence)
            line = self._line(field, told)
        except Unfit as error:
            yield error.refusal(field.number)
            return
        if line is not None:
            yield of_channel(line) if self._terms.side is Side.CHANNEL else line

    def _line(self, field: _Field, told: str) -> Line | None:
        """Return the line of an entry; None for what is only expected. Raises Unfit."""
        entry = mt940_fields.entry_of(field.text, told, self._currency, self._instants)
        if not entry.is_booked:
            return None
        place = "" if entry.theirs else self._sequence
        content = "\x1f".join((self._account, place, self._currency, field.text, told))
        return Line(
            number=field.number,
            key=digest(content.encode()).hex(),
            kind=entry.kind,
            currency=self._currency,
            gross_minor=entry.signed_minor,
            net_minor=entry.signed_minor,
            reference=reference(entry.reference, ":61:"),
            channel_reference=reference(entry.theirs, ":61:"),
            occurred_at=self._instants.noon(entry.booked_on),
            value_on=entry.value_on,
            text=note(mt940_fields.plain(told) or field.text.partition("\n")[2]),
        )
