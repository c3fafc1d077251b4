"""Stripe's amounts and objects, read and written."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.channels.cards import CVC, GOOD

from tongbao.channels.adapters.stripe import transform
from tongbao.channels.adapters.stripe.requests import CURRENCIES_TAKEN
from tongbao.channels.adapters.stripe.transform import Unwritable, from_wire, to_wire
from tongbao.channels.schema import ActionKind, Operation, Outcome, Reason
from tongbao.privacy.schema import RevealedCard


@pytest.mark.parametrize(
    ("amount_minor", "currency", "wire"),
    [
        (1_999, "USD", 1_999),
        (500, "JPY", 500),
        (5, "ISK", 500),
        (7, "UGX", 700),
        (1_230, "KWD", 1_230),
        (300, "MGA", 3),
        (0, "CNY", 0),
        (1_235, "KWD", None),
        (301, "MGA", None),
    ],
)
def test_amount_is_written_as_stripe_counts_or_not_at_all(
    amount_minor: int, currency: str, wire: int | None
) -> None:
    if wire is None:
        with pytest.raises(Unwritable):
            to_wire(amount_minor, currency)
    else:
        assert to_wire(amount_minor, currency) == wire
        assert from_wire(wire, currency) == amount_minor


@given(wire=st.integers(0, 10**12), currency=st.sampled_from(sorted(CURRENCIES_TAKEN)))
def test_what_stripe_says_is_read_exactly_or_not_at_all(wire: int, currency: str) -> None:
    try:
        amount_minor = from_wire(wire, currency)
    except Unwritable:
        return
    try:
        assert to_wire(amount_minor, currency) == wire
    except Unwritable:
        assert wire % 10


def test_fraction_of_a_minor_unit_is_not_read() -> None:
    with pytest.raises(Unwritable):
        from_wire(550, "ISK")


def intent(**fields: Any) -> dict[str, Any]:
    return {"id": "pi_1", "amount": 2_500, "currency": "usd", **fields}


CHARGE = {
    "id": "ch_1",
    "amount": 2_500,
    "amount_captured": 2_500,
    "amount_refunded": 300,
    "authorization_code": "A12345",
    "created": 1_790_000_000,
    "payment_method_details": {"card": {"network_transaction_id": "ntx_1", "checks": {"cvc_check": "pass"}}},
}


def test_intent_that_succeeded_says_what_was_received_and_refunded() -> None:
    answer = transform.read_intent(intent(status="succeeded", amount_received=2_500, latest_charge=CHARGE))
    assert (answer.outcome, answer.captured, answer.amount_minor) == (Outcome.APPROVED, True, 2_500)
    assert (answer.refunded_minor, answer.network_reference, answer.approval_code) == (300, "ntx_1", "A12345")
    assert (answer.cvc_check, answer.currency, answer.channel_reference) == ("pass", "USD", "pi_1")
    assert answer.occurred_at is not None


def test_rest_of_a_partial_capture_is_not_taken_for_a_refund() -> None:
    charge = {**CHARGE, "amount_captured": 1_500, "amount_refunded": 1_000}
    answer = transform.read_intent(intent(status="succeeded", amount_received=1_500, latest_charge=charge))
    assert (answer.amount_minor, answer.refunded_minor) == (1_500, None)


@pytest.mark.parametrize(
    ("fields", "outcome", "facts"),
    [
        ({"status": "requires_capture"}, Outcome.APPROVED, {"captured": False, "amount_minor": 2_500}),
        (
            {"status": "requires_capture", "amount_capturable": 2_000},
            Outcome.APPROVED,
            {"amount_minor": 2_000},
        ),
        ({"status": "processing"}, Outcome.PENDING, {"amount_minor": None}),
        ({"status": "canceled", "latest_charge": "ch_1"}, Outcome.APPROVED, {"voided": True}),
        (
            {"status": "canceled", "latest_charge": None},
            Outcome.DECLINED,
            {"voided": True, "reason": Reason.STATE_INVALID},
        ),
        (
            {
                "status": "requires_payment_method",
                "last_payment_error": {
                    "code": "card_declined",
                    "decline_code": "lost_card",
                    "message": "No.",
                },
            },
            Outcome.DECLINED,
            {"reason": Reason.CARD_LOST, "code": "lost_card", "message": "No."},
        ),
        (
            {"status": "requires_payment_method", "last_payment_error": {"code": "brand_new_code"}},
            Outcome.DECLINED,
            {"reason": Reason.OTHER, "code": "brand_new_code"},
        ),
        ({"status": "of_tomorrow"}, Outcome.UNRESOLVED, {"reason": None}),
        ({}, Outcome.UNRESOLVED, {"reason": None}),
        (
            {"status": "succeeded", "currency": "???"},
            Outcome.APPROVED,
            {"amount_minor": None, "currency": None},
        ),
        ({"status": "succeeded", "amount": "2500"}, Outcome.APPROVED, {"amount_minor": None}),
    ],
)
def test_intent_is_read_by_its_status(
    fields: dict[str, Any], outcome: Outcome, facts: dict[str, Any]
) -> None:
    answer = transform.read_intent(intent(**fields))
    assert answer.outcome is outcome
    assert {name: getattr(answer, name) for name in facts} == facts


def test_action_is_a_page_or_a_secret_for_stripes_own_client() -> None:
    step = {"type": "redirect_to_url", "redirect_to_url": {"url": "https://acs.test/1"}}
    page = transform.read_intent(intent(status="requires_action", next_action=step))
    assert page.outcome is Outcome.ACTION_REQUIRED
    assert page.action is not None
    assert (page.action.kind, page.action.url) == (ActionKind.REDIRECT, "https://acs.test/1")
    client = transform.read_intent(
        intent(
            status="requires_action", next_action={"type": "use_stripe_sdk"}, client_secret="pi_1_secret_2"
        )
    )
    assert client.action is not None
    assert (client.action.kind, client.action.data) == (
        ActionKind.INVOKE_APP,
        {"client_secret": "pi_1_secret_2"},
    )


def error(**fields: Any) -> dict[str, Any]:
    return {"error": {"message": "Words.", **fields}}


@pytest.mark.parametrize(
    ("status", "body", "operation", "outcome", "reason"),
    [
        (402, error(code="card_declined", decline_code="insufficient_funds"), "authorize", "declined", "insufficient_funds"),
        (402, error(code="incorrect_cvc"), "authorize", "declined", "cvc_incorrect"),
        (400, error(type="invalid_request_error"), "capture", "declined", "request_invalid"),
        (400, error(type="idempotency_error"), "authorize", "declined", "reference_conflict"),
        (400, error(type="invalid_request_error", param="amount"), "refund", "declined", "refund_too_large"),
        (400, error(type="invalid_request_error", param="amount"), "authorize", "declined", "request_invalid"),
        (400, error(code="charge_already_refunded"), "refund", "declined", "refund_too_large"),
        (404, error(code="resource_missing"), "capture", "declined", "state_invalid"),
        (401, error(), "authorize", "declined", "configuration_invalid"),
        (403, error(), "authorize", "declined", "configuration_invalid"),
        (429, error(code="rate_limit"), "authorize", "declined", "channel_rate_limited"),
        (409, error(code="idempotency_key_in_use"), "authorize", "unresolved", None),
        (500, error(type="api_error"), "authorize", "unresolved", None),
        (503, {}, "refund", "unresolved", None),
        (302, {}, "authorize", "unresolved", None),
        (201, {}, "authorize", "unresolved", None),
        (418, {"error": "teapot"}, "authorize", "declined", "other"),
    ],
)  # fmt: skip
def test_error_is_an_explicit_no_or_an_open_end(
    status: int, body: dict[str, Any], operation: str, outcome: str, reason: str | None
) -> None:
    answer = transform.read_error(status, body, Operation(operation))
    assert (answer.outcome, answer.reason) == (outcome, reason)
    assert answer.code


def test_declined_intent_is_known_by_its_id() -> None:
    answer = transform.read_error(
        402, error(code="card_declined", payment_intent={"id": "pi_9"}), Operation.AUTHORIZE
    )
    assert answer.channel_reference == "pi_9"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("succeeded", Outcome.APPROVED),
        ("pending", Outcome.PENDING),
        ("requires_action", Outcome.PENDING),
        ("failed", Outcome.DECLINED),
        ("canceled", Outcome.DECLINED),
        (None, Outcome.UNRESOLVED),
    ],
)
def test_refund_is_read_by_its_status(status: str | None, outcome: Outcome) -> None:
    answer = transform.read_refund({"id": "re_1", "amount": 700, "currency": "usd", "status": status})
    assert answer.outcome is outcome
    assert answer.amount_minor == (700 if outcome is Outcome.APPROVED else None)


@pytest.mark.parametrize(
    ("fields", "outcome", "captured", "voided"),
    [
        ({"status": "succeeded", "captured": True}, Outcome.APPROVED, True, False),
        ({"status": "succeeded", "captured": False}, Outcome.APPROVED, False, False),
        ({"status": "succeeded", "captured": False, "refunded": True}, Outcome.APPROVED, False, True),
        ({"status": "pending"}, Outcome.PENDING, False, False),
        ({"status": "failed", "failure_code": "expired_card"}, Outcome.DECLINED, False, False),
        ({"status": "?"}, Outcome.UNRESOLVED, False, False),
    ],
)
def test_charge_is_read_by_its_status(
    fields: dict[str, Any], outcome: Outcome, captured: bool, voided: bool
) -> None:
    answer = transform.read_charge({**CHARGE, "currency": "usd", **fields})
    assert (answer.outcome, answer.captured, answer.voided) == (outcome, captured, voided)


@pytest.mark.parametrize("seconds", [None, "1", True, 10**20, -(10**20), 1.5])
def test_instant_that_is_none_is_none(seconds: object) -> None:
    assert transform.instant_of(seconds) is None


def test_card_form_holds_the_card_and_no_empty_code() -> None:
    card = RevealedCard(number=GOOD, exp_month=3, exp_year=2031, cvc=CVC)
    assert transform.card_form(card) == {
        "type": "card",
        "card[number]": GOOD,
        "card[exp_month]": "3",
        "card[exp_year]": "2031",
        "card[cvc]": CVC,
    }
    bare = RevealedCard(number=GOOD, exp_month=3, exp_year=2031, cvc=None)
    assert "card[cvc]" not in transform.card_form(bare)


@pytest.mark.parametrize(
    ("said", "result", "is_good"),
    [
        ({"three_d_secure": {"result": "authenticated", "version": "2.2.0"}}, "authenticated", True),
        ({"three_d_secure": {"result": "attempt_acknowledged"}}, "attempt_acknowledged", True),
        ({"three_d_secure": {"result": "failed", "authentication_flow": "challenge"}}, "failed", False),
        ({"three_d_secure": {"result": "something new"}}, "not_supported", False),
        ({"three_d_secure": None}, "not_supported", False),
        ({}, None, False),
    ],
)
def test_check_of_the_issuer_is_read_from_the_charge(
    said: dict[str, Any], result: str | None, is_good: bool
) -> None:
    charge = {**CHARGE, "payment_method_details": {"card": said}}
    answer = transform.read_intent(intent(status="succeeded", amount_received=2_500, latest_charge=charge))
    known = answer.authentication
    assert (known.result.value if known else None, known is not None and known.is_good) == (result, is_good)
