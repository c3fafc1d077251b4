"""``tongbao bench ledger``: what the ledger does in a second, beside pgbench and a textbook ledger in one run.

Everything is durable (fsync, synchronous_commit and full_page_writes on, checksums on), client and server share
the machine, each figure comes from a fresh process that uses the product's own service. TPC-B runs before and
after every row; a row's ratio is to the mean of its two neighbors, so that a machine whose speed drifts in the
course of minutes (shared ones do) changes numerator and denominator alike.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from tongbao.bench import reference
from tongbao.bench.ledger_load import CNY, Spec
from tongbao.core import migrate
from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.errors import InvariantBroken
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.ledger.schema import BULK_SIZE_MAX, AccountId, BookId, Transfer
from tongbao.ledger.service.ledger import Ledger

PROCESSES = 4
CASES = ("uniform", "books", "hot", "hot_limited", "holds", "groups", "bulk")
DATABASE = "bench"
Say = Callable[[str], None]

# Accounts are opened by SQL because there are 21,000 of them; money comes in by transfers like everywhere else.
_FILL = """
WITH opened AS (
    INSERT INTO ledger.account (book_id, account_id, asset_id, normal_side, striped, code, name, created_at)
    SELECT $1, $2::bigint + i, 156, 1, false, CASE i WHEN 0 THEN 'equity' ELSE 'customer_' || i END, 'Account', now()
    FROM generate_series(0, $3) AS i
    RETURNING book_id, account_id, code
)
INSERT INTO ledger.balance (book_id, account_id, debits_minor, credits_minor, debits_held_minor, credits_held_minor,
    floor_minor, ceiling_minor, asset_id, state)
