"""Guardrails: quiet without harm, however often they are read; loud within a stated count with it."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from tongbao.decisions.policy.guardrails import GuardrailState, Totals, judge
from tongbao.decisions.schema.policies import Guardrail

LOOKS = 200
STEP = 100
APPROVED = Guardrail(outcome="approved", worse_by=0.01)
Counts = NDArray[np.int64]


def binary(count: int, hits: float) -> Totals:
    return Totals(count, hits, hits)


def streams(rates: tuple[float, float], share: float, count: int, seed: int) -> tuple[Counts, Counts, Counts]:
    """Decisions of the challenger, its hits and the champion's hits, after every ``STEP`` decisions."""
    rng = np.random.default_rng(seed)
    challenged = rng.binomial(STEP, share, (count, LOOKS))
    hits = rng.binomial(challenged, rates[1]).cumsum(axis=1)
    others = rng.binomial(STEP - challenged, rates[0]).cumsum(axis=1)
    return challenged.cumsum(axis=1), hits, others


def first_breach(guardrail: Guardrail, stream: tuple[Counts, Counts, Counts]) -> int | None:
    """The number of decisions after which a look says breached; None where none of 200 does.

    Looks at which the harm is below two standard errors are passed over: no valid sequence is as narrow as that.
    """
    challenged, hits, others = stream
    counts = np.arange(1, LOOKS + 1) * STEP
    rate, rate_before = hits / np.maximum(challenged, 1), others / (counts - challenged)
    errors = np.sqrt(
        rate * (1 - rate) / np.maximum(challenged, 1)
        + rate_before * (1 - rate_before) / (counts - challenged)
    )
    for look in np.flatnonzero(rate_before - rate > 2 * errors).tolist():
        champion = binary(int(counts[look] - challenged[look]), float(others[look]))
        reading = judge(guardrail, champion, binary(int(challenged[look]), float(hits[look])))
        if reading.state is GuardrailState.BREACHED:
            return int(counts[look])
    return None


def test_guardrail_without_harm_breaches_in_few_streams() -> None:
    # The hardest case that is none: equal arms, and nothing allowed.
    guardrail = Guardrail(outcome="approved", worse_by=0)
    challenged, hits, others = streams((0.9, 0.9), 0.5, 500, 1)
    breaches = sum(
        first_breach(guardrail, (challenged[i], hits[i], others[i])) is not None for i in range(500)
    )
    assert breaches / 500 < 0.05


def test_guardrail_on_rare_events_in_a_small_share_breaches_in_few_streams() -> None:
    guardrail = Guardrail(outcome="redeemed", worse_by=0)
    challenged, hits, others = streams((0.02, 0.02), 0.05, 200, 2)
    breaches = sum(
        first_breach(guardrail, (challenged[i], hits[i], others[i])) is not None for i in range(200)
    )
    assert breaches / 200 < 0.05


def test_guardrail_with_three_points_of_harm_breaches_within_the_stated_count() -> None:
    challenged, hits, others = streams((0.9, 0.87), 0.5, 100, 3)
    found = [first_breach(APPROVED, (challenged[i], hits[i], others[i])) for i in range(100)]
    breached = sorted(each for each in found if each is not None)
    assert len(breached) >= 80
    assert breached[49] <= 12_000


def test_guardrail_with_a_collapse_breaches_at_once() -> None:
    assert judge(APPROVED, binary(1_900, 1_710), binary(100, 0)).state is GuardrailState.BREACHED


@pytest.mark.parametrize(
    ("champion", "challenger", "state"),
    [
        (99, 10_000, GuardrailState.TOO_FEW),
        (10_000, 99, GuardrailState.TOO_FEW),
        (0, 0, GuardrailState.TOO_FEW),
        (100, 100, GuardrailState.KEEPING),
    ],
)
def test_guardrail_waits_for_its_least_count(champion: int, challenger: int, state: GuardrailState) -> None:
    reading = judge(APPROVED, binary(champion, champion * 0.9), binary(challenger, challenger * 0.85))
    assert reading.state is state
    assert (reading.champion_count, reading.challenger_count) == (champion, challenger)


@pytest.mark.parametrize(
    ("higher_is_better", "rate", "state"),
    [
        (True, 0.5, GuardrailState.BREACHED),
        (True, 0.7, GuardrailState.KEEPING),
        (False, 0.7, GuardrailState.BREACHED),
        (False, 0.5, GuardrailState.KEEPING),
    ],
)
def test_guardrail_reads_harm_in_its_own_direction(
    higher_is_better: bool, rate: float, state: GuardrailState
) -> None:
    guardrail = Guardrail(outcome="x", worse_by=0.01, higher_is_better=higher_is_better)
    reading = judge(guardrail, binary(20_000, 12_000), binary(20_000, 20_000 * rate))
    assert reading.state is state
    assert reading.harm == pytest.approx(0.1 if state is GuardrailState.BREACHED else -0.1)


def test_guardrail_allows_what_it_says() -> None:
    arms = binary(50_000, 45_000), binary(50_000, 43_500)
    assert judge(Guardrail(outcome="x", worse_by=0.01), *arms).state is GuardrailState.BREACHED
    assert judge(Guardrail(outcome="x", worse_by=0.03), *arms).state is GuardrailState.KEEPING


def test_guardrails_of_one_rollout_share_the_error() -> None:
    arms = binary(5_000, 4_500), binary(5_000, 4_400)
    alone, among_ten = judge(APPROVED, *arms), judge(APPROVED, *arms, guardrails=10)
    assert among_ten.low < alone.low
    assert among_ten.harm == pytest.approx(alone.harm)


def test_guardrail_takes_an_arm_without_variation_for_uncertain() -> None:
    reading = judge(Guardrail(outcome="x", worse_by=0), binary(100, 100), binary(100, 99))
    assert reading.state is GuardrailState.KEEPING
    assert reading.high - reading.low > 0.1


def test_guardrail_on_amounts_uses_their_variance() -> None:
    rng = np.random.default_rng(5)
    cheap, dear = rng.normal(100, 20, 4_000), rng.normal(110, 20, 4_000)
    guardrail = Guardrail(outcome="cost", worse_by=5, higher_is_better=False, value_range=200)
    first, second = (Totals(each.size, float(each.sum()), float((each**2).sum())) for each in (cheap, dear))
    reading = judge(guardrail, first, second)
    assert reading.state is GuardrailState.BREACHED
    assert math.isclose(reading.harm, float(dear.mean() - cheap.mean()), rel_tol=1e-9)
