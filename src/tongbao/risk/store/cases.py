"""The SQL of cases: files, payments, alerts, the audit trail. The body of a file is the case; its columns are a copy.

A file is written by whoever has locked it, so versions follow each other; lines of the trail are only ever added.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from tongbao.core.db import Connection
from tongbao.risk.schema.cases import (
    Alert,
    CaseAct,
    CaseEvent,
    CaseFile,
    CaseKey,
    CasePayment,
    CaseScope,
    CaseState,
    Cause,
    EntityKey,
)

NO_ENTITY = -1
"""Stands for a case of which only the payment itself is known."""

_WRITE = """
INSERT INTO risk.case_file (id, book_id, version, entity, live, last_alert_at, due_at, closed_at, saving, worked_ms,
    state, kind, key, assignee, disposition, body)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::integer[], $4::smallint[], $5::boolean[], $6::timestamptz[],
    $7::timestamptz[], $8::timestamptz[], $9::float8[], $10::bigint[], $11::text[], $12::text[], $13::text[],
    $14::text[], $15::text[], $16::jsonb[])
ON CONFLICT (id) DO UPDATE SET version = excluded.version, last_alert_at = excluded.last_alert_at,
    due_at = excluded.due_at, closed_at = excluded.closed_at, saving = excluded.saving,
    worked_ms = excluded.worked_ms, state = excluded.state, assignee = excluded.assignee,
    disposition = excluded.disposition, body = excluded.body
"""
_ONE = "SELECT body FROM risk.case_file WHERE id = $1"
_LOCK = _ONE + " FOR UPDATE"
_LOCK_OF_KEYS = """
SELECT c.body FROM risk.case_file AS c
WHERE c.closed_at IS NULL AND EXISTS (
    SELECT 1 FROM unnest($1::boolean[], $2::bigint[], $3::smallint[], $4::text[]) AS k (live, book_id, entity, key)
    WHERE c.key = k.key AND c.entity = k.entity AND c.book_id = k.book_id AND c.live = k.live)
ORDER BY c.id FOR UPDATE
"""
_LOCK_OF_EVENTS = """
SELECT c.body FROM risk.case_file AS c
WHERE c.closed_at IS NULL AND c.id = ANY (
    SELECT p.case_id FROM risk.case_payment AS p WHERE p.event_id = ANY ($1::uuid[]))
ORDER BY c.id FOR UPDATE
"""
_CALLED_FRAUD = """
SELECT p.event_id FROM risk.case_payment AS p JOIN risk.case_file AS c ON c.id = p.case_id
WHERE p.event_id = ANY ($1::uuid[]) AND c.closed_at IS NOT NULL AND p.body ->> 'is_fraud' = 'true'
"""
# The order is that of policy.case_priority.rank_of.
_QUEUE = """
SELECT c.body FROM risk.case_file AS c
JOIN unnest($1::text[], $2::float8[]) AS m (kind, minutes) ON m.kind = c.kind
WHERE c.closed_at IS NULL AND c.state = 'open' AND c.live = $3 AND ($4::bigint IS NULL OR c.book_id = $4)
ORDER BY c.due_at <= $5 DESC, (c.saving + $6) / m.minutes
    * (1 + greatest(extract(epoch FROM $5 - c.due_at)::float8 / 3600, 0) / $7) DESC, c.id
LIMIT $8
"""
_TAKE = _QUEUE + " FOR UPDATE OF c SKIP LOCKED"
# Conditions that are not asked for are NULL.
_PAGE = """
SELECT body FROM risk.case_file
WHERE live = $1 AND ($2::bigint IS NULL OR book_id = $2) AND ($3::text IS NULL OR state = $3)
    AND ($4::text IS NULL OR assignee = $4) AND ($5::uuid IS NULL OR id < $5)
ORDER BY id DESC LIMIT $6
"""
_WAITING = """
SELECT body FROM risk.case_file
WHERE closed_at IS NULL AND state = 'waiting' AND live = $1 AND ($2::bigint IS NULL OR book_id = $2)
    AND assignee <> $3
