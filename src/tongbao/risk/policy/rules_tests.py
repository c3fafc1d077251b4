"""Tests of single rules, written below them and kept with them.

    test "two cards": card_count_1h = 9, amount = 3 EUR, listed("vip cards") = true -> matches

A test has a name, values of fields and ``matches`` or ``does not match``. Values are numbers, money, quoted text, ``true``,
``false`` and ``unknown``. A field that is not named is unknown, the payment is on no list, and ``currency`` is that of the
amount; a field that is never unknown has to be named where the condition uses it. What is tested is the condition alone:
neither expiry nor share, nor whether the rule is a draft.
"""

import re
from decimal import Decimal
from typing import NamedTuple

from tongbao.core.errors import InvalidRequest
from tongbao.core.money import Money
from tongbao.decisions.policy.expression_language import Field, FieldType, Language
from tongbao.decisions.policy.expression_source import DIGITS_MAX, nearest
from tongbao.decisions.policy.expressions import Compiled
from tongbao.risk.policy.language import field_of_list, list_of_field
from tongbao.risk.policy.rules import Rules, RuleTest
from tongbao.risk.schema.lists import LIST_NAME, LIST_NAME_CHARS_MAX

TEST_NAME_CHARS_MAX = 80
VALUES_MAX = 40

_HEAD = re.compile(r"""\s*test\s+"(?P<name>[^"\n]*)"\s*:\s*""")
_FIELD = re.compile(r"""(?:listed[ ]*\([ ]*"(?P<list>[^"\n]*)"[ ]*\)|(?P<name>[A-Za-z_][A-Za-z_0-9]*))\s*""")
_VALUE = re.compile(
    r"""=\s*(?:"(?P<double>[^"\n]*)"|'(?P<single>[^'\n]*)'
    |(?P<number>-?[0-9]+(?:\.[0-9]+)?)(?:[ \t]+(?P<currency>[A-Z]{3})\b)?
    |(?P<word>[a-z]+)\b)\s*""",
    re.VERBOSE,
)
_END = re.compile(r"->\s*(?P<not>does\s+not\s+match|matches)\s*\Z")
_WORDS: dict[str, object] = {"true": True, "false": False, "unknown": None}
_PYTHON = {
    FieldType.NUMBER: (int, float),
    FieldType.TEXT: (str,),
    FieldType.BOOLEAN: (bool,),
    FieldType.MONEY: (Money,),
}


class Misread(Exception):
    """Something is wrong at the character ``at`` of a block; ``suggestion`` is what was probably meant."""

    def __init__(self, problem: str, detail: str, at: int, suggestion: str | None = None) -> None:
        hint = f"; did you mean {suggestion}?" if suggestion else ""
        super().__init__(problem, detail + hint, at, suggestion)
        self.problem = problem
        self.detail = detail + hint
        self.at = at
        self.suggestion = suggestion


class FailedTest(NamedTuple):
    """A test that its rule does not pass; ``is_match`` says what was expected."""

    rule: str
    test: str
    is_match: bool

    def text(self, language: str) -> str:
        """Return it in words, in Chinese where ``language`` begins with zh, else in English."""
        if language.startswith("zh"):
            wanted, got = ("应命中", "未命中") if self.is_match else ("不应命中", "却命中")
            return f"规则“{self.rule}”的测试“{self.test}”{wanted}，{got}。"
        wanted, got = ("to match", "does not") if self.is_match else ("not to match", "does")
        return f"the test {self.test} expects {self.rule} {wanted}, and it {got}"


def parse_test(text: str, when: Compiled, language: Language) -> RuleTest:
    """Return the test that ``text`` writes for a rule with the condition ``when``; raise Misread."""
    head = _HEAD.match(text)
    name = head["name"].strip() if head else ""
    if head is None or not 0 < len(name) <= TEST_NAME_CHARS_MAX or not name.isprintable():
        detail = f'a test reads: test "name": field = value -> matches; names have {TEST_NAME_CHARS_MAX} characters'
        raise Misread("test", detail, 0)
    values, at = _values(text, head.end(), language)
    end = _END.match(text, at)
    if end is None:
        raise Misread("test", "a test ends with -> matches or -> does not match", at)
    amount = values.get("amount")
    known = set(values)
    if isinstance(amount, Money):
        known.add("currency")
        if values.get("currency", amount.currency) != amount.currency:
            raise Misread("currency", f"the amount is in {amount.currency}", head.end())
    for field in sorted(when.fields - known):
        declared = language.field_of.get(field)
        if declared is not None and not declared.may_be_unknown:
            raise Misread("test", f"the condition needs {field}, and the test does not name it", at)
    return RuleTest(name, tuple(values.items()), end["not"] == "matches")


