"""The scratch world of the routing drill: a house and card channels that are processes of their own.

Each acquirer is a sandbox process with its own port, book and habits; iso8583sim takes part where it is installed,
behind the recorder that keeps its book. All channels take the same cards in dollars, so that routing alone decides.
"""

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tongbao.bench import payment_drill_books
from tongbao.bench.payment_drill_books import Outside
from tongbao.bench.payment_drill_programs import HOST, Program, free_ports
from tongbao.bench.payment_drill_recorder import Recorder
from tongbao.bench.payment_drill_world import (
    CONTROL_S,
    HOST_SIM,
    open_merchant,
    role_environment,
    toml,
    tongbao,
)
from tongbao.channels.service.building import ChannelSpec
from tongbao.core import migrate
from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.http import HttpClient
from tongbao.core.ids import IdFactory
from tongbao.decisions.policy.rollout import RolloutOrder
from tongbao.decisions.service.decisions import Decisions
from tongbao.routing.schema.spec import Strategy
from tongbao.routing.service import compiling
from tongbao.simulator import sandbox_routes
from tongbao.simulator.sandbox.credentials import MerchantCredentials

API_COUNT = 2
CURRENCY = "USD"
ACTOR = "drill"
MARGIN_BPS = 400
HOST_SIM_BPS = 310
DECLINES = {"do_not_honor": 3, "insufficient_funds": 2, "issuer_unavailable": 1}


class Terms(NamedTuple):
    """How an acquirer behaves and what it takes: share of declines, median of its answers in ms, basis points."""

    decline_prob: float
    median_ms: float
    cost_bps: int


ACQUIRERS: dict[str, Terms] = {
    "card_north": Terms(0.04, 20.0, 140),
    "card_south": Terms(0.06, 30.0, 190),
    "card_east": Terms(0.08, 45.0, 230),
}
"""The first is the best by all measures, so that it carries most of the traffic."""


class Patience(NamedTuple):
    """How long a call may take, and when "not found" is believed; longer than any silence of the drill, both seconds."""

    timeout_s: float
    not_found_s: int


class _Sandbox(NamedTuple):
    """Where the sandbox process of one acquirer is."""

    http_port: int
    port: int
    home: Path


