"""Refusals that are told before a request reaches any interface, each in the form of whoever asks."""

import msgspec
from fastapi import Request, Response
from fastapi.responses import JSONResponse

from tongbao.core.errors import AppError
from tongbao.web import errors, pages, wording
from tongbao.web.locale import frames as frame_words
from tongbao.web.locale import read_only as words
from tongbao.web.locale import signing as signing_words
from tongbao.web.signing import frames


def refusal(request: Request, error: AppError, key: str) -> Response:
    """Return the refusal of a request: Stripe's form under ``/v1``, ours for programs, a page for people.

    ``key`` names what a page says, with ``_line`` behind it the sentence below.
    """
    told = errors.answer(error)
    path = request.url.path
    headers = {**told.headers, "Cache-Control": "no-store"}
    if path.startswith("/v1/"):
        body = {"error": {"type": "api_error", "code": error.code, "message": error.detail}}
        return Response(msgspec.json.encode(body), told.status, headers, "application/json")
    if path.startswith("/v2/") or "text/html" not in request.headers.get("accept", ""):
        return JSONResponse(told.body, told.status, headers)
    language = pages.preferences(request).language
    context: dict[str, object] = {
        "t": wording.translator(language, words.TEXTS, signing_words.TEXTS, frame_words.TEXTS),
        "key": key,
        "code": error.code,
        "ways": [],
        "who_can": [],
        "permission": "",
        "wait_s": error.facts.get("retry_after_s"),
    }
    page = frames.plain(request, frames.Page("signing/refused.html", "", context, told.status))
    page.headers.update(headers)
    return page
