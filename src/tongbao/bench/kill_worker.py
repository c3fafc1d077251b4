"""The processes of the kill drill: API workers that post and remember, and a sealer. See ``bench.kill``.

Run as ``python -m tongbao.bench.kill_worker worker|sealer DSN FILE ...``. What a worker sends and every answer
goes to its file by one unbuffered append each, so that the file says the truth when the process is killed.
"""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import msgspec

from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.errors import AppError, OutcomeUnknown, Unavailable
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.ledger.schema import Account, BookId, Kind, PostResult, Transfer, capture, linked, reversal, void
from tongbao.ledger.service.ledger import Ledger

AMOUNT_MINOR_MAX = 400
REPEATED_SHARE = 0.05
RETRY_PAUSE_S = 0.05
EXPIRE_PAUSE_S = 0.3
SEAL_PAUSE_S = 0.02
SAMPLE_EVERY_ROUNDS = 10
BEGIN_S_MAX = 30.0
WIND_DOWN_S = 45.0
"""How long after the load ends a worker may still repeat what was never answered."""


class Line(msgspec.Struct, array_like=True):
    """One line of a worker's file: what was sent, an answer, a repeated answer, or an unexpected error."""

    what: str
    sent: list[Transfer] = []
    answers: list[PostResult] = []
    error: str = ""


class _Traffic:
    """Makes requests by chance: single transfers, balancing ones, linked groups, holds and what follows them."""

    def __init__(self, rng: random.Random, ids: IdFactory, accounts: Sequence[Account], tag: str) -> None:
        self._rng = rng
        self._ids = ids
        self._accounts = [account.account_id for account in accounts]
        self._book_id = accounts[0].book_id
        self._asset_id = accounts[0].asset_id
        self._tag = tag
        self._count = 0
        self._holds: list[UUID] = []
        self._posted: list[UUID] = []

    def request(self, now: datetime) -> list[Transfer]:
        """Return the transfers of one new request."""
        chance = self._rng.random()
        if chance < 0.10:
            return linked([self._plain() for _ in range(self._rng.randint(2, 4))])
        if chance < 0.18:
            expires_at = (
                now + timedelta(seconds=self._rng.uniform(0.2, 2)) if self._rng.random() < 0.3 else None
            )
            return [msgspec.structs.replace(self._plain(), kind=Kind.HOLD, expires_at=expires_at)]
        if chance < 0.28 and self._holds:
            return [self._on_hold()]
        if chance < 0.30 and self._posted:
            original = self._posted.pop(self._rng.randrange(len(self._posted)))
            return [reversal(self._book_id, original, "reversed", reference=self._reference())]
        if chance < 0.36:
            return [msgspec.structs.replace(self._plain(), up_to=True)]
        return [self._plain()]

    def learn(self, sent: Sequence[Transfer], answers: Sequence[PostResult]) -> None:
        """Remember what later requests may refer to."""
        for transfer, answer in zip(sent, answers, strict=True):
            if not answer.accepted:
                continue
            if transfer.kind is Kind.HOLD:
                self._holds.append(transfer.key)
            elif transfer.kind is Kind.PLAIN and len(self._posted) < 100:
                self._posted.append(transfer.key)

    def _on_hold(self) -> Transfer:
        hold = self._rng.choice(self._holds)
        chance = self._rng.random()
        key, reference = self._ids.uuid(), self._reference()
        if chance < 0.4:
            return capture(
                key, self._book_id, hold, self._rng.randint(1, 150), "captured", reference=reference
            )
        if chance < 0.7:
            return capture(key, self._book_id, hold, 0, "captured", final=True, reference=reference)
        return void(key, self._book_id, hold, "voided", reference=reference)

    def _plain(self) -> Transfer:
        debit, credit = self._rng.sample(self._accounts, 2)
        return Transfer(
            key=self._ids.uuid(),
            book_id=self._book_id,
            debit_account_id=debit,
            credit_account_id=credit,
            amount_minor=self._rng.randint(1, AMOUNT_MINOR_MAX),
            asset_id=self._asset_id,
            code="drill",
            reference=self._reference(),
        )

    def _reference(self) -> str:
        self._count += 1
        return f"{self._tag}-{self._count}"


