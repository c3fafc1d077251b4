"""Names of webhook hosts, resolved once and checked: the connection goes to the very address that was checked.

So a name that changes its address between check and connection (DNS rebinding) wins nothing. One refused address
among several refuses the name: a public name has no reason to lead inside as well.
"""

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

THREADS_MAX = 64
ADDRESSES_MAX = 16
Lookup = Callable[..., list[Any]]
"""``socket.getaddrinfo``, or something that answers like it."""


class AddressRefused(OSError):
    """The name leads to an address that webhooks may not go to."""


class WebAddresses(AbstractResolver):
    """A resolver for aiohttp that hands out allowed addresses only.

    It has threads of its own: a name server that takes its time must not hold up anybody else's names. Literal
    addresses in URLs never come here (aiohttp connects to them directly): check those with the URL.
    """

    def __init__(self, is_allowed: Callable[[str], bool], lookup: Lookup = socket.getaddrinfo) -> None:
        self._is_allowed = is_allowed
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="webhook-names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a host, at most ``ADDRESSES_MAX``.

        Raises AddressRefused where one of them is not allowed, OSError where there are none.
        """
        ask = partial(self._lookup, host, port, family, socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        results = [_result(host, port, *info) for info in found[:ADDRESSES_MAX]]
        if not results:
            raise socket.gaierror(socket.EAI_NONAME, f"no address for {host}")
        if not all(self._is_allowed(result["host"]) for result in results):
            raise AddressRefused(f"{host} leads to an address that webhooks may not go to")
        return results

    async def close(self) -> None:
        """Let the threads go; one that still waits for a name server ends when that does."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _result(
    host: str, port: int, family: int, _type: int, proto: int, _name: str, address: tuple[Any, ...]
) -> ResolveResult:
    text = str(address[0])
    if len(address) == 4 and address[3] and "%" not in text:
        text = f"{text}%{address[3]}"
    return ResolveResult(
        hostname=host,
        host=text,
        port=port,
        family=family,
        proto=proto,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
