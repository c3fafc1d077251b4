"""Schools of fraud: each is known by its marks, labels itself late, and all together are the share that was asked for."""

import statistics
from collections import Counter, defaultdict
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest

from tongbao.simulator.city.chances import day_number
from tongbao.simulator.city.days import day_of
from tongbao.simulator.city.disguises import ADDRESSES
from tongbao.simulator.city.episodes import SHARES, SIZES, episodes, sizes
from tongbao.simulator.city.planning import Plan, plan
from tongbao.simulator.city.schema import CityTerms, School, Visit

TERMS = CityTerms(seed=20, began_on=date(2026, 8, 1), days=90, payers=200)
SHANGHAI = ZoneInfo("Asia/Shanghai")
Bursts = dict[School, list[list[Visit]]]


def _middle(waits: list[timedelta]) -> timedelta:
    return sorted(waits)[len(waits) // 2]


@pytest.fixture(scope="module")
def city() -> Plan:
    return plan(TERMS)


@pytest.fixture(scope="module")
def visits(city: Plan) -> list[Visit]:
    return [visit for _, found in city.days() for visit in found]


@pytest.fixture(scope="module")
def bursts(visits: list[Visit]) -> Bursts:
    """The visits of thieves by school, one list for each device and day."""
    grouped: dict[tuple[School, date, str], list[Visit]] = defaultdict(list)
    for visit in visits:
        if visit.school is not None:
            grouped[visit.school, visit.at.astimezone(SHANGHAI).date(), visit.device].append(visit)
    found: Bursts = {school: [] for school in School}
    for (school, _, _), burst in grouped.items():
        found[school].append(burst)
    return found


def test_thefts_are_the_share_that_was_asked_for_and_of_all_schools(visits: list[Visit]) -> None:
    schools = Counter(visit.school for visit in visits if visit.school is not None)
    assert schools.total() / len(visits) == pytest.approx(TERMS.fraud_share, rel=0.2)
    for school, share in SHARES.items():
        assert schools[school] / schools.total() == pytest.approx(share, abs=0.08), school


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in (1, 2))])
def test_thefts_of_a_single_month_are_near_the_share_too(seed: int) -> None:
    found = [
        visit
        for _, visits in plan(CityTerms(seed=seed, began_on=date(2026, 10, 1), days=30, payers=150)).days()
        for visit in visits
    ]
    share = sum(visit.school is not None for visit in found) / len(found)
    assert 0.004 < share < 0.012


def test_stolen_card_is_tried_at_many_shops_from_a_new_device_with_high_tickets(
    city: Plan, bursts: Bursts
) -> None:
    sprees = bursts[School.STOLEN_CARD]
    assert len(sprees) > 10
    own_devices = {payer.device for payer in city.people}
    for spree in sprees:
        assert len({visit.card for visit in spree}) == 1
        assert len({visit.email for visit in spree}) == 1
        assert spree[0].device not in own_devices
        assert {visit.payer for visit in spree} == {None}
    assert statistics.mean(len({visit.shop for visit in spree}) for spree in sprees) > 2.5
    times = [visit.amount_minor / city.shops[visit.shop].ticket_minor for spree in sprees for visit in spree]
    assert statistics.median(times) > 2


def test_takeover_uses_a_real_payers_card_at_night_in_unusual_shops(city: Plan, bursts: Bursts) -> None:
    takeovers = bursts[School.TAKEOVER]
    assert len(takeovers) > 10
    passes = 0
    for burst in takeovers:
        for visit in burst:
            assert visit.payer is not None
            owner = city.people[visit.payer]
            assert visit.email == owner.email
            assert visit.card in owner.cards
            assert visit.device != owner.device
            assert visit.address.startswith(ADDRESSES)
            assert 1 <= visit.at.astimezone(SHANGHAI).hour < 7
            liked = sorted(owner.tastes.values())
            assert owner.tastes[city.shops[visit.shop].kind] < liked[-1]
            passes += visit.passes_step_up
    assert 0 < passes < sum(map(len, takeovers)) / 2


