"""The sealer: places without gaps, hashes that SQL and Python agree on, commit order, adoption, partitions."""

import asyncio
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from tongbao.core import merkle, migrate, partitions
from tongbao.core.clock import FrozenClock, RealClock
from tongbao.core.db import Database
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.events.facts import decode
from tongbao.core.ids import IdFactory, int_text
from tongbao.core.metrics import Metrics
from tongbao.ledger import sealed
from tongbao.ledger.schema import JournalRow, Kind, Outcome, Seal, Sealed, Transfer, capture, linked
from tongbao.ledger.service import sealing
from tongbao.ledger.service.ledger import Ledger
from tongbao.ledger.service.sealing import JOURNAL, Sealing
from tongbao.ledger.store import journal
from tongbao.ledger.store import seals as store

SEAL_S_MAX = 60.0
CURSOR = "SELECT next_xid, xid_offset, system_identifier FROM ledger.seal_cursor"


async def seal_until(ledger: Ledger, book_id: int, transfer_count: int) -> None:
    """Seal until so many transfers of a book are: another sealer may be at it for a moment."""
    async with asyncio.timeout(SEAL_S_MAX):
        while (await ledger.sealing.head(book_id)).transfer_count < transfer_count:  # type: ignore[arg-type]
            await ledger.sealing.seal_all()
            await asyncio.sleep(0.005)


async def seals_of(database: Database, book_id: int) -> list[Seal]:
    async with database.transaction() as connection:
        return [seal async for seal in store.seals_of_book(connection, book_id)]  # type: ignore[arg-type]  # an id


async def order_of(database: Database, book_id: int) -> list[UUID]:
    """The keys of a book in the order of their sequence numbers, after checking that these have no gap."""
    keys: list[UUID] = []
    previous = sealed.GENESIS
    for number, seal in enumerate(await seals_of(database, book_id), 1):
        assert (seal.seal_no, seal.first_seq) == (number, len(keys) + 1)
        assert seal.previous_hash == previous
        assert seal.root == merkle.root(merkle.unpack(seal.leaves))
        previous = seal.seal_hash
        named = sealed.unpack_keys(seal.keys)
        assert len(named) == seal.transfer_count == len(seal.leaves) // 32
        keys += named
    assert len(keys) == len(set(keys))
    return keys


@asynccontextmanager
async def other_session(database: Database) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database.dsn)
    try:
        yield connection
    finally:
        await connection.close()


def plain_row(bench: Any, debit: str = "equity", credit: str = "other", amount_minor: int = 1) -> JournalRow:
    """A journal row to be written by a session of the test's own."""
    now = datetime.now(UTC)
    t = bench.transfer(debit, credit, amount_minor)
    sides = (t.debit_account_id, t.credit_account_id)
    return JournalRow(
        t.book_id, t.key, *sides, amount_minor, t.asset_id, Kind.PLAIN, "test", None, now, now, 0, *[None] * 6
    )


async def test_seal_gives_gapless_numbers_and_a_chain_per_book(bench: Any, database: Database) -> None:
    keys = []
    for size in (1, 5, 17):
        transfers = [bench.transfer("equity", "a", 1) for _ in range(size)]
        await bench.ledger.posting.post(transfers)
        keys += [transfer.key for transfer in transfers]
        await seal_until(bench.ledger, bench.book.book_id, len(keys))
    assert await order_of(database, bench.book.book_id) == keys
    head = await bench.ledger.sealing.head(bench.book.book_id)
    assert (head.transfer_count, head.seal_hash) == (
        23,
        (await seals_of(database, bench.book.book_id))[-1].seal_hash,
    )


async def test_seal_of_nothing_new_writes_nothing(bench: Any, database: Database) -> None:
    await bench.ledger.posting.post_one(bench.transfer("equity", "a", 1))
    await seal_until(bench.ledger, bench.book.book_id, 1)
    assert await bench.ledger.sealing.seal_all() == 0
    assert len(await seals_of(database, bench.book.book_id)) == 1


