"""How rules are written: read, written back, and where a mistake lies."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.policy.expression_language import Field, FieldType, Language
from tongbao.risk.policy.language import compile_when
from tongbao.risk.policy.rules import Rule, Rules, RuleTest
from tongbao.risk.policy.rules_text import (
    COMMENTS_MAX,
    RULES_MAX,
    TESTS_MAX,
    format_rules,
    parse,
    rule_text,
)
from tongbao.risk.policy.starter_rules import STARTER_RULES
from tongbao.risk.schema.rules import Act
from tongbao.risk.schema.spec import RULES_CHARS_MAX

TAIL = 'then decline because "x" owner mei'
FULL = """\
# Small amounts
# in a row.
card testing: when card_count_1h > 5
        and amount < 5 EUR

    # Seen in May.
    then decline share 50 owner mei draft
        until 2027-01-31 because "many small payments, then more"
    test "six": card_count_1h = 6,
        amount = 3 EUR -> matches
# stands inside
test "two": card_count_1h = 2, amount = 3 EUR -> does not match
next: when listed("vip") then allow because 'a "friend"' owner ann.b@house
# the end
"""
CANONICAL = """\
# Small amounts
# in a row.
# Seen in May.
# stands inside
card testing: when card_count_1h > 5 and amount < 5.00 EUR then decline because "many small payments, then more" owner mei until 2027-01-31 share 50 draft
    test "six": card_count_1h = 6, amount = 3.00 EUR -> matches
    test "two": card_count_1h = 2, amount = 3.00 EUR -> does not match
