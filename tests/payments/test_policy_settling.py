"""Any answers in any order: nothing is posted twice, no forbidden edge is walked, books and documents agree."""

from datetime import timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.payments.builders import AMOUNT, NOW, Books, applied, attempt, no, said, standing, yes

from tongbao.channels.schema import FINAL, Answer, Outcome
from tongbao.ledger.schema import Transfer
from tongbao.payments.policy import outcomes, postings
from tongbao.payments.policy.outcomes import Standing, Step
from tongbao.payments.schema.attempts import ATTEMPT_MOVES, PAID, Attempt, AttemptState
from tongbao.payments.schema.intents import INTENT_MOVES, IntentState

ANSWERS = st.one_of(
    st.builds(
        yes,
        st.sampled_from([AMOUNT, AMOUNT, AMOUNT, None, 1, 900, 1100]),
        captured=st.booleans(),
        currency=st.sampled_from(["CNY", "CNY", "CNY", None, "USD"]),
    ),
    st.builds(no, voided=st.booleans()),
    st.sampled_from(sorted(set(Outcome) - FINAL)).map(said),
)
HEARD = st.tuples(ANSWERS, st.booleans(), st.sampled_from([0, 3, 61, 90_001]))
STARTS = st.builds(attempt, st.sampled_from(sorted(AttemptState)))
APART = st.sampled_from([0, 0, 1, -100, AMOUNT, 1100])
ONE, MORE, LESS = yes(1), yes(1100), yes(900)
RESERVED, LET_GO, ABROAD = yes(captured=False), no(voided=True), yes(1, currency="USD")


def walk(stands: Standing, answer: Answer, *, is_inquiry: bool) -> tuple[Standing, Step]:
    step = outcomes.settle(stands, answer, is_inquiry=is_inquiry)
    after = applied(stands, step)
    was, now = stands.attempt.state, after.attempt.state
    assert now is was or now in ATTEMPT_MOVES[was]
    before, state = stands.intent.state, after.intent.state
    assert state is before or state in INTENT_MOVES[before]
    assert after.attempt.version - stands.attempt.version == (step.attempt is not None)
    assert after.intent.version - stands.intent.version == (step.intent is not None)
    assert into_suspense(step.transfers) == after.attempt.suspense_minor - stands.attempt.suspense_minor
    return after, step


def into_suspense(transfers: tuple[Transfer, ...]) -> int:
    """What transfers put into suspense, less what they take out of it."""
    books = Books()
    books.post(tuple(each for each in transfers if each.code in ("payment.unexpected", "payment.returned")))
    return books.balances["suspense"]


SEQUENCES: list[tuple[list[Answer], AttemptState, int]] = [
    ([RESERVED, ONE], AttemptState.AUTHORIZED, 1),
    ([RESERVED, ONE, LET_GO], AttemptState.VOIDED, 1),
    ([RESERVED, ONE, LET_GO, yes()], AttemptState.REVERSING, AMOUNT),
    ([RESERVED, ONE, LET_GO, RESERVED], AttemptState.VOIDED, 1),
    ([RESERVED, ONE, LET_GO, MORE], AttemptState.CONFLICTED, 1100),
    ([RESERVED, MORE, LET_GO, yes()], AttemptState.REVERSING, AMOUNT),
    ([RESERVED, MORE, LET_GO, MORE], AttemptState.CONFLICTED, 1100),
    ([RESERVED, MORE, LET_GO, LESS], AttemptState.CONFLICTED, 900),
    ([RESERVED, MORE, LET_GO, ABROAD], AttemptState.CONFLICTED, 1100),
    ([RESERVED, MORE, LET_GO, yes(900, captured=False)], AttemptState.VOIDED, 1100),
    ([RESERVED, ONE, yes()], AttemptState.CAPTURED, 0),
    ([RESERVED, MORE, yes()], AttemptState.CAPTURED, 0),
    ([RESERVED, ONE, yes(), MORE], AttemptState.CAPTURED, 100),
    ([yes(), MORE, ABROAD], AttemptState.CHARGED, 100),
    ([yes(), MORE, yes(900, captured=False)], AttemptState.CHARGED, 100),
    ([yes(), MORE, LESS, MORE, LESS], AttemptState.CHARGED, -100),
    ([no(), yes(), MORE], AttemptState.REVERSING, AMOUNT),
    ([no(), RESERVED, yes()], AttemptState.REVERSING, AMOUNT),
    ([MORE, yes(), LESS], AttemptState.CONFLICTED, 1100),
]


