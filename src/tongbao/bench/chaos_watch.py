"""What the house told of a fault while it lasted: health, readiness, counters, and warnings in the logs.

Every process of the house is asked every ``LOOK_S`` seconds, as a monitor would ask it; the logs of all processes are read from
where they stood. Nothing of this is known to the house.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Mapping

import msgspec

from tongbao.bench.chaos_measures import grown
from tongbao.bench.chaos_world import HEALTHY, JUDGE, ChaosWorld
from tongbao.bench.payment_drill_programs import HOST
from tongbao.core.http import HttpClient, NoAnswer, NotSent

LOOK_S = 0.5
LOOK_S_MAX = 2.0
CAUSES_MAX = 10
OK = 200
TELLING = (
    "tongbao_channel_",
    "tongbao_events_dead",
    "tongbao_events_failed",
    "tongbao_lane_refused",
    "tongbao_lane_retries",
    "tongbao_payments_alarms",
    "tongbao_risk_questions",
    "tongbao_risk_answers",
    "tongbao_webhook_attempts",
    "tongbao_worker_failures",
)
"""Counters that a monitor would look at; others count what goes well."""
_WARNINGS = frozenset({"warning", "error", "critical"})
_GOOD = ('"answered"', '"judged"', '"accepted"', '"delivered"')


class Alerts(msgspec.Struct, frozen=True, kw_only=True):
    """What was told while a fault lasted and until it was over.

    ``looks``: how often each process was asked; ``healthz_silent`` and ``readyz_unready``: how often one did not
    answer, or said that it was not ready, by process; ``causes``: what it named; ``counters``: by how much they grew;
    ``logged``: warnings and errors by process and event; ``endpoint``: how the house says that the shop's webhook receiver
    does (``GET /v2/webhook_endpoints/{id}/health``) when the fault ends.
    """

    looks: int
    healthz_silent: dict[str, int]
    readyz_unready: dict[str, int]
    causes: dict[str, int]
    counters: dict[str, float]
    logged: dict[str, int]
    endpoint: str = HEALTHY

    @property
    def told(self) -> bool:
        """Return whether anything at all was to be seen from outside."""
        words = (self.healthz_silent, self.readyz_unready, self.counters, self.logged)
        return any(words) or self.endpoint != HEALTHY


class Watch:
    """Looks from ``begin`` until ``end``; ``seen`` is what it saw. Open with ``async with``."""

    def __init__(self, world: ChaosWorld) -> None:
        self._world = world
        self._http = HttpClient()
        self._looks = 0
        self._silent: Counter[str] = Counter()
        self._unready: Counter[str] = Counter()
        self._causes: Counter[str] = Counter()
        self._counters: dict[str, float] = {}
        self._logs: dict[str, int] = {}
        self._warned: Counter[str] = Counter()
        self._endpoint = HEALTHY
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Watch":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()
        await self._http.close()

    async def begin(self) -> None:
        """Look from now on."""
        self._logs = {
            name: program.log.stat().st_size
            for name, program in self._world.programs.items()
            if program.log.exists()
        }
        self._counters = await self._read_counters()
        self._task = asyncio.create_task(self._look_on(), name="watch")

    async def ask_endpoint(self) -> None:
        """Ask how the shop's webhook receiver does, as the merchant's page tells it."""
        self._endpoint = await self._world.endpoint_health()

    async def end(self) -> None:
        """Look no more."""
        await self._stop()
        self._counters = grown(self._counters, await self._read_counters())
        self._warned = self._warnings()

    def seen(self) -> Alerts:
        """Return what was seen until ``end``."""
        return Alerts(
            looks=self._looks,
            healthz_silent=dict(self._silent),
            readyz_unready=dict(self._unready),
            causes=dict(self._causes.most_common(CAUSES_MAX)),
            counters=self._counters,
            logged=dict(sorted(self._warned.items())),
            endpoint=self._endpoint,
        )

    async def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _look_on(self) -> None:
        while True:
            self._looks += 1
            await asyncio.gather(*(self._look(*each) for each in self._world.watched.items()))
            await asyncio.sleep(LOOK_S)

    async def _look(self, name: str, port: int) -> None:
        status, _ = await self._get(port, "healthz")
        if status != OK:
            self._silent[name] += 1
        if name == JUDGE:
            return  # It has no other state than alive: who asks it looks whether it answers.
        status, body = await self._get(port, "readyz")
        if status != OK:
            self._unready[name] += 1
            causes = msgspec.json.decode(body).get("causes", []) if body else ["no answer"]
            self._causes.update(str(cause)[:120] for cause in causes)

    async def _get(self, port: int, path: str) -> tuple[int, bytes]:
        try:
            answer = await self._http.request("GET", f"http://{HOST}:{port}/{path}", timeout_s=LOOK_S_MAX)
        except (NotSent, NoAnswer):
            return 0, b""
        return answer.status, answer.body

    async def _read_counters(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, port in self._world.watched.items():
            status, body = await self._get(port, "metrics")
            if status == OK:
                found |= {f"{name} {counter}": value for counter, value in counters_in(body.decode())}
        return found

    def _warnings(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for name, program in self._world.programs.items():
            with program.log.open("rb") as log:
                log.seek(self._logs.get(name, 0))
                lines = log.read().decode(errors="replace").splitlines()
            found.update(f"{name} {event}" for event in warnings_in(lines))
        return found


def counters_in(exposition: str) -> Iterator[tuple[str, float]]:
    """Return the counters of a text of Prometheus that count what a monitor looks at."""
    for line in exposition.splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith(TELLING) and "_total" in name and not any(good in name for good in _GOOD):
            yield name.replace("_total", ""), float(value)


def warnings_in(lines: list[str]) -> Iterator[str]:
    """Return the events of lines of a log in JSON that are warnings or worse, with the code that they name."""
    for line in lines:
        if not line.startswith("{"):
            continue
        try:
            entry: Mapping[str, object] = json.loads(line)
        except json.JSONDecodeError:
            continue
        if entry.get("level") in _WARNINGS:
            code = entry.get("code")
            yield f"{str(entry.get('event'))[:80]}{f' ({code})' if code else ''}"
