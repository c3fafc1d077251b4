"""Whatever somebody with full rights changes in the books is found and named."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tongbao.core import merkle
from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.ledger import sealed
from tongbao.ledger.errors import UnknownBook
from tongbao.ledger.schema import Account, Book, JournalRow, Kind, Seal, Transfer, capture, linked, void
from tongbao.ledger.service.ledger import Ledger
from tongbao.ledger.service.verifying import Report

COPY = "CREATE TABLE public.{0} AS TABLE ledger.{0}"
TABLES = ("transfer", "balance", "balance_stripe", "hold", "seal", "checkpoint", "seal_cursor", "account")
ROW = "UPDATE ledger.transfer SET {} WHERE key = $1"
SEALED_COUNT = 3


class Books:
    """One book with three seals and an unsealed tail, a superuser's connection, and short ways to look."""

    def __init__(self, ledger: Ledger, book: Book, accounts: dict[str, Account], sql: Any) -> None:
        self.ledger = ledger
        self.book = book
        self.accounts = accounts
        self.sql = sql
        self.seals: list[Seal] = []
        self.keys: list[list[UUID]] = []
        self.tail: list[UUID] = []
        self.holds: dict[str, UUID] = {}

    def transfer(self, debit: str, credit: str, amount_minor: int, **fields: Any) -> Transfer:
        values: dict[str, Any] = {
            "key": self.ledger.ids.uuid(),
            "book_id": self.book.book_id,
            "debit_account_id": self.accounts[debit].account_id,
            "credit_account_id": self.accounts[credit].account_id,
            "amount_minor": amount_minor,
            "asset_id": self.accounts[debit].asset_id,
            "code": "test",
        }
        return Transfer(**(values | fields))

    async def post(self, *transfers: Transfer) -> None:
        answers = await self.ledger.posting.post(transfers)
        assert all(answer.accepted for answer in answers), answers

    async def verify(self, expected_hash: bytes | None = None) -> Report:
        return await self.ledger.verifying.verify(self.book.code, expected_hash=expected_hash)

    async def found(self, expected_hash: bytes | None = None) -> dict[str, set[str]]:
        """What was found: by code, the places."""
        found: dict[str, set[str]] = {}
        for finding in (await self.verify(expected_hash)).findings:
            found.setdefault(finding.what, set()).add(finding.where)
        return found


async def fill(ledger: Ledger, sql: Any) -> Books:
    """Open the book, post and seal it."""
    book = await ledger.accounts.open_book("proof", "empty", "Proof")
    accounts = {
        name: await ledger.accounts.open_account(book.book_id, name, "CNY", striped=name == "striped")
        for name in ("equity", "a", "b", "c", "striped")
    }
    books = Books(ledger, book, accounts, sql)
    for number in range(SEALED_COUNT):
        hold = books.transfer("a", "b", 40, kind=Kind.HOLD, expires_at=datetime(2099, 1, 1, tzinfo=UTC))
        closed = books.transfer("a", "c", 30, kind=Kind.HOLD)
        batch = [
            books.transfer("equity", "a", 500 + number, reference=f"发票 {number}"),
            books.transfer("equity", "b", 500 + number, reference=f"b{number}"),
            *linked(
                [books.transfer("a", "c", 7), books.transfer("b", "c", 9), books.transfer("c", "striped", 5)]
            ),
            hold,
            closed,
        ]
        follow = [
            capture(ledger.ids.uuid(), book.book_id, hold.key, 15, "captured"),
            capture(ledger.ids.uuid(), book.book_id, closed.key, 20, "captured", final=True)
            if number
            else void(ledger.ids.uuid(), book.book_id, closed.key, "voided"),
        ]
        await books.post(*batch)
        await books.post(*follow)
        while not await ledger.sealing.seal_all():
            pass
        books.keys.append([transfer.key for transfer in batch + follow])
        books.holds = {"open": hold.key, "closed": closed.key}
    rest = [books.transfer("a", "b", 11), books.transfer("a", "b", 6, kind=Kind.HOLD)]
    await books.post(*rest)
    books.tail = [transfer.key for transfer in rest]
    rows = await sql.fetch("SELECT * FROM ledger.seal ORDER BY seal_no")
    books.seals = [Seal(*(row[name] for name in Seal.__struct_fields__)) for row in rows]
    return books


