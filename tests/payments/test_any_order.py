"""Any acts, answers, losses and delays in any order: the books never claim more than happened, and end at the truth."""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from tests.payments.conftest import CARD, House, open_house
from tests.payments.truthful import Fate, TruthfulChannel

from tongbao.channels.schema import NotificationKind
from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import IdFactory
from tongbao.payments.errors import Contended, WrongState
from tongbao.payments.schema.attempts import OPEN, PAID, Attempt, AttemptState
from tongbao.payments.schema.intents import CaptureMethod, Intent
from tongbao.payments.schema.orders import ConfirmOrder
from tongbao.payments.schema.refunds import OPEN_REFUNDS, Refund, RefundState
from tongbao.payments.store import documents as store

STEPS = 30
INTENTS_MAX = 4
NAMES = ("first", "second")
FATES: st.SearchStrategy[list[Fate]] = st.one_of(
    st.just([]), st.lists(st.sampled_from(sorted(Fate)), max_size=3)
)
AMOUNTS = st.sampled_from([1, 300, 700, 1000])
METHODS = st.sampled_from([CaptureMethod.AUTOMATIC, CaptureMethod.MANUAL, CaptureMethod.MANUAL_MULTIPLE])
CONFIRM = ConfirmOrder(method=CARD)
ACTS = ("capture", "cancel", "refund", "increment", "confirm")


class World:
    """A house over two channels that remember the truth."""

    def __init__(self, runner: asyncio.Runner, dsn: str) -> None:
        self.runner = runner
        self.channels = [TruthfulChannel(name) for name in NAMES]
        self._database = Database(dsn, pool_size=6)
        runner.run(self._database.__aenter__())
        self._opening = open_house(self._database, IdFactory(RealClock()), channels=self.channels)
        self.house: House = runner.run(self._opening.__aenter__())
        for name in ("one", "two"):
            # Whoever goes on after two noes must not leave for channels whose truth nobody remembers.
            self.house.payments.channels.switch(name, enabled=False)
        self.intents: list[UUID] = []

    def close(self) -> None:
        self.runner.run(self._opening.__aexit__(None, None, None))
        self.runner.run(self._database.__aexit__(None, None, None))

    def run(self, *acts: Coroutine[Any, Any, object]) -> None:
        """Do acts at once; a refusal is an answer like any other, anything else is a failure."""

        async def together() -> list[object]:
            return await asyncio.gather(*acts, return_exceptions=True)

        for each in self.runner.run(together()):
            if isinstance(each, BaseException) and not isinstance(
                each, WrongState | InvalidRequest | Contended
            ):
                raise each

    async def create(self, amount_minor: int, method: CaptureMethod) -> None:
        view = await self.house.pay(amount_minor, capture_method=method)
        self.intents.append(view.intent.id)

    async def act(self, name: str, place: int, amount_minor: int) -> None:
        intents, scope = self.house.payments.intents, self.house.scope
        intent_id = self.intents[place % len(self.intents)]
        match name:
            case "capture":
                await intents.capture(scope, intent_id, amount_minor)
            case "cancel":
                await intents.cancel(scope, intent_id)
            case "increment":
                await intents.increment(scope, intent_id, amount_minor + 1000)
            case "confirm":
                await intents.confirm(scope, intent_id, CONFIRM)
            case _:
                await self.house.payments.refunds.create(
                    scope, intent_id=intent_id, amount_minor=amount_minor
                )

    async def documents(self) -> tuple[list[Intent], list[Attempt], list[Refund]]:
        book_id = self.house.scope.book_id
        async with self.house.database.connection() as connection:
            return (
                await store.page(connection, Intent, book_id, limit=1_000),
                await store.page(connection, Attempt, book_id, limit=1_000),
                await store.page(connection, Refund, book_id, limit=1_000),
            )

    async def check(self) -> None:
        """Books agree with documents, and documents claim nothing that did not happen at the channel."""
        await self.house.check_books()
        _, attempts, refunds = await self.documents()
        for attempt in attempts:
            truth = self._channel(attempt).truths.get(attempt.reference)
            claimed = attempt.captured_minor if attempt.state in PAID else 0
            assert claimed <= (truth.captured_minor if truth else 0)
            done = [
                each
                for each in refunds
                if each.attempt_id == attempt.id and each.state is RefundState.SUCCEEDED
            ]
            assert sum(each.amount_minor for each in done) <= (truth.refunded_minor if truth else 0)
        for kind in ("amount_conflict", "outcome_conflict", "refund_after_failure", "void_after_charge"):
            assert self.house.alarms(kind) == 0

    async def settle(self) -> None:
        """Let everything arrive and the resolver work for days, then compare with the truth."""
        for channel in self.channels:
            channel.fates.clear()
            channel.payer_acts(pays=True)
            channel.let_arrive()
            await self.tell_all(channel)
        for days in (15, 2):
            for _ in range(2 * days):
                await self.house.pass_time(43_200)
            for channel in self.channels:
                await self.tell_all(channel)
        await self.check()
        _, attempts, refunds = await self.documents()
        assert [each for each in refunds if each.state in OPEN_REFUNDS] == []
        for attempt in attempts:
            truth = self._channel(attempt).truths.get(attempt.reference)
            assert attempt.open_act is None
            assert attempt.state not in OPEN | {AttemptState.REVERSING, AttemptState.CONFLICTED}
            net = attempt.captured_minor - attempt.refunded_minor if attempt.state in PAID else 0
            assert net == (truth.net_minor if truth else 0)
        assert await self._suspense() == 0

    async def tell_all(self, channel: TruthfulChannel) -> None:
        for reference, answer in list(channel.told):
            await self.tell(channel, reference, answer)

    async def tell(self, channel: TruthfulChannel, reference: str, answer: Any) -> None:
        await self.house.notify(NotificationKind.PAYMENT, reference, answer, channel=channel.name)

    async def _suspense(self) -> int:
        return await self.house.balance("suspense") if self.intents else 0

    def _channel(self, attempt: Attempt) -> TruthfulChannel:
        return self.channels[NAMES.index(attempt.channel)]


