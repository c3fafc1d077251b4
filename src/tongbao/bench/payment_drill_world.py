"""The scratch world of the payment drill: a database, the product's own processes, and real peers on loopback.

Everything listens on ports that are chosen once and kept over restarts, everything is kept in one folder. A peer that
is not installed takes no part, and its channel is not configured.
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from pydantic import SecretStr

from tongbao.bench.payment_drill_programs import HOST, Program, free_ports
from tongbao.bench.payment_drill_recorder import Recorder
from tongbao.channels.service.building import ChannelSpec
from tongbao.core import migrate
from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.http import HttpClient
from tongbao.core.ids import IdFactory
from tongbao.parties.service import demo
from tongbao.parties.service.parties import Parties
from tongbao.simulator import sandbox_routes
from tongbao.simulator.sandbox.credentials import MerchantCredentials

SANDBOX, HOST_SIM, STRIPE_REPLICA = "sandbox", "iso8583sim", "localstripe"
CARD_MAIN, CARD_SPARE = "card_main", "card_spare"
API_COUNT = 2
TIMEOUT_S = 2.0
REPLICA_TIMEOUT_S = 5.0
"""The replica writes its whole state with every change: it is slow, not broken."""
KEY_PREFIX = "sk_test_"
CONTROL_S = 20.0
PANS = {"declined": "0000", "slow": "1111", "dropped": "2222"}
"""Digits 11 to 14 of the cards that iso8583sim's rules know."""

_HABITS: dict[str, Any] = {
    "faults": {
        "silent": 0.025,
        "silent_done": 0.025,
        "cut": 0.005,
        "cut_done": 0.005,
        "error": 0.005,
        "error_done": 0.005,
        "garbage": 0.005,
    },
    "latency": {"median_ms": 15.0, "sigma": 0.6},
    "decline_prob": 0.04,
    "declines": {"do_not_honor": 2, "insufficient_funds": 3, "issuer_unavailable": 1},
    "magic_amounts": False,
    "refund_ms": 150.0,
    "payers": {"pays_prob": 0.86, "cancels_prob": 0.06, "delay": {"median_ms": 400.0, "sigma": 0.6}},
    "notifying": {
        "lost_prob": 0.01,
        "duplicate_prob": 0.02,
        "late_prob": 0.02,
        "late": {"median_ms": 3_000.0, "sigma": 0.5},
        "shuffle_ms": 40.0,
    },
}
"""5 % time-outs, half of them after the act was done, broken lines and answers, 2 % notices twice and 2 % late."""


