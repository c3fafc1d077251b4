"""Links whose payers choose the sum: the bounds that a merchant may set, and what a choice makes of the item."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.core.errors import AppError
from tongbao.ledger.schema import AMOUNT_MINOR_MAX
from tongbao.payments.errors import BadAmount
from tongbao.payments.policy import open_amounts
from tongbao.payments.schema.checkout import LineItem, OpenAmount, PaymentLink

NOW = datetime(2026, 11, 1, tzinfo=UTC)
GIFT = LineItem(name="Gift", unit_minor=0)
AMOUNTS = st.integers(min_value=1, max_value=AMOUNT_MINOR_MAX)


def link(bounds: OpenAmount | None, *items: LineItem) -> PaymentLink:
    return PaymentLink(
        id=UUID(int=1),
        book_id=1,
        live=False,
        created_at=NOW,
        updated_at=NOW,
        currency="CNY",
        items=items or (GIFT,),
        open_amount=bounds,
    )


@pytest.mark.parametrize(
    ("bounds", "items", "code"),
    [
        (OpenAmount(least_minor=1, most_minor=1), (GIFT,), ""),
        (OpenAmount(least_minor=100, most_minor=900, preset_minor=900), (GIFT,), ""),
        (OpenAmount(least_minor=1, most_minor=9), (GIFT, GIFT), "parameter_invalid"),
        (
            OpenAmount(least_minor=1, most_minor=9),
            (LineItem(name="Gift", unit_minor=0, quantity=2),),
            "parameter_invalid",
        ),
        (OpenAmount(least_minor=0, most_minor=9), (GIFT,), "amount_too_small"),
        (OpenAmount(least_minor=1, most_minor=AMOUNT_MINOR_MAX + 1), (GIFT,), "amount_too_large"),
        (OpenAmount(least_minor=9, most_minor=8), (GIFT,), "amount_invalid"),
        (OpenAmount(least_minor=5, most_minor=8, preset_minor=4), (GIFT,), "amount_invalid"),
    ],
)
def test_check_of_bounds(bounds: OpenAmount, items: tuple[LineItem, ...], code: str) -> None:
    if not code:
        open_amounts.check(bounds, items)
        return
    with pytest.raises(AppError) as refused:
        open_amounts.check(bounds, items)
    assert refused.value.code == code


@given(AMOUNTS, AMOUNTS, AMOUNTS)
def test_choice_is_taken_exactly_where_it_lies_within_the_bounds(one: int, other: int, chosen: int) -> None:
    least, most = sorted((one, other))
    made = link(OpenAmount(least_minor=least, most_minor=most))
    if least <= chosen <= most:
        (item,) = open_amounts.chosen(made, chosen)
        assert (item.name, item.total_minor) == ("Gift", chosen)
    else:
        with pytest.raises(BadAmount) as refused:
            open_amounts.chosen(made, chosen)
        assert refused.value.code == "amount_out_of_bounds"
        assert (refused.value.facts["minimum"], refused.value.facts["maximum"]) == (least, most)


def test_sum_that_is_missing_or_not_the_payers_to_choose_is_refused() -> None:
    with pytest.raises(BadAmount, match="amount_missing"):
        open_amounts.chosen(link(OpenAmount(least_minor=1, most_minor=9)), None)
    tea = LineItem(name="Tea", unit_minor=850)
    with pytest.raises(BadAmount, match="amount_fixed"):
        open_amounts.chosen(link(None, tea), 850)
    assert open_amounts.chosen(link(None, tea), None) == (tea,)
