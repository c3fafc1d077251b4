"""The SQL of complaints beside that of all documents: those of one wallet, in whichever merchant's book they stand."""

import msgspec

from tongbao.core.db import Connection
from tongbao.payments.schema.complaints import Complaint

_DECODER = msgspec.json.Decoder(Complaint)
_OF_WALLET = """
SELECT body FROM payments.complaint WHERE kind = 11 AND (body ->> 'wallet_book_id')::bigint = $1
ORDER BY (body ->> 'wallet_book_id')::bigint DESC, id DESC LIMIT $2
"""


async def of_wallet(connection: Connection, wallet_book_id: int, limit: int) -> list[Complaint]:
    """Return what the payer of a wallet has complained about, newest first."""
    rows = await connection.fetch(_OF_WALLET, wallet_book_id, limit)
    return [_DECODER.decode(row[0]) for row in rows]
