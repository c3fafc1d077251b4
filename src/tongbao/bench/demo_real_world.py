"""The world of ``tongbao demo real``: the product's own processes, and parties that nobody here wrote, all on loopback.

Everything is a process of its own, in a folder of its own, on ports chosen once. The wallets' sandbox is behind a tap, and so is
the public entrance of the house: what wallets and house tell each other is judged afterwards by the published clients.
"""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tongbao.bench.demo_real_channels import (
    BIC,
    HOLDER,
    IBANS,
    LOST_MINOR,
    OPENING_MINOR,
    REPLICA_KEY,
    WALLETS,
    Outside,
    channels_text,
    host_rules,
)
from tongbao.bench.demo_real_peers import BANK, HOST_SIM, REPLICA, Peers
from tongbao.bench.demo_real_recorder import HostBook
from tongbao.bench.demo_real_taps import Tap
from tongbao.bench.payment_drill_programs import HOST, Program, free_ports
from tongbao.bench.payment_drill_recorder import Recorder
from tongbao.bench.payment_drill_world import open_merchant, role_environment, tongbao
from tongbao.core import migrate
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.errors import Unavailable
from tongbao.core.http import HttpClient
from tongbao.simulator.sandbox.credentials import MerchantCredentials

SANDBOX = "sandbox"
CONTROL_S = 20.0
ANSWER_BYTES_MAX = 64 * 1024 * 1024
SCORING_MS = 5_000
CODE_EVENT = "step_up_code_for_development"


