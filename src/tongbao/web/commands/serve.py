"""``tongbao serve``: one role of a larger set-up. Any number of each may run against one database."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from typing import Annotated, NamedTuple

import typer
import uvloop
from rich.console import Console
from starlette.types import ASGIApp

from tongbao.core.config import Settings
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.errors import Conflict, InvalidRequest
from tongbao.core.events.running import Events
from tongbao.core.logs import configure_logs
from tongbao.core.metrics import Metrics
from tongbao.core.process import settle_garbage_collector
from tongbao.web.app import SECURITY_HEADERS, create_app
from tongbao.web.commands import fleet
from tongbao.web.commands.listening import Server, configured, listen
from tongbao.web.commands.listening import inherited as inherited_socket
from tongbao.web.house import House, open_house
from tongbao.web.read_only import guarded as read_only_front
from tongbao.web.read_only import open_reading, refuse_work
from tongbao.web.runtime import open_runtime
from tongbao.web.scoring import open_scoring
from tongbao.web.watching import watched_alone
from tongbao.web.workers import Workers

RISK_PORT = 8081
KEEP_ALIVE_S = 75
"""Longer than any process that asks keeps an idle connection, so that none is closed under a question."""
Port = Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")]
ReadOnly = Annotated[
    bool, typer.Option("--read-only", help="Show only, from the standby; as TONGBAO_READ_ONLY=1 does.")
]

app = typer.Typer(no_args_is_help=True, help="Run one role of a larger set-up.")


class Inherited(NamedTuple):
    """What a process of a fleet has from its parent: the socket, a pipe that ends with it, and one to say "I serve"."""

    listening: socket.socket
    lifeline: int
    ready: int


@app.command("api")
def serve_api(
    port: Port = None,
    processes: Annotated[
        int,
        typer.Option(min=1, max=fleet.PROCESSES_MAX, help="So many processes behind the one address."),
    ] = 1,
    read_only: ReadOnly = False,
    inheritance: Annotated[str | None, typer.Option("--inherited", hidden=True)] = None,
) -> None:
    """Serve the interfaces alone; resolving, delivering and sealing are the workers' business."""
    settings = _settings(port)
    read_only = read_only or settings.read_only
    if inheritance is not None:
        inherited = _inherited(inheritance)
        _run(settings, inherited.listening, _Role(with_http=True, read_only=read_only, inherited=inherited))
    elif processes > 1:
        _run_fleet(settings, processes, read_only)
    else:
        with listen(settings, may_leave=True) as listening:
            _run(settings, listening, _Role(with_http=True, read_only=read_only))


@app.command("console")
def serve_console(port: Port = None) -> None:
    """Show the console and everything else that only reads, from a standby; every act is refused with `read_only`."""
    settings = _settings(port)
    with listen(settings, may_leave=True) as listening:
        _run(settings, listening, _Role(with_http=True, read_only=True))


@app.command("worker")
def serve_worker(
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65_535, help="Answer /healthz, /readyz and /metrics there; 0 takes a free one."
        ),
    ] = None,
) -> None:
    """Do the background work alone: resolver, webhooks, sealer, sweeper, checks. Safe to run several times."""
    settings = _working(port)
    with contextlib.nullcontext() if port is None else listen(settings, may_leave=True) as listening:
        _run(settings, listening, _Role(with_workers=True))


@app.command("all")
def serve_all(port: Port = None) -> None:
    """Serve the interfaces and do the background work in one process, without a demonstration."""
    settings = _working(port)
    with listen(settings, may_leave=True) as listening:
        _run(settings, listening, _Role(with_workers=True, with_http=True))


@app.command("risk")
def serve_risk(
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free one.")
    ] = RISK_PORT,
) -> None:
    """Judge payments for all other processes, which name this one in TONGBAO_RISK_URL. Run one; loopback only."""
    settings = _working(port)
    with listen(settings) as listening:
        uvloop.run(_score(settings, listening, Console(stderr=True, highlight=False)))