def random_row(rng: random.Random, bench: Any, at: int) -> JournalRow:
    """A row with any content that the columns take, not only what the ledger would accept."""

    def maybe(value: Any) -> Any:
        return value if rng.random() < 0.6 else None

    def instant() -> datetime:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=rng.randrange(4_000_000_000_000_000))

    alphabet = "aé汉字🪙ß\u0301\u202eΩ z\\'\"0"
    sides = rng.sample([account.account_id for account in bench.accounts.values()], 2)
    return JournalRow(
        book_id=bench.book.book_id,
        key=bench.key(),
        debit_account_id=sides[0],
        credit_account_id=sides[1],
        amount_minor=rng.choice([1, 2**53 - 1, rng.randrange(1, 2**40)]),
        asset_id=rng.choice([156, 840, 2**31 - 1]),
        kind=rng.choice(list(Kind)),
        code="".join(rng.choices("abc_.09", k=rng.randint(1, 48))),
        reference=maybe("".join(rng.choices(alphabet, k=rng.randint(0, 200)))),
        occurred_at=instant(),
        recorded_at=instant(),
        batch_index=at,
        group_key=maybe(UUID(int=rng.getrandbits(128))),
        group_size=maybe(rng.randint(1, 100)),
        refers_to=maybe(UUID(int=rng.getrandbits(128))),
        released_minor=maybe(rng.choice([0, 1, 2**53 - 1])),
        requested_minor=maybe(rng.randrange(2**53)),
        expires_at=maybe(instant()),
    )


async def test_seal_hashes_any_row_in_sql_as_python_does(bench: Any, database: Database) -> None:
    rng = random.Random(20_260_101)
    rows = []
    for _ in range(20):
        batch = [random_row(rng, bench, at) for at in range(20)]
        # A batch is recorded at one instant.
        batch = [row._replace(recorded_at=batch[0].recorded_at) for row in batch]
        async with database.transaction() as connection:
            await journal.insert_rows(connection, batch)
        rows += batch
    await seal_until(bench.ledger, bench.book.book_id, len(rows))
    leaves = [
        leaf for seal in await seals_of(database, bench.book.book_id) for leaf in merkle.unpack(seal.leaves)
    ]
    assert leaves == [sealed.leaf(row) for row in rows]
    assert {row.kind for row in rows} == set(Kind)


async def test_seal_places_batches_in_order_of_commit_not_of_transaction_ids(
    bench: Any, database: Database
) -> None:
    early, late = plain_row(bench), plain_row(bench)
    async with other_session(database) as first, other_session(database) as second:
        await first.execute("BEGIN")
        await journal.insert_rows(first, [late])
        xids = [await first.fetchval("SELECT pg_current_xact_id()::text::bigint")]
        await second.execute("BEGIN")
        await journal.insert_rows(second, [early])
        xids.append(await second.fetchval("SELECT pg_current_xact_id()::text::bigint"))
        await second.execute("COMMIT")
        await first.execute("COMMIT")
    assert xids == sorted(xids)
    await seal_until(bench.ledger, bench.book.book_id, 2)
    assert await order_of(database, bench.book.book_id) == [early.key, late.key]


async def test_seal_while_a_transaction_is_open_goes_on_and_skips_nothing(
    bench: Any, database: Database
) -> None:
    held = plain_row(bench)
    before, after = bench.transfer("equity", "a", 1), bench.transfer("equity", "a", 2)
    await bench.ledger.posting.post_one(before)
    async with other_session(database) as slow:
        await slow.execute("BEGIN")
        await journal.insert_rows(slow, [held])
        await bench.ledger.posting.post_one(after)
        await seal_until(bench.ledger, bench.book.book_id, 2)
        for _ in range(3):
            await bench.ledger.sealing.seal_all()
        assert await order_of(database, bench.book.book_id) == [before.key, after.key]
        statement = await bench.ledger.reading.statement(bench.book.book_id, bench.accounts["a"].account_id)
        assert [entry.key for entry in statement.entries] == [after.key, before.key]
        await slow.execute("COMMIT")
    await seal_until(bench.ledger, bench.book.book_id, 3)
    assert await order_of(database, bench.book.book_id) == [before.key, after.key, held.key]


