"""Chaos drills against a whole house: what is broken degrades as promised, recovers, and costs nobody money."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tongbao.bench import chaos
from tongbao.bench.chaos_experiment import ExperimentReport
from tongbao.bench.chaos_faults import FAULTS


@pytest.fixture
def home() -> Iterator[Path]:
    # Not tmp_path: its parents are closed to the user that root's server runs as.
    folder = Path(tempfile.mkdtemp(prefix="tongbao-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


async def drilled(home: Path, *names: str) -> dict[str, ExperimentReport]:
    plan = msgspec.structs.replace(chaos.QUICK, only=names)
    report = await chaos.run(home, plan=plan, say=lambda _: None)
    assert report.sound, [(each.name, each.faults) for each in report.experiments if not each.recovered]
    assert report.money_errors == 0
    # A drill proves something only if there were orders in every phase.
    for each in report.experiments:
        if each.skipped is None:
            assert each.degraded is not None
            assert each.degraded.before.orders > 3
            assert each.degraded.during.orders > 3
            assert each.orders > 10
            assert each.events_missing == each.unresolved == each.unanswered == 0
    return {each.name: each for each in report.experiments}


@pytest.mark.nightly
async def test_drill_without_a_judge_and_without_a_receiver_costs_nobody_money(home: Path) -> None:
    found = await drilled(home, "kill-judge", "webhook-down")
    assert list(found) == ["kill-judge", "webhook-down"]
    judge = found["kill-judge"].alerts
    assert judge is not None
    # Payments go on at the tier for failures, and the house says why.
    assert any("risk_scoring_away" in event for event in judge.logged)
    assert any("scoring_away" in name for name in judge.counters)
    assert judge.told


@pytest.mark.nightly
async def test_drill_of_everything_recovers_from_everything(home: Path) -> None:
    found = await drilled(home)
    assert list(found) == list(FAULTS)
    database = found["kill-postgres"]
    assert database.degraded is not None
    assert database.degraded.share > 0.5
    assert database.alerts is not None
    assert database.alerts.readyz_unready
    for name in ("kill-api0", "kill-api1"):
        alerts = found[name].alerts
        assert alerts is not None
        # A busy machine lets the others miss a look, too.
        assert max(alerts.healthz_silent, key=alerts.healthz_silent.__getitem__) == name.removeprefix("kill-")
