"""Amounts as text: what is written, what is read, and what is refused."""

import decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongbao.core.errors import InvalidRequest
from tongbao.core.money import Money, format_money, parse_money

LOCALES = ["en_US", "zh_CN", "de_DE", "ar_EG", "hi_IN", "fr_FR", "ja_JP"]
CURRENCIES = ["JPY", "XOF", "CNY", "USD", "EUR", "IDR", "KWD", "IQD", "CLF"]
LIMIT = 2**63


@settings(max_examples=300, deadline=None)
@given(
    st.integers(-LIMIT + 1, LIMIT - 1) | st.integers(-10_000_000, 10_000_000),
    st.sampled_from(CURRENCIES),
    st.sampled_from(LOCALES),
)
def test_parse_of_a_formatted_amount_gives_it_back(amount: int, currency: str, locale: str) -> None:
    money = Money(amount, currency)
    assert parse_money(format_money(money, locale), currency, locale) == money


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=20) | st.text("0123456789.,-¥ '٫٬", max_size=12), st.sampled_from(LOCALES))
def test_parse_of_any_text_gives_money_or_a_refusal(text: str, locale: str) -> None:
    try:
        money = parse_money(text, "CNY", locale)
    except InvalidRequest:
        return
    assert parse_money(format_money(money, locale), "CNY", locale) == money


@pytest.mark.parametrize(
    ("amount", "currency", "locale", "text"),
    [
        (123456789, "CNY", "zh_CN", "¥1,234,567.89"),
        (-5, "CNY", "zh_CN", "-¥0.05"),
        (1234567, "JPY", "ja_JP", "￥1,234,567"),
        (123456789, "INR", "hi_IN", "₹12,34,567.89"),
        (123456789, "EUR", "de_DE", "1.234.567,89\u00a0€"),
        (123456789, "EUR", "fr_FR", "1\u202f234\u202f567,89\u00a0€"),
        (1234, "IQD", "en_US", "IQD1.234"),
        (1, "CLF", "en_US", "CLF0.0001"),
        (1234567, "EGP", "ar_EG", "\u200f12,345.67\u00a0ج.م.\u200f"),
    ],
)
def test_format_in_a_locale_writes_its_pattern_and_the_decimals_of_iso(
    amount: int, currency: str, locale: str, text: str
) -> None:
    with decimal.localcontext(decimal.Context(prec=3)):
        assert format_money(Money(amount, currency), locale) == text


def test_format_without_a_locale_writes_chinese() -> None:
    assert format_money(Money(100, "CNY")) == format_money(Money(100, "CNY"), "zh-CN") == "¥1.00"


@pytest.mark.parametrize(
    ("text", "currency", "locale", "amount"),
    [
        ("1234.5", "CNY", "zh_CN", 123450),
        ("￥１，２３４．５０", "CNY", "zh_CN", 123450),
        ("¥ 12", "CNY", "en_US", 1200),
        ("￥12", "JPY", "zh_CN", 12),
        ("12元", "CNY", "zh_CN", 1200),
        ("12 円", "JPY", "ja_JP", 12),
        ("CNY 12.00", "CNY", "zh_CN", 1200),
        ("12.00 CNY", "CNY", "zh_CN", 1200),
        ("  0.05\t", "CNY", "zh_CN", 5),
        ("¥-3", "CNY", "zh_CN", -300),
        ("\u22123", "CNY", "zh_CN", -300),
        ("1.234", "EUR", "de_DE", 123400),
        ("1,234", "KWD", "de_DE", 1234),
        ("1 234,5", "EUR", "fr_FR", 123450),
        ("12'345.60", "CHF", "de_CH", 1234560),
        ("12,34,567", "INR", "hi_IN", 123456700),
        ("१२,३४,५६७.८९", "INR", "hi_IN", 123456789),
        ("١٬٢٣٤٫٥٦", "EGP", "ar_EG", 123456),
    ],
)
def test_parse_of_what_people_type_gives_minor_units(
    text: str, currency: str, locale: str, amount: int
) -> None:
    assert parse_money(text, currency, locale) == Money(amount, currency)


@pytest.mark.parametrize(
    ("text", "currency", "locale"),
    [
        ("", "CNY", "zh_CN"),
        ("¥", "CNY", "zh_CN"),
        ("twelve", "CNY", "en_US"),
        ("1.2.3", "CNY", "en_US"),
        ("1,23", "USD", "en_US"),
        ("12,34,567", "USD", "en_US"),
        ("1,234,567", "INR", "hi_IN"),
        ("1234,567", "USD", "en_US"),
        (",123", "USD", "en_US"),
        ("1,,234", "USD", "en_US"),
        ("0,123", "USD", "en_US"),
        ("007", "USD", "en_US"),
        ("1 234", "USD", "en_US"),
        ("1.234,56", "USD", "en_US"),
        ("5.", "USD", "en_US"),
        (".5", "USD", "en_US"),
        ("+5", "USD", "en_US"),
        ("5-", "USD", "en_US"),
        ("--5", "USD", "en_US"),
        ("-$-5", "USD", "en_US"),
        ("(5)", "USD", "en_US"),
        ("1e3", "USD", "en_US"),
        ("1_000", "USD", "en_US"),
        ("½", "USD", "en_US"),
        ("5²", "USD", "en_US"),
        ("٣3", "USD", "en_US"),
        ("1٬234,567", "EGP", "ar_EG"),
        ("$5", "CNY", "zh_CN"),
        ("¥5", "USD", "en_US"),
        ("CNY 5元", "CNY", "zh_CN"),
        ("5万", "CNY", "zh_CN"),
        ("5\n6", "CNY", "zh_CN"),
        ("NaN", "CNY", "zh_CN"),
        ("9" * 65, "CNY", "zh_CN"),
    ],
)
def test_parse_of_garbage_or_ambiguous_text_is_refused(text: str, currency: str, locale: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_money(text, currency, locale)
    assert refused.value.code == "amount_malformed"
    assert text not in refused.value.facts.values()


@pytest.mark.parametrize(
    ("text", "currency", "locale", "code"),
    [
        ("1.234", "CNY", "zh_CN", "amount_too_precise"),
        ("1.0", "JPY", "ja_JP", "amount_too_precise"),
        ("1,234", "EUR", "de_DE", "amount_too_precise"),
        ("9" * 30, "CNY", "zh_CN", "amount_out_of_range"),
        ("1", "RMB", "zh_CN", "currency_unknown"),
        ("1", "XAU", "zh_CN", "currency_without_minor_unit"),
        ("1", "CNY", "tlh_QO", "locale_unknown"),
        ("1", "CNY", "", "locale_unknown"),
        ("1", "CNY", "../zh", "locale_unknown"),
    ],
)
def test_parse_against_a_rule_names_the_rule(text: str, currency: str, locale: str, code: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_money(text, currency, locale)
    assert refused.value.code == code
