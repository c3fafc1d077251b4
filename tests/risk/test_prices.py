"""Prices of what is scarce: budgets hold at the least price, dearer is never used more, and fronts are fronts."""

import itertools
import xml.etree.ElementTree as ET
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongbao.core.errors import InvalidRequest, LimitExceeded
from tongbao.risk.models.rates import Belief, TierBelief, TierBeliefs
from tongbao.risk.policy import prices as prices_module
from tongbao.risk.policy.pareto_chart import pareto_chart
from tongbao.risk.policy.prices import (
    PRICE_STEP,
    Budgets,
    Point,
    Traffic,
    at_prices,
    front,
    solve,
)
from tongbao.risk.policy.tiering import ManyRates, Range, allowed_within, terms_of, weigh
from tongbao.risk.schema.tiers import TIERS, Costs, Rates, Tier

RATES = ManyRates.same(Rates(lost_share=0.06, caught_share=0.9), Rates(lost_share=0.12, caught_share=0.99))
COSTS = Costs(goodwill=1_500, margin_bps=1_000)
"""Of a house where turning good payers away is dear, so that reviews pay."""
DAYS = 7.0


def traffic_of(seed: int, count: int = 4_000, allowed: np.ndarray | None = None) -> Traffic:
    rng = np.random.default_rng(seed)
    return Traffic(
        chance=rng.beta(0.05, 1.5, count),
        value=np.floor(rng.lognormal(9, 1, count)),
        rates=RATES,
        days=DAYS,
        allowed=allowed,
    )


TRAFFIC = traffic_of(1)
FREE = at_prices(TRAFFIC, COSTS, 0.0, 0.0)


def test_solve_without_budgets_costs_nothing() -> None:
    found = solve(TRAFFIC, COSTS, Budgets())
    assert (found.step_up, found.review, found.is_met) == (0.0, 0.0, True)
    assert found.step_up_share == FREE.step_up_share
    assert found.reviews_per_day == pytest.approx(FREE.review_share * 4_000 / DAYS)


@given(st.integers(0, 30), st.floats(0, 20), st.floats(0, 0.2))
@settings(max_examples=30, deadline=None)
def test_solve_gives_prices_at_which_both_budgets_hold(seed: int, reviews: float, share: float) -> None:
    traffic = traffic_of(seed, 1_000)
    found = solve(traffic, COSTS, Budgets(reviews, share))
    assert found.is_met
    assert found.step_up_share <= share
    assert found.reviews_per_day <= reviews
    seen = at_prices(traffic, COSTS, found.step_up, found.review)
    assert seen.step_up_share == pytest.approx(found.step_up_share)
    assert seen.review_share * 1_000 / DAYS == pytest.approx(found.reviews_per_day)


@pytest.mark.parametrize("budgets", [Budgets(5.0, None), Budgets(None, 0.02), Budgets(5.0, 0.02)])
def test_solve_gives_the_least_prices(budgets: Budgets) -> None:
    found = solve(TRAFFIC, COSTS, budgets)
    assert found.step_up + found.review > 0
    for step_up, review in (
        (found.step_up - PRICE_STEP, found.review),
        (found.step_up, found.review - PRICE_STEP),
    ):
        if min(step_up, review) >= 0:
            seen = at_prices(TRAFFIC, COSTS, step_up, review)
            over_share = budgets.step_up_share is not None and seen.step_up_share > budgets.step_up_share
            reviews = seen.review_share * 4_000 / DAYS
            assert over_share or (budgets.reviews_per_day is not None and reviews > budgets.reviews_per_day)


def test_solve_with_a_smaller_budget_is_never_cheaper() -> None:
    found = [solve(TRAFFIC, COSTS, Budgets(reviews, None)) for reviews in (40.0, 10.0, 3.0, 0.0)]
    assert [each.review for each in found] == sorted(each.review for each in found)
    assert found[-1].reviews_per_day == 0


@given(st.integers(0, 20), st.floats(0, 500), st.floats(0, 500), st.floats(0, 500))
@settings(max_examples=40, deadline=None)
def test_a_higher_price_is_never_more_use(seed: int, step_up: float, review: float, more: float) -> None:
    traffic = traffic_of(seed, 500)
    base = at_prices(traffic, COSTS, step_up, review)
    assert at_prices(traffic, COSTS, step_up + more, review).step_up_share <= base.step_up_share
    assert at_prices(traffic, COSTS, step_up, review + more).review_share <= base.review_share
    assert at_prices(traffic, COSTS, step_up + more, review + more).bothered_share <= base.bothered_share
    assert base.cost >= at_prices(traffic, COSTS, 0.0, 0.0).cost - 1e-9


