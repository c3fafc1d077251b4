"""Refunding: put aside at once, sent once, and back where the channel says no."""

import asyncio

import pytest
from tests.payments.conftest import House
from tests.payments.scripted import UNRESOLVED, declined

from tongbao.channels.schema import Answer, NotificationKind, Outcome, Reason
from tongbao.core.errors import AppError
from tongbao.payments.errors import BadAmount, BadParameter, Contended, Missing, WrongState
from tongbao.payments.schema.orders import IntentView, PageOrder, RefundView

PENDING = Answer(outcome=Outcome.PENDING)
NOT_SENT = Answer(outcome=Outcome.NOT_SENT)


def done(amount_minor: int) -> Answer:
    return Answer(outcome=Outcome.APPROVED, amount_minor=amount_minor, currency="CNY")


async def refund(house: House, view: IntentView, amount_minor: int | None = None) -> RefundView:
    made = await house.payments.refunds.create(
        house.scope, intent_id=view.intent.id, amount_minor=amount_minor
    )
    assert made.view is not None
    return made.view


async def test_refund_of_everything_returns_it(house: House) -> None:
    view = await house.pay(1000)
    refunded = await refund(house, view)
    assert (refunded.refund.state, refunded.intent.amount_refunded_minor) == ("succeeded", 1000)
    assert await house.balance("channel_receivable/one") == 0
    assert (await house.events())[-3:] == ["refund.created", "refund.updated", "charge.refunded"]


async def test_refunds_in_parts_end_where_nothing_is_left(house: House) -> None:
    view = await house.pay(1000)
    for amount in (300, 300, 400):
        await refund(house, view, amount)
        await house.check_books()
    with pytest.raises(WrongState) as refused:
        await refund(house, view, 1)
    assert refused.value.code == "charge_already_refunded"
    page = await house.payments.refunds.page(house.scope, PageOrder(parent_id=view.intent.id))
    assert [each.amount_minor for each in page.items] == [400, 300, 300]


async def test_refund_of_a_captured_part_is_bounded_by_the_part(house: House) -> None:
    view = await house.reserve(1000)
    await house.payments.intents.capture(house.scope, view.intent.id, 400)
    with pytest.raises(BadAmount, match="400 may be refunded"):
        await refund(house, view, 401)
    assert (await refund(house, view)).refund.amount_minor == 400


@pytest.mark.parametrize("answer", [declined(Reason.REFUND_TOO_LATE), NOT_SENT])
async def test_refund_that_fails_gives_the_merchant_its_money_back(house: House, answer: Answer) -> None:
    view = await house.pay(1000)
    house.channel().reply("refund", answer)
    failed = await refund(house, view, 400)
    assert (failed.refund.state, failed.intent.amount_refunded_minor) == ("failed", 0)
    assert await house.balance("in_transit") == 1000
    assert (await refund(house, view)).refund.state == "succeeded"


async def test_refund_that_takes_its_time_is_put_aside_until_it_is_notified(house: House) -> None:
    view = await house.pay(1000)
    house.channel().reply("refund", PENDING)
    pending = await refund(house, view, 400)
    assert pending.refund.state == "pending"
    assert (await house.balance("in_transit"), await house.balance("refund_clearing")) == (600, 400)
    await house.check_books()
    for _ in range(3):
        await house.notify(NotificationKind.REFUND, pending.refund.reference, done(400))
    assert (await house.payments.refunds.get(house.scope, pending.refund.id)).state == "succeeded"
    assert (await house.balance("refund_clearing"), await house.balance("channel_receivable/one")) == (
        0,
        -600,
    )
    assert (await house.events()).count("charge.refunded") == 1


async def test_unresolved_refund_is_repeated_under_its_reference(house: House) -> None:
    view = await house.pay(1000)
    house.channel().reply("refund", UNRESOLVED, NOT_SENT, UNRESOLVED)
    made = await refund(house, view)
    for seconds in (5, 30, 120):
        await house.pass_time(seconds)
    assert (await house.payments.refunds.get(house.scope, made.refund.id)).state == "succeeded"
    assert len({call.reference for call in house.channel().asked("refund")}) == 1


async def test_refund_that_an_inquiry_finds_is_not_sent_again(house: House) -> None:
    view = await house.pay(1000)
    house.channel().reply("refund", UNRESOLVED)
    house.channel().reply("inquire", done(1000))
    made = await refund(house, view)
    await house.pass_time(5)
    assert (await house.payments.refunds.get(house.scope, made.refund.id)).state == "succeeded"
    assert len(house.channel().asked("refund")) == 1


async def test_refund_cut_short_is_not_failed_because_its_repeat_stayed_in_the_house(house: House) -> None:
    view = await house.pay(1000)

    async def dies(_call: object) -> Answer:
        raise asyncio.CancelledError

    house.channel().reply("refund", dies, NOT_SENT)
    with pytest.raises(asyncio.CancelledError):
        await refund(house, view)
    await house.pass_time(31)
    (cut,) = (await house.payments.refunds.page(house.scope, PageOrder())).items
    assert cut.state == "unresolved"
    await house.pass_time(60)
    assert (await house.payments.refunds.get(house.scope, cut.id)).state == "succeeded"


async def test_yes_after_a_no_alarms(house: House) -> None:
    view = await house.pay(1000)
    house.channel().reply("refund", declined(Reason.CHANNEL_ERROR))
    failed = await refund(house, view)
    await house.notify(NotificationKind.REFUND, failed.refund.reference, done(1000))
    assert house.alarms("refund_after_failure") == 1
    assert await house.balance("in_transit") == 1000


async def test_refund_of_another_amount_than_asked_waits_for_people(house: House) -> None:
    view = await house.pay(1000)
    house.channel().reply("refund", done(999))
    odd = await refund(house, view)
    assert odd.refund.state == "unresolved"
    assert house.alarms("amount_conflict") == 1
    assert await house.balance("refund_clearing") == 1000


async def test_refunds_twenty_times_at_once_never_return_more_than_was_captured(house: House) -> None:
    view = await house.pay(1000)
    results = await asyncio.gather(*(refund(house, view, 300) for _ in range(20)), return_exceptions=True)
    failed = [each for each in results if isinstance(each, BaseException)]
    assert all(isinstance(each, WrongState | BadAmount | Contended) for each in failed)
    await house.pass_time(31)
    after = await house.intent(view.intent.id)
    assert after.amount_refunded_minor == 900
    assert len({call.reference for call in house.channel().asked("refund")}) == 3


async def test_refund_by_attempt_is_the_refund_of_its_intent(house: House) -> None:
    view = await house.pay(1000)
    assert view.attempt is not None
    made = await house.payments.refunds.create(
        house.scope, attempt_id=view.attempt.id, cause="duplicate", metadata={"a": "b"}
    )
    assert made.view is not None
    assert (made.view.refund.intent_id, made.view.refund.cause) == (view.intent.id, "duplicate")
    changed = await house.payments.refunds.change(house.scope, made.view.refund.id, {"a": "", "c": "d"})
    assert changed.view is not None
    assert changed.view.metadata == {"c": "d"}


async def test_refund_that_names_nothing_or_nonsense_is_refused(house: House) -> None:
    view = await house.reserve(1000)
    create = house.payments.refunds.create
    cases: list[tuple[dict[str, object], type[AppError], str]] = [
        ({}, BadParameter, "parameter_missing"),
        ({"intent_id": view.intent.id, "cause": "boredom"}, BadParameter, "parameter_invalid"),
        ({"intent_id": view.intent.id, "metadata": {"k" * 41: "v"}}, BadParameter, "metadata_too_large"),
        ({"intent_id": house.ids.uuid()}, Missing, "resource_missing"),
        ({"attempt_id": house.ids.uuid()}, Missing, "resource_missing"),
        ({"intent_id": view.intent.id}, WrongState, "charge_not_refundable"),
    ]
    for fields, kind, code in cases:
        with pytest.raises(kind) as refused:
            await create(house.scope, **fields)  # type: ignore[arg-type]
        assert refused.value.code == code


async def test_refund_of_what_was_never_collected_is_refused(house: House) -> None:
    house.channel().reply("authorize", declined(Reason.CARD_EXPIRED))
    view = await house.pay()
    with pytest.raises(WrongState, match="collected nothing"):
        await refund(house, view)
