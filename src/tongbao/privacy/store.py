"""The SQL of the vault: data keys, sealed items, blind indexes, the record of reveals."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from tongbao.core import copying
from tongbao.core.db import Connection
from tongbao.privacy.schema import Item, PersonKey, Purpose, Reveal, WrappedKey

_KEY = """
SELECT book_id, person_id, region, wrapped_key, key_version FROM privacy.person_key
WHERE book_id = $1 AND person_id = $2
"""
_KEY_SHARED = _KEY + "FOR SHARE"
_INSERT_KEY = """
INSERT INTO privacy.person_key (book_id, person_id, region, wrapped_key, key_version, created_at)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (book_id, person_id) DO NOTHING
"""
_LOCK_KEY = "SELECT 1 FROM privacy.person_key WHERE book_id = $1 AND person_id = $2 FOR UPDATE"
_DELETE_UNUSED_KEY = """
DELETE FROM privacy.person_key AS k WHERE k.book_id = $1 AND k.person_id = $2 AND k.destroyed_at IS NULL
AND NOT EXISTS (SELECT 1 FROM privacy.item AS i WHERE i.book_id = $1 AND i.person_id = $2)
"""
_DESTROY_KEYS = """
UPDATE privacy.person_key SET wrapped_key = NULL, destroyed_at = $2
WHERE person_id = $1 AND destroyed_at IS NULL RETURNING book_id
"""
_STALE_KEYS = """
SELECT book_id, person_id, region, wrapped_key, key_version FROM privacy.person_key
WHERE key_version <> $1 AND wrapped_key IS NOT NULL ORDER BY key_version, book_id, person_id LIMIT $2
"""
_REPLACE_WRAPPINGS = """
UPDATE privacy.person_key AS k SET wrapped_key = u.new_key, key_version = u.new_version
FROM unnest($1::bigint[], $2::uuid[], $3::bytea[], $4::bytea[], $5::integer[])
    AS u (book_id, person_id, old_key, new_key, new_version)
