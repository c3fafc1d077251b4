"""Refunds: what may be given back, and what an answer about it means."""

from uuid import UUID

import pytest
from tests.payments.builders import AMOUNT, MONEY, NOW, Books, attempt, intent, legs, no, said, yes
from tests.payments.scripted import capabilities

from tongbao.channels.schema import Answer, Outcome, Reason
from tongbao.payments.errors import BadAmount, WrongState
from tongbao.payments.policy import postings, refunds, schedule
from tongbao.payments.policy.refunds import RefundStep
from tongbao.payments.schema.attempts import PAID, Attempt, AttemptState
from tongbao.payments.schema.intents import Certainty, Intent, IntentState
from tongbao.payments.schema.refunds import Refund, RefundState

PAYMENT = intent(IntentState.SUCCEEDED, amount_received_minor=AMOUNT)
CHARGED = attempt(AttemptState.CHARGED)


def begin(
    amount_minor: int | None = None,
    charged: Attempt = CHARGED,
    wanted: Intent = PAYMENT,
    *,
    refund_id: UUID = UUID(int=1),  # noqa: B008 - immutable
    **can: object,
) -> tuple[Refund, Attempt, Intent, RefundStep]:
    step = refunds.begin(
        wanted,
        charged,
        capabilities(**can),
        amount_minor,
        cause=None,
        metadata={},
        money=MONEY,
        refund_id=refund_id,
        now=NOW,
    )
    assert step.refund is not None
    assert step.attempt is not None
    assert step.intent is not None
    return step.refund, step.attempt, step.intent, step


@pytest.mark.parametrize(
    ("asked", "refunded", "pending", "disputed", "amount"),
    [
        (None, 0, 0, 0, 1000),
        (1, 0, 0, 0, 1),
        (None, 300, 200, 0, 500),
        (None, 0, 0, 400, 600),
        (500, 300, 200, 0, 500),
    ],
)
def test_refund_puts_its_money_aside_at_once(
    asked: int | None, refunded: int, pending: int, disputed: int, amount: int
) -> None:
    charged = attempt(
        AttemptState.CHARGED, refunded_minor=refunded, refund_pending_minor=pending, disputed_minor=disputed
    )
    refund, reserved, lowered, step = begin(asked, charged)
    assert (refund.amount_minor, refund.state) == (amount, RefundState.SENT)
    assert refund.due_at == schedule.after_sending(NOW)
    assert reserved.refund_pending_minor == pending + amount
    assert lowered.amount_refunded_minor == amount
    assert legs(step.transfers) == [("refund.made", amount)]


REFUSED: list[tuple[int | None, Attempt, Intent, dict[str, object], str]] = [
    *(
        (None, attempt(state), PAYMENT, {}, "charge_not_refundable")
        for state in AttemptState
        if state not in PAID
    ),
    (None, attempt(AttemptState.CHARGED, refunded_minor=AMOUNT), PAYMENT, {}, "charge_already_refunded"),
    (
        None,
        attempt(AttemptState.CHARGED, refund_pending_minor=AMOUNT),
        PAYMENT,
        {},
        "charge_already_refunded",
    ),
    (None, attempt(AttemptState.CHARGED, disputed_minor=AMOUNT), PAYMENT, {}, "charge_disputed"),
    (0, CHARGED, PAYMENT, {}, "amount_too_small"),
    (-5, CHARGED, PAYMENT, {}, "amount_too_small"),
    (AMOUNT + 1, CHARGED, PAYMENT, {}, "amount_too_large"),
    (401, attempt(AttemptState.CAPTURED_PARTIAL), PAYMENT, {}, "amount_too_large"),
    (None, CHARGED, PAYMENT, {"refund": False}, "refund_not_supported"),
    (1, CHARGED, PAYMENT, {"partial_refund": False}, "refund_not_supported"),
    (None, CHARGED, intent(IntentState.SUCCEEDED, wallet_book_id=5), {}, "wallet_top_up_not_refundable"),
    (
        None,
        CHARGED,
        intent(IntentState.SUCCEEDED, certainty=Certainty.CONFLICTED),
        {},
        "payment_intent_conflicted",
    ),
]


@pytest.mark.parametrize(("amount_minor", "charged", "wanted", "can", "code"), REFUSED)
def test_refund_of_what_is_not_there_is_refused(
    amount_minor: int | None, charged: Attempt, wanted: Intent, can: dict[str, object], code: str
) -> None:
    with pytest.raises((WrongState, BadAmount)) as refused:
        begin(amount_minor, charged, wanted, **can)  # type: ignore[arg-type]  # capabilities, as the table has them
    assert refused.value.code == code


def test_whole_refund_over_a_channel_without_partial_refunds_is_made() -> None:
    assert begin(None, partial_refund=False)[0].amount_minor == AMOUNT


