"""The SQL of deliveries: made with their events, taken when due, recorded in batches, looked at and sent again.

A delivery is taken by counting the attempt and pushing ``due_at`` to the end of a lease. Whoever took it and died
leaves it due again when that has passed. What is recorded later by somebody whose lease ended counts only where it
delivered.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from tongbao.core.db import Connection
from tongbao.payments.schema.webhooks import (
    Delivery,
    DeliveryAttempt,
    DeliveryFailure,
    DeliveryState,
    DisabledReason,
    Endpoint,
    EventRow,
)
from tongbao.payments.store.webhooks import endpoint_of, event_of

_INSERT = """
INSERT INTO webhooks.delivery (book_id, endpoint_id, event_id, position, place, attempt_count, round_start, occurred_at,
    due_at, object_id, state)
SELECT u.book_id, u.endpoint_id, u.event_id, u.position, u.place, 0, 0, u.occurred_at, $8, u.object_id, 'pending'
FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::bigint[], $5::smallint[], $6::timestamptz[], $7::uuid[])
    AS u (book_id, endpoint_id, event_id, position, place, occurred_at, object_id)
ON CONFLICT (book_id, endpoint_id, event_id) DO NOTHING
"""
# ``waiting`` hops from endpoint to endpoint along the index, so that the longest queue costs no more than the shortest;
# its order by ``due_at`` leaves the planner that index only. An EXISTS would be turned into a join with the whole queue.
# Of one endpoint no more is taken than it has room for, and of one object only the oldest of what is due or under way:
# so events of an object arrive in order unless one of them fails.
_TAKE = """
WITH RECURSIVE waiting AS (
    (
        SELECT d.book_id, d.endpoint_id FROM webhooks.delivery AS d
        WHERE d.due_at IS NOT NULL AND (d.book_id, d.endpoint_id) > ($1::bigint, $2::uuid)
        ORDER BY d.book_id, d.endpoint_id, d.due_at LIMIT 1
    )
    UNION ALL
    SELECT n.book_id, n.endpoint_id
    FROM waiting AS w
    CROSS JOIN LATERAL (
        SELECT d.book_id, d.endpoint_id FROM webhooks.delivery AS d
        WHERE d.due_at IS NOT NULL AND (d.book_id, d.endpoint_id) > (w.book_id, w.endpoint_id)
        ORDER BY d.book_id, d.endpoint_id, d.due_at LIMIT 1
    ) AS n
), due AS MATERIALIZED (
    SELECT t.book_id, t.endpoint_id, t.event_id
    FROM waiting AS w
    JOIN webhooks.endpoint AS e
        ON e.book_id = w.book_id AND e.endpoint_id = w.endpoint_id AND e.state = 'enabled'
    LEFT JOIN unnest($6::uuid[], $7::integer[]) AS busy (endpoint_id, count) ON busy.endpoint_id = w.endpoint_id
    CROSS JOIN LATERAL (
        SELECT d.book_id, d.endpoint_id, d.event_id FROM webhooks.delivery AS d
        WHERE d.book_id = w.book_id AND d.endpoint_id = w.endpoint_id AND d.due_at <= $3
            AND (
                SELECT true FROM webhooks.delivery AS o
                WHERE o.book_id = d.book_id AND o.endpoint_id = d.endpoint_id AND o.object_id = d.object_id
                    AND o.due_at IS NOT NULL AND (o.position, o.place) < (d.position, d.place)
                    AND (o.due_at <= $3 OR o.state = 'sending')
                LIMIT 1
            ) IS NULL
        ORDER BY d.due_at, d.position, d.place
        LIMIT greatest(
            CASE WHEN e.consecutive_failures >= $9 THEN 1 ELSE $8 END - coalesce(busy.count, 0), 0)
        FOR NO KEY UPDATE OF d SKIP LOCKED
    ) AS t
    LIMIT $5
), taken AS (
    UPDATE webhooks.delivery AS d
    SET state = 'sending', attempt_count = d.attempt_count + 1, due_at = $4
    FROM due WHERE d.book_id = due.book_id AND d.endpoint_id = due.endpoint_id AND d.event_id = due.event_id
    RETURNING d.book_id, d.endpoint_id, d.event_id, d.attempt_count, d.round_start
)
SELECT e.book_id, e.event_id, e.live, e.type, e.object_kind, e.object_id, e.sequence, e.created_at, e.position, e.place,
    e.snapshot, e.previous, e.request_id, e.idempotency_key, t.endpoint_id, t.attempt_count, t.round_start, p.url,
    p.secret, CASE WHEN p.previous_until > $3 THEN p.previous_secret END AS previous_secret
