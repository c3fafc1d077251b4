"""Announcements: entered by one person, put in force by another, and what is still to be paid planned anew by them.

Putting in force is one commit. Planning follows in steps of one commit each, may be repeated at any time, and is gone on
with by workers where a process ended on the way.
"""

from datetime import date, datetime
from uuid import UUID

from tongbao.clearing.policy import announcements as policy
from tongbao.clearing.policy.adjustments import check_note
from tongbao.clearing.policy.agreements import Terms
from tongbao.clearing.policy.announced_years import changes, year_of
from tongbao.clearing.policy.batching import JOB, replanned
from tongbao.clearing.policy.calendars import Known
from tongbao.clearing.policy.closing import not_before
from tongbao.clearing.policy.cycles import cut_again, cut_of, paid_on
from tongbao.clearing.schema.agreements import Cycle
from tongbao.clearing.schema.announcements import (
    ANNOUNCEMENTS_MAX,
    Announcement,
    AnnouncementOrder,
    AnnouncementState,
    CalendarYear,
    DayChange,
    Replanned,
)
from tongbao.clearing.schema.batches import Batch
from tongbao.clearing.schema.movements import MovementKind
from tongbao.clearing.service.agreements import Agreements
from tongbao.clearing.service.recording import OpensAt
from tongbao.clearing.store import announcements as store
from tongbao.clearing.store import batches as batch_store
from tongbao.clearing.store.announcements import Waiting
from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import NotFound
from tongbao.core.ids import IdFactory

CHUNK = 500
ROUNDS_MAX = 20_000
PAGE_MAX = 100
_FIRST = (0, UUID(int=0))


