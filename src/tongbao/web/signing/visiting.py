"""A visit: a browser before anybody has signed in. Its token ties the forms of sign-in, codes and passkeys to it.

The token is random, says when it was made and carries the house's mark; nothing is stored. It is good for an hour. A form
of sign-in carries the token against request forgery that goes with it, so that nobody is signed in as somebody else.
"""

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta

from fastapi import Request, Response

from tongbao.core.clock import Clock
from tongbao.parties.errors import SessionRefused
from tongbao.parties.service.sign_in import check_csrf, csrf_of
from tongbao.web.api.access import SECURE_COOKIE, required_cookie_name

GOOD = timedelta(hours=1)
RENEWED_AFTER = timedelta(minutes=30)
NONCE_BYTES = 24
TOKEN_CHARS_MAX = 200
_LABEL = b"tongbao/visit/v1"


class Visits:
    """Makes and reads visits. ``secret`` is the same in every process."""

    def __init__(self, clock: Clock, secret: bytes) -> None:
        self._clock = clock
        self._secret = secret

    def of(self, request: Request) -> str:
        """Return the visit of a page that is shown: that of its cookie while it is young, else a new one."""
        given = request.cookies.get(cookie_of(request, "visit"), "")
        made_at = self._made_at(given)
        if made_at is not None and self._clock.now() < made_at + RENEWED_AFTER:
            return given
        body = f"{int(self._clock.now().timestamp()):x}.{secrets.token_urlsafe(NONCE_BYTES)}"
        return f"{body}.{self._mark(body)}"

    def answered(self, request: Request, csrf: str) -> str:
        """Return the visit in which a form was shown; raise SessionRefused ``csrf_invalid`` where it was in none."""
        given = request.cookies.get(cookie_of(request, "visit"), "")
        made_at = self._made_at(given)
        if made_at is None or self._clock.now() >= made_at + GOOD:
            raise SessionRefused("csrf_invalid", "this page is out of date; load it again")
        check_csrf(given, csrf)
        return given

    @staticmethod
    def csrf(visit: str) -> str:
        """Return what the forms of a visit carry."""
        return csrf_of(visit)

    def keep(self, request: Request, response: Response, visit: str) -> Response:
        """Let the browser keep its visit."""
        put_cookie(request, response, "visit", visit, max_age=int(GOOD.total_seconds()))
        return response

    def _made_at(self, token: str) -> datetime | None:
        body, _, mark = token.rpartition(".")
        if len(token) > TOKEN_CHARS_MAX or not hmac.compare_digest(
            self._mark(body).encode(), mark.encode("utf-8", "replace")
        ):
            return None
        return datetime.fromtimestamp(int(body.partition(".")[0], 16), self._clock.now().tzinfo)

    def _mark(self, body: str) -> str:
        return hmac.new(self._secret, _LABEL + body.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def cookie_of(request: Request, name: str) -> str:
    """Return what a cookie of signing in is called on this connection; raise NotPermitted ``https_required``."""
    is_secure = required_cookie_name(request) == SECURE_COOKIE
    return f"__Host-{name}" if is_secure else name


def put_cookie(
    request: Request, response: Response, name: str, value: str, *, max_age: int | None = None
) -> None:
    """Set a cookie that no script reads, that no other site sends, and that goes over TLS alone where there is any."""
    called = cookie_of(request, name)
    is_secure = called.startswith("__Host-")
    response.set_cookie(
        called, value, max_age=max_age, path="/", secure=is_secure, httponly=True, samesite="lax"
    )


def drop_cookie(request: Request, response: Response, name: str) -> None:
    """Take a cookie away."""
    called = cookie_of(request, name)
    is_secure = called.startswith("__Host-")
    response.delete_cookie(called, path="/", secure=is_secure, httponly=True, samesite="lax")
