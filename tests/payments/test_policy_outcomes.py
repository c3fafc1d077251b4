"""What an answer means: every state of an attempt against every outcome, and the rules that keep money single."""

from datetime import timedelta
from uuid import UUID

import msgspec
import pytest
from tests.payments.builders import (
    AMOUNT,
    NOW,
    Books,
    act,
    applied,
    attempt,
    intent,
    legs,
    no,
    said,
    standing,
    yes,
)
from tests.payments.scripted import capabilities

from tongbao.channels.schema import Action, ActionKind, Answer, Operation, Outcome, Reason
from tongbao.core.errors import InvariantBroken
from tongbao.ledger.schema import AccountId, BookId, Transfer
from tongbao.payments.policy import outcomes, postings, schedule
from tongbao.payments.policy.outcomes import Step
from tongbao.payments.schema.attempts import DEAD, OPEN, ActState, AttemptState
from tongbao.payments.schema.intents import Certainty, IntentState

S = AttemptState
I = IntentState  # noqa: E741 - tables of cases read better with one letter
ACTION = Action(kind=ActionKind.REDIRECT, url="https://bank.example/3ds")
ASKS = Answer(outcome=Outcome.ACTION_REQUIRED, action=ACTION)
PENDING, NOT_FOUND = said(Outcome.PENDING), said(Outcome.NOT_FOUND)
NOT_SENT, UNRESOLVED = said(Outcome.NOT_SENT), said(Outcome.UNRESOLVED)
RESERVED = yes(captured=False)

Summary = tuple[str | None, str | None, list[tuple[str, int]], str | None]
NOTHING: Summary = (None, None, [], None)


def summary(step: Step) -> Summary:
    return (
        step.attempt.state.value if step.attempt else None,
        step.intent.state.value if step.intent else None,
        legs(step.transfers),
        step.alarm,
    )


CHARGED: Summary = ("charged", "succeeded", [("payment.charged", AMOUNT)], None)
AUTHORIZED: Summary = ("authorized", "requires_capture", [("payment.authorized", AMOUNT)], None)
LATE: Summary = ("reversing", None, [("payment.unexpected", AMOUNT)], None)
LATE_HOLD: Summary = ("reversing", None, [], None)
DECLINED: Summary = ("declined", "requires_payment_method", [], None)
ASKED: Summary = ("action_required", "requires_action", [], None)
LOST: Summary = ("unresolved", "processing", [], None)
STILL_LOST: Summary = ("unresolved", None, [], None)

