"""Which cards can exist: brands, lengths, check digits, expiry, security codes; and that none of it prints."""

from datetime import date
from io import StringIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from tests.privacy.conftest import CVC, NAME, VISA, card
from tests.privacy.numbers import TEST_CARDS, card_numbers, luhn_complete

from tongbao.core.errors import InvalidRequest
from tongbao.core.masking import mask
from tongbao.privacy.errors import CardDataRefused, CardInvalid
from tongbao.privacy.policy.brands import RANGES, brand_of, is_luhn_valid, range_of
from tongbao.privacy.policy.cards import check_card, check_number
from tongbao.privacy.schema import Brand, RevealedCard

TODAY = date(2026, 11, 22)


@pytest.mark.parametrize(("number", "brand"), TEST_CARDS)
def test_check_card_of_every_brand_returns_its_brand(number: str, brand: str) -> None:
    cvc = "1234" if brand == "amex" else "123"
    assert check_card(card(number, cvc=cvc), TODAY).brand == brand


@pytest.mark.parametrize(
    ("prefix", "brand"),
    [
        *[("2220", "unknown"), ("2221", "mastercard"), ("2720", "mastercard"), ("2721", "unknown")],
        *[("50", "unknown"), ("51", "mastercard"), ("55", "mastercard"), ("56", "unknown")],
        *[("33", "unknown"), ("34", "amex"), ("35", "unknown"), ("37", "amex"), ("36", "diners")],
        *[("3527", "unknown"), ("3528", "jcb"), ("3589", "jcb"), ("3590", "unknown")],
        *[("305", "diners"), ("306", "unknown"), ("3095", "diners"), ("38", "diners"), ("39", "diners")],
        *[("6010", "unknown"), ("6011", "discover"), ("643", "unknown"), ("644", "discover")],
        *[("659", "discover"), ("660", "unknown"), ("62", "unionpay"), ("63", "unknown")],
        *[("8100", "unionpay"), ("8171", "unionpay"), ("8172", "unknown"), ("4", "visa"), ("", "unknown")],
    ],
)
def test_brand_at_the_edges_of_its_range_is_told(prefix: str, brand: str) -> None:
    assert brand_of(prefix.ljust(4, "0") if prefix else "") == brand


def test_ranges_of_brands_do_not_overlap() -> None:
    for number in range(10_000):
        text = f"{number:04d}"
        holders = [one.brand for one in RANGES if one.first <= text[: len(one.first)] <= one.last]
        assert len(holders) <= 1, text
        assert (range_of(text) is None) == (not holders)


@settings(deadline=None)
@given(st.text("0123456789", min_size=1, max_size=25))
def test_luhn_accepts_exactly_one_check_digit(body: str) -> None:
    right = luhn_complete(body)
    assert [digit for digit in "0123456789" if is_luhn_valid(body + digit)] == [right[-1]]


@settings(deadline=None)
@given(card_numbers(), st.integers(0, 18), st.integers(1, 9))
def test_check_number_with_one_wrong_digit_is_refused(number: str, position: int, off: int) -> None:
    position %= len(number)
    wrong = number[:position] + str((int(number[position]) + off) % 10) + number[position + 1 :]
    assert check_number(number) == number
    with pytest.raises(CardInvalid):
        check_number(wrong)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        *[("", "invalid_number"), ("4242", "invalid_number"), ("card", "invalid_number")],
        *[("424242424242424242", "invalid_number"), ("42424242424242424242", "invalid_number")],
        *[("37828224631000", "invalid_number"), ("4242a42424242424242", "invalid_number")],
        *[("４２４２４２４２４２４２４２４２", "invalid_number"), ("٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢", "invalid_number")],
        *[(VISA + " " * 60, "invalid_number"), ("4242.4242.4242.4242", "invalid_number")],
        *[("4242424242424241", "incorrect_number"), ("4000 0000 0000 0000", "incorrect_number")],
        *[("500000000000", "invalid_number"), ("50000000000000000001", "invalid_number")],
    ],
)
def test_check_card_with_a_bad_number_names_the_code(number: str, code: str) -> None:
    with pytest.raises(CardInvalid) as raised:
        check_card(card(number), TODAY)
    assert (raised.value.code, raised.value.facts) == (code, {"param": "number"})
    assert not any(char.isdecimal() for char in str(raised.value))


