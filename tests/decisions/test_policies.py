"""Policies on a real database: gates, audit trail, facts, and two writers at once."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from tongbao.core.clock import FrozenClock, RealClock
from tongbao.core.db import Database
from tongbao.core.errors import AppError, Conflict, InvalidRequest, LimitExceeded, NotFound
from tongbao.core.events.facts import decode
from tongbao.core.ids import IdFactory
from tongbao.decisions.policy.rollout import RolloutOrder
from tongbao.decisions.schema.evaluation import Estimate, Report, Verdict
from tongbao.decisions.schema.facts import PolicyChanged
from tongbao.decisions.schema.policies import Action, Guardrail, PolicyVersion, Rollout, VersionState
from tongbao.decisions.service.policies import Policies

NOW = datetime(2026, 11, 3, 9, tzinfo=UTC)
APPROVED = Guardrail(outcome="approved", worse_by=0.01)


class Weights(msgspec.Struct, forbid_unknown_fields=True):
    fee: float
    labels: list[str] = []


class Spec(msgspec.Struct, forbid_unknown_fields=True):
    weights: Weights


def validate(spec: dict[str, Any]) -> None:
    read = msgspec.convert(spec, Spec)
    if read.weights.fee < 0:
        raise ValueError("a weight is not negative - at `$.weights.fee`")
    if read.weights.fee > 100:
        raise InvalidRequest("too_heavy", "a weight is at most 100", path="$.weights.fee")


class Room:
    """Policies of one test, under a name of its own, with short ways to bring versions about."""

    def __init__(self, database: Database, ids: IdFactory, name: str) -> None:
        self.clock = FrozenClock(NOW)
        self.database = database
        self.ids = ids
        self.name = name
        salts = (f"salt{number}" for number in itertools.count(1))
        self.policies = Policies(
            database,
            self.clock,
            IdFactory(RealClock()),
            validators={"routing": validate},
            new_salt=lambda: next(salts),
        )

    async def draft(self, fee: float) -> PolicyVersion:
        return await self.policies.draft(self.name, {"weights": {"fee": fee}}, f"fee {fee}", "ann")

    def report(self, version: int, verdict: Verdict = Verdict.BETTER) -> Report:
        return Report(
            id=self.ids.uuid(),
            policy=self.name,
            version=version,
            against="routing@1",
            outcome="approved",
            from_at=NOW - timedelta(days=7),
            to_at=NOW,
            count=5_000,
            agreement=0.8,
            effective_count=3_000.0,
            weight_max=4.0,
            logged=Estimate(estimator="mean", value=0.9, low=0.89, high=0.91),
            verdict=verdict,
            made_at=NOW,
            made_by="ann",
        )

    async def published(self, fee: float, verdict: Verdict = Verdict.BETTER) -> int:
        """A version that went the whole way; the first one of the policy without a replay."""
        version = (await self.draft(fee)).version
        if version > 1:
            await self.policies.replayed(self.name, version, self.report(version, verdict), "ann")
        await self.policies.publish(
            self.name, version, "bob", force=verdict is Verdict.WORSE, note="we know why"
        )
        return version

    async def roll_out(self, **order: Any) -> Rollout:
        return await self.policies.roll_out(self.name, RolloutOrder(**order), "bob")

    async def actions(self) -> list[Action]:
        return [change.action for change in await self.policies.changes(self.name)]


@pytest.fixture
def room(database: Database, ids: IdFactory) -> Room:
    return Room(database, ids, f"routing/m_{ids.int63()}")


async def test_draft_is_kept_as_written(room: Room) -> None:
    drafted = await room.draft(0.1)
    assert (drafted.version, drafted.state, drafted.created_by) == (1, VersionState.DRAFT, "ann")
    assert await room.policies.version(room.name, 1) == drafted
    assert drafted.spec == {"weights": {"fee": 0.1}}
    assert drafted.created_at == NOW


async def test_draft_of_known_content_is_the_version_that_has_it(room: Room) -> None:
    first = await room.policies.draft(room.name, {"weights": {"fee": 1, "labels": ["a"]}}, "one", "ann")
    await room.draft(2)
    again = await room.policies.draft(room.name, {"weights": {"labels": ["a"], "fee": 1}}, "two", "eve")
    assert again == first
    assert await room.actions() == [Action.DRAFTED, Action.DRAFTED]


@pytest.mark.parametrize(
    "policy", ["risk", "", "Routing", "routing/", "routing/a/b", "routing/" + "x" * 80, "routing\x00"]
)
async def test_draft_of_an_unknown_policy_is_refused(room: Room, policy: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await room.policies.draft(policy, {"weights": {"fee": 1}}, "", "ann")
    assert caught.value.code == "policy_unknown"


def nested(depth: int) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    for _ in range(depth):
        spec = {"a": spec}
    return spec


@pytest.mark.parametrize(
    ("spec", "path", "reason"),
    [
        ({"weights": {"fee": "much"}}, "$.weights.fee", "Expected `float`"),
        ({"weights": {"fee": 1, "labels": ["a", 2]}}, "$.weights.labels[1]", "Expected `str`"),
        ({"weights": {"fee": -1}}, "$.weights.fee", "not negative"),
        ({"weights": {"fee": 101}}, "$.weights.fee", "at most 100"),
        ({}, "$", "missing required field"),
        ({"weights": {"fee": float("nan")}}, "$", "not plain JSON"),
        ({"weights": {"fee": 1, "labels": ("a",)}}, "$", "not plain JSON"),
        ({1: 2}, "$", "not plain JSON"),
        ({"weights": object()}, "$", "not plain JSON"),
        ({"weights": {"fee": 1, "labels": ["a\x00"]}}, "$", "NUL"),
        ({"weights": {"fee": 1, "labels": ["\ud800"]}}, "$", "not plain JSON"),
        ({"weights": {"fee": 1, "labels": ["x" * 262_144]}}, "$", "at most 262144"),
        (nested(100_000), "$", "not plain JSON"),
    ],
)
async def test_draft_of_an_invalid_spec_names_path_and_reason(
    room: Room, spec: dict[Any, Any], path: str, reason: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await room.policies.draft(room.name, spec, "", "ann")
    assert caught.value.code == "policy_spec_invalid"
    assert caught.value.facts["path"] == path
    assert reason in caught.value.facts["reason"]
    assert await room.policies.versions(room.name) == ()


@pytest.mark.parametrize(
    ("note", "actor"), [("x" * 1_001, "ann"), ("a\x00", "ann"), ("\ud800", "ann"), ("", ""), ("", " ")]
)
async def test_texts_that_cannot_be_kept_are_refused(room: Room, note: str, actor: str) -> None:
    with pytest.raises(InvalidRequest, match="policy_text_invalid"):
        await room.policies.draft(room.name, {"weights": {"fee": 1}}, note, actor)


FILL = """
INSERT INTO decisions.policy_version (policy, version, created_at, state, digest, note, created_by, spec)
SELECT $1 || CASE WHEN $2 THEN '' ELSE n::text END, CASE WHEN $2 THEN n ELSE 1 END, now(), 'draft', n::text, '', 'ann', '{}'
FROM generate_series($3::int, $4::int) AS n
"""


@pytest.mark.parametrize(
    ("of_one_policy", "first", "last", "code"),
    [(True, 10_000, 10_000, "policy_versions_full"), (False, 1, 20_000, "policies_full")],
)
async def test_draft_beyond_the_greatest_number_is_refused(
    room: Room, of_one_policy: bool, first: int, last: int, code: str
) -> None:
    async with room.database.connection() as connection:
        filler = room.name if of_one_policy else "filler/"
        await connection.execute(FILL, filler, of_one_policy, first, last)
        try:
            with pytest.raises(LimitExceeded) as caught:
                await room.draft(1)
        finally:
            await connection.execute("DELETE FROM decisions.policy_version WHERE policy LIKE 'filler/%'")
    assert caught.value.code == code


async def test_publish_of_the_first_version_needs_no_replay_and_is_audited_as_such(room: Room) -> None:
    assert await room.published(1) == 1
    change = (await room.policies.changes(room.name))[-1]
    assert change.details["is_first"] is True
    await room.draft(2)
    with pytest.raises(Conflict) as caught:
        await room.policies.publish(room.name, 2, "bob")
    assert caught.value.code == "policy_not_replayed"
    assert caught.value.facts == {"state": "draft"}


async def test_first_version_without_a_note_is_audited_as_first_version(room: Room) -> None:
    await room.draft(1)
    await room.policies.publish(room.name, 1, "bob")
    assert (await room.policies.changes(room.name))[-1].details["note"] == "first version"


async def test_publish_after_the_first_was_retired_needs_a_replay(room: Room) -> None:
    await room.published(1)
    await room.policies.retire(room.name, 1, "bob")
    await room.draft(2)
    with pytest.raises(Conflict, match="policy_not_replayed"):
        await room.policies.publish(room.name, 2, "bob")


async def test_publish_twice_or_of_a_retired_version_is_refused(room: Room) -> None:
    await room.published(1)
    version = await room.published(2)
    for _ in range(2):
        with pytest.raises(Conflict, match="policy_not_replayed"):
            await room.policies.publish(room.name, version, "bob")
        await room.policies.retire(room.name, version, "bob")


async def test_replay_makes_a_draft_publishable_and_is_kept_whole(room: Room) -> None:
    await room.published(1)
    drafted = await room.draft(2)
    report = room.report(2)
    replayed = await room.policies.replayed(room.name, 2, report, "ann")
    assert (replayed.state, replayed.replay_id) == (VersionState.REPLAYED, report.id)
    assert await room.policies.replays(room.name, 2) == (report,)
    async with room.database.connection() as connection:
        row = await connection.fetchrow(
            "SELECT digest, verdict FROM decisions.replay WHERE id = $1", report.id
        )
    assert tuple(row) == (drafted.digest, "better")
    published = await room.policies.publish(room.name, 2, "bob")
    assert (published.state, published.replay_id) == (VersionState.PUBLISHED, report.id)
    assert await room.policies.version(room.name, 2) == published


async def test_replay_again_with_the_same_report_changes_nothing(room: Room) -> None:
    await room.published(1)
    await room.draft(2)
    report = room.report(2)
    first = await room.policies.replayed(room.name, 2, report, "ann")
    before = await room.actions()
    assert await room.policies.replayed(room.name, 2, report, "eve") == first
    assert await room.actions() == before


async def test_replay_of_another_version_or_of_none_is_refused(room: Room) -> None:
    await room.published(1)
    await room.draft(2)
    await room.draft(3)
    with pytest.raises(InvalidRequest, match="replay_mismatched"):
        await room.policies.replayed(room.name, 2, room.report(3), "ann")
    other = msgspec.structs.replace(room.report(2), policy="routing")
    with pytest.raises(InvalidRequest, match="replay_mismatched"):
        await room.policies.replayed(room.name, 2, other, "ann")
    with pytest.raises(NotFound, match="policy_version_unknown"):
        await room.policies.replayed(room.name, 9, room.report(9), "ann")
    unkept = msgspec.structs.replace(room.report(2), agreement=float("nan"))
    with pytest.raises(InvalidRequest, match="replay_invalid"):
        await room.policies.replayed(room.name, 2, unkept, "ann")
    report = room.report(2)
    await room.policies.replayed(room.name, 2, report, "ann")
    with pytest.raises(Conflict, match="replay_known"):
        await room.policies.replayed(room.name, 3, msgspec.structs.replace(report, version=3), "ann")
    await room.policies.retire(room.name, 3, "ann")
    with pytest.raises(Conflict, match="policy_version_retired"):
        await room.policies.replayed(room.name, 3, room.report(3), "ann")


async def test_publish_of_what_does_worse_needs_force_and_a_note(room: Room) -> None:
    await room.published(1)
    await room.draft(2)
    await room.policies.replayed(room.name, 2, room.report(2, Verdict.WORSE), "ann")
    with pytest.raises(Conflict, match="policy_verdict_worse"):
        await room.policies.publish(room.name, 2, "bob", note="please")
    with pytest.raises(InvalidRequest, match="policy_text_invalid"):
        await room.policies.publish(room.name, 2, "bob", force=True)
    await room.policies.publish(room.name, 2, "bob", force=True, note="the log is of a strike week")
    change = (await room.policies.changes(room.name))[-1]
    assert (change.details["is_forced"], change.details["verdict"]) == (True, "worse")
    assert change.details["note"] == "the log is of a strike week"
    assert (await room.roll_out(champion=2)).champion == 2


@pytest.mark.parametrize(
    ("order", "is_refused"),
    [
        ({"champion": 1, "challenger": 2, "share_bps": 500}, False),
        ({"champion": 1, "shadow": 2}, False),
        ({"champion": 1, "challenger": 2, "share_bps": 501}, True),
        ({"champion": 2}, True),
    ],
)
async def test_version_whose_replay_was_refused_gets_five_percent_at_most(
    room: Room, order: dict[str, Any], is_refused: bool
) -> None:
    await room.published(1)
    await room.published(2, Verdict.REFUSED)
    if is_refused:
        with pytest.raises(Conflict) as caught:
            await room.roll_out(**order)
        assert caught.value.code == "policy_unproved"
        assert await room.policies.current(room.name) is None
    else:
        assert (await room.roll_out(**order)).epoch == 1


async def test_version_whose_replay_was_refused_grows_after_a_replay_that_tells(room: Room) -> None:
    await room.published(1)
    await room.published(2, Verdict.REFUSED)
    await room.roll_out(champion=1, challenger=2, share_bps=500)
    with pytest.raises(Conflict, match="policy_unproved"):
        await room.policies.promote(room.name, "bob")
    await room.policies.replayed(room.name, 2, room.report(2, Verdict.WORSE), "ann")
    with pytest.raises(Conflict, match="policy_unproved"):
        await room.policies.promote(room.name, "bob")
    again = await room.policies.replayed(room.name, 2, room.report(2, Verdict.UNDECIDED), "ann")
    assert again.state is VersionState.PUBLISHED
    assert (await room.policies.promote(room.name, "bob")).champion == 2


async def test_published_version_that_turns_out_worse_may_be_forced_afterwards(room: Room) -> None:
    await room.published(1)
    await room.published(2)
    await room.policies.replayed(room.name, 2, room.report(2, Verdict.WORSE), "ann")
    with pytest.raises(Conflict, match="policy_unproved"):
        await room.roll_out(champion=2)
    await room.policies.publish(room.name, 2, "bob", force=True, note="cheaper, and we know it")
    assert (await room.roll_out(champion=2)).champion == 2


async def test_roll_out_needs_published_versions(room: Room) -> None:
    await room.published(1)
    await room.draft(2)
    for order in ({"champion": 2}, {"champion": 1, "challenger": 2}, {"champion": 1, "shadow": 2}):
        with pytest.raises(Conflict) as caught:
            await room.roll_out(**order)
        assert caught.value.code == "policy_not_published"
    for champion in (3, 0, 2**40):
        with pytest.raises(NotFound, match="policy_version_unknown"):
            await room.roll_out(champion=champion)
    with pytest.raises(InvalidRequest, match="policy_rollout_invalid"):
        await room.roll_out(champion=1, challenger=1)


async def test_roll_out_keeps_the_salt_of_a_challenger_and_draws_one_for_a_new_one(room: Room) -> None:
    for fee in (1, 2, 3):
        await room.published(fee)
    first = await room.roll_out(champion=1)
    second = await room.roll_out(champion=1, challenger=2, share_bps=500, guardrails=(APPROVED,))
    third = await room.roll_out(champion=1, challenger=2, share_bps=2_000, guardrails=(APPROVED,))
    other = await room.roll_out(champion=1, challenger=3, share_bps=500)
    alone = await room.policies.return_to_control(room.name, "enough", "bob")
    again = await room.roll_out(champion=1, challenger=2, share_bps=500)
    assert [each.epoch for each in (first, second, third, other, alone, again)] == [1, 2, 3, 4, 5, 6]
    assert second.salt == third.salt == again.salt
    assert len({first.salt, second.salt, other.salt}) == 3
    assert alone.salt == other.salt
    assert await room.policies.current(room.name) == again


async def test_promote_makes_the_challenger_champion_and_keeps_the_shadow(room: Room) -> None:
    for fee in (1, 2, 3):
        await room.published(fee)
    await room.roll_out(champion=1, challenger=2, share_bps=500, shadow=3, guardrails=(APPROVED,))
    promoted = await room.policies.promote(room.name, "bob", note="it won")
    assert (promoted.champion, promoted.challenger, promoted.share_bps, promoted.shadow) == (2, None, 0, 3)
    assert promoted.guardrails == ()
    with pytest.raises(Conflict, match="policy_without_challenger"):
        await room.policies.promote(room.name, "bob")


async def test_return_to_control_happens_once(room: Room) -> None:
    with pytest.raises(NotFound, match="policy_not_rolled_out"):
        await room.policies.return_to_control(room.name, "why not", "bob")
    await room.published(1)
    await room.published(2)
    tried = await room.roll_out(champion=1, challenger=2, share_bps=500)
    with pytest.raises(InvalidRequest, match="policy_text_invalid"):
        await room.policies.return_to_control(room.name, " ", "bob")
    returned = await room.policies.return_to_control(room.name, "harm", "bob", epoch=tried.epoch)
    assert (returned.champion, returned.challenger, returned.share_bps) == (1, None, 0)
    assert await room.policies.return_to_control(room.name, "harm", "bob") == returned
    with pytest.raises(Conflict, match="policy_changed"):
        await room.policies.return_to_control(room.name, "harm", "bob", epoch=tried.epoch)


async def test_order_written_for_another_epoch_is_refused(room: Room) -> None:
    await room.published(1)
    await room.roll_out(champion=1, epoch=0)
    for epoch in (0, 2):
        with pytest.raises(Conflict, match="policy_changed"):
            await room.roll_out(champion=1, epoch=epoch)
    assert (await room.roll_out(champion=1, epoch=1)).epoch == 2


async def test_retire_spares_what_is_rolled_out(room: Room) -> None:
    for fee in (1, 2, 3, 4):
        await room.published(fee)
    await room.roll_out(champion=1, challenger=2, share_bps=500, shadow=3)
    for version in (1, 2, 3):
        with pytest.raises(Conflict, match="policy_version_in_use"):
            await room.policies.retire(room.name, version, "bob")
    retired = await room.policies.retire(room.name, 4, "bob", note="old")
    assert retired.state is VersionState.RETIRED
    assert await room.policies.retire(room.name, 4, "bob") == retired
    with pytest.raises(Conflict, match="policy_not_published"):
        await room.roll_out(champion=4)


async def test_every_act_is_in_the_audit_trail_with_who_what_and_why(room: Room) -> None:
    await room.published(1)
    await room.roll_out(champion=1, note="start")
    await room.published(2)
    await room.roll_out(champion=1, challenger=2, share_bps=500, guardrails=(APPROVED,), note="try")
    await room.policies.return_to_control(room.name, "harm", "guardrail")
    await room.roll_out(champion=1, challenger=2, share_bps=900)
    await room.policies.promote(room.name, "cyn", note="won")
    await room.policies.retire(room.name, 1, "cyn", note="done")
    changes = await room.policies.changes(room.name)
    assert [change.change_no for change in changes] == list(range(1, 12))
    assert [(change.actor, change.action.value, change.version) for change in changes] == [
        ("ann", "drafted", 1),
        ("bob", "published", 1),
        ("bob", "rolled_out", 1),
        ("ann", "drafted", 2),
        ("ann", "replayed", 2),
        ("bob", "published", 2),
        ("bob", "rolled_out", 2),
        ("guardrail", "returned", 2),
        ("bob", "rolled_out", 2),
        ("cyn", "promoted", 2),
        ("cyn", "retired", 1),
    ]
    tried, returned, promoted = changes[6].details, changes[7].details, changes[9].details
    assert (tried["share_bps_before"], tried["share_bps"], tried["note"]) == (0, 500, "try")
    assert tried["guardrails_before"] == "[]"
    assert '"outcome":"approved"' in str(tried["guardrails"])
    assert (returned["challenger_before"], returned["challenger"], returned["note"]) == (2, None, "harm")
    assert (promoted["champion_before"], promoted["champion"], promoted["note"]) == (1, 2, "won")


async def test_changes_come_in_pages(room: Room) -> None:
    for fee in range(5):
        await room.draft(fee)
    assert [each.change_no for each in await room.policies.changes(room.name, limit=2)] == [1, 2]
    assert [each.change_no for each in await room.policies.changes(room.name, 3, 2)] == [4, 5]
    assert await room.policies.changes(room.name, 10**12) == ()
    assert [each.version for each in await room.policies.versions(room.name, limit=2)] == [5, 4]
    assert [each.version for each in await room.policies.versions(room.name, before=3)] == [2, 1]


async def test_every_change_is_published_as_a_fact_in_its_transaction(room: Room) -> None:
    await room.published(1)
    await room.roll_out(champion=1)
    with pytest.raises(Conflict):
        await room.roll_out(champion=1, epoch=9)
    async with room.database.connection() as connection:
        rows = await connection.fetch(
            "SELECT topic, payload FROM events.outbox WHERE subject = $1 ORDER BY id", room.name
        )
    facts = [decode(row["topic"], row["payload"]) for row in rows]
    assert all(isinstance(fact, PolicyChanged) for fact in facts)
    seen = [(f.change_no, f.action.value, f.epoch) for f in facts if isinstance(f, PolicyChanged)]
    assert seen == [(1, "drafted", None), (2, "published", None), (3, "rolled_out", 1)]


async def test_of_many_writers_at_once_one_wins_and_the_others_hear_of_it(room: Room) -> None:
    await room.published(1)
    await room.published(2)
    await room.roll_out(champion=1)
    before = len(await room.actions())
    results = await asyncio.gather(
        *(room.roll_out(champion=1, challenger=2, share_bps=share) for share in (100, 200, 300, 400)),
        room.policies.retire(room.name, 2, "cyn"),
        return_exceptions=True,
    )
    errors = [each for each in results if isinstance(each, AppError)]
    won = len(results) - len(errors)
    assert won >= 1
    assert {error.code for error in errors} <= {
        "policy_changed",
        "policy_version_in_use",
        "policy_not_published",
    }
    changes = await room.policies.changes(room.name)
    assert len(changes) == before + won
    current = await room.policies.current(room.name)
    retired = (await room.policies.version(room.name, 2)).state is VersionState.RETIRED
    assert current is not None
    assert not (retired and current.challenger == 2)


async def test_two_writers_that_read_the_same_state_collide(room: Room) -> None:
    """One transaction is held open between its reading and its commit while another one tries the same."""
    await room.published(1)
    await room.roll_out(champion=1)
    async with room.database.transaction() as held:
        await held.execute(
            """
            INSERT INTO decisions.rollout (policy, epoch, champion, share_bps, started_at, salt, started_by, note,
                guardrails)
            VALUES ($1, 2, 1, 0, $2, 's', 'eve', '', '[]')
            """,
            room.name,
            NOW,
        )
        waiting = asyncio.create_task(room.roll_out(champion=1, note="second"))
        await asyncio.sleep(0.2)
        assert not waiting.done()
    with pytest.raises(Conflict) as caught:
        await waiting
    assert caught.value.code == "policy_changed"
    assert len(await room.actions()) == 3
    current = await room.policies.current(room.name)
    assert current is not None
    assert (current.epoch, current.started_by) == (2, "eve")


async def test_drafts_at_once_get_different_numbers_or_a_conflict(room: Room) -> None:
    results = await asyncio.gather(*(room.draft(fee) for fee in range(5)), return_exceptions=True)
    made = [each for each in results if isinstance(each, PolicyVersion)]
    assert [each.code for each in results if isinstance(each, AppError)] == ["policy_changed"] * (
        5 - len(made)
    )
    assert sorted(each.version for each in made) == list(range(1, len(made) + 1))
    assert len(await room.policies.versions(room.name)) == len(made)