class _Worker:
    """One API process: clients that post until the time is up and repeat until they are answered."""

    def __init__(self, log: Path, seconds: float, seed: int) -> None:
        self._file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._seconds = seconds
        self._end = time.monotonic() + BEGIN_S_MAX + seconds
        self._give_up = self._end + WIND_DOWN_S
        self._begun = False
        self._rng = random.Random(seed)
        self._tag = log.stem
        self._clock = RealClock()

    async def work(self, dsn: str, book_id: BookId, client_count: int) -> None:
        """Post until the time is up; open the ledger again as often as that takes."""
        while time.monotonic() < self._give_up:
            try:
                async with Database(dsn, pool_size=3) as database:
                    ids = IdFactory(self._clock)
                    async with Ledger(database, self._clock, Metrics(), ids, retry_s=2.0) as ledger:
                        accounts = await ledger.accounts.accounts(book_id, limit=500)
                        used = [account for account in accounts if account.code != "equity"]
                        traffic = _Traffic(self._rng, ids, used, self._tag)
                        self._begin()
                        clients = [self._client(ledger, traffic) for _ in range(client_count)]
                        await asyncio.gather(self._expire(ledger), *clients)
                        return
            except (Unavailable, OutcomeUnknown):
                await asyncio.sleep(RETRY_PAUSE_S)

    def _begin(self) -> None:
        """Let the time run from the moment when the ledger is open."""
        if not self._begun:
            self._begun = True
            self._end = time.monotonic() + self._seconds
            self._give_up = self._end + WIND_DOWN_S

    async def _client(self, ledger: Ledger, traffic: _Traffic) -> None:
        while time.monotonic() < self._end:
            sent = traffic.request(self._clock.now())
            self._note(Line("sent", sent))
            answers = await self._insist(ledger, sent)
            self._note(Line("answered", sent, answers))
            traffic.learn(sent, answers)
            if all(answer.accepted for answer in answers) and self._rng.random() < REPEATED_SHARE:
                again = await self._insist(ledger, sent)
                self._note(Line("repeated", sent, again))

    async def _insist(self, ledger: Ledger, sent: list[Transfer]) -> list[PostResult]:
        while time.monotonic() < self._give_up:
            try:
                return await ledger.posting.post(sent)
            except (Unavailable, OutcomeUnknown):
                await asyncio.sleep(RETRY_PAUSE_S)
            except AppError as error:
                self._note(Line("failed", sent, error=str(error)))
                raise
        raise Unavailable("drill_unanswered", "the drill ended before every request was answered")

    async def _expire(self, ledger: Ledger) -> None:
        while time.monotonic() < self._end:
            with suppress(Unavailable, OutcomeUnknown):
                await ledger.posting.expire_due_holds()
            await asyncio.sleep(EXPIRE_PAUSE_S)

    def _note(self, line: Line) -> None:
        os.write(self._file, msgspec.json.encode(line) + b"\n")


async def _seal(dsn: str, log: Path) -> None:
    """Seal for ever and sample balances now and then; only a kill ends it."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    clock = RealClock()
    while True:
        try:
            async with Database(dsn, pool_size=2) as database:
                ledger = Ledger(database, clock, Metrics(), IdFactory(clock))
                for number in range(2**62):
                    count = await ledger.sealing.seal_round()
                    if number % SAMPLE_EVERY_ROUNDS == 0:
                        for finding in await ledger.verifying.verify_sample():
                            os.write(file, msgspec.json.encode(finding) + b"\n")
                    await asyncio.sleep(0 if count else SEAL_PAUSE_S)
        except (Unavailable, OutcomeUnknown):
            await asyncio.sleep(RETRY_PAUSE_S)


def _main(arguments: Sequence[str]) -> None:
    """Be one of the drill's processes."""
    # A drill that is interrupted takes its processes with it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    role, dsn, log, *rest = arguments
    if role == "worker":
        book_id, seconds, seed, client_count = rest
        worker = _Worker(Path(log), float(seconds), int(seed))
        asyncio.run(worker.work(dsn, BookId(int(book_id)), int(client_count)))
    else:
        asyncio.run(_seal(dsn, Path(log)))


if __name__ == "__main__":
    _main(sys.argv[1:])
