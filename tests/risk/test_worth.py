"""Worth: one table of costs for all currencies."""

import pytest

from tongbao.risk.policy.worth import counted


@pytest.mark.parametrize(
    ("value", "currency", "worth", "expected"),
    [
        (900_000, "EUR", {}, 900_000),
        (900_000, "JPY", {}, 9_000),
        (900_000, "KWD", {}, 900_000),
        (900_000, "JPY", {"JPY": 0.006}, 5_400),
        (900_000, "CNY", {"CNY": 0.125}, 112_500),
        (900_000, "XXQ", {}, 900_000),
        (0, "JPY", {}, 0),
    ],
)
def test_amounts_count_for_what_their_currency_is_worth(
    value: int, currency: str, worth: dict[str, float], expected: int
) -> None:
    assert counted(value, currency, worth) == expected
