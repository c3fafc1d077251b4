"""A start of an embedded server that goes on in a thread, while its program still loads what will use it.

    with EarlyStart(server) as early:
        ...  # load, read, prepare
        is_ours = early.take()

A server takes half a second to come up, and a program takes longer to be loaded: together they take as long as one.
"""

from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from tongbao.core.embedded.server import EmbeddedServer


class EarlyStart:
    """Starts ``server`` when entered. Whoever takes it stops it; what nobody has taken is stopped when it ends."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="early start")
        self._is_open = True

    def __enter__(self) -> Self:
        self._starting = self._thread.submit(self._server.start)
        self._thread.shutdown(wait=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.undo()

    def take(self) -> bool:
        """Wait until the server is up; return whether this start brought it up, which is then the caller's to stop.

        Raises what ``EmbeddedServer.start`` raises.
        """
        is_ours = self._starting.result()
        self._is_open = False
        return is_ours

    def undo(self) -> None:
        """Stop the server unless somebody has taken it, or it ran before; a start that failed left nothing to stop."""
        if self._is_open and self._starting.exception() is None and self._starting.result():
            self._server.stop()
        self._is_open = False
