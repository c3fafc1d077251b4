"""What decides one payment in plain numbers equals what decides many in arrays: beliefs, breakers, gates, prices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.routing.board_facts import BEGIN, CHANNELS, ISSUERS, folded, streams
from tests.routing.routing_worlds import payment

from tongbao.routing.models.beliefs import Beliefs, BeliefTuning, Lesson
from tongbao.routing.policy import costs, ranking
from tongbao.routing.policy.pricing import Pricing
from tongbao.routing.schema.payments import Attempted
from tongbao.routing.schema.spec import Cost, RoutingSpec, Row, Tier
from tongbao.routing.schema.volumes import Used, no_rates


@given(
    streams(),
    st.sampled_from(ISSUERS),
    st.sampled_from((1.0, 400.0, 1e6)),
    st.booleans(),
    st.lists(st.integers(0, 40), min_size=len(CHANNELS), max_size=len(CHANNELS)),
)
def test_glance_at_one_payment_equals_reading_arrays(
    facts: list[Attempted], issuer: str, later_s: float, is_tilted: bool, pending: list[int]
) -> None:
    board = folded(facts)
    at_s = BEGIN.timestamp() + later_s
    offset = [0.4, -0.2, 0.0] if is_tilted else None
    path = board.path(True, "card", issuer, CHANNELS)
    seen = board.glance(path, at_s, offset, pending)
    sight = board.read(
        path,
        np.array([at_s]),
        np.array([offset]) if offset else None,
        np.array([pending], dtype=np.float64),
    )
    prospect = ranking.prospect(sight)
    assert [each.chance.mean for each in seen] == pytest.approx(prospect.mean[0].tolist(), abs=1e-12)
    assert [each.chance.sd for each in seen] == pytest.approx(prospect.sd[0].tolist(), abs=1e-12)
    assert [each.breaker.state for each in seen] == prospect.state[0].tolist()
    assert [each.breaker.probe_share for each in seen] == pytest.approx(prospect.probe_share[0].tolist())
    assert [each.breaker.waiting_s for each in seen] == pytest.approx(prospect.waiting_s[0].tolist())
    assert [each.rate for each in seen] == pytest.approx(sight.rate[0].tolist())


@given(
    st.lists(
        st.tuples(st.sampled_from((1.0, 0.0, None)), st.sampled_from((1.0, 0.0, None)), st.floats(0, 1e5)),
        min_size=1,
        max_size=30,
    )
)
def test_lessons_in_plain_numbers_equal_those_in_arrays(
    ends: list[tuple[float | None, float | None, float]],
) -> None:
    plain, arrays = Beliefs(BeliefTuning()), Beliefs(BeliefTuning())
    path, at_s = (1, 2, 3), 1_000.0
    for number, (yes, well, pause_s) in enumerate(ends, 1):
        at_s += pause_s
        lesson = Lesson(
            np.array([np.nan if yes is None else yes]),
            np.array([np.nan if well is None else well]),
            np.array([False]),
        )
        arrays.learn(np.array([path]), np.array([float(number)]), np.array([at_s]), lesson)
        if not plain.teach(path, float(number), at_s, yes, well):
            plain.learn(np.array([path]), np.array([float(number)]), np.array([at_s]), lesson)
    np.testing.assert_allclose(plain.counts[:4], arrays.counts[:4], rtol=1e-12)
    np.testing.assert_array_equal(plain.since[:4], arrays.since[:4])


def test_lesson_of_a_pool_that_is_new_or_worn_is_left_to_the_arrays() -> None:
    beliefs = Beliefs(BeliefTuning())
    assert not beliefs.teach((1, 2, 3), 1.0, 1_000.0, 1.0, 1.0)
    lesson = Lesson(np.array([1.0]), np.array([1.0]), np.array([False]))
    beliefs.learn(np.array([(1, 2, 3)]), np.array([1.0]), np.array([1_000.0]), lesson)
    assert beliefs.teach((1, 2, 3), 2.0, 1_001.0, 1.0, 1.0)
    assert not beliefs.teach((1, 2, 3), 1e6, 1_001.0, 1.0, 1.0)


@given(
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.integers(0, 400),
    st.integers(0, 500),
    st.one_of(st.none(), st.integers(200, 5_000)),
    st.sampled_from(("visa", "amex", "")),
    st.sampled_from(("FR", "CN", "")),
    st.sampled_from(("CNY", "EUR")),
)
def test_remembered_prices_equal_the_costs(
    amount: int,
    volume: int,
    bps: int,
    fixed: int,
    maximum: int | None,
    brand: str,
    country: str,
    currency: str,
) -> None:
    terms = Cost(
        currency="CNY",
        bps=bps,
        fixed_minor=fixed,
        minimum_minor=100,
        maximum_minor=maximum,
        declined_minor=7,
        tiers=(Tier(from_volume_minor=10**6, bps=30), Tier(from_volume_minor=10**8, bps=20, fixed_minor=3)),
        table=(Row(brand="amex", bps=90), Row(region="foreign", bps=60, fixed_minor=11)),
        settles=("CNY",),
        conversion_bps=150,
    )
    pricing = Pricing(RoutingSpec(costs={"one": terms}))
    asked = payment(
        amount_minor=amount, brand=brand, card_country=country, merchant_country="CN", currency=currency
    )
    used = Used(month_minor={"CNY": volume})
    for _ in range(2):
        taken = pricing.taken("one", asked, used, no_rates)
        exact = costs.cost(terms, asked, volume, no_rates)
        assert (taken.approved, taken.declined) == (exact.minor, exact.declined_minor)
    assert pricing.taken("two", asked, used, no_rates) == (0, 0)
