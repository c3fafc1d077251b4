"""What payouts decide without asking anybody: ids, days, meanings, moves and what they post."""

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.clearing.policy import payouts as policy
from tongbao.clearing.policy.payouts import Accounts
from tongbao.clearing.schema.bank_messages import BankLine, BankTerms, Tidings
from tongbao.clearing.schema.payouts import END_TO_END_CHARS, PAYOUT_MOVES, Payout, PayoutState
from tongbao.core.errors import Conflict
from tongbao.core.ids import derive, first_uuid_at
from tongbao.ledger.schema import AccountId, BookId

NOW = datetime(2027, 3, 1, 9, tzinfo=UTC)
BOOKS = Accounts(BookId(1), BookId(2), 978, *(AccountId(number) for number in range(11, 16)))
TARGET = BankTerms(
    name="x",
    live=True,
    test=False,
    currencies=frozenset({"EUR"}),
    zone="Europe/Berlin",
    cut_off=time(14),
    calendars=("TARGET",),
)


def payout(state: PayoutState = PayoutState.CREATED, **fields: object) -> Payout:
    values: dict[str, object] = {
        "id": UUID(int=7),
        "book_id": 1,
        "live": False,
        "batch_id": UUID(int=8),
        "destination_id": UUID(int=9),
        "bank": "x",
        "amount_minor": 500,
        "currency": "EUR",
        "state": state,
        "end_to_end": policy.end_to_end_of(UUID(int=7)),
        "due_on": NOW.date(),
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Payout(**(values | fields))  # type: ignore[arg-type]  # one test a field


@given(st.uuids())
def test_end_to_end_names_its_payout_and_fits_every_bank(value: UUID) -> None:
    text = policy.end_to_end_of(value)
    assert policy.payout_of(text) == policy.payout_of(text.lower()) == value
    assert len(text) <= END_TO_END_CHARS
    assert text.isascii()
    assert text.isalnum()
    assert len(policy.message_id_of(value)) + len("-270301") <= END_TO_END_CHARS


@given(st.integers(0, 2**64), st.integers(0, 20))
def test_ids_of_a_batch_ascend_and_are_the_same_again(seed: int, number: int) -> None:
    batch = derive(first_uuid_at(NOW), str(seed))
    ids = [policy.payout_id(batch, each) for each in range(number + 2)]
    assert ids == sorted(set(ids)) == [policy.payout_id(batch, each) for each in range(number + 2)]


@given(st.text(max_size=40))
def test_end_to_end_of_anything_else_names_nothing_or_itself(text: str) -> None:
    found = policy.payout_of(text)
    assert found is None or policy.end_to_end_of(found) == text.strip().upper()


@pytest.mark.parametrize(
    ("now", "due_on", "expected"),
    [
        (datetime(2027, 3, 1, 12, 59, tzinfo=UTC), date(2027, 3, 1), date(2027, 3, 1)),
        (datetime(2027, 3, 1, 13, 0, tzinfo=UTC), date(2027, 3, 1), date(2027, 3, 2)),
        (datetime(2027, 3, 5, 13, 0, tzinfo=UTC), date(2027, 3, 1), date(2027, 3, 8)),
        (datetime(2027, 3, 1, 23, 30, tzinfo=UTC), date(2027, 3, 1), date(2027, 3, 2)),
        # Good Friday and Easter Monday.
        (datetime(2027, 3, 25, 14, 0, tzinfo=UTC), date(2027, 3, 25), date(2027, 3, 30)),
        (datetime(2027, 3, 1, 9, 0, tzinfo=UTC), date(2027, 3, 6), date(2027, 3, 8)),
    ],
)
def test_execution_falls_on_a_bank_day_that_is_not_too_late(
    now: datetime, due_on: date, expected: date
) -> None:
    assert policy.execution_on(TARGET, due_on, now) == expected


@pytest.mark.parametrize(
    ("line", "state"),
    [
        (BankLine(kind=Tidings.STATUS, status="ACCP"), PayoutState.ACCEPTED),
        (BankLine(kind=Tidings.STATUS, status="ACSC"), PayoutState.PAID),
        (BankLine(kind=Tidings.STATUS, status="RJCT", code="AC04"), PayoutState.REJECTED),
        (BankLine(kind=Tidings.STATUS, status="RJCT", code="DUPL"), None),
        (BankLine(kind=Tidings.STATUS, status="RJCT", code="AM05"), None),
        (BankLine(kind=Tidings.STATUS, status="PART"), None),
        (BankLine(kind=Tidings.STATUS, status="WHAT"), None),
        (BankLine(kind=Tidings.BOOKED), PayoutState.PAID),
        (BankLine(kind=Tidings.RETURNED, code="MS03"), PayoutState.RETURNED),
    ],
)
def test_meaning_of_a_line_is_an_end_only_where_it_says_so(line: BankLine, state: PayoutState | None) -> None:
    found = policy.meaning(line)
    assert (None if found is None else found.state) is state


def test_blame_lies_with_the_account_unless_the_reason_names_the_house() -> None:
    codes = ("AC04", "RC01", "AM04", "FF01", None, "ZZZZ")
    assert [policy.blames_destination(code) for code in codes] == [True, True, False, False, True, True]


@given(st.lists(st.sampled_from(list(PayoutState)), max_size=12))
def test_moves_in_any_order_keep_every_account_explained_and_no_key_twice(wishes: list[PayoutState]) -> None:
    now = payout()
    posted = policy.created_transfers(now, BOOKS)
    for wish in wishes:
        if not policy.is_possible(now, wish):
            with pytest.raises(Conflict):
                policy.moved(now, wish, NOW)
            continue
        posted += policy.transfers(now, wish, BOOKS)
        now = policy.moved(now, wish, NOW)
    balances = Counter[int]()
    for each in posted:
        balances[each.debit_account_id] -= each.amount_minor
        balances[each.credit_account_id] += each.amount_minor
    assert len({each.key for each in posted}) == len(posted)
    expected = {
        PayoutState.PAID: {
            BOOKS.available: -500,
            BOOKS.house_receivable: 500,
            BOOKS.clearing: -500,
            BOOKS.bank: 500,
        }
    }.get(now.state, {})
    if now.state not in policy.ENDED and now.state is not PayoutState.PAID:
        expected = {BOOKS.available: -500, BOOKS.payout_clearing: 500}
    assert {account: amount for account, amount in balances.items() if amount} == expected


def test_contradictions_are_what_no_order_of_true_words_can_say() -> None:
    found = {
        (before, said)
        for before in PayoutState
        for said in (PayoutState.ACCEPTED, PayoutState.PAID, PayoutState.REJECTED, PayoutState.RETURNED)
        if policy.contradicts(payout(before), said)
    }
    assert found == {
        (PayoutState.PAID, PayoutState.REJECTED),
        (PayoutState.RETURNED, PayoutState.REJECTED),
        (PayoutState.CANCELED, PayoutState.REJECTED),
        (PayoutState.REJECTED, PayoutState.PAID),
        (PayoutState.CANCELED, PayoutState.PAID),
        (PayoutState.REJECTED, PayoutState.RETURNED),
        (PayoutState.CANCELED, PayoutState.RETURNED),
    }
    assert all(said not in PAYOUT_MOVES[before] for before, said in found)


def test_waiting_times_double_up_to_their_longest() -> None:
    assert [policy.inquiry_after(count) // timedelta(hours=1) for count in (0, 1, 2, 3, 1_000)] == [
        4,
        8,
        16,
        24,
        24,
    ]
    assert [policy.resend_after(count) // timedelta(minutes=1) for count in (0, 1, 6, 1_000)] == [
        1,
        2,
        60,
        60,
    ]


def test_overdue_counts_from_the_day_it_was_to_go() -> None:
    sent = payout(PayoutState.SENT, sent_at=NOW)
    assert not policy.is_overdue(payout(), timedelta(hours=1), NOW + timedelta(days=9))
    assert policy.is_overdue(sent, timedelta(hours=24), NOW + timedelta(hours=24))
    later = msgspec.structs.replace(sent, due_on=date(2027, 3, 4))
    assert not policy.is_overdue(later, timedelta(hours=24), datetime(2027, 3, 4, 23, tzinfo=UTC))
    assert policy.is_overdue(later, timedelta(hours=24), datetime(2027, 3, 5, tzinfo=UTC))
