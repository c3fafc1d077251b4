"""The example of a risk model is run, keeps the promises of a scorer, and what it keeps can decide and be taken back."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from tests.risk.test_retraining import DAYS, Year

from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest
from tongbao.decisions.policy.rollout import RolloutOrder
from tongbao.risk.models import artifact
from tongbao.risk.models.registry import NAMES
from tongbao.risk.policy.model_card import model_card
from tongbao.risk.service.compiling import POLICY
from tongbao.risk.service.retraining import card_of

ROOT = Path(__file__).parent.parent
FILE = ROOT / "examples/own_risk_model.py"
PRINTED = ROOT / "examples/own_risk_model.txt"
PAYMENTS = 1_800


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("own_risk_model", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
async def year(database: Database) -> Year:
    made = Year(database)
    await made.live_through(PAYMENTS, DAYS)
    return made


def test_example_prints_what_is_documented(example: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    example.tour()
    assert capsys.readouterr().out == PRINTED.read_text()


def test_page_holds_what_the_example_prints() -> None:
    assert PRINTED.read_text() in (ROOT / "docs/howto/add-a-model.md").read_text()


def test_learning_twice_gives_equal_models_that_score_whatever_is_unknown(example: ModuleType) -> None:
    given = example.story()
    model = example.learn(given)
    assert artifact.dump(example.learn(given)) == artifact.dump(model)
    scorer = artifact.ModelScorer(model, NAMES)
    before = given.x.copy()
    scores = scorer.score(np.vstack([given.x, np.full(len(NAMES), np.nan)]))
    assert ((scores > 0) & (scores < 1)).all()
    np.testing.assert_array_equal(given.x, before)


def test_learning_from_too_few_frauds_is_refused(example: ModuleType) -> None:
    given = example.story()
    with pytest.raises(InvalidRequest) as refused:
        example.learn(given.part(~given.is_fraud))
    assert refused.value.code == "too_few_labels"


async def test_offer_keeps_a_model_that_a_policy_can_name_and_the_watch_can_look_at(
    example: ModuleType, year: Year
) -> None:
    policies, shelf = year.decisions.policies, year.shelf
    digest, card = await example.offer(year.database, year.clock, shelf, policies, live=False)
    row = await shelf.row(digest)
    assert (row.made_by, card_of(row.card)) == ("own_risk_model", card)
    assert "What two features share is counted twice." in model_card(card.facts, "en")

    drafted = await policies.draft(POLICY, {"model": digest}, "our own", "mei")
    await policies.publish(POLICY, drafted.version, "mei")
    await policies.roll_out(POLICY, RolloutOrder(champion=drafted.version), "mei")
    await shelf.refresh({digest})
    judge = shelf.judge(digest)
    assert judge.scorer.model == await shelf.load(digest)
    assert judge.explainer.explain(np.full(len(NAMES), np.nan)).names == judge.scorer.model.names
    watch = await year.watching.look(live=False)
    assert watch is not None
    assert watch.facts.model == digest


def test_offer_to_a_house_without_payments_says_what_is_missing(dsn: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, FILE, "--house"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"TONGBAO_DATABASE_URL": dsn},
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "too_few_labels: 0 frauds are too few to learn from\n"
