"""Cards, calls and bad servers for tests of card channels."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from tests.peers.programs import Address

from tongbao.channels.schema import Answer, Authorize, Card, Follow, Inquire, Merchant, Operation
from tongbao.core.errors import NotFound
from tongbao.privacy.schema import RevealedCard

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
GOOD = "4242424242424242"
CVC = "737"
MERCHANT = Merchant(name="茶馆 Teahouse", mcc="5812")

ReadRequest = Callable[[asyncio.StreamReader], Awaitable[bytes]]
Respond = Callable[[bytes], bytes | None]


class Cards:
    """A vault whose tokens are ``tok_`` and the card number; it remembers who asked for what."""

    def __init__(self) -> None:
        self.reveals: list[tuple[str, str, str, str]] = []

    async def reveal_card(self, token: str, *, purpose: str, actor: str, subject: str) -> RevealedCard:
        if not token.startswith("tok_"):
            raise NotFound("token_unknown", "no such token")
        self.reveals.append((token, purpose, actor, subject))
        return RevealedCard(number=token.removeprefix("tok_"), exp_month=12, exp_year=2030, cvc=CVC)


def card(number: str = GOOD) -> Card:
    """The card with this number, as calls carry it."""
    return Card(
        token=f"tok_{number}",
        exp_month=12,
        exp_year=2030,
        brand="visa",
        card_bin=number[:6],
        last4=number[-4:],
    )


def authorize(reference: str, amount_minor: int = 2_500, **fields: Any) -> Authorize:
    """A sale of a card; any field may be overridden."""
    values: dict[str, Any] = {
        "reference": reference,
        "amount_minor": amount_minor,
        "currency": "USD",
        "capture": True,
        "method": card(),
        "merchant": MERCHANT,
    }
    return Authorize(**(values | fields))


def follow(reference: str, call: Authorize, answer: Answer, amount_minor: int, **fields: Any) -> Follow:
    """An act on what ``call`` got ``answer`` for."""
    values: dict[str, Any] = {
        "reference": reference,
        "authorization_reference": call.reference,
        "channel_reference": answer.channel_reference,
        "amount_minor": amount_minor,
        "total_minor": call.amount_minor,
        "currency": call.currency,
        "method": call.method,
    }
    return Follow(**(values | fields))


def inquire(operation: Operation, reference: str, authorization: str, **fields: Any) -> Inquire:
    """A question about an act."""
    values: dict[str, Any] = {
        "operation": operation,
        "reference": reference,
        "authorization_reference": authorization,
        "channel_reference": None,
        "amount_minor": 2_500,
        "currency": "USD",
        "method": card(),
        "sent_at": datetime.now(UTC),
    }
    return Inquire(**(values | fields))


async def read_http(reader: asyncio.StreamReader) -> bytes:
    """One whole HTTP request."""
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [
        line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
    ]
    return head + await reader.readexactly(int(lengths[0]) if lengths else 0)


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """One message with a length of two bytes in front, without it."""
    return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))


def http_answer(body: bytes, status: int = 200) -> bytes:
    """An HTTP answer with this body."""
    return b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
        status,
        len(body),
        body,
    )


class Server:
    """A server that reads whole requests and does with each what ``respond`` says.

    Bytes are sent back, empty bytes close the connection, None is silence. ``requests`` is all that came in.
    """

    def __init__(self, read: ReadRequest, respond: Respond) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._read = read
        self._respond = respond
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        self.connections += 1
        self._writers.append(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with suppress(asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            while True:
                request = await self._read(reader)
                self.requests.append(request)
                response = self._respond(request)
                if response == b"":
                    break
                if response is not None:
                    writer.write(response)
                    await writer.drain()
        writer.close()

    def write(self, data: bytes) -> None:
        """Say something unasked on the newest connection."""
        self._writers[-1].write(data)

    async def drop(self) -> None:
        """Close every connection."""
        for writer in self._writers:
            writer.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def serving(read: ReadRequest, respond: Respond) -> AsyncIterator[tuple[Address, Server]]:
    """Run a ``Server`` on a free port for the length of the block."""
    bad = Server(read, respond)
    listening = await asyncio.start_server(bad.accept, "127.0.0.1", 0)
    host, port = listening.sockets[0].getsockname()[:2]
    try:
        yield Address(host, port), bad
    finally:
        listening.close()
        await bad.drop()
        await listening.wait_closed()