@pytest.mark.parametrize("number", ["4242 4242 4242 4242", "4242-4242-4242-4242", " 42424242 42424242 "])
def test_check_card_with_spaces_and_dashes_keeps_the_digits(number: str) -> None:
    assert check_card(card(number), TODAY).number == VISA


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"exp_month": 0}, "invalid_expiry_month", "exp_month"),
        ({"exp_month": 13}, "invalid_expiry_month", "exp_month"),
        ({"exp_month": 10, "exp_year": 2026}, "invalid_expiry_month", "exp_month"),
        ({"exp_month": 13, "exp_year": 1999}, "invalid_expiry_month", "exp_month"),
        ({"exp_year": 2025}, "invalid_expiry_year", "exp_year"),
        ({"exp_year": 25}, "invalid_expiry_year", "exp_year"),
        ({"exp_year": 2077}, "invalid_expiry_year", "exp_year"),
        ({"exp_year": -1}, "invalid_expiry_year", "exp_year"),
        ({"cvc": ""}, "invalid_cvc", "cvc"),
        ({"cvc": "12"}, "invalid_cvc", "cvc"),
        ({"cvc": "1234"}, "invalid_cvc", "cvc"),
        ({"cvc": "12a"}, "invalid_cvc", "cvc"),
        ({"cvc": "１２３"}, "invalid_cvc", "cvc"),
        ({"cvc": "123\n"}, "invalid_cvc", "cvc"),
        ({"number": "378282246310005", "cvc": "123"}, "invalid_cvc", "cvc"),
        ({"holder_name": "x" * 101}, "invalid_holder_name", "name"),
        ({"holder_name": "a\x00b"}, "invalid_holder_name", "name"),
    ],
)
def test_check_card_with_a_bad_field_names_the_code(fields: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(CardInvalid) as raised:
        check_card(card(**fields), TODAY)
    assert (raised.value.code, raised.value.facts) == (code, {"param": param})
    assert isinstance(raised.value, InvalidRequest)


def test_check_card_with_a_number_in_the_name_is_refused() -> None:
    with pytest.raises(CardDataRefused) as raised:
        check_card(card(holder_name=f"Ada {VISA}"), TODAY)
    assert raised.value.facts == {"param": "name"}


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"exp_month": 11, "exp_year": 2026}, {"exp_month": 11, "exp_year": 2026}),
        ({"exp_year": 30}, {"exp_year": 2030}),
        ({"exp_year": 2076}, {"exp_year": 2076}),
        ({"cvc": None}, {"cvc": None}),
        ({"number": "378282246310005", "cvc": "0000"}, {"cvc": "0000"}),
        ({"number": "5018000000000009", "cvc": "1234"}, {"cvc": "1234", "brand": Brand.UNKNOWN}),
        ({"holder_name": "  "}, {"holder_name": None}),
        ({"holder_name": " 王小明 "}, {"holder_name": "王小明"}),
    ],
)
def test_check_card_at_the_edge_is_accepted(fields: dict[str, Any], kept: dict[str, Any]) -> None:
    checked = check_card(card(**fields), TODAY)
    assert {name: getattr(checked, name) for name in kept} == kept


def clear_cards() -> list[Any]:
    """One of everything that holds a card in clear."""
    return [card(), check_card(card(), TODAY), RevealedCard(VISA, 12, 2030, CVC, NAME)]


@pytest.mark.parametrize("clear", clear_cards(), ids=lambda clear: type(clear).__name__)
def test_clear_card_never_prints_itself(clear: Any) -> None:
    screen = StringIO()
    Console(file=screen).print(clear, [clear])
    logged = str(mask({"card": clear, "cards": [clear], "text": f"{clear!s}{clear!r}"}))
    for text in (repr(clear), f"{clear} {clear!r} {[clear]}", screen.getvalue(), logged):
        assert "***" in text
        assert not any(secret in text for secret in (VISA, VISA[:6], CVC, NAME, "2030"))
