"""The SQL of events and endpoints. Functions join the caller's transaction where there is one."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from tongbao.core.db import Connection
from tongbao.payments.schema.webhooks import (
    ENDPOINTS_MAX,
    DisabledReason,
    Endpoint,
    EndpointState,
    EventOrder,
    EventRow,
)

_EVENT_COLUMNS = """
SELECT e.book_id, e.event_id, e.live, e.type, e.object_kind, e.object_id, e.sequence, e.created_at, e.position, e.place,
    e.snapshot, e.previous, e.request_id, e.idempotency_key
FROM webhooks.event AS e
"""
_INSERT_EVENTS = """
INSERT INTO webhooks.event (book_id, event_id, live, type, object_kind, object_id, sequence, created_at, position, place,
    snapshot, previous, request_id, idempotency_key)
SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::boolean[], $4::text[], $5::text[], $6::uuid[], $7::integer[],
    $8::timestamptz[], $9::bigint[], $10::smallint[], $11::text[], $12::text[], $13::text[], $14::text[])
ON CONFLICT (book_id, event_id) DO NOTHING
RETURNING event_id
"""
_BEFORE = """
SELECT u.object_id, p.snapshot
FROM unnest($1::bigint[], $2::uuid[]) AS u (book_id, object_id)
CROSS JOIN LATERAL (
    SELECT e.snapshot FROM webhooks.event AS e
    WHERE e.book_id = u.book_id AND e.object_id = u.object_id
    ORDER BY e.position DESC, e.place DESC LIMIT 1
) AS p
"""
_EVENT = _EVENT_COLUMNS + "WHERE e.book_id = $1 AND e.event_id = $2"
_PLACE = "SELECT created_at, position, place FROM webhooks.event WHERE book_id = $1 AND event_id = $2"
# Conditions that are not asked for are NULL.
_PAGE_CONDITIONS = """
WHERE e.book_id = $1
    AND ($2::text[] IS NULL OR e.type = ANY ($2)
        OR EXISTS (SELECT 1 FROM unnest($3::text[]) AS b (beginning) WHERE starts_with(e.type, b.beginning)))
    AND ($4::uuid IS NULL OR e.object_id = $4)
    AND ($5::timestamptz IS NULL OR e.created_at >= $5) AND ($6::timestamptz IS NULL OR e.created_at < $6)
"""
_PAGE = (
    _EVENT_COLUMNS + _PAGE_CONDITIONS + "ORDER BY e.created_at DESC, e.position DESC, e.place DESC LIMIT $7"
)
_PAGE_AFTER = (
    _EVENT_COLUMNS
    + _PAGE_CONDITIONS
    + """AND (e.created_at, e.position, e.place) < ($8, $9, $10)
ORDER BY e.created_at DESC, e.position DESC, e.place DESC LIMIT $7"""
)
_PAGE_BEFORE = (
    _EVENT_COLUMNS
    + _PAGE_CONDITIONS
    + """AND (e.created_at, e.position, e.place) > ($8, $9, $10)
ORDER BY e.created_at, e.position, e.place LIMIT $7"""
)
_FORGET = """
WITH old AS (
    SELECT book_id, event_id FROM webhooks.event WHERE created_at < $1 ORDER BY created_at LIMIT $2
), deliveries AS (
    DELETE FROM webhooks.delivery AS d USING old
    WHERE d.book_id = old.book_id AND d.event_id = old.event_id
    RETURNING d.book_id, d.endpoint_id, d.event_id
), attempts AS (
    DELETE FROM webhooks.attempt AS a USING deliveries AS d
    WHERE a.book_id = d.book_id AND a.endpoint_id = d.endpoint_id AND a.event_id = d.event_id
)
DELETE FROM webhooks.event AS e USING old WHERE e.book_id = old.book_id AND e.event_id = old.event_id
"""

_ENDPOINT_COLUMNS = """
SELECT book_id, endpoint_id, live, version, url, enabled_events, description, metadata, api_version, state,
    disabled_reason, created_at, updated_at
