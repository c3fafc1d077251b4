"""The benchmark of risk control: what it promises to tell, that its proofs can fail, and that it is honest without data."""

import os
import random
from pathlib import Path

import numpy as np
import pytest

from tongbao.bench import risk, risk_data, risk_equality, risk_quality, risk_speed
from tongbao.bench.risk_data import Payments
from tongbao.core.errors import InvalidRequest, NotFound
from tongbao.risk.models.registry import NAMES
from tongbao.risk.models.state import FeatureState
from tongbao.risk.policy import rules_text

KEYS = {
    *("ap_7d", "ap_28d", "cp100", "decision_p99_us", "decisions_per_s", "http_p99_ms", "policy_cost"),
    "online_offline_equal",
}
TINY = risk.Sizes(40, (115,), is_quick=True)


def small(count: int = 3_000) -> Payments:
    return risk_equality.synthetic(count)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few lessons and events, and no data from the environment."""
    monkeypatch.setattr(risk_speed, "LESSONS", 9_000)
    monkeypatch.setattr(risk_speed, "WARM_UP", 20)
    monkeypatch.setattr(risk_equality, "EVENTS", 500)
    monkeypatch.delenv(risk_data.FOLDER_VARIABLE, raising=False)


@pytest.mark.usefixtures("fast")
def test_run_without_data_tells_speed_and_equality_and_says_what_is_missing() -> None:
    said: list[str] = []
    figures = risk.run(TINY, said.append)
    assert set(figures) >= KEYS
    assert {name for name in KEYS if figures[name] is None} == {
        *("ap_7d", "ap_28d", "cp100", "http_p99_ms", "policy_cost")
    }
    assert figures["online_offline_equal"] is True
    assert figures["decision_p99_us"] > figures["speed"]["p50_us"] > 0
    assert figures["ratio_to_json"] > 0
    assert figures["data"] == risk.NO_DATA
    assert any(risk.NO_DATA in line for line in said)
    assert risk.tables(figures) == []


@pytest.mark.usefixtures("fast")
def test_named_file_that_is_not_there_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no file"):
        risk.run(TINY, lambda _: None, tmp_path / "none.parquet")


def test_folder_of_the_environment_is_taken_where_no_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(risk_data.FOLDER_VARIABLE, str(tmp_path))
    (tmp_path / risk_data.FILE_NAME).write_bytes(b"")
    assert risk_data.find(None) == tmp_path / risk_data.FILE_NAME
    monkeypatch.delenv(risk_data.FOLDER_VARIABLE)
    assert risk_data.find(None) is None


@pytest.mark.parametrize("seconds", [[5, 4], [-1, 4], []])
def test_file_of_something_else_is_refused(tmp_path: Path, seconds: list[int]) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    ones = [1] * len(seconds)
    path = tmp_path / "file.parquet"
    parquet.write_table(arrow.table({"t": seconds} | dict.fromkeys(risk_data.COLUMNS[1:], ones)), path)
    with pytest.raises(InvalidRequest, match="no payments in order"):
        risk_data.read(path)
    parquet.write_table(arrow.table({"t": seconds}), path)
    with pytest.raises(InvalidRequest, match="no file of payments"):
        risk_data.read(path)


def test_features_live_equal_those_of_the_file_also_after_a_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(risk_equality, "KILLED_AFTER", 1)
    found = risk_equality.measure(small(7_600), kills=True)
    assert found.live
    assert found.rebuilt
    assert 0 < found.rebuilt_from <= found.entries
    assert found.us_per_event > 0


def test_equality_is_denied_where_a_label_is_told_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(risk_equality, "KILLED_AFTER", 1)
    payments = small()
    log = risk_equality.entries(payments)
    late = log.copy()
    is_label = late[:, 0] == risk_equality.LABEL
    late[is_label, 1] += 3 * 86_400_000
    late = np.ascontiguousarray(late[np.argsort(late[:, 1], kind="stable")])
    expected = risk_data.features(payments)
    assert np.array_equal(risk_equality._fold(FeatureState(), log), expected, equal_nan=True)
    assert not np.array_equal(risk_equality._fold(FeatureState(), late), expected, equal_nan=True)


def test_groups_of_the_ablation_are_features_of_the_registry() -> None:
    groups = risk_quality.groups()
    assert groups.pop("all features") == NAMES
    assert len(groups["the book's 15"]) == 15
    for name, names in groups.items():
        assert set(names) < set(NAMES), name
        assert len(set(names)) == len(names) > 0


def test_quality_learns_from_the_weeks_of_the_protocol_and_is_told_in_a_table() -> None:
    payments = many()
    given = risk_data.stream(payments, risk_data.features(payments))
    week = risk_quality.measure(given, (40,), bags=1)
    assert week.ap > 0.3
    figures = dict.fromkeys(risk.KEYS) | {"ap_7d": week.ap, "folds_7d": week._asdict()}
    ((_, heads, lines),) = risk.tables(figures)
    assert len(lines) == len(risk_quality.PUBLISHED) + 1
    assert {len(line) for line in lines} == {len(heads)}
    assert lines[-1][0] == "ours, 7 days of labels"


def many() -> Payments:
    """Sixty-two days with enough fraud for a fold that begins on day 40."""
    rng = np.random.default_rng(8)
    count = 24_000
    at_ms = risk_data.FIRST_DAY_MS + np.sort(rng.integers(0, 62 * 86_400, count)) * 1000
    customer, merchant = rng.integers(0, 4_000, count), rng.integers(0, 300, count)
    is_fraud = (merchant < 6) | (rng.random(count) < 0.002)
    value = (rng.lognormal(8.0, 0.4, count) * np.where(is_fraud, 5, 1)).astype(np.int64)
    return Payments(at_ms=at_ms, customer=customer, merchant=merchant, value=value, is_fraud=is_fraud)


def test_payments_of_the_speed_know_five_entities_and_thirty_rules_are_read() -> None:
    signals = risk_speed.payment(3, random.Random(1))
    assert all((signals.customer, signals.card, signals.device, signals.merchant, signals.address))
    assert len(rules_text.parse(risk_speed.rules()).rules) == risk_speed.RULES


@pytest.mark.skipif(
    "TONGBAO_DATA" not in os.environ, reason="TONGBAO_DATA names no folder with handbook_dev.parquet"
)
@pytest.mark.slow
def test_one_fold_of_the_handbook_is_better_than_the_best_published() -> None:
    path = risk_data.find(None)
    assert path is not None
    found = risk.quality(path, TINY)
    assert found["ap_7d"] > 0.70
    assert found["cp100"] > 0.28
