"""How errors look over HTTP: the one table from kinds of errors to statuses, and the body that tells them.

Every error has the same form, ``{"error": {"code", "detail", "facts"}}``. ``code`` is stable and for machines.
Nothing of the inside of the house is told: a broken invariant is logged whole and answered with a bare 500.
``web.api.answers`` puts this into the web framework.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

from tongbao.core.errors import (
    AppError,
    Conflict,
    InvalidRequest,
    InvariantBroken,
    LimitExceeded,
    NotFound,
    NotPermitted,
    OutcomeUnknown,
    Unavailable,
)
from tongbao.parties.errors import NotAuthenticated

STATUS: Mapping[type[AppError], int] = {
    InvalidRequest: 400,
    NotAuthenticated: 401,
    NotPermitted: 403,
    NotFound: 404,
    Conflict: 409,
    LimitExceeded: 429,
    InvariantBroken: 500,
    Unavailable: 503,
    OutcomeUnknown: 504,
}
"""The status of each kind; of a narrower class, that of its kind."""
STATUS_BY_CODE: Mapping[str, int] = {
    "body_too_large": 413,
    "bulk_too_large": 413,
    "parcel_too_large": 413,
    "file_too_large": 413,
    "simulation_too_large": 413,
    "replay_too_large": 413,
    "backtest_too_long": 413,
    "past_too_far": 413,
    "health_rows_too_many": 413,
    "content_type_wrong": 415,
    "csrf_invalid": 403,
}
"""Codes that say more than their kind: too much at once is not too often."""
REPEAT = "repeat with the same key"
INTERNAL_DETAIL = "something is wrong on our side; it has been logged"


class Answer(NamedTuple):
    """An error as it goes out."""

    status: int
    body: dict[str, object]
    headers: dict[str, str]


def answer(error: AppError) -> Answer:
    """Return how an error is told to a caller."""
    status = STATUS_BY_CODE.get(error.code) or _status_of(error)
    if isinstance(error, InvariantBroken):
        return Answer(status, body_of("internal", INTERNAL_DETAIL, {}), {})
    detail = error.detail
    if isinstance(error, OutcomeUnknown) and REPEAT not in detail:
        detail = f"{detail}; {REPEAT}"
    wait_s = error.facts.get("retry_after_s")
    headers = {"Retry-After": str(math.ceil(wait_s))} if isinstance(wait_s, int | float) else {}
    return Answer(status, body_of(error.code, detail, error.facts), headers)


def body_of(code: str, detail: str, facts: Mapping[str, object]) -> dict[str, object]:
    """Return the JSON form of an error."""
    return {
        "error": {
            "code": code,
            "detail": detail,
            "facts": {name: _plain(fact) for name, fact in facts.items()},
        }
    }


def _status_of(error: AppError) -> int:
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def _plain(fact: object) -> object:
    """Return a fact as JSON takes it; what JSON has no form for becomes text."""
    if fact is None or isinstance(fact, bool | int | str):
        return fact
    if isinstance(fact, float):
        return fact if math.isfinite(fact) else str(fact)
    return [_plain(part) for part in fact] if isinstance(fact, list | tuple | set | frozenset) else str(fact)
