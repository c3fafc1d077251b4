"""What clearing asks of adapters: readers of files, and banks."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import BinaryIO, Protocol

from tongbao.clearing.schema.bank_messages import Acknowledged, BankReport, BankTerms, Heard, Instruction
from tongbao.clearing.schema.lines import Header, Line, Refusal, SourceTerms


class FileReader(Protocol):
    """One file being read, from its beginning to its end, once, in bounded memory.

    Iterating yields what each line says or why it was refused, in order; nothing is raised for a bad line. A file that cannot
    be read at all raises InvalidRequest ``file_unreadable`` before the first line; one that stops in the middle yields a
    Refusal ``file_truncated`` as its last.
    """

    @property
    def header(self) -> Header:
        """What the file says of itself; complete once the iteration has ended."""
        ...

    def __iter__(self) -> Iterator[Line | Refusal]:
        """Yield lines and refusals."""
        ...


class FileOpener(Protocol):
    """Opens files of the formats that this house reads."""

    def __call__(self, stream: BinaryIO, terms: SourceTerms) -> FileReader:
        """Return the reader; raise InvalidRequest ``format_unknown`` or ``file_unreadable``."""
        ...


class Bank(Protocol):
    """A bank that pays out. Messages are prepared once, kept, and handed over as the very bytes that were kept."""

    @property
    def terms(self) -> BankTerms:
        """What is agreed with it."""
        ...

    def prepare(self, message_id: str, made_at: datetime, instructions: Sequence[Instruction]) -> bytes:
        """Return a message of one currency as bytes; equal values make equal bytes. Raises InvalidRequest."""
        ...

    def part_id(self, message_id: str, execution_on: date) -> str:
        """Return the id of the part of a message that an execution date has."""
        ...

    async def send(self, message_id: str, content: bytes) -> Acknowledged:
        """Hand a message over. Only ``not_sent`` says that the bank does not have it."""
        ...

    async def collect(self) -> Sequence[Heard]:
        """Return what the bank has said, some of it perhaps again; raise Unavailable."""
        ...

    async def done(self, handles: Sequence[str]) -> None:
        """Say that these were kept, so that the bank's side may forget them."""
        ...

    def read(self, content: bytes) -> BankReport:
        """Return what a message says; raise InvalidRequest ``bank_message_unreadable``."""
        ...
