"""One move of one payout, with everything that it means, in one commit: transfers, batch, account, fact."""

from contextlib import AsyncExitStack
from datetime import timedelta
from typing import NamedTuple

import structlog

from tongbao.clearing.policy import payouts as policy
from tongbao.clearing.schema.bank_messages import BankLine
from tongbao.clearing.schema.batches import BatchState
from tongbao.clearing.schema.payout_facts import PayoutChanged
from tongbao.clearing.schema.payouts import Payout, PayoutState
from tongbao.clearing.service.destinations import Destinations
from tongbao.clearing.service.payout_books import PayoutBooks
from tongbao.clearing.service.settling import Settling
from tongbao.clearing.store import batches
from tongbao.clearing.store import payouts as store
from tongbao.clearing.store.payouts import Address
from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import InvariantBroken
from tongbao.core.events.outbox import Outbox
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.ledger.schema import Transfer
from tongbao.ledger.service.ledger import Ledger

STATEMENT_AFTER = timedelta(days=4)
"""So long after the bank said that a payout was booked a statement should show it."""
MESSAGE_CHARS_MAX = 200
_log = structlog.get_logger(__name__)


class Said(NamedTuple):
    """What a bank said, as a payout keeps it; ``on_statement``: a statement of the day shows it."""

    state: PayoutState
    code: str | None = None
    message: str | None = None
    bank_reference: str | None = None
    on_statement: bool = False
    actor: str = policy.JOB


def said(line: BankLine, *, on_statement: bool) -> Said | None:
    """Return what a line says of a payout; None where it says nothing yet."""
    found = policy.meaning(line)
    if found is None:
        return None
    return Said(
        found.state,
        found.code or None,
        line.text[:MESSAGE_CHARS_MAX] or None,
        line.bank_reference or None,
        on_statement and found.is_booking,
    )


