"""Guarding on a real decision log: standing outcomes by arm, and a breach that returns to control once."""

import itertools
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tongbao.core.clock import FrozenClock, RealClock
from tongbao.core.db import Database
from tongbao.core.errors import Unavailable
from tongbao.core.ids import IdFactory
from tongbao.decisions.policy.guardrails import GuardrailState, Totals
from tongbao.decisions.policy.rollout import RolloutOrder
from tongbao.decisions.schema.evaluation import Estimate, Report, Verdict
from tongbao.decisions.schema.policies import Action, Guardrail, Rollout
from tongbao.decisions.service.guarding import ACTOR, Guarded, Guarding, LoggedArms
from tongbao.decisions.service.policies import Policies
from tongbao.decisions.store import arms

APPROVED = Guardrail(outcome="approved", worse_by=0.01, count_min=50)
STOPPED = Guardrail(outcome="chosen=decline", worse_by=0.02, higher_is_better=False, count_min=50)
INSERT_DECISION = """
INSERT INTO decisions.decision (book_id, id, subject_id, decided_at, propensity, version, latency_us, live, kind, policy,
    arm, chosen, body)
SELECT 7, id, id, $2, 1, $3, 5, $4, 'routing', $5, $6, $7, '{}' FROM unnest($1::uuid[]) AS id
"""
INSERT_OUTCOME = """
INSERT INTO decisions.outcome (book_id, decision_id, key, occurred_at, recorded_at, value, name, label, source)
SELECT 7, o.decision_id, o.key, $4, $5, o.value, $6, '', 'test'
FROM unnest($1::uuid[], $2::uuid[], $3::float8[]) AS o (decision_id, key, value)
"""


class Trial:
    """A policy under trial, and what its decisions came to."""

    def __init__(self, database: Database, name: str) -> None:
        self.clock = FrozenClock(RealClock().now())
        self.ids = IdFactory(self.clock)
        self.database = database
        self.name = name
        salts = (f"{name}{number}" for number in itertools.count())
        self.policies = Policies(
            database, self.clock, self.ids, validators={"shop": lambda _: None}, new_salt=lambda: next(salts)
        )
        self.arms = LoggedArms(database, self.clock)
        self.guarding = Guarding(self.policies, self.arms, self.clock)

    async def start(self, *guardrails: Guardrail, share_bps: int = 5_000) -> Rollout:
        """Publish two versions where there are none, and try the second."""
        if not await self.policies.versions(self.name):
            for number in (1, 2):
                await self.policies.draft(self.name, {"number": number}, "", "ann")
            await self.policies.publish(self.name, 1, "ann")
            await self.policies.replayed(self.name, 2, self.report(), "ann")
            await self.policies.publish(self.name, 2, "ann")
        order = RolloutOrder(champion=1, challenger=2, share_bps=share_bps, guardrails=guardrails)
        return await self.policies.roll_out(self.name, order, "ann")

    def report(self) -> Report:
        now = self.clock.now()
        return Report(
            id=self.ids.uuid(),
            policy=self.name,
            version=2,
            against="x",
            outcome="approved",
            from_at=now,
            to_at=now,
            count=1_000,
            agreement=1.0,
            effective_count=1_000.0,
            weight_max=1.0,
            logged=Estimate(estimator="mean", value=0, low=0, high=0),
            verdict=Verdict.UNDECIDED,
            made_at=now,
            made_by="ann",
        )

    async def decide(
        self, count: int, arm: str, version: int, *, live: bool = True, chosen: str = "a"
    ) -> list[UUID]:
        """Log decisions of this moment."""
        made = [self.ids.uuid() for _ in range(count)]
        async with self.database.connection() as connection:
            await connection.execute(
                INSERT_DECISION, made, self.clock.now(), version, live, self.name, arm, chosen
            )
        return made

    async def learn(
        self,
        decisions: Sequence[UUID],
        values: Sequence[float | None],
        name: str = "approved",
        occurred_at: datetime | None = None,
    ) -> None:
        """Log one outcome each, recorded at this moment."""
        now = self.clock.now()
        keys = [self.ids.uuid() for _ in decisions]
        async with self.database.connection() as connection:
            await connection.execute(
                INSERT_OUTCOME, list(decisions), keys, list(values), occurred_at or now, now, name
            )

    async def traffic(self, champion: tuple[int, int], challenger: tuple[int, int]) -> None:
        """Log decisions of both arms: how many, and how many of them are approved."""
        for (count, approved), arm, version in ((champion, "champion", 1), (challenger, "challenger", 2)):
            made = await self.decide(count, arm, version)
            await self.learn(made, [1.0] * approved + [0.0] * (count - approved))

    async def look(self) -> Guarded | None:
        """What a look finds of this policy."""
        return next((each for each in await self.guarding.look() if each.policy == self.name), None)

    def later(self, **step: float) -> None:
        self.clock.advance(timedelta(**step))


