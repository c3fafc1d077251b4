"""Sandboxes on free ports, a merchant who listens, and signed calls to each protocol."""

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import aiohttp
import msgspec
import pytest
from aiohttp import web
from tests.simulator.raw_acquirer import AcquirerClient

from tongbao.core.clock import Clock, RealClock
from tongbao.simulator.sandbox import signing
from tongbao.simulator.sandbox.alipay import signed_text
from tongbao.simulator.sandbox.behavior import Habits
from tongbao.simulator.sandbox.credentials import Credentials
from tongbao.simulator.sandbox.server import Sandbox, SandboxConfig

PEERS = Path(__file__).parent.parent.parent / ".peers"
HERE = Path(__file__).parent
WAIT_S_MAX = 30.0


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with keys for the whole run: making RSA pairs is slow."""
    home = tmp_path_factory.mktemp("sandbox-keys")
    Credentials.open(home, RealClock(), ("card_a", "card_b"))
    return home


# Reading a key checks it, which takes longer than using it.
private_key = lru_cache(signing.private_key)
public_key = lru_cache(signing.public_key)


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds; fail after ``WAIT_S_MAX``."""
    async with asyncio.timeout(WAIT_S_MAX):
        while not holds():  # noqa: ASYNC110  # what is waited for is seen from outside only
            await asyncio.sleep(0.005)


class Merchant:
    """A merchant's server: keeps what it is told and answers with what stands in ``replies``, else with success."""

    def __init__(self) -> None:
        self.told: list[tuple[dict[str, str], bytes]] = []
        self.replies: list[web.Response] = []
        self.url = ""

    async def receive(self, request: web.Request) -> web.Response:
        self.told.append((dict(request.headers), await request.read()))
        return self.replies.pop(0) if self.replies else web.Response(text="success")

    def forms(self) -> list[dict[str, str]]:
        """Everything told, as Alipay's forms."""
        return [dict(parse_qsl(body.decode(), keep_blank_values=True)) for _, body in self.told]

    def objects(self) -> list[dict[str, Any]]:
        """Everything told, as JSON."""
        return [json.loads(body) for _, body in self.told]


@pytest.fixture
async def merchant() -> AsyncIterator[Merchant]:
    listening = Merchant()
    application = web.Application()
    application.router.add_post("/notify", listening.receive)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    listening.url = f"http://127.0.0.1:{runner.addresses[0][1]}/notify"
    yield listening
    await runner.cleanup()


