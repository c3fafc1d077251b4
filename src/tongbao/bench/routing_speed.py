"""How long one routing decision takes: eight channels with terms, rules, breakers, beliefs, reasons, ready for the log.

The router of the product, in one process without a database: what it waits for is none of its time. Times are of this
thread's processor, so that neighbors on a shared machine count little; the reference in the same run is a JSON round trip
of the decision that was made (msgspec), which everybody's machine can tell the speed of.
"""

import random
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec
import numpy as np

from tongbao.core.clock import Clock, RealClock
from tongbao.core.ids import IdFactory
from tongbao.core.process import settle_garbage_collector
from tongbao.decisions.schema.log import Decision, check
from tongbao.decisions.service.live_policies import Deciding
from tongbao.routing.schema.payments import Attempted, Mark, Payment
from tongbao.routing.schema.volumes import Used
from tongbao.routing.service.compiling import POLICY, compile_spec
from tongbao.routing.service.router import Asked, Router, fresh_board

CHANNELS = tuple(f"channel_{number}" for number in range(8))
ISSUERS = 40
LESSONS = 4_000
RULES = """
high risk categories: when mcc in ("7995", "6051") then avoid channel_0, channel_1
domestic debit: when funding == "debit" and country_match == true then prefer channel_2, channel_3
big tickets: when amount > 5000 EUR then only channel_0, channel_1, channel_2, channel_4
nights: when hour < 6 and brand == "amex" then avoid channel_5
recurring: when is_recurring == true and card_country != "FR" then split channel_1 60, channel_4 40
"""


_NOTHING = Used()


class SpeedFigures(NamedTuple):
    """Microseconds of processor time a decision, decisions a second of one core, and the reference."""

    p50_us: float
    p99_us: float
    mean_us: float
    decisions_per_s: float
    json_us: float
    lesson_us: float


class _OnePolicy:
    """The policy of the measurement, without a registry behind it."""

    def __init__(self) -> None:
        self._deciding = Deciding(
            policy=POLICY, epoch=1, version=1, arm="champion", spec=compile_spec(_spec(), CHANNELS)
        )

    def deciding(self, policy: str, unit: str) -> Deciding | None:
        """Return the one policy."""
        del unit
        return self._deciding if policy == POLICY else None


class _NoVolumes:
    """Volumes of a month that has just begun."""

    def used(self, live: bool, channel: str) -> Used:
        """Return nothing."""
        del live, channel
        return _NOTHING

    def sent(self, attempt_id: object, channel: str, payment: Payment) -> None:
        """Count nothing."""

    def ended(self, attempt_id: object, is_approved: bool) -> None:
        """Count nothing."""


def measure(decisions: int, seed: int = 7) -> SpeedFigures:
    """Return how long ``decisions`` took, each of another payment; every one is checked to be sound."""
    clock = RealClock()
    ids = IdFactory(clock)
    chance = random.Random(seed)
    router = Router(fresh_board(), _OnePolicy(), _NoVolumes(), clock, ids, chance=chance)
    asked = [Asked(payment=payment, candidates=CHANNELS) for payment in _payments(decisions, ids, chance)]
    lesson_us = _taught(router, clock, ids, chance)
    settle_garbage_collector()
    times: list[float] = []
    json_times: list[float] = []
    for each in asked:
        begun = time.thread_time_ns()
        decision = router.choose(each).decision
        times.append((time.thread_time_ns() - begun) / 1e3)
        router.heard(decision.id)
        json_times.append(_round_trip(decision))
        check(decision)
    values = np.array(times)
    return SpeedFigures(
        p50_us=float(np.quantile(values, 0.5)),
        p99_us=float(np.quantile(values, 0.99)),
        mean_us=float(values.mean()),
        decisions_per_s=1e6 / float(values.mean()),
        json_us=float(np.median(json_times)),
        lesson_us=lesson_us,
    )


def _taught(router: Router, clock: Clock, ids: IdFactory, chance: random.Random) -> float:
    """Teach the router what it would know after some time, one channel out of traffic; return microseconds a lesson."""
    begun = time.thread_time_ns()
    for number in range(LESSONS):
        channel = chance.randrange(len(CHANNELS))
        mark = Mark.APPROVED if chance.random() < 0.8 + 0.02 * channel else Mark.ISSUER_DECLINED
        if channel == 0 and number > LESSONS // 2:
            mark = Mark.TECHNICAL
        router.board.learn(
            Attempted(
                occurred_at=clock.now(),
                attempt_id=ids.uuid(),
                decision_id=None,
                book_id=1,
                live=True,
                channel=CHANNELS[channel],
                method="card",
                issuer=str(400_000 + chance.randrange(ISSUERS)),
                currency="EUR",
                amount_minor=1_999,
                mark=mark,
            )
        )
    return (time.thread_time_ns() - begun) / 1e3 / LESSONS


def _payments(count: int, ids: IdFactory, chance: random.Random) -> Iterator[Payment]:
    pick: Callable[..., str] = chance.choice
    for _ in range(count):
        yield Payment(
            book_id=1,
            live=True,
            subject_id=ids.uuid(),
            amount_minor=chance.randrange(100, 1_000_000),
            currency="EUR",
            method="card",
            issuer=str(400_000 + chance.randrange(ISSUERS)),
            brand=pick(("visa", "mastercard", "amex")),
            funding=pick(("credit", "debit")),
            card_country=pick(("FR", "DE", "US")),
            merchant_country="FR",
            mcc=pick(("5411", "5812", "7995")),
            is_recurring=chance.random() < 0.1,
            hour=chance.randrange(24),
            weekday=chance.randrange(7),
        )


def _spec() -> dict[str, object]:
    """Return terms for every channel: base, fixed part, tiers, a table by region, conversion."""
    costs = {
        name: {
            "currency": "EUR",
            "bps": 40 + 15 * place,
            "fixed_minor": 5 + place,
            "tiers": [{"from_volume_minor": 100_000_000, "bps": 30 + 15 * place}],
            "table": [{"region": "foreign", "bps": 60}, {"region": "foreign", "brand": "amex", "bps": 110}],
            "settles": ["EUR", "USD"],
            "conversion_bps": 120,
        }
        for place, name in enumerate(CHANNELS)
    }
    return {"costs": costs, "rules": RULES, "upstreams": {"processor": [CHANNELS[0], CHANNELS[1]]}}


def _round_trip(decision: Decision) -> float:
    begun = time.thread_time_ns()
    msgspec.json.decode(msgspec.json.encode(decision), type=Decision)
    return (time.thread_time_ns() - begun) / 1e3
