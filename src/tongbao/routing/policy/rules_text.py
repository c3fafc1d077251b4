"""From the text of routing rules to rules and back; the form is described in ``routing.policy.rules``.

The first thing that is wrong is raised as InvalidRequest ``rules_invalid`` with the facts ``problem``, ``line`` and
``column`` (from 1, in the whole text), ``rule`` where one is known, and ``suggestion`` where a name looks misspelt.
"""

import re
import unicodedata
from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.policy.expression_source import Place, nearest, place_of
from tongbao.decisions.policy.expressions import Compiled, compile_condition
from tongbao.routing.policy.rules import LANGUAGE, Action, ActionKind, Rule, Rules
from tongbao.routing.schema.spec import RULES_CHARS_MAX

RULES_MAX = 200
NAME_CHARS_MAX = 60
COMMENT_CHARS_MAX = 200
COMMENTS_MAX = 400
PERCENT = 100

_HEAD = re.compile(r"(?P<name>[^:\n]*):[ \t]*(?:\n[ \t]*)*")
_NAME = re.compile(r"\w(?:[\w /&().,'-]*[\w).])?")
_WHEN = re.compile(r"when(?=[\s(])")
# Text in quotes is found as well, so that it may hold the word.
_THEN = re.compile(r"""\"[^"\n]*\"|'[^'\n]*'|\bthen\b""")
_ACTION = re.compile(r"\s*(?P<kind>[A-Za-z]+)")
_ITEM = re.compile(r"\s*(?P<channel>[A-Za-z0-9_.-]+)(?:\s+(?P<share>[0-9]{1,3}))?\s*")


class _Block(NamedTuple):
    """One rule as written: where it starts in the whole text, its lines with comments blanked, and the comments."""

    start: int
    text: str
    comments: tuple[str, ...]


class _Wrong(Exception):
    """Something is wrong at a character of a block."""

    def __init__(self, problem: str, detail: str, at: int, suggestion: str | None = None) -> None:
        super().__init__(problem, detail, at, suggestion)
        self.problem = problem
        self.detail = detail
        self.at = at
        self.suggestion = suggestion


def parse(text: str, channels: Collection[str]) -> Rules:
    """Return the rules of ``text``, which may name ``channels`` and no others.

    Raises InvalidRequest ``rules_invalid``; at most ``RULES_CHARS_MAX`` characters and ``RULES_MAX`` rules.
    """
    if len(text) > RULES_CHARS_MAX:
        raise _too_long()
    text = text.replace("\r\n", "\n")
    blocks, comments = _blocks(text)
    rules: list[Rule] = []
    names: set[str] = set()
    for block in blocks:
        rule = _rule(text, block, channels)
        if rule.name in names:
            raise _error(
                "name", f"two rules are called {rule.name}", place_of(text, block.start), rule=rule.name
            )
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
        lines.append(f"{rule.name}: when {rule.when.text} then {_action_text(rule.action)}")
    lines += [f"# {line}".rstrip() for line in rules.comments]
    return "".join(f"{line}\n" for line in lines)


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
    """Return the rules of a text with the comments above or inside each, and the comments after the last."""
    found: list[_Block] = []
    comments: list[str] = []
    at = count = 0
    for line in text.split("\n"):
        bare = line.strip()
        if bare.startswith("#"):
            comments.append(_comment(bare, place_of(text, at)))
            count += 1
        elif bare and line[0] in " \t":
            if not found:
                raise _error(
                    "indentation", "an indented line continues a rule, and there is none", Place(1, 1)
                )
            last = found[-1]
            between = re.sub(r"[^\n]", " ", text[last.start + len(last.text) : at])
            found[-1] = _Block(last.start, last.text + between + line, (*last.comments, *comments))
            comments = []
        elif bare:
            found.append(_Block(at, line, tuple(comments)))
            comments = []
        if count > COMMENTS_MAX or len(found) > RULES_MAX:
            detail = f"at most {RULES_MAX} rules and {COMMENTS_MAX} lines of comment"
            raise _error("too_many", detail, place_of(text, at))
        at += len(line) + 1
    return found, tuple(comments)


def _comment(bare: str, place: Place) -> str:
    comment = bare.removeprefix("#").strip()
    if len(comment) > COMMENT_CHARS_MAX or _has_invisible(comment):
        detail = f"a comment has at most {COMMENT_CHARS_MAX} characters, all of them visible"
        raise _error("comment", detail, place)
    return comment


