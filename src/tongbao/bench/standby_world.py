"""The scratch world of the standby drill: two servers, API processes behind one address, a worker, a read-only console.

The outside is one acquirer of the sandbox, with quick and quiet habits: here the database is what breaks.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec

from tongbao.bench.payment_drill_programs import HOST, Program, free_ports
from tongbao.bench.payment_drill_world import KEY_PREFIX, open_merchant, role_environment, toml, tongbao
from tongbao.channels.service.building import ChannelSpec
from tongbao.core import migrate
from tongbao.core.embedded.standby import ReplicatedServer
from tongbao.core.http import HttpClient
from tongbao.simulator import sandbox_routes
from tongbao.simulator.sandbox.credentials import MerchantCredentials

ACQUIRER = "card_main"
CONTROL_S = 20.0
CHANNEL_S = 5.0
_HABITS = {
    "latency": {"median_ms": 10.0, "sigma": 0.3},
    "decline_prob": 0.03,
    "declines": {"do_not_honor": 1},
    "magic_amounts": False,
}


class World:
    """Everything that one drill runs. ``open`` before use, ``close`` always."""

    def __init__(self, home: Path, *, processes: int, commit_mode: str) -> None:
        self.home = home
        self.server = ReplicatedServer(
            home / "primary", home / "standby", conf={"shared_buffers": "128MB"}, commit_mode=commit_mode
        )
        self.http = HttpClient()
        self.api_port, self._console_port, self._sandbox_port, self._acquirer_port = free_ports(4)
        self._processes = processes
        self.programs: dict[str, Program] = {}

    @property
    def console_url(self) -> str:
        """Where the read-only console is."""
        return f"http://{HOST}:{self._console_port}"

    async def open(self) -> str:
        """Start everything; return the secret test key of the merchant. Raises what starting raises."""
        key, _ = await asyncio.gather(self._open_books(), self._open_sandbox())
        self._write_channels()
        # The first role to start makes what the house keeps in files, so it starts alone.
        await self._start("worker", ["worker"], None)
        api = ["api", "--port", str(self.api_port), "--processes", str(self._processes)]
        console = ["console", "--port", str(self._console_port)]
        await asyncio.gather(
            self._start("api", api, self.api_port), self._start("console", console, self._console_port)
        )
        return key

    async def close(self) -> None:
        """End everything that was started here."""
        await asyncio.gather(*(program.stop() for program in self.programs.values()))
        await self.http.close()
        await asyncio.to_thread(self.server.stop)

    async def control(self, method: str, path: str) -> Any:
        """Call the sandbox's control API; return its answer."""
        url = f"http://{HOST}:{self._sandbox_port}/_sandbox/{path}"
        answer = await self.http.request(
            method, url, headers={}, body=None, timeout_s=CONTROL_S, answer_bytes_max=64 * 1024 * 1024
        )
        return msgspec.json.decode(answer.body)

    async def _open_books(self) -> str:
        await asyncio.to_thread(self.server.start)
        await migrate.upgrade(self.server.dsn())
        key = await open_merchant(self.server.dsn())
        assert key.startswith(KEY_PREFIX)
        return key

    async def _open_sandbox(self) -> None:
        behavior = self.home / "behavior.json"
        behavior.write_text(json.dumps({ACQUIRER: _HABITS}))
        command = [*tongbao("sandbox", "serve"), "--home", str(self.home / "sandbox")]
        command += ["--http-port", str(self._sandbox_port), "--behavior", str(behavior), "--seed", "1"]
        command += ["--acquirer", f"{ACQUIRER}:{self._acquirer_port}"]
        program = Program("sandbox", command, self.home, port=self._sandbox_port)
        self.programs["sandbox"] = program
        await program.start()

    async def _start(self, name: str, role: list[str], port: int | None) -> None:
        environment = role_environment(
            self.home, self.server.dsn(), self.home / "channels.toml", self.api_port
        )
        program = Program(name, tongbao("serve", *role), self.home, port=port, environment=environment)
        self.programs[name] = program
        await program.start()

    def _write_channels(self) -> None:
        raw = (self.home / "sandbox" / "credentials.json").read_bytes()
        known = msgspec.json.decode(raw, type=MerchantCredentials)
        specs = [_narrowed(each) for each in sandbox_routes.routes(known, timeout_s=CHANNEL_S)]
        channels = self.home / "channels.toml"
        channels.touch(0o600)
        channels.write_text("".join(toml(each) for each in specs if each.name == ACQUIRER))


def _narrowed(spec: ChannelSpec) -> ChannelSpec:
    """Return the route with dollars alone, which is all that the drill pays in."""
    return msgspec.structs.replace(spec, settings={**spec.settings, "currencies": ["USD"]})
