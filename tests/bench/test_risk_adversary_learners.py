"""What defenders know and learn: truth no sooner than it comes, calibrated chances, and looking ahead where that pays."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.bench.risk_adversary import DEFENDERS
from tongbao.bench.risk_adversary_defenders import (
    LIVE_VALUE_MAX,
    CostRule,
    Defender,
    Opening,
    Random,
    Thresholds,
    explored,
)
from tongbao.bench.risk_adversary_learners import AheadRule, DeepQ, FittedQ
from tongbao.bench.risk_adversary_log import (
    Batch,
    ChanceModel,
    Log,
    costs_seen,
    expected_costs,
    features_of,
    fraud_shares,
)
from tongbao.bench.risk_adversary_world import (
    QUARTERS,
    Asked,
    Codes,
    Floats,
    Market,
    Spec,
    View,
    chances_to_end,
)
from tongbao.risk.models import rates
from tongbao.risk.policy.tiering import Range, terms_of, weigh
from tongbao.risk.schema.tiers import Costs, Rates

SPEC = Spec(payers=150, stolen_a_day=4.0, places=60)
DAYS = 40


def _logged() -> tuple[Log, Market]:
    market, log, defender = Market(SPEC, 3), Log(), Opening()
    for _ in range(DAYS):
        market.open_day()
        for quarter in range(QUARTERS):
            asked = market.ask(quarter)
            tier = defender.decide(asked)
            log.add(market.day, asked, tier, market.settle(asked, tier))
        market.day += 1
    return log, market


@pytest.fixture(scope="module")
def logged() -> tuple[Log, Market]:
    return _logged()


def _view(score: Floats, value: Floats, pair: Codes) -> View:
    known = np.full(len(score), 20)
    zeros = np.zeros(len(score), dtype=np.int64)
    return View(pair, score, value, known, known, zeros, zeros > 0, zeros)


def _asked(view: View) -> Asked:
    count = len(view.score)
    zeros = np.zeros(count, dtype=np.int64)
    return Asked(0.0, view, np.full(count, 0.5), zeros > 0, np.zeros((count, 4)) > 0, zeros, zeros)


def test_truth_is_known_on_its_day_and_never_of_what_was_stopped(logged: tuple[Log, Market]) -> None:
    log, market = logged
    early, late = log.known(20), log.known(market.day, is_settled=True)
    assert early.day.max() == 19
    assert (early.truth[early.day > 13] == -1).all()
    assert (early.truth[early.day < 10] >= 0).any()
    assert (late.truth[late.is_stopped] == -1).all()
    assert (late.truth[~late.is_stopped] >= 0).all()
    told = early.truth >= 0
    assert np.array_equal(early.truth[told], late.truth[: len(early.truth)][told])


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40))
def test_following_is_the_next_payment_of_the_same_pair(pairs: list[int]) -> None:
    pair = np.array(pairs)
    nothing = np.zeros(len(pair), dtype=np.int64)
    batch = Batch(
        nothing,
        pair,
        np.zeros((len(pair), 1)),
        nothing.astype(np.float64),
        nothing,
        nothing,
        nothing > 0,
        nothing,
    )
    expected = [
        next((later for later in range(row + 1, len(pairs)) if pairs[later] == pairs[row]), -1)
        for row in range(len(pairs))
    ]
    assert batch.following().tolist() == expected


def test_chances_learned_with_half_of_the_truth_are_calibrated(logged: tuple[Log, Market]) -> None:
    log, market = logged
    model = ChanceModel()
    model.fit(log.known(market.day))
    later = log.known(market.day, is_settled=True)
    seen = later.truth >= 0
    chance, truth = model.chances(later.features[seen]), later.truth[seen]
    assert 0.7 < chance.sum() / truth.sum() < 1.4
    assert chance[truth == 1].mean() > 4 * chance[truth == 0].mean()


def test_fraud_share_of_what_was_stopped_follows_the_rates() -> None:
    ones = np.ones(3, dtype=np.int64)
    batch = Batch(
        ones,
        ones,
        np.zeros((3, 1)),
        ones.astype(np.float64) * 50.0,
        ones * 20,
        ones,
        np.array([True, False, False]),
        np.array([-1, -1, 1]),
    )
    shares = fraud_shares(batch, np.full(3, 0.1))
    assert shares.tolist() == pytest.approx([0.09 / (0.09 + 0.054), 0.01 / (0.01 + 0.846), 1.0])
    assert costs_seen(batch, np.full(3, 0.1))[2] == pytest.approx(0.05 + 65.0)


@given(chance=st.floats(0, 1), cents=st.integers(100, 200_000), few=st.booleans())
def test_expected_costs_are_those_that_production_weighs(chance: float, cents: int, few: bool) -> None:
    lost = 0.10 if few else 0.06
    beliefs = rates.known(Rates(lost_share=lost, caught_share=0.9), Rates(lost_share=0.12, caught_share=0.99))
    theirs = weigh(chance, cents, beliefs, terms_of(Costs()), Range()).costs
    ours = expected_costs(np.array([chance]), np.array([cents / 100]), np.array([0 if few else 9]))[0]
    assert (100 * ours).tolist() == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("name", sorted(DEFENDERS))
def test_decision_depends_on_nothing_that_only_the_world_knows(name: str, logged: tuple[Log, Market]) -> None:
    log, market = logged
    defender = DEFENDERS[name](1, 0.02)
    defender.learn(log.known(market.day))
    asked = copy.deepcopy(market).ask(0)
    other = copy.deepcopy(defender).decide(asked._replace(is_fraud=~asked.is_fraud))
    assert np.array_equal(defender.decide(asked), other)


def test_thresholds_are_stricter_where_fraud_is_likelier(logged: tuple[Log, Market]) -> None:
    log, market = logged
    defender = Thresholds()
    defender.learn(log.known(market.day))
    scores = np.linspace(-3, 6, 50)
    view = _view(scores, np.full(50, 60.0), np.arange(50))
    order = np.argsort(defender.chance.chances(features_of(view)))
    tiers = defender.decide(_asked(view))[order]
    assert (np.diff(tiers) >= 0).all()
    assert tiers[0] < tiers[-1]


def _trap(rng: np.random.Generator) -> tuple[Batch, View]:
    """Return a log in which letting an innocent payment pass leads to a dear one, and any friction does not.

    The innocent payment by itself is cheapest without friction.
    """
    count = 6_000
    tier = rng.integers(0, 4, count)
    again = np.flatnonzero(tier == 0)
    score = np.concatenate([np.full(count, -1.0), np.full(len(again), 3.0)])
    score = score + 0.1 * rng.standard_normal(len(score))
    value = np.where(score > 1, 120.0, 20.0)
    tiers = np.concatenate([tier, rng.integers(0, 4, len(again))])
    is_fraud = rng.random(len(score)) < np.where(score > 1, 0.5, 0.0005)
    approved = np.full(len(score), 20)
    ends = chances_to_end(is_fraud, approved)[np.arange(len(score)), tiers]
    is_stopped = rng.random(len(score)) < ends
    pair = np.concatenate([np.arange(count), again])
    view = _view(score, value, pair)
    truth = np.where(is_stopped, -1, is_fraud)
    zeros = np.zeros(len(score), dtype=np.int64)
    return Batch(zeros, pair, features_of(view), value, approved, tiers, is_stopped, truth), view


@pytest.mark.parametrize(
    "make",
    [
        FittedQ,
        AheadRule,
        lambda: DeepQ(1, effort=0.3),
        lambda: DeepQ(1, is_ahead=True, effort=0.3),
    ],
)
def test_learner_that_looks_ahead_steps_up_where_passing_leads_to_loss(make: Callable[[], Defender]) -> None:
    batch, view = _trap(np.random.default_rng(4))
    asked = _asked(view)
    is_first = view.score < 1
    myopic, learner = CostRule(), make()
    for _ in range(3):  # each takes the chances of what was stopped from the one before
        myopic.learn(batch)
        learner.learn(batch)
    assert (myopic.decide(asked)[is_first] == 0).mean() > 0.95
    assert (learner.decide(asked)[is_first] == 1).mean() > 0.9


def test_network_learned_twice_from_one_seed_is_the_same(logged: tuple[Log, Market]) -> None:
    log, market = logged
    asked = copy.deepcopy(market).ask(1)
    decided = []
    for _ in range(2):
        defender = DeepQ(9, effort=0.02)
        defender.learn(log.known(market.day))
        defender.learn(log.known(market.day))
        decided.append(defender.decide(asked))
    assert np.array_equal(decided[0], decided[1])


def test_random_takes_all_tiers_alike() -> None:
    view = _view(np.zeros(4), np.ones(4), np.arange(4))
    asked = _asked(view)._replace(uniform=np.array([0.1, 0.3, 0.6, 0.9]))
    assert Random().decide(asked).tolist() == [0, 1, 2, 3]


def test_exploration_spares_dear_payments() -> None:
    value = np.where(np.arange(4_000) % 2, LIVE_VALUE_MAX + 1, 10.0)
    tier = explored(np.full(4_000, 3), value, 0.2, np.random.default_rng(2))
    assert (tier[value > LIVE_VALUE_MAX] == 3).all()
    assert 0.10 < (tier[value < LIVE_VALUE_MAX] != 3).mean() < 0.20
