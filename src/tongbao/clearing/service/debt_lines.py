"""Lines of a bank's statement that are a merchant's money for its debt: booked, and never a difference again.

A break of the bank's leg says that something came which nobody expected. Somebody who sees that a merchant paid with it names the
demand: receipt, movement, transfers, match and break are one commit, under the lock that runs of the source wait for.
"""

from contextlib import AsyncExitStack
from uuid import UUID

import msgspec

from tongbao.clearing.policy import breaking
from tongbao.clearing.policy import demands as policy
from tongbao.clearing.policy.break_sides import NO_RECORD
from tongbao.clearing.policy.matching import HOWS
from tongbao.clearing.schema.break_sides import ReportedSide
from tongbao.clearing.schema.breaks import Break, BreakKind, How, Leg
from tongbao.clearing.schema.demands import Demand, Receipt
from tongbao.clearing.service.collections import Collections, OpenDay, check_same, unknown
from tongbao.clearing.service.hand_moves import HandMoves
from tongbao.clearing.store import batches, modes
from tongbao.clearing.store import break_sides as sides_store
from tongbao.clearing.store import breaks as break_store
from tongbao.clearing.store import demands as store
from tongbao.clearing.store import reconciliation as match_store
from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import Conflict, InvalidRequest, NotFound
from tongbao.core.ids import derive

PERSON = HOWS.index(How.PERSON)


class DebtLines:
    """Takes lines of banks as payments of debts. One object per process."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        collections: Collections,
        moves: HandMoves,
        open_day: OpenDay,
    ) -> None:
        self._database = database
        self._clock = clock
        self._collections = collections
        self._moves = moves
        self._open_day = open_day

    async def receive(
        self, demand_id: UUID, break_id: UUID, *, actor: str, note: str
    ) -> tuple[Demand, Receipt, Break]:
        """Take the line of a break as a payment of a demand; where it was booked by hand before, only match it.

        The same again changes nothing. Raises NotFound ``demand_unknown``, ``break_unknown``; InvalidRequest ``line_not_payment``,
        ``note_invalid``, ``currency_differs``, ``amount_over_demand``; Conflict ``break_closed``, ``record_matched``,
        ``demand_state``, ``bank_reference_used``.
        """
        known = await self._collections.get(demand_id)
        money = await self._moves.money(known.order.book_id, known.order.currency, live=known.live)
        async with AsyncExitStack() as turn, self._database.transaction() as connection:
            of = await self._locked(connection, break_id)
            line = await _line(connection, of)
            found = await store.one(connection, known.order.book_id, demand_id, lock=True)
            if found is None:
                raise unknown()
            if await modes.is_live(connection, of.source) != found.live:
                raise InvalidRequest("line_not_payment", "test money pays no real debt", param="break")
            wanted = await self._receipt(connection, found, line, actor)
            before = await store.receipt(connection, wanted.book_id, wanted.bank_reference)
            if before is not None and before.line_id == line.id:
                return found, before, of
            if of.state not in breaking.STANDING:
                raise Conflict("break_closed", f"{of.reference} is {of.state} already", state=of.state)
            after = breaking.resolved(of, self._clock.now(), actor, note)
            await self._match(connection, after, line.id)
            await break_store.put(connection, [after])
            if before is not None:
                check_same(before, wanted)
                await self._shown(connection, before, line.id)
                return found, msgspec.structs.replace(before, line_id=line.id), after
            found = await self._collections.book(connection, found, wanted, note)
            await self._moves.write(connection, turn, policy.paid_move(found, wanted), money)
        return found, wanted, after

    async def _locked(self, connection: Connection, break_id: UUID) -> Break:
        """Return a break under the lock of its source and its own."""
        known = await break_store.by_id(connection, break_id)
        if known is None:
            raise NotFound("break_unknown", "there is no such break")
        await batches.be_patient(connection)
        await match_store.lock_source(connection, known.source)
        return await break_store.by_id(connection, break_id, lock=True) or known

    async def _receipt(self, connection: Connection, of: Demand, line: ReportedSide, actor: str) -> Receipt:
        """Return the receipt of a line; one of a closed day belongs to the first open one."""
        now = self._clock.now()
        reference = line.reference or line.channel_reference or f"line {line.id}"
        return Receipt(
            id=policy.receipt_id(of.id, reference),
            book_id=of.order.book_id,
            demand_id=of.id,
            bank_reference=reference,
            currency=line.currency,
            amount_minor=line.net_minor,
            received_on=await self._open_day(connection, line.on or now.date()),
            line_id=line.id,
            actor=actor,
            recorded_at=now,
        )

    async def _match(self, connection: Connection, of: Break, line_id: int) -> None:
        if await sides_store.matched(connection, of.leg, [line_id], []):
            raise Conflict("record_matched", f"the line of {of.reference} was matched meanwhile")
        rows = [(line_id, NO_RECORD, 1.0, PERSON)]
        await match_store.add_matched(connection, derive(of.id, f"debt:{of.version}"), of.leg, rows)

    async def _shown(self, connection: Connection, receipt: Receipt, line_id: int) -> None:
        if not await store.shown(connection, receipt, line_id):
            raise Conflict("bank_reference_used", f"another line shows {receipt.bank_reference} already")


async def _line(connection: Connection, of: Break) -> ReportedSide:
    """Return the one line of a break that can be a payment; raise InvalidRequest ``line_not_payment``."""
    found = of.found
    if of.leg is not Leg.BANK or found.kind is not BreakKind.UNEXPECTED or len(found.reported) != 1:
        raise InvalidRequest(
            "line_not_payment", f"{of.reference} is no unexpected line of a bank", param="break"
        )
    (line,) = (await sides_store.reported(connection, of.leg, found.reported)).values()
    if line.net_minor <= 0:
        raise InvalidRequest("line_not_payment", f"{of.reference} shows money that went out", param="break")
    return line
