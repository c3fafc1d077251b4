"""The comparison of learners of tiers: what is told follows from the runs, with intervals, and repeats itself."""

import json
from typing import Any

import numpy as np
import pytest

from tongbao.bench import risk_adversary
from tongbao.bench.risk_adversary_measures import COLUMNS, Pair, summed
from tongbao.bench.risk_adversary_play import NOTHING, Played, Sizes, played, trained
from tongbao.bench.risk_adversary_world import Spec
from tongbao.core.errors import InvalidRequest

TINY = Sizes(2, Spec(60, 1.5, 40), rounds=2, round_days=10, before=10, adapting=7, after=5, effort=0.01)


def _pairs(costs: list[float]) -> list[Pair]:
    pairs = []
    for cost in costs:
        tally = NOTHING._replace(
            cost=cost * 100,
            good=100,
            attempts=110,
            tiers_good=np.array([90, 6, 3, 1]),
            stolen=50.0,
            stolen_stopped=40.0,
        )
        each = Played(tally, tally, (10.0, 20.0), ("90 slow", 0.5), 0.1)
        pairs.append((each, each))
    return pairs


def _summed(**costs: list[float]) -> dict[str, Any]:
    return summed({name: _pairs(each) for name, each in costs.items()}, dict.fromkeys(costs, 1.0))


def test_difference_is_taken_within_seeds() -> None:
    """Seeds differ by far more than defenders do, which an unpaired interval would drown in."""
    rows = _summed(cost_rule=[1.0, 2.0, 3.0, 4.0], deep_q=[0.9, 1.91, 2.89, 3.9])
    before = rows["deep_q"]["before"]
    assert before["extra"][0] == pytest.approx(-0.1)
    assert before["extra"][2] < 0 < before["cost"][1] < before["cost"][2]
    assert before["is_better"]
    assert not before["is_worse"]


def test_difference_within_noise_earns_no_place() -> None:
    rows = _summed(cost_rule=[1.0, 2.0, 3.0, 4.0], deep_q=[0.5, 2.2, 2.9, 3.9])
    assert rows["deep_q"]["before"]["extra"][0] < 0
    assert not rows["deep_q"]["before"]["is_better"]


def test_interval_is_that_of_student() -> None:
    cost = _summed(cost_rule=[1.0, 2.0, 3.0])["cost_rule"]["before"]["cost"]
    assert cost == pytest.approx([2.0, 2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5], abs=1e-5)


def test_shares_are_those_of_good_payments() -> None:
    before = _summed(cost_rule=[1.0, 2.0])["cost_rule"]["before"]
    assert before["tiers_good"] == {"frictionless": 0.9, "step_up": 0.06, "review": 0.03, "decline": 0.01}
    assert before["friction_share"][0] == pytest.approx(0.1)
    assert before["fraud_value_stopped"][0] == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("costs", "code"),
    [
        ({"deep_q": [1.0, 2.0]}, "runs_not_paired"),
        ({"cost_rule": [1.0, 2.0], "deep_q": [1.0]}, "runs_not_paired"),
        ({"cost_rule": [1.0]}, "too_few_seeds"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(costs: dict[str, list[float]], code: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        _summed(**costs)
    assert error.value.code == code


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return risk_adversary.run(TINY, seed=3)


def _alone(name: str) -> list[Any]:
    defender = risk_adversary.DEFENDERS[name](3, TINY.effort)
    log, _ = trained(defender, TINY, 3)
    told = []
    for each in played(defender, log, TINY, 3):
        sums = [tally._replace(decide_s=0.0, tiers_good=tally.tiers_good.tolist()) for tally in each[:2]]
        told.append([*sums, each.incomes, each.top])
    return told


@pytest.mark.parametrize("name", ["production", "fitted_q", "deep_q_ahead"])
def test_play_repeats_itself(name: str) -> None:
    assert repr(_alone(name)) == repr(_alone(name))


def test_run_tells_everything_of_every_defender(figures: dict[str, Any]) -> None:
    assert set(figures["defenders"]) == set(risk_adversary.DEFENDERS)
    assert set(figures["earns_its_place"]) == set(COLUMNS)
    for row in figures["defenders"].values():
        for column in COLUMNS:
            mean, low, high = row[column]["cost"]
            assert low <= mean <= high
            assert sum(row[column]["tiers_good"].values()) == pytest.approx(1.0, abs=1e-3)
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    lines = risk_adversary.table(figures)
    assert [line[0] for line in lines[1:]] == list(risk_adversary.DEFENDERS)
    assert {len(line) for line in lines} == {len(lines[0])}


def test_random_tiers_cost_most(figures: dict[str, Any]) -> None:
    rows = figures["defenders"]
    dearest = max(rows, key=lambda name: float(rows[name]["before"]["cost"][0]))
    assert dearest == "random"