def test_solve_where_rules_send_more_than_there_is_room_says_so() -> None:
    allowed = np.ones((4_000, 4), dtype=np.bool_)
    allowed[:100] = [False, False, True, False]
    found = solve(traffic_of(1, allowed=allowed), COSTS, Budgets(reviews_per_day=3.0))
    assert not found.is_met
    assert found.reviews_per_day >= 100 / DAYS


def test_solve_keeps_to_the_tiers_that_are_allowed() -> None:
    allowed = np.ones((4_000, 4), dtype=np.bool_)
    allowed[:, 2] = False
    found = solve(traffic_of(1, allowed=allowed), COSTS, Budgets(0.0, 0.05))
    assert found.is_met
    assert found.reviews_per_day == 0
    assert 0 < found.step_up_share <= 0.05


def test_front_trades_bother_against_cost_point_by_point() -> None:
    points = front(TRAFFIC, COSTS, 20)
    assert len(points) > 10
    for one, other in itertools.pairwise(points):
        assert one.bothered_share < other.bothered_share
        assert one.cost > other.cost
        assert one.price > other.price
    assert points[0].bothered_share <= 1 / 4_000
    assert points[-1] == FREE
    assert all(each.fraud_cost >= 0 and each.friction_cost >= 0 for each in points)


def test_front_is_beaten_by_no_pair_of_prices() -> None:
    points = front(TRAFFIC, COSTS, 60)
    for step_up, review in itertools.product((0.0, 10.0, 60.0, 300.0), repeat=2):
        seen = at_prices(TRAFFIC, COSTS, step_up, review)
        beaten_by = [each.cost for each in points if each.bothered_share <= seen.bothered_share]
        assert min(beaten_by) <= seen.cost + 0.02 * FREE.cost


def test_front_of_traffic_that_nobody_need_bother_is_one_point() -> None:
    traffic = Traffic(chance=np.zeros(10), value=np.full(10, 100.0), rates=RATES, days=1.0)
    assert [each.bothered_share for each in front(traffic, COSTS)] == [0.0]


def test_acts_that_make_no_sense_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong: list[tuple[Callable[[], object], str]] = [
        (lambda: solve(TRAFFIC, COSTS, Budgets(-1.0)), "budget_invalid"),
        (lambda: solve(TRAFFIC, COSTS, Budgets(None, 1.5)), "budget_invalid"),
        (lambda: solve(TRAFFIC, COSTS, Budgets(float("nan"))), "budget_invalid"),
        (lambda: front(TRAFFIC, COSTS, 1), "points_invalid"),
        (lambda: front(TRAFFIC, COSTS, 101), "points_invalid"),
        (lambda: front(msgspec.structs.replace(TRAFFIC, days=0.0), COSTS), "traffic_invalid"),
        (lambda: front(msgspec.structs.replace(TRAFFIC, value=np.ones(3)), COSTS), "traffic_invalid"),
        (
            lambda: front(traffic_of(1, allowed=np.zeros((4_000, 4), dtype=np.bool_)), COSTS),
            "traffic_invalid",
        ),
        (lambda: front(traffic_of(1, 0), COSTS), "traffic_invalid"),
    ]
    for act, code in wrong:
        with pytest.raises(InvalidRequest) as error:
            act()
        assert error.value.code == code
    monkeypatch.setattr(prices_module, "PAYMENTS_MAX", 100)
    with pytest.raises(LimitExceeded) as limit:
        solve(TRAFFIC, COSTS, Budgets())
    assert limit.value.code == "traffic_too_long"


@pytest.mark.parametrize(("language", "word"), [("en", "policy of today"), ("zh-CN", "当前策略")])
def test_chart_is_read_aloud_in_its_language_and_shows_every_point(language: str, word: str) -> None:
    points = front(TRAFFIC, COSTS, 12)
    svg = pareto_chart(points, language, at_prices(TRAFFIC, COSTS, 50.0, 50.0), "front-1")
    root = ET.fromstring(svg)
    space = "{http://www.w3.org/2000/svg}"
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "front-1-title front-1-desc"
    told = root.findtext(f"{space}desc")
    assert told is not None
    assert word in told
    assert len(root.findall(f"{space}circle")) == len(points) + 1
    assert "var(--primary" in svg
    for circle in root.findall(f"{space}circle"):
        assert 0 < float(circle.get("cx", "0")) < 720
        assert 0 < float(circle.get("cy", "0")) < 360


