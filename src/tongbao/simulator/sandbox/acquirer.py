"""A card acquirer on a TCP port: connections kept open, many messages in flight, and the ways it can misbehave.

It tells the merchant of late approvals, refunds that took time and disputes by a JSON POST to the URL it was given,
under ``Sandbox-Signature: t=<seconds>,v1=<hex HMAC-SHA256 over "t.body">``.
"""

import asyncio
import contextlib
import logging

from tongbao.core.errors import AppError, Unavailable
from tongbao.core.http import HttpAnswer
from tongbao.simulator.sandbox import iso8583_wire as wire
from tongbao.simulator.sandbox import signing
from tongbao.simulator.sandbox.acquirer_acts import (
    NETWORK_REFERENCE_CHARS,
    AcquirerActs,
    answer_to,
    operation_of,
)
from tongbao.simulator.sandbox.behavior import Ask, Fault
from tongbao.simulator.sandbox.credentials import AcquirerMerchant
from tongbao.simulator.sandbox.desk import Desk
from tongbao.simulator.sandbox.faulty_http import GARBAGE
from tongbao.simulator.sandbox.notifier import Event, Message, Notifier
from tongbao.simulator.sandbox.schema import Act, Dispute, Payment, State
from tongbao.simulator.sandbox.wire import compact

IN_FLIGHT_MAX = 512
"""Most messages of one connection that are worked on at once; more wait in the socket."""
WATCH_S = 0.02
INOPERATIVE, MALFUNCTION = "91", "96"

logger = logging.getLogger(__name__)


