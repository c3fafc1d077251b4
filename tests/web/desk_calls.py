"""What the tests of ``tongbao decisions``, ``policies`` and ``routing`` share: calling them, and something to look at."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from typer.testing import CliRunner, Result

from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.events.delivery import Delivery
from tongbao.core.events.outbox import Outbox
from tongbao.core.events.relay import Relay
from tongbao.core.ids import IdFactory, derive, first_uuid_at
from tongbao.core.metrics import Metrics
from tongbao.decisions.schema.log import Candidate, Decision, Outcome, Why
from tongbao.decisions.service.log import DecisionLog
from tongbao.routing.schema.payments import Attempted, Mark
from tongbao.routing.service.tallying import tally_projection
from tongbao.web.cli import app

BOOK = 7
CHANNELS = {"alpha": 0.6, "beta": 0.4}
"""Channels and the chance with which the logged router took each."""


async def call(*arguments: object) -> Result:
    """Run the command in a thread, where it starts its own loop; errors of ours are raised."""
    result = await asyncio.to_thread(CliRunner().invoke, app, [str(each) for each in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


async def shown(*arguments: object) -> str:
    """Return what a command prints, its columns by single spaces."""
    result = await call(*arguments)
    assert result.exit_code == 0, result.output
    return "\n".join(" ".join(line.split()) for line in result.output.splitlines())


async def parsed(*arguments: object) -> Any:
    """Return what a command prints for machines."""
    result = await call(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def now() -> datetime:
    """This moment, in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


def decided(number: int, at: datetime, chosen: str = "alpha", **fields: Any) -> Decision:
    """A decision between two channels, of which a third could not be chosen."""
    decision_id = derive(first_uuid_at(at), f"desk.{number}")
    values: dict[str, Any] = {
        "id": decision_id,
        "book_id": BOOK,
        "live": True,
        "kind": "routing",
        "subject_id": derive(first_uuid_at(at), f"payment.{number}"),
        "decided_at": at,
        "policy": "routing",
        "version": 0,
        "context": {
            "method": "card",
            "currency": "CNY",
            "amount_minor": 10_000 + number,
            "hour": number % 24,
            "weekday": 1,
            "attempt_no": 1,
        },
        "candidates": (
            *(
                Candidate(
                    name=name,
                    propensity=chance,
                    score=chance * 100,
                    low=50.0,
                    high=70.0,
                    facts={"approval": 0.85, "approval_low": 0.84, "approval_high": 0.86, "cost_minor": 60.0},
                )
                for name, chance in CHANNELS.items()
            ),
            Candidate(name="gamma", excluded="currency_not_supported"),
        ),
        "chosen": chosen,
        "reasons": (Why("learned", {"chance": 0.6}),),
    }
    return Decision(**(values | fields))


def heard(decision: Decision, approved: bool, label: str = "do_not_honor") -> Outcome:
    """What came of a decision, two seconds later."""
    at = decision.decided_at + timedelta(seconds=2)
    return Outcome(
        book_id=decision.book_id,
        decision_id=decision.id,
        key=derive(decision.id, "outcome"),
        name="approved",
        value=float(approved),
        label="approved" if approved else label,
        source="answer",
        occurred_at=at,
        recorded_at=at,
    )


def many(count: int, at: datetime) -> tuple[list[Decision], list[Outcome]]:
    """Decisions a second apart: three in five over ``alpha``, of which nine in ten end well, over ``beta`` seven."""
    decisions, outcomes = [], []
    for number in range(count):
        chosen = "alpha" if number % 5 < 3 else "beta"
        decision = decided(number, at + timedelta(seconds=number), chosen)
        decisions.append(decision)
        outcomes.append(heard(decision, number // 5 % 10 < (9 if chosen == "alpha" else 7)))
    return decisions, outcomes


async def write(database: Database, decisions: Sequence[Decision], outcomes: Sequence[Outcome]) -> None:
    """Put decisions and outcomes into the log."""
    async with database.transaction() as connection:
        await DecisionLog(database, RealClock()).write(connection, decisions, outcomes)


async def tell(database: Database, facts: Sequence[Attempted]) -> None:
    """Publish facts of attempts and let them be tallied."""
    clock, metrics = RealClock(), Metrics()
    ids = IdFactory(clock)
    async with database.transaction() as connection:
        await Outbox(clock, ids).publish(connection, facts)
    relay = Relay(database, clock, metrics)
    await relay.prepare()
    await relay.place_all()
    delivery = Delivery(database, tally_projection(clock), clock, ids, metrics)
    while await delivery.step():
        pass


def attempted(ids: IdFactory, at: datetime, channel: str, mark: Mark, code: str = "") -> Attempted:
    """A fact about one attempt of 100."""
    return Attempted(
        occurred_at=at,
        attempt_id=ids.uuid(),
        decision_id=None,
        book_id=BOOK,
        live=True,
        channel=channel,
        method="card",
        issuer="411111",
        currency="CNY",
        amount_minor=10_000,
        mark=mark,
        code=code,
        took_ms=120,
    )
