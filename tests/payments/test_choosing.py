"""Choosing: others' failures never fail a payment, and nobody is charged in absence without having permitted it."""

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import msgspec
import pytest
from tests.payments.conftest import CARD, House, open_house
from tests.payments.permissions import absent, given_mandate, mandates_of, saved_method
from tests.payments.scripted import UNRESOLVED, ScriptedChannel, declined

from tongbao.channels.schema import Answer, Authorize, Card, Follow, Initiator, Mode, Outcome, Reason
from tongbao.core.db import Database
from tongbao.core.errors import Unavailable
from tongbao.core.ids import IdFactory
from tongbao.payments.errors import BadParameter, Missing, WrongState
from tongbao.payments.ports import RiskQuestion, Route, RouteQuestion, Verdict
from tongbao.payments.schema.intents import RiskState
from tongbao.payments.schema.methods import MandateState
from tongbao.payments.schema.orders import ConfirmOrder, MandateTerms
from tongbao.payments.service.plain_hooks import FirstChannel
from tongbao.risk.schema.tiers import Tier

NOT_SENT = Answer(outcome=Outcome.NOT_SENT, code="connect")
BROKEN = [RuntimeError("bug"), Unavailable("model_away", "no answer"), TimeoutError(), ZeroDivisionError()]


class BrokenRisk:
    """Risk control that answers every question with the same failure."""

    def __init__(self, failure: Exception) -> None:
        self._failure = failure
        self.questions: list[RiskQuestion] = []

    async def assess(self, question: RiskQuestion) -> Verdict:
        self.questions.append(question)
        raise self._failure


class Told(FirstChannel):
    """Routing that does what the test says, and remembers what it was asked."""

    def __init__(self, says: Route | Exception) -> None:
        self.says = says
        self.questions: list[RouteQuestion] = []

    async def choose(self, question: RouteQuestion) -> Route:
        self.questions.append(question)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


class Codes:
    """A memory of security codes that writes down what was forgotten, and how many calls had been made by then."""

    def __init__(self) -> None:
        self.channels: list[ScriptedChannel] = []
        self.forgotten: list[tuple[str, int]] = []

    def forget_cvc(self, token: str) -> None:
        self.forgotten.append((token, sum(len(channel.asked("authorize")) for channel in self.channels)))


@pytest.fixture
async def coded(payments_database: Database, ids: IdFactory) -> AsyncIterator[tuple[House, Codes]]:
    """A house with a memory of security codes."""
    codes = Codes()
    async with open_house(payments_database, ids, cards=codes) as house:
        codes.channels = [house.channel("one"), house.channel("two")]
        yield house, codes
        await house.check_books()


@contextlib.asynccontextmanager
async def routed(database: Database, ids: IdFactory, says: Route | Exception) -> AsyncIterator[House]:
    """A house with three channels (``zero``, ``one``, ``two``) whose routing says this."""
    routing = Told(says)
    async with open_house(database, ids, routing=routing, channels=[ScriptedChannel("zero")]) as house:
        yield house
        assert routing.questions[0].candidates == ("zero", "one", "two")
        await house.check_books()


def called(house: House) -> list[str]:
    return [name for name in ("zero", "one", "two") if house.channel(name).calls]


# Risk control


@pytest.mark.parametrize("failure", BROKEN, ids=lambda failure: type(failure).__name__)
async def test_payment_without_a_verdict_goes_on_and_is_reviewed(
    payments_database: Database, ids: IdFactory, failure: Exception
) -> None:
    risk = BrokenRisk(failure)
    async with open_house(payments_database, ids, risk=risk) as house:
        view = await house.pay()
        assert (view.intent.state, view.intent.risk_state) == ("succeeded", RiskState.REVIEW)
        assert (await house.intent(view.intent.id)).risk_state is RiskState.REVIEW
        assert [question.intent.id for question in risk.questions] == [view.intent.id]
        assert len(house.channel().asked("authorize")) == 1
        await house.check_books()