ORDER BY due_at, id LIMIT $4
"""
_OF_ENTITIES = """
SELECT c.body FROM risk.case_file AS c
JOIN unnest($1::smallint[], $2::text[]) AS k (entity, key) ON c.entity = k.entity AND c.key = k.key
WHERE c.live = $3 AND c.id <> $4 AND ($5::bigint IS NULL OR c.book_id = $5)
    AND (c.closed_at IS NULL OR c.closed_at >= $6)
ORDER BY c.id DESC LIMIT $7
"""
_OPEN_COUNT = "SELECT count(*) FROM (SELECT 1 FROM risk.case_file WHERE closed_at IS NULL LIMIT $1) AS c"
_WORKED = """
SELECT kind, count(*), sum(least(worked_ms::float8 / 60000, $2)), count(*) FILTER (WHERE disposition = 'fraud'),
    count(*) FILTER (WHERE disposition = 'genuine')
FROM risk.case_file WHERE closed_at >= $1 GROUP BY kind
"""
_PUT_PAYMENTS = """
INSERT INTO risk.case_payment (case_id, event_id, body)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::jsonb[])
ON CONFLICT (case_id, event_id) DO UPDATE SET body = excluded.body
"""
_PAYMENTS = """
SELECT case_id, body FROM risk.case_payment WHERE case_id = ANY ($1::uuid[]) ORDER BY case_id, event_id
"""
_RUNG = """
SELECT a.event_id, a.cause FROM risk.alert AS a
JOIN unnest($1::uuid[], $2::text[]) AS k (event_id, cause) ON a.event_id = k.event_id AND a.cause = k.cause
"""
_ADD_ALERTS = """
INSERT INTO risk.alert (event_id, cause, case_id, book_id, at, severity)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::bigint[], $5::timestamptz[], $6::text[])
"""
_ALERTS = "SELECT event_id, cause, at, severity FROM risk.alert WHERE case_id = $1 ORDER BY at, event_id, cause LIMIT $2"
_ADD_EVENTS = """
INSERT INTO risk.case_event (case_id, version, at, actor, act, note, before, after)
SELECT * FROM unnest($1::uuid[], $2::integer[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::jsonb[],
    $8::jsonb[])
"""
_EVENTS = """
SELECT case_id, version, at, actor, act, note, before, after FROM risk.case_event
WHERE case_id = $1 AND version > $2 ORDER BY version LIMIT $3
"""
_LAST_OF = """
SELECT case_id, version, at, actor, act, note, before, after FROM risk.case_event
WHERE case_id = $1 AND act = $2 ORDER BY version DESC LIMIT 1
"""


class Order(NamedTuple):
    """What the queue is ordered by; see ``policy.case_priority``."""

    minutes: Mapping[Cause, float]
    now: datetime
    look_worth: float
    overdue_doubles_h: float


class Closed(msgspec.Struct, frozen=True):
    """What closed cases of a kind took together, in minutes, and what they came to."""

    count: int
    minutes: float
    fraud_count: int
    genuine_count: int


class RungAlert(NamedTuple):
    """An alert of a case."""

    event_id: UUID
    cause: str
    at: datetime
    severity: str


async def write(connection: Connection, files: Sequence[CaseFile]) -> None:
    """Insert new cases and write the next versions of locked ones. Joins the transaction."""
    rows = [_columns(each) for each in files]
    await connection.execute(_WRITE, *[list(column) for column in zip(*rows, strict=True)])


async def one(connection: Connection, case_id: UUID) -> CaseFile | None:
    """Return a case; None where there is none."""
    body = await connection.fetchval(_ONE, case_id)
    return None if body is None else _file(body)


async def lock(connection: Connection, case_id: UUID) -> CaseFile | None:
    """Return a case and keep others from writing it until the transaction ends; None where there is none."""
    body = await connection.fetchval(_LOCK, case_id)
    return None if body is None else _file(body)


async def lock_of_keys(connection: Connection, keys: Sequence[CaseKey]) -> list[CaseFile]:
    """Lock and return the cases of these keys that are not closed, oldest first."""
    rows = await connection.fetch(
        _LOCK_OF_KEYS,
        [each.live for each in keys],
        [each.book_id for each in keys],
        [NO_ENTITY if each.entity is None else int(each.entity) for each in keys],
        [each.key for each in keys],
    )
    return [_file(row["body"]) for row in rows]


async def lock_of_events(connection: Connection, event_ids: Sequence[UUID]) -> list[CaseFile]:
    """Lock and return the cases, not closed, that hold one of these payments, oldest first."""
    return [_file(row["body"]) for row in await connection.fetch(_LOCK_OF_EVENTS, list(event_ids))]


async def called_fraud(connection: Connection, event_ids: Sequence[UUID]) -> set[UUID]:
    """Return which of these payments a closed case called fraud."""
    return {UUID(int=row[0].int) for row in await connection.fetch(_CALLED_FRAUD, list(event_ids))}


async def queue(connection: Connection, scope: CaseScope, order: Order, limit: int) -> list[CaseFile]:
    """Return the first cases that nobody has."""
    rows = await connection.fetch(_QUEUE, *_ordering(scope, order), limit)
    return [_file(row["body"]) for row in rows]


async def lock_next(connection: Connection, scope: CaseScope, order: Order) -> CaseFile | None:
    """Lock and return the first case that nobody has and nobody is taking; None where there is none."""
    body = await connection.fetchval(_TAKE, *_ordering(scope, order), 1)
    return None if body is None else _file(body)


async def page(
    connection: Connection,
    scope: CaseScope,
    chosen: tuple[CaseState | None, str | None],
    before: UUID | None,
    limit: int,
) -> list[CaseFile]:
    """Return cases, newest first, those before one where it is given; ``chosen``: only that state, that assignee."""
    state, assignee = chosen
    rows = await connection.fetch(
        _PAGE, scope.live, scope.book_id, None if state is None else state.value, assignee, before, limit
    )
    return [_file(row["body"]) for row in rows]


async def waiting(connection: Connection, scope: CaseScope, actor: str, limit: int) -> list[CaseFile]:
    """Return the cases that wait for somebody else than whoever asked, the first due first."""
    rows = await connection.fetch(_WAITING, scope.live, scope.book_id, actor, limit)
    return [_file(row["body"]) for row in rows]


async def of_entities(
    connection: Connection, case: CaseFile, entities: Sequence[EntityKey], since: datetime, limit: int
) -> list[CaseFile]:
    """Return the other cases of these entities, newest first: open ones, and those closed since.

    A case of one book is set beside cases of that book alone.
    """
    kinds, keys = [int(each.entity) for each in entities], [each.key for each in entities]
    book_id = case.book_id or None
    rows = await connection.fetch(_OF_ENTITIES, kinds, keys, case.live, case.id, book_id, since, limit)
    return [_file(row["body"]) for row in rows]


async def open_count(connection: Connection, count_max: int) -> int:
    """Return how many cases are not closed, no further than ``count_max``."""
    return int(await connection.fetchval(_OPEN_COUNT, count_max))


async def closed_since(
    connection: Connection, since: datetime, case_minutes_max: float
) -> dict[Cause, Closed]:
    """Return what the cases closed since took, by kind; each counts for ``case_minutes_max`` minutes at most."""
    rows = await connection.fetch(_WORKED, since, case_minutes_max)
    return {Cause(row[0]): Closed(*row[1:]) for row in rows}


async def put_payments(connection: Connection, payments: Sequence[tuple[UUID, CasePayment]]) -> None:
    """Write payments of cases, new or as they are now. Joins the transaction."""
    if payments:
        await connection.execute(
            _PUT_PAYMENTS,
            [case_id for case_id, _ in payments],
            [each.event_id for _, each in payments],
            [_json(each) for _, each in payments],
        )


async def payments(connection: Connection, case_ids: Sequence[UUID]) -> dict[UUID, dict[UUID, CasePayment]]:
    """Return the payments of cases by look, oldest first."""
    found: dict[UUID, dict[UUID, CasePayment]] = {case_id: {} for case_id in case_ids}
    for row in await connection.fetch(_PAYMENTS, list(case_ids)):
        payment = msgspec.json.decode(row["body"], type=CasePayment)
        found[UUID(int=row["case_id"].int)][payment.event_id] = payment
    return found


async def rung(connection: Connection, alerts: Sequence[Alert]) -> set[tuple[UUID, Cause]]:
    """Return which of these rang before, by look and cause."""
    rows = await connection.fetch(
        _RUNG, [each.payment.event_id for each in alerts], [each.cause.value for each in alerts]
    )
    return {(UUID(int=row[0].int), Cause(row[1])) for row in rows}


async def add_alerts(connection: Connection, placed: Sequence[tuple[UUID | None, Alert]]) -> None:
    """Add alerts with the case of each, None where it has none. Joins the transaction."""
    await connection.execute(
        _ADD_ALERTS,
        [each.payment.event_id for _, each in placed],
        [each.cause.value for _, each in placed],
        [case_id for case_id, _ in placed],
        [each.payment.book_id for _, each in placed],
        [each.at for _, each in placed],
        [each.severity.value for _, each in placed],
    )


async def alerts(connection: Connection, case_id: UUID, limit: int) -> list[RungAlert]:
    """Return the alerts of a case, oldest first."""
    rows = await connection.fetch(_ALERTS, case_id, limit)
    return [RungAlert(UUID(int=row[0].int), *row[1:]) for row in rows]


async def add_events(connection: Connection, lines: Sequence[CaseEvent]) -> None:
    """Add lines to the audit trail. Joins the transaction."""
    await connection.execute(
        _ADD_EVENTS,
        [each.case_id for each in lines],
        [each.version for each in lines],
        [each.at for each in lines],
        [each.actor for each in lines],
        [each.act.value for each in lines],
        [each.note for each in lines],
        [_json(each.before) for each in lines],
        [_json(each.after) for each in lines],
    )


async def events(connection: Connection, case_id: UUID, after: int, limit: int) -> list[CaseEvent]:
    """Return lines of a case's audit trail after a version, in order."""
    return [_event(row) for row in await connection.fetch(_EVENTS, case_id, after, limit)]


async def last_event(connection: Connection, case_id: UUID, act: CaseAct) -> CaseEvent | None:
    """Return the latest line of an act; None where there is none."""
    row = await connection.fetchrow(_LAST_OF, case_id, act.value)
    return None if row is None else _event(row)


def _ordering(scope: CaseScope, order: Order) -> tuple[Any, ...]:
    kinds = [kind.value for kind in order.minutes]
    minutes = list(order.minutes.values())
    return (kinds, minutes, *scope, order.now, order.look_worth, order.overdue_doubles_h)


def _columns(case: CaseFile) -> tuple[Any, ...]:
    return (
        case.id,
        case.book_id,
        case.version,
        NO_ENTITY if case.entity is None else int(case.entity),
        case.live,
        case.last_alert_at,
        case.due_at,
        case.closed_at,
        case.saving,
        case.worked_ms,
        case.state.value,
        case.kind.value,
        case.key,
        case.assignee,
        "" if case.disposition is None else case.disposition.value,
        _json(case),
    )


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _file(body: str) -> CaseFile:
    return msgspec.json.decode(body, type=CaseFile)


def _event(row: Any) -> CaseEvent:
    return CaseEvent(
        case_id=UUID(int=row["case_id"].int),
        version=row["version"],
        at=row["at"],
        actor=row["actor"],
        act=CaseAct(row["act"]),
        note=row["note"],
        before=msgspec.json.decode(row["before"]),
        after=msgspec.json.decode(row["after"]),
    )