class World:
    """All processes and addresses of one drill. ``open`` before use, ``close`` always."""

    def __init__(self, home: Path, peers: Path, seed: int, pan_prefix: str) -> None:
        self.home = home
        self.server = EmbeddedServer(home / "postgres", conf={"shared_buffers": "128MB"})
        self.http = HttpClient()
        self._seed = seed
        self._prefix = pan_prefix
        ports = free_ports(API_COUNT + 6)
        self.api_ports = ports[:API_COUNT]
        self._http_port, main, spare, host, recorder, replica = ports[API_COUNT:]
        self._acquirers = {CARD_MAIN: main, CARD_SPARE: spare}
        self._programs: dict[str, Program] = {}
        self.notice_secret = "drill-notices"  # noqa: S105 - of a world that lives for minutes on loopback
        self._recorder_port = recorder
        self.recorder = Recorder(recorder, host)
        self._find_peers(peers, host, replica)
        self.replica_url = f"http://{HOST}:{replica}"

    @property
    def sandbox_url(self) -> str:
        """Where the sandbox's control API is."""
        return f"http://{HOST}:{self._http_port}"

    @property
    def peers(self) -> list[str]:
        """Names of the peers that take part."""
        return [each for each in (SANDBOX, HOST_SIM, STRIPE_REPLICA) if each in self._programs]

    @property
    def programs(self) -> Mapping[str, Program]:
        """Every process by name: ``api0``, ``api1``, ``worker`` and the peers."""
        return self._programs

    def has(self, peer: str) -> bool:
        """Return whether a peer takes part."""
        return peer in self._programs

    async def open(self) -> str:
        """Start everything; return the secret key of the merchant. Raises what starting raises."""
        key, _ = await asyncio.gather(self._open_house(), self._start_peers())
        if self.has(HOST_SIM):
            await self.recorder.open()
        self._write_channels()
        await self._tell_acquirers()
        # The first role to start makes what the house keeps in files (keys of the vault), so it starts alone.
        await self._open_role("worker", ["worker"], None)
        await asyncio.gather(
            *(
                self._open_role(f"api{number}", ["api", "--port", str(port)], port)
                for number, port in enumerate(self.api_ports)
            )
        )
        return key

    async def close(self) -> None:
        """End everything that was started here."""
        await asyncio.gather(*(program.stop() for program in self._programs.values()))
        await self.recorder.close()
        await self.http.close()
        await asyncio.to_thread(self.server.stop)

    async def restart(self, name: str) -> None:
        """Kill a process -9 and start it again at the same address."""
        program = self._programs[name]
        await program.kill()
        await program.start()
        if name == SANDBOX:
            await self._tell_acquirers()

    async def control(self, method: str, path: str, body: object = None) -> Any:
        """Call the sandbox's control API; return its answer, whatever it is."""
        answer = await self.http.request(
            method,
            f"{self.sandbox_url}/_sandbox/{path}",
            headers={"content-type": "application/json"},
            body=None if body is None else msgspec.json.encode(body),
            timeout_s=CONTROL_S,
            answer_bytes_max=64 * 1024 * 1024,
        )
        return msgspec.json.decode(answer.body)

    async def _open_house(self) -> str:
        """Open the database and the merchants; return the key of the first."""
        await asyncio.to_thread(self.server.start)
        dsn = self.server.dsn()
        await migrate.upgrade(dsn)
        return await open_merchant(dsn)

    async def _start_peers(self) -> None:
        await asyncio.gather(*(self._programs[name].start() for name in self.peers))

    def _find_peers(self, peers: Path, host_port: int, replica_port: int) -> None:
        """Make the programs of the sandbox and of the peers that are installed."""
        behavior = self.home / "behavior.json"
        behavior.write_text(json.dumps(dict.fromkeys(("alipay", "wechat_pay", *self._acquirers), _HABITS)))
        sandbox = [*tongbao("sandbox", "serve"), "--home", str(self.home / SANDBOX)]
        sandbox += [
            "--http-port",
            str(self._http_port),
            "--behavior",
            str(behavior),
            "--seed",
            str(self._seed),
        ]
        sandbox += ["--journal", str(self.home / "book.jsonl")]
        for name, port in self._acquirers.items():
            sandbox += ["--acquirer", f"{name}:{port}"]
        self._add(SANDBOX, sandbox, self._http_port)
        if (program := peers / "iso8583sim/bin/iso8583sim").exists():
            rules = self.home / "rules.json"
            rules.write_text(json.dumps({"rules": self._rules()}))
            command = [str(program.resolve()), "serve", "--port", str(host_port), "--rules", str(rules)]
            self._add(HOST_SIM, command, host_port)
        if (program := peers / "localstripe/bin/localstripe").exists():
            command = [str(program.resolve()), "--port", str(replica_port), "--from-scratch"]
            self._add(STRIPE_REPLICA, command, replica_port)

    def _rules(self) -> list[dict[str, Any]]:
        def on(what: str, **rule: Any) -> dict[str, Any]:
            match = {"pan_prefix": [self._prefix + PANS[what]], "mti": ["0100", "0200"]}
            return {"match": match, **rule}

        return [on("declined", respond="51"), on("slow", delay_ms=400), on("dropped", action="drop")]

    def _add(self, name: str, command: list[str], port: int | None) -> None:
        # Peers keep what they write in a folder of this drill, not in one that two of them would share.
        self._programs[name] = Program(
            name, command, self.home, port=port, environment={"TMPDIR": str(self.home)}
        )

    async def _open_role(self, name: str, role: list[str], port: int | None) -> None:
        environment = role_environment(self.home, self.server.dsn(), self._channels_file, self.api_ports[0])
        program = Program(name, tongbao("serve", *role), self.home, port=port, environment=environment)
        self._programs[name] = program
        await program.start()

    @property
    def _channels_file(self) -> Path:
        return self.home / "channels.toml"

    def _write_channels(self) -> None:
        raw = (self.home / SANDBOX / "credentials.json").read_bytes()
        known = msgspec.json.decode(raw, type=MerchantCredentials)
        specs = [_narrowed(spec) for spec in sandbox_routes.routes(known, timeout_s=TIMEOUT_S)]
        if self.has(HOST_SIM):
            specs.append(self._host_spec())
        if self.has(STRIPE_REPLICA):
            specs.append(self._replica_spec())
        self._channels_file.touch(0o600)
        self._channels_file.write_text("".join(toml(spec) for spec in specs))

    def _host_spec(self) -> ChannelSpec:
        return ChannelSpec(
            name=HOST_SIM,
            adapter="iso8583",
            settings={
                "line": {"host": HOST, "port": self._recorder_port, "timeout_s": TIMEOUT_S},
                "terminal": {
                    "terminal_id": "DRILL001",
                    "merchant_id": "DRILLMERCHANT01",
                    "acquirer_id": "400001",
                },
                "currencies": ["EUR"],
                "notice_secret": self.notice_secret,
            },
        )

    def _replica_spec(self) -> ChannelSpec:
        return ChannelSpec(
            name=STRIPE_REPLICA,
            adapter="stripe",
            settings={
                "base_url": self.replica_url,
                "secret_key": "sk_test_drill",
                "plain": True,
                "currencies": ["GBP"],
                "timeout_s": REPLICA_TIMEOUT_S,
            },
        )

    async def _tell_acquirers(self) -> None:
        """Tell the acquirers where to post: a restarted sandbox has forgotten it."""
        for name in self._acquirers:
            url = f"http://{HOST}:{self.api_ports[0]}/v2/channels/{name}/notifications"
            await self.control("PUT", f"notify-url/{name}", {"url": url})


