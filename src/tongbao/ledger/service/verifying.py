"""Proving the books: seals against rows, rows against balances, holds against what is held.

``verify`` re-reads every row of a book and trusts nothing that was derived from it: leaf hashes, roots, the
chain of seals, checkpoints, balances and holds are computed anew and compared. What an intruder with full
rights changed is named: the altered, deleted, inserted or swapped row. Somebody who rewrites rows *and* all
later seals is caught by whoever remembers a seal hash (``expected_hash``), which is why hashes leave the house.
"""

from collections.abc import Iterator
from uuid import UUID

import msgspec

from tongbao.core import merkle
from tongbao.core.db import Connection, Database
from tongbao.core.metrics import Metrics
from tongbao.ledger import sealed
from tongbao.ledger.errors import UnknownBook
from tongbao.ledger.policy import posted_and_held
from tongbao.ledger.schema import AccountId, Book, BookId, HoldState, JournalRow, Kind, Seal
from tongbao.ledger.store import accounts as charts
from tongbao.ledger.store import checks as store
from tongbao.ledger.store import seals

FINDINGS_MAX = 1_000
SAMPLE_SIZE = 200
_START = (BookId(-1), AccountId(-1))


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong. ``what`` is a stable code, ``where`` the transfer, seal, account or hold."""

    what: str
    where: str
    detail: str


class Report(msgspec.Struct, frozen=True):
    """What ``verify`` found in one book; sound where ``findings`` is empty."""

    book_code: str
    seal_count: int
    transfer_count: int
    unsealed_count: int
    head_hash: bytes
    findings: tuple[Finding, ...]

    @property
    def sound(self) -> bool:
        """True where nothing is wrong."""
        return not self.findings


class _Sums:
    """Debits, credits and both held sums of an account, added up from the journal."""

    __slots__ = ("credits", "credits_held", "debits", "debits_held", "entry_count")

    def __init__(self) -> None:
        self.debits = self.credits = self.debits_held = self.credits_held = self.entry_count = 0

    def all(self) -> tuple[int, int, int, int]:
        return self.debits, self.credits, self.debits_held, self.credits_held


class _Proof:
    """The state of one verification: what was read so far and what was wrong with it."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.sums: dict[AccountId, _Sums] = {}
        self.held: dict[UUID, int] = {}
        self.known: set[UUID] = set()

    def find(self, what: str, where: object, detail: str) -> None:
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(Finding(what, str(where), detail))

    def add(self, row: JournalRow) -> None:
        """Add a row to the sums of its accounts and to what its hold has left."""
        posted, held = posted_and_held(row)
        debit = self.sums.setdefault(row.debit_account_id, _Sums())
        credit = self.sums.setdefault(row.credit_account_id, _Sums())
        debit.debits += posted
        debit.debits_held += held
        debit.entry_count += 1
        credit.credits += posted
        credit.credits_held += held
        credit.entry_count += 1
        if row.kind is Kind.HOLD:
            self.held[row.key] = row.amount_minor
        elif held and row.refers_to is not None:
            self.held[row.refers_to] = self.held.get(row.refers_to, 0) + held


