"""Renderings, judged by the official client: every field that its types name is there and is of the type they say."""

import types
import typing
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import stripe
from tests.web.v1 import samples
from tests.web.v1.samples import AT, CASHIER, CUS, NO_FUNDS, PA, PI, PM, RE

from tongbao.channels.schema import Action, ActionKind, Alipay, Reason, Wallet, WechatPay
from tongbao.core.ids import uuid_text
from tongbao.payments.schema.attempts import AttemptState
from tongbao.payments.schema.balances import BalanceLine, BalanceTransaction
from tongbao.payments.schema.checkout import SessionState
from tongbao.payments.schema.intents import CancelReason, Certainty, IntentState
from tongbao.payments.schema.methods import SetupState
from tongbao.payments.schema.orders import IntentView, SetupView
from tongbao.payments.schema.refunds import DisputeState, RefundState
from tongbao.payments.schema.webhooks import EventRow
from tongbao.web.api.v1.renderings.attempts import charge_object
from tongbao.web.api.v1.renderings.bases import Tree, deleted_object, encode
from tongbao.web.api.v1.renderings.checkout import line_items_object, link_object, session_object
from tongbao.web.api.v1.renderings.events import (
    balance_object,
    document_object,
    endpoint_object,
    event_bytes,
    event_object,
    transaction_object,
)
from tongbao.web.api.v1.renderings.intents import intent_object
from tongbao.web.api.v1.renderings.methods import mandate_object, method_object, setup_object, token_object
from tongbao.web.api.v1.renderings.parties import account_object, customer_object
from tongbao.web.api.v1.renderings.refunds import dispute_object, refund_object

TRANSACTION = BalanceTransaction(
    id=PA,
    type="charge",
    amount_minor=1999,
    fee_minor=88,
    currency="USD",
    source=uuid_text("ch", PA),
    created_at=AT,
    available_at=AT + timedelta(days=2),
    is_available=False,
)
EVENT = EventRow(
    book_id=7,
    id=samples.EVT,
    live=False,
    type="payment_intent.succeeded",
    object_kind="payment_intent",
    object_id=PI,
    sequence=3,
    created_at=AT,
    position=1,
    place=0,
    snapshot=msgspec.json.encode(samples.intent()).decode(),
    request_id="req_1",
    idempotency_key="k1",
)
VIEW = IntentView(samples.intent(), samples.attempt(), samples.method())
# Not shown unless asked for (expansions, included objects) or a thing of another kind of payment method.
UNASKED: dict[type, set[str]] = {
    stripe.PaymentLink: {"line_items"},
    stripe.checkout.Session: {"line_items"},
    stripe.Customer: {"sources", "subscriptions", "tax_ids", "deleted", "next_invoice_sequence"},
    stripe.WebhookEndpoint: {"deleted", "secret"},
    stripe.Account: {"deleted", "future_requirements", "requirements", "groups"},
}
RENDERED: list[tuple[type, Tree]] = [
    (stripe.PaymentIntent, intent_object(VIEW)),
    (stripe.Charge, charge_object(samples.attempt())),
    (stripe.Refund, refund_object(samples.refund())),
    (stripe.Dispute, dispute_object(samples.dispute(), AT, samples.CARD)),
    (stripe.SetupIntent, setup_object(SetupView(samples.setup(), samples.method()))),
    (stripe.Mandate, mandate_object(samples.mandate())),
    (stripe.PaymentLink, link_object(samples.link(completed_count_max=9), CASHIER)),
    (stripe.checkout.Session, session_object(samples.session(), CASHIER)),
    (stripe.Customer, customer_object(samples.customer(), live=False)),
    (stripe.Event, event_object(EVENT, CASHIER)),
    (stripe.WebhookEndpoint, endpoint_object(samples.endpoint())),
    (
        stripe.Balance,
        balance_object([BalanceLine(currency="USD", available_minor=1, pending_minor=2)], live=False),
    ),
    (stripe.BalanceTransaction, transaction_object(TRANSACTION)),
    (stripe.Account, account_object(samples.merchant())),
    (stripe.Token, token_object(samples.method())),
]


def fields_of(kind: type) -> dict[str, Any]:
    """The annotations of one of the client's classes; names that it cannot resolve itself are left as text."""
    module = vars(__import__(kind.__module__, fromlist=["x"]))
    names = {**vars(typing), **vars(stripe), **module}
    found: dict[str, Any] = {}
    for name, text in vars(kind).get("__annotations__", {}).items():
        try:
            found[name] = eval(text, names, vars(kind)) if isinstance(text, str) else text
        except Exception:
            found[name] = Any
    return {name: hint for name, hint in found.items() if typing.get_origin(hint) is not typing.ClassVar}


