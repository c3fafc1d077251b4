"""The SQL of what guardrails read of the two arms of a roll-out: their standing outcomes, and what they chose.

The standing value of an outcome is that of the latest ``occurred_at``, then of the latest ``recorded_at``; None takes
the outcome back. Ids carry their time (UUIDv7), so a range of ids is a range of partitions.
"""

from datetime import datetime, timedelta
from uuid import UUID

from tongbao.core.clock import EPOCH
from tongbao.core.db import Connection
from tongbao.decisions.schema.policies import Rollout

SLACK = timedelta(hours=1)
"""How far the time in an id may lie from the time of its decision: the range of ids prunes, ``decided_at`` decides."""

STATISTICS = """
WITH standing AS (
    SELECT DISTINCT ON (o.book_id, o.decision_id) d.arm, o.value
    FROM decisions.decision AS d
    JOIN decisions.outcome AS o ON o.book_id = d.book_id AND o.decision_id = d.id
    WHERE d.policy = $1 AND d.live = $2 AND d.id >= $3 AND d.id < $4
        AND o.decision_id >= $3 AND o.decision_id < $4 AND o.name = $5
        AND d.decided_at >= $6 AND d.decided_at < $7
        AND ((d.arm = 'champion' AND d.version = $8) OR (d.arm = 'challenger' AND d.version = $9))
    ORDER BY o.book_id, o.decision_id, o.occurred_at DESC, o.recorded_at DESC, o.key DESC
)
-- what is no number, or would overflow a sum, says nothing of a mean
SELECT arm, count(*), sum(value), sum(value * value) FROM standing WHERE abs(value) < 1e100 GROUP BY arm
"""
CHOICES = """
SELECT d.arm, count(*), count(*) FILTER (WHERE d.chosen = $5)
FROM decisions.decision AS d
WHERE d.policy = $1 AND d.live = $2 AND d.id >= $3 AND d.id < $4 AND d.decided_at >= $6 AND d.decided_at < $7
    AND ((d.arm = 'champion' AND d.version = $8) OR (d.arm = 'challenger' AND d.version = $9))
GROUP BY d.arm
"""


async def statistics(
    connection: Connection, rollout: Rollout, outcome: str, window: tuple[datetime, datetime], *, live: bool
) -> dict[str, tuple[int, float, float]]:
    """Return count, sum and sum of squares of ``outcome`` by arm, over decisions of the roll-out's own versions.

    ``window``: decided from the first instant until before the second, across all books. Another process may decide
    by the former roll-out for some seconds after this one began; its versions are other ones, or its arms are.
    """
    rows = await connection.fetch(STATISTICS, *_bounds(rollout, outcome, window, live=live))
    return {arm: (count, total, squares) for arm, count, total, squares in rows}


async def choices(
    connection: Connection, rollout: Rollout, choice: str, window: tuple[datetime, datetime], *, live: bool
) -> dict[str, tuple[int, float, float]]:
    """Return the same of what counts 1 where an arm chose ``choice`` and else 0, over all decisions as in ``statistics``."""
    rows = await connection.fetch(CHOICES, *_bounds(rollout, choice, window, live=live))
    return {arm: (count, chosen, chosen) for arm, count, chosen in rows}


def id_at(at: datetime) -> UUID:
    """Return the lowest id that carries the instant ``at``."""
    return UUID(int=max((at - EPOCH) // timedelta(milliseconds=1), 0) << 80)


def _bounds(
    rollout: Rollout, name: str, window: tuple[datetime, datetime], *, live: bool
) -> tuple[object, ...]:
    """Return what both statements are asked with."""
    from_at, to_at = window
    ids = (id_at(from_at - SLACK), id_at(to_at + SLACK))
    return (rollout.policy, live, *ids, name, from_at, to_at, rollout.champion, rollout.challenger)
