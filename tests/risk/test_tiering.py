"""Tiers by expected cost: the arithmetic, the bounds of rules, lists and means, and laws that hold for all costs."""

import itertools
import time
import timeit

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongbao.core.errors import InvalidRequest
from tongbao.risk.models.rates import LearnedRates, TierBeliefs, known
from tongbao.risk.policy.tiering import (
    ManyRates,
    Range,
    allowed_within,
    costs_of_many,
    excluded_because,
    terms_of,
    weigh,
)
from tongbao.risk.schema.tiers import TIERS, Costs, Rates, Tier

STEP = Rates(lost_share=0.06, caught_share=0.9)
REVIEW = Rates(lost_share=0.12, caught_share=0.99)
RATES = known(STEP, REVIEW)
TERMS = terms_of(Costs())
FREE = Range()

shares = st.floats(0, 1)
values = st.integers(0, 10**7)
all_costs = st.builds(
    Costs,
    fraud_fee=st.integers(0, 5_000),
    margin_bps=st.integers(0, 2_000),
    goodwill=st.integers(0, 2_000),
    step_up_fee=st.integers(0, 500),
    review_fee=st.integers(0, 2_000),
)
all_rates = st.builds(Rates, lost_share=shares, caught_share=shares)
ranges = st.builds(
    Range,
    floor=st.sampled_from(TIERS),
    ceiling=st.sampled_from(TIERS),
    can_step_up=st.booleans(),
    can_review=st.booleans(),
)


def best(chance: float, value: int = 10_000, within: Range = FREE, rates: TierBeliefs = RATES) -> Tier:
    return weigh(chance, value, rates, TERMS, within).best


def test_weigh_gives_the_costs_of_the_definition() -> None:
    found = weigh(0.1, 10_000, RATES, terms_of(Costs(), 7.0, 11.0), FREE)
    harm, loss = 0.1 * 11_500, 0.9 * 350
    assert found.costs == pytest.approx(
        (harm, 5 + 7 + 0.1 * harm + 0.06 * loss, 400 + 11 + 0.01 * harm + 0.12 * loss, loss)
    )
    assert found.low == found.costs == found.high


@pytest.mark.parametrize(
    ("chance", "within", "expected"),
    [
        (0.0, FREE, Tier.FRICTIONLESS),
        (0.001, FREE, Tier.FRICTIONLESS),
        (0.05, FREE, Tier.STEP_UP),
        (0.9, FREE, Tier.DECLINE),
        (0.9, Range(ceiling=Tier.REVIEW), Tier.REVIEW),
        (0.9, Range(ceiling=Tier.FRICTIONLESS), Tier.FRICTIONLESS),
        (0.9, Range(ceiling=Tier.REVIEW, can_review=False), Tier.STEP_UP),
        (0.0, Range(floor=Tier.STEP_UP), Tier.STEP_UP),
        (0.0, Range(floor=Tier.STEP_UP, can_step_up=False), Tier.REVIEW),
        (0.0, Range(floor=Tier.STEP_UP, can_step_up=False, can_review=False), Tier.DECLINE),
        (0.0, Range(floor=Tier.STEP_UP, ceiling=Tier.STEP_UP, can_step_up=False), Tier.REVIEW),
        (0.0, Range(floor=Tier.DECLINE, ceiling=Tier.FRICTIONLESS), Tier.DECLINE),
        (0.05, Range(can_step_up=False), Tier.DECLINE),
    ],
)
def test_best_by_chance_and_range(chance: float, within: Range, expected: Tier) -> None:
    assert best(chance, within=within) is expected


def test_best_of_a_floor_is_the_floor_even_where_a_decline_is_cheaper() -> None:
    dear = terms_of(Costs(), review_price=50_000.0)
    assert weigh(0.01, 100, RATES, dear, Range(floor=Tier.REVIEW)).best is Tier.REVIEW


def test_best_of_equal_costs_is_what_the_payer_notices_less() -> None:
    free = Costs(fraud_fee=0, margin_bps=0, goodwill=0, step_up_fee=0, review_fee=0)
    assert weigh(0.5, 0, RATES, terms_of(free), FREE).best is Tier.FRICTIONLESS


@given(ranges)
@settings(deadline=None)
def test_allowed_leaves_a_tier_and_nothing_without_means(within: Range) -> None:
    allowed = allowed_within(within)
    assert any(allowed)
    assert within.can_step_up or not allowed[1]
    assert within.can_review or not allowed[2]
    assert not any(allowed[: within.floor.strictness])
    for tier in TIERS:
        assert (excluded_because(within, tier) is None) == allowed[tier.strictness]


def test_excluded_because_names_means_floor_and_ceiling() -> None:
    within = Range(floor=Tier.STEP_UP, ceiling=Tier.REVIEW, can_step_up=False)
    said = [excluded_because(within, tier) for tier in TIERS]
    assert said == ["below_floor", "no_means", None, "above_ceiling"]


