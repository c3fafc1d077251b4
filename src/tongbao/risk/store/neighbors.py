"""The SQL around a case: payments by look, and those that entities took part in, walked over ``risk.link``.

Every read names how far it goes; whoever needs to know whether there is more asks for one more.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from tongbao.core.db import Connection
from tongbao.core.ids import first_uuid_at
from tongbao.risk.schema.cases import EntityKey, Known, Tally
from tongbao.risk.schema.signals import Signals
from tongbao.risk.schema.tiers import Tier

_KNOWN = """
SELECT tier, score, decision_id, reasons, rules, signals, is_approved, end_code, is_passed, is_fraud, label_source,
    labelled_at
FROM risk.event WHERE id = ANY ($1::uuid[]) ORDER BY id
"""
_PAYMENTS_OF = """
SELECT f.place, l.event_id
FROM unnest($1::smallint[], $2::text[]) WITH ORDINALITY AS f (entity, key, place)
CROSS JOIN LATERAL (
    SELECT k.event_id FROM risk.link AS k
    WHERE k.entity = f.entity AND k.key = f.key AND k.event_id >= $3 AND k.live = $4
        AND ($5::bigint = 0 OR k.book_id = $5)
    ORDER BY k.event_id DESC LIMIT $6
) AS l
ORDER BY f.place, l.event_id DESC
"""
_TALLIES = """
SELECT f.place, e.currency, count(*), count(*) FILTER (WHERE e.is_fraud), sum(e.value)::bigint
FROM unnest($1::smallint[], $2::text[]) WITH ORDINALITY AS f (entity, key, place)
CROSS JOIN LATERAL (
    SELECT k.event_id FROM risk.link AS k
    WHERE k.entity = f.entity AND k.key = f.key AND k.event_id >= $3 AND k.live = $4
        AND ($5::bigint = 0 OR k.book_id = $5)
    ORDER BY k.event_id DESC LIMIT $6
) AS l
JOIN risk.event AS e ON e.id = l.event_id
GROUP BY f.place, e.currency ORDER BY f.place, count(*) DESC, e.currency
"""


class Reach(NamedTuple):
    """Which payments are walked over: live or test, those of a book (0: of all), those from an instant on."""

    live: bool
    book_id: int
    since: datetime


async def known(connection: Connection, event_ids: Sequence[UUID]) -> list[Known]:
    """Return what is known of payments, oldest first; those that are not there are left out."""
    return [_known(row) for row in await connection.fetch(_KNOWN, list(event_ids))]


async def payments_of(
    connection: Connection, entities: Sequence[EntityKey], reach: Reach, each_max: int
) -> dict[EntityKey, list[UUID]]:
    """Return the latest payments of each entity by look, newest first, at most ``each_max`` of each."""
    rows = await connection.fetch(
        _PAYMENTS_OF,
        [int(each.entity) for each in entities],
        [each.key for each in entities],
        first_uuid_at(reach.since),
        reach.live,
        reach.book_id,
        each_max,
    )
    found: dict[EntityKey, list[UUID]] = {each: [] for each in entities}
    for row in rows:
        found[entities[row["place"] - 1]].append(UUID(int=row["event_id"].int))
    return found


async def tallies(
    connection: Connection, entities: Sequence[EntityKey], reach: Reach, each_max: int
) -> dict[EntityKey, Tally]:
    """Return the figures of entities over their latest payments, at most ``each_max`` of each."""
    rows = await connection.fetch(
        _TALLIES,
        [int(each.entity) for each in entities],
        [each.key for each in entities],
        first_uuid_at(reach.since),
        reach.live,
        reach.book_id,
        each_max,
    )
    found = dict.fromkeys(entities, Tally())
    for place, currency, count, fraud_count, value in rows:
        before = found[entities[place - 1]]
        total = before.count + count
        found[entities[place - 1]] = Tally(
            total, before.fraud_count + fraud_count, (*before.values, (currency, value)), total >= each_max
        )
    return found


def _known(row: Any) -> Known:
    decision_id = row["decision_id"]
    return Known(
        signals=msgspec.json.decode(row["signals"], type=Signals),
        tier=Tier(row["tier"]),
        score=row["score"],
        decision_id=None if decision_id is None else UUID(int=decision_id.int),
        reasons=tuple(row["reasons"]),
        rules=tuple(row["rules"]),
        is_approved=row["is_approved"],
        end_code=row["end_code"],
        is_passed=row["is_passed"],
        is_fraud=row["is_fraud"],
        label_source=row["label_source"],
        labelled_at=row["labelled_at"],
    )