CASES: list[tuple[AttemptState, Answer, Summary]] = [
    *((state, yes(), CHARGED) for state in sorted(OPEN)),
    *((state, RESERVED, AUTHORIZED) for state in sorted(OPEN)),
    *((state, no(), DECLINED) for state in sorted(OPEN)),
    *((state, no(voided=True), ("voided", "requires_payment_method", [], None)) for state in sorted(OPEN)),
    *((state, yes(), LATE) for state in sorted(DEAD - {S.REVERSED})),
    *((state, RESERVED, LATE_HOLD) for state in sorted(DEAD - {S.REVERSED})),
    (S.SENT, ASKS, ASKED),
    (S.UNRESOLVED, ASKS, ASKED),
    (S.PENDING, ASKS, ASKED),
    (S.ACTION_REQUIRED, ASKS, ASKED),
    (S.SENT, PENDING, ("pending", None, [], None)),
    (S.UNRESOLVED, PENDING, ("pending", "processing", [], None)),
    (S.PENDING, PENDING, ("pending", None, [], None)),
    (S.ACTION_REQUIRED, PENDING, ("pending", "processing", [], None)),
    (S.SENT, NOT_SENT, DECLINED),
    (S.UNRESOLVED, NOT_SENT, STILL_LOST),
    (S.PENDING, NOT_SENT, ("pending", None, [], None)),
    (S.ACTION_REQUIRED, NOT_SENT, ("action_required", None, [], None)),
    (S.SENT, UNRESOLVED, LOST),
    (S.UNRESOLVED, UNRESOLVED, STILL_LOST),
    (S.PENDING, UNRESOLVED, ("pending", None, [], None)),
    (S.ACTION_REQUIRED, UNRESOLVED, ("action_required", None, [], None)),
    (S.SENT, NOT_FOUND, LOST),
    (S.UNRESOLVED, NOT_FOUND, STILL_LOST),
    (S.PENDING, NOT_FOUND, ("pending", None, [], None)),
    (S.ACTION_REQUIRED, NOT_FOUND, ("action_required", None, [], None)),
    (
        S.AUTHORIZED,
        yes(),
        ("captured", "succeeded", [("payment.voided", 0), ("payment.charged", AMOUNT)], None),
    ),
    (S.AUTHORIZED, RESERVED, NOTHING),
    (S.AUTHORIZED, no(), NOTHING),
    (S.AUTHORIZED, no(voided=True), ("voided", "requires_payment_method", [("payment.voided", 0)], None)),
    (S.CHARGED, yes(), NOTHING),
    (S.CHARGED, RESERVED, NOTHING),
    (S.CHARGED, no(), (None, "succeeded", [], "outcome_conflict")),
    (S.CHARGED, no(voided=True), (None, "succeeded", [], "outcome_conflict")),
    (S.CAPTURED, yes(), NOTHING),
    (S.CAPTURED, RESERVED, NOTHING),
    (S.CAPTURED, no(), (None, "succeeded", [], "outcome_conflict")),
    (S.CAPTURED_PARTIAL, yes(400), NOTHING),
    (S.CAPTURED_PARTIAL, RESERVED, NOTHING),
    (S.CAPTURED_PARTIAL, no(), (None, "requires_capture", [], "outcome_conflict")),
    *(
        (state, answer, NOTHING)
        for state in (S.CONFLICTED, S.REVERSING, S.REVERSED)
        for answer in (yes(), RESERVED)
    ),
    *((state, no(), NOTHING) for state in (S.CONFLICTED, S.REVERSING, *sorted(DEAD))),
    *(
        (state, answer, NOTHING)
        for state in AttemptState
        if state not in OPEN
        for answer in (ASKS, PENDING, NOT_FOUND, NOT_SENT, UNRESOLVED)
    ),
]


@pytest.mark.parametrize(("state", "answer", "expected"), CASES)
def test_answer_to_an_attempt_in_each_state_has_one_meaning(
    state: AttemptState, answer: Answer, expected: Summary
) -> None:
    assert summary(outcomes.settle(standing(attempt(state)), answer)) == expected


def test_table_of_answers_covers_every_state_and_outcome() -> None:
    assert {(state, answer.outcome) for state, answer, _ in CASES} == {
        (state, outcome) for state in AttemptState for outcome in Outcome
    }


EVENTS = [
    (S.SENT, yes(), ["payment_intent.succeeded", "charge.succeeded"]),
    (S.SENT, RESERVED, ["payment_intent.amount_capturable_updated", "charge.succeeded"]),
    (S.SENT, no(), ["payment_intent.payment_failed", "charge.failed"]),
    (S.SENT, ASKS, ["payment_intent.requires_action"]),
    (S.UNRESOLVED, PENDING, ["payment_intent.processing"]),
    (S.SENT, PENDING, []),
    (S.PENDING, PENDING, []),
    (S.SENT, UNRESOLVED, ["payment_intent.processing"]),
    (S.SENT, yes(999), ["attempt.conflicted"]),
    (S.DECLINED, yes(), ["attempt.late_success"]),
    (S.AUTHORIZED, yes(), ["payment_intent.succeeded", "charge.captured"]),
    (S.AUTHORIZED, no(voided=True), ["payment_intent.payment_failed", "charge.expired"]),
    (S.CHARGED, no(), ["attempt.conflicted"]),
]


@pytest.mark.parametrize(("state", "answer", "expected"), EVENTS)
def test_answer_tells_the_merchant_what_it_means(
    state: AttemptState, answer: Answer, expected: list[str]
) -> None:
    assert [name for name, _ in outcomes.settle(standing(attempt(state)), answer).events] == expected


