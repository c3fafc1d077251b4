"""One act on a policy: a transaction that changes it, writes its line of the audit trail and publishes its fact.

A policy has one writer at a time. An act reads the number of the last line first and writes the next line last; both
keys are unique, so of two acts at once the later one finds its line taken and hears Conflict ``policy_changed``.
"""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import datetime
from typing import NamedTuple

import msgspec

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import Conflict, InvalidRequest, NotFound
from tongbao.core.events.outbox import Outbox
from tongbao.core.ids import IdFactory
from tongbao.decisions.policy.drafts import check_text, kind_of
from tongbao.decisions.policy.rollout import UNPROVED_SHARE_BPS_MAX, is_unproved
from tongbao.decisions.schema.evaluation import Verdict
from tongbao.decisions.schema.facts import PolicyChanged
from tongbao.decisions.schema.log import Fact
from tongbao.decisions.schema.policies import (
    NAME_CHARS_MAX,
    Action,
    PolicyChange,
    PolicyVersion,
    Rollout,
    VersionState,
)
from tongbao.decisions.service.policy_reading import found
from tongbao.decisions.store import policies as store


class Act(NamedTuple):
    """An act under way: its transaction, and the last line of the trail when it began."""

    connection: Connection
    policy: str
    actor: str
    head: int
    at: datetime


class PolicyActs:
    """Begins acts and writes them down. ``kinds`` are the names of policies up to their first slash."""

    def __init__(self, database: Database, clock: Clock, ids: IdFactory, kinds: Collection[str]) -> None:
        self._database = database
        self._clock = clock
        self._kinds = frozenset(kinds)
        self._outbox = Outbox(clock, ids)

    @asynccontextmanager
    async def begin(self, policy: str, actor: str) -> AsyncIterator[Act]:
        """Open the transaction of an act: committed at the end, rolled back on any exception.

        Raises InvalidRequest ``policy_unknown`` or ``policy_text_invalid`` for an actor without a name.
        """
        if kind_of(policy) not in self._kinds:
            raise unknown(policy)
        check_text("actor", actor, NAME_CHARS_MAX, chars_min=1)
        async with self._database.transaction() as connection:
            # Read before anything else: whatever commits from now on takes the line that follows.
            head = await store.change_head(connection, policy)
            yield Act(connection, policy, actor, head, self._clock.now())

    async def put(self, act: Act, before: Rollout | None, new: Rollout, action: Action) -> None:
        """Put ``new`` into force after ``before``, and record the act."""
        won(act.policy, await store.insert_rollout(act.connection, new))
        version = new.challenger if action is Action.ROLLED_OUT and new.challenger else new.champion
        if action is Action.RETURNED and before is not None and before.challenger is not None:
            version = before.challenger
        await self.record(act, action, version, _moves(before, new), new.epoch)

    async def record(
        self, act: Act, action: Action, version: int, details: dict[str, Fact], epoch: int | None = None
    ) -> None:
        """Write the act's line of the audit trail and publish its fact, last of all."""
        change = PolicyChange(
            policy=act.policy,
            change_no=act.head + 1,
            at=act.at,
            actor=act.actor,
            action=action,
            version=version,
            details=details,
        )
        won(act.policy, await store.insert_change(act.connection, change))
        fact = PolicyChanged(
            occurred_at=act.at,
            policy=act.policy,
            change_no=change.change_no,
            actor=act.actor,
            action=action,
            version=version,
            epoch=epoch,
        )
        await self._outbox.publish(act.connection, [fact])


async def standing_verdict(connection: Connection, version: PolicyVersion) -> Verdict | None:
    """Return what the latest replay of a version says; None where it was never replayed."""
    report = None if version.replay_id is None else await store.replay(connection, version.replay_id)
    return None if report is None else report.verdict


async def check_proved(act: Act, number: int, share_bps: int) -> None:
    """Raise Conflict where a version may not decide for a share of the units."""
    version = await found(act.connection, act.policy, number)
    if version.state is not VersionState.PUBLISHED:
        raise Conflict(
            "policy_not_published",
            f"version {number} of {act.policy} is {version.state}, not published",
            state=version.state.value,
        )
    verdict = await standing_verdict(act.connection, version)
    is_forced = await store.was_forced(act.connection, act.policy, number)
    if is_unproved(share_bps, verdict, is_forced=is_forced):
        raise Conflict(
            "policy_unproved",
            f"the replay of version {number} of {act.policy} allows {UNPROVED_SHARE_BPS_MAX} bps at most",
            verdict=None if verdict is None else verdict.value,
        )


async def in_force(act: Act, epoch: int | None) -> Rollout:
    """Return the roll-out in force; raise NotFound where there is none, Conflict where it is not ``epoch``."""
    rollout = await store.current(act.connection, act.policy)
    check_epoch(rollout, epoch, act.policy)
    if rollout is None:
        raise NotFound("policy_not_rolled_out", f"{act.policy} was never rolled out")
    return rollout


def check_epoch(rollout: Rollout | None, epoch: int | None, policy: str) -> None:
    """Raise Conflict ``policy_changed`` where an epoch is expected and another one is in force."""
    if epoch is not None and (0 if rollout is None else rollout.epoch) != epoch:
        raise _changed(policy)


def _moves(before: Rollout | None, new: Rollout) -> dict[str, Fact]:
    """Return a roll-out and the one before it as the audit trail keeps them."""
    details: dict[str, Fact] = {
        "epoch": new.epoch,
        "champion": new.champion,
        "challenger": new.challenger,
        "share_bps": new.share_bps,
        "shadow": new.shadow,
        "guardrails": msgspec.json.encode(new.guardrails).decode(),
        "note": new.note,
    }
    if before is not None:
        details |= {
            "champion_before": before.champion,
            "challenger_before": before.challenger,
            "share_bps_before": before.share_bps,
            "shadow_before": before.shadow,
            "guardrails_before": msgspec.json.encode(before.guardrails).decode(),
        }
    return details


def won(policy: str, is_first: bool) -> None:
    """Raise Conflict ``policy_changed`` where another writer was first."""
    if not is_first:
        raise _changed(policy)


def _changed(policy: str) -> Conflict:
    return Conflict("policy_changed", f"somebody else changed {policy}; look again", policy=policy)


def unknown(policy: str) -> InvalidRequest:
    """Return the error for a policy that no room has registered."""
    return InvalidRequest("policy_unknown", f"there is no policy {policy[:NAME_CHARS_MAX]!r}")
