"""The kill drill: processes and PostgreSQL are killed -9 under load, and afterwards the books must be right.

Several API processes post through the real ledger on a server of the drill's own; small balances with floors and
ceilings make limits bite. At seeded moments one process is killed, PostgreSQL is killed, the sealer is killed, and
a process together with PostgreSQL. Every request is repeated until it is answered; each process writes what it
sent and every answer to a file, one unbuffered append at a time, so that the file outlives it.

``KillReport.sound`` says that nothing acknowledged is missing, nothing is doubled, nothing refused was posted,
and that balances, holds, journal and seals agree. Requests of a killed process that were posted and never
answered are allowed: their owner would ask again by key. What this drill kills are processes, not power.
"""

import asyncio
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from tongbao.bench import kill_worker
from tongbao.bench.kill_worker import BEGIN_S_MAX, WIND_DOWN_S, Line
from tongbao.core import migrate
from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.ledger.schema import (
    AccountId,
    BookId,
    Kind,
    PostResult,
    Transfer,
)
from tongbao.ledger.service.ledger import Ledger
from tongbao.ledger.service.reading import unbalanced

BOOK = "drill"
ASSET = "CNY"
ACCOUNT_COUNT = 60
OPENING_MINOR = 5_000
CEILING_MINOR = 6_000
WORKER_COUNT = 3
CLIENT_COUNT = 64
POLL_S = 0.02
_ROWS = """
SELECT t.key, t.kind, t.debit_account_id, t.credit_account_id, t.amount_minor, t.requested_minor, t.reference,
    t.recorded_at
FROM ledger.transfer AS t WHERE t.book_id = $1
"""
_ROOM = """
SELECT min(b.credits_minor - b.debits_minor - b.debits_held_minor - b.floor_minor),
    min(b.ceiling_minor - b.credits_minor + b.debits_minor - b.credits_held_minor)
FROM ledger.balance AS b WHERE b.book_id = $1
"""
_HOLDS_OPEN = "SELECT count(*) FROM ledger.hold WHERE book_id = $1 AND state = 0"


class KillReport(msgspec.Struct, frozen=True):
    """What the drill found. The counts above ``sent`` must be zero, ``faults`` empty."""

    seed: int
    seconds: float
    acknowledged_missing: int
    acknowledged_differently: int
    doubled: int
    refused_yet_posted: int
    posted_never_sent: int
    repeats_differing: int
    unanswered_by_living: int
    sample_findings: int
    sent: int
    acknowledged: int
    posted: int
    refused: int
    posted_never_acknowledged: int
    repeats: int
    expired: int
    holds_open: int
    seal_count: int
    room_minor_min: int
    deadlocks: int
    kills: tuple[str, ...]
    restart_s: tuple[float, ...]
    refusals: dict[str, int]
    faults: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """True where nothing was lost, doubled or contradicted."""
        wrong = (
            self.acknowledged_missing,
            self.acknowledged_differently,
            self.doubled,
            self.refused_yet_posted,
            self.posted_never_sent,
            self.repeats_differing,
            self.unanswered_by_living,
            self.sample_findings,
        )
        return not any(wrong) and not self.faults


async def run(
    home: Path,
    *,
    seconds: float = 8.0,
    seed: int = 1,
    worker_count: int = WORKER_COUNT,
    client_count: int = CLIENT_COUNT,
) -> KillReport:
    """Run the drill in ``home``, a folder of its own, for ``seconds`` of load; return what was found.

    Takes some seconds longer than the load and at most ``WIND_DOWN_S`` more. Starts and ends its own server and
    processes; the folder may be deleted afterwards. Raises what the server's start raises.
    """
    server = EmbeddedServer(home / "postgres", conf={"shared_buffers": "128MB"})
    await asyncio.to_thread(server.start)
    try:
        dsn = server.dsn()
        await migrate.upgrade(dsn)
        book_id, equity = await _open_books(dsn)
        drill = _Drill(home, server, book_id, seconds, seed, client_count)
        try:
            await drill.load(worker_count)
        finally:
            drill.end_all()
        return await _judge(drill, equity)
    finally:
        await asyncio.to_thread(server.stop)


