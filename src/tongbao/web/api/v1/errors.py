"""How errors look under ``/v1``: Stripe's error object, with four fields of ours beside its own.

``category`` (who is at fault), ``standardised_code``, ``retry`` and ``suggested_action`` are always there. Statuses
are those of ``web.errors`` except where Stripe's clients read another: they repeat every 409 by themselves, so only
what is worth repeating is one; a state that forbids an act is 400.
"""

import math
from typing import NamedTuple, TypeVar

import msgspec

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
from tongbao.core.requests.asks import Rendered
from tongbao.parties.errors import NotAuthenticated
from tongbao.payments.schema.intents import PaymentError
from tongbao.privacy.errors import CardInvalid
from tongbao.web import errors as house
from tongbao.web.api.v1.declines import error_object
from tongbao.web.api.v1.error_texts import KINDS, TEXTS

STATUS_BY_CODE = {
    "idempotency_key_reused": 400,
    "idempotency_key_in_use": 409,
    "lock_timeout": 429,
    "method_not_allowed": 405,
    **house.STATUS_BY_CODE,
}
"""Codes that say more than their kind."""
STATUS: dict[type[AppError], int] = {**house.STATUS, Conflict: 400, NotAuthenticated: 401, CardInvalid: 402}
"""By kind, the narrowest that an error is of."""
IDEMPOTENCY_CODES = frozenset({"idempotency_key_reused", "idempotency_key_in_use"})
REPEATABLE_STATUSES = frozenset({409, 429, 503, 504})
CODES = {"customer_unknown": "resource_missing", "merchant_unknown": "resource_missing"}
"""Codes of the house that Stripe's clients know by another name."""
CHALLENGE = 'Bearer realm="/v1"'
LIMIT_RETRY_S = 1

T = TypeVar("T")

# By kind: category, retry, suggested action.
_ADVICE: dict[type[AppError], tuple[str, str, str]] = {
    InvalidRequest: ("merchant", "never", "change_request"),
    NotFound: ("merchant", "never", "change_request"),
    NotPermitted: ("merchant", "never", "use_another_key"),
    Conflict: ("merchant", "never", "read_again"),
    LimitExceeded: ("merchant", "later", "retry_later"),
    Unavailable: ("internal", "later", "retry_later"),
    OutcomeUnknown: ("internal", "same_channel", "retry_with_same_key"),
    InvariantBroken: ("internal", "never", "contact_support"),
    CardInvalid: ("customer", "clear_pan", "enter_card_again"),
}
_IN_USE_ADVICE = ("merchant", "later", "retry_with_same_key")


class Failure(NamedTuple):
    """An error as it goes out."""

    status: int
    body: dict[str, object]
    headers: dict[str, str]


def failure(error: AppError, *, chinese: bool = False, docs_url: str | None = None) -> Failure:
    """Return how an error is told to a caller. Of a broken invariant nothing is told.

    ``docs_url``: where error codes are explained; the code follows as the fragment.
    """
    if isinstance(error, InvariantBroken):
        error = InvariantBroken("internal", house.INTERNAL_DETAIL)
    status = status_of(error)
    code = CODES.get(error.code, error.code)
    category, retry, action = (
        _IN_USE_ADVICE if error.code == "idempotency_key_in_use" else _nearest(_ADVICE, error)
    )
    body: dict[str, object] = {
        "advice_code": None,
        "category": category,
        "charge": None,
        "code": code,
        "decline_code": None,
        "doc_url": f"{docs_url}#{code}" if docs_url else None,
        "message": _message(error, chinese=chinese),
        "param": _text(error.facts.get("param") or error.facts.get("field")),
        "request_log_url": None,
        "retry": retry,
        "standardised_code": code.upper(),
        "suggested_action": action,
        "type": _type(code, status),
    }
    return Failure(status, {"error": body}, _headers(error, status))


def bug(*, chinese: bool = False, docs_url: str | None = None) -> Failure:
    """Return how an error that nobody raised on purpose is told."""
    return failure(InvariantBroken("internal", house.INTERNAL_DETAIL), chinese=chinese, docs_url=docs_url)


def declined(
    error: PaymentError,
    *,
    about: str,
    subject: dict[str, object],
    method: dict[str, object] | None,
    chinese: bool = False,
) -> Rendered:
    """Return the answer to a request that tried to collect and got a no: 402 with what it was about.

    ``about`` is ``payment_intent`` or ``setup_intent``, ``subject`` its rendering.
    """
    body = error_object(error, chinese=chinese) | {
        about: subject,
        "payment_method": method,
        "request_log_url": None,
    }
    return Rendered(402, msgspec.json.encode({"error": body}))


def status_of(error: AppError) -> int:
    """Return the status of an error."""
    return STATUS_BY_CODE.get(error.code) or _nearest(STATUS, error)


def _nearest(table: dict[type[AppError], T], error: AppError) -> T:
    """Return the row of the narrowest kind that an error is of; a kind that nobody knows is a bug of ours."""
    return next((table[kind] for kind in type(error).__mro__ if kind in table), table[InvariantBroken])


def _type(code: str, status: int) -> str:
    if code in IDEMPOTENCY_CODES:
        return "idempotency_error"
    if status == 402:
        return "card_error"
    return "api_error" if status >= 500 else "invalid_request_error"


def _message(error: AppError, *, chinese: bool) -> str:
    if not chinese:
        return error.detail
    text = TEXTS.get(CODES.get(error.code, error.code))
    if text is None:
        return next(
            (KINDS[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in KINDS), error.detail
        )
    return text.replace("{param}", _text(error.facts.get("param")) or "")


def _headers(error: AppError, status: int) -> dict[str, str]:
    headers: dict[str, str] = {}
    if status == 401:
        headers["WWW-Authenticate"] = CHALLENGE
    if allowed := error.facts.get("allowed"):
        headers["Allow"] = str(allowed)
    if status in REPEATABLE_STATUSES:
        wait = error.facts.get("retry_after_s", LIMIT_RETRY_S)
        headers["Retry-After"] = str(max(1, math.ceil(wait)))
        headers["Stripe-Should-Retry"] = "true"
    elif status >= 500:
        headers["Stripe-Should-Retry"] = "false"
    return headers


def _text(fact: object) -> str | None:
    return None if fact is None else str(fact)
