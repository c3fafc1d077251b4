"""``POST /v2/recon/files``: a file of a channel or bank, streamed to disk and read from there.

The body is the file itself, of any type. It is held in a temporary folder until it was read; one that is too long is
refused while it comes, and a caller that goes away leaves nothing. The same bytes again answer what was found the first time.
"""

import asyncio
import tempfile
from datetime import date
from pathlib import Path
from typing import Annotated, BinaryIO

from fastapi import APIRouter, Query, Request, Response
from starlette.requests import ClientDisconnect

from tongbao.clearing.service.house import ClearingHouse
from tongbao.core.errors import InvalidRequest, LimitExceeded
from tongbao.web.api import clearing_recon_models as models
from tongbao.web.api.callers import Caller
from tongbao.web.api.calls import answer, rendered
from tongbao.web.api.clearing_sides import Doors

UPLOAD_BYTES_MAX = 2_000_000_000
"""What is longer is taken from a disk by ``tongbao recon take``."""
UPLOADS_MAX = 2
"""Files that one process takes in at a time; the next waits."""
BLOCK_BYTES = 1 << 20
SourceName = Annotated[
    str, Query(min_length=1, max_length=64, description="Name of the source that sent it.")
]
FileName = Annotated[str, Query(max_length=200, description="What the file is called.")]
FileDay = Annotated[
    date | None, Query(description="The day that the file is of, where it does not say so itself.")
]


def add_uploads(
    routes: APIRouter, door: Doors, clearing: ClearingHouse, bytes_max: int = UPLOAD_BYTES_MAX
) -> None:
    """Add the upload."""
    turns = asyncio.Semaphore(UPLOADS_MAX)

    @routes.post(
        "/recon/files",
        status_code=201,
        response_model=models.File,
        openapi_extra={"requestBody": {"content": {"application/octet-stream": {}}, "required": True}},
    )
    async def upload(
        request: Request,
        who: Annotated[Caller, door.breaks],
        source: SourceName,
        name: FileName = "",
        on: FileDay = None,
    ) -> Response:
        """Take a file in; its lines are compared by the next run of its source."""
        terms = await clearing.intake.source(source)
        _check_length(request, bytes_max)
        async with turns:
            with tempfile.TemporaryDirectory(prefix="recon-") as folder:
                path = Path(folder) / "file"
                with path.open("wb") as file:
                    await _receive(request, file, bytes_max)
                taken = await clearing.intake.take(path, terms, who.actor, name=name or "upload", on=on)
        shown = models.File.of(taken.file, is_repeat=taken.is_repeat)
        return answer(rendered(shown, 200 if taken.is_repeat else 201))


def _check_length(request: Request, bytes_max: int) -> None:
    """Refuse by its announced length what would be refused while it comes."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > bytes_max:
        raise _too_large(bytes_max)


async def _receive(request: Request, file: BinaryIO, bytes_max: int) -> None:
    """Write the body to a file; raise LimitExceeded ``file_too_large``, InvalidRequest ``body_incomplete``, ``file_empty``."""
    size, block = 0, bytearray()
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
    if not size:
        raise InvalidRequest("file_empty", "the body is the file itself; there is nothing in it")
    await asyncio.to_thread(file.write, bytes(block))


def _too_large(bytes_max: int) -> LimitExceeded:
    return LimitExceeded("file_too_large", f"a file has at most {bytes_max:,} bytes")
