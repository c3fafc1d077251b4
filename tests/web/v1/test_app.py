"""The interface as a whole: the official client over real services, and everything that callers get wrong."""

import asyncio
import dataclasses
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest
import stripe
from starlette.applications import Starlette
from starlette.routing import Mount
from tests.web.v1.conftest import CASHIER, Shop

from tongbao.channels.schema import Answer, Notification, NotificationKind, Outcome, Reason
from tongbao.core.events.delivery import Delivery
from tongbao.core.events.relay import Relay
from tongbao.core.ids import parse_uuid
from tongbao.core.metrics import Metrics
from tongbao.parties.schema import KeyKind, Permission
from tongbao.payments.schema.orders import IntentOrder
from tongbao.payments.service.events import event_projection
from tongbao.web.api.v1.app import Api
from tongbao.web.api.v1.forms import BODY_BYTES_MAX
from tongbao.web.api.v1.limits import Limits, Rates

PAY: dict[str, Any] = {"amount": 1999, "currency": "cny", "confirm": True, "payment_method": "pm_card_visa"}


def pay(**changes: Any) -> Any:
    """A payment that is collected at once, with changes."""
    return PAY | changes


PARSED = {"amount": "1999", "currency": "cny"}


async def error_of(answer: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = msgspec.json.decode(answer.content)["error"]
    return error


async def test_payment_by_the_official_client_succeeds_and_is_read_back(shop: Shop) -> None:
    made = await shop.client.v1.payment_intents.create_async(pay(metadata={"order": "6735"}))
    assert (made.status, made.amount_received, made.currency) == ("succeeded", 1999, "cny")
    read = await shop.client.v1.payment_intents.retrieve_async(made.id, {"expand": ["latest_charge"]})
    charge = read.latest_charge
    assert isinstance(charge, stripe.Charge)
    assert (charge.amount_captured, charge.paid, charge.payment_intent) == (1999, True, made.id)
    assert read.metadata["order"] == "6735"
    listed = await shop.client.v1.payment_intents.list_async({"limit": 5})
    assert [each.id for each in listed.data] == [made.id]


async def test_decline_is_a_card_error_with_the_intent(shop: Shop) -> None:
    shop.channel.reply(
        "authorize", Answer(outcome=Outcome.DECLINED, code="51", reason=Reason.INSUFFICIENT_FUNDS)
    )
    with pytest.raises(stripe.CardError) as caught:
        await shop.client.v1.payment_intents.create_async(pay())
    error = caught.value
    assert (error.http_status, error.code) == (402, "card_declined")
    assert error.error is not None
    assert error.error.decline_code == "insufficient_funds"
    intent = error.error.payment_intent
    assert intent is not None
    assert intent.status == "requires_payment_method"
    again = await shop.client.v1.payment_intents.retrieve_async(intent.id)
    assert again.last_payment_error is not None
    assert again.last_payment_error.code == "card_declined"


async def test_decline_in_chinese_is_told_in_chinese(shop: Shop) -> None:
    shop.channel.reply(
        "authorize", Answer(outcome=Outcome.DECLINED, code="51", reason=Reason.INSUFFICIENT_FUNDS)
    )
    answer = await shop.send(
        "POST",
        "/payment_intents",
        json=PAY,
        headers={"Accept-Language": "zh-CN"},
    )
    assert answer.status_code == 402
    assert "余额" in (await error_of(answer))["message"]


async def test_manual_capture_partial_refund_and_balance(shop: Shop) -> None:
    intents = shop.client.v1.payment_intents
    made = await intents.create_async(pay(capture_method="manual"))
    assert (made.status, made.amount_capturable) == ("requires_capture", 1999)
    captured = await intents.capture_async(made.id, {"amount_to_capture": 1500})
    assert (captured.status, captured.amount_received) == ("succeeded", 1500)
    refund = await shop.client.v1.refunds.create_async({"payment_intent": made.id, "amount": 500})
    assert (refund.status, refund.amount, refund.payment_intent) == ("succeeded", 500, made.id)
    charge = await shop.client.v1.charges.retrieve_async(str(made.latest_charge), {"expand": ["refunds"]})
    assert charge.amount_refunded == 500
    assert charge.refunds is not None
    assert [each.id for each in charge.refunds.data] == [refund.id]
    assert (await shop.client.v1.refunds.list_async({"charge": charge.id})).data[0].id == refund.id
    balance = await shop.client.v1.balance.retrieve_async()
    assert balance.object == "balance"


async def test_cancel_of_a_paid_intent_is_an_invalid_request(shop: Shop) -> None:
    made = await shop.client.v1.payment_intents.create_async(pay())
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await shop.client.v1.payment_intents.cancel_async(made.id)
    assert (caught.value.http_status, caught.value.code) == (400, "payment_intent_unexpected_state")


async def test_intent_is_changed_confirmed_and_canceled_by_the_client(shop: Shop) -> None:
    intents = shop.client.v1.payment_intents
    made = await intents.create_async({"amount": 500, "currency": "usd", "metadata": {"a": "1", "b": "2"}})
    changed = await intents.update_async(
        made.id, {"amount": 700, "metadata": {"a": ""}, "description": "Tea"}
    )
    assert (changed.amount, changed.metadata.to_dict(), changed.description) == (700, {"b": "2"}, "Tea")
    canceled = await intents.cancel_async(made.id, {"cancellation_reason": "abandoned"})
    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "abandoned")
    found = await intents.search_async({"query": "status:'canceled' AND metadata['b']:'2'"})
    assert [each.id for each in found.data] == [made.id]
    assert (await intents.search_async({"query": "metadata['b']:'3'"})).data == []


