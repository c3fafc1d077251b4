"""What the routing drill reads back: decisions, what came of them, notices, and whether every payment's story is whole."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.bench.payment_drill_audit import Documents
from tongbao.bench.routing_outage_measures import Send
from tongbao.core.db import Database
from tongbao.core.ids import uuid_text
from tongbao.decisions.schema.log import Decision
from tongbao.payments.schema.attempts import PAID, AttemptState
from tongbao.payments.schema.intents import Intent

_DECISIONS = "SELECT body FROM decisions.decision WHERE kind = 'routing' ORDER BY id"
_OUTCOMES = """
SELECT DISTINCT ON (decision_id) decision_id, value FROM decisions.outcome WHERE name = 'approved'
ORDER BY decision_id, occurred_at DESC, recorded_at DESC, key DESC
"""
_NOTICES = "SELECT at, kind, channel FROM routing.notice ORDER BY at, id"
_BUSIEST = """
SELECT chosen FROM decisions.decision WHERE decided_at > $1 GROUP BY chosen ORDER BY count(*) DESC, chosen LIMIT 1
"""
_SAID_YES = PAID | {AttemptState.AUTHORIZED}
_SAID_NO = frozenset({AttemptState.DECLINED, AttemptState.NOT_FOUND})


class Told(NamedTuple):
    """One notice of routing."""

    at: datetime
    kind: str
    channel: str


class Log(NamedTuple):
    """The decision log of one drill: decisions in order, the standing value of each one's outcome, notices."""

    decisions: list[Decision]
    outcomes: dict[UUID, float | None]
    notices: list[Told]


async def read_log(database: Database) -> Log:
    """Return everything that routing wrote."""
    async with database.connection() as connection:
        bodies = [row[0] for row in await connection.fetch(_DECISIONS)]
        outcomes = {row[0]: row[1] for row in await connection.fetch(_OUTCOMES)}
        notices = [Told(*row) for row in await connection.fetch(_NOTICES)]
    return Log([msgspec.json.decode(body, type=Decision) for body in bodies], outcomes, notices)


async def busiest(database: Database, since: datetime) -> str | None:
    """Return the channel that was chosen most since an instant; None where nothing was decided."""
    async with database.connection() as connection:
        row = await connection.fetchrow(_BUSIEST, since)
    return row[0] if row else None


def sends(log: Log, documents: Documents) -> list[Send]:
    """Return every decision with what it sent and what that cost, in the order of time."""
    attempts = {attempt.id: attempt for attempt in documents.attempts}
    found = []
    for decision in log.decisions:
        attempt = attempts.get(decision.effect_id) if decision.effect_id else None
        chosen = next((each for each in decision.candidates if each.name == decision.chosen), None)
        cost = chosen.facts.get("cost_minor", 0.0) if chosen else 0.0
        found.append(
            Send(
                at_s=decision.decided_at.timestamp(),
                payment=uuid_text(Intent.PREFIX, decision.subject_id),
                channel=decision.chosen,
                is_first=decision.context.get("attempt_no") == 1,
                amount_minor=attempt.amount_minor if attempt else 0,
                cost_minor=float(cost or 0.0),
                approved=attempt is not None and attempt.state in PAID,
            )
        )
    return sorted(found, key=lambda each: each.at_s)


def unexplained(log: Log) -> list[str]:
    """Return decisions that give no reason for what they chose."""
    return [
        decision.reference
        for decision in log.decisions
        if not decision.reasons or any(not why.code for why in decision.reasons)
    ]


def broken_lineage(log: Log, documents: Documents) -> list[str]:
    """Return where the way from payment to attempt, decision and outcome has a gap or contradicts itself."""
    decisions = {decision.id: decision for decision in log.decisions}
    tried = {attempt.intent_id for attempt in documents.attempts}
    broken = [f"{intent.reference} was never tried" for intent in documents.intents if intent.id not in tried]
    of_attempts = {attempt.decision_id for attempt in documents.attempts}
    broken += [f"{each.reference} sent nothing" for each in log.decisions if each.id not in of_attempts]
    for attempt in documents.attempts:
        decision = decisions.get(attempt.decision_id) if attempt.decision_id else None
        if decision is None:
            broken.append(f"{attempt.reference} has no decision")
            continue
        if (decision.effect_id, decision.subject_id, decision.chosen) != (
            attempt.id,
            attempt.intent_id,
            attempt.channel,
        ):
            broken.append(f"{attempt.reference} is not what {decision.reference} decided")
        expected = 1.0 if attempt.state in _SAID_YES else 0.0 if attempt.state in _SAID_NO else None
        if expected is not None and log.outcomes.get(decision.id) != expected:
            broken.append(f"{decision.reference} did not hear that {attempt.reference} is {attempt.state}")
    return broken
