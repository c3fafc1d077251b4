"""A bank that nobody here wrote (mock-bank), as a process of its own, with the clock that a test moves."""

import json
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

import pytest
from tests.peers.programs import PEERS, START_S_MAX, STOP_S_MAX, free_address

HOUSE_IBAN = "NL41MOCK0000000001"
CLOSED_IBAN = "NL84MOCK0000000003"


class MockBank:
    """The bank's address, and what a test does with the bank behind the house's back."""

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def send_url(self) -> str:
        return f"{self.url}/payments"

    @property
    def collect_url(self) -> str:
        return f"{self.url}/_mock/mailbox?leave&raw"

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Ask the bank's control plane."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")

    def behave(self, behavior: str, account: str = "ACME", **parameters: object) -> None:
        """Let an account behave in another way from now on."""
        body = {"behaviour": behavior, "parameters": parameters}
        self.call("PATCH", f"/_mock/accounts/{account}", body)

    def pass_to(self, on: date) -> None:
        """Move the bank's time to midnight of a day."""
        self.call("POST", f"/_mock/advance?to={on.isoformat()}")

    def payments(self) -> list[dict[str, Any]]:
        """What the bank decided on, oldest first."""
        return list(self.call("GET", "/_mock/payments"))[::-1]

    def booked_minor(self) -> int:
        """What left the house's account, less what came back."""
        return 12_500_000 - int(self.call("GET", "/_mock/accounts/ACME")["balance"])

    def documents(self, kind: str) -> list[str]:
        """The messages of a kind as they were sent."""
        return [each["body"] for each in self.call("GET", f"/_mock/mailbox?leave&type={kind}")]


@contextmanager
def mock_bank(clock: str, *more: str) -> Iterator[MockBank]:
    """A bank at its seeded state; ``clock`` is its local time (UTC) at the beginning."""
    program = PEERS / "mock-bank" / "bin" / "mock-bank"
    if not program.exists():
        pytest.skip("mock-bank is not installed: make peers")
    address = free_address()
    command = [str(program), "--port", str(address.port), "--clock", clock, "-q", *more]
    with tempfile.TemporaryDirectory(prefix="tongbao-peer-") as home:
        process = subprocess.Popen(command, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            bank = MockBank(address.url)
            _wait(process, bank)
            yield bank
        finally:
            process.terminate()
            try:
                process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: "subprocess.Popen[bytes]", bank: MockBank) -> None:
    deadline = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the bank ended with {process.returncode}"
        try:
            bank.call("GET", "/_mock/health")
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the bank does not listen")


def parsed(document: str) -> list[dict[str, Any]]:
    """The entries of a statement as an independent parser reads them."""
    # Handed over in memory: the parser takes no files of every folder.
    script = (
        "import sys\n"
        "from bankstatementparser import CamtParser\n"
        "rows = CamtParser.from_string(sys.stdin.read()).get_transactions()\n"
        "print(rows.to_json(orient='records', date_format='iso'))\n"
    )
    python = PEERS / "mock-bank" / "bin" / "python"
    done = subprocess.run(
        [str(python), "-c", script], input=document.encode(), capture_output=True, check=True
    )
    return list(json.loads(done.stdout.splitlines()[-1]))
