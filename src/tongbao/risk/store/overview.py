"""The SQL behind the first page of risk control: what rang, which rules matched, what waits for people. Reads only."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from tongbao.core.db import Connection
from tongbao.core.ids import first_uuid_at

RULES_MAX = 1_000
REASONS_MAX = 100

_RULE_HITS = """
SELECT rule, count(*), count(*) FILTER (WHERE tier <> 'frictionless'), count(*) FILTER (WHERE is_fraud), max(at)
FROM risk.event, unnest(rules) AS rule
WHERE id >= $1 AND id < $2 AND live = $3
GROUP BY rule ORDER BY count(*) DESC, rule LIMIT $4
"""
_REASON_HITS = """
SELECT reason, count(*), count(*) FILTER (WHERE id >= $4), max(at)
FROM risk.event, unnest(reasons) AS reason
WHERE id >= $1 AND id < $2 AND live = $3 AND reason = ANY($5::text[])
GROUP BY reason ORDER BY count(*) DESC, reason LIMIT $6
"""
_CASES = """
SELECT count(*) FILTER (WHERE state = 'open'), count(*) FILTER (WHERE state = 'assigned'),
    count(*) FILTER (WHERE state = 'waiting'), count(*) FILTER (WHERE due_at < $2)
FROM risk.case_file WHERE live = $1 AND closed_at IS NULL
"""
_FREEZES = """
SELECT count(*), count(*) FILTER (WHERE requested_by <> '') FROM risk.freeze WHERE live = $1 AND released_at IS NULL
"""
_IS_ANY = "SELECT EXISTS (SELECT 1 FROM risk.event WHERE id >= $1 AND live = $2)"


class RuleHits(NamedTuple):
    """How often a rule matched: payments, those that did not pass unseen, known frauds, when last."""

    rule: str
    payment_count: int
    stopped_count: int
    fraud_count: int
    last_at: datetime


class ReasonHits(NamedTuple):
    """How often a reason was given in a time, how often lately within it, and when last."""

    reason: str
    payment_count: int
    recent_count: int
    last_at: datetime


class Waiting(NamedTuple):
    """What waits for people: cases by state, those past their due time, freezes, and releases that wait for approval."""

    open_count: int
    assigned_count: int
    waiting_count: int
    overdue_count: int
    freeze_count: int
    release_count: int


async def rule_hits(connection: Connection, span: tuple[datetime, datetime], live: bool) -> list[RuleHits]:
    """Return the rules that matched payments of a time, the most frequent first."""
    first, end = (first_uuid_at(each) for each in span)
    return [RuleHits(*row) for row in await connection.fetch(_RULE_HITS, first, end, live, RULES_MAX)]


async def reason_hits(
    connection: Connection,
    span: tuple[datetime, datetime],
    recent_at: datetime,
    live: bool,
    reasons: Sequence[str],
) -> list[ReasonHits]:
    """Return which of ``reasons`` were given in a time, the most frequent first; recent is from ``recent_at`` on."""
    first, end = (first_uuid_at(each) for each in span)
    rows = await connection.fetch(
        _REASON_HITS, first, end, live, first_uuid_at(recent_at), list(reasons), REASONS_MAX
    )
    return [ReasonHits(*row) for row in rows]


async def waiting(connection: Connection, live: bool, now: datetime) -> Waiting:
    """Return what waits for people at ``now``."""
    cases = await connection.fetchrow(_CASES, live, now)
    freezes = await connection.fetchrow(_FREEZES, live)
    return Waiting(*cases, *freezes)


async def is_any(connection: Connection, since: datetime, live: bool) -> bool:
    """Return whether any payment was judged since an instant."""
    found: bool = await connection.fetchval(_IS_ANY, first_uuid_at(since), live)
    return found
