"""The SQL of breaks and of what was done about them. All of it belongs to the house, which is book 0 here."""

from collections.abc import Sequence
from datetime import date
from uuid import UUID

import msgspec

from tongbao.clearing.schema.breaks import Break, BreakKind, BreakState, Leg
from tongbao.clearing.store.lines import HOUSE_BOOK_ID
from tongbao.core.db import Connection

_PUT = """
INSERT INTO clearing.break (book_id, id, owner_book_id, opened_on, opened_at, updated_at, difference_minor, version,
    leg, source, kind, state, currency, body)
SELECT $1, * FROM unnest($2::uuid[], $3::bigint[], $4::date[], $5::timestamptz[], $6::timestamptz[], $7::bigint[],
    $8::integer[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::jsonb[])
ON CONFLICT (book_id, id) DO UPDATE SET owner_book_id = excluded.owner_book_id, updated_at = excluded.updated_at,
    difference_minor = excluded.difference_minor, version = excluded.version, kind = excluded.kind,
    state = excluded.state, currency = excluded.currency, body = excluded.body
"""
_ADD_ACTS = """
INSERT INTO clearing.break_act (book_id, break_id, version, at, state, actor, note)
SELECT $1, * FROM unnest($2::uuid[], $3::integer[], $4::timestamptz[], $5::text[], $6::text[], $7::text[])
"""
_STANDING = """
SELECT body FROM clearing.break
WHERE book_id = $1 AND leg = $2 AND source = $3 AND (state IN ('open', 'explained', 'proposed') OR id = ANY ($4::uuid[]))
FOR UPDATE
"""
_ONE = "SELECT body FROM clearing.break WHERE book_id = $1 AND id = $2"
_LOCK = _ONE + " FOR UPDATE"
_PAGE = """
SELECT body FROM clearing.break
WHERE book_id = $1 AND ($2::text[] IS NULL OR state = ANY ($2)) AND ($3::text IS NULL OR kind = $3)
    AND ($4::text IS NULL OR source = $4) AND ($5::bigint IS NULL OR owner_book_id = $5)
    AND ($6::date IS NULL OR (opened_on, id) < ($6, $7::uuid))
ORDER BY opened_on DESC, id DESC LIMIT $8
"""
_AGES = """
SELECT kind, currency, $2::date - opened_on AS age, count(*) AS count, sum(abs(difference_minor))::bigint AS amount
FROM clearing.break WHERE book_id = $1 AND state IN ('open', 'explained', 'proposed') AND opened_on <= $2
GROUP BY kind, currency, age ORDER BY kind, currency, age
"""
_ACTS = """
SELECT version, at, state, actor, note FROM clearing.break_act WHERE book_id = $1 AND break_id = $2 ORDER BY version
"""


async def put(connection: Connection, breaks: Sequence[Break]) -> None:
    """Keep versions of breaks, and who made them why."""
    if not breaks:
        return
    await connection.execute(
        _PUT,
        HOUSE_BOOK_ID,
        [each.id for each in breaks],
        [each.book_id for each in breaks],
        [each.opened_on for each in breaks],
        [each.opened_at for each in breaks],
        [each.updated_at for each in breaks],
        [each.found.difference_minor for each in breaks],
        [each.version for each in breaks],
        [each.leg.value for each in breaks],
        [each.source for each in breaks],
        [each.found.kind.value for each in breaks],
        [each.state.value for each in breaks],
        [each.found.currency for each in breaks],
        [msgspec.json.encode(each).decode() for each in breaks],
    )
    await connection.execute(
        _ADD_ACTS,
        HOUSE_BOOK_ID,
        [each.id for each in breaks],
        [each.version for each in breaks],
        [each.updated_at for each in breaks],
        [each.state.value for each in breaks],
        [each.actor for each in breaks],
        [each.note for each in breaks],
    )


async def standing(connection: Connection, leg: Leg, source: str, ids: Sequence[UUID]) -> list[Break]:
    """Return the breaks of a source that are not closed, and these whatever they are, locked."""
    rows = await connection.fetch(_STANDING, HOUSE_BOOK_ID, leg.value, source, list(ids))
    return [_break(row["body"]) for row in rows]


async def by_id(connection: Connection, break_id: UUID, *, lock: bool = False) -> Break | None:
    """Return a break."""
    body = await connection.fetchval(_LOCK if lock else _ONE, HOUSE_BOOK_ID, break_id)
    return None if body is None else _break(body)


async def page(
    connection: Connection,
    states: Sequence[BreakState] | None,
    of: tuple[BreakKind | None, str | None, int | None],
    before: tuple[date, UUID] | None,
    limit: int,
) -> list[Break]:
    """Return breaks, newest day first; ``of``: kind, source and the merchant's book, None for any."""
    kind, source, owner = of
    rows = await connection.fetch(
        _PAGE,
        HOUSE_BOOK_ID,
        None if states is None else [each.value for each in states],
        None if kind is None else kind.value,
        source,
        owner,
        *(before or (None, None)),
        limit,
    )
    return [_break(row["body"]) for row in rows]


async def ages(connection: Connection, on: date) -> list[tuple[str, str, int, int, int]]:
    """Return kind, currency, age in days, count and absolute amount of the breaks that stand on a day."""
    rows = await connection.fetch(_AGES, HOUSE_BOOK_ID, on)
    return [(row["kind"], row["currency"], row["age"], row["count"], row["amount"]) for row in rows]


async def acts(connection: Connection, break_id: UUID) -> list[dict[str, object]]:
    """Return what was done about a break: ``version``, ``at``, ``state``, ``actor``, ``note``."""
    return [dict(row) for row in await connection.fetch(_ACTS, HOUSE_BOOK_ID, break_id)]


def _break(body: str) -> Break:
    return msgspec.json.decode(body, type=Break)
