"""The SQL of policies: versions, roll-outs, replays and the audit trail.

Inserts and moves say whether they took place; a False is another writer who was first. Nothing here is ever deleted,
and only the state and the replay of a version ever change.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from tongbao.core.db import Connection
from tongbao.decisions.schema.evaluation import Report
from tongbao.decisions.schema.policies import PolicyChange, PolicyVersion, Rollout, VersionState

Row = TypeVar("Row")

_VERSION = """
SELECT policy, version, state, spec, digest, note, created_at, created_by, replay_id FROM decisions.policy_version
"""
_VERSION_BY_NUMBER = _VERSION + "WHERE policy = $1 AND version = $2"
_VERSION_BY_DIGEST = _VERSION + "WHERE policy = $1 AND digest = $2 ORDER BY version LIMIT 1"
_VERSIONS = (
    _VERSION + "WHERE policy = $1 AND ($2::int IS NULL OR version < $2) ORDER BY version DESC LIMIT $3"
)
_VERSIONS_NAMED = (
    _VERSION
    + "WHERE (policy, version) IN (SELECT * FROM unnest($1::text[], $2::int[])) ORDER BY policy, version"
)
_LAST_VERSION = "SELECT coalesce(max(version), 0) FROM decisions.policy_version WHERE policy = $1"
_POLICY_COUNT = "SELECT count(*) FROM decisions.policy_version WHERE version = 1"
_INSERT_VERSION = """
INSERT INTO decisions.policy_version (policy, version, created_at, replay_id, state, digest, note, created_by, spec)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING
"""
_MOVE_VERSION = """
UPDATE decisions.policy_version SET state = $4, replay_id = coalesce($5, replay_id)
WHERE policy = $1 AND version = $2 AND state = $3
"""

_ROLLOUT = """
SELECT policy, epoch, champion, challenger, share_bps, shadow, salt, guardrails, started_at, started_by, note
FROM decisions.rollout
"""
_CURRENT = _ROLLOUT + "WHERE policy = $1 ORDER BY epoch DESC LIMIT 1"
_IN_FORCE = """
SELECT DISTINCT ON (policy) policy, epoch, champion, challenger, share_bps, shadow, salt, guardrails, started_at,
    started_by, note
FROM decisions.rollout ORDER BY policy, epoch DESC LIMIT $1
"""
_WATCHED = """
SELECT policy, epoch, champion, challenger, share_bps, shadow, salt, guardrails, started_at, started_by, note
FROM decisions.rollout AS r
WHERE challenger IS NOT NULL AND share_bps > 0 AND jsonb_array_length(guardrails) > 0
    AND NOT EXISTS (SELECT 1 FROM decisions.rollout AS l WHERE l.policy = r.policy AND l.epoch > r.epoch)
ORDER BY policy LIMIT $1
"""
_ROLLOUT_COUNT = "SELECT count(*) FROM decisions.rollout"
_SALT_OF = """
SELECT salt FROM decisions.rollout WHERE policy = $1 AND challenger = $2 ORDER BY epoch DESC LIMIT 1
"""
_INSERT_ROLLOUT = """
INSERT INTO decisions.rollout (policy, epoch, champion, challenger, share_bps, shadow, started_at, salt, started_by,
    note, guardrails)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING
