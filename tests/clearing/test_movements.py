"""Movements of documents: the same keys and amounts as the journal's moves, from whichever version is seen."""

from datetime import date, datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.payments import builders
from tests.payments.builders import AMOUNT, MONEY, NOW

from tongbao.channels.schema import Alipay, Operation
from tongbao.clearing.policy.movements import Origin, movements_of, origin_of
from tongbao.clearing.schema.agreements import Cut
from tongbao.clearing.schema.fees import LABEL_CHARS_MAX
from tongbao.clearing.schema.movements import Movement, MovementKind
from tongbao.core.errors import InvariantBroken
from tongbao.ledger.schema import Kind, Transfer
from tongbao.payments.policy import postings
from tongbao.payments.schema.attempts import ActState, Attempt, AttemptState, HoldPart
from tongbao.payments.schema.refunds import Dispute, DisputeState, Refund, RefundState

ORIGIN = Origin("one", "card", "visa", "credit", "CN", "s1")
LATER = NOW + timedelta(hours=1)


def cut_of(at: datetime) -> Cut:
    return Cut(at + timedelta(hours=1), at.date())


def moves(document: Attempt | Refund | Dispute) -> list[tuple[MovementKind, UUID, int]]:
    found = movements_of(document, ORIGIN, LATER, cut_of)
    assert [each.id for each in found] == [each.transfer_key for each in found]
    return [(each.kind, each.id, each.amount_minor) for each in found]


def told(transfers: list[Transfer]) -> list[tuple[MovementKind, UUID, int]]:
    """What a list of the journal's transfers means for the merchant, by accounts."""
    sides = {MONEY.in_transit: 1}
    return [
        (
            MovementKind.SALE,
            each.key,
            each.amount_minor * (1 if each.kind is Kind.CAPTURE else sides[each.credit_account_id]),
        )
        for each in transfers
        if each.kind in (Kind.CAPTURE, Kind.PLAIN)
    ]


def refund(state: RefundState = RefundState.SENT, **fields: object) -> Refund:
    values: dict[str, object] = {
        "id": UUID(int=0x01990000_0000_7000_8000_000000000009),
        "book_id": builders.BOOK,
        "live": False,
        "created_at": NOW,
        "updated_at": LATER,
        "state": state,
        "intent_id": builders.INTENT_ID,
        "attempt_id": builders.ATTEMPT_ID,
        "amount_minor": 300,
        "currency": "CNY",
        "sent_at": NOW,
    }
    return Refund(**(values | fields))  # type: ignore[arg-type]


def dispute(state: DisputeState) -> Dispute:
    return Dispute(
        id=UUID(int=0x01990000_0000_7000_8000_00000000000A),
        book_id=builders.BOOK,
        live=False,
        created_at=NOW,
        updated_at=LATER,
        state=state,
        intent_id=builders.INTENT_ID,
        attempt_id=builders.ATTEMPT_ID,
        amount_minor=400,
        currency="CNY",
        channel_reference="dp_theirs",
    )


def test_movements_of_a_charged_attempt_is_the_transfer_of_the_charge() -> None:
    attempt = builders.attempt(AttemptState.CHARGED, ended_at=NOW, channel_reference="ch_1", updated_at=LATER)
    assert moves(attempt) == told([postings.charged(MONEY, attempt, AMOUNT)])
    [movement] = movements_of(attempt, ORIGIN, LATER, cut_of)
    assert movement == Movement(
        id=movement.id,
        book_id=builders.BOOK,
        live=False,
        kind=MovementKind.SALE,
        transfer_key=movement.id,
        source_id=attempt.id,
        intent_id=builders.INTENT_ID,
        channel="one",
        method="card",
        brand="visa",
        funding="credit",
        card_country="CN",
        store="s1",
        currency="CNY",
        amount_minor=AMOUNT,
        reference=attempt.reference,
        channel_reference="ch_1",
        occurred_at=NOW,
        recorded_at=LATER,
        cut_at=LATER,
        payout_on=date(2026, 11, 22),
    )
    assert movement.text_id.startswith("mv_")


@pytest.mark.parametrize(
    "state",
    [each for each in AttemptState if each.value not in ("charged", "captured_partial", "captured")],
)
def test_movements_of_attempts_without_money_of_the_merchant_are_none(state: AttemptState) -> None:
    assert moves(builders.attempt(state)) == []


def test_movements_of_a_capture_at_the_channels_own_desk_is_a_charge() -> None:
    refused = builders.act(state=ActState.DECLINED)
    attempt = builders.attempt(AttemptState.CAPTURED, acts=(refused,), ended_at=NOW)
    assert moves(attempt) == told([postings.charged(MONEY, attempt, AMOUNT)])