FROM webhooks.endpoint
"""
# The lowest free slot; where another transaction takes it at the same time nothing is inserted.
_INSERT_ENDPOINT = """
INSERT INTO webhooks.endpoint (book_id, endpoint_id, slot, version, consecutive_failures, live, created_at, updated_at,
    state, url, description, api_version, disabled_reason, enabled_events, metadata, secret)
SELECT $1, $2, free.slot, $3, 0, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14
FROM (
    SELECT min(n.slot) AS slot FROM generate_series(0, $15 - 1) AS n (slot)
    WHERE NOT EXISTS (SELECT 1 FROM webhooks.endpoint AS o WHERE o.book_id = $1 AND o.slot = n.slot)
) AS free
WHERE free.slot IS NOT NULL
ON CONFLICT DO NOTHING
"""
_COUNT_ENDPOINTS = "SELECT count(*) FROM webhooks.endpoint WHERE book_id = $1 AND slot IS NOT NULL"
_ENDPOINT = _ENDPOINT_COLUMNS + "WHERE book_id = $1 AND endpoint_id = $2 AND state <> 'deleted'"
_LOCK_ENDPOINT = _ENDPOINT + " FOR NO KEY UPDATE"
_ENDPOINTS = _ENDPOINT_COLUMNS + "WHERE book_id = $1 AND state <> 'deleted' ORDER BY endpoint_id DESC"
_SUBSCRIBED = """
SELECT book_id, endpoint_id, enabled_events FROM webhooks.endpoint
WHERE book_id = ANY ($1::bigint[]) AND state = 'enabled' ORDER BY book_id, endpoint_id
"""
_UPDATE_ENDPOINT = """
UPDATE webhooks.endpoint
SET version = $3, url = $4, enabled_events = $5, description = $6, metadata = $7, state = $8, disabled_reason = $9,
    updated_at = $10,
    consecutive_failures = CASE WHEN state = 'disabled' AND $8 = 'enabled' THEN 0 ELSE consecutive_failures END,
    failing_since = CASE WHEN state = 'disabled' AND $8 = 'enabled' THEN NULL ELSE failing_since END
WHERE book_id = $1 AND endpoint_id = $2
"""
_ROTATE = """
UPDATE webhooks.endpoint
SET previous_secret = CASE WHEN $4::timestamptz IS NULL THEN NULL ELSE secret END, previous_until = $4, secret = $3,
    version = $5, updated_at = $6
WHERE book_id = $1 AND endpoint_id = $2
"""
_DELETE_ENDPOINT = """
UPDATE webhooks.endpoint
SET state = 'deleted', slot = NULL, secret = '', previous_secret = NULL, previous_until = NULL, metadata = '{}',
    version = version + 1, updated_at = $3
WHERE book_id = $1 AND endpoint_id = $2
"""
_DROP_WAITING = """
UPDATE webhooks.delivery SET state = 'dead', due_at = NULL, ended_at = $3
WHERE book_id = $1 AND endpoint_id = $2 AND due_at IS NOT NULL
"""
_HEALTH = """
SELECT e.state, e.consecutive_failures, e.failing_since, count(a.took_ms) AS attempt_count,
    count(*) FILTER (WHERE a.took_ms IS NOT NULL AND a.failure IS NULL) AS success_count,
    percentile_disc(0.95) WITHIN GROUP (ORDER BY a.took_ms) AS p95_ms
