"""The SQL of lists. Rows are only ever inserted; what stands is an entry without a removal that has not expired.

Whoever writes takes the next number of change first and so holds the one row that numbers them until the commit: numbers
are in the order of commits, and a reader that knows all up to one misses nothing by asking for what is above it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from tongbao.core.db import Connection
from tongbao.risk.schema.lists import HOUSE_BOOK_ID, ListEffect, ListEntry, ListKey, ListKind, NamedList

_NEXT = """
INSERT INTO risk.list_head (name, change_no) VALUES ('lists', 1)
ON CONFLICT (name) DO UPDATE SET change_no = risk.list_head.change_no + 1 RETURNING change_no
"""
_LAST = "SELECT change_no FROM risk.list_head WHERE name = 'lists'"

_LIST = "SELECT book_id, live, name, effect, note, declared_at, declared_by FROM risk.list "
_LIST_OF = _LIST + "WHERE book_id = $1 AND live = $2 AND name = $3"
_LISTS = _LIST + "WHERE book_id = $1 AND live = $2 ORDER BY name LIMIT $3"
_NAMES = "SELECT DISTINCT name FROM risk.list WHERE book_id = $1 OR book_id = $2 ORDER BY name LIMIT $3"
_INSERT_LIST = """
INSERT INTO risk.list (book_id, live, name, effect, note, declared_at, declared_by, change_no)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""

_ENTRY = """
SELECT e.id, e.book_id, e.live, e.list_name, e.kind, e.value, e.reason, e.added_at, e.added_by, e.expires_at,
    r.removed_at, coalesce(r.removed_by, '') AS removed_by, coalesce(r.reason, '') AS removed_because
FROM risk.list_entry AS e LEFT JOIN risk.list_removal AS r ON r.book_id = e.book_id AND r.entry_id = e.id
"""
_ENTRY_OF = _ENTRY + "WHERE e.book_id = $1 AND e.id = $2"
_STANDING = (
    _ENTRY
    + """
WHERE e.book_id = $1 AND e.live = $2 AND e.list_name = $3
    AND (e.kind, e.value) IN (SELECT * FROM unnest($4::text[], $5::text[]))
    AND r.entry_id IS NULL AND (e.expires_at IS NULL OR e.expires_at > $6)
"""
)
_PAGE = (
    _ENTRY
    + """
WHERE e.book_id = $1 AND e.live = $2 AND e.list_name = $3 AND ($4::uuid IS NULL OR e.id < $4)
    AND ($5::timestamptz IS NULL OR (r.entry_id IS NULL AND (e.expires_at IS NULL OR e.expires_at > $5)))
ORDER BY e.id DESC LIMIT $6
"""
)
_COUNTS = """
SELECT count(*) FILTER (WHERE e.book_id = $1) AS of_book, count(*) AS of_all
FROM risk.list_entry AS e LEFT JOIN risk.list_removal AS r ON r.book_id = e.book_id AND r.entry_id = e.id
WHERE r.entry_id IS NULL AND (e.expires_at IS NULL OR e.expires_at > $2)
"""
_INSERT_ENTRIES = """
INSERT INTO risk.list_entry (book_id, live, list_name, added_at, added_by, change_no, id, kind, value, reason, expires_at)
SELECT $1, $2, $3, $4, $5, $6, u.id, u.kind, u.value, u.reason, u.expires_at
FROM unnest($7::uuid[], $8::text[], $9::text[], $10::text[], $11::timestamptz[]) AS u (id, kind, value, reason, expires_at)
"""
_INSERT_REMOVAL = """
INSERT INTO risk.list_removal (book_id, entry_id, removed_at, removed_by, reason, change_no) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING
"""

# Read by every process across all books, along the indexes on changes: the page is cut before anything is joined to it.
_ADDED = """
SELECT l.effect, e.change_no, e.id, e.book_id, e.live, e.list_name, e.kind, e.value, e.reason, e.added_at, e.added_by,
    e.expires_at, r.entry_id IS NULL AND (e.expires_at IS NULL OR e.expires_at > $3) AS stands
FROM (
    SELECT * FROM risk.list_entry WHERE (change_no, id) > ($1, $2) ORDER BY change_no, id LIMIT $4
) AS e
JOIN risk.list AS l ON l.book_id = e.book_id AND l.live = e.live AND l.name = e.list_name
LEFT JOIN risk.list_removal AS r ON r.book_id = e.book_id AND r.entry_id = e.id
ORDER BY e.change_no, e.id
"""
_REMOVED = """
SELECT change_no, entry_id FROM risk.list_removal WHERE (change_no, entry_id) > ($1, $2)
ORDER BY change_no, entry_id LIMIT $3
"""


class Added(NamedTuple):
    """A page of entries that were added and stand, with the effects of their lists; ``place`` is where it ends.

    None: it is empty, and what was read before was all.
    """

    entries: list[tuple[ListEntry, ListEffect]]
    place: tuple[int, UUID] | None


class Counts(NamedTuple):
    """Entries that stand: of one book, and of all."""

    of_book: int
    of_all: int


