"""Stripe's webhooks: signatures judged by the official client as well, and events read."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe

from tongbao.channels.adapters.hmac_header import WINDOW_S, signature
from tongbao.channels.adapters.stripe.notifications import parse
from tongbao.channels.errors import NotificationForged, NotificationMalformed
from tongbao.channels.schema import Notification, NotificationKind, Outcome, RawNotification, Reason

SECRET = "whsec_test"
NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
SENT_AT = int(NOW.timestamp())
AGES_S = 10**10
INTENT = {
    "id": "pi_1",
    "object": "payment_intent",
    "amount": 2_500,
    "amount_received": 2_500,
    "currency": "usd",
    "status": "succeeded",
    "metadata": {"reference": "pa_1"},
}


def event(kind: str, thing: dict[str, Any]) -> bytes:
    whole = {"id": "evt_1", "object": "event", "type": kind, "data": {"object": thing}}
    return json.dumps(whole, ensure_ascii=False).encode()


def raw(body: bytes, header: str | None = None, *, age_s: int = 0) -> RawNotification:
    header = f"t={SENT_AT},v1={signature(SECRET, SENT_AT, body)}" if header is None else header
    return RawNotification(
        method="POST",
        path="/n",
        headers={"stripe-signature": header},
        query="",
        body=body,
        received_at=NOW + timedelta(seconds=age_s),
    )


def official(body: bytes, header: str) -> stripe.Event:
    """What the official client reads; it compares with the machine's clock, so it is told to mind no age."""
    read: stripe.Event = stripe.Webhook.construct_event(body, header, SECRET, tolerance=AGES_S)
    return read


def read(kind: str, thing: dict[str, Any]) -> Notification:
    return parse("stripe_a", SECRET, raw(event(kind, thing)))


def test_official_client_accepts_what_we_sign_and_we_accept_its_header() -> None:
    body = event("payment_intent.succeeded", {**INTENT, "description": "茶"})
    header = raw(body).headers["stripe-signature"]
    assert official(body, header).id == "evt_1"
    assert parse("stripe_a", SECRET, raw(body, header)).reference == "pa_1"


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("", "no time"),
        ("t=,v1=00", "no time"),
        ("t=now,v1=00", "no time"),
        ("t=١٢,v1=00", "no time"),
        ("t=1,t=2,v1=00", "no time"),
        ("t=9999999999999999999,v1=00", "no time"),
        (f"t={SENT_AT}", "no signature"),
        (f"t={SENT_AT},v1=", "no signature"),
        (f"t={SENT_AT},v0=GOOD", "no signature"),
        (f"t={SENT_AT},v1={'0' * 64}", "no signature"),
        (f"t={SENT_AT},v1=é", "no signature"),
        (f"t={SENT_AT + 1},v1=GOOD", "no signature"),
    ],
    ids=lambda value: value if value.startswith("no ") else "header",
)
def test_forged_header_is_refused_by_us_and_by_the_official_client(header: str, why: str) -> None:
    body = event("payment_intent.succeeded", INTENT)
    header = header.replace("GOOD", signature(SECRET, SENT_AT, body))
    with pytest.raises(NotificationForged, match=why):
        parse("stripe_a", SECRET, raw(body, header))
    if header.isascii():
        with pytest.raises(stripe.SignatureVerificationError):
            official(body, header)


def test_changed_body_and_other_secret_are_refused() -> None:
    body = event("payment_intent.succeeded", INTENT)
    header = raw(body).headers["stripe-signature"]
    with pytest.raises(NotificationForged):
        parse("stripe_a", SECRET, raw(body.replace(b"2500", b"9500"), header))
    with pytest.raises(NotificationForged):
        parse("stripe_a", "whsec_other", raw(body, header))
    with pytest.raises(NotificationForged, match="no secret"):
        parse("stripe_a", "", raw(body))


def test_any_of_several_signatures_is_enough_while_secrets_rotate() -> None:
    body = event("payment_intent.succeeded", INTENT)
    header = f"t={SENT_AT},v1={signature('whsec_old', SENT_AT, body)},v1={signature(SECRET, SENT_AT, body)}"
    assert parse("stripe_a", SECRET, raw(body, header)).event_id == "evt_1"


@pytest.mark.parametrize(("age_s", "believed"), [(WINDOW_S, True), (WINDOW_S + 1, False), (-3_600, True)])
def test_only_age_makes_a_notification_too_old(age_s: int, believed: bool) -> None:
    received = raw(event("payment_intent.succeeded", INTENT), age_s=age_s)
    if believed:
        assert parse("stripe_a", SECRET, received).reference == "pa_1"
    else:
        with pytest.raises(NotificationForged, match="too old"):
            parse("stripe_a", SECRET, received)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"\xff", b"[]", b"1", b"{}", b"[" * 100_000),
        *(
            b'{"id": 1, "type": "a", "data": {"object": {}}}',
            b'{"id": "e", "type": "a", "data": {"object": 1}}',
        ),
    ],
)
def test_signed_nonsense_is_malformed(body: bytes) -> None:
    with pytest.raises(NotificationMalformed):
        parse("stripe_a", SECRET, raw(body))


