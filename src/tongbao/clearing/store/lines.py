"""The SQL of sources, files and their lines. All of it belongs to the house, which is book 0 here."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.clearing.schema.lines import Line, SourceFile, SourceTerms
from tongbao.core.db import Connection

HOUSE_BOOK_ID = 0
LINE_BITS = 24
"""Of a line's id: its number in the file; the number of the file stands above."""

_SOURCES = """
SELECT DISTINCT ON (source) source, body FROM clearing.source ORDER BY source, version DESC
"""
_ADD_SOURCE = """
INSERT INTO clearing.source (source, version, made_at, made_by, body)
SELECT $1, coalesce(max(version), 0) + 1, $2, $3, $4 FROM clearing.source WHERE source = $1
RETURNING version
"""
_NEXT_NUMBER = "SELECT coalesce(max(number), 0) + 1 FROM clearing.file WHERE book_id = $1"
_ADD_FILE = """
INSERT INTO clearing.file (book_id, id, number, received_at, until_on, sequence, source, side, state, digest, body)
VALUES ($1, $2, $3, $4, NULL, NULL, $5, $6, $7, $8, $9)
ON CONFLICT DO NOTHING RETURNING number
"""
_BY_DIGEST = "SELECT number, body FROM clearing.file WHERE book_id = $1 AND digest = $2"
_BY_ID = "SELECT number, body FROM clearing.file WHERE book_id = $1 AND id = $2"
_PUT_FILE = """
UPDATE clearing.file SET until_on = $3, sequence = $4, state = $5, body = $6 WHERE book_id = $1 AND id = $2
"""
_PAGE = """
SELECT body FROM clearing.file
WHERE book_id = $1 AND ($2::text IS NULL OR source = $2) AND ($3::uuid IS NULL OR id < $3)
ORDER BY id DESC LIMIT $4
"""
_OF_SOURCE = """
SELECT body FROM clearing.file WHERE book_id = $1 AND source = $2 AND state = 'read' ORDER BY number DESC LIMIT $3
"""
_ADD_LINES = """
INSERT INTO clearing.line (book_id, id, gross_minor, fee_minor, net_minor, occurred_at, business_on, value_on, count,
    source, kind, currency, key, reference, channel_reference, batch, note)
SELECT $1, id, gross, fee, net, at, day, value_day, n, $2, kind, currency, key, reference, theirs, batch, note
FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::timestamptz[], $8::date[], $9::date[],
    $10::integer[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[])
    AS l (id, gross, fee, net, at, day, value_day, n, kind, currency, key, reference, theirs, batch, note)
ON CONFLICT DO NOTHING
"""
_LINES = """
SELECT id, gross_minor, fee_minor, net_minor, occurred_at, value_on, count, kind, currency, key, reference,
    channel_reference, batch, note
FROM clearing.line WHERE book_id = $1 AND id = ANY ($2::bigint[])
"""
_OF_FILE = """
SELECT id, gross_minor, fee_minor, net_minor, occurred_at, value_on, count, kind, currency, key, reference,
    channel_reference, batch, note
FROM clearing.line WHERE book_id = $1 AND id >= $2 AND id < $3 AND id > $4 ORDER BY id LIMIT $5
"""
# A run may have paired some of them while the file was read: those are facts that matches stand on.
_DROP_LINES = """
DELETE FROM clearing.line AS l
WHERE l.book_id = $1 AND l.id >= $2 AND l.id < $3
    AND NOT EXISTS (SELECT 1 FROM clearing.matched AS d WHERE d.book_id = $1 AND d.line_id = l.id)
"""
_COUNT = "SELECT count(*) FROM clearing.line WHERE book_id = $1 AND id >= $2 AND id < $3"


class KeptFile(NamedTuple):
    """A file and its number, from which the ids of its lines are made."""

    number: int
    file: SourceFile


class KeptLine(NamedTuple):
    """A line with its id; the number in it is that of its file."""

    id: int
    line: Line


def line_id(file_number: int, number: int) -> int:
    """Return the id of a line of a file."""
    return file_number << LINE_BITS | number


async def sources(connection: Connection) -> list[SourceTerms]:
    """Return the newest version of every source, by name."""
    rows = await connection.fetch(_SOURCES)
    return [msgspec.json.decode(row["body"], type=SourceTerms) for row in rows]


async def add_source(connection: Connection, terms: SourceTerms, at: datetime, actor: str) -> int:
    """Keep a new version of a source; return its number."""
    body = msgspec.json.encode(terms).decode()
    return int(await connection.fetchval(_ADD_SOURCE, terms.source, at, actor, body))


