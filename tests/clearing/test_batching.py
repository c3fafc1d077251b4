"""Batches by themselves: what is paid, what the books are told, who may approve, and prices that change within a batch."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.clearing.policy.batching import (
    JOB,
    Accounts,
    approved,
    batch_id,
    moved,
    needs_two,
    settled,
    transfers,
)
from tongbao.clearing.policy.fee_sums import priced_of
from tongbao.clearing.policy.fees import Schedule
from tongbao.clearing.policy.pricing import Payment, Sold, negated, own_cost
from tongbao.clearing.schema.agreements import Agreement
from tongbao.clearing.schema.batches import BATCH_MOVES, HISTORY_MAX, Batch, BatchState, Step, Totals
from tongbao.clearing.schema.fees import Bearer, Charge, FeePart, OnRefund, ScheduleSpec, Tier
from tongbao.core.errors import Conflict, NotPermitted
from tongbao.ledger.charts import template
from tongbao.ledger.schema import GROUP_SIZE_MAX, AccountId, BookId, Side

NOW = datetime(2026, 3, 2, tzinfo=UTC)
ACCOUNTS = Accounts(BookId(7), 156, *map(AccountId, range(1, 7)))
NAMES = dict(zip(ACCOUNTS[2:], Accounts._fields[2:], strict=True))
AMOUNTS = st.integers(0, 10_000)
TOTALS = st.builds(
    Totals,
    gross_minor=AMOUNTS,
    refunds_minor=AMOUNTS.map(lambda amount: -amount),
    disputes_minor=st.integers(-5_000, 5_000),
    fees_minor=st.integers(-3_000, 3_000),
    reserve_held_minor=AMOUNTS.map(lambda amount: -amount),
    reserve_released_minor=AMOUNTS,
    brought_minor=st.integers(-10_000, 10_000),
    tax_minor=st.integers(-300, 300),
)


def batch(state: BatchState = BatchState.PRICED, **fields: object) -> Batch:
    values: dict[str, object] = {
        "id": batch_id(7, "CNY", NOW, live=False),
        "book_id": 7,
        "live": False,
        "currency": "CNY",
        "cut_at": NOW,
        "payout_on": date(2026, 3, 3),
        "state": state,
        "paid_minor": 500,
        "history": (Step(state=BatchState.CUT, at=NOW, actor="person:cut"),),
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Batch(**(values | fields))  # type: ignore[arg-type]


@given(totals=TOTALS, unsent=AMOUNTS, kept=AMOUNTS)
def test_transfers_take_the_movements_off_and_leave_what_was_settled(
    totals: Totals, unsent: int, kept: int
) -> None:
    moving = totals.gross_minor + totals.refunds_minor + totals.disputes_minor
    balances = Counter(
        {
            "in_transit": moving,
            "available": unsent + max(totals.brought_minor, 0),
            "merchant_debt": min(totals.brought_minor, 0),
            "merchant_reserve": kept + totals.reserve_released_minor,
        }
    )
    group = transfers(batch(totals=totals), ACCOUNTS)
    assert len(group) <= GROUP_SIZE_MAX
    assert len({each.key for each in group}) == len(group)
    assert {each.group_key for each in group} == ({group[0].key} if group else set())
    for each in group:
        assert each.amount_minor > 0
        balances[NAMES[each.debit_account_id]] -= each.amount_minor
        balances[NAMES[each.credit_account_id]] += each.amount_minor
        # What earlier batches are still to be paid from is never touched, not even in between.
        assert balances["available"] >= unsent
        assert balances["merchant_debt"] <= 0 <= balances["merchant_reserve"]
    result = settled(totals, Agreement())
    assert result.paid_minor + result.carried_minor == totals.net_minor
    assert {name: balances[name] for name in NAMES.values()} == {
        "in_transit": 0,
        "available": unsent + max(totals.net_minor, 0),
        "merchant_debt": min(totals.net_minor, 0),
        "merchant_reserve": kept - totals.reserve_held_minor,
        "fee_revenue": -totals.fees_minor - totals.tax_minor,
        "fee_tax": totals.tax_minor,
    }


@pytest.mark.parametrize(
    ("net", "minimum", "paid", "carried"),
    [
        (100, 0, 100, 0),
        (100, 100, 100, 0),
        (99, 100, 0, 99),
        (0, 0, 0, 0),
        (-1, 0, 0, -1),
    ],
)
def test_settled_of_a_net_and_a_minimum(net: int, minimum: int, paid: int, carried: int) -> None:
    agreement = Agreement(payout_min_minor=minimum)
    assert settled(Totals(gross_minor=net), agreement) == (paid, carried)


@pytest.mark.parametrize(
    ("limit", "paid", "needed"), [(None, 10**9, False), (500, 500, False), (500, 501, True), (0, 1, True)]
)
def test_needs_two_only_above_the_limit(limit: int | None, paid: int, needed: bool) -> None:
    assert needs_two(paid, Agreement(approval_above_minor=limit)) is needed


def test_batch_id_is_that_of_the_money_and_the_cut() -> None:
    first = batch_id(7, "CNY", NOW, live=False)
    assert first == batch_id(7, "CNY", NOW, live=False)
    others = {
        batch_id(8, "CNY", NOW, live=False),
        batch_id(7, "USD", NOW, live=False),
        batch_id(7, "CNY", NOW, live=True),
        batch_id(7, "CNY", NOW + timedelta(seconds=1), live=False),
    }
    assert first not in others
    assert len(others) == 4
    assert all(each > first for each in others if each.int >> 80 != first.int >> 80)


def test_moved_goes_only_where_batches_may_go_and_keeps_the_newest_history() -> None:
    for state, allowed in BATCH_MOVES.items():
        for other in BatchState:
            if other in allowed:
                after = moved(batch(state), other, NOW, "person:ann", "because")
                assert (after.state, after.version) == (other, 2)
                assert after.history[-1] == Step(state=other, at=NOW, actor="person:ann", note="because")
            else:
                with pytest.raises(Conflict, match="batch_state"):
                    moved(batch(state), other, NOW, "person:ann")
    full = batch(
        history=tuple(Step(state=BatchState.CUT, at=NOW, actor=str(each)) for each in range(HISTORY_MAX))
    )
    after = moved(full, BatchState.APPROVED, NOW, "person:ann")
    assert len(after.history) == HISTORY_MAX
    assert after.history[-1].actor == "person:ann"


@pytest.mark.parametrize(
    ("standing", "actor", "code"),
    [
        (batch(), "person:cut", "approval_by_maker"),
        (batch(approvals=("person:ann",), needs_two=True), "person:ann", "approval_twice"),
        (batch(needs_two=True), JOB, "approval_needs_people"),
        (batch(BatchState.FAILED), JOB, "approval_needs_people"),
    ],
)
def test_approved_by_the_wrong_one_is_refused(standing: Batch, actor: str, code: str) -> None:
    with pytest.raises(NotPermitted) as refused:
        approved(standing, NOW, actor)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "state", [BatchState.CUT, BatchState.APPROVED, BatchState.PAID, BatchState.RECONCILED]
)
def test_approved_of_what_is_not_up_for_it_is_refused(state: BatchState) -> None:
    with pytest.raises(Conflict, match="batch_state"):
        approved(batch(state), NOW, "person:ann")


def test_approved_with_nothing_to_pay_is_paid_with_one_version() -> None:
    after = approved(batch(paid_minor=0), NOW, JOB)
    assert (after.state, after.version, after.approvals) == (BatchState.PAID, 2, (JOB,))


def test_approved_again_after_a_failure_by_who_approved_before_is_allowed() -> None:
    first = approved(batch(), NOW, "person:ann")
    failed = moved(first, BatchState.FAILED, NOW, "job:payouts", approvals=())
    assert approved(failed, NOW, "person:ann").state is BatchState.APPROVED


@given(
    sales=st.lists(st.tuples(st.integers(1, 5_000), st.integers(0, 400)), min_size=1, max_size=4),
    shares=st.lists(st.integers(0, 100), min_size=1, max_size=6),
)
def test_payment_claimed_in_parts_gives_its_fees_back_exactly_once_it_went_back(
    sales: list[tuple[int, int]], shares: list[int]
) -> None:
    charge = Charge(name="fee", tiers=(Tier(rate_e6=1),), on_refund=OnRefund.RETURNED)
    schedule = Schedule("house", 1, ScheduleSpec(charges=(charge,)))
    payment = Payment(
        Sold(amount, priced_of([FeePart("fee", Bearer.MERCHANT, fee, fee // 10)]), schedule)
        for amount, fee in sales
    )
    total = sum(amount for amount, _ in sales)
    given_back = []
    for share in shares:
        amount = (total - payment.refunded_minor) * share // 100
        given_back.append(payment.returned(amount))
        # A refund that fails takes back what it gave, to the last unit.
        again = payment.returned(-amount)
        assert again == negated(given_back[-1])
        assert payment.returned(amount) == given_back[-1]
    given_back.append(payment.returned(total - payment.refunded_minor))
    assert sum(each.merchant_minor for each in given_back) == -sum(fee for _, fee in sales)
    assert sum(each.tax_minor for each in given_back) == -sum(fee // 10 for _, fee in sales)


def test_payment_refunded_beyond_what_was_priced_gives_nothing_more() -> None:
    assert Payment(()).returned(500) == priced_of([])


def test_own_cost_of_a_refund_leaves_what_it_gave_back_apart() -> None:
    parts = [FeePart("fee", Bearer.MERCHANT, -20, -2), FeePart("handling", Bearer.MERCHANT, 5)]
    assert own_cost(parts).merchant_minor == 5


def test_chart_of_a_merchant_has_what_is_owed_either_way() -> None:
    found = {each.code: each for each in template("merchant")}
    assert (found["house_receivable"].side, found["merchant_debt"].side) == (Side.DEBIT, Side.DEBIT)
    assert (found["merchant_debt"].ceiling_minor, found["house_receivable"].ceiling_minor) == (0, None)
    assert msgspec.structs.asdict(found["available"])["floor_minor"] == 0
