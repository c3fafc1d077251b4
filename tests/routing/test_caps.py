"""Hard caps: which one a payment would pass, in the order they are checked."""

from collections.abc import Mapping
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.decisions.schema.log import Fact
from tongbao.routing.policy.caps import passed
from tongbao.routing.policy.volumes import total_in
from tongbao.routing.schema.payments import Payment
from tongbao.routing.schema.spec import Cap
from tongbao.routing.schema.volumes import Total, Used, no_rates


def payment(amount_minor: int, currency: str = "EUR") -> Payment:
    return Payment(
        book_id=7,
        live=False,
        subject_id=UUID(int=1),
        amount_minor=amount_minor,
        currency=currency,
        method="card",
    )


def convert(minor: int, source: str, target: str) -> int | None:
    """A dollar is two euros; nothing else has a rate."""
    return 2 * minor if (source, target) == ("USD", "EUR") else no_rates(minor, source, target)


def used(
    day: Mapping[str, int] | None = None, month: Mapping[str, int] | None = None, count: int = 0
) -> Used:
    return Used(day_minor=day or {}, month_minor=month or day or {}, day_count=count)


def cap(**fields: int) -> Cap:
    return Cap(currency="EUR", **fields)


CASES: list[tuple[Cap, Payment, Used, str | None, dict[str, Fact]]] = [
    (cap(), payment(10**12), used({"EUR": 10**15}, count=10**6), None, {}),
    (cap(), payment(1, "GBP"), used(), None, {}),
    (cap(amount_minor_max=100), payment(100), used(), None, {}),
    (cap(amount_minor_max=100), payment(101), used(), "cap_amount", {"max": 100, "amount": 101, "currency": "EUR"}),
    (cap(amount_minor_max=100), payment(51, "USD"), used(), "cap_amount", {"max": 100, "amount": 102, "currency": "EUR"}),
    (cap(amount_minor_max=100), payment(1, "GBP"), used(), "cap_rate_unknown", {"currency": "GBP", "cap_currency": "EUR"}),
    (cap(day_minor_max=100), payment(40), used({"EUR": 60}), None, {}),
    (cap(day_minor_max=100), payment(41), used({"EUR": 60}), "cap_day", {"max": 100, "used": 60, "amount": 41, "currency": "EUR"}),
    (cap(day_minor_max=100), payment(41), used({}, {"EUR": 60}), None, {}),
    (cap(day_minor_max=100), payment(41), used({"EUR": 20, "USD": 20}), "cap_day", {"max": 100, "used": 60, "amount": 41, "currency": "EUR"}),
    (cap(day_minor_max=100), payment(41), used({"EUR": 60, "GBP": 5}), "cap_day", {"max": 100, "used": 60, "amount": 41, "currency": "EUR", "is_partial": True}),
    (cap(month_minor_max=100), payment(41), used({}, {"EUR": 60}), "cap_month", {"max": 100, "used": 60, "amount": 41, "currency": "EUR"}),
    (cap(month_minor_max=0), payment(1), used(), "cap_month", {"max": 0, "used": 0, "amount": 1, "currency": "EUR"}),
    (cap(day_count_max=5), payment(1, "GBP"), used(count=4), None, {}),
    (cap(day_count_max=5), payment(1, "GBP"), used(count=5), "cap_count", {"max": 5, "used": 5}),
    (cap(day_count_max=5, amount_minor_max=1), payment(9), used(count=5), "cap_count", {"max": 5, "used": 5}),
    (cap(amount_minor_max=1, day_minor_max=1, month_minor_max=1), payment(2), used(), "cap_amount", {"max": 1, "amount": 2, "currency": "EUR"}),
    (cap(day_minor_max=1, month_minor_max=1), payment(2), used(), "cap_day", {"max": 1, "used": 0, "amount": 2, "currency": "EUR"}),
]  # fmt: skip


@pytest.mark.parametrize(("given_cap", "of", "so_far", "code", "facts"), CASES)
def test_passed_names_the_first_cap_that_a_payment_would_pass(
    given_cap: Cap, of: Payment, so_far: Used, code: str | None, facts: dict[str, Fact]
) -> None:
    why = passed(given_cap, of, so_far, convert)
    assert (None if why is None else why.code) == code
    assert (why.facts if why else {}) == facts


@given(
    amounts=st.lists(st.integers(1, 500), max_size=30), limit=st.integers(0, 3_000), count=st.integers(0, 20)
)
def test_payments_let_through_one_by_one_never_pass_the_caps(
    amounts: list[int], limit: int, count: int
) -> None:
    caps = cap(day_minor_max=limit, day_count_max=count)
    total = sent = 0
    for amount_minor in amounts:
        so_far = used({"EUR": total}, count=sent)
        if passed(caps, payment(amount_minor), so_far, no_rates) is None:
            total, sent = total + amount_minor, sent + 1
        else:
            assert total + amount_minor > limit or sent == count
    assert total <= limit
    assert sent <= count


@pytest.mark.parametrize(
    ("volumes", "expected"),
    [
        ({}, Total(minor=0)),
        ({"EUR": 5, "USD": 3}, Total(minor=11)),
        ({"EUR": 5, "GBP": 3}, Total(minor=5, is_partial=True)),
        ({"EUR": 5, "GBP": 0}, Total(minor=5)),
    ],
)
def test_total_in_one_currency_says_what_is_left_out(volumes: dict[str, int], expected: Total) -> None:
    assert total_in(volumes, "EUR", convert) == expected
