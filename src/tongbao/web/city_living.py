"""Living a city from its first day to its last, and saying what it came to."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from typing import Protocol
from zoneinfo import ZoneInfo

from tongbao.core.config import Settings
from tongbao.simulator.city.planning import Acts
from tongbao.simulator.city.running_file import CameTo, Measured, Outcomes
from tongbao.simulator.city.schema import CityTerms, Day, Visit, Visited
from tongbao.simulator.city.statistics import Aftermath, statistics
from tongbao.web.city_house import City, open_city
from tongbao.web.house import House

SEALED_ROUNDS_MAX = 10_000


class Telling(Protocol):
    """Who is told how far a city is."""

    def begun(self, day: Day, visits: int) -> None:
        """Hear that a day with so many visits begins."""
        ...

    def visited(self, visited: Visited) -> None:
        """Hear how a visit ended, or that something came after it."""
        ...


class Silent:
    """Somebody who does not listen."""

    def begun(self, day: Day, visits: int) -> None:
        """Hear nothing."""

    def visited(self, visited: Visited) -> None:
        """Hear nothing."""


def begin_of(terms: CityTerms, days: int = 0) -> datetime:
    """Return the midnight, in UTC, at which the first day of a city begins, or that so many days later."""
    on = terms.began_on + timedelta(days=days)
    return datetime.combine(on, time_of_day(), ZoneInfo(terms.zone)).astimezone(UTC)


async def live_city(
    settings: Settings, terms: CityTerms, acts: Acts, *, lanes: int = 1, telling: Telling | None = None
) -> Outcomes:
    """Open a city, act out its plan, close it, and return what became of it.

    What would come after the last day does not happen. Raises what ``open_city`` raises.
    """
    telling = telling or Silent()
    visits: list[Visit] = []
    begins_at, ends_at = begin_of(terms), begin_of(terms, terms.days)
    async with open_city(
        settings, terms.seed, begins_at, acts.shops, acts.troubles, lanes=lanes, told=telling.visited
    ) as city:
        began = time.perf_counter()
        lived = await city.driver.drive(_kept(acts, visits, telling), ends_at)
        await city.work.finish()
        seconds = time.perf_counter() - began
        visited = tuple(lived.visited[number] for number in sorted(lived.visited))
        books, is_balanced = await prove_books(city.house)
        settled_minor, batches = await city.clearing.settled(acts.shops)
        breaks, in_transit = await city.clearing.breaks()
        after = Aftermath(
            settled_minor=settled_minor,
            batches=batches,
            breaks=breaks,
            in_transit=in_transit,
            disputes=lived.disputes,
        )
        measured = Measured(
            seconds=round(seconds, 3),
            payments_per_s=round(sum(each.payment is not None for each in visited) / seconds, 2),
            lanes=lanes,
            is_balanced=is_balanced,
            books=books,
            captures=lived.captures,
            refunds=lived.refunds,
            labels=lived.labels,
            acts_refused=dict(sorted(lived.refused.items())),
            rounds_failed=_failures(city),
        )
        came_to = CameTo(statistics=statistics(visits, visited, after), measured=measured)
        return Outcomes(terms=terms, visited=visited, came_to=came_to)


async def prove_books(house: House) -> tuple[int, bool]:
    """Seal what was posted and prove every book of a house; return how many there are, and whether all are sound."""
    ledger = house.runtime.ledger
    await ledger.sealing.seal_all(SEALED_ROUNDS_MAX)
    books, is_sound, after = 0, True, ""
    while page := await ledger.accounts.books(after=after):
        for book in page:
            report = await ledger.verifying.verify(book.code)
            is_sound &= not report.findings
        books += len(page)
        after = page[-1].code
    return books, is_sound


def _kept(acts: Acts, visits: list[Visit], telling: Telling) -> Iterator[tuple[Day, tuple[Visit, ...]]]:
    """Yield the days, keeping their visits for the figures at the end."""
    for day, planned in acts.days():
        of_day = tuple(planned)
        visits += of_day
        telling.begun(day, len(of_day))
        yield day, of_day


def _failures(city: City) -> dict[str, int]:
    return dict(sorted(city.work.failures.items()))