SELECT book_id, account_id, 0, 0, 0, 0, CASE WHEN code <> 'equity' THEN 0 END, NULL, 156, 0 FROM opened
"""
_ENDOWMENT_MINOR = 1_000_000_000
_STRIDE = 100_000
_SIZES = """
SELECT sum(pg_total_relation_size(c.oid))::bigint AS all_bytes,
    (sum(pg_total_relation_size(c.oid)) FILTER (WHERE c.relname LIKE 'transfer%'))::bigint AS journal_bytes
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'ledger' AND c.relkind IN ('r', 'm')
"""


class Sizes(msgspec.Struct, frozen=True):
    """How long each row runs, how many transfers the statements are read from, how large TPC-B's tables are.

    ``accounts`` of the large book, of the textbook ledger, and of the small ``books`` together, which share them
    equally; ``reads``: how often a page and a balance are read.
    """

    seconds: float
    transfers: int
    pgbench_scale: int = 50
    accounts: int = 10_000
    books: int = 1_000
    reads: int = 300


FULL = Sizes(6.0, 1_000_000)
QUICK = Sizes(2.0, 100_000)


class Charts(msgspec.Struct):
    """The books that are loaded: one large, many small."""

    large: int
    large_accounts: list[int]
    small: list[int]
    small_accounts: list[list[int]]
    striped: int


@contextmanager
def scratch_home(prefix: str) -> Iterator[Path]:
    """Lend a folder for a throw-away server that its unprivileged user can enter."""
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "postgres"


async def run(sizes: Sizes, say: Say) -> dict[str, float]:
    """Run all rows and return their figures, tell them to ``say`` as they come."""
    with scratch_home("tongbao-bench-") as home:
        server = EmbeddedServer(home)
        say("Starting an embedded server, durable settings verified …")
        server.start()
        try:
            return await _Run(server, sizes, say).all()
        finally:
            server.stop()


class _Run:
    """One run of the benchmark on one server."""

    def __init__(self, server: EmbeddedServer, sizes: Sizes, say: Say) -> None:
        self.server = server
        self.sizes = sizes
        self.seconds = sizes.seconds
        self.say = say
        self.tpcb: list[float] = []
        self.figures: dict[str, float] = {}
        self.seed = 0

    async def all(self) -> dict[str, float]:
        """Run every row in order."""
        await reference.prepare(self.server, self.sizes.accounts, self.sizes.pgbench_scale)
        charts = await self._open_books()
        await self._reference()
        for case in CASES:
            await self._closed(case, charts)
            await self._reference(case)
        await self._naive()
        for rate in (500, 2_000):
            await self._latency(rate, charts)
        await self._reference()
        await self._statements(charts)
        self.figures["tpcb_c16_per_s"] = statistics.median(self.tpcb)
        return {name: round(value, 2) for name, value in sorted(self.figures.items())}

    async def _open_books(self) -> Charts:
        """Make the ledger's database: accounts with floor 0 in one book, and as many in the small ones."""
        accounts, books = self.sizes.accounts, self.sizes.books
        admin = await asyncpg.connect(self.server.dsn())
        await admin.execute(f"CREATE DATABASE {DATABASE}")
        await admin.close()
        dsn = self.server.dsn(DATABASE)
        await migrate.upgrade(dsn)
        async with Database(dsn) as database:
            ledger = Ledger(database, RealClock(), Metrics(), IdFactory(RealClock()))
            await ledger.sealing.prepare()
            large = await ledger.accounts.open_book("large", "empty", "One book")
            striped = await ledger.accounts.open_account(large.book_id, "clearing", "CNY", striped=True)
            small = [
                await ledger.accounts.open_book(f"small-{i}", "empty", "A merchant") for i in range(books)
            ]
            async with database.transaction() as connection:
                await connection.execute(_FILL, large.book_id, _STRIDE, accounts)
                for at, book in enumerate(small):
                    await connection.execute(_FILL, book.book_id, (at + 2) * _STRIDE, accounts // books)
            charts = _charts(self.sizes, large.book_id, [book.book_id for book in small], striped.account_id)
            await _endow(ledger, charts)
            await ledger.posting.close()
            async with database.connection() as connection:
                await connection.execute("VACUUM ANALYZE ledger.balance")
                await connection.execute("CHECKPOINT")
        return charts

    async def _reference(self, after: str = "") -> None:
        """Run TPC-B; ``after`` names the row that it follows, whose ratio it completes."""
        rate = await reference.tpcb(self.server, max(1, int(self.seconds / 2)))
        if after:
            base = (self.tpcb[-1] + rate) / 2
            self.figures[f"ratio_{after}"] = self.figures[f"{after}_per_s"] / base
            self.say(f"  {'':<33}{self.figures[f'ratio_{after}']:>10.1f} times TPC-B at {base:,.0f} /s")
        self.tpcb.append(rate)

    async def _naive(self) -> None:
        """Measure the textbook ledger, uniform and on a hot account."""
        for seed, (name, hot) in enumerate((("naive", False), ("naive_hot", True))):
            rate = await reference.naive(self.server, self.seconds, self.sizes.accounts, hot=hot, seed=seed)
            self.figures[f"{name}_per_s"] = rate
            self.say(f"  {name.replace('_', ' '):<33}{rate:>10,.0f} /s")
            await self._reference(name)

    def _spec(self, case: str, charts: Charts, **options: Any) -> Spec:
        self.seed += 1
        many = case == "books"
        return Spec(
            dsn=self.server.dsn(DATABASE),
            case=case,
            seconds=self.seconds,
            seed=self.seed,
            book_ids=charts.small if many else [charts.large],
            account_ids=charts.small_accounts if many else [charts.large_accounts],
            striped_id=charts.striped,
            **options,
        )

    async def _closed(self, case: str, charts: Charts) -> None:
        """Run one closed-loop row in a fresh process."""
        found = await _worker(self._spec(case, charts))
        self.figures[f"{case}_per_s"] = found["per_s"]
        self.figures[f"{case}_cpu_us"] = found["cpu_us"]
        if case == "uniform":
            self.figures["rss_mb"] = found["rss_mb"]
        self.say(
            f"  {case.replace('_', ' '):<33}{found['per_s']:>10,.0f} /s   {found['cpu_us']:.1f} µs of client CPU each"
        )

    async def _latency(self, rate: int, charts: Charts) -> None:
        """Offer ``rate`` transfers a second, Poisson, spread over four processes that share nothing."""
        start_at = time.time() + 1.5
        specs = [
            self._spec("uniform", charts, rate=rate / PROCESSES, start_at=start_at, lanes=1)
            for _ in range(PROCESSES)
        ]
        found = await asyncio.gather(*(_worker(spec) for spec in specs))
        latencies = sorted(ms for one in found for ms in one["latencies_ms"])
        for name, share in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999)):
            self.figures[f"{name}_ms_at_{rate}"] = latencies[
                min(len(latencies) - 1, int(share * len(latencies)))
            ]
        self.figures["rss_mb"] = max(self.figures["rss_mb"], *(one["rss_mb"] for one in found))
        self.say(
            f"  open loop, {rate:,}/s, 4 processes     p50 {self.figures[f'p50_ms_at_{rate}']:.1f} ms   "
            f"p99 {self.figures[f'p99_ms_at_{rate}']:.1f} ms"
        )

    async def _statements(self, charts: Charts) -> None:
        """Fill the journal to a million transfers with the sealer at work, then read."""
        dsn = self.server.dsn(DATABASE)
        async with Database(dsn) as database:
            ledger = Ledger(database, RealClock(), Metrics(), IdFactory(RealClock()))
            began = time.perf_counter()
            sealed = await ledger.sealing.seal_all()
            self.figures["seal_per_s"] = sealed / (time.perf_counter() - began)
            self.say(f"  sealing a backlog of {sealed:>9,}    {self.figures['seal_per_s']:>10,.0f} /s")
            await self._reference()
            await self._sealed_under_load(ledger, charts)
            await self._reference("sealed_under_load")
            wanted = self.sizes.transfers
            have = await _count(database)
            if have < wanted:
                spec = self._spec("bulk", charts, count=wanted - have)
                await _worker(msgspec.structs.replace(spec, seconds=600.0))
            await ledger.sealing.seal_all()
            await self._sizes(database)
            await self._reads(ledger, charts)
            began = time.perf_counter()
            report = await ledger.verifying.verify("large")
            self.figures["verify_per_s"] = report.transfer_count / (time.perf_counter() - began)
        if not report.sound:
            raise InvariantBroken("bench_books_broken", f"the books do not verify: {report.findings[:3]}")
        self.say(
            f"  {report.transfer_count:,} transfers verified   {self.figures['verify_per_s']:>10,.0f} /s, nothing wrong"
        )

    async def _sealed_under_load(self, ledger: Ledger, charts: Charts) -> None:
        """Post uniformly while the sealer runs beside it on the same two cores."""
        stop = asyncio.Event()

        async def seal() -> None:
            while not stop.is_set():
                if await ledger.sealing.seal_round() is None:
                    await asyncio.sleep(0.05)

        sealer = asyncio.create_task(seal())
        found = await _worker(self._spec("uniform", charts))
        stop.set()
        await sealer
        self.figures["sealed_under_load_per_s"] = found["per_s"]
        self.say(f"  uniform with the sealer running  {found['per_s']:>10,.0f} /s")

    async def _sizes(self, database: Database) -> None:
        async with database.connection() as connection:
            row = await connection.fetchrow(_SIZES)
        count = await _count(database)
        self.figures["transfers"] = count
        self.figures["bytes_per_transfer"] = row["all_bytes"] / count
        self.figures["journal_bytes_per_transfer"] = row["journal_bytes"] / count
        self.say(
            f"  {count:,} transfers of {self.figures['bytes_per_transfer']:.0f} bytes each, everything counted "
            f"(journal and key index: {self.figures['journal_bytes_per_transfer']:.0f})"
        )

    async def _reads(self, ledger: Ledger, charts: Charts) -> None:
        """Time pages of 50 entries, first and deep, and balances as of random instants."""
        book, accounts = BookId(charts.large), charts.large_accounts
        pages: list[float] = []
        deep: list[float] = []
        balances: list[float] = []
        since = (await ledger.accounts.book("large")).created_at
        span = ledger.clock.now() - since
        for i in range(self.sizes.reads):
            account = AccountId(accounts[(i * 37) % len(accounts)])
            page = await _timed(pages, ledger.reading.statement(book, account))
            if page.next_before is not None:
                await _timed(deep, ledger.reading.statement(book, account, before=page.next_before))
            await _timed(
                balances, ledger.reading.balance_at(book, account, since + span * (i / self.sizes.reads))
            )
        hot: list[float] = []
        for _ in range(20):
            await _timed(hot, ledger.reading.statement(book, AccountId(charts.striped)))
        for name, times in (
            ("statement_ms", pages),
            ("statement_second_page_ms", deep or pages),
            ("statement_hot_ms", hot),
            ("balance_at_ms", balances),
        ):
            self.figures[name] = statistics.median(times)
            self.figures[name.replace("_ms", "_p99_ms")] = sorted(times)[int(0.99 * len(times))]
        self.say(
            f"  statement page of 50             {self.figures['statement_ms']:>10.2f} ms  (hot account "
            f"{self.figures['statement_hot_ms']:.2f} ms), balance as of an instant {self.figures['balance_at_ms']:.2f} ms"
        )


