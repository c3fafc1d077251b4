"""The SQL of documents: written in batches, read one by one, listed by time, found when they are due.

A document is one row: what is looked for stands in columns, everything else in ``body``, the JSON of its struct.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from tongbao.core import copying
from tongbao.core.db import Connection
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.changes import Reference
from tongbao.payments.schema.checkout import CheckoutSession, PaymentLink, WalletTransfer
from tongbao.payments.schema.complaints import Complaint
from tongbao.payments.schema.documents import Document, Kind
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.methods import Mandate, PaymentMethod, SetupIntent
from tongbao.payments.schema.refunds import Dispute, Refund

Doc = TypeVar("Doc", bound=Document)
Address = tuple[int, UUID]
"""The book and the id of a document."""

LANE_SETTINGS = {
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}
"""Settings of a lane's connections: the only joins left are lookups in the order of the arrays, planned once.

Planning a batch anew each time costs as much as running it; see ``forget_plans`` for the price of not doing so.
"""

TYPES: tuple[type[Document], ...] = (
    Intent,
    Attempt,
    Refund,
    Dispute,
    PaymentMethod,
    SetupIntent,
    Mandate,
    PaymentLink,
    CheckoutSession,
    WalletTransfer,
    Complaint,
)
_DECODERS: dict[Kind, "msgspec.json.Decoder[Any]"] = {each.KIND: msgspec.json.Decoder(each) for each in TYPES}
_ENCODER = msgspec.json.Encoder()

_COLUMNS = (
    "book_id",
    "kind",
    "id",
    "version",
    "state",
    "parent_id",
    "owner_id",
    "created_at",
    "updated_at",
    "due_at",
    "body",
)
_UPDATE = """
UPDATE payments.document AS d
SET version = u.version, state = u.state, owner_id = u.owner_id, updated_at = u.updated_at, due_at = u.due_at,
    body = u.body::jsonb
FROM unnest($1::text::bigint[], $2::text::smallint[], $3::uuid[], $4::text::integer[], $5::text[], $6::uuid[],
        $7::timestamptz[], $8::timestamptz[], $9::text[])
    AS u (book_id, kind, id, version, state, owner_id, updated_at, due_at, body)
