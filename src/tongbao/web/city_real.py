"""A city in real time: a house of its own that works by itself, and people who come as the clock of the machine says."""

import asyncio
from collections.abc import Callable
from zoneinfo import ZoneInfo

import msgspec

from tongbao.core.clock import RealClock
from tongbao.core.config import Settings
from tongbao.simulator.city.planning import plan
from tongbao.simulator.city.schema import CityTerms, Outcome, Visited
from tongbao.web.city_house import open_city
from tongbao.web.city_living import begin_of

TELL_S = 10.0


async def live_now(settings: Settings, terms: CityTerms, say: Callable[[str], None]) -> None:
    """Live the days of a city's terms from today on, in real time, telling how it goes; ends with the last day.

    The city begins today, whatever day its terms name. Raises what ``open_city`` raises.
    """
    clock = RealClock()
    terms = msgspec.structs.replace(terms, began_on=clock.now().astimezone(ZoneInfo(terms.zone)).date())
    acts = plan(terms)
    seen: dict[int, Visited] = {}

    def told(visited: Visited) -> None:
        seen[visited.number] = visited

    async with open_city(settings, terms.seed, clock.now(), acts.shops, told=told) as city:
        say(f"The city lives at {city.house.base_url}; Ctrl-C ends it.")
        async with city.in_real_time(clock):
            telling = asyncio.create_task(_tell(seen, say))
            try:
                await city.driver.drive(acts.days(), begin_of(terms, terms.days))
            finally:
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)


async def _tell(seen: dict[int, Visited], say: Callable[[str], None]) -> None:
    told = 0
    while True:
        await asyncio.sleep(TELL_S)
        if len(seen) > told:
            told = len(seen)
            approved = sum(each.outcome is Outcome.APPROVED for each in seen.values())
            say(f"{told:,} visits, {approved:,} approved")