LOCK = "SELECT FROM ledger.balance WHERE book_id = $1 AND account_id = $2 FOR UPDATE"
MOVE = """
UPDATE ledger.balance SET debits_minor = debits_minor + $3, credits_minor = credits_minor + $4
WHERE book_id = $1 AND account_id = $2
    AND (floor_minor IS NULL OR $3::bigint = 0 OR credits_minor - debits_minor - $3 >= floor_minor)
RETURNING debits_minor, credits_minor
"""
Sums = tuple[int, int]


async def write(connection: Any, row: JournalRow) -> dict[int, Sums] | None:
    """Post a row in the session's open transaction; return its accounts' sums, None where a floor forbids it."""
    legs = [(row.debit_account_id, row.amount_minor, 0), (row.credit_account_id, 0, row.amount_minor)]
    found: dict[int, Sums] = {}
    for account_id, debit, credit in sorted(legs):
        await connection.execute(LOCK, row.book_id, account_id)
        sums = await connection.fetchrow(MOVE, row.book_id, account_id, debit, credit)
        if sums is None:
            return None
        found[account_id] = (sums["debits_minor"], sums["credits_minor"])
    await journal.insert_rows(connection, [row])
    return found


async def begin(connection: Any) -> int:
    """Open a transaction that has a number; return it."""
    await connection.execute("BEGIN")
    xid: int = await connection.fetchval("SELECT pg_current_xact_id()::text::bigint")
    return xid


@pytest.mark.parametrize("seen_running", [False, True])
async def test_seal_puts_a_cause_before_its_effect_whatever_their_numbers_and_whoever_is_open(
    bench: Any, database: Database, seen_running: bool
) -> None:
    """The effect has the lower number, and a third transaction is open between the two."""
    funding, spending, between = (
        plain_row(bench, "equity", "a", 100),
        plain_row(bench, "a", "other", 100),
        plain_row(bench, "capped", "b", 7),
    )
    expected: list[UUID] = []
    async with (
        other_session(database) as t10,
        other_session(database) as t11,
        other_session(database) as t12,
    ):
        xids = [await begin(t10), await begin(t11), await begin(t12)]
        assert xids == sorted(xids)
        assert await write(t12, funding) is not None
        waiting = asyncio.create_task(write(t10, spending))
        await asyncio.sleep(0.05)
        if seen_running:
            aside = bench.transfer("striped", "c", 1)
            await bench.ledger.posting.post_one(aside)
            expected.append(aside.key)
            await seal_until(bench.ledger, bench.book.book_id, 1)
            async with database.connection() as connection:
                cursor = await store.cursor(connection)
            assert cursor.next_xid < cursor.end_xid
            assert set(xids) <= {xid - cursor.xid_offset for xid in cursor.running_xids}
        assert not waiting.done()
        await t12.execute("COMMIT")
        assert await waiting is not None
        await t10.execute("COMMIT")
        expected += [funding.key, spending.key]
        await seal_until(bench.ledger, bench.book.book_id, len(expected))
        assert await order_of(database, bench.book.book_id) == expected
        assert (await bench.ledger.verifying.verify(bench.book.code)).findings == ()
        assert await write(t11, between) is not None
        await t11.execute("COMMIT")
    assert (await bench.ledger.verifying.verify(bench.book.code)).findings == ()
    statement = await bench.ledger.reading.statement(bench.book.book_id, bench.accounts["b"].account_id)
    assert [entry.key for entry in statement.entries] == [between.key]
    await seal_until(bench.ledger, bench.book.book_id, len(expected) + 1)
    assert await order_of(database, bench.book.book_id) == [*expected, between.key]
    assert (await bench.ledger.verifying.verify(bench.book.code)).findings == ()


