"""``tongbao decisions`` against a migrated database, as people and as programs read it."""

import sys
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
from tests.web.desk_calls import call, decided, heard, many, now, parsed, shown, write

from tongbao.core.db import Database
from tongbao.core.errors import Conflict, InvalidRequest, NotFound
from tongbao.core.ids import uuid_text
from tongbao.web.cli import main
from tongbao.web.commands import at_desk


@pytest.fixture(autouse=True)
def environment(dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TONGBAO_DATABASE_URL", dsn)
    monkeypatch.setenv("TONGBAO_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(at_desk.console, "width", 120)


async def test_explain_tells_every_decision_with_sentences(database: Database) -> None:
    first = decided(1, now() - timedelta(hours=1))
    second = decided(2, first.decided_at + timedelta(seconds=5), "beta", subject_id=first.subject_id)
    await write(database, [first, second], [heard(first, False)])
    payment = uuid_text("pi", first.subject_id)
    text = await shown("decisions", "explain", payment)
    assert "1. " in text
    assert "Over alpha: highest expected value, 85.0% (84.0%–86.0%) expected approval at a cost of" in text
    assert "→ alpha 60.00% 60.00 50.00 to 70.00 85.0%" in text
    assert "gamma 0.00% does not take this currency" in text
    assert "approved: 0 do_not_honor answer" in text
    assert "nothing was heard of it yet" in text
    chinese = await shown("decisions", "explain", payment, "--lang", "zh")
    assert "经由 alpha：预期收益最高" in chinese
    assert "不支持该币种" in chinese
    found = await parsed("decisions", "explain", payment)
    assert found["payment_intent"] == payment
    assert [each["id"] for each in found["decisions"]] == [first.reference, second.reference]
    assert found["decisions"][0]["outcomes"][0]["label"] == "do_not_honor"
    assert found["decisions"][0]["propensity"] == 0.6


async def test_explain_of_what_is_no_payment_is_refused(database: Database) -> None:
    with pytest.raises(InvalidRequest, match="id_malformed"):
        await call("decisions", "explain", "tr_1")
    with pytest.raises(NotFound, match="decisions_missing"):
        await call("decisions", "explain", uuid_text("pi", decided(99, now()).subject_id))
    assert (await call("decisions", "explain", "pi_x", "--lang", "fr")).exit_code == 2


def test_main_prints_what_is_wrong_in_one_line_and_exits_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tongbao", "decisions", "explain", "nonsense"])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (2, "")
    assert printed.err.startswith("id_malformed: a payment has an id of the form pi_")


async def test_export_writes_both_files_of_a_time(database: Database, tmp_path: Path) -> None:
    begin = now() - timedelta(days=3)
    decisions, outcomes = many(40, begin)
    await write(database, decisions, outcomes)
    span = ("--from", begin.isoformat(), "--to", (begin + timedelta(seconds=30)).isoformat())
    text = await shown("decisions", "export", *span, "--out", tmp_path / "out")
    assert text.startswith("30 decisions and 90 candidates")
    assert parquet.read_table(tmp_path / "out" / "decisions.parquet").num_rows == 30
    with pytest.raises(Conflict, match="export_exists"):
        await call("decisions", "export", *span, "--out", tmp_path / "out")
    found = await parsed(
        "decisions", "export", *span, "--out", tmp_path / "out", "--force", "--policy", "risk"
    )
    assert (found["decisions_count"], found["candidates_count"]) == (0, 0)
    assert Path(found["decisions_file"]).name == "decisions.parquet"
    nothing = await parsed("decisions", "export", *span, "--out", tmp_path / "test", "--test")
    assert nothing["decisions_count"] == 0


@pytest.mark.parametrize(
    "span",
    [("--from", "yesterday"), ("--to", "2026-13-01"), ("--from", "2026-02-01", "--to", "2026-02-01")],
)
async def test_export_of_a_time_that_is_none_is_refused(span: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="time_invalid"):
        await call("decisions", "export", *span, "--out", tmp_path / "out")
    with pytest.raises(NotFound, match="book_unknown"):
        await call("decisions", "export", "--book", "nobody", "--out", tmp_path / "out")
