"""The scratch world of the risk drill: a house of three processes, and one card acquirer that is a process of its own.

``api0`` serves the interfaces and does the background work (``tongbao serve all``), ``api1`` serves the interfaces alone, and
``scoring`` judges for both (``tongbao serve risk``): each can be killed and payments go on. Codes for payers are read where the house writes them in test mode, in its log.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec

from tongbao.bench import payment_drill_books
from tongbao.bench.payment_drill_books import Outside
from tongbao.bench.payment_drill_programs import HOST, Program, free_ports
from tongbao.bench.payment_drill_world import CONTROL_S, open_merchant, role_environment, toml, tongbao
from tongbao.channels.service.building import ChannelSpec
from tongbao.core import migrate
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.errors import Unavailable
from tongbao.core.http import HttpClient
from tongbao.simulator import sandbox_routes
from tongbao.simulator.sandbox.credentials import MerchantCredentials

ACQUIRER = "card_main"
CURRENCY = "USD"
KILLED, OTHER, SCORING = "api0", "api1", "scoring"
SCORING_MS = 5_000
"""So long payments wait for a judgement. A killed process refuses at once; a machine with much else to do is only slow."""
TIMEOUT_S = 2.0
NOT_FOUND_S = 4
"""The acquirer answers everything within milliseconds, so what it has not heard of by then was never sent."""
DECLINE_PROB = 0.02
"""Good payers meet issuers that say no, too; amounts that end in the sandbox's magic digits are declined besides."""
LOW_MINOR, HIGH_MINOR = 3_000, (42_200, 42_300)
"""Amounts of scenes that are about risk control alone: no issuer declines them. The high ones are above what any customer
spends, and what the starter rules take for much on a new device."""
CODE_EVENT = "step_up_code_for_development"
AWAY_EVENT, BACK_EVENT = "risk_scoring_away", "risk_scoring_back"
FOUND_S_MAX, FOUND_POLL_S = 30.0, 0.1


class RiskWorld:
    """All processes and addresses of one drill of risk control. ``open`` before use, ``close`` always."""

    def __init__(self, home: Path, seed: int) -> None:
        self.home = home
        self.server = EmbeddedServer(home / "postgres", conf={"shared_buffers": "128MB"})
        self.http = HttpClient()
        first, second, self._scoring_port, self._http_port, port = free_ports(5)
        self.api_ports = [first, second]
        behavior = home / "behavior.json"
        behavior.write_text(json.dumps({ACQUIRER: _habits()}))
        command = [*tongbao("sandbox", "serve"), "--home", str(home / "sandbox"), "--seed", str(seed)]
        command += ["--http-port", str(self._http_port), "--acquirer", f"{ACQUIRER}:{port}"]
        command += ["--behavior", str(behavior), "--journal", str(home / "book.jsonl")]
        self._sandbox = Program("sandbox", command, home, port=self._http_port)
        self._houses: dict[str, Program] = {}

    @property
    def programs(self) -> dict[str, Program]:
        """Every process by name."""
        return {"sandbox": self._sandbox, **self._houses}

    async def open_books(self) -> str:
        """Start the database and the acquirer; return the secret key of the merchant. Raises what starting raises."""
        key, _ = await asyncio.gather(self._open_books(), self._sandbox.start())
        return key

    async def open_house(self) -> None:
        """Start the house. Raises what starting raises."""
        channels = self.home / "channels.toml"
        channels.touch(0o600)
        channels.write_text(toml(self._spec()))
        url = f"http://{HOST}:{self.api_ports[0]}/v2/channels/{ACQUIRER}/notifications"
        await self._control("PUT", f"notify-url/{ACQUIRER}", {"url": url})
        environment = role_environment(self.home, self.server.dsn(), channels, self.api_ports[0])
        environment["TONGBAO_RISK_URL"] = f"http://{HOST}:{self._scoring_port}"
        environment["TONGBAO_RISK_TIMEOUT_MS"] = str(SCORING_MS)
        first, second = self.api_ports
        roles = ((KILLED, "all", first), (OTHER, "api", second), (SCORING, "risk", self._scoring_port))
        for name, role, port in roles:
            command = tongbao("serve", role, "--port", str(port))
            self._houses[name] = Program(name, command, self.home, port=port, environment=environment)
        # The first one makes what the house keeps in files; the others start once it is there.
        await self._houses[KILLED].start()
        await asyncio.gather(self._houses[OTHER].start(), self._houses[SCORING].start())

    async def close(self) -> None:
        """End everything that was started here."""
        for program in self.programs.values():
            await program.stop()
        await self.http.close()
        self.server.stop()

    async def read_outside(self, references: list[tuple[str, str]]) -> Outside:
        """Return what the acquirer's book holds against these (channel, reference) of our attempts."""
        outside = Outside({}, [])
        await payment_drill_books.read_sandbox(self._control, set(references), outside)
        return outside

    def code_for(self, amount_minor: int) -> str | None:
        """Return the newest code that the house wrote into its log for a payment of this amount; None for none."""
        found = None
        for program in self._houses.values():
            for line in program.log.read_text(errors="replace").splitlines():
                if CODE_EVENT in line:
                    entry = json.loads(line)
                    if entry.get("amount_minor") == amount_minor:
                        found = str(entry["code"])
        return found

    def said(self, event: str) -> int:
        """Return how often the house wrote an event into its logs."""
        texts = [program.log.read_text(errors="replace") for program in self._houses.values()]
        return sum(line.count(f'"{event}"') for text in texts for line in text.splitlines())

    async def wait_for_scoring(self) -> None:
        """Wait until every process that missed the scoring process has found it again; raise Unavailable."""
        for _ in range(round(FOUND_S_MAX / FOUND_POLL_S)):
            if self.said(BACK_EVENT) == self.said(AWAY_EVENT):
                return
            await asyncio.sleep(FOUND_POLL_S)
        raise Unavailable("drill_scoring_missed", "a process never asked the restarted scoring process again")

    async def _open_books(self) -> str:
        await asyncio.to_thread(self.server.start)
        await migrate.upgrade(self.server.dsn())
        return await open_merchant(self.server.dsn())

    async def _control(self, method: str, path: str, body: object = None) -> Any:
        answer = await self.http.request(
            method,
            f"http://{HOST}:{self._http_port}/_sandbox/{path}",
            headers={"content-type": "application/json"},
            body=None if body is None else msgspec.json.encode(body),
            timeout_s=CONTROL_S,
            answer_bytes_max=64 * 1024 * 1024,
        )
        return msgspec.json.decode(answer.body)

    def _spec(self) -> ChannelSpec:
        raw = (self.home / "sandbox" / "credentials.json").read_bytes()
        known = msgspec.json.decode(raw, type=MerchantCredentials)
        routes = sandbox_routes.routes(known, timeout_s=TIMEOUT_S)
        spec = next(each for each in routes if each.name == ACQUIRER)
        return msgspec.structs.replace(spec, settings={**spec.settings, "settles_not_found_s": NOT_FOUND_S})


def _habits() -> dict[str, Any]:
    return {
        "decline_prob": DECLINE_PROB,
        "latency": {"median_ms": 5.0, "sigma": 0.4},
        "scripts": [{"amount_minor": each} for each in (LOW_MINOR, *HIGH_MINOR)],
    }