class Writers:
    """Sessions that post at random, keep their transactions open at random, and note what each row saw."""

    def __init__(self, bench: Any, database: Database, seed: int) -> None:
        self.bench = bench
        self.database = database
        self.rng = random.Random(seed)
        self.rows: dict[UUID, JournalRow] = {}
        self.seen: dict[UUID, dict[int, Sums]] = {}

    async def pause(self) -> None:
        """Do nothing for a moment, sometimes for a long one."""
        await asyncio.sleep(self.rng.choice([0, 0, 0.001, 0.003, 0.03]))

    async def post(self, connection: Any) -> None:
        """Post one row, or try to."""
        await begin(connection)
        await self.pause()
        debit, credit = self.rng.sample(["a", "b", "c", "other", "equity"], 2)
        row = plain_row(self.bench, debit, credit, self.rng.randint(1, 40))
        found = await write(connection, row)
        await self.pause()
        if found is None or self.rng.random() < 0.1:
            await connection.execute("ROLLBACK")
            return
        await connection.execute("COMMIT")
        self.rows[row.key], self.seen[row.key] = row, found

    async def work(self, count: int) -> None:
        """Post so many rows, one after the other."""
        async with other_session(self.database) as connection:
            for _ in range(count):
                await self.post(connection)

    async def run(self, sessions: int, count: int) -> None:
        """Post in several sessions at once, with a sealer beside them."""
        writers = asyncio.gather(*(self.work(count) for _ in range(sessions)))
        while not writers.done():
            await self.bench.ledger.sealing.seal_round()
            await self.pause()
        await writers
        await seal_until(self.bench.ledger, self.bench.book.book_id, len(self.rows))

    def replay(self, order: list[UUID]) -> None:
        """Go through rows in order: after each, every account must stand as the row's own transaction saw it."""
        sums: dict[int, Sums] = {}
        floored = {self.bench.accounts[name].account_id for name in ("a", "b", "c")}
        for key in order:
            row = self.rows[key]
            for account_id, debit, credit in (
                (row.debit_account_id, row.amount_minor, 0),
                (row.credit_account_id, 0, row.amount_minor),
            ):
                debits, credits_ = sums.get(account_id, (0, 0))
                sums[account_id] = now = (debits + debit, credits_ + credit)
                assert now == self.seen[key][account_id]
                assert now[1] >= now[0] or account_id not in floored


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_seal_beside_random_writers_keeps_the_order_in_which_they_took_their_locks(
    bench: Any, database: Database, seed: int
) -> None:
    writers = Writers(bench, database, seed)
    await writers.run(sessions=8, count=30)
    order = await order_of(database, bench.book.book_id)
    assert set(order) == set(writers.rows)
    writers.replay(order)
    assert (await bench.ledger.verifying.verify(bench.book.code)).findings == ()


@pytest.mark.parametrize("by_commit", [True, False])
async def test_seal_in_tiny_windows_beside_random_writers_skips_and_doubles_nothing(
    bench: Any, database: Database, monkeypatch: pytest.MonkeyPatch, by_commit: bool
) -> None:
    async def keeps_commit_times(_: object) -> bool:
        return by_commit

    monkeypatch.setattr(store, "keeps_commit_times", keeps_commit_times)
    monkeypatch.setattr(store, "NEAR_XIDS", 3)
    monkeypatch.setattr(sealing, "WINDOW_TRANSFERS_MAX", 2)
    writers = Writers(bench, database, 4)
    await writers.run(sessions=8, count=20)
    assert set(await order_of(database, bench.book.book_id)) == set(writers.rows)
    assert max(seal.transfer_count for seal in await seals_of(database, bench.book.book_id)) <= 2
    assert (await bench.ledger.verifying.verify(bench.book.code)).findings == ()


