"""Retraining and watching over a real journal: learned from labels as known, drafted where it saves, taken back on drift."""

import random
from datetime import datetime, timedelta

import numpy as np
import pytest
from tests.risk.test_journaling import START, Desk, assessed

from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest, NotFound
from tongbao.core.events.facts import Fact
from tongbao.core.ids import IdFactory
from tongbao.decisions.policy.rollout import RolloutOrder
from tongbao.decisions.service.decisions import Decisions
from tongbao.risk.models.artifact import Kind
from tongbao.risk.models.registry import LABEL_DELAY_S, NAMES
from tongbao.risk.policy.model_card import model_card
from tongbao.risk.schema.facts import Labelled, LabelSource
from tongbao.risk.schema.models import ComparisonVerdict, Standing
from tongbao.risk.schema.signals import DeviceSign, Signals
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service import compiling
from tongbao.risk.service.examples import NEVER_S, gather
from tongbao.risk.service.retraining import EVERY, Retraining, Trained, card_of
from tongbao.risk.service.shelf import Shelf
from tongbao.risk.service.watching import Watching

DAYS = 40
PAYMENTS = 3_600
BATCH = 60


class Year(Desk):
    """Forty days of payments of which those from emulated devices with high amounts are mostly fraud."""

    def __init__(self, database: Database) -> None:
        self.watch = FrozenClock(START)
        super().__init__(database, IdFactory(self.watch, random.Random(4)))
        self.clock = self.watch
        self.decisions = Decisions(
            database, self.clock, self.ids, {compiling.POLICY: compiling.checker_over(database)}
        )
        self.shelf = Shelf(database, self.clock)
        self.retraining = Retraining(database, self.clock, self.decisions.policies, self.shelf)
        self.watching = Watching(database, self.clock, self.decisions.policies, self.shelf)

    async def live_through(self, count: int, days: float, score: float = 0.003) -> list[Signals]:
        """Let payments happen, each fraud labelled eight days later; all get one score."""
        rng, due, made = random.Random(11), list[tuple[datetime, Signals]](), list[Signals]()
        facts: list[Fact] = []
        for _ in range(count):
            self.clock.advance(timedelta(days=days / count))
            is_odd = rng.random() < 0.1
            is_fraud = is_odd and rng.random() < 0.8
            signals = self.signals(
                at=self.clock.now(),
                customer=f"c{rng.randrange(200)}",
                card=f"k{rng.randrange(220)}",
                device=f"d{rng.randrange(230)}",
                value=rng.randrange(40_000, 90_000) if is_odd else rng.randrange(500, 9_000),
                device_signs=DeviceSign.EMULATOR if is_odd else DeviceSign.NONE,
            )
            made.append(signals)
            facts.append(assessed(signals, tier=Tier.FRICTIONLESS, score=score, segment=()))
            while due and due[0][0] <= self.clock.now():
                facts.append(self._label(due.pop(0)[1]))
            if is_fraud:
                due.append((self.clock.now() + timedelta(days=8), signals))
            if len(facts) >= BATCH:
                await self.deliver(*facts)
                facts = []
        await self.deliver(*facts)
        return made

    def _label(self, signals: Signals) -> Labelled:
        return Labelled(
            occurred_at=self.clock.now(),
            signals_id=signals.id,
            book_id=signals.book_id,
            live=False,
            subject_id=signals.subject_id,
            is_fraud=True,
            source=LabelSource.DISPUTE,
        )


@pytest.fixture(scope="module")
async def year(database: Database) -> Year:
    made = Year(database)
    await made.live_through(PAYMENTS, DAYS)
    return made


@pytest.fixture(scope="module")
async def trained(year: Year) -> Trained:
    return await year.retraining.train(live=False, days=DAYS, actor="mei")


