"""Champion against challenger: costs by hand, labels of their day only, errors as rare as promised."""

from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest

from tongbao.core.errors import InvalidRequest
from tongbao.risk.policy.champions import (
    Contest,
    Pricing,
    ScoredPayments,
    compare,
    comparison_text,
    costs_of,
    tiers_of,
)
from tongbao.risk.schema.models import Comparison, ComparisonVerdict
from tongbao.risk.schema.tiers import TIERS, Costs, Rates, Tier

DAY_S = 86_400
AT = datetime(2026, 3, 1, tzinfo=UTC)
NOW_S = int(AT.timestamp())
CONTEST = Contest(decided_at=AT, label_delay_s=7 * DAY_S, resamples=500)


def payments(seed: int, skill: float = 1.0, other: float = 1.0, count: int = 20_000) -> ScoredPayments:
    """Payments of 60 days; a model of more skill knows more of what makes a payment fraud, both are calibrated."""
    rng = np.random.default_rng(seed)
    first, second, third = rng.normal(size=(3, count))
    truth = -5 + 1.2 * (first + second + third)
    is_fraud = rng.random(count) < 1 / (1 + np.exp(-truth))

    def scores(known: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        # Integrating out what is not known keeps the chance about right.
        rest = 1.2 * np.sqrt(1 - known**2)
        odds = -5 + 1.2 * (first + second) + 1.2 * known * third
        draws = np.array([-1.5, 0.0, 1.5]) * rest
        result = np.mean(1 / (1 + np.exp(-(odds[:, None] + draws))), axis=1)
        return np.asarray(result, dtype=np.float64)

    occurred = NOW_S - rng.integers(0, 60 * DAY_S, count)
    return ScoredPayments(
        champion=scores(skill),
        challenger=scores(other),
        values=rng.integers(500, 50_000, count),
        occurred_at_s=occurred,
        known_at_s=occurred + rng.integers(DAY_S, 7 * DAY_S, count),
        is_fraud=is_fraud,
        customers=rng.integers(0, count // 5, count),
    )


def held(given: ScoredPayments, seed: int = 1, contest: Contest = CONTEST) -> Comparison:
    return compare(given, contest, Pricing(), np.random.default_rng(seed))


def test_challenger_that_knows_more_is_promoted_and_the_other_way_round_kept() -> None:
    better = held(payments(1, skill=0.0, other=1.0))
    assert better.verdict is ComparisonVerdict.PROMOTE
    assert better.saving.low > 0
    worse = held(payments(1, skill=1.0, other=0.0))
    assert worse.verdict is ComparisonVerdict.KEEP
    assert worse.saving.value == pytest.approx(-better.saving.value)
    assert worse.cheaper_prob < 0.05
    assert better.champion_cost - better.challenger_cost == pytest.approx(better.saving.value)


def test_equal_models_are_never_promoted() -> None:
    same = held(payments(2))
    assert same.verdict is ComparisonVerdict.KEEP
    assert same.saving.value == 0
    assert same.moved_share == 0


def test_challenger_of_equal_worth_is_promoted_about_once_in_twenty() -> None:
    promoted = 0
    for seed in range(100):
        given = payments(seed, count=3_000)
        rng = np.random.default_rng(1_000 + seed)
        noisy = [np.clip(given.champion * np.exp(rng.normal(0, 0.7, 3_000)), 0, 1) for _ in range(2)]
        given = msgspec.structs.replace(given, champion=noisy[0], challenger=noisy[1])
        promoted += (
            held(given, seed, msgspec.structs.replace(CONTEST, fraud_count_min=10)).verdict
            is ComparisonVerdict.PROMOTE
        )
    assert promoted <= 11


def test_label_that_is_not_known_yet_does_not_count() -> None:
    given = payments(3, skill=0.0, other=1.0)
    late = msgspec.structs.replace(given, known_at_s=np.where(given.is_fraud, NOW_S + 1, given.known_at_s))
    told = held(late)
    assert told.fraud_count == 0
    assert told.verdict is ComparisonVerdict.TOO_FEW
    # Changing what is learned after the decision changes nothing.
    flipped = msgspec.structs.replace(late, is_fraud=np.zeros_like(late.is_fraud))
    assert held(flipped) == told


def test_payment_whose_label_is_not_due_does_not_count_even_where_it_is_known() -> None:
    given = payments(4)
    young = given.occurred_at_s > NOW_S - 7 * DAY_S
    told = held(given)
    assert told.count == int(np.sum(~young))
    changed = msgspec.structs.replace(given, is_fraud=given.is_fraud & ~young)
    assert held(changed) == told


def test_too_few_frauds_decide_nothing() -> None:
    told = held(payments(1, skill=0.0), contest=msgspec.structs.replace(CONTEST, fraud_count_min=10**6))
    assert told.verdict is ComparisonVerdict.TOO_FEW
    assert "keep the champion" in comparison_text(told, "en")
    nothing = held(payments(1), contest=msgspec.structs.replace(CONTEST, label_delay_s=999 * DAY_S))
    assert (nothing.count, nothing.verdict) == (0, ComparisonVerdict.TOO_FEW)


def test_resampling_is_that_of_plain_draws_of_customers() -> None:
    given = payments(5, skill=0.0, other=0.7, count=4_000)
    told = held(given, contest=msgspec.structs.replace(CONTEST, resamples=4_000))
    due = given.occurred_at_s <= NOW_S - 7 * DAY_S
    values = given.values[due].astype(float)
    each = [
        costs_of(tiers_of(scores[due], values, Pricing()), values, given.is_fraud[due], Pricing())
        for scores in (given.champion, given.challenger)
    ]
    _, places = np.unique(given.customers[due], return_inverse=True)
    sums = np.bincount(places, weights=each[0] - each[1])
    rng = np.random.default_rng(9)
    means = np.array([sums[rng.integers(len(sums), size=len(sums))].sum() for _ in range(4_000)]) / due.sum()
    low, high = np.quantile(means, [0.025, 0.975])
    width = high - low
    assert told.saving.low == pytest.approx(low, abs=0.08 * width)
    assert told.saving.high == pytest.approx(high, abs=0.08 * width)
    assert told.cheaper_prob == pytest.approx(np.mean(means > 0), abs=0.03)


@pytest.mark.parametrize(("payments_of_each", "half_width"), [(1, 214.0), (10, 676.0)])
def test_interval_knows_that_payments_of_a_customer_are_one_piece_of_luck(
    payments_of_each: int, half_width: float
) -> None:
    # A tenth is fraud that only the challenger stops, so the saving is binomial: by payments or by customers.
    is_fraud = np.arange(1_000) < 100
    given = ScoredPayments(
        champion=np.zeros(1_000),
        challenger=is_fraud.astype(float),
        values=np.full(1_000, 10_000),
        occurred_at_s=np.zeros(1_000, dtype=np.int64),
        known_at_s=np.zeros(1_000, dtype=np.int64),
        is_fraud=is_fraud,
        customers=np.arange(1_000) // payments_of_each,
    )
    told = held(given, contest=msgspec.structs.replace(CONTEST, resamples=5_000))
    assert told.saving.value == pytest.approx(1_150)
    assert (told.saving.high - told.saving.low) / 2 == pytest.approx(half_width, rel=0.08)


def test_equal_seeds_give_equal_comparisons() -> None:
    given = payments(6, skill=0.5)
    assert held(given, 3) == held(given, 3)


@pytest.mark.parametrize(
    ("tier", "is_fraud", "expected"),
    [
        (Tier.FRICTIONLESS, False, 0.0),
        (Tier.FRICTIONLESS, True, 11_500.0),
        (Tier.STEP_UP, False, 5 + 0.08 * 350),
        (Tier.STEP_UP, True, 5 + 0.1 * 11_500),
        (Tier.REVIEW, False, 400 + 0.12 * 350),
        (Tier.REVIEW, True, 400 + 0.01 * 11_500),
        (Tier.DECLINE, False, 350.0),
        (Tier.DECLINE, True, 0.0),
    ],
)
def test_cost_of_a_known_payment_in_a_tier(tier: Tier, is_fraud: bool, expected: float) -> None:
    cost = costs_of(np.array([TIERS.index(tier)]), np.array([10_000.0]), np.array([is_fraud]), Pricing())
    assert cost[0] == pytest.approx(expected)


def test_tiers_grow_stricter_with_the_score_and_keep_to_what_a_house_has() -> None:
    scores = np.linspace(0, 1, 200)
    values = np.full(200, 20_000.0)
    assert np.all(np.diff(tiers_of(scores, values, Pricing())) >= 0)
    poor = Pricing(
        can_step_up=False, can_review=False, costs=Costs(), step_up=Rates(lost_share=0, caught_share=1)
    )
    assert {TIERS[place] for place in tiers_of(scores, values, poor)} == {Tier.FRICTIONLESS, Tier.DECLINE}


def test_comparison_is_told_in_both_languages() -> None:
    told = held(payments(1, skill=0.0, other=1.0))
    english, chinese = comparison_text(told, "en"), comparison_text(told, "zh-CN")
    assert english.endswith("Verdict: promote the challenger (95 % are asked for).")
    assert "结论：启用挑战模型" in chinese
    for text in (english, chinese):
        assert f"{told.count:,}" in text
        assert f"{told.challenger_cost / 100:.4f}" in text


def test_payments_that_do_not_fit_are_refused() -> None:
    given = payments(1, count=100)
    for wrong in (
        msgspec.structs.replace(given, champion=given.champion[:50]),
        msgspec.structs.replace(given, challenger=given.challenger + 1),
        msgspec.structs.replace(given, values=-given.values),
    ):
        with pytest.raises(InvalidRequest, match="comparison_invalid"):
            held(wrong)
    with pytest.raises(InvalidRequest, match="comparison_invalid"):
        held(given, contest=msgspec.structs.replace(CONTEST, resamples=0))
