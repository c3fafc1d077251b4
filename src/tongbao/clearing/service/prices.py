"""Price lists: drafted, simulated, published from an instant on by a second person, withdrawn before they take effect.

Every change is one transaction and one line of the version's trail. What took effect is never changed: what a movement
was priced by can be found again from the instant at which it happened. A process keeps versions that it made ready
(``READY_MAX``), since what they say never changes.
"""

from datetime import datetime
from typing import Final

import msgspec

from tongbao.clearing.policy import price_diff
from tongbao.clearing.policy.fee_checks import check_spec, read_spec
from tongbao.clearing.policy.fees import Schedule, joined
from tongbao.clearing.policy.price_lists import MERCHANTS, STARTERS, merchant_prices
from tongbao.clearing.policy.price_timeline import ready, role_of
from tongbao.clearing.schema.fees import ScheduleSpec
from tongbao.clearing.schema.schedules import (
    NAME_CHARS_MAX,
    NOTE_CHARS_MAX,
    Role,
    ScheduleAct,
    ScheduleState,
    ScheduleStep,
    ScheduleVersion,
    Simulation,
)
from tongbao.clearing.store import schedules as store
from tongbao.core.clock import EPOCH, Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import Conflict, InvalidRequest, LimitExceeded, NotFound, NotPermitted

VERSIONS_MAX = 1_000
PAGE_MAX = 200
READY_MAX = 500
NAME_CHARS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-/")
SHIPPED_BY = "tongbao"
"""Who made and published the lists of a new house: the release itself."""