WHERE k.book_id = u.book_id AND k.person_id = u.person_id AND k.wrapped_key = u.old_key
"""
_KEYS_BY_VERSION = """
SELECT key_version, count(*) AS key_count FROM privacy.person_key
WHERE wrapped_key IS NOT NULL GROUP BY key_version ORDER BY key_version
"""
_INSERT_ITEM = """
INSERT INTO privacy.item (book_id, token_id, person_id, kind, key_version, nonce, ciphertext, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
_ITEM = """
SELECT i.book_id, i.token_id, i.person_id, i.kind, i.key_version AS sealed_version, i.nonce, i.ciphertext,
    k.region, k.wrapped_key, k.key_version
FROM privacy.item AS i
JOIN privacy.person_key AS k ON k.book_id = i.book_id AND k.person_id = i.person_id
WHERE i.book_id = $1 AND i.token_id = $2 AND (i.expires_at IS NULL OR i.expires_at > $3)
"""
_ITEMS = """
SELECT i.book_id, i.token_id, i.person_id, i.kind, i.key_version AS sealed_version, i.nonce, i.ciphertext,
    k.region, k.wrapped_key, k.key_version
FROM unnest($1::text::bigint[], $2::uuid[]) AS u (book_id, token_id)
JOIN privacy.item AS i ON i.book_id = u.book_id AND i.token_id = u.token_id
JOIN privacy.person_key AS k ON k.book_id = i.book_id AND k.person_id = i.person_id
WHERE i.expires_at IS NULL OR i.expires_at > $3
"""
_PERSON_OF_ITEM = "SELECT person_id FROM privacy.item WHERE book_id = $1 AND token_id = $2"
_EXPIRED = """
SELECT book_id, token_id FROM privacy.item WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2
"""
_TOKENS_BY_DIGEST = """
SELECT token_id FROM privacy.blind_index WHERE book_id = $1 AND digest = $2 ORDER BY token_id LIMIT $3
"""
_DELETE_INDEX_OF_PERSON = """
DELETE FROM privacy.blind_index AS b USING privacy.item AS i
WHERE b.book_id = $1 AND i.book_id = $1 AND i.token_id = b.token_id AND i.person_id = $2
"""
_TOKENS_OF_PERSON = "SELECT token_id FROM privacy.item WHERE book_id = $1 AND person_id = $2"
_INSERT_REVEALS = """
INSERT INTO privacy.reveal (book_id, reveal_id, token_id, purpose, actor, subject, revealed_at)
SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
ON CONFLICT (book_id, reveal_id) DO NOTHING
"""
_REVEALS = """
SELECT book_id, reveal_id, token_id, purpose, actor, subject, revealed_at FROM privacy.reveal
WHERE book_id = $1 AND token_id = $2 ORDER BY reveal_id DESC LIMIT $3
"""


async def person_key(connection: Connection, book_id: int, person_id: UUID) -> PersonKey | None:
    """Return the data key of a person."""
    row = await connection.fetchrow(_KEY, book_id, person_id)
    return None if row is None else _person_key(row)


async def person_key_kept(connection: Connection, book_id: int, person_id: UUID) -> PersonKey | None:
    """Return the data key of a person; nobody can destroy it until the caller's transaction ends."""
    row = await connection.fetchrow(_KEY_SHARED, book_id, person_id)
    return None if row is None else _person_key(row)


async def insert_key(connection: Connection, key: PersonKey, wrapped: WrappedKey, at: datetime) -> bool:
    """Store a new data key; False where the person has one already."""
    status = await connection.execute(
        _INSERT_KEY, key.book_id, key.person_id, key.region, wrapped.data, wrapped.version, at
    )
    return bool(status == "INSERT 0 1")


async def destroy_keys(connection: Connection, person_id: UUID, at: datetime) -> list[int]:
    """Destroy the person's data key in every book; return these books."""
    return [row["book_id"] for row in await connection.fetch(_DESTROY_KEYS, person_id, at)]


async def stale_keys(connection: Connection, version: int, limit: int) -> list[PersonKey]:
    """Return data keys that are wrapped under another version than this one."""
    return [_person_key(row) for row in await connection.fetch(_STALE_KEYS, version, limit)]


async def replace_wrappings(
    connection: Connection, changes: Sequence[tuple[PersonKey, WrappedKey, WrappedKey]]
) -> int:
    """Put new wrappings (third) in the place of old ones (second); return how many were still the old ones."""
    status = await connection.execute(
        _REPLACE_WRAPPINGS,
        [key.book_id for key, _, _ in changes],
        [key.person_id for key, _, _ in changes],
        [old.data for _, old, _ in changes],
        [new.data for _, _, new in changes],
        [new.version for _, _, new in changes],
    )
    return int(status.removeprefix("UPDATE "))


async def keys_by_version(connection: Connection) -> dict[int, int]:
    """Return how many data keys each version of the wrapping key holds."""
    return {row["key_version"]: row["key_count"] for row in await connection.fetch(_KEYS_BY_VERSION)}


async def insert_item(
    connection: Connection, item: Item, digest: bytes, at: datetime, expires_at: datetime | None
) -> None:
    """Store a sealed item with its line in the blind index."""
    await connection.execute(
        _INSERT_ITEM,
        item.book_id,
        item.token_id,
        item.person_id,
        item.kind,
        item.key_version,
        item.nonce,
        item.ciphertext,
        at,
        expires_at,
    )
    await connection.execute(
        "INSERT INTO privacy.blind_index (book_id, digest, token_id) VALUES ($1, $2, $3)",
        item.book_id,
        digest,
        item.token_id,
    )


async def item_with_key(
    connection: Connection, book_id: int, token_id: UUID, now: datetime
) -> tuple[Item, PersonKey] | None:
    """Return a sealed item and the data key it opens with; None where there is none, or it has expired."""
    row = await connection.fetchrow(_ITEM, book_id, token_id, now)
    return None if row is None else (_item(row), _person_key(row))


async def items_with_keys(
    connection: Connection, places: Sequence[tuple[int, UUID]], now: datetime
) -> dict[tuple[int, UUID], tuple[Item, PersonKey]]:
    """Return sealed items and the data keys they open with, by book and id; what is not there is left out."""
    books = copying.array([book_id for book_id, _ in places])
    rows = await connection.fetch(_ITEMS, books, [token_id for _, token_id in places], now)
    return {(row["book_id"], row["token_id"]): (_item(row), _person_key(row)) for row in rows}


async def expired_items(connection: Connection, now: datetime, limit: int) -> list[tuple[int, UUID]]:
    """Return book and id of items whose time has come, oldest first."""
    return [(row["book_id"], row["token_id"]) for row in await connection.fetch(_EXPIRED, now, limit)]


async def delete_item(connection: Connection, book_id: int, token_id: UUID) -> bool:
    """Remove an item, its line in the blind index, and the person's key where it was their last; False: no item."""
    person_id = await connection.fetchval(_PERSON_OF_ITEM, book_id, token_id)
    if person_id is None:
        return False
    # Whoever stores another item of this person waits here, or is waited for: its key is not taken away below it.
    await connection.execute(_LOCK_KEY, book_id, person_id)
    await connection.execute(
        "DELETE FROM privacy.blind_index WHERE book_id = $1 AND token_id = $2", book_id, token_id
    )
    await connection.execute(
        "DELETE FROM privacy.item WHERE book_id = $1 AND token_id = $2", book_id, token_id
    )
    await connection.execute(_DELETE_UNUSED_KEY, book_id, person_id)
    return True


async def tokens_by_digest(connection: Connection, book_id: int, digest: bytes, limit: int) -> list[UUID]:
    """Return the items of a book whose number has this digest."""
    return [row["token_id"] for row in await connection.fetch(_TOKENS_BY_DIGEST, book_id, digest, limit)]


async def digest_of(connection: Connection, book_id: int, token_id: UUID) -> bytes | None:
    """Return the digest of an item's number."""
    digest: bytes | None = await connection.fetchval(
        "SELECT digest FROM privacy.blind_index WHERE book_id = $1 AND token_id = $2", book_id, token_id
    )
    return digest


async def delete_index_of_person(connection: Connection, book_id: int, person_id: UUID) -> list[UUID]:
    """Remove a person's lines from the blind index; return their items."""
    await connection.execute(_DELETE_INDEX_OF_PERSON, book_id, person_id)
    return [row["token_id"] for row in await connection.fetch(_TOKENS_OF_PERSON, book_id, person_id)]


async def insert_reveals(connection: Connection, reveals: Sequence[Reveal]) -> None:
    """Add lines to the record; a line that is there already stays."""
    await connection.execute(
        _INSERT_REVEALS,
        [one.book_id for one in reveals],
        [one.reveal_id for one in reveals],
        [one.token_id for one in reveals],
        [one.purpose for one in reveals],
        [one.actor for one in reveals],
        [one.subject for one in reveals],
        [one.revealed_at for one in reveals],
    )


async def reveals(connection: Connection, book_id: int, token_id: UUID, limit: int) -> list[Reveal]:
    """Return the record of a token, newest first."""
    return [
        Reveal(
            book_id=row["book_id"],
            reveal_id=row["reveal_id"],
            token_id=row["token_id"],
            purpose=Purpose(row["purpose"]),
            actor=row["actor"],
            subject=row["subject"],
            revealed_at=row["revealed_at"],
        )
        for row in await connection.fetch(_REVEALS, book_id, token_id, limit)
    ]


def _person_key(row: Connection) -> PersonKey:
    data = row["wrapped_key"]
    return PersonKey(
        book_id=row["book_id"],
        person_id=row["person_id"],
        region=row["region"],
        wrapped=None if data is None else WrappedKey(row["key_version"], data),
    )


def _item(row: Connection) -> Item:
    return Item(
        book_id=row["book_id"],
        token_id=row["token_id"],
        person_id=row["person_id"],
        region=row["region"],
        key_version=row["sealed_version"],
        nonce=row["nonce"],
        ciphertext=row["ciphertext"],
        kind=row["kind"],
    )
