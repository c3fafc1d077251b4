"""The house that ``bench web`` looks at: a server, a merchant with trade behind it, people who are signed in, one process.

The program is the product's own ``tongbao serve api`` over an embedded database; everything is made through its interfaces.
"""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import asyncpg
import msgspec
import psutil

from tongbao.bench.ledger import scratch_home
from tongbao.core import migrate
from tongbao.core.clock import RealClock
from tongbao.core.db import Connection, Database
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.errors import InvariantBroken, Unavailable
from tongbao.core.http import HttpClient, NoAnswer, NotSent
from tongbao.core.ids import IdFactory, int_text
from tongbao.parties.schema import (
    MERCHANT_PREFIX,
    KeyDraft,
    KeyKind,
    Merchant,
    MerchantDraft,
    MerchantRole,
    OperatorPermission,
    OperatorRole,
    Package,
    Permission,
    PersonDraft,
    PersonId,
)
from tongbao.parties.service.access import operator_of_job
from tongbao.parties.service.parties import Parties

DATABASE = "bench"
START_S_MAX = 60.0
JOB = "bench"
PASSWORD = "seven green herons wade"  # noqa: S105  # of people who live as long as the run
CHANNELS = "".join(
    f'[[channel]]\nname = "{name}"\nadapter = "direct"\nsettings = {{ currencies = ["CNY"] }}\n'
    for name in ("east", "west")
)


