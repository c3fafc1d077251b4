"""Clearing over a real database, ledger and payments; only the channels' other side is scripted, and prices are a few lines."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, time, timedelta
from uuid import UUID

from tests.payments.conftest import House, open_house

from tongbao.channels.ports import Channel
from tongbao.clearing.policy.fees import Schedule
from tongbao.clearing.policy.pricing import Seller
from tongbao.clearing.schema.agreements import Agreement, Cycle
from tongbao.clearing.schema.batches import Batch, BatchState
from tongbao.clearing.schema.fees import Charge, Match, OnRefund, ScheduleSpec, Tier
from tongbao.clearing.service.clearing import Clearing
from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.errors import NotFound
from tongbao.core.events.delivery import Delivery
from tongbao.core.events.relay import Relay
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.ledger.schema import BookId
from tongbao.ledger.service.ledger import Ledger
from tongbao.ledger.service.reading import unbalanced

HOURLY = Agreement(
    cycle=Cycle.D, days=0, cuts=tuple(time(hour) for hour in range(24)), zone="UTC", calendars=()
)
"""A cut every hour, paid on the day: tests need not wait."""
PLAIN = ScheduleSpec(
    charges=(
        Charge(
            name="processing",
            tiers=(Tier(rate_e6=10_000, fixed_minor={"CNY": 10}),),
            tax_name="VAT",
            tax_e6=60_000,
            on_refund=OnRefund.RETURNED,
        ),
        Charge(
            name="refund_handling",
            match=Match(kinds=("refund",), currencies=("CNY",)),
            tiers=(Tier(fixed_minor={"CNY": 5}),),
        ),
    )
)
"""1 % and 0.10, with 6 % tax, given back with the payment; a refund costs 0.05."""


class Lists:
    """Price lists in memory: one version each, for ever."""

    def __init__(self, specs: Mapping[str, ScheduleSpec] | None = None) -> None:
        self.specs = dict({"house": PLAIN} if specs is None else specs)
        self._made: dict[str, Schedule] = {}

    async def at(self, name: str, instant: datetime) -> Schedule:
        """Return the list of this name."""
        if name not in self.specs:
            raise NotFound("schedule_unknown", f"no schedule {name}")
        return self._made.setdefault(name, Schedule(name, 1, self.specs[name]))


class Sellers:
    """Every merchant is the same."""

    async def seller(self, book_id: int) -> Seller:
        """Return a tea house."""
        return Seller("CN", "basic", "5499")


class Shop:
    """A merchant's house with clearing over it."""

    def __init__(self, house: House, clearing: Clearing) -> None:
        self.house = house
        self.clearing = clearing
        self.book_id = house.scope.book_id
        self._relay = Relay(house.database, house.clock, house.metrics)
        self._delivery = Delivery(
            house.database, clearing.recording.subscription(), house.clock, house.ids, house.metrics
        )

    async def agree(self, agreement: Agreement, currency: str = "CNY") -> None:
        """Agree on something from now on."""
        await self.clearing.agreements.make(
            self.book_id, currency, agreement, actor="person:test", note="for a test"
        )

    async def record(self) -> None:
        """Let everything that was committed be recorded."""
        await self._relay.prepare()
        await self._relay.place_all()
        for _ in range(1_000):
            if not await self._delivery.step():
                return
        raise AssertionError("recording never came to its end")

    async def close(self) -> None:
        """Hand the place of the recording back."""
        await self._delivery.close()

    async def pass_hour(self) -> None:
        """Record everything, let the next hour begin, and settle all that is due."""
        await self.record()
        self.house.clock.advance(timedelta(hours=1, seconds=10))
        await self.settle()

    async def settle(self) -> None:
        """Cut, price and approve until nothing is to be done."""
        for _ in range(100):
            if not await self.clearing.settling.step(self.book_id):
                return
        raise AssertionError("settling never came to its end")

    async def batches(self) -> list[Batch]:
        """The batches of the merchant, oldest cut first."""
        return (await self.clearing.settling.page(self.book_id))[::-1]

    async def balance(self, code: str, currency: str = "CNY") -> int:
        """The balance of an account as an accountant writes it; 0 where it was never opened."""
        return await balance(self.house.ledger, self.book_id, code, currency)

    async def check(self) -> None:
        """Compare the accounts of every currency with movements, batches and reserves."""
        await check_money(self.house.ledger, self.clearing, self.book_id)


