"""Disputing: from the first notice to the outcome, in whatever order the channel tells."""

from datetime import timedelta

import pytest
from tests.payments.conftest import House

from tongbao.channels.schema import Answer, NotificationKind, Outcome
from tongbao.payments.errors import BadParameter, Missing, WrongState
from tongbao.payments.schema.intents import Certainty
from tongbao.payments.schema.orders import IntentView, PageOrder
from tongbao.payments.schema.refunds import EVIDENCE_CHARS_MAX, Dispute


async def tell(
    house: House,
    view: IntentView,
    status: str,
    amount_minor: int | None = None,
    case: str = "case-1",
    **fields: object,
) -> None:
    """Let the channel tell of a dispute."""
    assert view.attempt is not None
    answer = Answer(outcome=Outcome.APPROVED, amount_minor=amount_minor)
    told: dict[str, object] = {"dispute_reference": case, "dispute_status": status, "reason_code": "10.4"}
    about = told | fields
    await house.notify(NotificationKind.DISPUTE, view.attempt.reference, answer, "one", **about)


async def disputes(house: House) -> list[Dispute]:
    return (await house.payments.disputes.page(house.scope, PageOrder())).items


async def test_dispute_withholds_its_amount_and_repeats_change_nothing(house: House) -> None:
    view = await house.pay(1000)
    for _ in range(3):
        await tell(house, view, "needs_response", 600)
    (dispute,) = await disputes(house)
    assert (dispute.state, dispute.amount_minor, dispute.network_reason_code) == (
        "needs_response",
        600,
        "10.4",
    )
    assert (await house.balance("in_transit"), await house.balance("dispute_reserve")) == (400, 600)
    assert (await house.events()).count("charge.dispute.created") == 1


@pytest.mark.parametrize(
    ("status", "state", "in_transit", "receivable", "refunded"),
    [
        ("won", "won", 1000, -1000, 0),
        ("withdrawn", "won", 1000, -1000, 0),
        ("lost", "lost", 400, -400, 600),
    ],
)
async def test_outcome_of_a_dispute_frees_or_returns_the_money_once(
    house: House, status: str, state: str, in_transit: int, receivable: int, refunded: int
) -> None:
    view = await house.pay(1000)
    await tell(house, view, "needs_response", 600)
    for _ in range(2):
        await tell(house, view, status, 600)
    (dispute,) = await disputes(house)
    assert dispute.state == state
    assert await house.balance("in_transit") == in_transit
    assert await house.balance("channel_receivable/one") == receivable
    assert (await house.intent(view.intent.id)).amount_refunded_minor == refunded
    assert house.alarms("dispute_contradicted") == 0


async def test_outcome_that_is_told_before_the_opening_ends_a_dispute_at_once(house: House) -> None:
    view = await house.pay(1000)
    await tell(house, view, "lost", 600)
    await tell(house, view, "needs_response", 600)
    (dispute,) = await disputes(house)
    assert dispute.state == "lost"
    assert (await house.balance("in_transit"), await house.balance("dispute_reserve")) == (400, 0)


async def test_other_outcome_after_the_end_alarms(house: House) -> None:
    view = await house.pay(1000)
    await tell(house, view, "lost", 600)
    await tell(house, view, "won", 600)
    assert [each.state for each in await disputes(house)] == ["lost"]
    assert house.alarms("dispute_contradicted") == 1


async def test_two_disputes_of_one_payment_stand_side_by_side(house: House) -> None:
    view = await house.pay(1000)
    await tell(house, view, "needs_response", 300, "a")
    await tell(house, view, "needs_response", 400, "b")
    await tell(house, view, "won", 300, "a")
    assert sorted((each.amount_minor, each.state.value) for each in await disputes(house)) == [
        (300, "won"),
        (400, "needs_response"),
    ]
    assert await house.balance("dispute_reserve") == 400


async def test_dispute_of_more_than_was_captured_withholds_what_there_is(house: House) -> None:
    view = await house.pay(1000)
    await tell(house, view, "needs_response", 5000)
    assert (await disputes(house))[0].amount_minor == 1000


async def test_dispute_that_names_no_amount_is_about_everything(house: House) -> None:
    view = await house.pay(1000)
    await tell(house, view, "needs_response")
    assert (await disputes(house))[0].amount_minor == 1000


async def test_dispute_after_a_full_refund_alarms_and_withholds_nothing(house: House) -> None:
    view = await house.pay(1000)
    await house.payments.refunds.create(house.scope, intent_id=view.intent.id)
    await tell(house, view, "needs_response", 1000)
    assert await disputes(house) == []
    assert house.alarms("dispute_without_money") == 1


