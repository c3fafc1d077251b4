r"""Lines of text from a stream of bytes, in bounded memory, whatever the bytes are.

A mark of byte order says which encoding it is (UTF-8, UTF-16); without one the format says it. Lines end with ``\n`` or ``\r\n``
and nothing else. A line that is longer than ``LINE_BYTES_MAX`` bytes, or whose bytes are no text, is one refusal with its
number; the next line is read as if nothing had happened.
"""

import codecs
from collections.abc import Iterator
from typing import BinaryIO

from tongbao.clearing.adapters.unfit import refused
from tongbao.clearing.schema.lines import Refusal
from tongbao.core.errors import InvalidRequest

LINE_BYTES_MAX = 65_536
BLOCK_BYTES = 1 << 18
UTF_8 = "utf-8"
CHINESE = "gb18030"
"""Takes in GBK and GB 2312."""
_WIDE = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_REPLACEMENT = "�"


class TextLines:
    """The lines of a stream, once. ``encoding`` is what they are written in.

    ``number``: of the last line that was given, from 1. ``is_open``: that line was the end of the file and had no line break.
    ``otherwise``: the encoding where neither a mark nor the beginning of the text shows UTF-8.
    """

    def __init__(self, stream: BinaryIO, otherwise: str = UTF_8) -> None:
        self._stream = stream
        self._first = _read(stream)
        self.encoding = self._told(otherwise)
        self._is_wide = self.encoding in _WIDE.values()
        self.number = 0
        self.is_open = False
        self._lines = self._iterate()

    def __iter__(self) -> Iterator[tuple[int, str | Refusal]]:
        """Return the one iterator over numbers and lines, from where it stands."""
        return self._lines

    def _told(self, otherwise: str) -> str:
        """Return the encoding of the beginning, and take its mark away."""
        if self._first.startswith(codecs.BOM_UTF8):
            self._first = self._first[len(codecs.BOM_UTF8) :]
            return UTF_8
        for mark, encoding in _WIDE.items():
            if self._first.startswith(mark):
                self._first = self._first[len(mark) :]
                return encoding
        whole = self._first[: self._first.rfind(b"\n") + 1] or self._first
        return otherwise if otherwise != UTF_8 and not _is_utf_8(whole) else UTF_8

    def _blocks(self) -> Iterator[bytes]:
        """Yield the stream in pieces, one that is written in 16 bits as UTF-8."""
        block, self._first = self._first, b""
        if not self._is_wide:
            while block:
                yield block
                block = _read(self._stream)
            return
        decoder = codecs.getincrementaldecoder(self.encoding)(errors="replace")
        while block:
            yield decoder.decode(block).encode()
            block = _read(self._stream)
        yield decoder.decode(b"", final=True).encode()

    def _iterate(self) -> Iterator[tuple[int, str | Refusal]]:
        carry, is_skipping = b"", False
        for block in self._blocks():
            whole, found, rest = (carry + block).rpartition(b"\n")
            if found:
                lines = self._texts(whole)
                if is_skipping:
                    # The end of a line that was refused already.
                    next(lines)
                    is_skipping = False
                for line in lines:
                    self.number += 1
                    yield (
                        self.number,
                        line if not isinstance(line, str) or len(line) < LINE_BYTES_MAX else self._long(),
                    )
            carry = b"" if is_skipping else rest
            if len(carry) >= LINE_BYTES_MAX:
                self.number += 1
                yield self.number, self._long()
                carry, is_skipping = b"", True
        if carry:
            self.is_open = True
            for line in self._texts(carry):
                self.number += 1
                yield self.number, line

    def _texts(self, data: bytes) -> Iterator[str | Refusal]:
        """Yield the lines of some bytes without their breaks; the last one need not have any."""
        encoding = UTF_8 if self._is_wide else self.encoding
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            return (self._text(each, encoding) for each in data.split(b"\n"))
        if self._is_wide and _REPLACEMENT in text:
            return (self._text(each, encoding) for each in data.split(b"\n"))
        if "\r" in text:
            text = (text + "\n").replace("\r\n", "\n")[:-1]
        return iter(text.split("\n"))

    def _text(self, line: bytes, encoding: str) -> str | Refusal:
        text = line.decode(encoding, errors="replace")
        if _REPLACEMENT in text:
            # The number is that of the line which is given next.
            return refused(self.number + 1, "encoding_broken", f"no text in {self.encoding}", value=text)
        return text.removesuffix("\r")

    def _long(self) -> Refusal:
        return refused(self.number, "line_too_long", f"a line has at most {LINE_BYTES_MAX:,} bytes")


def _read(stream: BinaryIO) -> bytes:
    try:
        return stream.read(BLOCK_BYTES)
    except OSError as error:
        raise InvalidRequest("file_unreadable", "the file cannot be read from its place") from error


def _is_utf_8(data: bytes) -> bool:
    try:
        data.decode(UTF_8)
    except UnicodeDecodeError:
        return False
    return True
