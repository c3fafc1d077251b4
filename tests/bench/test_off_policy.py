"""The check of evaluation off policy in small: errors, coverage, refusals, and the truth that they are held against."""

import json

import msgspec
import numpy as np
import pytest

from tongbao.bench import off_policy
from tongbao.bench.off_policy import CHANNELS, FLOOR, GROUPS, OffPolicyFigures


@pytest.fixture(scope="module")
def figures() -> OffPolicyFigures:
    return off_policy.run(24, seed=77, payments=25_000)


def test_run_in_small_gives_small_errors_and_honest_intervals(figures: OffPolicyFigures) -> None:
    assert figures.recommended == "dr"
    for name in ("snips", "dr", "difference"):
        assert figures.abs_error_points[name] < 0.5
        assert figures.coverage[name] >= 0.8
    assert figures.wrong_verdict_share <= 0.1


def test_run_refuses_the_stranger_and_nobody_else(figures: OffPolicyFigures) -> None:
    assert figures.refused_share[off_policy.REFUSED] == 1.0
    assert all(share < 0.2 for name, share in figures.refused_share.items() if name != off_policy.REFUSED)


def test_run_twice_gives_equal_figures() -> None:
    one, other = (off_policy.run(2, seed=8, payments=20_000) for _ in range(2))
    assert msgspec.structs.replace(one, seconds=0) == msgspec.structs.replace(other, seconds=0)
    assert json.loads(msgspec.json.encode(one))["replications"] == 2


def test_logger_writes_the_chances_by_which_it_chose() -> None:
    rng = np.random.default_rng(5)
    journal = off_policy.logged(off_policy.draw_world(rng), 30_000, rng)
    assert journal.chances.sum(axis=1) == pytest.approx(1)
    assert journal.chances.min() >= FLOOR - 1e-12
    chosen = journal.chances[np.arange(30_000), journal.action]
    # Weights of the right propensities average one: that is what makes the whole method work.
    assert np.mean((1 / CHANNELS) / chosen) == pytest.approx(1, abs=0.05)
    for channel in range(CHANNELS):
        expected = journal.chances[:, channel].mean()
        assert np.mean(journal.action == channel) == pytest.approx(expected, abs=0.01)


def test_targets_are_policies_for_every_group() -> None:
    rng = np.random.default_rng(6)
    for name, chances in off_policy.targets(off_policy.draw_world(rng), rng).items():
        assert chances.shape == (GROUPS, CHANNELS), name
        assert chances.sum(axis=1) == pytest.approx(1)
        assert chances.min() >= 0
