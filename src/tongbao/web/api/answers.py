"""Puts the answers of ``web.errors`` into the web framework: one handler for each way in which a request fails."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from tongbao.core.errors import AppError, InvalidRequest, InvariantBroken
from tongbao.core.logs import get_logger
from tongbao.web import errors

_HTTP_CODES = {404: "route_unknown", 405: "method_not_allowed"}
_log = get_logger(__name__)


def install(app: FastAPI) -> None:
    """Make every failure of ``app`` answer in the one form of ``web.errors``."""
    app.add_exception_handler(AppError, _app_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _bug)


async def _app_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AppError)
    if isinstance(error, InvariantBroken):
        _log.error("invariant broken", code=error.code, detail=error.detail, exc_info=error)
    return _response(errors.answer(error))


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    """Name the wrong fields, never repeating what was sent in them."""
    assert isinstance(error, RequestValidationError)
    wrong = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()[:10])
    return _response(errors.answer(InvalidRequest("request_invalid", wrong)))


async def _http_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = _HTTP_CODES.get(error.status_code, "request_refused")
    body = errors.body_of(code, str(error.detail), {})
    return _response(errors.Answer(error.status_code, body, dict(error.headers or {})))


async def _bug(_request: Request, error: Exception) -> JSONResponse:
    _log.error("unexpected error", exc_info=error)
    return _response(errors.Answer(500, errors.body_of("internal", errors.INTERNAL_DETAIL, {}), {}))


def _response(answer: errors.Answer) -> JSONResponse:
    return JSONResponse(answer.body, status_code=answer.status, headers=answer.headers)
