"""Several processes behind one address: started, watched, started again where they die, and ended together.

The parent binds the socket, and every child takes connections from its one queue. A child that is killed
takes only what it was answering with it: what waits in the queue is taken by the others, which separate sockets on one
port (SO_REUSEPORT) would not give. A child that is busy takes no new connection, so none waits behind a long answer.

The parent opens no database and serves nothing. The children end when it does, however it ends: each holds the reading
end of a pipe whose writing end is the parent's alone.
"""

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from tongbao.core.errors import Unavailable

PROCESSES_MAX = 32
POLL_S = 0.1
START_S_MAX = 120.0
STOP_S_MAX = 60.0
GOOD_S = 10.0
"""A child that lived so long started well: it is started again at once."""
FAILURES_MAX = 5
PAUSE_S = 0.5
PAUSE_S_MAX = 15.0
READY = b"."
Say = Callable[[str], None]


class _Child:
    """One place in the fleet and the process that holds it now."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.began = time.monotonic()


class Fleet:
    """``count`` processes of ``command``; each is told ``--inherited SOCKET,LIFELINE,READY`` in addition.

    ``run`` returns when told to stop by SIGINT or SIGTERM; call it in the main thread.
    """

    def __init__(self, command: Sequence[str], count: int, listening: socket.socket, say: Say) -> None:
        self._command = list(command)
        self._count = count
        self._listening = listening
        self._say = say
        self._children: list[_Child] = []
        self._failures = 0
        self._due = 0.0
        self._signals = 0
        self._lifeline: tuple[int, int] = (-1, -1)
        self._ready: tuple[int, int] = (-1, -1)

    def run(self) -> int:
        """Serve until told to stop; return the exit status: that of the first child, where it could not start.

        Raises Unavailable ``processes_die`` where children die ``FAILURES_MAX`` times in a row soon after their start.
        """
        with ExitStack() as stack:
            self._lifeline, self._ready = self._pipe(stack), self._pipe(stack)
            for told in (signal.SIGINT, signal.SIGTERM):
                stack.callback(signal.signal, told, signal.signal(told, self._told))
            stack.callback(self._end)
            # The first makes what all share - the newest schema, the vault's key files - so it starts alone.
            status = self._start_first()
            if status is None:
                self._say(f"{self._count} processes serve one address")
                self._watch()
                status = 0
        return status

    @property
    def pids(self) -> tuple[int, ...]:
        """The ids of the processes that run now."""
        return tuple(each.process.pid for each in self._children)

    def _told(self, number: int, _frame: object) -> None:
        self._signals += 1
        for each in self._children:
            if each.process.poll() is None:
                each.process.send_signal(number)

    def _start_first(self) -> int | None:
        """Start one child; return None once it serves, its exit status where it ended."""
        self._spawn()
        first, deadline = self._children[0].process, time.monotonic() + START_S_MAX
        while not self._is_told_ready():
            if first.poll() is not None:
                return first.returncode if not self._signals else 0
            if time.monotonic() > deadline:
                raise Unavailable(
                    "processes_die", f"the first process does not serve after {START_S_MAX:.0f} s"
                )
        return None

    def _watch(self) -> None:
        """Keep the fleet at its size until told to stop."""
        while not self._signals:
            for each in [each for each in self._children if each.process.poll() is not None]:
                self._bury(each)
            while len(self._children) < self._count and time.monotonic() >= self._due and not self._signals:
                self._spawn()
            self._is_told_ready()

    def _bury(self, child: _Child) -> None:
        """Forget a child that died by itself, and say when the next one may begin."""
        self._children.remove(child)
        lived_s = time.monotonic() - child.began
        self._failures = 0 if lived_s >= GOOD_S else self._failures + 1
        if self._failures > FAILURES_MAX:
            detail = f"{self._failures} processes in a row died within {GOOD_S:.0f} s of their start; the last with {child.process.returncode}"
            raise Unavailable("processes_die", detail)
        pause_s = 0.0 if not self._failures else min(PAUSE_S * 2 ** (self._failures - 1), PAUSE_S_MAX)
        self._due = time.monotonic() + pause_s
        self._say(
            f"process {child.process.pid} ended with {child.process.returncode}; another begins in {pause_s:.1f} s"
        )

    def _spawn(self) -> None:
        descriptors = (self._listening.fileno(), self._lifeline[0], self._ready[1])
        process = subprocess.Popen(  # noqa: S603 - this very program
            [*self._command, "--inherited", ",".join(map(str, descriptors))],
            stdin=subprocess.DEVNULL,
            pass_fds=descriptors,
            # Ctrl-C reaches the parent alone, which tells each child once: a second time means "at once".
            start_new_session=True,
        )
        self._children.append(_Child(process))

    def _is_told_ready(self) -> bool:
        """Wait a moment for a child to say that it serves; return whether one did."""
        readable, _, _ = select.select([self._ready[0]], [], [], POLL_S)
        return bool(readable) and os.read(self._ready[0], 64) != b""

    def _end(self) -> None:
        """End every child: asked first, killed where it does not end in time."""
        deadline = time.monotonic() + STOP_S_MAX
        for each in self._children:
            if each.process.poll() is None and not self._signals:
                each.process.terminate()
        for each in self._children:
            try:
                each.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                each.process.kill()
                each.process.wait()

    def _pipe(self, stack: ExitStack) -> tuple[int, int]:
        ends = os.pipe()
        for end in ends:
            stack.callback(os.close, end)
        return ends


def program(*arguments: str) -> list[str]:
    """Return the command of this very program."""
    return [sys.executable, "-m", "tongbao", *arguments]
