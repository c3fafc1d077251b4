"""A seeded month of payments with a planted fraud and planted oddities, delivered to the journal as the outbox would."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np

from tongbao.core.clock import Clock, FrozenClock
from tongbao.core.db import Database
from tongbao.core.events.facts import Delivered, Fact, topic_of
from tongbao.core.ids import IdFactory
from tongbao.decisions.service.log import DecisionLog
from tongbao.risk.schema.facts import Assessed, Labelled, LabelSource
from tongbao.risk.schema.signals import DeviceSign, Signals
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service.journaling import journal_projection

BOOK = 7
CUSTOMERS = 120
GOOD = 2_400
FRAUDS = 120
ODD = 4
"""Odd payments of the last hours, each of a customer of its own who paid as others do until then."""
DAYS = 30
RECENT_DAYS = 7


class Stream:
    """Facts of ``DAYS`` days up to ``now``.

    ``planted``: the frauds, prepaid cards from NG for high amounts, known two days later. ``odd``: payments of the last days
    that nobody spoke of, of a size and kind that nobody else has. ``spree``: many cards on one device within minutes.
    """

    def __init__(self, now: datetime, *, live: bool = False, good: int = GOOD, frauds: int = FRAUDS) -> None:
        self.now = now
        self.live = live
        self.ids = IdFactory(FrozenClock(now - timedelta(days=DAYS)))
        self._rng = np.random.default_rng(7)
        self.facts: list[Fact] = []
        self.planted = [self._fraud() for _ in range(frauds)]
        self.good = [self._good() for _ in range(good)]
        self.odd = [self._odd(number) for number in range(CUSTOMERS, CUSTOMERS + ODD)]
        self.spree = [self._spree(number) for number in range(8)]
        self.facts.sort(key=lambda fact: fact.occurred_at)

    @property
    def recent_ids(self) -> set[UUID]:
        """The payments that are too young to be taken for good."""
        begin = self.now - timedelta(days=RECENT_DAYS)
        return {each.id for each in (*self.good, *self.odd, *self.spree) if each.at >= begin}

    def _good(self) -> Signals:
        customer = int(self._rng.integers(CUSTOMERS))
        country = "NG" if self._rng.random() < 0.05 else "DE"
        return self._paid(
            self._rng.uniform(0, DAYS),
            customer,
            value=int(self._rng.lognormal(7.5 + customer % 3, 0.4)),
            address_country=country,
            funding="prepaid" if self._rng.random() < 0.1 else "debit",
        )

    def _fraud(self) -> Signals:
        signals = self._paid(
            self._rng.uniform(0, DAYS - RECENT_DAYS),
            int(self._rng.integers(CUSTOMERS)),
            value=int(self._rng.uniform(15_000, 30_000)),
            address_country="NG",
            funding="prepaid",
        )
        self.facts.append(labelled(signals, min(signals.at + timedelta(days=2), self.now), is_fraud=True))
        return signals

    def _odd(self, number: int) -> Signals:
        for day in range(2, DAYS - RECENT_DAYS, 3):
            self.good.append(self._paid(day, number, value=2_000, address_country="DE", funding="debit"))
        return self._paid(
            DAYS - 0.1 - number * 0.001,
            number,
            value=900_000 + number,
            device=f"emulator-{number}",
            device_signs=DeviceSign.EMULATOR | DeviceSign.HEADLESS,
            card_country="DE",
            address_country="BR",
            funding="debit",
        )

    def _spree(self, number: int) -> Signals:
        return self._paid(
            DAYS - 0.2 + number / 1_440,
            2 * CUSTOMERS + number,
            value=1_900,
            device="farm",
            device_signs=DeviceSign.EMULATOR,
            address="farm",
            funding="debit",
        )

    def _paid(self, day: float, customer: int, **fields: Any) -> Signals:
        at = self.now - timedelta(days=DAYS) + timedelta(seconds=int(day * 86_400))
        values: dict[str, Any] = {
            "id": self.ids.uuid(),
            "at": at,
            "book_id": BOOK,
            "live": self.live,
            "subject_id": self.ids.uuid(),
            "currency": "EUR",
            "method": "card",
            "customer": f"customer-{customer}",
            "card": f"card-{customer}",
            "device": f"device-{customer}",
            "address": f"address-{customer}",
            "merchant": f"merchant-{int(self._rng.integers(20))}",
            "card_country": "DE",
            "merchant_country": "DE",
            "mcc": "5411",
        }
        signals = Signals(**(values | fields))
        self.facts.append(assessed(signals))
        return signals


def assessed(signals: Signals, tier: Tier = Tier.FRICTIONLESS) -> Assessed:
    """The fact that a payment was judged."""
    return Assessed(occurred_at=signals.at, signals=signals, tier=tier, score=0.01)


def labelled(signals: Signals, at: datetime, *, is_fraud: bool) -> Labelled:
    """The fact that somebody said what a payment was."""
    return Labelled(
        occurred_at=at,
        signals_id=signals.id,
        book_id=signals.book_id,
        live=signals.live,
        subject_id=signals.subject_id,
        is_fraud=is_fraud,
        source=LabelSource.API,
    )


async def deliver(database: Database, clock: Clock, facts: list[Fact], first: int = 1) -> int:
    """Let the journal take facts, numbered from ``first``; return the number that follows."""
    ids = IdFactory(clock)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    projection = journal_projection(clock, DecisionLog(database, clock))
    rows = [
        Delivered(number, ids.uuid(), topic_of(type(fact)), "", at, at, fact)
        for number, fact in enumerate(facts, first)
    ]
    for begin in range(0, len(rows), 500):
        async with database.transaction() as connection:
            await projection.handle(connection, rows[begin : begin + 500])
    return first + len(rows)
