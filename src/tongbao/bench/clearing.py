"""``tongbao bench clearing``: a day of a large house, from files on disk to matches and breaks, and from movements to priced batches.

The books hold a million movements, the channel reports a million lines in a CSV with a few faults of every kind, its bank shows
the transfers. Beside it, in the same minutes, DuckDB joins the same two files by reference and writes the outcome: what a plain
join costs that keeps no state, counts nothing once, and explains nothing. Everything of ours is durable, and the database shares
the machine.
"""

import csv
import json
import random
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from tongbao.bench.clearing_batch import priced_batch
from tongbao.bench.ledger import Say, scratch_home
from tongbao.clearing.schema.breaks import BreakKind
from tongbao.clearing.schema.lines import CsvColumns, Format, Side, SourceTerms
from tongbao.clearing.schema.movements import Movement, MovementKind
from tongbao.clearing.service.intake import Intake
from tongbao.clearing.service.reconciling import Reconciling
from tongbao.clearing.service.working_days import working_day
from tongbao.core import migrate
from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.errors import InvariantBroken
from tongbao.core.ids import IdFactory

DATABASE = "clearing"
CHANNEL, BANK = "acquirer", "house_bank"
SEED = 7
BOOKS = 200
DAYS = 5
PER_TRANSFER = 2_000
FAULTS = 0.002
FIRST_DAY = date(2026, 11, 2)
UNTIL = FIRST_DAY + timedelta(days=DAYS + 7)
_COPIED = 20_000
_COLUMNS = CsvColumns(
    key=("id",),
    kind="kind",
    kinds={"sale": "sale", "refund": "refund", "transfer": "transfer"},
    currency="currency",
    gross="gross",
    fee="fee",
    net="net",
    reference="reference",
    channel_reference="id",
    batch="batch",
    occurred_at="time",
    amount_unit="minor",
)
_HEAD = ("id", "kind", "currency", "gross", "fee", "net", "reference", "batch", "time")
_PLAIN_JOIN = """
import json, resource, sys, time
import duckdb
ours, theirs, out = sys.argv[1:4]
began = time.perf_counter()
con = duckdb.connect()
con.execute("SET threads TO 2")
con.execute(f\"\"\"
COPY (
    SELECT coalesce(o.reference, t.reference) AS reference, o.amount, t.gross,
        CASE WHEN t.reference IS NULL THEN 'missing' WHEN o.reference IS NULL THEN 'unexpected'
             WHEN o.currency <> t.currency THEN 'currency' WHEN o.amount <> t.gross THEN 'amount' ELSE 'matched' END AS state
    FROM read_csv('{ours}') AS o FULL OUTER JOIN (SELECT * FROM read_csv('{theirs}') WHERE kind <> 'transfer') AS t
        ON o.reference = t.reference AND o.kind = t.kind
) TO '{out}' (FORMAT parquet)
\"\"\")
seconds = time.perf_counter() - began
matched = con.execute(f"SELECT count(*) FROM '{out}' WHERE state = 'matched'").fetchone()[0]
print(json.dumps({"s": seconds, "matched": matched, "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


class Sizes(msgspec.Struct, frozen=True):
    """How much: movements and lines, and payments of the one batch that is cut and priced."""

    lines: int
    batch: int


FULL = Sizes(1_000_000, 200_000)
QUICK = Sizes(100_000, 20_000)


async def run(sizes: Sizes, say: Say) -> dict[str, Any]:
    """Return the figures. Raises InvariantBroken ``bench_reconciliation_wrong`` where a fault was not found, or a match is false."""
    with scratch_home("tongbao-bench-") as home:
        server = EmbeddedServer(home, conf={"shared_buffers": "256MB", "max_wal_size": "4GB"})
        server.start()
        try:
            admin = await asyncpg.connect(server.dsn())
            await admin.execute(f"CREATE DATABASE {DATABASE}")
            await admin.close()
            await migrate.upgrade(server.dsn(DATABASE))
            async with Database(server.dsn(DATABASE), pool_size=4) as database:
                figures = await _Day(database, home.parent, sizes.lines, say).all()
                say(f"A batch of {sizes.batch:,} payments …")
                figures |= await priced_batch(database, sizes.batch)
        finally:
            server.stop()
    say(
        f"  {figures['lines']:,} lines in {figures['seconds_1m']:.1f} s a million, "
        f"{figures['ratio_to_plain_join'] or 0:.1f} times a plain join; "
        f"cut and priced in {figures['seconds_cut_200k']:.1f} s for 200,000"
    )
    return figures


class _Day:
    """One day's work: made, taken in, reconciled, and checked against what is known to be true."""

    def __init__(self, database: Database, folder: Path, count: int, say: Say) -> None:
        self._database = database
        self._folder = folder
        self._count = count
        self._say = say
        self._ids = IdFactory(RealClock())
        self._rng = random.Random(SEED)
        self._faults: Counter[str] = Counter()
        self._books = [self._ids.int63() for _ in range(BOOKS)]

    async def all(self) -> dict[str, Any]:
        """Make a day, work it off, and return the figures."""
        self._say(f"Books and files of {self._count:,} payments …")
        ours, theirs, bank = (self._folder / f"{name}.csv" for name in ("ours", "channel", "bank"))
        await self._make(ours, theirs, bank)
        intake = Intake(self._database, RealClock(), self._ids)
        reconciling = Reconciling(self._database, RealClock(), self._ids, working_day)
        for terms in (self._terms(CHANNEL, Side.CHANNEL), self._terms(BANK, Side.BANK)):
            await intake.agree(terms, "bench")
        took: dict[str, float] = {}
        began = time.perf_counter()
        for source, path in ((CHANNEL, theirs), (BANK, bank)):
            begun = time.perf_counter()
            taken = await intake.take(path, await intake.source(source), "bench")
            took[f"take_{source}_s"] = round(time.perf_counter() - begun, 2)
            if taken.file.problems:
                raise InvariantBroken("bench_reconciliation_wrong", f"{source}: {taken.file.problems}")
        runs = {}
        for source in (CHANNEL, BANK):
            begun = time.perf_counter()
            runs[source] = await reconciling.run(source, UNTIL, "bench")
            took[f"run_{source}_s"] = round(time.perf_counter() - begun, 2)
        seconds = time.perf_counter() - began
        rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024
        self._check(runs[CHANNEL].by_kind, runs[CHANNEL].matched_count)
        plain = self._plain(ours, theirs)
        reconciled = took["run_acquirer_s"] + took["run_house_bank_s"]
        return {
            "lines": self._count,
            "seconds_1m": round(seconds * 1_000_000 / self._count, 2),
            "reconciled_seconds_1m": round(reconciled * 1_000_000 / self._count, 2),
            "ratio_to_plain_join": None if plain is None else round(seconds / plain["s"], 2),
            "plain_join_s": None if plain is None else round(plain["s"], 2),
            "rss_mb": round(rss_mb),
            "auto_match": round(runs[CHANNEL].matched_count / runs[CHANNEL].expected_count, 5),
            "breaks": dict(runs[CHANNEL].by_kind),
            "steps": took,
        }

    def _terms(self, source: str, side: Side) -> SourceTerms:
        bank = BANK if side is Side.CHANNEL else ""
        return SourceTerms(
            source=source, side=side, format=Format.CSV, bank=bank, is_daily=False, columns=_COLUMNS
        )

    async def _make(self, ours: Path, theirs: Path, bank: Path) -> None:
        """Write the books, the files, and the journal's own file for the plain join; one pass, bounded memory."""
        names = Movement.__struct_fields__
        with (
            ours.open("w", newline="") as our_stream,
            theirs.open("w", newline="") as their_stream,
            bank.open("w", newline="") as bank_stream,
        ):
            our, their, shown = (csv.writer(stream) for stream in (our_stream, their_stream, bank_stream))
            our.writerow(("reference", "kind", "currency", "amount"))
            their.writerow(_HEAD)
            shown.writerow(_HEAD)
            rows: list[tuple[Any, ...]] = []
            batch = paid = 0
            for number, movement in enumerate(self._movements()):
                rows.append(tuple(getattr(movement, name) for name in names))
                kind = "sale" if movement.kind is MovementKind.SALE else "refund"
                our.writerow((movement.reference, kind, movement.currency, movement.amount_minor))
                lines = self._lines(movement, kind, f"set_{batch}")
                their.writerows(lines)
                paid += sum(line[5] for line in lines)
                if len(rows) == _COPIED:
                    await self._copy(names, rows)
                    rows = []
                if number % PER_TRANSFER == PER_TRANSFER - 1:
                    at = movement.occurred_at.isoformat()
                    their.writerow(
                        (f"tr_{batch}", "transfer", "CNY", paid, 0, paid, f"set_{batch}", f"set_{batch}", at)
                    )
                    shown.writerow((f"bk_{batch}", "transfer", "CNY", paid, 0, paid, f"set_{batch}", "", at))
                    batch, paid = batch + 1, 0
            if rows:
                await self._copy(names, rows)
        async with self._database.connection() as connection:
            await connection.execute("ANALYZE clearing.movement")

    async def _copy(self, names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
        async with self._database.connection() as connection:
            await connection.copy_records_to_table(
                "movement", schema_name="clearing", records=rows, columns=names
            )

    def _movements(self) -> Iterator[Movement]:
        rng = self._rng
        noon = datetime.combine(FIRST_DAY, datetime.min.time(), UTC)
        for _ in range(self._count):
            identity = self._ids.uuid()
            is_refund = rng.random() < 0.05
            amount = rng.randrange(100, 500_000)
            at = noon + timedelta(seconds=rng.randrange(DAYS * 86_400))
            yield Movement(
                id=identity,
                book_id=rng.choice(self._books),
                live=True,
                kind=MovementKind.REFUND if is_refund else MovementKind.SALE,
                transfer_key=identity,
                source_id=identity,
                intent_id=identity,
                channel=CHANNEL,
                method="card",
                currency="CNY",
                amount_minor=-amount if is_refund else amount,
                reference=f"{'re' if is_refund else 'pa'}_{identity.hex}",
                channel_reference=f"ch_{identity.hex}",
                occurred_at=at,
                recorded_at=at,
                cut_at=at + timedelta(days=1),
                payout_on=at.date() + timedelta(days=1),
            )

    def _lines(self, movement: Movement, kind: str, batch: str) -> list[tuple[Any, ...]]:
        """Return the lines that the channel reports of a movement; a few are wrong, and counted by the name of the fault."""
        amount = movement.amount_minor
        fee = abs(amount) * 60 // 10_000
        at = movement.occurred_at.isoformat()
        line = (
            movement.channel_reference,
            kind,
            "CNY",
            amount,
            fee,
            amount - fee,
            movement.reference,
            batch,
            at,
        )
        if self._rng.random() >= FAULTS:
            return [line]
        fault = self._rng.choice(("missing", "over", "under", "currency", "duplicate", "unexpected", "late"))
        match fault:
            case "missing":
                self._faults[BreakKind.MISSING] += 1
                return []
            case "over" | "under":
                step = abs(amount) // 2 + 1
                larger = (fault == "over") == (amount > 0)
                changed = amount + step if larger else amount - step
                self._faults[BreakKind.OVER_AMOUNT if fault == "over" else BreakKind.UNDER_AMOUNT] += 1
                return [(*line[:3], changed, fee, changed - fee, *line[6:])]
            case "currency":
                self._faults[BreakKind.CURRENCY_MISMATCH] += 1
                return [(*line[:2], "USD", *line[3:])]
            case "duplicate":
                self._faults[BreakKind.DUPLICATE] += 1
                return [line, (f"{line[0]}x", *line[1:])]
            case "unexpected":
                self._faults[BreakKind.UNEXPECTED] += 1
                other = UUID(int=self._rng.getrandbits(128)).hex[:26]
                return [line, (f"zz_{other[:20]}", *line[1:6], f"pa_{other}", *line[7:])]
            case _:
                self._faults[BreakKind.DATA_MISMATCH] += 1
                return [(*line[:8], (movement.occurred_at + timedelta(days=6)).isoformat())]

    def _check(self, found: dict[str, int], matched: int) -> None:
        """Compare a run with what was made: every fault by its name, and everything else matched."""
        wrong = sum(
            self._faults[each]
            for each in self._faults
            if each not in {BreakKind.DUPLICATE, BreakKind.UNEXPECTED}
        )
        if dict(found) != dict(self._faults) or matched != self._count - wrong:
            raise InvariantBroken(
                "bench_reconciliation_wrong", f"made {dict(self._faults)}, found {found}, matched {matched}"
            )

    def _plain(self, ours: Path, theirs: Path) -> dict[str, float] | None:
        """Join the same files with DuckDB in a process of its own; None where it is not installed."""
        command = [
            sys.executable,
            "-c",
            _PLAIN_JOIN,
            str(ours),
            str(theirs),
            str(self._folder / "joined.parquet"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own script and paths
        if done.returncode:
            self._say(f"  no plain join: {done.stderr.strip().splitlines()[-1]}")
            return None
        figures: dict[str, float] = json.loads(done.stdout)
        return figures