def complaints(value: Any, hint: Any, where: str) -> list[str]:
    """What is wrong with a value by a type annotation; nested objects field by field."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or isinstance(hint, str | typing.ForwardRef):
        return []
    if origin in (typing.Union, types.UnionType):
        found = [complaints(value, each, where) for each in inner]
        return [] if any(not each for each in found) else min(found, key=len)
    if origin is typing.Literal:
        return [] if value in inner else [f"{where}: {value!r} is not one of {inner}"]
    if hint is type(None):
        return [] if value is None else [f"{where}: not null"]
    if hint in (int, str, bool, float):
        return [] if type(value) is hint else [f"{where}: {value!r} is no {hint.__name__}"]
    if origin is list:
        if not isinstance(value, list):
            return [f"{where}: no list"]
        return [
            each for at, item in enumerate(value) for each in complaints(item, inner[0], f"{where}[{at}]")
        ]
    if isinstance(hint, type) and vars(hint).get("__annotations__"):
        if not isinstance(value, Mapping):
            return [f"{where}: no object"]
        said: list[str] = []
        for name, each in fields_of(hint).items():
            if name in value:
                said += complaints(value[name], each, f"{where}.{name}")
        return said
    return [] if value is None or isinstance(value, dict | str) else [f"{where}: unexpected"]


@pytest.mark.parametrize(("kind", "tree"), RENDERED, ids=lambda each: getattr(each, "__name__", ""))
def test_rendering_has_every_field_of_the_clients_type_and_its_type(kind: type, tree: Tree) -> None:
    decoded = msgspec.json.decode(encode(tree))
    wanted = fields_of(kind)
    assert len(wanted) > 3
    assert set(wanted) - set(decoded) == UNASKED.get(kind, set())
    said = [
        each
        for name, hint in wanted.items()
        if name in decoded
        for each in complaints(decoded[name], hint, name)
    ]
    assert said == []


@pytest.mark.parametrize(("kind", "tree"), RENDERED, ids=lambda each: getattr(each, "__name__", ""))
def test_rendering_becomes_an_object_of_the_client(kind: Any, tree: Tree) -> None:
    made = kind.construct_from(msgspec.json.decode(encode(tree)), "sk_test_x")
    assert type(made) is kind
    assert made.object == tree["object"]


def test_complaints_find_a_wrong_type() -> None:
    wanted = fields_of(stripe.PaymentIntent)
    assert complaints("1", wanted["amount"], "amount") != []
    assert complaints(1.5, wanted["canceled_at"], "canceled_at") != []
    assert complaints({"address": {"city": 5}}, wanted["shipping"], "shipping") != []


def test_rendering_is_the_same_for_the_same_document() -> None:
    assert encode(intent_object(VIEW)) == encode(intent_object(VIEW))


def test_intent_shows_ids_currency_and_times_as_stripe_does() -> None:
    tree = intent_object(VIEW)
    assert tree["id"] == uuid_text("pi", PI)
    assert tree["latest_charge"] == uuid_text("ch", PA)
    assert tree["customer"] == uuid_text("cus", CUS)
    assert tree["payment_method"] == uuid_text("pm", PM)
    assert (tree["currency"], tree["created"], tree["livemode"]) == ("usd", 1795336200, False)


def test_intent_side_fields_say_what_states_cannot() -> None:
    tree = intent_object(
        IntentView(samples.intent(amount_received_minor=500, certainty=Certainty.CONFLICTED))
    )
    assert (tree["capture_state"], tree["outcome_certainty"], tree["risk_state"]) == (
        "partial",
        "conflicted",
        "clear",
    )


def test_intent_with_a_decline_tells_it_with_its_method() -> None:
    view = VIEW._replace(
        intent=samples.intent(state=IntentState.REQUIRES_PAYMENT_METHOD, last_error=NO_FUNDS)
    )
    error = intent_object(view)["last_payment_error"]
    assert isinstance(error, dict)
    assert complaints(error, stripe.PaymentIntent.LastPaymentError, "error") == []
    assert error["decline_code"] == "insufficient_funds"
    assert error["network_decline_code"] == "51"
    assert error["payment_method"]["id"] == uuid_text("pm", PM)
    assert error["payment_method_type"] == "card"
    assert (error["standardised_code"], error["retry"]) == ("INSUFFICIENT_FUNDS", "later")


@pytest.mark.parametrize(
    ("kind", "method", "expected"),
    [
        (ActionKind.REDIRECT, samples.CARD, "redirect_to_url"),
        (ActionKind.REDIRECT, Alipay(), "alipay_handle_redirect"),
        (ActionKind.SHOW_QR, WechatPay(), "wechat_pay_display_qr_code"),
        (ActionKind.SHOW_QR, Alipay(), "display_qr_code"),
        (ActionKind.INVOKE_APP, WechatPay(), "invoke_app"),
        (ActionKind.AWAIT_PAYER, Alipay(), "await_payer"),
    ],
)
def test_next_action_is_told_in_stripes_words_where_there_are_any(
    kind: ActionKind, method: Any, expected: str
) -> None:
    action = Action(kind=kind, url="https://x.example", qr_text="qr", data={"a": "b"}, expires_at=AT)
    view = IntentView(
        samples.intent(state=IntentState.REQUIRES_ACTION, next_action=action), samples.attempt(method=method)
    )
    told = intent_object(view)["next_action"]
    assert isinstance(told, dict)
    assert told["type"] == expected
    assert expected in told


def test_canceled_intent_tells_when_and_why() -> None:
    tree = intent_object(
        IntentView(
            samples.intent(canceled_at=AT, cancel_reason=CancelReason.EXPIRED, state=IntentState.CANCELED)
        )
    )
    decoded = msgspec.json.decode(encode(tree))
    assert (decoded["canceled_at"], decoded["cancellation_reason"]) == (1795336200, "expired")


@pytest.mark.parametrize(
    ("state", "status", "paid"),
    [
        (AttemptState.SENT, "pending", False),
        (AttemptState.ACTION_REQUIRED, "pending", False),
        (AttemptState.PENDING, "pending", False),
        (AttemptState.UNRESOLVED, "pending", False),
        (AttemptState.AUTHORIZED, "succeeded", True),
        (AttemptState.CHARGED, "succeeded", True),
        (AttemptState.CAPTURED_PARTIAL, "succeeded", True),
        (AttemptState.CAPTURED, "succeeded", True),
        (AttemptState.VOIDED, "succeeded", False),
        (AttemptState.DECLINED, "failed", False),
        (AttemptState.NOT_FOUND, "failed", False),
        (AttemptState.CONFLICTED, "pending", False),
        (AttemptState.REVERSING, "pending", False),
        (AttemptState.REVERSED, "failed", False),
    ],
)
def test_charge_of_each_state_has_a_status_of_stripes(state: AttemptState, status: str, paid: bool) -> None:
    tree = charge_object(samples.attempt(state=state))
    assert (tree["status"], tree["paid"], tree["attempt_state"]) == (status, paid, state.value)


def test_every_state_of_an_attempt_is_in_the_table() -> None:
    assert {charge_object(samples.attempt(state=state))["status"] for state in AttemptState} == {
        "pending",
        "succeeded",
        "failed",
    }


def test_declined_charge_says_why() -> None:
    tree = charge_object(
        samples.attempt(state=AttemptState.DECLINED, reason=Reason.DO_NOT_HONOR, code="05", captured_minor=0)
    )
    outcome = tree["outcome"]
    assert isinstance(outcome, dict)
    assert tree["failure_code"] == "card_declined"
    assert (outcome["type"], outcome["reason"]) == ("issuer_declined", "do_not_honor")
    assert tree["balance_transaction"] is None


def test_voided_charge_is_refunded_without_being_captured() -> None:
    tree = charge_object(samples.attempt(state=AttemptState.VOIDED, captured_minor=0))
    assert (tree["captured"], tree["refunded"], tree["amount_refunded"]) == (False, True, 1999)


@pytest.mark.parametrize(("refunded_minor", "refunded"), [(0, False), (1000, False), (1999, True)])
def test_charge_is_refunded_when_all_that_was_captured_went_back(refunded_minor: int, refunded: bool) -> None:
    tree = charge_object(samples.attempt(refunded_minor=refunded_minor))
    assert (tree["refunded"], tree["amount_refunded"]) == (refunded, refunded_minor)


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (RefundState.SENT, "pending"),
        (RefundState.PENDING, "pending"),
        (RefundState.UNRESOLVED, "pending"),
        (RefundState.SUCCEEDED, "succeeded"),
        (RefundState.FAILED, "failed"),
        (RefundState.CANCELED, "canceled"),
    ],
)
def test_refund_of_each_state_has_a_status_of_stripes(state: RefundState, status: str) -> None:
    assert refund_object(samples.refund(state=state))["status"] == status


def test_failed_refund_says_why_in_stripes_words() -> None:
    tree = refund_object(samples.refund(state=RefundState.FAILED, reason=Reason.CARD_LOST))
    assert tree["failure_reason"] == "lost_or_stolen_card"
    tree = refund_object(samples.refund(state=RefundState.FAILED, reason=Reason.OTHER))
    assert (tree["failure_reason"], tree["balance_transaction"]) == ("unknown", None)


def test_dispute_is_past_due_from_its_instant_on() -> None:
    def past_due(state: DisputeState, days: int) -> object:
        details = dispute_object(samples.dispute(state=state), AT + timedelta(days=days))["evidence_details"]
        assert isinstance(details, dict)
        return details["past_due"]

    assert past_due(DisputeState.NEEDS_RESPONSE, 6) is False
    assert past_due(DisputeState.NEEDS_RESPONSE, 7) is True
    assert past_due(DisputeState.WON, 8) is False


@pytest.mark.parametrize(
    ("method", "kind"), [(Alipay(), "alipay"), (WechatPay(), "wechat_pay"), (Wallet(9), "wallet")]
)
def test_method_of_each_kind_stands_under_its_name(method: Any, kind: str) -> None:
    tree = method_object(samples.method(method=method))
    assert tree["type"] == kind
    assert kind in tree
    assert "9" not in str(tree[kind])


def test_card_shows_no_more_than_it_may() -> None:
    body = encode(method_object(samples.method())).decode()
    card = method_object(samples.method())["card"]
    assert isinstance(card, dict)
    assert (card["iin"], card["last4"]) == ("424242", "4242")
    assert "tok_x" not in body


def test_method_has_the_fields_of_its_own_kind() -> None:
    tree = msgspec.json.decode(encode(method_object(samples.method())))
    wanted = fields_of(stripe.PaymentMethod)
    assert complaints(tree["card"], wanted["card"], "card") == []
    assert {"billing_details", "created", "customer", "livemode", "metadata", "type"} <= tree.keys()


def test_setup_that_was_declined_tells_it() -> None:
    view = SetupView(
        samples.setup(state=SetupState.REQUIRES_PAYMENT_METHOD, last_error=NO_FUNDS), samples.method()
    )
    error = setup_object(view)["last_setup_error"]
    assert isinstance(error, dict)
    assert error["code"] == "card_declined"


def test_session_has_an_address_only_while_it_is_open() -> None:
    assert session_object(samples.session(), CASHIER)["url"] == f"{CASHIER}/c/{uuid_text('cs', samples.CS)}"
    assert session_object(samples.session(state=SessionState.EXPIRED), CASHIER)["url"] is None


def test_line_items_add_up() -> None:
    listed = line_items_object("plink_x", "/v1/x", samples.link().items, "USD")
    data: Any = listed["data"]
    [item] = data
    assert complaints(item, stripe.LineItem, "item") == []
    assert (item["amount_total"], item["quantity"]) == (600, 2)


def test_deleted_customer_keeps_its_id_alone() -> None:
    tree = customer_object(samples.customer(deleted_at=AT), live=False)
    assert tree == deleted_object("customer", uuid_text("cus", CUS))


def test_event_carries_the_object_as_it_was_and_what_changed() -> None:
    before = {"state": "processing", "amount_received_minor": 0}
    event = msgspec.structs.replace(EVENT, previous=msgspec.json.encode(before).decode())
    data = event_object(event, CASHIER)["data"]
    assert isinstance(data, dict)
    assert data["object"] == msgspec.json.decode(encode(intent_object(IntentView(samples.intent())))) | {
        "payment_method_types": ("card",)
    }
    assert data["previous_attributes"] == {
        "amount_received": 0,
        "capture_state": "none",
        "status": "processing",
    }


def test_event_bytes_verify_with_the_official_client() -> None:
    body = event_bytes(EVENT, CASHIER).decode()
    secret, at = "whsec_x", int(AT.timestamp())
    signed = stripe.WebhookSignature._compute_signature(f"{at}.{body}", secret)
    event = stripe.Webhook.construct_event(body, f"t={at},v1={signed}", secret, tolerance=None)  # type: ignore[arg-type]  # None means any age
    assert (event.type, event.data.object["id"]) == ("payment_intent.succeeded", uuid_text("pi", PI))


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        (samples.intent(), "payment_intent"),
        (samples.attempt(), "charge"),
        (samples.refund(), "refund"),
        (samples.dispute(), "dispute"),
        (samples.method(), "payment_method"),
        (samples.setup(), "setup_intent"),
        (samples.mandate(), "mandate"),
        (samples.link(), "payment_link"),
        (samples.session(), "checkout.session"),
    ],
)
def test_document_of_each_kind_has_an_object(document: Any, kind: str) -> None:
    tree = document_object(document, CASHIER, AT)
    assert tree["object"] == kind
    assert encode(tree)


def test_balance_transaction_nets_the_fee() -> None:
    tree = transaction_object(TRANSACTION)
    assert (tree["amount"], tree["fee"], tree["net"], tree["status"]) == (1999, 88, 1911, "pending")
    assert uuid_text("re", RE)
