"""A whole house for scenarios: the program ``tongbao serve all`` over PostgreSQL, and the sandbox as its outside world.

The house is a process of its own and is reached over HTTP only, as its callers reach it. The sandbox lives in a thread
of this process, with an event loop that also opens the merchants.
"""

import asyncio
import contextlib
import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import httpx
import requests
import stripe

from tongbao.channels.service.building import ChannelSpec
from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.parties.schema import (
    KeyDraft,
    KeyKind,
    MerchantDraft,
    OperatorPermission,
    Package,
    Permission,
    Scope,
)
from tongbao.parties.service.access import operator_of_job
from tongbao.parties.service.parties import Parties
from tongbao.simulator import sandbox_routes
from tongbao.simulator.sandbox.server import Sandbox, SandboxConfig

ACQUIRERS = ("card_east", "card_west")
CHANNEL_TIMEOUT_S = 2.5
SETTLES_NOT_FOUND_S = 1
"""The sandbox books at once: what its acquirers do not know a second later was never done."""
WAIT_S = 60.0
START_S, STOP_S = 180.0, 60.0
Got = TypeVar("Got")


def wait_for(look: Callable[[], Got | None], what: str = "it", *, timeout_s: float = WAIT_S) -> Got:
    """Return what ``look`` finds, asking again until it is something."""
    until = time.monotonic() + timeout_s
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < until, f"{what} did not happen within {timeout_s} s"
        time.sleep(0.05)


class LoopThread:
    """An event loop in a thread, for what is asynchronous beside clients that are not."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="world", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Got], *, timeout_s: float = 60.0) -> Got:
        """Return what a coroutine returns, run in the thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    def close(self) -> None:
        """Stop the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10.0)
        self._loop.close()


@dataclass(frozen=True)
class Shop:
    """A merchant with its keys, in clear."""

    base_url: str
    session: requests.Session
    secret: str
    publishable: str
    live: str

    @property
    def v1(self) -> Any:
        """The official client, told only the key and the address; untyped, for its objects carry fields of ours."""
        return self.v1_with(self.secret)

    def v1_with(self, key: str) -> Any:
        """The official client with another key."""
        client = stripe.StripeClient(
            key,
            base_addresses={"api": self.base_url},
            # The client's own kind of connection, in a session that can be closed.
            http_client=stripe.RequestsClient(session=self.session),
            max_network_retries=0,
        )
        return client.v1

    def pay(self, amount: int, method: str = "pm_card_visa", **more: Any) -> Any:
        """Collect an amount of yuan at once with a test card; return the payment intent."""
        order = {"amount": amount, "currency": "cny", "confirm": True, "payment_method": method}
        return self.v1.payment_intents.create(order | more)

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send one request as it is, with the secret key."""
        headers = {"Authorization": f"Bearer {self.secret}"} | options.pop("headers", {})
        return httpx.request(method, self.base_url + path, headers=headers, timeout=30.0, **options)


@dataclass
class Outside:
    """The sandbox over its control interface: what payers, issuers and acquirers do."""

    url: str

    def tell(self, path: str, body: dict[str, Any], method: str = "POST") -> Any:
        """Call the control interface; return what it answers."""
        answer = httpx.request(method, f"{self.url}/_sandbox/{path}", json=body, timeout=10.0)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def held(self, reference: str) -> dict[str, Any]:
        """Return what the channels hold under a reference."""
        answer = httpx.get(f"{self.url}/_sandbox/payments/{reference}", timeout=10.0)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def pay(self, reference: str) -> None:
        """Pay as the payer."""
        assert self.tell("pay", {"reference": reference})["refused"] is None


@dataclass
class RunningHouse:
    """A house that serves: where, with which merchants, beside which outside world, over which database."""

    base_url: str
    dsn: str
    log: Path
    outside: Outside
    tea: Shop
    books: Shop
    world: LoopThread

    def rows(self, query: str) -> list[asyncpg.Record]:
        """Return the rows of a query."""

        async def fetch() -> list[asyncpg.Record]:
            connection = await asyncpg.connect(self.dsn)
            try:
                rows: list[asyncpg.Record] = await connection.fetch(query)
                return rows
            finally:
                await connection.close()

        return self.world.run(fetch())


