"""The SQL of the sides of breaks: the records behind their ids, and whether somebody matched them meanwhile."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from tongbao.clearing.schema.break_sides import ExpectedSide, ReportedSide
from tongbao.clearing.schema.breaks import Leg
from tongbao.clearing.schema.lines import FILE_PREFIX, LineKind
from tongbao.clearing.schema.movements import KIND_NAMES, MOVEMENT_PREFIX, MovementKind
from tongbao.clearing.schema.payouts import PAYOUT_PREFIX
from tongbao.clearing.store.lines import HOUSE_BOOK_ID
from tongbao.clearing.store.reconciliation import LEGS
from tongbao.core.db import Connection
from tongbao.core.ids import uuid_text

_INTENT_PREFIX = "pi"
_LINE_ID_BITS = 63
_COST = 1 << 62
"""Marks the cost of a line where what was told of a payment is compared with what moved."""

_MOVEMENTS = """
SELECT m.id, m.book_id, m.kind, m.currency, m.amount_minor, m.reference, coalesce(m.channel_reference, '') AS theirs,
    (m.occurred_at AT TIME ZONE 'UTC')::date AS day, m.intent_id, p.cost_minor
FROM clearing.movement AS m
LEFT JOIN clearing.priced AS p ON p.book_id = m.book_id AND p.movement_id = m.id
WHERE m.id = ANY ($1::uuid[])
"""
_PAYOUTS = """
SELECT e.id, e.payout_id, e.book_id, e.kind, e.currency, e.amount_minor, e.reference, e.day
FROM (
    SELECT p.id, p.id AS payout_id, p.book_id, 'payout' AS kind, p.currency, -p.amount_minor AS amount_minor,
        p.end_to_end AS reference, (p.sent_at AT TIME ZONE 'UTC')::date AS day
    FROM clearing.payout AS p WHERE p.book_id = ANY ($1::bigint[])
    UNION ALL
    SELECT md5(p.id::text || ':returned')::uuid, p.id, p.book_id, 'return', p.currency, p.amount_minor, p.end_to_end,
        (p.ended_at AT TIME ZONE 'UTC')::date
    FROM clearing.payout AS p WHERE p.book_id = ANY ($1::bigint[]) AND p.state = 'returned'
) AS e
WHERE e.id = ANY ($2::uuid[])
"""
_LINES = """
SELECT id, kind, currency, gross_minor, net_minor, fee_minor, reference, channel_reference, batch, business_on,
    value_on, source, note
FROM clearing.line WHERE book_id = $1 AND id = ANY ($2::bigint[])
"""
_MATCHED = """
SELECT line_id, expected_id FROM clearing.matched
WHERE book_id = $1 AND leg = $2 AND (line_id = ANY ($3::bigint[]) OR expected_id = ANY ($4::uuid[]))
"""


async def expected(
    connection: Connection, leg: Leg, ids: Sequence[UUID], books: Collection[int]
) -> dict[UUID, ExpectedSide]:
    """Return records of ours by their ids; ``books``: those in which payouts are looked for."""
    if not ids:
        return {}
    if leg is Leg.CHANNEL:
        movements = {row["id"]: _of_movement(row) for row in await connection.fetch(_MOVEMENTS, list(ids))}
        return movements | await _told(connection, [each for each in ids if each not in movements])
    transfers = [each.int for each in ids if each.int >> _LINE_ID_BITS == 0]
    found = {
        UUID(int=row["id"]): _of_transfer(row)
        for row in await connection.fetch(_LINES, HOUSE_BOOK_ID, transfers)
    }
    rows = await connection.fetch(_PAYOUTS, list(books), list(ids))
    return found | {row["id"]: _of_payout(row) for row in rows}


async def reported(connection: Connection, leg: Leg, ids: Sequence[int]) -> dict[int, ReportedSide]:
    """Return lines by their ids."""
    if not ids:
        return {}
    amount = "gross_minor" if leg is Leg.CHANNEL else "net_minor"
    rows = await connection.fetch(_LINES, HOUSE_BOOK_ID, list(ids))
    return {row["id"]: _of_line(row, amount) for row in rows}


async def matched(
    connection: Connection, leg: Leg, lines: Sequence[int], records: Sequence[UUID]
) -> list[tuple[int, UUID]]:
    """Return the matches that these lines or records of ours are in."""
    rows = await connection.fetch(_MATCHED, HOUSE_BOOK_ID, LEGS.index(leg), list(lines), list(records))
    return [(row["line_id"], row["expected_id"]) for row in rows]


async def _told(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, ExpectedSide]:
    """Return what a channel told of payments, or of their costs, that its account should show."""
    named = {each: each.int & ~_COST for each in ids if each.int >> _LINE_ID_BITS == 0}
    if not named:
        return {}
    rows = {row["id"]: row for row in await connection.fetch(_LINES, HOUSE_BOOK_ID, list(named.values()))}
    return {
        each: _of_told(each, rows[line], is_cost=each.int != line)
        for each, line in named.items()
        if line in rows
    }


def _of_told(identity: UUID, row: Any, *, is_cost: bool) -> ExpectedSide:
    return ExpectedSide(
        id=identity,
        document=f"{FILE_PREFIX}:{row['source']}:{row['id']}",
        kind=LineKind.FEE.value if is_cost else row["kind"],
        currency=row["currency"],
        amount_minor=-row["fee_minor"] if is_cost else row["gross_minor"],
        reference=row["reference"],
        channel_reference=row["channel_reference"],
        on=row["business_on"],
    )


def _of_movement(row: Any) -> ExpectedSide:
    return ExpectedSide(
        id=row["id"],
        document=uuid_text(MOVEMENT_PREFIX, row["id"]),
        kind=KIND_NAMES[MovementKind(row["kind"])],
        currency=row["currency"],
        amount_minor=row["amount_minor"],
        reference=row["reference"],
        channel_reference=row["theirs"],
        on=row["day"],
        book_id=row["book_id"],
        payment="" if row["intent_id"] is None else uuid_text(_INTENT_PREFIX, row["intent_id"]),
        fee_minor=row["cost_minor"],
    )


def _of_transfer(row: Any) -> ExpectedSide:
    return ExpectedSide(
        id=UUID(int=row["id"]),
        document=f"{FILE_PREFIX}:{row['source']}:{row['id']}",
        kind=row["kind"],
        currency=row["currency"],
        amount_minor=row["net_minor"],
        reference=row["reference"],
        channel_reference=row["channel_reference"],
        on=row["value_on"] or row["business_on"],
    )


def _of_payout(row: Any) -> ExpectedSide:
    return ExpectedSide(
        id=row["id"],
        document=uuid_text(PAYOUT_PREFIX, row["payout_id"]),
        kind=row["kind"],
        currency=row["currency"],
        amount_minor=row["amount_minor"],
        reference=row["reference"],
        on=row["day"],
        book_id=row["book_id"],
    )


def _of_line(row: Any, amount: str) -> ReportedSide:
    return ReportedSide(
        id=row["id"],
        kind=LineKind(row["kind"]),
        currency=row["currency"],
        amount_minor=row[amount],
        net_minor=row["net_minor"],
        fee_minor=row["fee_minor"],
        reference=row["reference"],
        channel_reference=row["channel_reference"],
        batch=row["batch"],
        on=row["value_on"] or row["business_on"],
        text=row["note"],
    )
