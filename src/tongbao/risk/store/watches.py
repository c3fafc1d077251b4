"""The SQL of looks at models in use: the latest of each model and mode."""

import msgspec

from tongbao.core.db import Connection
from tongbao.risk.schema.watches import Watch

_ONE = "SELECT body FROM risk.model_watch WHERE digest = $1 AND live = $2"
_SAVE = """
INSERT INTO risk.model_watch (digest, live, looked_at, body) VALUES ($1, $2, $3, $4::jsonb)
ON CONFLICT (digest, live) DO UPDATE SET looked_at = excluded.looked_at, body = excluded.body
"""


async def one(connection: Connection, digest: str, live: bool) -> Watch | None:
    """Return the latest look at a model; None where nobody has looked."""
    body = await connection.fetchval(_ONE, digest, live)
    if body is None:
        return None
    if isinstance(body, str):
        return msgspec.json.decode(body, type=Watch)
    return msgspec.convert(body, Watch)


async def save(connection: Connection, live: bool, watch: Watch) -> None:
    """Keep a look in the place of the one before; joins the transaction."""
    body = msgspec.json.encode(watch).decode()
    await connection.execute(_SAVE, watch.facts.model, live, watch.facts.at, body)