async def test_risk_control_is_told_what_is_about_to_be_tried(
    payments_database: Database, ids: IdFactory
) -> None:
    risk = BrokenRisk(RuntimeError("bug"))
    async with open_house(payments_database, ids, risk=risk) as house:
        customer_id = house.ids.uuid()
        method = await saved_method(house, customer_id)
        await given_mandate(house, method, customer_id)
        await house.pay(confirm=ConfirmOrder(method=CARD, payer_address="10.0.0.1"))
        await house.pay(customer_id=customer_id, confirm=absent(method.id))
        asked = [(each.method, each.initiator, each.payer_address) for each in risk.questions]
        assert asked == [(CARD, Initiator.PAYER, "10.0.0.1"), (CARD, Initiator.MERCHANT, None)]


# Routing


@pytest.mark.parametrize("failure", BROKEN, ids=lambda failure: type(failure).__name__)
async def test_routing_that_fails_leaves_the_first_candidate(
    payments_database: Database, ids: IdFactory, failure: Exception
) -> None:
    async with routed(payments_database, ids, failure) as house:
        view = await house.pay()
        assert (view.intent.state, called(house)) == ("succeeded", ["zero"])


async def test_routing_that_fails_still_leaves_the_other_candidates_to_fall_back_on(
    payments_database: Database, ids: IdFactory
) -> None:
    async with routed(payments_database, ids, RuntimeError("bug")) as house:
        house.channel("zero").reply("authorize", NOT_SENT)
        view = await house.pay()
        assert await house.states(view.intent.id) == ("succeeded", ["declined", "charged"])
        assert called(house) == ["zero", "one"]


@pytest.mark.parametrize(
    ("route", "tried"),
    [
        (Route("two", ("zero", "one")), ["two", "zero", "one"]),
        (Route("two"), ["two"]),
        (Route("one", ("nobody", "wallet", "two")), ["one", "two"]),
        (Route("one", ("one", "two", "two", "zero")), ["one", "two", "zero"]),
        (Route("nobody", ("two",)), ["zero", "one", "two"]),
        (Route("wallet"), ["zero", "one", "two"]),
    ],
)
async def test_route_is_followed_as_far_as_its_channels_are_candidates_each_once(
    payments_database: Database, ids: IdFactory, route: Route, tried: list[str]
) -> None:
    async with routed(payments_database, ids, route) as house:
        for name in ("zero", "one", "two"):
            house.channel(name).reply("authorize", NOT_SENT)
        view = await house.pay()
        assert [each.channel for each in await house.attempts(view.intent.id)] == tried
        assert all(len(house.channel(name).asked("authorize")) <= 1 for name in ("zero", "one", "two"))


async def test_routing_is_not_asked_where_nobody_can_carry_the_payment(
    payments_database: Database, ids: IdFactory
) -> None:
    routing = Told(Route("one"))
    async with open_house(payments_database, ids, routing=routing) as house:
        house.payments.channels.switch("two", enabled=False)
        house.channel().can(amount_minor_min=5_000)
        with pytest.raises(WrongState) as refused:
            await house.pay(1999)
        assert refused.value.code == "no_channel"
        assert refused.value.facts["objections"] == {
            "one": "amount_too_small",
            "two": "disabled",
            "wallet": "method_not_supported",
        }
        assert (routing.questions, await house.facts()) == ([], [])


# Whose payments a channel takes


@pytest.mark.parametrize(("live", "name"), [(False, "two"), (True, "one")])
async def test_payment_goes_over_a_channel_of_its_own_mode_and_falls_back_on_no_other(
    payments_database: Database, ids: IdFactory, *, live: bool, name: str
) -> None:
    modes = {"one": Mode.LIVE, "two": Mode.TEST}
    async with open_house(payments_database, ids, modes=modes) as house:
        house.scope = msgspec.structs.replace(house.scope, live=live)
        view = await house.pay()
        assert view.attempt is not None
        assert (view.intent.live, view.intent.state, view.attempt.channel) == (live, "succeeded", name)
        house.channel(name).reply("authorize", NOT_SENT)
        view = await house.pay()
        assert await house.states(view.intent.id) == ("requires_payment_method", ["declined"])
        assert called_of(house) == {name}
        await house.check_books()


