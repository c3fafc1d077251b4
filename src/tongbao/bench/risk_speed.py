"""How long one decision of risk control takes: everybody known, all features, trained trees, thirty rules, costs, the record.

The assessor of the product, in one process without a database: what it waits for is none of its time. Times are of this
thread's processor, so that neighbors on a shared machine count little; the reference in the same run is a JSON round trip
of the decision that was made (msgspec). Each payment is folded in after it was judged, which is timed apart: in
production the facts come back over the log and are folded in between payments.
"""

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import msgspec
import numpy as np

from tongbao.core.clock import RealClock
from tongbao.core.process import settle_garbage_collector
from tongbao.decisions.schema.log import Decision, check
from tongbao.risk.models import training
from tongbao.risk.models.artifact import Model
from tongbao.risk.models.base import Floats
from tongbao.risk.models.memory import Memory
from tongbao.risk.models.registry import NAMES
from tongbao.risk.models.training import Examples
from tongbao.risk.schema.facts import Labelled, LabelSource
from tongbao.risk.schema.signals import Signals
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service import standing_alone
from tongbao.risk.service.assessor import Asked

PEOPLE = 2_000
SHOPS = 300
LESSONS = 20_000
WARM_UP = 500
_BEGUN = datetime(2026, 1, 5, 9, tzinfo=UTC)
_STEP = timedelta(seconds=40)
RULES = 30
_RULE = 'rule {n}: when {what} then {act} because "measured" owner bench\n'
_WHAT = (
    "card_count_1h > {n} and value > 900000",
    "device_cards_30d > {n} and card_history < 5",
    'address_declines_1h > {n} or (card_ratio > 50 and mcc == "7995")',
    'card_country != address_country and card_velocity_kmh > 9{n}0 and merchant_country == "BR"',
    "merchant_risk_7d > 0.9 and customer_age_d < {n}",
)
_ACTS = ("watch", "step_up", "review")


class SpeedFigures(NamedTuple):
    """Microseconds of processor time a decision, decisions a second of one core, the reference, and parts.

    ``wall_p99_us`` is by the clock on the wall, whatever else the machine did. ``frictionless_mean_us`` and
    ``explained_mean_us`` are payments that pass unseen, and those that get reasons. ``fold_us``: one payment folded in.
    """

    p50_us: float
    p99_us: float
    mean_us: float
    wall_p99_us: float
    decisions_per_s: float
    json_us: float
    ratio_to_json: float
    frictionless_mean_us: float
    explained_mean_us: float | None
    explained_share: float
    fold_us: float
    trees: int
    rules: int


def measure(decisions: int, seed: int = 7) -> SpeedFigures:
    """Return how long ``decisions`` took, each of another payment; every record is checked to be sound."""
    chance = random.Random(seed)
    memory, model = taught(chance, LESSONS)
    alone = standing_alone.alone(
        memory, RealClock(), {"rules": rules()}, chance=random.Random(seed), model=model
    )
    asked = [Asked(signals=payment(LESSONS + number, chance)) for number in range(decisions + WARM_UP)]
    for each in asked[:WARM_UP]:
        memory.learn(alone.assessor.assess(each).fact)
    settle_garbage_collector()
    rows: list[tuple[float, float, float, float, Tier]] = []
    for each in asked[WARM_UP:]:
        wall, begun = time.perf_counter_ns(), time.thread_time_ns()
        looked = alone.assessor.assess(each)
        ended, wall_ended = time.thread_time_ns(), time.perf_counter_ns()
        memory.learn(looked.fact)
        folded = time.thread_time_ns()
        json_us = _round_trip(looked.decision)
        check(looked.decision)
        rows.append(
            (
                (ended - begun) / 1e3,
                (wall_ended - wall) / 1e3,
                (folded - ended) / 1e3,
                json_us,
                looked.tier,
            )
        )
    return _figures(rows, model)