def format_test(test: RuleTest) -> str:
    """Return the canonical text of a test; parsing it gives an equal one."""
    pairs = ", ".join(f"{_field_text(name)} = {_value_text(value)}" for name, value in test.values)
    return f'test "{test.name}": {pairs}{" " if pairs else ""}-> {"matches" if test.is_match else "does not match"}'


def failing_tests(rules: Rules) -> tuple[FailedTest, ...]:
    """Return the tests that the rules do not pass, in the order written."""
    return tuple(
        FailedTest(rule.name, test.name, test.is_match)
        for rule in rules.rules
        for test in rule.tests
        if rule.when.test(_case(rule.when, test)) is not test.is_match
    )


def check_tests(rules: Rules) -> None:
    """Raise InvalidRequest ``rules_tests_failed`` with the first test that fails and how many do."""
    failed = failing_tests(rules)
    if failed:
        first = failed[0]
        raise InvalidRequest(
            "rules_tests_failed", first.text("en"), rule=first.rule, test=first.test, count=len(failed)
        )


def _case(when: Compiled, test: RuleTest) -> dict[str, object]:
    """Return the values of a condition's fields: on no list and unknown, as long as the test does not tell."""
    case: dict[str, object] = {
        field: None if list_of_field(field) is None else False for field in when.fields
    }
    case |= dict(test.values)
    amount = case.get("amount")
    if isinstance(amount, Money):
        case["currency"] = amount.currency
    return case


def _values(text: str, at: int, language: Language) -> tuple[dict[str, object], int]:
    values: dict[str, object] = {}
    if text.startswith("->", at):
        return values, at
    while True:
        found = _FIELD.match(text, at)
        if found is None:
            raise Misread("test", "here stands the name of a field", at)
        field = _field(found, language)
        value = _VALUE.match(text, found.end())
        if value is None:
            raise Misread("test", f"here stands = and a value for {field.name}", found.end())
        if field.name in values:
            raise Misread("test", f"{field.name} is named twice", at)
        if len(values) >= VALUES_MAX:
            raise Misread("too_many", f"a test names at most {VALUES_MAX} fields", at)
        values[field.name] = _checked(field, value)
        at = value.end()
        if not text.startswith(",", at):
            return values, at
        at += 1 + len(text[at + 1 :]) - len(text[at + 1 :].lstrip())


def _field(found: re.Match[str], language: Language) -> Field:
    if found["list"] is not None:
        name = found["list"]
        if len(name) > LIST_NAME_CHARS_MAX or not LIST_NAME.fullmatch(name):
            detail = "the name of a list is small letters and digits, words apart by one space"
            raise Misread("test", detail, found.start("list"))
        return Field(field_of_list(name), FieldType.BOOLEAN, name)
    name = found["name"]
    declared = language.field_of.get(name)
    if declared is None:
        meant = nearest(name, language.field_of)
        raise Misread("unknown_field", f"there is no field {name}", found.start("name"), meant)
    return declared


def _checked(field: Field, found: re.Match[str]) -> object:
    value = _value(found)
    kinds = _PYTHON[field.type]
    if value is None:
        if not field.may_be_unknown:
            raise Misread("type", f"{field.name} is never unknown", found.start("word"))
    elif not isinstance(value, kinds) or (isinstance(value, bool) and field.type is not FieldType.BOOLEAN):
        at = found.start() + 1
        raise Misread("type", f"{field.name} is a {field.type}, and this is not", at)
    return value


def _value(found: re.Match[str]) -> object:
    for quoted in ("double", "single"):
        if found[quoted] is not None:
            if "\\" in found[quoted] or not found[quoted].isprintable():
                raise Misread(
                    "character", "text holds neither backslashes nor what cannot be seen", found.start(quoted)
                )
            return found[quoted]
    if found["word"] is not None:
        if found["word"] not in _WORDS:
            meant = nearest(found["word"], _WORDS)
            raise Misread(
                "type",
                "a value is a number, money, text in quotes, true, false or unknown",
                found.start("word"),
                meant,
            )
        return _WORDS[found["word"]]
    number = found["number"]
    if sum(map(str.isdigit, number)) > DIGITS_MAX:
        raise Misread("number", f"a number has at most {DIGITS_MAX} digits", found.start("number"))
    if found["currency"] is None:
        return float(number) if "." in number else int(number)
    try:
        return Money.of_major(number, found["currency"])
    except InvalidRequest as error:
        raise Misread("currency", error.detail, found.start("number")) from None


def _field_text(name: str) -> str:
    asked = list_of_field(name)
    return name if asked is None else f'listed("{asked}")'


def _value_text(value: object) -> str:
    for word, meant in _WORDS.items():
        if value is meant:
            return word
    if isinstance(value, str):
        quote = "'" if '"' in value else '"'
        return f"{quote}{value}{quote}"
    return str(value) if isinstance(value, Money) else format(Decimal(repr(value)), "f")
