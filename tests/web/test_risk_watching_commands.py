"""``tongbao risk``: capacity, settings of cases, fairness, looks at models, and what entries of lists did."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.web.desk_calls import call, parsed, shown
from tests.web.test_risk_commands import Serving

from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest, NotPermitted
from tongbao.core.ids import IdFactory
from tongbao.decisions.policy.rollout import RolloutOrder
from tongbao.decisions.service.decisions import Decisions
from tongbao.risk.models import artifact
from tongbao.risk.models.registry import NAMES
from tongbao.risk.schema.models import Alarm, AlarmKind, DriftFacts, Severity, Standing
from tongbao.risk.schema.watches import KeptAlarm, Watch
from tongbao.risk.service import compiling
from tongbao.risk.store import watches
from tongbao.web.commands import at_desk


@pytest.fixture(autouse=True)
def environment(dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TONGBAO_DATABASE_URL", dsn)
    monkeypatch.setenv("TONGBAO_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(at_desk.console, "width", 220)


@pytest.fixture(scope="module")
async def serving(database: Database, ids: IdFactory) -> AsyncIterator[Serving]:
    made = Serving(database, ids)
    await made.risk.following.start()
    await made.risk.prepare()
    yield made
    await made.risk.assessing.close()


async def test_tradeoff_is_shown_and_drafted(serving: Serving) -> None:
    with pytest.raises(InvalidRequest, match="tradeoff_empty"):
        await call("risk", "tradeoff", "--test")
    with pytest.raises(InvalidRequest, match="tradeoff_capacity_missing"):
        await call("risk", "tradeoff", "--draft")
    for value in (1_000, 9_000, 90_000):
        await serving.judge(value=value)
    text = await shown("risk", "tradeoff")
    assert "3 payments" in text
    assert "policy of today" in text
    assert "当前策略" in await shown("risk", "tradeoff", "--lang", "zh", "--reviews", 0)
    found = await parsed("risk", "tradeoff", "--reviews", 0, "--step-ups", 0)
    assert found["trade_off"]["payment_count"] == 3
    assert found["trade_off"]["spec_prices"] is not None
    assert found["drafted_version"] is None
    text = await shown("risk", "tradeoff", "--reviews", 0, "--step-ups", 0, "--draft", "--as", "mei")
    assert "risk version 1 is drafted" in text


async def test_settings_of_cases_are_changed_with_four_eyes(tmp_path: Path) -> None:
    assert "Version 0 is in force, built in." in await shown("risk", "case-settings", "show")
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"sla_h": {"critical": 0.5}}))
    change = ("risk", "case-settings", "change", file, "--note", "faster", "--as", "mei")
    assert "Version 1 is in force." in await shown(*change)
    file.write_text(json.dumps({"release_alone_max": 500_000}))
    assert "Version 2 waits for a second person." in await shown(*change)
    with pytest.raises(NotPermitted, match="case_same_person"):
        await call("risk", "case-settings", "approve", 2, "--as", "mei")
    assert "Version 2 is in force." in await shown("risk", "case-settings", "approve", 2, "--as", "li")
    found = await parsed("risk", "case-settings", "show")
    # What a file does not name stays as it is.
    assert found["spec"] == {"sla_h": {"critical": 0.5}, "release_alone_max": 500_000}
    assert "单人可放行上限" in await shown("risk", "case-settings", "show", "--lang", "zh")
    assert "faster" in await shown("risk", "case-settings", "history")
    file.write_text("[]")
    with pytest.raises(InvalidRequest, match="case_settings_invalid"):
        await call(*change)


async def test_fairness_is_told_without_small_groups(serving: Serving) -> None:
    await serving.judge()
    assert "too few to tell" in await shown("risk", "fairness")
    assert "发卡国家" in await shown("risk", "fairness", "--lang", "zh")
    found = await parsed("risk", "fairness", "--test")
    assert found["payment_count"] == 0


async def test_alarms_of_the_model_in_force_are_told(
    serving: Serving, database: Database, ids: IdFactory
) -> None:
    digest = await serving.risk.shelf.keep(artifact.by_judgement(NAMES), "mei", {})
    now = serving.clock.now()
    alarm = Alarm(
        kind=AlarmKind.FEATURE_DRIFT, severity=Severity.WARNING, value=0.4, high=0.2, subject="sign_vpn"
    )
    kept = KeptAlarm(alarm=alarm, since=now, last_at=now, worst=alarm.severity)
    watch = Watch(
        facts=DriftFacts(model=digest, at=now),
        alarms=(kept,),
        past=(),
        standing=Standing.KEEP,
        feature_count=3,
    )
    async with database.transaction() as connection:
        await watches.save(connection, True, watch)
    text = await shown("risk", "models")
    assert '"hidden network location" changed' in text
    assert "网络位置被隐藏" in await shown("risk", "models", "--lang", "zh")
    (found,) = await parsed("risk", "models")
    assert found["watch"]["alarms"][0]["alarm"]["subject"] == "sign_vpn"
    assert "Watch:" not in await shown("risk", "status")
    checkers = {compiling.POLICY: compiling.checker()}
    policies = Decisions(database, serving.clock, ids, checkers).policies
    drafted = await policies.draft("risk", {"model": digest}, "with a model", "mei")
    await policies.publish("risk", drafted.version, "mei")
    await policies.roll_out("risk", RolloutOrder(champion=drafted.version), "mei")
    assert "1 alarms" in await shown("risk", "status")
    assert (await parsed("risk", "status"))["watch"]["feature_count"] == 3


async def test_list_shows_what_its_entries_did(serving: Serving) -> None:
    await shown("risk", "lists", "declare", "seen", "--effect", "mark", "--note", "by test", "--as", "mei")
    await shown("risk", "lists", "add", "seen", "card", "card_seen", "--reason", "x", "--as", "mei")
    (found,) = await parsed("risk", "lists", "show", "seen")
    assert found["effect"]["payment_count"] == 0
    assert "Matched" in await shown("risk", "lists", "show", "seen")