def _figures(rows: list[tuple[float, float, float, float, Tier]], model: Model) -> SpeedFigures:
    spent, wall, fold, json_us = (np.array([row[place] for row in rows]) for place in range(4))
    is_unseen = np.array([row[4] is Tier.FRICTIONLESS for row in rows])
    return SpeedFigures(
        p50_us=float(np.quantile(spent, 0.5)),
        p99_us=float(np.quantile(spent, 0.99)),
        mean_us=float(spent.mean()),
        wall_p99_us=float(np.quantile(wall, 0.99)),
        decisions_per_s=1e6 / float(spent.mean()),
        json_us=float(np.median(json_us)),
        ratio_to_json=float(np.median(spent) / np.median(json_us)),
        frictionless_mean_us=float(spent[is_unseen].mean()),
        explained_mean_us=None if is_unseen.all() else float(spent[~is_unseen].mean()),
        explained_share=float(1 - is_unseen.mean()),
        fold_us=float(fold.mean()),
        trees=model.text.count("Tree="),
        rules=RULES,
    )


def taught(chance: random.Random, lessons: int) -> tuple[Memory, Model]:
    """Return a memory that knows everybody, and a model that learned from what it saw on the way."""
    memory = Memory()
    found: list[Floats] = []
    frauds: list[bool] = []
    state = memory.of(True).state
    for number in range(lessons):
        signals = payment(number, chance)
        row = state.features(signals)
        odds = 0.0005 + 0.5 * (row[_RATIO] > 4) + 0.01 * (row[_CARDS] > 4)
        is_fraud = chance.random() < odds
        found.append(row)
        frauds.append(is_fraud)
        state.learn(signals)
        if is_fraud:
            memory.learn(_label(signals))
    at_s = np.arange(lessons, dtype=np.float64) * _STEP.total_seconds()
    return memory, training.fit(Examples(np.array(found), np.array(frauds), at_s, NAMES))


_RATIO = NAMES.index("customer_ratio")
_CARDS = NAMES.index("device_cards_30d")


def _label(signals: Signals) -> Labelled:
    return Labelled(
        occurred_at=signals.at,
        signals_id=signals.id,
        book_id=signals.book_id,
        live=signals.live,
        subject_id=signals.subject_id,
        is_fraud=True,
        source=LabelSource.API,
    )


def payment(number: int, chance: random.Random) -> Signals:
    """Return a payment in which five are known: customer, card, device, merchant, address; and an e-mail's domain."""
    person = chance.randrange(PEOPLE)
    pick: Callable[..., str] = chance.choice
    country = ("FR", "DE", "US")[person % 3]
    return Signals(
        id=UUID(int=chance.getrandbits(128)),
        at=_BEGUN + number * _STEP,
        book_id=1,
        live=True,
        subject_id=UUID(int=number + 1),
        value=int(chance.lognormvariate(8 + person % 5 * 0.3, 0.5)) * (8 if chance.random() < 0.01 else 1),
        currency="EUR",
        method="card",
        customer=f"cu_{person}",
        card=f"card_{person}_{int(chance.random() < 0.1)}",
        device=f"device_{person if chance.random() < 0.995 else chance.randrange(50)}",
        merchant=f"shop_{chance.randrange(SHOPS)}",
        address=f"address_{person // 2}",
        email_domain=pick(("a.example", "b.example", "c.example")),
        card_country=country,
        merchant_country="FR",
        address_country=country if chance.random() < 0.97 else "BR",
        mcc=pick(("5411", "5812", "7995")),
        funding=pick(("credit", "debit")),
    )


def rules() -> str:
    """Return thirty rules that ask for some twenty fields; hardly any matches, as in a house whose rules are good."""
    return "".join(
        _RULE.format(n=number, what=_WHAT[number % len(_WHAT)].format(n=number + 5), act=_ACTS[number % 3])
        for number in range(RULES)
    )


def _round_trip(decision: Decision) -> float:
    begun = time.thread_time_ns()
    msgspec.json.decode(msgspec.json.encode(decision), type=Decision)
    return (time.thread_time_ns() - begun) / 1e3