@pytest.mark.parametrize(
    ("answer", "suspense_minor"),
    [
        (yes(999), 999),
        (yes(1001), 1001),
        (yes(999, captured=False), 0),
        (yes(currency="USD"), 0),
        (yes(None, currency="USD"), 0),
    ],
)
@pytest.mark.parametrize("state", sorted((OPEN | DEAD) - {S.REVERSED, S.VOIDED}))
def test_yes_to_something_else_is_conflicted_and_never_succeeds(
    state: AttemptState, answer: Answer, suspense_minor: int
) -> None:
    step = outcomes.settle(standing(attempt(state)), answer)
    assert step.alarm == "amount_conflict"
    assert step.attempt is not None
    assert step.attempt.state is S.CONFLICTED
    assert step.attempt.suspense_minor == suspense_minor
    assert legs(step.transfers) == ([("payment.unexpected", suspense_minor)] if suspense_minor else [])
    assert step.intent is not None
    assert (step.intent.state, step.intent.certainty) == (I.PROCESSING, Certainty.CONFLICTED)
    assert step.intent.paid_by_id is None


def test_yes_that_names_no_amount_is_taken_at_its_word() -> None:
    assert summary(outcomes.settle(standing(), yes(None, currency=None))) == CHARGED


def test_yes_for_an_intent_that_was_paid_by_another_attempt_is_given_back() -> None:
    elsewhere = intent(I.SUCCEEDED, attempt_id=UUID(int=9), paid_by_id=UUID(int=9))
    step = outcomes.settle(standing(attempt(S.UNRESOLVED), elsewhere), yes())
    assert summary(step) == LATE
    assert step.attempt is not None
    assert step.attempt.suspense_minor == AMOUNT
    assert step.attempt.due_at == NOW + timedelta(seconds=schedule.REVERSAL_S)


def test_no_for_an_intent_that_another_attempt_pays_leaves_the_intent_alone() -> None:
    elsewhere = intent(I.PROCESSING, attempt_id=UUID(int=9))
    assert summary(outcomes.settle(standing(attempt(S.UNRESOLVED), elsewhere), no())) == (
        "declined",
        None,
        [],
        None,
    )


def test_echo_of_an_authorization_that_was_voided_changes_nothing() -> None:
    voided = attempt(S.VOIDED, authorized_minor=AMOUNT)
    assert outcomes.settle(standing(voided), RESERVED) == Step()
    assert summary(outcomes.settle(standing(voided), yes())) == LATE


def test_claim_of_an_authorization_that_is_being_given_back_stands_apart_once() -> None:
    giving_back = attempt(S.REVERSING, captured_minor=0, authorized_minor=AMOUNT)
    before = standing(giving_back)
    step = outcomes.settle(before, yes())
    assert summary(step) == LATE
    assert step.attempt is not None
    assert step.attempt.captured_minor == AMOUNT
    assert outcomes.settle(applied(before, step), yes()) == Step()


def test_claim_of_an_authorization_that_was_given_back_alarms() -> None:
    reversed_ = attempt(S.REVERSED, captured_minor=0, authorized_minor=AMOUNT)
    assert summary(outcomes.settle(standing(reversed_), yes())) == (None, None, [], "claim_after_reversal")


CONTRADICTIONS = [
    (S.CHARGED, yes(1100), [("payment.unexpected", 100)], 100),
    (S.CHARGED, yes(900), [("payment.returned", 100)], -100),
    (S.CHARGED, yes(900, captured=False), [], 0),
    (S.CHARGED, yes(currency="USD"), [], 0),
    (S.CAPTURED_PARTIAL, yes(600), [("payment.unexpected", 200)], 200),
    (S.AUTHORIZED, yes(900), [("payment.unexpected", 900)], 900),
]


@pytest.mark.parametrize(("state", "answer", "transfers", "suspense_minor"), CONTRADICTIONS)
def test_other_amount_for_money_we_have_is_booked_apart_once(
    state: AttemptState, answer: Answer, transfers: list[tuple[str, int]], suspense_minor: int
) -> None:
    before = standing(attempt(state))
    step = outcomes.settle(before, answer)
    assert legs(step.transfers) == transfers
    assert step.alarm == "amount_conflict"
    assert step.attempt is not None
    assert step.attempt.state is state
    assert step.attempt.suspense_minor == suspense_minor
    assert step.intent is not None
    assert step.intent.certainty is Certainty.CONFLICTED
    assert outcomes.settle(applied(before, step), answer) == Step()


