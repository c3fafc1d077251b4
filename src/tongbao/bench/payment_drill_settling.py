"""After the load: everything that is still open is driven to its end, as days would drive it.

The resolver's schedule (5 s, 30 s, 2 min, 10 min …) is right for a product and too slow for a drill. So what is due
later is made due now, by one plain statement, a few times; nothing else of the product is bent. The world does its part:
codes that nobody came for are paid late or canceled by the shop, and the acquirer that cannot be asked tells, by its
own signed notices, what its book says.
"""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from tongbao.bench import payment_drill_audit
from tongbao.bench.payment_drill_audit import Documents
from tongbao.bench.payment_drill_books import SANDBOX_NAMES
from tongbao.bench.payment_drill_client import Client
from tongbao.bench.payment_drill_programs import HOST
from tongbao.bench.payment_drill_recorder import Recorder
from tongbao.bench.payment_drill_world import HOST_SIM
from tongbao.core.db import Database
from tongbao.core.http import HttpClient
from tongbao.core.ids import uuid_text
from tongbao.payments.schema.attempts import OPEN, Attempt, AttemptState
from tongbao.payments.schema.intents import Intent

SETTLE_S_MAX = 150.0
MOVES_AT_S = (6.0, 14.0, 22.0, 30.0, 45.0, 62.0, 68.0, 75.0, 85.0, 100.0, 115.0, 130.0)
"""When due times are moved: nothing is asked while an earlier asking may be under way, and "not found" needs 60 s."""
POLL_S = 1.0
WAITING = frozenset({AttemptState.ACTION_REQUIRED, AttemptState.PENDING})
"""States that wait for a payer; ``pending``: the code was made, and the answer with it was lost."""
NOTICE_S = 5.0
_MAKE_DUE = """
UPDATE payments.document SET due_at = now()
WHERE (due_at IS NULL OR due_at > now()) AND (
    (kind = 2 AND state IN ('sent', 'action_required', 'pending', 'unresolved', 'reversing'))
    OR (kind = 2 AND jsonb_path_exists(body,
        '$.acts[*] ? (@.state == "sent" || @.state == "pending" || @.state == "unresolved")'))
    OR (kind = 3 AND state IN ('sent', 'pending', 'unresolved')))
"""


class Settled(Protocol):
    """What settling needs of a world: where the house is, and what the world outside can be told and asked."""

    http: HttpClient
    api_ports: list[int]
    recorder: Recorder
    notice_secret: str

    async def control(self, method: str, path: str, body: object = None) -> Any:
        """Call the control API of the sandbox that a body names by its ``channel``."""


class Settling:
    """Drives what is open to its end."""

    def __init__(
        self, world: Settled, client: Client, database: Database, say: Callable[[str], None]
    ) -> None:
        self._world = world
        self._client = client
        self._database = database
        self._say = say

    async def run(self) -> None:
        """Return when nothing is open, or after ``SETTLE_S_MAX``."""
        began = time.monotonic()
        moves = list(MOVES_AT_S)
        while (elapsed := time.monotonic() - began) < SETTLE_S_MAX:
            if moves and elapsed >= moves[0]:
                moves.pop(0)
                documents = await payment_drill_audit.read_documents(self._database)
                open_count = len(payment_drill_audit.unresolved(documents))
                self._say(f"{open_count:,} still open after {elapsed:.0f} s")
                if not open_count:
                    return
                await self._world_acts(documents, payers_come=len(moves) == len(MOVES_AT_S) - 1)
                await self._make_due()
            await asyncio.sleep(POLL_S)

    async def _make_due(self) -> None:
        async with self._database.connection() as connection:
            await connection.execute(_MAKE_DUE)

    async def _world_acts(self, documents: Documents, *, payers_come: bool) -> None:
        """Let payers come and the back office of iso8583sim tell; the shop cancels what nobody has paid by then."""
        for attempt in documents.attempts:
            if attempt.state in WAITING and attempt.open_act is None:
                if payers_come and attempt.id.int % 4:
                    name = SANDBOX_NAMES.get(attempt.channel, attempt.channel)
                    await self._world.control(
                        "POST", "pay", {"reference": attempt.reference, "channel": name}
                    )
                elif not payers_come:
                    intent = uuid_text(Intent.PREFIX, attempt.intent_id)
                    await self._client.post(f"/v1/payment_intents/{intent}/cancel", f"late-{intent}", {})
            elif attempt.channel == HOST_SIM and attempt.state in OPEN:
                await self._tell(attempt)

    async def _tell(self, attempt: Attempt) -> None:
        """Post what the host's book says of an attempt; what is not in it was never done."""
        known = self._world.recorder.book.get(attempt.reference)
        approved = known is not None and known.authorized_minor > 0
        data: dict[str, object] = {
            "reference": attempt.reference,
            "amount_minor": attempt.amount_minor
            if known is None
            else known.authorized_minor or attempt.amount_minor,
            "currency": attempt.currency,
            "captured": known is not None and known.captured_minor > 0,
            "approval_code": known.approval_code if known else None,
            "reason": None if approved else "processing_error",
        }
        kind = "payment.approved" if approved else "payment.declined"
        stamp = int(time.time())
        body = msgspec.json.encode(
            {"id": f"evt_{attempt.reference}", "type": kind, "created": stamp, "data": data}
        )
        signed = hmac.new(
            self._world.notice_secret.encode(), b"%d.%s" % (stamp, body), hashlib.sha256
        ).hexdigest()
        await self._world.http.request(
            "POST",
            f"http://{HOST}:{self._world.api_ports[0]}/v2/channels/{HOST_SIM}/notifications",
            headers={"Sandbox-Signature": f"t={stamp},v1={signed}", "Content-Type": "application/json"},
            body=body,
            timeout_s=NOTICE_S,
        )
