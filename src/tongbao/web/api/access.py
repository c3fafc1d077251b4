"""Who may call a route of ``/v2``: a key of a merchant, somebody of a merchant who is signed in, or an operator.

A route names its permission by depending on a ``ScopeGate``, an ``OperatorGate`` or a ``SessionGate``; a test walks
the routes and finds those without. Keys come as Bearer or as the user of Basic. A signed-in browser sends its cookie
and says for which merchant (``Tongbao-Merchant: acct_…``) and mode (``Tongbao-Mode: live``, else test) it asks; what
changes anything carries the session's token against request forgery as well (``X-CSRF-Token``).

The cookie is ``__Host-session``, which browsers take over TLS only. On this machine itself, over plain HTTP, it is
called ``session`` and goes without ``Secure``; over plain HTTP from anywhere else there are no sessions.
"""

import ipaddress
from typing import NamedTuple

from fastapi import Request

from tongbao.core.errors import InvalidRequest, NotPermitted
from tongbao.core.ids import parse_int, uuid_text
from tongbao.parties.errors import SessionRefused
from tongbao.parties.schema import (
    MERCHANT_PREFIX,
    PERSON_PREFIX,
    MerchantId,
    OperatorPermission,
    OperatorScope,
    Permission,
    Scope,
    Session,
)
from tongbao.parties.service.access import Access, require, require_operator
from tongbao.parties.service.sign_in import check_csrf
from tongbao.web.api.v1.limits import Limits
from tongbao.web.api.v1.requests import api_key

SECURE_COOKIE = "__Host-session"
LOCAL_COOKIE = "session"
CSRF_HEADER = "x-csrf-token"
MERCHANT_HEADER = "tongbao-merchant"
MODE_HEADER = "tongbao-mode"
MODES = {"live": True, "test": False}
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class SignedIn(NamedTuple):
    """A living session and the token that it was asked with."""

    session: Session
    token: str


class Gate:
    """Makes the dependencies that let callers in. ``limits`` may be shared with other faces of the process."""

    def __init__(self, access: Access, limits: Limits) -> None:
        self.access = access
        self.limits = limits

    def scope(self, permission: Permission) -> "ScopeGate":
        """Return the dependency of a route that acts for a merchant."""
        return ScopeGate(self, permission)

    def operator(self, permission: OperatorPermission) -> "OperatorGate":
        """Return the dependency of a route that acts for the house."""
        return OperatorGate(self, permission)

    def session(self) -> "SessionGate":
        """Return the dependency of a route that anybody may call who is signed in, about themselves."""
        return SessionGate(self)

    def take(self, request: Request, actor: str, *, live: bool) -> None:
        """Take one permit of an actor; raise LimitExceeded ``rate_limit``."""
        self.limits.take(actor, live=live, writes=request.method not in SAFE_METHODS)


class ScopeGate:
    """Lets in who may do ``permission`` for a merchant."""

    def __init__(self, gate: Gate, permission: Permission) -> None:
        self._gate = gate
        self.permission = permission

    async def __call__(self, request: Request) -> Scope:
        """Return the caller's scope: of its key where it sends one, else of its session.

        Raises NotAuthenticated, MerchantNotOpen, UnknownMerchant, LimitExceeded, PermissionMissing.
        """
        header = request.headers.get("authorization")
        cookie = request.cookies.get(cookie_name(request) or "")
        access = self._gate.access
        if header is not None or cookie is None:
            scope = await access.scope_of_key(api_key(header), address=address_of(request))
        else:
            token = session_token(request)
            merchant_id, live = _wanted(request)
            scope = await access.scope_of_session(token, merchant_id=merchant_id, live=live)
        self._gate.take(request, scope.actor, live=scope.live)
        require(scope, self.permission)
        return scope


class OperatorGate:
    """Lets in who may do ``permission`` for the house; keys never may."""

    def __init__(self, gate: Gate, permission: OperatorPermission) -> None:
        self._gate = gate
        self.permission = permission

    async def __call__(self, request: Request) -> OperatorScope:
        """Return the operator's scope; raise NotAuthenticated, LimitExceeded, PermissionMissing."""
        operator = await self._gate.access.operator_of_session(session_token(request))
        self._gate.take(request, operator.actor, live=True)
        require_operator(operator, self.permission)
        return operator


class SessionGate:
    """Lets in whoever is signed in."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def __call__(self, request: Request) -> SignedIn:
        """Return the session; raise NotAuthenticated, LimitExceeded."""
        token = session_token(request)
        session = await self._gate.access.session(token)
        self._gate.take(request, f"person:{uuid_text(PERSON_PREFIX, session.person_id)}", live=True)
        return SignedIn(session, token)


def session_token(request: Request) -> str:
    """Return the token of the caller's session cookie.

    Raises SessionRefused ``session_missing`` without one, ``csrf_invalid`` where a request that may change
    something does not carry the session's other token.
    """
    token = request.cookies.get(cookie_name(request) or "")
    if not token:
        raise SessionRefused("session_missing", "sign in first")
    if request.method not in SAFE_METHODS:
        check_csrf(token, request.headers.get(CSRF_HEADER, ""))
    return token


def cookie_name(request: Request) -> str | None:
    """Return what the session cookie is called on this connection; None where it is not safe to have one."""
    if request.url.scheme == "https":
        return SECURE_COOKIE
    is_local = _is_loopback(address_of(request)) and _is_loopback(request.url.hostname)
    return LOCAL_COOKIE if is_local else None


def required_cookie_name(request: Request) -> str:
    """Return what the session cookie is called; raise NotPermitted ``https_required`` where there may be none."""
    name = cookie_name(request)
    if name is None:
        raise NotPermitted("https_required", "signing in needs TLS")
    return name


def address_of(request: Request) -> str | None:
    """Return the caller's network address, where it is known."""
    return request.client.host if request.client else None


def _wanted(request: Request) -> tuple[MerchantId, bool]:
    """Return the merchant and whether the mode is live, as the headers of a signed-in browser say."""
    text = request.headers.get(MERCHANT_HEADER, "")
    try:
        merchant_id = MerchantId(parse_int(MERCHANT_PREFIX, text))
    except ValueError as error:
        raise InvalidRequest(
            "merchant_invalid", "a signed-in browser names its merchant: Tongbao-Merchant: acct_…"
        ) from error
    mode = request.headers.get(MODE_HEADER, "test")
    if mode not in MODES:
        raise InvalidRequest("mode_invalid", "Tongbao-Mode is live or test")
    return merchant_id, MODES[mode]


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