@pytest.fixture
def trial(database: Database, ids: IdFactory) -> Trial:
    return Trial(database, f"shop/m_{ids.int63()}")


async def test_breach_returns_to_control_once(trial: Trial) -> None:
    started = await trial.start(APPROVED)
    trial.later(minutes=5)
    await trial.traffic((2_000, 1_800), (2_000, 1_500))
    found = await trial.look()
    assert found is not None
    assert found.is_returned
    assert found.readings["approved"].state is GuardrailState.BREACHED
    assert found.readings["approved"].harm == pytest.approx(0.15, abs=1e-3)
    current = await trial.policies.current(trial.name)
    assert current is not None
    assert (current.epoch, current.champion, current.challenger) == (started.epoch + 1, 1, None)
    assert current.started_by == ACTOR
    assert "approved is worse by 0.15" in current.note
    assert await trial.look() is None
    changes = await trial.policies.changes(trial.name)
    assert [each.action for each in changes].count(Action.RETURNED) == 1
    assert (changes[-1].actor, changes[-1].version) == (ACTOR, 2)
    assert await trial.policies.current(trial.name) == current


async def test_look_without_harm_or_with_too_little_to_say_does_nothing(trial: Trial) -> None:
    started = await trial.start(APPROVED)
    trial.later(minutes=5)
    await trial.traffic((49, 49), (49, 0))
    found = await trial.look()
    assert found is not None
    assert found.readings["approved"].state is GuardrailState.TOO_FEW
    await trial.traffic((2_000, 1_800), (2_000, 1_790))
    found = await trial.look()
    assert found is not None
    assert found.readings["approved"].state is GuardrailState.KEEPING
    assert not found.is_returned
    assert await trial.policies.current(trial.name) == started


async def test_any_guardrail_of_several_returns_to_control(trial: Trial) -> None:
    fraud = Guardrail(outcome="fraud", worse_by=0.005, higher_is_better=False, count_min=50)
    await trial.start(APPROVED, fraud)
    trial.later(minutes=5)
    await trial.traffic((1_000, 900), (1_000, 900))
    for arm, version, bad in (("champion", 1, 2), ("challenger", 2, 150)):
        made = await trial.decide(1_000, arm, version)
        await trial.learn(made, [1.0] * bad + [0.0] * (1_000 - bad), "fraud")
    found = await trial.look()
    assert found is not None
    assert found.is_returned
    assert {name: reading.state.value for name, reading in found.readings.items()} == {
        "approved": "keeping",
        "fraud": "breached",
    }


async def stops(trial: Trial, champion: int, challenger: int) -> None:
    """Log 1,000 decisions of each arm of which so many decline, and nobody knows an outcome of any."""
    for declined, arm, version in ((champion, "champion", 1), (challenger, "challenger", 2)):
        await trial.decide(declined, arm, version, chosen="decline")
        await trial.decide(1_000 - declined, arm, version)