async def test_test_payment_where_all_channels_are_live_is_refused_and_says_so(
    payments_database: Database, ids: IdFactory
) -> None:
    modes = {"one": Mode.LIVE, "two": Mode.LIVE}
    async with open_house(payments_database, ids, modes=modes) as house:
        with pytest.raises(WrongState) as refused:
            await house.pay()
        assert refused.value.code == "no_channel"
        assert refused.value.facts["objections"] == {
            "one": "other_mode",
            "two": "other_mode",
            "wallet": "method_not_supported",
        }
        assert called_of(house) == set()


@pytest.mark.parametrize(("live", "name"), [(False, "two"), (True, "one")])
async def test_card_is_checked_for_later_use_at_a_channel_of_its_own_mode(
    payments_database: Database, ids: IdFactory, *, live: bool, name: str
) -> None:
    modes = {"one": Mode.LIVE, "two": Mode.TEST}
    async with open_house(payments_database, ids, modes=modes) as house:
        house.scope = msgspec.structs.replace(house.scope, live=live)
        method = await saved_method(house)
        done = await house.payments.setups.create(house.scope, method_id=method.id, confirm=True)
        assert done.view is not None
        assert (done.view.setup.state, called_of(house)) == ("succeeded", {name})


@pytest.mark.parametrize(("usage", "checked_at"), [("off_session", "two"), ("on_session", "one")])
async def test_card_for_use_off_session_is_checked_where_mandates_are_taken(
    house: House, usage: str, checked_at: str
) -> None:
    house.channel("one").can(mandates=False)
    method = await saved_method(house)
    await house.payments.setups.create(house.scope, method_id=method.id, usage=usage, confirm=True)
    assert called_of(house) == {checked_at}


def called_of(house: House) -> set[str]:
    return {name for name in ("one", "two") if house.channel(name).calls}


# Payers who are not here


async def test_charge_in_absence_without_a_mandate_is_refused_and_nothing_is_sent(house: House) -> None:
    customer_id = house.ids.uuid()
    method = await saved_method(house, customer_id)
    for confirm in (absent(method.id), ConfirmOrder(method=CARD, off_session=True)):
        with pytest.raises(WrongState) as refused:
            await house.pay(customer_id=customer_id, confirm=confirm)
        assert refused.value.code == "mandate_missing"
    assert house.channel().calls == []
    assert await house.events() == ["payment_method.attached"]


async def test_charge_in_absence_takes_the_only_mandate_of_its_method(house: House) -> None:
    customer_id = house.ids.uuid()
    method, other = await saved_method(house, customer_id), await saved_method(house, customer_id)
    mandate = await given_mandate(house, method, customer_id)
    await given_mandate(house, other, customer_id)
    view = await house.pay(700, customer_id=customer_id, confirm=absent(method.id))
    assert (view.intent.state, view.intent.mandate_id) == ("succeeded", mandate.id)
    (call,) = house.channel().asked("authorize")
    assert isinstance(call, Authorize)
    assert (call.initiator, call.network_reference) == (Initiator.MERCHANT, mandate.network_reference)
    used = await house.payments.setups.mandate(house.scope, mandate.id)
    assert (used.used_minor, used.used_count) == (700, 1)


@pytest.mark.parametrize(
    ("older", "newer", "amount_minor", "why"),
    [
        (MandateTerms(amount_minor_max=9_999), MandateTerms(amount_minor_max=500), 501, "at most 500"),
        (MandateTerms(amount_minor_max=500), MandateTerms(amount_minor_max=9_999), 501, None),
        (MandateTerms(), MandateTerms(currency="usd"), 100, "is in USD"),
        (MandateTerms(), MandateTerms(period="day", period_minor_max=99), 100, "at most 99"),
    ],
)
async def test_caps_of_the_newest_mandate_hold_though_nobody_names_it(
    house: House, older: MandateTerms, newer: MandateTerms, amount_minor: int, why: str | None
) -> None:
    customer_id = house.ids.uuid()
    method = await saved_method(house, customer_id)
    for terms in (older, newer):
        newest = await given_mandate(house, method, customer_id, terms)
    paying = house.pay(amount_minor, customer_id=customer_id, confirm=absent(method.id))
    if why is None:
        assert (await paying).intent.mandate_id == newest.id
        return
    with pytest.raises(WrongState, match=why) as refused:
        await paying
    assert (refused.value.code, refused.value.facts["mandate"]) == ("mandate_invalid", newest.reference)
    assert house.channel().calls == []


