"""Journaling: what was published is kept in order, and each judged payment has one row with all that is known of it.

The journal is what state is rebuilt from once the outbox has forgotten; rows and links are what people search. Labels and
ends go to the decision log as outcomes too, so that policies are judged by them.
"""

from collections.abc import Sequence
from functools import partial

import msgspec

from tongbao.core import partitions
from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.events.facts import Delivered
from tongbao.core.events.subscriptions import Projection
from tongbao.core.ids import derive
from tongbao.decisions.schema.log import Outcome
from tongbao.decisions.service.log import DecisionLog
from tongbao.risk.schema.facts import Assessed, Ended, Labelled, Proved
from tongbao.risk.store import events, journal
from tongbao.risk.store.journal import JournalRow

SUBSCRIPTION = "risk.journal"
TOPICS = (Assessed, Ended, Proved, Labelled)
MONTHS_AHEAD = 3
FRAUD = "fraud"
"""The outcome that tiers are judged by: 1 for fraud, 0 for a payment that is known to be good."""
PASSED = "passed"
"""The outcome of a step-up: 1 where the payer proved who it is."""


def journal_projection(clock: Clock, log: DecisionLog) -> Projection:
    """Return the subscription that keeps the journal and the rows of judged payments, each fact exactly once."""
    return Projection(SUBSCRIPTION, TOPICS, partial(_write, clock, log))


async def prepare(database: Database, clock: Clock) -> None:
    """Make the partitions of the coming months; repeated by a worker, safe in many processes at once."""
    for table in (journal.JOURNAL, events.EVENTS, events.LINKS):
        async with database.transaction() as connection:
            await journal.lock_partitions(connection)
            await partitions.ensure_months(connection, table, clock.now(), MONTHS_AHEAD)


async def _write(
    clock: Clock, log: DecisionLog, connection: Connection, delivered: Sequence[Delivered]
) -> None:
    """Write a batch; within it, later news of a payment replace earlier ones."""
    rows = [
        JournalRow(each.position, each.id, each.topic, msgspec.json.encode(each.fact)) for each in delivered
    ]
    await journal.append(connection, rows)
    facts = [each.fact for each in delivered]
    if assessed := [each for each in facts if isinstance(each, Assessed) and not each.is_again]:
        await events.insert(connection, assessed)
    if ended := {each.signals_id: each for each in facts if isinstance(each, Ended)}:
        await events.ended(connection, list(ended.values()))
    if proved := {each.signals_id: each for each in facts if isinstance(each, Proved)}:
        await events.proved(connection, list(proved.values()))
    if labelled := {each.signals_id: each for each in facts if isinstance(each, Labelled)}:
        await events.labelled(connection, list(labelled.values()))
    outcomes = [outcome for each in delivered if (outcome := _outcome(clock, each)) is not None]
    if outcomes:
        await log.write(connection, (), outcomes)


def _outcome(clock: Clock, delivered: Delivered) -> Outcome | None:
    """Return the news for the decision log; a decision about risk has the id of the look that it is about."""
    fact = delivered.fact
    if isinstance(fact, Labelled):
        name, value, label, source = FRAUD, float(fact.is_fraud), "", fact.source.value
    elif isinstance(fact, Proved):
        name, value, label, source = PASSED, float(fact.is_passed), fact.means, "challenge"
    elif isinstance(fact, Ended):
        name, value, label, source = "approved", float(fact.is_approved), fact.code, "answer"
    else:
        return None
    return Outcome(
        book_id=fact.book_id,
        decision_id=fact.signals_id,
        key=derive(delivered.id, "outcome"),
        name=name,
        value=value,
        label=label,
        source=source,
        occurred_at=fact.occurred_at,
        recorded_at=clock.now(),
    )