class _Drill:
    """The processes of one run and what was done to them."""

    def __init__(
        self,
        home: Path,
        server: EmbeddedServer,
        book_id: BookId,
        seconds: float,
        seed: int,
        client_count: int,
    ) -> None:
        self.server = server
        self.book_id = book_id
        self.seconds = seconds
        self.seed = seed
        self.rng = random.Random(seed)
        self.kills: list[str] = []
        self.restart_s: list[float] = []
        self.killed: set[Path] = set()
        self.logs: list[Path] = []
        self.faults: list[str] = []
        self.sample_log = home / "sample.log"
        self._home = home
        self._client_count = client_count
        self._workers: list[tuple[subprocess.Popen[bytes], Path]] = []
        self._sealer: subprocess.Popen[bytes] | None = None
        self._started: list[subprocess.Popen[bytes]] = []
        self._zero = 0.0

    async def load(self, worker_count: int) -> None:
        """Run the load, and kill as the seed tells."""
        for _ in range(worker_count):
            self._workers.append(self._start_worker())
        self._sealer = self._start_sealer()
        await asyncio.gather(*(_begin(log) for _, log in self._workers))
        self._zero = time.monotonic()
        moments = [self.rng.uniform(*span) for span in ((0.1, 0.25), (0.3, 0.45), (0.5, 0.6), (0.65, 0.8))]
        acts = (self._kill_worker, self._kill_server, self._kill_sealer, self._kill_worker_and_server)
        for share, act in zip(moments, acts, strict=True):
            at = self._zero + self.seconds * share
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            await act()
        await self._wind_down()

    def end_all(self) -> None:
        """End every process that was started here and is still alive."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.wait()

    async def _kill_worker(self) -> None:
        process, log = self._choose_worker()
        process.kill()
        self._replace(process, log)

    async def _kill_server(self) -> None:
        begun = time.monotonic()
        await asyncio.to_thread(self.server.kill)
        self.kills.append("postgres")
        await asyncio.to_thread(self.server.start)
        self.restart_s.append(round(time.monotonic() - begun, 2))

    async def _kill_sealer(self) -> None:
        if self._sealer is not None:
            self._sealer.kill()
            self._sealer.wait()
        self.kills.append("sealer")
        self._sealer = self._start_sealer()

    async def _kill_worker_and_server(self) -> None:
        process, log = self._choose_worker()
        process.kill()
        await self._kill_server()
        self._replace(process, log)

    def _choose_worker(self) -> tuple[subprocess.Popen[bytes], Path]:
        """Return a worker that is at work already: killing one that is still starting proves nothing."""
        return self.rng.choice([entry for entry in self._workers if _has_begun(entry[1])])

    def _replace(self, process: subprocess.Popen[bytes], log: Path) -> None:
        process.wait()
        self.killed.add(log)
        self.kills.append("worker")
        self._workers.remove((process, log))
        self._workers.append(self._start_worker())

    async def _wind_down(self) -> None:
        """Wait until every living worker has all its answers, then end the sealer."""
        left_s = self._zero + self.seconds + WIND_DOWN_S - time.monotonic()
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*(_end(process) for process, _ in self._workers)), left_s)
        for process, log in self._workers:
            if process.poll() is None:
                self.faults.append(f"{log.name} did not get its answers in {WIND_DOWN_S:.0f} s")
            elif process.returncode:
                self.faults.append(f"{log.name} ended with {process.returncode}: {_tail(log)}")
        if self._sealer is not None and self._sealer.poll() is not None:
            self.faults.append(f"the sealer ended with {self._sealer.returncode}: {_tail(self.sample_log)}")

    def _start_worker(self) -> tuple[subprocess.Popen[bytes], Path]:
        log = self._home / f"worker{len(self.logs)}.log"
        self.logs.append(log)
        left_s = self.seconds if not self._zero else max(0.5, self._zero + self.seconds - time.monotonic())
        seed = self.rng.getrandbits(32)
        options = (f"{left_s:.3f}", str(seed), str(self._client_count))
        return self._start("worker", log, str(self.book_id), *options), log

    def _start_sealer(self) -> subprocess.Popen[bytes]:
        return self._start("sealer", self.sample_log)

    def _start(self, role: str, log: Path, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", kill_worker.__name__, role, self.server.dsn(), str(log), *arguments]
        with log.with_suffix(".err").open("ab") as errors:
            process = subprocess.Popen(command, stdout=errors, stderr=errors, stdin=subprocess.DEVNULL)  # noqa: S603 - this very program
        self._started.append(process)
        return process


async def _end(process: subprocess.Popen[bytes]) -> None:
    """Wait until a process has ended, without a thread that would outlive a time-out."""
    while process.poll() is None:  # noqa: ASYNC110 - nothing here could set an event
        await asyncio.sleep(POLL_S)


def _has_begun(log: Path) -> bool:
    return log.exists() and log.stat().st_size > 0


async def _begin(log: Path) -> None:
    """Wait until a worker is at work; return also where it is not after ``BEGIN_S_MAX``, which the end tells."""
    give_up = time.monotonic() + BEGIN_S_MAX
    while not _has_begun(log) and time.monotonic() < give_up:  # noqa: ASYNC110 - the file is another process's
        await asyncio.sleep(POLL_S)


async def _open_books(dsn: str) -> tuple[BookId, AccountId]:
    """Open the book: limited accounts with money, some with ceilings, one striped; return its id and equity's."""
    clock = RealClock()
    ids = IdFactory(clock)
    async with Database(dsn) as database, Ledger(database, clock, Metrics(), ids) as ledger:
        book = await ledger.accounts.open_book(BOOK, "empty", "Kill drill")
        equity = await ledger.accounts.open_account(book.book_id, "equity", ASSET)
        await ledger.accounts.open_account(book.book_id, "striped", ASSET, striped=True)
        opening = []
        for number in range(ACCOUNT_COUNT):
            account = await ledger.accounts.open_account(
                book.book_id,
                f"a{number:02d}",
                ASSET,
                floor_minor=0,
                ceiling_minor=CEILING_MINOR if number % 5 == 0 else None,
            )
            opening.append(
                Transfer(
                    key=ids.uuid(),
                    book_id=book.book_id,
                    debit_account_id=equity.account_id,
                    credit_account_id=account.account_id,
                    amount_minor=OPENING_MINOR,
                    asset_id=account.asset_id,
                    code="opening",
                )
            )
        await ledger.posting.post(opening)
    return book.book_id, equity.account_id


