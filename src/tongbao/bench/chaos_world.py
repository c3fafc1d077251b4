"""The scratch world of the chaos drills: a whole house in a handful of processes, and everybody around it, on loopback.

``api0`` and ``api1`` serve the interfaces, ``worker`` does the background work, ``judge`` judges payments for both, ``sandbox`` is
all channels, PostgreSQL is a server of this world, and the shop's webhook receiver listens in the drill itself. What can be
broken has a method that breaks it and one that mends it. Only where the drill was asked for it, the house runs with a clock
that can be set (``chaos_clock``), or the database lies on a disk that can be filled (``chaos_disk``).
"""

import asyncio
import enum
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tongbao.bench.chaos_clock import MachineClock
from tongbao.bench.chaos_disk import SmallDisk
from tongbao.bench.chaos_hooks import Hooks
from tongbao.bench.payment_drill_books import Outside, read_sandbox
from tongbao.bench.payment_drill_programs import HOST, START_S_MAX, Program, free_ports
from tongbao.bench.payment_drill_recorder import Recorder
from tongbao.bench.payment_drill_world import CONTROL_S, open_merchant, role_environment, toml, tongbao
from tongbao.bench.risk_drill_desk import Desk
from tongbao.channels.service.building import ChannelSpec
from tongbao.core import migrate
from tongbao.core.db import Database
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.errors import Unavailable
from tongbao.core.http import HttpClient, NoAnswer, NotSent
from tongbao.risk.schema.tiers import Tier
from tongbao.simulator import sandbox_routes
from tongbao.simulator.sandbox.behavior import parse_habits
from tongbao.simulator.sandbox.credentials import MerchantCredentials
from tongbao.simulator.sandbox.schema import Operation

SANDBOX, JUDGE, WORKER, APIS = "sandbox", "judge", "worker", ("api0", "api1")
CARD_MAIN, CARD_SPARE = "card_main", "card_spare"
CHANNELS = (CARD_MAIN, CARD_SPARE, "alipay", "wechat_pay")
HEALTHY, UNKNOWN = "healthy", "unknown"
ASKED_S = 2.0
NOT_FOUND_S = 10
"""A card channel here answers within ``timeout_s`` or was never asked: "not found" is believed soon after that."""
JUDGED_MS = 1_000
"""So long payments wait for a judgement: a killed process refuses at once, a busy machine is only slow."""
HABITS: dict[str, Any] = {
    "latency": {"median_ms": 15.0, "sigma": 0.4},
    "decline_prob": 0.03,
    "magic_amounts": False,
    "refund_ms": 100.0,
    "payers": {"pays_prob": 1.0, "delay": {"median_ms": 300.0, "sigma": 0.3}},
}
"""Channels that work: what goes wrong here is what the drill does."""


class Kind(enum.StrEnum):
    """What a world can do beside being killed."""

    PLAIN = "plain"
    CLOCK = "clock"
    DISK = "disk"


