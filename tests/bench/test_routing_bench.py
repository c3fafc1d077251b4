"""The routing benchmark: what is promised follows from its rows, and a run tells everything that is asked of it."""

import json
from typing import Any

import pytest

from tongbao.bench import routing
from tongbao.bench.routing_measures import Row
from tongbao.bench.routing_world_draws import Regime, every_spec

KEYS = {
    "worst_regret_ratio",
    "stationary_ratio",
    "shed_payments_max",
    "uplift_points",
    "ope_abs_error_points",
    "ope_coverage",
    "decision_p99_us",
    "decisions_per_s",
}
NEITHER = dict.fromkeys(Row.__dataclass_fields__, 0.0)


def _row(regime: Regime, player: str = routing.OURS, **figures: Any) -> Row:
    return Row(**{**NEITHER, "regime": regime.value, "player": player, "best": "d_ucb", **figures})


def _rows() -> list[Row]:
    return [
        _row(Regime.STATIONARY, ratio_hedge=0.9, ratio_best=0.55, uplift_static_pp=-1.0),
        _row(Regime.DRIFT, ratio_hedge=0.4, ratio_best=2.0, uplift_static_pp=2.0, shed_max=9_000),
        _row(Regime.HARD_OUTAGE, ratio_hedge=0.61234, uplift_static_pp=5.0, shed_max=70, shed_count=3),
        _row(Regime.DRIFT, routing.REFERENCE, ratio_hedge=1.0, uplift_static_pp=40.0),
        _row(Regime.HARD_OUTAGE, "ucb1", ratio_hedge=3.0, shed_max=800, shed_count=3),
    ]


def test_headline_is_taken_from_our_rows_alone() -> None:
    assert routing.headline(_rows()) == {
        "worst_regret_ratio": 0.612,
        "stationary_ratio": 0.55,
        "shed_payments_max": 70,
        "uplift_points": 2.0,
    }


@pytest.mark.parametrize(("count", "expected"), [(0, 0), (1, 70)])
def test_headline_tells_of_shedding_only_where_an_outage_counted(count: int, expected: int) -> None:
    rows = [*_rows()[:2], _row(Regime.HARD_OUTAGE, shed_max=70, shed_count=count)]
    assert routing.headline(rows)["shed_payments_max"] == expected


def test_table_has_a_line_per_regime_and_no_interval_where_none_was_measured() -> None:
    told: list[dict[str, Any]] = [
        {"player": player, "regime": regime, "regret": regret, "ratio_hedge": 0.5, "ratio_best": 0.75}
        | {"best": "d_ucb", "uplift_static_pp": 1.25, "success_share": 0.9, "final_share": 0.95}
        for regime in ("drift", "swap")
        for player, regret in ((routing.OURS, 100.0), (routing.REFERENCE, 200.0))
    ]
    told[0] |= {"ratio_hedge_low": 0.4, "ratio_hedge_high": 0.6}
    rest = ("0.75 d_ucb", "+1.25", "90.00", "95.00")
    assert routing.table({"regimes": told}) == [
        ("drift", "100", "200", "0.50 (0.40-0.60)", *rest),
        ("swap", "100", "200", "0.50", *rest),
    ]


def test_quick_plays_whole_worlds_of_every_regime_with_the_reference_and_the_static_rules() -> None:
    assert routing.QUICK.payments == routing.FULL.payments
    assert {routing.REFERENCE, "static"} <= set(routing.QUICK.baselines) <= set(routing.FULL.baselines)


@pytest.mark.parametrize("is_joined", [True, pytest.param(False, marks=pytest.mark.nightly)])
def test_run_of_a_tiny_size_tells_every_figure_that_is_asked_for(is_joined: bool) -> None:
    told: list[str] = []
    sizes = routing.Sizes(2, 120, (routing.REFERENCE, "static"), 1, 50, is_joined)
    figures = routing.run(sizes, told.append)
    assert set(figures) >= KEYS
    assert all(isinstance(figures[key], int | float) for key in KEYS)
    assert figures["double_charges"] == 0
    found = {(row["regime"], row["player"]) for row in figures["regimes"]}
    players = (routing.OURS, routing.REFERENCE, "static")
    assert found == {(spec.label, player) for spec in every_spec() for player in players}
    assert len(routing.table(figures)) == len(every_spec())
    assert json.loads(json.dumps(figures)) == figures
    assert any("walks" in line for line in told)
