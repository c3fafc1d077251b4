"""Posting transfers: the ledger's only writer of balances and journal.

One lane per process gathers transfers and writes each batch in one transaction (``core.lane``). Any number of
processes post side by side; what keeps them apart are row locks taken in ascending account order, and stripes
for accounts without limits.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, KeysView, Sequence
from datetime import datetime
from uuid import UUID

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database, Failure, failure_of
from tongbao.core.errors import InvariantBroken, LimitExceeded, Unavailable
from tongbao.core.ids import derive
from tongbao.core.lane import Lane, LaneMetrics
from tongbao.core.metrics import Metrics
from tongbao.ledger import form, policy
from tongbao.ledger.schema import (
    BULK_SIZE_MAX,
    STRIPE_COUNT,
    AccountId,
    Address,
    BookId,
    HoldRow,
    JournalRow,
    Kind,
    Outcome,
    PostResult,
    Refusal,
    Transfer,
)
from tongbao.ledger.store import journal

EXPIRED_PER_SWEEP_MAX = 500
EXACT_BATCHES_AFTER_MISS_MAX = 16
DUPLICATE_RETRIES_MAX = 5
_EVERYTHING = None
_NOTHING: KeysView[AccountId] = dict[AccountId, object]().keys()


class _Miss(Exception):
    """The fast way does not apply to this batch: roll back and decide exactly. Never leaves this module."""


class Posting:
    """Posts transfers, one or many, single or linked; expires holds. One object per process."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        metrics: Metrics,
        *,
        lane_count: int = 2,
        batch_max: int = 4_000,
        queue_max: int = 20_000,
        retry_s: float = 10.0,
    ) -> None:
        self._clock = clock
        self._database = database
        self._first_stripe = os.getpid() * lane_count
        self._striped: set[AccountId] = set()
        self._turns = _Turns()
        self._exact_left = 0
        self._exact_run = 1
        self._ways = metrics.counter(
            "ledger_batches", "Batches by the way they were decided", labels=("way",)
        )
        self._outcomes = metrics.counter("ledger_transfers", "Transfers by outcome", labels=("outcome",))
        self._lane: Lane[Transfer, PostResult] = Lane(
            "ledger",
            self._write,
            self._connect,
            metrics=LaneMetrics(metrics),
            slots=lane_count,
            batch_max=batch_max,
            parcel_max=BULK_SIZE_MAX,
            queue_max=queue_max,
            retry_s=retry_s,
        )

    async def close(self) -> None:
        """Finish what waits and close the lane."""
        await self._lane.close()

    def post_one(self, transfer: Transfer) -> Awaitable[PostResult]:
        """Post one transfer; await what becomes of it, after COMMIT. Idempotent by its key.

        Raises Unavailable ``lane_full`` when too much waits, OutcomeUnknown when the database went away and
        did not come back: repeat with the same key.
        """
        if transfer.group_key is not None and transfer.group_key != transfer.key:
            return self._post_alone(transfer)
        return self._lane.submit_one(transfer)

    async def post(self, transfers: Sequence[Transfer]) -> list[PostResult]:
        """Post up to 8,000 transfers in one commit and return one result each, in order.

        Transfers are accepted or refused one by one, linked groups as a whole; a refusal never touches its
        neighbours. Idempotent by key, repeatable as a whole or in part (groups only as a whole).
        Raises LimitExceeded ``bulk_too_large``, and what ``post_one`` raises.
        """
        if len(transfers) > BULK_SIZE_MAX:
            raise LimitExceeded(
                "bulk_too_large", f"at most {BULK_SIZE_MAX} transfers a call", count=len(transfers)
            )
        misplaced = form.misplaced_in_groups(transfers)
        if not misplaced:
            return list(await self._lane.submit(transfers))
        sound = iter(await self._lane.submit([t for i, t in enumerate(transfers) if i not in misplaced]))
        return [_refused(t, misplaced[i]) if i in misplaced else next(sound) for i, t in enumerate(transfers)]

    @contextlib.asynccontextmanager
    async def joining(
        self, transfers: Sequence[Transfer], *, exactly: bool = False
    ) -> AsyncIterator["Joined"]:
        """Prepare to post ``transfers`` inside a transaction that the caller opens and commits within this block.

        For rooms above that write their own rows in the same commit. Batches of this process that touch the same
        accounts wait here for each other, until the block is left. Without ``exactly`` only a batch that fits as a
        whole is written, fast; with it each transfer is decided under locks, with a result of its own.
        """
        now = self._clock.now()
        referred = _referred(transfers)
        plan = None if exactly or referred else policy.plan_if_all_fit(transfers, {}, now)
        joined = Joined(self, transfers, plan, now, exactly=exactly)
        async with self._turns.take(plan.totals.keys() if plan else _EVERYTHING if transfers else _NOTHING):
            yield joined

    async def _write_joined(
        self, connection: Connection, transfers: Sequence[Transfer], plan: policy.Plan | None, now: datetime
    ) -> bool:
        """Write a batch by conditional updates in the caller's transaction; False where it must be rolled back."""
        if plan is None:
            holds = await journal.lock_holds(connection, _referred(transfers))
            plan = policy.plan_if_all_fit(transfers, holds, now)
            if plan is None:
                return False
        try:
            with _missing_on_duplicate():
                return await self._write_plan(
                    connection,
                    plan,
                    journal.copy_data(plan.rows),
                    self._first_stripe % STRIPE_COUNT,
                    checked=False,
                )
        except _Miss:
            return False

    async def _decide_joined(
        self, connection: Connection, transfers: Sequence[Transfer], now: datetime
    ) -> list[PostResult]:
        """Decide under locks and write what was accepted, in the caller's transaction."""
        stripe = self._first_stripe % STRIPE_COUNT
        plan = policy.decide(transfers, await self._view(connection, stripe, transfers), now)
        if plan.rows and not await self._write_plan(
            connection, plan, journal.copy_data(plan.rows), stripe, checked=True
        ):
            raise InvariantBroken("balance_missing", "an account vanished while it was locked")
        return plan.results

    async def _post_alone(self, transfer: Transfer) -> PostResult:
        return (await self.post([transfer]))[0]

    async def expire_due_holds(self) -> int:
        """Release holds whose time has come, at most 500 a call; return how many. Idempotent."""
        async with self._database.connection() as connection:
            due = await journal.due_holds(connection, self._clock.now(), EXPIRED_PER_SWEEP_MAX)
        if not due:
            return 0
        results = await self.post([_expiry(book_id, key) for book_id, key in due])
        return sum(1 for result in results if result.outcome is Outcome.POSTED)

    async def _connect(self) -> Connection:
        return await self._database.dedicated("tongbao-ledger-lane", **journal.LANE_SETTINGS)

    async def _write(
        self, connection: Connection, slot: int, items: Sequence[Transfer]
    ) -> Sequence[PostResult]:
        """Write one batch in one transaction: the fast way, or exactly where that misses."""
        now = self._clock.now()
        stripe = (self._first_stripe + slot) % STRIPE_COUNT
        if self._exact_left:
            self._exact_left -= 1
        else:
            try:
                results = await self._write_fast(connection, stripe, items, now)
            except _Miss:
                # Batches like this one tend to follow: decide them exactly at once, trying again ever later.
                self._exact_left = self._exact_run
                self._exact_run = min(self._exact_run * 2, EXACT_BATCHES_AFTER_MISS_MAX)
            else:
                self._exact_run = 1
                self._ways.labels("fast").inc()
                self._outcomes.labels(Outcome.POSTED.value).inc(len(items))
                return results
        results = await self._write_exactly_once(connection, stripe, items, now)
        self._ways.labels("exact").inc()
        for result in results:
            self._outcomes.labels(result.outcome.value).inc()
        return results

    async def _write_fast(
        self, connection: Connection, stripe: int, items: Sequence[Transfer], now: datetime
    ) -> list[PostResult]:
        """Accept the whole batch by conditional updates alone; raise _Miss (rolled back) where that fails.

        A batch that refers to no hold is planned and encoded before it waits for its turn, so that this process
        works on the next batch while the database works on the last.
        """
        referred = _referred(items)
        plan = None if referred else policy.plan_if_all_fit(items, {}, now)
        if not referred and plan is None:
            raise _Miss
        data = journal.copy_data(plan.rows) if plan else b""
        accounts = plan.totals.keys() if plan else _EVERYTHING
        with _missing_on_duplicate():
            # BEGIN locks nothing and may go out early; COMMIT must come before the next batch's turn.
            async with _begun(connection) as commit, self._turns.take(accounts):
                if plan is None:
                    plan = policy.plan_if_all_fit(items, await journal.lock_holds(connection, referred), now)
                    if plan is None:
                        raise _Miss
                    data = journal.copy_data(plan.rows)
                if not await self._write_plan(connection, plan, data, stripe, checked=False):
                    raise _Miss
                await commit()
        posted = Outcome.POSTED
        return [PostResult(row.key, posted, row.amount_minor, now) for row in plan.rows]

    async def _write_exactly_once(
        self, connection: Connection, stripe: int, items: Sequence[Transfer], now: datetime
    ) -> list[PostResult]:
        """Decide exactly; where another process commits one of the keys meanwhile, look again and see it."""
        for _ in range(DUPLICATE_RETRIES_MAX):
            try:
                with _missing_on_duplicate():
                    return await self._write_exact(connection, stripe, items, now)
            except _Miss:
                continue
        raise Unavailable("keys_contended", "other processes keep posting the same keys; repeat later")

    async def _write_exact(
        self, connection: Connection, stripe: int, items: Sequence[Transfer], now: datetime
    ) -> list[PostResult]:
        """Lock and read everything that the batch names, decide in order, write what was accepted."""
        async with self._turns.take(_EVERYTHING), connection.transaction():
            view = await self._view(connection, stripe, items)
            plan = policy.decide(items, view, now)
            if plan.rows and not await self._write_plan(
                connection, plan, journal.copy_data(plan.rows), stripe, checked=True
            ):
                raise InvariantBroken("balance_missing", "an account vanished while it was locked")
        return plan.results

    async def _write_plan(
        self, connection: Connection, plan: policy.Plan, data: bytes, stripe: int, *, checked: bool
    ) -> bool:
        """Write totals, rows and holds of a plan; False where a conditional update did not apply."""
        striped = {i: total for i, total in plan.totals.items() if i in self._striped}
        plain = {i: total for i, total in plan.totals.items() if i not in striped} if striped else plan.totals
        if plain and not await journal.update_balances(connection, plain, checked=checked):
            return False
        if striped and not await journal.update_stripes(connection, striped, stripe, checked=checked):
            return False
        await journal.insert_copy(connection, data)
        if plan.holds:
            await journal.write_holds(connection, plan.holds.values())
        return True

    async def _view(self, connection: Connection, stripe: int, items: Sequence[Transfer]) -> policy.View:
        """Read, under lock where it matters, what the exact decision needs: holds first, then accounts."""
        items = [t for t in items if form.malformed(t) is None]
        on_holds = _referred([t for t in items if t.kind is not Kind.REVERSAL])
        holds = await journal.lock_holds(connection, on_holds) if on_holds else {}
        reversed_ = _referred([t for t in items if t.kind is Kind.REVERSAL])
        originals = await journal.rows_by_key(connection, reversed_) if reversed_ else {}
        accounts: dict[AccountId, BookId] = {}
        elsewhere: dict[AccountId, set[BookId]] = {}
        named: list[HoldRow | JournalRow | Transfer] = [t for t in items if t.refers_to is None]
        for row in (*named, *holds.values(), *originals.values()):
            for account_id in (row.debit_account_id, row.credit_account_id):
                if accounts.setdefault(account_id, row.book_id) != row.book_id:
                    elsewhere.setdefault(account_id, set()).add(row.book_id)
        rows, striped = await journal.lock_accounts(connection, accounts, stripe)
        # Whoever names an account in a wrong book must not hide it from those who name it in the right one.
        while again := {i: elsewhere[i].pop() for i in elsewhere if i not in rows and elsewhere[i]}:
            more, more_striped = await journal.lock_accounts(connection, again, stripe)
            rows, striped = rows | more, striped | more_striped
        self._striped |= striped
        # Looked up after the locks: a key posted by whoever held them before us is visible now.
        known = await journal.rows_by_key(connection, [(t.book_id, t.key) for t in items])
        return policy.View(rows, originals | known, holds)


