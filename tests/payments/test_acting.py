"""Acting on authorizations: captures, cancels and increments over a real ledger."""

import asyncio
from datetime import timedelta

import pytest
from tests.payments.conftest import CARD, House
from tests.payments.scripted import UNRESOLVED, declined

from tongbao.channels.schema import Action, ActionKind, Answer, Follow, NotificationKind, Outcome, Reason
from tongbao.payments.errors import ActRefused, BadAmount, WrongState
from tongbao.payments.schema.attempts import ActState
from tongbao.payments.schema.intents import CancelReason, CaptureMethod
from tongbao.payments.schema.orders import ConfirmOrder, IntentView

NOT_SENT = Answer(outcome=Outcome.NOT_SENT)
QR = Answer(outcome=Outcome.ACTION_REQUIRED, action=Action(kind=ActionKind.SHOW_QR, qr_text="qr"))
CANCELED_ORDER = Answer(outcome=Outcome.DECLINED, voided=True, reason=Reason.PAYER_CANCELED)


async def capture(
    house: House, view: IntentView, amount: int | None = None, *, final: bool | None = None
) -> IntentView:
    done = await house.payments.intents.capture(house.scope, view.intent.id, amount, final=final)
    assert done.view is not None
    return done.view


async def test_capture_of_everything_succeeds(house: House) -> None:
    view = await house.reserve(1000)
    assert (await house.balance("in_transit"), view.intent.amount_capturable_minor) == (0, 1000)
    after = await capture(house, view)
    assert (after.intent.state, after.intent.amount_received_minor) == ("succeeded", 1000)
    assert await house.balance("channel_receivable/one") == -1000
    assert (await house.events())[-2:] == ["payment_intent.succeeded", "charge.captured"]


async def test_partial_capture_that_is_final_releases_the_rest(house: House) -> None:
    after = await capture(house, await house.reserve(1000, capture_method=CaptureMethod.MANUAL), 400)
    assert (after.intent.state, after.intent.capture_state) == ("succeeded", "partial")
    assert after.intent.amount_capturable_minor == 0
    assert await house.balance("in_transit") == 400


async def test_captures_in_parts_add_up(house: House) -> None:
    view = await house.reserve(1000)
    for amount, state in ((300, "requires_capture"), (300, "requires_capture"), (400, "succeeded")):
        after = await capture(house, view, amount)
        assert after.intent.state == state
        await house.check_books()
    numbers = [call.sequence for call in house.channel().asked("capture") if isinstance(call, Follow)]
    assert numbers == [1, 2, 3]


async def test_increments_and_captures_over_several_holds_add_up(house: House) -> None:
    view = await house.reserve(1000)
    for total in (1500, 1700):
        await house.payments.intents.increment(house.scope, view.intent.id, total)
        await house.check_books()
    await capture(house, view, 1200)
    await house.check_books()
    after = await capture(house, view, 100, final=True)
    assert (after.intent.amount_minor, after.intent.amount_received_minor) == (1700, 1300)
    assert await house.balance("in_transit") == 1300


async def test_echo_of_the_first_amount_after_an_increment_is_no_conflict(house: House) -> None:
    view = await house.reserve(1000)
    await house.payments.intents.increment(house.scope, view.intent.id, 1500)
    assert view.attempt is not None
    echo = Answer(outcome=Outcome.APPROVED, amount_minor=1000, currency="CNY")
    await house.notify(NotificationKind.PAYMENT, view.attempt.reference, echo)
    assert (await house.intent(view.intent.id)).certainty == "known"


async def test_void_after_a_partial_capture_succeeds_with_the_part(house: House) -> None:
    view = await house.reserve(1000)
    await capture(house, view, 300)
    done = await house.payments.intents.cancel(
        house.scope, view.intent.id, CancelReason.REQUESTED_BY_CUSTOMER
    )
    assert done.view is not None
    assert (done.view.intent.state, done.view.intent.amount_received_minor) == ("succeeded", 300)
    assert await house.balance("in_transit") == 300


async def test_cancel_voids_what_is_authorized(house: House) -> None:
    view = await house.reserve(1000)
    done = await house.payments.intents.cancel(house.scope, view.intent.id, CancelReason.DUPLICATE)
    assert done.view is not None
    assert (done.view.intent.state, done.view.intent.cancel_reason) == ("canceled", CancelReason.DUPLICATE)
    assert await house.states(view.intent.id) == ("canceled", ["voided"])


