"""Several hosts in one DSN: read as the driver reads them, each with a time of its own, the last good one first."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

import pytest

from tongbao.core.db import Database
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.errors import InvalidRequest, Unavailable
from tongbao.core.hosts import Hosts, addresses, want_of


@pytest.mark.parametrize(
    ("dsn", "found"),
    [
        ("postgresql://u:p@a/d", [("a", 5432)]),
        ("postgresql://u:p@a:1,b:2/d", [("a", 1), ("b", 2)]),
        ("postgresql://u:p%40x@a,b/d", [("a", 5432), ("b", 5432)]),
        ("postgresql://u@[::1]:7,[fe80::2]/d", [("::1", 7), ("fe80::2", 5432)]),
        ("postgresql://u@/d?host=/run/a,/run/b&port=1,2", [("/run/a", 1), ("/run/b", 2)]),
        ("postgresql://u@/d?host=a,b&port=6", [("a", 6), ("b", 6)]),
        ("postgresql://u@/d", []),
        ("postgresql://u@a:x/d", []),
        ("nonsense", []),
    ],
)
def test_addresses_are_read_as_the_driver_reads_them(dsn: str, found: list[tuple[str, int]]) -> None:
    assert addresses(dsn) == found


@pytest.mark.parametrize(
    ("named", "read_only", "wanted"),
    [
        (None, False, "read-write"),
        ("any", False, "read-write"),
        ("primary", False, "primary"),
        (None, True, "prefer-standby"),
        ("read-write", True, "prefer-standby"),
        ("standby", True, "standby"),
        ("any", True, "any"),
    ],
)
def test_want_of_one_dsn_serves_processes_that_write_and_that_only_read(
    named: str | None, read_only: bool, wanted: str
) -> None:
    dsn = "postgresql://u@a,b/d" + (f"?target_session_attrs={named}" if named else "")
    assert want_of(dsn, read_only=read_only) == wanted


@pytest.mark.parametrize(
    ("named", "code"), [("standby", "database_url_read_only"), ("fastest", "database_url_invalid")]
)
def test_want_of_a_wrong_wish_is_refused(named: str, code: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        want_of(f"postgresql://u@a,b/d?target_session_attrs={named}", read_only=False)
    assert refused.value.code == code


@contextmanager
def silent() -> Iterator[int]:
    """The port of a machine that is switched off: connections are neither taken nor refused."""
    with socket.socket() as bound, socket.socket() as waiting:
        bound.bind(("127.0.0.1", 0))
        bound.listen(0)
        waiting.connect(bound.getsockname())
        yield int(bound.getsockname()[1])


async def test_connect_past_a_silent_host_takes_the_next_and_asks_it_first_from_then_on(
    server: EmbeddedServer, migrated: str
) -> None:
    folder = parse_qs(urlsplit(server.dsn()).query)["host"][-1]
    with silent() as port:
        dsn = f"postgresql://tongbao@/{migrated}?host=127.0.0.1,{folder}&port={port},5432"
        hosts = Hosts(dsn, "read-write", 1.5)
        first = await hosts.connect(dsn, timeout=20.0)
        # Asked first again, the silent host would use up all of this.
        second = await hosts.connect(dsn, timeout=1.5)
        await asyncio.gather(first.close(), second.close())


async def test_open_where_every_host_is_down_is_unavailable() -> None:
    with pytest.raises(Unavailable) as refused:
        async with Database("postgresql://u@/d?host=/nowhere/a,/nowhere/b"):
            pass
    assert refused.value.code == "database_down"
