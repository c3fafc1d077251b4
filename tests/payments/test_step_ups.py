"""Step-ups that end without a proof: payments stop waiting once, whatever happens meanwhile, and challenges are let go."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import pytest
from tests.payments.conftest import CARD, House, open_house
from tests.payments.test_reviewing import Judge
from tests.risk.proofs import RIGHT, WRONG
from tests.risk.proofs import Desk as Proving

from tongbao.channels.schema import Reason
from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.events.facts import Delivered, topic_of
from tongbao.core.ids import IdFactory
from tongbao.payments.ports import RiskQuestion, Verdict
from tongbao.payments.schema.intents import CancelReason, IntentState
from tongbao.payments.schema.orders import ConfirmOrder, IntentChange
from tongbao.payments.service.smart_risk import purpose_of
from tongbao.risk.schema.challenges import Challenge, ChallengeOrder, ChallengeState
from tongbao.risk.schema.facts import Proved
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service.step_up_links import LINK_LIFE


class Asking:
    """Risk control that wants a proof of everybody, on a page that is good for half an hour, until the test says else."""

    def __init__(self, ids: IdFactory, clock: Clock) -> None:
        self.tier = Tier.STEP_UP
        self._ids = ids
        self._clock = clock

    async def assess(self, question: RiskQuestion) -> Verdict:
        verdict = await Judge(self.tier, self._ids).assess(question)
        if self.tier is not Tier.STEP_UP:
            return verdict
        until = self._clock.now() + LINK_LIFE
        return Verdict(
            tier=verdict.tier,
            reasons=("new_card",),
            step_up_url="https://pay.test/step-up/x",
            step_up_until=until,
            decision=verdict.decision,
            fact=verdict.fact,
        )


@dataclass
class Desk:
    """A house whose payers are asked for codes, and everything behind that."""

    house: House
    proving: Proving
    risk: Asking

    async def wait(self, **fields: object) -> UUID:
        """A payment that waits for its payer."""
        view = await self.house.pay(1_700, **fields)
        assert view.intent.state is IntentState.REQUIRES_ACTION
        return view.intent.id

    async def opened(self, intent_id: UUID) -> Challenge:
        """Its page, opened."""
        intent = await self.house.intent(intent_id)
        assert intent.judged is not None
        assert intent.judged.look_id is not None
        order = ChallengeOrder(
            purpose=purpose_of(intent),
            live=False,
            signals_id=intent.judged.look_id,
            payee="Tea House",
            destination="email:cus_1",
        )
        challenge = await self.proving.challenging.open(order)
        if challenge.sent_at is None:
            challenge = await self.proving.challenging.send(challenge.book_id, challenge.id)
        return challenge

    async def type(self, challenge: Challenge, code: str, times: int = 1) -> Challenge:
        for _ in range(times):
            challenge = await self.proving.challenging.answer(challenge.book_id, challenge.id, code)
        return challenge

    async def hear(self, intent_id: UUID) -> None:
        """Let everything that was told of proofs be heard, twice: facts are delivered at least once."""
        facts = await self.proving.facts(intent_id)
        delivered = [
            Delivered(
                place,
                self.house.ids.uuid(),
                topic_of(Proved),
                "",
                self.house.clock.now(),
                self.house.clock.now(),
                fact,
            )
            for place, fact in enumerate(facts, 1)
        ]
        for _ in range(2):
            await self.house.payments.step_ups.heard(delivered)

    async def state(self, challenge: Challenge) -> ChallengeState:
        return (await self.proving.challenging.get(challenge.book_id, challenge.id)).state


@pytest.fixture
async def desk(payments_database: Database, ids: IdFactory) -> AsyncIterator[Desk]:
    proving = Proving(payments_database, ids)
    risk = Asking(ids, proving.clock)
    async with open_house(
        payments_database, ids, risk=risk, proofs=proving.challenging, clock=proving.clock
    ) as house:
        yield Desk(house, proving, risk)
        await house.check_books()


async def test_failed_proof_gives_the_payment_back_to_its_merchant_once(desk: Desk) -> None:
    waiting = await desk.wait()
    await desk.type(await desk.opened(waiting), WRONG, 5)
    await desk.hear(waiting)
    intent = await desk.house.intent(waiting)
    assert intent.state is IntentState.REQUIRES_PAYMENT_METHOD
    assert intent.last_error is not None
    assert intent.last_error.reason is Reason.AUTHENTICATION_FAILED
    assert (intent.method_id, intent.next_action, intent.due_at) == (None, None, intent.expires_at)
    events = await desk.house.events()
    assert events.count("payment_intent.payment_failed") == 1
    desk.risk.tier = Tier.FRICTIONLESS
    await desk.house.payments.intents.confirm(desk.house.scope, waiting, ConfirmOrder(method=CARD))
    paid = await desk.house.intent(waiting)
    assert (paid.state, paid.last_error, paid.judged) == (IntentState.SUCCEEDED, None, None)


async def test_expired_proof_gives_the_payment_back_unless_the_payer_asked_for_another(desk: Desk) -> None:
    gone, again = await desk.wait(), await desk.wait()
    for each in (gone, again):
        await desk.opened(each)
    desk.proving.later(minutes=11)
    await desk.opened(again)
    while await desk.proving.challenging.expire_due():
        pass
    for each in (gone, again):
        assert [fact.is_passed for fact in await desk.proving.facts(each)] == [False]
        await desk.hear(each)
    assert (await desk.house.intent(gone)).state is IntentState.REQUIRES_PAYMENT_METHOD
    assert (await desk.house.intent(again)).state is IntentState.REQUIRES_ACTION


async def test_page_that_nobody_comes_back_from_is_waited_for_as_long_as_it_is_good(desk: Desk) -> None:
    unopened, opened = await desk.wait(), await desk.wait()
    await desk.house.pass_time(21 * 60)
    challenge = await desk.opened(opened)
    await desk.house.pass_time(9 * 60 - 1)
    assert (await desk.house.intent(unopened)).state is IntentState.REQUIRES_ACTION
    await desk.house.pass_time(1)
    for each in (unopened, opened):
        intent = await desk.house.intent(each)
        assert intent.state is IntentState.REQUIRES_PAYMENT_METHOD
        assert intent.last_error is not None
        assert intent.last_error.reason is Reason.AUTHENTICATION_FAILED
    assert await desk.state(challenge) is ChallengeState.ABANDONED


async def test_failure_of_what_is_no_longer_waited_for_changes_nothing(desk: Desk) -> None:
    house = desk.house
    paid, canceled, dearer, anew = [await desk.wait() for _ in range(4)]
    for each in (paid, canceled, dearer, anew):
        challenge = await desk.opened(each)
        await desk.type(challenge, WRONG, 5)
    desk.risk.tier = Tier.FRICTIONLESS
    await house.payments.intents.confirm(house.scope, paid, ConfirmOrder())
    await house.payments.intents.cancel(house.scope, canceled)
    await house.payments.intents.change(house.scope, dearer, IntentChange(amount_minor=1_701))
    desk.risk.tier = Tier.STEP_UP
    await house.payments.intents.confirm(house.scope, dearer, ConfirmOrder())
    await house.payments.intents.confirm(house.scope, anew, ConfirmOrder())
    before = [await house.intent(each) for each in (paid, canceled, dearer, anew)]
    assert [each.state for each in before] == [
        IntentState.SUCCEEDED,
        IntentState.CANCELED,
        IntentState.REQUIRES_ACTION,
        IntentState.REQUIRES_ACTION,
    ]
    for stood in before:
        await desk.hear(stood.id)
        assert await house.intent(stood.id) == stood


async def test_proof_on_another_tab_wins_over_a_failure_that_is_heard_late(desk: Desk) -> None:
    waiting = await desk.wait()
    failed = await desk.type(await desk.opened(waiting), WRONG, 5)
    passed = await desk.opened(waiting)
    assert passed.id != failed.id
    assert (await desk.type(passed, RIGHT)).state is ChallengeState.PASSED
    await desk.hear(waiting)
    assert (await desk.house.intent(waiting)).state is IntentState.REQUIRES_ACTION
    desk.risk.tier = Tier.FRICTIONLESS
    await desk.house.payments.intents.confirm(desk.house.scope, waiting, ConfirmOrder())
    await desk.hear(waiting)
    assert (await desk.house.intent(waiting)).state is IntentState.SUCCEEDED


async def test_failure_and_cancellation_at_once_end_as_one_of_them(desk: Desk) -> None:
    for _ in range(4):
        waiting = await desk.wait()
        await desk.type(await desk.opened(waiting), WRONG, 5)
        await asyncio.gather(
            desk.hear(waiting),
            desk.house.payments.intents.cancel(desk.house.scope, waiting),
            desk.hear(waiting),
        )
        intent = await desk.house.intent(waiting)
        assert intent.state is IntentState.CANCELED
        assert intent.next_action is None


@pytest.mark.parametrize("end", ["cancel", "expire", "change"])
async def test_challenge_of_a_payment_that_is_given_up_is_abandoned_and_teaches_nothing(
    desk: Desk, end: str
) -> None:
    house = desk.house
    waiting = await desk.wait(expires_at=house.clock.now() + timedelta(minutes=5))
    challenge = await desk.opened(waiting)
    if end == "cancel":
        await house.payments.intents.cancel(house.scope, waiting, CancelReason.ABANDONED)
    elif end == "expire":
        await house.pass_time(300)
    else:
        await house.payments.intents.change(house.scope, waiting, IntentChange(amount_minor=1_800))
    intent = await house.intent(waiting)
    assert intent.state is (IntentState.REQUIRES_CONFIRMATION if end == "change" else IntentState.CANCELED)
    assert intent.next_action is None
    assert await desk.state(challenge) is ChallengeState.ABANDONED
    assert await desk.proving.facts(waiting) == []


@pytest.mark.parametrize(
    ("tier", "state"),
    [
        (Tier.FRICTIONLESS, IntentState.SUCCEEDED),
        (Tier.DECLINE, IntentState.REQUIRES_PAYMENT_METHOD),
        (Tier.STEP_UP, IntentState.REQUIRES_ACTION),
    ],
)
async def test_payment_that_is_judged_anew_keeps_its_challenge_only_where_that_is_wanted(
    desk: Desk, tier: Tier, state: IntentState
) -> None:
    waiting = await desk.wait()
    challenge = await desk.opened(waiting)
    desk.risk.tier = tier
    await desk.house.payments.intents.confirm(desk.house.scope, waiting, ConfirmOrder())
    intent = await desk.house.intent(waiting)
    assert intent.state is state
    is_wanted = tier is Tier.STEP_UP
    assert (intent.next_action is not None) == is_wanted
    assert (await desk.state(challenge) is ChallengeState.OPEN) == is_wanted
    if tier is Tier.DECLINE:
        assert intent.due_at == intent.expires_at


async def test_description_may_change_while_the_payer_is_asked(desk: Desk) -> None:
    waiting = await desk.wait()
    challenge = await desk.opened(waiting)
    change = IntentChange(description="tea", metadata={"a": "b"})
    await desk.house.payments.intents.change(desk.house.scope, waiting, change)
    intent = await desk.house.intent(waiting)
    assert intent.state is IntentState.REQUIRES_ACTION
    assert intent.next_action is not None
    assert await desk.state(challenge) is ChallengeState.OPEN


async def test_payment_that_waits_for_a_channel_is_not_ended_by_a_proof(
    payments_database: Database, ids: IdFactory
) -> None:
    async with open_house(payments_database, ids) as house:
        view = await house.pay()
        fact = Proved(
            occurred_at=house.clock.now(),
            signals_id=ids.uuid(),
            book_id=house.scope.book_id,
            live=False,
            subject_id=view.intent.id,
            means="code",
            is_passed=False,
        )
        unknown = Proved(
            occurred_at=house.clock.now(),
            signals_id=ids.uuid(),
            book_id=house.scope.book_id,
            live=False,
            subject_id=ids.uuid(),
            means="code",
            is_passed=False,
        )
        now = house.clock.now()
        delivered = [
            Delivered(place, ids.uuid(), topic_of(Proved), "", now, now, each)
            for place, each in enumerate((unknown, fact), 1)
        ]
        await house.payments.step_ups.heard(delivered)
        assert await house.intent(view.intent.id) == view.intent