@pytest.fixture(scope="module")
async def filled(database: Database) -> AsyncIterator[Books]:
    sql = await asyncpg.connect(database.dsn, server_settings={"synchronous_commit": "off"})
    async with Ledger(database, RealClock(), Metrics(), IdFactory(RealClock())) as ledger:
        books = await fill(ledger, sql)
        for table in TABLES:
            await sql.execute(COPY.format(table))
        yield books
    await sql.close()


@pytest.fixture
async def books(filled: Books) -> AsyncIterator[Books]:
    """The book; whatever a test does to it is taken back afterwards."""
    assert (await filled.verify()).findings == ()
    yield filled
    again = [
        f"DELETE FROM ledger.{table}; INSERT INTO ledger.{table} TABLE public.{table};" for table in TABLES
    ]
    await filled.sql.execute("".join(again))


async def test_verify_untouched_book_is_sound(books: Books) -> None:
    report = await books.verify(expected_hash=books.seals[1].seal_hash)
    assert report.sound
    assert report.seal_count == len(books.seals) >= SEALED_COUNT
    assert report.transfer_count == sum(len(keys) for keys in books.keys)
    assert report.unsealed_count == len(books.tail)
    assert report.head_hash == books.seals[-1].seal_hash
    assert await books.ledger.verifying.verify_sample() == []


async def test_verify_unknown_book_is_refused(books: Books) -> None:
    with pytest.raises(UnknownBook):
        await books.ledger.verifying.verify("nowhere")


async def test_verify_empty_book_is_sound(books: Books) -> None:
    await books.ledger.accounts.open_book("void", "merchant", "Void", ("CNY",))
    report = await books.ledger.verifying.verify("void")
    assert report.sound
    assert (report.seal_count, report.transfer_count, report.head_hash) == (0, 0, sealed.GENESIS)


@pytest.mark.parametrize(
    "change",
    [
        "amount_minor = amount_minor + 1",
        "reference = 'other'",
        "reference = NULL",
        "reference = ''",
        "code = 'other'",
        "recorded_at = recorded_at + interval '1 microsecond'",
        "recorded_at = 'infinity'",
        "occurred_at = occurred_at - interval '1 day'",
        "asset_id = 840",
        "kind = 5",
        "kind = 99",
        "kind = -1",
        "group_key = key, group_size = 1",
        "group_size = -1",
        "refers_to = key",
        "released_minor = 0",
        "requested_minor = amount_minor",
        "expires_at = now()",
        "debit_account_id = credit_account_id, credit_account_id = debit_account_id",
        "credit_account_id = 4611686018427387904",
        "book_id = book_id + 1",
    ],
)
async def test_verify_after_one_column_of_a_sealed_row_was_changed_names_the_row(
    books: Books, change: str
) -> None:
    key = books.keys[1][0]
    await books.sql.execute(ROW.format(change), key)
    found = await books.found()
    moved = change.startswith("book_id")
    assert found["row_deleted" if moved else "row_altered"] == {str(key)}


async def test_verify_after_an_account_was_exchanged_names_row_and_accounts(books: Books) -> None:
    key = books.keys[0][1]
    await books.sql.execute(ROW.format("credit_account_id = $2"), key, books.accounts["c"].account_id)
    found = await books.found()
    assert found["row_altered"] == {str(key)}
    assert found["balance_differs"] == {"b", "c"}


