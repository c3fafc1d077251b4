"""What ``tongbao run`` runs: opens everything, says where it is, serves until it is told to stop, closes everything."""

import asyncio
import contextlib
import logging
import shutil
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import asyncpg
import msgspec
import uvloop
from rich import box
from rich.console import Console
from rich.table import Table

from tongbao.core.clock import Clock, RealClock, SteppedClock
from tongbao.core.config import Settings
from tongbao.core.db import translate
from tongbao.core.embedded.early import EarlyStart
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.errors import Conflict
from tongbao.core.events.running import Events
from tongbao.core.logs import configure_logs
from tongbao.core.process import settle_garbage_collector
from tongbao.parties.service.demo import DEMO
from tongbao.simulator.city.schema import CityTerms
from tongbao.simulator.street import Street
from tongbao.web.app import create_app
from tongbao.web.city_house import KEYS_FILE as CITY_KEYS_FILE
from tongbao.web.city_house import Instants
from tongbao.web.city_living import begin_of
from tongbao.web.city_past import FILE as PAST_FILE
from tongbao.web.city_past import Past, State, keep_past, new_terms, read_past
from tongbao.web.commands.city_bar import shown_days
from tongbao.web.commands.listening import Server, configured
from tongbao.web.demo import KEYS_FILE, Demo
from tongbao.web.demo_link import open_link
from tongbao.web.demo_people import PEOPLE_FILE, DemoPeople
from tongbao.web.house import House, open_house
from tongbao.web.pace import Pace
from tongbao.web.read_only import refuse_work
from tongbao.web.runtime import Runtime, open_runtime
from tongbao.web.signing.rooms import DemoLogIn, Doors
from tongbao.web.workers import Workers

VISITS_AT_FIRST = 400
VISITS_PER_S = 2.0


class Start(NamedTuple):
    """How a run was begun: on which socket, at which reading of ``perf_counter``, and with a server already coming up."""

    listening: socket.socket
    console: Console
    began_s: float
    early: EarlyStart | None