class Verifying:
    """Checks books, wholly on demand and in samples all the time."""

    def __init__(self, database: Database, metrics: Metrics) -> None:
        self._database = database
        self._position = _START
        self._broken = metrics.counter("ledger_invariant_broken", "Findings of the always-on checks", labels=("what",))

    async def verify(self, book_code: str, *, expected_hash: bytes | None = None) -> Report:
        """Verify one book completely, in one snapshot. Reads every row once: about 100,000 rows a second.

        ``expected_hash``: a seal hash remembered from earlier; it must be part of the chain. Raises UnknownBook.
        """
        async with self._database.transaction(read_only=True, snapshot=True) as connection:
            await connection.execute("SET LOCAL statement_timeout = 0")
            book = await charts.book_by_code(connection, book_code)
            if book is None:
                raise UnknownBook(book_code)
            return await self._verify(connection, book, expected_hash)

    async def verify_sample(self, sample_size: int = SAMPLE_SIZE) -> list[Finding]:
        """Check the next accounts in turn, going round for ever; return what is wrong.

        Always on in the background: each balance must equal its newest checkpoint plus the unsealed rows. Each
        finding also counts in the metric ``ledger_invariant_broken``.
        """
        async with self._database.transaction(read_only=True, snapshot=True) as connection:
            rows = await store.sample(connection, self._position, sample_size)
        self._position = (rows[-1].book_id, rows[-1].account_id) if rows else _START
        findings = [
            Finding("balance_differs", f"{row.book_id}:{row.account_id}", f"journal {row.expected}, balance {row.actual}")
            for row in rows
            if row.expected != row.actual
        ]
        for finding in findings:
            self._broken.labels(finding.what).inc()
        return findings

    async def _verify(self, connection: Connection, book: Book, expected_hash: bytes | None) -> Report:
        proof = _Proof()
        cursor = await seals.cursor(connection)
        previous, next_seq, count = sealed.GENESIS, 1, 0
        seen_expected = expected_hash is None or expected_hash == previous
        async for seal in seals.seals_of_book(connection, book.book_id):
            count += 1
            rows = await seals.rows_of_seal(connection, book.book_id, _keys(seal, proof))
            _check_chain(seal, count, next_seq, previous, proof)
            _check_rows(seal, rows, proof)
            previous, next_seq = seal.seal_hash, seal.first_seq + seal.transfer_count
            seen_expected = seen_expected or previous == expected_hash
        if not seen_expected:
            proof.find("history_rewritten", book.code, "the remembered seal hash is not part of the chain")
        async for key in seals.keys_below(connection, book.book_id, cursor.next_xid):
            if key not in proof.known:
                proof.find("row_inserted", key, "stands in the journal but in no seal")
        await self._check_checkpoints(connection, book.book_id, proof)
        tail = await seals.rows_from(connection, book.book_id, cursor.next_xid)
        for row in tail:
            proof.add(row)
        await self._check_balances(connection, book.book_id, proof)
        await self._check_holds(connection, book.book_id, proof)
        return Report(book.code, count, next_seq - 1, len(tail), previous, tuple(proof.findings))

    async def _check_checkpoints(self, connection: Connection, book_id: BookId, proof: _Proof) -> None:
        """Compare the newest checkpoint of every account with the sums of the sealed rows."""
        stored = {row["account_id"]: row for row in await seals.last_checkpoints(connection, book_id)}
        for account_id in stored.keys() | proof.sums.keys():
            row, sums = stored.get(account_id), proof.sums.get(account_id, _Sums())
            said = (0, 0, 0, 0, 0) if row is None else tuple(row)[2:]
            if said != (*sums.all(), sums.entry_count):
                proof.find("checkpoint_differs", account_id, f"journal {sums.all()}, checkpoint {said}")

    async def _check_balances(self, connection: Connection, book_id: BookId, proof: _Proof) -> None:
        """Compare every balance with the sums of all rows, and debits with credits."""
        totals: dict[int, int] = {}
        for row in await store.balances(connection, book_id):
            sums = proof.sums.pop(row.account_id, _Sums())
            if row.sums != sums.all():
                proof.find("balance_differs", row.account_code, f"journal {sums.all()}, balance {row.sums}")
            totals[row.asset_id] = totals.get(row.asset_id, 0) + row.sums[0] - row.sums[1]
        for account_id in proof.sums:
            proof.find("account_missing", account_id, "has rows in the journal but no balance")
        for asset_id, difference in totals.items():
            if difference:
                proof.find("debits_differ_from_credits", asset_id, f"by {difference}")

    async def _check_holds(self, connection: Connection, book_id: BookId, proof: _Proof) -> None:
        """Compare what every hold has left with the journal."""
        stored = await store.holds(connection, book_id)
        for key in stored.keys() | proof.held.keys():
            state, remaining = stored.get(key, (HoldState.OPEN, 0))
            if remaining != proof.held.get(key, 0) or (state is not HoldState.OPEN and remaining):
                proof.find("hold_differs", key, f"journal leaves {proof.held.get(key, 0)}, hold says {remaining}")


def _keys(seal: Seal, proof: _Proof) -> list[UUID]:
    """Return the keys of a seal, noting those that an earlier seal named already."""
    try:
        keys = sealed.unpack_keys(seal.keys)
    except ValueError as error:
        proof.find("seal_altered", f"seal {seal.seal_no}", str(error))
        return []
    for key in keys:
        if key in proof.known:
            proof.find("row_sealed_twice", key, f"again in seal {seal.seal_no}")
        proof.known.add(key)
    return keys


def _check_chain(seal: Seal, expected_no: int, next_seq: int, previous: bytes, proof: _Proof) -> None:
    """Check number, sequence, predecessor, root and hash of a seal by themselves."""
    where = f"seal {seal.seal_no}"
    if seal.seal_no != expected_no or seal.first_seq != next_seq:
        proof.find("seal_missing", f"seal {expected_no}", f"expected number {expected_no} from sequence {next_seq}")
    if seal.previous_hash != previous:
        proof.find("chain_broken", where, "does not name the seal before it")
    digest = sealed.seal_hash(
        seal.book_id, seal.seal_no, seal.first_seq, seal.transfer_count, seal.root, seal.previous_hash
    )
    if digest != seal.seal_hash:
        proof.find("seal_altered", where, "its hash does not fit its contents")
    if len(seal.leaves) != 32 * seal.transfer_count or len(seal.keys) != 16 * seal.transfer_count:
        proof.find("seal_altered", where, "its lists do not have the length it states")
    elif merkle.root(merkle.unpack(seal.leaves)) != seal.root:
        proof.find("seal_altered", where, "its leaves do not give its root")


def _check_rows(seal: Seal, rows: dict[UUID, JournalRow], proof: _Proof) -> None:
    """Compare each sealed leaf with the row that its key names now."""
    leaf_of = {key: seal.leaves[at * 32 : at * 32 + 32] for at, key in _numbered(seal)}
    wrong: dict[UUID, JournalRow] = {}
    for key, expected in leaf_of.items():
        row = rows.get(key)
        if row is None:
            proof.find("row_deleted", key, f"was sealed in seal {seal.seal_no}")
            continue
        proof.add(row)
        if sealed.leaf(row) != expected:
            wrong[key] = row
    for key, row in wrong.items():
        partner = next((k for k in wrong if k != key and sealed.leaf(row, k) == leaf_of[k]), None)
        if partner is not None:
            proof.find("row_swapped", key, f"carries the contents of {partner}")
        else:
            proof.find("row_altered", key, f"differs from what seal {seal.seal_no} hashed")


def _numbered(seal: Seal) -> Iterator[tuple[int, UUID]]:
    return ((at, UUID(bytes=seal.keys[at * 16 : at * 16 + 16])) for at in range(len(seal.keys) // 16))