WHERE d.book_id = u.book_id AND d.kind = u.kind AND d.id = u.id AND d.version = u.version - 1
RETURNING d.id
"""
_REFER = """
INSERT INTO payments.reference (book_id, kind, value, subject_id)
SELECT * FROM unnest($1::bigint[], $2::smallint[], $3::text[], $4::uuid[])
ON CONFLICT (book_id, kind, value) DO NOTHING
RETURNING subject_id
"""
_REFERRED = "SELECT subject_id FROM payments.reference WHERE book_id = $1 AND kind = $2 AND value = $3"
_ONE = "SELECT body FROM payments.document WHERE book_id = $1 AND kind = $2 AND id = $3"
_MANY = "SELECT body FROM payments.document WHERE book_id = $1 AND kind = $2 AND id = ANY ($3::uuid[])"
_EACH = """
SELECT d.body FROM unnest($1::text::bigint[], $2::text::smallint[], $3::uuid[]) WITH ORDINALITY AS u (book_id, kind, id, place)
LEFT JOIN payments.document AS d ON d.book_id = u.book_id AND d.kind = u.kind AND d.id = u.id
ORDER BY u.place
"""
_EACH_METHOD = """
SELECT d.body FROM unnest($1::text::bigint[], $2::uuid[]) WITH ORDINALITY AS u (book_id, id, place)
LEFT JOIN payments.payment_method AS d ON d.book_id = u.book_id AND d.kind = 5 AND d.id = u.id
ORDER BY u.place
"""
_CHILDREN = """
SELECT body FROM payments.document WHERE book_id = $1 AND kind = $2 AND parent_id = $3 ORDER BY id DESC LIMIT $4
"""
_BOOK_OF_ATTEMPT = "SELECT book_id FROM payments.attempt WHERE id = $1 LIMIT 1"
_BOOK_OF_REFUND = "SELECT book_id FROM payments.refund WHERE id = $1 LIMIT 1"
_BOOK_OF_SESSION = "SELECT book_id FROM payments.checkout_session WHERE id = $1 LIMIT 1"
_BOOK_OF_LINK = "SELECT book_id FROM payments.payment_link WHERE id = $1 LIMIT 1"
_BOOK_OF = {
    Kind.ATTEMPT: _BOOK_OF_ATTEMPT,
    Kind.REFUND: _BOOK_OF_REFUND,
    Kind.SESSION: _BOOK_OF_SESSION,
    Kind.LINK: _BOOK_OF_LINK,
}
_BY_CHANNEL_REFERENCE = """
SELECT body FROM payments.attempt WHERE book_id = $1 AND body ->> 'channel_reference' = $2 ORDER BY id DESC LIMIT $3
"""
MOVING_STATES = (
    *("charged", "captured_partial", "captured"),
    *("sent", "pending", "unresolved", "succeeded"),
    *("needs_response", "under_review", "lost"),
)
"""States of attempts, refunds and disputes in which they have moved a merchant's balance."""
# An attempt that is merely sent, pending or unresolved has moved nothing; a refund has.
_MOVEMENT_CONDITIONS = """
    book_id = $1 AND kind = ANY (CASE WHEN $2::smallint IS NULL THEN ARRAY[2, 3, 4] ELSE ARRAY[$2] END)
    AND state = ANY ($3::text[]) AND (kind <> 2 OR state IN ('charged', 'captured_partial', 'captured'))
    AND ($4::text IS NULL OR body ->> 'currency' = $4)
    AND ($5::timestamptz IS NULL OR created_at >= $5) AND ($6::timestamptz IS NULL OR created_at < $6)
"""
_MOVEMENTS_AFTER = (
    "SELECT kind, body FROM payments.document WHERE"
    + _MOVEMENT_CONDITIONS
    + " AND ($7::uuid IS NULL OR id < $7) ORDER BY id DESC LIMIT $8"
)
_MOVEMENT = "SELECT kind, body FROM payments.document WHERE" + _MOVEMENT_CONDITIONS + " AND id = $7"
_MOVEMENTS_BEFORE = (
    "SELECT kind, body FROM payments.document WHERE"
    + _MOVEMENT_CONDITIONS
    + " AND id > $7 ORDER BY id LIMIT $8"
)
_OF_CHANNEL = """
SELECT body FROM payments.attempt WHERE body ->> 'channel_reference' = $1 AND body ->> 'channel' = $2 LIMIT 2
"""
# Conditions that are not asked for are NULL; ids are ordered by time.
_PAGE_CONDITIONS = """
    book_id = $1 AND kind = $2
    AND ($3::uuid IS NULL OR owner_id = $3) AND ($4::uuid IS NULL OR parent_id = $4)
    AND ($5::text IS NULL OR state = $5)
    AND ($6::jsonb IS NULL OR body @> $6)
    AND ($7::timestamptz IS NULL OR created_at >= $7) AND ($8::timestamptz IS NULL OR created_at < $8)
"""
_PAGE_AFTER = (
    "SELECT body FROM payments.document WHERE"
    + _PAGE_CONDITIONS
    + " AND ($9::uuid IS NULL OR id < $9) ORDER BY id DESC LIMIT $10"
)
_PAGE_BEFORE = (
    "SELECT body FROM payments.document WHERE" + _PAGE_CONDITIONS + " AND id > $9 ORDER BY id LIMIT $10"
)
# Taken by pushing the time forward: another worker, or this one after a crash, looks again when that has passed.
_TAKE_DUE = """
WITH due AS (
    SELECT book_id, kind, id FROM payments.document
    WHERE due_at <= $1 ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED
)
UPDATE payments.document AS d SET due_at = $2
FROM due WHERE d.book_id = due.book_id AND d.kind = due.kind AND d.id = due.id
RETURNING d.kind, d.body
"""


