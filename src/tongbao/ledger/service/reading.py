"""Reads: statements with running balance, balance as of any instant, roll-ups, trial balance, one transfer.

Every read runs in one snapshot. Sealed rows come from the checkpoints that the sealer built; what is younger
(normally less than a second) is read from the journal's unsealed tail, so that nothing is ever missing.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

from tongbao.core.clock import require_utc
from tongbao.core.db import Connection, Database
from tongbao.core.errors import InvalidRequest
from tongbao.ledger.errors import UnknownAccount, UnknownTransfer
from tongbao.ledger.policy import posted_and_held
from tongbao.ledger.schema import (
    Account,
    AccountId,
    BalanceAt,
    BookId,
    Entry,
    HoldRow,
    House,
    JournalRow,
    NewestSeal,
    RollUp,
    StatementPage,
    TrialBalanceLine,
)
from tongbao.ledger.store import accounts as charts
from tongbao.ledger.store import journal
from tongbao.ledger.store import reads as store

PAGE_SIZE_MAX = 500
_SEQ_MAX = 2**62
_CURSOR = re.compile(r"(\d{1,19})(?:\.([0-9a-f]{32}))?", re.ASCII)
Axis = Literal["recorded", "occurred"]


class Reading:
    """Answers questions about the books; never writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def transfer(self, book_id: BookId, key: UUID) -> JournalRow:
        """Return one row of the journal; raise UnknownTransfer."""
        async with self._database.connection() as connection:
            row = await store.transfer(connection, book_id, key)
        if row is None:
            raise UnknownTransfer(key)
        return row

    async def transfers(self, book_id: BookId, keys: Sequence[UUID]) -> list[JournalRow]:
        """Return the journal rows of these keys that exist, in the order in which they were recorded; one query."""
        async with self._database.connection() as connection:
            found = await journal.rows_by_key(connection, [(book_id, key) for key in keys])
        return sorted(found.values(), key=lambda row: (row.recorded_at, row.batch_index))

    async def holds(self, book_id: BookId, *, open_only: bool = True, limit: int = 100) -> list[HoldRow]:
        """Return the newest holds of a book, at most 500."""
        async with self._database.connection() as connection:
            return await store.holds(connection, book_id, open_only, max(1, min(limit, PAGE_SIZE_MAX)))

    async def house(self, newest: int = 10) -> House:
        """Return the counts of the house and its newest seals."""
        async with self._database.connection() as connection:
            return await store.house(connection, newest)

    async def newest_seal(self, book_id: BookId) -> NewestSeal | None:
        """Return the newest seal of a book; None where nothing is sealed yet."""
        async with self._database.connection() as connection:
            return await store.newest_seal(connection, book_id)

    async def group(self, book_id: BookId, group_key: UUID) -> list[JournalRow]:
        """Return the transfers that were posted as one linked group, in order."""
        async with self._database.connection() as connection:
            return await store.group(connection, book_id, group_key)

    async def statement(
        self, book_id: BookId, account_id: AccountId, *, before: str | None = None, limit: int = 50
    ) -> StatementPage:
        """Return up to ``limit`` entries of an account, newest first, with the balance after each.

        ``before`` continues where a page ended (its ``next_before``). The first page begins with what is not
        sealed yet; those entries have no sequence number and no running balance. Raises UnknownAccount,
        InvalidRequest ``cursor_invalid``.
        """
        limit = max(1, min(limit, PAGE_SIZE_MAX))
        at = None if before is None else _Position.parse(before)
        async with self._database.transaction(read_only=True, snapshot=True) as connection:
            account = await charts.account_by_id(connection, book_id, account_id)
            if account is None:
                raise UnknownAccount(account_id)
            last = await store.last_checkpoint(connection, book_id, account_id)
            base = 0 if last is None else last.last_seq
            tail, seq = await _tail_before(connection, account, at, base)
            fresh = [_entry(row, account_id, None, None) for row in tail[: -limit - 1 : -1]]
            if len(tail) >= limit:
                more = len(tail) > limit or base
                return StatementPage(account, tuple(fresh), f"{base}.{fresh[-1].key.hex}" if more else None)
            wanted = limit - len(fresh)
            rows = await store.sealed_entries(connection, book_id, account_id, seq, wanted + 1)
            balance = await _balance_before(connection, account, seq, last)
        entries = _with_balances(rows[:wanted], account_id, balance)
        return StatementPage(
            account, (*fresh, *entries), str(entries[-1].seq) if len(rows) > wanted else None
        )

    async def balance_at(
        self, book_id: BookId, account_id: AccountId, at: datetime, *, axis: Axis = "recorded"
    ) -> BalanceAt:
        """Return the sums of an account as of an instant, inclusive.

        ``axis``: by the time of recording (what we knew then) or by business time (what had happened by then,
        as known now). Raises UnknownAccount; InvalidRequest ``time_invalid`` for an instant without a zone.
        """
        try:
            at = require_utc(at)
        except ValueError as error:
            raise InvalidRequest("time_invalid", "an instant needs a time zone") from error
        async with self._database.transaction(read_only=True, snapshot=True) as connection:
            if await charts.account_by_id(connection, book_id, account_id) is None:
                raise UnknownAccount(account_id)
            await store.search_by_watermark(connection)
            base = await store.checkpoint_at(connection, book_id, account_id, at, axis)
            rows = await store.rows_after(connection, book_id, account_id, base.last_seq, at, axis)
            tail = await store.unsealed(connection, book_id, account_id)
        debits, credits = base.debits_minor, base.credits_minor
        debits_held, credits_held = base.debits_held_minor, base.credits_held_minor
        for row in (*rows, *(row for row in tail if _instant(row, axis) <= at)):
            posted, held = posted_and_held(row)
            if row.debit_account_id == account_id:
                debits, debits_held = debits + posted, debits_held + held
            else:
                credits, credits_held = credits + posted, credits_held + held
        return BalanceAt(account_id, at, debits, credits, debits_held, credits_held)

    async def roll_up(self, book_id: BookId, code: str) -> list[RollUp]:
        """Return, by asset, the sums over an account path and everything below it."""
        async with self._database.connection() as connection:
            return await store.roll_up(connection, book_id, code)

    async def trial_balance(self, book_id: BookId | None = None) -> list[TrialBalanceLine]:
        """Return the sums of every account of one book, or by book and account code over the whole house.

        Per asset, debits equal credits; ``unbalanced`` names the assets where they do not.
        """
        async with self._database.transaction(read_only=True, snapshot=True) as connection:
            return await store.trial_balance(connection, book_id)


