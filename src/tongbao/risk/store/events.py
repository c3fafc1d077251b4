"""The SQL of judged payments: one row each with everything known of it, and the entities that it links."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from tongbao.core import copying
from tongbao.core.db import Connection
from tongbao.core.ids import first_uuid_at
from tongbao.core.partitions import Partitioned
from tongbao.risk.schema.facts import Assessed, Ended, Labelled, Proved
from tongbao.risk.schema.signals import Entity, Signals

EVENTS = Partitioned("risk", "event", "id")
LINKS = Partitioned("risk", "link", "event_id")

_INSERT = """
INSERT INTO risk.event (book_id, id, at, live, subject_id, decision_id, value, currency, tier, score, reasons, rules, signals)
SELECT * FROM jsonb_to_recordset($1::jsonb) AS r (
    book_id bigint, id uuid, at timestamptz, live boolean, subject_id uuid, decision_id uuid, value bigint,
    currency text, tier text, score double precision, reasons text[], rules text[], signals bytea)
ON CONFLICT DO NOTHING
"""
_LINK_COLUMNS = ("entity", "key", "event_id", "book_id", "live")
_ENDED = """
UPDATE risk.event e SET is_approved = r.is_approved, end_code = r.end_code
FROM unnest($1::bigint[], $2::uuid[], $3::boolean[], $4::text[]) AS r (book_id, id, is_approved, end_code)
WHERE e.book_id = r.book_id AND e.id = r.id
"""
_PROVED = """
UPDATE risk.event e SET is_passed = r.is_passed
FROM unnest($1::bigint[], $2::uuid[], $3::boolean[]) AS r (book_id, id, is_passed)
WHERE e.book_id = r.book_id AND e.id = r.id
"""
_LABELLED = """
UPDATE risk.event e SET is_fraud = r.is_fraud, label_source = r.source, labelled_at = r.at
FROM unnest($1::bigint[], $2::uuid[], $3::boolean[], $4::text[], $5::timestamptz[]) AS r (book_id, id, is_fraud, source, at)
WHERE e.book_id = r.book_id AND e.id = r.id
"""
_FIELDS = (
    "book_id, id, at, live, subject_id, decision_id, value, currency, tier, score, reasons, rules, signals,"
    " is_approved, end_code, is_passed, is_fraud, label_source, labelled_at"
)
_ONE = "SELECT " + _FIELDS + " FROM risk.event WHERE book_id = $1 AND id = $2"
_OF_SUBJECT = (
    "SELECT " + _FIELDS + " FROM risk.event WHERE book_id = $1 AND subject_id = $2 ORDER BY id LIMIT $3"
)
_PAGE = (
    "SELECT "
    + _FIELDS
    + """ FROM risk.event
WHERE id > $1 AND id < $2 AND live = $3 AND ($4::bigint IS NULL OR book_id = $4)
ORDER BY id LIMIT $5
"""
)
_SHARES = """
SELECT tier, count(*), count(*) FILTER (WHERE is_approved), count(*) FILTER (WHERE is_fraud),
    count(*) FILTER (WHERE is_passed), count(*) FILTER (WHERE NOT is_passed), coalesce(sum(value), 0)
