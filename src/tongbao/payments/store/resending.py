"""The SQL of deliveries as people see them: lists, attempts, and what is to be sent again.

Functions join the caller's transaction where there is one.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from tongbao.core.db import Connection
from tongbao.payments.schema.webhooks import Delivery, DeliveryAttempt, DeliveryFailure, DeliveryState

# What waits or is under way stays as it is; anything else begins a new round of tries.
_RENEW = """
INSERT INTO webhooks.delivery AS d (book_id, endpoint_id, event_id, position, place, attempt_count, round_start,
    occurred_at, due_at, object_id, state)
SELECT e.book_id, $2, e.event_id, e.position, e.place, 0, 0, e.created_at, $4, e.object_id, 'pending'
FROM webhooks.event AS e WHERE e.book_id = $1 AND e.event_id = ANY ($3::uuid[])
ON CONFLICT (book_id, endpoint_id, event_id) DO UPDATE
SET state = 'pending', due_at = excluded.due_at, ended_at = NULL, round_start = d.attempt_count
WHERE d.due_at IS NULL
"""
# Asked for by hand: what waits for its next try is tried now; what is under way is let be.
_HURRY = """
UPDATE webhooks.delivery SET due_at = $4, round_start = attempt_count
WHERE book_id = $1 AND endpoint_id = $2 AND event_id = $3 AND state = 'pending'
"""
_DEAD_PAGE = """
SELECT event_id FROM webhooks.delivery
WHERE book_id = $1 AND endpoint_id = $2 AND state = 'dead'
    AND ($3::timestamptz IS NULL OR (occurred_at, position, place) > ($3, $4, $5))
ORDER BY occurred_at, position, place LIMIT $6
"""
_SINCE_PAGE = """
SELECT e.event_id FROM webhooks.event AS e
WHERE e.book_id = $1 AND e.created_at >= $2
    AND (e.type = ANY ($3::text[])
        OR EXISTS (SELECT 1 FROM unnest($4::text[]) AS b (beginning) WHERE starts_with(e.type, b.beginning)))
    AND ($5::timestamptz IS NULL OR (e.created_at, e.position, e.place) > ($5, $6, $7))
ORDER BY e.created_at, e.position, e.place LIMIT $8
"""
_COLUMNS = """
SELECT d.endpoint_id, d.event_id, e.type, d.object_id, d.state, d.attempt_count, d.occurred_at, d.due_at, d.ended_at
FROM webhooks.delivery AS d JOIN webhooks.event AS e ON e.book_id = d.book_id AND e.event_id = d.event_id
"""
_OF_ENDPOINT = (
    _COLUMNS
    + """WHERE d.book_id = $1 AND d.endpoint_id = $2 AND ($3::text IS NULL OR d.state = $3)
    AND ($4::timestamptz IS NULL OR (d.occurred_at, d.position, d.place) < ($4, $5, $6))
ORDER BY d.occurred_at DESC, d.position DESC, d.place DESC LIMIT $7"""
)
_OF_EVENT = _COLUMNS + "WHERE d.book_id = $1 AND d.event_id = $2 ORDER BY d.endpoint_id"
_OF_OBJECTS = (
    _COLUMNS
    + """WHERE e.book_id = $1 AND d.book_id = $1 AND e.object_id = ANY ($2::uuid[])
