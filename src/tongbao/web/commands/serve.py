"""``tongbao serve``: one role of a larger set-up. Any number of each may run against one database."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import AsyncIterator
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from tongbao.core.config import Settings
from tongbao.core.events.running import Events
from tongbao.core.logs import configure_logs
from tongbao.core.process import settle_garbage_collector
from tongbao.web.app import create_app
from tongbao.web.commands.listening import Server, configured, listen
from tongbao.web.house import House, open_house
from tongbao.web.runtime import open_runtime
from tongbao.web.scoring import open_scoring
from tongbao.web.workers import Workers

RISK_PORT = 8081
KEEP_ALIVE_S = 75
"""Longer than any process that asks keeps an idle connection, so that none is closed under a question."""

app = typer.Typer(no_args_is_help=True, help="Run one role of a larger set-up.")


@app.command("api")
def serve_api(
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
) -> None:
    """Serve the interfaces alone; resolving, delivering and sealing are the workers' business."""
    _run(_settings(port), with_workers=False, with_http=True)


@app.command("worker")
def serve_worker() -> None:
    """Do the background work alone: resolver, webhooks, sealer, sweeper, checks. Safe to run several times."""
    _run(_settings(None), with_workers=True, with_http=False)


@app.command("all")
def serve_all(
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
) -> None:
    """Serve the interfaces and do the background work in one process, without a demonstration."""
    _run(_settings(port), with_workers=True, with_http=True)


@app.command("risk")
def serve_risk(
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free one.")
    ] = RISK_PORT,
) -> None:
    """Judge payments for all other processes, which name this one in TONGBAO_RISK_URL. Run one; loopback only."""
    settings = _settings(port)
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


def _run(settings: Settings, *, with_workers: bool, with_http: bool) -> None:
    console = Console(stderr=True, highlight=False)
    with listen(settings, may_leave=True) if with_http else contextlib.nullcontext() as listening:
        uvloop.run(_serve(settings, listening, console, with_workers=with_workers))


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


async def _serve(
    settings: Settings, listening: socket.socket | None, console: Console, *, with_workers: bool
) -> None:
    host, port = listening.getsockname()[:2] if listening else (settings.http_host, settings.http_port)
    base_url = settings.public_url or f"http://{host}:{port}"
    async with (
        open_runtime(settings) as runtime,
        open_house(runtime, settings, base_url) as house,
        _background(house, settings, with_workers) as workers,
    ):
        settle_garbage_collector()
        stop = asyncio.Event()
        server = None
        if listening is not None:
            server = Server(configured(create_app(house, workers, runtime.metrics)), house.hub.close)
        for told in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(told, server.stop if server else stop.set)
        console.print(f"serving {base_url}" if server else "working", soft_wrap=True)
        if server is not None and listening is not None:
            await server.serve(sockets=[listening])
        else:
            await stop.wait()


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