class World:
    """All processes and addresses. ``open`` before use, ``close`` always."""

    def __init__(self, home: Path, peers: Peers, *, pan_prefix: str, seed: int, api_count: int) -> None:
        self.home = home
        self.peers = peers
        self.server = EmbeddedServer(home / "postgres", conf={"shared_buffers": "128MB"})
        self.http = HttpClient()
        self.notice_secret = "demo-notices"  # noqa: S105 - of a world that lives for minutes on loopback
        self._prefix = pan_prefix
        self._seed = seed
        ports = free_ports(api_count + 8)
        self.api_ports = ports[:api_count]
        wallets, entrance, sandbox, host, recorder, replica, bank, self._scoring_port = ports[api_count:]
        self._ports = {SANDBOX: sandbox, HOST_SIM: host, REPLICA: replica, BANK: bank}
        self._recorder_port = recorder
        self.host_book = HostBook(recorder, host)
        self.recorder: Recorder = self.host_book
        self.wallets = Tap(wallets, self._url(SANDBOX))
        self.entrance = Tap(entrance, f"http://{HOST}:{self.api_ports[0]}")
        self.bank_out, self.bank_into = home / "bank" / "out", home / "bank" / "into"
        self._programs: dict[str, Program] = {}

    @property
    def programs(self) -> Mapping[str, Program]:
        """Every process by name."""
        return self._programs

    @property
    def channels(self) -> list[str]:
        """The channels that are configured."""
        return [*(each for each in (HOST_SIM, REPLICA) if self.peers.has(each)), *WALLETS]

    @property
    def takes_cards(self) -> bool:
        """Whether any card channel takes part."""
        return self.peers.has(HOST_SIM) or self.peers.has(REPLICA)

    async def open_books(self) -> str:
        """Start the database and everybody outside; return the merchant's secret key. Raises what starting raises."""
        for each in (self.bank_out, self.bank_into):
            each.mkdir(parents=True)
        self._find_peers()
        starts = asyncio.gather(*(program.start() for program in self._programs.values()))
        key, _ = await asyncio.gather(self._open_database(), starts)
        await self.recorder.open()
        await self.wallets.open()
        await self.entrance.open()
        if self.peers.has(BANK):
            await self._open_accounts()
        return key

    async def open_house(self, *, whole: bool) -> None:
        """Start the house: in one process where it is not ``whole``, else worker, judge and interfaces in their own."""
        environment = self._environment(scoring=whole)
        first, *more = self.api_ports
        if not whole:
            await self._start("house", tongbao("serve", "all", "--port", str(first)), first, environment)
            return
        # The first process makes what the house keeps in files (keys), so it starts alone.
        await self._start("worker", tongbao("serve", "worker"), None, environment)
        starts = [
            self._start(f"api{number}", tongbao("serve", "api", "--port", str(port)), port, environment)
            for number, port in enumerate((first, *more))
        ]
        command = tongbao("serve", "risk", "--port", str(self._scoring_port))
        starts.append(self._start("scoring", command, self._scoring_port, environment))
        await asyncio.gather(*starts)

    async def close(self) -> None:
        """End everything that was started here."""
        await asyncio.gather(*(program.stop() for program in self._programs.values()))
        for each in (self.recorder, self.wallets, self.entrance, self.http):
            await each.close()
        await asyncio.to_thread(self.server.stop)

    async def control(self, method: str, path: str, body: object = None) -> Any:
        """Call the control API of the wallets' sandbox; raises Unavailable where it refuses."""
        return await self._call(SANDBOX, method, f"/_sandbox/{path}", body)

    async def bank(self, method: str, path: str, body: object = None) -> Any:
        """Call the control plane of mock-bank; raises Unavailable where it refuses."""
        return await self._call(BANK, method, f"/_mock/{path}", body)

    async def replica(self, path: str) -> Any:
        """Read a list of localstripe; raises Unavailable where it refuses."""
        return await self._call(REPLICA, "GET", path, None, {"Authorization": f"Bearer {REPLICA_KEY}"})

    def code_for(self, amount_minor: int) -> str | None:
        """Return the newest code that the house wrote into its logs for a payment of this amount; None for none."""
        found = None
        for log in (program.log for program in self._programs.values() if program.log.exists()):
            for line in log.read_text(errors="replace").splitlines():
                if CODE_EVENT in line and (entry := json.loads(line)).get("amount_minor") == amount_minor:
                    found = str(entry["code"])
        return found

    async def _call(
        self, peer: str, method: str, path: str, body: object, headers: Mapping[str, str] | None = None
    ) -> Any:
        answer = await self.http.request(
            method,
            self._url(peer) + path,
            headers={"content-type": "application/json", **(headers or {})},
            body=None if body is None else msgspec.json.encode(body),
            timeout_s=CONTROL_S,
            answer_bytes_max=ANSWER_BYTES_MAX,
        )
        if answer.status >= 300:
            raise Unavailable(
                "demo_peer_refused",
                f"{peer} answered {answer.status} to {method} {path}: {answer.body[:300]!r}",
            )
        return msgspec.json.decode(answer.body)

    async def _open_database(self) -> str:
        await asyncio.to_thread(self.server.start)
        await migrate.upgrade(self.server.dsn())
        return await open_merchant(self.server.dsn())

    async def _open_accounts(self) -> None:
        for currency, iban in IBANS.items():
            account = {
                "id": f"HOUSE-{currency}",
                "name": HOLDER,
                "iban": iban,
                "bic": BIC,
                "currency": currency,
                "balance": OPENING_MINOR,
            }
            await self.bank("POST", "accounts", account)

    def _find_peers(self) -> None:
        behavior = self.home / "behavior.json"
        lost = {"amount_minor": LOST_MINOR, "operation": "authorize", "fault": "silent_done"}
        habits = {"magic_amounts": False, "latency": {"median_ms": 15.0, "sigma": 0.4}, "scripts": [lost]}
        behavior.write_text(json.dumps(dict.fromkeys(WALLETS.values(), habits)))
        command = [
            *tongbao("sandbox", "serve"),
            "--home",
            str(self.home / SANDBOX),
            "--seed",
            str(self._seed),
        ]
        command += ["--http-port", str(self._ports[SANDBOX]), "--behavior", str(behavior)]
        self._add(SANDBOX, command)
        if self.peers.has(HOST_SIM):
            rules = self.home / "rules.json"
            rules.write_text(json.dumps({"rules": host_rules(self._prefix)}))
            self._add(
                HOST_SIM,
                [self.peers.program(HOST_SIM), "serve", *self._port(HOST_SIM), "--rules", str(rules)],
            )
        if self.peers.has(REPLICA):
            self._add(REPLICA, [self.peers.program(REPLICA), *self._port(REPLICA), "--from-scratch"])
        if self.peers.has(BANK):
            folders = ["--drop-dir", str(self.bank_out), "--pickup-dir", str(self.bank_into)]
            pace = ["--drop-settle-ms", "0", "--drop-interval-ms", "250", "--cutoff", "23:59", "-q"]
            self._add(BANK, [self.peers.program(BANK), *self._port(BANK), *folders, *pace])

    def _port(self, peer: str) -> list[str]:
        return ["--port", str(self._ports[peer])]

    def _url(self, peer: str) -> str:
        return f"http://{HOST}:{self._ports[peer]}"

    def _add(self, name: str, command: list[str]) -> None:
        environment = {"TMPDIR": str(self.home)}  # Not a folder that two demonstrations would share.
        self._programs[name] = Program(
            name, command, self.home, port=self._ports[name], environment=environment
        )

    async def _start(
        self, name: str, command: list[str], port: int | None, environment: dict[str, str]
    ) -> None:
        program = Program(name, command, self.home, port=port, environment=environment)
        self._programs[name] = program
        await program.start()

    def _environment(self, *, scoring: bool) -> dict[str, str]:
        channels = self.home / "channels.toml"
        channels.touch(0o600)
        channels.write_text(channels_text(self.peers, self._outside()))
        found = role_environment(self.home, self.server.dsn(), channels, self.api_ports[0])
        found["TONGBAO_PUBLIC_URL"] = self.entrance.url
        found["TONGBAO_WEBHOOKS_ALLOW_LOCAL"] = "true"
        found["TONGBAO_PAYOUT_COOLING_HOURS"] = "0"
        if scoring:
            found["TONGBAO_RISK_URL"] = f"http://{HOST}:{self._scoring_port}"
            found["TONGBAO_RISK_TIMEOUT_MS"] = str(SCORING_MS)
        return found

    def _outside(self) -> Outside:
        """Return where the house finds everybody outside."""
        raw = (self.home / SANDBOX / "credentials.json").read_bytes()
        return Outside(
            wallets=msgspec.json.decode(raw, type=MerchantCredentials),
            wallets_url=self._url(SANDBOX),
            tap_url=self.wallets.url,
            recorder_port=self._recorder_port,
            notice_secret=self.notice_secret,
            replica_url=self._url(REPLICA),
            bank_out=str(self.bank_out),
            bank_into=str(self.bank_into),
        )