async def test_card_given_in_a_request_goes_into_the_vault_and_is_never_shown(shop: Shop) -> None:
    card: Any = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2040, "cvc": "123"}
    made = await shop.client.v1.payment_methods.create_async(
        {"type": "card", "card": card, "billing_details": {"name": "A. Payer"}}
    )
    assert made.card is not None
    assert (made.card.last4, made.card.brand, made.card.iin) == ("4242", "visa", "424242")
    assert "4242424242424242" not in str(made)
    paid = await shop.client.v1.payment_intents.create_async(pay(payment_method=made.id))
    assert paid.status == "succeeded"


async def test_token_of_a_card_pays_once_named(shop: Shop) -> None:
    card: Any = {"number": "5555555555554444", "exp_month": "12", "exp_year": "2040", "cvc": "123"}
    token = await shop.client.v1.tokens.create_async({"card": card})
    assert token.id.startswith("tok_")
    body: Any = {name: value for name, value in PAY.items() if name != "payment_method"}
    body["payment_method_data"] = {"type": "card", "card": {"token": token.id}}
    paid = await shop.client.v1.payment_intents.create_async(body)
    assert paid.status == "succeeded"


async def test_card_that_cannot_exist_is_a_card_error(shop: Shop) -> None:
    card: Any = {"number": "4242424242424241", "exp_month": 12, "exp_year": 2040}
    with pytest.raises(stripe.CardError) as caught:
        await shop.client.v1.payment_methods.create_async({"type": "card", "card": card})
    assert (caught.value.code, caught.value.param) == ("incorrect_number", "number")


@pytest.mark.parametrize("field", ["description", "metadata[note]"])
async def test_card_number_in_another_field_is_refused(shop: Shop, field: str) -> None:
    answer = await shop.send("POST", "/payment_intents", data={**PARSED, field: "call 4242 4242 4242 4242"})
    error = await error_of(answer)
    assert (answer.status_code, error["code"], error["param"]) == (400, "card_data_not_allowed_here", field)
    assert "4242" not in answer.text


async def test_customers_methods_setups_and_mandates_by_the_client(shop: Shop) -> None:
    v1 = shop.client.v1
    customer = await v1.customers.create_async(
        {"email": "mei@example.com", "name": "Mei", "address": {"city": "Linz", "state": "OÖ"}}
    )
    assert customer.address is not None
    assert (customer.email, customer.address.state) == ("mei@example.com", "OÖ")
    method = await v1.payment_methods.create_async(
        {"type": "card", "card": {"number": "4242424242424242", "exp_month": 1, "exp_year": 2041}}
    )
    method = await v1.payment_methods.attach_async(method.id, {"customer": customer.id})
    assert method.customer == customer.id
    kept = await v1.customers.payment_methods.list_async(customer.id)
    assert [each.id for each in kept.data] == [method.id]
    changed = await v1.customers.update_async(customer.id, {"name": "", "metadata": {"a": "1"}})
    assert (changed.name, changed.metadata.to_dict() if changed.metadata else None) == (None, {"a": "1"})
    setup = await v1.setup_intents.create_async(
        {"customer": customer.id, "payment_method": method.id, "confirm": True}
    )
    assert setup.object == "setup_intent"
    read = await v1.setup_intents.retrieve_async(setup.id, {"expand": ["customer", "payment_method"]})
    assert isinstance(read.customer, stripe.Customer)
    assert isinstance(read.payment_method, stripe.PaymentMethod)
    assert (await v1.payment_methods.detach_async(method.id)).customer is None
    gone = await v1.customers.delete_async(customer.id)
    assert (gone.id, gone.deleted) == (customer.id, True)
    assert (await v1.customers.retrieve_async(customer.id)).deleted is True


