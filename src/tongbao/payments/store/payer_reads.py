"""The SQL of payers' reads: documents of any merchant's book, each only where it is of the wallet that is asked for."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from tongbao.core.db import Connection
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.methods import Mandate
from tongbao.payments.schema.refunds import Refund

_INTENT = msgspec.json.Decoder(Intent)
_ATTEMPT = msgspec.json.Decoder(Attempt)
_REFUND = msgspec.json.Decoder(Refund)
_MANDATE = msgspec.json.Decoder(Mandate)
_PAYMENTS = """
SELECT i.body, a.body FROM payments.attempt AS a
JOIN payments.intent AS i ON i.book_id = a.book_id AND i.kind = 1 AND i.id = a.parent_id
WHERE a.kind = 2 AND a.id = ANY ($1::uuid[])
    AND a.body #>> '{method,type}' = 'wallet' AND (a.body #>> '{method,book_id}')::bigint = $2
"""
_REFUNDS = "SELECT body FROM payments.refund WHERE kind = 3 AND id = ANY ($1::uuid[])"
_REFUNDS_OF = """
SELECT body FROM payments.document WHERE book_id = $1 AND kind = 3 AND parent_id = $2 ORDER BY id LIMIT $3
"""
# A payment that was declined waits for another method; its tries still tell whom it was to be paid by.
_INTENT_OF = """
SELECT i.body FROM payments.intent AS i
WHERE i.book_id = $1 AND i.kind = 1 AND i.id = $2 AND (
    EXISTS (SELECT 1 FROM payments.payment_method AS m
        WHERE m.book_id = i.book_id AND m.kind = 5 AND m.id = (i.body ->> 'method_id')::uuid
            AND m.body #>> '{method,type}' = 'wallet' AND (m.body #>> '{method,book_id}')::bigint = $3)
    OR EXISTS (SELECT 1 FROM payments.attempt AS a
        WHERE a.book_id = i.book_id AND a.kind = 2 AND a.parent_id = i.id
            AND a.body #>> '{method,type}' = 'wallet' AND (a.body #>> '{method,book_id}')::bigint = $3))
"""
# Every payment with a wallet keeps a method beside it: those that can still wait are among the newest.
_WAITING = """
WITH own AS (
    SELECT book_id, id FROM payments.payment_method
    WHERE kind = 5 AND body #>> '{method,type}' = 'wallet' AND (body #>> '{method,book_id}')::bigint = $1
    ORDER BY (body #>> '{method,book_id}')::bigint DESC, id DESC LIMIT $2
)
SELECT i.body FROM own
JOIN payments.intent AS i ON i.book_id = own.book_id AND i.kind = 1 AND (i.body ->> 'method_id')::uuid = own.id
WHERE i.state = 'requires_action' ORDER BY i.id DESC LIMIT $3
"""
_MANDATES = """
SELECT m.body FROM payments.payment_method AS p
JOIN payments.mandate AS m ON m.book_id = p.book_id AND m.kind = 7 AND m.parent_id = p.id
WHERE p.kind = 5 AND p.body #>> '{method,type}' = 'wallet' AND (p.body #>> '{method,book_id}')::bigint = $1
    AND ($2::uuid IS NULL OR m.id = $2)
ORDER BY m.id DESC LIMIT $3
"""


async def payments(
    connection: Connection, wallet_book_id: int, attempt_ids: Sequence[UUID]
) -> list[tuple[Intent, Attempt]]:
    """Return those of these attempts that a wallet was asked for, with their intents."""
    rows = await connection.fetch(_PAYMENTS, list(attempt_ids), wallet_book_id)
    return [(_INTENT.decode(row[0]), _ATTEMPT.decode(row[1])) for row in rows]


async def refunds(connection: Connection, refund_ids: Sequence[UUID]) -> list[Refund]:
    """Return refunds by id; what does not exist is left out. Whose they are follows from their attempts."""
    return [_REFUND.decode(row[0]) for row in await connection.fetch(_REFUNDS, list(refund_ids))]


async def refunds_of(connection: Connection, book_id: int, parent_id: UUID, limit: int) -> list[Refund]:
    """Return what was given back of a payment, the oldest first."""
    rows = await connection.fetch(_REFUNDS_OF, book_id, parent_id, limit)
    return [_REFUND.decode(row[0]) for row in rows]


async def intent_of(
    connection: Connection, wallet_book_id: int, book_id: int, intent_id: UUID
) -> Intent | None:
    """Return a payment of a merchant's book where it is to be paid from a wallet; None for any other."""
    body = await connection.fetchval(_INTENT_OF, book_id, intent_id, wallet_book_id)
    return None if body is None else _INTENT.decode(body)


async def waiting(connection: Connection, wallet_book_id: int, newest: int, limit: int) -> list[Intent]:
    """Return payments from a wallet that wait for its payer, newest first, of the ``newest`` ones it was used for."""
    return [_INTENT.decode(row[0]) for row in await connection.fetch(_WAITING, wallet_book_id, newest, limit)]


async def mandates(
    connection: Connection, wallet_book_id: int, mandate_id: UUID | None, limit: int
) -> list[Mandate]:
    """Return the mandates over a wallet, newest first, or the one with an id."""
    rows = await connection.fetch(_MANDATES, wallet_book_id, mandate_id, limit)
    return [_MANDATE.decode(row[0]) for row in rows]
