"""SQL text as tokens and statements, for the migration lint.

Not a parser: it knows where words, quotes, dollar quotes and comments begin and end, and nothing of grammar.
Invariant: the texts of the tokens put together are the input again, so a line number is always right.
Source of the token forms: PostgreSQL manual, section 4.1, "Lexical Structure".
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

EXCERPT_CHARS = 80
_TOKEN = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<comment>--[^\n]*)
    | (?P<escaped>[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z))
    | (?P<string>(?:[bBxXnN]|[uU]&)?'(?:[^']|'')*(?:'|\Z))
    | (?P<quoted>(?:[uU]&)?"(?:[^"]|"")*(?:"|\Z))
    | (?P<dollar>\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z))
    | (?P<number>\d[\w.]*)
    | (?P<word>[^\W\d][\w$]*)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_BLOCK_COMMENT_EDGE = re.compile(r"/\*|\*/")
_ROUTINE = re.compile(r" (?:CREATE (?:OR REPLACE )?(?:FUNCTION|PROCEDURE)|DO) ")


@dataclass(frozen=True, slots=True)
class Token:
    """One token: ``kind`` is the name of a group of the token pattern, ``line`` counts from the text's first."""

    kind: str
    text: str
    line: int

    @property
    def name(self) -> str:
        """Return the identifier that the token spells: folded to lower case unless quoted."""
        return self.text.strip('"') if self.kind == "quoted" else self.text.lower()

    @property
    def mark(self) -> str:
        """Return the token as it stands in a statement's shape: words in capitals, quoted text hidden."""
        if self.kind in {"escaped", "string"}:
            return "''"
        if self.kind == "quoted":
            return '""'
        if self.kind == "dollar":
            return "$$"
        return self.text.upper()


@dataclass(frozen=True)
class Statement:
    """One statement without spaces and comments; ``notes`` are the comments inside and before it.

    The statements of a function's body carry the notes of the function too.
    """

    tokens: tuple[Token, ...]
    notes: tuple[str, ...]

    @cached_property
    def marks(self) -> tuple[str, ...]:
        """The marks of all tokens."""
        return tuple(token.mark for token in self.tokens)

    @cached_property
    def shape(self) -> str:
        """The marks with one space before, between and after them: what patterns are matched against."""
        return f" {' '.join(self.marks)} "

    @cached_property
    def _starts(self) -> tuple[int, ...]:
        return tuple(accumulate((len(mark) + 1 for mark in self.marks), initial=1))

    @cached_property
    def pairs(self) -> dict[int, int]:
        """The index of the closing parenthesis for each opening one, and the other way round."""
        found: dict[int, int] = {}
        opened: list[int] = []
        for index, mark in enumerate(self.marks):
            if mark == "(":
                opened.append(index)
            elif mark == ")" and opened:
                found[index] = opened.pop()
                found[found[index]] = index
        return found

    @property
    def excerpt(self) -> str:
        """The first characters of the statement on one line."""
        text = re.sub(r"\s+", " ", " ".join(token.text for token in self.tokens))
        text = re.sub(r" (?=[.,)])|(?<=[.(]) ", "", text)
        return text if len(text) <= EXCERPT_CHARS else text[: EXCERPT_CHARS - 1] + "…"

    def find(self, pattern: re.Pattern[str]) -> Iterator[int]:
        """Yield the index of the first token of every match, or of the pattern's first group if it has one."""
        for match in pattern.finditer(self.shape):
            at = match.start(1) if pattern.groups else match.start()
            at += self.shape[at] == " "
            yield bisect_right(self._starts, at) - 1

    def start_of_group(self, index: int) -> int:
        """Return the index behind the parenthesis that opens around token ``index``, or 0."""
        return 1 + max((low for low, high in self.pairs.items() if low < index < high), default=-1)

    def end_of_group(self, index: int) -> int:
        """Return the index of the parenthesis that closes around token ``index``, or the end of the statement."""
        depth = 0
        for at in range(index, len(self.marks)):
            depth += {"(": 1, ")": -1}.get(self.marks[at], 0)
            if depth < 0:
                return at
        return len(self.marks)


def tokenize(text: str) -> Iterator[Token]:
    """Yield every token of ``text``, spaces and comments included; open quotes run to the end."""
    at, line = 0, 1
    while at < len(text):
        if text.startswith("/*", at):
            token = Token("comment", text[at : _block_comment_end(text, at)], line)
        else:
            match = _TOKEN.match(text, at)
            assert match is not None  # the last form takes any character
            kind = "dollar" if match.group("dollar") is not None else match.lastgroup
            token = Token(kind or "other", match.group(), line)
        yield token
        at += len(token.text)
        line += token.text.count("\n")


def statements(text: str, first_line: int = 1, notes: tuple[str, ...] = ()) -> Iterator[Statement]:
    """Yield the statements of ``text`` and, after each routine, those of its body.

    ``first_line`` is the line number of the first line; ``notes`` come from the routine around the text.
    """
    tokens: list[Token] = []
    own: list[str] = []
    ended_on = 0
    done: Statement | None = None
    for token in (Token(t.kind, t.text, t.line + first_line - 1) for t in tokenize(text)):
        if token.kind == "comment":
            if done is not None and token.line == ended_on and not tokens:
                done = Statement(done.tokens, (*done.notes, token.text))
            else:
                own.append(token.text)
        elif token.text == ";":
            yield from _with_body(done)
            done = Statement(tuple(tokens), (*notes, *own)) if tokens else None
            tokens, own, ended_on = [], [], token.line
        elif token.kind != "space":
            tokens.append(token)
    yield from _with_body(done)
    yield from _with_body(Statement(tuple(tokens), (*notes, *own)) if tokens else None)


def _with_body(statement: Statement | None) -> Iterator[Statement]:
    """Yield the statement, then the statements inside the quoted body of a function, procedure or DO."""
    if statement is None:
        return
    yield statement
    if not _ROUTINE.match(statement.shape):
        return
    for before, token in zip(statement.marks, statement.tokens[1:], strict=False):
        if before not in {"AS", "DO"} and token.kind != "dollar":
            continue
        if token.kind == "dollar":
            fence = token.text.index("$", 1) + 1
            yield from statements(token.text[fence:-fence], token.line, statement.notes)
        elif token.kind in {"string", "escaped"}:
            quoted = token.text[token.text.index("'") + 1 : -1].replace("''", "'")
            yield from statements(quoted, token.line, statement.notes)


def _block_comment_end(text: str, start: int) -> int:
    """Return where the comment that opens at ``start`` ends; PostgreSQL's block comments nest."""
    depth = 0
    for edge in _BLOCK_COMMENT_EDGE.finditer(text, start):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(text)
