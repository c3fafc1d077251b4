"""What is agreed in ``tongbao demo real``: when the merchant is paid, and what channels take of the house's money."""

from datetime import datetime, timedelta
from datetime import time as day_time

from tongbao.bench.demo_real_policies import COSTS_BPS
from tongbao.clearing.schema.agreements import CUTS_A_DAY_MAX, Agreement, Cycle
from tongbao.clearing.schema.fees import Bearer, Charge, Match, OnRefund, ScheduleSpec, Tier

CUT_GROWTH = 4 / 3
APPROVAL_ABOVE_MINOR = 100_000_000
RATE_E6_OF_BPS = 100


def agreement(now: datetime, cut_every_s: int) -> Agreement:
    """Return the merchant's agreement: several cuts today, each paid on the same day."""
    return Agreement(
        cycle=Cycle.D,
        days=0,
        cuts=cuts_after(now, cut_every_s),
        zone="UTC",
        calendars=(),
        approval_above_minor=APPROVAL_ABOVE_MINOR,
    )


def costs() -> ScheduleSpec:
    """Return what each channel takes of a sale; with a refund it keeps it."""
    charges = tuple(
        Charge(
            name=f"{channel}_cost",
            bearer=Bearer.HOUSE,
            match=Match(channels=(channel,)),
            tiers=(Tier(rate_e6=bps * RATE_E6_OF_BPS),),
            on_refund=OnRefund.KEPT,
        )
        for channel, bps in COSTS_BPS.items()
    )
    return ScheduleSpec(charges=charges)


def cuts_after(now: datetime, every_s: int) -> tuple[day_time, ...]:
    """Return the local times of as many cuts as a day may have, ascending.

    The first half of them are ``every_s`` seconds apart, and each of the others by a third more than the one before: a machine that
    is busy with much else still meets one, and none waits long for it.
    """
    step, at = timedelta(seconds=every_s), now
    found = set()
    for number in range(CUTS_A_DAY_MAX):
        step *= CUT_GROWTH if number >= CUTS_A_DAY_MAX // 2 else 1
        at += step
        found.add(at.time().replace(microsecond=0))
    return tuple(sorted(found))
