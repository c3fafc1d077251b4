"""Payments over a real database and a real ledger; only the channels' other side is scripted."""

import contextlib
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import msgspec
import pytest
from tests.payments.books import check_books
from tests.payments.scripted import ScriptedChannel

from tongbao.channels.adapters.wallet import WalletChannel
from tongbao.channels.ports import Channel
from tongbao.channels.schema import (
    Acknowledgment,
    Answer,
    Card,
    Merchant,
    Mode,
    Notification,
    NotificationKind,
    RawNotification,
)
from tongbao.channels.service.registry import NO_MODES, Channels
from tongbao.core import migrate
from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.events.facts import topic_of
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.core.requests.asks import Ask, Rendered, ask_digest
from tongbao.ledger.schema import BookId
from tongbao.ledger.service.ledger import Ledger
from tongbao.parties.schema import MerchantId, Scope
from tongbao.payments.ports import CardMemory, MerchantProfiles, Proofs, RiskControl, Routing
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.facts import Happened
from tongbao.payments.schema.intents import CaptureMethod, Intent
from tongbao.payments.schema.orders import ConfirmOrder, IntentOrder, IntentView
from tongbao.payments.service.payments import Payments
from tongbao.payments.service.plain_hooks import FirstChannel, OneProfile, PassRisk

RAW = RawNotification(
    method="POST", path="/", headers={}, query="", body=b"", received_at=datetime(2026, 1, 1, tzinfo=UTC)
)
CARD = Card(
    token="tok_test",
    exp_month=12,
    exp_year=2030,
    brand="visa",
    card_bin="424242",
    last4="4242",
)


class House:
    """Payments with two scripted channels and wallets, a clock that the test moves, and a merchant's scope."""

    def __init__(
        self,
        payments: Payments,
        ledger: Ledger,
        clock: FrozenClock,
        ids: IdFactory,
        database: Database,
        metrics: Metrics,
    ) -> None:
        self.payments = payments
        self.ledger = ledger
        self.clock = clock
        self.ids = ids
        self.database = database
        self.metrics = metrics
        self.scopes: list[Scope] = []
        self.scope = self.new_scope()

    def new_scope(self) -> Scope:
        """The scope of a merchant that nobody has seen before."""
        book_id = self.ids.int63()
        scope = Scope(
            merchant_id=MerchantId(book_id),
            book_id=book_id,
            live=False,
            actor="key:test",
            permissions=frozenset(),
        )
        self.scopes.append(scope)
        return scope

    def channel(self, name: str = "one") -> ScriptedChannel:
        """A channel by name: ``one`` comes first, ``two`` is what it falls back on."""
        found = self.payments.channels.get(name)
        assert isinstance(found, ScriptedChannel)
        return found

    def ask(self, key: str, says: str = "the same", operation: str = "create") -> Ask:
        """A request under a key; its answer is the JSON of the view."""
        return Ask(
            digest=ask_digest(operation, key),
            fingerprint=ask_digest(says),
            key=key,
            request_id=f"req_{key}",
            render=_rendered,
            kept_until=self.clock.now() + timedelta(days=7),
        )

    def order(self, amount_minor: int = 1999, **fields: object) -> IntentOrder:
        """An order that is confirmed with a card at once."""
        values: dict[str, object] = {
            "amount_minor": amount_minor,
            "currency": "cny",
            "confirm": ConfirmOrder(method=CARD),
        }
        return IntentOrder(**(values | fields))  # type: ignore[arg-type]

    async def pay(self, amount_minor: int = 1999, **fields: object) -> IntentView:
        """Create and confirm with a card at once."""
        done = await self.payments.intents.create(self.scope, self.order(amount_minor, **fields))
        assert done.view is not None
        return done.view

    async def reserve(self, amount_minor: int = 1000, **fields: object) -> IntentView:
        """Authorize an amount that is captured later, in parts where the test wishes."""
        view = await self.pay(amount_minor, **({"capture_method": CaptureMethod.MANUAL_MULTIPLE} | fields))
        assert view.intent.state == "requires_capture"
        return view

    async def intent(self, intent_id: UUID) -> Intent:
        """The intent as it stands."""
        return (await self.payments.intents.get(self.scope, intent_id)).intent

    async def attempts(self, intent_id: UUID) -> list[Attempt]:
        """The attempts of an intent, oldest first."""
        return (await self.payments.intents.story(self.scope, intent_id)).attempts[::-1]

    async def states(self, intent_id: UUID) -> tuple[str, list[str]]:
        """The states of an intent and of its attempts, oldest first."""
        attempts = await self.attempts(intent_id)
        return (await self.intent(intent_id)).state.value, [each.state.value for each in attempts]

    async def balance(self, code: str, currency: str = "CNY") -> int:
        """Credits minus debits of an account of the merchant's book."""
        account = await self.ledger.accounts.account_by_code(BookId(self.scope.book_id), code, currency)
        return account.posted_minor

    async def notify(
        self,
        kind: NotificationKind,
        reference: str,
        answer: Answer,
        /,
        channel: str = "one",
        **fields: object,
    ) -> Acknowledgment:
        """Let a channel tell of something."""
        values: dict[str, object] = {"kind": kind, "event_id": "ev", "reference": reference, "answer": answer}
        self.channel(channel).notification = Notification(**(values | fields))  # type: ignore[arg-type]
        return await self.payments.resolving.notified(channel, RAW)

    async def pass_time(self, seconds: float) -> None:
        """Move the clock and let the resolver look at what is due, until nothing is."""
        self.clock.advance(timedelta(seconds=seconds))
        for _ in range(10):
            if not await self.payments.resolving.resolve_due():
                return

    def alarms(self, kind: str) -> int:
        """How often people were alarmed."""
        found = self.metrics.registry.get_sample_value("tongbao_payments_alarms_total", {"kind": kind})
        return int(found or 0)

    async def facts(self, scope: Scope | None = None) -> list[Happened]:
        """What was told of a merchant, in the order of telling."""
        book_id = (scope or self.scope).book_id
        async with self.database.connection() as connection:
            rows = await connection.fetch(
                "SELECT payload FROM events.outbox"
                " WHERE topic = $1 AND position($2::bytea IN payload) > 0 ORDER BY id",
                topic_of(Happened),
                str(book_id).encode(),
            )
        told = [msgspec.json.decode(row[0], type=Happened) for row in rows]
        return [fact for fact in told if fact.book_id == book_id]

    async def events(self) -> list[str]:
        """The types of the events of the merchant."""
        return [event.type for fact in await self.facts() for event in fact.events]

    async def check_books(self) -> None:
        """Compare every account of every merchant with what the documents say."""
        for scope in self.scopes:
            await check_books(self.database, self.ledger, scope.book_id)