class Announcements:
    """Enters, decides and lists announcements, and plans by them. One object per process."""

    def __init__(
        self, database: Database, clock: Clock, ids: IdFactory, agreements: Agreements, opens_at: OpensAt
    ) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._agreements = agreements
        self._opens_at = opens_at

    async def propose(self, order: AnnouncementOrder, *, actor: str) -> Announcement:
        """Enter an announcement; the same as one that waits or holds is that one. Raises as ``policy.announcements.check`` does."""
        policy.check(order)
        made = policy.proposed(order, self._ids.uuid(), self._clock.now(), actor)
        async with self._database.transaction() as connection:
            for known in await store.page(connection, order.calendar, order.year, PAGE_MAX):
                if known.order == order and known.state is AnnouncementState.PROPOSED:
                    return known
            for known in await store.in_force(connection, ANNOUNCEMENTS_MAX):
                if known.order == order:
                    return known
            await store.insert(connection, made)
        return made

    async def approve(self, announcement_id: UUID, *, actor: str, note: str = "") -> Announcement:
        """Put an announcement in force as another person; ``plan`` follows, here or by a worker.

        The same approval again changes nothing. Raises NotFound ``announcement_unknown``; Conflict
        ``announcement_state``; NotPermitted ``four_eyes``; InvalidRequest ``note_invalid``.
        """
        check_note(note)
        async with self._database.transaction() as connection:
            known = await _locked(connection, announcement_id)
            if known.state is AnnouncementState.IN_FORCE and known.history[1].actor == actor:
                return known
            after = policy.approved(known, self._clock.now(), actor, note)
            await store.update(connection, after)
        return after

    async def decline(self, announcement_id: UUID, *, actor: str, note: str = "") -> Announcement:
        """Refuse an announcement, or withdraw one's own. Raises as ``approve`` does, but for four eyes."""
        check_note(note)
        async with self._database.transaction() as connection:
            known = await _locked(connection, announcement_id)
            after = policy.declined(known, self._clock.now(), actor, note)
            await store.update(connection, after)
        return after

    async def get(self, announcement_id: UUID) -> Announcement:
        """Return an announcement; raise NotFound ``announcement_unknown``."""
        async with self._database.connection() as connection:
            return _found(await store.one(connection, announcement_id))

    async def page(
        self, *, calendar: str | None = None, year: int | None = None, limit: int = PAGE_MAX
    ) -> list[Announcement]:
        """Return announcements, the newest first, at most ``PAGE_MAX``."""
        async with self._database.connection() as connection:
            return await store.page(connection, calendar, year, max(1, min(limit, PAGE_MAX)))

    async def years(self, from_year: int, until_year: int) -> list[CalendarYear]:
        """Return the years of a half-open span of every calendar as they count now, by calendar and year."""
        known, by = await self._in_force()
        years = range(max(from_year, policy.YEARS.start), min(until_year, policy.YEARS.stop))
        return [year_of(known, code, year, by.get((code, year))) for code in sorted(known) for year in years]

    async def year(self, calendar: str, year: int) -> CalendarYear:
        """Return a year of a calendar as it counts now; raise NotFound ``calendar_year_unknown``."""
        known, by = await self._in_force()
        if calendar not in known or year not in policy.YEARS:
            raise NotFound("calendar_year_unknown", "there is no such calendar, or no such year")
        return year_of(known, calendar, year, by.get((calendar, year)))

    async def changes(self, order: AnnouncementOrder) -> tuple[DayChange, ...]:
        """Return the days that an announcement would make free or worked, beside what counts now, in order."""
        known, by = await self._in_force()
        place = (order.calendar, order.year)
        others = tuple(each.order for at, each in by.items() if at != place)
        return changes(*place, known, policy.with_announced((*others, order)))

    async def plan(self, announcement_id: UUID) -> Replanned:
        """Count cuts and dates of payment anew for what waits and for batches without a payout; return how many moved.

        Every step is a commit of its own. Where no announcement is in force under this id nothing is done.
        """
        known = await self.get(announcement_id)
        if known.state is not AnnouncementState.IN_FORCE:
            return Replanned()
        days = {*policy.free_days(known.order), *known.order.workdays, date(known.order.year, 1, 1)}
        from_on = min(days)
        done = Replanned(await self._movements(from_on), await self._batches(from_on, known))
        async with self._database.transaction() as connection:
            note = f"{done.movement_count} movements, {done.batch_count} batches"
            locked = await _locked(connection, announcement_id)
            await store.update(connection, policy.planned(locked, self._clock.now(), JOB, note))
        return done

    async def step(self) -> int:
        """Plan by every announcement that wants it; for a worker. Return how many rows moved."""
        now, count = self._clock.now(), 0
        async with self._database.connection() as connection:
            found = await store.in_force(connection, ANNOUNCEMENTS_MAX)
        for each in found:
            if policy.wants_planning(each, now):
                done = await self.plan(each.id)
                count += done.movement_count + done.batch_count
        return count

    async def _in_force(self) -> tuple[Known, dict[tuple[str, int], Announcement]]:
        """Return the calendars as they are known now, and the announcements behind that by calendar and year."""
        async with self._database.connection() as connection:
            found = await store.in_force(connection, ANNOUNCEMENTS_MAX)
        by = {(each.order.calendar, each.order.year): each for each in found}
        return policy.with_announced(tuple(each.order for each in found)), by

    async def _movements(self, from_on: date) -> int:
        after, count = _FIRST, 0
        for _ in range(ROUNDS_MAX):
            async with self._database.transaction() as connection:
                found = await store.waiting(connection, from_on, after, CHUNK)
                if not found:
                    break
                terms = await self._agreements.terms(connection, {each.book_id for each in found})
                opens_at = await self._opens_at(connection)
                planned = [(each, _planned(each, terms, opens_at)) for each in found]
                moved = [after for before, after in planned if after != before]
                count += await store.replan(connection, moved) if moved else 0
                after = (found[-1].book_id, found[-1].id)
        return count

    async def _batches(self, from_on: date, by: Announcement) -> int:
        after, count = _FIRST, 0
        for _ in range(ROUNDS_MAX):
            async with self._database.transaction() as connection:
                found = await store.batches(connection, from_on, after, CHUNK)
                if not found:
                    break
                terms = await self._agreements.terms(connection, {each.book_id for each in found})
                for each in found:
                    count += await self._batch(connection, each, terms, by)
                after = (found[-1].book_id, found[-1].id)
        return count

    async def _batch(self, connection: Connection, seen: Batch, terms: Terms, by: Announcement) -> int:
        """Write another date of payment for a batch, where it has one; return 1 then."""
        agreement = terms.at(seen.book_id, seen.currency, seen.cut_at).agreement
        cut = paid_on(agreement, seen.cut_at, terms.known)
        wanted = (cut.payout_on, cut.is_provisional)
        if agreement.cycle is not Cycle.T or wanted == (seen.payout_on, seen.is_provisional):
            return 0
        batch = await batch_store.one(connection, seen.book_id, seen.id, lock=True)
        if batch is None or batch.version != seen.version:
            return 0
        after = replanned(batch, cut, self._clock.now(), by.text_id)
        return int(await batch_store.update(connection, after))


def _planned(of: Waiting, terms: Terms, opens_at: datetime) -> Waiting:
    """Return a movement with where it belongs now; what takes a sale back never goes before the cut that it has."""
    agreement = terms.at(of.book_id, of.currency, of.occurred_at).agreement
    if agreement.cycle is not Cycle.T:
        return of
    cut = cut_of(agreement, of.occurred_at, terms.known)
    if of.kind is not MovementKind.SALE:
        cut = max(cut, cut_again(agreement, of.cut_at, terms.known), key=lambda each: each.cut_at)
    cut = not_before(agreement, cut, opens_at, terms.known)
    return of._replace(cut_at=cut.cut_at, payout_on=cut.payout_on)


def _found(known: Announcement | None) -> Announcement:
    if known is None:
        raise NotFound("announcement_unknown", "there is no such announcement")
    return known


async def _locked(connection: Connection, announcement_id: UUID) -> Announcement:
    return _found(await store.one(connection, announcement_id, lock=True))