async def test_links_and_sessions_by_the_client(shop: Shop) -> None:
    v1 = shop.client.v1
    items: Any = [
        {
            "price_data": {"currency": "cny", "unit_amount": 300, "product_data": {"name": "Tea"}},
            "quantity": 2,
        }
    ]
    link = await v1.payment_links.create_async({"line_items": items})
    assert link.url == f"{CASHIER}/l/{link.id}"
    assert (await v1.payment_links.update_async(link.id, {"active": False})).active is False
    lines = await v1.payment_links.line_items.list_async(link.id)
    assert [(line.description, line.amount_total) for line in lines.data] == [("Tea", 600)]
    session = await v1.checkout.sessions.create_async(
        {"mode": "payment", "line_items": items, "success_url": "https://example.com/ok"}
    )
    assert (session.amount_total, session.status, session.payment_status) == (600, "open", "unpaid")
    full = await v1.checkout.sessions.retrieve_async(session.id, {"expand": ["line_items"]})
    assert full.line_items is not None
    assert full.line_items.data[0].quantity == 2
    assert (await v1.checkout.sessions.expire_async(session.id)).status == "expired"


async def test_link_whose_payer_chooses_the_sum_by_the_client(shop: Shop) -> None:
    v1 = shop.client.v1
    custom = {"enabled": True, "minimum": 500, "maximum": 20_000, "preset": 2_000}
    price = {"currency": "cny", "product_data": {"name": "Gift"}}
    order: Any = {"line_items": [{"price_data": {**price, "custom_unit_amount": custom}, "quantity": 1}]}
    link = await v1.payment_links.create_async(order)
    (line,) = (await v1.payment_links.line_items.list_async(link.id)).data
    assert line["custom_unit_amount"].to_dict() == {"maximum": 20_000, "minimum": 500, "preset": 2_000}
    for wrong in (price, {**price, "unit_amount": 5, "custom_unit_amount": custom}):
        both: Any = {"line_items": [{"price_data": wrong, "quantity": 1}]}
        with pytest.raises(stripe.InvalidRequestError) as refused:
            await v1.payment_links.create_async(both)
        assert refused.value.param == "line_items[0][price_data][unit_amount]"


async def test_webhook_endpoints_and_account_by_the_client(shop: Shop) -> None:
    v1 = shop.client.v1
    made = await v1.webhook_endpoints.create_async({"url": "https://example.com/h", "enabled_events": ["*"]})
    assert made.secret is not None
    assert made.secret.startswith("whsec_")
    assert not hasattr(await v1.webhook_endpoints.retrieve_async(made.id), "secret")
    off = await v1.webhook_endpoints.update_async(made.id, {"disabled": True, "metadata": {"a": "1"}})
    assert (off.status, off.metadata.to_dict()) == ("disabled", {"a": "1"})
    assert [each.id for each in (await v1.webhook_endpoints.list_async()).data] == [made.id]
    assert (await v1.webhook_endpoints.delete_async(made.id)).deleted is True
    assert (await v1.accounts.retrieve_current_async()).country == "CN"
    assert (await v1.events.list_async()).data == []


async def test_same_key_and_parameters_give_the_same_answer_as_form_or_json(shop: Shop) -> None:
    headers = {"Idempotency-Key": "order-1"}
    first = await shop.send("POST", "/payment_intents", json=PAY, headers=headers)
    form = {name: str(value).lower() for name, value in reversed(PAY.items())}
    again = await shop.send("POST", "/payment_intents", data=form, headers=headers)
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.content == first.content
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Idempotency-Key"] == "order-1"
    assert first.headers["Request-Id"] != again.headers["Request-Id"]
    assert len(shop.channel.asked("authorize")) == 1


