"""``tongbao routing`` against a migrated database: the board, health, notices, rules and the prior."""

from datetime import timedelta
from pathlib import Path

import pytest
from tests.web.desk_calls import attempted, call, many, now, parsed, shown, tell, write

from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest, NotFound
from tongbao.core.ids import IdFactory
from tongbao.routing.schema.payments import Mark
from tongbao.web.commands import at_desk

BEGIN = now() - timedelta(hours=30)
RULES = "big tickets: when amount > 100.40 CNY then only beta\n"


@pytest.fixture(autouse=True)
def environment(dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TONGBAO_DATABASE_URL", dsn)
    monkeypatch.setenv("TONGBAO_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("TONGBAO_CHANNELS_FILE", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(at_desk.console, "width", 160)


@pytest.fixture(scope="module", autouse=True)
async def past(database: Database, ids: IdFactory) -> None:
    """Alpha was well and is down since a minute; beta is well, and issuers refused more of it in the last day."""
    facts = []
    for number in range(600):
        at = BEGIN + timedelta(seconds=number)
        facts.append(attempted(ids, at, "alpha", Mark.APPROVED))
        refused = number % 20 == 0
        facts.append(
            attempted(
                ids, at, "beta", *((Mark.ISSUER_DECLINED, "do_not_honor") if refused else (Mark.APPROVED,))
            )
        )
        at += timedelta(hours=24)
        refused = number % 4 == 0
        facts.append(
            attempted(
                ids, at, "beta", *((Mark.ISSUER_DECLINED, "do_not_honor") if refused else (Mark.APPROVED,))
            )
        )
    down = now() - timedelta(seconds=4)
    facts += [attempted(ids, down, "alpha", Mark.TECHNICAL, "channel_unavailable") for _ in range(8)]
    facts.sort(key=lambda fact: fact.occurred_at)
    await tell(database, facts)
    await write(database, *many(1_000, BEGIN))


async def test_board_shows_what_the_router_believes() -> None:
    text = await shown("routing", "board")
    # It is half-open ten seconds after it went down.
    assert "card alpha open" in text or "card alpha half-open" in text
    assert "card beta closed 0.0%" in text
    found = {each["line"]["channel"]: each for each in await parsed("routing", "board")}
    alpha, beta = found["alpha"]["line"], found["beta"]["line"]
    assert (found["alpha"]["attempts"], found["beta"]["attempts"]) == (608, 1_200)
    assert alpha["breaker"] in {"open", "half_open"}
    assert alpha["technical_rate"] > 0.3
    assert 0 <= alpha["waiting_s"] <= 10
    assert beta["acceptance"]["low"] < beta["acceptance"]["value"] < beta["acceptance"]["high"]
    assert 0.6 < beta["acceptance"]["value"] < 0.9 < alpha["acceptance"]["value"]
    assert "No channel took a test payment" in await shown("routing", "board", "--test")


async def test_health_shows_rates_by_dimension() -> None:
    span = ("--from", BEGIN.date(), "--to", (now() + timedelta(days=1)).date())
    text = await shown("routing", "health", *span, "--by", "channel", "--by", "issuer")
    assert "beta 411111 1,200 85.0%" in text
    rows = await parsed("routing", "health", *span)
    assert [row["segment"]["channel"] for row in rows] == ["beta", "alpha"]
    assert "No attempts" in await shown("routing", "health", *span, "--test")
    with pytest.raises(InvalidRequest, match="health_dimension_invalid"):
        await call("routing", "health", "--by", "mark")
    assert (await call("routing", "health", "--by", "moon")).exit_code == 2


async def test_doctor_names_the_cause() -> None:
    middle = (BEGIN + timedelta(hours=12)).isoformat()
    span = ("--from", middle, "--baseline-from", BEGIN.date(), "--baseline-to", middle)
    text = await shown("routing", "doctor", *span)
    assert text.startswith("The approval rate fell")
    assert "declines of issuers" in text
    assert "支付成功率由" in await shown("routing", "doctor", *span, "--lang", "zh")
    assert (await parsed("routing", "doctor", *span))["verdict"] == "fell"
    assert (await call("routing", "doctor", "--baseline-from", "2026-01-01")).exit_code == 2


async def test_notices_are_told_newest_first() -> None:
    await call("routing", "board")  # whoever folds the facts first tells of the breaker
    text = await shown("routing", "notices")
    assert "is out of traffic for technical failures" in text
    assert [
        each["channel"] for each in (await parsed("routing", "notices", "--channel", "alpha"))["items"]
    ] == ["alpha"]
    assert "Nothing was announced" in await shown("routing", "notices", "--test")


async def test_rules_are_checked_with_line_and_column(tmp_path: Path) -> None:
    file = tmp_path / "rules.txt"
    file.write_text("big tickets:   when amount > 100.40 CNY   then only beta\n")
    text = await shown("routing", "rules", "check", file)
    assert text.startswith(RULES)
    assert "1 rules, all sound" in text
    found = await parsed("routing", "rules", "check", file)
    assert (found["valid"], found["rules"], found["canonical"]) == (True, ["big tickets"], RULES)
    file.write_text("far: when amount > 1 CNY then only betta\n")
    with pytest.raises(InvalidRequest, match=r"rules_invalid.*line 1, column 36.*did you mean beta"):
        await call("routing", "rules", "check", file)
    assert "betta" in await shown("routing", "rules", "check", file, "--channel", "betta")
    with pytest.raises(NotFound, match="file_missing"):
        await call("routing", "rules", "check", tmp_path / "none.txt")


async def test_rules_are_checked_by_the_file_of_channels_without_a_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TONGBAO_DATABASE_URL", "postgresql://eve@127.0.0.1:1/x")
    channels = tmp_path / "channels.toml"
    channels.write_text('[[channel]]\nname = "delta"\nadapter = "direct"\n')
    channels.chmod(0o600)
    monkeypatch.setenv("TONGBAO_CHANNELS_FILE", str(channels))
    file = tmp_path / "rules.txt"
    file.write_text("near: when amount > 1 CNY then prefer delta, wallet\n")
    assert (await parsed("routing", "rules", "check", file))["rules"] == ["near"]
    file.write_text("near: when amount > 1 CNY then prefer beta\n")
    with pytest.raises(InvalidRequest, match=r"rules_invalid.*no channel beta"):
        await call("routing", "rules", "check", file)


async def test_rules_are_tried_on_the_log(tmp_path: Path) -> None:
    old, new = tmp_path / "old.txt", tmp_path / "new.txt"
    old.write_text("")
    new.write_text(RULES)
    span = ("--from", BEGIN.isoformat())
    text = await shown("routing", "rules", "backtest", old, new, *span)
    assert text.startswith("1,000 payments, of which ")
    assert "payments would have left alpha" in text
    found = await parsed("routing", "rules", "backtest", old, new, *span)
    assert found["backtest"]["payments_count"] == 1_000
    assert found["backtest"]["rules"][0]["matched_count"] == 959
    assert "笔付款将离开 alpha" in await shown(
        "routing", "rules", "backtest", old, new, *span, "--lang", "zh"
    )
    with pytest.raises(NotFound, match="book_unknown"):
        await call("routing", "rules", "backtest", old, new, "--book", "nobody")


async def test_refreshing_the_prior_says_what_it_found() -> None:
    span = ("--from", BEGIN.isoformat())
    text = await shown("routing", "refresh-prior", *span, "--as", "ann")
    assert text.startswith("1,000 answers of issuers")
    assert "The prior is empty" in text
    assert "no draft was made" in text
    found = await parsed("routing", "refresh-prior", *span)
    assert (found["prior"], found["version"]) == ({}, None)
    with pytest.raises(InvalidRequest, match="prior_unknowable"):
        await call("routing", "refresh-prior", *span, "--test")