async def test_refund_of_what_is_disputed_is_refused_and_of_the_rest_made(house: House) -> None:
    view = await house.pay(1000)
    await tell(house, view, "needs_response", 600)
    made = await house.payments.refunds.create(house.scope, intent_id=view.intent.id)
    assert made.view is not None
    assert made.view.refund.amount_minor == 400
    with pytest.raises(WrongState) as refused:
        await house.payments.refunds.create(house.scope, intent_id=view.intent.id)
    assert refused.value.code == "charge_disputed"
    await tell(house, view, "lost", 600)
    assert await house.balance("channel_receivable/one") == 0


async def test_evidence_gathers_until_it_is_submitted(house: House) -> None:
    view = await house.pay(1000)
    await tell(house, view, "needs_response", 600, respond_by=house.clock.now() + timedelta(days=7))
    (dispute,) = await disputes(house)
    change = house.payments.disputes.change
    await change(
        house.scope, dispute.id, evidence={"receipt": "r", "customer_name": "n"}, metadata={"a": "b"}
    )
    done = await change(house.scope, dispute.id, evidence={"customer_name": ""}, submit=True)
    assert done.view is not None
    assert (done.view.evidence, done.view.state, done.view.submission_count) == (
        {"receipt": "r"},
        "under_review",
        1,
    )
    await tell(house, view, "won", 600)
    assert (await house.payments.disputes.get(house.scope, dispute.id)).state == "won"


async def test_evidence_that_is_late_unknown_or_too_long_is_refused(house: House) -> None:
    view = await house.pay(1000)
    await tell(house, view, "needs_response", 600, respond_by=house.clock.now() + timedelta(days=7))
    (dispute,) = await disputes(house)
    change = house.payments.disputes.change
    with pytest.raises(BadParameter, match="no such kind"):
        await change(house.scope, dispute.id, evidence={"gossip": "x"})
    with pytest.raises(BadParameter, match="at most"):
        await change(house.scope, dispute.id, evidence={"receipt": "x" * (EVIDENCE_CHARS_MAX + 1)})
    house.clock.advance(timedelta(days=8))
    with pytest.raises(WrongState) as refused:
        await change(house.scope, dispute.id, submit=True)
    assert refused.value.code == "dispute_evidence_late"
    await change(house.scope, dispute.id, metadata={"note": "missed"})


async def test_dispute_that_the_merchant_accepts_is_lost_once(house: House) -> None:
    view = await house.pay(1000)
    await tell(house, view, "needs_response", 600)
    (dispute,) = await disputes(house)
    done = await house.payments.disputes.close(house.scope, dispute.id)
    assert done.view is not None
    assert done.view.state == "lost"
    for act in (
        house.payments.disputes.close(house.scope, dispute.id),
        house.payments.disputes.change(house.scope, dispute.id, submit=True),
    ):
        with pytest.raises(WrongState) as refused:
            await act
        assert refused.value.code == "dispute_closed"
    assert await house.balance("in_transit") == 400


async def test_no_after_a_dispute_was_lost_is_no_contradiction(house: House) -> None:
    view = await house.pay(1000)
    await tell(house, view, "lost")
    assert view.attempt is not None
    gone = Answer(outcome=Outcome.DECLINED, voided=True)
    await house.notify(NotificationKind.PAYMENT, view.attempt.reference, gone)
    assert (await house.intent(view.intent.id)).certainty is Certainty.KNOWN


async def test_dispute_of_another_merchant_does_not_exist(house: House) -> None:
    view = await house.pay(1000)
    await tell(house, view, "needs_response")
    (dispute,) = await disputes(house)
    with pytest.raises(Missing):
        await house.payments.disputes.get(house.new_scope(), dispute.id)


async def test_notice_that_names_only_the_channels_own_id_finds_its_payment(house: House) -> None:
    view = await house.pay(2000)
    assert view.attempt is not None
    answer = Answer(
        outcome=Outcome.APPROVED, amount_minor=2000, channel_reference=view.attempt.channel_reference
    )
    await house.notify(
        NotificationKind.DISPUTE,
        "",
        answer,
        dispute_reference="dp-own-id",
        dispute_status="needs_response",
    )
    page = await house.payments.disputes.page(house.scope, PageOrder())
    assert [(dispute.amount_minor, dispute.attempt_id) for dispute in page.items] == [(2000, view.attempt.id)]
