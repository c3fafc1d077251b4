"""A file that a page's form sends (RFC 7578, multipart/form-data): streamed to disk, its parts found there.

The body is never held in memory. Fields beside the file are short texts; a part that is no field of the form is passed over.
"""

import asyncio
import mmap
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fastapi import Request
from starlette.requests import ClientDisconnect

from tongbao.core.errors import InvalidRequest, LimitExceeded

UPLOAD_BYTES_MAX = 200_000_000
"""What is longer is taken from a disk by ``tongbao recon take``, or sent to the API."""
FIELD_BYTES_MAX = 500
PARTS_MAX = 10
HEAD_BYTES_MAX = 4_000
BLOCK_BYTES = 1 << 20
_BOUNDARY = re.compile(r'multipart/form-data;.*boundary="?([^";,\s]{1,70})"?', re.IGNORECASE)
_NAME = re.compile(rb'[;\s]name="([^"]{0,100})"')
_FILE_NAME = re.compile(rb'[;\s]filename="([^"]{0,400})"')


class Sent(NamedTuple):
    """What a form sent: its fields, the name of its file, and whether there was one with anything in it."""

    fields: dict[str, str]
    file_name: str
    has_file: bool


class _Part(NamedTuple):
    name: str
    file_name: str | None
    start: int
    end: int


async def receive(request: Request, folder: Path, target: Path, bytes_max: int = UPLOAD_BYTES_MAX) -> Sent:
    """Write the file of a form to ``target`` and return the rest; ``folder`` holds the body meanwhile.

    Raises InvalidRequest ``form_invalid``, ``body_incomplete``; LimitExceeded ``file_too_large`` while it comes.
    """
    found = _BOUNDARY.match(request.headers.get("content-type", ""))
    if found is None:
        raise InvalidRequest("form_invalid", "the form sends no file")
    body = folder / "body"
    await _save(request, body, bytes_max)
    return await asyncio.to_thread(_read, body, target, found[1].encode("latin-1", "replace"))


async def _save(request: Request, body: Path, bytes_max: int) -> None:
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > bytes_max:
        raise _too_large(bytes_max)
    size, block = 0, bytearray()
    with body.open("wb") as file:
        try:
            async for piece in request.stream():
                size += len(piece)
                if size > bytes_max:
                    raise _too_large(bytes_max)
                block += piece
                if len(block) >= BLOCK_BYTES:
                    await asyncio.to_thread(file.write, bytes(block))
                    block.clear()
        except ClientDisconnect as error:
            raise InvalidRequest("body_incomplete", "the request ended before its body did") from error
        await asyncio.to_thread(file.write, bytes(block))


def _read(body: Path, target: Path, boundary: bytes) -> Sent:
    """Take a body apart: fields are returned, the first file goes to ``target``."""
    fields: dict[str, str] = {}
    file_name, has_file = "", False
    with body.open("rb") as file:
        if not file.seek(0, 2):
            raise InvalidRequest("form_invalid", "the form is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
            for part in _parts(whole, boundary):
                if part.file_name is None:
                    if part.end - part.start > FIELD_BYTES_MAX:
                        raise InvalidRequest("form_invalid", "a field of the form is too long")
                    fields[part.name] = whole[part.start : part.end].decode("utf-8", "replace")
                elif not has_file and part.end > part.start:
                    file_name, has_file = part.file_name, True
                    _copy(whole, part, target)
    return Sent(fields, file_name, has_file)


def _parts(whole: mmap.mmap, boundary: bytes) -> Iterator[_Part]:
    """Yield the parts of a body; raise InvalidRequest ``form_invalid`` for one that does not end as it must."""
    mark = b"--" + boundary
    at = whole.find(mark)
    for _ in range(PARTS_MAX):
        if at < 0:
            break
        begin = at + len(mark)
        if whole[begin : begin + 2] == b"--":
            return
        head_end = whole.find(b"\r\n\r\n", begin, begin + HEAD_BYTES_MAX)
        following = whole.find(b"\r\n" + mark, head_end) if head_end >= 0 else -1
        if following < 0:
            break
        head = whole[begin:head_end]
        name, file_name = _NAME.search(head), _FILE_NAME.search(head)
        if name is not None:
            shown = None if file_name is None else file_name[1].decode("utf-8", "replace")
            yield _Part(name[1].decode("utf-8", "replace"), shown, head_end + 4, following)
        at = following + 2
    raise InvalidRequest("form_invalid", "the form does not end as it must")


def _copy(whole: mmap.mmap, part: _Part, target: Path) -> None:
    with target.open("wb") as out:
        for start in range(part.start, part.end, BLOCK_BYTES):
            out.write(whole[start : min(start + BLOCK_BYTES, part.end)])


def _too_large(bytes_max: int) -> LimitExceeded:
    return LimitExceeded("file_too_large", f"a file has at most {bytes_max:,} bytes here")