@contextlib.contextmanager
def running_house(dsn: str, home: Path) -> Iterator[RunningHouse]:
    """Start everything over an empty database, yield it, and stop it again. ``home``: a folder of its own."""
    world = LoopThread()
    stack = AsyncExitStack()
    session = requests.Session()
    try:
        sandbox = world.run(_open_sandbox(stack))
        channels = home / "channels.toml"
        with open(os.open(channels, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(channels_toml(_routes(sandbox)))
        log = home / "house.log"
        with _process(dsn, home, channels, log) as base_url:
            outside = Outside(sandbox.http_url)
            for name in ACQUIRERS:
                url = f"{base_url}/v2/channels/{name}/notifications"
                outside.tell(f"notify-url/{name}", {"url": url}, "PUT")
            tea, books = world.run(_open_shops(dsn, base_url, session))
            yield RunningHouse(base_url, dsn, log, outside, tea, books, world)
    finally:
        session.close()
        world.run(stack.aclose())
        world.close()


async def _open_sandbox(stack: AsyncExitStack) -> Sandbox:
    config = SandboxConfig(acquirers=dict.fromkeys(ACQUIRERS, 0), notify_intervals_s=(0.2,) * 20)
    return await stack.enter_async_context(Sandbox(config))


def _routes(sandbox: Sandbox) -> list[ChannelSpec]:
    routes = sandbox_routes.routes(sandbox.credentials.merchant, timeout_s=CHANNEL_TIMEOUT_S)
    for route in routes:
        if route.adapter == "iso8583":
            route.settings["settles_not_found_s"] = SETTLES_NOT_FOUND_S
    return routes


@contextlib.contextmanager
def _process(dsn: str, home: Path, channels: Path, log: Path) -> Iterator[str]:
    """Run ``tongbao serve all``; yield its address once it serves."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TONGBAO_")},
        "TONGBAO_DATABASE_URL": dsn,
        "TONGBAO_DATA_DIR": str(home),
        "TONGBAO_CHANNELS_FILE": str(channels),
        "TONGBAO_WEBHOOKS_ALLOW_LOCAL": "true",
        "TONGBAO_TEST_RATE_PER_S": "100000",
        "TONGBAO_LOG_LEVEL": "DEBUG",
        "TONGBAO_LOG_JSON": "true",
    }
    command = [str(Path(sys.executable).with_name("tongbao")), "serve", "all", "--port", "0"]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, env=environment, cwd=home, stdout=stream, stderr=stream)

        def served() -> str | None:
            assert process.poll() is None, log.read_text()[-3_000:]
            found = re.search(r"^serving (http://\S+)$", log.read_text(), re.MULTILINE)
            return found[1] if found and _is_ready(found[1]) else None

        try:
            yield wait_for(served, "the start of the house", timeout_s=START_S)
            process.send_signal(signal.SIGINT)
            assert process.wait(STOP_S) == 0, log.read_text()[-3_000:]
        finally:
            process.kill()
            process.wait()


def _is_ready(base_url: str) -> bool:
    try:
        return httpx.get(f"{base_url}/readyz", timeout=5.0).status_code == 200
    except httpx.TransportError:
        return False


def channels_toml(specs: list[ChannelSpec]) -> str:
    """Return routes as the configuration file that an operator would write."""
    tables = []
    for spec in specs:
        lines = [
            f"name = {toml(spec.name)}",
            f"adapter = {toml(spec.adapter)}",
            f"mode = {toml(spec.mode.value)}",
        ]
        tables.append("\n".join(["[[channel]]", *lines, f"settings = {toml(spec.settings)}", ""]))
    return "\n".join(tables)


def toml(value: object) -> str:
    """Return a value in TOML; its basic strings are those of JSON."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(name)} = {toml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    assert isinstance(value, str | int | float)
    return json.dumps(value)


async def _open_shops(dsn: str, base_url: str, session: requests.Session) -> tuple[Shop, Shop]:
    """Open two merchants: a tea house that sells in yuan, and a bookshop that sells in dollars."""
    clock = RealClock()
    async with Database(dsn, pool_size=2) as database, Parties(database, clock, IdFactory(clock)) as parties:
        tea = MerchantDraft(
            name="Tea House", country="CN", default_currency="CNY", mcc="5814", package=Package.ENTERPRISE
        )
        books = MerchantDraft(
            name="Bookshop", country="US", default_currency="USD", mcc="5942", package=Package.ENTERPRISE
        )
        opened = [Shop(base_url, session, *await _open_shop(parties, draft)) for draft in (tea, books)]
        return opened[0], opened[1]


async def _open_shop(parties: Parties, draft: MerchantDraft) -> list[str]:
    """Open a merchant; return its keys in clear: secret and publishable in test mode, secret in live mode."""
    operator = operator_of_job("tests", frozenset({OperatorPermission.MERCHANTS_WRITE}))
    wanted = ((KeyKind.SECRET, False), (KeyKind.PUBLISHABLE, False), (KeyKind.SECRET, True))
    texts = []
    async with parties.database.transaction() as connection:
        merchant = await parties.merchants.create(connection, operator, draft)
        for kind, live in wanted:
            scope = Scope(
                merchant_id=merchant.merchant_id,
                book_id=merchant.live_book_id if live else merchant.test_book_id,
                live=live,
                actor="job:tests",
                permissions=frozenset(permission.value for permission in Permission),
            )
            issued = await parties.keys.create(connection, scope, KeyDraft(kind=kind))
            texts.append(issued.text.get_secret_value())
    return texts


@dataclass(frozen=True)
class Delivery:
    """One webhook as it came in: headers by their names in lower case, and the body's bytes."""

    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """The event that the body holds."""
        found: dict[str, Any] = json.loads(self.body)
        return found


class Receiver:
    """A merchant's own little server: takes every webhook and keeps it. ``with`` starts and stops it."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        kept = self.deliveries

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                kept.append(Delivery({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhooks"

    def __enter__(self) -> "Receiver":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10.0)

    def of_type(self, kind: str, object_id: str | None = None) -> Delivery | None:
        """Return the first delivery of a type, of one object where it is named."""
        for delivery in list(self.deliveries):
            event = delivery.event
            if event["type"] == kind and object_id in (None, event["data"]["object"]["id"]):
                return delivery
        return None