async def test_verify_after_a_row_was_deleted_names_it(books: Books) -> None:
    key = books.keys[2][1]
    await books.sql.execute("DELETE FROM ledger.transfer WHERE key = $1", key)
    found = await books.found()
    assert found["row_deleted"] == {str(key)}
    assert found["balance_differs"] == {"equity", "b"}
    assert len(found["checkpoint_differs"]) == 2


async def insert_copy(books: Books, source: UUID, change: str) -> UUID:
    """Insert a copy of a row under a new key, with one thing changed."""
    key = books.ledger.ids.uuid()
    await books.sql.execute(
        "CREATE TEMP TABLE copied AS SELECT * FROM ledger.transfer WHERE key = $1", source
    )
    await books.sql.execute(f"UPDATE copied SET key = '{key}', {change}")
    await books.sql.execute("INSERT INTO ledger.transfer SELECT * FROM copied")
    await books.sql.execute("DROP TABLE copied")
    return key


async def test_verify_after_a_row_was_inserted_behind_the_sealer_names_it(books: Books) -> None:
    key = await insert_copy(books, books.keys[0][0], "reference = 'forged'")
    assert (await books.found())["row_inserted"] == {str(key)}


async def test_verify_after_a_row_was_inserted_before_the_sealer_names_its_accounts(books: Books) -> None:
    await insert_copy(books, books.keys[0][0], "batch_xid = (SELECT end_xid + 1 FROM ledger.seal_cursor)")
    assert (await books.found()) == {"balance_differs": {"equity", "a"}}


async def test_verify_after_a_sealed_row_was_pushed_among_the_unsealed_names_it(books: Books) -> None:
    key = books.keys[0][0]
    await books.sql.execute(ROW.format("batch_xid = (SELECT end_xid FROM ledger.seal_cursor)"), key)
    assert (await books.found()) == {"row_moved": {str(key)}}


async def test_verify_after_an_unsealed_row_was_changed_names_its_accounts(books: Books) -> None:
    await books.sql.execute(ROW.format("amount_minor = 12"), books.tail[0])
    assert (await books.found()) == {"balance_differs": {"a", "b"}}


SWAP = """
UPDATE ledger.transfer AS t
SET amount_minor = o.amount_minor, reference = o.reference, debit_account_id = o.debit_account_id,
    credit_account_id = o.credit_account_id
FROM ledger.transfer AS o WHERE (t.key = $1 AND o.key = $2) OR (t.key = $2 AND o.key = $1)
"""


async def test_verify_after_two_rows_swapped_contents_names_both(books: Books) -> None:
    first, second = books.keys[1][0], books.keys[1][1]
    await books.sql.execute(SWAP, first, second)
    report = await books.verify()
    assert {f.where: f.detail for f in report.findings if f.what == "row_swapped"} == {
        str(first): f"carries the contents of {second}",
        str(second): f"carries the contents of {first}",
    }


async def test_verify_after_two_rows_swapped_keys_names_both(books: Books) -> None:
    first, second, aside = books.keys[1][0], books.keys[1][1], books.ledger.ids.uuid()
    for old, new in ((first, aside), (second, first), (aside, second)):
        await books.sql.execute(ROW.format("key = $2"), old, new)
    assert (await books.found())["row_swapped"] == {str(first), str(second)}


async def test_verify_after_rows_of_two_seals_were_swapped_names_both(books: Books) -> None:
    first, second = books.keys[0][0], books.keys[2][0]
    await books.sql.execute(SWAP, first, second)
    assert (await books.found())["row_altered"] == {str(first), str(second)}