def run(settings: Settings, start: Start, *, fresh: bool, demo: bool) -> None:
    """Run until Ctrl-C; ``fresh``: forget the old data first, ``demo``: show a sandboxed world."""
    refuse_work(settings)
    configure_logs(settings.log_level, settings.log_json)
    for chatty in ("sqlalchemy", "alembic", "uvicorn"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    if fresh:
        forget(settings, start.console)
    uvloop.run(_serve(settings, start, demo))


def forget(settings: Settings, console: Console) -> None:
    """Stop the embedded server of this data folder and delete its data."""
    if settings.database_url is not None:
        raise Conflict(
            "database_not_ours", "--fresh deletes only the embedded database; this one is reached by DSN"
        )
    for name in ("sandbox", "vault"):
        shutil.rmtree(settings.data_dir / name, ignore_errors=True)
    for name in (KEYS_FILE, PEOPLE_FILE, CITY_KEYS_FILE, PAST_FILE):
        (settings.data_dir / name).unlink(missing_ok=True)
    home = settings.data_dir / "postgres"
    if home.is_dir():
        server = EmbeddedServer(home, postgres_bin=settings.postgres_bin)
        data = server.status().data_dir
        server.stop()
        for folder in {data, home}:
            shutil.rmtree(folder, ignore_errors=folder is data)
        console.print("Old data removed.")


async def _serve(settings: Settings, start: Start, with_demo: bool) -> None:
    """Open everything, print where it is, serve until told to stop, close everything."""
    console, early = start.console, start.early
    host, port = start.listening.getsockname()[:2]
    base_url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    # Webhooks of a demonstration go to the very machine that it runs on.
    settings = settings.model_copy(update={"webhooks_allow_local": True} | _demo_settings(with_demo))
    past = await past_to_live(settings, console, early) if with_demo else None
    if past is not None:
        early = None
    clock: Clock = SteppedClock(begin_of(past.terms)) if past else RealClock()
    demo = Demo(settings.data_dir, _terms_of(settings, past))
    async with contextlib.AsyncExitStack() as stack:
        if with_demo:
            settings = await demo.open_mail(stack, settings)
        with console.status("Starting the database …"):
            runtime = await stack.enter_async_context(open_runtime(settings, clock=clock, early=early))
        specs = await demo.open_world(stack, clock) if with_demo else []
        banks = demo.banks() if with_demo else []
        pace = Pace(f"city {past.terms.seed}") if past else None
        house = await stack.enter_async_context(open_house(runtime, settings, base_url, specs, banks, pace))
        events = Events(runtime.database, clock, runtime.ledger.ids, runtime.metrics, house.subscriptions())
        workers = Workers(house, events, runtime.metrics, seal_interval_s=settings.seal_interval_s)
        log_ins = await _people(demo, house) if with_demo else []
        doors = await _doors(house, log_ins) if with_demo else None
        app = create_app(house, workers, runtime.metrics, doors)
        served = Instants(app, clock) if isinstance(clock, SteppedClock) else app
        server = Server(configured(served), house.hub.close)
        serving = asyncio.create_task(server.serve(sockets=[start.listening]), name="server")
        stack.push_async_callback(_stopped, server, serving)
        for told in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(told, server.stop)
        if past and not await _lived(demo, house, (events, workers), past, _Seen(stack, console, serving)):
            console.print("Stopped before the past was whole; the next start begins it anew.")
            return
        await stack.enter_async_context(events)
        await stack.enter_async_context(workers)
        if with_demo:
            await _open_street(runtime, stack, console)
        _print_addresses(start, base_url, settings, demo)
        _print_log_ins(console, base_url, log_ins)
        if with_demo:
            # Every address answers without them; people come while somebody still reads where.
            await demo.open_life(stack, house)
        settle_garbage_collector()
        await serving
        console.print("Stopping …")
    console.print("Stopped; nothing is lost.")


class _Seen(NamedTuple):
    """What a past that is lived needs beside the house: where to close, where to show, and what may end it."""

    stack: contextlib.AsyncExitStack
    console: Console
    serving: "asyncio.Task[None]"


async def past_to_live(settings: Settings, console: Console, early: EarlyStart | None) -> Past | None:
    """Return the past that is to be lived at this start, noted as begun; None where there is one, or other data.

    What a killed start left behind is removed first, and the ``early`` start of its server undone. Raises Conflict
    ``past_unfinished`` where that is a database of somebody else's, which is not ours to remove.
    """
    known = read_past(settings.data_dir)
    if known is not None and known.state is State.READY:
        return None
    if known is not None:
        if settings.database_url is not None:
            raise Conflict(
                "past_unfinished",
                "an earlier start was killed while it prepared this database: start over with an empty one, "
                f"and without {settings.data_dir / PAST_FILE}",
            )
        console.print("The last start was cut off while it prepared the past; it is begun anew.")
        if early:
            await asyncio.to_thread(early.undo)
        forget(settings, console)
    elif not await _is_new(settings):
        return None
    past = Past(state=State.PREPARING, terms=new_terms(RealClock().now()))
    keep_past(settings.data_dir, past)
    return past


async def _is_new(settings: Settings) -> bool:
    """Return whether there is no data yet: no embedded database, or an empty one behind the DSN."""
    if settings.database_url is None:
        return not (settings.data_dir / "postgres").exists()
    try:
        connection = await asyncpg.connect(settings.database_url.get_secret_value())
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise translate(error) from error
    try:
        return await connection.fetchval("SELECT to_regnamespace('ledger') IS NULL") is True
    finally:
        await connection.close()


def _terms_of(settings: Settings, past: Past | None) -> CityTerms:
    """Return the terms of the city that lives here: of the past to be lived, of the one that was, or new ones."""
    known = past or read_past(settings.data_dir)
    return known.terms if known else new_terms(RealClock().now())


async def _lived(demo: Demo, house: House, running: tuple[Events, Workers], past: Past, seen: _Seen) -> bool:
    """Live a past and let time be real; return False where somebody stopped it before it was whole."""
    until = RealClock().now()
    with shown_days(seen.console, past.terms, hidden=False) as bar:
        living = asyncio.create_task(demo.prepare_past(seen.stack, house, running, until, bar))
        await asyncio.wait({living, seen.serving}, return_when=asyncio.FIRST_COMPLETED)
        if not living.done():
            living.cancel()
            await asyncio.gather(living, return_exceptions=True)
            return False
        await living
    demo.go_real(house, RealClock())
    keep_past(demo.home, msgspec.structs.replace(past, state=State.READY))
    return True


async def _people(demo: Demo, house: House) -> list[DemoLogIn]:
    """Open the merchants of the demonstration and let its people in; return how they sign in."""
    await demo.open_merchants(house)
    return await DemoPeople(demo.home).open(house)


async def _doors(house: House, log_ins: Sequence[DemoLogIn]) -> Doors:
    return Doors(tuple(log_ins), shows_codes=True, keeper=DEMO[0].merchant_id, cashier=await open_link(house))


def _demo_settings(with_demo: bool) -> dict[str, object]:
    """Return what differs where everybody is played: nobody waits a day for a new account."""
    return {"payout_cooling_hours": 0} if with_demo else {}


async def _stopped(server: Server, serving: "asyncio.Task[None]") -> None:
    server.stop()
    await asyncio.gather(serving, return_exceptions=True)


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


def _print_addresses(start: Start, base: str, settings: Settings, demo: Demo) -> None:
    console = start.console
    where = "by TONGBAO_DATABASE_URL" if settings.database_url else str(Path(settings.data_dir).resolve())
    table = Table(
        title=f"Tongbao 通宝 is running ({time.perf_counter() - start.began_s:.1f} s)",
        title_justify="left",
        box=box.SIMPLE,
        show_header=False,
    )
    table.add_column("what", no_wrap=True)
    table.add_column("where", overflow="fold")
    rows = [
        ("start here", f"{base}/   (four doors: pay, wallet, merchant, operations)"),
        ("payments API", f"{base}/v1   (the official stripe client works: api_base)"),
        ("OpenAPI", f"{base}/v1/openapi.json   {base}/v2/openapi.json"),
        ("health", f"{base}/healthz   /readyz   /metrics"),
    ]
    if demo.sandbox is not None:
        rows.append(
            ("the world outside", f"{demo.sandbox.http_url}/_sandbox/payments   (played by the sandbox)")
        )
    for row in (*rows, ("data", where)):
        table.add_row(*row)
    console.print(table)
    for name, keys in demo.keys.items():
        console.print(f"secret test key of {name}: {keys.get('sk_test_', '')}", soft_wrap=True, markup=False)
    if demo.keys:
        console.print("A first payment, in another terminal:", soft_wrap=True)
        console.print(
            _first_payment(base, next(iter(demo.keys.values())).get("sk_test_", "")),
            soft_wrap=True,
            markup=False,
        )


def _print_log_ins(console: Console, base: str, log_ins: Sequence[DemoLogIn]) -> None:
    """Tell who may sign in where; a payer is shown a code instead of having a password."""
    for title, is_payer in (
        (f"Sign in at {base}/sign-in:", False),
        (f"The wallet is at {base}/wallet:", True),
    ):
        shown = [each for each in log_ins if (each.face == "wallet") is is_payer]
        if shown:
            console.print(title, soft_wrap=True)
        for each in shown:
            line = f"  {each.role:<12} {each.email:<28} {each.password or '(a code is shown on the page)'}"
            console.print(line, soft_wrap=True, markup=False)
    console.print("This demonstration listens on this machine only. Ctrl-C stops it.", soft_wrap=True)


def _first_payment(base: str, key: str) -> str:
    """Return a command that pays."""
    fields = (
        "amount=1999",
        "currency=cny",
        "confirm=true",
        "payment_method_data[type]=card",
        "payment_method_data[card][number]=4242424242424242",
        "payment_method_data[card][exp_month]=12",
        "payment_method_data[card][exp_year]=2030",
        "payment_method_data[card][cvc]=123",
    )
    data = " ".join(f"-d '{field}'" for field in fields)
    return f"  curl {base}/v1/payment_intents -u {key}: {data}"
