"""Confirming: from a wish to money, whatever the channel says."""

import asyncio
from datetime import timedelta

import pytest
from tests.payments.conftest import CARD, House, open_house
from tests.payments.scripted import UNRESOLVED, ScriptedChannel, approved, declined

from tongbao.channels.schema import Action, ActionKind, Alipay, Answer, Authorize, Outcome, Reason, Retry
from tongbao.channels.service.codes import reason_info
from tongbao.core.db import Database
from tongbao.core.errors import Conflict
from tongbao.core.ids import IdFactory
from tongbao.payments.errors import BadParameter, Missing, WrongState
from tongbao.payments.ports import RiskQuestion, Verdict
from tongbao.payments.schema.intents import CancelReason, CaptureMethod, Certainty
from tongbao.payments.schema.orders import ConfirmOrder, IntentOrder, PageOrder
from tongbao.risk.schema.tiers import Tier

CONFIRM = ConfirmOrder(method=CARD)
NOT_SENT = Answer(outcome=Outcome.NOT_SENT, code="connect")
QR = Answer(outcome=Outcome.ACTION_REQUIRED, action=Action(kind=ActionKind.SHOW_QR, qr_text="qr"))


async def test_create_confirmed_card_payment_succeeds_and_posts(house: House) -> None:
    view = await house.pay(1999)
    assert view.intent.state == "succeeded"
    assert view.attempt is not None
    assert view.attempt.state == "charged"
    assert await house.balance("in_transit") == 1999
    assert await house.balance("channel_receivable/one") == -1999
    assert await house.events() == ["payment_intent.created", "payment_intent.succeeded", "charge.succeeded"]


@pytest.mark.parametrize(("currency", "amount_minor"), [("jpy", 500), ("kwd", 1234), ("usd", 1)])
async def test_payment_in_any_exponent_posts_minor_units_as_they_are(
    house: House, currency: str, amount_minor: int
) -> None:
    view = await house.pay(amount_minor, currency=currency)
    assert view.intent.amount_received_minor == amount_minor
    assert await house.balance("in_transit", currency.upper()) == amount_minor


async def test_call_carries_the_attempt_as_reference_and_what_the_payer_gave(house: House) -> None:
    view = await house.pay(
        confirm=ConfirmOrder(method=CARD, return_url="https://shop.example/", payer_address="10.0.0.1")
    )
    (call,) = house.channel().asked("authorize")
    assert isinstance(call, Authorize)
    assert view.attempt is not None
    assert call.reference == view.attempt.reference
    assert (call.return_url, call.payer_address, call.capture) == ("https://shop.example/", "10.0.0.1", True)


@pytest.mark.parametrize("reason", sorted(Reason))
async def test_decline_cascades_only_where_its_reason_says_other_channel(
    house: House, reason: Reason
) -> None:
    house.channel().reply("authorize", declined(reason))
    view = await house.pay()
    cascades = reason_info(reason).retry is Retry.OTHER_CHANNEL
    assert len(house.channel("two").asked("authorize")) == cascades
    assert (await house.states(view.intent.id)) == (
        ("succeeded", ["declined", "charged"]) if cascades else ("requires_payment_method", ["declined"])
    )
    error = view.intent.last_error
    assert (error.reason if error else None) == (None if cascades else reason)


async def test_call_that_never_left_the_house_cascades(house: House) -> None:
    house.channel().reply("authorize", NOT_SENT)
    view = await house.pay()
    assert await house.states(view.intent.id) == ("succeeded", ["declined", "charged"])
    assert "payment_intent.payment_failed" not in await house.events()
    assert await house.balance("channel_receivable/two") == -1999


async def test_cascade_that_ends_in_a_no_is_a_decline(house: House) -> None:
    for name in ("one", "two"):
        house.channel(name).reply("authorize", NOT_SENT)
    view = await house.pay()
    assert await house.states(view.intent.id) == ("requires_payment_method", ["declined", "declined"])
    assert view.intent.last_error is not None
    assert view.intent.last_error.reason is Reason.CHANNEL_UNAVAILABLE


async def test_cascade_skips_a_channel_that_was_switched_off(house: House) -> None:
    async def switch_off(_call: object) -> Answer:
        house.payments.channels.switch("two", enabled=False)
        return NOT_SENT

    house.channel().reply("authorize", switch_off)
    view = await house.pay()
    assert await house.states(view.intent.id) == ("requires_payment_method", ["declined"])


