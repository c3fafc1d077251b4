"""Papers of clearing as they are sent: pages whose own style their policy of content lets in, and files."""

import base64
import hashlib
import re

from fastapi import Response
from fastapi.responses import HTMLResponse

_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


def printed(text: str) -> HTMLResponse:
    """Return a page whose own style, and nothing else, its policy of content lets in."""
    digests = [
        base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() for style in _STYLE.findall(text)
    ]
    allowed = " ".join(f"'sha256-{each}'" for each in digests)
    policy = f"default-src 'none'; style-src {allowed}; base-uri 'none'; frame-ancestors 'none'"
    return HTMLResponse(text, headers={"Content-Security-Policy": policy})


def saved(content: bytes, name: str, media_type: str) -> Response:
    """Return a file that a browser saves under ``name``."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=media_type, headers=headers)
