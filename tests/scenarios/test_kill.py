"""Nothing is lost or doubled when processes and PostgreSQL are killed under load: the kill drill, by seeds."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tongbao.bench import kill


@pytest.fixture
def home() -> Iterator[Path]:
    # Not tmp_path: its parents are closed to the user that root's server runs as.
    folder = Path(tempfile.mkdtemp(prefix="tongbao-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


async def check(home: Path, *, seconds: float, seed: int) -> None:
    report = await kill.run(home, seconds=seconds, seed=seed)
    assert report.sound, report
    # The drill proves something only if there was a load, limits bit, repeats came and everything was killed.
    assert sorted(report.kills) == ["postgres", "postgres", "sealer", "worker", "worker"]
    assert report.posted > 200
    assert report.sent > report.acknowledged
    assert report.refusals.get("below_floor", 0) + report.refusals.get("above_ceiling", 0) > 0
    assert report.repeats > 10
    assert report.seal_count > 2
    assert report.deadlocks == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 3))
async def test_kill_processes_and_database_under_load_loses_and_doubles_nothing(
    home: Path, seed: int
) -> None:
    await check(home, seconds=4.0, seed=seed)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", [3, *range(101, 121)])
async def test_kill_at_many_other_seeds_loses_and_doubles_nothing(home: Path, seed: int) -> None:
    await check(home, seconds=10.0, seed=seed)
