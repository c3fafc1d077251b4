"""The registry: names say whose history over which window, and each feature stands where it is read."""

from itertools import pairwise

import pytest

from tongbao.risk.models import layout, readout
from tongbao.risk.models.registry import (
    DISTINCTS,
    FEATURES,
    HORIZON_S,
    LABEL_DELAY_S,
    LABEL_WINDOWS_S,
    NAMES,
    WINDOWS_S,
    Feature,
    Pair,
    span,
)
from tongbao.risk.schema.signals import Entity


def test_names_are_unique_and_speak_of_their_source_and_window() -> None:
    assert len(set(NAMES)) == len(NAMES)
    for feature in FEATURES:
        if isinstance(feature.source, Entity):
            assert feature.name.startswith(feature.source.name.lower() + "_")
        if isinstance(feature.source, Pair):
            assert feature.name.startswith("pair_" + feature.source.name.lower())
        if feature.window_s:
            assert feature.name.endswith("_" + span(feature.window_s))
        assert feature.description


def test_every_feature_is_read_from_a_place_of_its_own() -> None:
    shares = {"fraud_share", "risk"}  # one number under the two names that people look for
    places = [readout.place_of(feature) for feature in FEATURES if feature.aggregation not in shares]
    assert len(set(places)) == len(places)
    assert min(places) >= 0
    assert max(places) < readout.READ_WIDTH


def test_blocks_of_a_reading_do_not_overlap() -> None:
    starts = [
        *(readout.READ_COUNT, readout.READ_SUM, readout.READ_MEAN, readout.READ_DECLINES, readout.READ_KNOWN),
        *(readout.READ_DECLINE_SHARE, readout.READ_MATURED, readout.READ_RISK, readout.READ_FRAUD),
        *(
            readout.READ_UNEXPLAINED,
            readout.READ_AGE,
            readout.READ_GAP,
            readout.READ_HISTORY,
            readout.READ_RATIO,
        ),
        *(
            readout.READ_RATIO_MAX,
            readout.READ_Z,
            readout.READ_USUAL,
            readout.READ_VELOCITY,
            readout.READ_STREAK,
        ),
        *(readout.READ_STREAK_AGE, readout.READ_SINCE_FRAUD, readout.READ_SINCE_CLEAN, readout.READ_DECAYED),
        *(
            readout.READ_UNEXPLAINED_AGE,
            readout.READ_LABELLED,
            readout.READ_SPREE_MAX,
            readout.READ_SPREE_COUNT,
        ),
        *(readout.READ_SPREE_SHARE, readout.READ_DIFFERENT, readout.BLOCK),
    ]
    assert all(one < other for one, other in pairwise(starts))


def test_windows_rise_and_the_horizon_holds_the_longest() -> None:
    assert all(one < other for one, other in pairwise(WINDOWS_S))
    assert all(one < other for one, other in pairwise(LABEL_WINDOWS_S))
    assert max(WINDOWS_S[-1], LABEL_DELAY_S + LABEL_WINDOWS_S[-1]) <= HORIZON_S


def test_pairs_and_numbers_of_partners_fit_their_columns() -> None:
    assert len(layout.PAIR_SIDES) == len(Pair)
    for entity in Entity:
        assert sum(distinct.entity == entity for distinct in DISTINCTS) <= layout.DIFFERENT_MAX
    for distinct in DISTINCTS:
        assert distinct.entity in layout.PAIR_SIDES[distinct.pair]


def test_place_of_an_undeclared_aggregation_is_refused() -> None:
    with pytest.raises(ValueError, match="not in list"):
        readout.place_of(Feature("customer_colors_1d", Entity.CUSTOMER, "colors", 86_400, 0, "colors"))


@pytest.mark.parametrize(
    "name", ["customer_count_1h", "merchant_risk_7d", "card_spree_max_14d", "pair_card_device"]
)
def test_features_that_rules_and_reasons_speak_of_are_there(name: str) -> None:
    assert name in NAMES