FROM risk.event WHERE id >= $1 AND id < $2 AND live = $3 AND ($4::bigint IS NULL OR book_id = $4)
GROUP BY tier
"""


class Judged(NamedTuple):
    """A judged payment and what became known of it; None: nothing yet. ``value`` in hundredths."""

    book_id: int
    id: UUID
    at: datetime
    live: bool
    subject_id: UUID
    decision_id: UUID | None
    value: int
    currency: str
    tier: str
    score: float | None
    reasons: tuple[str, ...]
    rules: tuple[str, ...]
    signals: Signals
    is_approved: bool | None
    end_code: str
    is_passed: bool | None
    is_fraud: bool | None
    label_source: str
    labelled_at: datetime | None


class TierShare(NamedTuple):
    """How many payments of a tier there were, and what became of them; ``value`` in hundredths."""

    tier: str
    payment_count: int
    approved_count: int
    fraud_count: int
    passed_count: int
    failed_count: int
    value: int


async def insert(connection: Connection, judged: Sequence[Assessed]) -> None:
    """Add judged payments with their links; repeats change nothing. Joins the transaction."""
    rows = [_row(each) for each in judged]
    await connection.execute(_INSERT, msgspec.json.encode(rows).decode())
    links = [
        copying.row(
            [
                copying.smallint(entity),
                copying.text(each.signals.key(entity)),
                copying.uuid(each.signals.id),
                copying.bigint(each.signals.book_id),
                copying.boolean(each.signals.live),
            ]
        )
        for each in judged
        for entity in Entity
        if each.signals.key(entity)
    ]
    await copying.copy(connection, "risk", "link", _LINK_COLUMNS, links)


async def ended(connection: Connection, facts: Sequence[Ended]) -> None:
    """Write how payments ended; joins the transaction."""
    await connection.execute(
        _ENDED,
        [each.book_id for each in facts],
        [each.signals_id for each in facts],
        [each.is_approved for each in facts],
        [each.code for each in facts],
    )


async def proved(connection: Connection, facts: Sequence[Proved]) -> None:
    """Write whether payers proved who they are; joins the transaction."""
    await connection.execute(
        _PROVED,
        [each.book_id for each in facts],
        [each.signals_id for each in facts],
        [each.is_passed for each in facts],
    )


async def labelled(connection: Connection, facts: Sequence[Labelled]) -> None:
    """Write labels; joins the transaction."""
    await connection.execute(
        _LABELLED,
        [each.book_id for each in facts],
        [each.signals_id for each in facts],
        [each.is_fraud for each in facts],
        [each.source.value for each in facts],
        [each.occurred_at for each in facts],
    )


async def one(connection: Connection, book_id: int, signals_id: UUID) -> Judged | None:
    """Return a judged payment."""
    row = await connection.fetchrow(_ONE, book_id, signals_id)
    return _judged(row) if row else None


async def of_subject(connection: Connection, book_id: int, subject_id: UUID, limit: int) -> list[Judged]:
    """Return every look at a payment intent, oldest first."""
    return [_judged(row) for row in await connection.fetch(_OF_SUBJECT, book_id, subject_id, limit)]


async def page(
    connection: Connection,
    span: tuple[UUID, datetime],
    live: bool,
    book_id: int | None,
    limit: int,
) -> list[Judged]:
    """Return judged payments after an id and before an instant, oldest first; of one book or of all."""
    after, to_at = span
    rows = await connection.fetch(_PAGE, after, first_uuid_at(to_at), live, book_id, limit)
    return [_judged(row) for row in rows]


async def shares(
    connection: Connection, span: tuple[datetime, datetime], live: bool, book_id: int | None
) -> list[TierShare]:
    """Return how payments of a time were spread over tiers."""
    first, end = (first_uuid_at(each) for each in span)
    return [TierShare(*row) for row in await connection.fetch(_SHARES, first, end, live, book_id)]


def _row(fact: Assessed) -> dict[str, Any]:
    signals = fact.signals
    return {
        "book_id": signals.book_id,
        "id": signals.id,
        "at": signals.at,
        "live": signals.live,
        "subject_id": signals.subject_id,
        "decision_id": fact.decision_id,
        "value": signals.value,
        "currency": signals.currency,
        "tier": fact.tier,
        "score": fact.score,
        "reasons": fact.reasons,
        "rules": fact.rules,
        "signals": "\\x" + msgspec.json.encode(signals).hex(),
    }


def _judged(row: Any) -> Judged:
    values = list(row)
    values[10], values[11] = tuple(values[10]), tuple(values[11])
    values[12] = msgspec.json.decode(values[12], type=Signals)
    return Judged(*values)
