"""The payers of a city: equal for equal seeds, invented throughout, and earning and paying as the terms of life say."""

import ipaddress
import statistics
from collections import Counter
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongbao.core.errors import InvalidRequest
from tongbao.simulator.city.cards import ASKING, EMPTY, ISSUERS
from tongbao.simulator.city.days import day_of
from tongbao.simulator.city.people import AGE_MAX, AGE_MIN, mood, people
from tongbao.simulator.city.schema import PAYERS_MAX, SHOPS_MAX, CityTerms, Means, Mood, ShopKind
from tongbao.simulator.sandbox.declines import CARDS, passes_luhn

TERMS = CityTerms(seed=7, began_on=date(2026, 10, 1), days=30)
MANY = people(CityTerms(seed=11, began_on=date(2026, 10, 1), days=30, payers=3_000))


def test_people_of_equal_terms_are_equal_and_of_another_seed_differ() -> None:
    assert people(TERMS) == people(TERMS)
    other = people(CityTerms(seed=8, began_on=TERMS.began_on, days=30))
    assert [payer.name for payer in other] != [payer.name for payer in people(TERMS)]


def test_people_of_a_later_city_are_the_same_people() -> None:
    later = people(CityTerms(seed=7, began_on=date(2026, 12, 1), days=5))
    assert later == people(TERMS)


def test_people_of_a_larger_city_begin_with_those_of_the_smaller() -> None:
    assert people(CityTerms(seed=7, began_on=TERMS.began_on, days=30, payers=900))[:600] == people(TERMS)


def test_people_are_numbered_and_have_identities_of_their_own() -> None:
    assert [payer.number for payer in MANY] == list(range(3_000))
    for field in ("email", "phone", "device", "address"):
        assert len({getattr(payer, field) for payer in MANY}) == 3_000, field
    assert all(AGE_MIN <= payer.age <= AGE_MAX for payer in MANY)
    assert all(0 <= payer.home < 12 and 1 <= payer.payday <= 28 for payer in MANY)


def test_people_have_names_in_two_scripts_and_mailboxes_in_ascii() -> None:
    english = [payer for payer in MANY if payer.locale == "en"]
    assert 0.09 < len(english) / 3_000 < 0.15
    assert all(payer.name.isascii() == (payer.locale == "en") for payer in MANY)
    assert all(
        payer.email.isascii() and payer.email.rpartition("@")[2].startswith("example.") for payer in MANY
    )


def test_people_live_at_addresses_that_are_reserved_for_documents() -> None:
    reserved = [ipaddress.ip_network(each) for each in ("198.51.100.0/24", "192.0.2.0/24", "2001:db8::/32")]
    for payer in MANY:
        address = ipaddress.ip_address(payer.address)
        assert any(address in network for network in reserved if network.version == address.version)


def test_people_hold_one_to_three_good_cards_and_few_without_money() -> None:
    cards = [card for payer in MANY for card in payer.cards]
    assert {len(payer.cards) for payer in MANY} == {1, 2, 3}
    assert all(passes_luhn(card.number) and 1 <= card.exp_month <= 12 for card in cards)
    assert all(2029 <= card.exp_year <= 2033 for card in cards)
    test_cards = Counter(card.number for card in cards if card.number in CARDS)
    assert set(test_cards) == {EMPTY, ASKING}
    assert 0.01 < test_cards[EMPTY] / len(cards) < 0.03
    own = [card.number for card in cards if card.number not in CARDS]
    assert len(set(own)) == len(own)
    assert {number[:6] for number in own} == set(ISSUERS)


def test_salaries_are_log_normal_around_the_median_of_an_age() -> None:
    grown = [payer.salary_minor for payer in MANY if 31 <= payer.age <= 45]
    old = [payer.salary_minor for payer in MANY if payer.age >= 60]
    assert 11_500_00 < statistics.median(grown) < 13_500_00
    assert 4_700_00 < statistics.median(old) < 5_700_00
    assert statistics.mean(grown) > statistics.median(grown)
    assert min(payer.salary_minor for payer in MANY) > 0


def test_means_are_shares_and_follow_the_age() -> None:
    assert all(sum(payer.means.values()) == pytest.approx(1.0) for payer in MANY)
    assert all(set(payer.means) == set(Means) and set(payer.tastes) == set(ShopKind) for payer in MANY)

    def card_share(low: int, high: int) -> float:
        return statistics.mean(
            payer.means[Means.CARD] for payer in MANY if low <= payer.age <= high and payer.locale != "en"
        )

    assert card_share(16, 22) + 0.2 < card_share(31, 59)


def test_mood_of_a_payer_belongs_to_the_day_and_is_seldom_busy_on_days_off() -> None:
    holiday, work = day_of(11, date(2026, 10, 2)), day_of(11, date(2026, 10, 13))
    off = Counter(mood(11, payer, holiday) for payer in MANY)
    on = Counter(mood(11, payer, work) for payer in MANY)
    assert off == Counter(mood(11, payer, holiday) for payer in MANY)
    assert set(on) == set(Mood)
    assert off[Mood.BUSY] < on[Mood.BUSY] / 2


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"payers": 0}, "payers"),
        ({"payers": PAYERS_MAX + 1}, "payers"),
        ({"shops": 0}, "shops"),
        ({"shops": SHOPS_MAX + 1}, "shops"),
        ({"days": 0}, "days"),
        ({"days": 401}, "days"),
        ({"visits_per_day": 0}, "visits_per_day"),
        ({"fraud_share": -0.1}, "fraud_share"),
        ({"fraud_share": 0.6}, "fraud_share"),
        ({"fraud_share": float("nan")}, "fraud_share"),
        ({"began_on": date(2019, 12, 31)}, "began_on"),
        ({"began_on": date(2100, 1, 1)}, "began_on"),
        ({"zone": "Asia/Atlantis"}, "zone"),
        ({"zone": "../etc/passwd"}, "zone"),
        ({"zone": ""}, "zone"),
    ],
)
def test_terms_out_of_range_are_refused_by_field(change: dict[str, object], field: str) -> None:
    given_terms: dict[str, object] = {"seed": 1, "began_on": date(2026, 10, 1), "days": 3, **change}
    with pytest.raises(InvalidRequest) as refused:
        people(CityTerms(**given_terms))  # type: ignore[arg-type]  # the values are the point
    assert (refused.value.code, refused.value.facts["field"]) == ("city_terms_invalid", field)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**63), count=st.integers(1, 40))
def test_people_of_any_seed_are_whole(seed: int, count: int) -> None:
    for payer in people(CityTerms(seed=seed, began_on=date(2027, 1, 1), days=1, payers=count)):
        assert payer.salary_minor > 0
        assert payer.cards
        assert all(passes_luhn(card.number) for card in payer.cards)
