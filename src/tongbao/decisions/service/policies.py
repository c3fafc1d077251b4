"""Policies and their versions: drafted, replayed, published, rolled out, promoted, returned to control, retired.

Every act is one transaction: the change, one line of the audit trail with who, what and why, and the fact
``decisions.policy_changed``; of two writers at once one hears Conflict ``policy_changed`` (``policy_acts``).
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any
from uuid import UUID

import msgspec

from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.errors import Conflict, InvalidRequest, LimitExceeded
from tongbao.core.ids import IdFactory
from tongbao.decisions.policy.drafts import canonical, check_text, digest_of, invalid_spec, kind_of
from tongbao.decisions.policy.rollout import RolloutOrder, choice_fault_of, fault_of
from tongbao.decisions.schema.evaluation import Report, Verdict
from tongbao.decisions.schema.log import Fact
from tongbao.decisions.schema.policies import (
    NOTE_CHARS_MAX,
    SHARE_BPS_MAX,
    Action,
    PolicyVersion,
    Rollout,
    VersionState,
)
from tongbao.decisions.service.policy_acts import (
    Act,
    PolicyActs,
    check_epoch,
    check_proved,
    in_force,
    standing_verdict,
    unknown,
    won,
)
from tongbao.decisions.service.policy_reading import POLICIES_MAX, PolicyReading, found
from tongbao.decisions.store import policies as store

VERSIONS_MAX = 10_000

Validator = Callable[[dict[str, Any]], Awaitable[None] | None]
"""Says what is wrong with a specification by raising ``msgspec.ValidationError``, ``ValueError`` or InvalidRequest.

