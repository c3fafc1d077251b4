"""Rates by tier and segment: they converge, lean on wider segments, wait for the truth, forget, and can be kept."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.models.beta_thompson import Prior
from tongbao.decisions.models.forgetting import NEVER, HalfLives
from tongbao.decisions.models.hierarchy import own_facts, shrunk
from tongbao.risk.models.rates import (
    CAUGHT,
    LOST,
    PRIORS,
    LearnedRates,
    Outcome,
    TierBelief,
    Uniforms,
    known,
)
from tongbao.risk.schema.tiers import Rates, Tier

DAY_S = 86_400.0


def step_up(
    is_passed: bool | None, is_fraud: bool | None = None, chance: float | None = None, segment: str = "known"
) -> Outcome:
    return Outcome(
        tier=Tier.STEP_UP, segment=(segment,), chance=chance, is_passed=is_passed, is_fraud=is_fraud
    )


def fed(outcomes: list[Outcome], at_s: float = 0.0, half_lives: HalfLives = NEVER) -> LearnedRates:
    learned = LearnedRates(half_lives)
    for outcome in outcomes:
        learned.learn(outcome, at_s)
    return learned


def test_beliefs_before_any_outcome_are_the_priors_everywhere() -> None:
    learned = LearnedRates()
    for segment in ((), ("new",), ("new", "card")):
        step, review = learned.beliefs(segment, 0.0)
        assert (step.lost.mean, step.caught.mean) == (0.10, 0.80)
        assert (review.lost.mean, review.caught.mean) == (0.15, 0.95)
        assert step.rates == Rates(lost_share=0.10, caught_share=0.80)


def test_learn_known_truth_moves_the_share_it_belongs_to_and_no_other() -> None:
    before = LearnedRates().beliefs(("known",), 0.0)
    after = fed([step_up(is_passed=False, is_fraud=True)]).beliefs(("known",), 0.0)
    assert after.step_up.caught.mean > before.step_up.caught.mean
    assert after.step_up.lost == before.step_up.lost
    assert after.review == before.review
    after = fed([step_up(is_passed=True, is_fraud=False)]).beliefs(("known",), 0.0)
    assert after.step_up.lost.mean < before.step_up.lost.mean
    assert after.step_up.caught == before.step_up.caught


def test_learn_reads_the_verdict_of_reviews_and_the_proof_of_step_ups() -> None:
    review = Outcome(tier=Tier.REVIEW, is_passed=True, is_approved=False, is_fraud=True)
    assert review.is_stopped
    assert not step_up(is_passed=True).is_stopped
    assert Outcome(tier=Tier.STEP_UP, is_approved=True).is_stopped is None
    learned = fed([review])
    assert learned.beliefs((), 0.0).review.caught.mean > PRIORS[Tier.REVIEW, CAUGHT].mean


@pytest.mark.parametrize(
    ("is_passed", "chance", "expected"),
    [
        (False, 0.2, 0.2 * 0.8 / (0.2 * 0.8 + 0.8 * 0.1)),
        (True, 0.2, 0.2 * 0.2 / (0.2 * 0.2 + 0.8 * 0.9)),
        (True, 0.0, 0.0),
        (False, 1.0, 1.0),
        (False, None, None),
        (None, 0.2, None),
    ],
)
def test_learn_without_truth_counts_fraud_by_its_odds(
    is_passed: bool | None, chance: float | None, expected: float | None
) -> None:
    counted = LearnedRates().learn(step_up(is_passed=is_passed, chance=chance), 0.0)
    assert counted == (None if expected is None else pytest.approx(expected))


def test_learn_nothing_to_learn_leaves_the_state_as_it_was() -> None:
    learned = LearnedRates()
    before = learned.digest()
    assert learned.learn(step_up(is_passed=None, is_fraud=True), 0.0) is None
    assert learned.learn(step_up(is_passed=False), 0.0) is None
    assert learned.digest() == before


def test_correct_gives_what_the_truth_would_have_given_at_once() -> None:
    late, prompt = LearnedRates(NEVER), LearnedRates(NEVER)
    for is_fraud in (True, False):
        counted = late.learn(step_up(is_passed=True, chance=0.3), 5.0)
        assert counted is not None
        late.correct(step_up(is_passed=True, is_fraud=is_fraud), counted, 5.0)
        prompt.learn(step_up(is_passed=True, is_fraud=is_fraud), 5.0)
    for segment in ((), ("known",)):
        one, other = late.beliefs(segment, 9.0).step_up, prompt.beliefs(segment, 9.0).step_up
        assert one.lost.mean == pytest.approx(other.lost.mean)
        assert one.caught.mean == pytest.approx(other.caught.mean)


def test_correct_after_forgetting_never_leaves_negative_counts() -> None:
    learned = LearnedRates(HalfLives(seconds=DAY_S, count=2.0))
    counted = learned.learn(step_up(is_passed=True, chance=0.0), 0.0)
    assert counted == 0.0
    for _ in range(40):
        learned.learn(Outcome(tier=Tier.REVIEW, is_approved=True, is_fraud=False), DAY_S)
    learned.correct(step_up(is_passed=True, is_fraud=True), counted, 0.0)
    step = learned.beliefs(("known",), DAY_S).step_up
    assert 0 <= step.lost.mean <= 1
    assert step.lost.strength >= 0
    assert step.caught.mean < PRIORS[Tier.STEP_UP, CAUGHT].mean


def test_learn_stopped_without_truth_converges_on_both_shares() -> None:
    """Truth is told of what passed, a week late in production, and never of what was stopped."""
    rng = np.random.default_rng(3)
    learned = LearnedRates(NEVER)
    for chance in rng.beta(0.4, 1.2, 8_000).tolist():
        is_fraud = bool(rng.random() < chance)
        is_passed = bool(rng.random() >= (0.9 if is_fraud else 0.06))
        outcome = step_up(is_passed=is_passed, chance=chance)
        counted = learned.learn(outcome, 0.0)
        if is_passed and counted is not None:
            learned.correct(step_up(is_passed=True, is_fraud=is_fraud), counted, 0.0)
    step = learned.beliefs(("known",), 0.0).step_up
    assert step.lost.mean == pytest.approx(0.06, abs=0.02)
    assert step.caught.mean == pytest.approx(0.90, abs=0.025)


def test_beliefs_of_segments_differ_by_their_own_outcomes_and_lean_on_the_tier() -> None:
    rng = np.random.default_rng(4)
    outcomes = [
        step_up(is_passed=bool(rng.random() >= share), is_fraud=False, segment=segment)
        for segment, share, count in (("new", 0.10, 4_000), ("known", 0.06, 4_000), ("rare", 1.0, 3))
        for _ in range(count)
    ]
    learned = fed(outcomes)
    new, known_one, rare, unseen, tier = (
        learned.beliefs(segment, 0.0).step_up.lost
        for segment in (("new",), ("known",), ("rare",), ("unseen",), ())
    )
    assert new.mean == pytest.approx(0.10, abs=0.012)
    assert known_one.mean == pytest.approx(0.06, abs=0.012)
    assert unseen.mean == pytest.approx(tier.mean)
    assert tier.mean < rare.mean < 0.15
    assert new.sd < unseen.sd


def test_beliefs_are_those_of_the_hierarchy_of_decisions() -> None:
    learned = fed(
        [step_up(is_passed=k % 7 > 0, is_fraud=False, segment=("a", "b")[k % 2]) for k in range(50)]
    )
    nested = np.array([[8.0, 42.0], [4.0, 21.0]])
    own = own_facts(nested)
    mean, strength = shrunk(own[:, :1], own[:, 1:], PRIORS[Tier.STEP_UP, LOST], 100.0)
    found = learned.beliefs(("a",), 0.0).step_up.lost
    assert found.mean == pytest.approx(mean[0])
    assert found.strength == pytest.approx(strength[0])


def test_beliefs_fade_to_the_prior_by_the_clock_and_by_the_count() -> None:
    outcomes = [step_up(is_passed=False, is_fraud=False)] * 200
    learned = fed(outcomes, half_lives=HalfLives(seconds=DAY_S))
    lost = [learned.beliefs(("known",), day * DAY_S).step_up.lost.mean for day in (0, 1, 5, 40)]
    assert lost == sorted(lost, reverse=True)
    assert lost[-1] == pytest.approx(0.10, abs=0.001)
    learned = fed(outcomes, half_lives=HalfLives(count=50.0))
    before = learned.beliefs(("known",), 0.0).step_up.lost.mean
    for _ in range(500):
        learned.learn(Outcome(tier=Tier.REVIEW, is_approved=True, is_fraud=False), 0.0)
    assert learned.beliefs(("known",), 0.0).step_up.lost.mean < before / 2


def test_beliefs_do_not_depend_on_what_was_asked_before() -> None:
    asked, silent = (LearnedRates(HalfLives(seconds=DAY_S)) for _ in range(2))
    for learned in (asked, silent):
        learned.learn(step_up(is_passed=False, is_fraud=False), 10.0)
    asked.beliefs(("known",), 3_599.0)
    assert asked.beliefs(("known",), 3_600.0) == silent.beliefs(("known",), 3_600.0)
    assert asked.beliefs(("known",), 20.0) == silent.beliefs(("known",), 30.0)


def test_dump_load_gives_equal_beliefs_bytes_and_digest() -> None:
    one = fed([step_up(is_passed=k % 3 > 0, chance=0.2, segment="ab"[k % 2]) for k in range(40)])
    other = LearnedRates(NEVER)
    other.beliefs(("a",), 0.0)
    other.load(one.dump())
    assert other.beliefs(("a",), 0.0) == one.beliefs(("a",), 0.0)
    assert (other.dump(), other.digest()) == (one.dump(), one.digest())
    assert LearnedRates().digest() != one.digest()
    with pytest.raises(InvalidRequest) as error:
        other.load(one.dump()[:-1])
    assert error.value.code == "learner_state_invalid"
    assert other.digest() == one.digest()


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([None, True, False]), st.floats(0, 1)), max_size=60))
@settings(max_examples=40, deadline=None)
def test_learn_anything_keeps_shares_between_zero_and_one(
    outcomes: list[tuple[bool, bool | None, float]],
) -> None:
    learned = LearnedRates()
    for number, (is_passed, is_fraud, chance) in enumerate(outcomes):
        outcome = step_up(is_passed=is_passed, is_fraud=is_fraud, chance=chance)
        counted = learned.learn(outcome, number * DAY_S)
        assert counted is not None
        assert 0 <= counted <= 1
        if is_fraud is None and is_passed:
            learned.correct(step_up(is_passed=True, is_fraud=number % 2 == 0), counted, number * DAY_S)
    for tier in learned.beliefs(("known",), len(outcomes) * DAY_S):
        for belief in tier:
            assert 0 <= belief.mean <= 1
            assert 0 <= belief.sd <= 0.5
            assert math.isfinite(belief.strength)


def test_draw_uniforms_spread_around_the_mean_as_the_belief_says() -> None:
    learned = fed([step_up(is_passed=k % 10 > 0, is_fraud=False) for k in range(100)])
    belief = learned.beliefs(("known",), 0.0).step_up.lost
    points = [(k + 0.5) / 400 for k in range(400)]
    drawn = [learned.draw(("known",), 0.0, Uniforms(u, 0.5, 0.5, 0.5)).step_up.lost.mean for u in points]
    assert drawn == sorted(drawn)
    assert np.mean(drawn) == pytest.approx(belief.mean, abs=1e-3)
    assert np.std(drawn) == pytest.approx(belief.sd, rel=0.02)
    both = learned.draw(("known",), 0.0, Uniforms(0.1, 0.9, 0.2, 0.8))
    assert all(belief.sd == 0 and 0 <= belief.mean <= 1 for tier in both for belief in tier)
    assert both.review.caught.at(0.3) == both.review.caught.mean


def test_known_rates_are_certain() -> None:
    both = known(Rates(lost_share=0.06, caught_share=0.9), Rates(lost_share=0.12, caught_share=0.99))
    assert isinstance(both.review, TierBelief)
    assert both.review.rates == Rates(lost_share=0.12, caught_share=0.99)
    assert both.step_up.lost.sd == 0


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (lambda rates: rates.learn(Outcome(tier=Tier.DECLINE), 0.0), "outcome_invalid"),
        (lambda rates: rates.learn(step_up(is_passed=True, chance=1.5), 0.0), "outcome_invalid"),
        (lambda rates: rates.learn(step_up(is_passed=True, is_fraud=True), math.nan), "instant_invalid"),
        (lambda rates: rates.correct(step_up(is_passed=True), 0.2, 0.0), "outcome_invalid"),
        (lambda rates: rates.correct(step_up(is_passed=True, is_fraud=True), 1.2, 0.0), "outcome_invalid"),
        (
            lambda rates: rates.correct(step_up(is_passed=True, is_fraud=True), 0.2, math.inf),
            "instant_invalid",
        ),
        (lambda rates: rates.beliefs(("a",) * 9, 0.0), "segment_too_deep"),
        (lambda rates: rates.beliefs((), math.nan), "instant_invalid"),
        (lambda rates: rates.draw((), 0.0, Uniforms(1.0, 0.0, 0.0, 0.0)), "uniform_invalid"),
    ],
)
def test_act_that_makes_no_sense_is_refused_and_changes_nothing(
    act: Callable[[LearnedRates], object], code: str
) -> None:
    learned = fed([step_up(is_passed=True, is_fraud=False)])
    before = learned.digest()
    with pytest.raises(InvalidRequest) as error:
        act(learned)
    assert error.value.code == code
    assert learned.digest() == before


def test_priors_are_sound_for_every_tier_and_kind() -> None:
    assert set(PRIORS) == {(tier, kind) for tier in (Tier.STEP_UP, Tier.REVIEW) for kind in (LOST, CAUGHT)}
    assert all(isinstance(prior, Prior) for prior in PRIORS.values())