def _instant(row: JournalRow, axis: Axis) -> datetime:
    return row.recorded_at if axis == "recorded" else row.occurred_at


def unbalanced(lines: list[TrialBalanceLine]) -> dict[str, int]:
    """Return debits minus credits by asset, only where it is not zero: an empty answer is a balanced ledger."""
    sums: dict[str, int] = {}
    for line in lines:
        sums[line.asset] = sums.get(line.asset, 0) + line.debits_minor - line.credits_minor
    return {asset: difference for asset, difference in sums.items() if difference}


class _Position(NamedTuple):
    """Where a page ended: at a sealed entry, or at a key of the tail that lay above entry ``seq`` then."""

    seq: int
    key: UUID | None

    @classmethod
    def parse(cls, text: str) -> "_Position":
        """Read a cursor back: ``17``, or ``17.`` and the 32 digits of a key."""
        found = _CURSOR.fullmatch(text)
        if found is None or int(found[1]) > _SEQ_MAX:
            raise InvalidRequest("cursor_invalid", "this is not a cursor of a statement page")
        return cls(int(found[1]), None if found[2] is None else UUID(hex=found[2]))


async def _tail_before(
    connection: Connection, account: Account, at: _Position | None, base: int
) -> tuple[list[JournalRow], int]:
    """Return the unsealed rows of a page, oldest first, and below which sequence number its sealed ones begin."""
    if at is not None and at.key is None:
        return [], at.seq
    await store.search_by_watermark(connection)
    tail = await store.unsealed(connection, account.book_id, account.account_id)
    if at is None or at.key is None:
        return tail, base + 1
    for index, row in enumerate(tail):
        if row.key == at.key:
            return tail[:index], base + 1
    seq = await store.seq_of(connection, account.book_id, account.account_id, at.seq, at.key)
    if seq is None:
        raise InvalidRequest("cursor_invalid", "this cursor belongs to another account")
    return [], seq


async def _balance_before(
    connection: Connection, account: Account, seq: int, last: store.Checkpoint | None
) -> int:
    """Return the posted balance of an account before its entry ``seq``, computed and not taken from the cursor."""
    covered = await store.rows_from(connection, account.book_id, account.account_id, seq)
    if covered is None:
        return 0 if last is None else last.credits_minor - last.debits_minor
    balance, rows = covered
    return balance - sum(_entry(row, account.account_id, None, None).posted_delta_minor for row in rows)


def _with_balances(
    rows: list[tuple[int, JournalRow]], account_id: AccountId, balance_minor: int
) -> list[Entry]:
    """Return sealed rows, newest first, each with the balance after it; the first one's is given."""
    entries = []
    for seq, row in rows:
        entry = _entry(row, account_id, seq, balance_minor)
        entries.append(entry)
        balance_minor -= entry.posted_delta_minor
    return entries


def _entry(row: JournalRow, account_id: AccountId, seq: int | None, balance_minor: int | None) -> Entry:
    """Return a journal row as the leg that one of its two accounts sees."""
    sign = -1 if row.debit_account_id == account_id else 1
    posted, held = posted_and_held(row)
    return Entry(
        seq=seq,
        key=row.key,
        kind=row.kind,
        code=row.code,
        reference=row.reference,
        other_account_id=row.credit_account_id if sign < 0 else row.debit_account_id,
        posted_delta_minor=sign * posted,
        held_delta_minor=sign * held,
        balance_minor=balance_minor,
        occurred_at=row.occurred_at,
        recorded_at=row.recorded_at,
    )