@pytest.mark.parametrize(
    "answer", [UNRESOLVED, Answer(outcome=Outcome.PENDING), Answer(outcome=Outcome.NOT_FOUND), QR]
)
async def test_anything_but_a_no_never_cascades(house: House, answer: Answer) -> None:
    house.channel().reply("authorize", answer)
    await house.pay()
    assert house.channel("two").calls == []


async def test_unresolved_payment_is_inquired_and_succeeds(house: House) -> None:
    house.channel().reply("authorize", UNRESOLVED)
    view = await house.pay()
    assert (view.intent.state, view.intent.certainty) == ("processing", Certainty.UNKNOWN)
    house.channel().reply("inquire", UNRESOLVED, approved_inquiry(1999))
    await house.pass_time(5)
    assert (await house.intent(view.intent.id)).certainty is Certainty.UNKNOWN
    await house.pass_time(30)
    after = await house.intent(view.intent.id)
    assert (after.state, after.certainty) == ("succeeded", Certainty.KNOWN)
    assert len(house.channel().asked("authorize")) == 1


def approved_inquiry(amount_minor: int, *, captured: bool = True) -> Answer:
    return Answer(outcome=Outcome.APPROVED, amount_minor=amount_minor, currency="CNY", captured=captured)


async def test_not_found_after_its_time_frees_the_intent_for_another_attempt(house: House) -> None:
    house.channel().reply("authorize", UNRESOLVED)
    view = await house.pay()
    await house.pass_time(5)
    with pytest.raises(WrongState, match="cannot be used to confirm"):
        await house.payments.intents.confirm(house.scope, view.intent.id, CONFIRM)
    await house.pass_time(60)
    assert await house.states(view.intent.id) == ("requires_payment_method", ["not_found"])
    await house.payments.intents.confirm(house.scope, view.intent.id, CONFIRM)
    assert await house.states(view.intent.id) == ("succeeded", ["not_found", "charged"])


async def test_schedule_used_up_alarms_and_leaves_the_outcome_unknown(house: House) -> None:
    house.channel().reply("authorize", *[UNRESOLVED] * 20)
    house.channel().reply("inquire", *[UNRESOLVED] * 20)
    view = await house.pay()
    for _ in range(12):
        await house.pass_time(86_400)
    after = await house.payments.intents.get(house.scope, view.intent.id)
    assert (after.intent.state, after.intent.certainty) == ("processing", Certainty.UNKNOWN)
    assert after.attempt is not None
    assert after.attempt.due_at is None
    assert house.alarms("never_resolved") == 1
    assert len(house.channel().asked("inquire")) == 11


async def test_late_success_after_another_attempt_paid_is_given_back(house: House) -> None:
    house.channel().reply("authorize", UNRESOLVED)
    view = await house.pay()
    await house.pass_time(61)
    await house.payments.intents.confirm(house.scope, view.intent.id, CONFIRM)
    (late, _) = await house.attempts(view.intent.id)
    await house.payments.resolving.settle(late.book_id, late.id, approved_inquiry(1999), is_inquiry=True)
    assert await house.states(view.intent.id) == ("succeeded", ["reversing", "charged"])
    assert await house.balance("suspense") == 1999
    await house.check_books()
    await house.pass_time(1)
    assert await house.states(view.intent.id) == ("succeeded", ["reversed", "charged"])
    assert await house.balance("suspense") == 0
    assert await house.balance("channel_receivable/one") == -1999
    assert (await house.events())[-2:] == ["attempt.late_success", "attempt.reversed"]


@pytest.mark.parametrize("captured", [True, False])
async def test_reversal_is_repeated_under_one_reference_until_the_channel_confirms(
    house: House, *, captured: bool
) -> None:
    house.channel().reply("authorize", declined(Reason.CARD_EXPIRED))
    view = await house.pay()
    (dead,) = await house.attempts(view.intent.id)
    late = approved_inquiry(1999, captured=captured)
    await house.payments.resolving.settle(dead.book_id, dead.id, late, is_inquiry=True)
    operation = "refund" if captured else "void"
    house.channel().reply(operation, UNRESOLVED, declined(Reason.CHANNEL_ERROR))
    for seconds in (1, 5, 30):
        await house.pass_time(seconds)
    assert await house.states(view.intent.id) == ("requires_payment_method", ["reversed"])
    assert len({call.reference for call in house.channel().asked(operation)}) == 1