async def _judge(drill: _Drill, equity: AccountId) -> KillReport:
    """Hold what the processes remember against what the books say."""
    clock = RealClock()
    async with (
        Database(drill.server.dsn()) as database,
        Ledger(database, clock, Metrics(), IdFactory(clock)) as ledger,
    ):
        await ledger.sealing.seal_all()
        proof = await ledger.verifying.verify(BOOK)
        drill.faults.extend(f"{found.what} {found.where}: {found.detail}" for found in proof.findings)
        lines = await ledger.reading.trial_balance(drill.book_id)
        drill.faults.extend(f"{asset} is out of balance by {by}" for asset, by in unbalanced(lines).items())
        owed = await ledger.accounts.account(drill.book_id, equity)
        if owed.posted_minor != -ACCOUNT_COUNT * OPENING_MINOR:
            drill.faults.append(f"equity stands at {owed.posted_minor}: money came or went")
        if proof.unsealed_count:
            drill.faults.append(f"{proof.unsealed_count} transfers were never sealed")
        async with database.connection() as connection:
            rows = await connection.fetch(_ROWS, drill.book_id)
            rooms = await connection.fetchrow(_ROOM, drill.book_id)
            holds_open = await connection.fetchval(_HOLDS_OPEN, drill.book_id)
    if min(rooms) < 0:
        drill.faults.append(f"a limited balance is {-min(rooms)} beyond its limit")
    memory = _Memory(drill)
    memory.compare(rows)
    return _report(drill, memory, proof.seal_count, holds_open, min(rooms))


