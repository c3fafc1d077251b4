"""Streams of payments for tests of features, and a slow reference that knows nothing of pointers and chains."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np

from tongbao.risk.models import batch
from tongbao.risk.models.registry import DISTINCTS, LABEL_DELAY_S, Pair
from tongbao.risk.models.state import FeatureState
from tongbao.risk.schema.signals import DeviceSign, Entity, Signals

START = datetime(2026, 1, 5, tzinfo=UTC)
DAY_MS = 86_400_000
DELAY_MS = LABEL_DELAY_S * 1000
COUNTRIES = ("DE", "FR", "US", "", "ZZ")


def payment(number: int, seconds: float, value: int = 1_000, **facts: Any) -> Signals:
    """Return a payment some seconds after the start; ``facts`` are further fields of ``Signals``."""
    fields: dict[str, Any] = {
        "id": UUID(int=number + 1),
        "at": START + timedelta(seconds=seconds),
        "book_id": 1,
        "live": False,
        "subject_id": UUID(int=1),
        "value": value,
        "currency": "EUR",
        "method": "card",
        **facts,
    }
    return Signals(**fields)


@dataclass
class Stream:
    """Payments in time order with what became known of them later: (instant in ms, row, what, whether)."""

    payments: list[Signals]
    outcomes: list[tuple[int, int, int, bool]] = field(default_factory=list)

    @property
    def as_outcomes(self) -> batch.Outcomes:
        """The outcomes as ``batch.build`` takes them."""
        known, row, what, is_so = (np.array(column, np.int64) for column in zip(*self.outcomes, strict=True))
        return batch.Outcomes(row, known, what, is_so.astype(bool))


def random_stream(rng: np.random.Generator, count: int, days: float, people: int = 4) -> Stream:
    """Return a stream in which everybody meets everybody, some keys are unknown, and labels come early, late and back."""
    seconds = np.sort(rng.integers(0, int(days * 86_400), count))
    payments = [_random_payment(rng, row, float(seconds[row]), people) for row in range(count)]
    outcomes = []
    for row, signals in enumerate(payments):
        chance, later = rng.random(4), rng.integers(1, 30 * DAY_MS, 4)
        if chance[0] < 0.4:
            outcomes.append((signals.at_ms + int(later[0]), row, batch.LABEL, True))
            if chance[1] < 0.3:
                outcomes.append((signals.at_ms + int(later[0] + later[1]), row, batch.LABEL, False))
        if chance[2] < 0.5:
            outcomes.append((signals.at_ms + int(later[2]) // 500, row, batch.END, bool(chance[2] < 0.3)))
        if chance[3] < 0.2:
            outcomes.append((signals.at_ms + int(later[3]) // 500, row, batch.PROOF, bool(chance[3] < 0.1)))
    return Stream(payments, sorted(outcomes))


def _random_payment(rng: np.random.Generator, row: int, seconds: float, people: int) -> Signals:
    keys = {
        entity.name.lower(): "" if rng.random() < 0.1 else f"{entity.name}-{rng.integers(people)}"
        for entity in Entity
    }
    countries = {
        name: str(rng.choice(COUNTRIES)) for name in ("card_country", "merchant_country", "address_country")
    }
    place = {"latitude": float(rng.uniform(-60, 60)), "longitude": float(rng.uniform(-180, 180))}
    return payment(
        row,
        seconds,
        int(rng.choice([500, 900, 1_000, 1_200, 4_000, 10_000])),
        device_signs=DeviceSign(int(rng.integers(32))) if rng.random() < 0.3 else DeviceSign.NONE,
        is_recurring=bool(rng.random() < 0.1),
        **keys,
        **countries,
        **(place if rng.random() < 0.5 else {}),
    )


def fold(state: FeatureState, stream: Stream, upto: int | None = None) -> np.ndarray:
    """Feed a stream one event at a time and return the features that each payment had, shape (n, n_features)."""
    found, told = [], 0
    for row, signals in enumerate(stream.payments[:upto]):
        while told < len(stream.outcomes) and stream.outcomes[told][0] <= signals.at_ms:
            tell(state, stream, told)
            told += 1
        found.append(state.features(signals))
        state.learn(signals)
        assert row < len(stream.payments)
    return np.array(found)


def tell(state: FeatureState, stream: Stream, number: int) -> None:
    """Feed one outcome."""
    at_ms, row, what, is_so = stream.outcomes[number]
    call = {batch.LABEL: state.label, batch.END: state.ended, batch.PROOF: state.proved}[what]
    call(stream.payments[row].id, is_so, at_ms)


SIDES = {
    Pair.CUSTOMER_MERCHANT: (Entity.CUSTOMER, Entity.MERCHANT),
    Pair.CARD_DEVICE: (Entity.CARD, Entity.DEVICE),
    Pair.CARD_MERCHANT: (Entity.CARD, Entity.MERCHANT),
    Pair.CUSTOMER_DEVICE: (Entity.CUSTOMER, Entity.DEVICE),
    Pair.CUSTOMER_ADDRESS: (Entity.CUSTOMER, Entity.ADDRESS),
    Pair.CUSTOMER_CARD: (Entity.CUSTOMER, Entity.CARD),
    Pair.CARD_ADDRESS: (Entity.CARD, Entity.ADDRESS),
    Pair.CUSTOMER_BENEFICIARY: (Entity.CUSTOMER, Entity.BENEFICIARY),
}


class Reference:
    """What features should be, computed from the whole past each time."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def known(self, now: int, row: int, what: int) -> bool:
        """Return what was last told of a payment by ``now``; what nobody told is no fraud and no decline."""
        told = [so for at, of, kind, so in self._stream.outcomes if of == row and kind == what and at <= now]
        if what == batch.END:
            return bool(told) and not told[-1]
        return bool(told) and told[-1]

    def past(self, row: int, entity: Entity, oldest_ms: int, youngest_ms: int) -> list[int]:
        """Return the rows before ``row`` of the same entity with instants in (oldest, youngest]."""
        now = self._stream.payments[row]
        return [
            other
            for other in range(row)
            if self._stream.payments[other].key(entity) == now.key(entity)
            and oldest_ms < self._stream.payments[other].at_ms <= youngest_ms
        ]

    def expected(self, row: int, name: str, entity: Entity, aggregation: str, window_s: int) -> float:
        """Return one windowed feature of a payment."""
        signals = self._stream.payments[row]
        now, window_ms = signals.at_ms, window_s * 1000
        if not signals.key(entity):
            return float("nan")
        rows = self.past(row, entity, now - window_ms, now)
        values = [self._stream.payments[other].value for other in rows]
        aged = self.past(row, entity, now - DELAY_MS - window_ms, now - DELAY_MS)
        frauds = sum(self.known(now, other, batch.LABEL) for other in aged)
        declines = sum(self.known(now, other, batch.END) for other in rows)
        simple = {
            "count": len(rows) + 1,
            "sum": sum(values) + signals.value,
            "mean": (sum(values) + signals.value) / (len(rows) + 1),
            "declines": declines,
            "decline_share": declines / len(rows) if rows else 0.0,
            "known_fraud": sum(self.known(now, other, batch.LABEL) for other in rows),
            "matured": len(aged),
            "fraud": frauds,
            "risk": frauds / len(aged) if aged else 0.0,
            "fraud_share": frauds / len(aged) if aged else 0.0,
        }
        return float(
            simple[aggregation] if aggregation in simple else self.partners(row, entity, aggregation, rows)
        )

    def partners(self, row: int, entity: Entity, aggregation: str, rows: list[int]) -> int:
        """Return how many different partners an entity had in these rows and now."""
        pair = next(one.pair for one in DISTINCTS if one.entity == entity and one.partners == aggregation)
        return len({self.partner(other, entity, pair) for other in (*rows, row)} - {""})

    def partner(self, row: int, entity: Entity, pair: Pair) -> str:
        """Return the partner that an entity met in a payment, empty where it is unknown."""
        signals = self._stream.payments[row]
        if pair == Pair.CARD_COUNTRY:
            return signals.address_country or signals.merchant_country
        one, other = SIDES[pair]
        return signals.key(other if entity == one else one)

    def run(self, row: int, entity: Entity) -> tuple[int, float, float]:
        """Return the present row of frauds: its length, days since the last fraud and days since the last clean payment."""
        now = self._stream.payments[row].at_ms
        aged = self.past(row, entity, -1, now - DELAY_MS)
        fraud = [self.known(now, other, batch.LABEL) for other in aged]
        ages = [min((now - self._stream.payments[other].at_ms) / DAY_MS, 99.0) for other in aged]
        length = next((number for number, was in enumerate(reversed(fraud)) if not was), len(fraud))
        since_fraud = next(
            (age for age, was in zip(reversed(ages), reversed(fraud), strict=True) if was), 99.0
        )
        since_clean = next(
            (age for age, was in zip(reversed(ages), reversed(fraud), strict=True) if not was), 99.0
        )
        return length, since_fraud, since_clean