FROM webhooks.endpoint AS e
LEFT JOIN LATERAL (
    SELECT t.took_ms, t.failure FROM webhooks.attempt AS t
    WHERE t.book_id = e.book_id AND t.endpoint_id = e.endpoint_id ORDER BY t.attempted_at DESC LIMIT $3
) AS a ON true
WHERE e.book_id = $1 AND e.endpoint_id = $2 AND e.state <> 'deleted'
GROUP BY e.state, e.consecutive_failures, e.failing_since
"""


class Subscribed(NamedTuple):
    """An enabled endpoint and the patterns of the events that it wants."""

    book_id: int
    endpoint_id: UUID
    enabled_events: Sequence[str]


class HealthRow(NamedTuple):
    """What is counted of an endpoint's last attempts."""

    state: EndpointState
    consecutive_failures: int
    failing_since: datetime | None
    attempt_count: int
    success_count: int
    p95_ms: int | None


async def insert_events(connection: Connection, events: Sequence[EventRow]) -> set[UUID]:
    """Insert events; return the ids of those that were not there yet."""
    rows = await connection.fetch(
        _INSERT_EVENTS,
        [each.book_id for each in events],
        [each.id for each in events],
        [each.live for each in events],
        [each.type for each in events],
        [each.object_kind for each in events],
        [each.object_id for each in events],
        [each.sequence for each in events],
        [each.created_at for each in events],
        [each.position for each in events],
        [each.place for each in events],
        [each.snapshot for each in events],
        [each.previous for each in events],
        [each.request_id for each in events],
        [each.idempotency_key for each in events],
    )
    return {row[0] for row in rows}


async def last_snapshots(connection: Connection, objects: Sequence[tuple[int, UUID]]) -> dict[UUID, str]:
    """Return the snapshots of the last events that told of these documents (book and id)."""
    rows = await connection.fetch(
        _BEFORE, [book_id for book_id, _ in objects], [object_id for _, object_id in objects]
    )
    return {row["object_id"]: row["snapshot"] for row in rows}


async def event(connection: Connection, book_id: int, event_id: UUID) -> EventRow | None:
    """Return an event of a book."""
    row = await connection.fetchrow(_EVENT, book_id, event_id)
    return None if row is None else event_of(row)


async def event_place(
    connection: Connection, book_id: int, event_id: UUID
) -> tuple[datetime, int, int] | None:
    """Return the place of an event in its book's order: instant, position and place."""
    row = await connection.fetchrow(_PLACE, book_id, event_id)
    return None if row is None else (row[0], row[1], row[2])


async def events(
    connection: Connection,
    book_id: int,
    order: EventOrder,
    types: tuple[Sequence[str], Sequence[str]] | None,
    cursor: tuple[datetime, int, int] | None,
    limit: int,
) -> list[EventRow]:
    """Return events, newest first. ``types``: exact ones and beginnings; ``cursor``: of ``after`` or ``before``."""
    exact, beginnings = (None, None) if types is None else types
    conditions = (book_id, exact, beginnings, order.object_id, order.created_from, order.created_to, limit)
    if cursor is None:
        rows = await connection.fetch(_PAGE, *conditions)
    elif order.before is None:
        rows = await connection.fetch(_PAGE_AFTER, *conditions, *cursor)
    else:
        rows = (await connection.fetch(_PAGE_BEFORE, *conditions, *cursor))[::-1]
    return [event_of(row) for row in rows]


async def forget(connection: Connection, before: datetime, limit: int) -> int:
    """Delete at most ``limit`` events from before an instant, their deliveries and attempts; return how many."""
    status: str = await connection.execute(_FORGET, before, limit)
    return int(status.rsplit(" ", 1)[1])


async def insert_endpoint(connection: Connection, endpoint: Endpoint, secret: bytes) -> bool:
    """Insert an endpoint into a free slot of its book; False where another one took that slot, or none is free."""
    status = await connection.execute(
        _INSERT_ENDPOINT,
        endpoint.book_id,
        endpoint.id,
        endpoint.version,
        endpoint.live,
        endpoint.created_at,
        endpoint.updated_at,
        endpoint.state,
        endpoint.url,
        endpoint.description,
        endpoint.api_version,
        endpoint.disabled_reason,
        list(endpoint.enabled_events),
        _json(endpoint.metadata),
        secret,
        ENDPOINTS_MAX,
    )
    return bool(status == "INSERT 0 1")


