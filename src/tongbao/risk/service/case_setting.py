"""Setting how cases are worked: what rings, deadlines, how much one person releases; version by version, each kept.

A version counts from its commit on: whoever opens or closes a case reads the settings in the same transaction. What lets
one person release more money than before waits for a second person, as such a release itself would.
"""

from datetime import datetime
from typing import Any

import msgspec

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import Conflict, LimitExceeded, NotPermitted
from tongbao.risk.policy import case_settings as policy
from tongbao.risk.policy.case_settings import FIELDS, Difference, differences, said
from tongbao.risk.schema.case_settings import VERSIONS_MAX, CaseSetting, CaseSettings, SettingState
from tongbao.risk.schema.cases import CaseSpec
from tongbao.risk.store import case_settings as store

__all__ = ["FIELDS", "CaseSettingDesk", "Difference", "differences", "in_force", "said"]

PAGE_MAX = 100


async def in_force(connection: Connection) -> CaseSpec:
    """Return the settings in force; those that are built in where nobody has made any. Joins the transaction."""
    standing = await store.standing(connection)
    return CaseSpec() if standing is None else standing.spec


class CaseSettingDesk:
    """Reads and changes the settings of cases. One object a process."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def now(self) -> CaseSettings:
        """Return what is in force, and what waits."""
        async with self._database.transaction(read_only=True, snapshot=True) as connection:
            return await _now(connection)

    async def history(self, before: int | None = None, limit: int = PAGE_MAX) -> list[CaseSetting]:
        """Return versions, newest first, at most ``PAGE_MAX``."""
        async with self._database.connection() as connection:
            return await store.page(connection, before, max(1, min(limit, PAGE_MAX)))

    async def change(self, given: dict[str, Any], latest: int, note: str, actor: str) -> CaseSetting:
        """Make the next version, in force at once or waiting for a second person; one that changes nothing is not made.

        ``latest`` is the newest version that the author knew, 0 for none. Raises InvalidRequest ``case_settings_invalid``,
        Conflict ``case_settings_changed`` where there is a newer one, ``case_settings_same`` and ``case_settings_waiting``
        while another waits, LimitExceeded ``case_settings_full``.
        """
        spec = policy.read(given)
        policy.check(spec, note, actor)
        async with self._database.transaction() as connection:
            known = await _now(connection)
            _check_latest(known, latest)
            if known.waiting is not None:
                raise Conflict(
                    "case_settings_waiting",
                    f"version {known.waiting.version} waits for a second person: agree to it or refuse it first",
                    version=known.waiting.version,
                )
            if spec == known.spec:
                raise Conflict("case_settings_same", "these settings are in force already")
            if known.latest >= VERSIONS_MAX:
                raise LimitExceeded(
                    "case_settings_full", f"there are {VERSIONS_MAX:,} versions", limit=VERSIONS_MAX
                )
            waits = policy.needs_second(known.spec, spec)
            made = CaseSetting(
                version=known.latest + 1,
                made_at=self._clock.now(),
                made_by=actor,
                note=note,
                spec=spec,
                state=SettingState.WAITING if waits else SettingState.IN_FORCE,
            )
            if not await store.add(connection, made):
                raise _changed(made.version)
        return made

    async def approve(self, version: int, actor: str) -> CaseSetting:
        """Agree, as the second person, to the version that waits; it is in force then.

        Raises Conflict ``case_settings_not_waiting``, NotPermitted ``case_same_person``.
        """
        return await self._answer(version, SettingState.IN_FORCE, actor)

    async def refuse(self, version: int, actor: str) -> CaseSetting:
        """Refuse the version that waits; by whoever made it, take it back. Raises Conflict ``case_settings_not_waiting``."""
        return await self._answer(version, SettingState.REFUSED, actor)

    async def _answer(self, version: int, state: SettingState, actor: str) -> CaseSetting:
        policy.check(CaseSpec(), "answer", actor)
        now: datetime = self._clock.now()
        async with self._database.transaction() as connection:
            newest = await store.latest(connection)
            if newest is None or newest.version != version or newest.state is not SettingState.WAITING:
                raise _not_waiting(version)
            if state is SettingState.IN_FORCE and newest.made_by == actor:
                raise NotPermitted("case_same_person", "whoever asked cannot be the second person")
            if not await store.answer(connection, version, state, now, actor):
                raise _not_waiting(version)
        return msgspec.structs.replace(newest, state=state, decided_at=now, decided_by=actor)


async def _now(connection: Connection) -> CaseSettings:
    newest, standing = await store.latest(connection), await store.standing(connection)
    is_waiting = newest is not None and newest.state is SettingState.WAITING
    return CaseSettings(
        version=0 if standing is None else standing.version,
        spec=CaseSpec() if standing is None else standing.spec,
        latest=0 if newest is None else newest.version,
        standing=standing,
        waiting=newest if is_waiting else None,
    )


def _check_latest(known: CaseSettings, latest: int) -> None:
    if known.latest != latest:
        raise _changed(known.latest)


def _changed(version: int) -> Conflict:
    return Conflict(
        "case_settings_changed", f"version {version} was made meanwhile: look at it again", version=version
    )


def _not_waiting(version: int) -> Conflict:
    return Conflict("case_settings_not_waiting", f"version {version} waits for nobody", version=version)