next: when listed("vip") then allow because 'a "friend"' owner ann.b@house
# the end
"""


def refusal(text: str, lists: set[str] | None = None) -> dict[str, Any]:
    with pytest.raises(InvalidRequest) as refused:
        parse(text, lists=lists)
    assert refused.value.code == "rules_invalid"
    return refused.value.facts


def test_parse_reads_every_part_of_a_rule() -> None:
    first, second = parse(FULL).rules
    assert (first.name, first.act, first.because, first.owner) == (
        "card testing",
        Act.DECLINE,
        "many small payments, then more",
        "mei",
    )
    assert (first.until, first.share, first.is_draft) == (date(2027, 1, 31), 50, True)
    assert [test.name for test in first.tests] == ["six", "two"]
    assert first.comments == ("Small amounts", "in a row.", "Seen in May.", "stands inside")
    assert (second.until, second.share, second.is_draft, second.tests) == (None, 100, False, ())


def test_format_rules_writes_the_canonical_text() -> None:
    rules = parse(FULL)
    assert format_rules(rules) == CANONICAL
    assert parse(CANONICAL) == rules
    assert rules.comments == ("the end",)


def test_starter_rules_survive_a_round_trip() -> None:
    rules = parse(STARTER_RULES)
    assert parse(format_rules(rules)) == rules


def test_parse_of_nothing_gives_no_rules() -> None:
    assert parse("\n  \n") == Rules()
    assert format_rules(Rules()) == ""


def test_parse_takes_another_language() -> None:
    language = Language((Field("speed", FieldType.NUMBER, "km/h"),))
    assert parse(f"a: when speed > 3 {TAIL}", language).fields == {"speed"}
    with pytest.raises(InvalidRequest):
        parse(f"a: when card_count_1h > 3 {TAIL}", language)


@pytest.mark.parametrize(
    ("text", "problem", "line", "column"),
    [
        (f"  when true {TAIL}", "indentation", 1, 1),
        ('test "a": -> matches', "indentation", 1, 1),
        (f"when true {TAIL}", "name", 1, 1),
        (f": when true {TAIL}", "name", 1, 1),
        (f"a!: when true {TAIL}", "name", 1, 1),
        (f"{'a' * 61}: when true {TAIL}", "name", 1, 1),
        (f"a: when true {TAIL}\n# x\na: when false {TAIL}", "name", 3, 1),
        (f"a: if true {TAIL}", "when", 1, 4),
        ("a: when true", "then", 1, 8),
        (f"a: when {TAIL}", "empty", 1, 8),
        (f"# x\na: when true and\n   amount > 5 {TAIL}", "type", 3, 13),
        (f'a: when card_country == "then" and nowhere > 1 {TAIL}', "unknown_field", 1, 36),
        (f"a: when true then stop {TAIL}", "act", 1, 19),
        ("a: when true then", "act", 1, 18),
        ("a: when true then decline owner mei", "because", 1, 36),
        ('a: when true then decline because "x"\n', "owner", 1, 38),
        ("a: when true then decline because x owner mei", "because", 1, 35),
        ('a: when true then decline because "" owner mei', "because", 1, 35),
        ('a: when true then decline because "a\u200bb" owner mei', "because", 1, 35),
        (f'a: when true then decline because "{"x" * 201}" owner mei', "because", 1, 35),
        (f"a: when true {TAIL} until 2027-02-29", "until", 1, 55),
        (f"a: when true {TAIL} until soon", "until", 1, 55),
        (f"a: when true {TAIL} share 0", "share", 1, 55),
        (f"a: when true {TAIL} share 101", "share", 1, 55),
        (f"a: when true {TAIL} share 5.5", "share", 1, 55),
        (f"a: when true {TAIL} owner ann", "clause", 1, 49),
        (f"a: when true {TAIL} drafts", "clause", 1, 49),
        (f"a: when true {TAIL} ; x", "clause", 1, 49),
        (f'a: when true {TAIL}\n  test "x": nowhere = 3 -> matches', "unknown_field", 2, 13),
        (f'a: when true {TAIL}\n  test "x": -> matches\n test "x": -> matches', "name", 3, 1),
        (f"a: when true {TAIL}\n# {'x' * 201}", "comment", 2, 1),
    ],
)
def test_parse_tells_what_is_wrong_and_where(text: str, problem: str, line: int, column: int) -> None:
    facts = refusal(text)
    assert (facts["problem"], facts["line"], facts["column"]) == (problem, line, column)


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        (f"a: when cadr_count_1h > 1 {TAIL}", "card_count_1h"),
        ('a: when true then decine because "x" owner mei', "decline"),
        ('a: when true then decline becuse "x" owner mei', "because"),
        (f"a: when true {TAIL} untill 2027-01-01", "until"),
        (f'a: when listed("vop") {TAIL}', "vip"),
        (f'a: when true {TAIL}\n test "x": cadr_count_1h = 1 -> matches', "card_count_1h"),
    ],
)
def test_parse_suggests_what_was_meant_and_names_the_rule(text: str, suggestion: str) -> None:
    facts = refusal(text, {"vip"})
    assert (facts["suggestion"], facts["rule"]) == (suggestion, "a")


def test_parse_beyond_its_limits_is_refused() -> None:
    line = f"when true {TAIL}"
    assert len(parse("\n".join(f"r{number}: {line}" for number in range(RULES_MAX))).rules) == RULES_MAX
    assert (
        refusal("\n".join(f"r{number}: {line}" for number in range(RULES_MAX + 1)))["problem"] == "too_many"
    )
    assert refusal("# x\n" * (COMMENTS_MAX + 1))["problem"] == "too_many"
    tests = "".join(f'\n test "{number}": -> matches' for number in range(TESTS_MAX + 1))
    assert refusal(f"a: {line}{tests}")["problem"] == "too_many"
    assert refusal("#" * (RULES_CHARS_MAX + 1))["problem"] == "too_long"


def test_parse_of_what_grows_too_long_when_written_back_is_refused() -> None:
    tight = "".join(
        f"r{number}: when " + "or ".join(["(amount>5 EUR)"] * 40) + f" {TAIL}\n" for number in range(80)
    )
    assert len(tight) < RULES_CHARS_MAX
    assert refusal(tight)["problem"] == "too_long"


def test_parse_reads_lines_that_end_as_on_windows() -> None:
    assert parse(FULL.replace("\n", "\r\n")) == parse(FULL)


def test_rule_text_leaves_comments_and_tests_out() -> None:
    assert rule_text(parse(FULL).rules[0]) == CANONICAL.splitlines()[4]


visible = st.characters(categories=("L", "N", "P", "S"), exclude_characters="\\\"'")
tests_of_rules = st.builds(
    RuleTest,
    st.text(visible, min_size=1, max_size=20).filter(str.isprintable),
    st.lists(
        st.tuples(
            st.sampled_from(["card_count_1h", "device_count_1h", "score"]),
            st.none() | st.integers(-(10**6), 10**6) | st.decimals(0, 99, places=2).map(float),
        ),
        max_size=3,
        unique_by=lambda pair: pair[0],
    ).map(tuple),
    st.booleans(),
)
rules_written = st.builds(
    Rule,
    name=st.from_regex(r"[a-z]{1,8}( [a-z]{1,8})?", fullmatch=True),
    when=st.sampled_from(
        [compile_when("true"), compile_when('card_count_1h > 3 and not listed("vip cards")')]
    ),
    act=st.sampled_from(Act),
    because=st.text(visible, min_size=1, max_size=30),
    owner=st.from_regex(r"[a-z][a-z0-9.@-]{0,9}", fullmatch=True),
    until=st.none() | st.dates(date(2020, 1, 1), date(2099, 1, 1)),
    share=st.integers(1, 100),
    is_draft=st.booleans(),
    tests=st.lists(tests_of_rules, max_size=3, unique_by=lambda test: test.name.strip()).map(tuple),
    comments=st.lists(st.text(visible, max_size=20), max_size=2).map(tuple),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(rules_written, max_size=4, unique_by=lambda rule: rule.name))
def test_what_is_written_is_read_as_it_was(written: list[Rule]) -> None:
    rules = Rules(tuple(written))
    text = format_rules(rules)
    assert parse(text) == rules
    assert format_rules(parse(text)) == text


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60), st.integers(0, len(FULL)), st.integers(0, 12))
def test_parse_of_any_text_answers_or_refuses_with_a_place(noise: str, at: int, cut: int) -> None:
    text = FULL[:at] + noise + FULL[at + cut :]
    refused: InvalidRequest | None = None
    try:
        parse(text)
    except InvalidRequest as error:
        refused = error
    if refused is not None:
        assert refused.code == "rules_invalid"
        lines = text.replace("\r\n", "\n").split("\n")
        assert 1 <= refused.facts["line"] <= len(lines) + 1
        assert 1 <= refused.facts["column"] <= max(len(line) for line in lines) + 1
