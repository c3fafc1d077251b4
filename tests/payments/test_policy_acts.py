"""Captures, voids and increments: who may begin one, and what its answer means."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import msgspec
import pytest
from tests.payments.builders import (
    ACT_ID,
    AMOUNT,
    MONEY,
    NOW,
    Books,
    act,
    attempt,
    intent,
    legs,
    no,
    said,
    yes,
)
from tests.payments.scripted import capabilities

from tongbao.channels.schema import Answer, Operation, Outcome
from tongbao.payments.errors import BadAmount, WrongState
from tongbao.payments.policy import acts, postings, schedule
from tongbao.payments.policy.acts import ActStep
from tongbao.payments.schema.attempts import HOLDING, Act, ActState, Attempt, AttemptState, HoldPart
from tongbao.payments.schema.intents import CancelReason, CaptureMethod, Intent, IntentState

S = AttemptState
HELD = intent(IntentState.REQUIRES_CAPTURE, capture_method=CaptureMethod.MANUAL)
IN_PARTS = intent(IntentState.REQUIRES_CAPTURE, capture_method=CaptureMethod.MANUAL_MULTIPLE)
UNRESOLVED = said(Outcome.UNRESOLVED)


def begin_capture(
    wanted: Intent = HELD,
    held: Attempt | None = None,
    amount_minor: int | None = None,
    *,
    final: bool | None = None,
    **can: object,
) -> tuple[Attempt, Act]:
    return acts.begin_capture(
        wanted,
        held or attempt(S.AUTHORIZED),
        capabilities(**can),
        amount_minor,
        final=final,
        act_id=ACT_ID,
        now=NOW,
    )


@pytest.mark.parametrize("state", sorted(set(S) - HOLDING))
def test_capture_without_anything_held_is_refused(state: AttemptState) -> None:
    with pytest.raises(WrongState, match="cannot be used to capture"):
        begin_capture(HELD, attempt(state))


@pytest.mark.parametrize("state", sorted(set(IntentState) - {IntentState.REQUIRES_CAPTURE}))
def test_capture_of_an_intent_that_does_not_wait_for_it_is_refused(state: IntentState) -> None:
    with pytest.raises(WrongState, match="cannot be used to capture"):
        begin_capture(intent(state))


CAPTURES: list[tuple[Intent, int | None, bool | None, dict[str, object], int, bool]] = [
    (HELD, None, None, {}, AMOUNT, True),
    (HELD, 400, None, {}, 400, True),
    (HELD, 400, False, {}, 400, False),
    (HELD, AMOUNT, False, {}, AMOUNT, True),
    (IN_PARTS, 400, None, {}, 400, False),
    (IN_PARTS, 400, True, {}, 400, True),
    (IN_PARTS, 400, None, {"multiple_capture": False}, 400, True),
    (HELD, None, None, {"partial_capture": False, "multiple_capture": False}, AMOUNT, True),
]


@pytest.mark.parametrize(("wanted", "asked", "final", "can", "amount_minor", "is_final"), CAPTURES)
def test_capture_takes_what_was_asked_and_knows_whether_it_is_the_last(
    wanted: Intent,
    asked: int | None,
    final: bool | None,
    can: dict[str, object],
    amount_minor: int,
    is_final: bool,
) -> None:
    after, begun = begin_capture(wanted, None, asked, final=final, **can)
    assert (begun.amount_minor, begun.final, begun.state) == (amount_minor, is_final, ActState.SENT)
    assert after.open_act == begun
    assert after.due_at == schedule.after_sending(NOW)


REFUSED: list[tuple[int, bool | None, dict[str, object], str]] = [
    (0, None, {}, "amount_too_small"),
    (-1, None, {}, "amount_too_small"),
    (AMOUNT + 1, None, {}, "amount_too_large"),
    (400, True, {"partial_capture": False}, "partial_capture_not_supported"),
    (400, False, {"multiple_capture": False}, "multiple_capture_not_supported"),
    (400, False, {"partial_capture": False}, "multiple_capture_not_supported"),
]


@pytest.mark.parametrize(("amount_minor", "final", "can", "code"), REFUSED)
def test_capture_that_amount_or_channel_forbids_is_refused(
    amount_minor: int, final: bool | None, can: dict[str, object], code: str
) -> None:
    with pytest.raises((WrongState, BadAmount)) as refused:
        begin_capture(HELD, None, amount_minor, final=final, **can)
    assert refused.value.code == code


def test_second_capture_may_take_no_more_than_the_first_left() -> None:
    with pytest.raises(BadAmount, match="600 may be captured"):
        begin_capture(IN_PARTS, attempt(S.CAPTURED_PARTIAL), 601)


def test_act_while_another_is_under_way_is_refused() -> None:
    busy = attempt(S.AUTHORIZED, acts=(act(),))
    begins: list[Callable[[], object]] = [
        lambda: begin_capture(HELD, busy),
        lambda: acts.begin_void(busy, ACT_ID, NOW),
        lambda: acts.begin_increment(HELD, busy, capabilities(), 2 * AMOUNT, ACT_ID, NOW),
    ]
    for begin in begins:
        with pytest.raises(WrongState) as refused:
            begin()
        assert refused.value.code == "act_in_progress"


def begin_increment(held: Attempt, total_minor: int, **can: object) -> tuple[Attempt, Act]:
    return acts.begin_increment(HELD, held, capabilities(**can), total_minor, ACT_ID, NOW)


def test_increment_asks_for_the_difference_to_the_new_total() -> None:
    assert begin_increment(attempt(S.AUTHORIZED), 1500)[1].amount_minor == 500


grown = act(Operation.INCREMENT, 1, state=ActState.APPROVED)
INCREMENTS: list[tuple[Attempt, int, dict[str, object], str]] = [
    (attempt(S.AUTHORIZED), AMOUNT, {}, "amount_too_small"),
    (attempt(S.AUTHORIZED), 1500, {"increment": False}, "increment_not_supported"),
    (attempt(S.CAPTURED_PARTIAL), 1500, {}, "payment_intent_unexpected_state"),
    (attempt(S.SENT), 1500, {}, "payment_intent_unexpected_state"),
    (attempt(S.AUTHORIZED, acts=(grown,) * acts.INCREMENTS_MAX), 1500, {}, "increments_exhausted"),
]


@pytest.mark.parametrize(("held", "total_minor", "can", "code"), INCREMENTS)
def test_increment_that_state_amount_or_channel_forbids_is_refused(
    held: Attempt, total_minor: int, can: dict[str, object], code: str
) -> None:
    with pytest.raises((WrongState, BadAmount)) as refused:
        begin_increment(held, total_minor, **can)
    assert refused.value.code == code


def test_void_lets_go_of_what_is_not_captured() -> None:
    assert acts.begin_void(attempt(S.CAPTURED_PARTIAL), ACT_ID, NOW)[1].amount_minor == 600
    assert acts.begin_void(attempt(S.ACTION_REQUIRED), ACT_ID, NOW)[1].amount_minor == AMOUNT


def end(
    held: Attempt, answer: Answer, wanted: Intent = HELD, *, cancel: CancelReason | None = None
) -> ActStep:
    begun = held.open_act
    assert begun is not None
    return acts.end(wanted, held, begun, answer, MONEY, NOW, cancel=cancel)


def states(step: ActStep) -> tuple[str | None, str | None, str, list[tuple[str, int]]]:
    assert step.attempt is not None
    return (
        step.attempt.state.value,
        step.intent.state.value if step.intent else None,
        step.attempt.acts[-1].state.value,
        legs(step.transfers),
    )


def with_act(at: AttemptState, operation: Operation, amount_minor: int, **fields: object) -> Attempt:
    return attempt(at, acts=(act(operation, amount_minor, **fields),))


CAPTURE, VOID, INCREMENT = Operation.CAPTURE, Operation.VOID, Operation.INCREMENT
ENDS = [
    (
        with_act(S.AUTHORIZED, CAPTURE, AMOUNT),
        yes(),
        ("captured", "succeeded", "approved", [("payment.captured", AMOUNT)]),
    ),
    (
        with_act(S.AUTHORIZED, CAPTURE, 400),
        yes(400),
        ("captured", "succeeded", "approved", [("payment.captured", 400)]),
    ),
    (
        with_act(S.AUTHORIZED, CAPTURE, 400, final=False),
        yes(400),
        ("captured_partial", "requires_capture", "approved", [("payment.captured", 400)]),
    ),
    (
        with_act(S.CAPTURED_PARTIAL, CAPTURE, 600),
        yes(600),
        ("captured", "succeeded", "approved", [("payment.captured", 600)]),
    ),
    (with_act(S.AUTHORIZED, CAPTURE, AMOUNT), yes(999), ("authorized", None, "unresolved", [])),
    (with_act(S.AUTHORIZED, INCREMENT, 500), yes(499), ("authorized", None, "unresolved", [])),
    (
        with_act(S.AUTHORIZED, INCREMENT, 500),
        yes(500),
        ("authorized", "requires_capture", "approved", [("payment.authorized", 500)]),
    ),
    (
        with_act(S.AUTHORIZED, VOID, AMOUNT),
        yes(None),
        ("voided", "canceled", "approved", [("payment.voided", 0)]),
    ),
    (
        with_act(S.CAPTURED_PARTIAL, VOID, 600),
        yes(None),
        ("captured", "succeeded", "approved", [("payment.voided", 0)]),
    ),
    (with_act(S.ACTION_REQUIRED, VOID, AMOUNT), yes(None), ("voided", "canceled", "approved", [])),
    (with_act(S.PENDING, VOID, AMOUNT), yes(None), ("voided", "canceled", "approved", [])),
    (with_act(S.DECLINED, VOID, AMOUNT), yes(None), ("declined", "canceled", "approved", [])),
    (with_act(S.NOT_FOUND, VOID, AMOUNT), yes(None), ("not_found", "canceled", "approved", [])),
    (with_act(S.REVERSING, VOID, AMOUNT), yes(None), ("reversing", None, "approved", [])),
    (with_act(S.CONFLICTED, VOID, AMOUNT), yes(None), ("conflicted", None, "approved", [])),
    *(
        (with_act(S.AUTHORIZED, operation, AMOUNT), answer, ("authorized", None, ended, []))
        for operation in (CAPTURE, VOID, INCREMENT)
        for answer, ended in (
            (no(), "declined"),
            (said(Outcome.NOT_FOUND), "declined"),
            (said(Outcome.NOT_SENT), "declined"),
            (said(Outcome.PENDING), "pending"),
            (said(Outcome.ACTION_REQUIRED), "unresolved"),
            (UNRESOLVED, "unresolved"),
        )
    ),
]


@pytest.mark.parametrize(("held", "answer", "expected"), ENDS)
def test_answer_to_an_act_moves_documents_and_money_together(
    held: Attempt, answer: Answer, expected: tuple[str, str | None, str, list[tuple[str, int]]]
) -> None:
    step = end(held, answer)
    assert states(step) == expected
    assert step.attempt is not None
    if expected[2] in ("approved", "declined"):
        again = acts.end(step.intent or HELD, step.attempt, held.acts[-1], answer, MONEY, NOW)
        assert again == ActStep(None, None)


def test_void_of_what_was_charged_meanwhile_alarms() -> None:
    step = end(with_act(S.CHARGED, VOID, AMOUNT), yes(None), intent(IntentState.SUCCEEDED))
    assert (step.intent, step.alarm) == (None, "void_after_charge")


def test_void_of_an_attempt_that_the_intent_has_left_behind_cancels_nothing() -> None:
    elsewhere = intent(IntentState.PROCESSING, attempt_id=UUID(int=9))
    assert end(with_act(S.DECLINED, VOID, AMOUNT), yes(None), elsewhere).intent is None


def test_void_that_cancels_keeps_its_reason() -> None:
    step = end(with_act(S.AUTHORIZED, VOID, AMOUNT), yes(None), cancel=CancelReason.DUPLICATE)
    assert step.intent is not None
    assert (step.intent.cancel_reason, step.intent.canceled_at) == (CancelReason.DUPLICATE, NOW)
    assert step.intent.amount_capturable_minor == 0


def test_act_that_did_not_leave_the_house_after_an_inquiry_stays_unresolved() -> None:
    held = with_act(S.AUTHORIZED, CAPTURE, AMOUNT, inquiry_count=1, state=ActState.UNRESOLVED)
    assert states(end(held, said(Outcome.NOT_SENT)))[2] == "unresolved"


def test_unresolved_act_follows_the_schedule_and_ends_in_an_alarm() -> None:
    held = with_act(S.AUTHORIZED, CAPTURE, AMOUNT)
    for seconds in schedule.UNRESOLVED_S:
        step = end(held, UNRESOLVED)
        assert step.attempt is not None
        assert (step.attempt.due_at, step.alarm) == (NOW + timedelta(seconds=seconds), None)
        held = step.attempt
    assert end(held, UNRESOLVED).alarm == "never_resolved"


def test_refused_act_on_a_waiting_attempt_leaves_it_polled() -> None:
    step = end(with_act(S.ACTION_REQUIRED, VOID, AMOUNT), no())
    assert step.attempt is not None
    assert step.attempt.due_at == schedule.after_poll(NOW, 0)


def test_void_of_an_expired_authorization_is_repeated_daily_and_not_for_ever() -> None:
    held = attempt(S.AUTHORIZED, expires_at=NOW)
    for number in range(1, acts.VOIDS_MAX + 1):
        begun, _ = acts.begin_void(held, UUID(int=number), NOW)
        step = end(begun, no())
        assert step.attempt is not None
        held = step.attempt
        is_last = number == acts.VOIDS_MAX
        assert step.alarm == ("authorization_stuck" if is_last else None)
        assert held.due_at == (None if is_last else NOW + acts.VOID_AGAIN)
    with pytest.raises(WrongState, match="does not let go"):
        acts.begin_void(held, UUID(int=99), NOW)


def test_captures_over_several_holds_take_the_oldest_first_and_release_the_rest() -> None:
    books, held, wanted = Books(), attempt(S.AUTHORIZED), IN_PARTS
    books.post((postings.authorized(MONEY, held, AMOUNT),))
    for number, total in enumerate((1500, 2000), 1):
        begun, grown_by = acts.begin_increment(wanted, held, capabilities(), total, UUID(int=number), NOW)
        step = acts.end(wanted, begun, grown_by, yes(500, captured=False), MONEY, NOW)
        assert step.attempt is not None
        assert step.intent is not None
        books.post(step.transfers)
        held, wanted = step.attempt, step.intent
    for number, (amount, final) in enumerate(((1200, None), (100, None), (100, True)), 10):
        begun, part = acts.begin_capture(
            wanted, held, capabilities(), amount, final=final, act_id=UUID(int=number), now=NOW
        )
        step = acts.end(wanted, begun, part, yes(amount), MONEY, NOW)
        assert step.attempt is not None
        assert step.intent is not None
        books.post(step.transfers)
        held, wanted = step.attempt, step.intent
        assert sum(books.holds.values()) == held.capturable_minor == wanted.amount_capturable_minor
    assert books.balances["in_transit"] == held.captured_minor == wanted.amount_received_minor == 1400
    assert books.holds == {}
    assert (held.state, wanted.state) == (S.CAPTURED, IntentState.SUCCEEDED)
    assert books.keys <= set(postings.trail_keys([held], [], []))


def test_capture_leaves_untouched_holds_for_the_next_one() -> None:
    key = postings.hold_key(attempt())
    held = attempt(
        S.AUTHORIZED,
        authorized_minor=1500,
        holds=(HoldPart(key, AMOUNT), HoldPart(UUID(int=4), 500)),
    )
    transfers, left = postings.captured(MONEY, held, act(amount_minor=300, final=False))
    assert legs(tuple(transfers)) == [("payment.captured", 300)]
    assert left == (HoldPart(key, 700), HoldPart(UUID(int=4), 500))
    final, none_left = postings.captured(
        MONEY, msgspec.structs.replace(held, holds=left), act(amount_minor=300, id=UUID(int=6))
    )
    assert legs(tuple(final)) == [("payment.captured", 300), ("payment.voided", 0)]
    assert none_left == ()