FROM taken AS t
JOIN webhooks.event AS e ON e.book_id = t.book_id AND e.event_id = t.event_id
JOIN webhooks.endpoint AS p ON p.book_id = t.book_id AND p.endpoint_id = t.endpoint_id
ORDER BY t.book_id, t.endpoint_id, e.position, e.place
"""
_INSERT_ATTEMPTS = """
INSERT INTO webhooks.attempt (book_id, endpoint_id, event_id, attempt_no, attempted_at, took_ms, status, failure, answer)
SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::integer[], $5::timestamptz[], $6::integer[],
    $7::smallint[], $8::text[], $9::text[])
ON CONFLICT DO NOTHING
RETURNING endpoint_id, event_id, attempt_no
"""
_END = """
UPDATE webhooks.delivery AS d
SET state = u.state, due_at = u.due_at, ended_at = CASE WHEN u.due_at IS NULL THEN u.ended_at END
FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::integer[], $5::text[], $6::timestamptz[], $7::timestamptz[])
    AS u (book_id, endpoint_id, event_id, attempt_no, state, due_at, ended_at)
WHERE d.book_id = u.book_id AND d.endpoint_id = u.endpoint_id AND d.event_id = u.event_id
    AND u.attempt_no > d.round_start AND d.state <> 'delivered'
    AND (u.state = 'delivered' OR (d.state = 'sending' AND d.attempt_count = u.attempt_no))
"""
_TALLY = """
UPDATE webhooks.endpoint AS e
SET consecutive_failures = CASE WHEN u.succeeded THEN u.failures ELSE e.consecutive_failures + u.failures END,
    failing_since = CASE WHEN u.failures = 0 THEN NULL WHEN u.succeeded THEN u.failed_at
        ELSE coalesce(e.failing_since, u.failed_at) END
FROM unnest($1::bigint[], $2::uuid[], $3::boolean[], $4::integer[], $5::timestamptz[])
    AS u (book_id, endpoint_id, succeeded, failures, failed_at)
WHERE e.book_id = u.book_id AND e.endpoint_id = u.endpoint_id AND (u.failures > 0 OR e.consecutive_failures > 0)
"""
_DISABLE = """
UPDATE webhooks.endpoint AS e
SET state = 'disabled', disabled_reason = CASE WHEN u.gone THEN $4 ELSE $5 END, version = e.version + 1,
    updated_at = $6
FROM unnest($1::bigint[], $2::uuid[], $3::boolean[]) AS u (book_id, endpoint_id, gone)
WHERE e.book_id = u.book_id AND e.endpoint_id = u.endpoint_id AND e.state = 'enabled'
    AND (u.gone OR e.failing_since <= $7)
RETURNING e.book_id, e.endpoint_id, e.live, e.version, e.url, e.enabled_events, e.description, e.metadata, e.api_version,
    e.state, e.disabled_reason, e.created_at, e.updated_at
