"""Tests that stand below rules: how they are written, and what they find."""

import pytest

from tongbao.core.errors import InvalidRequest
from tongbao.core.money import Money
from tongbao.risk.models.registry import NAMES
from tongbao.risk.policy.language import LANGUAGE, compile_when
from tongbao.risk.policy.rules import Rules
from tongbao.risk.policy.rules_tests import (
    VALUES_MAX,
    FailedTest,
    Misread,
    check_tests,
    failing_tests,
    format_test,
    parse_test,
)
from tongbao.risk.policy.rules_text import parse
from tongbao.risk.policy.starter_rules import STARTER_RULES
from tongbao.risk.schema.rules import Act

WHEN = compile_when('card_count_1h > 5 and amount < 5 EUR or listed("vip cards")')


def misread(text: str) -> Misread:
    with pytest.raises(Misread) as refused:
        parse_test(text, WHEN, LANGUAGE)
    return refused.value


def rules(condition: str, *tests: str) -> Rules:
    lines = [f'a: when {condition} then decline because "x" owner mei', *tests]
    return parse("\n".join(lines))


def test_parse_test_reads_every_kind_of_value() -> None:
    test = parse_test(
        'test "all": card_count_1h = 6, card_ratio = -2.5, amount = 3 EUR, card_country = "DE", '
        'method = \'a"b\', is_recurring = true, score = unknown, listed( "vip cards" ) = false -> does  not match',
        WHEN,
        LANGUAGE,
    )
    assert test.values == (
        ("card_count_1h", 6),
        ("card_ratio", -2.5),
        ("amount", Money(300, "EUR")),
        ("card_country", "DE"),
        ("method", 'a"b'),
        ("is_recurring", True),
        ("score", None),
        ("listed_vip_cards", False),
    )
    assert (test.name, test.is_match) == ("all", False)
    assert parse_test(format_test(test), WHEN, LANGUAGE) == test
    assert format_test(test) == (
        'test "all": card_count_1h = 6, card_ratio = -2.5, amount = 3.00 EUR, card_country = "DE", '
        'method = \'a"b\', is_recurring = true, score = unknown, listed("vip cards") = false -> does not match'
    )


def test_parse_test_without_values_is_about_the_unknown() -> None:
    found = rules("card_count_1h > 1", 'test "nothing known": -> does not match')
    assert failing_tests(found) == ()
    assert format_test(found.rules[0].tests[0]) == 'test "nothing known": -> does not match'


@pytest.mark.parametrize(
    ("text", "problem", "at"),
    [
        ('test "": amount = 3 EUR -> matches', "test", 0),
        ("test x: amount = 3 EUR -> matches", "test", 0),
        ('test "x": amount = 3 EUR', "test", 24),
        ('test "x": amount = 3 EUR -> match', "test", 25),
        ('test "x": amount = 3 EUR -> matches now', "test", 25),
        ('test "x": amount == 3 EUR -> matches', "test", 17),
        ('test "x": amount = 3 EUR, -> matches', "test", 26),
        ('test "x": amount = 3 EUR, amount = 4 EUR -> matches', "test", 26),
        ('test "x": amuont = 3 EUR -> matches', "unknown_field", 10),
        ('test "x": amount = 3 -> matches', "type", 18),
        ('test "x": amount = "3" -> matches', "type", 18),
        ('test "x": card_count_1h = true, amount = 3 EUR -> matches', "type", 25),
        ('test "x": is_recurring = 1, amount = 3 EUR -> matches', "type", 24),
        ('test "x": amount = unknown -> matches', "type", 19),
        ('test "x": amount = 3 EUR, is_recurring = maybe -> matches', "type", 41),
        ('test "x": amount = 3.001 EUR -> matches', "currency", 19),
        ('test "x": amount = 3 ZZZ -> matches', "currency", 19),
        ('test "x": amount = 3 EUR, currency = "USD" -> matches', "currency", 10),
        ('test "x": card_count_1h = 12345678901234567890, amount = 3 EUR -> matches', "number", 26),
        ('test "x": card_count_1h = 3 -> matches', "test", 28),
        ('test "x": listed("VIP") = true, amount = 3 EUR -> matches', "test", 18),
        ('test "x": method = "a\\b", amount = 3 EUR -> matches', "character", 20),
    ],
)
def test_parse_test_tells_what_is_wrong_and_where(text: str, problem: str, at: int) -> None:
    wrong = misread(text)
    assert (wrong.problem, wrong.at) == (problem, at), wrong.detail


def test_parse_test_suggests_the_field_that_was_meant() -> None:
    assert misread('test "x": card_cuont_1h = 3, amount = 3 EUR -> matches').suggestion == "card_count_1h"


def test_parse_test_with_too_many_values_is_refused() -> None:
    pairs = ", ".join(f"{name} = 1" for name in NAMES[20 : 20 + VALUES_MAX + 1])
    assert misread(f'test "x": {pairs} -> matches').problem == "too_many"


def test_amount_of_a_test_tells_its_currency() -> None:
    found = rules(
        "currency == 'EUR'", 'test "euro": amount = 3 EUR -> matches', 'test "yen": amount = 3 JPY -> matches'
    )
    assert failing_tests(found) == (FailedTest("a", "yen", True),)


def test_failing_tests_ignores_expiry_share_and_draft() -> None:
    text = (
        'a: when card_count_1h > 5 then decline because "x" owner mei until 2020-01-01 share 1 draft\n'
        '    test "six": card_count_1h = 6 -> matches\n'
    )
    assert failing_tests(parse(text)) == ()


def test_check_tests_refuses_rules_that_do_not_do_what_they_say() -> None:
    found = rules(
        "card_count_1h > 5",
        'test "five": card_count_1h = 5 -> matches',
        'test "six": card_count_1h = 6 -> matches',
        'test "seven": card_count_1h = 7 -> does not match',
    )
    with pytest.raises(InvalidRequest) as refused:
        check_tests(found)
    assert refused.value.code == "rules_tests_failed"
    assert refused.value.facts == {"rule": "a", "test": "five", "count": 2}


def test_failed_test_speaks_both_languages() -> None:
    wanted, unwanted = FailedTest("a", "t", True), FailedTest("a", "t", False)
    assert wanted.text("en") == "the test t expects a to match, and it does not"
    assert unwanted.text("en") == "the test t expects a not to match, and it does"
    assert wanted.text("zh-CN") == "规则“a”的测试“t”应命中，未命中。"
    assert unwanted.text("zh") == "规则“a”的测试“t”不应命中，却命中。"


def test_starter_rules_pass_their_own_tests() -> None:
    starter = parse(STARTER_RULES, lists={"suspects"})
    check_tests(starter)
    assert all(len(each.tests) >= 2 for each in starter.rules)
    assert {each.act for each in starter.rules} >= {Act.STEP_UP, Act.REVIEW, Act.DECLINE}