def _has_invisible(text: str) -> bool:
    return any(each != " " and unicodedata.category(each)[0] in "CZ" for each in text)


def _rule(text: str, block: _Block, channels: Collection[str]) -> Rule:
    name = ""
    try:
        name, at = _name(block.text)
        then = next((each for each in _THEN.finditer(block.text, at) if each.group() == "then"), None)
        if then is None:
            raise _Wrong("then", "a rule reads: name: when condition then action", at)
        condition = _condition(text, block.start + at, block.text[at : then.start()], name)
        return Rule(name, condition, _action(block.text, then.end(), channels), block.comments)
    except _Wrong as wrong:
        facts = {"rule": name} if name else {}
        if wrong.suggestion:
            facts["suggestion"] = wrong.suggestion
        raise _error(wrong.problem, wrong.detail, place_of(text, block.start + wrong.at), **facts) from None


def _name(block: str) -> tuple[str, int]:
    """Return the name of a rule and where its condition begins."""
    head = _HEAD.match(block)
    if head is None:
        raise _Wrong("name", "a rule begins with a name and a colon", 0)
    name = head["name"].strip()
    if len(name) > NAME_CHARS_MAX or not _NAME.fullmatch(name):
        raise _Wrong("name", f"a name has 1 to {NAME_CHARS_MAX} letters, digits, spaces and simple signs", 0)
    when = _WHEN.match(block, head.end())
    if when is None:
        raise _Wrong("when", "after the name comes: when condition then action", head.end())
    return name, when.end()


def _condition(text: str, start: int, source: str, name: str) -> Compiled:
    """Compile a condition that begins at ``start`` of the whole text, in which its errors are placed."""
    try:
        return compile_condition(source, LANGUAGE)
    except InvalidRequest as error:
        first, facts = place_of(text, start), dict(error.facts)
        line, column = facts.pop("line"), facts.pop("column")
        shifted = column + first.column - 1 if line == 1 else column
        place = Place(first.line + line - 1, shifted)
        detail = error.detail.partition(": ")[2]
        raise _error(facts.pop("problem"), detail, place, rule=name, **facts) from None


def _action(block: str, at: int, channels: Collection[str]) -> Action:
    word = _ACTION.match(block, at)
    kinds = [kind.value for kind in ActionKind]
    if word is None or word["kind"] not in kinds:
        said = word["kind"] if word else ""
        place = word.start("kind") if word else at
        raise _Wrong("action", f"an action is one of {', '.join(kinds)}", place, nearest(said, kinds))
    action = Action(ActionKind(word["kind"]), ())
    at = word.end()
    while True:
        item = _ITEM.match(block, at)
        if item is None:
            raise _Wrong("action", "here stands the name of a channel", at)
        action = _with(action, item, channels)
        at = item.end()
        if at >= len(block):
            break
        if block[at] != ",":
            raise _Wrong("action", "channels are separated by commas, and nothing follows them", at)
        at += 1
    if action.shares and sum(action.shares) != PERCENT:
        raise _Wrong("shares", f"the shares sum to {sum(action.shares)}, not {PERCENT}", word.start("kind"))
    return action


def _with(action: Action, item: re.Match[str], channels: Collection[str]) -> Action:
    """Return the action with one more channel."""
    name, at = item["channel"], item.start("channel")
    if name not in channels:
        meant = nearest(name, channels)
        hint = f"; did you mean {meant}?" if meant else ""
        raise _Wrong("unknown_channel", f"there is no channel {name}{hint}", at, meant)
    if name in action.channels:
        raise _Wrong("action", f"{name} is named twice", at)
    if (item["share"] is not None) is not (action.kind is ActionKind.SPLIT):
        raise _Wrong("shares", "a split gives each channel a whole percent, other actions give none", at)
    if item["share"] is None:
        return replace(action, channels=(*action.channels, name))
    share = int(item["share"])
    if not 0 < share <= PERCENT:
        raise _Wrong("shares", f"a share is 1 to {PERCENT} percent", item.start("share"))
    return replace(action, channels=(*action.channels, name), shares=(*action.shares, share))


def _action_text(action: Action) -> str:
    if not action.shares:
        return f"{action.kind} {', '.join(action.channels)}"
    pairs = zip(action.channels, action.shares, strict=True)
    return f"{action.kind} " + ", ".join(f"{name} {share}" for name, share in pairs)
