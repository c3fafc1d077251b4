"""Channels' money: what a channel paid, once the bank shows it, posted to the merchants whose payments it paid for.

A transfer is posted in rounds, each one commit with its rows: the first takes the whole transfer into the bank account, and each
takes lines whose merchant is known out of suspense. Lines that are breaks stay in suspense until they are matched, by a run or a
person; what is written off is taken out by the break desk. Keys derive from the transfer's line and the round: whoever is killed or
repeats posts nothing twice, and two processes wait for each other. Where a channel tells its funds in a file of their own, the
transfer stands there, and what it paid for in the file of payments alone.
"""

import contextlib
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from datetime import time as day_time

import structlog

from tongbao.clearing.policy.channel_shares import shared
from tongbao.clearing.policy.house_postings import MerchantMoney, Paid, Round, settled
from tongbao.clearing.schema.lines import LineKind
from tongbao.clearing.service.house_money import HouseMoney
from tongbao.clearing.store import batches, modes
from tongbao.clearing.store import channel_money as store
from tongbao.clearing.store.channel_money import PaidLine, ShownTransfer
from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import AppError, InvariantBroken, OutcomeUnknown, Unavailable
from tongbao.ledger.schema import Transfer
from tongbao.ledger.service.ledger import Ledger

TRANSFERS_MAX = 100
"""Transfers that one step looks at."""
LINES_MAX = 100_000
"""Lines of one round; a larger batch takes several."""

_log = structlog.get_logger(__name__)


class _Overtaken(Exception):
    """Somebody else posted what was planned: roll back. Never leaves this module."""


class ChannelMoney:
    """Posts what channels paid. One object per process; any number of processes side by side."""

    def __init__(self, database: Database, ledger: Ledger, clock: Clock, money: HouseMoney) -> None:
        self._database = database
        self._ledger = ledger
        self._clock = clock
        self._money = money

    async def step(self, source: str | None = None) -> int:
        """Post a round of each transfer that is due, of one channel where it is named; return how many rounds. Repeatable.

        Called by workers, and after a run. A transfer that cannot be posted is logged, left, and keeps up no other;
        Unavailable and OutcomeUnknown are raised.
        """
        async with self._database.connection() as connection:
            due = await store.shown(connection, source, TRANSFERS_MAX)
            due += await store.grown(connection, source, TRANSFERS_MAX)
        count = 0
        for line_id in due:
            try:
                count += await self.settle(line_id)
            except (Unavailable, OutcomeUnknown):
                raise
            except AppError as error:
                _log.error("channel_money_stuck", line_id=line_id, code=error.code, detail=error.detail)
        return count

    async def settle(self, line_id: int) -> bool:
        """Post the next round of a transfer that the bank showed; False where nothing is left, or somebody else is at it.

        Raises InvariantBroken ``settlement_refused``: nothing of the round is written then.
        """
        planned = await self._planned(line_id)
        if planned is None:
            return False
        with contextlib.suppress(_Overtaken):
            await self._posted(*planned)
            return True
        return False

    async def _posted(
        self, transfer: ShownTransfer, lines: list[PaidLine], transfers: list[Transfer]
    ) -> None:
        """Write a round with its transfers; raise _Overtaken where it is no longer the next one."""
        async with AsyncExitStack() as turn, self._database.transaction() as connection:
            await batches.be_patient(connection)
            locked = await store.lock(connection, transfer.line_id, self._clock.now())
            # Matches are only added, and rounds of a transfer only made under this lock: the plan of this round still holds.
            if locked is None or locked.rounds != transfer.rounds:
                raise _Overtaken
            is_last = len(lines) < LINES_MAX
            if not await store.take(connection, locked, [each.id for each in lines], is_last=is_last):
                raise _Overtaken
            await self._post(connection, turn, transfers)

    async def _planned(self, line_id: int) -> tuple[ShownTransfer, list[PaidLine], list[Transfer]] | None:
        """Return what the next round posts, its accounts opened; None where there is nothing to post."""
        async with self._database.transaction(read_only=True, snapshot=True) as connection:
            await batches.be_patient(connection)
            transfer = await store.peek(connection, line_id)
            if transfer is None:
                return None
            lines = await store.postable(connection, transfer, LINES_MAX)
            if transfer.rounds and not lines:
                return None
            merchants = await self._merchants(connection, transfer, lines)
            live = await modes.is_live(connection, transfer.channel)
        return transfer, lines, await self._transfers(transfer, _round(transfer, lines, merchants), live=live)

    async def _merchants(
        self, connection: Connection, transfer: ShownTransfer, lines: list[PaidLine]
    ) -> dict[int, Paid]:
        """Return what lines pay to each merchant."""
        books = await store.shares(connection, [each.id for each in lines])
        found: dict[int, Paid] = {}
        for line in lines:
            if line.id not in books:
                continue
            paid = Paid(line.gross_minor, line.fee_minor)
            for book_id, part in shared(paid, transfer.currency, books[line.id]).items():
                found[book_id] = found.get(book_id, Paid(0, 0)).plus(part)
        return found

    async def _transfers(self, transfer: ShownTransfer, of: Round, *, live: bool) -> list[Transfer]:
        platform = await self._money.platform(transfer.currency, live=live)
        merchants: dict[int, MerchantMoney] = {}
        for book_id in of.merchants:
            merchants[book_id] = await self._money.merchant(book_id, transfer.channel, transfer.currency)
        return settled(of, platform, merchants)

    async def _post(self, connection: Connection, turn: AsyncExitStack, transfers: list[Transfer]) -> None:
        """Post in the caller's transaction; ``turn`` is left after its commit."""
        posting = await turn.enter_async_context(self._ledger.posting.joining(transfers, exactly=True))
        for result in await posting.write(connection) or ():
            if not result.accepted:
                raise InvariantBroken(
                    "settlement_refused", f"the ledger refused {result.refusal}: {result.detail}"
                )


def _round(transfer: ShownTransfer, lines: list[PaidLine], merchants: dict[int, Paid]) -> Round:
    own = [each for each in lines if each.kind == LineKind.FEE.value]
    return Round(
        transfer_id=transfer.line_id,
        number=transfer.rounds,
        at=datetime.combine(transfer.paid_on, day_time(), UTC),
        reference=transfer.reference or transfer.batch,
        bank_minor=0 if transfer.rounds else transfer.net_minor,
        own_cost_minor=-sum(each.net_minor for each in own),
        merchants=merchants,
    )