async def test_mandate_that_is_named_comes_before_the_newest(house: House) -> None:
    customer_id = house.ids.uuid()
    method = await saved_method(house, customer_id)
    older = await given_mandate(house, method, customer_id)
    await given_mandate(house, method, customer_id, MandateTerms(amount_minor_max=1))
    view = await house.pay(700, customer_id=customer_id, confirm=absent(method.id, mandate_id=older.id))
    assert (view.intent.state, view.intent.mandate_id) == ("succeeded", older.id)
    with pytest.raises(Missing):
        await house.pay(700, customer_id=customer_id, confirm=absent(method.id, mandate_id=house.ids.uuid()))


async def test_mandate_that_has_ended_is_passed_over_for_an_active_one(house: House) -> None:
    customer_id = house.ids.uuid()
    method = await saved_method(house, customer_id)
    active = await given_mandate(house, method, customer_id)
    ended = await given_mandate(house, method, customer_id)
    await house.payments.setups.end_mandate(house.scope, ended.id)
    view = await house.pay(customer_id=customer_id, confirm=absent(method.id))
    assert (view.intent.state, view.intent.mandate_id) == ("succeeded", active.id)
    await house.payments.setups.end_mandate(house.scope, active.id)
    with pytest.raises(WrongState, match="is not active") as refused:
        await house.pay(customer_id=customer_id, confirm=absent(method.id))
    assert refused.value.code == "mandate_invalid"


async def test_mandate_whose_end_has_come_permits_nothing(house: House) -> None:
    customer_id = house.ids.uuid()
    method = await saved_method(house, customer_id)
    ends_at = house.clock.now() + timedelta(days=1)
    await given_mandate(house, method, customer_id, MandateTerms(ends_at=ends_at))
    await house.pay(customer_id=customer_id, confirm=absent(method.id))
    house.clock.advance(timedelta(days=1))
    with pytest.raises(WrongState, match="has ended"):
        await house.pay(customer_id=customer_id, confirm=absent(method.id))


async def test_mandate_of_another_merchant_is_nobodys(house: House) -> None:
    customer_id = house.ids.uuid()
    theirs = await saved_method(house, customer_id)
    mandate = await given_mandate(house, theirs, customer_id)
    house.scope = house.new_scope()
    mine = await saved_method(house, customer_id)
    with pytest.raises(WrongState, match="no mandate"):
        await house.pay(customer_id=customer_id, confirm=absent(mine.id))
    with pytest.raises(Missing):
        await house.pay(customer_id=customer_id, confirm=absent(mine.id, mandate_id=mandate.id))


async def test_payer_who_is_here_needs_no_mandate_and_uses_none_up(house: House) -> None:
    customer_id = house.ids.uuid()
    method = await saved_method(house, customer_id)
    mandate = await given_mandate(house, method, customer_id, MandateTerms(amount_minor_max=1))
    view = await house.pay(customer_id=customer_id, confirm=ConfirmOrder(method_id=method.id))
    assert (view.intent.state, view.intent.mandate_id) == ("succeeded", None)
    assert (await house.payments.setups.mandate(house.scope, mandate.id)).used_count == 0


@pytest.mark.parametrize("own_card", [True, False])
async def test_payer_who_comes_back_after_a_charge_in_absence_failed_pays_without_the_mandate(
    house: House, *, own_card: bool
) -> None:
    customer_id: UUID = house.ids.uuid()
    method = await saved_method(house, customer_id)
    mandate = await given_mandate(house, method, customer_id)
    house.channel().reply("authorize", declined(Reason.AUTHENTICATION_REQUIRED))
    view = await house.pay(customer_id=customer_id, confirm=absent(method.id))
    assert view.intent.state == "requires_payment_method"
    await house.payments.setups.end_mandate(house.scope, mandate.id)
    again = ConfirmOrder(method_id=method.id) if own_card else ConfirmOrder(method=CARD)
    done = await house.payments.intents.confirm(house.scope, view.intent.id, again)
    assert done.view is not None
    assert (done.view.intent.state, done.view.intent.mandate_id) == ("succeeded", None)
    call = house.channel().asked("authorize")[-1]
    assert isinstance(call, Authorize)
    assert (call.initiator, call.network_reference) == (Initiator.PAYER, None)
    assert (await mandates_of(house, customer_id))[0].state is MandateState.INACTIVE


