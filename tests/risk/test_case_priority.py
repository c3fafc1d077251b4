"""What a look is worth: laws of the saving, of learned minutes and of the queue's order, in Python and in SQL."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.risk.case_house import AT, LIVE, House, case_file, payment, uid

from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.risk.policy.case_priority import (
    LOOK_WORTH,
    MINUTES_PRIOR,
    NEAR_FRAUD_CHANCE,
    OVERDUE_DOUBLES_H,
    Worked,
    chance_of,
    expected_minutes,
    latest_looks,
    rank_of,
    saving_of,
    stakes_of,
)
from tongbao.risk.schema.cases import CasePayment, Cause, Stake
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.store import cases as store
from tongbao.risk.store.cases import Order

PAYMENTS = st.lists(
    st.builds(
        payment,
        st.integers(1, 30),
        value=st.integers(0, 10**9),
        currency=st.sampled_from(["EUR", "CNY"]),
        tier=st.sampled_from(list(Tier)),
        score=st.none() | st.floats(0, 1),
        is_held=st.booleans(),
        is_fraud=st.none() | st.booleans(),
    ),
    max_size=20,
    unique_by=lambda one: one.event_id,
)


@pytest.mark.parametrize(
    ("fields", "saving"),
    [
        ({}, 5_000.0),
        ({"score": None}, 2_000.0),
        ({"is_fraud": True}, 10_000.0),
        ({"is_fraud": False}, 0.0),
        ({"is_held": False, "tier": Tier.FRICTIONLESS}, 1_000.0),
        ({"is_held": False, "tier": Tier.DECLINE}, 250.0),
        ({"is_held": False, "is_fraud": True, "tier": Tier.STEP_UP}, 0.0),
        ({"currency": "JPY"}, 25.0),
    ],
)
def test_saving_counts_what_a_look_still_saves(fields: dict[str, object], saving: float) -> None:
    assert saving_of([payment(**fields)], {"JPY": 0.005}) == pytest.approx(saving)


@given(PAYMENTS)
def test_saving_lies_between_nothing_and_the_whole_value(payments: list[CasePayment]) -> None:
    saving = saving_of(payments, {})
    assert 0 <= saving <= sum(each.value for each in latest_looks(payments)) + 1e-6


@given(PAYMENTS)
def test_saving_and_stakes_do_not_depend_on_the_order(payments: list[CasePayment]) -> None:
    turned = list(reversed(payments))
    assert saving_of(turned, {}) == saving_of(payments, {})
    assert stakes_of(turned) == stakes_of(payments)


@given(PAYMENTS, st.integers(0, 10**6))
def test_held_payment_more_never_lowers_the_saving(payments: list[CasePayment], value: int) -> None:
    more = [*payments, payment(99, value=value)]
    assert saving_of(more, {}) >= saving_of(payments, {}) - 1e-6


def test_several_looks_at_one_payment_count_once_and_held_ones_first() -> None:
    subject_id = uid(5)
    looks = [
        payment(1, subject_id=subject_id, value=100),
        payment(2, subject_id=subject_id, value=300),
        payment(3, subject_id=subject_id, value=900, is_held=False, tier=Tier.DECLINE),
        payment(4, value=10, currency="CNY", is_held=False),
    ]
    assert stakes_of(looks) == (Stake("CNY", 10, 0), Stake("EUR", 300, 300))


def test_known_fraud_in_a_case_raises_the_chance_of_the_others() -> None:
    assert chance_of(payment(score=0.01), True) == NEAR_FRAUD_CHANCE
    assert chance_of(payment(score=0.9), True) == 0.9
    assert chance_of(payment(score=0.01), False) == 0.01


@given(st.sampled_from(list(Cause)), st.integers(0, 10_000), st.floats(0, 120))
def test_minutes_lie_between_what_is_assumed_and_what_was_seen(kind: Cause, count: int, each: float) -> None:
    minutes = expected_minutes(kind, Worked(count, count * each))
    low, high = sorted((MINUTES_PRIOR[kind], each)) if count else (MINUTES_PRIOR[kind],) * 2
    assert low - 1e-9 <= minutes <= high + 1e-9
    assert minutes > 0


def test_minutes_come_close_to_what_many_cases_took() -> None:
    assert expected_minutes(Cause.HELD, None) == 6.0
    assert expected_minutes(Cause.HELD, Worked(20, 20 * 2.0)) == 4.0
    assert expected_minutes(Cause.HELD, Worked(2_000, 2_000 * 2.0)) == pytest.approx(2.0, abs=0.05)


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.floats(0.1, 120), st.floats(0, 1_000))
def test_rank_rises_with_saving_and_age_and_falls_with_minutes(
    less: float, more: float, minutes: float, late_h: float
) -> None:
    less, more = sorted((less, more))
    now = AT + timedelta(hours=late_h)
    assert rank_of(case_file(saving=less), minutes, now) <= rank_of(case_file(saving=more), minutes, now)
    assert rank_of(case_file(saving=more), minutes, now) >= rank_of(case_file(saving=more), 120, now)
    assert rank_of(case_file(saving=less), minutes, AT - timedelta(hours=1)) < rank_of(
        case_file(saving=less), minutes, now
    )
    assert not rank_of(case_file(), minutes, AT - timedelta(seconds=1)).is_overdue


def test_case_of_no_value_comes_before_a_rich_one_when_it_waited_long_enough() -> None:
    poor, rich = case_file(saving=0.0), case_file(saving=100_000.0, due_at=AT + timedelta(days=400))
    assert rank_of(poor, 6.0, AT) > rank_of(rich, 6.0, AT)
    both_late = AT + timedelta(days=401)
    fresh = case_file(saving=2_000.0, due_at=both_late)
    assert rank_of(poor, 6.0, both_late) > rank_of(fresh, 6.0, both_late)


@pytest.fixture
async def house(database: Database, ids: IdFactory) -> AsyncIterator[House]:
    made = House(database, ids)
    yield made
    await made.clean()


async def test_queue_of_the_database_has_the_order_of_the_policy(house: House) -> None:
    minutes = {kind: 1.0 + place * 3.7 for place, kind in enumerate(Cause)}
    files = [
        case_file(
            id=UUID(int=uid(number).int),
            kind=list(Cause)[number % 4],
            saving=(number * 7_919 % 83) * 331.3,
            due_at=AT + timedelta(hours=(number * 31 % 97) - 48, seconds=number),
            key=f"card_{number}",
        )
        for number in range(120)
    ]
    order = Order(minutes, AT, LOOK_WORTH, OVERDUE_DOUBLES_H)
    async with house.database.transaction() as connection:
        await store.write(connection, files)
        found = await store.queue(connection, LIVE, order, 200)
    ranks = [rank_of(each, minutes[each.kind], AT) for each in files]
    expected = [
        each for _, each in sorted(zip(ranks, files, strict=True), key=lambda pair: pair[0], reverse=True)
    ]
    assert [each.key for each in found] == [each.key for each in expected]
    assert {rank.is_overdue for rank in ranks} == {True, False}
