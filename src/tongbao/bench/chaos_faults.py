"""The faults of the chaos drills, by name: what is done, and how it is taken away again.

What is killed stays away for as long as the fault lasts and is then started by the drill, which plays whoever watches over
processes (systemd, Kubernetes); everything after that start the house does by itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from tongbao.bench import chaos_clock, chaos_disk
from tongbao.bench.chaos_load import ChaosLoad
from tongbao.bench.chaos_world import APIS, JUDGE, SANDBOX, WORKER, ChaosWorld, Kind
from tongbao.bench.payment_drill_programs import HOST
from tongbao.bench.risk_drill_world import AWAY_EVENT, BACK_EVENT
from tongbao.core.errors import InvariantBroken, NotFound
from tongbao.core.http import NoAnswer, NotSent

HOUR_S = 3_600
SILENT: dict[str, Any] = {"troubles": [{"kind": "silent"}]}
SLOW: dict[str, Any] = {"latency": {"median_ms": 5_000.0}}
"""How the channel of most cards behaves when it is broken, in the words of the sandbox's ``Habits``."""
SURGE = 5.0
PROBE_S, OK = 2.0, 200
Act = Callable[[ChaosWorld, ChaosLoad], Awaitable[None]]


Probe = Callable[[ChaosWorld], Awaitable[bool]]


async def is_ready(world: ChaosWorld) -> bool:
    """Return whether both API processes say that they can serve."""
    for port in world.api_ports:
        try:
            answer = await world.http.request("GET", f"http://{HOST}:{port}/readyz", timeout_s=PROBE_S)
        except (NotSent, NoAnswer):
            return False
        if answer.status != OK:
            return False
    return True


async def is_judged(world: ChaosWorld) -> bool:
    """Return whether every process that missed the judge has found it again."""
    return await is_ready(world) and world.said(BACK_EVENT) == world.said(AWAY_EVENT)


class Fault(NamedTuple):
    """One thing that goes wrong: what it is in words, how it begins, how it ends, and the world that it takes.

    ``is_back``: what must be true again besides orders that go as ever.
    """

    what: str
    begin: Act
    lift: Act
    kind: Kind = Kind.PLAIN
    is_back: Probe = is_ready


def killed(name: str, what: str, is_back: Probe = is_ready) -> Fault:
    """Return the fault in which a process is killed -9 and, when the fault is over, started again."""

    async def begin(world: ChaosWorld, _: ChaosLoad) -> None:
        await world.programs[name].kill()

    async def lift(world: ChaosWorld, _: ChaosLoad) -> None:
        await world.start(name)

    return Fault(f"{what} is killed -9 and started again", begin, lift, is_back=is_back)


async def _kill_database(world: ChaosWorld, _: ChaosLoad) -> None:
    await asyncio.to_thread(world.server.kill)


async def _start_database(world: ChaosWorld, _: ChaosLoad) -> None:
    await world.start_database()


async def _fill_disk(world: ChaosWorld, _: ChaosLoad) -> None:
    if world.disk is None:
        raise InvariantBroken("drill_world_wrong", "this world has no disk of its own")
    await asyncio.to_thread(world.disk.fill)


async def _free_disk(world: ChaosWorld, _: ChaosLoad) -> None:
    if world.disk is not None:
        await asyncio.to_thread(world.disk.empty)
    await world.start_database()


def clock_off(seconds: int, what: str) -> Fault:
    """Return the fault in which the clock of the whole house jumps, and later jumps back."""

    async def begin(world: ChaosWorld, _: ChaosLoad) -> None:
        if world.clock is None:
            raise InvariantBroken("drill_world_wrong", "this world has no clock of its own")
        world.clock.set_off(seconds)

    async def lift(world: ChaosWorld, _: ChaosLoad) -> None:
        if world.clock is not None:
            world.clock.set_off(0)

    return Fault(what, begin, lift, Kind.CLOCK)


def behaving(what: str, changes: dict[str, Any]) -> Fault:
    """Return the fault in which the channel that takes most cards at that moment behaves otherwise."""

    async def begin(world: ChaosWorld, _: ChaosLoad) -> None:
        await world.behave(await world.busiest(), changes)

    async def lift(world: ChaosWorld, _: ChaosLoad) -> None:
        await world.calm_channels()

    return Fault(what, begin, lift)


async def _close_hooks(world: ChaosWorld, _: ChaosLoad) -> None:
    await world.hooks.close()


async def _open_hooks(world: ChaosWorld, _: ChaosLoad) -> None:
    await world.hooks.open()


async def _surge(_: ChaosWorld, load: ChaosLoad) -> None:
    load.rate_per_s *= SURGE


async def _calm(_: ChaosWorld, load: ChaosLoad) -> None:
    load.rate_per_s /= SURGE


FAULTS: Mapping[str, Fault] = {
    "kill-api0": killed(APIS[0], "one of two API processes"),
    "kill-api1": killed(APIS[1], "the other API process"),
    "kill-worker": killed(WORKER, "the worker"),
    "kill-judge": killed(JUDGE, "the process that judges payments", is_judged),
    "kill-sandbox": killed(SANDBOX, "the process that is every channel"),
    "kill-postgres": Fault("PostgreSQL is killed -9 and started again", _kill_database, _start_database),
    "channel-silent": behaving("the channel of most cards takes connections and never answers", SILENT),
    "channel-slow": behaving("the channel of most cards answers after five seconds", SLOW),
    "webhook-down": Fault("the shop's webhook receiver refuses connections", _close_hooks, _open_hooks),
    "load-5x": Fault("five times as many orders as usual", _surge, _calm),
    "clock-forward": clock_off(HOUR_S, "the clocks of all processes jump an hour ahead, and back"),
    "clock-back": clock_off(-HOUR_S, "the clocks of all processes jump an hour back, and ahead again"),
    "disk-full": Fault("the disk of the database is full", _fill_disk, _free_disk, Kind.DISK),
}
"""Every fault, in the order in which a whole drill goes through them."""


def chosen(names: list[str]) -> list[str]:
    """Return the names of the faults of a drill, in their order: all where none is named.

    Raises NotFound ``drill_experiment_unknown``.
    """
    unknown = [name for name in names if name not in FAULTS]
    if unknown:
        detail = f"no experiment is called {unknown[0][:40]!r}; there are {', '.join(FAULTS)}"
        raise NotFound("drill_experiment_unknown", detail)
    return [name for name in FAULTS if not names or name in names]


def why_skipped(kind: Kind) -> str | None:
    """Return why faults of a kind cannot be made on this machine; None where they can."""
    if kind is Kind.DISK:
        return chaos_disk.why_not()
    if kind is Kind.CLOCK and chaos_clock.find_library() is None:
        return "libfaketime is not installed (Debian and Ubuntu: package faketime)"
    return None
