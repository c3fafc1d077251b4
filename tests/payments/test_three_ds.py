"""3-D Secure as a step-up: the issuer makes sure of the payer on the way of the payment, and risk control hears of it."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from tests.payments.conftest import CARD, House, open_house
from tests.payments.scripted import ScriptedChannel, approved, declined
from tests.payments.test_reviewing import Judge, told

from tongbao.channels.schema import (
    Action,
    ActionKind,
    Answer,
    Authentication,
    AuthenticationFlow,
    AuthenticationResult,
    Authorize,
    Initiator,
    NotificationKind,
    Outcome,
    Reason,
)
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.payments.errors import WrongState
from tongbao.payments.ports import RiskQuestion, Verdict
from tongbao.payments.schema.attempts import Attempt, AttemptState
from tongbao.payments.schema.intents import CaptureMethod, IntentState
from tongbao.payments.schema.orders import ConfirmOrder
from tongbao.risk.schema.facts import Proved
from tongbao.risk.schema.tiers import Tier

PAGE = "https://issuer.test/acs/1"
ASKS = Answer(outcome=Outcome.ACTION_REQUIRED, action=Action(kind=ActionKind.REDIRECT, url=PAGE), code="3D")
KNOWN = Authentication(
    result=AuthenticationResult.AUTHENTICATED, flow=AuthenticationFlow.CHALLENGE, version="2.2.0", eci="05"
)
ABSENT = Authentication(result=AuthenticationResult.NOT_SUPPORTED)


class ByIssuer:
    """Risk control that leaves it to the issuer to know the payer, and remembers what it was asked."""

    def __init__(self, ids: IdFactory, tier: Tier = Tier.STEP_UP) -> None:
        self.tier = tier
        self.asked: list[RiskQuestion] = []
        self._ids = ids

    async def assess(self, question: RiskQuestion) -> Verdict:
        self.asked.append(question)
        verdict = await Judge(self.tier, self._ids).assess(question)
        return Verdict(
            tier=verdict.tier,
            by_issuer=self.tier is Tier.STEP_UP,
            decision=verdict.decision,
            fact=verdict.fact,
        )


@pytest.fixture
async def risk(ids: IdFactory) -> ByIssuer:
    return ByIssuer(ids)


@pytest.fixture
async def house(payments_database: Database, ids: IdFactory, risk: ByIssuer) -> AsyncIterator[House]:
    """Two channels that authenticate stand behind one that does not."""
    channels = [
        ScriptedChannel("plain"),
        *(ScriptedChannel(each, authenticates=True) for each in ("3a", "3b")),
    ]
    async with open_house(payments_database, ids, risk=risk, channels=channels) as opened:
        yield opened
        await opened.check_books()


async def proofs(house: House, intent_id: UUID) -> list[tuple[str, bool]]:
    facts = [each for each in await told(house, Proved) if isinstance(each, Proved)]
    return [(each.means, each.is_passed) for each in facts if each.subject_id == intent_id]


async def attempt_of(house: House, intent_id: UUID) -> Attempt:
    return (await house.attempts(intent_id))[-1]


def asked(house: House, name: str) -> list[bool]:
    calls = house.channel(name).asked("authorize")
    return [call.authenticate for call in calls if isinstance(call, Authorize)]


async def test_payer_is_sent_to_the_issuer_and_what_comes_of_it_is_told_once(house: House) -> None:
    house.channel("3a").reply("authorize", ASKS)
    view = await house.pay()
    assert view.intent.state is IntentState.REQUIRES_ACTION
    assert view.intent.next_action is not None
    assert view.intent.next_action.url == PAGE
    assert (asked(house, "plain"), asked(house, "3a")) == ([], [True])
    assert await proofs(house, view.intent.id) == []
    attempt = await attempt_of(house, view.intent.id)
    call = house.channel("3a").asked("authorize")[0]
    assert isinstance(call, Authorize)
    yes = approved(call, captured=True, authentication=KNOWN)
    for _ in range(2):
        await house.notify(NotificationKind.PAYMENT, attempt.reference, yes, channel="3a")
    attempt = await attempt_of(house, view.intent.id)
    assert (attempt.state, attempt.authentication) == (AttemptState.CHARGED, KNOWN)
    assert (await house.intent(view.intent.id)).state is IntentState.SUCCEEDED
    assert await proofs(house, view.intent.id) == [("three_ds", True)]


async def test_issuer_that_knows_the_payer_without_asking_is_a_proof(house: House) -> None:
    async def yes(call: object) -> Answer:
        assert isinstance(call, Authorize)
        return approved(call, authentication=KNOWN)

    house.channel("3a").reply("authorize", yes)
    view = await house.pay(capture_method=CaptureMethod.MANUAL)
    assert view.intent.state is IntentState.REQUIRES_CAPTURE
    assert await proofs(house, view.intent.id) == [("three_ds", True)]
    await house.payments.intents.capture(house.scope, view.intent.id)
    assert await proofs(house, view.intent.id) == [("three_ds", True)]


async def test_payer_whom_the_issuer_does_not_know_is_declined_and_nothing_is_tried_elsewhere(
    house: House,
) -> None:
    house.channel("3a").reply("authorize", ASKS)
    view = await house.pay()
    attempt = await attempt_of(house, view.intent.id)
    no = declined(Reason.AUTHENTICATION_FAILED, "6P")
    for _ in range(2):
        await house.notify(NotificationKind.PAYMENT, attempt.reference, no, channel="3a")
    intent = await house.intent(view.intent.id)
    assert intent.state is IntentState.REQUIRES_PAYMENT_METHOD
    assert intent.last_error is not None
    assert intent.last_error.reason is Reason.AUTHENTICATION_FAILED
    assert await proofs(house, intent.id) == [("three_ds", False)]
    assert (asked(house, "plain"), asked(house, "3b")) == ([], [])


@pytest.mark.parametrize("said", [None, ABSENT])
@pytest.mark.parametrize("capture", [CaptureMethod.AUTOMATIC, CaptureMethod.MANUAL])
async def test_yes_without_the_proof_that_was_wanted_is_given_back(
    house: House, said: Authentication | None, capture: CaptureMethod
) -> None:
    async def yes(call: object) -> Answer:
        assert isinstance(call, Authorize)
        return approved(call, captured=call.capture, authentication=said)

    house.channel("3a").reply("authorize", yes)
    view = await house.pay(capture_method=capture)
    assert view.intent.state is IntentState.REQUIRES_PAYMENT_METHOD
    assert view.intent.last_error is not None
    assert view.intent.last_error.reason is Reason.AUTHENTICATION_FAILED
    await house.pass_time(5)
    assert (await attempt_of(house, view.intent.id)).state is AttemptState.REVERSED
    assert await proofs(house, view.intent.id) == [("three_ds", False)]
    operation = "refund" if capture is CaptureMethod.AUTOMATIC else "void"
    assert len(house.channel("3a").asked(operation)) == 1
    events = await house.events()
    assert "payment_intent.succeeded" not in events


async def test_decline_after_a_passed_check_is_told_as_passed_and_goes_on_with_another_that_checks(
    house: House,
) -> None:
    house.channel("3a").reply(
        "authorize",
        Answer(outcome=Outcome.DECLINED, reason=Reason.DO_NOT_HONOR, code="05", authentication=KNOWN),
    )
    house.channel("3b").reply("authorize", ASKS)
    view = await house.pay()
    assert view.intent.state is IntentState.REQUIRES_ACTION
    assert (asked(house, "3a"), asked(house, "3b"), asked(house, "plain")) == ([True], [True], [])
    assert await proofs(house, view.intent.id) == [("three_ds", True)]
    assert [each.must_prove for each in await house.attempts(view.intent.id)] == [True, True]


async def test_canceled_check_is_no_proof_either_way(house: House) -> None:
    house.channel("3a").reply("authorize", ASKS)
    view = await house.pay()
    await house.payments.intents.cancel(house.scope, view.intent.id)
    assert (await house.intent(view.intent.id)).state is IntentState.CANCELED
    assert await proofs(house, view.intent.id) == []


async def test_issuer_that_asks_for_it_gets_to_check_once(house: House, risk: ByIssuer) -> None:
    risk.tier = Tier.FRICTIONLESS
    no = declined(Reason.AUTHENTICATION_REQUIRED, "1A")
    house.channel("plain").reply("authorize", no)
    house.channel("3a").reply("authorize", ASKS)
    view = await house.pay()
    assert view.intent.state is IntentState.REQUIRES_ACTION
    assert (asked(house, "plain"), asked(house, "3a")) == ([False], [True])
    attempt = await attempt_of(house, view.intent.id)
    assert (attempt.authenticates, attempt.must_prove) == (True, False)
    house.channel("plain").reply("authorize", no)
    house.channel("3a").reply("authorize", no)
    other = await house.pay()
    assert other.intent.state is IntentState.REQUIRES_PAYMENT_METHOD
    assert asked(house, "3b") == []
    # The next confirmation of that payment begins with the check.
    house.channel("3a").reply("authorize", ASKS)
    await house.payments.intents.confirm(house.scope, other.intent.id, ConfirmOrder(method=CARD))
    assert (await house.intent(other.intent.id)).state is IntentState.REQUIRES_ACTION
    assert (asked(house, "plain"), asked(house, "3a")) == ([False, False], [True, True, True])


async def test_issuer_that_asks_for_it_and_is_not_reached_by_any_channel_keeps_its_no(
    payments_database: Database, ids: IdFactory
) -> None:
    async with open_house(payments_database, ids) as house:
        house.channel().reply("authorize", declined(Reason.AUTHENTICATION_REQUIRED, "1A"))
        view = await house.pay()
        assert view.intent.last_error is not None
        assert view.intent.last_error.reason is Reason.AUTHENTICATION_REQUIRED
        assert (await house.states(view.intent.id))[1] == ["declined"]


async def test_risk_control_knows_whether_an_issuer_can_check(house: House, risk: ByIssuer) -> None:
    house.channel("3a").reply("authorize", ASKS)
    await house.pay()
    for name in ("3a", "3b"):
        house.payments.channels.switch(name, enabled=False)
    with pytest.raises(WrongState, match="no channel"):
        await house.pay()
    assert [each.can_authenticate for each in risk.asked] == [True, False]
    assert {each.initiator for each in risk.asked} == {Initiator.PAYER}
