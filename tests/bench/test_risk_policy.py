"""The policy benchmark in small: a world with known truth, costs in their order, and honest intervals."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tongbao.bench import risk_policy
from tongbao.bench.risk_policy import Sizes, run, table
from tongbao.bench.risk_policy_tried import ALL_STEP_UP, DECLINING, KNOWN, NONE, PRODUCTION, THRESHOLDS
from tongbao.bench.risk_policy_world import (
    Events,
    Scored,
    World,
    calibrated,
    read_scores,
    score,
    thinned,
    world_of,
)
from tongbao.core.errors import InvalidRequest

DAY_S = 86_400
SMALL = Sizes(payments=10_000, draws=10, runs=2, replications=2)


def scored_of(seed: int, count: int = 10_000) -> Scored:
    """Payments of 42 days of which one in a hundred is fraud, and a score that knows most of it."""
    rng = np.random.default_rng(seed)
    chance = np.where(rng.random(count) < 0.02, rng.beta(2, 2, count), rng.beta(0.05, 50, count))
    at_s = np.sort(rng.integers(0, 42 * DAY_S, count))
    return Scored(
        at_s=at_s,
        score=chance**0.7,
        value=np.floor(rng.lognormal(8.5, 0.8, count)).astype(np.int64),
        is_fraud=rng.random(count) < chance,
        history=rng.integers(0, 100, count),
        is_past=at_s < 21 * DAY_S,
    )


@pytest.fixture(scope="module")
def scored() -> Scored:
    return scored_of(1)


@pytest.fixture(scope="module")
def figures(scored: Scored) -> dict[str, Any]:
    return run(scored, SMALL, seed=3)


def test_run_costs_less_than_no_control_and_no_more_than_thresholds(figures: dict[str, Any]) -> None:
    rows = figures["policies"]
    assert figures["policy_cost"] == rows[PRODUCTION]["cost"] < 0.6 * rows[NONE]["cost"]
    assert figures["ratio_to_none"] == pytest.approx(rows[PRODUCTION]["cost"] / rows[NONE]["cost"], abs=1e-3)
    assert rows[PRODUCTION]["cost"] < 1.05 * rows[THRESHOLDS]["cost"]
    # It begins with priors and sees few frauds here; with more payments it comes as near as chance lets one tell.
    assert rows[PRODUCTION]["cost"] < 1.2 * rows[KNOWN]["cost"]
    assert rows[DECLINING]["cost"] == figures["policy_cost_decline"] <= rows[PRODUCTION]["cost"]
    gap = figures["against_thresholds"]
    assert gap["value"] == pytest.approx(rows[PRODUCTION]["cost"] - rows[THRESHOLDS]["cost"], abs=1e-4)
    assert gap["low"] <= gap["value"] <= gap["high"]


def test_run_tells_intervals_and_shares_that_make_sense(figures: dict[str, Any]) -> None:
    for row in figures["policies"].values():
        assert row["low"] <= row["cost"] <= row["high"]
        mean, low, high = row["drawn"]
        assert low <= mean <= high
        assert mean == pytest.approx(row["cost"], rel=0.15)
        assert sum(row["shares"].values()) == pytest.approx(1, abs=1e-4)
        assert 0 <= row["fraud_value_stopped"] <= 1
    assert figures["policies"][PRODUCTION]["shares"]["decline"] == 0
    assert figures["policies"][DECLINING]["shares"]["decline"] > 0


def test_run_judges_off_policy_only_what_the_log_can_tell(figures: dict[str, Any]) -> None:
    judged = {name: row["off_policy"] for name, row in figures["policies"].items()}
    assert judged[ALL_STEP_UP]["refusal"] == "agreement_low"
    assert judged[DECLINING]["refusal"] == "support_missing"
    own = judged[THRESHOLDS]
    assert own["refusal"] is None
    assert set(own["estimates"]) == {"ips", "snips", "dr"}
    value, low, high = own["estimates"]["dr"]
    assert low <= value <= high
    assert low <= own["truth"] <= high
    assert figures["off_policy_covered_share"] >= 0.7


def test_run_learns_rates_near_the_true_ones(figures: dict[str, Any]) -> None:
    learned = figures["learned"]
    assert learned["step_up_lost_known"] == pytest.approx(0.06, abs=0.04)
    assert learned["step_up_caught_known"] == pytest.approx(0.90, abs=0.08)


def test_run_again_gives_equal_figures_and_another_seed_others(scored: Scored) -> None:
    sizes = SMALL._replace(payments=4_000, draws=4, runs=1, replications=1, is_declining=False)
    one, again, other = (run(scored, sizes, seed=seed) for seed in (3, 3, 4))
    assert one | {"seconds": 0} == again | {"seconds": 0}
    assert one["policies"][PRODUCTION]["drawn"] != other["policies"][PRODUCTION]["drawn"]
    assert one["policy_cost_decline"] is None
    assert json.loads(json.dumps(one))["payments"] == one["payments"]


def test_table_has_a_line_of_each_policy(figures: dict[str, Any]) -> None:
    lines = table(figures)
    assert [line[0] for line in lines] == list(figures["policies"])
    assert {len(line) for line in lines} == {6}


def test_world_draws_average_to_its_expectation() -> None:
    world = world_of(scored_of(2, 200))
    assert isinstance(world, World)
    expected = world.expected()
    rng = np.random.default_rng(1)
    for place in range(4):
        tier = np.full(200, place)
        drawn = np.mean([world.drawn(tier, rng.random(200)) for _ in range(2_000)], axis=0)
        assert drawn.mean() == pytest.approx(expected[:, place].mean(), rel=0.05)
    harm = expected[:, 0]
    assert (expected[harm > 0, 3] == 0).all()
    assert expected[harm == 0, 3].min() >= 2.0


def test_thinned_keeps_order_and_takes_evenly(scored: Scored) -> None:
    few = thinned(scored, 1_000)
    assert len(few.score) == 1_000
    assert (np.diff(few.at_s) >= 0).all()
    assert few.is_past.mean() == pytest.approx(scored.is_past.mean(), abs=0.01)
    assert thinned(scored, 10**6) is scored


def test_calibrated_chances_average_to_the_share_of_frauds_in_the_past(scored: Scored) -> None:
    chance = calibrated(scored)
    assert chance[scored.is_past].mean() == pytest.approx(scored.is_fraud[scored.is_past].mean(), rel=0.02)


def test_calibrated_does_not_see_the_present(scored: Scored) -> None:
    fields = {name: getattr(scored, name) for name in Scored.__struct_fields__}
    lying = Scored(**fields | {"is_fraud": np.where(scored.is_past, scored.is_fraud, ~scored.is_fraud)})
    assert np.array_equal(calibrated(scored), calibrated(lying))


def test_score_trains_on_weeks_before_and_drops_cards_known_for_fraud() -> None:
    rng = np.random.default_rng(5)
    count = 24_000
    at_s = np.sort(rng.integers(0, 157 * DAY_S, count))
    signal = rng.random(count)
    events = Events(
        at_s=at_s,
        card=rng.integers(0, 4_000, count),
        value=rng.integers(100, 10_000, count),
        is_fraud=rng.random(count) < np.where(signal > 0.9, 0.5, 0.005),
    )
    features = np.stack([signal, rng.random(count)], axis=1)
    scored = score(features, np.arange(count), events)
    day = scored.at_s // DAY_S
    assert sorted(set(day.tolist())) == [*range(108, 122), *range(129, 157)]
    assert (day[scored.is_past].max(), day[~scored.is_past].min()) == (135, 136)
    assert scored.score[scored.is_fraud].mean() > 5 * scored.score[~scored.is_fraud].mean()
    rows = scored.history  # here the number of the row
    known = set(events.card[events.is_fraud & (events.at_s // DAY_S >= 136) & (events.at_s // DAY_S < 143)])
    assert known
    assert not known & set(events.card[rows[day >= 150]])


def test_read_scores_gives_what_was_written_and_names_what_is_missing(scored: Scored, tmp_path: Path) -> None:
    fields = {name: getattr(scored, name) for name in Scored.__struct_fields__}
    np.savez(tmp_path / "whole.npz", **fields)
    assert np.array_equal(read_scores(tmp_path / "whole.npz").score, scored.score)
    np.savez(tmp_path / "part.npz", score=scored.score)
    with pytest.raises(InvalidRequest) as error:
        read_scores(tmp_path / "part.npz")
    assert error.value.code == "scores_invalid"
    assert "history" in error.value.detail


@pytest.mark.parametrize(
    "broken",
    [
        {"value": np.ones(3, dtype=np.int64)},
        {"at_s": np.arange(10_000)[::-1]},
        {"is_fraud": np.zeros(10_000, dtype=np.bool_)},
        {"is_past": np.ones(10_000, dtype=np.bool_)},
    ],
)
def test_run_on_what_are_no_scores_is_refused(scored: Scored, broken: dict[str, Any]) -> None:
    fields = {name: getattr(scored, name) for name in Scored.__struct_fields__}
    with pytest.raises(InvalidRequest) as error:
        run(Scored(**fields | broken), SMALL)
    assert error.value.code == "scores_invalid"


def test_main_prints_a_table_and_json_last(
    scored: Scored, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = thinned(scored, 4_000)
    np.savez(tmp_path / "scores.npz", **{name: getattr(few, name) for name in Scored.__struct_fields__})
    monkeypatch.setattr("sys.argv", ["risk_policy", str(tmp_path / "scores.npz"), "--quick"])
    risk_policy.main()
    lines = capsys.readouterr().out.splitlines()
    assert json.loads(lines[-1])["policy_cost"] > 0
    assert lines[0].startswith(NONE)
