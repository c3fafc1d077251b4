"""The SQL of rates and of the files that brought them. Rows are only ever added; the newest revision holds."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

import msgspec

from tongbao.core.db import Connection
from tongbao.fx.schema import ImportedFile, KnownRate, PublishedRate

_READ = msgspec.json.Decoder(ImportedFile).decode
_ENCODE = msgspec.json.Encoder().encode

# One import of a source at a time, so that two never count the same revision; nothing is changed.
_BEGIN = """
INSERT INTO fx.rate_file (source, digest, imported_at, imported_by, body) VALUES ($1, '', $2, '', '{}')
ON CONFLICT (source, digest) DO UPDATE SET imported_at = excluded.imported_at
"""
_FILE = "SELECT body FROM fx.rate_file WHERE source = $1 AND digest = $2 AND digest <> ''"
_KEEP_FILE = """
INSERT INTO fx.rate_file (source, digest, imported_at, imported_by, body) VALUES ($1, $2, $3, $4, $5)
"""
_KNOWN = """
SELECT DISTINCT ON (base, quote, published_on) base, quote, published_on, revision, rate FROM fx.rate
WHERE source = $1 AND published_on = ANY ($2::date[])
ORDER BY base, quote, published_on, revision DESC
"""
_ADD = """
INSERT INTO fx.rate (source, base, quote, published_on, revision, rate, imported_at, file_digest)
SELECT $1, u.base, u.quote, u.published_on, u.revision, u.rate, $2, $3
FROM unnest($4::text[], $5::text[], $6::date[], $7::numeric[], $8::integer[])
    AS u (base, quote, published_on, rate, revision)
"""
_RATE = """
SELECT source, base, quote, published_on, revision, rate, imported_at, file_digest FROM fx.rate
"""
# The newest day for which every one of the wanted currencies has a rate.
_COMMON_DAY = """
SELECT r.published_on FROM fx.rate AS r
WHERE r.source = $1 AND r.base = $2 AND r.quote = $3 AND r.published_on <= $5
    AND ($3 = $4 OR EXISTS (
        SELECT 1 FROM fx.rate AS o
        WHERE o.source = $1 AND o.base = $2 AND o.quote = $4 AND o.published_on = r.published_on
    ))
ORDER BY r.published_on DESC LIMIT 1
"""
_NEWEST_DAY = "SELECT max(published_on) FROM fx.rate WHERE source = $1 AND published_on <= $2"
_OF_DAY = (
    "SELECT DISTINCT ON (quote) source, base, quote, published_on, revision, rate, imported_at, file_digest "
    "FROM fx.rate WHERE source = $1 AND base = $2 AND published_on = $3 "
    "AND ($4::text[] IS NULL OR quote = ANY ($4)) ORDER BY quote, revision DESC"
)
_REVISIONS = (
    _RATE
    + "WHERE source = $1 AND base = $2 AND quote = $3 AND published_on = $4 ORDER BY revision DESC LIMIT $5"
)
_AGES = "SELECT source, max(published_on) AS newest_on FROM fx.rate GROUP BY source ORDER BY source"


class Added(NamedTuple):
    """How many rates were new, and how many corrected what was known."""

    new_count: int
    corrected_count: int


async def begin(connection: Connection, source: str, now: datetime) -> None:
    """Let nobody else import from this source until the transaction ends."""
    await connection.execute(_BEGIN, source, now)


async def file(connection: Connection, source: str, digest: str) -> ImportedFile | None:
    """Return what came of a file with this digest."""
    body = await connection.fetchval(_FILE, source, digest)
    return None if body is None else _READ(body)


async def keep_file(connection: Connection, made: ImportedFile, now: datetime, actor: str) -> None:
    """Write what came of a file."""
    body = _ENCODE(made).decode()
    await connection.execute(_KEEP_FILE, made.source, made.digest, now, actor, body)


async def add(
    connection: Connection, of: tuple[str, str], now: datetime, rates: Sequence[PublishedRate]
) -> Added:
    """Add rates, each pair and day once a call; what is known so already is left. ``of``: source and digest of the file."""
    source, digest = of
    days = sorted({each.published_on for each in rates})
    known = {
        tuple(row)[:3]: (row["revision"], row["rate"]) for row in await connection.fetch(_KNOWN, source, days)
    }
    rows = []
    for each in rates:
        revision, rate = known.get((each.base, each.quote, each.published_on), (0, None))
        if rate != each.rate:
            rows.append((each.base, each.quote, each.published_on, each.rate, revision + 1))
    if rows:
        await connection.execute(_ADD, source, now, digest, *map(list, zip(*rows, strict=True)))
    new = sum(row[-1] == 1 for row in rows)
    return Added(new, len(rows) - new)


async def common_day(
    connection: Connection, of: tuple[str, str], quotes: Sequence[str], until_on: date
) -> date | None:
    """Return the newest day until ``until_on`` with rates of all these one or two currencies; ``of``: source and base."""
    found: date | None = await connection.fetchval(_COMMON_DAY, *of, quotes[0], quotes[-1], until_on)
    return found


async def newest_day(connection: Connection, source: str, until_on: date) -> date | None:
    """Return the newest day with rates until ``until_on``."""
    found: date | None = await connection.fetchval(_NEWEST_DAY, source, until_on)
    return found


async def of_day(
    connection: Connection, of: tuple[str, str], on: date, quotes: Sequence[str] | None = None
) -> list[KnownRate]:
    """Return the rates of a day, of all currencies or of some; ``of``: source and base."""
    wanted = None if quotes is None else list(quotes)
    return [_known(row) for row in await connection.fetch(_OF_DAY, *of, on, wanted)]


async def revisions(
    connection: Connection, of: tuple[str, str, str], on: date, limit: int
) -> list[KnownRate]:
    """Return every revision of one rate, the newest first; ``of``: source, base and quote."""
    return [_known(row) for row in await connection.fetch(_REVISIONS, *of, on, limit)]


async def ages(connection: Connection) -> dict[str, date]:
    """Return the newest day of each source."""
    return {row["source"]: row["newest_on"] for row in await connection.fetch(_AGES)}


def _known(row: Any) -> KnownRate:
    return KnownRate(**dict(row))
