"""Processes of the payment drill: started, killed -9, and started again at the same address.

What a process prints goes to one file per process, appended over its lives: the files are searched for card numbers
at the end. Nothing here knows what the processes do.
"""

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tongbao.core.errors import Unavailable

HOST = "127.0.0.1"
START_S_MAX = 180.0
STOP_S_MAX = 10.0
POLL_S = 0.05


class Program:
    """One process with its command, its folder and, where it listens, its port."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        home: Path,
        *,
        port: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.port = port
        self.log = home / f"{name}.log"
        self._command = list(command)
        self._home = home
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_alive(self) -> bool:
        """Return whether the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The number of the process; raise Unavailable ``drill_process_ended`` where none was started."""
        if self._process is None:
            raise Unavailable("drill_process_ended", f"{self.name} was never started")
        return self._process.pid

    async def start(self) -> None:
        """Start the process; wait until it listens or, where it has no port, says its first word.

        Raises Unavailable ``drill_process_ended``, TimeoutError after ``START_S_MAX``.
        """
        said = self.log.stat().st_size if self.log.exists() else 0
        self._process = self._spawn()
        async with asyncio.timeout(START_S_MAX):
            while not await self._is_up(said):
                if not self.is_alive:
                    raise Unavailable(
                        "drill_process_ended", f"{self.name} ended at its start: {self._tail()}"
                    )
                await asyncio.sleep(POLL_S)

    async def kill(self) -> None:
        """Kill -9 and wait until it is gone."""
        process = self._process
        if process is not None and process.poll() is None:
            process.kill()
            await asyncio.to_thread(process.wait)

    def pause(self) -> None:
        """Stop the process as it stands (SIGSTOP): its connections stay open, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a stopped process go on where it was (SIGCONT)."""
        self._signal(signal.SIGCONT)

    async def stop(self) -> None:
        """Ask the process to end; kill it where it does not within ``STOP_S_MAX``."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.is_alive:
            self._process.send_signal(number)

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - this very program, and peers that the caller names
                self._command,
                cwd=self._home,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def _is_up(self, said: int) -> bool:
        if self.port is None:
            return self.is_alive and self.log.stat().st_size > said
        return await _listens(self.port)

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-600:]


def free_ports(count: int) -> list[int]:
    """Return ports at which nobody listens now, all different."""
    taken = [socket.socket() for _ in range(count)]
    try:
        for each in taken:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in taken]
    finally:
        for each in taken:
            each.close()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    return True
