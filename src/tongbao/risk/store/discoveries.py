"""The SQL of discoveries: findings as JSON beside the detectors that were fitted; the newest few are kept."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from tongbao.core.db import Connection

_INSERT = """
INSERT INTO risk.discovery (id, live, made_at, digest, body, detectors) VALUES ($1, $2, $3, $4, $5, $6)
"""
_FORGET = """
DELETE FROM risk.discovery WHERE live = $1 AND id NOT IN (
    SELECT id FROM risk.discovery WHERE live = $1 ORDER BY made_at DESC, id DESC LIMIT $2
)
"""
_NEWEST = """
SELECT id, live, made_at, digest, body FROM risk.discovery WHERE live = $1 ORDER BY made_at DESC, id DESC LIMIT 1
"""
_DETECTORS = "SELECT detectors FROM risk.discovery WHERE id = $1"
_UNLABELLED = """
SELECT e.id FROM risk.event e
WHERE e.id = ANY($1::uuid[]) AND e.is_fraud IS NULL
    AND NOT EXISTS (SELECT 1 FROM risk.case_payment c WHERE c.event_id = e.id)
"""


class DiscoveryRow(NamedTuple):
    """A discovery without its detectors; ``digest`` is SHA-256 of ``body``, hexadecimal."""

    id: UUID
    live: bool
    made_at: datetime
    digest: str
    body: bytes


async def save(connection: Connection, row: DiscoveryRow, detectors: bytes, kept: int) -> None:
    """Keep a discovery and delete all but the newest ``kept`` of its mode; joins the transaction."""
    await connection.execute(_INSERT, *row, detectors)
    await connection.execute(_FORGET, row.live, kept)


async def newest(connection: Connection, live: bool) -> DiscoveryRow | None:
    """Return the newest discovery of a mode."""
    row = await connection.fetchrow(_NEWEST, live)
    return DiscoveryRow(*row) if row else None


async def detectors(connection: Connection, discovery_id: UUID) -> bytes | None:
    """Return the detectors of a discovery as they were kept; None where it is gone."""
    found: bytes | None = await connection.fetchval(_DETECTORS, discovery_id)
    return found


async def unlabelled(connection: Connection, ids: Sequence[UUID]) -> set[UUID]:
    """Return those of judged payments that have no label and that no case is about."""
    return {row[0] for row in await connection.fetch(_UNLABELLED, list(ids))}
