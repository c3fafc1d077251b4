"""``tongbao risk`` against a migrated database: status, explanations, rules, lists, freezes, cases, labels, models."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tests.web.desk_calls import call, parsed, shown

from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.errors import Conflict, InvalidRequest, NotFound, NotPermitted
from tongbao.core.events.running import Events
from tongbao.core.ids import IdFactory, uuid_text
from tongbao.core.metrics import Metrics
from tongbao.decisions.service.decisions import Decisions
from tongbao.risk.models import artifact
from tongbao.risk.models.registry import NAMES
from tongbao.risk.policy.starter_rules import STARTER_RULES
from tongbao.risk.schema.signals import DeviceSign, Signals
from tongbao.risk.service import compiling
from tongbao.risk.service.assessor import Asked, Looked
from tongbao.risk.service.risk import Risk
from tongbao.web.commands import at_desk

BOOK = 7
NOBODY = "pi_00000000000000000000000000"
GOOD_RULES = """\
dear: when amount > 20 EUR then review because "dear" owner mei
    test "forty": amount = 40 EUR -> matches
"""
BAD_RULES = GOOD_RULES.replace("40 EUR", "4 EUR")


@pytest.fixture(autouse=True)
def environment(dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TONGBAO_DATABASE_URL", dsn)
    monkeypatch.setenv("TONGBAO_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(at_desk.console, "width", 180)


class Serving:
    """A process that judges payments and writes them down, beside the commands."""

    def __init__(self, database: Database, ids: IdFactory) -> None:
        self.ids = ids
        self.clock = FrozenClock(datetime.now(UTC) - timedelta(hours=1))
        decisions = Decisions(database, self.clock, ids, {compiling.POLICY: compiling.checker()})
        self.risk = Risk(database, self.clock, ids, decisions.policies, decisions.log, Metrics())
        self.events = Events(database, self.clock, ids, Metrics(), self.risk.subscriptions())

    async def judge(self, **fields: Any) -> Looked:
        """Judge a payment of 30.00 EUR as a merchant's own system asks."""
        self.clock.advance(timedelta(seconds=1))
        values: dict[str, Any] = {
            "id": self.ids.uuid(),
            "at": self.clock.now(),
            "book_id": BOOK,
            "live": True,
            "subject_id": self.ids.uuid(),
            "value": 3_000,
            "currency": "EUR",
            "method": "card",
            "customer": "cus_a",
            "card": "card_a",
        }
        looked = await self.risk.assessing.assess(Asked(signals=Signals(**(values | fields))))
        await self.settle()
        return looked

    async def settle(self) -> None:
        """Let facts be written into the journal and the rows."""
        await self.events.relay.prepare()
        await self.events.relay.place_all()
        for delivery in self.events.deliveries:
            while await delivery.step():
                pass
        while await self.risk.following.step():
            pass


@pytest.fixture(scope="module")
async def serving(database: Database, ids: IdFactory) -> AsyncIterator[Serving]:
    made = Serving(database, ids)
    await made.risk.following.start()
    await made.risk.prepare()
    yield made
    await made.risk.assessing.close()


def payment_of(looked: Looked) -> str:
    return looked.fact.signals.subject


def rules_file(folder: Path, text: str) -> Path:
    file = folder / "rules.txt"
    file.write_text(text)
    return file


async def test_status_tells_an_empty_house_and_a_busy_one(serving: Serving) -> None:
    text = await shown("risk", "status", "--test")
    assert "what is built in decides" in text
    assert "none was judged in the last day" in text
    assert "0 open, 0 assigned, 0 waiting" in text
    await serving.judge()
    text = await shown("risk", "status")
    assert "frictionless 1 100.0% 0 0 0 0" in text
    assert "too few payments to say whether they moved" in text
    found = await parsed("risk", "status")
    assert found["tiers"][0]["payment_count"] == 1
    assert found["score_shift"] is None


