"""``tongbao bench city``: payments a second of a living city, and whether equal seeds make equal cities.

The city is the product's own ``tongbao city run``: shops and payers over HTTP, acquirers over sockets, risk control, routing,
ledger, outbox and clearing on, everything durable, all of it on this machine. A month of it is lived twice with one lane, which
is to come to equal figures. A rush, few days on which people crowd the shops, is lived once with many lanes: its rate is the figure
of speed, because what is under way at once lies within hours. TPC-B runs before and after the rush, so that the rate stands beside
what this machine can do.
"""

import asyncio
import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tongbao.bench import reference
from tongbao.bench.ledger import scratch_home
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.errors import InvariantBroken

LANES = 64
SEED = 20
CITY_S_MAX = 3_600.0
STATISTICS, MEASURED = "statistics", "measured"
Say = Callable[[str], None]


class Sizes(msgspec.Struct, frozen=True):
    """How many days of how many visits are lived, and how long TPC-B runs, in seconds, over tables of which scale."""

    days: int
    visits: int
    rush_days: int
    rush_visits: int
    payers: int
    shops: int
    tpcb_seconds: int
    pgbench_scale: int


FULL = Sizes(
    days=30, visits=60, rush_days=2, rush_visits=3_000, payers=300, shops=16, tpcb_seconds=8, pgbench_scale=50
)
QUICK = Sizes(
    days=2, visits=20, rush_days=1, rush_visits=100, payers=40, shops=6, tpcb_seconds=1, pgbench_scale=1
)


async def run(sizes: Sizes, say: Say) -> dict[str, Any]:
    """Measure and return the figures; raise InvariantBroken ``bench_city_unbalanced`` where a book is not sound."""
    references = [await _tpcb(sizes)]
    fast = await _lived(sizes, sizes.rush_days, sizes.rush_visits, LANES, say)
    references.append(await _tpcb(sizes))
    beside = statistics.mean(references)
    exact = [await _lived(sizes, sizes.days, sizes.visits, 1, say) for _ in range(2)]
    is_equal = exact[0][STATISTICS] == exact[1][STATISTICS]
    say(f"equal seeds {'come to equal' if is_equal else 'DO NOT come to equal'} figures")
    per_s = fast[MEASURED]["payments_per_s"]
    exact_per_s = statistics.mean(each[MEASURED]["payments_per_s"] for each in exact)
    return {
        "payments_per_s": round(per_s, 2),
        "payments_per_s_exact": round(exact_per_s, 2),
        "ratio": round(per_s / beside, 4),
        "ratio_exact": round(exact_per_s / beside, 4),
        "tpcb_c16_per_s": round(beside, 1),
        "same_seed_equal": is_equal,
        "lanes": LANES,
        "days": sizes.days,
        STATISTICS: exact[0][STATISTICS],
    }


async def _lived(sizes: Sizes, days: int, visits: int, lanes: int, say: Say) -> dict[str, Any]:
    """Live a city once, ``visits`` on each of its days, in a process of its own; return what it came to."""
    with scratch_home("tongbao-bench-city-") as home:
        command = [sys.executable, "-m", "tongbao", "city", "run", "--json"]
        for name in ("payers", "shops"):
            command += [f"--{name}", str(getattr(sizes, name))]
        command += ["--days", str(days), "--visits", str(visits)]
        command += ["--seed", str(SEED), "--lanes", str(lanes), "--home", str(home.parent / "city")]
        came_to = await _told(command, home.parent)
    measured = came_to[MEASURED]
    if not measured["is_balanced"]:
        raise InvariantBroken("bench_city_unbalanced", "a book of the city is not sound")
    say(
        f"{days} days, lanes {lanes}: {came_to[STATISTICS]['visits']:,} visits in {measured['seconds']:.1f} s, "
        f"{measured['payments_per_s']:.1f} payments/s, {measured['books']} books proved"
    )
    return came_to


async def _told(command: list[str], folder: Path) -> dict[str, Any]:
    """Return the JSON object that a command prints; raise InvariantBroken ``bench_city_failed`` with what it said."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=folder
    )
    try:
        async with asyncio.timeout(CITY_S_MAX):
            output, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    if process.returncode:
        raise InvariantBroken("bench_city_failed", said.decode(errors="replace")[-500:])
    found: dict[str, Any] = json.loads(output)
    return found


async def _tpcb(sizes: Sizes) -> float:
    """Return transactions a second of TPC-B on a server of its own."""
    with scratch_home("tongbao-bench-") as home:
        server = EmbeddedServer(home)
        await asyncio.to_thread(server.start)
        try:
            await reference.prepare(server, 100, sizes.pgbench_scale)
            return await reference.tpcb(server, sizes.tpcb_seconds)
        finally:
            await asyncio.to_thread(server.stop)