@pytest.mark.parametrize("operation", ["capture", "void", "increment"])
async def test_act_that_the_channel_refuses_leaves_the_authorization(house: House, operation: str) -> None:
    view = await house.reserve(1000)
    house.channel().reply(operation, declined(Reason.STATE_INVALID, "X1"))
    intents, intent_id = house.payments.intents, view.intent.id
    sends = {
        "capture": lambda: intents.capture(house.scope, intent_id),
        "void": lambda: intents.cancel(house.scope, intent_id),
        "increment": lambda: intents.increment(house.scope, intent_id, 1500),
    }
    with pytest.raises(ActRefused) as refused:
        await sends[operation]()
    assert refused.value.code == f"{operation}_refused"
    assert refused.value.facts["channel_code"] == "X1"
    assert await house.states(view.intent.id) == ("requires_capture", ["authorized"])
    assert (await capture(house, view)).intent.state == "succeeded"


async def test_unresolved_capture_is_repeated_under_its_reference_until_it_is_known(house: House) -> None:
    view = await house.reserve(1000)
    house.channel().reply("capture", UNRESOLVED, UNRESOLVED)
    after = await capture(house, view)
    assert after.intent.state == "requires_capture"
    with pytest.raises(WrongState) as refused:
        await capture(house, view)
    assert refused.value.code == "act_in_progress"
    await house.pass_time(5)
    await house.pass_time(30)
    assert (await house.intent(view.intent.id)).state == "succeeded"
    assert len({call.reference for call in house.channel().asked("capture")}) == 1


async def test_capture_that_an_inquiry_finds_is_not_sent_again(house: House) -> None:
    view = await house.reserve(1000)
    house.channel().reply("capture", UNRESOLVED)
    house.channel().reply("inquire", Answer(outcome=Outcome.APPROVED, amount_minor=1000, currency="CNY"))
    await capture(house, view)
    await house.pass_time(5)
    assert (await house.intent(view.intent.id)).state == "succeeded"
    assert len(house.channel().asked("capture")) == 1


async def test_capture_cut_short_is_not_failed_because_its_repeat_stayed_in_the_house(house: House) -> None:
    view = await house.reserve(1000)

    async def dies(_call: object) -> Answer:
        raise asyncio.CancelledError

    house.channel().reply("capture", dies, NOT_SENT)
    with pytest.raises(asyncio.CancelledError):
        await capture(house, view)
    await house.pass_time(31)
    (attempt,) = await house.attempts(view.intent.id)
    assert attempt.acts[0].state is ActState.UNRESOLVED
    await house.pass_time(60)
    assert (await house.intent(view.intent.id)).state == "succeeded"


async def test_capture_of_another_amount_than_asked_waits_for_people(house: House) -> None:
    view = await house.reserve(1000)
    house.channel().reply("capture", Answer(outcome=Outcome.APPROVED, amount_minor=999, currency="CNY"))
    after = await capture(house, view)
    assert after.intent.state == "requires_capture"
    assert house.alarms("amount_conflict") == 1
    assert await house.balance("in_transit") == 0


@pytest.mark.parametrize("operation", ["capture", "cancel"])
async def test_act_twenty_times_at_once_is_sent_once(house: House, operation: str) -> None:
    view = await house.reserve(1000)
    intents = house.payments.intents
    send = intents.capture if operation == "capture" else intents.cancel
    results = await asyncio.gather(
        *(send(house.scope, view.intent.id) for _ in range(20)), return_exceptions=True
    )
    assert sum(1 for each in results if not isinstance(each, BaseException)) == 1
    assert len(house.channel().asked("capture" if operation == "capture" else "void")) == 1


async def test_captures_and_cancels_at_once_leave_one_story(house: House) -> None:
    view = await house.reserve(1000)
    intents = house.payments.intents
    await asyncio.gather(
        *(intents.capture(house.scope, view.intent.id, 100) for _ in range(10)),
        *(intents.cancel(house.scope, view.intent.id) for _ in range(10)),
        return_exceptions=True,
    )
    after = await house.intent(view.intent.id)
    assert len(house.channel().asked("capture")) + len(house.channel().asked("void")) >= 1
    captured = [call for call in house.channel().asked("capture") if isinstance(call, Follow)]
    assert after.amount_received_minor == sum(call.amount_minor for call in captured)


async def test_capture_of_more_than_is_authorized_is_refused_and_not_sent(house: House) -> None:
    view = await house.reserve(1000)
    with pytest.raises(BadAmount):
        await capture(house, view, 1001)
    assert house.channel().asked("capture") == []


