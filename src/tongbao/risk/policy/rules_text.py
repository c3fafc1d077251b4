"""From the text of rules to rules and back; the form is described in ``risk.policy.rules``.

The first thing that is wrong is raised as InvalidRequest ``rules_invalid`` with the facts ``problem``, ``line`` and
``column`` (from 1, in the whole text), ``rule`` where one is known, and ``suggestion`` where a name looks misspelt.
"""

import re
import unicodedata
from collections.abc import Collection
from datetime import date
from typing import Any, NamedTuple

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.policy.expression_language import Language
from tongbao.decisions.policy.expression_source import Place, nearest, place_of
from tongbao.risk.policy.language import LANGUAGE, compile_when
from tongbao.risk.policy.rules import PERCENT, Rule, Rules, RuleTest
from tongbao.risk.policy.rules_tests import Misread, format_test, parse_test
from tongbao.risk.schema.rules import Act
from tongbao.risk.schema.spec import RULES_CHARS_MAX

RULES_MAX = 200
TESTS_MAX = 20
"""Tests of one rule."""
NAME_CHARS_MAX = 60
BECAUSE_CHARS_MAX = 200
COMMENT_CHARS_MAX = 200
COMMENTS_MAX = 400

_HEAD = re.compile(r"(?P<name>[^:\n]*):[ \t]*(?:\n[ \t]*)*")
_NAME = re.compile(r"\w(?:[\w /&().,'-]*[\w).])?")
_WHEN = re.compile(r"when(?=[\s(])")
_TEST = re.compile(r"""[ \t]*test[ \t]+\"""")
# Text in quotes is found as well, so that it may hold the word.
_THEN = re.compile(r"""\"[^"\n]*\"|'[^'\n]*'|\bthen\b""")
_WORD = re.compile(r"\s*(?P<word>[A-Za-z_]+)")
_CLAUSES = {
    "because": re.compile(r"""\s+(?:"(?P<value>[^"\n]*)"|'(?P<other>[^'\n]*)')"""),
    "owner": re.compile(r"\s+(?P<value>\w[\w.@-]{0,59})(?=\s|\Z)"),
    "until": re.compile(r"\s+(?P<value>[0-9]{4}-[0-9]{2}-[0-9]{2})(?=\s|\Z)"),
    "share": re.compile(r"\s+(?P<value>[0-9]{1,3})(?=\s|\Z)"),
    "draft": re.compile(r"(?P<value>)(?=\s|\Z)"),
}
_FORMS = {
    "because": f"after because comes a text in quotes, of at most {BECAUSE_CHARS_MAX} visible characters",
    "owner": "after owner comes a name without spaces",
    "until": "after until comes a date, 2027-01-31",
    "share": f"after share comes a whole percent, 1 to {PERCENT}",
    "draft": "nothing belongs to draft",
}


class _Block(NamedTuple):
    """One rule as written: where it starts in the whole text, its lines with comments blanked, comments and tests.

    A test is a block of its own, without comments and tests.
    """

    start: int
    text: str
    comments: tuple[str, ...] = ()
    tests: tuple["_Block", ...] = ()


def parse(text: str, language: Language = LANGUAGE, lists: Collection[str] | None = None) -> Rules:
    """Return the rules of ``text``; where ``lists`` are given, conditions may ask for these and no others.

    Raises InvalidRequest ``rules_invalid``; at most ``RULES_CHARS_MAX`` characters and ``RULES_MAX`` rules. Whether the
    tests of the rules pass is not asked here, see ``rules_tests.check_tests``.
    """
    if len(text) > RULES_CHARS_MAX:
        raise _too_long()
    text = text.replace("\r\n", "\n")
    blocks, comments = _blocks(text)
    rules: list[Rule] = []
    names: set[str] = set()
    for block in blocks:
        rule = _rule(text, block, language, lists)
        if rule.name in names:
            detail = f"two rules are called {rule.name}"
            raise _error("name", detail, place_of(text, block.start), rule=rule.name)
        names.add(rule.name)
        rules.append(rule)
    parsed = Rules(tuple(rules), comments)
    if len(format_rules(parsed)) > RULES_CHARS_MAX:  # what is written back must be readable again
        raise _too_long()
    return parsed