def _rendered(view: object) -> Rendered:
    return Rendered(200, repr(view).encode())


@pytest.fixture(scope="session")
async def payments_dsn(server: EmbeddedServer) -> AsyncIterator[str]:
    """The DSN of one migrated database for all houses: each has a merchant of its own."""
    name = f"payments_{random.SystemRandom().getrandbits(48):012x}"
    admin = await asyncpg.connect(server.dsn())
    try:
        await admin.execute(f"CREATE DATABASE {name}")
        await migrate.upgrade(server.dsn(name))
        yield server.dsn(name)
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()


@pytest.fixture(scope="session")
async def payments_database(payments_dsn: str) -> AsyncIterator[Database]:
    """An open pool on it."""
    async with Database(payments_dsn, pool_size=6) as opened:
        yield opened


@pytest.fixture
async def house(payments_database: Database, ids: IdFactory) -> AsyncIterator[House]:
    """A fresh merchant on shared tables, two channels, time standing still at the real instant.

    When the test is over the books must agree with the documents to the last unit.
    """
    async with open_house(payments_database, ids) as opened:
        yield opened
        await opened.check_books()


@contextlib.asynccontextmanager
async def open_house(
    database: Database,
    ids: IdFactory,
    *,
    risk: RiskControl | None = None,
    routing: Routing | None = None,
    profiles: MerchantProfiles | None = None,
    cards: CardMemory | None = None,
    channels: Sequence[Channel] = (),
    modes: Mapping[str, Mode] = NO_MODES,
    retry_s: float = 10.0,
    proofs: Proofs | None = None,
    clock: FrozenClock | None = None,
) -> AsyncIterator[House]:
    """A house of its own; ``channels`` stand before those that every house has, ``modes`` is whose payments they take."""
    clock, metrics = clock or FrozenClock(datetime.now(UTC)), Metrics()
    async with database.connection() as connection:
        # What earlier houses left on these tables would be inquired over this house's channels.
        await connection.execute("UPDATE payments.document SET due_at = NULL WHERE due_at IS NOT NULL")
    async with Ledger(database, clock, metrics, ids) as ledger:
        wallets = WalletChannel("wallet", ledger, frozenset({"CNY"}))
        async with Payments(
            database,
            ledger,
            Channels([*channels, ScriptedChannel("one"), ScriptedChannel("two"), wallets], modes=modes),
            clock,
            ids,
            metrics,
            risk=risk or PassRisk(),
            routing=routing or FirstChannel(),
            profiles=profiles or OneProfile(Merchant(name="Tea House")),
            cards=cards,
            retry_s=retry_s,
            proofs=proofs,
        ) as payments:
            yield House(payments, ledger, clock, ids, database, metrics)
