"""``tongbao bench web``: the checkout and the consoles, on the server beside an endpoint that does nothing, and in a browser.

One process of the product serves all: ``/healthz`` of the same process in the same rounds is what a request costs anyway.
Rounds interleave, so that a machine whose speed drifts changes all rows alike; a ratio is the median of the ratios within
rounds. Load comes from a process of its own and shares the processors with what it loads.
"""

import asyncio
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from tongbao.bench import web_browser
from tongbao.bench.web_house import Served, open_served
from tongbao.bench.web_load import Report, Spec
from tongbao.core.errors import InvariantBroken

TRIVIAL = "/healthz"
CONSOLE = "/ops/routing"
STREAM = "/ui/stream?channels=gallery"
WARM_UP_S = 3.0
Say = Callable[[str], None]


class Sizes(msgspec.Struct, frozen=True):
    """Rounds of so many seconds over so many connections; payments behind the house; streams held for how long."""

    rounds: int
    seconds: float
    connections: int
    payments: int
    clients: int
    held_s: float
    looks: web_browser.Sizes


class Row(NamedTuple):
    """One page over all rounds: pages a second, and milliseconds of a processor for each."""

    per_s: list[float]
    cpu_ms: list[float]
    p99_ms: list[float]


FULL = Sizes(5, 3.0, 16, 240, 500, 10.0, web_browser.Sizes(5))
QUICK = Sizes(1, 0.5, 4, 3, 20, 3.0, web_browser.Sizes(1, 2, ("light",), ("en",)))


async def run(sizes: Sizes, say: Say) -> dict[str, Any]:
    """Measure and return the figures, keys of the browser None with the reason at ``browser`` where there is none.

    Raises InvariantBroken ``bench_web_failed`` where a page was not answered as it should be.
    """
    say("Starting a house …")
    async with open_served(sizes.payments) as served:
        figures = await _speed(served, sizes, say)
        figures |= await _streams(served, sizes, say)
        return figures | await _browser(served, sizes, say)


async def _speed(served: Served, sizes: Sizes, say: Say) -> dict[str, Any]:
    rows: dict[str, Row] = defaultdict(lambda: Row([], [], []))
    pages = {
        "trivial": (TRIVIAL, ""),
        "cashier": (served.checkout, ""),
        "console": (CONSOLE, served.operator),
    }
    for path, cookie in pages.values():
        # The first page compiles its templates: on a busy machine nothing comes back before this is over.
        await _asked(_spec(served, sizes, path, cookie, WARM_UP_S))
    for _ in range(sizes.rounds):
        for name, (path, cookie) in pages.items():
            before = served.cpu_s()
            report = await _load(served, _spec(served, sizes, path, cookie, sizes.seconds))
            rows[name].per_s.append(report.per_s)
            rows[name].cpu_ms.append((served.cpu_s() - before) * 1000 / report.good)
            rows[name].p99_ms.append(report.p99_ms)
    figures: dict[str, Any] = {}
    for name, row in rows.items():
        figures[f"{name}_pages_per_s"] = round(statistics.median(row.per_s), 1)
        figures[f"{name}_cpu_ms"] = round(statistics.median(row.cpu_ms), 3)
        figures[f"{name}_p99_ms"] = round(statistics.median(row.p99_ms), 1)
        say(
            f"{name}: {figures[f'{name}_pages_per_s']:,.0f} pages/s, {figures[f'{name}_cpu_ms']:.2f} ms of a processor"
        )
    trivial, cashier = rows["trivial"], rows["cashier"]
    figures["ratio_to_trivial"] = _ratio(cashier.per_s, trivial.per_s)
    figures["cpu_ratio_to_trivial"] = _ratio(cashier.cpu_ms, trivial.cpu_ms)
    return figures


async def _streams(served: Served, sizes: Sizes, say: Say) -> dict[str, Any]:
    """Hold streams open; tell memory and processor time for them, and how late the last reader had an event."""
    rss = served.process.memory_info().rss
    cpu, spec = served.cpu_s(), _spec(served, sizes, STREAM, "", sizes.held_s)
    spec = msgspec.structs.replace(spec, connections=sizes.clients, holds=True, expect="")
    holding = asyncio.create_task(_load(served, spec))
    await asyncio.sleep(sizes.held_s * 0.9)
    grown = served.process.memory_info().rss - rss
    report = await holding
    share = (served.cpu_s() - cpu) / sizes.held_s
    if not report.events:
        raise InvariantBroken("bench_web_failed", f"no event reached all {sizes.clients} streams")
    say(
        f"{sizes.clients} streams: {grown / sizes.clients / 1024:.1f} KB each, {share * 100:.1f} % of a processor, "
        f"the last reader {report.spread_ms:.1f} ms after the first"
    )
    return {
        "sse_clients": sizes.clients,
        "sse_rss_kb_per_client": round(grown / sizes.clients / 1024, 2),
        "sse_cpu_share": round(share, 4),
        "sse_spread_ms": round(report.spread_ms, 2),
        "sse_spread_ms_max": round(report.spread_ms_max, 2),
        "sse_events": report.events,
    }


async def _browser(served: Served, sizes: Sizes, say: Say) -> dict[str, Any]:
    if reason := web_browser.missing():
        say(f"No browser: {reason}")
        names = ("cashier_kb", "cashier_js_kb", "cashier_requests", "cashier_lcp_ms", "cls", "console_kb_max")
        return dict.fromkeys((*names, "axe_violations")) | {"browser": reason}
    seen = await web_browser.look(served, sizes.looks, say)
    heaviest = max(seen.consoles, key=lambda place: seen.consoles[place].kb)
    return {
        "browser": "chromium",
        "cashier_kb": seen.cashier.kb,
        "cashier_js_kb": seen.cashier.js_kb,
        "cashier_requests": seen.cashier.requests,
        "cashier_lcp_ms": seen.cashier.lcp_ms,
        "cls": max(seen.cashier.cls, *(cost.cls for cost in seen.consoles.values())),
        "console_kb_max": seen.consoles[heaviest].kb,
        "console_heaviest": heaviest.replace(served.merchant, "{merchant}"),
        "console_lcp_ms_max": max(cost.lcp_ms for cost in seen.consoles.values()),
        "console_pages": len(seen.consoles),
        "console_errors": seen.cashier.errors + sum(cost.errors for cost in seen.consoles.values()),
        "axe_violations": sum(map(len, seen.violations.values())),
        "axe_looks": seen.looked,
        "axe_found": {place: wrong[:3] for place, wrong in list(seen.violations.items())[:10]},
    }


def _spec(served: Served, sizes: Sizes, path: str, cookie: str, seconds: float) -> Spec:
    return Spec(
        port=served.port,
        path=path,
        connections=sizes.connections,
        seconds=seconds,
        cookie=cookie,
        expect="" if path == TRIVIAL else "</html>",
    )


async def _load(served: Served, spec: Spec) -> Report:
    """Load from a process of its own; raise InvariantBroken where an answer was not as it should be."""
    report = await _asked(spec)
    if report.bad or not report.good:
        raise InvariantBroken("bench_web_failed", f"{spec.path} at {served.base}: {report.bad}"[:500])
    return report


async def _asked(spec: Spec) -> Report:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tongbao.bench.web_load", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    output, _ = await process.communicate(msgspec.json.encode(spec))
    return msgspec.json.decode(output, type=Report)


def _ratio(ours: list[float], reference: list[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(ours, reference, strict=True)), 4)
