"""Several processes behind one address: a killed one is replaced, connections are taken by the others, all end together."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from tongbao.core.config import Settings
from tongbao.core.errors import Conflict, InvalidRequest
from tongbao.web.commands import serve
from tongbao.web.commands.listening import inherited, listen

WAIT_S = 30.0
CHILD = """
import os, select, socket, sys
listening, lifeline, ready = (int(each) for each in sys.argv[-1].split(","))
taken = socket.socket(fileno=listening)
taken.listen(16)
os.write(ready, b".")
while not select.select([lifeline, taken], [], [])[0] == [lifeline]:
    if select.select([lifeline], [], [], 0)[0]:
        break
    taken.setblocking(False)
    try:
        connection, _ = taken.accept()
    except BlockingIOError:
        continue
    connection.sendall(str(os.getpid()).encode())
    connection.close()
"""
"""Tells everybody who connects its process id; ends with its parent."""
PARENT = """
import socket, sys
from tongbao.web.commands.fleet import Fleet
listening = socket.socket()
listening.bind(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
child = [sys.executable, "-c", sys.argv[1]]
sys.exit(Fleet(child, 3, listening, lambda text: print(text, flush=True)).run())
"""


class Running:
    """A fleet in a process of its own, which has the signals of that process."""

    def __init__(self, child: str) -> None:
        command = [sys.executable, "-c", PARENT, child]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    @property
    def children(self) -> set[int]:
        """The ids of the fleet's processes."""
        return {each.pid for each in psutil.Process(self.process.pid).children()}

    def ask(self) -> int | None:
        """Connect; return the id of the process that answered, None where nobody listens yet."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), WAIT_S) as connection:
                connection.settimeout(WAIT_S)
                return int(connection.recv(32) or 0) or None
        except ConnectionRefusedError:
            return None


@contextlib.contextmanager
def running(child: str = CHILD) -> Iterator[Running]:
    fleet = Running(child)
    try:
        yield fleet
    finally:
        for each in psutil.Process(fleet.process.pid).children() if fleet.process.poll() is None else ():
            each.kill()
        fleet.process.kill()
        fleet.process.communicate()


def until(what: Callable[[], Any]) -> Any:
    """Return what a question answers as soon as it is something."""
    deadline = time.monotonic() + WAIT_S
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def test_killed_process_is_replaced_and_nobody_is_refused_meanwhile() -> None:
    with running() as fleet:
        first = until(fleet.ask)
        before = until(lambda: fleet.children if len(fleet.children) == 3 else None)
        os.kill(first, signal.SIGKILL)
        for _ in range(50):
            assert fleet.ask() is not None
        after = until(lambda: found if len(found := fleet.children - {first}) == 3 else None)
        assert len(before & after) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_fleet_told_to_stop_ends_every_process_and_itself(number: signal.Signals) -> None:
    # Python ends on SIGINT with a traceback of its own, which is the child's business here.
    with running(
        CHILD.replace("import os", "import signal; signal.signal(2, signal.SIG_DFL); import os")
    ) as fleet:
        until(fleet.ask)
        children = until(lambda: fleet.children if len(fleet.children) == 3 else None)
        fleet.process.send_signal(number)
        assert fleet.process.wait(WAIT_S) == 0
        assert not any(psutil.pid_exists(each) for each in children)


def test_processes_of_a_killed_parent_end() -> None:
    with running() as fleet:
        until(fleet.ask)
        children = until(lambda: fleet.children if len(fleet.children) == 3 else None)
        fleet.process.kill()
        fleet.process.wait()
        until(lambda: not any(_lives(each) for each in children))


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_fleet_whose_first_process_cannot_start_ends_with_its_status() -> None:
    with running("import sys; sys.exit(2)") as fleet:
        assert fleet.process.wait(WAIT_S) == 2


def test_fleet_whose_processes_keep_dying_gives_up() -> None:
    child = CHILD.replace("while not", "sys.exit(3)\nwhile not")
    with running(child) as fleet:
        _, told = fleet.process.communicate(timeout=60.0)
        assert fleet.process.returncode != 0
        assert "processes_die" in told


def test_inherited_descriptor_that_is_no_socket_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file, pytest.raises(InvalidRequest) as refused:
        inherited(file.fileno())
    assert refused.value.code == "socket_not_inherited"


def test_several_processes_without_a_server_that_outlives_them_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TONGBAO_DATABASE_URL", raising=False)
    answer = CliRunner().invoke(serve.app, ["api", "--processes", "2", "--port", "0"])
    assert isinstance(answer.exception, Conflict)
    assert answer.exception.code == "database_not_up"


@pytest.mark.parametrize("role", ["worker", "all", "risk"])
def test_background_work_of_a_process_that_only_reads_is_refused(
    role: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TONGBAO_READ_ONLY", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("TONGBAO_READ_ONLY=true\n")
    answer = CliRunner().invoke(serve.app, [role])
    assert isinstance(answer.exception, InvalidRequest)
    assert answer.exception.code == "read_only_worker"


def test_interfaces_of_a_process_that_only_reads_are_read_from_a_standby(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading needs a server that runs; what writes would have begun one under the data folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TONGBAO_DATABASE_URL", raising=False)
    (tmp_path / ".env").write_text("TONGBAO_READ_ONLY=true\n")
    answer = CliRunner().invoke(serve.app, ["api", "--port", "0"])
    assert isinstance(answer.exception, InvalidRequest)
    assert answer.exception.code == "database_url_missing"


def test_socket_that_was_bound_is_the_one_that_is_inherited() -> None:
    settings = Settings(http_port=0, _env_file=None)  # type: ignore[call-arg]  # a setting of the library
    with listen(settings) as bound:
        again = inherited(os.dup(bound.fileno()))
        with again:
            assert again.getsockname() == bound.getsockname()
