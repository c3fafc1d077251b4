"""What a browser is told that a guard does not let in: where to sign in, who may do this, or that there is no such page."""

from collections.abc import Callable

from fastapi import Depends, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRouter

from tongbao.core.errors import AppError
from tongbao.parties.errors import PermissionMissing
from tongbao.parties.schema import OperatorPermission, Permission
from tongbao.parties.service.access import roles_with
from tongbao.web import errors, pages
from tongbao.web.api.access import SAFE_METHODS
from tongbao.web.locale import frames as words
from tongbao.web.page_guard import refuse_foreign
from tongbao.web.page_route import ErrorPage, page_route
from tongbao.web.signing import frames
from tongbao.web.signing.addresses import FRONT, with_next

SIGN_IN = "/sign-in"
WALLET_SIGN_IN = "/wallet/sign-in"
_NOBODY = frozenset({"session_missing", "session_invalid"})
_KEYS = {
    400: "e_invalid",
    403: "e_forbidden",
    404: "e_unknown",
    409: "e_changed",
    429: "e_busy",
    503: "e_busy",
}


def refusal(request: Request, error: AppError, sign_in: str = SIGN_IN) -> Response | None:
    """Return the answer to what a guard says; None for any other error, which its page tells in its own words."""
    if error.code in _NOBODY:
        is_read = request.method in {"GET", "HEAD"} and "x-fragment" not in request.headers
        if is_read:
            query = request.url.query
            wanted = request.url.path + (f"?{query}" if query else "")
            return RedirectResponse(with_next(sign_in, wanted), 303, {"Cache-Control": "no-store"})
        return _told(request, "e_signed_out", 401, error, (("sign_in", sign_in),))
    if isinstance(error, PermissionMissing):
        return _told(request, "e_permission", 403, error, roles=_roles(str(error.facts["permission"])))
    if error.code in {"csrf_invalid", "origin_foreign", "host_strange", "https_required"}:
        return _told(request, f"e_{error.code}", errors.answer(error).status, error)
    return None


def error_page(request: Request, error: AppError) -> Response:
    """Return the page for an error of a page of people."""
    return refusal(request, error) or _other(request, error)


def wallet_error_page(request: Request, error: AppError) -> Response:
    """Return the page for an error of a page of payers."""
    return refusal(request, error, WALLET_SIGN_IN) or _other(request, error)


def behind(
    inner: APIRouter, guard: Callable[..., object], fallback: ErrorPage, free: frozenset[str]
) -> APIRouter:
    """Return the routes of pages behind a guard, but for those at the addresses ``free``.

    ``fallback`` answers what the guard has nothing to say about. For pages that know nothing of visitors themselves.
    """

    def told(request: Request, error: AppError) -> Response:
        return refusal(request, error) or fallback(request, error)

    async def own_form(request: Request) -> None:
        # These pages carry no token of a session in their forms: whoever sends one stands on this site.
        if request.method not in SAFE_METHODS:
            refuse_foreign(request)

    outer = APIRouter(include_in_schema=False, route_class=page_route(told))
    for route in inner.routes:
        path, endpoint = getattr(route, "path", ""), getattr(route, "endpoint", None)
        assert endpoint is not None, "only pages stand behind a guard"
        outer.add_api_route(
            path,
            endpoint,
            methods=sorted(getattr(route, "methods", None) or {"GET"}),
            dependencies=[] if path in free else [Depends(guard), Depends(own_form)],
            response_model=None,
        )
    return outer


def _other(request: Request, error: AppError) -> Response:
    status = errors.answer(error).status
    return _told(request, _KEYS.get(status, "e_failed"), status, error)


def _told(
    request: Request,
    key: str,
    status: int,
    error: AppError,
    ways: tuple[tuple[str, str], ...] = (("go_home", FRONT),),
    roles: tuple[str, ...] = (),
) -> Response:
    t = frames.translator(pages.preferences(request).language)
    shown = [t(f"role_{role}") if f"role_{role}" in words.TEXTS else role for role in roles]
    context = {
        "key": key,
        "code": error.code,
        "ways": [(t(text), address) for text, address in ways],
        "who_can": shown,
        "permission": error.facts.get("permission", ""),
        "wait_s": error.facts.get("retry_after_s"),
    }
    response = frames.plain(request, frames.Page("signing/refused.html", "", context, status))
    response.headers.update(errors.answer(error).headers)
    return response


def _roles(permission: str) -> tuple[str, ...]:
    """Return who holds a permission, by the names of roles."""
    of_house = {each.value: each for each in OperatorPermission}
    of_merchants = {each.value: each for each in Permission}
    found = of_house.get(permission) or of_merchants.get(permission)
    return roles_with(found) if found is not None else ()
