"""Mandates: what they permit, and how caps are used up."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.payments.builders import CARD, NOW

from tongbao.payments.errors import WrongState
from tongbao.payments.policy import mandates
from tongbao.payments.schema.methods import Mandate, MandateState, PaymentMethod, Period

METHOD = PaymentMethod(id=UUID(int=1), book_id=7, live=False, created_at=NOW, updated_at=NOW, method=CARD)
OTHER = PaymentMethod(id=UUID(int=2), book_id=7, live=False, created_at=NOW, updated_at=NOW, method=CARD)


def mandate(**fields: object) -> Mandate:
    values: dict[str, object] = {
        "id": UUID(int=3),
        "book_id": 7,
        "live": False,
        "created_at": NOW,
        "updated_at": NOW,
        "state": MandateState.ACTIVE,
        "method_id": METHOD.id,
        "accepted_at": NOW,
    }
    return Mandate(**(values | fields))  # type: ignore[arg-type]


def spent(minor: int, count: int = 1, **fields: object) -> Mandate:
    caps: dict[str, object] = {"period_began_at": NOW, "used_minor": minor, "used_count": count}
    return mandate(**(caps | {"period": Period.DAY} | fields))


LATER = NOW + timedelta(hours=23, minutes=59)
TOMORROW = NOW + timedelta(days=1)
CASES: list[tuple[Mandate, PaymentMethod | None, datetime, str | None]] = [
    (mandate(), METHOD, NOW, None),
    (mandate(state=MandateState.INACTIVE), METHOD, NOW, "is not active"),
    (mandate(state=MandateState.PENDING), METHOD, NOW, "is not active"),
    (mandate(ends_at=TOMORROW), METHOD, LATER, None),
    (mandate(ends_at=TOMORROW), METHOD, TOMORROW, "has ended"),
    (mandate(), OTHER, NOW, "another payment method"),
    (mandate(), None, NOW, "another payment method"),
    (mandate(currency="CNY"), METHOD, NOW, None),
    (mandate(currency="USD"), METHOD, NOW, "is in USD"),
    (mandate(amount_minor_max=100), METHOD, NOW, None),
    (mandate(amount_minor_max=99), METHOD, NOW, "at most 99 a payment"),
    (spent(400, period_minor_max=500), METHOD, LATER, None),
    (spent(401, period_minor_max=500), METHOD, LATER, "of which 401 are used"),
    (spent(401, period_minor_max=500), METHOD, TOMORROW, None),
    (spent(1, 2, period_count_max=3), METHOD, LATER, None),
    (spent(1, 3, period_count_max=3), METHOD, LATER, "at most 3 payments a day"),
    (spent(1, 3, period_count_max=3), METHOD, TOMORROW, None),
    (
        spent(450, period=None, period_minor_max=500),
        METHOD,
        NOW + timedelta(days=900),
        "of which 450 are used",
    ),
    (spent(450, period=Period.WEEK, period_minor_max=500), METHOD, NOW + timedelta(days=6), "of which 450"),
    (spent(450, period=Period.WEEK, period_minor_max=500), METHOD, NOW + timedelta(days=7), None),
    (spent(450, period=Period.MONTH, period_minor_max=500), METHOD, NOW + timedelta(days=30), None),
    (spent(450, period=Period.YEAR, period_minor_max=500), METHOD, NOW + timedelta(days=364), "of which 450"),
]


@pytest.mark.parametrize(("given_mandate", "method", "now", "objection"), CASES)
def test_mandate_permits_or_says_why_not(
    given_mandate: Mandate, method: PaymentMethod | None, now: datetime, objection: str | None
) -> None:
    if objection is None:
        mandates.check(given_mandate, method, 100, "CNY", now)
        return
    with pytest.raises(WrongState, match=objection) as refused:
        mandates.check(given_mandate, method, 100, "CNY", now)
    assert refused.value.code == "mandate_invalid"


def test_single_use_is_spent_by_its_first_payment() -> None:
    used = mandates.used(mandate(single_use=True), 100, "CNY", NOW)
    assert used.state is MandateState.INACTIVE
    assert mandates.used(mandate(), 100, "CNY", NOW).state is MandateState.ACTIVE


def test_first_payment_settles_the_currency_and_begins_the_period() -> None:
    used = mandates.used(mandate(period=Period.DAY), 100, "CNY", NOW)
    assert (used.currency, used.period_began_at, used.used_minor, used.used_count) == ("CNY", NOW, 100, 1)


def test_periods_follow_each_other_without_drifting() -> None:
    used = mandates.used(spent(100), 50, "CNY", NOW + timedelta(days=3, hours=5))
    assert (used.period_began_at, used.used_minor, used.used_count) == (NOW + timedelta(days=3), 50, 1)


@given(payments=st.lists(st.tuples(st.integers(1, 300), st.integers(0, 30)), max_size=40))
def test_caps_hold_over_any_run_of_payments(payments: list[tuple[int, int]]) -> None:
    stands, now = mandate(period=Period.DAY, period_minor_max=500, period_count_max=4), NOW
    by_period: dict[datetime, list[int]] = {}
    for amount, hours in payments:
        now += timedelta(hours=hours)
        try:
            mandates.check(stands, METHOD, amount, "CNY", now)
        except WrongState:
            continue
        stands = mandates.used(stands, amount, "CNY", now)
        assert stands.period_began_at is not None
        assert stands.period_began_at <= now < stands.period_began_at + timedelta(days=1)
        by_period.setdefault(stands.period_began_at, []).append(amount)
    assert all(sum(paid) <= 500 and len(paid) <= 4 for paid in by_period.values())


def test_paused_mandate_refuses_with_a_reason_of_its_own_until_it_goes_on() -> None:
    paused = mandates.paused(mandate(), LATER, is_paused=True)
    assert paused is not None
    with pytest.raises(WrongState) as refused:
        mandates.check(paused, METHOD, 1, "CNY", LATER)
    assert refused.value.code == "mandate_paused"
    assert mandates.paused(paused, LATER, is_paused=True) is None
    again = mandates.paused(paused, LATER, is_paused=False)
    assert again is not None
    assert (again.state, again.version) == (MandateState.ACTIVE, 3)
    mandates.check(again, METHOD, 1, "CNY", LATER)


@pytest.mark.parametrize("state", [MandateState.PENDING, MandateState.INACTIVE])
@pytest.mark.parametrize("is_paused", [True, False])
def test_mandate_that_is_not_in_force_is_neither_paused_nor_let_go_on(
    state: MandateState, is_paused: bool
) -> None:
    with pytest.raises(WrongState) as refused:
        mandates.paused(mandate(state=state), NOW, is_paused=is_paused)
    assert refused.value.code == "mandate_ended"
