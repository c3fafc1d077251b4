"""How many units an experiment needs: against published numbers, and against experiments that are played."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongbao.decisions.policy import limits, sizing
from tongbao.decisions.policy.sizing import Wanted


@pytest.mark.parametrize(
    ("base_rate", "effect", "power", "units"),
    [
        # z = 1.959964 + 0.841621 or 1.281552; n = (p1 q1 + p2 q2) * (z / effect)**2
        (0.03, 0.003, 0.8, 53_208),
        (0.03, 0.006, 0.8, 13_911),
        (0.50, 0.050, 0.9, 2_091),
        (0.06, -0.010, 0.8, 8_155),
    ],
)
def test_units_for_share_in_one_look_equals_the_textbook(
    base_rate: float, effect: float, power: float, units: int
) -> None:
    found = sizing.units_for_share(base_rate, Wanted(effect=effect, power=power, looks=1))
    assert found == pytest.approx(units, abs=2)


@pytest.mark.parametrize(
    ("looks", "power", "ratio"),
    [(2, 0.8, 1.008), (4, 0.8, 1.024), (5, 0.8, 1.028), (10, 0.8, 1.040), (4, 0.9, 1.022), (5, 0.9, 1.026)],
)
def test_drift_of_planned_looks_costs_what_is_published(looks: int, power: float, ratio: float) -> None:
    # Jennison and Turnbull (2000), table 2.4: the factor R_B of sample sizes, two-sided 5 %.
    found = limits.drift_needed(looks, 0.05, power) / limits.drift_needed(1, 0.05, power)
    assert found**2 == pytest.approx(ratio, abs=0.0006)


def test_units_for_share_give_the_power_that_was_wanted() -> None:
    wanted = Wanted(effect=0.02)
    units = sizing.units_for_share(0.1, wanted)
    rng = np.random.default_rng(3)
    step = math.ceil(units / 4)
    one, other = (rng.binomial(step, rate, (20_000, 4)).cumsum(axis=1) for rate in (0.1, 0.12))
    counts = step * np.arange(1, 5)
    p, q = one / counts, other / counts
    z = (q - p) / np.sqrt((p * (1 - p) + q * (1 - q)) / counts)
    passed = (np.abs(z) >= [limits.limit(4, look, 0.05) for look in (1, 2, 3, 4)]).any(axis=1)
    assert passed.mean() == pytest.approx(0.8, abs=0.015)


@given(
    variance=st.floats(1e-6, 1e6),
    effect=st.floats(1e-3, 10),
    looks=st.integers(1, 12),
)
@settings(max_examples=60, deadline=None)
def test_effect_found_by_the_units_needed_is_the_effect(variance: float, effect: float, looks: int) -> None:
    wanted = Wanted(effect=effect, looks=looks)
    units = sizing.units_for_mean(variance, wanted)
    if 100 < units < sizing.UNITS_MAX:
        assert sizing.effect_found(variance, units, wanted) == pytest.approx(effect, rel=0.01)
    assert sizing.units_for_mean(variance, Wanted(effect=-effect, looks=looks)) == units
    assert sizing.units_for_mean(2 * variance, wanted) >= units


def test_units_for_mean_have_a_floor_and_a_ceiling() -> None:
    assert sizing.units_for_mean(0.0, Wanted(effect=1.0)) == 2
    assert sizing.units_for_mean(1.0, Wanted(effect=5e-324)) == sizing.UNITS_MAX
    assert sizing.units_for_mean(1e300, Wanted(effect=1.0)) == sizing.UNITS_MAX


@pytest.mark.parametrize(
    ("base_rate", "wanted"),
    [
        (0.0, Wanted(effect=0.1)),
        (0.5, Wanted(effect=0.5)),
        (0.5, Wanted(effect=-0.6)),
        (0.5, Wanted(effect=0.0)),
        (0.5, Wanted(effect=math.nan)),
        (math.nan, Wanted(effect=0.1)),
        (0.5, Wanted(effect=0.1, power=1.0)),
        (0.5, Wanted(effect=0.1, power=0.01)),
        (0.5, Wanted(effect=0.1, alpha=0.0)),
        (0.5, Wanted(effect=0.1, looks=13)),
        (0.5, Wanted(effect=0.1, looks=0)),
    ],
)
def test_units_for_share_of_what_cannot_be_is_refused(base_rate: float, wanted: Wanted) -> None:
    with pytest.raises(ValueError):
        sizing.units_for_share(base_rate, wanted)


@pytest.mark.parametrize(("variance", "units"), [(1.0, 0), (-1.0, 10), (math.nan, 10)])
def test_effect_found_of_what_cannot_be_is_refused(variance: float, units: int) -> None:
    with pytest.raises(ValueError):
        sizing.effect_found(variance, units, Wanted(effect=1.0))
