"""Hashing of passwords: argon2id on a few threads, with as much work for nobody's password as for somebody's.

Parameters are those of the OWASP Password Storage Cheat Sheet (19 MiB, two passes, one lane): 21 ms here. At most
``THREADS`` hashes run at once, 76 MiB in all, and ``WAITING_MAX`` wait: a storm of sign-ins is turned away
instead of taking the machine.
"""

import asyncio
import functools
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import argon2
from argon2.exceptions import VerifyMismatchError

from tongbao.core.errors import Unavailable

MEMORY_KIB = 19 * 1024
PASSES = 2
LANES = 1
THREADS = 4
WAITING_MAX = 64
_NOBODYS = "a password that is never set, since hashing it costs as much as any"

Result = TypeVar("Result")


def _hasher() -> argon2.PasswordHasher:
    return argon2.PasswordHasher(
        time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES, type=argon2.Type.ID
    )


@functools.cache
def _nobodys_digest() -> str:
    """Return what nobody's password is compared with, computed once a process: it is nobody's in every house."""
    return _hasher().hash(_NOBODYS)


class Passwords:
    """Hashes and checks passwords on its own threads. One object a process; ``close`` it.

    ``hashed_count`` counts the hashes computed since the start, for metrics: each costs the same.
    """

    def __init__(self) -> None:
        self._hasher = _hasher()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="password")
        self._waiting = 0
        self.hashed_count = 0
        self._nobodys_digest = _nobodys_digest()

    def close(self) -> None:
        """End the threads after what they are hashing."""
        self._threads.shutdown()

    async def hash(self, password: str) -> str:
        """Return the digest to be stored; raise Unavailable ``sign_in_busy``."""
        return await self._run(lambda: self._hasher.hash(_normal(password)))

    async def verify(self, digest: str | None, password: str) -> bool:
        """Return whether a password has this digest; for None the same work is done and the answer is no.

        Raises Unavailable ``sign_in_busy``.
        """
        matches = await self._run(lambda: self._matches(digest or self._nobodys_digest, password))
        return matches and digest is not None

    def is_outdated(self, digest: str) -> bool:
        """Return whether a digest was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(digest)

    def _matches(self, digest: str, password: str) -> bool:
        try:
            return self._hasher.verify(digest, _normal(password))
        except VerifyMismatchError:
            return False

    async def _run(self, work: Callable[[], Result]) -> Result:
        if self._waiting >= THREADS + WAITING_MAX:
            raise Unavailable("sign_in_busy", "too many people sign in at once; try again", retry_after_s=2)
        self._waiting += 1
        self.hashed_count += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def _normal(password: str) -> bytes:
    """Return one form for what keyboards write differently (Unicode NFC); a lone surrogate is a byte like any."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
