"""Refreshing the prior on a real log: what is planted is found, drafted and replayed; what is not, is not."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from tongbao.core.clock import FrozenClock, RealClock
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import IdFactory, derive, first_uuid_at
from tongbao.decisions.policy.rollout import RolloutOrder
from tongbao.decisions.schema.evaluation import Verdict
from tongbao.decisions.schema.log import Candidate, Decision, Fact, Outcome, Why
from tongbao.decisions.schema.policies import VersionState
from tongbao.decisions.service.log import DecisionLog
from tongbao.decisions.service.policies import Policies
from tongbao.routing.models.board import BoardTuning
from tongbao.routing.models.prior import Prior
from tongbao.routing.service.compiling import POLICY, checker
from tongbao.routing.service.logged import payment_of, shifted
from tongbao.routing.service.refreshing import Refreshing
from tongbao.routing.service.replaying import Replaying

RATES = {"a": 0.93, "b": 0.88, "c": 0.84}
LOGGED = {"a": 0.4, "b": 0.35, "c": 0.25}
PLANTED = 0.3
"""What issuers approve over ``a`` for debit cards at night, in the world where that is planted."""
BOOK = 7


class World:
    """A month of decisions of a router that knows no context and explores much."""

    def __init__(self, begin: datetime, planted: bool, seed: int) -> None:
        self.begin = begin
        self.planted = planted
        self._rng = np.random.default_rng(seed)
        # A fifth of all payments are debit cards at night: what a belief without context holds of ``a``.
        self._mean = RATES | ({"a": 0.8 * RATES["a"] + 0.2 * PLANTED} if planted else {})

    @property
    def span(self) -> tuple[datetime, datetime]:
        return self.begin, self.begin + timedelta(days=10)

    def make(self, count: int) -> tuple[list[Decision], list[Outcome]]:
        decisions, outcomes = [], []
        for number in range(count):
            at = self.begin + timedelta(days=10) * (number / count)
            decision, chance = self._decision(at, number)
            decisions.append(decision)
            outcomes.append(self._outcome(decision, chance))
        return decisions, outcomes

    def _decision(self, at: datetime, number: int) -> tuple[Decision, float]:
        night = self._rng.random() < 0.4
        funding = ("debit", "credit")[int(self._rng.random() < 0.5)]
        hour = int(self._rng.integers(6)) if night else int(self._rng.integers(6, 24))
        chosen = str(self._rng.choice(list(LOGGED), p=list(LOGGED.values())))
        hit = self.planted and chosen == "a" and funding == "debit" and night
        context: dict[str, Fact] = {
            "method": "card",
            "currency": "USD",
            "amount_minor": int(self._rng.integers(500, 90_000)),
            "hour": hour,
            "weekday": at.weekday(),
            "funding": funding,
            "brand": ("visa", "mastercard")[int(self._rng.random() < 0.4)],
            "attempt_no": 1,
        }
        decision_id = derive(first_uuid_at(at), f"{self.planted}.{number}")
        decision = Decision(
            id=decision_id,
            book_id=BOOK,
            live=True,
            kind=POLICY,
            subject_id=derive(decision_id, "subject"),
            decided_at=at,
            policy=POLICY,
            version=0,
            context=context,
            candidates=tuple(self._candidate(name) for name in LOGGED),
            chosen=chosen,
            reasons=(Why("explored"),),
        )
        return decision, PLANTED if hit else RATES[chosen]

    def _candidate(self, name: str) -> Candidate:
        mean = self._mean[name]
        facts: dict[str, Fact] = {
            "approval": mean,
            "approval_low": mean - 0.01,
            "approval_high": mean + 0.01,
            "technical_rate": 0.0,
        }
        return Candidate(name=name, propensity=LOGGED[name], score=mean, facts=facts)

    def _outcome(self, decision: Decision, chance: float) -> Outcome:
        yes = bool(self._rng.random() < chance)
        technical = not yes and self._rng.random() < 0.1
        label = "approved" if yes else "channel_unavailable" if technical else "do_not_honor"
        at = decision.decided_at + timedelta(seconds=2)
        return Outcome(
            book_id=BOOK,
            decision_id=decision.id,
            key=derive(decision.id, "outcome"),
            name="approved",
            value=float(yes),
            label=label,
            occurred_at=at,
            recorded_at=at,
        )


@pytest.fixture
async def desk(database: Database) -> tuple[Refreshing, Policies, DecisionLog]:
    """Policies and a log whose clock stands after every world."""
    clock, ids = FrozenClock(datetime(2026, 12, 1, tzinfo=UTC)), IdFactory(RealClock())
    log = DecisionLog(database, clock)
    policies = Policies(database, clock, ids, validators={POLICY: checker(RATES)}, new_salt=lambda: "salt")
    replaying = Replaying(log, policies, clock, ids, RATES, BoardTuning())
    return Refreshing(log, policies, replaying, {"do_not_honor", "issuer_declined"}), policies, log


async def written(log: DecisionLog, database: Database, world: World, count: int) -> None:
    decisions, outcomes = world.make(count)
    async with database.transaction() as connection:
        await log.write(connection, decisions, outcomes)


async def test_refresh_finds_what_is_planted_and_its_replay_says_better(
    desk: tuple[Refreshing, Policies, DecisionLog], database: Database
) -> None:
    refreshing, policies, log = desk
    world = World(datetime(2026, 3, 1, tzinfo=UTC), True, 1)
    await written(log, database, world, 9_000)
    bare = await policies.draft(POLICY, {"margin_bps": 300}, "", "ann")
    await policies.publish(POLICY, bare.version, "ann")
    await policies.roll_out(POLICY, RolloutOrder(champion=bare.version), "ann")
    heard: list[str] = []
    found = await refreshing.refresh(POLICY, world.span, "ann", told=lambda step, _: heard.append(step))
    assert set(found.prior) == {"a"}
    assert found.prior["a"]["funding=debit&hour=night"] < -0.5
    assert "better than no context over a" in found.reason
    assert heard[0] == "reading"
    assert heard[-2:] == ["fitting", "replaying"]
    drafted = await policies.version(POLICY, found.version or 0)
    # The rest of the champion's specification stays, and nothing is published.
    assert drafted.spec == {"margin_bps": 300, "prior": found.prior}
    assert drafted.state is VersionState.REPLAYED
    rollout = await policies.current(POLICY)
    assert rollout is not None
    assert (rollout.champion, rollout.challenger) == (bare.version, None)
    assert found.replay is not None
    assert found.replay.verdict is Verdict.BETTER
    assert found.replay.from_at == found.split_at
    # Better than what the champion would have done on the same payments, which the log alone cannot show.
    later = (found.split_at, found.to_at)
    without = await refreshing._replaying.replay(POLICY, bare.version, later, "ann")
    best = {each.estimator: each.value for each in found.replay.estimates}
    assert best["snips"] > {each.estimator: each.value for each in without.estimates}["snips"] + 0.02
    # The same log again teaches the same, which is one version.
    again = await refreshing.refresh(POLICY, world.span, "ann")
    assert again.version == found.version


async def test_refresh_of_nothing_planted_is_an_empty_prior_and_no_draft(
    desk: tuple[Refreshing, Policies, DecisionLog], database: Database
) -> None:
    refreshing, policies, log = desk
    world = World(datetime(2026, 4, 1, tzinfo=UTC), False, 2)
    await written(log, database, world, 5_000)
    name = f"{POLICY}/{BOOK}"
    found = await refreshing.refresh(name, world.span, "ann")
    assert (found.prior, found.version, found.replay) == ({}, None, None)
    assert "empty" in found.reason
    assert all(each.context is not None and not each.kept for each in found.channels)
    assert await policies.versions(name) == ()
    # Where the champion has a prior, finding nothing is a draft without one.
    old = await policies.draft(name, {"prior": {"a": {"hour=night": -1.0}}}, "", "ann")
    await policies.publish(name, old.version, "ann")
    await policies.roll_out(name, RolloutOrder(champion=old.version), "ann")
    found = await refreshing.refresh(name, world.span, "ann")
    drafted = await policies.version(name, found.version or 0)
    assert "prior" not in drafted.spec


async def test_refresh_learns_from_issuers_alone_and_refuses_an_empty_time(
    desk: tuple[Refreshing, Policies, DecisionLog], database: Database
) -> None:
    refreshing, _, log = desk
    world = World(datetime(2026, 5, 1, tzinfo=UTC), False, 3)
    await written(log, database, world, 400)
    _, outcomes = World(datetime(2026, 5, 1, tzinfo=UTC), False, 3).make(400)
    answered = sum(each.label != "channel_unavailable" for each in outcomes)
    assert 0 < answered < 400
    found = await refreshing.refresh(POLICY, world.span, "ann")
    assert found.count == answered
    assert "answers enough" in found.reason
    with pytest.raises(InvalidRequest, match="prior_unknowable"):
        await refreshing.refresh(
            POLICY, (datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 2, 1, tzinfo=UTC)), "ann"
        )
    with pytest.raises(InvalidRequest, match="prior_unknowable"):
        await refreshing.refresh(POLICY, world.span, "ann", live=False)


def test_shift_replaces_the_prior_of_then() -> None:
    (decision,), _ = World(datetime(2026, 3, 1, tzinfo=UTC), True, 1).make(1)
    assert shifted(Prior({}), decision) is decision
    once = shifted(Prior({"a": {"always": -1.0}}), decision)
    assert once.candidates[1:] == decision.candidates[1:]
    before, after = decision.candidates[0].facts, once.candidates[0].facts
    assert after["offset"] == -1.0
    assert after["approval"] == pytest.approx(0.60144, abs=1e-4)
    assert float(str(after["approval_low"])) < float(str(after["approval_high"]))
    back = shifted(Prior({}), once)
    assert back.candidates[0].facts["approval"] == pytest.approx(before["approval"])


def test_decision_of_another_room_is_no_payment() -> None:
    (decision,), _ = World(datetime(2026, 3, 1, tzinfo=UTC), True, 1).make(1)
    assert payment_of(decision) is not None
    decision.context["hour"] = "noon"
    assert payment_of(decision) is None
    assert shifted(Prior({"a": {"always": 1.0}}), decision) is decision