async def balance(ledger: Ledger, book_id: int, code: str, currency: str) -> int:
    """The balance of an account as an accountant writes it; 0 where it was never opened."""
    try:
        account = await ledger.accounts.account_by_code(BookId(book_id), code, currency)
    except NotFound:
        return 0
    return account.natural_minor


async def check_money(ledger: Ledger, clearing: Clearing, book_id: int) -> None:
    """Compare the accounts of a book with its movements, batches and reserves, and the batches with each other."""
    assert unbalanced(await ledger.reading.trial_balance(BookId(book_id))) == {}
    unpriced = await clearing.recording.unpriced(book_id)
    batches = (await clearing.settling.page(book_id))[::-1]
    for currency in {"CNY", *unpriced}:
        mine = [each for each in batches if each.currency == currency and each.state is not BatchState.CUT]
        carried = await clearing.settling.carried_minor(book_id, currency, live=False)
        held = sum(each.totals.reserve_held_minor + each.totals.reserve_released_minor for each in mine)
        expected = {
            "in_transit": unpriced.get(currency, 0),
            "available": sum(each.paid_minor for each in mine) + max(carried, 0),
            "merchant_debt": max(-carried, 0),
            "merchant_reserve": -held,
            "fee_revenue": -sum(each.totals.fees_minor + each.totals.tax_minor for each in mine),
            "fee_revenue/tax": sum(each.totals.tax_minor for each in mine),
        }
        found = {code: await balance(ledger, book_id, code, currency) for code in expected}
        assert found == expected
        check_chain(mine)


def check_chain(batches: list[Batch]) -> None:
    """Assert that each batch begins with what the one before left, and that paid and carried make its net."""
    carried = 0
    for batch in batches:
        assert batch.totals.brought_minor == carried
        assert batch.paid_minor + batch.carried_minor == batch.totals.net_minor
        carried = batch.carried_minor


@contextlib.asynccontextmanager
async def open_shop(
    database: Database, ids: IdFactory, *, lists: Lists | None = None, channels: tuple[Channel, ...] = ()
) -> AsyncIterator[Shop]:
    """A fresh merchant on the file's tables."""
    async with (
        open_house(database, ids, channels=channels) as house,
        open_clearing(database, house.ledger, house.clock, house.metrics, lists) as clearing,
    ):
        # From the same minute of an hour whenever tests run: what is cut when does not depend on the clock on the wall.
        house.clock.advance(timedelta(minutes=(80 - house.clock.now().minute) % 60))
        shop = Shop(house, clearing)
        try:
            yield shop
        finally:
            await shop.close()


@contextlib.asynccontextmanager
async def open_clearing(
    database: Database, ledger: Ledger, clock: Clock, metrics: Metrics, lists: Lists | None = None
) -> AsyncIterator[Clearing]:
    """Clearing with the plain prices unless others are given."""
    async with Clearing(
        database, ledger, clock, metrics, prices=lists or Lists(), sellers=Sellers()
    ) as clearing:
        yield clearing


async def priced_of(shop: Shop, batch: Batch, movement_ids: list[UUID]) -> int:
    """The sum of what movements come to by their own rows."""
    rows = await shop.clearing.settling.priced(shop.book_id, movement_ids)
    assert {row.batch_id for row in rows.values()} == {batch.id}
    return sum(row.net_minor for row in rows.values())
