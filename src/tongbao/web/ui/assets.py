"""Style sheets, scripts and drawings, served under names that carry their hash, so that browsers keep them for ever.

Each file is read and compressed once, when the program starts. What a browser asks for under an old name is not there:
a page of an older program is loaded again with its own files, never mixed with those of another.
"""

import gzip
import hashlib
from pathlib import Path
from typing import NamedTuple

from fastapi import FastAPI, Request, Response

FOLDER = Path(__file__).parent.parent / "static"
PREFIX = "/static/ledger"
HASH_CHARS = 12
COMPRESS_BYTES_MIN = 512
_MEDIA = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_KEPT = "public, max-age=31536000, immutable"


class Asset(NamedTuple):
    """A file as it is served, and the same compressed where that is worth it."""

    content: bytes
    media_type: str
    compressed: bytes | None = None


ADDRESSES: dict[str, str] = {}
"""Where a file is found, by its plain name."""
ASSETS: dict[str, Asset] = {}
"""What is served, by hashed name."""


def hashed(name: str, asset: Asset) -> str:
    """Serve a file from now on and return its address. Called while modules are imported, never afterwards."""
    stem, _, suffix = name.rpartition(".")
    served = f"{stem}.{hashlib.sha256(asset.content).hexdigest()[:HASH_CHARS]}.{suffix}"
    small = gzip.compress(asset.content, 9, mtime=0) if len(asset.content) >= COMPRESS_BYTES_MIN else None
    ASSETS[served] = asset._replace(compressed=small)
    ADDRESSES[name] = f"{PREFIX}/{served}"
    return ADDRESSES[name]


def address(name: str) -> str:
    """Return where a file is found; raise KeyError for a name that is none."""
    return ADDRESSES[name]


def mount(app: FastAPI) -> None:
    """Serve the files; a browser that takes gzip gets what was compressed at the start."""

    async def asset(request: Request, name: str) -> Response:
        found = ASSETS.get(name)
        if found is None:
            return Response(status_code=404)
        kept = {"Cache-Control": _KEPT, "Vary": "Accept-Encoding"}
        if found.compressed is None or "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(found.content, media_type=found.media_type, headers=kept)
        return Response(
            found.compressed, media_type=found.media_type, headers={**kept, "Content-Encoding": "gzip"}
        )

    app.add_api_route(
        PREFIX + "/{name}", asset, methods=["GET", "HEAD"], response_model=None, include_in_schema=False
    )


for _path in sorted(FOLDER.iterdir()):
    if _path.suffix in _MEDIA:
        hashed(_path.name, Asset(_path.read_bytes(), _MEDIA[_path.suffix]))