async def test_challenger_that_stops_too_many_returns_to_control_before_any_outcome_is_known(
    trial: Trial,
) -> None:
    await trial.start(STOPPED)
    trial.later(minutes=5)
    await stops(trial, 40, 180)
    found = await trial.look()
    assert found is not None
    assert found.is_returned
    reading = found.readings[STOPPED.outcome]
    assert (reading.champion_count, reading.challenger_count) == (1_000, 1_000)
    assert reading.harm == pytest.approx(0.14, abs=1e-3)
    current = await trial.policies.current(trial.name)
    assert current is not None
    assert "chosen=decline is worse by 0.14" in current.note


@pytest.mark.parametrize("challenger", [40, 60, 0])
async def test_challenger_that_stops_as_many_or_fewer_is_kept(trial: Trial, challenger: int) -> None:
    started = await trial.start(STOPPED)
    trial.later(minutes=5)
    await stops(trial, 40, challenger)
    found = await trial.look()
    assert found is not None
    assert found.readings[STOPPED.outcome].state is GuardrailState.KEEPING
    assert await trial.policies.current(trial.name) == started


async def test_choices_are_counted_of_this_rollout_alone(trial: Trial) -> None:
    await trial.decide(1, "champion", 1, chosen="decline")
    trial.later(seconds=1)
    started = await trial.start(STOPPED)
    await trial.decide(1, "challenger", 3, chosen="decline")
    await trial.decide(1, "champion", 2, chosen="decline")
    await trial.decide(1, "champion", 1, live=False, chosen="decline")
    await trial.decide(2, "champion", 1, chosen="decline")
    await trial.decide(3, "champion", 1)
    assert await trial.arms.statistics(started, "chosen=decline") == {"champion": Totals(5, 2.0, 2.0)}
    assert await trial.arms.statistics(started, "decline") == {}


async def test_look_at_an_epoch_that_somebody_changed_since_leaves_the_new_one(trial: Trial) -> None:
    started = await trial.start(APPROVED)
    trial.later(minutes=5)
    await trial.traffic((2_000, 1_800), (2_000, 1_500))

    class Hasty:
        """Reads the log, and meanwhile somebody gives the challenger a smaller share."""

        async def statistics(self, rollout: Rollout, outcome: str) -> Any:
            totals = await trial.arms.statistics(rollout, outcome)
            if rollout.policy == trial.name and rollout.epoch == started.epoch:
                trial.later(seconds=1)
                await trial.start(APPROVED, share_bps=100)
            return totals

    looks = await Guarding(trial.policies, Hasty(), trial.clock).look()
    found = next(each for each in looks if each.policy == trial.name)
    assert found.readings["approved"].state is GuardrailState.BREACHED
    assert not found.is_returned
    current = await trial.policies.current(trial.name)
    assert current is not None
    assert (current.epoch, current.challenger, current.share_bps) == (started.epoch + 1, 2, 100)
    assert Action.RETURNED not in [each.action for each in await trial.policies.changes(trial.name)]
    # The former epoch's evidence does not count against the new one.
    later = await trial.look()
    assert later is not None
    assert later.readings["approved"].state is GuardrailState.TOO_FEW


async def test_policy_that_cannot_be_read_does_not_shield_the_others(
    trial: Trial, database: Database, ids: IdFactory
) -> None:
    later = Trial(database, f"{trial.name}z{ids.int63()}")
    for each in (trial, later):
        await each.start(APPROVED)
        each.later(minutes=5)
        await each.traffic((2_000, 1_800), (2_000, 1_500))

    class Blind:
        """Cannot read the log of the first policy in time."""

        async def statistics(self, rollout: Rollout, outcome: str) -> Any:
            if rollout.policy == trial.name:
                raise Unavailable("database_busy", "too slow")
            return await later.arms.statistics(rollout, outcome)

    looks = await Guarding(trial.policies, Blind(), trial.clock).look()
    assert trial.name not in [each.policy for each in looks]
    assert next(each for each in looks if each.policy == later.name).is_returned
    found = await trial.look()
    assert found is not None
    assert found.is_returned