def test_chart_without_today_and_of_one_point_has_no_ring() -> None:
    nothing = Point(price=0, step_up_share=0, review_share=0, decline_share=0, fraud_cost=0, friction_cost=0)
    svg = pareto_chart([nothing], "en")
    assert svg.count("<circle") == 1
    ET.fromstring(svg)


@pytest.mark.parametrize(
    ("points", "language", "name", "code"),
    [
        ([], "en", "front", "front_invalid"),
        ([FREE] * 101, "en", "front", "front_invalid"),
        ([FREE], "en", 'x" onload="', "front_invalid"),
        ([FREE], "tlh", "front", "language_unknown"),
    ],
)
def test_chart_of_what_is_no_front_is_refused(
    points: list[Point], language: str, name: str, code: str
) -> None:
    with pytest.raises(InvalidRequest) as error:
        pareto_chart(points, language, None, name)
    assert error.value.code == code


@given(st.integers(0, 40), st.floats(0, 900), st.floats(0, 900))
@settings(max_examples=40, deadline=None)
def test_payments_with_floors_and_without_means_get_what_weighing_gives_them(
    seed: int, step_up: float, review: float
) -> None:
    rng = np.random.default_rng(seed)
    count = 60
    ranges = [
        Range(TIERS[rng.integers(4)], TIERS[rng.integers(4)], bool(rng.integers(2)), bool(rng.integers(2)))
        for _ in range(count)
    ]
    allowed = np.array([allowed_within(each) for each in ranges])
    last = 3 - allowed[:, ::-1].argmax(axis=1)
    means = np.array([(True, each.can_step_up, each.can_review, True) for each in ranges])
    traffic = msgspec.structs.replace(
        traffic_of(seed, count),
        allowed=means & (np.arange(4) <= last[:, None]),
        floor=allowed.argmax(axis=1),
    )
    beliefs = TierBeliefs(
        TierBelief(Belief(0.06, 0.0, 1.0), Belief(0.9, 0.0, 1.0)),
        TierBelief(Belief(0.12, 0.0, 1.0), Belief(0.99, 0.0, 1.0)),
    )
    terms = terms_of(COSTS, step_up, review)
    best = [
        weigh(float(chance), int(value), beliefs, terms, within).best
        for chance, value, within in zip(traffic.chance, traffic.value, ranges, strict=True)
    ]
    seen = at_prices(traffic, COSTS, step_up, review)
    assert seen.step_up_share == pytest.approx(best.count(Tier.STEP_UP) / count)
    assert seen.review_share == pytest.approx(best.count(Tier.REVIEW) / count)
    assert seen.decline_share == pytest.approx(best.count(Tier.DECLINE) / count)
    found = solve(traffic, COSTS, Budgets(3.0, 0.1))
    held = at_prices(traffic, COSTS, found.step_up, found.review)
    assert held.step_up_share == pytest.approx(found.step_up_share)
    if found.is_met:
        assert found.step_up_share <= 0.1
        assert found.reviews_per_day <= 3.0


def test_floor_that_is_no_tier_is_refused() -> None:
    for floor in (np.full(4_000, 4), np.zeros(3, dtype=np.intp)):
        with pytest.raises(InvalidRequest, match="traffic_invalid"):
            front(msgspec.structs.replace(TRAFFIC, floor=floor), COSTS)


def test_chart_marks_the_policy_of_other_prices_by_its_form_and_name() -> None:
    priced = at_prices(TRAFFIC, COSTS, 50.0, 200.0)
    for language, name in (("en", "with these prices"), ("zh-CN", "采用新影子价格")):
        root = ET.fromstring(pareto_chart(front(TRAFFIC, COSTS), language, FREE, priced=priced))
        names = {"s": "http://www.w3.org/2000/svg"}
        assert len(root.findall("s:rect", names)) == 1
        assert name in [each.text for each in root.findall("s:text", names)]
        assert name in str(root.findtext("s:desc", namespaces=names))
