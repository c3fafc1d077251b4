"""Processes that do a day's work and are killed in the middle of it; see ``clearing_drill_work``."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from tongbao.bench.clearing_drill_work import Order, Place
from tongbao.core.errors import InvariantBroken

CLOSE_S = 10.0
LOG_BYTES = 4_000


class Nursery:
    """One process with everything loaded, of which the others are made."""

    def __init__(self, place: Place) -> None:
        self._log = (Path(place.folder) / "nursery.log").open("w+b")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tongbao.bench.clearing_drill_work"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        self._send(msgspec.json.encode(place))

    def kill_after(self, order: Order, seconds: float) -> bool:
        """Let a process begin an order, and kill it -9 so long after; False where it was ready before.

        Raises InvariantBroken ``drill_process_failed`` where it ended otherwise.
        """
        self._send(msgspec.json.encode(order))
        child = self._word("begun")
        time.sleep(seconds)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        code = self._word("ended")
        if code not in (0, -signal.SIGKILL):
            raise self._failed(f"a process ended with {code}")
        return code != 0

    def close(self) -> None:
        """End it."""
        with self._process, self._log:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(CLOSE_S)

    def _send(self, content: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(content + b"\n")
        self._process.stdin.flush()

    def _word(self, wanted: str) -> int:
        assert self._process.stdout is not None
        word, _, number = self._process.stdout.readline().decode().partition(" ")
        if word != wanted:
            raise self._failed(f"a process said {word!r} where {wanted!r} was expected")
        return int(number)

    def _failed(self, what: str) -> InvariantBroken:
        self._log.seek(0)
        told = self._log.read()[-LOG_BYTES:].decode(errors="replace")
        return InvariantBroken("drill_process_failed", f"{what}: {told}")