The path stands at the end of the text as msgspec writes it, "expected a share - at `$.weights.fee`", or as ``path``
in the facts of an InvalidRequest. One that looks up what a specification names is awaited, and raises NotFound for what
there is not."""


class Policies(PolicyReading):
    """All that is done with policies. One object per process.

    ``validators``: by the name of the policy up to its first slash, what a specification must satisfy. ``new_salt``
    returns an unpredictable text of letters and digits (``secrets.token_hex``). ``choices``: by the same name, what a
    policy may choose, where that is known; a guardrail may count these and no others.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        ids: IdFactory,
        *,
        validators: Mapping[str, Validator],
        new_salt: Callable[[], str],
        choices: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        super().__init__(database)
        self._choices = dict(choices or {})
        self._validators = dict(validators)
        self._new_salt = new_salt
        self._acts = PolicyActs(database, clock, ids, self._validators)

    async def draft(self, policy: str, spec: dict[str, Any], note: str, actor: str) -> PolicyVersion:
        """Write a new version of ``policy``; the version that has this content already, where one has.

        Raises InvalidRequest ``policy_unknown``, ``policy_spec_invalid`` (facts ``path``, ``reason``) or
        ``policy_text_invalid``; NotFound where the specification names what there is not; LimitExceeded
        ``policies_full`` or ``policy_versions_full``; Conflict.
        """
        check_text("note", note, NOTE_CHARS_MAX)
        encoded = await self._accepted(policy, spec)
        digest = digest_of(encoded)
        async with self._acts.begin(policy, actor) as act:
            existing = await store.version_by_digest(act.connection, policy, digest)
            if existing is not None:
                return existing
            new = PolicyVersion(
                policy=policy,
                version=await _next_number(act),
                state=VersionState.DRAFT,
                spec=msgspec.json.decode(encoded),
                digest=digest,
                note=note,
                created_at=act.at,
                created_by=actor,
            )
            won(policy, await store.insert_version(act.connection, new, encoded))
            await self._acts.record(act, Action.DRAFTED, new.version, {"digest": digest, "note": note})
        return new

    async def replayed(self, policy: str, version: int, report: Report, actor: str) -> PolicyVersion:
        """Store a replay of a version; a draft has been replayed by it. The same report again changes nothing.

        A version that was published may be replayed anew, on a log that tells more: its latest replay counts.
        Raises InvalidRequest ``replay_mismatched`` or ``replay_invalid``, NotFound ``policy_version_unknown``,
        Conflict ``replay_known`` (as another version's) or ``policy_version_retired``, or ``policy_changed``.
        """
        if (report.policy, report.version) != (policy, version):
            raise InvalidRequest("replay_mismatched", "the report is of another policy or version")
        _check_report(report)
        async with self._acts.begin(policy, actor) as act:
            old = await found(act.connection, policy, version)
            if old.replay_id == report.id:
                return old
            if old.state is VersionState.RETIRED:
                raise Conflict("policy_version_retired", f"version {version} of {policy} is retired")
            if not await store.insert_replay(act.connection, report, old.digest):
                raise Conflict("replay_known", "this replay is on record already", replay_id=str(report.id))
            state = VersionState.REPLAYED if old.state is VersionState.DRAFT else old.state
            new = await _moved(act, old, state, report.id)
            details: dict[str, Fact] = {
                "replay_id": str(report.id),
                "verdict": report.verdict.value,
                "refusal": report.refusal,
                "count": report.count,
                "state_before": old.state.value,
            }
            await self._acts.record(act, Action.REPLAYED, version, details)
        return new

    async def publish(
        self, policy: str, version: int, actor: str, *, force: bool = False, note: str = ""
    ) -> PolicyVersion:
        """Let a replayed version be rolled out.

        The first version that a policy ever publishes needs no replay: there is no log to replay it on. A replay that
        says ``worse`` needs ``force`` and a note; a published version whose later replay says so, too, to grow.
        Raises NotFound ``policy_version_unknown``, Conflict ``policy_not_replayed``, ``policy_verdict_worse`` or
        ``policy_changed``, InvalidRequest ``policy_text_invalid`` for an empty note with ``force``.
        """
        check_text("note", note, NOTE_CHARS_MAX, chars_min=int(force))
        async with self._acts.begin(policy, actor) as act:
            old = await found(act.connection, policy, version)
            is_first = old.state is VersionState.DRAFT and not await store.was_published(
                act.connection, policy
            )
            verdict = await standing_verdict(act.connection, old)
            is_forced = force and verdict is Verdict.WORSE
            is_again = old.state is VersionState.PUBLISHED and is_forced
            if not (is_first or is_again or old.state is VersionState.REPLAYED):
                raise Conflict(
                    "policy_not_replayed",
                    f"version {version} of {policy} is {old.state}: only what was replayed is published",
                    state=old.state.value,
                )
            if verdict is Verdict.WORSE and not is_forced:
                raise Conflict(
                    "policy_verdict_worse", f"by its replay version {version} of {policy} does worse"
                )
            new = await _moved(act, old, VersionState.PUBLISHED)
            details: dict[str, Fact] = {
                "state_before": old.state.value,
                "is_first": is_first,
                "is_forced": is_forced,
                "verdict": None if verdict is None else verdict.value,
                "replay_id": None if old.replay_id is None else str(old.replay_id),
                "note": "first version" if is_first and not note else note,
            }
            await self._acts.record(act, Action.PUBLISHED, version, details)
        return new

    async def roll_out(self, policy: str, order: RolloutOrder, actor: str) -> Rollout:
        """Put a roll-out into force as a new epoch. A challenger keeps the salt that it was tried under before.

        Raises InvalidRequest ``policy_rollout_invalid``; NotFound ``policy_version_unknown``; Conflict
        ``policy_not_published``, ``policy_unproved`` (its replay does not allow the share) or ``policy_changed``.
        """
        choices = self._choices.get(kind_of(policy))
        if fault := fault_of(order) or (choices is not None and choice_fault_of(order, choices)):
            raise InvalidRequest("policy_rollout_invalid", fault)
        check_text("note", order.note, NOTE_CHARS_MAX)
        async with self._acts.begin(policy, actor) as act:
            before = await store.current(act.connection, policy)
            check_epoch(before, order.epoch, policy)
            # Whoever is champion already stays it without a new proof.
            is_new = before is None or before.champion != order.champion
            await check_proved(act, order.champion, SHARE_BPS_MAX if is_new else 0)
            if order.challenger is not None:
                await check_proved(act, order.challenger, order.share_bps)
            if order.shadow is not None:
                await check_proved(act, order.shadow, 0)
            new = Rollout(
                policy=policy,
                epoch=1 if before is None else before.epoch + 1,
                champion=order.champion,
                challenger=order.challenger,
                share_bps=order.share_bps,
                shadow=order.shadow,
                salt=await self._salt(act, before, order.challenger),
                guardrails=order.guardrails,
                started_at=act.at,
                started_by=actor,
                note=order.note,
            )
            await self._acts.put(act, before, new, Action.ROLLED_OUT)
        return new

    async def promote(self, policy: str, actor: str, *, note: str = "", epoch: int | None = None) -> Rollout:
        """Make the challenger the champion, for every unit.

        Raises NotFound ``policy_not_rolled_out``; Conflict ``policy_without_challenger``, ``policy_unproved``,
        ``policy_changed`` (also where ``epoch`` is given and not in force).
        """
        check_text("note", note, NOTE_CHARS_MAX)
        async with self._acts.begin(policy, actor) as act:
            before = await in_force(act, epoch)
            if before.challenger is None:
                raise Conflict("policy_without_challenger", f"{policy} has no challenger")
            await check_proved(act, before.challenger, SHARE_BPS_MAX)
            new = _alone(act, before, champion=before.challenger, note=note)
            await self._acts.put(act, before, new, Action.PROMOTED)
        return new

    async def return_to_control(
        self, policy: str, reason: str, actor: str, *, epoch: int | None = None
    ) -> Rollout:
        """Let the champion decide for every unit again; the roll-out as it is, where it does already.

        Raises NotFound ``policy_not_rolled_out``; InvalidRequest ``policy_text_invalid`` without a reason; Conflict
        ``policy_changed`` (also where ``epoch`` is given and not in force).
        """
        check_text("reason", reason, NOTE_CHARS_MAX, chars_min=1)
        async with self._acts.begin(policy, actor) as act:
            before = await in_force(act, epoch)
            if before.challenger is None:
                return before
            new = _alone(act, before, champion=before.champion, note=reason)
            await self._acts.put(act, before, new, Action.RETURNED)
        return new

    async def retire(self, policy: str, version: int, actor: str, *, note: str = "") -> PolicyVersion:
        """Put a version away for good; one that is put away already stays so.

        Raises NotFound ``policy_version_unknown``, Conflict ``policy_version_in_use`` or ``policy_changed``.
        """
        check_text("note", note, NOTE_CHARS_MAX)
        async with self._acts.begin(policy, actor) as act:
            old = await found(act.connection, policy, version)
            if old.state is VersionState.RETIRED:
                return old
            rollout = await store.current(act.connection, policy)
            if rollout is not None and version in (rollout.champion, rollout.challenger, rollout.shadow):
                raise Conflict("policy_version_in_use", f"version {version} of {policy} is rolled out")
            new = await _moved(act, old, VersionState.RETIRED)
            await self._acts.record(
                act, Action.RETIRED, version, {"state_before": old.state.value, "note": note}
            )
        return new

    async def _accepted(self, policy: str, spec: dict[str, Any]) -> bytes:
        """Return the canonical form of a specification that the policy's room accepts."""
        validate = self._validators.get(kind_of(policy))
        if validate is None:
            raise unknown(policy)
        try:
            encoded = canonical(spec)
            looked_up = validate(msgspec.json.decode(encoded))
            if looked_up is not None:
                await looked_up
        except (msgspec.ValidationError, ValueError, InvalidRequest) as error:
            raise invalid_spec(policy, error) from error
        return encoded

    async def _salt(self, act: Act, before: Rollout | None, challenger: int | None) -> str:
        """Return the salt that keeps every unit where it was, or a new one for a new challenger."""
        if challenger is not None:
            return await store.salt_of(act.connection, act.policy, challenger) or self._new_salt()
        return self._new_salt() if before is None else before.salt


