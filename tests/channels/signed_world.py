"""The other side of the two signing channels, as far as tests need one: keys, a server that says what it is told to,
answers and notifications signed with nothing of the product's own code, and the published libraries as judges.
"""

import atexit
import base64
import json
import select
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

ROOT = Path(__file__).parents[2]
PEER_TIMEOUT_S = 60
MERCHANT, PLATFORM, STRANGER = "merchant", "platform", "stranger"
WECHAT_KEY_ID = "PUB_KEY_ID_0119000001092024"
API_V3_KEY = "0123456789abcdef0123456789abcdef"


@cache
def key(owner: str) -> rsa.RSAPrivateKey:
    """The key of one party, made once a run."""
    assert owner in {MERCHANT, PLATFORM, STRANGER}
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_pem(owner: str, form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    return key(owner).private_bytes(Encoding.PEM, form, NoEncryption()).decode()


def public_pem(owner: str, form: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> str:
    return key(owner).public_key().public_bytes(Encoding.PEM, form).decode()


def bare(pem: str) -> str:
    """A PEM text without its armor, as portals show keys."""
    return "".join(line for line in pem.splitlines() if not line.startswith("-----"))


def sign(owner: str, message: bytes) -> str:
    return base64.b64encode(key(owner).sign(message, padding.PKCS1v15(), SHA256())).decode()


def verify(owner: str, message: bytes, signature: str) -> None:
    """Raise InvalidSignature unless ``owner`` signed the message."""
    key(owner).public_key().verify(base64.b64decode(signature), message, padding.PKCS1v15(), SHA256())


def ask_peer(environment: str, script: str, act: str, **values: Any) -> dict[str, Any]:
    """Let a published library act in its own environment; skip the test where it is not installed."""
    python = ROOT / ".peers" / environment / "bin" / "python"
    if not python.exists():
        pytest.skip(f"the peer {environment} is not installed: make peers")
    peer = _peer(python, ROOT / "tests" / "peers" / script)
    told = peer.ask(json.dumps({"act": act, **values}))
    if not told and "ModuleNotFoundError" in peer.errors():
        pytest.skip(f"the peer {environment} could not be installed")
    assert told, peer.errors()
    answer: dict[str, Any] = json.loads(told)
    return answer


class _Peer:
    """A library in a process of its own that answers line by line: loading it takes longer than all its answers."""

    def __init__(self, python: Path, script: Path) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process runs
        self._process = subprocess.Popen(
            [python, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._asks, self._answers = self._process.stdin, self._process.stdout
        atexit.register(self.close)

    def ask(self, line: str) -> bytes:
        """Return the line that answers; nothing where the process has ended."""
        with suppress(BrokenPipeError):
            self._asks.write(line.encode() + b"\n")
            self._asks.flush()
        ready, _, _ = select.select([self._answers], [], [], PEER_TIMEOUT_S)
        assert ready, f"no answer within {PEER_TIMEOUT_S} s"
        return self._answers.readline()

    def errors(self) -> str:
        """What the process has complained about."""
        self._errors.seek(0)
        return self._errors.read().decode()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        with suppress(BrokenPipeError):
            self._asks.close()
        self._answers.close()
        self._errors.close()


@cache
def _peer(python: Path, script: Path) -> _Peer:
    return _Peer(python, script)


Responder = Callable[[web.Request, bytes], web.StreamResponse]


class Stub:
    """A server that answers as it is told and remembers what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[tuple[web.Request, bytes]] = []
        self.replies: list[Responder] = []

    def will(self, *replies: Responder) -> None:
        """Answer the next requests so, in order."""
        self.replies.extend(replies)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((request, body))
        return self.replies.pop(0)(request, body)

    def params(self, index: int = -1) -> dict[str, str]:
        """Query and form of a request, each parameter once."""
        request, body = self.requests[index]
        pairs = parse_qsl(request.query_string, keep_blank_values=True) + parse_qsl(body.decode())
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    def content(self, index: int = -1) -> dict[str, Any]:
        """The business content of a request to Alipay."""
        content: dict[str, Any] = json.loads(self.params(index)["biz_content"])
        return content

    def json(self, index: int = -1) -> dict[str, Any]:
        """The body of a request to WeChat Pay."""
        content: dict[str, Any] = json.loads(self.requests[index][1])
        return content


@asynccontextmanager
async def serving() -> AsyncIterator[Stub]:
    """A stub on a free port."""
    stub = Stub()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", stub.serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    stub.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield stub
    finally:
        await runner.cleanup()


def raw(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Responder:
    """Answer with exactly this."""
    return lambda _request, _body: web.Response(status=status, body=body, headers=headers)


def cut(request: web.Request, _body: bytes) -> web.StreamResponse:
    """Hang up without an answer."""
    assert request.transport is not None
    request.transport.close()
    return web.Response()


def alipay_text(method: str, content: str, owner: str = PLATFORM, member: str = "") -> str:
    """An answer of Alipay's around a business object written by hand."""
    name = member or method.replace(".", "_") + "_response"
    return f'{{"{name}":{content},"sign":"{sign(owner, content.encode())}"}}'


def alipay(method: str, owner: str = PLATFORM, **fields: Any) -> Responder:
    """Answer as Alipay: slashes escaped, Chinese as it is."""
    content = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).replace("/", "\\/")
    return raw(200, alipay_text(method, content, owner).encode())


def alipay_notification(fields: Mapping[str, str], owner: str = PLATFORM) -> bytes:
    """A signed form."""
    text = "&".join(f"{name}={value}" for name, value in sorted(fields.items()))
    return urlencode({**fields, "sign_type": "RSA2", "sign": sign(owner, text.encode())}).encode()


def wechat_headers(
    body: bytes, timestamp: int, owner: str = PLATFORM, serial: str = WECHAT_KEY_ID
) -> dict[str, str]:
    """The headers with which WeChat Pay signs a body."""
    message = f"{timestamp}\nNONCE\n".encode() + body + b"\n"
    return {
        "Wechatpay-Signature-Type": "WECHATPAY2-SHA256-RSA2048",
        "Wechatpay-Serial": serial,
        "Wechatpay-Timestamp": str(timestamp),
        "Wechatpay-Nonce": "NONCE",
        "Wechatpay-Signature": sign(owner, message),
    }


def wechat(timestamp: int, http_status: int = 200, /, **fields: Any) -> Responder:
    """Answer as WeChat Pay; without fields the body is empty."""
    body = json.dumps(fields, ensure_ascii=False).encode() if fields else b""
    return raw(http_status, body, wechat_headers(body, timestamp))


def wechat_notification(
    event_type: str, resource: Mapping[str, Any], *, event_id: str = "EV-1", secret: str = API_V3_KEY
) -> bytes:
    """The body of a notification with its sealed resource."""
    nonce, associated = "abcdefghijkl", "transaction"
    text = json.dumps(resource, ensure_ascii=False).encode()
    sealed = AESGCM(secret.encode()).encrypt(nonce.encode(), text, associated.encode())
    body = {
        "id": event_id,
        "create_time": "2026-11-22T16:30:00+08:00",
        "resource_type": "encrypt-resource",
        "event_type": event_type,
        "summary": "支付成功",
        "resource": {
            "original_type": associated,
            "algorithm": "AEAD_AES_256_GCM",
            "ciphertext": base64.b64encode(sealed).decode(),
            "associated_data": associated,
            "nonce": nonce,
        },
    }
    return json.dumps(body, ensure_ascii=False).encode()
