"""The SQL of overviews: payments found by what people know of them, and sums over hours. Reads only.

Payments carry the time of their beginning in their ids, so an interval is a range of the primary key.
"""

from datetime import datetime

import msgspec

from tongbao.core.db import Connection
from tongbao.core.ids import first_uuid_at
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.overviews import SCANNED_MAX, GoneBack, Rail, Taking, Wanted

_INTENT = msgspec.json.Decoder(Intent)
_ATTEMPT = msgspec.json.Decoder(Attempt)
# The questions of ``schema.standing.standing_of`` in the same order. What has its default is not stored.
_STANDING = """
CASE
    WHEN coalesce(i.body ->> 'certainty', 'known') <> 'known' THEN 'unknown'
    WHEN i.body ->> 'risk_state' = 'review' AND i.state <> 'canceled' THEN 'review'
    WHEN coalesce((a.body ->> 'disputed_minor')::bigint, 0) > 0 THEN 'disputed'
    WHEN i.state = 'succeeded' AND coalesce((i.body ->> 'amount_refunded_minor')::bigint, 0) > 0 THEN
        CASE WHEN (i.body ->> 'amount_refunded_minor')::bigint
            >= coalesce((i.body ->> 'amount_received_minor')::bigint, 0) THEN 'refunded' ELSE 'partly_refunded' END
    WHEN i.state NOT IN ('requires_payment_method', 'requires_confirmation') THEN i.state
    WHEN i.body ->> 'last_error' IS NULL THEN 'not_paid'
    WHEN i.body ->> 'risk_state' = 'blocked' THEN 'blocked'
    ELSE 'declined'
END
"""
# Conditions that are not asked for are NULL. A word is looked for among the newest payments only.
_SEARCH = (
    """
SELECT i.body, a.body FROM payments.intent AS i
LEFT JOIN payments.attempt AS a
    ON a.book_id = i.book_id AND a.kind = 2 AND a.id = (i.body ->> 'attempt_id')::uuid
WHERE i.book_id = $1 AND i.kind = 1
    AND ($2::uuid IS NULL OR i.id < $2)
    AND ($3::uuid IS NULL OR i.id >= $3) AND ($4::uuid IS NULL OR i.id < $4)
    AND ($6::text IS NULL OR a.body -> 'method' ->> 'type' = $6)
    AND ($7::bigint IS NULL OR (i.body ->> 'amount_minor')::bigint >= $7)
    AND ($8::bigint IS NULL OR (i.body ->> 'amount_minor')::bigint <= $8)
    AND ($9::text IS NULL OR (
        i.id > coalesce((SELECT n.id FROM payments.intent AS n WHERE n.book_id = $1 AND n.kind = 1
            ORDER BY n.id DESC OFFSET $12 LIMIT 1), '00000000-0000-0000-0000-000000000000')
        AND (starts_with(lower(i.body ->> 'merchant_reference'), $9)
            OR lower(i.body ->> 'receipt_email') = $9
            OR strpos(lower(i.body ->> 'description'), $9) > 0
            OR i.owner_id = ANY ($11::uuid[])
            OR (i.body ->> 'amount_minor')::bigint = ANY ($10::bigint[])
            OR EXISTS (SELECT 1 FROM jsonb_each_text(coalesce(i.body -> 'metadata', '{}')) AS m
                WHERE strpos(lower(m.value), $9) > 0))))
    AND ($5::text IS NULL OR """
    + _STANDING
    + """ = $5)
ORDER BY i.id DESC LIMIT $13
"""
)
_TAKINGS = """
SELECT i.body ->> 'currency' AS currency,
    floor(extract(epoch FROM i.created_at - $2::timestamptz) / 3600)::integer AS hour,
    count(*) AS payment_count,
    count(*) FILTER (WHERE a.state IS NOT NULL
        AND a.state NOT IN ('sent', 'action_required', 'pending', 'unresolved')) AS tried_count,
    count(*) FILTER (WHERE a.state IN ('authorized', 'charged', 'captured_partial', 'captured', 'voided'))
        AS approved_count,
    coalesce(sum((i.body ->> 'amount_received_minor')::bigint), 0)::bigint AS taken_minor
FROM payments.intent AS i
LEFT JOIN payments.attempt AS a
    ON a.book_id = i.book_id AND a.kind = 2 AND a.id = (i.body ->> 'attempt_id')::uuid
WHERE i.book_id = $1 AND i.kind = 1 AND i.id >= $3 AND i.id < $4
GROUP BY 1, 2 ORDER BY 2, 1
"""
_RAILS = """
SELECT body -> 'method' ->> 'type' AS method, body ->> 'channel' AS channel, count(*) AS ended_count,
    count(*) FILTER (WHERE state IN ('authorized', 'charged', 'captured_partial', 'captured', 'voided'))
        AS approved_count
FROM payments.attempt
WHERE book_id = $1 AND kind = 2 AND id >= $2 AND id < $3
    AND state NOT IN ('sent', 'action_required', 'pending', 'unresolved')
GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT $4
"""
# The id of a dispute begins with the time of what it is about, so that its own time is asked for.
_GONE_BACK = """
SELECT body ->> 'currency' AS currency,
    floor(extract(epoch FROM created_at - $2::timestamptz) / 3600)::integer AS hour,
    count(*) FILTER (WHERE kind = 3) AS refund_count,
    coalesce(sum((body ->> 'amount_minor')::bigint) FILTER (WHERE kind = 3), 0)::bigint AS refund_minor,
    count(*) FILTER (WHERE kind = 4) AS dispute_count,
    coalesce(sum((body ->> 'amount_minor')::bigint) FILTER (WHERE kind = 4), 0)::bigint AS dispute_minor
FROM payments.document
WHERE book_id = $1 AND kind IN (3, 4) AND created_at >= $2 AND created_at < $3
    AND state NOT IN ('failed', 'canceled')
GROUP BY 1, 2 ORDER BY 2, 1
"""


