"""The hosts that one DSN names, and a connection to the one of them that is wanted.

The driver tries hosts one after the other within one time-out, so that the first of them, switched off and silent, would
use up all of it. Here each host has its own, and the one that answered last is asked first: after a fail-over nobody waits
for the dead machine again. What is wanted of a host (``read-write``, ``prefer-standby`` …) is the driver's and libpq's
``target_session_attrs``.
"""

import asyncio
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

from tongbao.core.errors import InvalidRequest

PORT = 5432
HOSTS_MAX = 16
WANT = "target_session_attrs"
WRITES = ("read-write", "primary")
READS = ("standby", "read-only", "prefer-standby", "any")
_PASSED_OVER = (
    OSError,
    TimeoutError,
    asyncpg.CannotConnectNowError,
    asyncpg.TargetServerAttributeNotMatched,
)
"""What one host's failing to serve us looks like; a wrong password is none of these and is told at once."""


class Hosts:
    """Connects to one host of ``dsn``; ``wanted`` as ``want_of`` gives it."""

    def __init__(self, dsn: str, wanted: str, host_s_max: float) -> None:
        self._host_s_max = host_s_max
        self._wanted = wanted
        # One host is the driver's own business, with whatever else a DSN or the environment may say.
        named = addresses(dsn)
        self._addresses = named if len(named) > 1 else []

    async def connect(self, dsn: str, *, timeout: float, **options: Any) -> Any:  # noqa: ASYNC109  # the driver's own argument
        """Return a connection of the driver, made within ``timeout`` seconds in all; the rest goes to the driver.

        Raises what the driver raises: of several hosts the last one's, TargetServerAttributeNotMatched before others,
        because a host that answers says more than one that does not.
        """
        if not self._addresses:
            return await asyncpg.connect(dsn, timeout=timeout, **options, **{WANT: self._wanted})
        if self._wanted != "prefer-standby":
            return await self._first(dsn, timeout, {**options, WANT: self._wanted})
        began = asyncio.get_running_loop().time()
        try:
            return await self._first(dsn, timeout / 2, {**options, WANT: "standby"})
        except _PASSED_OVER:
            left_s = began + timeout - asyncio.get_running_loop().time()
            return await self._first(dsn, left_s, {**options, WANT: "any"})

    async def _first(self, dsn: str, timeout_s: float, options: dict[str, Any]) -> Any:
        """Return a connection to the first host that serves."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        failed: Exception | None = None
        for address in tuple(self._addresses):
            left_s = min(self._host_s_max, deadline - asyncio.get_running_loop().time())
            if left_s <= 0:
                break
            host, port = address
            try:
                found = await asyncpg.connect(dsn, host=host, port=port, timeout=left_s, **options)
            except _PASSED_OVER as error:
                if not isinstance(failed, asyncpg.TargetServerAttributeNotMatched):
                    failed = error
            else:
                self._prefer(address)
                return found
        raise failed or TimeoutError("no host answered in time")

    def _prefer(self, address: tuple[str, int]) -> None:
        if self._addresses[0] != address:
            self._addresses = [address, *(each for each in self._addresses if each != address)]


def addresses(dsn: str) -> list[tuple[str, int]]:
    """Return the hosts (or folders of Unix sockets) and ports that a DSN names, at most ``HOSTS_MAX``; [] for none.

    A DSN that is none gives [] as well: the driver says what is wrong with it.
    """
    try:
        parts = urlsplit(dsn)
        query = parse_qs(parts.query)
        listed = parts.netloc.rpartition("@")[2] or query.get("host", [""])[-1]
        ports = [int(each) for each in query.get("port", [""])[-1].split(",") if each]
        found = [_address(each) for each in listed.split(",") if each]
    except ValueError:
        return []
    if len(ports) == 1:
        ports *= len(found)
    named = [
        (host, port or (ports[at] if at < len(ports) else PORT)) for at, (host, port) in enumerate(found)
    ]
    return named[:HOSTS_MAX]


def want_of(dsn: str, *, read_only: bool) -> str:
    """Return what a process wants of a host: one that takes writes, or, to read only, a standby where there is one.

    One DSN serves both kinds of processes. Raises InvalidRequest ``database_url_invalid`` for an unknown wish in it,
    ``database_url_read_only`` where a process that writes is told to go to a standby.
    """
    named = _named_want(dsn)
    if named is not None and named not in (*WRITES, *READS):
        raise InvalidRequest(
            "database_url_invalid", f"{WANT} in the DSN is none of {', '.join((*WRITES, *READS))}"
        )
    if read_only:
        return named if named in READS else "prefer-standby"
    if named in WRITES:
        return named
    if named not in (None, "any"):
        detail = f"this process writes, and its DSN asks for {WANT}={named}: say read-write, or nothing"
        raise InvalidRequest("database_url_read_only", detail)
    return "read-write"


def _named_want(dsn: str) -> str | None:
    try:
        named: list[str] = parse_qs(urlsplit(dsn).query).get(WANT, [])
    except ValueError:
        return None
    return named[-1] if named else None


def _address(text: str) -> tuple[str, int | None]:
    """Return host and port of one entry: ``host``, ``host:5432``, ``[::1]:5432`` or a folder."""
    text = unquote(text)
    if text.startswith("/"):
        return text, None
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, int(rest[1:]) if rest.startswith(":") else None
    host, _, port = text.partition(":")
    return host, int(port) if port else None
