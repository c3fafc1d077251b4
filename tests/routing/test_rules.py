"""Routing rules: what they say of a payment, how they are written, and where a mistake lies."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.policy.expressions import compile_condition
from tongbao.routing.policy.rules import LANGUAGE, Action, ActionKind, Rule, Rules, apply, fields_of
from tongbao.routing.policy.rules_text import RULES_MAX, format_rules, parse
from tongbao.routing.schema.payments import Payment
from tongbao.routing.schema.spec import RULES_CHARS_MAX

CHANNELS = ("card_a", "card_b", "card_c")
PAYMENT = Payment(
    book_id=7,
    live=False,
    subject_id=UUID(int=1),
    amount_minor=60_000,
    currency="EUR",
    method="card",
    issuer="457188",
    brand="visa",
    funding="credit",
    card_country="DE",
    merchant_country="FR",
    mcc="5411",
    is_recurring=False,
    hour=3,
    weekday=6,
)


def rules(*lines: str) -> Rules:
    return parse("\n".join(lines), CHANNELS)


def refusal(text: str) -> dict[str, Any]:
    with pytest.raises(InvalidRequest) as refused:
        parse(text, CHANNELS)
    assert refused.value.code == "rules_invalid"
    return refused.value.facts


def test_every_field_of_the_language_has_a_value_of_its_type() -> None:
    values = fields_of(PAYMENT)
    assert set(values) == set(LANGUAGE.field_of)
    kinds = {"money": "Money", "text": "str", "boolean": "bool", "number": "int"}
    for field in LANGUAGE.fields:
        assert type(values[field.name]).__name__ == kinds[field.type]


@pytest.mark.parametrize(
    ("card", "merchant", "expected"),
    [("DE", "DE", True), ("DE", "FR", False), ("", "", False), ("", "DE", False)],
)
def test_country_match_takes_two_known_countries(card: str, merchant: str, expected: bool) -> None:
    payment = Payment(
        book_id=7, live=False, subject_id=UUID(int=1), amount_minor=1, currency="EUR", method="card",
        card_country=card, merchant_country=merchant,
    )  # fmt: skip
    assert fields_of(payment)["country_match"] is expected


def test_apply_without_rules_allows_everything() -> None:
    said = apply(Rules(), PAYMENT, CHANNELS)
    assert (said.allowed, said.filtered, said.matched, said.reasons) == (CHANNELS, {}, (), ())


def test_apply_filters_in_order_and_names_the_rule() -> None:
    said = apply(
        rules("two: when hour < 6 then only card_c, card_a", "one: when brand == 'visa' then avoid card_a"),
        PAYMENT,
        CHANNELS,
    )
    assert said.allowed == ("card_c",)
    assert said.filtered == {"card_b": "two", "card_a": "one"}
    assert said.matched == ("two", "one")
    assert [why.code for why in said.reasons] == ["rule_only", "rule_avoid"]
    assert said.reasons[0].facts == {"rule": "two", "channels": "card_c, card_a"}


def test_apply_only_that_would_leave_nothing_is_skipped_with_a_reason() -> None:
    said = apply(
        rules(
            "a: when true then avoid card_a", "b: when true then only card_a", "c: when true then only card_b"
        ),
        PAYMENT,
        CHANNELS,
    )
    assert said.allowed == ("card_b",)
    assert [why.code for why in said.reasons] == ["rule_avoid", "rule_skipped", "rule_only"]
    assert said.matched == ("a", "b", "c")


def test_apply_avoid_of_everything_leaves_nothing() -> None:
    said = apply(rules("a: when true then avoid card_a, card_b, card_c"), PAYMENT, CHANNELS)
    assert said.allowed == ()
    assert set(said.filtered) == set(CHANNELS)


def test_apply_first_matching_prefer_decides_among_what_is_left() -> None:
    said = apply(
        rules(
            "not this: when hour > 6 then prefer card_c",
            "this: when hour < 6 then prefer card_b, card_a, card_c",
            "too late: when true then split card_a 50, card_b 50",
            "filter: when true then avoid card_a",
        ),
        PAYMENT,
        CHANNELS,
    )
    assert said.preferred == ("card_b", "card_c")
    assert said.split is None
    assert said.decided_by == "this"
    assert said.allowed == ("card_b", "card_c")


def test_apply_split_gives_the_shares_of_what_is_left() -> None:
    said = apply(
        rules("gone: when true then prefer card_c", "s: when true then split card_a 70, card_b 30"),
        PAYMENT,
        ("card_b", "card_d"),
    )
    assert said.split == {"card_b": 30}
    assert said.preferred is None
    assert said.decided_by == "s"
    assert [why.code for why in said.reasons] == ["rule_skipped", "rule_split"]


def test_parse_reads_comments_continuations_and_foreign_line_ends() -> None:
    text = (
        "# Night desk.\n\n"
        "at night: when hour < 6 and issuer != 'then # x'\n"
        "    # nobody answers there\n"
        "    then avoid\n"
        "      card_a\n"
        "#   end\n"
    )
    parsed = parse(text, CHANNELS)
    assert parsed == parse(text.replace("\n", "\r\n"), CHANNELS)
    (rule,) = parsed.rules
    assert (rule.name, rule.action) == ("at night", Action(ActionKind.AVOID, ("card_a",)))
    assert rule.comments == ("Night desk.", "nobody answers there")
    assert parsed.comments == ("end",)
    assert format_rules(parsed) == (
        "# Night desk.\n# nobody answers there\n"
        'at night: when hour < 6 and issuer != "then # x" then avoid card_a\n'
        "# end\n"
    )


def test_parse_of_the_documented_example_prefers_for_big_foreign_tickets() -> None:
    parsed = rules(
        "big tickets abroad: when amount > 500 EUR and card_country != merchant_country then prefer card_a, card_b"
    )
    assert apply(parsed, PAYMENT, CHANNELS).preferred == ("card_a", "card_b")


REFUSALS = [
    ("prefer card_a", "name", 1, 1),
    (": when true then avoid card_a", "name", 1, 1),
    ("a\u202eb: when true then avoid card_a", "name", 1, 1),
    ("x" * 61 + ": when true then avoid card_a", "name", 1, 1),
    ("a: true then avoid card_a", "when", 1, 4),
    ("a: when true avoid card_a", "then", 1, 8),
    ("a: when 'then' then avoid card_a", "type", 1, 9),
    ("a: when then avoid card_a", "empty", 1, 8),
    ("a: when hour > 'x' then avoid card_a", "type", 1, 16),
    ("# one\na: when hour > 1\n   and houre < 3 then avoid card_a", "unknown_field", 3, 8),
    ("a: when true\n then\n  avoid card_x", "unknown_channel", 3, 9),
    ("a: when true then", "action", 1, 18),
    ("a: when true then drop card_a", "action", 1, 19),
    ("a: when true then avoid", "action", 1, 24),
    ("a: when true then avoid card_a,", "action", 1, 32),
    ("a: when true then avoid card_a card_b", "action", 1, 32),
    ("a: when true then avoid card_a, card_a", "action", 1, 33),
    ("a: when true then avoid card_a 5", "shares", 1, 25),
    ("a: when true then split card_a", "shares", 1, 25),
    ("a: when true then split card_a 0, card_b 100", "shares", 1, 32),
    ("a: when true then split card_a 60, card_b 30", "shares", 1, 19),
    ("a: when true then split card_a 60.5, card_b 39.5", "action", 1, 34),
    ("  when true then avoid card_a", "indentation", 1, 1),
    ("a: when true then avoid card_a\na: when true then avoid card_b", "name", 2, 1),
    ("a: when true then avoid card_a # why", "action", 1, 32),
    ("# " + "x" * 201, "comment", 1, 1),
    ("# a\u200bb", "comment", 1, 1),
    ("x" * (RULES_CHARS_MAX + 1), "too_long", 1, 1),
    ("a: when " + "\"'" * 4_000 + " then avoid card_a", "too_long", 1, 8),
    ("\n".join(f"r{n}: when true then avoid card_a" for n in range(RULES_MAX + 1)), "too_many", RULES_MAX + 1, 1),
]  # fmt: skip


@pytest.mark.parametrize(("text", "problem", "line", "column"), REFUSALS)
def test_parse_of_wrong_rules_names_problem_line_and_column(
    text: str, problem: str, line: int, column: int
) -> None:
    facts = refusal(text)
    assert (facts["problem"], facts["line"], facts["column"]) == (problem, line, column)


def test_parse_error_names_the_rule_and_the_nearest_name() -> None:
    assert refusal("a: when houre < 3 then avoid card_a")["suggestion"] == "hour"
    assert refusal("a: when hour < 3 then avoid crad_b") | {"line": 0} == {
        "problem": "unknown_channel", "line": 0, "column": 29, "rule": "a", "suggestion": "card_b",
    }  # fmt: skip
    assert refusal("a: when hour < 3 then prefre card_b")["suggestion"] == "prefer"


def test_parse_whose_canonical_text_would_be_too_long_is_refused() -> None:
    rule = "r{}:when " + "1<2and 1<2and " * 45 + "true then avoid card_a"
    rule = rule.replace("2and", "2 and")
    lines = "\n".join(rule.format(number) for number in range(26))
    assert len(lines) <= RULES_CHARS_MAX
    assert refusal(lines)["problem"] == "too_long"


CONDITIONS = st.sampled_from(
    [
        compile_condition(text, LANGUAGE)
        for text in (
            "true",
            "hour < 6 or weekday in (5, 6)",
            "amount > 500 EUR",
            "not (is_recurring and hour + 1 > 3)",
            "issuer == 'a\"'",
        )
    ]
)
NAMES = st.text("abc 中é9-", min_size=1, max_size=12).map(lambda text: f"r{text}e")
COMMENTS = st.lists(
    st.text("ab #:'then when", max_size=12).map(str.strip).map(lambda t: t.lstrip("# ")), max_size=2
).map(tuple)
ORDERS = st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=3, unique=True).map(tuple)
PLAIN = st.builds(Action, st.sampled_from([ActionKind.ONLY, ActionKind.AVOID, ActionKind.PREFER]), ORDERS)
SPLITS = st.integers(1, 99).map(lambda n: Action(ActionKind.SPLIT, ("card_a", "card_c"), (n, 100 - n)))
RULE = st.builds(Rule, NAMES, CONDITIONS, PLAIN | SPLITS, COMMENTS)
RULES = st.builds(
    Rules, st.lists(RULE, max_size=4, unique_by=lambda rule: rule.name).map(tuple), COMMENTS
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(given_rules=RULES)
def test_parse_of_formatted_rules_gives_them_back(given_rules: Rules) -> None:
    text = format_rules(given_rules)
    again = parse(text, CHANNELS)
    assert again == given_rules
    assert format_rules(again) == text


@settings(max_examples=100, deadline=None)
@given(
    given_rules=RULES, candidates=st.lists(st.sampled_from([*CHANNELS, "card_d"]), min_size=1, unique=True)
)
def test_apply_keeps_or_filters_each_candidate_and_decides_among_the_kept(
    given_rules: Rules, candidates: list[str]
) -> None:
    said = apply(given_rules, PAYMENT, candidates)
    assert [name for name in candidates if name not in said.filtered] == list(said.allowed)
    assert set(said.filtered) | set(said.allowed) == set(candidates)
    assert set(said.filtered.values()) <= set(said.matched)
    decided = said.preferred if said.split is None else tuple(said.split)
    assert (decided is None) is (said.decided_by is None)
    assert set(decided or ()) <= set(said.allowed)
    avoided = {n for r in given_rules.rules if r.action.kind is ActionKind.AVOID for n in r.action.channels}
    assert said.allowed or set(candidates) & avoided
