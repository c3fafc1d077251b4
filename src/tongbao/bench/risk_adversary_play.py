"""Training a defender, then letting it meet thieves who do not adapt yet, and thieves who do.

All train on ``Sizes.rounds`` rounds of days in a world of another seed than they are tested in: the first round by ``Opening``,
the others by themselves with some exploration; then the truth of all that went on is told. In the test world the gang
keeps its habit until ``before`` is over, adapts for ``adapting`` days, and is measured in the ``after`` days that follow.
A frozen defender learns nothing of all that; an adapting one learns every week from what is known on that day, and still
remembers its training.
"""

import copy
import time
from typing import NamedTuple

import numpy as np

from tongbao.bench.risk_adversary_defenders import (
    LIVE_EXPLORES,
    TRAINING_EXPLORES,
    Defender,
    Opening,
    explored,
)
from tongbao.bench.risk_adversary_gang import STRATEGIES
from tongbao.bench.risk_adversary_log import Log
from tongbao.bench.risk_adversary_world import (
    DELAYS,
    FEES,
    QUARTERS,
    Asked,
    Codes,
    Floats,
    Market,
    Mask,
    Spec,
    harm_of,
    loss_of,
)

TRAIN_SEEDS = 1_000_000
"""Added to the seed of a test world for that of its training world."""
WEEK = 7
SETTLING_DAYS = 5
"""First days of a test world, not measured: no stolen card is in use yet."""


class Sizes(NamedTuple):
    """How large and long everything is; ``effort`` scales the steps of the network."""

    seeds: int
    spec: Spec
    rounds: int
    round_days: int
    before: int
    adapting: int
    after: int
    effort: float = 1.0


class Tally(NamedTuple):
    """Sums over a stretch of days; ``tiers_good`` (4,) counts good payments by tier, money is in major units."""

    cost: float
    good: int
    attempts: int
    tiers_good: Codes
    lost_good: int
    stolen: float
    stolen_stopped: float
    decide_s: float

    def plus(self, other: "Tally") -> "Tally":
        """Return both together."""
        return Tally(
            cost=self.cost + other.cost,
            good=self.good + other.good,
            attempts=self.attempts + other.attempts,
            tiers_good=self.tiers_good + other.tiers_good,
            lost_good=self.lost_good + other.lost_good,
            stolen=self.stolen + other.stolen,
            stolen_stopped=self.stolen_stopped + other.stolen_stopped,
            decide_s=self.decide_s + other.decide_s,
        )


NOTHING = Tally(0.0, 0, 0, np.zeros(4, dtype=np.int64), 0, 0.0, 0.0, 0.0)


class Played(NamedTuple):
    """What one defender came to with one seed.

    ``incomes``: mean of a stolen card before and after adaptation; ``top``: what the gang did most after it, with its share.
    """

    before: Tally
    after: Tally
    incomes: tuple[float, float]
    top: tuple[str, float]
    learn_s: float


def trained(defender: Defender, sizes: Sizes, seed: int) -> tuple[Log, float]:
    """Train ``defender``; return what it has seen, and the seconds of the processor that its learning took."""
    market, log, opening = Market(sizes.spec, TRAIN_SEEDS + seed), Log(), Opening()
    rng = np.random.default_rng((seed, 5))
    spent = 0.0
    for number in range(sizes.rounds):
        for _ in range(sizes.round_days):
            if number:
                _walk_day(market, defender, log, (TRAINING_EXPLORES, rng))
            else:
                _walk_day(market, opening, log, (0.0, rng))
        begun = time.process_time()
        defender.learn(log.known(market.day, is_settled=True))
        spent += time.process_time() - begun
    return log, spent


def played(defender: Defender, log: Log, sizes: Sizes, seed: int) -> tuple[Played, Played]:
    """Test a trained ``defender`` that remembers ``log``, frozen and adapting.

    Both go on from how things stood when the gang began to adapt. The arguments are changed.
    """
    # Test days begin after those of training, so that a clock inside of the defender does not run back.
    first = sizes.rounds * sizes.round_days + DELAYS[1] + 1
    market, rng = Market(sizes.spec, seed, first), np.random.default_rng((seed, 6))
    before = NOTHING
    for number in range(sizes.before):
        tally = _walk_day(market, defender, log, (0.0, rng))
        before = before.plus(tally) if number >= SETTLING_DAYS else before
    market.gang.is_adapting = True
    frozen = _adapted(copy.deepcopy((market, defender, log)), sizes, before, None)
    return frozen, _adapted((market, defender, log), sizes, before, rng)


def _adapted(
    at_change: tuple[Market, Defender, Log], sizes: Sizes, before: Tally, rng: np.random.Generator | None
) -> Played:
    """Play on while the gang adapts; without ``rng`` the defender is frozen."""
    market, defender, log = at_change
    share = LIVE_EXPLORES if rng and defender.explores else 0.0
    changes, after, spent = market.day, NOTHING, 0.0
    for number in range(sizes.adapting + sizes.after):
        if rng and number % WEEK == 0:
            begun = time.process_time()
            defender.learn(log.known(market.day))
            spent += time.process_time() - begun
        tally = _walk_day(market, defender, log, (share, rng or np.random.default_rng(0)))
        after = after.plus(tally) if number >= sizes.adapting else after
    return Played(before, after, *_incomes(market, changes, changes + sizes.adapting), spent)


def _incomes(market: Market, changes: int, measured: int) -> tuple[tuple[float, float], tuple[str, float]]:
    early = [earned for day, _, earned in market.incomes if day < changes]
    late = [(plan, earned) for day, plan, earned in market.incomes if day >= measured]
    counts = np.bincount([plan for plan, _ in late], minlength=len(STRATEGIES))
    top = int(counts.argmax())
    means = (_mean(early), _mean([earned for _, earned in late]))
    return means, (STRATEGIES[top].name, float(counts[top] / max(counts.sum(), 1)))


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _walk_day(
    market: Market, defender: Defender, log: Log, exploring: tuple[float, np.random.Generator]
) -> Tally:
    """Walk a day; ``exploring``: which share of tiers is drawn at random, and by what."""
    market.open_day()
    total = NOTHING
    share, rng = exploring
    for quarter in range(QUARTERS):
        asked = market.ask(quarter)
        begun = time.process_time()
        tier = defender.decide(asked)
        spent = time.process_time() - begun
        if share:
            tier = explored(tier, asked.view.value, share, rng)
        is_stopped = market.settle(asked, tier)
        log.add(market.day, asked, tier, is_stopped)
        total = total.plus(_tally(asked, tier, is_stopped, spent))
    market.day += 1
    return total


def costs_true(asked: Asked, tier: Codes, is_stopped: Mask) -> Floats:
    """Return what each payment cost in truth (n,)."""
    value = asked.view.value
    fraud, good = np.where(is_stopped, 0.0, harm_of(value)), np.where(is_stopped, loss_of(value), 0.0)
    return np.asarray(FEES[tier] + np.where(asked.is_fraud, fraud, good), dtype=np.float64)


def _tally(asked: Asked, tier: Codes, is_stopped: Mask, spent: float) -> Tally:
    value, is_good = asked.view.value, ~asked.is_fraud
    return Tally(
        cost=float(costs_true(asked, tier, is_stopped).sum()),
        good=int(is_good.sum()),
        attempts=len(value),
        tiers_good=np.bincount(tier[is_good], minlength=4),
        lost_good=int((is_good & is_stopped).sum()),
        stolen=float(value[asked.is_fraud].sum()),
        stolen_stopped=float(value[asked.is_fraud & is_stopped].sum()),
        decide_s=spent,
    )
