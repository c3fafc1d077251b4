"""What the sandbox's channels take of a sale, as a price list of the house: so it knows what to expect on their files.

The lists that a house begins with hold what rules of card networks bound. The channels of the demonstration and of a city take
one rate of everything instead, which is agreed with them once, as any list is: drafted, simulated, published by a second person.
"""

from datetime import timedelta

import msgspec

from tongbao.clearing.schema.fees import Bearer, Charge, ScheduleSpec, Tier
from tongbao.clearing.service.house import ClearingHouse
from tongbao.clearing.service.prices import SHIPPED_BY
from tongbao.clearing.service.simulating import Span
from tongbao.core.clock import Clock
from tongbao.core.money import Rounding
from tongbao.simulator.day_files import COST_E6

COSTS = "house_costs"
"""The list of what the house itself pays."""
NOTE = "what the channels of the sandbox take"
SIMULATED = timedelta(days=1)
SPEC = ScheduleSpec(
    charges=(
        Charge(name="channel", bearer=Bearer.HOUSE, tiers=(Tier(rate_e6=COST_E6),), rounding=Rounding.DOWN),
    )
)


async def agree_costs(
    clearing: ClearingHouse, clock: Clock, actors: tuple[str, str], ahead: timedelta = timedelta(0)
) -> bool:
    """Publish what the channels take, where the costs are still those that came with the release; return whether it was done.

    ``actors`` drafts and publishes it, two of them. It holds so long ``ahead`` of now: some time, where the clock goes on meanwhile.
    """
    maker, second = actors
    now, prices = clock.now(), clearing.prices
    held = await prices.at(COSTS, now + ahead)
    if (await prices.version(COSTS, held.version)).made_by != SHIPPED_BY:
        return False
    draft = await prices.draft(COSTS, msgspec.to_builtins(SPEC), NOTE, maker)
    await clearing.simulating.simulate(COSTS, draft.version, Span(now - SIMULATED, now), maker)
    await prices.publish(COSTS, draft.version, now + ahead, second, note=NOTE)
    return True
