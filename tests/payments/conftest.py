"""Payments over a real database and a real ledger; only the channels' other side is scripted."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from tests.payments.scripted import ScriptedChannel
from tongbao.channels.schema import Card, Merchant
from tongbao.channels.service.registry import Channels
from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.ledger.schema import BookId
from tongbao.ledger.service.ledger import Ledger
from tongbao.parties.schema import MerchantId, Scope
from tongbao.payments.service.plain_hooks import FirstChannel, OneProfile, PassRisk
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.orders import ConfirmOrder, IntentOrder, IntentView
from tongbao.payments.service.payments import Payments

CARD = Card(
    token="tok_test",  # noqa: S106 - a name, not a secret
    exp_month=12,
    exp_year=2030,
    brand="visa",
    card_bin="424242",
    last4="4242",
)


class House:
    """Payments with two scripted channels, a clock that the test moves, and a merchant's scope."""

    def __init__(
        self, payments: Payments, ledger: Ledger, clock: FrozenClock, ids: IdFactory, database: Database
    ) -> None:
        self.payments = payments
        self.ledger = ledger
        self.clock = clock
        self.ids = ids
        self.database = database
        self.scope = self.new_scope()

    def new_scope(self) -> Scope:
        """The scope of a merchant that nobody has seen before."""
        book_id = self.ids.int63()
        return Scope(
            merchant_id=MerchantId(book_id),
            book_id=book_id,
            live=False,
            actor="key:test",
            permissions=frozenset(),
        )

    def channel(self, name: str = "one") -> ScriptedChannel:
        """A channel by name: ``one`` comes first, ``two`` is what it falls back on."""
        found = self.payments.channels.get(name)
        assert isinstance(found, ScriptedChannel)
        return found

    async def pay(self, amount_minor: int = 1999, **fields: object) -> IntentView:
        """Create and confirm with a card at once."""
        confirm = fields.pop("confirm", ConfirmOrder(method=CARD))
        values: dict[str, object] = {"amount_minor": amount_minor, "currency": "cny", "confirm": confirm}
        done = await self.payments.intents.create(self.scope, IntentOrder(**(values | fields)))  # type: ignore[arg-type]
        assert done.view is not None
        return done.view

    async def intent(self, intent_id: UUID) -> Intent:
        """The intent as it stands."""
        return (await self.payments.intents.get(self.scope, intent_id)).intent

    async def balance(self, code: str, currency: str = "CNY") -> int:
        """Credits minus debits of an account of the merchant's book."""
        account = await self.ledger.accounts.account_by_code(BookId(self.scope.book_id), code, currency)
        return account.posted_minor

    async def pass_time(self, seconds: float) -> None:
        """Move the clock and let the resolver look at what is due, until nothing is."""
        self.clock.advance(timedelta(seconds=seconds))
        for _ in range(10):
            if not await self.payments.resolving.resolve_due():
                return


@pytest.fixture
async def house(database: Database, ids: IdFactory) -> AsyncIterator[House]:
    """A fresh merchant on shared tables, two channels, time standing still at the real instant."""
    async with open_house(database, ids) as opened:
        yield opened


def open_house(database: Database, ids: IdFactory) -> "_Opening":
    return _Opening(database, ids)


class _Opening:
    def __init__(self, database: Database, ids: IdFactory) -> None:
        self.database = database
        self.ids = ids

    async def __aenter__(self) -> House:
        clock = FrozenClock(datetime.now(UTC))
        metrics = Metrics()
        self.ledger = Ledger(self.database, clock, metrics, self.ids)
        await self.ledger.__aenter__()
        self.payments = Payments(
            self.database,
            self.ledger,
            Channels([ScriptedChannel("one"), ScriptedChannel("two")]),
            clock,
            self.ids,
            metrics,
            risk=PassRisk(),
            routing=FirstChannel(),
            profiles=OneProfile(Merchant(name="Tea House")),
        )
        return House(self.payments, self.ledger, clock, self.ids, self.database)

    async def __aexit__(self, *error: object) -> None:
        await self.payments.__aexit__(None, None, None)
        await self.ledger.__aexit__(None, None, None)