@given(
    first=st.integers(1, 500),
    steps=st.lists(st.tuples(st.booleans(), st.integers(1, 400)), max_size=8),
)
def test_movements_of_increments_and_captures_are_the_captures_of_the_journal(
    first: int, steps: list[tuple[bool, int]]
) -> None:
    attempt = builders.attempt(AttemptState.AUTHORIZED, amount_minor=first, authorized_minor=first)
    attempt = msgspec.structs.replace(attempt, holds=(HoldPart(postings.hold_key(attempt), first),))
    posted: list[Transfer] = []
    seen: list[tuple[MovementKind, UUID, int]] = []
    for number, (grows, amount) in enumerate(sorted(steps, key=lambda step: not step[0])):
        operation = Operation.INCREMENT if grows else Operation.CAPTURE
        taken = amount if grows else min(amount, attempt.authorized_minor - attempt.captured_minor)
        if not taken:
            break
        final = not grows and taken == attempt.authorized_minor - attempt.captured_minor
        act = builders.act(
            operation,
            taken,
            id=UUID(int=builders.ACT_ID.int + number),
            state=ActState.APPROVED,
            final=final,
        )
        if grows:
            part = HoldPart(postings.hold_key(attempt, act.id), taken)
            changes: dict[str, object] = {
                "authorized_minor": attempt.authorized_minor + taken,
                "holds": (*attempt.holds, part),
            }
        else:
            transfers, holds = postings.captured(MONEY, attempt, act)
            posted += transfers
            state = AttemptState.CAPTURED if final else AttemptState.CAPTURED_PARTIAL
            captured = attempt.captured_minor + taken
            changes = {"captured_minor": captured, "holds": holds, "state": state}
        attempt = attempt.changed(LATER, acts=(*attempt.acts, act), **changes)
        # What was seen before stays, whichever versions are passed over.
        found = moves(attempt)
        assert found[: len(seen)] == seen
        seen = found
    assert seen == told(posted)
    assert sum(amount for _, _, amount in seen) == attempt.captured_minor


def test_movements_of_an_attempt_that_contradicts_itself_is_an_alarm() -> None:
    act = builders.act(state=ActState.APPROVED, amount_minor=400)
    attempt = builders.attempt(AttemptState.CAPTURED, acts=(act,))
    with pytest.raises(InvariantBroken, match="movements_differ"):
        moves(attempt)


def test_movements_of_refunds_follow_their_end() -> None:
    attempt = builders.attempt(AttemptState.CHARGED)
    made = postings.refund_made(MONEY, attempt, refund())
    for state in (RefundState.SENT, RefundState.PENDING, RefundState.UNRESOLVED, RefundState.SUCCEEDED):
        assert moves(refund(state)) == [(MovementKind.REFUND, made.key, -300)]
    failed = refund(RefundState.FAILED, ended_at=LATER, channel_reference="re_theirs")
    back = postings.refund_failed(MONEY, attempt, failed)
    assert moves(failed) == [
        (MovementKind.REFUND, made.key, -300),
        (MovementKind.REFUND_FAILED, back.key, 300),
    ]
    found = movements_of(failed, ORIGIN, LATER, cut_of)
    assert [(each.occurred_at, each.reference, each.channel_reference) for each in found] == [
        (NOW, failed.reference, "re_theirs"),
        (LATER, failed.reference, "re_theirs"),
    ]


def test_movements_of_disputes_follow_their_end() -> None:
    attempt = builders.attempt(AttemptState.CHARGED)
    for state in (DisputeState.NEEDS_RESPONSE, DisputeState.UNDER_REVIEW, DisputeState.LOST):
        key = postings.disputed(MONEY, attempt, dispute(state)).key
        assert moves(dispute(state)) == [(MovementKind.DISPUTE, key, -400)]
    won = dispute(DisputeState.WON)
    back = postings.dispute_ended(MONEY, attempt, won, won=True)
    assert moves(won)[1:] == [(MovementKind.DISPUTE_WON, back.key, 400)]
    assert {each.reference for each in movements_of(won, ORIGIN, LATER, cut_of)} == {attempt.reference}


def test_origin_of_a_card_and_of_a_wallet() -> None:
    assert origin_of(builders.attempt()) == Origin("one", "card", "visa", "", "", "")
    foreign = msgspec.structs.replace(builders.CARD, funding="debit", country="DE")
    assert origin_of(builders.attempt(method=foreign), "s1") == Origin(
        "one", "card", "visa", "debit", "DE", "s1"
    )
    assert origin_of(builders.attempt(method=Alipay()), "s" * 200) == Origin(
        "one", "alipay", store="s" * LABEL_CHARS_MAX
    )
