"""Listening: the socket is bound before anything else starts, and Ctrl-C ends everything in order."""

import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from tongbao.core.config import Settings
from tongbao.core.errors import InvalidRequest, NotPermitted, Unavailable

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def listen(settings: Settings, *, may_leave: bool = False) -> socket.socket:
    """Return the bound socket, so that a taken port is said at once.

    ``may_leave``: the faces may be reached from beyond this machine, under the name ``public_url`` that a proxy with TLS
    gives them; pages ask for a sign-in, and ``/v2/ledger`` answers nobody there. A demonstration, which tells its
    log-ins, and the scoring process stay here.

    Raises NotPermitted ``listen_not_loopback``, ``public_url_missing``, Unavailable ``port_taken``.
    """
    if settings.http_host not in LOOPBACK and not may_leave:
        raise NotPermitted("listen_not_loopback", "this listens on loopback only")
    if settings.http_host not in LOOPBACK and not settings.public_url:
        raise NotPermitted(
            "public_url_missing", "beyond this machine a house needs a name: set TONGBAO_PUBLIC_URL"
        )
    family = socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.http_host, settings.http_port))
    except OSError as error:
        listening.close()
        raise Unavailable(
            "port_taken",
            f"port {settings.http_port} is taken; choose another with --port or TONGBAO_HTTP_PORT",
        ) from error
    return listening


def inherited(descriptor: int) -> socket.socket:
    """Return the socket that the parent of several processes has bound; see ``commands.fleet``.

    Raises InvalidRequest ``socket_not_inherited`` where the descriptor is no socket.
    """
    try:
        return socket.socket(fileno=descriptor)
    except OSError:
        raise InvalidRequest("socket_not_inherited", f"descriptor {descriptor} is no socket") from None


class Server(uvicorn.Server):
    """A server that leaves signals to us, so that Ctrl-C ends everything in order and not by an exception.

    ``before_waiting`` ends what would else be waited for: streams that stay open for as long as somebody watches.
    """

    def __init__(
        self, config: uvicorn.Config, before_waiting: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        super().__init__(config)
        self._before_waiting = before_waiting

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what streams, then wait for open requests."""
        if self._before_waiting is not None:
            await self._before_waiting()
        await super().shutdown(sockets)

    def stop(self) -> None:
        """Finish open requests and end; at once when told a second time."""
        self.force_exit = self.should_exit
        self.should_exit = True


def configured(app: ASGIApp) -> uvicorn.Config:
    """Return how every process serves; forwarded addresses and schemes are believed from this machine alone."""
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        date_header=False,
    )
