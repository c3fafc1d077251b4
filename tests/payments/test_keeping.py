"""Keeping for later: committed with the success, once, whoever brings the news of it."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest
from tests.payments.conftest import CARD, House
from tests.payments.permissions import absent, given_mandate, mandates_of, methods_of, saved_method
from tests.payments.scripted import UNRESOLVED, approved, declined

from tongbao.channels.schema import Answer, Authorize, NotificationKind, Outcome, Reason
from tongbao.payments.schema.intents import Certainty
from tongbao.payments.schema.methods import Mandate, MandateState, PaymentMethod
from tongbao.payments.schema.orders import ConfirmOrder, IntentOrder, IntentView

ATTACHED = "payment_method.attached"


def yes(*, captured: bool = True, amount_minor: int = 1999) -> Answer:
    return Answer(
        outcome=Outcome.APPROVED,
        amount_minor=amount_minor,
        currency="CNY",
        captured=captured,
        network_reference="net-told",
    )


async def keep(house: House, usage: str = "off_session", **fields: object) -> IntentView:
    """Pay as a customer who permits it to be repeated."""
    values: dict[str, object] = {"customer_id": house.ids.uuid(), "setup_future_usage": usage}
    return await house.pay(**(values | fields))  # type: ignore[arg-type]


async def kept(house: House, view: IntentView) -> tuple[list[PaymentMethod], list[Mandate]]:
    """What the customer of a payment keeps: methods and mandates."""
    customer_id = view.intent.customer_id
    assert customer_id is not None
    return await methods_of(house, customer_id), await mandates_of(house, customer_id)


async def charge_id(house: House, view: IntentView) -> UUID:
    return (await house.attempts(view.intent.id))[-1].id


async def is_inquired(house: House, view: IntentView) -> None:
    """Let the resolver ask for the end of a payment, which was a yes."""
    del view
    house.channel().reply("inquire", yes())
    await house.pass_time(5)


async def is_notified(house: House, view: IntentView) -> None:
    """Let the channel tell of a yes, three times."""
    (attempt,) = await house.attempts(view.intent.id)
    for _ in range(3):
        await house.notify(NotificationKind.PAYMENT, attempt.reference, yes())


# What is kept


async def test_payment_for_use_off_session_attaches_its_card_and_is_a_mandate(house: House) -> None:
    began_at = house.clock.now()
    view = await keep(house)
    (method,), (mandate,) = await kept(house, view)
    assert (method.id, method.method) == (view.intent.method_id, CARD)
    assert view.attempt is not None
    assert mandate.network_reference == view.attempt.network_reference
    assert mandate.network_reference is not None
    assert (mandate.state, mandate.method_id, mandate.currency) == (MandateState.ACTIVE, method.id, "CNY")
    assert (mandate.live, mandate.accepted_at) == (False, began_at)
    caps = (mandate.amount_minor_max, mandate.period, mandate.period_minor_max, mandate.period_count_max)
    assert caps == (None, None, None, None)
    assert (mandate.used_count, mandate.ends_at, mandate.single_use) == (0, None, False)


async def test_what_is_kept_is_told_in_the_fact_of_the_success(house: House) -> None:
    await keep(house)
    (fact,) = await house.facts()
    assert [event.type for event in fact.events] == [
        "payment_intent.created",
        "payment_intent.succeeded",
        "charge.succeeded",
        ATTACHED,
    ]


async def test_payment_for_use_on_session_attaches_its_card_and_permits_nothing(house: House) -> None:
    view = await keep(house, "on_session")
    (method,), mandates = await kept(house, view)
    assert (method.id, mandates) == (view.intent.method_id, [])
    assert (await house.events()).count(ATTACHED) == 1


@pytest.mark.parametrize("usage", ["off_session", "on_session"])
async def test_payment_without_a_customer_keeps_nothing(house: House, usage: str) -> None:
    view = await keep(house, usage, customer_id=None)
    assert view.intent.state == "succeeded"
    (method,) = await methods_of(house, None)
    assert (method.customer_id, await mandates_of(house, None)) == (None, [])
    assert ATTACHED not in await house.events()


async def test_payment_that_asks_for_nothing_keeps_nothing(house: House) -> None:
    view = await house.pay(customer_id=house.ids.uuid())
    assert await kept(house, view) == ([], [])


async def test_card_that_the_customer_has_already_is_not_attached_again(house: House) -> None:
    customer_id = house.ids.uuid()
    method = await saved_method(house, customer_id)
    view = await keep(house, customer_id=customer_id, confirm=ConfirmOrder(method_id=method.id))
    methods, (mandate,) = await kept(house, view)
    assert methods == [method]
    assert mandate.method_id == method.id
    assert (await house.events()).count(ATTACHED) == 1


async def test_payment_under_a_mandate_is_no_second_one(house: House) -> None:
    customer_id = house.ids.uuid()
    method = await saved_method(house, customer_id)
    mandate = await given_mandate(house, method, customer_id)
    view = await keep(house, customer_id=customer_id, confirm=absent(method.id))
    assert view.intent.state == "succeeded"
    assert [each.id for each in await mandates_of(house, customer_id)] == [mandate.id]


async def test_mandate_of_a_payment_permits_the_next_one_in_absence(house: House) -> None:
    first = await keep(house)
    _, (mandate,) = await kept(house, first)
    assert first.intent.method_id is not None
    paid = await house.pay(700, customer_id=first.intent.customer_id, confirm=absent(first.intent.method_id))
    assert (paid.intent.state, paid.intent.mandate_id) == ("succeeded", mandate.id)
    call = house.channel().asked("authorize")[-1]
    assert isinstance(call, Authorize)
    assert call.network_reference == mandate.network_reference
    assert (await house.payments.setups.mandate(house.scope, mandate.id)).used_minor == 700


async def test_payment_confirmed_after_it_was_made_keeps_as_well(house: House) -> None:
    order = IntentOrder(
        amount_minor=700, currency="cny", customer_id=house.ids.uuid(), setup_future_usage="off_session"
    )
    made = (await house.payments.intents.create(house.scope, order)).view
    assert made is not None
    assert await kept(house, made) == ([], [])
    done = await house.payments.intents.confirm(house.scope, made.intent.id, ConfirmOrder(method=CARD))
    assert done.view is not None
    methods, mandates = await kept(house, done.view)
    assert (len(methods), len(mandates)) == (1, 1)


# When it is kept


@pytest.mark.parametrize("tells", [is_inquired, is_notified])
async def test_success_that_comes_later_keeps_once(
    house: House, tells: Callable[[House, IntentView], Awaitable[None]]
) -> None:
    house.channel().reply("authorize", UNRESOLVED)
    view = await keep(house)
    assert (view.intent.state, await kept(house, view)) == ("processing", ([], []))
    await tells(house, view)
    assert (await house.intent(view.intent.id)).state == "succeeded"
    (method,), (mandate,) = await kept(house, view)
    assert (mandate.method_id, mandate.network_reference) == (method.id, "net-told")
    assert (await house.facts())[-1].events[-1].type == ATTACHED
    assert (await house.events()).count(ATTACHED) == 1


async def test_success_that_is_told_before_it_is_answered_keeps_once(house: House) -> None:
    async def told_first(call: object) -> Answer:
        assert isinstance(call, Authorize)
        await house.notify(NotificationKind.PAYMENT, call.reference, yes())
        return approved(call, captured=True)

    house.channel().reply("authorize", told_first)
    view = await keep(house)
    methods, mandates = await kept(house, view)
    assert (view.intent.state, len(methods), len(mandates)) == ("succeeded", 1, 1)
    assert (await house.events()).count(ATTACHED) == 1


@pytest.mark.parametrize(
    "answer",
    [declined(Reason.CARD_EXPIRED), Answer(outcome=Outcome.NOT_SENT), yes(amount_minor=1)],
    ids=["declined", "not sent", "another amount"],
)
async def test_payment_that_does_not_succeed_keeps_nothing(house: House, answer: Answer) -> None:
    house.channel("two").can(amount_minor_min=100_000)
    house.channel().reply("authorize", answer)
    view = await keep(house)
    assert view.intent.state != "succeeded"
    assert await kept(house, view) == ([], [])


async def test_success_that_comes_too_late_and_is_given_back_keeps_nothing(house: House) -> None:
    house.channel().reply("authorize", UNRESOLVED)
    view = await keep(house)
    await house.pass_time(61)
    await house.payments.intents.cancel(house.scope, view.intent.id)
    attempt_id = await charge_id(house, view)
    await house.payments.resolving.settle(house.scope.book_id, attempt_id, yes(), is_inquiry=True)
    assert await house.states(view.intent.id) == ("canceled", ["reversing"])
    assert await kept(house, view) == ([], [])


async def test_cascade_keeps_what_the_channel_that_took_it_said(house: House) -> None:
    house.channel().reply("authorize", Answer(outcome=Outcome.NOT_SENT))
    view = await keep(house)
    (method,), (mandate,) = await kept(house, view)
    assert view.attempt is not None
    assert (view.attempt.channel, mandate.network_reference) == ("two", view.attempt.network_reference)
    assert mandate.method_id == method.id


# Once


async def test_reservation_keeps_and_its_captures_keep_nothing_more(house: House) -> None:
    view = await house.reserve(1000, customer_id=house.ids.uuid(), setup_future_usage="off_session")
    before = await kept(house, view)
    assert [len(each) for each in before] == [1, 1]
    await house.payments.intents.capture(house.scope, view.intent.id, 400, final=False)
    await house.payments.intents.capture(house.scope, view.intent.id, 600)
    assert (await house.intent(view.intent.id)).state == "succeeded"
    assert await kept(house, view) == before


async def test_reservation_that_is_captured_at_the_channel_keeps_nothing_twice(house: House) -> None:
    view = await house.reserve(1000, customer_id=house.ids.uuid(), setup_future_usage="off_session")
    before = await kept(house, view)
    assert view.attempt is not None
    await house.notify(NotificationKind.PAYMENT, view.attempt.reference, yes(amount_minor=1000))
    assert await house.states(view.intent.id) == ("succeeded", ["captured"])
    assert await kept(house, view) == before
    assert (await house.events())[-2:] == ["payment_intent.succeeded", "charge.captured"]


async def test_contradiction_of_a_success_keeps_nothing_twice(house: House) -> None:
    view = await keep(house)
    before = await kept(house, view)
    assert view.attempt is not None
    await house.notify(NotificationKind.PAYMENT, view.attempt.reference, yes(amount_minor=1500))
    assert (await house.intent(view.intent.id)).certainty is Certainty.CONFLICTED
    assert await kept(house, view) == before


async def test_card_that_was_detached_stays_detached_whatever_the_channel_says_later(house: House) -> None:
    view = await house.reserve(1000, customer_id=house.ids.uuid(), setup_future_usage="on_session")
    assert view.intent.method_id is not None
    await house.payments.methods.detach(house.scope, view.intent.method_id)
    assert view.attempt is not None
    await house.notify(NotificationKind.PAYMENT, view.attempt.reference, yes(amount_minor=1000))
    assert (await house.intent(view.intent.id)).state == "succeeded"
    assert await kept(house, view) == ([], [])


# At the same time


async def test_card_that_another_customer_took_meanwhile_stays_theirs(house: House) -> None:
    method, other = await saved_method(house), house.ids.uuid()

    async def taken(call: object) -> Answer:
        assert isinstance(call, Authorize)
        await house.payments.methods.attach(house.scope, method.id, other)
        return approved(call, captured=True)

    house.channel().reply("authorize", taken)
    view = await keep(house, confirm=ConfirmOrder(method_id=method.id))
    assert (view.intent.state, await kept(house, view)) == ("succeeded", ([], []))
    assert [each.id for each in await methods_of(house, other)] == [method.id]


async def test_card_that_changed_meanwhile_is_kept_as_it_stands(house: House) -> None:
    method = await saved_method(house)

    async def changed(call: object) -> Answer:
        assert isinstance(call, Authorize)
        await house.payments.methods.change(house.scope, method.id, metadata={"color": "red"})
        return approved(call, captured=True)

    house.channel().reply("authorize", changed)
    view = await keep(house, confirm=ConfirmOrder(method_id=method.id))
    (now,), (mandate,) = await kept(house, view)
    assert (now.metadata, now.version, mandate.method_id) == ({"color": "red"}, 3, method.id)


async def test_ten_payments_at_once_with_one_card_attach_it_once(house: House) -> None:
    method, customer_id = await saved_method(house), house.ids.uuid()
    confirm = ConfirmOrder(method_id=method.id)
    views = await asyncio.gather(
        *(keep(house, "on_session", customer_id=customer_id, confirm=confirm) for _ in range(10))
    )
    assert {view.intent.state.value for view in views} == {"succeeded"}
    assert [each.id for each in await methods_of(house, customer_id)] == [method.id]
    assert (await house.events()).count(ATTACHED) == 1
    assert len(house.channel().asked("authorize")) == 10


# The method that is given with a payment


@pytest.mark.parametrize("answer", [None, declined(Reason.CARD_EXPIRED), UNRESOLVED])
async def test_card_given_at_confirmation_is_a_method_that_charges_can_name(
    house: House, answer: Answer | None
) -> None:
    if answer is not None:
        house.channel().reply("authorize", answer)
    view = await house.pay()
    (method,) = await methods_of(house, None)
    assert (method.method, method.customer_id, method.live) == (CARD, None, False)
    (attempt,) = await house.attempts(view.intent.id)
    assert attempt.method_id == method.id
    assert view.method == method


async def test_card_given_with_the_intent_is_a_method_too(house: House) -> None:
    view = await house.pay(method=CARD, confirm=ConfirmOrder())
    assert [each.id for each in await methods_of(house, None)] == [view.intent.method_id]


async def test_request_that_is_repeated_makes_one_method(house: House) -> None:
    for _ in range(2):
        await house.payments.intents.create(
            house.scope,
            house.order(customer_id=UUID(int=7), setup_future_usage="off_session"),
            ask=house.ask("k"),
        )
    assert len(await methods_of(house, None)) == 1
    assert len(await mandates_of(house, UUID(int=7))) == 1


async def test_saved_card_is_not_saved_again(house: House) -> None:
    method = await saved_method(house)
    view = await house.pay(confirm=ConfirmOrder(method_id=method.id))
    assert view.intent.method_id == method.id
    assert await methods_of(house, None) == [method]


async def test_cascade_saves_the_card_once(house: House) -> None:
    house.channel().reply("authorize", Answer(outcome=Outcome.NOT_SENT))
    view = await house.pay()
    (method,) = await methods_of(house, None)
    assert [each.method_id for each in await house.attempts(view.intent.id)] == [method.id] * 2
