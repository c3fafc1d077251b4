"""The whole system in a folder: PostgreSQL, processes for the interfaces, the background, judging and the acquirers.

Everything is on: payments are judged by trained trees and thirty rules in a process of its own, routed over three acquirers
that answer at once over TCP, told to merchants by webhooks, sealed, and watched by somebody at the console. Merchants, payers
and policies are made through the product's own interfaces.
"""

import asyncio
import itertools
import json
import random
import sys
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from tongbao.bench import reference, risk_speed
from tongbao.bench.payment_drill_programs import HOST, Program, free_ports
from tongbao.bench.payment_drill_world import role_environment, toml, tongbao
from tongbao.bench.system_measures import Use, use_of
from tongbao.bench.system_shop import Payers, SystemShop
from tongbao.channels.service.building import ChannelSpec
from tongbao.core import migrate
from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.errors import Unavailable
from tongbao.core.http import HttpClient
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.decisions.policy.rollout import RolloutOrder
from tongbao.decisions.service.decisions import Decisions
from tongbao.risk.service import compiling as risk_compiling
from tongbao.risk.service.risk import Risk
from tongbao.routing.schema.spec import Strategy
from tongbao.routing.service import compiling
from tongbao.simulator import sandbox_routes
from tongbao.simulator.sandbox.credentials import MerchantCredentials

DATABASE = "bench"
ACTOR = "bench"
API_COUNT = 2
COSTS_BPS = {"card_north": 140, "card_south": 150, "card_east": 160}
"""The acquirers, and what each takes: near enough to each other that all of them are tried."""
CURRENCY = "CNY"
JUDGEMENT_MS = 5_000
CHANNEL_S = 30.0
"""So long payments wait for a judgement, and for an acquirer: on a machine that is full both are late, and a payment that was
let off for that would have cost less than one that was not."""
MODEL_SEED, LESSONS = 7, 8_000
PUBLIC, POSTGRES = "api", "postgres"
HOUSE = (PUBLIC, "worker", "judge", POSTGRES)
"""The names of what is the system itself; the acquirers and the merchants' server are the world around it."""
BEHIND_S_MAX, POLL_S = 300.0, 0.2

_BEHIND = """
SELECT (SELECT next_position - 1 FROM events.relay WHERE relay_id = 1) - min(position) AS facts,
    (SELECT count(*) FROM webhooks.delivery WHERE due_at IS NOT NULL) AS webhooks
FROM events.cursor
"""
# Positions count from 1 without gaps, and nothing is forgotten within days: what is beyond the last one has none yet.
_UNPLACED = """
SELECT (SELECT count(*) FROM events.outbox) - (SELECT next_position - 1 FROM events.relay WHERE relay_id = 1)
"""


