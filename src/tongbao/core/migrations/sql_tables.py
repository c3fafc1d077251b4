"""Which tables and keys an SQL statement names, for the migration lint.

Reads the tokens of one statement at a time. Names are compared without their schema. Where SQL is unclear
without a catalog (a name that may be a table or a variable), the answer leans towards "a table".
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tongbao.core.migrations.sql_text import Statement

_QUERY_WORDS = {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "VALUES", "MERGE"}
_FROM_ENDS = {
    "WHERE", "GROUP", "ORDER", "HAVING", "LIMIT", "OFFSET", "FETCH", "UNION", "EXCEPT", "INTERSECT",
    "RETURNING", "SET", "WINDOW", "FOR", "WHEN", "LOOP", "INSERT", "VALUES",
}  # fmt: skip
_CREATE_TABLE = re.compile(
    r"^ CREATE (?:(?:GLOBAL|LOCAL) )?(?:(?:TEMP|TEMPORARY|UNLOGGED) )?TABLE (?:IF NOT EXISTS )?(\S+) "
)
_ALTER_TABLE = re.compile(r"^ ALTER TABLE (?:IF EXISTS )?(?:ONLY )?(\S+) ")
_UNIQUE_INDEX = re.compile(r"^ CREATE (UNIQUE) INDEX ")
_INDEXED = re.compile(r" ON (?:ONLY )?(\S+) ")
_WRITES = re.compile(r" (?:INSERT INTO|MERGE INTO|DELETE FROM)(?: ONLY)? (\S+)(?= )")
_UPDATES = re.compile(
    r"(?<! FOR)(?<! KEY)(?<! ON)(?<! OR)(?<! BEFORE)(?<! AFTER)(?<! GRANT)(?<! ,) (UPDATE)(?= )"
)


@dataclass(frozen=True, slots=True)
class Key:
    """A primary key, unique constraint, unique index or foreign key; ``at`` is the token where it stands."""

    kind: str
    columns: tuple[str, ...]
    at: int
    target: str | None = None
    target_columns: tuple[str, ...] = ()


@dataclass(slots=True)
class _Frame:
    """One level of parentheses while FROM lists are read."""

    is_query: bool = False
    in_from: bool = False
    expects_table: bool = False


def dotted(statement: Statement, index: int) -> tuple[str, int]:
    """Return the last part of the (qualified) name at ``index`` and the index behind it."""
    while statement.marks[index + 1 : index + 2] == (".",) and index + 2 < len(statement.tokens):
        index += 2
    return statement.tokens[index].name, index + 1


def table_of(statement: Statement) -> str | None:
    """Return the table that the statement creates, alters or puts an index on; None for other statements."""
    for pattern in (_CREATE_TABLE, _ALTER_TABLE):
        for index in statement.find(pattern):
            return dotted(statement, index)[0]
    if statement.marks[:1] == ("CREATE",) and "INDEX" in statement.marks[:3]:
        for index in statement.find(_INDEXED):
            return dotted(statement, index)[0]
    return None


def tables_written(statement: Statement) -> list[str]:
    """Return the tables that get rows inserted, updated, merged or deleted, each once, in order."""
    found = [(index, dotted(statement, index)[0]) for index in statement.find(_WRITES)]
    for index in updates(statement):
        at = index + 1 + (statement.marks[index + 1 : index + 2] == ("ONLY",))
        if statement.marks[index - 1] != "DO" and at < len(statement.tokens):
            found.append((at, dotted(statement, at)[0]))
    return list(dict.fromkeys(name for _, name in sorted(found)))


def updates(statement: Statement) -> Iterator[int]:
    """Yield the index of every UPDATE that changes rows, ON CONFLICT DO UPDATE included."""
    for index in statement.find(_UPDATES):
        if "SET" in statement.marks[index : statement.end_of_group(index)]:
            yield index


def tables_read(statement: Statement, start: int = 0, stop: int | None = None) -> list[str]:
    """Return the tables in FROM, JOIN and USING between two tokens; CTEs and functions are left out."""
    views = cte_names(statement)
    frames = [_Frame()]
    found: list[str] = []
    for index in range(start, len(statement.tokens) if stop is None else stop):
        mark = statement.marks[index]
        if mark == "(":
            expects = frames[-1].expects_table
            frames[-1].expects_table = False
            frames.append(_Frame(in_from=expects, expects_table=expects))
        elif mark == ")":
            frames[-1:] = [] if len(frames) > 1 else [_Frame()]
        elif frames[-1].expects_table and mark not in {"ONLY", "LATERAL", "ROWS", "SELECT", "FROM", "VALUES"}:
            frames[-1].expects_table = False
            name, after = dotted(statement, index)
            if statement.marks[after : after + 1] != ("(",) and name not in views:
                found.append(name)
        else:
            _step(frames[-1], statement, index)
    return list(dict.fromkeys(found))


def _step(frame: _Frame, statement: Statement, index: int) -> None:
    """Move the state of one level of parentheses over a token that names no table."""
    mark = statement.marks[index]
    before = statement.marks[index - 1] if index else ""
    if mark in {"SELECT", "DELETE", "UPDATE", "MERGE"} and not (
        mark == "UPDATE" and before in {"FOR", "KEY"}
    ):
        frame.is_query, frame.in_from, frame.expects_table = True, False, False
    elif mark == "FROM" and before != "DISTINCT" and (frame.is_query or frame.in_from):
        frame.in_from = frame.expects_table = True
    elif mark == "JOIN" or (mark == "," and frame.in_from):
        frame.expects_table = frame.is_query or frame.in_from
    elif mark == "USING" and frame.is_query and statement.marks[index + 1 : index + 2] != ("(",):
        frame.in_from = frame.expects_table = True
    elif mark in _FROM_ENDS:
        frame.in_from = frame.expects_table = False


def cte_names(statement: Statement) -> frozenset[str]:
    """Return the names that the statement gives to its WITH queries."""
    names = set()
    for index, mark in enumerate(statement.marks):
        after = index + 1
        while statement.marks[after : after + 1] in {("NOT",), ("MATERIALIZED",)}:
            after += 1
        if mark != "AS" or statement.marks[after : after + 1] != ("(",):
            continue
        if statement.marks[after + 1 : after + 2] and statement.marks[after + 1] in _QUERY_WORDS and index:
            before = statement.pairs.get(index - 1, index) - 1
            names.add(statement.tokens[before].name)
    return frozenset(names)


def columns_of(statement: Statement) -> list[str] | None:
    """Return the columns that a CREATE TABLE declares; None where it takes them from elsewhere."""
    body = _create_body(statement)
    if body is None:
        return None
    elements = _elements(statement, body + 1, statement.pairs[body])
    if any(statement.marks[start] == "LIKE" for start, _ in elements):
        return None
    return [statement.tokens[start].name for start, _ in elements]


def keys_of(statement: Statement) -> list[Key]:
    """Return every key that a CREATE TABLE, ALTER TABLE or CREATE UNIQUE INDEX declares."""
    body = _create_body(statement)
    if body is not None:
        spans = _elements(statement, body + 1, statement.pairs[body])
        return [key for start, stop in spans for key in _keys_in(statement, start, stop)]
    for name_at in statement.find(_ALTER_TABLE):
        spans = _elements(statement, dotted(statement, name_at)[1], len(statement.tokens))
        return [key for start, stop in spans for key in _keys_added(statement, start, stop)]
    for at in statement.find(_UNIQUE_INDEX):
        for table_at in statement.find(_INDEXED):
            if "(" in statement.marks[table_at:]:
                opened = statement.marks.index("(", table_at)
                return [Key("unique index", _column_list(statement, opened), at)]
    return []


def _create_body(statement: Statement) -> int | None:
    """Return the index of the parenthesis that opens the columns of a CREATE TABLE."""
    for index in statement.find(_CREATE_TABLE):
        after = dotted(statement, index)[1]
        if statement.marks[after : after + 1] == ("(",) and after in statement.pairs:
            return after
    return None


def _elements(statement: Statement, start: int, stop: int) -> list[tuple[int, int]]:
    """Split the tokens from ``start`` to ``stop`` at the commas outside parentheses."""
    spans = []
    at = first = start
    while at < stop:
        if statement.marks[at] == ",":
            spans.append((first, at))
            first = at + 1
        at = statement.pairs.get(at, at) + 1 if statement.marks[at] == "(" else at + 1
    return [(low, high) for low, high in [*spans, (first, stop)] if low < high]


def _keys_added(statement: Statement, start: int, stop: int) -> list[Key]:
    """Return the keys of one action of ALTER TABLE; only ADD declares any."""
    if statement.marks[start] != "ADD":
        return []
    start += 1
    start += statement.marks[start : start + 1] == ("COLUMN",)
    start += 3 * (statement.marks[start : start + 3] == ("IF", "NOT", "EXISTS"))
    return _keys_in(statement, start, stop)


def _keys_in(statement: Statement, start: int, stop: int) -> list[Key]:
    """Return the keys of one column definition or table constraint."""
    marks = statement.marks
    at = start + 2 if marks[start:stop][:1] == ("CONSTRAINT",) else start
    if at >= stop:
        return []
    if marks[at : at + 2] in {("PRIMARY", "KEY"), ("FOREIGN", "KEY")} or marks[at : at + 1] == ("UNIQUE",):
        opened = next((index for index in range(at, stop) if marks[index] == "("), None)
        if opened is None:
            return []  # PRIMARY KEY USING INDEX: the index was looked at when it was made
        kind = {"PRIMARY": "primary key", "FOREIGN": "foreign key", "UNIQUE": "unique"}[marks[at]]
        key = Key(kind, _column_list(statement, opened), at)
        return [key] if kind != "foreign key" else [_reference(statement, key, statement.pairs[opened], stop)]
    if marks[at] in {"CHECK", "EXCLUDE", "LIKE"}:
        return []
    column = (statement.tokens[at].name,)
    keys = []
    for index in range(at + 1, stop):
        if marks[index : index + 2] == ("PRIMARY", "KEY"):
            keys.append(Key("primary key", column, index))
        elif marks[index] == "UNIQUE":
            keys.append(Key("unique", column, index))
        elif marks[index] == "REFERENCES":
            keys.append(_reference(statement, Key("foreign key", column, index), index - 1, stop))
    return keys


def _reference(statement: Statement, key: Key, before: int, stop: int) -> Key:
    """Return the foreign key with what stands behind its REFERENCES filled in."""
    at = next((i for i in range(before, stop) if statement.marks[i] == "REFERENCES"), None)
    if at is None or at + 1 >= stop:
        return key
    target, after = dotted(statement, at + 1)
    columns = _column_list(statement, after) if statement.marks[after : after + 1] == ("(",) else ()
    return Key(key.kind, key.columns, key.at, target, columns)


def _column_list(statement: Statement, opened: int) -> tuple[str, ...]:
    """Return the first name of each element between a parenthesis and its partner."""
    spans = _elements(statement, opened + 1, statement.pairs.get(opened, len(statement.tokens)))
    return tuple(statement.tokens[start].name for start, _ in spans)
