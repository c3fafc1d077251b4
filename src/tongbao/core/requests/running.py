"""Running small requests: claim, work and answer in one transaction."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import Conflict
from tongbao.core.requests import store
from tongbao.core.requests.asks import Ask, Known, Rendered

FORGET_MAX = 5_000
BUSY_S = 1.0
ATTEMPTS_MAX = 3


class Requests:
    """Runs what needs one short transaction; long ones (a payment) claim and answer in commits of their own."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def run(
        self, book_id: int, ask: Ask, work: Callable[[Connection], Awaitable[object]]
    ) -> tuple[Rendered, bool]:
        """Do ``work`` once and return its answer, and whether it is that of an earlier call.

        Opens the transaction in which claim, work and answer commit. An exception of ``work`` is raised and frees
        the key. Raises what ``refuse_or_replay`` raises.
        """
        for _ in range(ATTEMPTS_MAX):
            async with self._database.transaction() as connection:
                row = store.ClaimRow(book_id, ask.digest, ask.fingerprint, None, ask.kept_until, None)
                if await store.claim(connection, [row], self._clock.now()):
                    rendered = ask.render(await work(connection))
                    await store.answer(connection, [((book_id, ask.digest), rendered)])
                    return rendered, False
                found = await store.known(connection, [(book_id, ask.digest)])
            if known := found.get((book_id, ask.digest)):
                return refuse_or_replay(ask, known), True
        raise busy()

    async def forget_expired(self) -> int:
        """Delete requests whose time is over, at most 5,000 a call; return how many."""
        async with self._database.connection() as connection:
            return await store.forget(connection, self._clock.now(), FORGET_MAX)


def refuse_or_replay(ask: Ask, known: Known) -> Rendered:
    """Return the answer of an earlier request with this key.

    Raises Conflict ``idempotency_key_reused`` where that one said something else, ``idempotency_key_in_use``
    where it is still under way.
    """
    if known.fingerprint != ask.fingerprint:
        raise Conflict(
            "idempotency_key_reused", "this idempotency key was used with other parameters", key=ask.key
        )
    if known.answer is None:
        raise busy()
    return known.answer


def busy() -> Conflict:
    """Return the error for a request that is still under way."""
    return Conflict(
        "idempotency_key_in_use",
        "a request with this idempotency key is under way; repeat it soon",
        retry_after_s=BUSY_S,
    )


def kept_until(now: datetime, *, moves_money: bool) -> datetime:
    """Return until when an answer is kept: 7 days where money moves, else 24 hours."""
    return now + (timedelta(days=7) if moves_money else timedelta(hours=24))
