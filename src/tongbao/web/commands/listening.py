"""Listening: the socket is bound before anything else starts, and Ctrl-C ends everything in order."""

import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from tongbao.core.config import Settings
from tongbao.core.errors import NotPermitted, Unavailable

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def listen(settings: Settings) -> socket.socket:
    """Return the bound socket, so that a taken port is said at once.

    Raises NotPermitted ``listen_not_loopback``: the explorer and ``/v2/ledger`` have no sign-in yet. Put a proxy
    with TLS in front of ``/v1`` and ``/v2`` to reach them from elsewhere. Raises Unavailable ``port_taken``.
    """
    if settings.http_host not in LOOPBACK:
        raise NotPermitted(
            "listen_not_loopback", "the explorer has no sign-in yet: the server listens on loopback only"
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


class Server(uvicorn.Server):
    """A server that leaves signals to us, so that Ctrl-C ends everything in order and not by an exception."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

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