async def test_same_key_with_other_parameters_is_an_idempotency_error(shop: Shop) -> None:
    options: Any = {"idempotency_key": "order-2"}
    await shop.client.v1.payment_intents.create_async({"amount": 100, "currency": "cny"}, options)
    with pytest.raises(stripe.IdempotencyError):
        await shop.client.v1.payment_intents.create_async({"amount": 101, "currency": "cny"}, options)


async def test_replayed_decline_is_the_same_decline(shop: Shop) -> None:
    shop.channel.reply(
        "authorize", Answer(outcome=Outcome.DECLINED, code="51", reason=Reason.INSUFFICIENT_FUNDS)
    )
    headers = {"Idempotency-Key": "order-3"}
    first = await shop.send("POST", "/payment_intents", json=PAY, headers=headers)
    again = await shop.send("POST", "/payment_intents", json=PAY, headers=headers)
    assert (first.status_code, again.status_code) == (402, 402)
    assert first.content == again.content


async def test_same_key_for_a_customer_makes_one(shop: Shop) -> None:
    options: Any = {"idempotency_key": "customer-1"}
    made = [
        await shop.client.v1.customers.create_async({"email": "a@example.com"}, options) for _ in range(2)
    ]
    assert made[0].id == made[1].id
    assert len((await shop.client.v1.customers.list_async({"email": "a@example.com"})).data) == 1


async def test_refused_parameters_do_not_use_the_key_up(shop: Shop) -> None:
    headers = {"Idempotency-Key": "order-4"}
    refused = await shop.send("POST", "/payment_intents", json={**PAY, "amount": "x"}, headers=headers)
    made = await shop.send("POST", "/payment_intents", json=PAY, headers=headers)
    assert (refused.status_code, made.status_code) == (400, 200)


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "code", "param"),
    [
        ("GET", "/nothing", {}, 404, "route_unknown", None),
        ("PUT", "/customers", {}, 405, "method_not_allowed", None),
        ("GET", "/payment_intents/pi_1", {}, 404, "resource_missing", "id"),
        ("GET", "/payment_intents/pi_0000000000000000000000000a", {}, 404, "resource_missing", None),
        ("GET", "/customers/cus_0000000000000000000000000a", {}, 404, "resource_missing", None),
        ("GET", "/payment_intents", {"params": {"limit": "101"}}, 400, "parameter_out_of_range", "limit"),
        ("GET", "/payment_intents", {"params": {"x": "1"}}, 400, "parameter_unknown", "x"),
        ("GET", "/payment_intents", {"params": {"expand[]": "data.x"}}, 400, "expand_invalid", "expand[data.x]"),
        ("GET", "/payment_intents/search", {"params": {"query": "a OR b"}}, 400, "query_invalid", "query"),
        ("POST", "/payment_intents", {"data": {"amount": "1"}}, 400, "parameter_missing", "currency"),
        ("POST", "/payment_intents?a=1", {"data": PARSED}, 400, "parameters_malformed", None),
        ("POST", "/payment_intents", {"data": {**PARSED, "off_session": "true"}}, 400, "parameter_missing", "confirm"),
        ("POST", "/payment_intents", {"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "parameters_malformed", None),
        ("POST", "/payment_intents", {"content": b"a" * (BODY_BYTES_MAX + 1)}, 413, "body_too_large", None),
        ("POST", "/payment_intents", {"content": b"x", "headers": {"Content-Type": "text/xml"}}, 415, "content_type_wrong", None),
        ("POST", "/customers", {"headers": {"Idempotency-Key": "k" * 256}}, 400, "idempotency_key_invalid", None),
        ("POST", "/customers", {"headers": {"Stripe-Version": "newest"}}, 400, "api_version_invalid", None),
        ("GET", "/customers", {"headers": {"Authorization": ""}}, 401, "api_key_missing", None),
        ("GET", "/customers", {"headers": {"Authorization": "Bearer sk_test_x"}}, 401, "api_key_invalid", None),
        ("POST", "/refunds", {"data": {"amount": "1"}}, 400, "parameter_missing", "payment_intent"),
    ],
)  # fmt: skip
async def test_request_that_is_wrong_is_told_what_is_wrong(
    shop: Shop, method: str, path: str, options: Any, status: int, code: str, param: str | None
) -> None:
    answer = await shop.send(method, path, **options)
    error = await error_of(answer)
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param)
    assert error["type"] == "invalid_request_error"
    assert answer.headers["Request-Id"].startswith("req_")
    assert answer.headers["Cache-Control"] == "no-store"


