"""Places, distances, speeds and countries that do not agree."""

import math

import numpy as np
import pytest
from tests.risk.feature_streams import payment

from tongbao.risk.models import geo
from tongbao.risk.models.country_places import PLACES
from tongbao.risk.models.registry import NAMES
from tongbao.risk.models.state import FeatureState
from tongbao.risk.models.trust import device_trust, faded

AT = {name: place for place, name in enumerate(NAMES)}
BERLIN, NEW_YORK = (52.52, 13.405), (40.713, -74.006)


@pytest.mark.parametrize(
    ("country", "code"),
    [
        ("AA", 1),
        ("ZZ", 676),
        ("de", geo.country_code("DE")),
        ("", 0),
        ("D", 0),
        ("DEU", 0),
        ("D1", 0),
        ("ÄÖ", 0),
    ],
)
def test_country_code_is_zero_for_what_is_no_country(country: str, code: int) -> None:
    assert geo.country_code(country) == code


def test_kilometers_between_cities_are_those_of_the_great_circle() -> None:
    assert geo.kilometers(*BERLIN, *NEW_YORK) == pytest.approx(6_385, rel=0.003)
    assert geo.kilometers(*BERLIN, *BERLIN) == 0.0
    assert geo.kilometers(0.0, 0.0, 0.0, 180.0) == pytest.approx(math.pi * geo.EARTH_KM)
    assert geo.kilometers(10.0, 179.5, 10.0, -179.5) == pytest.approx(109.5, rel=0.01)


def test_countries_lie_on_the_globe_and_are_named_by_two_letters() -> None:
    assert len(PLACES) >= 249
    for country, (latitude, longitude) in PLACES.items():
        assert geo.country_code(country) > 0
        assert -90 <= latitude <= 90
        assert -180 <= longitude <= 180


def test_velocity_is_the_way_over_the_time_since_the_last_known_place() -> None:
    state = FeatureState()
    state.learn(payment(0, 0, card="c", latitude=BERLIN[0], longitude=BERLIN[1]))
    state.learn(payment(1, 1_800, card="c"))
    there = payment(2, 3_600, card="c", latitude=NEW_YORK[0], longitude=NEW_YORK[1])
    found = state.features(there)[AT["card_velocity_kmh"]]
    assert found == pytest.approx(geo.kilometers(*BERLIN, *NEW_YORK))
    assert math.isnan(state.features(payment(3, 3_600, card="c"))[AT["card_velocity_kmh"]])
    assert math.isnan(
        state.features(payment(3, 3_600, card="new", latitude=1.0, longitude=1.0))[AT["card_velocity_kmh"]]
    )


def test_velocity_within_a_minute_counts_as_over_a_minute() -> None:
    state = FeatureState()
    state.learn(payment(0, 0, card="c", latitude=0.0, longitude=0.0))
    found = state.features(payment(1, 0, card="c", latitude=0.0, longitude=1.0))[AT["card_velocity_kmh"]]
    assert found == pytest.approx(111.2 * 60, rel=0.01)


def test_velocity_of_payments_known_by_country_only_is_between_the_middles_of_countries() -> None:
    state = FeatureState()
    state.learn(payment(0, 0, customer="a", address_country="DE"))
    same = state.features(payment(1, 60, customer="a", address_country="DE"))
    other = state.features(payment(1, 3_600, customer="a", address_country="FR"))
    unknown = state.features(payment(1, 3_600, customer="a", address_country="ZZ"))
    assert same[AT["customer_velocity_kmh"]] == 0.0
    assert other[AT["customer_velocity_kmh"]] == pytest.approx(geo.kilometers(*PLACES["DE"], *PLACES["FR"]))
    assert math.isnan(unknown[AT["customer_velocity_kmh"]])


def test_mismatch_of_countries_is_unknown_where_either_is() -> None:
    found = FeatureState().features(payment(0, 0, address_country="DE", card_country="FR"))
    names = ("address_card_mismatch", "address_merchant_mismatch", "card_merchant_mismatch")
    np.testing.assert_array_equal([found[AT[name]] for name in names], [1.0, np.nan, np.nan])
    found = FeatureState().features(
        payment(0, 0, address_country="DE", card_country="de", merchant_country="FR")
    )
    assert [found[AT[name]] for name in names] == [0.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("acquainted_days", "proofs", "cards", "signs", "expected"),
    [
        (0, 0.0, 1, 0, 0.0),
        (30, 0.0, 1, 0, 0.4),
        (3_000, 0.0, 1, 0, 0.8),
        (0, 1.0, 1, 0, 0.5),
        (0, 2.0, 3, 0, 0.75),
        (0, 1.0, 6, 0, 0.25),
        (0, 1.0, 1, 1, 0.1),
        (0, 1.0, 1, 2 | 4, 0.21),
    ],
)
def test_device_trust_follows_acquaintance_proofs_company_and_signs(
    acquainted_days: int, proofs: float, cards: int, signs: int, expected: float
) -> None:
    assert device_trust(acquainted_days * 86_400_000, proofs, cards, signs) == pytest.approx(
        expected, abs=1e-9
    )


def test_faded_proofs_halve_in_ninety_days_and_never_grow() -> None:
    assert faded(2.0, 90 * 86_400_000) == pytest.approx(1.0)
    assert faded(2.0, -5) == 2.0