"""
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
_ONE = _COLUMNS + "WHERE d.book_id = $1 AND d.event_id = $2 AND d.endpoint_id = $3"
_ATTEMPTS = """
SELECT endpoint_id, event_id, attempt_no, attempted_at, took_ms, status, failure, answer FROM webhooks.attempt
WHERE book_id = $1 AND endpoint_id = $2 AND ($3::uuid IS NULL OR event_id = $3)
ORDER BY attempted_at DESC, attempt_no DESC LIMIT $4
"""

EventPlace = tuple[datetime, int, int]
"""Where an event stands in its book: instant, position and place."""
FIRST_ENDPOINT = (-(2**63), UUID(int=0))


class Taken(NamedTuple):
    """A delivery that this process is to attempt: number ``attempt_no``, the ``tries``-th since it was asked for."""

    event: EventRow
    endpoint_id: UUID
    attempt_no: int
    tries: int
    url: str
    secrets: tuple[bytes, ...]


class Capacity(NamedTuple):
    """How much may be taken, of all and of each endpoint; ``busy`` counts what is under way in this process."""

    limit: int
    endpoint_max: int
    failing_from: int
    busy: Mapping[UUID, int]


class Ended(NamedTuple):
    """How an attempt ended, and what becomes of the delivery. ``gone``: the endpoint wants no more."""

    book_id: int
    endpoint_id: UUID
    event_id: UUID
    attempt_no: int
    attempted_at: datetime
    took_ms: int
    status: int | None
    failure: DeliveryFailure | None
    answer: str
    state: DeliveryState
    due_at: datetime | None
    ended_at: datetime
    gone: bool


class Tally(NamedTuple):
    """What a batch of attempts says of an endpoint: whether one succeeded, and the failures after the last that did."""

    book_id: int
    endpoint_id: UUID
    succeeded: bool
    failures: int
    failed_at: datetime | None
    gone: bool


async def insert(connection: Connection, wanted: Sequence[tuple[EventRow, UUID]], due_at: datetime) -> None:
    """Insert deliveries of events to endpoints, due at ``due_at``; those that exist stay as they are."""
    await connection.execute(
        _INSERT,
        [event.book_id for event, _ in wanted],
        [endpoint_id for _, endpoint_id in wanted],
        [event.id for event, _ in wanted],
        [event.position for event, _ in wanted],
        [event.place for event, _ in wanted],
        [event.created_at for event, _ in wanted],
        [event.object_id for event, _ in wanted],
        due_at,
    )


async def take(
    connection: Connection,
    now: datetime,
    leased_until: datetime,
    capacity: Capacity,
    beyond: tuple[int, UUID] = FIRST_ENDPOINT,
) -> list[Taken]:
    """Take due deliveries of the endpoints that follow ``beyond`` in order of key; autocommit."""
    rows = await connection.fetch(
        _TAKE,
        *beyond,
        now,
        leased_until,
        capacity.limit,
        list(capacity.busy.keys()),
        list(capacity.busy.values()),
        capacity.endpoint_max,
        capacity.failing_from,
    )
    return [_taken(row) for row in rows]


async def insert_attempts(connection: Connection, attempts: Sequence[Ended]) -> set[tuple[UUID, UUID, int]]:
    """Insert attempts; return the keys (endpoint, event, number) of those that were not recorded yet."""
    rows = await connection.fetch(
        _INSERT_ATTEMPTS,
        [each.book_id for each in attempts],
        [each.endpoint_id for each in attempts],
        [each.event_id for each in attempts],
        [each.attempt_no for each in attempts],
        [each.attempted_at for each in attempts],
        [each.took_ms for each in attempts],
        [each.status for each in attempts],
        [each.failure for each in attempts],
        [each.answer for each in attempts],
    )
    return {(row[0], row[1], row[2]) for row in rows}


async def end(connection: Connection, attempts: Sequence[Ended]) -> None:
    """Move deliveries on, each named once; see the module for what no longer counts."""
    await connection.execute(
        _END,
        [each.book_id for each in attempts],
        [each.endpoint_id for each in attempts],
        [each.event_id for each in attempts],
        [each.attempt_no for each in attempts],
        [each.state for each in attempts],
        [each.due_at for each in attempts],
        [each.ended_at for each in attempts],
    )


async def tally(connection: Connection, tallies: Sequence[Tally]) -> None:
    """Count failures in a row; an endpoint that does well is not written at all."""
    await connection.execute(
        _TALLY,
        [each.book_id for each in tallies],
        [each.endpoint_id for each in tallies],
        [each.succeeded for each in tallies],
        [each.failures for each in tallies],
        [each.failed_at for each in tallies],
    )


async def disable(
    connection: Connection, tallies: Sequence[Tally], now: datetime, failing_since_max: datetime
) -> list[Endpoint]:
    """Disable endpoints that are gone, or fail since ``failing_since_max`` or longer; return them."""
    rows = await connection.fetch(
        _DISABLE,
        [each.book_id for each in tallies],
        [each.endpoint_id for each in tallies],
        [each.gone for each in tallies],
        DisabledReason.GONE,
        DisabledReason.FAILING,
        now,
        failing_since_max,
    )
    return [endpoint_of(row) for row in rows]


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


def _taken(row: Mapping[str, Any]) -> Taken:
    sealed = (row["secret"], row["previous_secret"])
    return Taken(
        event_of(row),
        UUID(int=row["endpoint_id"].int),
        row["attempt_count"],
        row["attempt_count"] - row["round_start"],
        row["url"],
        tuple(secret for secret in sealed if secret is not None),
    )


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