@given(shares, values, all_costs, all_rates, all_rates, ranges)
@settings(max_examples=200, deadline=None)
def test_best_is_allowed_and_the_cheapest_unless_a_floor_forces_it(
    chance: float, value: int, costs: Costs, step: Rates, review: Rates, within: Range
) -> None:
    found = weigh(chance, value, known(step, review), terms_of(costs), within)
    assert found.allowed[found.best.strictness]
    if within.floor is Tier.FRICTIONLESS:
        allowed = [cost for cost, may in zip(found.costs, found.allowed, strict=True) if may]
        assert found.costs[found.best.strictness] == min(allowed)


@given(
    values,
    all_costs,
    st.lists(shares, min_size=2, max_size=2),
    st.lists(shares, min_size=2, max_size=2),
    ranges,
)
@settings(max_examples=200, deadline=None)
def test_best_never_gets_laxer_with_the_chance_where_stricter_tiers_catch_and_lose_more(
    value: int, costs: Costs, lost: list[float], caught: list[float], within: Range
) -> None:
    step, review = (
        Rates(lost_share=loses, caught_share=catches)
        for loses, catches in zip(sorted(lost), sorted(caught), strict=True)
    )
    rates, terms = known(step, review), terms_of(costs)
    found = [weigh(chance / 40, value, rates, terms, within) for chance in range(41)]
    for one, next_one in itertools.pairwise(found):
        rounding = 1e-9 * (1 + max(next_one.costs))
        tie = one.costs[one.best.strictness] >= one.costs[next_one.best.strictness] - rounding
        assert one.best.strictness <= next_one.best.strictness or tie


@given(shares, values, all_costs, ranges)
@settings(max_examples=100, deadline=None)
def test_best_with_a_higher_floor_is_never_laxer(
    chance: float, value: int, costs: Costs, within: Range
) -> None:
    terms = terms_of(costs)
    found = [
        weigh(chance, value, RATES, terms, within._replace(floor=floor)).best.strictness for floor in TIERS
    ]
    assert found == sorted(found)


@given(st.floats(0, 1_000), st.floats(0, 1_000), shares, values)
@settings(max_examples=100, deadline=None)
def test_best_with_a_higher_price_turns_to_no_scarce_tier_anew(
    price: float, more: float, chance: float, value: int
) -> None:
    cheap = weigh(chance, value, RATES, terms_of(Costs(), price), FREE).best
    dear = weigh(chance, value, RATES, terms_of(Costs(), price + more), FREE).best
    assert dear is not Tier.STEP_UP or cheap is Tier.STEP_UP


def test_interval_holds_the_cost_and_narrows_as_rates_are_learned() -> None:
    early = weigh(0.05, 10_000, LearnedRates().beliefs((), 0.0), TERMS, FREE)
    for low, cost, high in zip(early.low, early.costs, early.high, strict=True):
        assert low <= cost <= high
    assert early.low[1] >= TERMS.step_up
    assert early.low[0] == early.high[0]
    assert early.high[1] - early.low[1] > 50


@given(st.lists(st.tuples(shares, values), min_size=1, max_size=20), all_costs, all_rates, all_rates)
@settings(max_examples=60, deadline=None)
def test_costs_of_many_are_bit_for_bit_those_of_one(
    payments: list[tuple[float, int]], costs: Costs, step: Rates, review: Rates
) -> None:
    chance = np.array([each for each, _ in payments])
    value = np.array([float(each) for _, each in payments])
    terms = terms_of(costs, 3.5, 70.25)
    many = costs_of_many(chance, value, ManyRates.same(step, review), terms)
    ones = [weigh(*each, known(step, review), terms, FREE).costs for each in payments]
    assert many.tolist() == [list(each) for each in ones]


@pytest.mark.parametrize(("chance", "value"), [(-0.1, 1), (1.1, 1), (float("nan"), 1), (0.5, -1)])
def test_weigh_what_is_no_payment_is_refused(chance: float, value: int) -> None:
    with pytest.raises(InvalidRequest) as error:
        weigh(chance, value, RATES, TERMS, FREE)
    assert error.value.code == "chance_invalid"
    with pytest.raises(InvalidRequest) as error:
        costs_of_many(np.array([chance]), np.array([float(value)]), ManyRates.same(STEP, REVIEW), TERMS)
    assert error.value.code == "chance_invalid"


def test_weigh_takes_microseconds() -> None:
    # The time of this thread alone: what else the machine does is no matter.
    timer = timeit.Timer(lambda: weigh(0.01, 5_000, RATES, TERMS, FREE), timer=time.thread_time)
    took = min(timer.repeat(number=2_000, repeat=5)) / 2_000
    assert took < 100e-6  # a few microseconds on an idle core