def other(data: bytes, at: int = 5) -> bytes:
    """The same bytes with one bit turned."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize(
    ("column", "change", "what"),
    [
        ("leaves", other, {"seal_altered", "row_altered"}),
        ("leaves", lambda data: data[:-1], {"seal_altered", "row_altered"}),
        ("leaves", lambda data: b"", {"seal_altered", "row_altered"}),
        ("root", other, {"seal_altered"}),
        ("root", lambda data: b"", {"seal_altered"}),
        ("seal_hash", other, {"seal_altered", "chain_broken"}),
        ("previous_hash", other, {"seal_altered", "chain_broken"}),
        ("keys", lambda data: data[:-1], {"seal_altered"}),
        ("keys", other, {"row_deleted", "row_inserted"}),
    ],
)
async def test_verify_after_bytes_of_a_seal_were_changed_names_it(
    books: Books, column: str, change: Callable[[bytes], bytes], what: set[str]
) -> None:
    seal = books.seals[1]
    await books.sql.execute(
        f"UPDATE ledger.seal SET {column} = $1 WHERE seal_no = $2",
        change(getattr(seal, column)),
        seal.seal_no,
    )
    found = await books.found()
    assert what <= found.keys()
    if "seal_altered" in what:
        assert found["seal_altered"] == {f"seal {seal.seal_no}"}


@pytest.mark.parametrize("change", ["first_seq = first_seq + 1", "transfer_count = transfer_count + 1"])
async def test_verify_after_numbers_of_a_seal_were_changed_names_it(books: Books, change: str) -> None:
    await books.sql.execute(f"UPDATE ledger.seal SET {change} WHERE seal_no = 2")
    assert "seal 2" in (await books.found())["seal_altered"]


async def test_verify_after_a_seal_was_deleted_names_only_that_one(books: Books) -> None:
    await books.sql.execute("DELETE FROM ledger.seal WHERE seal_no = 2")
    found = await books.found()
    assert found["seal_missing"] == {"seal 2"}
    assert found["chain_broken"] == {"seal 3"}
    assert found["row_inserted"] == {
        str(UUID(bytes=books.seals[1].keys[at : at + 16])) for at in range(0, len(books.seals[1].keys), 16)
    }


async def test_verify_after_the_last_seal_was_deleted_names_its_rows(books: Books) -> None:
    last = books.seals[-1]
    await books.sql.execute("DELETE FROM ledger.seal WHERE seal_no = $1", last.seal_no)
    found = await books.found(expected_hash=last.seal_hash)
    assert len(found["row_inserted"]) == last.transfer_count
    assert found["history_rewritten"] == {"proof"}


async def test_verify_after_two_seals_changed_places_names_both(books: Books) -> None:
    for old, new in ((2, 99), (3, 2), (99, 3)):
        await books.sql.execute("UPDATE ledger.seal SET seal_no = $2 WHERE seal_no = $1", old, new)
    found = await books.found()
    assert found["seal_altered"] == {"seal 2", "seal 3"}
    assert {"seal 2", "seal 3"} <= found["chain_broken"]


async def test_verify_after_a_row_was_listed_in_two_seals_names_it(books: Books) -> None:
    third = books.seals[2]
    keys = books.seals[0].keys[:16] + third.keys[16:]
    await books.sql.execute("UPDATE ledger.seal SET keys = $1 WHERE seal_no = $2", keys, third.seal_no)
    found = await books.found()
    assert found["row_sealed_twice"] == {str(UUID(bytes=books.seals[0].keys[:16]))}


async def rewrite_from(books: Books, seal: Seal) -> None:
    """Do what a patient intruder does: alter a row and make every later seal, checkpoint and balance fit."""
    key = UUID(bytes=seal.keys[:16])
    await books.sql.execute(ROW.format("reference = 'rewritten'"), key)
    row = await books.sql.fetchrow(
        f"SELECT {', '.join(JournalRow._fields)} FROM ledger.transfer WHERE key = $1", key
    )
    values = JournalRow(*row)
    leaves = sealed.leaf(values._replace(kind=Kind(values.kind), key=key)) + seal.leaves[32:]
    previous = seal.previous_hash
    for later in (entry for entry in books.seals if entry.seal_no >= seal.seal_no):
        own = leaves if later.seal_no == seal.seal_no else later.leaves
        root = merkle.root(merkle.unpack(own))
        digest = sealed.seal_hash(
            later.book_id, later.seal_no, later.first_seq, later.transfer_count, root, previous
        )
        await books.sql.execute(
            "UPDATE ledger.seal SET leaves = $2, root = $3, previous_hash = $4, seal_hash = $5 WHERE seal_no = $1",
            later.seal_no,
            own,
            root,
            previous,
            digest,
        )
        previous = digest


async def test_verify_after_a_whole_suffix_was_rewritten_needs_a_remembered_hash(books: Books) -> None:
    await rewrite_from(books, books.seals[1])
    assert await books.found() == {}
    assert await books.found(expected_hash=books.seals[0].seal_hash) == {}
    assert await books.found(expected_hash=books.seals[1].seal_hash) == {"history_rewritten": {"proof"}}
    assert await books.found(expected_hash=books.seals[-1].seal_hash) == {"history_rewritten": {"proof"}}


@pytest.mark.parametrize(
    "column", ["debits_minor", "credits_minor", "debits_held_minor", "credits_held_minor"]
)
async def test_verify_after_a_balance_was_changed_names_the_account(books: Books, column: str) -> None:
    await books.sql.execute(
        f"UPDATE ledger.balance SET {column} = {column} + 1 WHERE account_id = $1",
        books.accounts["b"].account_id,
    )
    found = await books.found()
    assert found["balance_differs"] == {"b"}
    assert ("debits_differ_from_credits" in found) is (column in ("debits_minor", "credits_minor"))


async def test_verify_after_a_stripe_was_changed_names_the_account(books: Books) -> None:
    await books.sql.execute(
        "UPDATE ledger.balance_stripe SET credits_minor = credits_minor + 1 WHERE stripe = 3"
    )
    assert (await books.found())["balance_differs"] == {"striped"}


async def test_verify_after_money_was_made_on_both_sides_names_both(books: Books) -> None:
    for name, column in (("a", "credits_minor"), ("equity", "debits_minor")):
        account_id = books.accounts[name].account_id
        await books.sql.execute(
            f"UPDATE ledger.balance SET {column} = {column} + 100 WHERE account_id = $1", account_id
        )
    assert await books.found() == {"balance_differs": {"a", "equity"}}


async def test_verify_after_a_balance_was_deleted_names_the_account(books: Books) -> None:
    account_id = books.accounts["c"].account_id
    await books.sql.execute("DELETE FROM ledger.balance WHERE account_id = $1", account_id)
    assert (await books.found())["account_missing"] == {str(account_id)}


CHECKPOINT = "account_id = $1 AND last_seq >= $2 AND last_seq < $3"


@pytest.mark.parametrize("at", [0, 1, -1])
@pytest.mark.parametrize(
    "change",
    [
        "debits_minor = debits_minor + 1",
        "credits_minor = credits_minor - 1",
        "debits_held_minor = debits_held_minor + 1",
        "credits_held_minor = credits_held_minor + 1",
        "entry_count = entry_count + 1",
        "recorded_to = recorded_to - interval '1 hour'",
        "recorded_from = 'infinity'",
        "occurred_to = 'infinity'",
        "occurred_from = occurred_from - interval '1 hour'",
        "seqs = seqs[2:]",
        "keys = keys[2:]",
        "last_seq = last_seq - 1",
    ],
)
async def test_verify_after_a_checkpoint_was_changed_names_it(books: Books, at: int, change: str) -> None:
    account_id, seal = books.accounts["a"].account_id, books.seals[at]
    place = (account_id, seal.first_seq, seal.first_seq + seal.transfer_count)
    await books.sql.execute(f"UPDATE ledger.checkpoint SET {change} WHERE {CHECKPOINT}", *place)
    assert f"account {account_id} in seal {seal.seal_no}" in (await books.found())["checkpoint_differs"]


@pytest.mark.parametrize("at", [0, 1, -1])
async def test_verify_after_a_checkpoint_was_deleted_names_only_that_one(books: Books, at: int) -> None:
    account_id, seal = books.accounts["b"].account_id, books.seals[at]
    place = (account_id, seal.first_seq, seal.first_seq + seal.transfer_count)
    await books.sql.execute(f"DELETE FROM ledger.checkpoint WHERE {CHECKPOINT}", *place)
    assert await books.found() == {"checkpoint_differs": {f"account {account_id} in seal {seal.seal_no}"}}


@pytest.mark.parametrize(
    ("last_seq", "what"), [("1000000", "checkpoint_inserted"), ("last_seq - 1", "checkpoint_differs")]
)
async def test_verify_after_a_checkpoint_was_inserted_names_its_account(
    books: Books, last_seq: str, what: str
) -> None:
    account_id, seal = books.accounts["b"].account_id, books.seals[1]
    place = (account_id, seal.first_seq, seal.first_seq + seal.transfer_count)
    columns = "debits_minor, credits_minor, debits_held_minor, credits_held_minor, entry_count, recorded_from"
    columns += ", recorded_to, occurred_from, occurred_to, seqs, keys"
    await books.sql.execute(
        f"INSERT INTO ledger.checkpoint (book_id, account_id, last_seq, {columns}) "
        f"SELECT book_id, account_id, {last_seq}, {columns} FROM public.checkpoint WHERE {CHECKPOINT}",
        *place,
    )
    found = await books.found()
    assert {where.split(" in ")[0] for where in found[what]} == {f"account {account_id}"}


@pytest.mark.parametrize(
    ("which", "change"),
    [
        ("open", "remaining_minor = remaining_minor + 1"),
        ("open", "captured_minor = captured_minor + 1"),
        ("open", "amount_minor = amount_minor + 1"),
        ("open", "state = 2"),
        ("open", "state = 7"),
        ("open", "expires_at = now()"),
        ("open", "expires_at = NULL"),
        ("open", "credit_account_id = debit_account_id"),
        ("open", "asset_id = 840"),
        ("closed", "state = 0"),
        ("closed", "state = 3"),
        ("closed", "state = 0, remaining_minor = 10"),
    ],
)
async def test_verify_after_a_hold_was_changed_names_it(books: Books, which: str, change: str) -> None:
    key = books.holds[which]
    await books.sql.execute(f"UPDATE ledger.hold SET {change} WHERE key = $1", key)
    assert await books.found() == {"hold_differs": {str(key)}}


async def test_verify_after_a_hold_was_deleted_or_invented_names_it(books: Books) -> None:
    key, invented = books.holds["open"], books.ledger.ids.uuid()
    await books.sql.execute("UPDATE ledger.hold SET key = $2 WHERE key = $1", key, invented)
    assert await books.found() == {"hold_differs": {str(key), str(invented)}}


async def test_verify_sample_after_a_balance_was_changed_finds_and_counts_it(books: Books) -> None:
    changed = {books.accounts[name].account_id for name in ("a", "striped")}
    await books.sql.execute(
        "UPDATE ledger.balance SET debits_minor = debits_minor + 1 WHERE account_id = ANY($1::bigint[])",
        list(changed),
    )
    await books.sql.execute(
        "UPDATE ledger.balance_stripe SET debits_minor = debits_minor + 1 WHERE stripe = 7"
    )
    found = []
    for _ in range(20):
        found += await books.ledger.verifying.verify_sample(2)
    assert {finding.what for finding in found} == {"balance_differs"}
    assert {int(finding.where.split(":")[1]) for finding in found} == changed


async def test_verify_many_altered_rows_stays_quick_and_names_them(books: Books) -> None:
    await books.post(*(books.transfer("equity", "c", 1) for _ in range(4_000)))
    while not await books.ledger.sealing.seal_all():
        pass
    await books.sql.execute(
        "UPDATE ledger.transfer SET reference = 'all' WHERE reference IS NULL AND amount_minor = 1"
    )
    report = await books.verify()
    assert len(report.findings) == 1_000
    assert {finding.what for finding in report.findings} == {"row_altered"}
