"""Complaints: when a payer may complain, what is kept of words, and that every end is an end."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from tests.payments.builders import AMOUNT, NOW, attempt

from tongbao.payments.errors import BadParameter, WrongState
from tongbao.payments.policy import complaints
from tongbao.payments.schema.attempts import Attempt, AttemptState
from tongbao.payments.schema.complaints import (
    ANSWER_DAYS,
    COMPLAIN_DAYS,
    COMPLAINTS_MAX,
    WORDLESS,
    WORDS_CHARS_MAX,
    Complaint,
    ComplaintCause,
    ComplaintState,
    Said,
)
from tongbao.payments.schema.refunds import Refund, RefundState

CHARGED = attempt(AttemptState.CHARGED, ended_at=NOW)
WALLET = 9
LAST_DAY = timedelta(days=COMPLAIN_DAYS)


def begun(cause: ComplaintCause = ComplaintCause.WRONG_AMOUNT, words: str = "It was 5") -> Complaint:
    return complaints.begun(CHARGED, Said(cause, words), WALLET, complaint_id=UUID(int=5), now=NOW)


def refund(state: RefundState = RefundState.SUCCEEDED) -> Refund:
    return Refund(
        id=UUID(int=6),
        book_id=CHARGED.book_id,
        live=False,
        created_at=NOW,
        updated_at=NOW,
        state=state,
        intent_id=CHARGED.intent_id,
        attempt_id=CHARGED.id,
        amount_minor=300,
        currency="CNY",
        sent_at=NOW,
    )


def test_complaint_keeps_what_was_said_and_until_when_to_answer() -> None:
    found = begun()
    assert (found.state, found.status, found.cause) == (ComplaintState.OPEN, "open", "wrong_amount")
    assert (found.amount_minor, found.currency, found.wallet_book_id) == (AMOUNT, "CNY", WALLET)
    assert (found.parent_id, found.attempt_id) == (CHARGED.intent_id, CHARGED.id)
    assert found.answer_by == NOW + timedelta(days=ANSWER_DAYS)


@pytest.mark.parametrize(
    ("paid", "earlier", "now", "code"),
    [
        (CHARGED, [], NOW, None),
        (CHARGED, [complaints.withdrawn(begun(), NOW)], NOW, None),
        (attempt(AttemptState.CHARGED, refunded_minor=AMOUNT - 1), [], NOW, None),
        (CHARGED, [], NOW + LAST_DAY, None),
        (CHARGED, [], NOW + LAST_DAY + timedelta(seconds=1), "complaint_late"),
        (attempt(AttemptState.DECLINED), [], NOW, "complaint_not_paid"),
        (attempt(AttemptState.AUTHORIZED), [], NOW, "complaint_not_paid"),
        (CHARGED, [begun()], NOW, "complaint_open"),
        (attempt(AttemptState.CHARGED, disputed_minor=1), [], NOW, "complaint_disputed"),
        (attempt(AttemptState.CHARGED, refunded_minor=AMOUNT), [], NOW, "complaint_refunded"),
        (attempt(AttemptState.CHARGED, refund_pending_minor=AMOUNT), [], NOW, "complaint_refunded"),
        (CHARGED, [complaints.withdrawn(begun(), NOW)] * COMPLAINTS_MAX, NOW, "complaint_repeated"),
    ],
)
def test_payer_may_complain_about_what_was_paid_and_not_given_back(
    paid: Attempt, earlier: list[Complaint], now: datetime, code: str | None
) -> None:
    found = complaints.objection(paid, earlier, now)
    assert (found and found.code) == code


@pytest.mark.parametrize("cause", ComplaintCause)
def test_words_are_needed_where_the_cause_alone_says_too_little(cause: ComplaintCause) -> None:
    assert begun(cause, "  x\x00y ").words == "xy"
    with pytest.raises(BadParameter):
        begun(cause, "x" * (WORDS_CHARS_MAX + 1))
    if cause in WORDLESS:
        assert begun(cause, "").words == ""
    else:
        with pytest.raises(BadParameter):
            begun(cause, " \x00 ")


def test_card_number_among_words_is_blotted_out() -> None:
    assert "424242424242" not in begun(words="my card 4242 4242 4242 4242").words
    answered = complaints.answered(begun(), "your card 4242424242424242", "person:1", NOW)
    assert "4242424242424242" not in answered.answer


def test_every_end_is_an_end() -> None:
    money = complaints.refunded(begun(), refund(), NOW)
    assert money is not None
    assert (money.state, money.refund_id, money.refunded_minor) == ("refunded", UUID(int=6), 300)
    for ended in (
        complaints.answered(begun(), "Sorry", "key:1", NOW),
        complaints.withdrawn(begun(), NOW),
        money,
    ):
        assert ended.ended_at == NOW
        assert complaints.refunded(ended, refund(), NOW) is None
        with pytest.raises(WrongState):
            complaints.withdrawn(ended, NOW)
        with pytest.raises(WrongState):
            complaints.answered(ended, "Sorry", "key:1", NOW)


@pytest.mark.parametrize("state", [each for each in RefundState if each is not RefundState.SUCCEEDED])
def test_refund_that_has_not_gone_through_ends_nothing(state: RefundState) -> None:
    assert complaints.refunded(begun(), refund(state), NOW) is None


def test_answer_without_words_is_none() -> None:
    with pytest.raises(BadParameter):
        complaints.answered(begun(), "  ", "key:1", NOW)
