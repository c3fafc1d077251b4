"""Start the peers that channels talk to, each as a process of its own on a free port, and stop them again.

A peer that is not installed (``make peers``) skips the test with the reason.
"""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

PEERS = Path(__file__).parents[2] / ".peers"
START_S_MAX = 30.0
STOP_S_MAX = 5.0


class Address(NamedTuple):
    """Where a peer listens, on this machine."""

    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


def free_address() -> Address:
    """An address at which nobody listens at the moment."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return Address("127.0.0.1", taken.getsockname()[1])


@contextmanager
def localstripe() -> Iterator[Address]:
    """A replica of Stripe's payment intents, with nothing in it."""
    address = free_address()
    program = _installed("localstripe/bin/localstripe")
    with _running([program, "--port", str(address.port), "--from-scratch"], address, {}):
        yield address


@contextmanager
def stripe_stateful_mock() -> Iterator[Address]:
    """A replica of Stripe's charges, with real idempotency."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    address = free_address()
    program = _installed("node/node_modules/stripe-stateful-mock/dist/cli.js")
    with _running([node, program], address, {"PORT": str(address.port), "LOG_LEVEL": "silent"}):
        yield address


@contextmanager
def iso8583sim(rules: Sequence[Mapping[str, Any]]) -> Iterator[Address]:
    """A card issuer's host; the first rule that matches answers, without one it approves."""
    address = free_address()
    program = _installed("iso8583sim/bin/iso8583sim")
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"rules": list(rules)}, file)
        file.flush()
        with _running([program, "serve", "--port", str(address.port), "--rules", file.name], address, {}):
            yield address


def _installed(path: str) -> str:
    program = PEERS / path
    if not program.exists():
        pytest.skip(f"{program.name} is not installed: make peers")
    return str(program)


@contextmanager
def _running(command: Sequence[str], address: Address, environment: Mapping[str, str]) -> Iterator[None]:
    """Run a program until the block ends; it keeps its files in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="tongbao-peer-") as home:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment, "TMPDIR": home},
            cwd=home,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_until_open(process, address)
            yield
        finally:
            process.terminate()
            try:
                process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_open(process: "subprocess.Popen[bytes]", address: Address) -> None:
    deadline = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the peer ended with {process.returncode}"
        try:
            with socket.create_connection(address, timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the peer does not listen")
