"""The SQL of recovery codes and of links that set a password; both are kept as digests."""

from collections.abc import Sequence
from datetime import datetime

from tongbao.core.db import Connection
from tongbao.parties.schema import PersonId
from tongbao.parties.store.rows import changed_one

_DROP_CODES = "DELETE FROM parties.recovery_code WHERE person_id = $1"
_INSERT_CODES = """
INSERT INTO parties.recovery_code (person_id, digest, made_at) SELECT $1, digest, $3 FROM unnest($2::bytea[]) AS digest
"""
_USE_CODE = """
UPDATE parties.recovery_code SET used_at = $3 WHERE person_id = $1 AND digest = $2 AND used_at IS NULL
"""
_COUNT_CODES = "SELECT count(*) FROM parties.recovery_code WHERE person_id = $1 AND used_at IS NULL"
_SET_LINK = """
INSERT INTO parties.reset_link (person_id, token_digest, made_by, made_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (person_id) DO UPDATE
SET token_digest = excluded.token_digest, made_by = excluded.made_by, made_at = excluded.made_at
"""
_LINK = "SELECT person_id FROM parties.reset_link WHERE token_digest = $1 AND made_at > $2"
_USE_LINK = "DELETE FROM parties.reset_link WHERE token_digest = $1 AND made_at > $2 RETURNING person_id"


async def replace_codes(
    connection: Connection, person_id: PersonId, digests: Sequence[bytes], now: datetime
) -> None:
    """Put new codes in the place of a person's old ones."""
    await connection.execute(_DROP_CODES, person_id)
    await connection.execute(_INSERT_CODES, person_id, list(digests), now)


async def use_code(connection: Connection, person_id: PersonId, digest: bytes, now: datetime) -> bool:
    """Use a code up; False where the person has no such one left."""
    return changed_one(await connection.execute(_USE_CODE, person_id, digest, now))


async def count_codes(connection: Connection, person_id: PersonId) -> int:
    """Return how many codes a person has left."""
    return int(await connection.fetchval(_COUNT_CODES, person_id))


async def set_link(
    connection: Connection, person_id: PersonId, token_digest: bytes, made_by: str, now: datetime
) -> None:
    """Make the one link of a person; the one from before is good for nothing."""
    await connection.execute(_SET_LINK, person_id, token_digest, made_by, now)


async def person_of_link(
    connection: Connection, token_digest: bytes, made_after: datetime
) -> PersonId | None:
    """Return whose link this is."""
    found = await connection.fetchval(_LINK, token_digest, made_after)
    return None if found is None else PersonId(found)


async def use_link(connection: Connection, token_digest: bytes, made_after: datetime) -> PersonId | None:
    """Use a link up; return whose it was."""
    found = await connection.fetchval(_USE_LINK, token_digest, made_after)
    return None if found is None else PersonId(found)