class World:
    """A sandbox with short ways to call it."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.session = session

    def behave(self, channel: str, **habits: Any) -> None:
        """Set the behavior of a channel, given as JSON would."""
        self.sandbox.behavior.set(channel, msgspec.convert(habits, Habits))

    def alipay_params(self, method: str, content: dict[str, object], **common: str) -> dict[str, str]:
        """The signed parameters of a call."""
        own = self.sandbox.credentials.merchant.alipay
        params = {
            "app_id": own.app_id,
            "method": method,
            "charset": "utf-8",
            "sign_type": "RSA2",
            "timestamp": "2026-11-22 08:00:00",
            "version": "1.0",
            "biz_content": json.dumps(content, ensure_ascii=False),
        } | common
        key = private_key(own.app_private_key)
        return params | {"sign": signing.sign(key, signed_text(params, "sign").encode())}

    async def alipay_raw(self, params: dict[str, str], timeout_s: float = 5.0) -> bytes:
        """The bytes answered to a POST of these parameters."""
        body = urlencode(params).encode()
        headers = {"content-type": "application/x-www-form-urlencoded"}
        async with self.session.post(
            f"{self.sandbox.http_url}/gateway.do",
            data=body,
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=timeout_s),
        ) as response:
            return await response.read()

    async def alipay(
        self, method: str, content: dict[str, object], timeout_s: float = 5.0, **common: str
    ) -> dict[str, Any]:
        """The verified business object answered to a call."""
        raw = await self.alipay_raw(self.alipay_params(method, content, **common), timeout_s)
        name = f'{{"{method.replace(".", "_")}_response":'.encode()
        assert raw.startswith(name)
        signed, sign = raw[len(name) :].rsplit(b',"sign":"', 1)
        key = public_key(self.sandbox.credentials.merchant.alipay.alipay_public_key)
        assert signing.is_signed(key, signed, sign.removesuffix(b'"}').decode())
        answer: dict[str, Any] = json.loads(signed)
        return answer

    def wechat_headers(self, method: str, path: str, body: bytes) -> dict[str, str]:
        """The signed headers of a call."""
        own = self.sandbox.credentials.merchant.wechat_pay
        timestamp, nonce = str(int(RealClock().now().timestamp())), secrets.token_hex(16)
        message = f"{method}\n{path}\n{timestamp}\n{nonce}\n".encode() + body + b"\n"
        signature = signing.sign(private_key(own.merchant_private_key), message)
        parts = {
            "mchid": own.mch_id,
            "nonce_str": nonce,
            "signature": signature,
            "timestamp": timestamp,
            "serial_no": own.merchant_serial,
        }
        joined = ",".join(f'{name}="{value}"' for name, value in parts.items())
        return {
            "Authorization": f"WECHATPAY2-SHA256-RSA2048 {joined}",
            "Content-Type": "application/json",
            "Wechatpay-Serial": own.platform_public_key_id,
        }

    async def wechat(
        self, method: str, path: str, content: object = None, timeout_s: float = 5.0
    ) -> tuple[int, dict[str, Any]]:
        """Status and verified object answered to a call."""
        body = b"" if content is None else json.dumps(content).encode()
        async with self.session.request(
            method,
            f"{self.sandbox.http_url}{path}",
            data=body,
            headers=self.wechat_headers(method, path, body),
            timeout=aiohttp.ClientTimeout(total=timeout_s),
        ) as response:
            raw = await response.read()
            self.check_wechat(dict(response.headers), raw)
            return response.status, json.loads(raw or b"{}")

    def check_wechat(self, headers: dict[str, str], raw: bytes) -> None:
        """Check the signature of an answer or notification under the platform's public key."""
        own = self.sandbox.credentials.merchant.wechat_pay
        assert headers["Wechatpay-Serial"] == own.platform_public_key_id
        message = f"{headers['Wechatpay-Timestamp']}\n{headers['Wechatpay-Nonce']}\n".encode() + raw + b"\n"
        key = public_key(own.platform_public_key)
        assert signing.is_signed(key, message, headers["Wechatpay-Signature"])

    def wechat_order(self, reference: str, total: int, **more: object) -> dict[str, object]:
        """The body of an order."""
        own = self.sandbox.credentials.merchant.wechat_pay
        return {
            "appid": own.app_id,
            "mchid": own.mch_id,
            "description": "茶",
            "out_trade_no": reference,
            "notify_url": "http://127.0.0.1:9/nobody",
            "amount": {"total": total, "currency": "CNY"},
        } | more

    async def control(self, method: str, path: str, content: object = None) -> tuple[int, Any]:
        """Status and object answered by the control API."""
        async with self.session.request(
            method, f"{self.sandbox.http_url}/_sandbox/{path}", json=content
        ) as response:
            return response.status, await response.json()

    @contextlib.asynccontextmanager
    async def card(self, name: str = "card_a") -> AsyncIterator[AcquirerClient]:
        """A connection to an acquirer."""
        own = self.sandbox.credentials.merchant.acquirers[name]
        client = AcquirerClient(own.terminal_id, own.merchant_id)
        await client.connect(self.sandbox.acquirer_ports[name])
        try:
            yield client
        finally:
            client.close()


OpenWorld = Callable[..., Awaitable[World]]


@pytest.fixture
async def open_world(keys: Path) -> AsyncIterator[OpenWorld]:
    """Open sandboxes with acquirers ``card_a`` and ``card_b`` and options of the test's choice."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(clock: Clock | None = None, **options: Any) -> World:
            given: dict[str, Any] = {
                "home": keys,
                "acquirers": {"card_a": 0, "card_b": 0},
                "notify_intervals_s": (0.02, 0.02, 0.02),
            }
            sandbox = await stack.enter_async_context(Sandbox(SandboxConfig(**(given | options)), clock))
            session = await stack.enter_async_context(aiohttp.ClientSession())
            return World(sandbox, session)

        yield make


@pytest.fixture
async def world(open_world: OpenWorld) -> World:
    """One sandbox with everything at its default."""
    return await open_world()


class Peer:
    """A published client in a process and an environment of its own; one JSON line in, one out."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def tell(self, content: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(content).encode() + b"\n")
        async with asyncio.timeout(30):
            line = await self._process.stdout.readline()
        assert line, "the peer died"
        return json.loads(line)

    async def call(self, name: str, **arguments: object) -> Any:
        """Return what a call of the client returned; fail where it raised."""
        answer = await self.tell({"call": name, "arguments": arguments})
        assert "error" not in answer, answer
        return answer["result"]

    async def refuses(self, name: str, **arguments: object) -> str:
        """Return the name of the exception that a call raised."""
        answer = await self.tell({"call": name, "arguments": arguments})
        assert "error" in answer, answer
        return str(answer["error"])


@pytest.fixture
async def open_peer() -> AsyncIterator[Callable[[str, str, object], Awaitable[Peer]]]:
    """Start a peer: environment, script and settings; skip where the environment is not installed."""
    processes = []

    async def start(environment: str, script: str, settings: object) -> Peer:
        python = PEERS / environment / "bin" / "python"
        if not python.exists():
            pytest.skip(f"the peer {environment} is not installed in .peers")
        process = await asyncio.create_subprocess_exec(
            python, HERE / script, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        processes.append(process)
        peer = Peer(process)
        assert await peer.tell(settings) == {"result": "ready"}
        return peer

    yield start
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