class OutageWorld:
    """All processes and addresses of one drill of routing. ``open`` before use, ``close`` always."""

    def __init__(self, home: Path, peers: Path, seed: int, patience: Patience) -> None:
        self.home = home
        self.server = EmbeddedServer(home / "postgres", conf={"shared_buffers": "128MB"})
        self.http = HttpClient()
        self.notice_secret = "drill-notices"  # noqa: S105 - of a world that lives for minutes on loopback
        self._patience = patience
        ports = free_ports(API_COUNT + 2 + 2 * len(ACQUIRERS))
        self.api_ports = ports[:API_COUNT]
        host, self._recorder_port, *rest = ports[API_COUNT:]
        self.recorder = Recorder(self._recorder_port, host)
        self.peers: dict[str, Program] = {}
        self._roles: dict[str, Program] = {}
        self._sandboxes: dict[str, _Sandbox] = {}
        for name, http_port, port in zip(ACQUIRERS, rest[::2], rest[1::2], strict=True):
            self._sandboxes[name] = _Sandbox(http_port, port, home / name)
            self.peers[name] = Program(name, self._sandbox_command(name, seed), home, port=port)
        if (program := peers / "iso8583sim/bin/iso8583sim").exists():
            command = [str(program.resolve()), "serve", "--port", str(host)]
            self.peers[HOST_SIM] = Program(
                HOST_SIM, command, home, port=host, environment={"TMPDIR": str(home)}
            )

    @property
    def programs(self) -> dict[str, Program]:
        """Every process by name: ``api0``, ``api1``, ``worker`` and the channels."""
        return self.peers | self._roles

    async def open(self, strategy: Strategy) -> str:
        """Start everything, roll out the policy; return the merchant's secret key. Raises what starting raises."""
        key, _ = await asyncio.gather(self._open_house(strategy), _start(self.peers.values()))
        if HOST_SIM in self.peers:
            await self.recorder.open()
        self._channels_file.touch(0o600)
        self._channels_file.write_text("".join(toml(spec) for spec in self._specs()))
        for name in ACQUIRERS:
            await self._tell_address(name)
        roles: list[tuple[str, list[str], int | None]] = [("worker", ["worker"], None)]
        roles += [
            (f"api{number}", ["api", "--port", str(port)], port) for number, port in enumerate(self.api_ports)
        ]
        environment = role_environment(self.home, self.server.dsn(), self._channels_file, self.api_ports[0])
        for name, role, role_port in roles:
            self._roles[name] = Program(
                name, tongbao("serve", *role), self.home, port=role_port, environment=environment
            )
        # The first role to start makes what the house keeps in files (keys of the vault), so it starts alone.
        first, *others = self._roles.values()
        await first.start()
        await _start(others)
        return key

    async def close(self) -> None:
        """End everything that was started here."""
        for program in self.programs.values():
            program.resume()
        await asyncio.gather(*(program.stop() for program in self.programs.values()))
        await self.recorder.close()
        await self.http.close()
        await asyncio.to_thread(self.server.stop)

    async def restart(self, channel: str) -> None:
        """Start a channel again at its address after it was killed."""
        await self.peers[channel].start()
        if channel in ACQUIRERS:
            await self._tell_address(channel)

    async def control(self, method: str, path: str, body: object = None) -> Any:
        """Call the control API of the sandbox that ``channel`` in a body names; return its answer."""
        assert isinstance(body, dict)
        return await self._control(body["channel"], method, path, body)

    async def read_outside(self, references: list[tuple[str, str]]) -> Outside:
        """Return what the books of all channels hold against these (channel, reference) of our attempts."""
        outside = Outside({}, [])
        for name in ACQUIRERS:

            async def control(method: str, path: str, name: str = name) -> Any:
                return await self._control(name, method, path)

            asked = {each for each in references if each[0] == name}
            await payment_drill_books.read_sandbox(control, asked, outside)
        if HOST_SIM in self.peers:
            payment_drill_books.read_recorder(self.recorder, set(references), outside)
        return outside

    @property
    def _channels_file(self) -> Path:
        return self.home / "channels.toml"

    async def _control(self, channel: str, method: str, path: str, body: object = None) -> Any:
        answer = await self.http.request(
            method,
            f"http://{HOST}:{self._sandboxes[channel].http_port}/_sandbox/{path}",
            headers={"content-type": "application/json"},
            body=None if body is None else msgspec.json.encode(body),
            timeout_s=CONTROL_S,
            answer_bytes_max=64 * 1024 * 1024,
        )
        return msgspec.json.decode(answer.body)

    async def _tell_address(self, name: str) -> None:
        """Tell an acquirer where to post: a restarted one has forgotten it."""
        url = f"http://{HOST}:{self.api_ports[0]}/v2/channels/{name}/notifications"
        await self._control(name, "PUT", f"notify-url/{name}", {"url": url})

    async def _open_house(self, strategy: Strategy) -> str:
        """Open database, merchants and policy; return the key of the first merchant."""
        await asyncio.to_thread(self.server.start)
        dsn = self.server.dsn()
        await migrate.upgrade(dsn)
        key = await open_merchant(dsn)
        async with Database(dsn) as database:
            await _roll_out(database, policy_spec(list(self.peers), strategy), list(self.peers))
        return key

    def _sandbox_command(self, name: str, seed: int) -> list[str]:
        terms, place = ACQUIRERS[name], self._sandboxes[name]
        habits = {
            "decline_prob": terms.decline_prob,
            "declines": DECLINES,
            "latency": {"median_ms": terms.median_ms, "sigma": 0.5},
            "magic_amounts": False,
        }
        behavior = self.home / f"{name}.json"
        behavior.write_text(json.dumps({name: habits}))
        command = [*tongbao("sandbox", "serve"), "--home", str(place.home), "--seed", str(seed)]
        command += ["--http-port", str(place.http_port), "--acquirer", f"{name}:{place.port}"]
        return [*command, "--behavior", str(behavior), "--journal", str(self.home / f"{name}.jsonl")]

    def _specs(self) -> list[ChannelSpec]:
        specs = [self._acquirer_spec(name) for name in ACQUIRERS]
        return [*specs, self._host_spec()] if HOST_SIM in self.peers else specs

    def _acquirer_spec(self, name: str) -> ChannelSpec:
        raw = (self._sandboxes[name].home / "credentials.json").read_bytes()
        known = msgspec.json.decode(raw, type=MerchantCredentials)
        routes = sandbox_routes.routes(known, timeout_s=self._patience.timeout_s)
        spec = next(each for each in routes if each.name == name)
        settings = {
            **spec.settings,
            "currencies": [CURRENCY],
            "settles_not_found_s": self._patience.not_found_s,
        }
        return msgspec.structs.replace(spec, settings=settings)

    def _host_spec(self) -> ChannelSpec:
        terminal = {
            "terminal_id": "DRILL001",
            "merchant_id": "DRILLMERCHANT01",
            "acquirer_id": "400001",
        }
        line = {"host": HOST, "port": self._recorder_port, "timeout_s": self._patience.timeout_s}
        return ChannelSpec(
            name=HOST_SIM,
            adapter="iso8583",
            settings={
                "line": line,
                "terminal": terminal,
                "currencies": [CURRENCY],
                "notice_secret": self.notice_secret,
            },
        )


def policy_spec(channels: list[str], strategy: Strategy) -> dict[str, Any]:
    """Return the drill's policy: terms of every channel; for the strategies that ask for them, order of cost, equal shares."""
    bps = {name: ACQUIRERS[name].cost_bps if name in ACQUIRERS else HOST_SIM_BPS for name in channels}
    return {
        "strategy": strategy.value,
        "order": sorted(channels, key=bps.__getitem__),
        "weights": dict.fromkeys(channels, 1),
        "costs": {name: {"currency": CURRENCY, "bps": bps[name]} for name in channels},
        "margin_bps": MARGIN_BPS,
    }


async def _start(programs: Iterable[Program]) -> None:
    await asyncio.gather(*(program.start() for program in programs))


async def _roll_out(database: Database, spec: dict[str, Any], channels: list[str]) -> None:
    """Draft, publish and roll out the first version of the house's routing policy."""
    clock = RealClock()
    checked = {compiling.POLICY: compiling.checker(channels)}
    policies = Decisions(database, clock, IdFactory(clock), checked).policies
    version = (await policies.draft(compiling.POLICY, spec, "terms of the drill", ACTOR)).version
    await policies.publish(compiling.POLICY, version, ACTOR)
    await policies.roll_out(compiling.POLICY, RolloutOrder(champion=version, note="the drill begins"), ACTOR)
