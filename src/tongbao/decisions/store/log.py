"""The SQL of the decision log: appended in batches inside others' commits, read by subject, by id and by time.

Nothing here is ever updated. What is looked for stands in columns, the rest in ``body``, the JSON of the struct.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.core import copying
from tongbao.core.db import Connection
from tongbao.core.ids import first_uuid_at
from tongbao.core.partitions import Partitioned
from tongbao.decisions.schema.log import Decision, Outcome, Range

DECISIONS = Partitioned("decisions", "decision", "id")
OUTCOMES = Partitioned("decisions", "outcome", "decision_id")

_COLUMNS = (
    "book_id",
    "id",
    "subject_id",
    "effect_id",
    "decided_at",
    "propensity",
    "version",
    "latency_us",
    "live",
    "kind",
    "policy",
    "arm",
    "chosen",
    "body",
)
# Conflicts with itself only, so whoever makes partitions goes one by one and writers go on.
_LOCK_PARTITIONS = "LOCK TABLE ONLY decisions.decision IN SHARE UPDATE EXCLUSIVE MODE"
# The same news twice is one row; the first stands.
_ADD_OUTCOMES = """
INSERT INTO decisions.outcome (book_id, decision_id, key, occurred_at, recorded_at, value, name, label, source)
SELECT * FROM unnest($1::text::bigint[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::timestamptz[],
    $6::double precision[], $7::text[], $8::text[], $9::text[])
ON CONFLICT (book_id, decision_id, key) DO NOTHING
"""
_ONE = "SELECT body FROM decisions.decision WHERE book_id = $1 AND id = $2"
_OF_SUBJECT = (
    "SELECT body FROM decisions.decision WHERE book_id = $1 AND subject_id = $2 ORDER BY id LIMIT $3"
)
_OUTCOMES_OF = """
SELECT book_id, decision_id, key, name, value, label, source, occurred_at, recorded_at FROM decisions.outcome
WHERE book_id = $1 AND decision_id = ANY ($2::uuid[]) ORDER BY decision_id, recorded_at, key LIMIT $3
"""
# Pages walk up by book and id, so a page costs the same wherever it starts.
_PAGE = """
SELECT body FROM decisions.decision
WHERE id >= $1 AND id < $2 AND (id, book_id) > ($3::uuid, $4::bigint)
    AND ($5::bigint IS NULL OR book_id = $5) AND ($6::text IS NULL OR policy = $6) AND ($7::boolean IS NULL OR live = $7)
ORDER BY id, book_id LIMIT $8
"""
# The standing value of an outcome is the latest by event time, and by arrival among equals.
_STANDING = """
SELECT DISTINCT ON (o.decision_id) o.decision_id, o.value, o.label, o.occurred_at
FROM unnest($1::text::bigint[], $2::uuid[]) AS d (book_id, id)
JOIN decisions.outcome AS o ON o.book_id = d.book_id AND o.decision_id = d.id
WHERE o.name = $3 AND o.recorded_at <= $4
ORDER BY o.decision_id, o.occurred_at DESC, o.recorded_at DESC, o.key DESC
"""
_DECODER = msgspec.json.Decoder(Decision)
_ENCODER = msgspec.json.Encoder()


class Standing(NamedTuple):
    """What an outcome stands at: its latest news by event time."""

    value: float | None
    label: str
    occurred_at: datetime


async def lock_partitions(connection: Connection) -> None:
    """Wait until nobody else makes partitions, and keep others waiting until the transaction ends."""
    await connection.execute(_LOCK_PARTITIONS)


async def insert(connection: Connection, decisions: Sequence[Decision]) -> None:
    """Append decisions; joins the transaction."""
    await copying.copy(connection, "decisions", "decision", _COLUMNS, [_row(each) for each in decisions])


async def add_outcomes(connection: Connection, outcomes: Sequence[Outcome]) -> None:
    """Append news of outcomes; repeats are ignored. Joins the transaction."""
    await connection.execute(
        _ADD_OUTCOMES,
        copying.array([each.book_id for each in outcomes]),
        [each.decision_id for each in outcomes],
        [each.key for each in outcomes],
        [each.occurred_at for each in outcomes],
        [each.recorded_at for each in outcomes],
        [each.value for each in outcomes],
        [each.name for each in outcomes],
        [each.label for each in outcomes],
        [each.source for each in outcomes],
    )


async def one(connection: Connection, book_id: int, decision_id: UUID) -> Decision | None:
    """Return a decision of a book."""
    body = await connection.fetchval(_ONE, book_id, decision_id)
    return None if body is None else _DECODER.decode(body)


async def of_subject(connection: Connection, book_id: int, subject_id: UUID, limit: int) -> list[Decision]:
    """Return what was decided about a subject, oldest first."""
    return [
        _DECODER.decode(row[0]) for row in await connection.fetch(_OF_SUBJECT, book_id, subject_id, limit)
    ]


async def outcomes_of(
    connection: Connection, book_id: int, decision_ids: Sequence[UUID], limit: int
) -> list[Outcome]:
    """Return all news of these decisions' outcomes, by decision and arrival."""
    rows = await connection.fetch(_OUTCOMES_OF, book_id, decision_ids, limit)
    return [
        Outcome(
            book_id=row["book_id"],
            decision_id=UUID(int=row["decision_id"].int),
            key=UUID(int=row["key"].int),
            name=row["name"],
            value=row["value"],
            label=row["label"],
            source=row["source"],
            occurred_at=row["occurred_at"],
            recorded_at=row["recorded_at"],
        )
        for row in rows
    ]


async def page(
    connection: Connection, of: Range, after: tuple[UUID, int] | None, limit: int
) -> list[Decision]:
    """Return the next decisions of a range after a (decision, book), oldest first."""
    after_id, after_book = after or (UUID(int=0), 0)
    rows = await connection.fetch(
        _PAGE,
        first_uuid_at(of.from_at),
        first_uuid_at(of.to_at),
        after_id,
        after_book,
        of.book_id,
        of.policy,
        of.live,
        limit,
    )
    return [_DECODER.decode(row[0]) for row in rows]


async def standing(
    connection: Connection, decisions: Sequence[Decision], name: str, known_at: datetime
) -> dict[UUID, Standing]:
    """Return what outcome ``name`` of decisions stood at, as was known at an instant; none without news."""
    rows = await connection.fetch(
        _STANDING,
        copying.array([each.book_id for each in decisions]),
        [each.id for each in decisions],
        name,
        known_at,
    )
    return {UUID(int=row[0].int): Standing(row[1], row[2], row[3]) for row in rows}


def _row(decision: Decision) -> bytes:
    return copying.row(
        (
            copying.bigint(decision.book_id),
            copying.uuid(decision.id),
            copying.uuid(decision.subject_id),
            copying.uuid(decision.effect_id),
            copying.instant(decision.decided_at),
            copying.double(decision.propensity),
            copying.integer(decision.version),
            copying.integer(decision.latency_us),
            copying.boolean(decision.live),
            copying.text(decision.kind),
            copying.text(decision.policy),
            copying.text(decision.arm),
            copying.text(decision.chosen),
            copying.jsonb(_ENCODER.encode(decision)),
        )
    )