async def test_seal_of_more_ended_transactions_than_a_window_takes_the_first_commits_first(
    bench: Any, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [plain_row(bench) for _ in range(5)]
    async with AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(other_session(database)) for _ in rows]
        for session in sessions:
            await begin(session)
        aside = bench.transfer("equity", "a", 1)
        await bench.ledger.posting.post_one(aside)
        await seal_until(bench.ledger, bench.book.book_id, 1)
        for session, row in reversed(list(zip(sessions, rows, strict=True))):
            await write(session, row)
            await session.execute("COMMIT")
    monkeypatch.setattr(sealing, "WINDOW_TRANSFERS_MAX", 2)
    await seal_until(bench.ledger, bench.book.book_id, 6)
    assert await order_of(database, bench.book.book_id) == [aside.key, *(row.key for row in reversed(rows))]
    assert [seal.transfer_count for seal in await seals_of(database, bench.book.book_id)] == [1, 2, 2, 1]
    assert (await bench.ledger.verifying.verify(bench.book.code)).findings == ()


async def test_seal_after_a_transaction_was_rolled_back_goes_on(bench: Any, database: Database) -> None:
    async with other_session(database) as slow:
        await slow.execute("BEGIN")
        await journal.insert_rows(slow, [plain_row(bench)])
        transfer = bench.transfer("equity", "a", 1)
        await bench.ledger.posting.post_one(transfer)
        await slow.execute("ROLLBACK")
    await seal_until(bench.ledger, bench.book.book_id, 1)
    assert await order_of(database, bench.book.book_id) == [transfer.key]


async def test_seal_rows_of_several_books_in_one_round_keeps_them_apart(
    open_ledger: Callable[..., Ledger], database: Database
) -> None:
    async with open_ledger() as ledger:
        chosen = []
        for number in range(3):
            book = await ledger.accounts.open_book(f"apart-{number}-{ledger.ids.int63()}", "empty", "Apart")
            sides = [await ledger.accounts.open_account(book.book_id, name, "CNY") for name in ("x", "y")]
            chosen.append((book.book_id, sides))
        transfers = [
            Transfer(
                key=ledger.ids.uuid(),
                book_id=book_id,
                debit_account_id=sides[0].account_id,
                credit_account_id=sides[1].account_id,
                amount_minor=1,
                asset_id=156,
                code="test",
            )
            for _ in range(20)
            for book_id, sides in chosen
        ]
        await ledger.posting.post(transfers)
        for book_id, _ in chosen:
            await seal_until(ledger, book_id, 20)
            assert await order_of(database, book_id) == [t.key for t in transfers if t.book_id == book_id]
            assert len(await seals_of(database, book_id)) == 1


async def test_seal_a_batch_of_eight_thousand_at_once(bench: Any, database: Database) -> None:
    transfers = [bench.transfer("equity", "a", 1) for _ in range(8_000)]
    results = await bench.ledger.posting.post(transfers)
    assert all(result.outcome is Outcome.POSTED for result in results)
    await seal_until(bench.ledger, bench.book.book_id, 8_000)
    assert await order_of(database, bench.book.book_id) == [transfer.key for transfer in transfers]
    assert [seal.transfer_count for seal in await seals_of(database, bench.book.book_id)] == [8_000]
    assert (await bench.ledger.verifying.verify(bench.book.code)).findings == ()


async def test_seal_by_two_sealers_at_once_seals_everything_once(bench: Any, database: Database) -> None:
    sealers = [Sealing(database, RealClock(), Metrics()) for _ in range(2)]
    keys = []
    done = asyncio.Event()

    async def keep_sealing(sealer: Sealing) -> None:
        while not done.is_set():
            await sealer.seal_round()
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(keep_sealing(sealer)) for sealer in sealers]
    for _ in range(40):
        transfers = [bench.transfer("equity", "a", 1) for _ in range(5)]
        await bench.ledger.posting.post(transfers)
        keys += [transfer.key for transfer in transfers]
    done.set()
    await asyncio.gather(*tasks)
    await seal_until(bench.ledger, bench.book.book_id, len(keys))
    assert await order_of(database, bench.book.book_id) == keys
    assert (await bench.ledger.verifying.verify(bench.book.code)).findings == ()