async def test_charge_in_absence_is_repeated_under_the_mandate_of_the_other_card(house: House) -> None:
    customer_id = house.ids.uuid()
    first, second = await saved_method(house, customer_id), await saved_method(house, customer_id)
    await given_mandate(house, first, customer_id)
    permits_second = await given_mandate(house, second, customer_id)
    house.channel().reply("authorize", declined(Reason.CARD_EXPIRED))
    view = await house.pay(customer_id=customer_id, confirm=absent(first.id))
    done = await house.payments.intents.confirm(house.scope, view.intent.id, absent(second.id))
    assert done.view is not None
    assert (done.view.intent.state, done.view.intent.mandate_id) == ("succeeded", permits_second.id)


async def test_method_that_is_missing_or_unknown_is_refused(house: House) -> None:
    with pytest.raises(BadParameter) as refused:
        await house.pay(confirm=ConfirmOrder(off_session=True))
    assert refused.value.code == "payment_intent_payment_method_missing"
    with pytest.raises(Missing):
        await house.pay(confirm=absent(house.ids.uuid()))


# Security codes


@pytest.mark.parametrize(
    "answer",
    [None, declined(Reason.CARD_EXPIRED), UNRESOLVED, Answer(outcome=Outcome.PENDING)],
    ids=["approved", "declined", "unresolved", "pending"],
)
async def test_security_code_is_forgotten_once_its_authorization_was_asked_for(
    coded: tuple[House, Codes], answer: Answer | None
) -> None:
    house, codes = coded
    if answer is not None:
        house.channel().reply("authorize", answer)
    await house.pay()
    assert codes.forgotten == [(CARD.token, 1)]


async def test_security_code_is_kept_until_the_last_channel_of_a_cascade_was_asked(
    coded: tuple[House, Codes],
) -> None:
    house, codes = coded
    house.channel("one").reply("authorize", NOT_SENT)
    view = await house.pay()
    assert await house.states(view.intent.id) == ("succeeded", ["declined", "charged"])
    assert codes.forgotten == [(CARD.token, 2)]


async def test_security_code_of_a_saved_card_is_forgotten_too_and_only_its_own(
    coded: tuple[House, Codes],
) -> None:
    house, codes = coded
    other = msgspec.structs.replace(CARD, token="tok_other")
    made = (await house.payments.methods.create(house.scope, other)).view
    assert made is not None
    await house.pay(confirm=ConfirmOrder(method_id=made.id))
    assert codes.forgotten == [("tok_other", 1)]


async def test_security_code_is_forgotten_after_a_card_was_checked_for_later_use(
    coded: tuple[House, Codes],
) -> None:
    house, codes = coded
    method = await saved_method(house)

    async def still_known(call: object) -> Answer:
        assert codes.forgotten == []
        assert isinstance(call, Authorize | Follow)
        assert isinstance(call.method, Card)
        return declined(Reason.CVC_INCORRECT)

    house.channel().reply("authorize", still_known)
    await house.payments.setups.create(house.scope, method_id=method.id, confirm=True)
    assert codes.forgotten == [(CARD.token, 1)]


async def test_payment_that_was_refused_before_it_was_sent_forgets_nothing(
    coded: tuple[House, Codes],
) -> None:
    house, codes = coded
    with pytest.raises(WrongState):
        await house.pay(currency="eur")
    assert codes.forgotten == []


async def test_verdict_of_a_working_risk_control_is_not_overruled(
    payments_database: Database, ids: IdFactory
) -> None:
    class Declines:
        async def assess(self, question: RiskQuestion) -> Verdict:
            del question
            return Verdict(tier=Tier.DECLINE)

    codes = Codes()
    async with open_house(payments_database, ids, risk=Declines(), cards=codes) as house:
        view = await house.pay()
        assert (view.intent.state, view.intent.risk_state) == ("requires_payment_method", RiskState.BLOCKED)
        assert (called_of(house), codes.forgotten) == (set(), [])