ENDS = [
    (yes(600), "succeeded", [("refund.done", 600)], (600, 0, 600), None),
    (yes(None, currency=None), "succeeded", [("refund.done", 600)], (600, 0, 600), None),
    (no(), "failed", [("refund.failed", 600)], (0, 0, 0), None),
    (said(Outcome.NOT_SENT), "failed", [("refund.failed", 600)], (0, 0, 0), None),
    (said(Outcome.PENDING), "pending", [], (0, 600, 600), None),
    (said(Outcome.UNRESOLVED), "unresolved", [], (0, 600, 600), None),
    (said(Outcome.NOT_FOUND), "unresolved", [], (0, 600, 600), None),
    (said(Outcome.ACTION_REQUIRED), "unresolved", [], (0, 600, 600), None),
    (yes(599), "unresolved", [], (0, 600, 600), "amount_conflict"),
    (yes(600, currency="USD"), "unresolved", [], (0, 600, 600), "amount_conflict"),
]


@pytest.mark.parametrize(("answer", "state", "transfers", "sums", "alarm"), ENDS)
def test_answer_to_a_refund_moves_documents_and_money_together(
    answer: Answer,
    state: str,
    transfers: list[tuple[str, int]],
    sums: tuple[int, int, int],
    alarm: str | None,
) -> None:
    refund, charged, wanted, _ = begin(600)
    step = refunds.end(refund, charged, wanted, answer, MONEY, NOW)
    assert step.refund is not None
    charged, wanted = step.attempt or charged, step.intent or wanted
    assert (step.refund.state, legs(step.transfers), step.alarm) == (state, transfers, alarm)
    assert (charged.refunded_minor, charged.refund_pending_minor, wanted.amount_refunded_minor) == sums
    if step.refund.due_at is None:
        assert refunds.end(step.refund, charged, wanted, answer, MONEY, NOW) == RefundStep()


def test_refund_that_did_not_leave_the_house_after_an_inquiry_is_not_failed() -> None:
    refund, charged, wanted, _ = begin(600)
    asked = refund.changed(NOW, inquiry_count=1, state=RefundState.UNRESOLVED)
    step = refunds.end(asked, charged, wanted, said(Outcome.NOT_SENT), MONEY, NOW)
    assert step.refund is not None
    assert step.refund.state is RefundState.UNRESOLVED


def test_refund_that_failed_names_a_reason_even_where_the_channel_named_none() -> None:
    refund, charged, wanted, _ = begin(600)
    for answer, reason in (
        (said(Outcome.DECLINED), Reason.OTHER),
        (said(Outcome.NOT_SENT), Reason.CHANNEL_UNAVAILABLE),
        (no(Reason.REFUND_TOO_LATE), Reason.REFUND_TOO_LATE),
    ):
        step = refunds.end(refund, charged, wanted, answer, MONEY, NOW)
        assert step.refund is not None
        assert step.refund.reason is reason


def test_yes_after_a_no_alarms_and_moves_nothing() -> None:
    refund, charged, wanted, _ = begin(600)
    failed = refund.changed(NOW, state=RefundState.FAILED)
    assert refunds.end(failed, charged, wanted, yes(600), MONEY, NOW) == RefundStep(
        alarm="refund_after_failure"
    )
    done = refund.changed(NOW, state=RefundState.SUCCEEDED)
    assert refunds.end(done, charged, wanted, no(), MONEY, NOW) == RefundStep()


def test_right_amount_after_a_wrong_one_still_ends_a_refund() -> None:
    refund, charged, wanted, _ = begin(600)
    odd = refunds.end(refund, charged, wanted, yes(599), MONEY, NOW).refund
    assert odd is not None
    done = refunds.end(odd, charged, wanted, yes(600), MONEY, NOW).refund
    assert done is not None
    assert done.state is RefundState.SUCCEEDED


def test_unresolved_refund_follows_the_schedule_and_ends_in_an_alarm() -> None:
    refund, charged, wanted, _ = begin(600)
    alarms = []
    for _ in range(len(schedule.UNRESOLVED_S) + 1):
        step = refunds.end(refund, charged, wanted, said(Outcome.UNRESOLVED), MONEY, NOW)
        assert step.refund is not None
        refund = step.refund
        alarms.append(step.alarm)
    assert alarms == [None] * len(schedule.UNRESOLVED_S) + ["never_resolved"]


def test_many_refunds_one_failed_add_up_in_documents_and_books() -> None:
    books, charged, wanted, made = Books(), CHARGED, PAYMENT, []
    for number, (amount, answer) in enumerate(((300, yes(300)), (200, no()), (700, yes(700))), 1):
        refund, charged, wanted, step = begin(amount, charged, wanted, refund_id=UUID(int=number))
        books.post(step.transfers)
        ended = refunds.end(refund, charged, wanted, answer, MONEY, NOW)
        books.post(ended.transfers)
        charged, wanted = ended.attempt or charged, ended.intent or wanted
        made.append(refund)
    assert (charged.refunded_minor, charged.refund_pending_minor) == (AMOUNT, 0)
    assert wanted.amount_refunded_minor == AMOUNT
    assert books.balances == {
        "receivable": 1000,
        "in_transit": -1000,
        "refund_clearing": 0,
        "dispute_reserve": 0,
        "suspense": 0,
    }
    assert books.keys <= set(postings.trail_keys([charged], made, []))