async def test_explain_tells_tier_reasons_and_features_in_both_languages(serving: Serving) -> None:
    fields = {"value": 9_000_000, "device_signs": DeviceSign.EMULATOR, "card": "card_new", "customer": ""}
    looked = await serving.judge(**fields)
    payment = payment_of(looked)
    text = await shown("risk", "explain", payment)
    assert f"1. {looked.fact.signals.at:%Y-%m-%d}" in text
    assert f"· {looked.tier.value} · chance of fraud" in text
    assert "by risk version 0, champion" in text
    assert "sign_emulator 1" in text
    assert "every payment starts at" in text
    assert "nothing became known of it yet" in text
    assert "设备信任度低" in await shown("risk", "explain", payment, "--lang", "zh")
    (found,) = await parsed("risk", "explain", payment)
    account = found["recalled"]["account"]
    total = account["base"] + sum(each["log_odds"] for each in account["parts"])
    assert total == pytest.approx(account["raw"], abs=1e-6)

    assert f"{payment} was fraud, says ann." in await shown(
        "risk", "label", payment, "--fraud", "--as", "ann"
    )
    await serving.settle()
    assert "fraud, says api" in await shown("risk", "explain", payment)
    assert "was good" in await shown("risk", "label", payment, "--good")


async def test_payment_that_nobody_judged_is_unknown() -> None:
    for command in (("explain", NOBODY), ("label", NOBODY, "--fraud")):
        with pytest.raises(NotFound, match="payment_not_judged"):
            await call("risk", *command)
    with pytest.raises(InvalidRequest, match="id_malformed"):
        await call("risk", "explain", "tr_1")
    assert (await call("risk", "label", NOBODY)).exit_code == 2


async def test_rules_are_checked_tested_and_back_tested(serving: Serving, tmp_path: Path) -> None:
    file = rules_file(tmp_path, GOOD_RULES)
    text = await shown("risk", "rules", "check", file)
    assert "dear: when amount > 20.00 EUR then review" in text
    assert "added – dear" in text
    assert "1 rules, 1 of 1 tests pass" in text
    assert "1 of 1 tests pass" in await shown("risk", "rules", "test", file)
    for value in (1_000, 3_000, 5_000):
        await serving.judge(value=value, card=f"card_{value}")
    text = await shown("risk", "rules", "backtest", file)
    assert "dear review" in text
    found = await parsed("risk", "rules", "backtest", file)
    assert found["backtest"]["rules"][0]["matched"]["all"]["count"] >= 2
    assert found["unproved_count"] == 0
    assert "规则“dear”命中" in await shown("risk", "rules", "backtest", file, "--lang", "zh")

    failing = rules_file(tmp_path, BAD_RULES)
    result = await call("risk", "rules", "test", failing)
    assert result.exit_code == 1
    assert "the test forty expects dear to match, and it does not" in result.output
    assert (await call("risk", "rules", "check", failing)).exit_code == 1
    with pytest.raises(InvalidRequest, match="rules_invalid"):
        await call("risk", "rules", "check", rules_file(tmp_path, "dear: when"))


async def test_starter_rules_are_written_once_and_pass_their_tests(tmp_path: Path) -> None:
    assert "card testing from an address" in await shown("risk", "rules", "starter")
    file = tmp_path / "starter.txt"
    assert "next: tongbao risk rules test" in await shown("risk", "rules", "starter", file)
    assert file.read_text() == STARTER_RULES
    with pytest.raises(Conflict, match="file_exists"):
        await call("risk", "rules", "starter", file)
    await shown("risk", "lists", "declare", "suspects", "--effect", "mark", "--note", "to be watched")
    await shown("risk", "rules", "test", file)