@pytest.mark.parametrize(
    ("changes", "suspense_minor"), [({"amount_minor": 1998}, 1998), ({"currency": "USD"}, 0)]
)
async def test_yes_to_something_else_stands_in_suspense_and_blocks_the_intent(
    house: House, changes: dict[str, object], suspense_minor: int
) -> None:
    async def other(call: object) -> Answer:
        assert isinstance(call, Authorize)
        return approved(call, captured=True, **changes)

    house.channel().reply("authorize", other)
    view = await house.pay()
    assert (view.intent.state, view.intent.certainty) == ("processing", Certainty.CONFLICTED)
    assert await house.balance("suspense") == suspense_minor
    assert house.alarms("amount_conflict") == 1
    with pytest.raises(WrongState):
        await house.payments.intents.confirm(house.scope, view.intent.id, CONFIRM)


async def test_confirm_twenty_times_at_once_sends_one_attempt(house: House) -> None:
    done = await house.payments.intents.create(house.scope, IntentOrder(amount_minor=700, currency="cny"))
    assert done.view is not None
    intent_id = done.view.intent.id
    results = await asyncio.gather(
        *(
            house.payments.intents.confirm(
                house.scope, intent_id, CONFIRM, ask=house.ask(f"{intent_id}-{number}", operation="confirm")
            )
            for number in range(20)
        ),
        return_exceptions=True,
    )
    assert sum(1 for each in results if not isinstance(each, BaseException)) == 1
    assert all(isinstance(each, WrongState) for each in results if isinstance(each, BaseException))
    assert len(house.channel().asked("authorize")) == 1
    assert await house.balance("in_transit") == 700


async def test_merchant_reference_names_one_intent_also_under_concurrency(house: House) -> None:
    results = await asyncio.gather(
        *(
            house.payments.intents.create(house.scope, house.order(merchant_reference="order-1"))
            for _ in range(20)
        ),
        return_exceptions=True,
    )
    made = [each for each in results if not isinstance(each, BaseException)]
    assert len(made) == 1
    refused = [each for each in results if isinstance(each, BaseException)]
    assert {each.code for each in refused if isinstance(each, Conflict)} == {"merchant_reference_taken"}
    found = await house.payments.intents.by_merchant_reference(house.scope, "order-1")
    assert found is not None
    assert made[0].view is not None
    assert found.intent.id == made[0].view.intent.id
    assert len(house.channel().asked("authorize")) == 1
    assert await house.payments.intents.by_merchant_reference(house.new_scope(), "order-1") is None


async def test_payer_who_has_to_act_is_waited_for_and_pays(house: House) -> None:
    house.channel().reply("authorize", QR)
    view = await house.pay(method_kinds=("alipay",), confirm=ConfirmOrder(method=Alipay()))
    assert view.intent.next_action is not None
    assert view.intent.next_action.qr_text == "qr"
    await house.pass_time(3_600)
    assert await house.states(view.intent.id) == ("requires_action", ["action_required"])
    with pytest.raises(WrongState) as refused:
        await house.payments.intents.confirm(house.scope, view.intent.id, ConfirmOrder(method=Alipay()))
    assert refused.value.code == "payment_intent_attempt_open"
    house.channel().reply("inquire", approved_inquiry(1999))
    await house.pass_time(120)
    after = await house.intent(view.intent.id)
    assert (after.state, after.next_action) == ("succeeded", None)


async def test_intent_that_nobody_pays_expires(house: House) -> None:
    done = await house.payments.intents.create(house.scope, IntentOrder(amount_minor=700, currency="cny"))
    assert done.view is not None
    await house.pass_time(86_399)
    assert (await house.intent(done.view.intent.id)).state == "requires_payment_method"
    await house.pass_time(1)
    after = await house.intent(done.view.intent.id)
    assert (after.state, after.cancel_reason) == ("canceled", CancelReason.EXPIRED)
    assert (await house.events())[-1] == "payment_intent.canceled"


async def test_intent_that_waits_for_its_payer_is_closed_at_the_channel_when_it_expires(house: House) -> None:
    house.channel().reply("authorize", QR)
    view = await house.pay(expires_at=house.clock.now() + timedelta(minutes=5))
    await house.pass_time(301)
    assert await house.states(view.intent.id) == ("canceled", ["voided"])
    assert len(house.channel().asked("void")) == 1


async def test_authorization_that_was_to_be_captured_is_captured_by_the_worker(house: House) -> None:
    async def only_reserved(call: object) -> Answer:
        assert isinstance(call, Authorize)
        return approved(call)

    house.channel().reply("authorize", only_reserved)
    view = await house.pay()
    assert view.intent.state == "requires_capture"
    await house.pass_time(0)
    assert await house.states(view.intent.id) == ("succeeded", ["captured"])


