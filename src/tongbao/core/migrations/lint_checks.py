"""The checks behind the rules of the migration lint: each finds offending tokens in one statement.

Most are patterns over a statement's shape; the rest ask which tables and keys it names. They lean towards a
finding, because a false one costs a comment and a missed one costs a migration on another engine.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tongbao.core.migrations import sql_tables
from tongbao.core.migrations.sql_text import Statement

TENANT = "book_id"
_SERIAL = frozenset({"SERIAL", "SERIAL2", "SERIAL4", "SERIAL8", "BIGSERIAL", "SMALLSERIAL"})
_BARE = frozenset({"CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "LOCALTIME", "LOCALTIMESTAMP"})
_VOLATILE = _BARE | {
    "CLOCK_TIMESTAMP",
    "GEN_RANDOM_UUID",
    "NEXTVAL",
    "NOW",
    "RANDOM",
    "RANDOM_NORMAL",
    "STATEMENT_TIMESTAMP",
    "TIMEOFDAY",
    "TRANSACTION_TIMESTAMP",
    "UUIDV4",
    "UUIDV7",
}
_NOT_A_CALL = ("AS", "INTO", "JOIN", "ON", "REFERENCES", "TABLE", "VIEW")
_SUBQUERY = re.compile(r"(?<= \( )SELECT(?= )")
_INSERT = re.compile(r"(?<= )INSERT INTO(?= )")
_ROW_LOCK = re.compile(r"(?<= )(?:FOR (?:NO KEY )?UPDATE|FOR (?:KEY )?SHARE)(?= )")
_WRITING_CTE = re.compile(r" AS (?:NOT MATERIALIZED |MATERIALIZED )?\( (INSERT|UPDATE|DELETE|MERGE)(?= )")


@dataclass(frozen=True, slots=True)
class Catalog:
    """What is known of tables made by other statements: those that every shard, or one database, holds whole."""

    reference: frozenset[str] = frozenset()
    local: frozenset[str] = frozenset({"alembic_version"})

    def shards(self, table: str) -> bool:
        """Return whether the rows of ``table`` are spread over shards by book."""
        return table not in self.reference and table not in self.local


Check = Callable[[Statement, Catalog], Iterator[int]]


def matches(pattern: str) -> Check:
    """Return a check that finds ``pattern``, or its first group, between whole tokens of the shape."""
    compiled = re.compile(rf"(?<= )(?:{pattern})(?= )")
    return lambda statement, _: statement.find(compiled)


def heads(pattern: str) -> Check:
    """Return a check that finds ``pattern`` at the start of a statement, or of one inside a PL/pgSQL block."""
    compiled = re.compile(rf"(?:^|(?<= THEN)|(?<= ELSE)|(?<= BEGIN)|(?<= LOOP)) ((?:{pattern}))(?= )")
    return lambda statement, _: statement.find(compiled)


def calls(pattern: str) -> Check:
    """Return a check that finds calls of the functions whose names match ``pattern``."""
    before = "".join(f"(?<! {word})" for word in _NOT_A_CALL)
    compiled = re.compile(rf"{before} ((?:{pattern}))(?= \( )")
    return lambda statement, _: statement.find(compiled)


def either(*checks: Check) -> Check:
    """Return a check that finds what any of ``checks`` finds."""

    def check(statement: Statement, catalog: Catalog) -> Iterator[int]:
        for one in checks:
            yield from one(statement, catalog)

    return check


def tenant_key(statement: Statement, catalog: Catalog) -> Iterator[int]:
    """Find sharded tables without the tenant column, and keys that do not lead with it."""
    table = sql_tables.table_of(statement)
    if table is None:
        return
    shards = catalog.shards(table)
    columns = sql_tables.columns_of(statement)
    if shards and columns is not None and TENANT not in columns:
        yield 0
        return
    for key in sql_tables.keys_of(statement):
        leads = key.columns[:1] == (TENANT,)
        if key.kind == "foreign key":
            whole = key.target in catalog.reference or (not shards and key.target in catalog.local)
            if not whole and not (shards and leads and key.target_columns[:1] in {(), (TENANT,)}):
                yield key.at
        elif shards and not leads:
            yield key.at


def serial_column(statement: Statement, _: Catalog) -> Iterator[int]:
    """Find columns of a serial type; a column may be called serial."""
    if statement.marks[:1] in {("CREATE",), ("ALTER",)} and "TABLE" in statement.marks[:4]:
        for index, mark in enumerate(statement.marks):
            if mark in _SERIAL and statement.marks[index - 1] not in {"(", ",", "ADD", "COLUMN", "DROP"}:
                yield index


def writing_cte(statement: Statement, catalog: Catalog) -> Iterator[int]:
    """Find WITH queries that write while the statement touches more than one sharded table."""
    touched = {*sql_tables.tables_written(statement), *sql_tables.tables_read(statement)}
    touched -= sql_tables.cte_names(statement)
    if sum(catalog.shards(table) for table in touched) > 1:
        yield from statement.find(_WRITING_CTE)


def open_subquery(statement: Statement, catalog: Catalog) -> Iterator[int]:
    """Find subqueries, and sources of INSERT, that read a sharded table without naming the tenant column."""
    inserts = {statement.start_of_group(index) for index in statement.find(_INSERT)}
    sources = (i for i, mark in enumerate(statement.marks) if mark == "SELECT" and inserts)
    starts = {index for index in sources if statement.start_of_group(index) in inserts}
    for index in sorted({*statement.find(_SUBQUERY), *starts}):
        stop = statement.end_of_group(index)
        tables = sql_tables.tables_read(statement, index, stop)
        if any(catalog.shards(table) for table in tables) and not _names_tenant(statement, index, stop):
            yield index


def open_row_lock(statement: Statement, catalog: Catalog) -> Iterator[int]:
    """Find row locks whose query does not name the tenant column."""
    if "POLICY" in statement.marks[:2]:
        return
    for index in statement.find(_ROW_LOCK):
        start, stop = statement.start_of_group(index), statement.end_of_group(index)
        tables = sql_tables.tables_read(statement, start, index)
        whole = tables and not any(catalog.shards(table) for table in tables)
        if not whole and not _names_tenant(statement, start, stop):
            yield index


def volatile_update(statement: Statement, _: Catalog) -> Iterator[int]:
    """Find functions inside an UPDATE that answer differently on every node or at every try."""
    for index in sql_tables.updates(statement):
        for at in range(index, statement.end_of_group(index)):
            mark = statement.marks[at]
            called = statement.marks[at + 1 : at + 2] == ("(",)
            if mark in _VOLATILE and (called or mark in _BARE):
                yield at


def isolation_setting(statement: Statement, _: Catalog) -> Iterator[int]:
    """Find SET and ALTER statements that name an isolation level in quotes."""
    if statement.marks[:1] in {("SET",), ("ALTER",)}:
        for index, token in enumerate(statement.tokens):
            if token.text.lower() == "'serializable'":
                yield index


def _names_tenant(statement: Statement, start: int, stop: int) -> bool:
    return any(token.name == TENANT for token in statement.tokens[start:stop])
