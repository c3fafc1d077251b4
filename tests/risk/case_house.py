"""Short ways to cases: payments that rang, rows as the journal writes them, a house whose projection opens cases."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.events.delivery import Delivery
from tongbao.core.events.facts import Fact, decode
from tongbao.core.events.outbox import Outbox
from tongbao.core.events.relay import Relay
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.risk.policy.neighborhood import entities_of
from tongbao.risk.schema.cases import (
    CaseFile,
    CasePayment,
    CaseScope,
    CaseSpec,
    CaseState,
    Cause,
    Known,
    Severity,
)
from tongbao.risk.schema.facts import Assessed, Ended, Labelled, LabelSource
from tongbao.risk.schema.signals import Entity, Signals
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service.alerting import alert_projection
from tongbao.risk.service.case_reading import CaseReading
from tongbao.risk.service.cases import Cases, Hand

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
BOOK = 7
LIVE = CaseScope(live=True)

_EVENT = """
INSERT INTO risk.event (book_id, id, at, live, subject_id, decision_id, value, currency, tier, score, reasons, rules,
    signals, is_approved, end_code, is_passed, is_fraud, label_source, labelled_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
"""
_LINK = "INSERT INTO risk.link (entity, key, event_id, book_id, live) VALUES ($1, $2, $3, $4, $5)"
_FACTS = "SELECT topic, payload FROM events.outbox WHERE topic = $1 ORDER BY id"
_CLEAN = "TRUNCATE risk.case_file, risk.case_payment, risk.alert, risk.case_event, risk.event, risk.link, events.outbox"


def uid(number: int) -> UUID:
    """A UUID in the order of ``number``."""
    return UUID(int=(7 << 76) | (2 << 62) | number << 80)


def signals(number: int = 1, /, **fields: Any) -> Signals:
    """Signals of a payment of 100.00 EUR."""
    values: dict[str, Any] = {
        "id": uid(number),
        "at": AT,
        "book_id": BOOK,
        "live": True,
        "subject_id": uid(number + 1_000_000),
        "value": 10_000,
        "currency": "EUR",
        "method": "card",
    }
    return Signals(**(values | fields))


def judged(number: int = 1, /, **fields: Any) -> Known:
    """A payment held for review at a chance of one half; fields of signals are told from those of judgement."""
    own = {name: fields.pop(name) for name in list(fields) if name in Known.__struct_fields__}
    values: dict[str, Any] = {"signals": signals(number, **fields), "tier": Tier.REVIEW, "score": 0.5}
    return Known(**(values | own))


def payment(number: int = 1, /, **fields: Any) -> CasePayment:
    """A held payment of a case, of 100.00 EUR at a chance of one half."""
    values: dict[str, Any] = {
        "event_id": uid(number),
        "book_id": BOOK,
        "subject_id": uid(number + 1_000_000),
        "at": AT,
        "value": 10_000,
        "currency": "EUR",
        "tier": Tier.REVIEW,
        "score": 0.5,
        "is_held": True,
    }
    return CasePayment(**(values | fields))


def case_file(**fields: Any) -> CaseFile:
    """An open case of a card."""
    values: dict[str, Any] = {
        "id": uid(9_000_000),
        "book_id": BOOK,
        "live": True,
        "version": 1,
        "state": CaseState.OPEN,
        "severity": Severity.MEDIUM,
        "kind": Cause.HELD,
        "entity": Entity.CARD,
        "key": "card_a",
        "opened_at": AT,
        "updated_at": AT,
        "last_alert_at": AT,
        "due_at": AT,
        "payment_count": 1,
        "saving": 5_000.0,
        "chance_max": 0.5,
        "stakes": (),
    }
    return CaseFile(**(values | fields))


class House:
    """Outbox, relay, the projection of alerts, and both services over one database, on one clock."""

    def __init__(self, database: Database, ids: IdFactory, spec: CaseSpec | None = None) -> None:
        self.database = database
        self.ids = ids
        # Ids come from the real clock; only differences of this one matter.
        self.clock = FrozenClock(datetime.now(UTC))
        self.outbox = Outbox(self.clock, ids)
        self.relay = Relay(database, self.clock, Metrics())
        projection = alert_projection(self.clock, ids, self.outbox, spec)
        self.delivery = Delivery(database, projection, self.clock, ids, Metrics())
        self.cases = Cases(database, self.clock, ids, spec)
        self.reading = CaseReading(database, self.clock)

    def known(self, **fields: Any) -> Known:
        """A payment that is judged now."""
        fresh = {"id": self.ids.uuid(), "subject_id": self.ids.uuid(), "at": self.clock.now()}
        return judged(**(fresh | {"card": "card_a"} | fields))

    def assessed(self, known: Known) -> Assessed:
        """The fact that a payment was judged."""
        return Assessed(
            occurred_at=self.clock.now(),
            signals=known.signals,
            tier=known.tier,
            score=known.score,
            reasons=known.reasons,
            rules=known.rules,
        )

    def labelled(
        self, known: Known, *, is_fraud: bool = True, source: LabelSource = LabelSource.DISPUTE
    ) -> Labelled:
        """The fact that a payment got a label."""
        return Labelled(
            occurred_at=self.clock.now(),
            signals_id=known.signals.id,
            book_id=known.signals.book_id,
            live=known.signals.live,
            subject_id=known.signals.subject_id,
            is_fraud=is_fraud,
            source=source,
        )

    def ended(self, known: Known, *, is_approved: bool) -> Ended:
        """The fact that a payment came to an end."""
        return Ended(
            occurred_at=self.clock.now(),
            signals_id=known.signals.id,
            book_id=known.signals.book_id,
            live=known.signals.live,
            subject_id=known.signals.subject_id,
            is_approved=is_approved,
        )

    async def write(self, *payments: Known) -> None:
        """Write rows and links of payments."""
        async with self.database.transaction() as connection:
            for each in payments:
                await connection.execute(_EVENT, *_row(each))
                one = each.signals
                links = [(int(of.entity), of.key, one.id, one.book_id, one.live) for of in entities_of(one)]
                await connection.executemany(_LINK, links)

    async def publish(self, *facts: Fact) -> None:
        """Publish facts in one commit."""
        async with self.database.transaction() as connection:
            await self.outbox.publish(connection, facts)
        await self.relay.place_all()

    async def tell(self, *facts: Fact) -> None:
        """Publish facts in one commit and project whatever is new."""
        await self.publish(*facts)
        while await self.delivery.step():
            pass

    async def rang(self, *payments: Known) -> list[CaseFile]:
        """Write payments, tell that they were judged, and return all cases, oldest first."""
        await self.write(*payments)
        await self.tell(*(self.assessed(each) for each in payments))
        return await self.files()

    async def files(self) -> list[CaseFile]:
        """All cases, oldest first."""
        async with self.database.connection() as connection:
            rows = await connection.fetch("SELECT body FROM risk.case_file ORDER BY id")
        return [msgspec.json.decode(row["body"], type=CaseFile) for row in rows]

    async def facts(self, topic: str) -> list[Any]:
        """The facts of a topic that were published."""
        async with self.database.connection() as connection:
            rows = await connection.fetch(_FACTS, topic)
        return [decode(row["topic"], row["payload"]) for row in rows]

    async def taken(self, actor: str) -> CaseFile:
        """The next case of the queue, given to ``actor``."""
        case = await self.cases.take_next(actor, LIVE)
        assert case is not None
        return case

    async def clean(self) -> None:
        """Forget every case and payment, and let another house take over."""
        await self.delivery.close()
        async with self.database.transaction() as connection:
            await connection.execute(_CLEAN)


def hand(case: CaseFile, actor: str, book_id: int | None = None) -> Hand:
    """A hand on a case as it is known."""
    return Hand(case.id, actor, case.version, book_id)


def _row(known: Known) -> tuple[Any, ...]:
    one = known.signals
    return (
        one.book_id,
        one.id,
        one.at,
        one.live,
        one.subject_id,
        known.decision_id,
        one.value,
        one.currency,
        known.tier.value,
        known.score,
        list(known.reasons),
        list(known.rules),
        msgspec.json.encode(one),
        known.is_approved,
        known.end_code,
        known.is_passed,
        known.is_fraud,
        known.label_source,
        known.labelled_at,
    )
