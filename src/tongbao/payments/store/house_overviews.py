"""The SQL of overviews over every book: the newest payments, what waits for an answer, webhooks that gave up. Reads only.

Payments carry the time of their beginning in their ids, so the newest of each book are the end of its primary key.
"""

from datetime import datetime

import msgspec

from tongbao.core.db import Connection
from tongbao.core.ids import first_uuid_at
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.house_overviews import Hooked, HousePayment, HouseWanted, Waiting
from tongbao.payments.schema.intents import Intent

_INTENT = msgspec.json.Decoder(Intent)
_ATTEMPT = msgspec.json.Decoder(Attempt)
# The questions of ``schema.standing.standing_of`` in the same order. What has its default is not stored.
_STANDING = """
CASE
    WHEN coalesce(i.body ->> 'certainty', 'known') <> 'known' THEN 'unknown'
    WHEN i.body ->> 'risk_state' = 'review' AND i.state <> 'canceled' THEN 'review'
    WHEN i.state = 'succeeded' AND coalesce((i.body ->> 'amount_refunded_minor')::bigint, 0) > 0 THEN
        CASE WHEN (i.body ->> 'amount_refunded_minor')::bigint
            >= coalesce((i.body ->> 'amount_received_minor')::bigint, 0) THEN 'refunded' ELSE 'partly_refunded' END
    WHEN i.state NOT IN ('requires_payment_method', 'requires_confirmation') THEN i.state
    WHEN i.body ->> 'last_error' IS NULL THEN 'not_paid'
    WHEN i.body ->> 'risk_state' = 'blocked' THEN 'blocked'
    ELSE 'declined'
END
"""
# Of each book as many as the page holds are enough: the page is the newest of them all.
_NEWEST = (
    """
SELECT p.book_id, p.intent, p.attempt
FROM unnest($1::bigint[]) AS b (book_id) CROSS JOIN LATERAL (
    SELECT i.book_id, i.id, i.body AS intent, a.body AS attempt FROM payments.intent AS i
    LEFT JOIN payments.attempt AS a
        ON a.book_id = i.book_id AND a.kind = 2 AND a.id = (i.body ->> 'attempt_id')::uuid
    WHERE i.book_id = b.book_id AND i.kind = 1
        AND ($2::uuid IS NULL OR i.id < $2)
        AND ($3::uuid IS NULL OR i.id >= $3) AND ($4::uuid IS NULL OR i.id < $4)
        AND ($6::text IS NULL OR a.body -> 'method' ->> 'type' = $6)
        AND ($7::text IS NULL OR a.body ->> 'channel' = $7)
        AND ($5::text IS NULL OR """
    + _STANDING
    + """ = $5)
    ORDER BY i.id DESC LIMIT $8
) AS p
ORDER BY p.id DESC LIMIT $8
"""
)
# What waits for an answer is due to be asked after, so that the index of due times holds all of it.
_UNRESOLVED = """
SELECT count(*), min(created_at) FROM payments.attempt
WHERE due_at IS NOT NULL AND state = 'unresolved' AND book_id = ANY ($1::bigint[])
"""
_HOOKS = """
SELECT count(*) FILTER (WHERE state = 'delivered'), count(*) FILTER (WHERE state = 'pending'),
    count(*) FILTER (WHERE state = 'dead'), min(ended_at) FILTER (WHERE state = 'dead')
FROM webhooks.delivery WHERE book_id = ANY ($1::bigint[]) AND occurred_at >= $2
"""


async def newest(connection: Connection, wanted: HouseWanted, limit: int) -> list[HousePayment]:
    """Return payments of some books with their latest attempts, newest first."""
    rows = await connection.fetch(
        _NEWEST,
        list(wanted.books),
        wanted.after,
        None if wanted.created_from is None else first_uuid_at(wanted.created_from),
        None if wanted.created_to is None else first_uuid_at(wanted.created_to),
        wanted.standing,
        wanted.method,
        wanted.channel,
        limit,
    )
    return [
        HousePayment(row[0], _INTENT.decode(row[1]), None if row[2] is None else _ATTEMPT.decode(row[2]))
        for row in rows
    ]


async def unresolved(connection: Connection, books: list[int]) -> Waiting:
    """Return the attempts of some books whose end is not known."""
    return Waiting(*await connection.fetchrow(_UNRESOLVED, books))


async def hooks(connection: Connection, books: list[int], since: datetime) -> Hooked:
    """Return how the deliveries of some books since an instant stand."""
    return Hooked(*await connection.fetchrow(_HOOKS, books, since))
