"""Reads of the explorer that the ledger's service does not offer yet: newest seals, and the members of a group.

They belong into ``ledger.service.reading``; until it offers them, this file is the only place of the faces that
asks the database. Read-only, one statement each.
"""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from tongbao.core.db import Database
from tongbao.ledger.schema import GROUP_SIZE_MAX, AccountId, BookId, Kind
from tongbao.ledger.service.ledger import Ledger

_LATEST = """
SELECT b.book_id, b.code, s.seal_no, s.last_seq, s.seal_hash, s.sealed_at,
    count(*) OVER () AS book_count, coalesce(sum(s.last_seq) OVER (), 0)::bigint AS transfer_count
FROM ledger.book AS b
LEFT JOIN LATERAL (
    SELECT l.seal_no, l.first_seq + l.transfer_count - 1 AS last_seq, l.seal_hash, l.sealed_at
    FROM ledger.seal AS l WHERE l.book_id = b.book_id ORDER BY l.seal_no DESC LIMIT 1
) AS s ON true
ORDER BY s.sealed_at DESC NULLS LAST, b.code LIMIT $1
"""

_HEAD = """
SELECT b.book_id, b.code, l.seal_no, l.first_seq + l.transfer_count - 1 AS last_seq, l.seal_hash, l.sealed_at
FROM ledger.seal AS l JOIN ledger.book AS b ON b.book_id = l.book_id
WHERE l.book_id = $1 ORDER BY l.seal_no DESC LIMIT 1
"""

# A group is written in one batch, and batches are what the journal can be searched by.
_GROUP = """
SELECT t.key, t.debit_account_id, t.credit_account_id, t.amount_minor, t.kind, t.code
FROM ledger.transfer AS t
WHERE t.book_id = $1 AND t.group_key = $2
    AND t.batch_xid = (SELECT f.batch_xid FROM ledger.transfer AS f WHERE f.book_id = $1 AND f.key = $2)
ORDER BY t.batch_index LIMIT $3
"""


class Head(NamedTuple):
    """The newest seal of a book."""

    book_id: BookId
    book_code: str
    seal_no: int
    last_seq: int
    seal_hash: bytes
    sealed_at: datetime


class Latest(NamedTuple):
    """How many books there are, how many transfers they sealed, and whose seals are the newest."""

    book_count: int
    transfer_count: int
    heads: tuple[Head, ...]


class Member(NamedTuple):
    """One transfer of a linked group."""

    key: UUID
    debit_account_id: AccountId
    credit_account_id: AccountId
    amount_minor: int
    kind: Kind
    code: str


class LedgerSource:
    """Answers what the service does not, from the ledger's own database."""

    def __init__(self, ledger: Ledger) -> None:
        self._database: Database = ledger.reading._database

    async def latest(self, limit: int) -> Latest:
        """Return the counts of the house and the newest seals, newest first."""
        async with self._database.transaction(read_only=True) as connection:
            rows = await connection.fetch(_LATEST, limit)
        if not rows:
            return Latest(0, 0, ())
        heads = tuple(Head(*tuple(row)[:6]) for row in rows if row["seal_no"] is not None)
        return Latest(rows[0]["book_count"], rows[0]["transfer_count"], heads)

    async def head(self, book_id: BookId) -> Head | None:
        """Return the newest seal of a book; None where nothing is sealed."""
        async with self._database.transaction(read_only=True) as connection:
            row = await connection.fetchrow(_HEAD, book_id)
        return None if row is None else Head(*row)

    async def group(self, book_id: BookId, group_key: UUID) -> list[Member]:
        """Return the transfers that were posted as one group, in order."""
        async with self._database.transaction(read_only=True) as connection:
            rows = await connection.fetch(_GROUP, book_id, group_key, GROUP_SIZE_MAX)
        return [
            Member(UUID(int=key.int), debit, credit, amount, Kind(kind), code)
            for key, debit, credit, amount, kind, code in rows
        ]
