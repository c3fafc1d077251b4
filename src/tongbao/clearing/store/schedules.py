"""The SQL of price lists: their versions, and the movements of the past that a draft is simulated on.

A specification never changes once it is written; state, simulation and trail do. Inserts and moves say whether they took
place: a False is another writer who was first.
"""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import msgspec

from tongbao.clearing.schema.fees import ScheduleSpec
from tongbao.clearing.schema.movements import MovementKind
from tongbao.clearing.schema.schedules import (
    PastMovement,
    ScheduleState,
    ScheduleStep,
    ScheduleVersion,
    Simulation,
)
from tongbao.core.db import Connection

LONG_S = 600.0
"""Ordering the movements of a long time may take longer than other statements."""

_VERSION = """
SELECT name, version, state, effective_at, spec, simulation, note, made_by, made_at, published_by, published_at, history
FROM clearing.schedule_version
"""
_ONE = _VERSION + "WHERE name = $1 AND version = $2"
_DRAFT_LIKE = (
    _VERSION + "WHERE name = $1 AND state = 'draft' AND spec = $2::jsonb ORDER BY version DESC LIMIT 1"
)
_VERSIONS = _VERSION + "WHERE name = $1 AND ($2::int IS NULL OR version < $2) ORDER BY version DESC LIMIT $3"
_IN_FORCE = (
    _VERSION
    + """WHERE name = $1 AND state = 'published' AND effective_at <= $2
ORDER BY effective_at DESC, version DESC LIMIT 1"""
)
_NEWEST = _VERSION + "WHERE name = $1 AND state = 'published' ORDER BY version DESC LIMIT 1"
# What held in a time: all that began in it, and the last that began before it.
_WITHIN = (
    _VERSION
    + """WHERE name = $1 AND state = 'published' AND effective_at < $3 AND effective_at >= coalesce(
    (SELECT max(b.effective_at) FROM clearing.schedule_version AS b
     WHERE b.name = $1 AND b.state = 'published' AND b.effective_at <= $2), $2)
ORDER BY effective_at, version LIMIT $4"""
)
_LAST = "SELECT coalesce(max(version), 0) FROM clearing.schedule_version WHERE name = $1"
_NAMES = "SELECT DISTINCT name FROM clearing.schedule_version WHERE name > $1 ORDER BY name LIMIT $2"
_LOCK = "SELECT version FROM clearing.schedule_version WHERE name = $1 ORDER BY version FOR UPDATE"
_INSERT = """
INSERT INTO clearing.schedule_version (name, version, state, effective_at, spec, simulation, note, made_by, made_at,
    published_by, published_at, history)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING
"""
_MOVE = """
UPDATE clearing.schedule_version SET state = $4, effective_at = $5, simulation = $6, published_by = $7, published_at = $8,
    history = $9
WHERE name = $1 AND version = $2 AND state = $3
"""

_PATIENT = "SELECT set_config('statement_timeout', $1, true)"
_PAST = """
SELECT m.book_id, m.currency, m.kind, m.amount_minor, m.intent_id, m.occurred_at, m.method, m.channel, m.brand,
    m.funding, m.card_country, m.store,
    m.kind = 1 AND EXISTS (
        SELECT 1 FROM clearing.movement AS r
        WHERE r.book_id = m.book_id AND r.intent_id = m.intent_id AND r.kind = 2 AND r.occurred_at < $2
    ) AS is_refunded
FROM clearing.movement AS m
WHERE m.live AND m.occurred_at >= $1 AND m.occurred_at < $2
ORDER BY m.book_id, m.currency, m.occurred_at, m.kind, m.id
"""


async def one(connection: Connection, name: str, version: int) -> ScheduleVersion | None:
    """Return one version."""
    return _found(await connection.fetchrow(_ONE, name, version))


async def draft_like(connection: Connection, name: str, spec: ScheduleSpec) -> ScheduleVersion | None:
    """Return the newest draft that says the same."""
    return _found(await connection.fetchrow(_DRAFT_LIKE, name, _json(spec)))


