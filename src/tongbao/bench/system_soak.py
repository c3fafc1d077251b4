"""``tongbao bench system --minutes N``: the whole system at half of its peak for as long, and whether anything grows.

Each minute tells the 95th percentile of its answers and what every part of the house holds in memory. Growth is told from a
line through the minutes (``system_measures.course_of``): whatever merely warms up, or scatters, is none. The database itself
grows with what is kept in it, and is told beside.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from tongbao.bench.ledger import scratch_home
from tongbao.bench.system import HALF, LIVE, Say, Sizes, System
from tongbao.bench.system_measures import course_of
from tongbao.bench.system_receiver import Watcher
from tongbao.bench.system_world import HOUSE, SystemWorld
from tongbao.core.errors import InvalidRequest

MINUTES_MAX = 24 * 60
MINUTE_S = 60.0
SHARED = "postgres"
"""Its memory is told and not judged: it fills its shared buffers, which are set, and then no more."""


class Minute(NamedTuple):
    """What one minute was like: milliseconds, payments, and megabytes by part of the house."""

    p50_ms: float
    p95_ms: float
    payments: int
    rss_mb: dict[str, float]

    @property
    def rss_mb_total(self) -> float:
        """What the whole house holds."""
        return sum(self.rss_mb.values())


async def run(sizes: Sizes, minutes: int, say: Say, minute_s: float = MINUTE_S) -> dict[str, Any]:
    """Run and return the figures; raise InvalidRequest ``bench_minutes_invalid``, and InvariantBroken as ``system.run``."""
    check(minutes)
    with scratch_home("tongbao-bench-") as home:
        world = SystemWorld(home.parent, sizes.payers, sizes.pgbench_scale)
        say("Starting PostgreSQL, acquirers and the house; letting payers in …")
        try:
            await world.open()
            async with Watcher(world.api_ports[0], LIVE, world.operator):
                return await _lived(System(world, sizes, say), minutes, minute_s)
        finally:
            await world.close()


def check(minutes: int) -> None:
    """Raise InvalidRequest ``bench_minutes_invalid`` for a time that is none, or more than a day."""
    if not 1 <= minutes <= MINUTES_MAX:
        raise InvalidRequest(
            "bench_minutes_invalid", f"a soak lasts 1 to {MINUTES_MAX} minutes, not {minutes}"
        )


async def _lived(system: System, minutes: int, minute_s: float) -> dict[str, Any]:
    world, say = system.world, system.say
    await system.warm_up()
    peak = await system.peak()
    rate = peak.per_s * HALF
    say(f"{peak.per_s:,.0f} payments/s at the peak; {rate:,.0f}/s from now on")
    lived: list[Minute] = []
    before = await system.state()
    for number in range(1, minutes + 1):
        report = await system.payments(minute_s, rate)
        used = await world.use()
        held = {name: round(used[name].rss / 1e6, 1) for name in HOUSE}
        minute = Minute(round(report.p50_ms, 2), round(report.p95_ms, 2), report.good, held)
        lived.append(minute)
        parts = ", ".join(f"{name} {mb:.0f}" for name, mb in held.items())
        say(f"minute {number:>3}: p95 {minute.p95_ms:6.1f} ms, {minute.rss_mb_total:,.0f} MB ({parts})")
    await world.wait_for_the_rest()
    after = await system.checked(await world.received())
    return told(lived) | {
        "rate_per_s": round(rate, 1),
        "payments": after.intents - before.intents,
        "database_kb_per_1000": round(
            (after.bytes - before.bytes) / max(after.intents - before.intents, 1), 1
        ),
    }


def told(lived: Sequence[Minute]) -> dict[str, Any]:
    """Return the minutes and the courses through them; ``growing`` where latency or memory of a process grows."""
    courses = {"p95_ms": course_of([each.p95_ms for each in lived])}
    for name in HOUSE:
        courses[f"rss_mb_{name}"] = course_of([each.rss_mb[name] for each in lived])
    what = [name for name, course in courses.items() if course.growing and name != f"rss_mb_{SHARED}"]
    return {
        "minutes": [each._asdict() for each in lived],
        "p95_ms": max((each.p95_ms for each in lived), default=0.0),
        "rss_mb_total": round(lived[-1].rss_mb_total, 1) if lived else 0.0,
        "courses": msgspec.to_builtins(courses),
        "growing": bool(what),
        "growing_what": what,
    }