ORDER BY d.occurred_at, d.position, d.place, d.endpoint_id LIMIT $3"""
)
_ONE = _COLUMNS + "WHERE d.book_id = $1 AND d.event_id = $2 AND d.endpoint_id = $3"
_ATTEMPTS = """
SELECT endpoint_id, event_id, attempt_no, attempted_at, took_ms, status, failure, answer FROM webhooks.attempt
WHERE book_id = $1 AND endpoint_id = $2 AND ($3::uuid IS NULL OR event_id = $3)
ORDER BY attempted_at DESC, attempt_no DESC LIMIT $4
"""


EventPlace = tuple[datetime, int, int]
"""Where an event stands in its book: instant, position and place."""


async def renew(
    connection: Connection, book_id: int, endpoint_id: UUID, event_ids: Sequence[UUID], now: datetime
) -> int:
    """Make deliveries due, from the first try on, unless they wait already; return how many."""
    status: str = await connection.execute(_RENEW, book_id, endpoint_id, list(event_ids), now)
    return int(status.rsplit(" ", 1)[1])


async def hurry(
    connection: Connection, book_id: int, endpoint_id: UUID, event_id: UUID, now: datetime
) -> None:
    """Make a delivery that waits for its next try due now."""
    await connection.execute(_HURRY, book_id, endpoint_id, event_id, now)


async def dead_page(
    connection: Connection, book_id: int, endpoint_id: UUID, cursor: EventPlace | None, limit: int
) -> list[UUID]:
    """Return events whose delivery to an endpoint died, oldest first."""
    place = cursor or (None, None, None)
    rows = await connection.fetch(_DEAD_PAGE, book_id, endpoint_id, *place, limit)
    return [UUID(int=row[0].int) for row in rows]


async def since_page(
    connection: Connection,
    book_id: int,
    since: datetime,
    types: tuple[Sequence[str], Sequence[str]],
    cursor: EventPlace | None,
    limit: int,
) -> list[UUID]:
    """Return events since an instant of some types (exact, beginnings), oldest first."""
    place = cursor or (None, None, None)
    rows = await connection.fetch(_SINCE_PAGE, book_id, since, *types, *place, limit)
    return [UUID(int=row[0].int) for row in rows]


async def of_endpoint(
    connection: Connection,
    book_id: int,
    endpoint_id: UUID,
    state: DeliveryState | None,
    cursor: EventPlace | None,
    limit: int,
) -> list[Delivery]:
    """Return deliveries to an endpoint, newest event first."""
    place = cursor or (None, None, None)
    rows = await connection.fetch(_OF_ENDPOINT, book_id, endpoint_id, state, *place, limit)
    return [_delivery(row) for row in rows]


async def of_event(connection: Connection, book_id: int, event_id: UUID) -> list[Delivery]:
    """Return the deliveries of an event."""
    return [_delivery(row) for row in await connection.fetch(_OF_EVENT, book_id, event_id)]


async def of_objects(
    connection: Connection, book_id: int, object_ids: Sequence[UUID], limit: int
) -> list[Delivery]:
    """Return the deliveries of all events about some objects, oldest event first."""
    rows = await connection.fetch(_OF_OBJECTS, book_id, list(object_ids), limit)
    return [_delivery(row) for row in rows]


async def one(connection: Connection, book_id: int, event_id: UUID, endpoint_id: UUID) -> Delivery | None:
    """Return the delivery of an event to an endpoint."""
    row = await connection.fetchrow(_ONE, book_id, event_id, endpoint_id)
    return None if row is None else _delivery(row)


async def attempts(
    connection: Connection, book_id: int, endpoint_id: UUID, event_id: UUID | None, limit: int
) -> list[DeliveryAttempt]:
    """Return the last attempts at an endpoint, newest first, of one event where it is named."""
    rows = await connection.fetch(_ATTEMPTS, book_id, endpoint_id, event_id, limit)
    return [_attempt(row) for row in rows]


def _delivery(row: Mapping[str, Any]) -> Delivery:
    return Delivery(
        endpoint_id=UUID(int=row["endpoint_id"].int),
        event_id=UUID(int=row["event_id"].int),
        type=row["type"],
        object_id=UUID(int=row["object_id"].int),
        state=DeliveryState(row["state"]),
        attempt_count=row["attempt_count"],
        occurred_at=row["occurred_at"],
        due_at=row["due_at"],
        ended_at=row["ended_at"],
    )


def _attempt(row: Mapping[str, Any]) -> DeliveryAttempt:
    failure = row["failure"]
    return DeliveryAttempt(
        endpoint_id=UUID(int=row["endpoint_id"].int),
        event_id=UUID(int=row["event_id"].int),
        attempt_no=row["attempt_no"],
        attempted_at=row["attempted_at"],
        took_ms=row["took_ms"],
        status=row["status"],
        failure=None if failure is None else DeliveryFailure(failure),
        answer=row["answer"],
    )