class ChaosWorld:
    """All processes and addresses of one world, in a folder that it makes. ``open`` before use, ``close`` always."""

    def __init__(self, home: Path, seed: int, *, timeout_s: float, kind: Kind = Kind.PLAIN) -> None:
        home.mkdir(mode=0o755)
        self.home = home
        self.http = HttpClient()
        self.disk = SmallDisk(home / "disk") if kind is Kind.DISK else None
        self.clock = MachineClock(home / "clock") if kind is Kind.CLOCK else None
        self._clock_outside = MachineClock(home / "clock_outside") if kind is Kind.CLOCK else None
        self._database_home = (self.disk.folder if self.disk else home) / "postgres"
        self.server = EmbeddedServer(self._database_home, conf={"shared_buffers": "128MB"})
        self.recorder = Recorder(0, 0)
        self.notice_secret = ""
        first, second, self._worker_port, self._judge_port, self._http_port, main, spare, hooks = free_ports(
            8
        )
        self.api_ports = [first, second]
        self.hooks = Hooks(hooks)
        self._acquirers = {CARD_MAIN: main, CARD_SPARE: spare}
        self._timeout_s = timeout_s
        self._key = self._endpoint = ""
        self._asked = dict.fromkeys(self._acquirers, 0)
        self._programs = {SANDBOX: self._sandbox(seed)}

    @property
    def programs(self) -> Mapping[str, Program]:
        """Every process by name."""
        return self._programs

    @property
    def watched(self) -> dict[str, int]:
        """The port at which each process of the house is watched, by its name."""
        return {
            **dict(zip(APIS, self.api_ports, strict=True)),
            WORKER: self._worker_port,
            JUDGE: self._judge_port,
        }

    async def open(self) -> str:
        """Start everything; return the secret key of the merchant. Raises what starting raises."""
        if self.disk is not None:
            await asyncio.to_thread(self.disk.mount)
        key, _ = await asyncio.gather(self._open_books(), self._begin(SANDBOX))
        channels = self.home / "channels.toml"
        channels.touch(0o600)
        channels.write_text("".join(toml(spec) for spec in self._routes()))
        await self._tell_channels()
        await self.hooks.open()
        self._add_house(channels)
        # The first role to start makes what the house keeps in files (keys of the vault), so it starts alone.
        await self._begin(WORKER)
        await asyncio.gather(*(self._begin(name) for name in (*APIS, JUDGE)))
        await self._subscribe(key)
        return key

    async def close(self) -> None:
        """End everything that was started here, and give back the disk."""
        await asyncio.gather(*(program.stop() for program in self._programs.values()))
        await self.hooks.close()
        await self.http.close()
        await asyncio.to_thread(self.server.stop)
        if self.disk is not None:
            await asyncio.to_thread(self.disk.unmount)

    async def start(self, name: str) -> None:
        """Start a killed process again at its address, as whoever watches over processes does."""
        await self._begin(name)
        if name == SANDBOX:
            await self._tell_channels()

    def let_pass(self, seconds: int) -> None:
        """Let time go on for the house and for everybody around it, where clocks can be set."""
        for clock in (self.clock, self._clock_outside):
            if clock is not None:
                clock.let_pass(seconds)

    def said(self, event: str) -> int:
        """Return how often the house wrote an event into its logs."""
        texts = [self._programs[name].log.read_text(errors="replace") for name in APIS]
        return sum(f'"{event}"' in line for text in texts for line in text.splitlines())

    async def endpoint_health(self) -> str:
        """Return how the house says that the shop's webhook endpoint does; "unknown" where it does not say."""
        for port in self.api_ports:
            try:
                answer = await self.http.request(
                    "GET",
                    f"http://{HOST}:{port}/v2/webhook_endpoints/{self._endpoint}/health",
                    headers={"Authorization": f"Bearer {self._key}"},
                    timeout_s=ASKED_S,
                )
            except (NotSent, NoAnswer):
                continue
            return str(msgspec.json.decode(answer.body).get("state", UNKNOWN))
        return UNKNOWN

    async def start_database(self) -> bool:
        """Start PostgreSQL where it does not run; return whether it had to be started."""
        return await asyncio.to_thread(self.server.start)

    async def behave(self, channel: str, changes: Mapping[str, Any]) -> None:
        """Let a channel behave as ever but for ``changes``. Raises InvalidRequest ``behavior_invalid``."""
        habits = msgspec.json.encode({**HABITS, **changes})
        parse_habits(habits)
        await self.control("PUT", f"behavior/{channel}", msgspec.Raw(habits))

    async def mark_traffic(self) -> None:
        """Remember how often each card channel was asked so far: ``busiest`` counts from here."""
        self._asked = await self._authorizations()

    async def busiest(self) -> str:
        """Return the card channel that was asked to authorize most often since ``mark_traffic``: routing chooses it, not the drill."""
        asked = await self._authorizations()
        return max(asked, key=lambda name: asked[name] - self._asked[name])

    async def calm_channels(self) -> None:
        """Let every card channel behave as ever."""
        for name in self._acquirers:
            await self.behave(name, {})

    async def control(self, method: str, path: str, body: object = None) -> Any:
        """Call the sandbox's control API; return its answer, whatever it is."""
        answer = await self.http.request(
            method,
            f"http://{HOST}:{self._http_port}/_sandbox/{path}",
            headers={"content-type": "application/json"},
            body=None if body is None else msgspec.json.encode(body),
            timeout_s=CONTROL_S,
            answer_bytes_max=64 * 1024 * 1024,
        )
        return msgspec.json.decode(answer.body)

    async def read_outside(self, references: list[tuple[str, str]]) -> Outside:
        """Return what the channels' books hold against these (channel, reference) of our attempts."""
        outside = Outside({}, [])
        await read_sandbox(self.control, set(references), outside)
        return outside

    async def _begin(self, name: str) -> None:
        """Start a process and wait until it serves; raise Unavailable ``drill_process_ended``, ``drill_process_slow``."""
        try:
            await self._programs[name].start()
        except TimeoutError:
            detail = f"{name} did not serve within {START_S_MAX:.0f} s: this machine is too busy for a drill"
            raise Unavailable("drill_process_slow", detail) from None

    async def _authorizations(self) -> dict[str, int]:
        counters = await self.control("GET", "counters")
        asked = dict.fromkeys(self._acquirers, 0)
        for key, count in counters["asked"].items():
            name, operation, _ = key.split("/")
            if name in asked and operation == Operation.AUTHORIZE:
                asked[name] += count
        return asked

    def _sandbox(self, seed: int) -> Program:
        behavior = self.home / "behavior.json"
        behavior.write_text(json.dumps(dict.fromkeys(CHANNELS, HABITS)))
        command = [*tongbao("sandbox", "serve"), "--home", str(self.home / SANDBOX), "--seed", str(seed)]
        command += ["--http-port", str(self._http_port), "--behavior", str(behavior)]
        command += ["--journal", str(self.home / "book.jsonl")]
        for name, port in self._acquirers.items():
            command += ["--acquirer", f"{name}:{port}"]
        environment = self._clock_outside.environment() if self._clock_outside else None
        return Program(SANDBOX, command, self.home, port=self._http_port, environment=environment)

    def _add_house(self, channels: Path) -> None:
        environment = role_environment(self.home, self.server.dsn(), channels, self.api_ports[0])
        environment |= {
            "TONGBAO_RISK_URL": f"http://{HOST}:{self._judge_port}",
            "TONGBAO_RISK_TIMEOUT_MS": str(JUDGED_MS),
            "TONGBAO_WEBHOOKS_ALLOW_LOCAL": "true",
        }
        if self.clock is not None:
            environment |= self.clock.environment()
        roles = {WORKER: "worker", JUDGE: "risk", **dict.fromkeys(APIS, "api")}
        for name, role in roles.items():
            port = self.watched[name]
            command = tongbao("serve", role, "--port", str(port))
            self._programs[name] = Program(name, command, self.home, port=port, environment=environment)

    async def _open_books(self) -> str:
        """Start the database; open the merchants and a risk policy; return the secret key of the first merchant."""
        await asyncio.to_thread(self.server.start)
        dsn = self.server.dsn()
        await migrate.upgrade(dsn)
        async with Database(dsn) as database:
            desk = Desk(database)
            await desk.declare_suspects()
            await desk.roll_out("starter rules", fallback=Tier.FRICTIONLESS.value)
        return await open_merchant(dsn)

    def _routes(self) -> list[ChannelSpec]:
        raw = (self.home / SANDBOX / "credentials.json").read_bytes()
        known = msgspec.json.decode(raw, type=MerchantCredentials)
        routes = sandbox_routes.routes(known, timeout_s=self._timeout_s)
        return [_quick_to_believe(spec) for spec in routes]

    async def _tell_channels(self) -> None:
        """Tell the acquirers where to post: a restarted sandbox has forgotten it."""
        for name in self._acquirers:
            url = f"http://{HOST}:{self.api_ports[0]}/v2/channels/{name}/notifications"
            await self.control("PUT", f"notify-url/{name}", {"url": url})

    async def _subscribe(self, key: str) -> None:
        """Let the shop ask for all events; raise Unavailable where the house refuses."""
        answer = await self.http.request(
            "POST",
            f"http://{HOST}:{self.api_ports[0]}/v1/webhook_endpoints",
            headers={
                "Authorization": f"Bearer {key}",
                "Content-Type": "application/x-www-form-urlencoded",
                "Idempotency-Key": "chaos-endpoint",
            },
            body=f"url={self.hooks.url}&enabled_events[0]=*".encode(),
        )
        if answer.status != 200:
            said = answer.body[:300].decode(errors="replace")
            raise Unavailable("drill_endpoint_refused", f"{answer.status}: {said}")
        self._key, self._endpoint = key, msgspec.json.decode(answer.body)["id"]


def _quick_to_believe(spec: ChannelSpec) -> ChannelSpec:
    """Return a route of the sandbox; its card acquirers take dollars only, and "not found" is believed early."""
    if spec.adapter != "iso8583":
        return spec
    settings = {**spec.settings, "currencies": ["USD"], "settles_not_found_s": NOT_FOUND_S}
    return msgspec.structs.replace(spec, settings=settings)