async def test_key_opens_what_it_lists_and_nothing_else(shop: Shop) -> None:
    restricted = await shop.new_key(KeyKind.RESTRICTED, Permission.PAYMENTS_READ)
    client = shop.client_with(restricted)
    assert (await client.v1.payment_intents.list_async()).data == []
    with pytest.raises(stripe.PermissionError) as caught:
        await client.v1.customers.list_async()
    assert caught.value.http_status == 403
    with pytest.raises(stripe.AuthenticationError):
        await shop.client_with("sk_test_wrong").v1.customers.list_async()


async def test_expansion_shows_nothing_that_the_key_could_not_read(shop: Shop) -> None:
    customer = await shop.client.v1.customers.create_async({"email": "a@example.com"})
    made = await shop.client.v1.payment_intents.create_async(
        {"amount": 100, "currency": "cny", "customer": customer.id}
    )
    client = shop.client_with(await shop.new_key(KeyKind.RESTRICTED, Permission.PAYMENTS_READ))
    assert (await client.v1.payment_intents.retrieve_async(made.id)).customer == customer.id
    with pytest.raises(stripe.PermissionError):
        await client.v1.payment_intents.retrieve_async(made.id, {"expand": ["customer"]})


async def test_write_whose_expansion_is_not_permitted_does_nothing(shop: Shop) -> None:
    both = (Permission.PAYMENTS_READ, Permission.PAYMENTS_WRITE)
    client = shop.client_with(await shop.new_key(KeyKind.RESTRICTED, *both))
    with pytest.raises(stripe.PermissionError):
        await client.v1.payment_intents.create_async(pay(expand=["customer"]))
    assert shop.channel.asked("authorize") == []
    made = await client.v1.payment_intents.create_async(pay(expand=["latest_charge"]))
    assert isinstance(made.latest_charge, stripe.Charge)


async def test_requests_past_the_rate_are_told_to_wait(shop: Shop) -> None:
    slow = Api(shop.services, Limits(Rates(test_writes=1), seconds=lambda: 0.0))
    transport = httpx.ASGITransport(Starlette(routes=[Mount("/v1", app=slow)]))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        headers = {"Authorization": f"Bearer {shop.key}"}
        answers = [await http.post("/v1/customers", headers=headers) for _ in range(2)]
        read = await http.get("/v1/customers", headers=headers)
    assert [answer.status_code for answer in answers] == [200, 429]
    assert answers[1].headers["Retry-After"] == "1"
    assert (await error_of(answers[1]))["code"] == "rate_limit"
    assert read.status_code == 200


async def test_bug_is_a_bare_500_that_is_logged(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_params: object) -> None:
        raise RuntimeError("secret of the house")

    faulty = Api(dataclasses.replace(shop.services, scan=broken))
    transport = httpx.ASGITransport(Starlette(routes=[Mount("/v1", app=faulty)]))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        answer = await http.get("/v1/customers", headers={"Authorization": f"Bearer {shop.key}"})
    error = await error_of(answer)
    assert (answer.status_code, error["type"], error["code"]) == (500, "api_error", "internal")
    assert "secret" not in answer.text
    assert "unexpected error" in caplog.text


async def test_publishable_key_makes_methods_only(shop: Shop) -> None:
    client = shop.client_with(await shop.new_key(KeyKind.PUBLISHABLE))
    card: Any = {"number": "4242424242424242", "exp_month": 1, "exp_year": 2041}
    assert (await client.v1.payment_methods.create_async({"type": "card", "card": card})).id
    with pytest.raises(stripe.PermissionError):
        await client.v1.payment_intents.create_async({"amount": 100, "currency": "cny"})


async def test_nothing_of_another_merchant_is_found(shop: Shop) -> None:
    foreign = shop.house.new_scope()
    order = IntentOrder(amount_minor=100, currency="CNY")
    done = await shop.house.payments.intents.create(foreign, order)
    assert done.view is not None
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await shop.client.v1.payment_intents.retrieve_async(done.view.intent.reference)
    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")


