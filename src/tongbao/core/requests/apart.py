"""Running requests whose work commits by itself: claim, work and answer stand in commits of their own.

For work that takes long, or that opens its transactions itself. Should the process die in between, the key stays
claimed; after ``ABANDONED`` a repeat does the work again. So the work is such that doing it twice changes nothing, or is
refused the second time.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.requests import store
from tongbao.core.requests.asks import Ask, Known, Rendered
from tongbao.core.requests.running import busy, refuse_or_replay

ABANDONED = timedelta(minutes=10)
"""Longer than any work takes: a claim without an answer is then of a process that died."""


class RequestsApart:
    """Runs what cannot share a transaction with its claim."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def run(
        self, book_id: int, ask: Ask, work: Callable[[], Awaitable[object]]
    ) -> tuple[Rendered, bool]:
        """Do ``work`` once and return its answer, and whether it is that of an earlier call.

        An exception of ``work`` is raised and frees the key. Raises what ``running.refuse_or_replay`` raises.
        """
        known = await self._claimed(book_id, ask)
        if known is not None:
            return refuse_or_replay(ask, known), True
        address = (book_id, ask.digest)
        try:
            rendered = ask.render(await work())
        except BaseException:
            async with self._database.transaction() as connection:
                await store.release(connection, address)
            raise
        async with self._database.transaction() as connection:
            await store.answer(connection, [(address, rendered)])
        return rendered, False

    async def _claimed(self, book_id: int, ask: Ask) -> Known | None:
        """Claim the key; return what stands under it where somebody else has claimed it."""
        now, address = self._clock.now(), (book_id, ask.digest)
        row = store.ClaimRow(book_id, ask.digest, ask.fingerprint, None, ask.kept_until, None)
        async with self._database.transaction() as connection:
            if await store.claim(connection, [row], now):
                return None
            known = (await store.known(connection, [address])).get(address)
            if known is None:
                # Whoever had it gave it back in this moment.
                raise busy()
            is_same = known.fingerprint == ask.fingerprint
            if known.answer is None and is_same and now - known.claimed_at >= ABANDONED:
                await store.release(connection, address)
                if await store.claim(connection, [row], now):
                    return None
        return known
