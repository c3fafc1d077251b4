"""Orders planned as payments: stores as merchants, customers as payers with a card each, days, and when they are.

Ids of a house begin in 2020, so an older history is moved on by whole weeks: weekdays stay what they were. Pure, chance follows
from the seed and a name: equal files make equal payers.
"""

import random
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from itertools import groupby, islice

import msgspec

from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import INT_EPOCH
from tongbao.simulator.city.cards import own_card
from tongbao.simulator.city.schema import Card, Shop, ShopKind
from tongbao.simulator.histories.schema import Order

WEEK = timedelta(weeks=1)
GROCERY_MCC = "5411"
COUNTRIES = {"CNY": "CN", "EUR": "DE", "GBP": "GB", "HKD": "HK", "JPY": "JP", "SGD": "SG", "USD": "US"}
"""Where a merchant is at home whose file is in a currency; elsewhere the first two letters of the code say it."""


class Household(msgspec.Struct, frozen=True):
    """A payer: one card, one device and one address, all invented (mailboxes of RFC 2606, addresses of RFC 3849)."""

    email: str
    device: str
    address: str
    card: Card


def household(customer: str, seed: int, year: int) -> Household:
    """Return the payer that a customer of a file is; ``year`` is the last one in which the card is used."""
    digest = blake2b(f"{seed}/{customer}".encode(), digest_size=12).hexdigest()
    return Household(
        email=f"household.{digest}@example.com",
        device=f"till-{digest}",
        address=f"2001:db8:{digest[:4]}:{digest[4:8]}::1",
        card=own_card(random.Random(f"{seed}/{customer}"), year),
    )


def merchant(number: int, store: str, currency: str) -> Shop:
    """Return the merchant that a store of a file is."""
    return Shop(
        number=number,
        name=f"Store {store}",
        display_name=f"STORE {store}",
        kind=ShopKind.GROCERY,
        district=0,
        mcc=GROCERY_MCC,
        country=COUNTRIES.get(currency, currency[:2]),
        currency=currency,
        hours=((0, 24 * 60),) * 7,
        ticket_minor=1,
        spread=0.0,
        refund_share=0.0,
        dispute_share=0.0,
        goods=(),
    )


def moved_by(first_at: datetime, began_on: date | None) -> timedelta:
    """Return by how much every instant of a history that begins at ``first_at`` is moved.

    ``began_on``: the first day, UTC. Without it a history stays where it is, or comes just so many weeks later that its ids
    can be made. Raises InvalidRequest ``history_began_invalid`` for a day before that.
    """
    if began_on is not None:
        moved = timedelta(days=(began_on - first_at.date()).days)
        if first_at + moved < INT_EPOCH + timedelta(days=1):
            raise InvalidRequest("history_began_invalid", f"a house lives from {INT_EPOCH:%Y-%m-%d} on")
        return moved
    missing = INT_EPOCH + WEEK - first_at
    return -(-missing // WEEK) * WEEK if missing > timedelta(0) else timedelta(0)


def days(
    orders: Iterable[Order], moved: timedelta, at_most: int | None
) -> Iterator[tuple[date, list[Order]]]:
    """Yield orders by their day, UTC, moved in time; the first ``at_most`` of them."""
    later = (order._replace(at=order.at + moved) for order in islice(orders, at_most))
    for day, of_day in groupby(later, key=lambda order: order.at.astimezone(UTC).date()):
        yield day, list(of_day)
