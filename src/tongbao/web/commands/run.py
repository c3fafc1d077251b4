"""``tongbao run``: everything on one port – database, schema, ledger, background work, pages, a living street."""

import asyncio
import contextlib
import logging
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
import uvloop
from rich import box
from rich.console import Console
from rich.table import Table

from tongbao.core.config import Settings
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.errors import Conflict, NotPermitted, Unavailable
from tongbao.core.events.running import Events
from tongbao.core.logs import configure_logs
from tongbao.core.process import settle_garbage_collector
from tongbao.simulator.street import Street
from tongbao.web.app import create_app
from tongbao.web.runtime import Runtime, open_runtime
from tongbao.web.workers import Workers

VISITS_AT_FIRST = 400
VISITS_PER_S = 2.0
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def run(
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the old data first.")] = False,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    street: Annotated[bool, typer.Option(help="Let the demo street live.")] = True,
) -> None:
    """Start the whole system on this machine; Ctrl-C stops it cleanly, data stay in .tongbao/."""
    settings = Settings()
    if port is not None:
        settings = settings.model_copy(update={"http_port": port})
    configure_logs(settings.log_level, settings.log_json)
    for chatty in ("sqlalchemy", "alembic", "uvicorn"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    console = Console(highlight=False)
    if fresh:
        forget(settings, console)
    with _listen(settings) as listening:
        uvloop.run(_serve(settings, listening, console, street))


def forget(settings: Settings, console: Console) -> None:
    """Stop the embedded server of this data folder and delete its data."""
    if settings.database_url is not None:
        raise Conflict(
            "database_not_ours", "--fresh deletes only the embedded database; this one is reached by DSN"
        )
    home = settings.data_dir / "postgres"
    if home.is_dir():
        server = EmbeddedServer(home, postgres_bin=settings.postgres_bin)
        data = server.status().data_dir
        server.stop()
        for folder in {data, home}:
            shutil.rmtree(folder, ignore_errors=folder is data)
        console.print("Old data removed.")


def _listen(settings: Settings) -> socket.socket:
    """Bind before anything else starts, so that a taken port is said at once."""
    if settings.http_host not in LOOPBACK:
        raise NotPermitted(
            "listen_not_loopback", "there is no sign-in yet: the server listens on loopback addresses only"
        )
    family = socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.http_host, settings.http_port))
    except OSError as error:
        listening.close()
        raise Unavailable(
            "port_taken",
            f"port {settings.http_port} is taken; choose another with --port or TONGBAO_HTTP_PORT",
        ) from error
    return listening


class _Server(uvicorn.Server):
    """A server that leaves signals to us, so that Ctrl-C ends everything in order and not by an exception."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    def stop(self) -> None:
        """Finish open requests and end; at once when told a second time."""
        self.force_exit = self.should_exit
        self.should_exit = True


async def _serve(settings: Settings, listening: socket.socket, console: Console, with_street: bool) -> None:
    """Open everything, print where it is, serve until told to stop, close everything."""
    began = time.perf_counter()
    with console.status("Starting the database …"):
        stack = contextlib.AsyncExitStack()
        runtime = await stack.enter_async_context(open_runtime(settings))
    async with stack:
        events = await stack.enter_async_context(
            Events(runtime.database, runtime.clock, runtime.ledger.ids, runtime.metrics)
        )
        workers = await stack.enter_async_context(
            Workers(runtime.ledger, events, runtime.metrics, seal_interval_s=settings.seal_interval_s)
        )
        if with_street:
            await _open_street(runtime, stack, console)
        app = create_app(runtime, workers, runtime.metrics)
        server = _Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off"))
        settle_garbage_collector()
        host, port = listening.getsockname()[:2]
        _print_addresses(console, f"http://{f'[{host}]' if ':' in host else host}:{port}", settings, began)
        for told in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(told, server.stop)
        await server.serve(sockets=[listening])
        console.print("Stopping …")
    console.print("Stopped; nothing is lost.")


async def _open_street(runtime: Runtime, stack: contextlib.AsyncExitStack, console: Console) -> None:
    """Open the demo street, give it a little past on the first start, and let it live."""
    street = Street(runtime.ledger)
    with console.status("Opening the street …"):
        is_new = not await runtime.ledger.accounts.books(limit=1)
        await street.open()
        if is_new:
            await asyncio.gather(*(street.visit() for _ in range(VISITS_AT_FIRST)))
            await runtime.ledger.sealing.seal_all()
    life = asyncio.create_task(street.live(VISITS_PER_S), name="street")

    async def end() -> None:
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)

    stack.push_async_callback(end)


def _print_addresses(console: Console, base: str, settings: Settings, began: float) -> None:
    where = "by TONGBAO_DATABASE_URL" if settings.database_url else str(Path(settings.data_dir).resolve())
    table = Table(
        title=f"Tongbao 通宝 is running ({time.perf_counter() - began:.1f} s)",
        title_justify="left",
        box=box.SIMPLE,
        show_header=False,
    )
    table.add_column("what")
    table.add_column("where", no_wrap=True)
    for what, path in (
        ("ledger explorer", "/"),
        ("ledger API", "/v2/ledger/books"),
        ("OpenAPI", "/v2/openapi.json"),
        ("health", "/healthz   /readyz   /metrics"),
    ):
        table.add_row(what, base + path)
    table.add_row("data", where)
    console.print(table)
    console.print("In another terminal: .venv/bin/tongbao ledger trial-balance")
    console.print("No sign-in exists yet, so it listens on this machine only. Ctrl-C stops it.")
