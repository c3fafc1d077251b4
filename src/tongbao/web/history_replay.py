"""Replaying a purchase history: a house of its own in another process, days of orders paid at it, and books compared.

The sum over the file is made by ``histories.independent``, that of the ledger by the house from its books; neither knows
the other, and both should be equal to the unit.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path
from typing import TypeVar

import msgspec

from tongbao.core.config import Settings
from tongbao.core.errors import InvalidRequest, Unavailable
from tongbao.simulator.histories import independent, planning
from tongbao.simulator.histories.schema import Order
from tongbao.simulator.histories.taking_in import History
from tongbao.simulator.sandbox_routes import CARD_CURRENCIES
from tongbao.web.history_replay_house import (
    LINE_BYTES_MAX,
    Failed,
    Opened,
    Opening,
    Proved,
    Proving,
    Turn,
    Turned,
)
from tongbao.web.history_replay_paying import LANES_MAX, Outcome, Paid, Paying

STOP_S_MAX = 120.0
DAY = timedelta(days=1)
T = TypeVar("T", Opened, Turned, Proved)
Told = Callable[[date, int], None]


class How(msgspec.Struct, frozen=True, kw_only=True):
    """How a history is replayed. ``orders``: at most so many; ``began_on``: its first day; ``settles``: with clearing each day."""

    settings: Settings
    lanes: int = 64
    seed: int = 20
    orders: int | None = None
    began_on: date | None = None
    settles: bool = False


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay came to. Amounts are minor units of ``currency``; ``seconds`` are of paying and turning days alone.

    ``house_cpu_ms``: what the process of the house used of a processor for each payment meanwhile, its database apart.
    """

    currency: str
    orders: int
    payments: int
    approved: int
    declined: int
    held: int
    unresolved: int
    refused: int
    approval: float | None
    seconds: float
    payments_per_s: float
    house_cpu_ms: float
    lanes: int
    refused_lines: int
    orders_empty: int
    orders_incomplete: int
    stores: int
    customers: int
    days: int
    moved_days: int
    file_sum_minor: int
    ledger_sum_minor: int
    equal: bool
    trial_balance_zero: bool
    seals_verified: bool
    books: int
    repeats: int
    reasons: dict[str, int]
    rounds_failed: dict[str, int]


class House:
    """The house of a replay in a process of its own; see ``history_replay_house``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, order: Opening | Turn | Proving, kind: type[T]) -> T:
        """Give an order and return the answer.

        Raises Unavailable ``history_house_refused``, which tells why, or ``history_house_ended`` where it is gone.
        """
        given, taken = self._process.stdin, self._process.stdout
        assert given is not None
        assert taken is not None
        try:
            given.write(msgspec.json.encode(order) + b"\n")
            await given.drain()
            line = await taken.readline()
        except ConnectionError:
            line = b""
        if not line:
            raise Unavailable(
                "history_house_ended", "the process of the house has ended; its errors are above"
            )
        answer = msgspec.json.decode(line, type=Opened | Turned | Proved | Failed)
        if isinstance(answer, Failed):
            raise Unavailable("history_house_refused", f"{answer.code}: {answer.detail}")
        assert isinstance(answer, kind)
        return answer


async def replay_history(
    path: Path, history: History, how: How, told: Told = lambda _day, _payments: None
) -> Figures:
    """Pay every order of a history at a new house, prove its books and compare them with the file.

    ``told`` hears the day and how many payments were made. Raises InvalidRequest ``history_currency_unsupported``,
    ``history_lanes_invalid`` and what planning raises; Unavailable where the house does not open.
    """
    check(how, history.terms.currency)
    moved = planning.moved_by(history.orders[0].at, how.began_on)
    numbers = {store: number for number, store in enumerate(history.stores)}
    shops = tuple(
        planning.merchant(number, store, history.terms.currency) for store, number in numbers.items()
    )
    begins_at = _midnight((history.orders[0].at + moved).date())
    dsn = how.settings.database_url
    opening = Opening(
        home=str(how.settings.data_dir.absolute()),
        dsn=None if dsn is None else dsn.get_secret_value(),
        port=how.settings.http_port,
        seed=how.seed,
        at=begins_at,
        shops=shops,
    )
    async with _house() as house:
        opened = await house.ask(opening, Opened)
        paying = Paying(opened.base_url, opened.keys, numbers, history.terms.currency, how.seed)
        try:
            began = time.perf_counter()
            days = planning.days(history.orders, moved, how.orders)
            lived, ends_at, cpu_s = await _live(house, paying, days, how, told)
            seconds = time.perf_counter() - began
            await paying.read_again(ends_at)
            proved = await house.ask(Proving(settles=how.settles), Proved)
        finally:
            await paying.close()
    sum_minor = await asyncio.to_thread(
        independent.sum_minor,
        path,
        history.terms.columns,
        history.terms.exponent,
        paying.paid.approved,
        history.delimiter,
    )
    return _figures(
        history, how, (lived, moved.days, seconds, cpu_s - opened.cpu_s), paying.paid, (sum_minor, proved)
    )


async def _live(
    house: House, paying: Paying, days: Iterable[tuple[date, list[Order]]], how: How, told: Told
) -> tuple[int, datetime, float]:
    """Live through the days; return how many had orders, when the last one was over, and the house's CPU seconds."""
    count, made, ends_at = 0, 0, datetime.min.replace(tzinfo=UTC)
    for day, orders in days:
        told(day, made)
        await house.ask(Turn(at=_midnight(day), settles=how.settles), Turned)
        await paying.pay_all(orders, how.lanes)
        count, made, ends_at = count + 1, made + len(orders), _midnight(day) + DAY
    told(ends_at.date(), made)
    turned = await house.ask(Turn(at=ends_at, settles=how.settles), Turned)
    return count, ends_at, turned.cpu_s