def test_contradictions_one_after_another_end_at_the_last_difference() -> None:
    books, stands = Books(), standing(attempt(S.CHARGED))
    for amount in (1100, 900, 1300):
        step = outcomes.settle(stands, yes(amount))
        books.post(step.transfers)
        stands = applied(stands, step)
    assert books.balances["suspense"] == 300


def test_echoes_of_amounts_before_an_increment_and_a_capture_change_nothing() -> None:
    grown = act(Operation.INCREMENT, 500, id=UUID(int=1), state=ActState.APPROVED)
    part = act(Operation.CAPTURE, 300, id=UUID(int=2), state=ActState.APPROVED)
    held = attempt(
        S.CAPTURED_PARTIAL,
        amount_minor=1500,
        authorized_minor=1500,
        captured_minor=700,
        acts=(grown, part, msgspec.structs.replace(part, id=UUID(int=3), amount_minor=400)),
    )
    echoes = [yes(1000, captured=False), yes(1500, captured=False), yes(300), yes(700)]
    assert all(outcomes.settle(standing(held), echo) == Step() for echo in echoes)
    assert outcomes.settle(standing(held), yes(1200, captured=False)).alarm == "amount_conflict"


def test_claim_that_a_capture_under_way_explains_is_left_to_the_capture() -> None:
    held = attempt(S.AUTHORIZED, acts=(act(amount_minor=400),))
    assert outcomes.settle(standing(held), yes(400)) == Step()
    assert outcomes.settle(standing(held), yes()) == Step()


def test_no_after_a_refund_is_no_contradiction() -> None:
    assert outcomes.settle(standing(attempt(S.CHARGED, refunded_minor=AMOUNT)), no(voided=True)) == Step()


def test_yes_while_a_void_is_under_way_is_looked_at_again_soon() -> None:
    waiting = attempt(S.ACTION_REQUIRED, acts=(act(Operation.VOID),))
    for answer in (yes(), RESERVED, no()):
        step = outcomes.settle(standing(waiting), answer)
        assert step.attempt is not None
        assert step.attempt.due_at == schedule.after_sending(NOW)


def test_top_up_is_posted_with_the_money_that_pays_it() -> None:
    top_up = Transfer(
        key=UUID(int=5),
        book_id=BookId(8),
        debit_account_id=AccountId(1),
        credit_account_id=AccountId(2),
        amount_minor=AMOUNT,
        asset_id=156,
        code="wallet.topped_up",
    )
    for state in (S.SENT, S.AUTHORIZED):
        assert top_up in outcomes.settle(standing(attempt(state))._replace(top_up=(top_up,)), yes()).transfers
    assert (
        top_up
        not in outcomes.settle(standing(attempt(S.DECLINED))._replace(top_up=(top_up,)), yes()).transfers
    )


NOT_FOUND_CASES = [
    (S.SENT, {}, 59, "unresolved"),
    (S.SENT, {}, 60, "not_found"),
    (S.UNRESOLVED, {}, 60, "not_found"),
    (S.UNRESOLVED, {"settles_not_found_s": 900}, 899, "unresolved"),
    (S.UNRESOLVED, {"inquires_by_our_reference": False}, 10**6, "unresolved"),
    (S.ACTION_REQUIRED, {}, 3_600, "action_required"),
    (S.ACTION_REQUIRED, {}, 90_000, "not_found"),
    (S.PENDING, {}, 89_999, "pending"),
    (S.PENDING, {}, 90_000, "not_found"),
]


@pytest.mark.parametrize(("state", "can", "after_s", "expected"), NOT_FOUND_CASES)
def test_not_found_counts_only_where_and_when_it_is_the_truth(
    state: AttemptState, can: dict[str, object], after_s: float, expected: str
) -> None:
    stands = standing(attempt(state), after_s=after_s)._replace(capabilities=capabilities(**can))
    step = outcomes.settle(stands, NOT_FOUND, is_inquiry=True)
    assert step.attempt is not None
    assert step.attempt.state == expected
    freed = step.intent is not None and step.intent.state is I.REQUIRES_PAYMENT_METHOD
    assert freed == (expected == "not_found")