class SystemWorld:
    """All processes of one run. ``open`` before use, ``close`` always."""

    def __init__(self, home: Path, payers: int, pgbench_scale: int) -> None:
        self.home = home
        self.server = EmbeddedServer(home / "postgres")
        self.http = HttpClient()
        self._pgbench_scale = pgbench_scale
        self._payer_count = payers
        *self.api_ports, self._judge_port, self._sandbox_port, self.receiver_port, self.trivial_port = (
            free_ports(API_COUNT + 4)
        )
        self._acquirers = dict(zip(COSTS_BPS, free_ports(len(COSTS_BPS)), strict=True))
        self._programs: dict[str, Program] = {}
        self.payers = Payers({})
        self.operator = ""

    @property
    def dsn(self) -> str:
        """Where the database of the house is."""
        return self.server.dsn(DATABASE)

    async def open(self) -> None:
        """Start everything; make merchants, payers and policies. Raises what starting raises."""
        await asyncio.to_thread(self.server.start)
        await reference.prepare(self.server, 100, self._pgbench_scale)
        await self._open_books()
        shop = SystemShop(self.dsn, self.http)
        self.operator = await shop.open()
        await self._start_outside()
        await self._start_house()
        base = f"http://{HOST}:{self.api_ports[0]}"
        self.payers = await shop.let_in(base, self._payer_count, f"http://{HOST}:{self.receiver_port}/hook")

    async def close(self) -> None:
        """End everything that was started here."""
        await asyncio.gather(*(program.stop() for program in self._programs.values()))
        await self.http.close()
        await asyncio.to_thread(self.server.stop)

    async def use(self) -> dict[str, Use]:
        """Return what each part has used so far; processes of one role are one part."""
        return await asyncio.to_thread(self._use)

    async def received(self) -> int:
        """Return how many webhooks the merchants' server has had."""
        answer = await self.http.request("GET", f"http://{HOST}:{self.receiver_port}/")
        return int(answer.body)

    async def wait_for_the_rest(self) -> None:
        """Wait until every fact has reached its readers and no webhook is due; raise Unavailable ``bench_behind``."""
        connection = await asyncpg.connect(self.dsn)
        try:
            for _ in range(round(BEHIND_S_MAX / POLL_S)):
                row: Any = await connection.fetchrow(_BEHIND)
                if row["facts"] <= 0 and row["webhooks"] == 0 and await connection.fetchval(_UNPLACED) <= 0:
                    return
                await asyncio.sleep(POLL_S)
        finally:
            await connection.close()
        raise Unavailable("bench_behind", f"after {BEHIND_S_MAX:.0f} s still behind: {dict(row)}")

    def _use(self) -> dict[str, Use]:
        by_role = itertools.groupby(sorted(self._programs), key=lambda name: name.rstrip("0123456789"))
        found = {role: use_of([self._programs[name].pid for name in names]) for role, names in by_role}
        postmaster = self.server.postmaster_pid
        found[POSTGRES] = use_of([postmaster] if postmaster else [], with_children=True)
        return found

    async def _open_books(self) -> None:
        """Make the database, and put the policies of risk control and of routing into force."""
        admin = await asyncpg.connect(self.server.dsn())
        await admin.execute(f"CREATE DATABASE {DATABASE}")
        await admin.close()
        await migrate.upgrade(self.dsn)
        clock = RealClock()
        ids = IdFactory(clock)
        checks = {
            compiling.POLICY: compiling.checker(list(COSTS_BPS)),
            risk_compiling.POLICY: risk_compiling.checker(),
        }
        _, model = await asyncio.to_thread(risk_speed.taught, random.Random(MODEL_SEED), LESSONS)
        async with Database(self.dsn) as database:
            decisions = Decisions(database, clock, ids, checks)
            risk = Risk(database, clock, ids, decisions.policies, decisions.log, Metrics())
            digest = await risk.shelf.keep(model, ACTOR, {})
            await _roll_out(decisions, risk_compiling.POLICY, {"model": digest, "rules": risk_speed.rules()})
            await _roll_out(decisions, compiling.POLICY, routing_spec())

    async def _start_outside(self) -> None:
        """Start the acquirers, the merchants' server, and what does nothing, for comparison."""
        behavior = self.home / "behavior.json"
        habits = {"magic_amounts": False, "latency": {"median_ms": 0.0}}
        behavior.write_text(json.dumps(dict.fromkeys(self._acquirers, habits)))
        sandbox = [*tongbao("sandbox", "serve"), "--home", str(self.home / "sandbox")]
        sandbox += ["--http-port", str(self._sandbox_port), "--behavior", str(behavior)]
        for name, port in self._acquirers.items():
            sandbox += ["--acquirer", f"{name}:{port}"]
        self._add("sandbox", sandbox, self._sandbox_port, {})
        module = [sys.executable, "-m", "tongbao.bench.system_receiver", str(self.receiver_port)]
        self._add("receiver", module, self.receiver_port, {})
        await asyncio.gather(*(program.start() for program in self._programs.values()))

    async def _start_house(self) -> None:
        """Start the product's own processes, the one that makes the files of the house alone and first."""
        channels = self.home / "channels.toml"
        channels.touch(0o600)
        channels.write_text("".join(toml(spec) for spec in self._specs()))
        environment = role_environment(self.home, self.dsn, channels, self.api_ports[0]) | {
            "TONGBAO_RISK_URL": f"http://{HOST}:{self._judge_port}",
            "TONGBAO_RISK_TIMEOUT_MS": str(JUDGEMENT_MS),
            "TONGBAO_WEBHOOKS_ALLOW_LOCAL": "true",
            "TONGBAO_TEST_RATE_PER_S": "1000000",
            "TONGBAO_LOG_LEVEL": "WARNING",
        }
        judge = tongbao("serve", "risk", "--port", str(self._judge_port))
        self._add("judge", judge, self._judge_port, environment)
        await self._programs["judge"].start()
        # It makes the keys of the vault; the others find them.
        self._add(f"{PUBLIC}0", self._api(0), self.api_ports[0], environment)
        await self._programs[f"{PUBLIC}0"].start()
        self._add("worker", tongbao("serve", "worker"), None, environment)
        for number in range(1, API_COUNT):
            self._add(f"{PUBLIC}{number}", self._api(number), self.api_ports[number], environment)
        others = ("worker", *(f"{PUBLIC}{number}" for number in range(1, API_COUNT)))
        await asyncio.gather(*(self._programs[name].start() for name in others))

    def _api(self, number: int) -> list[str]:
        return tongbao("serve", "api", "--port", str(self.api_ports[number]))

    def _add(self, name: str, command: list[str], port: int | None, environment: dict[str, str]) -> None:
        self._programs[name] = Program(name, command, self.home, port=port, environment=environment)

    def _specs(self) -> list[ChannelSpec]:
        raw = (self.home / "sandbox" / "credentials.json").read_bytes()
        known = msgspec.json.decode(raw, type=MerchantCredentials)
        routes = sandbox_routes.routes(known, timeout_s=CHANNEL_S)
        return [_patient(spec) for spec in routes if spec.name in self._acquirers]


def routing_spec() -> dict[str, Any]:
    """Return the routing policy in force: learned acceptance against the costs of each acquirer."""
    return {
        "strategy": Strategy.LEARNED.value,
        "costs": {name: {"currency": CURRENCY, "bps": bps} for name, bps in COSTS_BPS.items()},
    }


def _patient(spec: ChannelSpec) -> ChannelSpec:
    line = {**spec.settings["line"], "connect_s": CHANNEL_S}
    return msgspec.structs.replace(spec, settings={**spec.settings, "line": line})


async def _roll_out(decisions: Decisions, policy: str, spec: dict[str, Any]) -> None:
    policies = decisions.policies
    version = (await policies.draft(policy, spec, "the whole system is measured", ACTOR)).version
    await policies.publish(policy, version, ACTOR)
    await policies.roll_out(policy, RolloutOrder(champion=version, note="the run begins"), ACTOR)
