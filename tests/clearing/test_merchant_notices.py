"""What merchants hear of payouts and accounts: signed events over a real server, each once, in the shapes that receivers know."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
import stripe
from standardwebhooks import Webhook
from tests.clearing.payout_world import IBANS, World, folder_bank, forget, open_world
from tests.payments.webhook_house import House, Receiver, moment

from tongbao.clearing.schema.batches import Batch
from tongbao.clearing.schema.bills import BillFilter
from tongbao.clearing.schema.movements import MovementKind
from tongbao.clearing.schema.payouts import PayoutState
from tongbao.clearing.service.merchant_notices import ACCOUNT_EVENTS, PAYOUT_EVENTS, notices
from tongbao.clearing.service.payout_moves import PayoutMoves, Said
from tongbao.clearing.store import bills
from tongbao.clearing.store.payouts import Address
from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.http import HttpClient
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.ledger.schema import BookId
from tongbao.parties.schema import MerchantId, Scope
from tongbao.payments.schema.webhooks import EventRow
from tongbao.web.api.v1.renderings.events import event_bytes

RENDER = partial(event_bytes, cashier_url="http://127.0.0.1")


class Scene(NamedTuple):
    """Who pays out, who tells, and who moves payouts as a bank would have it."""

    world: World
    house: House
    moves: PayoutMoves

    async def sent(self) -> tuple[Batch, Scope]:
        """A payout on its way to a merchant."""
        book_id = await self.world.merchant()
        batch = await self.world.batch(book_id, 12_345)
        await self.world.run()
        scope = Scope(
            merchant_id=MerchantId(book_id),
            book_id=book_id,
            live=False,
            actor="test",
            permissions=frozenset(),
        )
        return batch, scope

    async def move(self, batch: Batch, state: PayoutState, code: str = "") -> None:
        """Let the bank say what became of the payout of a batch."""
        payout = await self.world.payout(batch)
        assert await self.moves.move(Address(batch.book_id, payout.id), Said(state, code or None))

    async def heard(self, scope: Scope) -> list[EventRow]:
        """Project what was told, twice, and return the events of the merchant, oldest first."""
        for _ in range(2):
            projection = self.house.new_projection(notices(self.house.clock))
            await self.house.project(projection)
            await projection.close()
        return await self.house.all_events(scope)

    async def record(self) -> None:
        """Let movements be recorded."""
        projection = self.house.new_projection(self.world.clearing.recording.subscription())
        await self.house.project(projection)
        await projection.close()


@pytest.fixture
async def scene(database: Database, ids: IdFactory, tmp_path: Path) -> AsyncIterator[Scene]:
    await forget(database)
    clock = FrozenClock(moment())
    (tmp_path / "out").mkdir()
    (tmp_path / "into").mkdir()
    http = HttpClient()
    bank = folder_bank(str(tmp_path / "out"), str(tmp_path / "into"), http)
    async with open_world(database, clock, ids, bank) as world:
        house = House(database, ids, clock)
        await house.relay.prepare()
        moves = PayoutMoves(
            database, world.ledger, clock, ids, world.clearing.settling, world.destinations, Metrics()
        )
        yield Scene(world, house, moves)
        await house.close()
    await http.close()


def types_of(events: list[EventRow]) -> list[str]:
    return [each.type for each in events if each.type not in ACCOUNT_EVENTS]


async def test_payout_is_told_signed_and_verified_by_both_official_libraries(scene: Scene) -> None:
    batch, scope = await scene.sent()
    async with Receiver() as receiver:
        _, secret = await scene.house.endpoint(receiver.url(), "payout.*", scope=scope)
        await scene.move(batch, PayoutState.PAID)
        (created, paid) = [
            each for each in await scene.heard(scope) if each.type in ("payout.created", "payout.paid")
        ]
        await scene.house.deliver_all(scene.house.worker(render=RENDER))
    assert [each.event["type"] for each in receiver.got] == ["payout.created", "payout.paid"]
    got, text = receiver.got[1], secret.get_secret_value()
    assert Webhook(text).verify(got.body, dict(got.headers))["id"] == paid.reference
    told = stripe.Webhook.construct_event(got.body, got.headers["Stripe-Signature"], text)
    payout = await scene.world.payout(batch)
    shown = told["data"]["object"]
    assert (shown["object"], shown["id"], shown["status"]) == ("payout", payout.reference, "paid")
    assert (shown["amount"], shown["currency"], shown["livemode"]) == (12_345, "eur", False)
    assert (shown["end_to_end"], shown["batch"]) == (payout.end_to_end, batch.reference)
    assert created.sequence < paid.sequence == payout.version


async def test_returned_payout_is_told_on_bill_and_as_failed_and_returned(scene: Scene) -> None:
    batch, scope = await scene.sent()
    await scene.move(batch, PayoutState.PAID)
    await scene.move(batch, PayoutState.RETURNED, "AC04")
    events = await scene.heard(scope)
    assert types_of(events) == ["payout.created", "payout.paid", "payout.failed", "payout.returned"]
    payout = await scene.world.payout(batch)
    for _ in range(2):
        await scene.record()
    async with scene.world.database.connection() as connection:
        lines = await bills.page(connection, batch.book_id, BillFilter(), None, 10)
    (line,) = [each.movement for each in lines]
    assert (line.kind, line.amount_minor, line.intent_id) == (MovementKind.PAYOUT_RETURNED, 0, None)
    assert (line.reference, line.channel_reference) == (payout.reference, payout.end_to_end)
    row = await scene.world.ledger.reading.transfer(BookId(batch.book_id), line.transfer_key)
    assert (row.code, row.amount_minor) == ("payout.returned", 12_345)
    assert await scene.world.clearing.recording.unpriced(batch.book_id) == {"EUR": 0}


@pytest.mark.parametrize(
    ("state", "code", "expected"),
    [
        (PayoutState.REJECTED, "AC01", ["payout.created", "payout.failed"]),
        (PayoutState.ACCEPTED, "", ["payout.created"]),
    ],
)
async def test_payout_states_become_the_events_that_receivers_know(
    scene: Scene, state: PayoutState, code: str, expected: list[str]
) -> None:
    batch, scope = await scene.sent()
    await scene.move(batch, state, code)
    events = await scene.heard(scope)
    assert types_of(events)[: len(expected)] == expected
    assert set(types_of(events)) == set(expected)


async def test_alarm_is_for_the_house_and_no_event(scene: Scene) -> None:
    batch, scope = await scene.sent()
    before = types_of(await scene.heard(scope))
    await scene.moves.alarm(await scene.world.payout(batch), "amount_differs")
    assert types_of(await scene.heard(scope)) == before


async def test_every_change_of_an_account_is_told_without_its_number(scene: Scene) -> None:
    batch, scope = await scene.sent()
    await scene.move(batch, PayoutState.REJECTED, "AC04")
    told = [each for each in await scene.heard(scope) if each.type in ACCOUNT_EVENTS]
    states = [rendered(each)["settlement_state"] for each in told]
    assert states == ["proposed", "cooling", "active", "paused"]
    assert all(IBANS[0] not in RENDER(each).decode() for each in told)
    last = rendered(told[-1])
    assert (last["object"], last["last4"], last["status"]) == ("bank_account", IBANS[0][-4:], "errored")
    assert [each.sequence for each in told] == sorted({each.sequence for each in told})


def rendered(event: EventRow) -> dict[str, object]:
    """The object of an event as receivers get it."""
    found: dict[str, object] = msgspec.json.decode(RENDER(event))["data"]["object"]
    return found


def test_every_state_that_ends_a_payout_is_told() -> None:
    silent = {PayoutState.SENT, PayoutState.ACCEPTED, PayoutState.UNRESOLVED}
    assert set(PAYOUT_EVENTS) == set(PayoutState) - silent
