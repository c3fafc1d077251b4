"""Driving a city: visits and what comes after them, each at its instant, through the public interface of a house.

One heap holds what comes after a payment, the plan is read beside it, and whichever is next happens next. With one lane
everything happens one after the other, and the house has read all of it before the next payment is judged: equal plans come
to equal ends. With more lanes that many payments are under way at once, which is faster and not equal to itself.
"""

import asyncio
import heapq
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from tongbao.simulator.city.acting import Acting, Answer, channel_reference
from tongbao.simulator.city.acting_visits import Visitors
from tongbao.simulator.city.driving_after import VERDICT_AFTER, After, Due, after_of, has_after, verdict_of
from tongbao.simulator.city.running import Work
from tongbao.simulator.city.schema import Day, Outcome, Visit, Visited

LANES_MAX = 64
TOGETHER = timedelta(hours=3)
"""What happens at once, where several lanes are driven, lies at most so far apart."""
READ_AGAIN = (timedelta(hours=1), timedelta(hours=24))
"""When a payment whose end is not known is looked at again."""

WAITING = "needs_response"
"""How the network calls a complaint that it has not decided."""

Told = Callable[[Visited], None]
Days = Iterable[tuple[Day, Iterable[Visit]]]


class Lived(msgspec.Struct, kw_only=True):
    """What a drive came to, beside what became of each visit. ``refused``: acts that the house refused, by what and why."""

    visited: dict[int, Visited] = {}
    captures: int = 0
    refunds: int = 0
    disputes: int = 0
    labels: int = 0
    refused: dict[str, int] = {}


class Waiting(NamedTuple):
    """Something that is to come after the payment of a visit."""

    at: datetime
    number: int
    due: Due


class _Event(NamedTuple):
    """Something to do: a visit, or what comes after one. Ordered by instant, then by the visit's number."""

    at: datetime
    number: int
    due: Due
    visit: Visit


