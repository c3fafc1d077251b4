"""What a past time would have cost by a draft: every live movement priced by what was in force, and by the draft.

One transaction reads one instant of the database through a cursor; memory holds a block of movements, one merchant's
sums and the totals, however long the time. Nothing is written but the result, on the draft.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from tongbao.clearing.policy.agreements import Terms
from tongbao.clearing.policy.cycles import local_date
from tongbao.clearing.policy.price_lists import COSTS, MERCHANTS
from tongbao.clearing.policy.price_simulation import Sides, Simulator
from tongbao.clearing.policy.price_timeline import role_of, timeline
from tongbao.clearing.policy.pricing import Seller
from tongbao.clearing.schema.schedules import PastMovement, ScheduleState, ScheduleVersion, Simulation
from tongbao.clearing.service.agreements import Agreements
from tongbao.clearing.service.prices import VERSIONS_MAX, Prices
from tongbao.clearing.service.pricing import Sellers
from tongbao.clearing.store import schedules as store
from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import Conflict, InvalidRequest, LimitExceeded

BLOCK = 2_000
"""Movements in memory at a time."""
MOVEMENTS_MAX = 20_000_000
DAYS_MAX = 400
SIDES_MAX = 10_000
_MONTH = timedelta(days=1)  # every zone's month has begun a day before that of UTC


class Span(NamedTuple):
    """A half-open time."""

    start_at: datetime
    until_at: datetime


class Simulating:
    """Simulates drafts. One object per process; a run needs one connection for as long as it reads."""

    def __init__(
        self, database: Database, clock: Clock, prices: Prices, agreements: Agreements, sellers: Sellers
    ) -> None:
        self._database = database
        self._clock = clock
        self._prices = prices
        self._agreements = agreements
        self._sellers = sellers

    async def simulate(self, name: str, version: int, span: Span, actor: str) -> ScheduleVersion:
        """Simulate a draft over a time, keep the result on it and return it; again replaces what was kept.

        Movements count whose merchant has agreed on this list (or on none, where it is the house's), by the agreement of
        their day. Raises NotFound ``schedule_unknown``; Conflict ``schedule_no_draft``; InvalidRequest
        ``simulation_time_invalid``, or ``schedule_invalid`` where the draft does not go with a list it is joined to;
        LimitExceeded ``simulation_too_large``.
        """
        now = self._clock.now()
        if not span.start_at < span.until_at <= now or span.until_at - span.start_at > timedelta(DAYS_MAX):
            raise InvalidRequest(
                "simulation_time_invalid", f"a time in the past of at most {DAYS_MAX} days, its start first"
            )
        draft = await self._prices.version(name, version)
        if draft.state is not ScheduleState.DRAFT:
            raise Conflict("schedule_no_draft", f"version {version} of {name} is {draft.state}")
        simulator = Simulator(span.start_at, role_of(draft.spec))
        async with self._database.transaction(read_only=True, snapshot=True) as connection:
            newest = await store.newest_published(connection, name)
            sides = _AllSides(connection, draft, span)
            await self._read(connection, simulator, sides)
        totals = simulator.totals()
        simulation = Simulation(
            start_at=span.start_at,
            until_at=span.until_at,
            made_at=now,
            made_by=actor,
            known=0 if newest is None else newest.version,
            count=simulator.count,
            left_out_count=simulator.left_out_count,
            raised_count=simulator.raised_count,
            lowered_count=simulator.lowered_count,
            totals=totals,
            methods=simulator.methods(),
            charges=simulator.charges(),
            moved=simulator.moved(),
        )
        return await self._prices.simulated(name, version, simulation)

    async def _read(self, connection: Connection, simulator: Simulator, sides: "_AllSides") -> None:
        """Let every movement through, with those of the month before the time that its volume counts."""
        since = sides.span.start_at.replace(day=1, hour=0, minute=0, second=0, microsecond=0) - _MONTH
        count = 0
        sellers: dict[int, Seller] = {}
        async for block in store.past(connection, since, sides.span.until_at, BLOCK):
            count += len(block)
            if count > MOVEMENTS_MAX:
                raise LimitExceeded(
                    "simulation_too_large", f"at most {MOVEMENTS_MAX} movements: take less time"
                )
            books = {movement.book_id for movement in block}
            terms = await self._agreements.terms(connection, books)
            sellers = {book: sellers.get(book) or await self._sellers.seller(book) for book in sorted(books)}
            await self._take(block, terms, sellers, simulator, sides)
            await asyncio.sleep(0)

    async def _take(
        self,
        block: Sequence[PastMovement],
        terms: Terms,
        sellers: dict[int, Seller],
        simulator: Simulator,
        sides: "_AllSides",
    ) -> None:
        for movement in block:
            held = terms.at(movement.book_id, movement.currency, movement.occurred_at).agreement
            found = await sides.of(held.schedule, held.agent_schedule)
            on = local_date(held, movement.occurred_at)
            simulator.take(movement, on, sellers[movement.book_id], found)


class _AllSides:
    """The old and the new lists of every combination that merchants agreed on, found once each."""

    def __init__(self, connection: Connection, draft: ScheduleVersion, span: Span) -> None:
        self.span = span
        self._connection = connection
        self._draft = draft
        self._published: dict[str, list[ScheduleVersion]] = {}
        self._sides: dict[tuple[str, str], Sides | None] = {}

    async def of(self, schedule: str, agent_schedule: str) -> Sides | None:
        """Return what is compared where these lists were agreed on; None where the draft is none of them."""
        key = (schedule, agent_schedule)
        if key not in self._sides:
            if len(self._sides) >= SIDES_MAX:
                raise LimitExceeded("simulation_too_large", f"at most {SIDES_MAX} combinations of lists")
            self._sides[key] = await self._found(schedule, agent_schedule)
        return self._sides[key]

    async def _found(self, schedule: str, agent_schedule: str) -> Sides | None:
        names = [schedule or MERCHANTS, COSTS, *([agent_schedule] if agent_schedule else [])]
        if self._draft.name not in names:
            return None
        old = [await self._versions(name) for name in names]
        draft = [_published(self._draft, self.span.start_at)]
        new = [
            draft if name == self._draft.name else versions for name, versions in zip(names, old, strict=True)
        ]
        return Sides(timeline(old, *self.span), timeline(new, *self.span))

    async def _versions(self, name: str) -> list[ScheduleVersion]:
        if name not in self._published:
            self._published[name] = await store.within(self._connection, name, *self.span, VERSIONS_MAX)
        return self._published[name]


def _published(draft: ScheduleVersion, at: datetime) -> ScheduleVersion:
    """Return a draft as if it had held since an instant."""
    return ScheduleVersion(
        name=draft.name,
        version=draft.version,
        state=ScheduleState.PUBLISHED,
        spec=draft.spec,
        note=draft.note,
        made_by=draft.made_by,
        made_at=draft.made_at,
        effective_at=at,
    )
