"""The warm-up of the risk drill: weeks of ordinary payments, told to risk control as facts with instants of the past.

Nobody can wait weeks, and a customer who pays ten times within minutes is a burst, not a regular. So what a house would have
seen is published the way payments publish it. The keys of everybody involved come from the product's own code: whoever pays
in the drill afterwards has exactly this history.
"""

import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import msgspec

from tongbao.bench.risk_drill_payers import payer_customer_id
from tongbao.bench.risk_drill_shop import Payer, daily_minor
from tongbao.channels.schema import Card, Initiator, Merchant
from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.errors import InvariantBroken
from tongbao.core.events.facts import Fact
from tongbao.core.events.outbox import Outbox
from tongbao.core.ids import IdFactory
from tongbao.payments.ports import RiskQuestion
from tongbao.payments.schema.documents import Kind
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.methods import PaymentMethod
from tongbao.payments.schema.orders import Device
from tongbao.payments.service.smart_risk import SmartRisk
from tongbao.risk.models.memory import Memory
from tongbao.risk.schema.challenges import Challenge
from tongbao.risk.schema.facts import Assessed, Ended
from tongbao.risk.schema.signals import Signals
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service.judging import InProcess
from tongbao.risk.service.standing_alone import alone
from tongbao.risk.service.step_up_links import StepUpLinks, open_step_up_secret

WEEKS = 7
PAYMENTS_EACH = 12
DECLINED_SHARE = 0.02
_BODIES = "SELECT body FROM payments.document WHERE kind = $1 ORDER BY id"
SECRET_FILE = "vault/risk.key"  # noqa: S105 - where the house keeps its secret, not the secret


async def seed(database: Database, data_dir: Path, payers: Mapping[str, Payer], seed_no: int) -> int:
    """Publish the history of payers, by the id of the method that each has saved; return how many payments it has.

    Comes before the first payment that is judged: what risk control learns has to be in order of time. Needs one intent of
    anybody in the database, whose terms are everybody's. Raises InvariantBroken ``drill_history_empty`` without one.
    """
    async with database.connection() as connection:
        intents = [
            msgspec.json.decode(row[0], type=Intent) for row in await connection.fetch(_BODIES, Kind.INTENT)
        ]
        rows = await connection.fetch(_BODIES, Kind.METHOD)
    if not intents:
        raise InvariantBroken("drill_history_empty", "nobody wants to pay yet")
    history = _History(database, data_dir, seed_no)
    facts: list[Fact] = []
    for method in (msgspec.json.decode(row[0], type=PaymentMethod) for row in rows):
        payer = payers.get(method.reference)
        if payer is not None and isinstance(method.method, Card):
            facts += history.of(await history.signals(intents[0], method.method, payer), payer)
    facts.sort(key=lambda each: each.occurred_at)
    async with database.transaction() as connection:
        await history.outbox.publish(connection, facts)
    return len(facts) // 2


class _History:
    """Makes the facts of one payer after another."""

    def __init__(self, database: Database, data_dir: Path, seed_no: int) -> None:
        clock = RealClock()
        self._clock = clock
        self._ids = IdFactory(clock)
        self._random = random.Random(f"{seed_no}/history")
        self.outbox = Outbox(clock, self._ids)
        secret = open_step_up_secret(data_dir / SECRET_FILE)
        judge = InProcess(alone(Memory(), clock, {}).assessor)
        links = StepUpLinks(secret, "http://localhost", clock)
        self._judge = SmartRisk(judge, links, _nobody_proved, clock, self._ids, secret=secret)

    async def signals(self, intent: Intent, card: Card, payer: Payer) -> Signals:
        """Return what risk control would know of a payment of this payer."""
        question = RiskQuestion(
            intent=msgspec.structs.replace(
                intent, customer_id=payer_customer_id(payer), receipt_email=payer.email
            ),
            method=card,
            merchant=Merchant(name="drill"),
            initiator=Initiator.PAYER,
            payer_address=payer.address,
            device=Device(reference=payer.device),
        )
        verdict = await self._judge.assess(question)
        if verdict.fact is None:
            raise InvariantBroken("drill_history_empty", "risk control told nothing")
        return verdict.fact.signals

    def of(self, like: Signals, payer: Payer) -> list[Fact]:
        """Return the payments of a payer over the weeks, and how they ended."""
        now = self._clock.now()
        facts: list[Fact] = []
        for _ in range(PAYMENTS_EACH):
            at = now - timedelta(days=self._random.uniform(0.5, 7 * WEEKS))
            signals = msgspec.structs.replace(
                like,
                id=self._ids.uuid(),
                subject_id=self._ids.uuid(),
                at=at,
                value=daily_minor(payer, self._random),
            )
            is_approved = self._random.random() >= DECLINED_SHARE
            facts += [_judged(signals, at), _ended(signals, at + timedelta(seconds=1), is_approved)]
        return facts


def _judged(signals: Signals, at: datetime) -> Assessed:
    return Assessed(occurred_at=at, signals=signals, tier=Tier.FRICTIONLESS, segment=("new", "card"))


def _ended(signals: Signals, at: datetime, is_approved: bool) -> Ended:
    return Ended(
        occurred_at=at,
        signals_id=signals.id,
        book_id=signals.book_id,
        live=signals.live,
        subject_id=signals.subject_id,
        is_approved=is_approved,
        code="" if is_approved else "do_not_honor",
    )


async def _nobody_proved(
    _book_id: int, _subject: UUID, _digest: bytes, _within: timedelta
) -> Challenge | None:
    return None