class Served(NamedTuple):
    """The house while it is up: the process, the cookies of its people, and where a payer finds a page."""

    port: int
    process: psutil.Process
    operator: str
    owner: str
    merchant: str
    checkout: str
    payments: int

    @property
    def base(self) -> str:
        """The address of the house."""
        return f"http://localhost:{self.port}"

    def cpu_s(self) -> float:
        """Return the processor time that the process has used, in seconds."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


class _People(NamedTuple):
    """Who is there before the process: a merchant with a key, sessions of its owner and of the house."""

    merchant: str
    key: str
    owner: str
    operator: str


@contextlib.asynccontextmanager
async def open_served(payments: int) -> AsyncIterator[Served]:
    """Open the house with so many payments behind it; ends with it. Raises Unavailable, InvariantBroken."""
    with scratch_home("tongbao-bench-") as home:
        server = EmbeddedServer(home)
        await asyncio.to_thread(server.start)
        try:
            people = await _people(server)
            async with _process(server, home.parent) as (port, process):
                checkout = await _trade(port, people.key, payments)
                yield Served(
                    port, process, people.operator, people.owner, people.merchant, checkout, payments
                )
        finally:
            await asyncio.to_thread(server.stop)


async def _people(server: EmbeddedServer) -> _People:
    admin = await asyncpg.connect(server.dsn())
    await admin.execute(f"CREATE DATABASE {DATABASE}")
    await admin.close()
    dsn, clock = server.dsn(DATABASE), RealClock()
    await migrate.upgrade(dsn)
    async with Database(dsn) as database, Parties(database, clock, IdFactory(clock)) as parties:
        async with database.transaction() as connection:
            merchant = await _merchant(parties, connection)
        scope = await parties.access.scope_of_job(
            merchant.merchant_id, live=False, job=JOB, permissions=frozenset(Permission)
        )
        live = await parties.access.scope_of_job(
            merchant.merchant_id, live=True, job=JOB, permissions=frozenset(Permission)
        )
        async with database.transaction() as connection:
            issued = await parties.keys.create(connection, scope, KeyDraft(kind=KeyKind.SECRET))
            draft = PersonDraft(email="owner@bench.example", name="Chen Mei")
            joined = await parties.people.join(connection, live, draft, MerchantRole.OWNER)
            owner = await _session(parties, connection, joined.person_id)
        async with database.transaction() as connection:
            operator = await _operator(parties, connection)
        sessions = [
            await parties.sign_in.let_in(person, address="127.0.0.1", agent=JOB)
            for person in (owner, operator)
        ]
        tokens = [f"session={each.token.get_secret_value()}; mode=test" for each in sessions]
        reference = int_text(MERCHANT_PREFIX, merchant.merchant_id)
        return _People(reference, issued.text.get_secret_value(), *tokens)


async def _merchant(parties: Parties, connection: Connection) -> Merchant:
    draft = MerchantDraft(
        name="Jade Spring Tea House",
        country="CN",
        default_currency="CNY",
        mcc="5814",
        package=Package.ENTERPRISE,
    )
    return await parties.merchants.create(
        connection, operator_of_job(JOB, frozenset(OperatorPermission)), draft
    )


async def _operator(parties: Parties, connection: Connection) -> PersonId:
    house = operator_of_job(JOB, frozenset(OperatorPermission))
    draft = PersonDraft(email="ops@bench.example", name="Lin Bo")
    for role in (OperatorRole.RISK, OperatorRole.OPERATOR_L2, OperatorRole.ADMIN):
        person = await parties.people.appoint(connection, house, draft, role)
    return await _session(parties, connection, person.person_id)


async def _session(parties: Parties, connection: Connection, person_id: PersonId) -> PersonId:
    """Give somebody a password, without which nobody signs in."""
    await parties.sign_in.set_password(connection, person_id, PASSWORD)
    return person_id


@contextlib.asynccontextmanager
async def _process(server: EmbeddedServer, folder: Path) -> AsyncIterator[tuple[int, psutil.Process]]:
    """Run the program over the database; end it with a signal, as an operator would."""
    channels = folder / "channels.toml"
    channels.write_text(CHANNELS)
    channels.chmod(0o600)
    environment = os.environ | {
        "TONGBAO_DATABASE_URL": server.dsn(DATABASE),
        "TONGBAO_DATA_DIR": str(folder / "data"),
        "TONGBAO_CHANNELS_FILE": str(channels),
        "TONGBAO_TEST_RATE_PER_S": "1000000",
        "TONGBAO_LIVE_RATE_PER_S": "1000000",
        "TONGBAO_LOG_LEVEL": "WARNING",
    }
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "tongbao", "serve", "all", "--port", str(port)]
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, cwd=folder, stderr=subprocess.DEVNULL
    )
    try:
        await _until_up(port, process)
        yield port, psutil.Process(process.pid)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def _until_up(port: int, process: asyncio.subprocess.Process) -> None:
    http, began = HttpClient(), time.monotonic()
    try:
        while process.returncode is None and time.monotonic() - began < START_S_MAX:
            with contextlib.suppress(NotSent, NoAnswer):
                if (await http.request("GET", f"http://127.0.0.1:{port}/healthz")).status == 200:
                    return
            await asyncio.sleep(0.1)
    finally:
        await http.close()
    raise Unavailable("bench_api_down", "the process did not come up")


async def _trade(port: int, key: str, payments: int) -> str:
    """Make payments, and a session of the checkout; return the path of its page."""
    http = HttpClient()

    async def post(path: str, fields: dict[str, str]) -> dict[str, Any]:
        answer = await http.request(
            "POST",
            f"http://127.0.0.1:{port}/v1/{path}",
            headers={
                "Authorization": f"Bearer {key}",
                "Content-Type": "application/x-www-form-urlencoded",
            },
            body=urlencode(fields).encode(),
        )
        if answer.status != 200:
            said = answer.body[:300].decode(errors="replace")
            raise InvariantBroken("bench_trade_failed", f"{path}: {answer.status} {said}")
        return dict(msgspec.json.decode(answer.body))

    try:
        card = {"currency": "cny", "confirm": "true", "payment_method": "pm_card_visa"}
        for number in range(payments):
            await post("payment_intents", card | {"amount": str(8_800 + 100 * number)})
        made = await post("checkout/sessions", CHECKOUT)
    finally:
        await http.close()
    return f"/c/{made['id']}"


CHECKOUT = {
    "mode": "payment",
    "success_url": "https://shop.example/done",
    "cancel_url": "https://shop.example/cart",
    "line_items[0][price_data][currency]": "cny",
    "line_items[0][price_data][unit_amount]": "16800",
    "line_items[0][price_data][product_data][name]": "Longjing, 100 g",
    "line_items[0][quantity]": "2",
}