class _Memory:
    """What the workers' files say, and how it compares with the journal."""

    def __init__(self, drill: _Drill) -> None:
        self.sent: dict[UUID, Transfer] = {}
        self.answers: dict[UUID, PostResult] = {}
        self.counts: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self._unanswered: set[UUID] = set()
        for log in drill.logs:
            self._read(log, killed=log in drill.killed, faults=drill.faults)

    def _read(self, log: Path, *, killed: bool, faults: list[str]) -> None:
        waiting: set[UUID] = set()
        for data in log.read_bytes().splitlines() if log.exists() else ():
            line = msgspec.json.decode(data, type=Line)
            keys = {transfer.key for transfer in line.sent}
            if line.what == "sent":
                waiting |= keys
                self.sent.update((transfer.key, transfer) for transfer in line.sent)
            elif line.what == "answered":
                waiting -= keys
                self._take(line.answers)
            elif line.what == "repeated":
                self._take_again(line.answers)
            else:
                faults.append(f"{log.name}: {line.error}")
        if not killed:
            self._unanswered |= waiting

    def _take(self, answers: Sequence[PostResult]) -> None:
        for answer in answers:
            self.answers[answer.key] = answer
            self.counts["accepted" if answer.accepted else "refused"] += 1
            if answer.refusal is not None:
                self.refusals[answer.refusal.value] += 1

    def _take_again(self, answers: Sequence[PostResult]) -> None:
        for answer in answers:
            first = self.answers[answer.key]
            same = (answer.amount_minor, answer.recorded_at) == (first.amount_minor, first.recorded_at)
            self.counts["repeats"] += 1
            self.counts["repeats_differing"] += not (same and answer.outcome == "exists")

    def compare(self, rows: Sequence[Any]) -> None:
        """Count what is missing, doubled, refused yet posted, or stands there without ever being sent."""
        keys = Counter(UUID(int=row["key"].int) for row in rows)
        references = Counter(row["reference"] for row in rows if row["reference"] is not None)
        self.counts["doubled"] = sum(n - 1 for n in keys.values()) + sum(n - 1 for n in references.values())
        for row in rows:
            self._compare(row)
        for key, answer in self.answers.items():
            self.counts["missing"] += answer.accepted and key not in keys
        self.counts["unanswered"] = len(self._unanswered)

    def _compare(self, row: Any) -> None:
        key = UUID(int=row["key"].int)
        sent, answer = self.sent.get(key), self.answers.get(key)
        if sent is None:
            # Opening balances, and expiries by the sweepers, are not in the files.
            self.counts["expired"] += row["kind"] == Kind.EXPIRY
            self.counts["never_sent"] += row["kind"] != Kind.EXPIRY and row["reference"] is not None
            return
        if not _says(sent, row):
            self.counts["differently"] += 1
        if answer is None:
            self.counts["never_acknowledged"] += 1
        elif not answer.accepted:
            self.counts["refused_yet_posted"] += 1
        elif (answer.amount_minor, answer.recorded_at) != (row["amount_minor"], row["recorded_at"]):
            self.counts["differently"] += 1


def _says(sent: Transfer, row: Any) -> bool:
    """Tell whether a journal row is what was sent."""
    if (sent.kind, sent.reference) != (row["kind"], row["reference"]):
        return False
    if sent.kind not in (Kind.PLAIN, Kind.HOLD):
        return sent.amount_minor in (0, row["amount_minor"])
    asked = row["requested_minor"] if sent.up_to else row["amount_minor"]
    sides = (row["debit_account_id"], row["credit_account_id"])
    return asked == sent.amount_minor and sides == (sent.debit_account_id, sent.credit_account_id)


def _report(
    drill: _Drill, memory: _Memory, seal_count: int, holds_open: int, room_minor_min: int
) -> KillReport:
    counts = memory.counts
    log = drill.server.status().log_file.read_bytes()
    sampled = drill.sample_log.read_bytes() if drill.sample_log.exists() else b""
    return KillReport(
        seed=drill.seed,
        seconds=drill.seconds,
        acknowledged_missing=counts["missing"],
        acknowledged_differently=counts["differently"],
        doubled=counts["doubled"],
        refused_yet_posted=counts["refused_yet_posted"],
        posted_never_sent=counts["never_sent"],
        repeats_differing=counts["repeats_differing"],
        unanswered_by_living=counts["unanswered"],
        sample_findings=sampled.count(b"\n"),
        sent=len(memory.sent),
        acknowledged=len(memory.answers),
        posted=counts["accepted"],
        refused=counts["refused"],
        posted_never_acknowledged=counts["never_acknowledged"],
        repeats=counts["repeats"],
        expired=counts["expired"],
        holds_open=holds_open,
        seal_count=seal_count,
        room_minor_min=room_minor_min,
        deadlocks=log.count(b"deadlock detected"),
        kills=tuple(drill.kills),
        restart_s=tuple(drill.restart_s),
        refusals=dict(memory.refusals),
        faults=tuple(drill.faults),
    )


def _tail(log: Path) -> str:
    """Return the end of what a process wrote to its error file."""
    return log.with_suffix(".err").read_text(errors="replace")[-600:]
