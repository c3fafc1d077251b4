"""What tests of reconciliation share: movements, lines of channels and banks, and who compares them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from tongbao.clearing.schema.batches import Batch, BatchState, Step
from tongbao.clearing.schema.breaks import Break, BreakKind, BreakState
from tongbao.clearing.schema.lines import (
    FileState,
    Format,
    Header,
    Line,
    LineKind,
    Side,
    SourceFile,
    SourceTerms,
)
from tongbao.clearing.schema.movements import Movement, MovementKind, PricedMovement
from tongbao.clearing.service.reconciling import Reconciling
from tongbao.clearing.store import batches as batch_store
from tongbao.clearing.store import breaks as break_store
from tongbao.clearing.store import lines as line_store
from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory

DAY = date(2026, 11, 2)
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
BANK = "house_bank"


def plain_days(_calendars: Sequence[str], on: date, days: int) -> date:
    """All days are worked."""
    return on + timedelta(days=days)


class World:
    """Books, files and a reconciliation of their own, over one database; a channel for each world."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = FrozenClock(datetime(2026, 11, 20, 9, tzinfo=UTC))
        self.ids = IdFactory(self.clock)
        self.book_id = self.ids.int63()
        self.channel = f"channel_{self.book_id}"
        self.bank = f"{BANK}_{self.book_id}"
        self.reconciling = Reconciling(database, self.clock, self.ids, plain_days)
        self._number = 0

    async def agree(self, **fields: Any) -> None:
        """Agree with the channel and the bank on how they report."""
        shared: dict[str, Any] = {"format": Format.CSV, "is_daily": False}
        channel = SourceTerms(source=self.channel, side=Side.CHANNEL, bank=self.bank, **(shared | fields))
        bank = SourceTerms(source=self.bank, side=Side.BANK, **shared)
        async with self.database.transaction() as connection:
            for terms in (channel, bank):
                await line_store.add_source(connection, terms, self.clock.now(), "mei")

    def movement(self, amount_minor: int = 1_000, **fields: Any) -> Movement:
        """A sale of the world's channel on the day."""
        identity = self.ids.uuid()
        plain: dict[str, Any] = {
            "id": identity,
            "book_id": self.book_id,
            "live": True,
            "kind": MovementKind.SALE,
            "transfer_key": identity,
            "source_id": identity,
            "intent_id": identity,
            "channel": self.channel,
            "method": "card",
            "currency": "CNY",
            "amount_minor": amount_minor,
            "reference": f"pa_{identity.hex}",
            "channel_reference": f"ch_{identity.hex}",
            "occurred_at": NOON,
            "recorded_at": NOON,
            "cut_at": NOON + timedelta(hours=12),
            "payout_on": DAY + timedelta(days=1),
        }
        return Movement(**(plain | fields))

    async def book(self, *movements: Movement) -> None:
        """Write movements into the books."""
        names = Movement.__struct_fields__
        rows = [tuple(getattr(each, name) for name in names) for each in movements]
        async with self.database.connection() as connection:
            await connection.copy_records_to_table(
                "movement", schema_name="clearing", records=rows, columns=names
            )

    async def price(self, costs: Mapping[Movement, int]) -> None:
        """Price movements, now, in one batch: what they cost the house."""
        now, batch_id = self.clock.now(), self.ids.uuid()
        history = (Step(state=BatchState.PRICED, at=now, actor="job:settling"),)
        batch = Batch(
            id=batch_id,
            book_id=self.book_id,
            live=True,
            currency="CNY",
            cut_at=now,
            payout_on=DAY,
            state=BatchState.PRICED,
            history=history,
            created_at=now,
            updated_at=now,
        )
        rows = [
            PricedMovement(
                movement_id=each.id,
                book_id=self.book_id,
                batch_id=batch_id,
                schedule="house",
                schedule_version=1,
                fee_minor=0,
                tax_minor=0,
                cost_minor=cost,
                agent_minor=0,
                reserve_minor=0,
                net_minor=each.amount_minor,
                parts=(),
            )
            for each, cost in costs.items()
        ]
        async with self.database.transaction() as connection:
            await batch_store.insert(connection, batch)
            await batch_store.copy_priced(connection, rows)

    def line(self, of: Movement, **fields: Any) -> Line:
        """The line that reports a movement."""
        self._number += 1
        plain: dict[str, Any] = {
            "number": self._number,
            "key": f"key_{self._number}",
            "kind": LineKind.SALE if of.kind is MovementKind.SALE else LineKind.REFUND,
            "currency": of.currency,
            "gross_minor": of.amount_minor,
            "net_minor": of.amount_minor,
            "reference": of.reference,
            "channel_reference": of.channel_reference or "",
            "occurred_at": of.occurred_at,
        }
        return Line(**(plain | fields))

    async def report(self, *lines: Line, source: str = "", **header: Any) -> SourceFile:
        """Take in a file of the channel with these lines."""
        source = source or self.channel
        side = Side.BANK if source == self.bank else Side.CHANNEL
        file = SourceFile(
            id=self.ids.uuid(),
            name="file",
            digest=self.ids.uuid().bytes,
            size_bytes=1,
            header=Header(source=source, format=Format.CSV, side=side, **({"until_on": DAY} | header)),
            state=FileState.READ,
            line_count=len(lines),
            received_at=self.clock.now(),
            received_by="mei",
        )
        async with self.database.transaction() as connection:
            number = await line_store.add_file(connection, file)
            assert number is not None
            await line_store.put_file(connection, file)
            if lines:
                dated = [(each, each.occurred_at.date() if each.occurred_at else DAY) for each in lines]
                await line_store.add_lines(connection, source, number, dated)
        return file

    async def breaks(self, source: str = "", *, standing: bool = True) -> list[Break]:
        """The breaks of the channel (or bank), oldest id first."""
        states = [BreakState.OPEN, BreakState.EXPLAINED, BreakState.PROPOSED] if standing else None
        async with self.database.connection() as connection:
            found = await break_store.page(
                connection, states, (None, source or self.channel, None), None, 500
            )
        return sorted(found, key=lambda each: each.id)

    async def kinds(self, source: str = "") -> list[BreakKind]:
        """The kinds of the breaks that stand, in order of their names."""
        return sorted(each.found.kind for each in await self.breaks(source))


def opposite(movement: Movement, **fields: Any) -> Movement:
    """The refund of a sale."""
    identity = fields.pop("id", UUID(int=movement.id.int + 1))
    changed: dict[str, Any] = {
        "id": identity,
        "kind": MovementKind.REFUND,
        "amount_minor": -movement.amount_minor,
    }
    return msgspec.structs.replace(movement, **(changed | {"reference": f"re_{identity.hex}"} | fields))
