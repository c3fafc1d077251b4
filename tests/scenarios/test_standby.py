"""The standby drill: its figures say what was felt, and a small drill over two real servers loses nothing."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tongbao.bench import standby
from tongbao.bench.standby import Marks, Paid, StandbyReport, figures

MARKS = Marks(begun=0.0, killed=10.0, promoting=13.0, promoted=13.5, ended=20.0)


@pytest.fixture
def home() -> Iterator[Path]:
    # Not tmp_path: its parents are closed to the user that root's server runs as.
    folder = Path(tempfile.mkdtemp(prefix="tongbao-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_figures_of_a_fail_over_measure_from_the_kill_to_the_first_payment_after_it() -> None:
    paid = [Paid(8.0, 8.1), Paid(9.8, 9.9), Paid(9.95, 14.0), Paid(13.6, 13.9), Paid(15.0, 15.1)]
    found = figures(paid, MARKS)
    assert found.failover_s == pytest.approx(3.9)
    assert found.without_write_s == pytest.approx(4.0)
    assert (found.waited, found.before, found.after) == (1, 2, 3)


def test_figures_without_a_payment_after_the_kill_last_to_the_end() -> None:
    found = figures([Paid(9.8, 9.9)], MARKS)
    assert found.failover_s == pytest.approx(10.0)
    assert found.without_write_s == pytest.approx(10.1)
    assert (found.waited, found.before, found.after) == (0, 1, 0)


def test_figures_count_no_payment_that_was_slow_after_everything_went_on() -> None:
    paid = [Paid(9.0, 9.1), Paid(13.0, 13.6), Paid(16.0, 19.0)]
    assert figures(paid, MARKS).waited == 1


@pytest.mark.nightly
async def test_drill_over_two_servers_loses_and_doubles_nothing(home: Path) -> None:
    told: list[str] = []
    report = await standby.run(home, plan=standby.QUICK, say=told.append)
    assert report.sound, report.faults
    assert (report.lost, report.doubled, report.unresolved) == (0, 0, 0)
    assert (report.synchronous_commit, report.standby_state) == ("on", "sync")
    assert report.acknowledged_after_kill > 0
    assert report.console_reads > report.console_reads_failed == 0
    assert any("the standby takes writes" in line for line in told)
    for wrong in ({"lost": 1}, {"doubled": 1}, {"books_equal": False}, {"standby_state": "async"}):
        assert not _with(report, **wrong).sound


def _with(report: StandbyReport, **changes: object) -> StandbyReport:
    return msgspec.structs.replace(report, **changes)