async def test_statistics_take_the_standing_value_of_each_decision(trial: Trial) -> None:
    started = await trial.start(APPROVED)
    trial.later(minutes=5)
    corrected, late, withdrawn, same_moment, odd = await trial.decide(5, "challenger", 2)
    first, now = trial.clock.now(), trial.clock.now() + timedelta(minutes=10)
    await trial.learn([corrected, late, withdrawn, same_moment, odd], [1, 4, 1, 1, float("nan")])
    trial.later(minutes=10)
    await trial.learn([corrected], [0], occurred_at=now)
    await trial.learn([late], [9], occurred_at=first - timedelta(minutes=1))
    await trial.learn([withdrawn], [None], occurred_at=now)
    await trial.learn([same_moment], [3], occurred_at=first)
    await trial.learn([corrected, late], [5, 5], name="technical")
    assert await trial.arms.statistics(started, "approved") == {"challenger": Totals(3, 7.0, 25.0)}
    assert await trial.arms.statistics(started, "technical") == {"challenger": Totals(2, 10.0, 50.0)}
    assert await trial.arms.statistics(started, "redeemed") == {}


async def test_statistics_leave_out_what_is_not_of_this_rollout(trial: Trial) -> None:
    too_early = await trial.decide(1, "champion", 1)
    trial.later(seconds=1)
    started = await trial.start(APPROVED)
    of_another_version = await trial.decide(1, "challenger", 3)
    in_another_arm = await trial.decide(1, "champion", 2)
    in_test_mode = await trial.decide(1, "champion", 1, live=False)
    counted = await trial.decide(2, "champion", 1)
    no_outcome = await trial.decide(1, "champion", 1)
    told = [*too_early, *of_another_version, *in_another_arm, *in_test_mode, *counted]
    await trial.learn(told, [1.0] * len(told))
    assert no_outcome
    assert await trial.arms.statistics(started, "approved") == {"champion": Totals(2, 2.0, 2.0)}
    in_test = LoggedArms(trial.database, trial.clock, live=False)
    assert await in_test.statistics(started, "approved") == {"champion": Totals(1, 1.0, 1.0)}


async def test_statistics_read_the_last_ninety_days(trial: Trial) -> None:
    started = await trial.start(APPROVED)
    old = await trial.decide(3, "champion", 1)
    await trial.learn(old, [1.0] * 3)
    trial.later(days=89)
    fresh = await trial.decide(2, "champion", 1)
    await trial.learn(fresh, [1.0] * 2)
    assert await trial.arms.statistics(started, "approved") == {"champion": Totals(5, 5.0, 5.0)}
    trial.later(days=2)
    assert await trial.arms.statistics(started, "approved") == {"champion": Totals(2, 2.0, 2.0)}


async def test_challenger_without_share_or_guardrails_is_not_watched(trial: Trial) -> None:
    await trial.start()
    assert await trial.look() is None
    await trial.start(APPROVED, share_bps=0)
    assert await trial.look() is None
    await trial.start(APPROVED, share_bps=100)
    assert await trial.look() is not None


async def test_statistics_prune_partitions_by_the_time_in_ids(trial: Trial) -> None:
    """The plan of the statement, with a partition of a past month beside the default one, reads only one of them."""
    started = await trial.start(APPROVED)
    async with trial.database.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        for table in ("decision", "outcome"):
            await connection.execute(
                f"CREATE TABLE decisions.{table}_past PARTITION OF decisions.{table} "
                "FOR VALUES FROM ('01000000-0000-0000-0000-000000000000') TO ('01010000-0000-0000-0000-000000000000')"
            )
        at, until = started.started_at, started.started_at + timedelta(days=1)
        bounds = [arms.id_at(at), arms.id_at(until)]
        rows = await connection.fetch(
            "EXPLAIN " + arms.STATISTICS,
            *(trial.name, True, *bounds, "approved", at, until, 1, 2),
        )
        await transaction.rollback()
    plan = "\n".join(row[0] for row in rows)
    assert "decision_default" in plan
    assert "outcome_default" in plan
    assert "_past" not in plan
