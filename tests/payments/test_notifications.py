"""Notifications: believed only from the channel that they concern, and harmless in any number and order."""

import pytest
from tests.payments.conftest import RAW, House
from tests.payments.scripted import UNRESOLVED, declined

from tongbao.channels.errors import NotificationForged, UnknownChannel
from tongbao.channels.schema import Answer, NotificationKind, Outcome, Reason
from tongbao.core.ids import uuid_text

PAID = Answer(outcome=Outcome.APPROVED, amount_minor=1999, currency="CNY", captured=True)


async def test_notification_settles_an_unresolved_payment_once(house: House) -> None:
    house.channel().reply("authorize", UNRESOLVED)
    view = await house.pay()
    assert view.attempt is not None
    for _ in range(5):
        answer = await house.notify(NotificationKind.PAYMENT, view.attempt.reference, PAID)
        assert answer.status == 200
    assert await house.states(view.intent.id) == ("succeeded", ["charged"])
    assert (await house.events()).count("payment_intent.succeeded") == 1


async def test_forged_notification_is_refused(house: House) -> None:
    with pytest.raises(NotificationForged):
        await house.payments.resolving.notified("one", RAW)
    with pytest.raises(UnknownChannel):
        await house.payments.resolving.notified("three", RAW)


@pytest.mark.parametrize(
    "kind", [NotificationKind.PAYMENT, NotificationKind.REFUND, NotificationKind.DISPUTE]
)
async def test_notification_of_what_nobody_knows_is_acknowledged_and_counted(
    house: House, kind: NotificationKind
) -> None:
    prefix = "re" if kind is NotificationKind.REFUND else "pa"
    for reference in (uuid_text(prefix, house.ids.uuid()), "garbage", "pi_0", ""):
        assert (await house.notify(kind, reference, PAID)).status == 200
    assert house.alarms("notification_unknown") == 4


async def test_notification_from_another_channel_is_nobodys(house: House) -> None:
    house.channel().reply("authorize", UNRESOLVED)
    view = await house.pay()
    assert view.attempt is not None
    await house.notify(NotificationKind.PAYMENT, view.attempt.reference, PAID, channel="two")
    assert await house.states(view.intent.id) == ("processing", ["unresolved"])
    assert house.alarms("notification_unknown") == 1


async def test_refund_notification_from_another_channel_is_nobodys(house: House) -> None:
    view = await house.pay()
    house.channel().reply("refund", Answer(outcome=Outcome.PENDING))
    done = await house.payments.refunds.create(house.scope, intent_id=view.intent.id)
    assert done.view is not None
    await house.notify(NotificationKind.REFUND, done.view.refund.reference, PAID, channel="two")
    assert (await house.payments.refunds.get(house.scope, done.view.refund.id)).state == "pending"


async def test_notification_that_concerns_nothing_is_acknowledged(house: House) -> None:
    assert (await house.notify(NotificationKind.IGNORED, "whatever", PAID)).status == 200
    assert house.alarms("notification_unknown") == 0


async def test_no_then_yes_is_given_back_and_yes_then_no_is_a_conflict(house: House) -> None:
    house.channel().reply("authorize", UNRESOLVED, UNRESOLVED)
    first, second = await house.pay(), await house.pay()
    assert first.attempt is not None
    assert second.attempt is not None
    no = declined(Reason.INSUFFICIENT_FUNDS)
    for reference, told in (
        (first.attempt.reference, (no, PAID, PAID, no)),
        (second.attempt.reference, (PAID, no, no, PAID)),
    ):
        for answer in told:
            await house.notify(NotificationKind.PAYMENT, reference, answer)
    assert await house.states(first.intent.id) == ("requires_payment_method", ["reversing"])
    assert await house.states(second.intent.id) == ("succeeded", ["charged"])
    assert (await house.intent(second.intent.id)).certainty == "conflicted"
    assert house.alarms("outcome_conflict") == 1


async def test_amount_that_grew_after_the_payment_stands_in_suspense(house: House) -> None:
    view = await house.pay(1999)
    assert view.attempt is not None
    more = Answer(outcome=Outcome.APPROVED, amount_minor=2100, currency="CNY", captured=True)
    for _ in range(3):
        await house.notify(NotificationKind.PAYMENT, view.attempt.reference, more)
    assert await house.balance("suspense") == 101
    assert (await house.intent(view.intent.id)).certainty == "conflicted"