async def endpoint_count(connection: Connection, book_id: int) -> int:
    """Return how many endpoints a book has."""
    count: int = await connection.fetchval(_COUNT_ENDPOINTS, book_id)
    return count


async def endpoint(
    connection: Connection, book_id: int, endpoint_id: UUID, *, lock: bool = False
) -> Endpoint | None:
    """Return an endpoint of a book, unless it was deleted; ``lock`` keeps others from changing it."""
    row = await connection.fetchrow(_LOCK_ENDPOINT if lock else _ENDPOINT, book_id, endpoint_id)
    return None if row is None else endpoint_of(row)


async def endpoints(connection: Connection, book_id: int) -> list[Endpoint]:
    """Return the endpoints of a book, newest first."""
    return [endpoint_of(row) for row in await connection.fetch(_ENDPOINTS, book_id)]


async def subscribed(connection: Connection, book_ids: Sequence[int]) -> list[Subscribed]:
    """Return the enabled endpoints of some books, and what each wants."""
    return [Subscribed(*row) for row in await connection.fetch(_SUBSCRIBED, list(book_ids))]


async def update_endpoint(connection: Connection, changed: Endpoint) -> None:
    """Write the next version of an endpoint; one that is enabled again has a clean record."""
    await connection.execute(
        _UPDATE_ENDPOINT,
        changed.book_id,
        changed.id,
        changed.version,
        changed.url,
        list(changed.enabled_events),
        changed.description,
        _json(changed.metadata),
        changed.state,
        changed.disabled_reason,
        changed.updated_at,
    )


async def rotate(connection: Connection, changed: Endpoint, secret: bytes, until: datetime | None) -> None:
    """Give an endpoint another secret; the one before stays valid until ``until``, or not at all."""
    await connection.execute(
        _ROTATE, changed.book_id, changed.id, secret, until, changed.version, changed.updated_at
    )


async def delete_endpoint(connection: Connection, book_id: int, endpoint_id: UUID, at: datetime) -> None:
    """Delete an endpoint, its secrets, and whatever waits for it; what it was told stays until it is forgotten."""
    await connection.execute(_DELETE_ENDPOINT, book_id, endpoint_id, at)
    await connection.execute(_DROP_WAITING, book_id, endpoint_id, at)


async def health(connection: Connection, book_id: int, endpoint_id: UUID, attempts: int) -> HealthRow | None:
    """Return what is counted of the last ``attempts`` attempts at an endpoint."""
    row = await connection.fetchrow(_HEALTH, book_id, endpoint_id, attempts)
    return None if row is None else HealthRow(EndpointState(row[0]), *row[1:])


def event_of(row: Mapping[str, Any]) -> EventRow:
    """Read the columns of an event."""
    return EventRow(
        book_id=row["book_id"],
        id=UUID(int=row["event_id"].int),
        live=row["live"],
        type=row["type"],
        object_kind=row["object_kind"],
        object_id=UUID(int=row["object_id"].int),
        sequence=row["sequence"],
        created_at=row["created_at"],
        position=row["position"],
        place=row["place"],
        snapshot=row["snapshot"],
        previous=row["previous"],
        request_id=row["request_id"],
        idempotency_key=row["idempotency_key"],
    )


def endpoint_of(row: Mapping[str, Any]) -> Endpoint:
    """Read the columns of an endpoint."""
    reason = row["disabled_reason"]
    return Endpoint(
        id=UUID(int=row["endpoint_id"].int),
        book_id=row["book_id"],
        live=row["live"],
        version=row["version"],
        url=row["url"],
        enabled_events=tuple(row["enabled_events"]),
        description=row["description"],
        metadata=msgspec.json.decode(row["metadata"], type=dict[str, str]),
        api_version=row["api_version"],
        state=EndpointState(row["state"]),
        disabled_reason=None if reason is None else DisabledReason(reason),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