async def search(
    connection: Connection, book_id: int, wanted: Wanted, limit: int
) -> list[tuple[Intent, Attempt | None]]:
    """Return payments with their latest attempts, newest first."""
    rows = await connection.fetch(
        _SEARCH,
        book_id,
        wanted.after,
        None if wanted.created_from is None else first_uuid_at(wanted.created_from),
        None if wanted.created_to is None else first_uuid_at(wanted.created_to),
        wanted.standing,
        wanted.method,
        wanted.least_minor,
        wanted.most_minor,
        None if wanted.word is None else wanted.word.lower(),
        list(wanted.amounts),
        list(wanted.customers),
        SCANNED_MAX,
        limit,
    )
    return [(_INTENT.decode(row[0]), None if row[1] is None else _ATTEMPT.decode(row[1])) for row in rows]


async def takings(connection: Connection, book_id: int, from_at: datetime, to_at: datetime) -> list[Taking]:
    """Return what payments came to by hour and currency."""
    bounds = (first_uuid_at(from_at), first_uuid_at(to_at))
    return [Taking(*row) for row in await connection.fetch(_TAKINGS, book_id, from_at, *bounds)]


async def rails(
    connection: Connection, book_id: int, from_at: datetime, to_at: datetime, limit: int
) -> list[Rail]:
    """Return how attempts ended by method and channel, the busiest first."""
    bounds = (first_uuid_at(from_at), first_uuid_at(to_at))
    return [Rail(*row) for row in await connection.fetch(_RAILS, book_id, *bounds, limit)]


async def gone_back(
    connection: Connection, book_id: int, from_at: datetime, to_at: datetime
) -> list[GoneBack]:
    """Return refunds and disputes by hour and currency, without refunds that failed."""
    return [GoneBack(*row) for row in await connection.fetch(_GONE_BACK, book_id, from_at, to_at)]