async def test_seal_after_a_sealer_was_killed_in_a_round_seals_everything_once(
    bench: Any, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfers = [bench.transfer("equity", "a", 1) for _ in range(10)]
    await bench.ledger.posting.post(transfers)

    async def die(connection: Any, *_: object) -> None:
        await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with monkeypatch.context() as patch:
        patch.setattr(store, "move_cursor", die)
        async with asyncio.timeout(SEAL_S_MAX):
            while True:
                with suppress(Exception):
                    if not await bench.ledger.sealing.seal_round():
                        continue
                    raise AssertionError("the round outlived its connection")
                break
    assert await order_of(database, bench.book.book_id) == []
    await seal_until(bench.ledger, bench.book.book_id, 10)
    assert await order_of(database, bench.book.book_id) == [transfer.key for transfer in transfers]


async def test_seal_leaves_checkpoints_that_equal_the_sums_and_list_the_entries(
    bench: Any, database: Database
) -> None:
    hold = bench.hold("equity", "a", 50)
    batch = [bench.transfer("equity", "a", 100), hold, *linked([bench.transfer("a", "b", 30)])]
    await bench.ledger.posting.post(batch)
    await seal_until(bench.ledger, bench.book.book_id, len(batch))
    rest = [bench.transfer("equity", "a", 1) for _ in range(600)]
    rest.append(capture(bench.key(), bench.book.book_id, hold.key, 20, "captured", final=True))
    await bench.ledger.posting.post(rest)
    await seal_until(bench.ledger, bench.book.book_id, len(batch) + len(rest))
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT * FROM ledger.checkpoint WHERE account_id = $1 ORDER BY last_seq",
            bench.accounts["a"].account_id,
        )
    account = await bench.balance("a")
    last = rows[-1]
    for name in ("debits_minor", "credits_minor", "debits_held_minor", "credits_held_minor"):
        assert last[name] == getattr(account, name)
    assert (last["debits_minor"], last["credits_minor"], last["credits_held_minor"]) == (30, 720, 0)
    assert last["entry_count"] == len(batch) + len(rest)
    order = await order_of(database, bench.book.book_id)
    listed = [(seq, key) for row in rows for seq, key in zip(row["seqs"], row["keys"], strict=True)]
    assert [(seq, UUID(int=key.int)) for seq, key in listed] == list(enumerate(order, 1))
    assert all(row["last_seq"] == row["seqs"][-1] and len(row["seqs"]) <= 256 for row in rows)


async def forget_cluster(database: Database, next_xid: int | None = None) -> None:
    """Make the database believe that it comes from another cluster."""
    async with database.connection() as connection:
        await connection.execute("UPDATE ledger.seal_cursor SET system_identifier = 1")
        if next_xid is not None:
            await connection.execute(
                "UPDATE ledger.seal_cursor SET next_xid = $1, end_xid = $1, running_xids = '{}'", next_xid
            )


