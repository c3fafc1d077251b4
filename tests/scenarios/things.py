"""One of each kind of object that the interface names by an id, made by a merchant on demand."""

from collections.abc import Callable
from typing import Any

from tests.scenarios.running_house import Outside, Shop, wait_for

ITEMS = [
    {
        "price_data": {"currency": "cny", "unit_amount": 2_900, "product_data": {"name": "Longjing 龙井"}},
        "quantity": 2,
    }
]
HOOK = {"url": "https://shop.example.com/hook", "enabled_events": ["customer.created"]}


def disputed(shop: Shop, outside: Outside, amount: int) -> tuple[Any, Any, str]:
    """Return a payment, its dispute as it is told here, and the acquirer's id of it."""
    intent = shop.pay(amount)
    opened = outside.tell("disputes", {"reference": channel_reference(intent)})
    dispute = wait_for(
        lambda: next(iter(shop.v1.disputes.list({"payment_intent": intent.id}).data), None), "the dispute"
    )
    return intent, dispute, opened["reference"]


def channel_reference(intent: Any) -> str:
    """Return what the channel knows the latest attempt of an intent by."""
    return str(intent.latest_charge).replace("ch_", "pa_")


def thing(shop: Shop, outside: Outside, collection: str) -> str:
    """Make an object of a collection, named as in paths; return its id."""
    v1 = shop.v1
    makers: dict[str, Callable[[], Any]] = {
        "payment_intents": lambda: shop.pay(2_000, capture_method="manual").id,
        "charges": lambda: shop.pay(2_000).latest_charge,
        "refunds": lambda: v1.refunds.create({"payment_intent": shop.pay(2_000).id, "amount": 500}).id,
        "disputes": lambda: disputed(shop, outside, 2_000)[1].id,
        "customers": lambda: v1.customers.create({"name": "Somebody"}).id,
        "payment_methods": lambda: v1.payment_methods.create({"type": "alipay"}).id,
        "setup_intents": lambda: v1.setup_intents.create({"payment_method": "pm_card_visa"}).id,
        "mandates": lambda: _mandate(shop),
        "payment_links": lambda: v1.payment_links.create({"line_items": ITEMS}).id,
        "checkout/sessions": lambda: (
            v1.checkout.sessions.create(
                {"mode": "payment", "line_items": ITEMS, "success_url": HOOK["url"]}
            ).id
        ),
        "events": lambda: wait_for(lambda: _event(shop), "an event"),
        "webhook_endpoints": lambda: v1.webhook_endpoints.create(HOOK).id,
        "balance_transactions": lambda: (
            v1.charges.retrieve(shop.pay(2_000).latest_charge).balance_transaction
        ),
    }
    return str(makers[collection]())


def _mandate(shop: Shop) -> str:
    customer = shop.v1.customers.create({"name": "Member"})
    order = {"customer": customer.id, "payment_method": "pm_card_visa", "confirm": True}
    return str(shop.v1.setup_intents.create(order).mandate)


def _event(shop: Shop) -> str | None:
    found = shop.v1.events.list({"limit": 1}).data
    return found[0].id if found else None
