"""The language of conditions: what it says, what it refuses and where, and that hostile text gets nowhere."""

import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tongbao.core.currencies import CURRENCIES, Kind
from tongbao.core.errors import InvalidRequest
from tongbao.core.money import Money
from tongbao.decisions.policy.expression_language import TEXT_FUNCTIONS, Field, FieldType, Function, Language
from tongbao.decisions.policy.expression_source import BRACKETS_MAX, DIGITS_MAX, SOURCE_CHARS_MAX, TOKENS_MAX
from tongbao.decisions.policy.expressions import DEPTH_MAX, PRODUCTS_MAX, Compiled, compile_condition

LANGUAGE = Language(
    (
        Field("amount", FieldType.MONEY, "amount"),
        Field("limit", FieldType.MONEY, "another amount"),
        Field("country", FieldType.TEXT, "country"),
        Field("card_bin", FieldType.TEXT, "first digits"),
        Field("hour", FieldType.NUMBER, "hour"),
        Field("is_recurring", FieldType.BOOLEAN, "asked by the merchant"),
        Field("score", FieldType.NUMBER, "risk, where there is one", may_be_unknown=True),
        Field("device", FieldType.TEXT, "where there is one", may_be_unknown=True),
        Field("is_known", FieldType.BOOLEAN, "where there is one", may_be_unknown=True),
    ),
    (*TEXT_FUNCTIONS, Function("length", (FieldType.TEXT,), FieldType.NUMBER, len, "characters of a text")),
)
VALUES: dict[str, object] = {
    "amount": Money(50_001, "EUR"),
    "limit": Money(50_001, "USD"),
    "country": "DE",
    "card_bin": "457188",
    "hour": 3,
    "is_recurring": False,
    "score": None,
    "device": None,
    "is_known": None,
}


def holds(source: str, **values: object) -> bool:
    return compile_condition(source, LANGUAGE).test(VALUES | values)


def refusal(source: str) -> dict[str, Any]:
    with pytest.raises(InvalidRequest) as refused:
        compile_condition(source, LANGUAGE)
    assert refused.value.code == "expression_invalid"
    return refused.value.facts


MEANINGS = [
    ("true", True),
    ("false", False),
    ("not false", True),
    ("hour == 3", True),
    ("hour != 3", False),
    ("0 <= hour < 6", True),
    ("0 <= hour < 3", False),
    ("hour + 1 == 4 and hour - 1 == 2 and hour * 2 == 6", True),
    ("2 + 3 * 4 == 14 and (2 + 3) * 4 == 20 and 2 - 3 - 4 == -5", True),
    ("-hour < -2.5", True),
    ("0.1 * 3 > 0.3", True),  # numbers are numbers; money is where digits count
    ('country == "DE" or hour > 9', True),
    ("country == 'FR' or hour > 9 and true", False),
    ("is_recurring", False),
    ("is_recurring == false", True),
    ('country in ("DE", "FR")', True),
    ('country not in ["DE", "FR"]', False),
    ("hour in [1, 2, -3]", False),
    ("hour in (3,)", True),
    ('starts_with(card_bin, "4571")', True),
    ('ends_with(card_bin, "4571")', False),
    ('contains(card_bin, "718")', True),
    ("length(card_bin) * 2 == 12", True),
    ('country == "it\'s"', False),
    ("hour == 3\n  and\n\tcountry == 'DE'", True),
]
MONEY_MEANINGS = [
    ("amount > 500 EUR", True),
    ("amount > 500.01 EUR", False),
    ("amount >= 500.01 EUR", True),
    ("amount == 500.01 EUR", True),
    ("amount != 500.01 EUR", False),
    ("500 EUR < amount < 501 EUR", True),
    ("501 EUR > amount", True),
    # Another currency: false however it is asked.
    ("amount > 1 USD", False),
    ("amount < 900000 USD", False),
    ("amount == 500.01 USD", False),
    ("amount != 500.01 USD", False),
    ("not amount > 1 USD", True),
    ("amount == limit", False),
    ("amount != limit", False),
    ("1 EUR < 2 EUR", True),
]
UNKNOWNS = [
    ("score > 1", False),
    ("score <= 1", False),
    ("not score > 1", True),
    ("score + 1 != score", False),
    ("score in [1]", False),
    ("score not in [1]", False),
    ("is_known", False),
    ("not is_known", True),
    ("is_known == false", False),
    ('starts_with(device, "a")', False),
    ("length(device) < 5", False),
    ("hour == 3 or score > 1", True),
]


