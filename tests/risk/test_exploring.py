"""Exploration: only beside the best, within bounds, dear ones hardly ever, and drawn from what is written."""

import math
from datetime import UTC, datetime
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.schema.log import Decision, Why, check
from tongbao.risk.models.rates import known
from tongbao.risk.policy.exploring import GAP, LAXER_CHANCE_MAX, Exploring, candidates, choose, propensities
from tongbao.risk.policy.tiering import Range, Weighed, terms_of, weigh
from tongbao.risk.schema.tiers import TIERS, Costs, Rates, Tier

RATES = known(Rates(lost_share=0.06, caught_share=0.9), Rates(lost_share=0.12, caught_share=0.99))
TERMS = terms_of(Costs())
TENTH = Exploring(share=0.1)

ranges = st.builds(
    Range,
    floor=st.sampled_from(TIERS),
    ceiling=st.sampled_from(TIERS),
    can_step_up=st.booleans(),
    can_review=st.booleans(),
)
payments = st.tuples(st.floats(0, 1), st.integers(0, 60_000))
uniforms = st.floats(0, 1, exclude_max=True)
explorings = st.builds(
    Exploring,
    share=st.floats(0, 0.2),
    value_max=st.integers(0, 50_000),
    laxer_chance_max=st.floats(0, 1),
)


def weighed(best: Tier, extra: float = 0.0, allowed: tuple[bool, bool, bool, bool] = (True,) * 4) -> Weighed:
    costs = [10.0 + extra] * 4
    costs[best.strictness] = 10.0
    four = (costs[0], costs[1], costs[2], costs[3])
    return Weighed(best, four, four, four, allowed)


@pytest.mark.parametrize(
    ("best", "chance", "value", "expected"),
    [
        (Tier.FRICTIONLESS, 0.001, 10_000, (0.9, 0.1, 0.0, 0.0)),
        (Tier.STEP_UP, 0.01, 10_000, (0.05, 0.9, 0.05, 0.0)),
        (Tier.STEP_UP, 0.2, 10_000, (0.0, 0.9, 0.1, 0.0)),
        (Tier.REVIEW, 0.01, 10_000, (0.0, 0.1, 0.9, 0.0)),
        (Tier.REVIEW, 0.2, 10_000, (0.0, 0.0, 1.0, 0.0)),
        (Tier.DECLINE, 0.2, 10_000, (0.0, 0.0, 0.0, 1.0)),
        (Tier.DECLINE, 0.01, 10_000, (0.0, 0.0, 0.1, 0.9)),
        (Tier.STEP_UP, 0.01, 20_001, (0.0, 1.0, 0.0, 0.0)),
        (Tier.STEP_UP, 0.01, 20_000, (0.05, 0.9, 0.05, 0.0)),
    ],
)
def test_propensities_of_neighbors_that_cost_the_same(
    best: Tier, chance: float, value: int, expected: tuple[float, ...]
) -> None:
    assert propensities(weighed(best), chance, value, TENTH) == pytest.approx(expected)


def test_propensities_at_the_cap_of_chance_still_allow_the_laxer_tier() -> None:
    assert propensities(weighed(Tier.STEP_UP), LAXER_CHANCE_MAX, 1, TENTH)[0] > 0


def test_propensities_of_a_neighbor_fall_with_what_it_costs_more() -> None:
    found = [
        propensities(weighed(Tier.FRICTIONLESS, extra), 0.0, 1, TENTH)[1] for extra in (0.0, GAP, 9 * GAP)
    ]
    assert found == pytest.approx([0.1, 0.05, 0.01])


def test_propensities_skip_neighbors_that_are_not_allowed() -> None:
    allowed = (False, True, False, True)
    assert propensities(weighed(Tier.STEP_UP, allowed=allowed), 0.01, 1, TENTH) == (0.0, 1.0, 0.0, 0.0)


@given(payments, ranges, explorings, uniforms)
@settings(max_examples=300, deadline=None)
def test_choose_respects_every_bound(
    payment: tuple[float, int], within: Range, exploring: Exploring, uniform: float
) -> None:
    chance, value = payment
    found = weigh(chance, value, RATES, TERMS, within)
    chosen = choose(found, chance, value, exploring, uniform)
    shares = chosen.propensities
    assert math.fsum(shares) == pytest.approx(1, abs=1e-12)
    assert all(0 <= share <= 1 for share in shares)
    assert shares[chosen.tier.strictness] > 0
    best = found.best.strictness
    assert 1 - shares[best] <= exploring.share + 1e-12
    extra = sum(
        share * (cost - found.costs[best]) for share, cost in zip(shares, found.costs, strict=True) if share
    )
    assert extra <= exploring.share * GAP + 1e-9
    for place, share in enumerate(shares):
        if share and place != best:
            assert abs(place - best) == 1
            assert found.allowed[place]
            assert value <= exploring.value_max
            assert place > best or chance <= exploring.laxer_chance_max
            assert TIERS[place] is not Tier.DECLINE
    assert chosen.is_explored == (chosen.tier is not found.best)


def test_choose_draws_from_exactly_what_is_written() -> None:
    found = weighed(Tier.STEP_UP, 1.0)
    uniform = np.random.default_rng(1).random(40_000)
    drawn = [choose(found, 0.01, 1, Exploring(share=0.2), each) for each in uniform.tolist()]
    seen = np.bincount([each.tier.strictness for each in drawn], minlength=4) / len(drawn)
    assert seen == pytest.approx(drawn[0].propensities, abs=0.005)
    assert seen[0] > 0.02


def test_choose_without_exploration_is_the_best_whatever_the_uniform() -> None:
    chosen = choose(weighed(Tier.REVIEW), 0.0, 1, Exploring(), 0.999999)
    assert chosen == (Tier.REVIEW, (0.0, 0.0, 1.0, 0.0), False)


@given(payments, ranges, explorings, uniforms)
@settings(max_examples=60, deadline=None)
def test_candidates_make_a_sound_decision(
    payment: tuple[float, int], within: Range, exploring: Exploring, uniform: float
) -> None:
    found = weigh(*payment, RATES, TERMS, within)
    chosen = choose(found, *payment, exploring, uniform)
    told = candidates(found, chosen, within)
    check(
        Decision(
            id=UUID(int=1),
            book_id=1,
            live=True,
            kind="risk",
            subject_id=UUID(int=2),
            decided_at=datetime(2027, 1, 1, tzinfo=UTC),
            policy="risk",
            version=1,
            candidates=told,
            chosen=chosen.tier.value,
            reasons=(Why("low_risk"),),
        )
    )
    assert [each.name for each in told] == [tier.value for tier in TIERS]
    assert [each.score for each in told] == list(found.costs)
    assert [each.excluded is None for each in told] == list(found.allowed)


@pytest.mark.parametrize("share", [-0.01, 0.21, float("nan")])
def test_propensities_of_a_share_out_of_bounds_are_refused(share: float) -> None:
    with pytest.raises(InvalidRequest) as error:
        propensities(weighed(Tier.STEP_UP), 0.0, 1, Exploring(share=share))
    assert error.value.code == "explore_share_invalid"


@pytest.mark.parametrize("exploring", [Exploring(), TENTH])
@pytest.mark.parametrize("uniform", [-0.1, 1.0, float("nan")])
def test_choose_by_what_is_no_uniform_is_refused(exploring: Exploring, uniform: float) -> None:
    with pytest.raises(InvalidRequest) as error:
        choose(weighed(Tier.STEP_UP), 0.0, 1, exploring, uniform)
    assert error.value.code == "uniform_invalid"