@asynccontextmanager
async def _house() -> AsyncIterator[House]:
    """Run a house in a process of its own; the end of its input ends it, in order."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tongbao.web.history_replay_house",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_BYTES_MAX,
        # Ctrl-C is for whoever replays; the house closes when its orders end.
        start_new_session=True,
    )
    try:
        yield House(process)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(STOP_S_MAX):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def check(how: How, currency: str) -> None:
    """Raise InvalidRequest ``history_currency_unsupported`` or ``history_lanes_invalid`` for what cannot be replayed."""
    if currency not in CARD_CURRENCIES:
        takes = ", ".join(CARD_CURRENCIES)
        raise InvalidRequest(
            "history_currency_unsupported", f"no acquirer takes {currency[:8]}; they take {takes}"
        )
    if not 1 <= how.lanes <= LANES_MAX:
        raise InvalidRequest("history_lanes_invalid", f"a history is replayed over 1 to {LANES_MAX} lanes")


def _figures(
    history: History, how: How, lived: tuple[int, int, float, float], paid: Paid, sums: tuple[int, Proved]
) -> Figures:
    days, moved_days, seconds, cpu_s = lived
    sum_minor, proved = sums
    counts, outcomes = history.counts, paid.outcomes
    payments = outcomes.total() - outcomes[Outcome.REFUSED]
    return Figures(
        currency=history.terms.currency,
        orders=counts.orders,
        payments=payments,
        approved=outcomes[Outcome.APPROVED],
        declined=outcomes[Outcome.DECLINED],
        held=outcomes[Outcome.HELD],
        unresolved=outcomes[Outcome.UNRESOLVED],
        refused=outcomes[Outcome.REFUSED],
        approval=round(outcomes[Outcome.APPROVED] / payments, 4) if payments else None,
        seconds=round(seconds, 3),
        payments_per_s=round(payments / seconds, 2),
        house_cpu_ms=round(1_000 * cpu_s / payments, 3) if payments else 0.0,
        lanes=how.lanes,
        refused_lines=counts.refused_lines,
        orders_empty=counts.orders_empty,
        orders_incomplete=counts.orders_incomplete,
        stores=counts.stores,
        customers=counts.customers,
        days=days,
        moved_days=moved_days,
        file_sum_minor=sum_minor,
        ledger_sum_minor=proved.captured_minor,
        equal=sum_minor == proved.captured_minor,
        trial_balance_zero=proved.trial_balance_zero,
        seals_verified=proved.seals_verified,
        books=proved.books,
        repeats=paid.repeats,
        reasons=dict(paid.reasons.most_common()),
        rounds_failed=proved.rounds_failed,
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time_of_day(), UTC)