def test_not_sent_that_an_inquiry_says_does_not_end_an_attempt() -> None:
    step = outcomes.settle(standing(), NOT_SENT, is_inquiry=True)
    assert summary(step) == LOST
    assert step.intent is not None
    assert step.intent.certainty is Certainty.UNKNOWN


def test_inquiries_of_what_is_lost_follow_the_schedule_and_end_in_an_alarm() -> None:
    stands = standing()
    for seconds in schedule.UNRESOLVED_S:
        step = outcomes.settle(stands, UNRESOLVED, is_inquiry=True)
        assert step.attempt is not None
        assert (step.attempt.due_at, step.alarm) == (NOW + timedelta(seconds=seconds), None)
        stands = applied(stands, step)
    last = outcomes.settle(stands, UNRESOLVED, is_inquiry=True)
    assert last.alarm == "never_resolved"
    assert last.attempt is not None
    assert last.attempt.due_at is None
    assert [name for name, _ in last.events] == ["attempt.unresolved"]
    assert applied(stands, last).intent.certainty is Certainty.UNKNOWN


def test_polls_of_a_waiting_payer_slow_down_and_never_end() -> None:
    stands, pauses = standing(attempt(S.ACTION_REQUIRED)), []
    for _ in range(8):
        step = outcomes.settle(stands, PENDING, is_inquiry=True)
        assert step.attempt is not None
        assert step.attempt.due_at is not None
        assert step.attempt.state is S.ACTION_REQUIRED
        pauses.append((step.attempt.due_at - NOW).total_seconds())
        stands = applied(stands, step)
    assert pauses == [3, 5, 10, 20, 30, 60, 60, 60]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (no(Reason.CARD_EXPIRED), Reason.CARD_EXPIRED),
        (Answer(outcome=Outcome.DECLINED), Reason.OTHER),
        (NOT_SENT, Reason.CHANNEL_UNAVAILABLE),
    ],
)
def test_no_is_kept_with_its_reason_and_whose_fault_it_was(answer: Answer, reason: Reason) -> None:
    step = outcomes.settle(standing(), answer)
    assert step.intent is not None
    error = step.intent.last_error
    assert error is not None
    assert (error.reason, error.channel, error.channel_code) == (reason, "one", answer.code)
    assert step.intent.method_id is None
    assert step.intent.due_at == step.intent.expires_at


def test_authorization_that_was_to_be_captured_at_once_is_due_now_others_when_they_expire() -> None:
    at_once = outcomes.settle(standing(attempt(capture=True)), RESERVED).attempt
    later = outcomes.settle(standing(attempt(capture=False), authorization_days=5), RESERVED).attempt
    assert at_once is not None
    assert later is not None
    assert at_once.due_at == NOW
    assert later.due_at == later.expires_at == NOW + timedelta(days=5)


def test_later_answers_add_to_what_the_channel_said_and_never_erase_it() -> None:
    stands = standing()
    step = outcomes.settle(stands, Answer(outcome=Outcome.PENDING, channel_reference="ch1", code="W"))
    done = outcomes.settle(applied(stands, step), yes(approval_code="A1"))
    assert done.attempt is not None
    assert (done.attempt.channel_reference, done.attempt.code, done.attempt.approval_code) == (
        "ch1",
        "W",
        "A1",
    )


def test_moves_that_do_not_exist_are_broken_invariants() -> None:
    with pytest.raises(InvariantBroken):
        outcomes.moved(attempt(S.REVERSED), S.CHARGED, NOW)
    with pytest.raises(InvariantBroken):
        outcomes.intent_moved(intent(I.SUCCEEDED), I.CANCELED, NOW)


def test_trail_keys_hold_every_transfer_of_an_answer() -> None:
    for state in AttemptState:
        for answer in (yes(), RESERVED, yes(900), no(voided=True)):
            stands = standing(attempt(state))
            step = outcomes.settle(stands, answer)
            keys = postings.trail_keys([applied(stands, step).attempt], [], [])
            assert {transfer.key for transfer in step.transfers} <= set(keys)