def format_rules(rules: Rules) -> str:
    """Return the canonical text; parsing it gives equal rules."""
    lines: list[str] = []
    for rule in rules.rules:
        lines += [f"# {line}".rstrip() for line in rule.comments]
        lines.append(rule_text(rule))
        lines += [f"    {format_test(test)}" for test in rule.tests]
    lines += [f"# {line}".rstrip() for line in rules.comments]
    return "".join(f"{line}\n" for line in lines)


def rule_text(rule: Rule) -> str:
    """Return the canonical text of one rule on one line, without comments and tests."""
    quote = "'" if '"' in rule.because else '"'
    said = f"{rule.name}: when {rule.when.text} then {rule.act} because {quote}{rule.because}{quote} owner {rule.owner}"
    if rule.until is not None:
        said += f" until {rule.until.isoformat()}"
    if rule.share != PERCENT:
        said += f" share {rule.share}"
    return said + " draft" if rule.is_draft else said


def _too_long() -> InvalidRequest:
    return _error("too_long", f"rules have at most {RULES_CHARS_MAX} characters", Place(1, 1))


def _error(problem: str, detail: str, place: Place, **facts: str) -> InvalidRequest:
    return InvalidRequest(
        "rules_invalid",
        f"line {place.line}, column {place.column}: {detail}",
        problem=problem,
        line=place.line,
        column=place.column,
        **facts,
    )


def _blocks(text: str) -> tuple[list[_Block], tuple[str, ...]]:
    """Return the rules of a text with what belongs to each, and the comments after the last.

    A comment belongs to the rule that goes on below it, else to the one that begins there.
    """
    found: list[_Block] = []
    comments: list[str] = []
    at = count = 0
    for line in text.split("\n"):
        bare = line.strip()
        place = place_of(text, at)
        if bare.startswith("#"):
            comments.append(_comment(bare, place))
            count += 1
        elif bare and (line[0] in " \t" or _TEST.match(line)):
            if not found:
                detail = "an indented line or a test continues a rule, and there is none"
                raise _error("indentation", detail, place)
            last = found[-1]._replace(comments=(*found[-1].comments, *comments))
            if _TEST.match(line):
                found[-1] = last._replace(tests=(*last.tests, _Block(at, line)))
            else:
                found[-1] = _continued(last, text, at, line)
            comments = []
        elif bare:
            found.append(_Block(at, line, tuple(comments)))
            comments = []
        if count > COMMENTS_MAX or len(found) > RULES_MAX or (found and len(found[-1].tests) > TESTS_MAX):
            detail = f"at most {RULES_MAX} rules, {TESTS_MAX} tests each, and {COMMENTS_MAX} lines of comment"
            raise _error("too_many", detail, place)
        at += len(line) + 1
    return found, tuple(comments)


def _continued(block: _Block, text: str, at: int, line: str) -> _Block:
    """Return the block with one more line: of its last test where it has one, else of the rule."""
    part = block.tests[-1] if block.tests else block
    between = re.sub(r"[^\n]", " ", text[part.start + len(part.text) : at])
    longer = part._replace(text=part.text + between + line)
    return block._replace(tests=(*block.tests[:-1], longer)) if block.tests else longer


def _comment(bare: str, place: Place) -> str:
    comment = bare.removeprefix("#").strip()
    if len(comment) > COMMENT_CHARS_MAX or _has_invisible(comment):
        detail = f"a comment has at most {COMMENT_CHARS_MAX} characters, all of them visible"
        raise _error("comment", detail, place)
    return comment


def _has_invisible(text: str) -> bool:
    return any(each != " " and unicodedata.category(each)[0] in "CZ" for each in text)