class Driver:
    """Drives one city. What is due after the last day waits in ``waiting``, and goes on with the next ``drive``."""

    def __init__(
        self,
        acting: Acting,
        visitors: Visitors,
        work: Work,
        *,
        lanes: int = 1,
        told: Told = lambda _: None,
    ) -> None:
        if not 1 <= lanes <= LANES_MAX:
            raise ValueError(f"lanes: 1 to {LANES_MAX}")
        self.lived = Lived()
        self._acting = acting
        self._visitors = visitors
        self._work = work
        self._lanes = lanes
        self._told = told
        self._heap: list[_Event] = []
        self._disputes: dict[int, str] = {}
        self._has_new = asyncio.Event()

    @property
    def waiting(self) -> list[Waiting]:
        """What is still to come after payments, in order."""
        return [Waiting(each.at, each.number, each.due) for each in sorted(self._heap)]

    def go_on_with(self, work: Work) -> None:
        """Go on with a house that works by itself, from the next ``drive`` on: time became real.

        From then on everything happens at its own time, one after the other: real time is what puts it apart.
        """
        self._lanes = 1
        self._work = self._visitors.work = work

    async def recall(self, visits: Iterable[Visit]) -> None:
        """Find again what is still to come after payments of an earlier run of this city; it is in ``waiting`` then.

        The house and the networks are asked what happened already, the visits are those of the same plan. What is over by now
        comes with the next ``drive``, at once.
        """
        for visit in visits:
            if not has_after(visit) or visit.number in self.lived.visited:
                continue
            intent = await self._acting.find(visit)
            if intent is None:
                continue
            known = Visited(
                number=visit.number, outcome=Outcome.REFUSED, refunded_minor=intent["amount_refunded"]
            )
            visited = self._visitors.seen(known, visit, Answer(200, intent))
            self._keep(visited)
            event = _Event(visit.at, visit.number, Due.VISIT, visit)
            for after in after_of(visit, visited):
                if not await self._has_come(event, after, intent):
                    self._later(event, after)

    async def _has_come(self, event: _Event, after: After, intent: dict[str, Any]) -> bool:
        """Return whether something happened in an earlier run; the end of a complaint that still stands is awaited again."""
        if after.due is Due.REFUND:
            return bool(intent["amount_refunded"])
        reference = channel_reference(intent)
        if after.due is not Due.DISPUTE or reference is None:
            return False
        for dispute in await self._acting.disputes_of(reference):
            if dispute["status"] == WAITING:
                self._disputes[event.number] = dispute["reference"]
                self._later(event, After(Due.VERDICT, after.delay + VERDICT_AFTER))
            return True
        return False

    async def drive(self, days: Days, until: datetime) -> Lived:
        """Let everything happen that lies before ``until``; return what became of all visits so far."""
        upcoming = _Upcoming(_visits(days), self._heap, until)
        if self._lanes == 1:
            while (event := upcoming.take()) is not None:
                if await self._work.reach(event.at) or event.due is not Due.VISIT:
                    await self._happen(event)
                    await self._work.caught_up()
        else:
            await self._drive_wide(upcoming)
        await self._work.reach(until)
        return self.lived

    async def _drive_wide(self, upcoming: "_Upcoming") -> None:
        """Keep several things under way at once, all of one spell; a round of the house's work waits for all of them."""
        open_now: dict[asyncio.Task[None], _Event] = {}
        reading = asyncio.create_task(self._read_on(), name="city-reading")
        try:
            while (event := upcoming.first()) is not None or open_now:
                if event is None or self._must_wait(open_now.values(), event):
                    done, _ = await asyncio.wait(open_now, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        del open_now[task]
                        task.result()
                    self._has_new.set()
                    continue
                upcoming.take()
                await self._work.reach(event.at)
                open_now[asyncio.create_task(self._happen(event))] = event
        finally:
            for task in (reading, *open_now):
                task.cancel()
            ended = await asyncio.gather(reading, *open_now, return_exceptions=True)
        failed = [each for each in ended if isinstance(each, Exception)]
        if failed:
            raise failed[0]

    def _must_wait(self, open_now: Collection[_Event], event: _Event) -> bool:
        """Return whether something has to end before an event can begin: a lane, its own payment, or what is long ago."""
        if not open_now:
            return False
        if len(open_now) >= self._lanes or self._work.is_due(event.at):
            return True
        oldest = min(each.at for each in open_now)
        return event.at - oldest > TOGETHER or any(each.number == event.number for each in open_now)

    async def _read_on(self) -> None:
        """Let the house read what happened while more of it happens, as its followers do."""
        while True:
            await self._has_new.wait()
            self._has_new.clear()
            await self._work.read_on()

    async def _happen(self, event: _Event) -> None:
        if event.due is Due.VISIT:
            self._keep(await self._visitors.visit(event.visit, event.at))
            visited = self.lived.visited[event.number]
            for after in after_of(event.visit, visited):
                self._later(event, after)
            return
        await self._after(event)

    async def _after(self, event: _Event) -> None:
        """Do what comes after a payment, if it still can."""
        visited, visit = self.lived.visited[event.number], event.visit
        intent = visited.payment or ""
        match event.due:
            case Due.CAPTURE:
                amount_minor = max(1, round(visit.amount_minor * visit.capture_share))
                answer = await self._acting.capture(visit, intent, amount_minor, event.at)
                if self._went_well("capture", answer.status, answer.error_code):
                    self.lived.captures += 1
                    self._keep(msgspec.structs.replace(visited, captured_minor=amount_minor))
            case Due.REFUND:
                amount_minor = max(1, round(visited.captured_minor * visit.refund_share))
                answer = await self._acting.refund(visit, intent, amount_minor, event.at)
                if self._went_well("refund", answer.status, answer.error_code):
                    self.lived.refunds += 1
                    self._keep(msgspec.structs.replace(visited, refunded_minor=amount_minor))
                await self._work.quiet()
            case Due.DISPUTE:
                await self._dispute(event, visited)
            case Due.VERDICT:
                status = verdict_of(visit)
                answer = await self._acting.decide_dispute(self._disputes.pop(event.number), status)
                self._went_well("verdict", answer.status, answer.error_code)
                await self._work.quiet()
            case Due.LABEL:
                answer = await self._acting.report_fraud(visit.shop, intent, event.at)
                self.lived.labels += self._went_well("label", answer.status, answer.error_code)
            case Due.LOOK | Due.LAST_LOOK:
                await self._look_again(event, visited)

    async def _dispute(self, event: _Event, visited: Visited) -> None:
        read = await self._acting.read(event.visit.shop, visited.payment or "", event.at)
        reference = channel_reference(read.body)
        if reference is None:
            self._went_well("dispute", read.status or 404, "no_attempt")
            return
        answer = await self._acting.dispute(reference, "10.4" if event.visit.school else "13.1")
        if self._went_well("dispute", answer.status, answer.error_code):
            self.lived.disputes += 1
            self._disputes[event.number] = str(answer.body["reference"])
            self._later(event, After(Due.VERDICT, VERDICT_AFTER))
        await self._work.quiet()

    async def _look_again(self, event: _Event, visited: Visited) -> None:
        """Read a payment whose end was not known, and go on with what comes after one that succeeded."""
        read = await self._acting.read(event.visit.shop, visited.payment or "", event.at)
        seen = self._visitors.seen(visited, event.visit, read)
        self._keep(seen)
        if seen.outcome is Outcome.APPROVED:
            for after in after_of(event.visit, seen):
                self._later(event, after)
        elif event.due is Due.LOOK and seen.outcome in (Outcome.HELD, Outcome.UNRESOLVED):
            self._later(event, After(Due.LAST_LOOK, READ_AGAIN[1]))

    def _later(self, event: _Event, after: After) -> None:
        heapq.heappush(self._heap, _Event(event.at + after.delay, event.number, after.due, event.visit))

    def _keep(self, visited: Visited) -> None:
        self.lived.visited[visited.number] = visited
        self._told(visited)

    def _went_well(self, what: str, status: int, code: str | None) -> bool:
        """Return whether an act was done; one that was refused is counted with its reason."""
        if status == 200:
            return True
        key = f"{what}: {code or status}"
        self.lived.refused[key] = self.lived.refused.get(key, 0) + 1
        return False


def _visits(days: Days) -> Iterator[_Event]:
    for _, visits in days:
        for visit in visits:
            yield _Event(visit.at, visit.number, Due.VISIT, visit)


class _Upcoming:
    """What happens next: the plan's visits and what comes after payments, by instant, up to one."""

    def __init__(self, visits: Iterator[_Event], heap: list[_Event], until: datetime) -> None:
        self._visits = visits
        self._heap = heap
        self._until = until
        self._visit = next(visits, None)

    def first(self) -> _Event | None:
        """Return what is next; None where nothing lies before the end."""
        after = self._heap[0] if self._heap else None
        event = min((each for each in (self._visit, after) if each is not None), default=None)
        return None if event is None or event.at >= self._until else event

    def take(self) -> _Event | None:
        """Return what is next, which is then over."""
        event = self.first()
        if event is not None and event is self._visit:
            self._visit = next(self._visits, None)
        elif event is not None:
            heapq.heappop(self._heap)
        return event