async def test_basic_authentication_and_version_are_taken(shop: Shop) -> None:
    answer = await shop.http.get("/v1/balance", auth=(shop.key, ""), headers={"Stripe-Version": "2020-08-27"})
    assert (answer.status_code, answer.headers["Stripe-Version"]) == (200, "2020-08-27")


async def test_document_is_served_without_a_key(shop: Shop) -> None:
    answer = await shop.http.get("/v1/openapi.json")
    assert answer.json()["openapi"] == "3.1.0"


async def test_ten_requests_with_one_key_at_once_are_one_payment(shop: Shop) -> None:
    answers = await asyncio.gather(
        *(
            shop.send("POST", "/payment_intents", json=PAY, headers={"Idempotency-Key": "at-once"})
            for _ in range(10)
        )
    )
    assert {answer.status_code for answer in answers} <= {200, 409}
    made = {answer.json()["id"] for answer in answers if answer.status_code == 200}
    assert len(made) == 1
    assert len(shop.channel.asked("authorize")) == 1


async def test_pages_follow_each_other_without_gaps(shop: Shop) -> None:
    intents = shop.client.v1.payment_intents
    made = [(await intents.create_async({"amount": 100 + at, "currency": "cny"})).id for at in range(5)]
    first = await intents.list_async({"limit": 2})
    assert first.has_more
    everything = [each.id async for each in first.auto_paging_iter()]
    assert everything == list(reversed(made))
    before = await intents.list_async({"limit": 2, "ending_before": made[0]})
    assert [each.id for each in before.data] == [made[2], made[1]]


async def test_dispute_is_answered_and_closed_by_the_client(shop: Shop) -> None:
    paid = await shop.client.v1.payment_intents.create_async(pay())
    charge_id = parse_uuid("ch", str(paid.latest_charge))
    attempt = await shop.house.payments.intents.attempt(shop.scope, charge_id)
    for name in ("one", "two"):
        told = Notification(
            kind=NotificationKind.DISPUTE,
            event_id=name,
            reference=attempt.reference,
            answer=Answer(outcome=Outcome.APPROVED, amount_minor=900, currency="CNY"),
            dispute_reference=name,
            dispute_status="needs_response",
            reason_code="10.4",
            respond_by=shop.house.clock.now() + timedelta(days=7),
        )
        await shop.house.payments.disputes.heard(attempt, told)
    disputes = shop.client.v1.disputes
    newest, oldest = (await disputes.list_async({"payment_intent": paid.id, "expand": ["data.charge"]})).data
    assert isinstance(newest.charge, stripe.Charge)
    assert (newest.amount, newest.status, newest.evidence_details.past_due) == (900, "needs_response", False)
    draft = await disputes.update_async(newest.id, {"evidence": {"receipt": "r1"}, "submit": False})
    assert (draft.status, draft.evidence.receipt) == ("needs_response", "r1")
    handed_in = await disputes.update_async(newest.id, {"evidence": {"uncategorized_text": "it was them"}})
    assert (handed_in.status, handed_in.evidence_details.submission_count) == ("under_review", 1)
    assert (await disputes.close_async(oldest.id)).status == "lost"
    assert (await disputes.retrieve_async(newest.id)).network_reason_code == "10.4"


async def test_events_tell_what_happened_with_the_request_that_did_it(shop: Shop) -> None:
    house = shop.house
    relay = Relay(house.database, house.clock, Metrics())
    await relay.prepare()
    options: Any = {"idempotency_key": "order-7"}
    made = await shop.client.v1.payment_intents.create_async({"amount": 100, "currency": "cny"}, options)
    await shop.client.v1.payment_intents.cancel_async(made.id)
    await relay.place_all()
    projection = Delivery(
        house.database, event_projection(house.clock), house.clock, house.ids, Metrics(), lease_s=1
    )
    while await projection.step():
        pass
    listed = await shop.client.v1.events.list_async({"types": ["payment_intent.*"]})
    assert [each.type for each in listed.data] == ["payment_intent.canceled", "payment_intent.created"]
    created = await shop.client.v1.events.retrieve_async(listed.data[1].id)
    assert (created.data.object["id"], created.data.object["status"]) == (made.id, "requires_payment_method")
    assert created.request is not None
    assert created.request.idempotency_key == "order-7"
    assert (await shop.client.v1.events.list_async({"type": "charge.succeeded"})).data == []
