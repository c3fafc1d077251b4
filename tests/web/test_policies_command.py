"""``tongbao policies`` against a migrated database: a policy from a draft to traffic and back."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from tests.web.desk_calls import attempted, call, many, now, parsed, shown, tell, write

from tongbao.core.db import Database
from tongbao.core.errors import Conflict, InvalidRequest, NotFound
from tongbao.core.ids import IdFactory
from tongbao.routing.schema.payments import Mark
from tongbao.web.commands import at_desk


@pytest.fixture(autouse=True)
def environment(dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TONGBAO_DATABASE_URL", dsn)
    monkeypatch.setenv("TONGBAO_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(at_desk.console, "width", 140)


@pytest.fixture(scope="module", autouse=True)
async def past(database: Database, ids: IdFactory) -> None:
    """A log of 1,500 decisions, and facts that name the channels of the house."""
    begin = now() - timedelta(days=2)
    await write(database, *many(1_500, begin))
    await tell(database, [attempted(ids, begin, name, Mark.APPROVED) for name in ("alpha", "beta", "gamma")])


def spec(folder: Path, name: str, **fields: object) -> Path:
    file = folder / name
    file.write_text(json.dumps(fields))
    return file


async def test_policy_goes_from_draft_to_traffic_and_back(tmp_path: Path) -> None:
    assert "routing built in" in await shown("policies", "list")
    assert "has no versions" in await shown("policies", "show")
    text = await shown(
        "policies", "draft", spec(tmp_path, "a.json", margin_bps=250), "--note", "first", "--as", "ann"
    )
    assert text.startswith("routing version 1 is a draft.")
    assert "is published" in await shown("policies", "publish", 1, "--as", "ann")
    assert "version 1 decides." in await shown("policies", "rollout", "--champion", 1, "--as", "ann")

    toml = tmp_path / "b.toml"
    toml.write_text('strategy = "priority"\norder = ["alpha"]\n')
    made = await parsed("policies", "draft", toml, "--as", "bob")
    assert (made["version"], made["spec"]["order"]) == (2, ["alpha"])
    with pytest.raises(Conflict, match="policy_not_replayed"):
        await call("policies", "publish", 2)
    assert "Version 2 of routing was replayed on 1,500 decisions" in await shown(
        "policies", "replay", 2, "--as", "bob"
    )
    report = await parsed("policies", "replay", 2, "--from", (now() - timedelta(days=3)).date())
    assert (report["verdict"], report["count"]) == ("better", 1_500)
    assert "重放了 routing 第 2 版" in await shown("policies", "replay", 2, "--lang", "zh")
    await call("policies", "publish", 2, "--as", "bob")
    order = (
        "--champion",
        1,
        "--challenger",
        2,
        "--share",
        12.5,
        "--guardrail",
        "approved:0.01",
        "--note",
        "try",
    )
    text = await shown("policies", "rollout", *order, "--as", "bob")
    assert text == "routing, roll-out 2: version 1 decides, version 2 for 12.5 % of the payments."
    assert "routing 2 published 1 2 12.5 %" in await shown("policies", "list")
    shown_text = await shown("policies", "show")
    assert "2 published challenger 12.5 %" in shown_text
    assert "1 published champion" in shown_text
    assert json.loads((await call("policies", "show", "--version", 2)).output)["order"] == ["alpha"]

    assert "version 1 decides." in await shown(
        "policies", "return", "--reason", "just in case", "--as", "cid"
    )
    await call("policies", "rollout", *order, "--as", "bob")
    with pytest.raises(Conflict, match="policy_changed"):
        await call("policies", "promote", "--epoch", 2)
    assert (await parsed("policies", "promote", "--as", "ann"))["champion"] == 2
    text = await shown("policies", "changes")
    assert "cid returned" in text
    assert "ann promoted" in text
    lines = await parsed("policies", "changes", "--after", 1, "--limit", 2)
    assert [(each["actor"], each["action"]) for each in lines] == [
        ("ann", "published"),
        ("ann", "rolled_out"),
    ]
    assert "more lines: --after 3" in await shown("policies", "changes", "--after", 1, "--limit", 2)
    listed = await parsed("policies", "list")
    assert listed[0]["rollout"]["champion"] == 2


async def test_actor_is_the_user_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "dora")
    made = await parsed("policies", "draft", spec(tmp_path, "c.json", margin_bps=1), "--policy", "routing/7")
    assert (made["policy"], made["created_by"]) == ("routing/7", "dora")
    with pytest.raises(InvalidRequest, match="actor_invalid"):
        await call("policies", "draft", spec(tmp_path, "d.json"), "--as", " ")


async def test_draft_of_what_is_no_specification_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="file_missing"):
        await call("policies", "draft", tmp_path / "none.json")
    with pytest.raises(InvalidRequest, match="file_unreadable"):
        await call("policies", "draft", tmp_path)
    for name, text, code in (
        ("bad.json", "{", "policy_file_invalid"),
        ("list.json", "[]", "policy_file_invalid"),
        ("bad.toml", "= 1", "policy_file_invalid"),
        ("unknown.json", '{"surprise": 1}', "policy_spec_invalid"),
        ("channel.json", '{"order": ["nowhere"]}', "policy_spec_invalid"),
        ("prior.json", '{"prior": {"alpha": {"color=red": 1}}}', r"policy_spec_invalid.*prior\.alpha"),
    ):
        file = tmp_path / name
        file.write_text(text)
        with pytest.raises(InvalidRequest, match=code):
            await call("policies", "draft", file)
    big = tmp_path / "big.json"
    big.write_bytes(b" " * 1_000_001)
    with pytest.raises(InvalidRequest, match="file_unreadable"):
        await call("policies", "draft", big)


async def test_acts_on_what_is_not_there_are_refused() -> None:
    with pytest.raises(NotFound, match="policy_version_unknown"):
        await call("policies", "show", "--version", 99)
    with pytest.raises(NotFound, match="policy_version_unknown"):
        await call("policies", "replay", 99)
    with pytest.raises(NotFound, match="policy_not_rolled_out"):
        await call("policies", "promote", "--policy", "routing/99")
    for wrong in ("approved", "approved:much", "a:b:c"):
        with pytest.raises(InvalidRequest, match="guardrail_invalid"):
            await call("policies", "rollout", "--champion", 1, "--guardrail", wrong)
    with pytest.raises(InvalidRequest, match="share_invalid"):
        await call("policies", "rollout", "--champion", 1, "--share", 0.001)
    assert (await call("policies", "rollout", "--champion", 1, "--share", 101)).exit_code == 2
    assert (await call("policies", "return")).exit_code == 2
    assert (await call("policies", "publish", 0)).exit_code == 2


async def test_policies_of_risk_control_are_drafted_and_published_like_any(tmp_path: Path) -> None:
    file = tmp_path / "risk.json"
    file.write_text('{"step_up_price": 12.5}')
    made = await parsed("policies", "draft", file, "--policy", "risk", "--as", "ann")
    assert (made["policy"], made["spec"]["step_up_price"]) == ("risk", 12.5)
    published = await parsed("policies", "publish", made["version"], "--policy", "risk", "--as", "ann")
    assert published["state"] == "published"
    file.write_text('{"fallback": "perhaps"}')
    with pytest.raises(InvalidRequest, match=r"policy_spec_invalid.*fallback"):
        await call("policies", "draft", file, "--policy", "risk")
    order = ("--policy", "risk", "--champion", 1, "--challenger", 2, "--share", 5)
    with pytest.raises(InvalidRequest, match=r"policy_rollout_invalid.*decline, frictionless.*not declined"):
        await call("policies", "rollout", *order, "--guardrail", "lower:chosen=declined:0.02")
    with pytest.raises(NotFound, match="policy_version_unknown"):
        await call("policies", "rollout", *order, "--guardrail", "lower:chosen=decline:0.02")
    file.write_text('{"model": "00ff"}')
    with pytest.raises(NotFound, match="model_unknown"):
        await call("policies", "draft", file, "--policy", "risk")
    with pytest.raises(InvalidRequest, match=r"replay_empty|replay_order_invalid"):
        await call("policies", "replay", made["version"], "--policy", "risk", "--test")