"""

_INSERT_REPLAY = """
INSERT INTO decisions.replay (id, made_at, version, policy, digest, verdict, body)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING
"""
_REPLAY = "SELECT body FROM decisions.replay WHERE id = $1"
_REPLAYS = """
SELECT body FROM decisions.replay WHERE policy = $1 AND version = $2 ORDER BY made_at DESC, id DESC LIMIT $3
"""

_CHANGE_HEAD = "SELECT coalesce(max(change_no), 0) FROM decisions.policy_change WHERE policy = $1"
_INSERT_CHANGE = """
INSERT INTO decisions.policy_change (policy, change_no, version, at, actor, action, details)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING
"""
_CHANGES = """
SELECT policy, change_no, version, at, actor, action, details FROM decisions.policy_change
WHERE policy = $1 AND change_no > $2 ORDER BY change_no LIMIT $3
"""
_WAS_PUBLISHED = """
SELECT EXISTS (SELECT 1 FROM decisions.policy_change WHERE policy = $1 AND action = 'published')
"""
_WAS_FORCED = """
SELECT EXISTS (
    SELECT 1 FROM decisions.policy_change
    WHERE policy = $1 AND version = $2 AND action = 'published' AND (details ->> 'is_forced')::boolean
)
"""


async def version(connection: Connection, policy: str, number: int) -> PolicyVersion | None:
    """Return one version."""
    return _version(await connection.fetchrow(_VERSION_BY_NUMBER, policy, number))


async def version_by_digest(connection: Connection, policy: str, digest: str) -> PolicyVersion | None:
    """Return the version with this content."""
    return _version(await connection.fetchrow(_VERSION_BY_DIGEST, policy, digest))


async def versions(
    connection: Connection, policy: str, before: int | None, limit: int
) -> list[PolicyVersion]:
    """Return versions below ``before`` (None: all), newest first."""
    return [
        _read(row, PolicyVersion, "spec") for row in await connection.fetch(_VERSIONS, policy, before, limit)
    ]


async def versions_named(connection: Connection, named: Sequence[tuple[str, int]]) -> list[PolicyVersion]:
    """Return versions by policy and number, those that exist."""
    policies, numbers = [policy for policy, _ in named], [number for _, number in named]
    rows = await connection.fetch(_VERSIONS_NAMED, policies, numbers)
    return [_read(row, PolicyVersion, "spec") for row in rows]


async def last_version(connection: Connection, policy: str) -> int:
    """Return the highest number; 0 where there is no version."""
    number: int = await connection.fetchval(_LAST_VERSION, policy)
    return number


async def policy_count(connection: Connection) -> int:
    """Return how many policies there are."""
    count: int = await connection.fetchval(_POLICY_COUNT)
    return count


async def insert_version(connection: Connection, new: PolicyVersion, spec: bytes) -> bool:
    """Add a version; ``spec`` is its specification in canonical form."""
    status = await connection.execute(
        _INSERT_VERSION,
        new.policy,
        new.version,
        new.created_at,
        new.replay_id,
        new.state,
        new.digest,
        new.note,
        new.created_by,
        spec.decode(),
    )
    return _touched(status)


async def move_version(
    connection: Connection, old: PolicyVersion, state: VersionState, replay_id: UUID | None = None
) -> bool:
    """Move a version from the state that it was read in; keep its replay where none is given."""
    return _touched(
        await connection.execute(_MOVE_VERSION, old.policy, old.version, old.state, state, replay_id)
    )


async def current(connection: Connection, policy: str) -> Rollout | None:
    """Return the roll-out in force."""
    return _rollout(await connection.fetchrow(_CURRENT, policy))


async def in_force(connection: Connection, limit: int) -> list[Rollout]:
    """Return the roll-outs in force of all policies, by name."""
    return [_read(row, Rollout, "guardrails") for row in await connection.fetch(_IN_FORCE, limit)]


async def watched(connection: Connection, limit: int) -> list[Rollout]:
    """Return those in force whose challenger decides for somebody and has guardrails, by name."""
    return [_read(row, Rollout, "guardrails") for row in await connection.fetch(_WATCHED, limit)]


async def rollout_count(connection: Connection) -> int:
    """Return how many roll-outs there ever were: equal counts mean that nothing changed."""
    count: int = await connection.fetchval(_ROLLOUT_COUNT)
    return count


async def salt_of(connection: Connection, policy: str, challenger: int) -> str | None:
    """Return the salt under which this challenger was tried last."""
    salt: str | None = await connection.fetchval(_SALT_OF, policy, challenger)
    return salt


async def insert_rollout(connection: Connection, new: Rollout) -> bool:
    """Put a roll-out into force; False where its epoch is taken."""
    status = await connection.execute(
        _INSERT_ROLLOUT,
        new.policy,
        new.epoch,
        new.champion,
        new.challenger,
        new.share_bps,
        new.shadow,
        new.started_at,
        new.salt,
        new.started_by,
        new.note,
        _json(new.guardrails),
    )
    return _touched(status)


async def insert_replay(connection: Connection, report: Report, digest: str) -> bool:
    """Add a replay of the version with this digest; False where the replay is known."""
    status = await connection.execute(
        _INSERT_REPLAY,
        report.id,
        report.made_at,
        report.version,
        report.policy,
        digest,
        report.verdict,
        _json(report),
    )
    return _touched(status)


async def replay(connection: Connection, replay_id: UUID) -> Report | None:
    """Return one replay."""
    body = await connection.fetchval(_REPLAY, replay_id)
    return None if body is None else msgspec.json.decode(body, type=Report)


async def replays(connection: Connection, policy: str, number: int, limit: int) -> list[Report]:
    """Return the replays of a version, newest first."""
    rows = await connection.fetch(_REPLAYS, policy, number, limit)
    return [msgspec.json.decode(row["body"], type=Report) for row in rows]


async def change_head(connection: Connection, policy: str) -> int:
    """Return the number of the last line of the audit trail; 0 where there is none."""
    number: int = await connection.fetchval(_CHANGE_HEAD, policy)
    return number


async def insert_change(connection: Connection, change: PolicyChange) -> bool:
    """Add a line to the audit trail; False where somebody else wrote one with its number."""
    status = await connection.execute(
        _INSERT_CHANGE,
        change.policy,
        change.change_no,
        change.version,
        change.at,
        change.actor,
        change.action,
        _json(change.details),
    )
    return _touched(status)


async def changes(connection: Connection, policy: str, after: int, limit: int) -> list[PolicyChange]:
    """Return lines of the audit trail beyond ``after``, oldest first."""
    rows = await connection.fetch(_CHANGES, policy, after, limit)
    return [_read(row, PolicyChange, "details") for row in rows]


async def was_published(connection: Connection, policy: str) -> bool:
    """Return whether any version of the policy was ever published."""
    published: bool = await connection.fetchval(_WAS_PUBLISHED, policy)
    return published


async def was_forced(connection: Connection, policy: str, number: int) -> bool:
    """Return whether a version was published against its replay."""
    forced: bool = await connection.fetchval(_WAS_FORCED, policy, number)
    return forced


def _read(row: Mapping[str, Any], kind: type[Row], document: str) -> Row:
    fields = dict(row)
    fields[document] = msgspec.json.decode(fields[document])
    return msgspec.convert(fields, kind)


def _version(row: Mapping[str, Any] | None) -> PolicyVersion | None:
    return None if row is None else _read(row, PolicyVersion, "spec")


def _rollout(row: Mapping[str, Any] | None) -> Rollout | None:
    return None if row is None else _read(row, Rollout, "guardrails")


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _touched(status: str) -> bool:
    return not status.endswith(" 0")