async def test_examples_are_of_payments_old_enough_with_the_labels_known_now(year: Year) -> None:
    gathered = await gather(year.database, year.clock, DAYS, live=False)
    now_s = year.clock.now().timestamp()
    assert gathered.x.shape == (len(gathered.at_s), len(NAMES))
    assert gathered.at_s.max() <= now_s - LABEL_DELAY_S
    assert (gathered.known_at_s[gathered.is_fraud] <= now_s).all()
    assert (gathered.known_at_s[~gathered.is_fraud] == NEVER_S).all()
    assert (np.diff(gathered.at_s) >= 0).all()
    assert 0.05 < gathered.is_fraud.mean() < 0.12
    assert not len((await gather(year.database, year.clock, DAYS, live=True)).at_s)


async def test_training_keeps_a_model_and_drafts_it_where_it_saves_money(
    year: Year, trained: Trained
) -> None:
    assert trained.comparison.verdict is ComparisonVerdict.PROMOTE
    assert trained.comparison.champion_cost > trained.comparison.challenger_cost
    model = await year.shelf.load(trained.digest)
    assert (model.kind, model.training.rows) == (Kind.GBDT, trained.count)
    row = await year.shelf.row(trained.digest)
    card = card_of(row.card)
    assert (row.made_by, card.facts.metrics.ap > 0.6) == ("mei", True)
    for language in ("en", "zh"):
        assert trained.digest[:12] in model_card(card.facts, language)
    assert trained.version is not None
    draft = await year.decisions.policies.version(compiling.POLICY, trained.version)
    assert draft.spec["model"] == trained.digest
    assert await year.decisions.policies.current(compiling.POLICY) is None


async def test_training_again_gives_the_same_model_and_no_second_draft(year: Year, trained: Trained) -> None:
    other = await year.retraining.train(live=False, days=DAYS)
    assert (other.digest, other.version) == (trained.digest, trained.version)


async def test_training_waits_a_week_and_for_enough_labels(year: Year) -> None:
    assert await year.retraining.train_if_due(live=False) is None
    year.clock.advance(EVERY + timedelta(hours=1))
    assert await year.retraining.train_if_due(live=True) is None
    with pytest.raises(InvalidRequest, match="old enough"):
        await year.retraining.train(live=True)
    with pytest.raises(NotFound, match="no model"):
        await year.shelf.load("0" * 64)


async def test_model_whose_scores_have_moved_is_taken_back(year: Year, trained: Trained) -> None:
    policies = year.decisions.policies
    first = await policies.draft(compiling.POLICY, {}, "by judgement", "mei")
    await policies.publish(compiling.POLICY, first.version, "mei")
    await policies.roll_out(compiling.POLICY, RolloutOrder(champion=first.version), "mei")
    assert await year.watching.look(live=False) is None
    assert trained.version is not None
    async with year.database.transaction() as connection:
        # What a replay would have allowed: this test is about what comes after.
        await connection.execute(
            "UPDATE decisions.policy_version SET state = 'published' WHERE policy = $1 AND version = $2",
            compiling.POLICY,
            trained.version,
        )
        await connection.execute(
            "INSERT INTO decisions.rollout (policy, epoch, champion, share_bps, started_at, salt, started_by, note,"
            " guardrails) SELECT policy, epoch + 1, $2, 0, $3, salt, 'mei', '', guardrails FROM decisions.rollout"
            " WHERE policy = $1",
            compiling.POLICY,
            trained.version,
            year.clock.now(),
        )
    calm = await year.watching.look(live=False)
    assert calm is not None
    assert (calm.standing, calm.rolled_back_to) == (Standing.KEEP, None)
    await year.live_through(600, 0.9, score=0.9)
    watched = await year.watching.look(live=False)
    assert watched is not None
    assert watched.standing is Standing.ROLL_BACK
    assert watched.rolled_back_to == first.version
    standing = await policies.current(compiling.POLICY)
    assert standing is not None
    assert (standing.champion, standing.started_by) == (first.version, "drift watch")
