"""The work of a day in the clearing drill: record, cut, price, pay, take files in, reconcile, post what channels paid.

Whoever does it begins at the beginning and goes on until nothing is left to do; the drill kills one process in the middle of it
and lets another do it again. Run as ``python -m tongbao.bench.clearing_drill_work``: a nursery of such processes, which reads one
order a line, answers each with the number of a process that has begun with it, and with how it ended once it has.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import date, datetime
from pathlib import Path

import msgspec

from tongbao.bench.clearing_drill_bank import BankWay
from tongbao.bench.clearing_drill_terms import BANK_OF, RUNS, ZONE
from tongbao.channels.service.banks import Banks
from tongbao.clearing.service.channel_money import ChannelMoney
from tongbao.clearing.service.house import ClearingHouse, Purse
from tongbao.clearing.service.house_money import HouseMoney
from tongbao.clearing.service.intake import Taken
from tongbao.clearing.service.paying import Paying
from tongbao.clearing.service.sellers import Known, KnownSellers
from tongbao.core.clock import Clock, FrozenClock
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest, InvariantBroken
from tongbao.core.events.delivery import Delivery
from tongbao.core.events.relay import Relay
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.ledger.service.ledger import Ledger
from tongbao.payments.service.secret_keys import open_box

ACTOR = "job:drill"
LEASE_S = 0.2
"""So soon another process records on where one was killed."""
STEPS_MAX = 10_000
_FINGERPRINT_KEY = b"a drill needs no secret of this "


class Arrived(msgspec.Struct, frozen=True):
    """A file that somebody sent: where it lies, and who sent it."""

    path: str
    source: str


class Order(msgspec.Struct, frozen=True):
    """A day's work: when it is, up to which day is reconciled, and which files came."""

    now: datetime
    until_on: date
    files: tuple[Arrived, ...] = ()


class Place(msgspec.Struct, frozen=True):
    """Where the work is done: the database, and the folder in which banks and keys lie."""

    dsn: str
    folder: str


class Work:
    """One process's hands. What it does may be repeated by anybody at any time."""

    def __init__(self, place: Place, database: Database, ledger: Ledger, clock: Clock) -> None:
        metrics = Metrics()
        folder = Path(place.folder)
        self.banks = {
            name: BankWay(name, frozenset({currency}), folder / "banks", ZONE)
            for currency, name in BANK_OF.items()
        }
        box = open_box(folder / "box.key")
        self.house = ClearingHouse(
            database,
            ledger,
            clock,
            metrics,
            sellers=KnownSellers(_known, clock),
            purse=Purse(Banks([]), box, _FINGERPRINT_KEY),
        )
        self._money = ChannelMoney(database, ledger, clock, HouseMoney(ledger))
        self._paying = Paying(
            database,
            ledger,
            clock,
            ledger.ids,
            box=box,
            banks=self.banks,
            settling=self.house.settling,
            destinations=self.house.destinations,
            metrics=metrics,
        )
        self._relay = Relay(database, clock, metrics)
        self._delivery = Delivery(
            database, self.house.recording.subscription(), clock, ledger.ids, metrics, lease_s=LEASE_S
        )

    async def prepare(self) -> None:
        """Make ready what one process alone makes ready."""
        await self._relay.prepare()

    async def day(self, order: Order) -> list[Taken | None]:
        """Do a day's work from its beginning to its end; return what became of each file, None where it was refused."""
        await self.settle()
        await self.pay()
        taken = [await self._take(each) for each in order.files]
        for source in RUNS:
            await self.house.reconciling.run(source, order.until_on, ACTOR)
        await self._until_done(self._money.step)
        await self.pay()
        return taken

    async def settle(self) -> None:
        """Record what was committed, then cut, price and approve what is due."""
        await self._relay.place_all()
        for _ in range(STEPS_MAX):
            done = await self._delivery.step()
            if done == 0:
                break
            if done is None:
                await asyncio.sleep(LEASE_S / 4)
        await self._until_done(self.house.settling.step)

    async def pay(self) -> None:
        """Make, send and follow payouts until nothing is due."""
        await self._until_done(self._paying.step)

    async def close(self) -> None:
        """Hand the place of the recording back."""
        await self._delivery.close()

    async def _take(self, file: Arrived) -> Taken | None:
        terms = await self.house.intake.source(file.source)
        try:
            return await self.house.intake.take(Path(file.path), terms, ACTOR)
        except InvalidRequest:
            return None

    async def _until_done(self, step: Callable[[], Awaitable[int]]) -> None:
        for _ in range(STEPS_MAX):
            if not await step():
                return
        raise InvariantBroken("drill_endless", f"{step} never comes to its end")


async def _known(book_id: int) -> Known:
    """Every merchant is a shop in China with the basic package."""
    del book_id
    return Known("CN", "basic", "5499")


@contextlib.asynccontextmanager
async def opened(place: Place, clock: Clock) -> AsyncIterator[Work]:
    """Open what a process of workers opens."""
    ids = IdFactory(clock)
    async with (
        Database(place.dsn, pool_size=4) as database,
        Ledger(database, clock, Metrics(), ids) as ledger,
    ):
        work = Work(place, database, ledger, clock)
        async with work.house:
            await work.prepare()
            yield work


def main() -> None:
    """Read the place, then orders; each is done by a process of its own, which may be killed."""
    lines = iter(sys.stdin.readline, "")
    place = msgspec.json.decode(next(lines), type=Place)
    for line in lines:
        order = msgspec.json.decode(line, type=Order)
        # Nothing runs here beside this loop: a child begins with no thread and no connection of its parent.
        child = os.fork()
        if not child:
            _work(place, order)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"ended {os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _work(place: Place, order: Order) -> None:
    """Do an order and end the process, whatever happens."""
    code = 1
    try:
        asyncio.run(_worked(place, order))
        code = 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


async def _worked(place: Place, order: Order) -> None:
    async with opened(place, FrozenClock(order.now)) as work:
        sys.stdout.write(f"begun {os.getpid()}\n")
        sys.stdout.flush()
        await work.day(order)
        await work.close()


if __name__ == "__main__":
    main()
