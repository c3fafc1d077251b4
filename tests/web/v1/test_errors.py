"""Errors: status, type and code of each, in both languages, without anything of the inside."""

import msgspec
import pytest
from tests.web.v1.samples import NO_FUNDS, PI

from tongbao.channels.schema import Reason, Retry
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
from tongbao.core.requests.running import busy
from tongbao.parties.errors import KeyRefused, MerchantNotOpen, PermissionMissing
from tongbao.payments.errors import BadAmount, Contended, Missing, WrongState
from tongbao.privacy.errors import CardDataRefused, CardInvalid
from tongbao.web.api.v1.declines import ADVICE, SUGGESTED, error_object
from tongbao.web.api.v1.error_texts import KINDS, TEXTS
from tongbao.web.api.v1.errors import bug, declined, failure

INVALID, IDEMPOTENCY, CARD, API = (
    "invalid_request_error",
    "idempotency_error",
    "card_error",
    "api_error",
)


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (InvalidRequest("parameter_unknown", "x", param="a"), 400, INVALID, "parameter_unknown"),
        (BadAmount("amount_too_large", "amount", "x"), 400, INVALID, "amount_too_large"),
        (WrongState("payment_intent_unexpected_state", "x"), 400, INVALID, "payment_intent_unexpected_state"),
        (Conflict("idempotency_key_reused", "x"), 400, IDEMPOTENCY, "idempotency_key_reused"),
        (busy(), 409, IDEMPOTENCY, "idempotency_key_in_use"),
        (Contended("pi_1"), 429, INVALID, "lock_timeout"),
        (Missing("pi", PI), 404, INVALID, "resource_missing"),
        (NotFound("route_unknown", "x"), 404, INVALID, "route_unknown"),
        (InvalidRequest("method_not_allowed", "x", allowed="GET"), 405, INVALID, "method_not_allowed"),
        (KeyRefused("api_key_invalid", "x"), 401, INVALID, "api_key_invalid"),
        (PermissionMissing("a.b", "key:1"), 403, INVALID, "permission_missing"),
        (MerchantNotOpen("suspended"), 403, INVALID, "merchant_suspended"),
        (CardInvalid("incorrect_number", "x", "number"), 402, CARD, "incorrect_number"),
        (CardDataRefused("description"), 400, INVALID, "card_data_not_allowed_here"),
        (LimitExceeded("rate_limit", "x"), 429, INVALID, "rate_limit"),
        (LimitExceeded("body_too_large", "x"), 413, INVALID, "body_too_large"),
        (InvalidRequest("content_type_wrong", "x"), 415, INVALID, "content_type_wrong"),
        (Unavailable("lane_full", "x", retry_after_s=2.5), 503, API, "lane_full"),
        (OutcomeUnknown("commit_unknown", "x"), 504, API, "commit_unknown"),
        (InvariantBroken("seal_broken", "the secret inside"), 500, API, "internal"),
        (AppError("odd", "x"), 500, API, "odd"),
    ],
)
def test_failure_of_each_kind_has_its_status_type_and_code(
    error: AppError, status: int, kind: str, code: str
) -> None:
    told = failure(error)
    body = told.body["error"]
    assert isinstance(body, dict)
    assert (told.status, body["type"], body["code"]) == (status, kind, code)
    for ours in ("category", "retry", "standardised_code", "suggested_action"):
        assert isinstance(body[ours], str)


def test_failure_of_a_broken_invariant_tells_nothing() -> None:
    assert b"secret" not in msgspec.json.encode(failure(InvariantBroken("x", "the secret", id=1)).body)
    assert bug().status == 500


@pytest.mark.parametrize(
    ("error", "name", "value"),
    [
        (busy(), "Retry-After", "1"),
        (busy(), "Stripe-Should-Retry", "true"),
        (Unavailable("x", "x", retry_after_s=2.5), "Retry-After", "3"),
        (LimitExceeded("rate_limit", "x", retry_after_s=7), "Retry-After", "7"),
        (KeyRefused("api_key_invalid", "x"), "WWW-Authenticate", 'Bearer realm="/v1"'),
        (InvalidRequest("method_not_allowed", "x", allowed="GET, POST"), "Allow", "GET, POST"),
        (InvariantBroken("x", "x"), "Stripe-Should-Retry", "false"),
    ],
)
def test_failure_carries_the_headers_that_clients_act_on(error: AppError, name: str, value: str) -> None:
    assert failure(error).headers[name] == value


def test_failure_of_a_conflict_is_never_what_clients_repeat_by_themselves() -> None:
    told = failure(Conflict("merchant_reference_taken", "x"))
    assert (told.status, told.headers) == (400, {})


def test_failure_names_the_parameter_and_where_to_read_on() -> None:
    body = failure(InvalidRequest("url_invalid", "x", param="url"), docs_url="https://d.example/e").body[
        "error"
    ]
    assert isinstance(body, dict)
    assert (body["param"], body["doc_url"]) == ("url", "https://d.example/e#url_invalid")


def test_failure_in_chinese_names_the_parameter() -> None:
    def message(error: AppError) -> object:
        body = failure(error, chinese=True).body["error"]
        assert isinstance(body, dict)
        return body["message"]

    assert message(InvalidRequest("parameter_missing", "x", param="amount")) == "缺少必填参数：amount。"
    assert message(InvalidRequest("something_new", "x")) == KINDS["InvalidRequest"]
    assert message(InvariantBroken("x", "x")) == TEXTS["internal"]


def test_every_kind_has_a_chinese_sentence() -> None:
    kinds = (InvalidRequest, NotFound, NotPermitted, Conflict, LimitExceeded, OutcomeUnknown, InvariantBroken)
    assert {kind.__name__ for kind in (*kinds, Unavailable)} == set(KINDS)


def test_every_advice_of_a_decline_is_in_both_tables() -> None:
    assert set(ADVICE) == set(SUGGESTED) == set(Retry)


@pytest.mark.parametrize("reason", list(Reason))
def test_decline_of_each_reason_is_a_card_error(reason: Reason) -> None:
    error = msgspec.structs.replace(NO_FUNDS, reason=reason)
    english, chinese = error_object(error), error_object(error, chinese=True)
    assert english["type"] == "card_error"
    assert english["code"]
    assert english["message"]
    assert english["message"] != chinese["message"]


def test_declined_answer_carries_the_intent() -> None:
    told = declined(NO_FUNDS, about="payment_intent", subject={"id": "pi_1"}, method=None)
    error = msgspec.json.decode(told.body)["error"]
    assert told.status == 402
    assert (error["code"], error["decline_code"]) == ("card_declined", "insufficient_funds")
    assert error["payment_intent"] == {"id": "pi_1"}
    assert error["charge"].startswith("ch_")
