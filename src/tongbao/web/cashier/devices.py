"""What a payer's browser keeps for this house: a random reference, and how it paid last. Nothing else, and no name.

The reference tells one browser from another and nothing about either; risk control sees a pseudonym of it. A browser that
keeps no cookies is a new one each time, which costs its payer a step now and then. The page says what is kept, and a form
on it lets go of everything.
"""

import re

from fastapi import Request, Response

from tongbao.core.ids import IdFactory, uuid_text
from tongbao.web.cashier import faces

COOKIE = "tongbao_device"
WAY_COOKIE = "tongbao_way"
PREFIX = "dev"
LIFE_S = 400 * 86_400
"""The longest that browsers keep a cookie (RFC 6265bis)."""
FORGOTTEN = "forgotten"
"""What the address of a page says whose browser was just told to forget: it is given nothing to keep right away."""
_REFERENCE = re.compile(r"dev_[0-9a-z]{26}")
_KEPT = ((COOKIE, "/"), (WAY_COOKIE, "/"), ("lang", "/"), ("elder", "/"), ("theme", "/"), ("minimal", "/"))
_LATER = ("passkey_later", "/step-up")


def reference_of(request: Request) -> str | None:
    """Return what the browser is known by; None where it keeps nothing, or something that was never given to it."""
    found = request.cookies.get(COOKIE, "")
    return found if _REFERENCE.fullmatch(found) else None


def last_way(request: Request) -> str | None:
    """Return the kind of method that was used last in this browser; None where it does not know."""
    found = request.cookies.get(WAY_COOKIE)
    return found if found in faces.PRESENTMENTS else None


def remembered(request: Request, page: Response, ids: IdFactory) -> Response:
    """Return the page, with a reference to keep for a browser that has none."""
    if reference_of(request) is None and request.query_params.get("said") != FORGOTTEN:
        _keep(request, page, COOKIE, uuid_text(PREFIX, ids.uuid()))
    return page


def used(request: Request, page: Response, kind: str) -> Response:
    """Return the page, with the way to pay that was used now to keep."""
    _keep(request, page, WAY_COOKIE, kind)
    return page


def forgotten(page: Response) -> Response:
    """Return the page, with the order to let go of everything that this house gave the browser to keep."""
    for name, path in (*_KEPT, _LATER):
        page.delete_cookie(name, path=path, httponly=True, samesite="lax")
    return page


def _keep(request: Request, page: Response, name: str, value: str) -> None:
    page.set_cookie(
        name,
        value,
        max_age=LIFE_S,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
