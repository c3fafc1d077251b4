"""What clearing asks of adapters: readers of files, and banks."""

from collections.abc import Iterator
from typing import BinaryIO, Protocol

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