@pytest.mark.parametrize(("heard", "state", "suspense_minor"), SEQUENCES)
def test_answers_one_after_another_leave_apart_what_nothing_explains(
    heard: list[Answer], state: AttemptState, suspense_minor: int
) -> None:
    books, stands = Books(), standing(attempt(AttemptState.SENT, capture=False))
    for answer in heard:
        stands, step = walk(stands, answer, is_inquiry=True)
        books.post(step.transfers)
    tried = stands.attempt
    assert (tried.state, tried.suspense_minor, books.balances["suspense"]) == (
        state,
        suspense_minor,
        suspense_minor,
    )
    assert books.keys <= set(postings.trail_keys([tried], [], []))


@given(start=STARTS, apart_minor=APART, answer=ANSWERS, is_inquiry=st.booleans())
def test_any_answer_in_any_state_moves_suspense_from_what_it_was_to_what_it_must_be(
    start: Attempt, apart_minor: int, answer: Answer, is_inquiry: bool
) -> None:
    stands = standing(msgspec.structs.replace(start, suspense_minor=apart_minor))
    after, _ = walk(stands, answer, is_inquiry=is_inquiry)
    _, again = walk(after, answer, is_inquiry=True)
    assert again.transfers == ()


@given(start=STARTS, answer=ANSWERS, is_inquiry=st.booleans(), after_s=st.sampled_from([0, 61]))
def test_same_final_answer_again_changes_nothing(
    start: object, answer: Answer, is_inquiry: bool, after_s: int
) -> None:
    stands = standing(start, after_s=after_s)  # type: ignore[arg-type]
    after, _ = walk(stands, answer, is_inquiry=is_inquiry)
    _, again = walk(after, answer, is_inquiry=True)
    if answer.outcome in FINAL:
        assert again.is_empty
    else:
        # An inquiry is counted; nothing that the merchant or the books see moves.
        assert again.transfers == ()
        assert again.events == () or after.attempt.state is AttemptState.UNRESOLVED
        assert again.attempt is None or again.attempt.state is after.attempt.state or not again.intent


@settings(max_examples=300)
@given(heard=st.lists(HEARD, max_size=12))
def test_any_answers_in_any_order_leave_books_and_documents_equal(
    heard: list[tuple[Answer, bool, int]],
) -> None:
    books, stands = Books(), standing(attempt(AttemptState.SENT, capture=False))
    for number, (answer, is_inquiry, after_s) in enumerate(heard):
        stands = stands._replace(now=max(stands.now, NOW + timedelta(seconds=after_s)))
        stands, step = walk(stands, answer, is_inquiry=is_inquiry or number > 0)
        books.post(step.transfers)
        tried, wanted = stands.attempt, stands.intent
        in_transit = books.balances["in_transit"]
        assert in_transit == (tried.captured_minor if tried.state in PAID else 0) <= AMOUNT
        assert books.balances["suspense"] == tried.suspense_minor
        assert sum(books.holds.values()) == sum(part.left_minor for part in tried.holds)
        assert sum(books.balances.values()) == 0
        assert wanted.amount_received_minor == in_transit
        assert (wanted.state is IntentState.SUCCEEDED) == (in_transit > 0)
        assert wanted.amount_capturable_minor == tried.capturable_minor
        assert books.keys <= set(postings.trail_keys([tried], [], []))


@settings(max_examples=200)
@given(
    heard=st.lists(
        st.sampled_from(
            [yes(), no(), said(Outcome.UNRESOLVED), said(Outcome.PENDING), said(Outcome.NOT_FOUND)]
        ),
        max_size=8,
    ).map(lambda several: [*several, yes()])
)
def test_channel_that_took_the_money_ends_paid_or_given_back(heard: list[Answer]) -> None:
    stands = standing(after_s=61)
    for number, answer in enumerate(heard):
        stands, _ = walk(stands, answer, is_inquiry=number > 0)
    assert stands.attempt.state in (AttemptState.CHARGED, AttemptState.REVERSING)
