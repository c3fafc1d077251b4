"""Reads: statements with running balance, balance as of any instant, roll-ups, trial balance, one transfer.

Every read runs in one snapshot. Sealed rows come from the checkpoints that the sealer built; what is younger
(normally less than a second) is read from the journal's unsealed tail, so that nothing is ever missing.
"""

from datetime import datetime
from typing import Literal
from uuid import UUID

from tongbao.core.clock import require_utc
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest
from tongbao.ledger.errors import UnknownAccount, UnknownTransfer
from tongbao.ledger.policy import posted_and_held
from tongbao.ledger.schema import (
    AccountId,
    BalanceAt,
    BookId,
    Entry,
    HoldRow,
    JournalRow,
    RollUp,
    StatementPage,
    TrialBalanceLine,
)
from tongbao.ledger.store import accounts as charts
from tongbao.ledger.store import reads as store

PAGE_SIZE_MAX = 500
_SEQ_MAX = 2**62
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

    async def holds(self, book_id: BookId, *, open_only: bool = True, limit: int = 100) -> list[HoldRow]:
        """Return the newest holds of a book, at most 500."""
        async with self._database.connection() as connection:
            return await store.holds(connection, book_id, open_only, min(limit, PAGE_SIZE_MAX))

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
            tail: list[JournalRow] = []
            await store.search_by_watermark(connection)
            if at is None:
                tail = (await store.unsealed(connection, book_id, account_id))[::-1]
                last = await store.last_checkpoint(connection, book_id, account_id)
                posted = 0 if last is None else last.credits_minor - last.debits_minor
                at = _Position(seq=_SEQ_MAX, balance_minor=posted)
            fresh = [_entry(row, account_id, None, None) for row in tail[:limit]]
            rows = await store.sealed_entries(
                connection, book_id, account_id, at.seq, limit - len(fresh) + 1
            )
        entries, end = _with_balances(rows[: limit - len(fresh)], account_id, at)
        more = len(rows) > limit - len(fresh) or len(tail) > limit
        return StatementPage(account, (*fresh, *entries), str(end) if more else None)

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


class _Position:
    """Where a page ended: its last sequence number, and the balance before that entry."""

    def __init__(self, seq: int, balance_minor: int) -> None:
        self.seq = seq
        self.balance_minor = balance_minor

    def __str__(self) -> str:
        return f"{self.seq}.{self.balance_minor}"

    @classmethod
    def parse(cls, text: str) -> "_Position":
        try:
            seq, balance = (int(part) for part in text.split("."))
        except ValueError as error:
            raise InvalidRequest("cursor_invalid", "this is not a cursor of a statement page") from error
        if not 0 <= seq <= _SEQ_MAX:
            raise InvalidRequest("cursor_invalid", "this is not a cursor of a statement page")
        return cls(seq, balance)


def _with_balances(
    rows: list[tuple[int, JournalRow]], account_id: AccountId, at: _Position
) -> tuple[list[Entry], _Position]:
    """Return sealed rows, newest first, with the balance after each, and the position after the last."""
    entries = []
    balance = at.balance_minor
    for seq, row in rows:
        entry = _entry(row, account_id, seq, balance)
        entries.append(entry)
        balance -= entry.posted_delta_minor
        at = _Position(seq, balance)
    return entries, at


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