@pytest.mark.parametrize(("source", "expected"), MEANINGS + MONEY_MEANINGS + UNKNOWNS)
def test_condition_holds_as_it_reads(source: str, expected: bool) -> None:
    assert holds(source) is expected


def test_unknown_field_that_is_known_compares() -> None:
    assert holds("score > 1 and is_known and length(device) == 2", score=2, is_known=True, device="ab")


@pytest.mark.parametrize(
    ("code", "minor"),
    [("JPY", 500), ("EUR", 50_000), ("KWD", 500_000), ("CLF", 5_000_000)],
)
def test_money_literal_counts_minor_units_of_its_currency(code: str, minor: int) -> None:
    assert holds(f"amount == 500 {code}", amount=Money(minor, code))
    assert not holds(f"amount == 500 {code}", amount=Money(minor - 1, code))


def test_money_literal_beyond_floats_is_exact() -> None:
    source = "amount == 90071992547409.93 EUR"
    assert holds(source, amount=Money(9_007_199_254_740_993, "EUR"))
    assert not holds(source, amount=Money(9_007_199_254_740_992, "EUR"))


REFUSALS = [
    ("", "empty", 1, 1),
    (" \n ", "empty", 1, 1),
    ("hour", "type", 1, 1),
    ("amount", "type", 1, 1),
    ('"text"', "type", 1, 1),
    ("[1, 2]", "type", 1, 1),
    ("hour and true", "type", 1, 1),
    ("true or\n  hour", "type", 2, 3),
    ("not hour", "type", 1, 5),
    ("amount > 500", "type", 1, 10),
    ("hour > 500 EUR", "type", 1, 8),
    ("hour == country", "type", 1, 9),
    ("country < 'DE'", "type", 1, 11),
    ("true > false", "type", 1, 8),
    ("amount + 1 EUR > 2 EUR", "type", 1, 1),
    ("country + 'a' == 'b'", "type", 1, 1),
    ("-amount < 1 EUR", "type", 1, 2),
    ("hour in 3", "type", 1, 9),
    ("hour in []", "type", 1, 9),
    ("hour in [1, 'a']", "type", 1, 13),
    ("hour in [1, hour]", "type", 1, 13),
    ("amount in [1 EUR]", "type", 1, 1),
    ("country in 'DEFR'", "type", 1, 12),
    ("starts_with(hour, 'a')", "type", 1, 13),
    ("starts_with(country)", "arguments", 1, 1),
    ("starts_with(country, 'a', 'b')", "arguments", 1, 1),
    ("starts_with(country, prefix == 'a')", "unknown_field", 1, 22),
    ("starts_with == 'a'", "arguments", 1, 1),
    ("hour / 2 == 1", "operator", 1, 6),
    ("hour // 2 == 1", "operator", 1, 6),
    ("hour % 2 == 1", "operator", 1, 6),
    ("hour & 2 == 1", "operator", 1, 6),
    ("hour << 2 == 1", "operator", 1, 6),
    ("~hour == 1", "operator", 1, 1),
    ("hour ++ 1 == 1", "operator", 1, 7),
    ("hour in [1] == true", "operator", 1, 9),
    ("hour ** 2 == 9", "power", 1, 6),
    ("hour = 3", "assignment", 1, 6),
    ("(hour := 3) == 3", "assignment", 1, 7),
    ("hour[0] == 1", "subscript", 1, 1),
    ("hour is 3", "keyword", 1, 6),
    ("hour if true else 3", "keyword", 1, 6),
    ("None == hour", "keyword", 1, 1),
    ("True", "keyword", 1, 1),
    ("import os", "keyword", 1, 1),
    ("hour == 0x10", "number", 1, 10),
    ("hour == 1e9", "number", 1, 10),
    ("hour == 1_000", "number", 1, 10),
    ("hour == 3j", "number", 1, 10),
    ("hour == 1or true", "number", 1, 10),
    ("amount > 500EUR", "number", 1, 13),
    ("hour == " + "9" * (DIGITS_MAX + 1), "number", 1, 9),
    ("hour == 007", "syntax", 1, 9),
    ("hour == .5", "attribute", 1, 9),
    ("amount > 5 EURO", "syntax", 1, 12),
    ("amount > 5 XYZ", "currency", 1, 10),
    ("amount > 5 XAU", "currency", 1, 10),
    ("amount > 5.001 EUR", "currency", 1, 10),
    ("amount > 5.5 JPY", "currency", 1, 10),
    ("amount > 999999999999999999 EUR", "currency", 1, 10),
    ("hour == 3 hour", "syntax", 1, 11),
    ("hour == 3 and", "syntax", 1, 14),
    ("hour ==", "syntax", 1, 8),
    ("(hour == 3", "syntax", 1, 1),
    ("hour == 3)", "syntax", 1, 10),
    ("hour == 3) or (hour == 4", "syntax", 1, 10),
    ("(hour == 3]", "syntax", 1, 11),
    ("hour == 'a", "syntax", 1, 9),
    ("country == 'a' 'b'", "syntax", 1, 16),
    ('country == """a"""', "syntax", 1, 14),
    ("country == f'{hour}'", "syntax", 1, 13),
    ("country == b'a'", "syntax", 1, 13),
    ("country == 'a\\n'", "character", 1, 14),
    ("country == 'é' and houre == 1", "unknown_field", 1, 20),
]
HOSTILE = [
    ("().__class__.__bases__[0].__subclasses__()", "attribute", 1, 3),
    ("country.__class__ == 1", "attribute", 1, 8),
    ("__import__('os').system('id')", "unknown_field", 1, 1),
    ("_case == 1", "unknown_field", 1, 1),
    ("_m0 > 1 EUR", "unknown_field", 1, 1),
    ("__builtins__ == 1", "unknown_field", 1, 1),
    ("eval('1') == 1", "call", 1, 1),
    ("(starts_with)(country)('a')", "call", 1, 1),
    ("starts_with(*country)", "arguments", 1, 1),
    ("starts_with(*country, 'a')", "syntax", 1, 13),
    ("length(text = country) == 1", "assignment", 1, 13),
    ("lambda: 1", "call", 1, 1),
    ("(lambda x: x)(1) == 1", "call", 1, 2),
    ("[h for h in [1]] == 1", "comprehension", 1, 4),
    ("{1, 2} == 1", "comprehension", 1, 1),
    ("9**9**9**9 > 1", "power", 1, 2),
    ("await hour", "call", 1, 1),
    ("yield", "call", 1, 1),
    ("hour == 1; hour", "operator", 1, 10),
    ("hour == 1 # or true", "operator", 1, 11),
    ("hour == 1 \\\n or true", "character", 1, 11),
    ("hour\x00 == 1", "character", 1, 5),
    ("hour\r== 1", "character", 1, 5),
    ("hour\x0c== 1", "character", 1, 5),
    ("\ufeffhour == 1", "character", 1, 1),
    ("ｈour == 3", "character", 1, 1),  # NFKC makes hour of it
    ("hоur == 3", "character", 1, 2),  # a Cyrillic o
    ("hour\u200b == 3", "character", 1, 5),
    ("hour == ３", "character", 1, 9),
    ("hour ≠ 3", "character", 1, 6),
    ("country == 'D\u202eE'", "character", 1, 14),
    ("country == 'D\u200dE'", "character", 1, 14),
    ("country == 'D\u00a0E'", "character", 1, 14),
    ("country == 'D\ud800E'", "character", 1, 14),
    ("country == “DE”", "character", 1, 12),
    ("(" * (BRACKETS_MAX + 1) + "true" + ")" * (BRACKETS_MAX + 1), "too_deep", 1, BRACKETS_MAX + 1),
    ("not " * DEPTH_MAX + "true", "too_deep", 1, 4 * DEPTH_MAX + 1),
    ("-" * 300 + "1 == 1", "too_deep", 1, DEPTH_MAX),
    ("1 + " * 300 + "1", "too_many_parts", 1, 4 * TOKENS_MAX // 2 + 1),
    ("hour " * 399, "syntax", 1, 6),
    ("(" * 1_900, "too_many_parts", 1, TOKENS_MAX + 1),
    ("true or " * 400, "too_long", 1, 1),
    ("1" * 5_000_000, "too_long", 1, 1),
    ("hour * " * (PRODUCTS_MAX + 1) + "1 == 1", "products", 1, 1),
]


@pytest.mark.parametrize(("source", "problem", "line", "column"), REFUSALS + HOSTILE)
def test_compile_condition_that_is_wrong_names_problem_line_and_column(
    source: str, problem: str, line: int, column: int
) -> None:
    facts = refusal(source)
    assert (facts["problem"], facts["line"], facts["column"]) == (problem, line, column)


@pytest.mark.parametrize(
    ("source", "suggestion"),
    [
        ("amoutn > 5 EUR", "amount"),
        ("is_recuring", "is_recurring"),
        ("starts_wiht(country, 'a')", "starts_with"),
        ("amount > 5 EUE", "EUR"),
        ("zzzzzz == 1", None),
    ],
)
def test_compile_condition_with_misspelt_name_suggests_the_nearest(
    source: str, suggestion: str | None
) -> None:
    assert refusal(source).get("suggestion") == suggestion


def test_compiled_tells_its_fields_and_is_equal_by_text() -> None:
    one = compile_condition("(amount>500 EUR) and (not  starts_with( card_bin,'4571' ))", LANGUAGE)
    assert one.text == 'amount > 500.00 EUR and not starts_with(card_bin, "4571")'
    assert one.fields == {"amount", "card_bin"}
    assert one == compile_condition(one.text, LANGUAGE)
    assert one != compile_condition("hour == 3", LANGUAGE)


def test_compiled_code_reaches_no_builtin_and_only_declared_names() -> None:
    test: Any = compile_condition("hour == 3 and length(country) == 2", LANGUAGE).test
    assert test.__globals__["__builtins__"] == {}
    assert set(test.__globals__) == {"__builtins__", *(each.name for each in LANGUAGE.functions)}
    assert set(test.__code__.co_names) == {"length"}


def test_products_at_their_limit_stay_within_floats() -> None:
    source = f"0.5 + {' * '.join(['9' * DIGITS_MAX] * (PRODUCTS_MAX + 1))} > 1"
    assert holds(source)


def test_canonical_text_beyond_the_limit_is_refused() -> None:
    source = "1<2" + " or 1<2" * 70
    longer = source + " or 1 < 2" * ((SOURCE_CHARS_MAX - len(source)) // 9)
    assert len(source) < SOURCE_CHARS_MAX
    assert refusal(longer)["problem"] in {"too_long", "too_many_parts"}
    text = "country in [" + ",".join(['"' + "x" * 9 + '"'] * 165) + "]"
    assert len(text) < SOURCE_CHARS_MAX
    assert refusal(text)["problem"] == "too_long"


NUMBERS = st.one_of(
    st.just("hour"),
    st.integers(0, 10**6).map(str),
    st.decimals(0, 999, places=3).map(str),
)
TEXTS = st.one_of(
    st.sampled_from(["country", "card_bin"]), st.sampled_from(["'a'", '"b c"', "'\"'", '"中文"'])
)
CODES = st.sampled_from([row.code for row in CURRENCIES if row.kind is not Kind.UNIT])
MONEYS = st.one_of(
    st.sampled_from(["amount", "limit"]), st.builds(lambda n, c: f"{n} {c}", st.integers(0, 10**9), CODES)
)
SUMS = st.recursive(
    NUMBERS,
    lambda part: (
        st.builds(lambda a, o, b: f"({a} {o} {b})", part, st.sampled_from("+-"), part)
        | st.builds(lambda a: f"-{a}", part)
    ),
    max_leaves=4,
)
COMPARED = st.one_of(
    st.builds(lambda a, o, b: f"{a} {o} {b}", SUMS, st.sampled_from(["<", "<=", "==", "!="]), SUMS),
    st.builds(lambda a, o, b: f"{a} {o} {b}", TEXTS, st.sampled_from(["==", "!="]), TEXTS),
    st.builds(lambda a, o, b, c: f"{a} {o} {b} {o} {c}", MONEYS, st.sampled_from("<>"), MONEYS, MONEYS),
    st.builds(lambda a, b: f"{a} in ({b}, {b})", st.just("country"), st.sampled_from(["'x'", '"y"'])),
    st.sampled_from(["true", "is_recurring", "starts_with(country, 'D')"]),
)
CONDITIONS = st.recursive(
    COMPARED,
    lambda part: (
        st.builds(lambda a, o, b: f"({a}) {o} ({b})", part, st.sampled_from(["and", "or"]), part)
        | st.builds(lambda a: f"not ({a})", part)
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(source=CONDITIONS, hour=st.integers(0, 23), country=st.sampled_from(["DE", "b c", "x"]))
def test_canonical_text_compiles_to_the_same_condition(source: str, hour: int, country: str) -> None:
    first = compile_condition(source, LANGUAGE)
    again = compile_condition(first.text, LANGUAGE)
    values = VALUES | {"hour": hour, "country": country}
    assert again.text == first.text
    assert again.test(values) is first.test(values)


@settings(max_examples=300, deadline=None)
@given(
    source=st.text(max_size=60)
    | st.lists(
        st.sampled_from(
            [
                "hour",
                "amount",
                "500",
                "EUR",
                "1",
                "(",
                ")",
                "[",
                "]",
                ",",
                "and",
                "or",
                "not",
                "in",
                "==",
                "<",
                "*",
                "-",
                "+",
                "**",
                ".",
                ":",
                "=",
                "'a'",
                "__class__",
                "lambda",
                "é",
            ]
        ),
        max_size=14,
    ).map(" ".join)
)
@example("0,")
def test_compile_any_text_gives_a_condition_or_a_placed_error(source: str) -> None:
    outcome = outcome_of(source)
    if isinstance(outcome, Compiled):
        assert outcome.test(VALUES) in {True, False}
        return
    lines = source.split("\n")
    assert 1 <= outcome["line"] <= len(lines)
    assert 1 <= outcome["column"] <= len(lines[outcome["line"] - 1]) + 1


def outcome_of(source: str) -> Compiled | dict[str, Any]:
    try:
        return compile_condition(source, LANGUAGE)
    except InvalidRequest as error:
        return error.facts


@settings(max_examples=100, deadline=None)
@given(
    left=st.integers(-(10**6), 10**6),
    minor=st.integers(0, 10**6),
    code=st.sampled_from(["EUR", "JPY", "KWD"]),
    other=st.sampled_from(["EUR", "JPY", "KWD"]),
    sign=st.sampled_from(["<", "<=", "==", "!=", ">=", ">"]),
)
def test_money_compares_by_minor_units_within_a_currency_only(
    left: int, minor: int, code: str, other: str, sign: str
) -> None:
    by_sign = {"<": "lt", "<=": "le", "==": "eq", "!=": "ne", ">=": "ge", ">": "gt"}
    expected = code == other and bool(getattr(left, f"__{by_sign[sign]}__")(minor))
    literal = str(Money(minor, other))
    assert holds(f"amount {sign} {literal}", amount=Money(left, code)) is expected


def test_number_that_is_not_one_compares_false() -> None:
    assert not holds("score < 1", score=math.nan)
    assert not holds("score >= 1", score=math.nan)
