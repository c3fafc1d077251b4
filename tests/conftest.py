"""One embedded PostgreSQL for the whole run, one database a test file, and a ledger over it.

Files go to several processes, each file to one; those that last long go first, so that none is left for the end.
"""

import gc
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import psutil
import pytest
from hypothesis import HealthCheck, settings

from tongbao.core import migrate
from tongbao.core.clock import Clock, RealClock
from tongbao.core.db import Database
from tongbao.core.embedded.durability import memory_available_bytes
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.ledger.schema import Account, Book, Kind, Transfer
from tongbao.ledger.service.ledger import Ledger

CNY = 156
USD = 840
MEMORY = Path("/dev/shm")
MEMORY_FREE_BYTES_MIN = 6 * 1024**3
"""Room for a server of each of three processes and those of the drills, with their write-ahead logs."""
LONGEST_FIRST = (
    "scenarios/test_payment_drill.py",
    "bench/test_routing_outage.py",
    "bench/test_risk_drill.py",
    "scenarios/test_kill.py",
    "clearing/test_paying_killed.py",
    "clearing/test_settling_killed.py",
    "faces",
    "scenarios",
    "bench/test_ledger.py",
    "web/test_serve_risk.py",
    "core/test_embedded_places.py",
    "web/test_db_command.py",
    "core/test_embedded.py",
    "core/test_db.py",
    "core/test_outbox.py",
    "core/test_migrate.py",
    "risk/test_retraining.py",
    "payments/test_any_order.py",
    "payments/test_losing_database.py",
    "decisions/test_exporting.py",
    "web/test_ledger_command.py",
    "ledger/test_state_machine.py",
    "web/test_risk_discover_command.py",
)
"""Files that take more than ten seconds for few tests, the longest first; many of them wait, and the others run beside them.

Scenarios share a house in each process, so they follow each other. Many small files come last, so that no process is left alone.
"""

# Equal code is tried with equal examples, however slow the machine is, so that a run tells of the code and not of its
# luck; `pytest --hypothesis-profile=search` looks for new examples.
_PATIENT: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("search", **_PATIENT)
settings.register_profile("equal", derandomize=True, **_PATIENT)
settings.load_profile("equal")


def _stay_in_memory() -> None:
    """Let servers and drills write to memory where it has room, unless ``TMPDIR`` names a place.

    They are as durable as ever, and killed as ever; only nobody pulls a plug, and waiting for a disk proves nothing.
    """
    if "TMPDIR" in os.environ or not MEMORY.is_dir():
        return
    free = (shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available, memory_available_bytes())
    if min(free) >= MEMORY_FREE_BYTES_MIN:
        # What pytest keeps for a look afterwards stays on the disk.
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
        # The programs that tests start go there, too.
        tempfile.tempdir = os.environ["TMPDIR"] = str(MEMORY)


_stay_in_memory()

# What one process has compiled the others read, whatever the environment says: every process of a run reads every
# test, and the drills start the program dozens of times.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect no garbage while tests are gathered: all of it stays, and is not looked through again afterwards.

    What tests make is looked through less often than usual: an application of five hundred routes is not garbage.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that last long first, then those with most tests; within a file nothing changes place."""
    tests = Path(__file__).parent
    places = {tests / name: place for place, name in enumerate(LONGEST_FIRST)}
    counts = Counter(item.path for item in items)

    def turn(item: pytest.Item) -> tuple[int, int, Path]:
        path = item.path
        place = places.get(path, places.get(path.parent, len(places)))
        return place, -counts[path], path

    items.sort(key=turn)


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    """A server of this run's own, in a short folder (socket paths are limited), removed afterwards."""
    home = Path(tempfile.mkdtemp(prefix="tongbao-test-"))
    home.chmod(0o755)
    conf = {"shared_buffers": "256MB", "min_wal_size": "64MB", "max_wal_size": "512MB"}
    running = EmbeddedServer(home / "postgres", conf=conf)
    running.start()
    try:
        yield running
    finally:
        running.stop()
        shutil.rmtree(home)


@pytest.fixture(scope="session")
async def migrated(server: EmbeddedServer) -> str:
    """The name of a migrated database that every file's own is copied from."""
    admin = await asyncpg.connect(server.dsn())
    await admin.execute("CREATE DATABASE migrated")
    await admin.close()
    await migrate.upgrade(server.dsn("migrated"))
    return "migrated"