def test_card_testing_is_a_burst_of_small_amounts_with_many_cards_at_one_shop(bursts: Bursts) -> None:
    for burst in bursts[School.CARD_TESTING]:
        low, high = SIZES[School.CARD_TESTING]
        assert low <= len(burst) <= high
        assert len({visit.shop for visit in burst}) == 1
        assert len({visit.card.number for visit in burst if visit.card}) > len(burst) / 2
        assert max(visit.amount_minor for visit in burst) <= 9_00
        assert burst[-1].at - burst[0].at < timedelta(seconds=40 * len(burst))
        assert not any(visit.passes_step_up for visit in burst)
    assert len(bursts[School.CARD_TESTING]) > 5


def test_collusion_is_round_amounts_at_the_bent_shop_partly_paid_back(bursts: Bursts) -> None:
    visits = [visit for burst in bursts[School.COLLUSION] for visit in burst]
    assert len(visits) > 20
    assert len({visit.shop for visit in visits}) == 1
    assert all(visit.amount_minor % 1_000 == 0 for visit in visits)
    assert 0.1 < sum(visit.refund_after is not None for visit in visits) / len(visits) < 0.5
    for burst in bursts[School.COLLUSION]:
        assert len({visit.card for visit in burst}) <= max(1, len(burst) // 2 + 1)


def test_refund_abuse_is_a_payer_as_known_who_always_wants_the_money_back(city: Plan, bursts: Bursts) -> None:
    visits = [visit for burst in bursts[School.REFUND_ABUSE] for visit in burst]
    assert len({visit.payer for visit in visits}) <= 6
    for visit in visits:
        assert visit.payer is not None
        payer = city.people[visit.payer]
        assert (visit.device, visit.email) == (payer.device, payer.email)
        assert (visit.refund_after is None) != (visit.dispute_after is None)
        assert visit.passes_step_up


def test_thieves_are_known_days_later_and_seldom_pass_a_step_up(visits: list[Visit]) -> None:
    thefts = [visit for visit in visits if visit.school is not None]
    waits = [visit.label_after for visit in thefts if visit.label_after is not None]
    assert len(waits) == len(thefts)
    assert min(waits) >= timedelta(days=2)
    assert max(waits) <= timedelta(days=25)
    assert timedelta(days=6) < _middle(waits) < timedelta(days=10)
    strangers = [visit for visit in thefts if visit.school is not School.REFUND_ABUSE]
    assert sum(visit.passes_step_up for visit in strangers) / len(strangers) < 0.15


def test_episodes_of_a_small_city_are_small_and_keep_the_share() -> None:
    terms = CityTerms(seed=1, began_on=date(2026, 1, 1), days=365, visits_per_day=30)
    assert sizes(terms, School.CARD_TESTING) == (3, 3)
    found = [
        episode
        for each in range(365)
        for school in School
        for episode in episodes(terms, school, day_of(1, date(2026, 1, 1) + timedelta(days=each)))
    ]
    expected = 365 * 30 * 0.008
    assert sum(episode.size for episode in found) == pytest.approx(expected, rel=0.15)


def test_episodes_lie_on_their_days_once() -> None:
    days = [day_of(1, date(2026, 3, 1) + timedelta(days=each)) for each in range(100)]
    found = [
        (episode.rng.random(), day_number(day.on))
        for day in days
        for episode in episodes(TERMS, School.STOLEN_CARD, day)
    ]
    assert len({drawn for drawn, _ in found}) == len(found)
    per_day = 400 * 0.008 / 0.992 * SHARES[School.STOLEN_CARD] / 6.5
    assert len(found) == pytest.approx(100 * per_day, abs=2)


@pytest.mark.parametrize("fraud_share", [0.0, 5e-324, 1e-12])
def test_episodes_of_a_city_with_next_to_no_fraud_are_none(fraud_share: float) -> None:
    terms = CityTerms(seed=1, began_on=date(2026, 1, 1), days=5, fraud_share=fraud_share)
    day = day_of(1, date(2026, 1, 2))
    assert [each for school in School for each in episodes(terms, school, day)] == []
