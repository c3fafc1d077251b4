"""Events and the checkout by the official client: webhooks that verify, links, sessions."""

from collections.abc import Iterator

import pytest
import standardwebhooks
import stripe
from tests.scenarios.running_house import Delivery, Outside, Receiver, RunningHouse, Shop, wait_for
from tests.scenarios.things import ITEMS, channel_reference


@pytest.fixture
def outside(house: RunningHouse) -> Outside:
    return house.outside


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def told(receiver: Receiver, kind: str, object_id: str) -> Delivery:
    """Return the webhook of a type about an object, once it has come."""
    return wait_for(lambda: receiver.of_type(kind, object_id), kind)


def test_webhooks_come_signed_twice_and_tampering_shows(tea: Shop, receiver: Receiver) -> None:
    endpoint = tea.v1.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["*"]})
    try:
        intent = tea.pay(2_600)
        delivery = told(receiver, "payment_intent.succeeded", intent.id)
        signature = delivery.headers["stripe-signature"]
        event = stripe.Webhook.construct_event(delivery.body, signature, endpoint.secret)
        assert (event.type, event.data.object["id"]) == ("payment_intent.succeeded", intent.id)
        assert event.data.object["amount_received"] == 2_600
        tampered = delivery.body.replace(b"2600", b"9600")
        assert tampered != delivery.body
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(tampered, signature, endpoint.secret)
        judge = standardwebhooks.Webhook(endpoint.secret)
        assert judge.verify(delivery.body, delivery.headers)["id"] == event.id
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            judge.verify(tampered, delivery.headers)
        assert tea.v1.events.retrieve(event.id).data.object.id == intent.id
    finally:
        tea.v1.webhook_endpoints.delete(endpoint.id)


def test_endpoint_hears_only_what_it_asked_for_and_stops_when_told(tea: Shop, receiver: Receiver) -> None:
    endpoints = tea.v1.webhook_endpoints
    made = endpoints.create(
        {"url": receiver.url, "enabled_events": ["charge.refunded"], "metadata": {"to": "books"}}
    )
    assert made.secret.startswith("whsec_")
    found = endpoints.retrieve(made.id)
    assert "secret" not in found.to_dict()
    intent = tea.pay(2_700)
    tea.v1.refunds.create({"payment_intent": intent.id})
    told(receiver, "charge.refunded", intent.latest_charge)
    assert {delivery.event["type"] for delivery in receiver.deliveries} == {"charge.refunded"}
    disabled = endpoints.update(made.id, {"disabled": True})
    assert disabled.status == "disabled"
    assert made.id in [each.id for each in endpoints.list().auto_paging_iter()]
    assert endpoints.delete(made.id).deleted is True
    with pytest.raises(stripe.InvalidRequestError) as gone:
        endpoints.retrieve(made.id)
    assert gone.value.http_status == 404


def test_webhook_of_a_code_that_was_paid_comes(tea: Shop, outside: Outside, receiver: Receiver) -> None:
    endpoint = tea.v1.webhook_endpoints.create(
        {
            "url": receiver.url,
            "enabled_events": ["payment_intent.succeeded", "payment_intent.requires_action"],
        }
    )
    try:
        intent = tea.v1.payment_intents.create(
            {
                "amount": 4_700,
                "currency": "cny",
                "confirm": True,
                "payment_method_types": ["alipay"],
                "payment_method_data": {"type": "alipay"},
            }
        )
        told(receiver, "payment_intent.requires_action", intent.id)
        outside.pay(channel_reference(intent))
        delivery = told(receiver, "payment_intent.succeeded", intent.id)
        assert delivery.event["data"]["object"]["amount_received"] == 4_700
    finally:
        tea.v1.webhook_endpoints.delete(endpoint.id)


def test_events_tell_a_payment_in_order(tea: Shop) -> None:
    intent = tea.v1.payment_intents.create({"amount": 1_100, "currency": "cny"})
    tea.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})

    def of_the_intent() -> list[stripe.Event] | None:
        page = tea.v1.events.list(
            {"limit": 100, "types": ["payment_intent.created", "payment_intent.succeeded"]}
        )
        found = [event for event in page.data if event.data.object["id"] == intent.id]
        return found if len(found) == 2 else None

    succeeded, created = wait_for(of_the_intent, "the events")
    assert (created.type, succeeded.type) == ("payment_intent.created", "payment_intent.succeeded")
    assert created.data.object["status"] == "requires_payment_method"
    assert tea.v1.events.retrieve(succeeded.id).type == "payment_intent.succeeded"


def test_link_is_made_changed_and_listed(tea: Shop) -> None:
    links = tea.v1.payment_links
    made = links.create({"line_items": ITEMS, "metadata": {"shelf": "3"}})
    assert (made.active, made.currency) == (True, "cny")
    assert made.url.startswith(tea.base_url)
    items = links.line_items.list(made.id)
    assert [(each.description, each.quantity, each.amount_total) for each in items.data] == [
        ("Longjing 龙井", 2, 5_800)
    ]
    assert links.update(made.id, {"active": False}).active is False
    assert made.id in [each.id for each in links.list({"active": False, "limit": 100}).data]
    assert links.retrieve(made.id, {"expand": ["line_items"]}).line_items.data[0].amount_total == 5_800


def test_checkout_session_is_opened_read_expired_and_listed(tea: Shop) -> None:
    sessions = tea.v1.checkout.sessions
    made = sessions.create(
        {
            "mode": "payment",
            "line_items": ITEMS,
            "success_url": "https://shop.example/ok",
            "client_reference_id": "o-9",
        }
    )
    assert (made.status, made.payment_status, made.amount_total, made.currency) == (
        "open",
        "unpaid",
        5_800,
        "cny",
    )
    assert made.url.startswith(tea.base_url)
    assert sessions.retrieve(made.id).client_reference_id == "o-9"
    expired = sessions.expire(made.id)
    assert (expired.status, expired.url) == ("expired", None)
    with pytest.raises(stripe.InvalidRequestError):
        sessions.expire(made.id)
    assert made.id in [each.id for each in sessions.list({"status": "expired", "limit": 100}).data]
    assert sessions.line_items.list(made.id).data[0].amount_total == 5_800
