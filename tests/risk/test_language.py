"""What rules of risk control may speak of, and what a payment's values are."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongbao.core.errors import InvalidRequest
from tongbao.core.money import Money
from tongbao.decisions.policy.expression_language import FieldType
from tongbao.risk.models.registry import NAMES
from tongbao.risk.policy.language import (
    LANGUAGE,
    ValuesReader,
    compile_when,
    field_of_list,
    language_of,
    list_of_field,
    money_of,
)
from tongbao.risk.schema.signals import Signals

AT = datetime(2026, 11, 22, 23, 30, tzinfo=UTC)
SIGNALS = Signals(
    id=UUID(int=1),
    at=AT,
    book_id=7,
    live=True,
    subject_id=UUID(int=2),
    value=500,
    currency="EUR",
    method="card",
    card_country="DE",
    mcc="5411",
)
FEATURES = np.full(len(NAMES), np.nan)


def values_of(fields: set[str], score: float | None = None, **features: float) -> dict[str, Any]:
    row = FEATURES.copy()
    for name, number in features.items():
        row[NAMES.index(name)] = number
    return ValuesReader(fields, NAMES).read(SIGNALS, row, score, {"vip cards"})


def refusal(source: str, lists: set[str] | None = None) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        compile_when(source, LANGUAGE, lists)
    assert refused.value.code == "expression_invalid"
    return refused.value


def test_language_holds_every_feature_as_a_number_that_may_be_unknown() -> None:
    for name in set(NAMES) - {"hour"}:
        field = LANGUAGE.field_of[name]
        assert (field.type, field.may_be_unknown) == (FieldType.NUMBER, True)
    assert len(LANGUAGE.field_of) == len(LANGUAGE.fields)


def test_no_feature_looks_like_a_question_for_a_list() -> None:
    assert [name for name in LANGUAGE.field_of if list_of_field(name) is not None] == []


def test_language_of_puts_signals_before_features_of_their_name() -> None:
    language = language_of({"hour": "hours since midnight", "score": "x", "speed": "km/h"})
    assert not language.field_of["hour"].may_be_unknown
    assert language.field_of["score"].description.startswith("calibrated")
    assert language.field_of["speed"].description == "km/h"


def test_read_gives_every_field_a_value_of_its_type() -> None:
    values = ValuesReader(set(LANGUAGE.field_of), NAMES).read(SIGNALS, np.arange(float(len(NAMES))), 0.25)
    assert set(values) == set(LANGUAGE.field_of)
    kinds: dict[FieldType, tuple[type, ...]] = {
        FieldType.MONEY: (Money,),
        FieldType.TEXT: (str,),
        FieldType.BOOLEAN: (bool,),
        FieldType.NUMBER: (int, float),
    }
    for field in LANGUAGE.fields:
        value = values[field.name]
        assert isinstance(value, kinds[field.type]) or (field.may_be_unknown and value is None), field.name


def test_read_turns_what_is_unknown_into_none() -> None:
    values = values_of(
        {"card_count_1h", "device_count_1h", "card_country", "address_country"}, card_count_1h=4
    )
    assert values["card_count_1h"] == 4.0
    assert values["device_count_1h"] is None
    assert (values["card_country"], values["address_country"]) == ("DE", None)
    assert values["score"] is None


@pytest.mark.parametrize("field", [field.name for field in LANGUAGE.fields if field.type is FieldType.TEXT])
def test_read_of_a_text_is_what_the_payment_says_or_unknown(field: str) -> None:
    may_be_unknown = LANGUAGE.field_of[field].may_be_unknown
    told, empty = (msgspec.structs.replace(SIGNALS, **{field: text}) for text in ("some text", ""))
    reader = ValuesReader({field}, NAMES)
    assert reader.read(told, FEATURES)[field] == "some text"
    assert reader.read(empty, FEATURES)[field] == (None if may_be_unknown else "")


def test_read_gives_hour_and_weekday_of_utc() -> None:
    values = values_of({"hour", "weekday"}, hour=3)
    assert (values["hour"], values["weekday"]) == (23, 6)


def test_read_of_a_feature_that_is_gone_is_unknown() -> None:
    values = ValuesReader({"card_count_1h"}, ()).read(SIGNALS, np.zeros(0))
    assert values["card_count_1h"] is None
    assert compile_when("card_count_1h >= 0").test(values) is False


def test_read_tells_lists_that_the_payment_is_on() -> None:
    condition = compile_when('listed("vip cards") and not listed("thieves")')
    assert condition.test(values_of(set(condition.fields))) is True


@pytest.mark.parametrize(
    "source",
    [
        "card_count_1h != 3",
        "not score > 2 and score < 0.5",
        'address_country != "DE"',
        "card_country != address_country",
        "card_count_1h + 1 > 0",
    ],
)
def test_comparison_with_the_unknown_is_false(source: str) -> None:
    condition = compile_when(source)
    assert condition.test(values_of(set(condition.fields))) is False


def test_compile_when_writes_lists_as_people_do() -> None:
    condition = compile_when("listed( 'vip cards' )and amount<5 EUR or not listed(\"a\")")
    assert condition.text == 'listed("vip cards") and amount < 5.00 EUR or not listed("a")'
    assert condition.fields == {"listed_vip_cards", "listed_a", "amount"}
    assert compile_when(condition.text) == condition


def test_compile_when_leaves_quoted_text_alone() -> None:
    text = "email_domain == \"listed('a')\" and method != 'listed_x'"
    condition = compile_when(text)
    assert condition.fields == {"email_domain", "method"}
    assert condition.text == 'email_domain == "listed(\'a\')" and method != "listed_x"'


@pytest.mark.parametrize(
    ("source", "problem", "line", "column"),
    [
        ("listed", "arguments", 1, 1),
        ("listed(vip)", "arguments", 1, 1),
        ("amount > 5 EUR and\n  listed()", "arguments", 2, 3),
        ('listed("Vip")', "arguments", 1, 9),
        ('listed("vip_cards")', "arguments", 1, 9),
        ('listed("a", "b")', "arguments", 1, 1),
        ('listed("vip") > 3', "type", 1, 17),
        ('listed("vip") and cadr_count_1h > 2', "unknown_field", 1, 19),
        ("listed_vip", "unknown_field", 1, 1),
        ("unlisted('vip')", "call", 1, 1),
    ],
)
def test_compile_when_tells_what_is_wrong_and_where(
    source: str, problem: str, line: int, column: int
) -> None:
    facts = refusal(source).facts
    assert (facts["problem"], facts["line"], facts["column"]) == (problem, line, column)


def test_compile_when_with_an_unknown_list_suggests_the_one_that_was_meant() -> None:
    assert compile_when('listed("vip cards")', lists={"vip cards"}).text == 'listed("vip cards")'
    assert refusal('listed("vip crads")', {"vip cards"}).facts["suggestion"] == "vip cards"
    assert "suggestion" not in refusal('listed("zzz")', {"vip cards"}).facts


def test_errors_speak_of_lists_as_people_do() -> None:
    assert 'listed("vip cards")' in refusal('listed("vip cards") > 3').detail


def test_compile_when_too_long_once_written_out_is_refused() -> None:
    source = "listed('a')and " * 130 + "listed('a')"
    assert len(source) < 2_000
    assert refusal(source).facts["problem"] == "too_long"


@pytest.mark.parametrize(
    ("value", "currency", "minor"),
    [(500, "EUR", 500), (50_000, "JPY", 500), (123, "KWD", 1230), (150, "JPY", 1), (0, "EUR", 0)],
)
def test_money_of_hundredths_follows_the_exponent(value: int, currency: str, minor: int) -> None:
    assert money_of(value, currency) == Money(minor, currency)


def test_money_of_no_currency_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="currency_unknown"):
        money_of(1, "ZZZ")


words = st.from_regex(r"[a-z0-9]{1,6}( [a-z0-9]{1,6}){0,3}", fullmatch=True)


@settings(deadline=None)
@given(words, words)
def test_names_of_lists_and_fields_are_one_to_one(one: str, other: str) -> None:
    assert list_of_field(field_of_list(one)) == one
    assert (field_of_list(one) == field_of_list(other)) is (one == other)


@settings(deadline=None)
@given(st.lists(words, min_size=1, max_size=5), st.integers(0, 3))
def test_places_of_errors_stay_behind_any_number_of_lists(names: list[str], spaces: int) -> None:
    before = " and ".join(f'listed({" " * spaces}"{name}")' for name in names) + " and "
    assert refusal(f"{before}nowhere > 1").facts["column"] == len(before) + 1