async def test_prepare_in_another_cluster_seals_old_and_new_rows_once_and_old_ones_first(
    open_ledger: Callable[..., Ledger], bench: Any, database: Database
) -> None:
    sealed_before = bench.transfer("equity", "a", 1)
    await bench.ledger.posting.post_one(sealed_before)
    await seal_until(bench.ledger, bench.book.book_id, 1)
    # Numbers of the other cluster, far ahead of this one's; one maps onto transaction 0, which has no commit time.
    async with database.connection() as connection:
        far = 10_000_000 + await connection.fetchval("SELECT end_xid FROM ledger.seal_cursor")
    rows = [plain_row(bench) for _ in range(3)]
    async with database.transaction() as connection:
        await connection.execute("ALTER TABLE ledger.transfer_default ALTER COLUMN batch_xid SET DEFAULT 0")
        await journal.insert_rows(connection, rows)
        for at, row in enumerate(rows):
            await connection.execute(
                "UPDATE ledger.transfer SET batch_xid = $2 WHERE key = $1", row.key, far + 1 + at
            )
    await forget_cluster(database, far)
    async with open_ledger() as ledger:
        after = bench.transfer("equity", "a", 2)
        await ledger.posting.post_one(after)
        await seal_until(ledger, bench.book.book_id, 5)
        expected = [sealed_before.key, *(row.key for row in rows), after.key]
        assert await order_of(database, bench.book.book_id) == expected
        async with database.connection() as connection:
            cursor = await connection.fetchrow(CURSOR)
            assert cursor["xid_offset"] > far
            assert cursor["system_identifier"] == await connection.fetchval(
                "SELECT system_identifier FROM pg_control_system()"
            )
        await ledger.sealing.prepare()
        async with database.connection() as connection:
            assert (await connection.fetchrow(CURSOR))["xid_offset"] == cursor["xid_offset"]


async def test_prepare_twice_in_other_clusters_goes_on_upwards(
    open_ledger: Callable[..., Ledger], bench: Any, database: Database
) -> None:
    keys = []
    for _ in range(3):
        async with open_ledger() as ledger:
            transfer = bench.transfer("equity", "a", 1)
            await ledger.posting.post_one(transfer)
            keys.append(transfer.key)
        await forget_cluster(database)
    async with open_ledger() as ledger:
        await seal_until(ledger, bench.book.book_id, 3)
    assert await order_of(database, bench.book.book_id) == keys


