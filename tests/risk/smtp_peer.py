"""A small mail server that speaks real SMTP (RFC 5321) on a real port: EHLO, STARTTLS, AUTH PLAIN, one message a time."""

import asyncio
import base64
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"


@dataclass
class Peer:
    """What the server is told to do, and what it was told."""

    port: int = 0
    recipient_answer: str = "250 fine"
    data_answer: str = "250 taken"
    silent: bool = False
    context: ssl.SSLContext | None = None
    login: tuple[str, str] | None = None
    messages: list[EmailMessage] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)


@asynccontextmanager
async def smtp_peer(peer: Peer, *, tls_at_once: bool = False) -> AsyncIterator[Peer]:
    """Serve ``peer`` until the block ends."""
    talks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            await _Talk(peer, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            talks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, HOST, 0, ssl=peer.context if tls_at_once else None)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for talk in tuple(talks):
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


class _Talk:
    def __init__(self, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._peer = peer
        self._reader = reader
        self._writer = writer

    async def run(self) -> None:
        if self._peer.silent:
            await self._reader.read()
            return
        await self._say("220 peer.test ESMTP")
        while line := await self._reader.readline():
            verb, _, rest = line.decode().strip().partition(" ")
            if not await self._obey(verb.upper(), rest):
                return

    async def _obey(self, verb: str, rest: str) -> bool:
        match verb:
            case "EHLO":
                await self._say(
                    "250-peer.test", "250-STARTTLS", "250-SMTPUTF8", "250-8BITMIME", "250 AUTH PLAIN"
                )
            case "STARTTLS":
                await self._say("220 go on")
                assert self._peer.context is not None
                await self._writer.start_tls(self._peer.context)
            case "AUTH":
                name, password = base64.b64decode(rest.split()[-1]).decode().split("\0")[1:]
                self._peer.logins.append((name, password))
                await self._say("235 in" if self._peer.login == (name, password) else "535 no")
            case "RCPT":
                await self._say(self._peer.recipient_answer)
            case "DATA":
                await self._take()
            case "QUIT":
                await self._say("221 bye")
                return False
            case _:
                await self._say("250 fine")
        return True

    async def _take(self) -> None:
        await self._say("354 go on")
        body = await self._reader.readuntil(b"\r\n.\r\n")
        self._peer.raw.append(body)
        self._peer.messages.append(message_from_bytes(body.removesuffix(b".\r\n"), policy=policy.default))
        self._peer.encrypted.append(self._writer.get_extra_info("ssl_object") is not None)
        await self._say(self._peer.data_answer)

    async def _say(self, *lines: str) -> None:
        self._writer.write("".join(f"{line}\r\n" for line in lines).encode())
        await self._writer.drain()


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return what a server of this machine shows, and what trusts exactly that."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "peer.test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "peer.pem").write_bytes(pem + secret)
    shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shown.load_cert_chain(folder / "peer.pem")
    return shown, ssl.create_default_context(cadata=pem.decode())
