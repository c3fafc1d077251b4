"""The SQL of delivering: deliveries made with their events, taken when due, recorded in batches.

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