class Joined:
    """Transfers that are to be posted in somebody else's transaction. Made by ``Posting.joining``."""

    def __init__(
        self,
        posting: Posting,
        transfers: Sequence[Transfer],
        plan: policy.Plan | None,
        now: datetime,
        *,
        exactly: bool,
    ) -> None:
        self._posting = posting
        self._transfers = transfers
        self._plan = plan
        self._now = now
        self._exactly = exactly

    async def write(self, connection: Connection) -> list[PostResult] | None:
        """Write the transfers and return a result each; joins the transaction, once.

        None, which only happens without ``exactly``: the batch does not fit as a whole; the caller rolls back and
        joins again, exactly. With ``exactly`` a refused transfer is a result, and its neighbours are written.
        Raises the driver's unique violation where another process commits one of the keys meanwhile.
        """
        if not self._transfers:
            return []
        if self._exactly:
            return await self._posting._decide_joined(connection, self._transfers, self._now)
        if not await self._posting._write_joined(connection, self._transfers, self._plan, self._now):
            return None
        return [PostResult(t.key, Outcome.POSTED, t.amount_minor, self._now) for t in self._transfers]


@contextlib.asynccontextmanager
async def _begun(connection: Connection) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Begin a transaction and lend its COMMIT; roll back what ends otherwise."""
    transaction = connection.transaction()
    await transaction.start()
    is_open = True

    async def commit() -> None:
        nonlocal is_open
        is_open = False
        await transaction.commit()

    try:
        yield commit
    finally:
        if is_open and not connection.is_closed():
            await transaction.rollback()


class _Turns:
    """Lets batches of this process that touch the same accounts go one after the other.

    Side by side the second would wait for the first one's row locks anyway, and then look at every contended row
    twice. Batches of different accounts (books, above all) do go side by side.
    """

    def __init__(self) -> None:
        self._running: list[tuple[KeysView[AccountId] | None, asyncio.Event]] = []

    @contextlib.asynccontextmanager
    async def take(self, accounts: KeysView[AccountId] | None) -> AsyncIterator[None]:
        """Wait until no running batch touches one of ``accounts``; None stands for all of them."""
        while rivals := [done for others, done in self._running if _meet(others, accounts)]:
            await rivals[0].wait()
        mine = (accounts, asyncio.Event())
        self._running.append(mine)
        try:
            yield
        finally:
            self._running.remove(mine)
            mine[1].set()


def _meet(one: KeysView[AccountId] | None, other: KeysView[AccountId] | None) -> bool:
    return one is None or other is None or not one.isdisjoint(other)


class _missing_on_duplicate(contextlib.AbstractContextManager[None]):  # noqa: N801 - reads as a statement
    """Turn a key that exists already, or a sum that overflows, into a _Miss: the exact way names the culprit."""

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if error is not None and failure_of(error) in (Failure.DUPLICATE, Failure.OVERFLOW):
            raise _Miss from error


def _referred(items: Sequence[Transfer]) -> list[Address]:
    """Return the addresses that sound transfers refer to."""
    return [(t.book_id, t.refers_to) for t in items if t.refers_to is not None and form.malformed(t) is None]


def _expiry(book_id: BookId, key: UUID) -> Transfer:
    """Return the expiry of a hold; its key is derived, so that two sweepers cannot both post it."""
    return Transfer(
        key=derive(key, "expiry"),
        book_id=book_id,
        debit_account_id=AccountId(0),
        credit_account_id=AccountId(0),
        amount_minor=0,
        asset_id=0,
        code="hold.expiry",
        kind=Kind.EXPIRY,
        refers_to=key,
    )


def _refused(transfer: Transfer, reason: tuple[Refusal, str]) -> PostResult:
    refusal, detail = reason
    return PostResult(transfer.key, Outcome.REFUSED, refusal=refusal, detail=detail)
