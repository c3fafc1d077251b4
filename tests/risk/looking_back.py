"""What the tests of looking back share: a house that judges payments, writes them down, and what reads them again."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.events.outbox import Outbox
from tongbao.core.events.running import Events
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.decisions.policy.rollout import RolloutOrder
from tongbao.decisions.schema.log import Range
from tongbao.decisions.service.decisions import Decisions
from tongbao.risk.schema.facts import Ended, Proved
from tongbao.risk.schema.signals import Signals
from tongbao.risk.service import compiling
from tongbao.risk.service.assessor import Asked, Looked
from tongbao.risk.service.backtesting import policy_of
from tongbao.risk.service.hindsight import Hindsight
from tongbao.risk.service.risk import Risk


class Past:
    """Risk control with a merchant of its own and a clock that moves a second with each payment. One a database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = FrozenClock(datetime.now(UTC) - timedelta(hours=1))
        # What is read by time is read by the time in ids.
        self.ids = ids = IdFactory(self.clock)
        self.begun = self.clock.now()
        self.book_id = ids.int63()
        self.decisions = Decisions(database, self.clock, ids, {compiling.POLICY: compiling.checker()})
        log, policies = self.decisions.log, self.decisions.policies
        self.risk = Risk(database, self.clock, ids, policies, log, Metrics())
        # What is explored is the same in every run.
        self.risk.assessor._chance = random.Random(7)
        self.outbox = Outbox(self.clock, ids)
        self.events = Events(database, self.clock, ids, Metrics(), self.risk.subscriptions())
        self.hindsight = Hindsight(database, self.clock, ids, (log, policies), self.risk)

    def anew(self) -> None:
        """Go on as a merchant whom nobody knows, from now."""
        self.clock.advance(timedelta(seconds=10))
        self.book_id, self.begun = self.ids.int63(), self.clock.now()

    async def judge(self, **fields: Any) -> Looked:
        """Judge a payment of 30.00 EUR by the merchant's only customer."""
        self.clock.advance(timedelta(seconds=1))
        values: dict[str, Any] = {
            "id": self.ids.uuid(),
            "at": self.clock.now(),
            "book_id": self.book_id,
            "live": True,
            "subject_id": self.ids.uuid(),
            "value": 3_000,
            "currency": "EUR",
            "method": "card",
            "customer": f"cus_{self.book_id}",
            "card": f"card_{self.book_id}",
        }
        return await self.risk.assessing.assess(Asked(signals=Signals(**(values | fields))))

    async def end(self, looked: Looked, *, is_approved: bool = True) -> None:
        """Let a payment end at its channel."""
        fact = Ended(**self._about(looked), is_approved=is_approved, code="" if is_approved else "declined")
        await self._publish(fact)

    async def prove(self, looked: Looked, *, is_passed: bool) -> None:
        """Let its payer prove who it is, or not."""
        await self._publish(Proved(**self._about(looked), means="code", is_passed=is_passed))

    async def label(self, looked: Looked, *, is_fraud: bool) -> None:
        """Say what a payment was."""
        subject_id = looked.fact.signals.subject_id
        await self.risk.assessing.label(self.book_id, subject_id, is_fraud=is_fraud, actor="mei")

    async def settle(self) -> None:
        """Let everything be written down and known, and every picture be new."""
        await self.events.relay.prepare()
        await self.events.relay.place_all()
        for delivery in self.events.deliveries:
            while await delivery.step():
                pass
        while await self.risk.following.step():
            pass
        self.clock.advance(timedelta(seconds=5))
        await self.risk.live.refresh()
        await self.risk.lists.refresh()
        await self.risk.freezing.refresh()

    async def decide(self, **spec: Any) -> None:
        """Let the merchant's own policy decide by this specification."""
        policy = policy_of(self.book_id)
        drafted = await self.decisions.policies.draft(policy, spec, "", "mei")
        await self.decisions.policies.publish(policy, drafted.version, "mei")
        await self.decisions.policies.roll_out(policy, RolloutOrder(champion=drafted.version), "mei")
        await self.settle()

    def span(self, **fields: Any) -> Range:
        """The time since the merchant began."""
        values: dict[str, Any] = {"book_id": self.book_id, "live": True}
        end = self.clock.now() + timedelta(seconds=1)
        return Range(**({"from_at": self.begun, "to_at": end} | values | fields))

    def _about(self, looked: Looked) -> dict[str, Any]:
        signals = looked.fact.signals
        return {
            "occurred_at": self.clock.now(),
            "signals_id": signals.id,
            "book_id": signals.book_id,
            "live": signals.live,
            "subject_id": signals.subject_id,
        }

    async def _publish(self, fact: Ended | Proved) -> None:
        async with self.database.transaction() as connection:
            await self.outbox.publish(connection, [fact])
