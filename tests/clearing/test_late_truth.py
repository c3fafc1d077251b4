"""Late truth over real payments: a file ends what nobody knew, never silently where it had another end here."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from tests.clearing.ledgers_of_others import World, plain_days
from tests.clearing.settlement import Shop, open_shop
from tests.payments.conftest import House
from tests.payments.scripted import ScriptedChannel

from tongbao.channels.schema import Answer, Outcome, Reason
from tongbao.clearing.policy import late_truth as policy
from tongbao.clearing.policy.late_truth import Heard
from tongbao.clearing.schema.breaks import BreakKind, BreakState, Leg, Run
from tongbao.clearing.schema.lines import Line, LineKind
from tongbao.clearing.service.break_desk import BreakDesk
from tongbao.clearing.service.house_money import HouseMoney
from tongbao.clearing.service.late_truth import ACTOR, LateTruth
from tongbao.clearing.service.reconciling import Reconciling
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.payments.schema.attempts import Attempt, AttemptState
from tongbao.payments.schema.orders import IntentView
from tongbao.payments.schema.refunds import Refund, RefundState
from tongbao.payments.service.reading import Reading

LOST = Answer(outcome=Outcome.UNRESOLVED)
PAID = Answer(outcome=Outcome.APPROVED, captured=True, amount_minor=1_000, currency="CNY")
DECLINED = Answer(outcome=Outcome.DECLINED, reason=Reason.INSUFFICIENT_FUNDS)


class Late:
    """A merchant with a channel of its own that sends files, and who hears them."""

    def __init__(self, shop: Shop, world: World, channel: ScriptedChannel, reading: Reading) -> None:
        self.shop, self.world, self.channel, self.reading = shop, world, channel, reading
        house = shop.house
        money = HouseMoney(house.ledger)
        self.desk = BreakDesk(house.database, house.ledger, house.clock, money, plain_days)
        self.truth = LateTruth(house.database, house.payments, reading, self.desk)

    @property
    def house(self) -> House:
        return self.shop.house

    async def pay(self, answer: Answer = LOST, amount_minor: int = 1_000) -> Attempt:
        """A payment to which the channel answers so, some minutes ago; what the other channel made of it is not looked at."""
        self.channel.reply("authorize", answer)
        view: IntentView = await self.house.pay(amount_minor)
        self.house.clock.advance(timedelta(seconds=10))
        return next(
            each for each in await self.house.attempts(view.intent.id) if each.channel == self.channel.name
        )

    async def attempt(self, of: Attempt) -> Attempt:
        found = await self.reading.read(Attempt, of.book_id, of.id)
        assert found is not None
        return found

    def line(self, of: Attempt, **fields: Any) -> Line:
        """The line of the file that says that a payment was made."""
        plain = {
            "reference": of.reference,
            "channel_reference": "theirs",
            "occurred_at": self.house.clock.now(),
        }
        return self.world.line(self.world.movement(of.amount_minor), **(plain | fields))

    async def run(self, *lines: Line) -> Run:
        """Take a file in, record what is told, and reconcile."""
        if lines:
            await self.world.report(*lines)
        await self.shop.record()
        until = self.house.clock.now().date() + timedelta(days=1)
        return await self.world.reconciling.run(self.world.channel, until, "mei")


@pytest.fixture
async def late(database: Database, ids: IdFactory) -> AsyncIterator[Late]:
    name = f"late_{ids.int63()}"
    channel = ScriptedChannel(name)
    async with open_shop(database, ids, channels=(channel,)) as shop:
        world = World(database)
        world.channel, world.clock = name, shop.house.clock
        world.reconciling = Reconciling(database, shop.house.clock, ids, plain_days)
        await world.agree()
        reading = Reading(database, shop.house.metrics)
        try:
            yield Late(shop, world, channel, reading)
        finally:
            await reading.close()


async def test_file_ends_a_payment_that_the_channel_does_not_tell_of_any_more(late: Late) -> None:
    attempt = await late.pay()
    late.channel.reply("inquire", LOST)
    run = await late.run(late.line(attempt))
    assert run.by_kind == {BreakKind.UNEXPECTED: 1}
    assert await late.truth.follow(run) == {Heard.RESOLVED: 1}
    assert len(late.channel.asked("inquire")) == 1
    known = await late.attempt(attempt)
    assert (known.state, known.channel_reference) == (AttemptState.CHARGED, "theirs")
    again = await late.run()
    assert (again.matched_count, again.by_kind) == (1, {})
    assert not await late.world.breaks()
    await late.house.check_books()


async def test_channel_that_still_knows_is_believed_first(late: Late) -> None:
    attempt = await late.pay()
    late.channel.reply(
        "inquire",
        Answer(
            outcome=Outcome.APPROVED,
            captured=True,
            amount_minor=1_000,
            currency="CNY",
            channel_reference="asked",
        ),
    )
    assert await late.truth.follow(await late.run(late.line(attempt))) == {Heard.RESOLVED: 1}
    assert (await late.attempt(attempt)).channel_reference == "asked"


async def test_payment_declined_here_and_paid_there_stands_apart_and_is_told(late: Late) -> None:
    attempt = await late.pay(DECLINED)
    assert attempt.state is AttemptState.DECLINED
    run = await late.run(late.line(attempt))
    assert await late.truth.follow(run) == {Heard.CONTRADICTED: 1}
    known = await late.attempt(attempt)
    assert (known.state, known.suspense_minor) == (AttemptState.REVERSING, 1_000)
    assert await late.house.balance("suspense") == 1_000
    (told,) = await late.world.breaks()
    assert (told.state, told.actor) == (BreakState.EXPLAINED, ACTOR)
    assert attempt.reference in told.note
    assert "attempt.late_success" in await late.house.events()
    assert await late.truth.follow(run) == {Heard.KNOWN: 1}


async def test_other_amount_in_the_file_is_a_conflict_and_no_payment(late: Late) -> None:
    attempt = await late.pay()
    late.channel.reply("inquire", LOST)
    run = await late.run(late.line(attempt, gross_minor=900, net_minor=900))
    assert await late.truth.follow(run) == {Heard.CONTRADICTED: 1}
    assert (await late.attempt(attempt)).state is AttemptState.CONFLICTED
    assert late.house.alarms("amount_conflict") + late.house.alarms("outcome_conflict") == 1


async def test_lines_about_nobody_here_change_nothing(late: Late) -> None:
    attempt = await late.pay(PAID)
    late.channel.reply("authorize", Answer(outcome=Outcome.NOT_SENT))
    view = await late.house.pay(700)
    elsewhere = next(
        each for each in await late.house.attempts(view.intent.id) if each.channel != late.channel.name
    )
    run = await late.run(
        late.line(attempt),
        late.line(attempt, reference="pa_00000000000000000000000000", channel_reference="a"),
        late.line(attempt, reference="pa_nonsense", channel_reference="b"),
        late.line(attempt, reference="order 7", channel_reference="c"),
        late.line(elsewhere, channel_reference="d"),
    )
    assert run.matched_count == 1
    assert await late.truth.follow(run) == {Heard.FOREIGN: 4}
    assert await late.attempt(attempt) == attempt
    assert await late.attempt(elsewhere) == elsewhere


async def test_refund_that_was_lost_is_ended_by_the_line_that_was_paired_with_it(late: Late) -> None:
    attempt = await late.pay(PAID)
    late.channel.can(refund_inquiry=False)
    late.channel.reply("refund", LOST)
    done = await late.house.payments.refunds.create(late.house.scope, intent_id=attempt.intent_id)
    assert done.view is not None
    refund = done.view.refund
    assert refund.state is RefundState.UNRESOLVED
    back = late.line(
        attempt, kind=LineKind.REFUND, reference=refund.reference, channel_reference="r", gross_minor=-1_000
    )
    run = await late.run(late.line(attempt), back)
    assert run.matched_count == 2
    assert await late.truth.follow(run) == {Heard.RESOLVED: 1}
    assert len(late.channel.asked("refund")) == 1
    known = await late.reading.read(Refund, refund.book_id, refund.id)
    assert known is not None
    assert known.state is RefundState.SUCCEEDED
    assert await late.truth.follow(run) == {}
    await late.house.check_books()


async def test_refund_that_an_earlier_run_paired_is_heard_with_the_newest(late: Late) -> None:
    attempt = await late.pay(PAID)
    late.channel.can(refund_inquiry=False)
    late.channel.reply("refund", LOST)
    done = await late.house.payments.refunds.create(late.house.scope, intent_id=attempt.intent_id)
    assert done.view is not None
    refund = done.view.refund
    back = late.line(
        attempt, kind=LineKind.REFUND, reference=refund.reference, channel_reference="r", gross_minor=-1_000
    )
    earlier = await late.run(late.line(attempt), back)
    newest = await late.run()
    assert (earlier.matched_count, newest.matched_count) == (2, 0)
    assert await late.truth.follow(newest) == {Heard.RESOLVED: 1}
    known = await late.reading.read(Refund, refund.book_id, refund.id)
    assert known is not None
    assert known.state is RefundState.SUCCEEDED


async def test_refund_that_failed_here_and_stands_in_the_file_alarms_once(late: Late) -> None:
    attempt = await late.pay(PAID)
    late.channel.reply("refund", DECLINED)
    done = await late.house.payments.refunds.create(late.house.scope, intent_id=attempt.intent_id)
    assert done.view is not None
    back = late.line(
        attempt,
        kind=LineKind.REFUND,
        reference=done.view.refund.reference,
        channel_reference="r",
        gross_minor=-1_000,
    )
    run = await late.run(late.line(attempt), back)
    assert await late.truth.follow(run) == {Heard.CONTRADICTED: 1}
    assert await late.truth.follow(run) == {Heard.KNOWN: 1}
    assert late.house.alarms("refund_after_failure") == 1


async def test_run_of_a_bank_has_nothing_to_hear(late: Late) -> None:
    until = late.house.clock.now().date()
    run = await late.world.reconciling.run(late.world.bank, until, "mei")
    assert run.leg is Leg.BANK
    assert await late.truth.follow(run) == {}


async def test_reservation_is_ended_by_a_line_of_the_whole_only(late: Late) -> None:
    view = await late.house.reserve(1_000)
    attempt = (await late.house.attempts(view.intent.id))[0]
    part = late.line(attempt, gross_minor=400, net_minor=400)
    whole = late.line(attempt)
    assert attempt.state is AttemptState.AUTHORIZED
    assert (policy.speaks_to(part, attempt), policy.speaks_to(whole, attempt)) == (False, True)
    assert await late.truth.follow(await late.run(whole)) == {Heard.RESOLVED: 1}
    assert (await late.attempt(attempt)).captured_minor == 1_000