async def open_merchant(dsn: str) -> str:
    """Open the merchants of the demonstration; return the secret test key of the first."""
    clock = RealClock()
    ids = IdFactory(clock)
    async with Database(dsn) as database, Parties(database, clock, ids) as parties:
        opened = await demo.open_demo(parties)
    return opened[0].texts[KEY_PREFIX].get_secret_value()


def role_environment(home: Path, dsn: str, channels_file: Path, public_port: int) -> dict[str, str]:
    """Return the settings of the product's own processes in a scratch world."""
    return {
        "TONGBAO_DATABASE_URL": dsn,
        "TONGBAO_DATA_DIR": str(home / "data"),
        "TONGBAO_CHANNELS_FILE": str(channels_file),
        "TONGBAO_PUBLIC_URL": f"http://{HOST}:{public_port}",
        "TONGBAO_TEST_RATE_PER_S": "100000",
        "TONGBAO_LOG_JSON": "true",
    }


def tongbao(*arguments: str) -> list[str]:
    """Return the command that runs this very program."""
    return [sys.executable, "-m", "tongbao", *arguments]


def _narrowed(spec: ChannelSpec) -> ChannelSpec:
    """Return a route of the sandbox; its card acquirers take dollars only, so that currency names the peer."""
    if spec.adapter != "iso8583":
        return spec
    return msgspec.structs.replace(spec, settings={**spec.settings, "currencies": ["USD"]})


def toml(spec: ChannelSpec) -> str:
    """Return a route as the channels file has it."""
    settings = _toml_value(spec.settings)
    return f'[[channel]]\nname = "{spec.name}"\nadapter = "{spec.adapter}"\nsettings = {settings}\n\n'


def _toml_value(value: object) -> str:
    """Write a setting as TOML: strings of JSON are strings of TOML."""
    match value:
        case SecretStr():
            return json.dumps(value.get_secret_value())
        case dict():
            inner = ", ".join(f"{json.dumps(name)} = {_toml_value(each)}" for name, each in value.items())
            return f"{{ {inner} }}"
        case list() | tuple():
            return f"[{', '.join(_toml_value(each) for each in value)}]"
        case _:
            return json.dumps(value)