async def test_list_is_declared_filled_and_emptied() -> None:
    text = await shown("risk", "lists", "declare", "bad cards", "--effect", "block", "--note", "stolen")
    assert text.startswith("bad cards: whoever is on it is declined.")
    text = await shown(
        "risk", "lists", "add", "bad cards", "card", "card_x", "card_y", "--reason", "police", "--as", "mei"
    )
    entry = text.split()[0]
    assert "card card_y is on bad cards." in text
    assert "police" in await shown("risk", "lists", "show", "bad cards")
    assert "card card_x is off bad cards, removed by chen." in await shown(
        "risk", "lists", "remove", entry, "--reason", "found again", "--as", "chen"
    )
    left = await parsed("risk", "lists", "show", "bad cards")
    assert [each["value"] for each in left] == ["card_y"]
    assert len(await parsed("risk", "lists", "show", "bad cards", "--history")) == 2
    assert "bad cards block stolen" in await shown("risk", "lists", "list")
    assert await parsed("risk", "lists", "list", "--test") == []
    with pytest.raises(NotFound, match="list_not_found"):
        await call("risk", "lists", "show", "none")
    with pytest.raises(InvalidRequest, match="list_entry_invalid"):
        await call("risk", "lists", "add", "bad cards", "mcc", "1", "--reason", "x")


async def test_freeze_is_let_go_by_two_people() -> None:
    text = await shown("risk", "freeze", "card", "card_f", "--reason", "stolen", "--as", "mei")
    name = text.split(":")[0]
    with pytest.raises(Conflict, match="release_not_requested"):
        await call("risk", "approve", name, "--as", "chen")
    assert "waits for a second person; mei asked" in await shown(
        "risk", "release", name, "--why", "a mistake", "--as", "mei"
    )
    with pytest.raises(NotPermitted, match="four_eyes_required"):
        await call("risk", "approve", name, "--as", "mei")
    assert "stays frozen" in await shown(
        "risk", "release", name, "--refuse", "--why", "not yet", "--as", "chen"
    )
    await shown("risk", "release", name, "--why", "now", "--as", "mei")
    assert "is released" in await shown("risk", "approve", name, "--as", "chen")
    (found,) = await parsed("risk", "freezes", "--state", "released")
    assert (found["key"], found["frozen_by"]) == ("card_f", "mei")
    assert "card_f released stolen" in await shown("risk", "freezes")
    assert (await call("risk", "freeze", "ghost", "k", "--reason", "x")).exit_code == 2


async def test_cases_are_listed_and_shown_with_their_evidence(serving: Serving) -> None:
    with pytest.raises(NotFound, match="case_missing"):
        await call("risk", "cases", "show", "case_00000000000000000000000000")
    frozen = await shown("risk", "freeze", "card", "card_c", "--reason", "stolen", "--as", "mei")
    serving.clock.advance(timedelta(seconds=5))
    await serving.risk.freezing.refresh()
    looked = await serving.judge(card="card_c")
    assert looked.tier.value == "decline"
    found = await parsed("risk", "cases", "list", "--queue")
    (case,) = [each for each in found if each["key"] == "card_c"]
    name = uuid_text("case", UUID(case["id"]))
    assert name in await shown("risk", "cases", "list")
    text = await shown("risk", "cases", "show", name)
    assert f"Payment {payment_of(looked)} over 30.00 EUR" in text
    assert "Draft of the summary" in text
    assert "付款" in await shown("risk", "cases", "show", name, "--lang", "zh")
    assert frozen.startswith("frz_")


async def test_models_are_listed_and_a_card_without_facts_is_told(serving: Serving) -> None:
    assert "no model was kept yet" in await shown("risk", "models")
    digest = await serving.risk.shelf.keep(artifact.by_judgement(NAMES), "mei", {})
    assert f"{digest} scorecard" in await shown("risk", "models")
    with pytest.raises(NotFound, match="model_card_missing"):
        await call("risk", "models", "--card", digest)
    with pytest.raises(NotFound, match="model_unknown"):
        await call("risk", "models", "--card", "00")


async def test_every_command_says_what_it_does() -> None:
    text = await shown("risk", "--help")
    for name in (
        "status",
        "explain",
        "label",
        "models",
        "rules",
        "lists",
        "cases",
        "freeze",
        "release",
        "approve",
    ):
        assert name in text
    for group in ("rules", "lists", "cases"):
        assert (await call("risk", group, "--help")).exit_code == 0
