"""Reads the Markdown of our own model cards into blocks that a template shows: headings, paragraphs, lists, tables. Pure.

It knows what ``risk.policy.model_card`` writes and no more; nothing in it is ever taken for HTML.
"""

import re
from typing import NamedTuple

_ESCAPE = re.compile(r"\\(.)")
_HEADING = re.compile(r"(#{1,3}) (.*)")
_CELL = re.compile(r"(?<!\\)\|")


class Block(NamedTuple):
    """One block. ``kind``: ``heading`` (``level`` 1 to 3), ``text``, ``list`` or ``table`` (the first row is its head)."""

    kind: str
    lines: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    level: int = 0


def blocks(text: str) -> list[Block]:
    """Return the blocks of a card; none for an empty text."""
    return [_block(part.strip("\n")) for part in text.split("\n\n") if part.strip()]


def _block(part: str) -> Block:
    lines = part.split("\n")
    if heading := _HEADING.fullmatch(part):
        return Block("heading", (_plain(heading[2]),), level=len(heading[1]))
    if all(line.startswith("- ") for line in lines):
        return Block("list", tuple(_plain(line[2:]) for line in lines))
    if all(line.startswith("|") for line in lines):
        rows = [_cells(line) for line in lines]
        return Block("table", rows=tuple(row for row in rows if not _is_rule(row)))
    return Block("text", (_plain(" ".join(lines)),))


def _cells(line: str) -> tuple[str, ...]:
    return tuple(_plain(each.strip()) for each in _CELL.split(line)[1:-1])


def _is_rule(row: tuple[str, ...]) -> bool:
    return all(cell and not cell.strip("-:") for cell in row)


def _plain(text: str) -> str:
    return _ESCAPE.sub(r"\1", text)
