"""The text of a condition before it is parsed: its tokens, its money literals, its limits, and where an error lies.

Only plain tokens pass: ASCII names, decimal numbers, quoted text without escapes, and a short list of signs. Whatever
else Python could read (prefixes of strings, other numerals, invisible or look-alike characters) never reaches its
parser. A money literal, ``500 EUR``, becomes a name of the same width, so that a place found by the parser is the
place in what was written.
"""

import difflib
import enum
import keyword
import re
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple, NoReturn

from tongbao.core.currencies import CURRENCIES, Kind
from tongbao.core.errors import InvalidRequest
from tongbao.core.money import Money

SOURCE_CHARS_MAX = 2_000
TOKENS_MAX = 400
BRACKETS_MAX = 16
DIGITS_MAX = 19
"""Digits of a number: as many as the largest amount has."""
MONEY_NAME = "_m"

_TOKEN = re.compile(
    r"""(?P<space>[ \t\n]+)
    |(?P<text>"[^"\n]*"|'[^'\n]*')
    |(?P<number>[0-9]+(?:\.[0-9]+)?)
    |(?P<name>[A-Za-z_][A-Za-z_0-9]*)
    |(?P<sign>\*\*|//|<<|>>|:=|->|[=!<>]=|[<>()\[\],+\-*])
    |(?P<other>.)""",
    re.VERBOSE,
)
_CODE = re.compile(r"[A-Z]{3}")
_WORDS = {"true": "True", "false": "False"}
_OPERATORS = frozenset({"and", "or", "not", "in"})


class Problem(enum.StrEnum):
    """What is wrong with a condition; the fact ``problem`` of ``expression_invalid``."""

    EMPTY = "empty"
    TOO_LONG = "too_long"
    TOO_MANY_PARTS = "too_many_parts"
    TOO_DEEP = "too_deep"
    CHARACTER = "character"  # one that the language does not have, or that cannot be seen
    SYNTAX = "syntax"
    NUMBER = "number"
    CURRENCY = "currency"
    ATTRIBUTE = "attribute"  # a.b
    SUBSCRIPT = "subscript"  # a[b]
    CALL = "call"  # of anything but a declared function
    ARGUMENTS = "arguments"
    COMPREHENSION = "comprehension"
    POWER = "power"
    OPERATOR = "operator"  # one that the language does not have
    ASSIGNMENT = "assignment"
    KEYWORD = "keyword"
    UNKNOWN_FIELD = "unknown_field"
    TYPE = "type"
    PRODUCTS = "products"


_REFUSED_SIGNS = {
    "**": (Problem.POWER, "powers are not part of the language"),
    ".": (Problem.ATTRIBUTE, "a field has no parts: nothing follows a point"),
    ":=": (Problem.ASSIGNMENT, "a condition assigns nothing"),
    "=": (Problem.ASSIGNMENT, "equality is written =="),
    "{": (Problem.COMPREHENSION, "lists are written in brackets, [..]"),
    "\\": (Problem.CHARACTER, "there are no escapes; text holds no backslash"),
    '"': (Problem.SYNTAX, "the text is not closed on its line"),
    "'": (Problem.SYNTAX, "the text is not closed on its line"),
}
_REFUSED_WORDS = {
    "for": (Problem.COMPREHENSION, "there are no loops"),
    "async": (Problem.COMPREHENSION, "there are no loops"),
    "lambda": (Problem.CALL, "functions are declared by the program, not here"),
    "await": (Problem.CALL, "functions are declared by the program, not here"),
    "yield": (Problem.CALL, "functions are declared by the program, not here"),
}


class Place(NamedTuple):
    """Where something stands; both count from 1, columns in characters."""

    line: int
    column: int


class Plain(NamedTuple):
    """Source that Python's parser may read, and the money behind the names in it (``_m0``, ``_m1``)."""

    text: str
    money: dict[str, Money]


