"""Freezing and releasing with four eyes, and the picture of what is frozen that every payment is held against.

The picture is read by ``frozen`` without waiting and without the database; ``refresh`` brings it up to date. While the
database is away the last picture stands: what was frozen stays frozen.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.errors import NotFound, OutcomeUnknown, Unavailable
from tongbao.core.ids import IdFactory, uuid_text
from tongbao.risk.policy import freezes as policy
from tongbao.risk.schema.freezes import (
    FREEZE_PREFIX,
    Freeze,
    FreezeAct,
    FreezeActKind,
    FreezeOrder,
    FreezePage,
    FreezeQuery,
)
from tongbao.risk.schema.signals import Entity, Signals
from tongbao.risk.store import freezes as store

REFRESH_S = 2.0
_ENTITIES = tuple(Entity)

Step = Callable[[Freeze, int, datetime], Freeze]
"""From a freeze, how many lines its history has, and the instant, to the freeze afterwards."""

_log = structlog.get_logger(__name__)


class Freezing:
    """Freezes entities, releases them, and knows what is frozen. One object a process; call ``refresh`` all the time.

    ``actor`` is whoever a face has let in, by an id of their own: two people have two. Acts open a transaction of their
    own and are in this process's picture when they return, in every other one within ``refresh_s`` seconds.
    """

    def __init__(
        self, database: Database, clock: Clock, ids: IdFactory, refresh_s: float = REFRESH_S
    ) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._refresh = timedelta(seconds=refresh_s)
        self._live: dict[tuple[Entity, str], Freeze] = {}
        self._test: dict[tuple[Entity, str], Freeze] = {}
        self._version = -1
        self._refreshed_at: datetime | None = None
        self._single = asyncio.Lock()

    @property
    def refreshed_at(self) -> datetime | None:
        """When the picture was last known to be up to date; None before the first time."""
        return self._refreshed_at

    def frozen(self, signals: Signals) -> Freeze | None:
        """Return a freeze that holds for somebody in a payment, the first in the order of ``Entity``; None for none."""
        picture = self._live if signals.live else self._test
        if not picture:
            return None
        for entity in _ENTITIES:
            found = picture.get((entity, signals.key(entity)))
            if found is not None:
                return found
        return None

    async def refresh(self) -> bool:
        """Bring the picture up to date, at most once in ``refresh_s``; return whether it is.

        False while the database is away. Reads one number where nothing has changed.
        """
        now, last = self._clock.now(), self._refreshed_at
        # A clock that was set back must not put off the next look.
        if last is not None and last <= now < last + self._refresh:
            return True
        try:
            await self._read()
        except (Unavailable, OutcomeUnknown) as error:
            _log.warning("freezes_not_refreshed", code=error.code)
            return False
        return True

    async def freeze(self, order: FreezeOrder, actor: str) -> Freeze:
        """Freeze an entity at once; the same person repeating the same gets the same freeze.

        Raises Conflict ``already_frozen`` with the freeze that stands, LimitExceeded ``freezes_full``, InvalidRequest
        ``key_invalid``, ``reason_invalid``, ``actor_invalid``.
        """
        now = self._clock.now()
        made = policy.frozen(order, self._ids.uuid(), actor, now)
        async with self._database.transaction() as connection:
            head = await store.lock_head(connection)
            standing = await store.standing(connection, order.live, order.entity, order.key)
            if standing is not None:
                return policy.same(standing, order, actor)
            policy.check_room(head.in_force_count)
            await store.insert(connection, made)
            act = FreezeAct(
                freeze_id=made.id,
                number=1,
                kind=FreezeActKind.FROZEN,
                actor=actor,
                why=order.reason,
                at=now,
            )
            await store.insert_act(connection, act)
            await store.move_head(connection, 1)
        await self._look()
        return made

    async def request_release(self, freeze_id: UUID, actor: str, why: str) -> Freeze:
        """Ask for the release of a freeze, which stays in force until somebody else approves.

        Raises NotFound ``freeze_unknown``, Conflict ``already_released``, ``release_already_requested``,
        InvalidRequest ``reason_invalid``, ``actor_invalid``.
        """
        return await self._act(
            freeze_id,
            FreezeActKind.RELEASE_REQUESTED,
            actor,
            why,
            lambda freeze, _, __: policy.requested(freeze, actor),
        )

    async def approve_release(self, freeze_id: UUID, actor: str, why: str = "approved") -> Freeze:
        """Release a freeze whose release somebody else has asked for.

        Raises NotFound ``freeze_unknown``, NotPermitted ``four_eyes_required``, Conflict ``already_released``,
        ``release_not_requested``, InvalidRequest.
        """
        return await self._act(
            freeze_id,
            FreezeActKind.RELEASED,
            actor,
            why,
            lambda freeze, _, now: policy.approved(freeze, actor, now),
        )

    async def refuse_release(self, freeze_id: UUID, actor: str, why: str) -> Freeze:
        """Refuse a release, or take one's own request back; the freeze stays in force.

        Raises NotFound ``freeze_unknown``, Conflict ``already_released``, ``release_not_requested``, LimitExceeded
        ``freeze_acts_full``, InvalidRequest.
        """
        return await self._act(
            freeze_id,
            FreezeActKind.RELEASE_REFUSED,
            actor,
            why,
            lambda freeze, count, _: policy.refused(freeze, count),
        )

    async def get(self, freeze_id: UUID) -> Freeze:
        """Return a freeze; raise NotFound ``freeze_unknown``."""
        async with self._database.connection() as connection:
            return _found(await store.by_id(connection, freeze_id), freeze_id)

    async def history(self, freeze_id: UUID) -> tuple[FreezeAct, ...]:
        """Return what was done to a freeze, oldest first; raise NotFound ``freeze_unknown``."""
        async with self._database.connection() as connection:
            _found(await store.by_id(connection, freeze_id), freeze_id)
            return tuple(await store.acts(connection, freeze_id))

    async def page(self, query: FreezeQuery) -> FreezePage:
        """Return freezes, newest first."""
        async with self._database.connection() as connection:
            found = await store.page(connection, query)
        return FreezePage(items=tuple(found[: query.limit]), has_more=len(found) > query.limit)

    async def _act(self, freeze_id: UUID, kind: FreezeActKind, actor: str, why: str, step: Step) -> Freeze:
        """Take one step with a freeze and write its line into the history, in one transaction."""
        policy.check_words(why, actor)
        now = self._clock.now()
        async with self._database.transaction() as connection:
            await store.lock_head(connection)
            before = _found(await store.by_id(connection, freeze_id), freeze_id)
            count = await store.act_count(connection, freeze_id)
            after = step(before, count, now)
            await store.update(connection, after)
            act = FreezeAct(freeze_id=freeze_id, number=count + 1, kind=kind, actor=actor, why=why, at=now)
            await store.insert_act(connection, act)
            await store.move_head(connection, -1 if kind is FreezeActKind.RELEASED else 0)
        await self._look()
        return after

    async def _look(self) -> None:
        """Take the own act into the picture; where that fails the next ``refresh`` does."""
        try:
            await self._read()
        except (Unavailable, OutcomeUnknown) as error:
            _log.warning("freezes_not_refreshed", code=error.code)

    async def _read(self) -> None:
        async with self._single:
            now = self._clock.now()
            async with self._database.transaction(read_only=True, snapshot=True) as connection:
                version = await store.version(connection)
                if version != self._version:
                    in_force = await store.in_force(connection)
                    self._live = {(each.entity, each.key): each for each in in_force if each.live}
                    self._test = {(each.entity, each.key): each for each in in_force if not each.live}
                    self._version = version
            self._refreshed_at = now


def _found(freeze: Freeze | None, freeze_id: UUID) -> Freeze:
    if freeze is None:
        reference = uuid_text(FREEZE_PREFIX, freeze_id)
        raise NotFound("freeze_unknown", f"there is no freeze {reference}", freeze=reference)
    return freeze