async def forget_plans(connection: Connection) -> None:
    """Let the connection plan its statements anew.

    A plan that was made while a table was nearly empty walks through the whole of it, and is kept for ever.
    """
    await connection.execute("DISCARD PLANS")


async def insert(connection: Connection, documents: Iterable[Document]) -> None:
    """Insert first versions; joins the transaction."""
    await copying.copy(connection, "payments", "document", _COLUMNS, [_row(each) for each in documents])


async def update(connection: Connection, documents: Sequence[Document]) -> set[UUID]:
    """Write next versions in ascending order of id; return the ids whose stored version was the one before."""
    ordered = sorted(documents, key=_id_of)
    rows = await connection.fetch(
        _UPDATE,
        copying.array([each.book_id for each in ordered]),
        copying.array([each.KIND for each in ordered]),
        [each.id for each in ordered],
        copying.array([each.version for each in ordered]),
        [each.status for each in ordered],
        [each.owner_id for each in ordered],
        [each.updated_at for each in ordered],
        [each.due_at for each in ordered],
        [_ENCODER.encode(each).decode() for each in ordered],
    )
    return {row[0] for row in rows}


async def refer(connection: Connection, references: Sequence[tuple[int, Reference]]) -> set[UUID]:
    """Give outside ids to documents; return the subjects whose ids were free."""
    rows = await connection.fetch(
        _REFER,
        [book_id for book_id, _ in references],
        [reference.kind for _, reference in references],
        [reference.value for _, reference in references],
        [reference.subject_id for _, reference in references],
    )
    return {row[0] for row in rows}


async def referred(connection: Connection, book_id: int, kind: int, value: str) -> UUID | None:
    """Return what an outside id names."""
    found: UUID | None = await connection.fetchval(_REFERRED, book_id, kind, value)
    return found


async def one(connection: Connection, kind: type[Doc], book_id: int, document_id: UUID) -> Doc | None:
    """Return a document as it stands."""
    body = await connection.fetchval(_ONE, book_id, kind.KIND, document_id)
    return None if body is None else _read(kind, body)


async def each(
    connection: Connection, wanted: Sequence[tuple[type[Document], int, UUID]]
) -> list[Document | None]:
    """Return documents of any kinds and books as they stand, in order; None where there is none."""
    books = copying.array([book_id for _, book_id, _ in wanted])
    ids = [document_id for _, _, document_id in wanted]
    if all(kind is PaymentMethod for kind, _, _ in wanted):
        # What every payment reads; one partition is opened instead of all.
        rows = await connection.fetch(_EACH_METHOD, books, ids)
    else:
        rows = await connection.fetch(_EACH, books, copying.array([kind.KIND for kind, _, _ in wanted]), ids)
    return [
        None if row[0] is None else _read(kind, row[0])
        for row, (kind, _, _) in zip(rows, wanted, strict=True)
    ]


async def many(connection: Connection, kind: type[Doc], book_id: int, ids: Sequence[UUID]) -> dict[UUID, Doc]:
    """Return documents by id; what does not exist is left out."""
    rows = await connection.fetch(_MANY, book_id, kind.KIND, list(ids))
    found = [_read(kind, row[0]) for row in rows]
    return {each.id: each for each in found}


async def children(
    connection: Connection, kind: type[Doc], book_id: int, parent_id: UUID, limit: int
) -> list[Doc]:
    """Return the documents of one kind that belong to another, newest first."""
    rows = await connection.fetch(_CHILDREN, book_id, kind.KIND, parent_id, limit)
    return [_read(kind, row[0]) for row in rows]


async def by_channel_reference(connection: Connection, book_id: int, value: str, limit: int) -> list[Attempt]:
    """Return the attempts that a channel knows under this id, newest first."""
    rows = await connection.fetch(_BY_CHANNEL_REFERENCE, book_id, value, limit)
    return [_read(Attempt, row[0]) for row in rows]


