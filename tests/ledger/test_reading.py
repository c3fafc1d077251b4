"""Statements, balances as of an instant and trial balances against sums made by hand."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import pytest
from tests.conftest import Bench, make_bench, utc

from tongbao.core.clock import FrozenClock
from tongbao.core.errors import InvalidRequest
from tongbao.ledger.errors import UnknownAccount, UnknownTransfer
from tongbao.ledger.schema import AccountId, BookId, Entry, StatementPage, Transfer, capture, void
from tongbao.ledger.service.ledger import Ledger
from tongbao.ledger.service.reading import Axis, unbalanced

OpenLedger = Callable[..., Ledger]
START = utc(2026, 3, 1, 12)


async def page_of(bench: Bench, name: str, before: str | None = None, limit: int = 50) -> StatementPage:
    account = bench.accounts[name]
    return await bench.ledger.reading.statement(
        account.book_id, account.account_id, before=before, limit=limit
    )


async def all_entries(bench: Bench, name: str, limit: int, before: str | None = None) -> list[Entry]:
    """Every entry of an account, page by page; each page but the last is full."""
    entries: list[Entry] = []
    while True:
        page = await page_of(bench, name, before, limit)
        entries += page.entries
        before = page.next_before
        if before is None:
            return entries
        assert len(page.entries) == limit


async def flow(bench: Bench, count: int) -> list[UUID]:
    """Post that many transfers in and out of ``a``, each in a batch of its own, and return their keys."""
    sent = [
        bench.transfer("a", "b", 1 + n % 5) if n % 3 == 2 else bench.transfer("equity", "a", 10 + n)
        for n in range(count)
    ]
    for t in sent:
        assert (await bench.ledger.posting.post_one(t)).accepted
    return [t.key for t in sent]


async def seal(bench: Bench) -> None:
    await bench.ledger.sealing.seal_all()


def assert_running_balance(entries: list[Entry]) -> None:
    """Add the entries up from the oldest and compare with the balance that stands beside each."""
    balance = 0
    for entry in reversed(entries):
        balance += entry.posted_delta_minor
        assert entry.balance_minor in (balance, None)
        assert (entry.balance_minor is None) is (entry.seq is None)


@pytest.mark.parametrize("limit", [1, 4, 7, 25, 26, 500])
async def test_statement_sealed_in_pages_shows_each_entry_once_with_its_balance(
    bench: Bench, limit: int
) -> None:
    keys: list[UUID] = []
    for count in (9, 1, 15):
        keys += await flow(bench, count)
        await seal(bench)
    entries = await all_entries(bench, "a", limit)
    assert [entry.key for entry in entries] == keys[::-1]
    numbers = [entry.seq for entry in entries if entry.seq is not None]
    assert numbers == sorted(set(numbers), reverse=True)
    assert len(numbers) == len(keys)
    assert_running_balance(entries)
    assert entries[0].balance_minor == await bench.posted("a")


async def test_statement_unsealed_tail_comes_first_without_number_and_balance(bench: Bench) -> None:
    tail = await flow(bench, 4)
    page = await page_of(bench, "a")
    assert [entry.key for entry in page.entries] == tail[::-1]
    assert {(entry.seq, entry.balance_minor) for entry in page.entries} == {(None, None)}
    assert page.next_before is None
    assert page.account == await bench.balance("a")


async def test_statement_sealed_and_unsealed_mixed_continues_from_one_to_the_other(bench: Bench) -> None:
    keys = await flow(bench, 10)
    await seal(bench)
    keys += await flow(bench, 3)
    for limit in (4, 5, 13, 50):
        entries = await all_entries(bench, "a", limit)
        assert [entry.key for entry in entries] == keys[::-1]
        assert [entry.seq is None for entry in entries] == [True] * 3 + [False] * 10
        assert_running_balance(entries)


async def test_statement_cursor_while_new_transfers_arrive_continues_where_it_was(bench: Bench) -> None:
    keys = await flow(bench, 12)
    await seal(bench)
    keys += await flow(bench, 2)
    first = await page_of(bench, "a", limit=6)
    await flow(bench, 5)
    await seal(bench)
    await flow(bench, 2)
    rest = await all_entries(bench, "a", 3, first.next_before)
    assert [entry.key for entry in (*first.entries, *rest)] == keys[::-1]
    assert_running_balance([*first.entries, *rest])


@pytest.mark.parametrize("limit", [2, 3])
async def test_statement_unsealed_tail_of_a_page_or_more_is_shown_whole(bench: Bench, limit: int) -> None:
    keys = await flow(bench, 6)
    await seal(bench)
    keys += await flow(bench, 3)
    first = await page_of(bench, "a", limit=limit)
    if limit == 3:
        await seal(bench)
    rest = await all_entries(bench, "a", limit, first.next_before)
    assert [entry.key for entry in (*first.entries, *rest)] == keys[::-1]


async def test_statement_limits_outside_their_bounds_are_drawn_in(bench: Bench) -> None:
    await bench.ledger.posting.post([bench.transfer("equity", "a", 1) for _ in range(510)])
    await seal(bench)
    for asked, given in ((0, 1), (-5, 1), (10**9, 500)):
        page = await page_of(bench, "a", limit=asked)
        assert len(page.entries) == given
        assert page.next_before is not None


@pytest.mark.parametrize(
    "cursor", ["", "x", "1.x", "1.2.3.4", "1,2", "-1", "-1.5", f"{2**70}", "1.5e3", "0." + "f" * 32]
)
async def test_statement_bad_cursor_is_refused(bench: Bench, cursor: str) -> None:
    with pytest.raises(InvalidRequest, match="cursor_invalid"):
        await page_of(bench, "a", cursor)


async def test_statement_holds_and_captures_move_held_and_posted_sums(bench: Bench) -> None:
    placed = bench.hold("equity", "a", 100, reference="order 7")
    acts = [
        placed,
        capture(bench.key(), placed.book_id, placed.key, 30, "part"),
        capture(bench.key(), placed.book_id, placed.key, 20, "last", final=True),
    ]
    await bench.ledger.posting.post(acts)
    await seal(bench)
    for name, sign in (("a", 1), ("equity", -1)):
        entries = (await page_of(bench, name)).entries[::-1]
        assert [(e.posted_delta_minor * sign, e.held_delta_minor * sign) for e in entries] == [
            (0, 100),
            (30, -30),
            (20, -70),
        ]
        assert [e.balance_minor for e in entries] == [0, 30 * sign, 50 * sign]
        other = "equity" if name == "a" else "a"
        assert {e.other_account_id for e in entries} == {bench.accounts[other].account_id}
        assert [(e.code, e.reference) for e in entries] == [
            ("test", "order 7"),
            ("part", None),
            ("last", None),
        ]


async def test_reads_unknown_account_or_transfer_is_named(bench: Bench) -> None:
    reading, book_id = bench.ledger.reading, bench.book.book_id
    with pytest.raises(UnknownAccount):
        await reading.statement(book_id, AccountId(404))
    with pytest.raises(UnknownAccount):
        await reading.statement(BookId(404), bench.accounts["a"].account_id)
    with pytest.raises(UnknownAccount):
        await reading.balance_at(book_id, AccountId(404), START)
    with pytest.raises(UnknownTransfer):
        await reading.transfer(book_id, bench.key())
    assert await reading.roll_up(book_id, "nothing") == []
    assert await reading.trial_balance(BookId(404)) == []


async def test_holds_newest_first_and_open_only_on_demand(bench: Bench) -> None:
    placed = [bench.hold("equity", "a", n) for n in (1, 2, 3)]
    await bench.ledger.posting.post(placed)
    await bench.ledger.posting.post_one(void(bench.key(), bench.book.book_id, placed[1].key, "void"))
    reading, book_id = bench.ledger.reading, bench.book.book_id
    assert [hold.amount_minor for hold in await reading.holds(book_id)] == [3, 1]
    assert [hold.amount_minor for hold in await reading.holds(book_id, open_only=False)] == [3, 2, 1]
    assert [hold.amount_minor for hold in await reading.holds(book_id, open_only=False, limit=2)] == [3, 2]


class Fact(NamedTuple):
    """What a transfer did, written down by hand: posted and held amounts between two accounts."""

    debit: AccountId
    credit: AccountId
    posted: int
    held: int
    recorded_at: datetime
    occurred_at: datetime


class History:
    """Random transfers on a clock that jumps, some of them back-dated, sealed now and then."""

    def __init__(self, bench: Bench, clock: FrozenClock, seed: int) -> None:
        self.bench = bench
        self.clock = clock
        self.rng = random.Random(seed)
        self.facts: list[Fact] = []
        self.open_holds: list[tuple[Transfer, int]] = []

    async def grow(self, count: int) -> None:
        """Post that many batches of a few transfers each."""
        for _ in range(count):
            # Clocks mostly go forwards, now and then far backwards.
            jump = self.rng.choice((1, 60, 3_600, 3_600, 86_400, 0, -7_200, -200_000))
            self.clock.advance(timedelta(seconds=jump))
            batch = [self.act() for _ in range(self.rng.randint(1, 4))]
            results = await self.bench.ledger.posting.post([t for t, _ in batch])
            assert all(result.accepted for result in results)
            self.facts += [fact for _, fact in batch]
            if self.rng.random() < 0.3:
                await seal(self.bench)

    def act(self) -> tuple[Transfer, Fact]:
        now = self.clock.now()
        days = self.rng.choice((None, None, 0, 1, 3, 30, -2))
        occurred_at = (
            None if days is None else now - timedelta(days=days, microseconds=self.rng.randint(0, 3))
        )
        amount = self.rng.randint(1, 100)
        kind = self.rng.choice(("plain", "plain", "hold", "capture", "void"))
        posted, held = amount, 0
        if kind in ("capture", "void") and self.open_holds:
            placed, left = self.open_holds.pop(self.rng.randrange(len(self.open_holds)))
            book_id, key = placed.book_id, self.bench.key()
            t = void(key, book_id, placed.key, "test", occurred_at=occurred_at)
            posted, held = 0, -left
            if kind == "capture":
                posted, final = self.rng.randint(1, left), self.rng.random() < 0.5
                t = capture(key, book_id, placed.key, posted, "test", final=final, occurred_at=occurred_at)
                held = -left if final else -posted
                if left + held:
                    self.open_holds.append((placed, left + held))
            sides = placed
        else:
            debit, credit = self.rng.sample(("equity", "other", "striped"), 2)
            make = self.bench.hold if kind == "hold" else self.bench.transfer
            sides = t = make(debit, credit, amount, occurred_at=occurred_at)
            if kind == "hold":
                posted, held = 0, amount
                self.open_holds.append((t, amount))
        ends = (sides.debit_account_id, sides.credit_account_id)
        return t, Fact(*ends, posted, held, now, occurred_at or now)

    def sums(self, account_id: AccountId, at: datetime, axis: Axis) -> tuple[int, int, int, int]:
        """Debits, credits, debits held and credits held of an account as of an instant, one fact at a time."""
        by_then = [f for f in self.facts if (f.recorded_at if axis == "recorded" else f.occurred_at) <= at]
        debits = [f for f in by_then if f.debit == account_id]
        credits = [f for f in by_then if f.credit == account_id]
        return (
            sum(f.posted for f in debits),
            sum(f.posted for f in credits),
            sum(f.held for f in debits),
            sum(f.held for f in credits),
        )


@pytest.mark.parametrize("seed", range(4))
async def test_balance_at_any_instant_on_both_axes_equals_the_sum_by_hand(
    open_ledger: OpenLedger, seed: int
) -> None:
    clock = FrozenClock(START)
    async with open_ledger(clock) as ledger:
        bench = await make_bench(ledger)
        history = History(bench, clock, seed)
        axes: tuple[Axis, ...] = ("recorded", "occurred")
        for _ in range(3):
            await history.grow(14)
            turns = {f.recorded_at for f in history.facts} | {f.occurred_at for f in history.facts}
            instants = [utc(1999, 1, 1), utc(2999, 1, 1), *history.rng.sample(sorted(turns), 10)]
            instants += [at - timedelta(microseconds=1) for at in instants[-4:]]
            for name in ("equity", "other", "striped"):
                account_id = bench.accounts[name].account_id
                for axis in axes:
                    for at in instants:
                        got = await ledger.reading.balance_at(bench.book.book_id, account_id, at, axis=axis)
                        assert (
                            got.debits_minor,
                            got.credits_minor,
                            got.debits_held_minor,
                            got.credits_held_minor,
                        ) == history.sums(account_id, at, axis), (name, axis, at)
        now = await bench.balance("other")
        assert (
            now.debits_minor,
            now.credits_minor,
            now.debits_held_minor,
            now.credits_held_minor,
        ) == history.sums(now.account_id, utc(2999, 1, 1), "recorded")
        await seal(bench)
        assert (await ledger.verifying.verify(bench.book.code)).findings == ()


async def test_balance_at_instant_without_zone_is_refused(bench: Bench) -> None:
    with pytest.raises(InvalidRequest, match="time_invalid"):
        await bench.ledger.reading.balance_at(
            bench.book.book_id, bench.accounts["a"].account_id, START.replace(tzinfo=None)
        )


async def test_trial_balance_is_zero_per_asset_and_names_every_account(bench: Bench) -> None:
    accounts = bench.ledger.accounts
    bench.accounts["dollar_till"] = await accounts.open_account(bench.book.book_id, "till", "USD")
    await bench.ledger.posting.post(
        [
            bench.transfer("equity", "a", 70),
            bench.transfer("striped", "b", 5),
            bench.transfer("dollars", "dollar_till", 9),
            bench.hold("a", "b", 3),
        ]
    )
    lines = await bench.ledger.reading.trial_balance(bench.book.book_id)
    assert unbalanced(lines) == {}
    assert {(line.account_code, line.asset): (line.debits_minor, line.credits_minor) for line in lines} == {
        ("equity", "CNY"): (70, 0),
        ("other", "CNY"): (0, 0),
        ("a", "CNY"): (0, 70),
        ("b", "CNY"): (0, 5),
        ("c", "CNY"): (0, 0),
        ("capped", "CNY"): (0, 0),
        ("striped", "CNY"): (5, 0),
        ("dollars", "USD"): (9, 0),
        ("till", "USD"): (0, 9),
    }
    assert unbalanced([line for line in lines if line.account_code != "equity"]) == {"CNY": -70}
    assert unbalanced(await bench.ledger.reading.trial_balance()) == {}