async def versions(
    connection: Connection, name: str, before: int | None, limit: int
) -> list[ScheduleVersion]:
    """Return versions below ``before`` (None: all), newest first."""
    return [_version(row) for row in await connection.fetch(_VERSIONS, name, before, limit)]


async def in_force(connection: Connection, name: str, at: datetime) -> ScheduleVersion | None:
    """Return the published version that holds at an instant."""
    return _found(await connection.fetchrow(_IN_FORCE, name, at))


async def newest_published(connection: Connection, name: str) -> ScheduleVersion | None:
    """Return the published version of the highest number, whether it has taken effect or not."""
    return _found(await connection.fetchrow(_NEWEST, name))


async def within(
    connection: Connection, name: str, start: datetime, until: datetime, limit: int
) -> list[ScheduleVersion]:
    """Return the published versions that held at some instant of a half-open time, earliest first."""
    return [_version(row) for row in await connection.fetch(_WITHIN, name, start, until, limit)]


async def last_version(connection: Connection, name: str) -> int:
    """Return the highest number; 0 where there is no version."""
    number: int = await connection.fetchval(_LAST, name)
    return number


async def names(connection: Connection, after: str, limit: int) -> list[str]:
    """Return the names of lists beyond ``after``, in order."""
    return [row["name"] for row in await connection.fetch(_NAMES, after, limit)]


async def lock(connection: Connection, name: str) -> None:
    """Let nobody else move a version of a list until the transaction ends."""
    await connection.fetch(_LOCK, name)


async def insert(connection: Connection, new: ScheduleVersion) -> bool:
    """Add a version; False where its number is taken."""
    status = await connection.execute(
        _INSERT,
        new.name,
        new.version,
        new.state,
        new.effective_at,
        _json(new.spec),
        None if new.simulation is None else _json(new.simulation),
        new.note,
        new.made_by,
        new.made_at,
        new.published_by,
        new.published_at,
        _json(new.history),
    )
    return not status.endswith(" 0")


async def move(connection: Connection, old: ScheduleVersion, new: ScheduleVersion) -> bool:
    """Change state, simulation and trail of a version; False where it is not in the state of ``old`` any more."""
    status = await connection.execute(
        _MOVE,
        old.name,
        old.version,
        old.state,
        new.state,
        new.effective_at,
        None if new.simulation is None else _json(new.simulation),
        new.published_by,
        new.published_at,
        _json(new.history),
    )
    return not status.endswith(" 0")


async def past(
    connection: Connection, start: datetime, until: datetime, size: int
) -> AsyncIterator[list[PastMovement]]:
    """Yield the live movements of a half-open time by book, currency and instant, ``size`` at a time.

    Lives in the caller's transaction, which may do other work between two yields.
    """
    await connection.execute(_PATIENT, str(int(LONG_S * 1_000)))
    cursor = await connection.cursor(_PAST, start, until, timeout=LONG_S)
    while rows := await cursor.fetch(size, timeout=LONG_S):
        yield [_past(row) for row in rows]


def _found(row: Any) -> ScheduleVersion | None:
    return None if row is None else _version(row)


def _version(row: Any) -> ScheduleVersion:
    simulation = row["simulation"]
    return ScheduleVersion(
        name=row["name"],
        version=row["version"],
        state=ScheduleState(row["state"]),
        spec=msgspec.json.decode(row["spec"], type=ScheduleSpec),
        note=row["note"],
        made_by=row["made_by"],
        made_at=row["made_at"],
        effective_at=row["effective_at"],
        simulation=None if simulation is None else msgspec.json.decode(simulation, type=Simulation),
        published_by=row["published_by"],
        published_at=row["published_at"],
        history=msgspec.json.decode(row["history"], type=tuple[ScheduleStep, ...]),
    )


def _past(row: Any) -> PastMovement:
    return PastMovement(
        book_id=row["book_id"],
        currency=row["currency"],
        kind=MovementKind(row["kind"]),
        amount_minor=row["amount_minor"],
        intent_id=row["intent_id"],
        occurred_at=row["occurred_at"],
        method=row["method"],
        channel=row["channel"],
        brand=row["brand"],
        funding=row["funding"],
        card_country=row["card_country"],
        store=row["store"],
        is_refunded=row["is_refunded"],
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