async def _next_number(act: Act) -> int:
    number = await store.last_version(act.connection, act.policy) + 1
    if number > VERSIONS_MAX:
        raise LimitExceeded("policy_versions_full", f"{act.policy} has {VERSIONS_MAX} versions")
    if number == 1 and await store.policy_count(act.connection) >= POLICIES_MAX:
        raise LimitExceeded("policies_full", f"there are {POLICIES_MAX} policies")
    return number


async def _moved(
    act: Act, old: PolicyVersion, state: VersionState, replay_id: UUID | None = None
) -> PolicyVersion:
    won(act.policy, await store.move_version(act.connection, old, state, replay_id))
    return msgspec.structs.replace(old, state=state, replay_id=replay_id or old.replay_id)


def _alone(act: Act, before: Rollout, *, champion: int, note: str) -> Rollout:
    """Return the epoch in which a champion decides for every unit; a shadow that is not it keeps watching."""
    return Rollout(
        policy=act.policy,
        epoch=before.epoch + 1,
        champion=champion,
        shadow=before.shadow,
        salt=before.salt,
        started_at=act.at,
        started_by=act.actor,
        note=note,
    )


def _check_report(report: Report) -> None:
    """Raise InvalidRequest ``replay_invalid`` for a report that cannot be kept as it is."""
    try:
        is_kept = msgspec.json.decode(msgspec.json.encode(report), type=Report) == report
    except (msgspec.MsgspecError, ValueError):
        is_kept = False
    if not is_kept:
        raise InvalidRequest(
            "replay_invalid", "the report holds a number that is none, or a time without zone"
        )