@pytest.fixture
def home() -> Iterator[Path]:
    # Not tmp_path: its parents are closed to the user that root's server runs as.
    folder = Path(tempfile.mkdtemp(prefix="tongbao-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


async def test_restore_into_a_fresh_cluster_seals_everything_once_and_verifies(
    server: EmbeddedServer, bench: Any, database: Database, home: Path
) -> None:
    hold = bench.hold("equity", "a", 40)
    first = [bench.transfer("equity", "a", 100), hold]
    await bench.ledger.posting.post(first)
    await seal_until(bench.ledger, bench.book.book_id, 2)
    unsealed = [bench.transfer("equity", "b", 5) for _ in range(3)]
    for transfer in unsealed:
        await bench.ledger.posting.post_one(transfer)
    fresh = EmbeddedServer(home / "postgres", conf={"shared_buffers": "64MB"})
    try:
        await asyncio.to_thread(fresh.start)
        dumped = server.run("pg_dump", "--dbname", database.dsn, capture_output=True, check=True)
        fresh.run(
            "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", input=dumped.stdout, capture_output=True, check=True
        )
        assert await migrate.current(fresh.dsn()) == migrate.head()
        async with (
            Database(fresh.dsn()) as restored,
            Ledger(restored, RealClock(), Metrics(), IdFactory(RealClock())) as ledger,
        ):
            last = capture(bench.key(), bench.book.book_id, hold.key, 15, "captured")
            again, new = await ledger.posting.post([first[0], last])
            assert (again.outcome, new.outcome) == (Outcome.EXISTS, Outcome.POSTED)
            await seal_until(ledger, bench.book.book_id, 6)
            keys = [transfer.key for transfer in (*first, *unsealed, last)]
            assert await order_of(restored, bench.book.book_id) == keys
            assert (await ledger.verifying.verify(bench.book.code)).findings == ()
    finally:
        fresh.stop()


async def test_post_keys_of_odd_months_are_found_repeated_and_sealed(bench: Any, database: Database) -> None:
    odd = []
    for at in (datetime(1999, 12, 31, tzinfo=UTC), datetime(2087, 6, 1, tzinfo=UTC)):
        key = IdFactory(FrozenClock(at)).uuid()
        odd.append(msgspec.structs.replace(bench.transfer("equity", "a", 7), key=key))
    posted = await bench.ledger.posting.post(odd)
    assert [result.outcome for result in posted] == [Outcome.POSTED] * 2
    again = await bench.ledger.posting.post(odd)
    assert [result.outcome for result in again] == [Outcome.EXISTS] * 2
    for transfer in odd:
        assert (await bench.ledger.reading.transfer(bench.book.book_id, transfer.key)).amount_minor == 7
    await seal_until(bench.ledger, bench.book.book_id, 2)
    assert await order_of(database, bench.book.book_id) == [transfer.key for transfer in odd]
    async with database.connection() as connection:
        keys = [transfer.key for transfer in odd]
        count = await connection.fetchval(
            "SELECT count(*) FROM ledger.transfer_default WHERE key = ANY ($1::uuid[])", keys
        )
    assert count == 2
    assert (await bench.ledger.verifying.verify(bench.book.code)).findings == ()


async def test_ensure_months_across_a_year_end_is_idempotent(database: Database) -> None:
    now = datetime(2091, 11, 30, 23, 59, tzinfo=UTC)
    async with database.transaction() as connection:
        made = await partitions.ensure_months(connection, JOURNAL, now, 3)
        again = await partitions.ensure_months(connection, JOURNAL, now, 3)
        later = await partitions.ensure_months(connection, JOURNAL, now + timedelta(minutes=1), 3)
    assert made == ["transfer_2091_11", "transfer_2091_12", "transfer_2092_01", "transfer_2092_02"]
    assert again == []
    assert later == ["transfer_2092_03"]


async def test_ensure_months_of_a_month_with_strays_leaves_them_in_place(
    bench: Any, database: Database
) -> None:
    at = datetime(2095, 5, 5, tzinfo=UTC)
    key = IdFactory(FrozenClock(at)).uuid()
    await bench.ledger.posting.post_one(msgspec.structs.replace(bench.transfer("equity", "a", 1), key=key))
    async with database.transaction() as connection:
        assert await partitions.ensure_months(connection, JOURNAL, at, 1) == ["transfer_2095_06"]
    assert (await bench.ledger.reading.transfer(bench.book.book_id, key)).amount_minor == 1


async def test_post_at_both_edges_of_a_month_lands_in_its_partition(bench: Any, database: Database) -> None:
    async with database.transaction() as connection:
        await partitions.ensure_months(connection, JOURNAL, datetime(2093, 12, 1, tzinfo=UTC), 1)
    edges = {
        datetime(2093, 12, 1, tzinfo=UTC): "transfer_2093_12",
        datetime(2094, 1, 1, tzinfo=UTC) - timedelta(milliseconds=1): "transfer_2093_12",
        datetime(2094, 1, 1, tzinfo=UTC): "transfer_2094_01",
    }
    for at, table in edges.items():
        key = IdFactory(FrozenClock(at)).uuid()
        await bench.ledger.posting.post_one(
            msgspec.structs.replace(bench.transfer("equity", "a", 1), key=key)
        )
        async with database.connection() as connection:
            found = await connection.fetchval(
                "SELECT tableoid::regclass::text FROM ledger.transfer WHERE key = $1", key
            )
        assert found == f"ledger.{table}"


async def test_seal_publishes_a_fact_with_its_place_in_the_same_commit(
    bench: Any, database: Database
) -> None:
    await bench.ledger.posting.post([bench.transfer("equity", "a", n) for n in (1, 2, 3)])
    await bench.ledger.sealing.seal_all()
    head = await bench.ledger.sealing.head(bench.book.book_id)
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT topic, payload FROM events.outbox WHERE subject = $1",
            int_text("book", bench.book.book_id),
        )
    [(topic, payload)] = rows
    fact = decode(topic, payload)
    assert isinstance(fact, Sealed)
    assert (fact.seal_no, fact.first_seq, fact.last_seq) == (1, 1, 3)
    assert fact.seal_hash == head.seal_hash.hex()
