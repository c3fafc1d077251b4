"""The SQL of freezes and of what was done to them. Functions join the caller's transaction.

Whatever changes what is in force locks the head first, so acts on freezes come one after the other across all processes.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from tongbao.core.db import Connection
from tongbao.risk.schema.freezes import ACTS_MAX, FREEZES_MAX, Freeze, FreezeAct, FreezeActKind, FreezeQuery
from tongbao.risk.schema.signals import Entity

_COLUMNS = """
SELECT id, live, entity, key, reason, frozen_by, frozen_at, requested_by, released_at FROM risk.freeze
"""
_LOCK_HEAD = "SELECT version, in_force_count FROM risk.freeze_head WHERE place = 1 FOR NO KEY UPDATE"
_MOVE_HEAD = """
UPDATE risk.freeze_head SET version = version + 1, in_force_count = in_force_count + $1 WHERE place = 1
"""
_VERSION = "SELECT version FROM risk.freeze_head WHERE place = 1"
_STANDING = _COLUMNS + "WHERE live = $1 AND entity = $2 AND key = $3 AND released_at IS NULL"
_BY_ID = _COLUMNS + "WHERE id = $1"
_IN_FORCE = _COLUMNS + "WHERE released_at IS NULL LIMIT $1"
_INSERT = """
INSERT INTO risk.freeze (id, live, entity, key, reason, frozen_by, frozen_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_UPDATE = "UPDATE risk.freeze SET requested_by = $2, released_at = $3 WHERE id = $1"
# Conditions that are not asked for are NULL.
_PAGE = (
    _COLUMNS
    + """WHERE live = $1 AND ($2::smallint IS NULL OR entity = $2) AND ($3::uuid IS NULL OR id < $3)
    AND ($4::text IS NULL OR $4 = CASE WHEN released_at IS NOT NULL THEN 'released'
        WHEN requested_by <> '' THEN 'requires_approval' ELSE 'frozen' END)
ORDER BY id DESC LIMIT $5"""
)
_ACT_COUNT = "SELECT coalesce(max(number), 0) FROM risk.freeze_act WHERE freeze_id = $1"
_INSERT_ACT = """
INSERT INTO risk.freeze_act (freeze_id, number, kind, actor, why, at) VALUES ($1, $2, $3, $4, $5, $6)
"""
_ACTS = """
SELECT freeze_id, number, kind, actor, why, at FROM risk.freeze_act WHERE freeze_id = $1 ORDER BY number LIMIT $2
"""


class Head(NamedTuple):
    """What stands over all freezes: a number that every change moves, and how many are in force."""

    version: int
    in_force_count: int


async def lock_head(connection: Connection) -> Head:
    """Return the head, locked until the transaction ends."""
    row = await connection.fetchrow(_LOCK_HEAD)
    return Head(*row)


async def move_head(connection: Connection, in_force_change: int) -> None:
    """Tell all processes of a change; by so many there are more in force."""
    await connection.execute(_MOVE_HEAD, in_force_change)


async def version(connection: Connection) -> int:
    """Return the number that every change moves."""
    found: int = await connection.fetchval(_VERSION)
    return found


async def standing(connection: Connection, live: bool, entity: Entity, key: str) -> Freeze | None:
    """Return the freeze in force of an entity; None where it is free."""
    row = await connection.fetchrow(_STANDING, live, entity.value, key)
    return None if row is None else _freeze(row)


async def by_id(connection: Connection, freeze_id: UUID) -> Freeze | None:
    """Return a freeze; None where there is none."""
    row = await connection.fetchrow(_BY_ID, freeze_id)
    return None if row is None else _freeze(row)


async def in_force(connection: Connection) -> list[Freeze]:
    """Return everything that is frozen, at most ``FREEZES_MAX``."""
    return [_freeze(row) for row in await connection.fetch(_IN_FORCE, FREEZES_MAX)]


async def insert(connection: Connection, freeze: Freeze) -> None:
    """Insert a new freeze under the locked head."""
    await connection.execute(
        _INSERT,
        freeze.id,
        freeze.live,
        freeze.entity.value,
        freeze.key,
        freeze.reason,
        freeze.frozen_by,
        freeze.frozen_at,
    )


async def update(connection: Connection, freeze: Freeze) -> None:
    """Write how a freeze stands now, under the locked head."""
    await connection.execute(_UPDATE, freeze.id, freeze.requested_by, freeze.released_at)


async def page(connection: Connection, query: FreezeQuery) -> Sequence[Freeze]:
    """Return the freezes of a query, newest first, and one more where there are older ones."""
    entity = None if query.entity is None else query.entity.value
    state = None if query.state is None else query.state.value
    rows = await connection.fetch(_PAGE, query.live, entity, query.starting_after, state, query.limit + 1)
    return [_freeze(row) for row in rows]


async def act_count(connection: Connection, freeze_id: UUID) -> int:
    """Return how many lines the history of a freeze has, which is the number of the last one."""
    found: int = await connection.fetchval(_ACT_COUNT, freeze_id)
    return found


async def insert_act(connection: Connection, act: FreezeAct) -> None:
    """Add a line to the history of a freeze."""
    await connection.execute(
        _INSERT_ACT, act.freeze_id, act.number, act.kind.value, act.actor, act.why, act.at
    )


async def acts(connection: Connection, freeze_id: UUID) -> list[FreezeAct]:
    """Return the history of a freeze, oldest first: at most ``ACTS_MAX`` lines and its release."""
    return [_act(row) for row in await connection.fetch(_ACTS, freeze_id, ACTS_MAX + 1)]


def _freeze(row: Mapping[str, Any]) -> Freeze:
    fields = dict(row)
    return Freeze(**fields | {"id": UUID(int=fields["id"].int), "entity": Entity(fields["entity"])})


def _act(row: Mapping[str, Any]) -> FreezeAct:
    fields = dict(row)
    plain = {"freeze_id": UUID(int=fields["freeze_id"].int), "kind": FreezeActKind(fields["kind"])}
    return FreezeAct(**fields | plain)