class AnyOrder(RuleBasedStateMachine):
    """The rules; what holds after each of them is in ``World.check``."""

    runner: asyncio.Runner
    dsn: str

    @initialize(amount=AMOUNTS, method=METHODS, fates=FATES)
    def begin(self, amount: int, method: CaptureMethod, fates: list[Fate]) -> None:
        self.world = World(self.runner, self.dsn)
        self.world.channels[0].fates.extend(fates)
        self.world.run(self.world.create(amount, method))

    @rule(amount=AMOUNTS, method=METHODS, fates=FATES)
    def create(self, amount: int, method: CaptureMethod, fates: list[Fate]) -> None:
        if len(self.world.intents) < INTENTS_MAX:
            self.world.channels[0].fates.extend(fates)
            self.world.run(self.world.create(amount, method))

    @rule(
        acts=st.lists(
            st.tuples(st.sampled_from(ACTS), st.integers(0, INTENTS_MAX), AMOUNTS), min_size=1, max_size=4
        ),
        fates=FATES,
        place=st.integers(0, 1),
    )
    def act(self, acts: list[tuple[str, int, int]], fates: list[Fate], place: int) -> None:
        self.world.channels[place].fates.extend(fates)
        self.world.run(*(self.world.act(*each) for each in acts))

    @rule(seconds=st.sampled_from([1, 5, 5, 31, 31, 61, 61, 600, 90_000]), fates=FATES)
    def pass_time(self, seconds: int, fates: list[Fate]) -> None:
        self.world.channels[0].fates.extend(fates)
        self.world.run(self.world.house.pass_time(seconds))

    @rule(place=st.integers(0, 1), number=st.integers(0, 50), times=st.integers(1, 3))
    def notify(self, place: int, number: int, times: int) -> None:
        channel = self.world.channels[place]
        if channel.told:
            reference, answer = channel.told[number % len(channel.told)]
            self.world.run(*(self.world.tell(channel, reference, answer) for _ in range(times)))

    @rule(pays=st.booleans())
    def payer_acts(self, *, pays: bool) -> None:
        for channel in self.world.channels:
            channel.payer_acts(pays=pays)

    @rule()
    def let_arrive(self) -> None:
        for channel in self.world.channels:
            channel.let_arrive()

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "world"):
            self.runner.run(self.world.check())

    def teardown(self) -> None:
        if hasattr(self, "world"):
            try:
                self.runner.run(self.world.settle())
            finally:
                self.world.close()


@pytest.mark.slow
@pytest.mark.parametrize("examples", [12, pytest.param(60, marks=pytest.mark.nightly)])
def test_any_acts_answers_and_delays_end_at_what_the_channel_did(payments_dsn: str, examples: int) -> None:
    with asyncio.Runner() as runner:
        AnyOrder.runner, AnyOrder.dsn = runner, payments_dsn
        run_state_machine_as_test(
            AnyOrder,
            settings=settings(
                max_examples=examples,
                stateful_step_count=STEPS,
                deadline=timedelta(minutes=5),
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
