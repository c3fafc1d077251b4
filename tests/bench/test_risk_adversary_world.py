"""The market of payers and thieves: paired luck, what stops do, and thieves who learn from what they see alone."""

import numpy as np
import pytest

from tongbao.bench.risk_adversary_gang import HABIT, STRATEGIES, Gang
from tongbao.bench.risk_adversary_world import (
    QUARTERS,
    STOPS_MAX,
    Asked,
    Codes,
    Market,
    Spec,
    chances_to_end,
)
from tongbao.core.errors import InvalidRequest

SPEC = Spec(payers=200, stolen_a_day=4.0, places=60)


def _walk(market: Market, tier: int, days: int) -> list[tuple[Asked, Codes]]:
    """Give the same tier to everybody; return what was asked and what was stopped."""
    seen = []
    for _ in range(days):
        market.open_day()
        for quarter in range(QUARTERS):
            asked = market.ask(quarter)
            tiers = np.full(len(asked.rows), tier)
            seen.append((asked, market.settle(asked, tiers).astype(np.int64)))
        market.day += 1
    return seen


def test_walk_with_equal_seeds_gives_the_same_payments() -> None:
    for (first, _), (second, _) in zip(
        _walk(Market(SPEC, 5), 1, 6), _walk(Market(SPEC, 5), 1, 6), strict=True
    ):
        assert all(np.array_equal(a, b) for a, b in zip(first.view, second.view, strict=True))


def test_walk_under_different_tiers_meets_the_same_payers() -> None:
    """What is paired: whatever a policy does, the same payers come with the same amounts and the same luck."""
    for (lax, _), (strict, _) in zip(_walk(Market(SPEC, 5), 0, 6), _walk(Market(SPEC, 5), 3, 6), strict=True):
        ours, theirs = ~lax.is_fraud, ~strict.is_fraud
        assert np.array_equal(lax.rows[ours], strict.rows[theirs])
        assert np.array_equal(lax.view.value[ours], strict.view.value[theirs])
        assert np.array_equal(lax.uniform[ours], strict.uniform[theirs])


def test_decline_of_everything_makes_thieves_give_up_without_income() -> None:
    market = Market(SPEC, 7)
    seen = _walk(market, 3, 40)
    stolen = np.concatenate([asked.view.pair[asked.is_fraud] for asked, _ in seen])
    assert np.unique(stolen, return_counts=True)[1].max() <= STOPS_MAX
    assert len(market.incomes) > 50
    assert max(earned for _, _, earned in market.incomes) <= 0


def test_letting_everything_pass_makes_thieves_rich_and_pairs_known() -> None:
    market = Market(SPEC, 7)
    last, _ = _walk(market, 0, 40)[-1]
    assert np.mean([earned for _, _, earned in market.incomes]) > 100
    assert last.view.stops.max() == 0
    assert not last.view.proven.any()


def test_passed_step_up_is_remembered_and_a_failed_one_counts_as_a_stop() -> None:
    seen = _walk(Market(SPEC, 7), 1, 20)
    passed: set[int] = set()
    stopped: dict[int, int] = {}
    for asked, is_stopped in seen:
        view = asked.view
        for pair, proven, stops, ended in zip(
            view.pair.tolist(), view.proven.tolist(), view.stops.tolist(), is_stopped.tolist(), strict=True
        ):
            assert proven == (pair in passed)
            assert stops == stopped.get(pair, 0)
            stopped[pair] = stopped.get(pair, 0) + 1 if ended else 0
            passed |= set() if ended else {pair}
    assert any(stopped.values())


def test_pairs_of_worlds_on_other_days_are_others() -> None:
    first = {pair for asked, _ in _walk(Market(SPEC, 7), 0, 5) for pair in asked.view.pair.tolist()}
    later = {pair for asked, _ in _walk(Market(SPEC, 7, 100), 0, 5) for pair in asked.view.pair.tolist()}
    assert not first & later


def test_truth_becomes_known_between_seven_and_thirty_days_later() -> None:
    market = Market(SPEC, 7)
    delays = np.concatenate(
        [asked.known_day - int(asked.at_s // 86_400) for asked, _ in _walk(market, 0, 10)]
    )
    assert (delays.min(), delays.max()) == (7, 30)


def test_chances_to_end_rise_with_the_tier_for_thieves_and_are_those_of_the_comparison() -> None:
    ends = chances_to_end(np.array([True, False, False]), np.array([0, 0, 50]))
    assert ends.tolist() == [[0.0, 0.9, 0.99, 1.0], [0.0, 0.1, 0.12, 1.0], [0.0, 0.06, 0.12, 1.0]]


@pytest.mark.parametrize("spec", [Spec(payers=0), Spec(places=0), Spec(stolen_a_day=-1.0)])
def test_market_without_payers_or_places_is_refused(spec: Spec) -> None:
    with pytest.raises(InvalidRequest) as error:
        Market(spec, 0)
    assert error.value.code == "market_invalid"


def test_gang_follows_its_habit_until_it_adapts() -> None:
    gang, rng = Gang(), np.random.default_rng(1)
    for _ in range(300):
        gang.learn(0, 500.0)
    counts = np.bincount([gang.choose(rng) for _ in range(2_000)], minlength=len(STRATEGIES))
    assert np.abs(counts / 2_000 - HABIT).max() < 0.05


def test_gang_that_adapts_finds_what_pays() -> None:
    gang, rng = Gang(), np.random.default_rng(1)
    gang.is_adapting = True
    chosen = []
    for _ in range(400):
        strategy = gang.choose(rng)
        gang.learn(strategy, (150.0 if strategy == 9 else -20.0) + 50.0 * rng.standard_normal())
        chosen.append(strategy)
    assert np.mean(np.array(chosen[-100:]) == 9) > 0.8
    assert gang.means.argmax() == 9


def test_gang_forgets_what_paid_once() -> None:
    gang = Gang()
    gang.learn(3, 1_000.0)
    before = gang.means[3]
    for _ in range(1_000):
        gang.learn(4, 0.0)
    assert before > 500 > 100 > gang.means[3]