async def next_change(connection: Connection) -> int:
    """Return the number of the change that this transaction makes; other writers wait for its end."""
    return int(await connection.fetchval(_NEXT))


async def last_change(connection: Connection) -> int:
    """Return the number of the last change; 0 before the first."""
    return int(await connection.fetchval(_LAST) or 0)


async def named_list(connection: Connection, key: ListKey) -> NamedList | None:
    """Return a list as it was declared."""
    row = await connection.fetchrow(_LIST_OF, *key)
    return None if row is None else msgspec.convert(dict(row), NamedList)


async def named_lists(connection: Connection, book_id: int, live: bool, limit: int) -> list[NamedList]:
    """Return the lists of a book and mode, by name."""
    return [
        msgspec.convert(dict(row), NamedList) for row in await connection.fetch(_LISTS, book_id, live, limit)
    ]


async def names(connection: Connection, book_id: int, limit: int) -> list[str]:
    """Return the names of the lists of a book and of the house, of both modes."""
    return [row[0] for row in await connection.fetch(_NAMES, book_id, HOUSE_BOOK_ID, limit)]


async def insert_list(connection: Connection, declared: NamedList, change_no: int) -> None:
    """Insert a list."""
    await connection.execute(
        _INSERT_LIST,
        *declared.key,
        declared.effect.value,
        declared.note,
        declared.declared_at,
        declared.declared_by,
        change_no,
    )


async def entry(connection: Connection, book_id: int, entry_id: UUID) -> ListEntry | None:
    """Return an entry, whether it stands or not."""
    row = await connection.fetchrow(_ENTRY_OF, book_id, entry_id)
    return None if row is None else _entry(row)


async def standing(
    connection: Connection, key: ListKey, values: Sequence[tuple[ListKind, str]], now: datetime
) -> list[ListEntry]:
    """Return the entries of a list that stand at ``now`` for any of ``values``."""
    kinds, texts = [kind.value for kind, _ in values], [text for _, text in values]
    return [_entry(row) for row in await connection.fetch(_STANDING, *key, kinds, texts, now)]


async def page(
    connection: Connection,
    key: ListKey,
    before: UUID | None,
    standing_at: datetime | None,
    limit: int,
) -> list[ListEntry]:
    """Return entries of a list, newest first, those before ``before`` and, where it is given, standing at an instant."""
    return [_entry(row) for row in await connection.fetch(_PAGE, *key, before, standing_at, limit)]


async def counts(connection: Connection, book_id: int, now: datetime) -> Counts:
    """Return how many entries stand at ``now``."""
    return Counts(*await connection.fetchrow(_COUNTS, book_id, now))


async def insert_entries(connection: Connection, entries: Sequence[ListEntry], change_no: int) -> None:
    """Insert entries of one list that were added by one act."""
    if not entries:
        return
    first = entries[0]
    await connection.execute(
        _INSERT_ENTRIES,
        *(first.book_id, first.live, first.list_name, first.added_at, first.added_by, change_no),
        [each.id for each in entries],
        [each.kind.value for each in entries],
        [each.value for each in entries],
        [each.reason for each in entries],
        [each.expires_at for each in entries],
    )


async def insert_removal(connection: Connection, removed: ListEntry, change_no: int) -> bool:
    """Insert the removal that an entry tells of; False where it was removed before."""
    done = await connection.execute(
        _INSERT_REMOVAL,
        *(removed.book_id, removed.id, removed.removed_at, removed.removed_by, removed.removed_because),
        change_no,
    )
    return str(done).endswith(" 1")


async def added_after(connection: Connection, place: tuple[int, UUID], now: datetime, limit: int) -> Added:
    """Return the entries that stand at ``now`` among the ``limit`` that were added next after a place."""
    rows = await connection.fetch(_ADDED, *place, now, limit)
    entries = [(_entry(row), ListEffect(row["effect"])) for row in rows if row["stands"]]
    return Added(entries, (rows[-1]["change_no"], UUID(int=rows[-1]["id"].int)) if rows else None)


async def removed_after(
    connection: Connection, place: tuple[int, UUID], limit: int
) -> list[tuple[int, UUID]]:
    """Return numbers of change and ids of entries that were removed after a place, in the order of changes."""
    return [(row[0], UUID(int=row[1].int)) for row in await connection.fetch(_REMOVED, *place, limit)]


def _entry(row: Any) -> ListEntry:
    # Built by hand: a process reads all entries of the house when it starts.
    return ListEntry(
        id=UUID(int=row["id"].int),  # the driver's ids are of a class of its own, which does not pickle
        book_id=row["book_id"],
        live=row["live"],
        list_name=row["list_name"],
        kind=ListKind(row["kind"]),
        value=row["value"],
        reason=row["reason"],
        added_at=row["added_at"],
        added_by=row["added_by"],
        expires_at=row["expires_at"],
        removed_at=row.get("removed_at"),
        removed_by=row.get("removed_by", ""),
        removed_because=row.get("removed_because", ""),
    )
