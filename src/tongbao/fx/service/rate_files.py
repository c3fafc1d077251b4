"""Files of rates on disk: a CSV, or a ZIP with one CSV, read line by line; their digest is that of the bytes as they came."""

import csv
import hashlib
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tongbao.core.errors import InvalidRequest, NotFound

FILE_BYTES_MAX = 64 * 1024 * 1024
"""Packed or not; thirty years of forty currencies are two million bytes."""
LINE_CHARS_MAX = 10_000
_CHUNK = 1 << 20
_ZIP = b"PK\x03\x04"


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal.

    Raises NotFound ``file_missing``; InvalidRequest ``file_unreadable`` for what cannot be opened or is too large.
    """
    hashed = hashlib.sha256()
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise _unreadable(path, f"it has more than {FILE_BYTES_MAX:,} bytes")
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                hashed.update(chunk)
    except FileNotFoundError:
        raise NotFound("file_missing", f"there is no file {path}", file=str(path)) from None
    except OSError as error:
        raise _unreadable(path, str(error.strerror)) from error
    return hashed.hexdigest()


@contextmanager
def open_rows(path: Path) -> Iterator[Iterator[list[str]]]:
    """Yield the rows of a file one by one, cells as text.

    Raises InvalidRequest ``file_unreadable`` for a ZIP without exactly one CSV, what is no text in UTF-8, or unpacks to
    more than ``FILE_BYTES_MAX``.
    """
    try:
        with path.open("rb") as file:
            is_packed = file.read(len(_ZIP)) == _ZIP
            file.seek(0)
            if not is_packed:
                with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
                    yield _rows(path, text)
                return
            with (
                zipfile.ZipFile(file) as packed,
                packed.open(_member(path, packed)) as inner,
                io.TextIOWrapper(inner, encoding="utf-8-sig", newline="") as text,
            ):
                yield _rows(path, text)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise _unreadable(path, "it is a ZIP that cannot be unpacked") from error


def _member(path: Path, packed: zipfile.ZipFile) -> zipfile.ZipInfo:
    found = [each for each in packed.infolist() if each.filename.lower().endswith(".csv")]
    if len(found) != 1:
        raise _unreadable(path, f"the ZIP holds {len(found)} CSV files instead of one")
    if found[0].file_size > FILE_BYTES_MAX:
        raise _unreadable(path, f"it unpacks to more than {FILE_BYTES_MAX:,} bytes")
    return found[0]


def _rows(path: Path, text: io.TextIOWrapper) -> Iterator[list[str]]:
    """Yield rows; a line that is longer than any of the source is no such file."""
    read = 0
    try:
        while line := text.readline(LINE_CHARS_MAX + 1):
            read += len(line)
            if len(line) > LINE_CHARS_MAX or read > FILE_BYTES_MAX:
                raise _unreadable(path, "a line, or the whole, is too long")
            yield next(csv.reader([line]), [])
    except (UnicodeDecodeError, csv.Error):
        raise _unreadable(path, "it is no CSV in UTF-8") from None


def _unreadable(path: Path, why: str) -> InvalidRequest:
    return InvalidRequest("file_unreadable", f"{path} cannot be read: {why}", file=str(path))