async def test_automatic_capture_that_is_refused_leaves_the_authorization_until_it_expires(
    house: House,
) -> None:
    async def only_reserved(call: object) -> Answer:
        assert isinstance(call, Authorize)
        return approved(call)

    house.channel().reply("authorize", only_reserved)
    house.channel().reply("capture", declined(Reason.CHANNEL_ERROR))
    view = await house.pay()
    await house.pass_time(0)
    await house.pass_time(3_600)
    assert await house.states(view.intent.id) == ("requires_capture", ["authorized"])
    assert len(house.channel().asked("capture")) == 1
    await house.pass_time(7 * 86_400)
    assert await house.states(view.intent.id) == ("canceled", ["voided"])


REFUSED: list[tuple[ConfirmOrder, dict[str, object], str]] = [
    (ConfirmOrder(), {}, "payment_intent_payment_method_missing"),
    (ConfirmOrder(method=Alipay()), {}, "payment_method_type_mismatch"),
    (CONFIRM, {"currency": "eur"}, "no_channel"),
]


@pytest.mark.parametrize(("confirm", "fields", "code"), REFUSED)
async def test_confirm_that_can_never_work_is_refused_and_makes_nothing(
    house: House, confirm: ConfirmOrder, fields: dict[str, object], code: str
) -> None:
    with pytest.raises((BadParameter, WrongState)) as refused:
        await house.pay(1999, confirm=confirm, **fields)
    assert refused.value.code == code
    assert house.channel().calls == []
    assert await house.facts() == []


async def test_method_of_another_customer_is_refused(house: House) -> None:
    kept = (await house.payments.methods.create(house.scope, CARD)).view
    assert kept is not None
    await house.payments.methods.attach(house.scope, kept.id, house.ids.uuid())
    with pytest.raises(BadParameter, match="belongs to a customer"):
        await house.pay(confirm=ConfirmOrder(method_id=kept.id))


async def test_payment_of_another_merchant_does_not_exist(house: House) -> None:
    view = await house.pay()
    other = house.new_scope()
    with pytest.raises(Missing):
        await house.payments.intents.get(other, view.intent.id)
    with pytest.raises(Missing):
        await house.payments.intents.confirm(other, view.intent.id, CONFIRM)
    with pytest.raises(Missing):
        await house.payments.intents.cancel(other, view.intent.id)
    with pytest.raises(Missing):
        await house.payments.refunds.create(other, intent_id=view.intent.id)


class Strict:
    """Risk control that judges everybody alike."""

    def __init__(self, verdict: Verdict) -> None:
        self._verdict = verdict

    async def assess(self, question: RiskQuestion) -> Verdict:
        del question
        return self._verdict


@pytest.mark.parametrize(
    ("tier", "state", "risk_state", "calls"),
    [
        (Tier.DECLINE, "requires_payment_method", "blocked", 0),
        (Tier.STEP_UP, "requires_action", "clear", 0),
        (Tier.REVIEW, "succeeded", "review", 1),
    ],
)
async def test_risk_control_decides_before_any_channel_is_called(
    payments_database: Database, ids: IdFactory, tier: Tier, state: str, risk_state: str, calls: int
) -> None:
    async with open_house(
        payments_database, ids, risk=Strict(Verdict(tier=tier, step_up_url="https://x"))
    ) as house:
        view = await house.pay()
        assert (view.intent.state, view.intent.risk_state) == (state, risk_state)
        assert len(house.channel().asked("authorize")) == calls
        await house.check_books()


async def test_third_channel_is_the_last_that_a_confirmation_tries(
    payments_database: Database, ids: IdFactory
) -> None:
    async with open_house(
        payments_database, ids, channels=[ScriptedChannel("a"), ScriptedChannel("b")]
    ) as house:
        for name in ("a", "b", "one"):
            house.channel(name).reply("authorize", NOT_SENT)
        view = await house.pay()
        assert await house.states(view.intent.id) == ("requires_payment_method", ["declined"] * 3)
        assert house.channel("two").calls == []


async def test_notification_before_the_answer_is_settled_once(house: House) -> None:
    async def told_first(call: object) -> Answer:
        assert isinstance(call, Authorize)
        answer = approved(call, captured=True)
        (attempt,) = (await house.payments.intents.attempts(house.scope, PageOrder())).items
        await house.payments.resolving.settle(attempt.book_id, attempt.id, answer, is_inquiry=True)
        return answer

    house.channel().reply("authorize", told_first)
    view = await house.pay()
    assert view.intent.state == "succeeded"
    assert (await house.events()).count("payment_intent.succeeded") == 1


async def test_capture_method_of_the_confirmation_is_the_one_that_counts(house: House) -> None:
    view = await house.pay(confirm=ConfirmOrder(method=CARD, capture_method=CaptureMethod.MANUAL))
    assert view.intent.state == "requires_capture"
