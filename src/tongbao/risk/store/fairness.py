"""The SQL behind whom risk control bothers: judged payments of a time, newest first, and when customers were first seen."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.core.db import Connection
from tongbao.core.ids import first_uuid_at
from tongbao.risk.schema.signals import Entity

_PAGE = """
SELECT id, at, tier, value, currency, signals, is_approved, is_fraud
FROM risk.event
WHERE id >= $1 AND id < $2 AND live = $3 AND ($4::bigint IS NULL OR book_id = $4)
ORDER BY id DESC LIMIT $5
"""
_FIRST_SEEN = """
SELECT DISTINCT ON (key) key, event_id FROM risk.link
WHERE entity = $1 AND key = ANY($2::text[]) AND live = $3 AND ($4::bigint IS NULL OR book_id = $4)
ORDER BY key, event_id
"""


class About(msgspec.Struct, frozen=True):
    """Of the signals of a payment what groups are made by."""

    customer: str = ""
    card_country: str = ""


class Row(NamedTuple):
    """A judged payment; ``value`` in hundredths of its currency."""

    id: UUID
    at: datetime
    tier: str
    value: int
    currency: str
    about: About
    is_approved: bool | None
    is_fraud: bool | None


async def page(
    connection: Connection, span: tuple[datetime, UUID], live: bool, book_id: int | None, limit: int
) -> list[Row]:
    """Return payments from an instant to before an id, newest first; of one book or of all."""
    begin, before = span
    rows = await connection.fetch(_PAGE, first_uuid_at(begin), before, live, book_id, limit)
    decode = msgspec.json.Decoder(About).decode
    return [Row(row[0], row[1], row[2], row[3], row[4], decode(row[5]), row[6], row[7]) for row in rows]


async def first_seen(
    connection: Connection, customers: Sequence[str], live: bool, book_id: int | None
) -> dict[str, UUID]:
    """Return the first judged payment of each customer: in a book, or anywhere."""
    rows = await connection.fetch(_FIRST_SEEN, int(Entity.CUSTOMER), list(customers), live, book_id)
    return {row[0]: row[1] for row in rows}