class Acquirer:
    """One acquirer. ``port`` 0 takes a free one; while a trouble window refuses, nothing listens there."""

    def __init__(
        self, name: str, desk: Desk, acts: AcquirerActs, notifier: Notifier, merchant: AcquirerMerchant
    ) -> None:
        self.name = name
        self.notify_url: str | None = None
        self._desk = desk
        self._acts = acts
        self._notifier = notifier
        self._merchant = merchant
        self._host, self.port = "", 0
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    async def open(self, host: str, port: int) -> None:
        """Start to listen; raise Unavailable ``port_taken``."""
        self._host, self.port = host, port
        try:
            await self._listen()
        except OSError as error:
            raise Unavailable("port_taken", f"acquirer {self.name} cannot listen on port {port}") from error
        self._desk.spawn(self._watch())

    async def close(self) -> None:
        """Stop listening and drop all connections."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in tuple(self._connections):
            writer.transport.abort()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, self._host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _watch(self) -> None:
        """Stop and start listening as trouble windows open and close."""
        while True:
            refusing = self._desk.behaviors.is_refusing(self.name, self._desk.elapsed_s)
            if refusing and self._server is not None:
                await self.close()
            elif not refusing and self._server is None:
                with contextlib.suppress(OSError):  # somebody else has the port for now: try again
                    await self._listen()
            await asyncio.sleep(WATCH_S)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read messages until the other side leaves, each answered by a task of its own."""
        self._connections.add(writer)
        free = asyncio.Semaphore(IN_FLIGHT_MAX)
        try:
            while True:
                raw = await wire.read_frame(reader)
                if not raw:
                    continue
                message = wire.decode(raw)
                await free.acquire()
                self._desk.spawn(self._answer(message, writer, free))
        except (asyncio.IncompleteReadError, OSError, wire.Unreadable, AppError) as error:
            if isinstance(error, wire.Unreadable):
                logger.warning("sandbox_message_unreadable", extra={"acquirer": self.name, "why": str(error)})
        finally:
            self._connections.discard(writer)
            writer.transport.abort()

    async def _answer(
        self, message: wire.Message, writer: asyncio.StreamWriter, free: asyncio.Semaphore
    ) -> None:
        try:
            raw = await self._attended(message, writer)
            if raw is not None and not writer.is_closing():
                writer.write(wire.framed(raw))
                await writer.drain()
        except (OSError, wire.Unreadable):
            writer.transport.abort()
        finally:
            free.release()

    async def _attended(self, message: wire.Message, writer: asyncio.StreamWriter) -> bytes | None:
        """Return the bytes to answer with, or None where nothing is to be said."""
        if message["t"] == "0800":
            return wire.encode(answer_to(message, "00"))
        operation = operation_of(message)
        if operation is None:
            raise wire.Unreadable(f"nobody asks an acquirer with {message['t']}")
        amount, reference = message.get("4", ""), message.get("48", "")
        ask = Ask(
            operation=operation,
            reference=reference,
            amount_minor=int(amount) if amount.isdecimal() else 0,
            card_number=message.get("2"),
        )
        served = await self._desk.attend(self.name, ask, lambda plan: self._acts.do(operation, message, plan))
        match served.fault:
            case Fault.NONE:
                assert served.answer is not None
                return wire.encode(served.answer)
            case Fault.GARBAGE:
                return GARBAGE
            case Fault.ERROR | Fault.ERROR_DONE:
                return wire.encode(answer_to(message, MALFUNCTION))
            case Fault.LIMITED:
                return wire.encode(answer_to(message, INOPERATIVE))
            case Fault.CUT | Fault.CUT_DONE:
                writer.transport.abort()
        if served.fault in (Fault.SILENT_DONE, Fault.CUT_DONE):
            self._tell_late(reference)
        return None

    def _tell_late(self, reference: str) -> None:
        """Tell of an approval that nobody heard."""
        payment = self._desk.world.payment(self.name, reference)
        if payment is not None and payment.state in (State.AUTHORIZED, State.CAPTURED):
            self.tell_decided(payment)

    def tell_decided(self, payment: Payment) -> None:
        """Post ``payment.approved`` or ``payment.declined``."""
        approved = payment.approved_minor > 0
        self._notify(payment, "payment.approved" if approved else "payment.declined", "", {})

    def tell_refunded(self, payment: Payment, act: Act) -> None:
        """Post ``refund.succeeded``."""
        refund: dict[str, object] = {"refund_reference": act.reference, "amount_minor": act.amount_minor}
        self._notify(payment, "refund.succeeded", act.reference, refund)

    def tell_disputed(self, payment: Payment, dispute: Dispute) -> None:
        """Post ``dispute.opened`` or ``dispute.closed``."""
        kind = "dispute.opened" if dispute.status == "needs_response" else "dispute.closed"
        fields: dict[str, object] = {
            "amount_minor": dispute.amount_minor,
            "dispute": {
                "reference": dispute.reference,
                "status": dispute.status,
                "reason_code": dispute.reason_code,
                "respond_by": int(dispute.respond_by.timestamp()),
            },
        }
        self._notify(payment, kind, f"{dispute.reference}/{dispute.status}", fields)

    def _notify(self, payment: Payment, kind: str, suffix: str, more: dict[str, object]) -> None:
        if self.notify_url is None:
            return
        event_id = f"evt_{payment.channel_reference}_{kind}{f'/{suffix}' if suffix else ''}"
        created = int(self._desk.clock.now().timestamp())
        data: dict[str, object] = {
            "reference": payment.reference,
            "channel_reference": payment.channel_reference[:NETWORK_REFERENCE_CHARS],
            "amount_minor": payment.said_minor,
            "currency": payment.currency,
            "captured": payment.captured_minor > 0,
            "approval_code": payment.approval_code,
            "reason": payment.decline,
        } | more
        if said := payment.details.get("authentication"):
            names = ("result", "flow", "version", "eci")
            data["authentication"] = {
                name: value for name, value in zip(names, said.split("/"), strict=True) if value
            }

        def build(tampered: bool) -> Message:
            told = data | ({"amount_minor": payment.said_minor + 1} if tampered else {})
            fields = {"id": event_id, "type": kind, "created": created, "acquirer": self.name, "data": told}
            body = compact(fields).encode()
            signed_at = int(self._desk.clock.now().timestamp())
            signature = signing.hmac_signature(self._merchant.notification_secret, signed_at, body)
            return Message({"content-type": "application/json", "sandbox-signature": signature}, body)

        self._notifier.send(
            Event(
                channel=self.name,
                event_id=event_id,
                kind=kind,
                reference=payment.reference,
                url=self.notify_url,
                build=build,
                accepts=_accepts,
            )
        )


def _accepts(answer: HttpAnswer) -> bool:
    return 200 <= answer.status < 300