class PayoutMoves:
    """Moves payouts. One object per process; any number of processes side by side."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        clock: Clock,
        ids: IdFactory,
        settling: Settling,
        destinations: Destinations,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._clock = clock
        self._settling = settling
        self._destinations = destinations
        self._outbox = Outbox(clock, ids)
        self.books = PayoutBooks(ledger)
        self._count = metrics.counter("clearing_payouts", "Moves of payouts", labels=("state",))
        self._alarms = metrics.counter(
            "clearing_payout_alarms", "Payouts that a person should look at", labels=("why",)
        )

    async def hear(self, address: Address, line: BankLine, *, on_statement: bool) -> bool:
        """Apply what a bank says of a payout; True where something changed.

        What contradicts what the bank said before, or names another amount, moves nothing and raises an alarm.
        """
        async with self._database.connection() as connection:
            payout = await store.one(connection, *address)
        if payout is None:
            return False
        wrong = policy.checked_line(payout, line)
        if wrong is not None:
            await self.alarm(payout, wrong)
            return False
        what = said(line, on_statement=on_statement)
        return what is not None and await self._move(payout, what)

    async def move(self, address: Address, what: Said) -> bool:
        """Move a payout to where a bank or a person says it is; True where something changed. One transaction."""
        async with self._database.connection() as connection:
            payout = await store.one(connection, *address)
        return payout is not None and await self._move(payout, what)

    async def _move(self, payout: Payout, what: Said) -> bool:
        accounts = await self.books.of(payout)
        async with AsyncExitStack() as turn, self._database.transaction() as connection:
            before = await store.one(connection, payout.book_id, payout.id, lock=True)
            if before is None:
                return False
            if policy.contradicts(before, what.state):
                await self.publish(connection, [before], alarm="contradicted")
                return False
            if not policy.is_possible(before, what.state):
                return what.on_statement and await self._on_statement(connection, before, what)
            after = self._moved(before, what)
            await self._follow(connection, after, what)
            await self.post(connection, turn, policy.transfers(before, what.state, accounts))
            if what.state is PayoutState.PAID and what.on_statement:
                await self._reconciled(connection, after)
            await store.update(connection, [after])
            await self.publish(connection, [after])
        return True

    async def post(self, connection: Connection, turn: AsyncExitStack, transfers: list[Transfer]) -> None:
        """Post transfers in the caller's transaction; ``turn`` is left after its commit. All of them, or raise."""
        posting = await turn.enter_async_context(self._ledger.posting.joining(transfers, exactly=True))
        for result in await posting.write(connection) or ():
            if not result.accepted:
                raise InvariantBroken(
                    "payout_refused", f"the ledger refused {result.refusal}: {result.detail}", key=result.key
                )

    async def alarm(self, payout: Payout, why: str) -> None:
        """Tell people that a payout needs them, without moving it. One transaction."""
        async with self._database.transaction() as connection:
            await self.publish(connection, [payout], alarm=why)

    async def publish(self, connection: Connection, payouts: list[Payout], *, alarm: str = "") -> None:
        """Publish where payouts are; joins the transaction."""
        for payout in payouts:
            if alarm:
                self._alarms.labels(alarm).inc()
                _log.warning("payout_alarm", payout=payout.reference, state=payout.state.value, why=alarm)
            else:
                self._count.labels(payout.state.value).inc()
        await self._outbox.publish(connection, [self._fact(payout, alarm) for payout in payouts])

    def _moved(self, before: Payout, what: Said) -> Payout:
        now = self._clock.now()
        kept = {
            "code": what.code or before.code,
            "message": what.message or before.message,
            "bank_reference": what.bank_reference or before.bank_reference,
        }
        if what.state is PayoutState.ACCEPTED:
            return policy.moved(before, what.state, now, **kept)
        due_at = None
        if what.state is PayoutState.PAID and not what.on_statement:
            due_at = now + STATEMENT_AFTER
        return policy.moved(before, what.state, now, ended_at=now, due_at=due_at, inquiry_count=0, **kept)

    async def _follow(self, connection: Connection, after: Payout, what: Said) -> None:
        """Move what hangs on a payout: its batch, and the account where that is to blame."""
        if after.state is PayoutState.PAID:
            state = BatchState.PAID
        elif after.state in policy.ENDED:
            state = BatchState.FAILED
        else:
            return
        await self._settling.move(
            connection,
            after.book_id,
            after.batch_id,
            state,
            actor=what.actor,
            note=what.code or "",
            payout_id=after.id,
        )
        by_bank = what.actor == policy.JOB and after.state in (PayoutState.REJECTED, PayoutState.RETURNED)
        if by_bank and policy.blames_destination(what.code):
            reason = f"{after.reference} {after.state}: {what.code or 'no reason given'}"
            await self._destinations.pause_joining(connection, after.book_id, after.destination_id, reason)

    async def _on_statement(self, connection: Connection, payout: Payout, what: Said) -> bool:
        """Take note that the statement shows what was known; True where that is news."""
        if payout.state is not PayoutState.PAID or what.state is not PayoutState.PAID:
            return False
        if not await self._reconciled(connection, payout):
            return False
        if payout.due_at is not None:
            after = policy.touched(payout, self._clock.now(), due_at=None)
            await store.update(connection, [after])
        return True

    async def _reconciled(self, connection: Connection, payout: Payout) -> bool:
        batch = await batches.one(connection, payout.book_id, payout.batch_id, lock=True)
        if batch is None or batch.state is not BatchState.PAID or batch.payout_id != payout.id:
            return False
        await self._settling.move(
            connection,
            payout.book_id,
            payout.batch_id,
            BatchState.RECONCILED,
            actor=policy.JOB,
            payout_id=payout.id,
        )
        return True

    def _fact(self, payout: Payout, alarm: str) -> PayoutChanged:
        return PayoutChanged(
            occurred_at=self._clock.now(),
            book_id=payout.book_id,
            live=payout.live,
            payout_id=payout.id,
            batch_id=payout.batch_id,
            state=payout.state.value,
            amount_minor=payout.amount_minor,
            currency=payout.currency,
            end_to_end=payout.end_to_end,
            code=payout.code or "",
            alarm=alarm,
            version=payout.version,
        )