async def of_channel(connection: Connection, channel: str, channel_reference: str) -> list[Attempt]:
    """Return the attempts, of any book and two at most, that a channel knows under this id."""
    rows = await connection.fetch(_OF_CHANNEL, channel_reference, channel)
    return [_read(Attempt, row[0]) for row in rows]


async def book_of(connection: Connection, kind: Kind, document_id: UUID) -> int | None:
    """Return the book of an attempt, refund, session or link of which only the id is known."""
    book_id: int | None = await connection.fetchval(_BOOK_OF[kind], document_id)
    return book_id


async def page(
    connection: Connection,
    kind: type[Doc],
    book_id: int,
    *,
    owner_id: UUID | None = None,
    parent_id: UUID | None = None,
    state: str | None = None,
    containing: dict[str, object] | None = None,
    created_from: datetime | None = None,
    created_to: datetime | None = None,
    after: UUID | None = None,
    before: UUID | None = None,
    limit: int,
) -> list[Doc]:
    """Return documents, newest first: older than ``after``, or the ones just newer than ``before``.

    ``containing``: only those whose JSON holds this JSON. The interval of creation is half-open.
    """
    held = None if containing is None else msgspec.json.encode(containing).decode()
    conditions = (book_id, kind.KIND, owner_id, parent_id, state, held, created_from, created_to)
    if before is None:
        rows = await connection.fetch(_PAGE_AFTER, *conditions, after, limit)
    else:
        rows = (await connection.fetch(_PAGE_BEFORE, *conditions, before, limit))[::-1]
    return [_read(kind, row[0]) for row in rows]


async def movement(
    connection: Connection, book_id: int, document_id: UUID
) -> Attempt | Refund | Dispute | None:
    """Return an attempt, refund or dispute that moved a merchant's balance."""
    conditions = (book_id, None, list(MOVING_STATES), None, None, None, document_id)
    row = await connection.fetchrow(_MOVEMENT, *conditions)
    return None if row is None else _DECODERS[Kind(row[0])].decode(row[1])


async def movements(
    connection: Connection,
    book_id: int,
    *,
    kind: int | None,
    currency: str | None,
    created_from: datetime | None,
    created_to: datetime | None,
    after: UUID | None,
    before: UUID | None,
    limit: int,
) -> list[Attempt | Refund | Dispute]:
    """Return what moved a merchant's balance, newest first; otherwise as ``page``."""
    conditions = (book_id, kind, list(MOVING_STATES), currency, created_from, created_to)
    if before is None:
        rows = await connection.fetch(_MOVEMENTS_AFTER, *conditions, after, limit)
    else:
        rows = (await connection.fetch(_MOVEMENTS_BEFORE, *conditions, before, limit))[::-1]
    return [_DECODERS[Kind(row[0])].decode(row[1]) for row in rows]


async def take_due(connection: Connection, now: datetime, again_at: datetime, limit: int) -> list[Document]:
    """Return documents whose time has come, and make them due again at ``again_at``; autocommit."""
    rows = await connection.fetch(_TAKE_DUE, now, again_at, limit)
    return [_DECODERS[Kind(row[0])].decode(row[1]) for row in rows]


def _read(kind: type[Doc], body: str) -> Doc:
    document: Doc = _DECODERS[kind.KIND].decode(body)
    return document


def _row(each: Document) -> bytes:
    created = copying.instant(each.created_at)
    return copying.row(
        (
            copying.bigint(each.book_id),
            copying.smallint(each.KIND),
            copying.uuid(each.id),
            copying.integer(each.version),
            copying.text(each.status),
            copying.uuid(each.parent_id),
            copying.uuid(each.owner_id),
            created,
            created if each.updated_at is each.created_at else copying.instant(each.updated_at),
            copying.instant(each.due_at),
            copying.jsonb(_ENCODER.encode(each)),
        )
    )


def _id_of(each: Document) -> UUID:
    return each.id
