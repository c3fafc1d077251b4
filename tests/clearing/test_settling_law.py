"""The law of settling: what stands on ``in_transit`` is the sum of the movements that no priced batch holds, whatever happens.

Any acts, answers, losses and delays in any order, with cuts, prices and reserves between them; and the same disputes.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test
from tests.clearing.settlement import HOURLY, Shop, open_clearing, open_shop
from tests.payments.test_any_order import AMOUNTS, FATES, METHODS, AnyOrder, World
from tests.payments.truthful import Fate

from tongbao.channels.schema import Answer, NotificationKind, Outcome
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.payments.errors import BadAmount, WrongState
from tongbao.payments.schema.intents import CaptureMethod
from tongbao.payments.schema.orders import IntentView

EXAMPLES = 4
STEPS = 14
TERMS = msgspec.structs.replace(HOURLY, reserve_e6=50_000, reserve_days=1, payout_min_minor=400)


class SettledWorld(World):
    """A world whose money is settled; what its books hold is checked against movements instead of documents."""

    def __init__(self, runner: asyncio.Runner, dsn: str) -> None:
        super().__init__(runner, dsn)
        house = self.house
        self._clearing = open_clearing(house.database, house.ledger, house.clock, house.metrics)
        self.shop = Shop(house, runner.run(self._clearing.__aenter__()))
        runner.run(self.shop.agree(TERMS))

    def close(self) -> None:
        self.runner.run(self.shop.close())
        self.runner.run(self._clearing.__aexit__(None, None, None))
        super().close()

    async def check(self) -> None:
        await self.shop.record()
        await self.shop.check()


class AnyOrderSettled(AnyOrder):
    """The rules of payments, and time that passes with cuts."""

    world: SettledWorld

    @initialize(amount=AMOUNTS, method=METHODS, fates=FATES)
    def begin(self, amount: int, method: CaptureMethod, fates: list[Fate]) -> None:
        self.world = SettledWorld(self.runner, self.dsn)
        self.world.channels[0].fates.extend(fates)
        self.world.run(self.world.create(amount, method))

    @rule(hours=st.integers(1, 30))
    def settle(self, hours: int) -> None:
        world = self.world
        world.runner.run(world.shop.record())
        world.house.clock.advance(timedelta(hours=hours, seconds=10))
        world.runner.run(world.shop.settle())


@pytest.mark.slow
def test_settle_between_any_acts_and_answers_leaves_in_transit_what_no_batch_took(dsn: str) -> None:
    with asyncio.Runner() as runner:
        AnyOrderSettled.runner, AnyOrderSettled.dsn = runner, dsn
        run_state_machine_as_test(
            AnyOrderSettled,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=timedelta(minutes=5),
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            ),
        )


@pytest.fixture
async def shop(database: Database, ids: IdFactory) -> AsyncIterator[Shop]:
    async with open_shop(database, ids) as opened:
        await opened.agree(TERMS)
        yield opened


@pytest.mark.parametrize("seed", range(2))
async def test_settle_between_captures_refunds_and_disputes_keeps_the_books(shop: Shop, seed: int) -> None:
    rng = random.Random(seed)
    views: list[IntentView] = [await shop.house.pay(1_000)]
    for _ in range(30):
        match rng.randrange(6):
            case 0:
                views.append(await shop.house.pay(rng.randrange(1, 5_000)))
            case 1:
                views.append(await shop.house.reserve(900))
            case 2:
                await tried(capture(shop, rng.choice(views), rng.randrange(1, 500)))
            case 3:
                await tried(refund(shop, rng.choice(views), rng.randrange(1, 800)))
            case 4:
                await tell(shop, rng.choice(views), rng.choice(("needs_response", "won", "lost")), 300)
            case _:
                await shop.pass_hour()
        await shop.record()
        await shop.check()
    await shop.pass_hour()
    await shop.pass_hour()
    await shop.check()
    assert await shop.balance("in_transit") == 0
    kinds = {
        each.kind.name
        for view in views
        for each in await shop.clearing.recording.of_intent(shop.book_id, view.intent.id)
    }
    assert kinds >= {"SALE", "REFUND", "DISPUTE"}


async def tried(act: Awaitable[None]) -> None:
    """Do something; a refusal is an answer like any other."""
    with contextlib.suppress(WrongState, BadAmount):
        await act


async def capture(shop: Shop, view: IntentView, amount_minor: int) -> None:
    await shop.house.payments.intents.capture(shop.house.scope, view.intent.id, amount_minor)


async def refund(shop: Shop, view: IntentView, amount_minor: int) -> None:
    await shop.house.payments.refunds.create(
        shop.house.scope, intent_id=view.intent.id, amount_minor=amount_minor
    )


async def tell(shop: Shop, view: IntentView, status: str, amount_minor: int) -> None:
    """Let the channel tell of the one dispute of a payment."""
    (attempt,) = await shop.house.attempts(view.intent.id)
    answer = Answer(outcome=Outcome.APPROVED, amount_minor=amount_minor)
    reference = attempt.reference
    await shop.house.notify(
        NotificationKind.DISPUTE,
        reference,
        answer,
        dispute_reference=f"dp-{reference}",
        dispute_status=status,
        reason_code="10.4",
    )