def _settings(port: int | None) -> Settings:
    settings = Settings()
    if port is not None:
        settings = settings.model_copy(update={"http_port": port})
    configure_logs(settings.log_level, settings.log_json)
    for chatty in ("sqlalchemy", "alembic", "uvicorn"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    return settings


def _working(port: int | None) -> Settings:
    """Return the settings of a process that works in the background, or judges; both write."""
    settings = _settings(port)
    refuse_work(settings)
    return settings


class _Role(NamedTuple):
    """What one process does."""

    with_workers: bool = False
    with_http: bool = False
    read_only: bool = False
    inherited: Inherited | None = None


def _run(settings: Settings, listening: socket.socket | None, role: _Role) -> None:
    uvloop.run(_serve(settings, listening, Console(stderr=True, highlight=False), role))


def _run_fleet(settings: Settings, processes: int, read_only: bool) -> None:
    """Bind the address and keep ``processes`` processes behind it."""
    if settings.database_url is None:
        server = EmbeddedServer(settings.data_dir / "postgres", postgres_bin=settings.postgres_bin)
        if not server.status().running:
            raise Conflict(
                "database_not_up",
                "several processes need a server that outlives each of them: run `tongbao db up` first, or set "
                "TONGBAO_DATABASE_URL",
            )
    console = Console(stderr=True, highlight=False)
    command = fleet.program("serve", "api", *(["--read-only"] if read_only else []))
    with listen(settings, may_leave=True) as listening:
        host, port = listening.getsockname()[:2]
        console.print(f"serving {settings.public_url or f'http://{host}:{port}'}", soft_wrap=True)
        status = fleet.Fleet(
            command, processes, listening, lambda text: console.print(text, soft_wrap=True)
        ).run()
    if status:
        raise typer.Exit(status)


def _inherited(text: str) -> Inherited:
    """Return what the parent handed over; raise InvalidRequest ``socket_not_inherited``."""
    numbers = [int(each) for each in text.split(",") if each.isdecimal()]
    if len(numbers) != len(Inherited._fields):
        raise InvalidRequest("socket_not_inherited", "only a process of a fleet inherits its socket")
    listening, lifeline, ready = numbers
    return Inherited(inherited_socket(listening), lifeline, ready)


async def _score(settings: Settings, listening: socket.socket, console: Console) -> None:
    host, port = listening.getsockname()[:2]
    async with open_runtime(settings) as runtime, open_scoring(runtime, settings) as scoring:
        settle_garbage_collector()
        config = configured(scoring)
        config.timeout_keep_alive = KEEP_ALIVE_S
        server = Server(config)
        for told in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(told, server.stop)
        console.print(f"judging on http://{host}:{port}", soft_wrap=True)
        await server.serve(sockets=[listening])


async def _serve(settings: Settings, listening: socket.socket | None, console: Console, role: _Role) -> None:
    host, port = listening.getsockname()[:2] if listening else (settings.http_host, settings.http_port)
    base_url = settings.public_url or f"http://{host}:{port}"
    opened = open_reading(settings) if role.read_only else open_runtime(settings)
    async with (
        opened as runtime,
        open_house(runtime, settings, base_url) as house,
        _background(house, settings, role.with_workers) as workers,
    ):
        settle_garbage_collector()
        stop = asyncio.Event()
        server = None
        if listening is not None:
            face = create_app if role.with_http else _watched
            served = face(house, workers, runtime.metrics)
            if role.read_only:
                served = read_only_front(served, runtime.database, SECURITY_HEADERS)
            server = Server(configured(served), house.hub.close)
        end = server.stop if server else stop.set
        for told in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(told, end)
        if role.inherited is not None:
            _join_fleet(role.inherited, end)
        else:
            console.print(
                _shown(role, base_url if role.with_http else f"http://{host}:{port}", server), soft_wrap=True
            )
        if server is not None and listening is not None:
            await server.serve(sockets=[listening])
        else:
            await stop.wait()


def _watched(house: House, workers: Workers, metrics: Metrics) -> ASGIApp:
    return watched_alone(house.runtime.database, workers, metrics)


def _shown(role: _Role, address: str, server: Server | None) -> str:
    """Return the line that says what a process does."""
    if not role.with_http:
        return f"working, watched on {address}" if server else "working"
    return f"showing only, on {address}" if role.read_only else f"serving {address}"


def _join_fleet(inherited: Inherited, end: Callable[[], None]) -> None:
    """Tell the parent that this process serves, and end when the parent does."""
    loop = asyncio.get_running_loop()

    def orphaned() -> None:
        loop.remove_reader(inherited.lifeline)
        end()

    loop.add_reader(inherited.lifeline, orphaned)
    os.write(inherited.ready, fleet.READY)


@contextlib.asynccontextmanager
async def _background(house: House, settings: Settings, wanted: bool) -> AsyncIterator[Workers]:
    """Open the background work of this process; none of it runs where it is not wanted."""
    runtime = house.runtime
    events = Events(
        runtime.database, runtime.clock, runtime.ledger.ids, runtime.metrics, house.subscriptions()
    )
    workers = Workers(house, events, runtime.metrics, seal_interval_s=settings.seal_interval_s)
    if not wanted:
        yield workers
        return
    async with events, workers:
        yield workers
