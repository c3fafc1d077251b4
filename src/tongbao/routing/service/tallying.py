"""Tallies: every attempt counted exactly once, in the minute and under the mark that it has now."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.events.facts import Delivered
from tongbao.core.events.subscriptions import Projection
from tongbao.routing.schema.payments import Attempted, Mark
from tongbao.routing.store import tallies
from tongbao.routing.store.tallies import Key, Sums

SUBSCRIPTION = "routing.tally"
TALLIES_KEPT_DAYS = 400
FORGET_MAX = 10_000


def tally_projection(clock: Clock) -> Projection:
    """Return the subscription that counts attempts, each exactly once.

    A later mark is counted in its own minute and taken from the mark, code and minute that it replaces. What would
    be forgotten already (``TALLIES_KEPT_DAYS``) is not counted any more.
    """
    return Projection(SUBSCRIPTION, (Attempted,), partial(_write, clock))


async def _write(clock: Clock, connection: Connection, facts: Sequence[Delivered]) -> None:
    """Add up the batch and write it in one statement; joins the transaction."""
    oldest = clock.now() - timedelta(days=TALLIES_KEPT_DAYS)
    sums = changes_of([each.fact for each in facts if isinstance(each.fact, Attempted)])
    kept = [(key, change) for key, change in sorted(sums.items()) if key.minute_at >= oldest]
    if kept:
        await tallies.add(connection, kept)


def changes_of(facts: Sequence[Attempted]) -> dict[Key, Sums]:
    """Return what ``facts`` change in the tallies, by key; what evens out is left out."""
    sums: dict[Key, list[int]] = defaultdict(lambda: [0, 0, 0])
    for fact in facts:
        _add(sums[_key(fact, fact.mark, fact.code, fact.occurred_at)], 1, fact.amount_minor, fact.took_ms)
        if fact.before is not None:
            at = fact.before_at or fact.occurred_at
            earlier = sums[_key(fact, fact.before, fact.before_code, at)]
            _add(earlier, -1, -fact.amount_minor, -fact.before_took_ms)
    return {key: Sums(*change) for key, change in sums.items() if any(change)}


def _key(fact: Attempted, mark: Mark, code: str, at: datetime) -> Key:
    minute_at = at.replace(second=0, microsecond=0)
    return Key(
        fact.book_id,
        minute_at,
        fact.live,
        fact.channel,
        fact.method,
        fact.issuer,
        fact.currency,
        mark.value,
        code,
    )


def _add(sums: list[int], *change: int) -> None:
    for index, value in enumerate(change):
        sums[index] += value


async def forget_tallies(database: Database, clock: Clock) -> int:
    """Delete tallies of more than ``TALLIES_KEPT_DAYS`` ago, at most ``FORGET_MAX`` a call; return how many."""
    async with database.transaction() as connection:
        return await tallies.forget(connection, clock.now() - timedelta(days=TALLIES_KEPT_DAYS), FORGET_MAX)
