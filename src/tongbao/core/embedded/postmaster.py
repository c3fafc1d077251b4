"""The server's first process: is it alive, is it ours, is it ready, and how to end it.

``postmaster.pid`` is a claim, not a fact: after a kill -9 it names a dead process, a zombie nobody reaped, or whatever
got the number since. Invariant: a process counts only if it runs ``postgres`` on this very data folder, and the file
is never deleted here.
"""

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from tongbao.core.errors import NotPermitted

POLL_S = 0.02
_PROGRAM_NAMES = ("postgres", "postmaster")


class Child(subprocess.Popen[bytes]):
    """A server started by this process, meant to outlive it: leaving it behind is no leak to warn of."""

    def __del__(self) -> None:
        """Let go without the warning."""


# Servers started by this process, which alone can reap them.
_children: dict[int, Child] = {}


@dataclass(frozen=True)
class PidFile:
    """What ``postmaster.pid`` claims; ``socket_dir`` and ``state`` are empty until the server has written them."""

    pid: int
    socket_dir: str
    state: str


@dataclass(frozen=True)
class Postmaster:
    """The living first process of the server of ``data``."""

    data: Path
    process: psutil.Process

    @property
    def pid(self) -> int:
        """Return the process id."""
        return int(self.process.pid)

    def is_ready(self) -> bool:
        """Tell whether this very process has declared that it accepts connections."""
        claim = read_pid_file(self.data)
        return claim is not None and claim.pid == self.pid and claim.state == "ready"

    def end(self, number: signal.Signals, timeout_s: float) -> bool:
        """Send signal ``number`` and wait; return whether the process ended within ``timeout_s`` seconds."""
        try:
            self.process.send_signal(number)
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            detail = f"process {self.pid} belongs to another user: stop it as that user or as root"
            raise NotPermitted("postgres_process_foreign", detail, pid=self.pid) from None
        deadline = time.monotonic() + timeout_s
        while not _is_dead(self.process):
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_S)
        return True


def read_pid_file(data: Path) -> PidFile | None:
    """Return the claim of the cluster ``data``; None where there is none or it is just being written."""
    path = data / "postmaster.pid"
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return None
    except PermissionError:
        detail = f"{data} belongs to another user: look at it as that user or as root"
        raise NotPermitted("postgres_data_foreign", detail, data=str(data)) from None
    try:
        pid = int(lines[0])
    except (IndexError, ValueError):
        return None
    lines += [""] * (8 - len(lines))
    return PidFile(pid, socket_dir=lines[4].strip(), state=lines[7].strip())


def find_postmaster(data: Path) -> Postmaster | None:
    """Return the living first process of the server of ``data``; None where there is none."""
    claim = read_pid_file(data)
    if claim is None:
        return None
    try:
        process = psutil.Process(claim.pid)
        alive = not _is_dead(process) and _serves(process, data)
    except (psutil.Error, ValueError):
        # No such process, or a number that no process can have.
        return None
    return Postmaster(data, process) if alive else None


def remember_child(child: Child) -> None:
    """Remember a server started by this process, so that its end can be seen."""
    _children[child.pid] = child


def _is_dead(process: psutil.Process) -> bool:
    """Tell whether ``process`` has ended; a zombie has, even where its parent never reaps it."""
    child = _children.get(process.pid)
    if child is not None and child.poll() is not None:
        _children.pop(process.pid, None)
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _serves(process: psutil.Process, data: Path) -> bool:
    """Tell whether ``process`` is a postmaster of ``data``; its backends bear other names."""
    command = process.cmdline()
    if not command or Path(command[0]).name not in _PROGRAM_NAMES:
        return False
    # Reading the working directory of another user's process needs a right that root lacks in most containers.
    folder = command[command.index("-D") + 1] if "-D" in command[:-1] else process.cwd()
    try:
        return os.path.samefile(folder, data)
    except OSError:
        return False
