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
from tongbao.web.workers import Workers

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
    with listen(settings) if with_http else contextlib.nullcontext() as listening:
        uvloop.run(_serve(settings, listening, console, with_workers=with_workers))


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
            server = Server(configured(create_app(house, workers, runtime.metrics)))
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