async def add_file(connection: Connection, file: SourceFile) -> int | None:
    """Keep a new file; return its number, None where another took the number or brought the same file: look again."""
    number = int(await connection.fetchval(_NEXT_NUMBER, HOUSE_BOOK_ID))
    kept = await connection.fetchval(
        _ADD_FILE,
        HOUSE_BOOK_ID,
        file.id,
        number,
        file.received_at,
        file.header.source,
        file.header.side.value,
        file.state.value,
        file.digest,
        _body(file),
    )
    return None if kept is None else int(kept)


async def by_digest(connection: Connection, digest: bytes) -> KeptFile | None:
    """Return the file of these bytes."""
    return _kept(await connection.fetchrow(_BY_DIGEST, HOUSE_BOOK_ID, digest))


async def by_id(connection: Connection, file_id: UUID) -> KeptFile | None:
    """Return a file."""
    return _kept(await connection.fetchrow(_BY_ID, HOUSE_BOOK_ID, file_id))


async def put_file(connection: Connection, file: SourceFile) -> None:
    """Keep how far a file is, and what it says of itself."""
    header = file.header
    await connection.execute(
        _PUT_FILE, HOUSE_BOOK_ID, file.id, header.until_on, header.sequence, file.state.value, _body(file)
    )


async def page(
    connection: Connection, source: str | None, before: UUID | None, limit: int
) -> list[SourceFile]:
    """Return files, newest first."""
    rows = await connection.fetch(_PAGE, HOUSE_BOOK_ID, source, before, limit)
    return [_file(row["body"]) for row in rows]


async def of_source(connection: Connection, source: str, limit: int) -> list[SourceFile]:
    """Return the newest files of a source that were read, in the order in which they came."""
    rows = await connection.fetch(_OF_SOURCE, HOUSE_BOOK_ID, source, limit)
    return [_file(row["body"]) for row in reversed(rows)]


async def add_lines(
    connection: Connection, source: str, file_number: int, lines: Sequence[tuple[Line, date]]
) -> int:
    """Keep lines (at least one) with their business days; return how many were new. One that is there already stays as it was."""
    rows = [_row(file_number, line, on) for line, on in lines]
    columns = [list(column) for column in zip(*rows, strict=True)]
    status = await connection.execute(_ADD_LINES, HOUSE_BOOK_ID, source, *columns)
    return int(status.rpartition(" ")[2])


async def drop_lines(connection: Connection, file_number: int) -> None:
    """Forget the lines that a file brought, which is refused now, except those that were matched already."""
    bounds = line_id(file_number, 0), line_id(file_number + 1, 0)
    await connection.execute(_DROP_LINES, HOUSE_BOOK_ID, *bounds)


async def count_of(connection: Connection, file_number: int) -> int:
    """Return how many lines a file brought first."""
    bounds = line_id(file_number, 0), line_id(file_number + 1, 0)
    return int(await connection.fetchval(_COUNT, HOUSE_BOOK_ID, *bounds))


async def lines(connection: Connection, ids: Sequence[int]) -> dict[int, Line]:
    """Return lines by their ids."""
    rows = await connection.fetch(_LINES, HOUSE_BOOK_ID, list(ids))
    return {row["id"]: _line(row) for row in rows}


async def of_file(connection: Connection, file_number: int, after: int, limit: int) -> list[KeptLine]:
    """Return lines of a file that are new in it, in order, after a line's id (0: from the first)."""
    first = line_id(file_number, 0)
    rows = await connection.fetch(
        _OF_FILE, HOUSE_BOOK_ID, first, line_id(file_number + 1, 0), max(after, first - 1), limit
    )
    return [KeptLine(row["id"], _line(row)) for row in rows]


def _row(file_number: int, line: Line, on: date) -> tuple[object, ...]:
    return (
        line_id(file_number, line.number),
        line.gross_minor,
        line.fee_minor,
        line.net_minor,
        line.occurred_at,
        on,
        line.value_on,
        line.count,
        line.kind.value,
        line.currency,
        line.key,
        line.reference,
        line.channel_reference,
        line.batch,
        line.text,
    )


def _line(row: "dict[str, object]") -> Line:
    fields = {name: row[name] for name in Line.__struct_fields__ if name not in {"number", "text"}}
    fields |= {"number": int(str(row["id"])) & ((1 << LINE_BITS) - 1), "text": row["note"]}
    return msgspec.convert(fields, Line)


def _body(file: SourceFile) -> str:
    return msgspec.json.encode(file).decode()


def _file(body: str) -> SourceFile:
    return msgspec.json.decode(body, type=SourceFile)


def _kept(row: "dict[str, object] | None") -> KeptFile | None:
    return None if row is None else KeptFile(int(str(row["number"])), _file(str(row["body"])))
