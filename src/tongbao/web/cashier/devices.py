"""What a payer's browser is known by: a random reference in a cookie of this house's own pages, and nothing else.

It tells one browser from another and nothing about either; risk control sees a pseudonym of it. A browser that keeps no
cookies is a new one each time, which costs its payer a step now and then.
"""

import re

from fastapi import Request, Response

from tongbao.core.ids import IdFactory, uuid_text

COOKIE = "tongbao_device"
PREFIX = "dev"
LIFE_S = 400 * 86_400
"""The longest that browsers keep a cookie (RFC 6265bis)."""
_REFERENCE = re.compile(r"dev_[0-9a-z]{26}")


def reference_of(request: Request) -> str | None:
    """Return what the browser is known by; None where it keeps nothing, or something that was never given to it."""
    found = request.cookies.get(COOKIE, "")
    return found if _REFERENCE.fullmatch(found) else None


def remembered(request: Request, page: Response, ids: IdFactory) -> Response:
    """Return the page, with a reference to keep for a browser that has none."""
    if reference_of(request) is None:
        page.set_cookie(
            COOKIE,
            uuid_text(PREFIX, ids.uuid()),
            max_age=LIFE_S,
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )
    return page
