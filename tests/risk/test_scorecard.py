import doctest
import math

import numpy as np
import pytest

from tongbao.risk.models import scorecard as module
from tongbao.risk.models.calibration import by_logistic
from tongbao.risk.models.registry import NAMES
from tongbao.risk.models.scorecard import POINTS, PRIOR_PROB, scorecard, used

CARD = scorecard(NAMES)
CURVE = by_logistic()


def chance(**values: float) -> float:
    """The chance of a payment of which only these features are known."""
    row = np.full(len(NAMES), np.nan)
    for name, value in values.items():
        row[NAMES.index(name)] = value
    return CURVE.chance(CARD.raw_one(row))


def test_points_are_given_for_features_that_the_registry_declares_only() -> None:
    assert set(POINTS) - set(NAMES) == set()
    assert set(used(NAMES)) == set(POINTS)


def test_score_nothing_known_is_the_prior() -> None:
    assert chance() == pytest.approx(PRIOR_PROB)


def test_score_any_one_sign_stays_near_two_percent() -> None:
    for name, curve in POINTS.items():
        assert curve.missing == 0.0
        for x in (-1e12, *(edge + 1e-6 for edge in curve.edges)):
            assert chance(**{name: x}) < 0.025, name


def test_score_more_of_what_speaks_against_a_payment_never_lowers_it() -> None:
    favorable = {"device_trust", "card_age_d", "customer_age_d", "recurring"}
    for name, curve in POINTS.items():
        steps = list(curve.steps)
        assert steps == sorted(steps, reverse=name in favorable), name


def test_score_all_that_speaks_for_a_payment_leaves_a_fifth_of_the_prior() -> None:
    best = sum(min(0.0, *curve.steps) for curve in POINTS.values())
    assert math.exp(best) > 0.2


def test_score_a_stolen_card_spree_and_card_testing_stand_out() -> None:
    familiar = chance(
        card_ratio=1.1, customer_ratio=1.0, card_age_d=400.0, device_trust=0.9, card_count_1h=1.0
    )
    spree = chance(
        card_ratio=9.0,
        customer_ratio=9.0,
        card_spree_count_14d=3.0,
        customer_spree_count_14d=3.0,
        card_count_1h=7.0,
        device_trust=0.1,
        address_card_mismatch=1.0,
    )
    testing = chance(
        device_cards_30d=20.0,
        address_cards_1d=20.0,
        device_declines_1h=8.0,
        address_declines_1h=12.0,
        device_count_1h=20.0,
        card_age_d=0.0,
    )
    assert familiar < PRIOR_PROB
    assert spree > 0.2
    assert testing > 0.4


def test_score_features_that_a_house_lacks_are_left_out() -> None:
    small = scorecard(("night", "card_ratio"))
    assert small.raw_one(np.array([1.0, 9.0])) == pytest.approx(math.log(PRIOR_PROB / (1 - PRIOR_PROB)) + 1.0)


def test_example_of_the_module_runs() -> None:
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed
