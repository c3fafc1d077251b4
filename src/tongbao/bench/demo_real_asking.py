"""Programs that are asked line by line: a JSON object on their standard input, one on their standard output."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tongbao.core.errors import Unavailable

ANSWER_S = 300.0
LINE_BYTES_MAX = 64 * 1024 * 1024
STOP_S = 5.0


class Asked:
    """A process that answers questions. ``open`` before use, ``close`` always; one question at a time."""

    def __init__(self, name: str, command: Sequence[str], home: Path) -> None:
        self._name = name
        self._command = list(command)
        self._home = home
        self._errors = home / f"{name}.log"
        self._process: asyncio.subprocess.Process | None = None

    async def open(self) -> None:
        """Start the process."""
        with self._errors.open("wb") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                cwd=self._home,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                limit=LINE_BYTES_MAX,
            )

    async def ask(self, act: str, **values: object) -> dict[str, Any]:
        """Return what the process answers; raises Unavailable ``demo_program_ended`` where it does not."""
        process = self._process
        line = b""
        if process is not None and process.stdin is not None and process.stdout is not None:
            try:
                process.stdin.write(json.dumps({"act": act, **values}).encode() + b"\n")
                await process.stdin.drain()
                async with asyncio.timeout(ANSWER_S):
                    line = await process.stdout.readline()
            except (ConnectionError, TimeoutError):
                line = b""
        if not line:
            said = self._errors.read_text(errors="replace")[-600:] if self._errors.exists() else ""
            raise Unavailable("demo_program_ended", f"{self._name} does not answer to {act}: {said}")
        found: dict[str, Any] = json.loads(line)
        return found

    async def close(self) -> None:
        """End the process: it ends with its input, or is killed after ``STOP_S``."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()