@pytest.fixture(scope="module")
async def dsn(server: EmbeddedServer, migrated: str) -> AsyncIterator[str]:
    """The DSN of a fresh, migrated database."""
    name = f"t{random.SystemRandom().getrandbits(48):012x}"
    # In memory files are copied in half the time that writing them to the log takes; a disk would have to take each in.
    strategy = "file_copy" if tempfile.gettempdir() == str(MEMORY) else "wal_log"
    admin = await asyncpg.connect(server.dsn())
    try:
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE {migrated} STRATEGY {strategy}")
        yield server.dsn(name)
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()


@pytest.fixture(scope="module")
async def database(dsn: str) -> AsyncIterator[Database]:
    """An open pool on the file's database."""
    async with Database(dsn, pool_size=6) as opened:
        yield opened


@pytest.fixture(scope="module")
def ids() -> IdFactory:
    """Ids from the real clock: keys must fall into the journal's partitions of today."""
    return IdFactory(RealClock())


@pytest.fixture
def open_ledger(database: Database, ids: IdFactory) -> Callable[..., Ledger]:
    """Return a ledger with a clock and options of the test's choice; use it as a context manager."""

    def make(clock: Clock | None = None, **options: int | float) -> Ledger:
        return Ledger(database, clock or RealClock(), Metrics(), ids, **options)  # type: ignore[arg-type]

    return make


@pytest.fixture
async def ledger(open_ledger: Callable[..., Ledger]) -> AsyncIterator[Ledger]:
    """A ledger on the real clock."""
    async with open_ledger() as opened:
        yield opened


class Bench:
    """One book with a few accounts and short ways to build transfers on it."""

    def __init__(self, ledger: Ledger, book: Book, accounts: dict[str, Account]) -> None:
        self.ledger = ledger
        self.book = book
        self.accounts = accounts

    def key(self) -> UUID:
        """A new transfer key."""
        return self.ledger.ids.uuid()

    def transfer(self, debit: str, credit: str, amount_minor: int, **fields: object) -> Transfer:
        """A plain transfer between two accounts by name; any field may be overridden."""
        values: dict[str, object] = {
            "key": self.key(),
            "book_id": self.book.book_id,
            "debit_account_id": self.accounts[debit].account_id,
            "credit_account_id": self.accounts[credit].account_id,
            "amount_minor": amount_minor,
            "asset_id": self.accounts[debit].asset_id,
            "code": "test",
        }
        return Transfer(**(values | fields))  # type: ignore[arg-type]

    def hold(self, debit: str, credit: str, amount_minor: int, **fields: object) -> Transfer:
        """A hold between two accounts by name."""
        return self.transfer(debit, credit, amount_minor, kind=Kind.HOLD, **fields)

    async def balance(self, name: str) -> Account:
        """The account as it stands now."""
        account = self.accounts[name]
        return await self.ledger.accounts.account(account.book_id, account.account_id)

    async def posted(self, name: str) -> int:
        """Credits minus debits of an account now."""
        return (await self.balance(name)).posted_minor


@pytest.fixture
async def bench(ledger: Ledger) -> Bench:
    """A fresh book: ``equity`` and ``other`` unlimited, ``a`` ``b`` ``c`` with floor 0, ``capped`` with ceiling
    1000 and ``striped`` without limits, all in CNY; ``dollars`` in USD."""
    return await make_bench(ledger)


async def make_bench(ledger: Ledger) -> Bench:
    """Open a book as the ``bench`` fixture describes it."""
    book = await ledger.accounts.open_book(f"bench-{ledger.ids.int63()}", "empty", "Bench")
    open_account = ledger.accounts.open_account
    accounts = {
        "equity": await open_account(book.book_id, "equity", "CNY"),
        "other": await open_account(book.book_id, "other", "CNY"),
        "a": await open_account(book.book_id, "a", "CNY", floor_minor=0),
        "b": await open_account(book.book_id, "b", "CNY", floor_minor=0),
        "c": await open_account(book.book_id, "c", "CNY", floor_minor=0),
        "capped": await open_account(book.book_id, "capped", "CNY", ceiling_minor=1000),
        "striped": await open_account(book.book_id, "striped", "CNY", striped=True),
        "dollars": await open_account(book.book_id, "dollars", "USD"),
    }
    return Bench(ledger, book, accounts)


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    """An instant in UTC."""
    return datetime(year, month, day, hour, minute, tzinfo=UTC)