async def _worker(spec: Spec) -> dict[str, Any]:
    """Run one load process and return what it printed."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tongbao.bench.ledger_load",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await child.communicate(msgspec.json.encode(spec))
    if child.returncode:
        raise InvariantBroken("bench_worker_failed", errors.decode(errors="replace")[-2_000:])
    found: dict[str, Any] = json.loads(out)
    return found


async def _timed(times: list[float], read: Awaitable[Any]) -> Any:
    began = time.perf_counter()
    answer = await read
    times.append((time.perf_counter() - began) * 1e3)
    return answer


async def _count(database: Database) -> int:
    async with database.connection() as connection:
        count: int = await connection.fetchval("SELECT count(*) FROM ledger.transfer")
    return count


def _charts(sizes: Sizes, large: int, small: list[int], striped: int) -> Charts:
    """Return the ids that ``_FILL`` gave: account 0 of each book is its equity."""
    per_book = range(1, sizes.accounts // sizes.books + 1)
    return Charts(
        large,
        [_STRIDE + i for i in range(1, sizes.accounts + 1)],
        small,
        [[(at + 2) * _STRIDE + i for i in per_book] for at in range(len(small))],
        striped,
    )


async def _endow(ledger: Ledger, charts: Charts) -> None:
    """Give every account a balance that no row of the benchmark uses up."""
    pairs = [(charts.large, _STRIDE, account) for account in charts.large_accounts]
    for book, accounts in zip(charts.small, charts.small_accounts, strict=True):
        pairs += [(book, account // _STRIDE * _STRIDE, account) for account in accounts]
    transfers = [
        Transfer(
            key=ledger.ids.uuid(),
            book_id=BookId(book),
            debit_account_id=AccountId(equity),
            credit_account_id=AccountId(account),
            amount_minor=_ENDOWMENT_MINOR,
            asset_id=CNY,
            code="bench.endowment",
        )
        for book, equity, account in pairs
    ]
    for start in range(0, len(transfers), BULK_SIZE_MAX):
        await ledger.posting.post(transfers[start : start + BULK_SIZE_MAX])