def _rule(text: str, block: _Block, language: Language, lists: Collection[str] | None) -> Rule:
    name, part = "", block
    try:
        name, at = _name(block.text)
        then = next((each for each in _THEN.finditer(block.text, at) if each.group() == "then"), None)
        if then is None:
            raise Misread("then", "a rule reads: name: when condition then act because … owner …", at)
        source = block.text[at : then.start()]
        try:
            when = compile_when(source, language, lists)
        except InvalidRequest as error:
            raise _moved(error, place_of(text, block.start + at), name) from None
        fields = _tail(block.text, then.end())
        tests: list[RuleTest] = []
        for part in block.tests:
            tests.append(parse_test(part.text, when, language))
            if [each.name for each in tests].count(tests[-1].name) > 1:
                raise Misread("name", f"two tests are called {tests[-1].name}", 0)
        return Rule(name=name, when=when, tests=tuple(tests), comments=block.comments, **fields)
    except Misread as wrong:
        facts = {"rule": name} if name else {}
        if wrong.suggestion:
            facts["suggestion"] = wrong.suggestion
        raise _error(wrong.problem, wrong.detail, place_of(text, part.start + wrong.at), **facts) from None


def _name(block: str) -> tuple[str, int]:
    """Return the name of a rule and where its condition begins."""
    head = _HEAD.match(block)
    if head is None:
        raise Misread("name", "a rule begins with a name and a colon", 0)
    name = head["name"].strip()
    if len(name) > NAME_CHARS_MAX or not _NAME.fullmatch(name):
        raise Misread("name", f"a name has 1 to {NAME_CHARS_MAX} letters, digits, spaces and simple signs", 0)
    when = _WHEN.match(block, head.end())
    if when is None:
        raise Misread("when", "after the name comes: when condition then act", head.end())
    return name, when.end()


def _moved(error: InvalidRequest, first: Place, name: str) -> InvalidRequest:
    """Return an error of a condition that begins at ``first``, with its place in the whole text."""
    facts: dict[str, Any] = dict(error.facts)
    line, column = facts.pop("line"), facts.pop("column")
    place = Place(first.line + line - 1, column + first.column - 1 if line == 1 else column)
    return _error(facts.pop("problem"), error.detail.partition(": ")[2], place, rule=name, **facts)


def _tail(block: str, at: int) -> dict[str, Any]:
    """Return act, reason, owner and what else follows ``then``, by the names of ``Rule``."""
    acts = [act.value for act in Act]
    word = _WORD.match(block, at)
    if word is None or word["word"] not in acts:
        said, place = (word["word"], word.start("word")) if word else ("", at)
        raise Misread("act", f"an act is one of {', '.join(acts)}", place, nearest(said, acts))
    act = Act(word["word"])
    clauses: dict[str, Any] = {}
    at = word.end()
    while block[at:].strip():
        word = _WORD.match(block, at)
        if word is None or word["word"] not in _CLAUSES:
            said, place = (word["word"], word.start("word")) if word else ("", at + _spaces(block, at))
            detail = f"after the act come {', '.join(_CLAUSES)}, and nothing else"
            raise Misread("clause", detail, place, nearest(said, _CLAUSES))
        name = word["word"]
        if name in clauses:
            raise Misread("clause", f"{name} is written twice", word.start("word"))
        clauses[name], at = _clause(block, name, word.end())
    for name in ("because", "owner"):
        if name not in clauses:
            raise Misread(name, f"a rule names {name}: {_FORMS[name]}", len(block.rstrip()))
    return {
        "act": act,
        "because": clauses["because"],
        "owner": clauses["owner"],
        "until": clauses.get("until"),
        "share": clauses.get("share", PERCENT),
        "is_draft": "draft" in clauses,
    }


def _clause(block: str, name: str, at: int) -> tuple[Any, int]:
    """Return the value of a clause and where it ends."""
    found = _CLAUSES[name].match(block, at)
    if found is None:
        raise Misread(name, _FORMS[name], at + _spaces(block, at))
    value: Any = found["value"]
    if name == "because":
        value = value if value is not None else found["other"]
        if not 0 < len(value.strip()) <= len(value) <= BECAUSE_CHARS_MAX or _has_invisible(value):
            raise Misread(name, _FORMS[name], at + _spaces(block, at))
    elif name == "until":
        try:
            value = date.fromisoformat(value)
        except ValueError:
            raise Misread(name, "there is no such day", found.start("value")) from None
    elif name == "share":
        value = int(value)
        if not 0 < value <= PERCENT:
            raise Misread(name, _FORMS[name], found.start("value"))
    return value, found.end()


def _spaces(block: str, at: int) -> int:
    rest = block[at:]
    return len(rest) - len(rest.lstrip())