async def test_authorization_that_expires_is_voided_and_the_intent_canceled(house: House) -> None:
    view = await house.reserve(1000)
    await house.pass_time(7 * 86_400)
    after = await house.intent(view.intent.id)
    assert (after.state, after.cancel_reason) == ("canceled", CancelReason.EXPIRED)


async def test_expired_authorization_that_the_channel_will_not_void_is_tried_ten_times(house: House) -> None:
    view = await house.reserve(1000)
    house.channel().reply("void", *[declined(Reason.CHANNEL_ERROR)] * 20)
    for _ in range(25):
        await house.pass_time(86_400)
    assert len(house.channel().asked("void")) == 10
    assert house.alarms("authorization_stuck") == 1
    assert (await house.intent(view.intent.id)).state == "requires_capture"


async def test_capture_at_the_channels_own_desk_is_taken_in(house: House) -> None:
    view = await house.reserve(1000)
    assert view.attempt is not None
    told = Answer(outcome=Outcome.APPROVED, amount_minor=1000, currency="CNY", captured=True)
    for _ in range(2):
        await house.notify(NotificationKind.PAYMENT, view.attempt.reference, told)
    assert await house.states(view.intent.id) == ("succeeded", ["captured"])
    assert await house.balance("in_transit") == 1000


async def test_authorization_that_the_issuer_lets_go_frees_the_intent(house: House) -> None:
    view = await house.reserve(1000)
    assert view.attempt is not None
    for _ in range(2):
        await house.notify(NotificationKind.PAYMENT, view.attempt.reference, CANCELED_ORDER)
    assert await house.states(view.intent.id) == ("requires_payment_method", ["voided"])


@pytest.mark.parametrize("told", [CANCELED_ORDER, declined(Reason.EXPIRED)])
async def test_close_that_the_channel_tells_of_before_it_answers_cancels_once(
    house: House, told: Answer
) -> None:
    house.channel().reply("authorize", QR)
    view = await house.pay()
    assert view.attempt is not None
    reference = view.attempt.reference

    async def told_first(_call: object) -> Answer:
        await house.notify(NotificationKind.PAYMENT, reference, told)
        return Answer(outcome=Outcome.APPROVED)

    house.channel().reply("void", told_first)
    await house.payments.intents.cancel(house.scope, view.intent.id)
    assert (await house.intent(view.intent.id)).state == "canceled"


async def test_payer_who_pays_while_it_is_closed_alarms_when_both_are_told(house: House) -> None:
    house.channel().reply("authorize", QR)
    view = await house.pay()
    assert view.attempt is not None
    reference = view.attempt.reference
    paid = Answer(outcome=Outcome.APPROVED, amount_minor=1999, currency="CNY", captured=True)

    async def paid_first(_call: object) -> Answer:
        await house.notify(NotificationKind.PAYMENT, reference, paid)
        return Answer(outcome=Outcome.APPROVED)

    house.channel().reply("void", paid_first)
    await house.payments.intents.cancel(house.scope, view.intent.id)
    assert await house.states(view.intent.id) == ("succeeded", ["charged"])
    assert house.alarms("void_after_charge") == 1


async def test_close_that_is_refused_leaves_the_payer_waited_for(house: House) -> None:
    house.channel().reply("authorize", QR)
    house.channel().reply("void", declined(Reason.STATE_INVALID))
    view = await house.pay()
    with pytest.raises(ActRefused):
        await house.payments.intents.cancel(house.scope, view.intent.id)
    house.channel().reply("inquire", Answer(outcome=Outcome.APPROVED, amount_minor=1999, captured=True))
    await house.pass_time(10)
    assert (await house.intent(view.intent.id)).state == "succeeded"


async def test_cancel_while_the_outcome_is_unknown_is_refused(house: House) -> None:
    house.channel().reply("authorize", UNRESOLVED)
    view = await house.pay()
    with pytest.raises(WrongState, match="not known"):
        await house.payments.intents.cancel(house.scope, view.intent.id)


async def test_cancel_of_what_has_ended_is_refused(house: House) -> None:
    view = await house.pay()
    with pytest.raises(WrongState, match="cannot be used to cancel"):
        await house.payments.intents.cancel(house.scope, view.intent.id)


async def test_extended_authorization_is_kept_for_as_long_as_the_channel_can(house: House) -> None:
    house.channel("one").can(authorization_days=7, extended_authorization_days=30)
    for extended, days in ((False, 7), (True, 30)):
        view = await house.pay(
            500,
            capture_method=CaptureMethod.MANUAL,
            confirm=ConfirmOrder(method=CARD, extended=extended),
        )
        assert view.attempt is not None
        assert view.attempt.expires_at == house.clock.now() + timedelta(days=days)