@pytest.mark.parametrize(
    ("kind", "thing", "meant", "outcome"),
    [
        ("payment_intent.succeeded", INTENT, NotificationKind.PAYMENT, Outcome.APPROVED),
        (
            "payment_intent.payment_failed",
            {**INTENT, "status": "requires_payment_method", "last_payment_error": {"code": "expired_card"}},
            NotificationKind.PAYMENT,
            Outcome.DECLINED,
        ),
        (
            "payment_intent.canceled",
            {**INTENT, "status": "canceled", "latest_charge": "ch_1"},
            NotificationKind.PAYMENT,
            Outcome.APPROVED,
        ),
        (
            "payment_intent.amount_capturable_updated",
            {**INTENT, "status": "requires_capture", "amount_capturable": 2_500},
            NotificationKind.PAYMENT,
            Outcome.APPROVED,
        ),
        (
            "refund.updated",
            {
                "id": "re_1",
                "amount": 5,
                "currency": "usd",
                "status": "failed",
                "metadata": {"reference": "re_7"},
            },
            NotificationKind.REFUND,
            Outcome.DECLINED,
        ),
        (
            "charge.refunded",
            {
                "id": "ch_1",
                "amount": 9,
                "amount_captured": 9,
                "amount_refunded": 4,
                "currency": "usd",
                "status": "succeeded",
                "captured": True,
                "metadata": {"reference": "pa_1"},
            },
            NotificationKind.PAYMENT,
            Outcome.APPROVED,
        ),
        ("payment_intent.succeeded", {**INTENT, "metadata": {}}, NotificationKind.IGNORED, Outcome.PENDING),
        ("payment_intent.created", INTENT, NotificationKind.IGNORED, Outcome.PENDING),
        ("customer.created", {"id": "cus_1"}, NotificationKind.IGNORED, Outcome.PENDING),
    ],
)
def test_event_is_read_for_what_it_is_about(
    kind: str, thing: dict[str, Any], meant: NotificationKind, outcome: Outcome
) -> None:
    found = read(kind, thing)
    assert (found.kind, found.answer.outcome, found.event_id) == (meant, outcome, "evt_1")


def test_refund_event_names_refund_and_payment() -> None:
    metadata = {"reference": "re_7", "authorization_reference": "pa_1"}
    thing = {"id": "re_1", "amount": 700, "currency": "usd", "status": "succeeded", "metadata": metadata}
    found = read("refund.updated", thing)
    assert (found.reference, found.authorization_reference) == ("re_7", "pa_1")
    assert found.answer.amount_minor == 700


def test_refunded_charge_says_how_much_went_back() -> None:
    thing = {
        "id": "ch_1",
        "amount": 9,
        "amount_captured": 9,
        "amount_refunded": 4,
        "currency": "usd",
        "status": "succeeded",
        "captured": True,
        "metadata": {"reference": "pa_1"},
    }
    assert read("charge.refunded", thing).answer.refunded_minor == 4


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        ("needs_response", "needs_response"),
        ("warning_needs_response", "needs_response"),
        ("won", "won"),
        ("lost", "lost"),
        ("warning_closed", "won"),
    ],
)
def test_dispute_names_the_payment_its_amount_and_the_deadline(status: str, meaning: str) -> None:
    dispute = {
        "id": "dp_1",
        "amount": 2_500,
        "currency": "usd",
        "payment_intent": "pi_1",
        "status": status,
        "reason": "fraudulent",
        "network_reason_code": "10.4",
        "evidence_details": {"due_by": SENT_AT},
    }
    found = read("charge.dispute.created", dispute)
    assert (found.kind, found.dispute_status, found.reason_code) == (
        NotificationKind.DISPUTE,
        meaning,
        "10.4",
    )
    assert (found.answer.amount_minor, found.answer.channel_reference) == (2_500, "pi_1")
    assert (found.dispute_reference, found.respond_by) == ("dp_1", NOW)


@pytest.mark.parametrize("thing", [{"status": "under_review", "charge": "ch_1"}, {"status": "lost"}])
def test_dispute_that_says_nothing_new_is_ignored(thing: dict[str, Any]) -> None:
    assert read("charge.dispute.updated", thing).kind is NotificationKind.IGNORED


def test_declined_payment_carries_its_reason() -> None:
    thing = {**INTENT, "status": "requires_payment_method", "last_payment_error": {"code": "expired_card"}}
    assert read("payment_intent.payment_failed", thing).answer.reason is Reason.CARD_EXPIRED


@pytest.mark.parametrize("metadata", [None, [], "x", {"reference": 7}])
def test_metadata_of_any_shape_is_no_crash(metadata: object) -> None:
    found = read("payment_intent.succeeded", {**INTENT, "metadata": metadata})
    assert found.kind is NotificationKind.IGNORED


def test_yes_that_hides_what_it_was_authenticated_by_is_inquired() -> None:
    thing = {
        "id": "pi_1",
        "amount": 2_500,
        "amount_received": 2_500,
        "currency": "usd",
        "status": "succeeded",
        "metadata": {"reference": "pa_1"},
        "latest_charge": "ch_1",
    }
    assert read("payment_intent.succeeded", thing).answer.outcome is Outcome.APPROVED
    asked = thing | {"payment_method_options": {"card": {"request_three_d_secure": "any"}}}
    assert read("payment_intent.succeeded", asked).answer.outcome is Outcome.PENDING
    failed = asked | {"status": "requires_payment_method", "last_payment_error": {"code": "card_declined"}}
    assert read("payment_intent.payment_failed", failed).answer.outcome is Outcome.DECLINED