class _Token(NamedTuple):
    kind: str
    text: str
    start: int


def wrong(problem: Problem, detail: str, place: Place, **facts: str) -> InvalidRequest:
    """Return the error ``expression_invalid`` with the problem, ``line`` and ``column``."""
    return InvalidRequest(
        "expression_invalid",
        f"line {place.line}, column {place.column}: {detail}",
        problem=problem.value,
        line=place.line,
        column=place.column,
        **facts,
    )


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that a misspelt one was probably meant to be."""
    found = difflib.get_close_matches(name, list(known), n=1)
    return found[0] if found else None


def place_of(source: str, start: int) -> Place:
    """Return the place of the character with index ``start``."""
    return Place(source.count("\n", 0, start) + 1, start - source.rfind("\n", 0, start))


def plain(source: str) -> Plain:
    """Return ``source`` with its money literals named; raise InvalidRequest ``expression_invalid``."""
    if len(source) > SOURCE_CHARS_MAX:
        raise wrong(Problem.TOO_LONG, f"a condition has at most {SOURCE_CHARS_MAX} characters", Place(1, 1))
    tokens = _tokens(source)
    if not tokens:
        raise wrong(Problem.EMPTY, "there is no condition", Place(1, 1))
    if len(tokens) > TOKENS_MAX:
        place = place_of(source, tokens[TOKENS_MAX].start)
        raise wrong(Problem.TOO_MANY_PARTS, f"a condition has at most {TOKENS_MAX} words and signs", place)
    _check_brackets(source, tokens)
    return _named(source, tokens)


def _tokens(source: str) -> list[_Token]:
    found: list[_Token] = []
    for match in _TOKEN.finditer(source):
        token = _Token(str(match.lastgroup), match.group(), match.start())
        if token.kind == "space":
            continue
        before = found[-1] if found else None
        if before is not None and before.start + len(before.text) == token.start:
            _check_touching(source, before, token)
        _check_token(source, token)
        if before is not None:
            _check_neighbors(source, before, token)
        found.append(token)
    return found


def _check_token(source: str, token: _Token) -> None:
    place = place_of(source, token.start)
    if token.kind == "other" or token.text in _REFUSED_SIGNS:
        _refuse_sign(token.text, place)
    if token.kind == "sign" and token.text in {"//", "<<", ">>", "->"}:
        raise wrong(Problem.OPERATOR, f"the language has no {token.text}", place)
    if token.kind == "name":
        _check_word(token.text, place)
    if token.kind == "number" and len(token.text.replace(".", "")) > DIGITS_MAX:
        raise wrong(Problem.NUMBER, f"a number has at most {DIGITS_MAX} digits", place)
    if token.kind == "text":
        _check_text(source, token)


def _refuse_sign(sign: str, place: Place) -> NoReturn:
    if sign in _REFUSED_SIGNS:
        raise wrong(*_REFUSED_SIGNS[sign], place)
    if sign in "/%@&|^~!?;:$}#`":
        raise wrong(Problem.OPERATOR, f"the language has no {sign}", place)
    raise wrong(Problem.CHARACTER, f"the character U+{ord(sign):04X} is not part of the language", place)


def _check_word(word: str, place: Place) -> None:
    if word in _REFUSED_WORDS:
        raise wrong(*_REFUSED_WORDS[word], place)
    if word in {"True", "False", "None"}:
        raise wrong(Problem.KEYWORD, "write true or false; there is no None", place)
    if keyword.iskeyword(word) and word not in _OPERATORS:
        raise wrong(Problem.KEYWORD, f"{word} is not part of the language", place)
    if word.startswith("_"):
        raise wrong(Problem.UNKNOWN_FIELD, "no name begins with an underscore", place)


def _check_text(source: str, token: _Token) -> None:
    """Refuse escapes and what cannot be seen: controls, marks of direction, joiners, strange spaces."""
    for offset, character in enumerate(token.text):
        if character == "\\":
            raise wrong(*_REFUSED_SIGNS[character], place_of(source, token.start + offset))
        if character != " " and unicodedata.category(character)[0] in "CZ":
            place = place_of(source, token.start + offset)
            raise wrong(
                Problem.CHARACTER, f"text holds the invisible character U+{ord(character):04X}", place
            )


def _check_touching(source: str, before: _Token, token: _Token) -> None:
    """Refuse what Python would read as one: ``1or``, ``0x10``, ``f"x"``."""
    if before.kind == "number" and token.kind in {"name", "number"}:
        detail = "numbers are plain decimals, followed by a space"
        raise wrong(Problem.NUMBER, detail, place_of(source, token.start))
    if before.kind == "name" and token.kind == "text":
        raise wrong(Problem.SYNTAX, "a space is missing before the text", place_of(source, token.start))


def _check_neighbors(source: str, before: _Token, token: _Token) -> None:
    """Refuse two values in a row, which Python would join or complain about elsewhere."""
    place = place_of(source, token.start)
    if (
        _is_value(before)
        and _is_value(token)
        and not (before.kind == "number" and _CODE.fullmatch(token.text))
    ):
        after_number = before.kind == "number" and token.kind == "name"
        hint = "; a currency has three capitals" if after_number else ""
        raise wrong(Problem.SYNTAX, f"something is missing before {token.text}{hint}", place)


def _is_value(token: _Token) -> bool:
    return token.kind in {"number", "text"} or (token.kind == "name" and token.text not in _OPERATORS)


def _check_brackets(source: str, tokens: list[_Token]) -> None:
    """Refuse brackets that close what they did not open, and too many inside one another."""
    opened: list[_Token] = []
    for token in tokens:
        if token.text in {"(", "["}:
            opened.append(token)
            if len(opened) > BRACKETS_MAX:
                detail = f"at most {BRACKETS_MAX} brackets lie inside one another"
                raise wrong(Problem.TOO_DEEP, detail, place_of(source, token.start))
        elif token.text in {")", "]"} and (
            not opened or opened.pop().text != {")": "(", "]": "["}[token.text]
        ):
            raise wrong(Problem.SYNTAX, f"this {token.text} closes nothing", place_of(source, token.start))
    if opened:
        raise wrong(Problem.SYNTAX, "this bracket is not closed", place_of(source, opened[-1].start))


def _named(source: str, tokens: list[_Token]) -> Plain:
    """Give each number that a currency follows on its line a name of the same width; spell true as Python does."""
    pieces: list[str] = []
    money: dict[str, Money] = {}
    at = 0
    for token, after in zip(tokens, [*tokens[1:], None], strict=True):
        start, end, text = token.start, token.start + len(token.text), token.text
        if token.kind == "number" and after is not None and _is_currency(source[end : after.start], after):
            name = f"{MONEY_NAME}{len(money)}"
            money[name] = _money(source, token, after)
            end = after.start + len(after.text)
            text = name.ljust(end - start)
        elif token.kind == "name":
            text = _WORDS.get(text, text)
        if start >= at:  # what lies before was the currency of the money before it
            pieces += (source[at:start], text)
            at = end
    return Plain("".join(pieces) + source[at:], money)


def _is_currency(gap: str, after: _Token) -> bool:
    return "\n" not in gap and after.kind == "name" and _CODE.fullmatch(after.text) is not None


def _money(source: str, number: _Token, code: _Token) -> Money:
    try:
        return Money.of_major(number.text, code.text)
    except InvalidRequest as error:
        known = [each.code for each in CURRENCIES if each.kind is not Kind.UNIT]
        meant = nearest(code.text, known) if error.code == "currency_unknown" else None
        facts = {"suggestion": meant} if meant else {}
        detail = f"{number.text} {code.text}: {error.detail}"
        raise wrong(Problem.CURRENCY, detail, place_of(source, number.start), **facts) from None