class Prices:
    """All that is done with price lists. One object per process."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._ready: dict[tuple[str, int], Schedule] = {}

    async def install(self) -> int:
        """Publish the lists that a house begins with, each where no version of it exists; return how many.

        They hold from the beginning of time and nobody signs them: they came with the release. Repeating adds nothing.
        """
        count, now = 0, self._clock.now()
        step = ScheduleStep(act=ScheduleAct.PUBLISHED, at=now, actor=SHIPPED_BY)
        async with self._database.transaction() as connection:
            for name, spec in STARTERS:
                if await store.last_version(connection, name):
                    continue
                first = ScheduleVersion(
                    name=name,
                    version=1,
                    state=ScheduleState.PUBLISHED,
                    spec=spec,
                    note="",
                    made_by=SHIPPED_BY,
                    made_at=now,
                    effective_at=EPOCH,
                    published_by=SHIPPED_BY,
                    published_at=now,
                    history=(step,),
                )
                count += await store.insert(connection, first)
        return count

    async def draft(self, name: str, spec: object, note: str, actor: str) -> ScheduleVersion:
        """Write a new version of a list, given in plain JSON values; the draft that says the same, where there is one.

        Raises InvalidRequest ``schedule_invalid`` (``path``, ``reason``), ``schedule_name_invalid``, ``note_invalid`` or
        ``schedule_role_changed``; LimitExceeded ``schedule_versions_full``; Conflict ``schedule_changed``.
        """
        _check_name(name)
        _check_note(note)
        accepted = await self._accepted(name, spec)
        async with self._database.transaction() as connection:
            existing = await store.draft_like(connection, name, accepted)
            if existing is not None:
                return existing
            newest = await store.versions(connection, name, None, 1)
            if newest and role_of(newest[0].spec) is not role_of(accepted):
                raise InvalidRequest(
                    "schedule_role_changed",
                    f"{name} is a list of {role_of(newest[0].spec)}; take another name",
                )
            number = newest[0].version + 1 if newest else 1
            if number > VERSIONS_MAX:
                raise LimitExceeded("schedule_versions_full", f"{name} has {VERSIONS_MAX} versions")
            now = self._clock.now()
            new = ScheduleVersion(
                name=name,
                version=number,
                state=ScheduleState.DRAFT,
                spec=accepted,
                note=note,
                made_by=actor,
                made_at=now,
                history=(ScheduleStep(act=ScheduleAct.DRAFTED, at=now, actor=actor, note=note),),
            )
            _won(name, await store.insert(connection, new))
        return new

    async def simulated(self, name: str, version: int, simulation: Simulation) -> ScheduleVersion:
        """Keep what a draft would have cost; a later simulation takes the place of an earlier one.

        Raises NotFound ``schedule_unknown``; Conflict ``schedule_no_draft`` or ``schedule_changed``.
        """
        async with self._database.transaction() as connection:
            old = await _locked(connection, name, version)
            if old.state is not ScheduleState.DRAFT:
                raise Conflict("schedule_no_draft", f"version {version} of {name} is {old.state}")
            return await self._move(
                connection, old, ScheduleAct.SIMULATED, simulation.made_by, "", simulation=simulation
            )

    async def publish(
        self, name: str, version: int, effective_at: datetime, actor: str, *, note: str = ""
    ) -> ScheduleVersion:
        """Let a draft hold from an instant on; the same once more changes nothing.

        Somebody else than its maker publishes it, with a simulation against all that is published already. Nothing begins
        in the past, but for a list that never had prices. Raises NotFound ``schedule_unknown``; NotPermitted
        ``schedule_four_eyes``; InvalidRequest ``schedule_effective_past`` or ``note_invalid``; Conflict
        ``schedule_not_simulated``, ``schedule_simulation_stale``, ``schedule_no_draft`` or ``schedule_changed``.
        """
        _check_note(note)
        async with self._database.transaction() as connection:
            old = await _locked(connection, name, version)
            if old.state is ScheduleState.PUBLISHED and old.effective_at == effective_at:
                return old
            if old.state is not ScheduleState.DRAFT:
                raise Conflict("schedule_no_draft", f"version {version} of {name} is {old.state}")
            if actor == old.made_by:
                raise NotPermitted("schedule_four_eyes", "whoever made a version does not publish it")
            await self._check_simulated(connection, old, effective_at)
            return await self._move(
                connection,
                old,
                ScheduleAct.PUBLISHED,
                actor,
                note,
                state=ScheduleState.PUBLISHED,
                effective_at=effective_at,
                published_by=actor,
                published_at=self._clock.now(),
            )

    async def withdraw(self, name: str, version: int, reason: str, actor: str) -> ScheduleVersion:
        """Take back a draft, or a published version that has not taken effect; the same once more changes nothing.

        Raises NotFound ``schedule_unknown``; InvalidRequest ``note_invalid`` without a reason; Conflict
        ``schedule_in_force`` (publish another version instead) or ``schedule_changed``.
        """
        _check_note(reason, chars_min=1)
        async with self._database.transaction() as connection:
            old = await _locked(connection, name, version)
            if old.state is ScheduleState.WITHDRAWN:
                return old
            if old.effective_at is not None and old.effective_at <= self._clock.now():
                raise Conflict(
                    "schedule_in_force", f"version {version} of {name} has taken effect; publish another"
                )
            return await self._move(
                connection, old, ScheduleAct.WITHDRAWN, actor, reason, state=ScheduleState.WITHDRAWN
            )

    async def at(self, name: str, instant: datetime) -> Schedule:
        """Return the version of a list that holds at an instant, ready to price by; raise NotFound ``schedule_unknown``.

        A list of costs or commissions is to be joined to a merchant's (``policy.fees.joint``).
        """
        async with self._database.connection() as connection:
            found = await store.in_force(connection, name, instant)
        if found is None:
            raise NotFound(
                "schedule_unknown", f"no version of {name[:NAME_CHARS_MAX]!r} holds at that instant"
            )
        key = (found.name, found.version)
        if key not in self._ready:
            if len(self._ready) >= READY_MAX:
                self._ready.clear()
            self._ready[key] = ready(found)
        return self._ready[key]

    async def version(self, name: str, version: int) -> ScheduleVersion:
        """Return one version; raise NotFound ``schedule_unknown``."""
        async with self._database.connection() as connection:
            return _known(await store.one(connection, name, version), name, version)

    async def versions(
        self, name: str, *, before: int | None = None, limit: int = PAGE_MAX
    ) -> list[ScheduleVersion]:
        """Return versions of a list, newest first, those below ``before``; at most ``PAGE_MAX``."""
        async with self._database.connection() as connection:
            return await store.versions(connection, name, before, max(1, min(limit, PAGE_MAX)))

    async def names(self, *, after: str = "", limit: int = PAGE_MAX) -> list[str]:
        """Return the names of lists in order, those beyond ``after``; at most ``PAGE_MAX``."""
        async with self._database.connection() as connection:
            return await store.names(connection, after, max(1, min(limit, PAGE_MAX)))

    async def diff(
        self, name: str, version: int, language: str, *, against: int | None = None
    ) -> tuple[str, ...]:
        """Return in words what a version changes, against another one or (None) the one that holds now.

        Chinese where ``language`` begins with zh, else English. Raises NotFound ``schedule_unknown``.
        """
        async with self._database.connection() as connection:
            new = _known(await store.one(connection, name, version), name, version)
            if against is None:
                old = await store.in_force(connection, name, self._clock.now())
            else:
                old = _known(await store.one(connection, name, against), name, against)
        return price_diff.diff(ScheduleSpec() if old is None else old.spec, new.spec, language)

    async def _accepted(self, name: str, spec: object) -> ScheduleSpec:
        """Return a specification that can be priced by: commissions and costs together with the house's own prices."""
        accepted = read_spec(spec, is_addition=True)
        if role_of(accepted) is Role.MERCHANTS:
            check_spec(accepted)
            return accepted
        try:
            merchant = (await self.at(MERCHANTS, self._clock.now())).spec
        except NotFound:
            merchant = merchant_prices()
        joined(merchant, accepted)
        check_spec(accepted, merchant)
        return accepted

    async def _check_simulated(
        self, connection: Connection, old: ScheduleVersion, effective_at: datetime
    ) -> None:
        newest = await store.newest_published(connection, old.name)
        if newest is not None and effective_at < self._clock.now():
            raise InvalidRequest(
                "schedule_effective_past", "what was priced before stays: begin now or later"
            )
        if old.simulation is None:
            raise Conflict("schedule_not_simulated", "see first what it would have cost")
        if old.simulation.known != (0 if newest is None else newest.version):
            raise Conflict(
                "schedule_simulation_stale", f"another version of {old.name} was published; simulate again"
            )

    async def _move(
        self,
        connection: Connection,
        old: ScheduleVersion,
        act: ScheduleAct,
        actor: str,
        note: str,
        **values: object,
    ) -> ScheduleVersion:
        step = ScheduleStep(act=act, at=self._clock.now(), actor=actor, note=note)
        new = msgspec.structs.replace(old, history=(*old.history, step), **values)
        _won(old.name, await store.move(connection, old, new))
        return new


async def _locked(connection: Connection, name: str, version: int) -> ScheduleVersion:
    await store.lock(connection, name)
    return _known(await store.one(connection, name, version), name, version)


def _known(found: ScheduleVersion | None, name: str, version: int) -> ScheduleVersion:
    if found is None:
        raise NotFound("schedule_unknown", f"there is no version {version} of {name[:NAME_CHARS_MAX]!r}")
    return found


def _won(name: str, is_first: bool) -> None:
    if not is_first:
        raise Conflict("schedule_changed", f"somebody else changed {name}; look again")


def _check_name(name: str) -> None:
    if not 0 < len(name) <= NAME_CHARS_MAX or not set(name) <= NAME_CHARS or not name[0].isalnum():
        raise InvalidRequest(
            "schedule_name_invalid",
            f"a name has 1 to {NAME_CHARS_MAX} small letters, digits, _, - or /, and begins with one of the first two",
        )


def _check_note(note: str, chars_min: int = 0) -> None:
    if not chars_min <= len(note.strip()) <= len(note) <= NOTE_CHARS_MAX or "\x00" in note:
        raise InvalidRequest("note_invalid", f"a note has {chars_min} to {NOTE_CHARS_MAX} characters")
