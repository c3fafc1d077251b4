"""The house of a replayed history, a process of its own: ``python -m tongbao.web.history_replay_house``.

It reads one JSON order a line from standard input and answers each with one line; who drives it pays over its port and shares
nothing else with it. The end of its input closes everything. Orders: ``Opening`` first, then ``Turn`` between days, ``Proving``.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec
import uvloop

from tongbao.core.errors import AppError
from tongbao.core.logs import configure_logs
from tongbao.core.process import settle_garbage_collector
from tongbao.ledger.schema import BookId, TrialBalanceLine
from tongbao.simulator.city.schema import Shop
from tongbao.web.city_house import KEYS_FILE, City, city_settings, open_city
from tongbao.web.city_living import prove_books
from tongbao.web.city_shops import keys_of, open_shops

LINE_BYTES_MAX = 16 * 1024 * 1024
STEPS_MAX = 100_000
DAILY = ("partitions", "sweeper", "resolver", "challenges")
"""Loops of a house that payments cannot do without for longer than a day."""
CAPTURED = "in_transit"
"""The account that every captured payment credits; what is settled, refunded or disputed debits it."""


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """Open a house over an empty folder, or the empty database of ``dsn``, with these merchants, at an instant."""

    home: str
    dsn: str | None
    port: int
    seed: int
    at: datetime
    shops: tuple[Shop, ...]


class Turn(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Let it be ``at``, with everything read that happened before; with ``settles`` with everything done that was due."""

    at: datetime
    settles: bool


class Proving(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Seal, prove and add up the books."""

    settles: bool


class Opened(msgspec.Struct, frozen=True, tag=True):
    """Where the house is, the secret keys of its merchants by number, and processor seconds that opening took."""

    base_url: str
    cpu_s: float
    keys: dict[int, str]


class Turned(msgspec.Struct, frozen=True, tag=True):
    """The day was turned. ``cpu_s``: what the house has used of processors so far, seconds."""

    cpu_s: float


class Proved(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What the books say. ``captured_minor``: credited to the merchants for captures, in minor units."""

    captured_minor: int
    books: int
    trial_balance_zero: bool
    seals_verified: bool
    rounds_failed: dict[str, int]


class Failed(msgspec.Struct, frozen=True, tag=True):
    """Why an order was refused; the house closes."""

    code: str
    detail: str


class _Turning:
    """Does what a house does by itself, when it is told to."""

    def __init__(self, city: City, book_ids: Sequence[int]) -> None:
        self._city = city
        self._book_ids = book_ids
        self._loops = [work for name, _, work in city.workers.loops if name in DAILY]

    async def turn(self, turn: Turn) -> Turned:
        """Go on to an instant. Without settling facts are delivered, and only what cannot wait is done."""
        if turn.settles:
            await self._city.work.reach(turn.at)
            return Turned(time.process_time())
        await self._deliver()
        if turn.at > self._city.clock.now():
            self._city.clock.go_to(turn.at)
        for work in self._loops:
            await work()
        await self._deliver()
        return Turned(time.process_time())

    async def prove(self, proving: Proving) -> Proved:
        """Let everything come to its end, and prove the books."""
        if proving.settles:
            await self._city.work.finish()
        await self._deliver()
        books, is_sound = await prove_books(self._city.house)
        reading = self._city.house.runtime.ledger.reading
        captured = 0
        for book_id in self._book_ids:
            lines = await reading.trial_balance(BookId(book_id))
            captured += sum(line.credits_minor for line in lines if line.account_code == CAPTURED)
        return Proved(
            captured_minor=captured,
            books=books,
            trial_balance_zero=_is_zero(await reading.trial_balance()),
            seals_verified=is_sound,
            rounds_failed=dict(sorted(self._city.work.failures.items())),
        )

    async def _deliver(self) -> None:
        """Let everything that reads facts read them, and what comes of it, until nothing is new."""
        city = self._city
        await city.work.quiet()
        for _ in range(STEPS_MAX):
            placed = await city.events.relay.place_all()
            stepped = [await each.step() for each in city.events.deliveries]
            if not (placed or any(stepped)):
                break
        await city.house.routing.catch_up()
        await city.house.risk.catch_up()


async def serve(opening: Opening, orders: asyncio.StreamReader) -> None:
    """Keep a house open and do what is ordered until the orders end."""
    settings = city_settings(Path(opening.home), opening.port, opening.dsn)
    async with open_city(settings, opening.seed, opening.at, opening.shops) as city:
        for name in city.sandbox.acquirers:
            # Prices of a till are no script: no amount means a fault here.
            habits = city.sandbox.behavior.habits(name)
            city.sandbox.behavior.set(name, msgspec.structs.replace(habits, magic_amounts=False))
        shops = await open_shops(city.house.parties, opening.shops, settings.data_dir / KEYS_FILE)
        settle_garbage_collector()
        _answer(Opened(city.house.base_url, time.process_time(), keys_of(shops)))
        turning = _Turning(city, [each.book_id for each in shops.values()])
        while line := await orders.readline():
            order = msgspec.json.decode(line, type=Turn | Proving)
            _answer(await (turning.turn(order) if isinstance(order, Turn) else turning.prove(order)))


async def _main() -> None:
    orders = asyncio.StreamReader(limit=LINE_BYTES_MAX)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(orders), sys.stdin
    )
    try:
        await serve(msgspec.json.decode(await orders.readline(), type=Opening), orders)
    except AppError as error:
        _answer(Failed(error.code, error.detail))


def _answer(answer: Opened | Turned | Proved | Failed) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


def _is_zero(lines: Sequence[TrialBalanceLine]) -> bool:
    """Return whether debits equal credits in every currency."""
    left: dict[str, int] = {}
    for line in lines:
        left[line.asset] = left.get(line.asset, 0) + line.debits_minor - line.credits_minor
    return not any(left.values())


def main() -> None:
    """Be the house until standard input ends."""
    configure_logs("ERROR", False)
    for chatty in ("sqlalchemy", "alembic", "uvicorn"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    uvloop.run(_main())


if __name__ == "__main__":
    main()
