"""Lists of one process: declared, added to and taken from in the database, asked in memory.

``refresh`` brings the picture up to date from outside of any payment, by reading what changed since. While the database is
away the last picture stands: who was blocked stays blocked. A change is seen by every process ``REFRESH_S`` seconds after
its commit at the latest. Every act is a row that stays, with who did it, when and why.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
import structlog

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import Conflict, InvalidRequest, LimitExceeded, NotFound, OutcomeUnknown, Unavailable
from tongbao.core.ids import IdFactory, uuid_text
from tongbao.risk.policy.lists import Picture, check_actor, check_entry, check_list, check_reason
from tongbao.risk.schema.lists import (
    ADDED_MAX,
    ENTRIES_MAX,
    ENTRIES_TOTAL_MAX,
    LISTS_MAX,
    PAGE_MAX,
    EntryEffect,
    Listed,
    ListEffect,
    ListEntry,
    ListKey,
    NamedList,
    NewEntry,
)
from tongbao.risk.schema.signals import Signals
from tongbao.risk.store import list_effects
from tongbao.risk.store import lists as store
from tongbao.risk.store.list_effects import Did

REFRESH_S = 2.0
READ_MAX = 5_000
"""Rows that one statement of a refresh reads."""
MATCHED_MAX = 10_000
"""Looks that are read of what one entry matched."""
READ_BACK = timedelta(days=30)
READ_BACK_MAX = 50_000
"""Looks that are read one by one for entries that name no entity."""
FORGET_S = 600.0
EXPIRED_KEPT = timedelta(hours=1)
"""Expired entries are kept in memory a while: a payment is judged by its own instant."""

_LAST_ID = UUID(int=(1 << 128) - 1)
"""Behind every row of one change."""
_log = structlog.get_logger(__name__)


class Lists:
    """The lists as one process knows them. Call ``refresh`` before the first payment and then every ``REFRESH_S`` s."""

    def __init__(
        self, database: Database, clock: Clock, ids: IdFactory, refresh_s: float = REFRESH_S
    ) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._refresh = timedelta(seconds=refresh_s)
        self._picture = Picture()
        self._change_no = 0
        self._refreshed_at: datetime | None = None
        self._forgot_at: datetime | None = None
        self._single = asyncio.Lock()

    @property
    def refreshed_at(self) -> datetime | None:
        """When the picture was last known to be up to date; None before the first time."""
        return self._refreshed_at

    def listed(self, signals: Signals) -> tuple[Listed, ...]:
        """Return why a payment is on lists: what blocks first, then what allows, then marks. No waiting, no database."""
        return self._picture.listed(signals)

    async def declare(self, key: ListKey, effect: ListEffect, note: str, actor: str) -> NamedList:
        """Declare a list; one that exists with this effect is returned as it is. Its effect never changes.

        Raises InvalidRequest ``list_invalid``, Conflict ``list_exists`` for one with another effect, LimitExceeded
        ``lists_full`` beyond ``LISTS_MAX`` of a book and mode.
        """
        check_list(key.name, note, actor)
        async with self._database.transaction() as connection:
            change_no = await store.next_change(connection)
            standing = await store.named_list(connection, key)
            if standing is not None:
                if standing.effect is not effect:
                    detail = f"the list {key.name} exists, and its effect is {standing.effect}"
                    raise Conflict("list_exists", detail, list=key.name, effect=standing.effect.value)
                return standing
            if len(await store.named_lists(connection, key.book_id, key.live, LISTS_MAX)) >= LISTS_MAX:
                raise LimitExceeded("lists_full", f"a book has at most {LISTS_MAX} lists", limit=LISTS_MAX)
            declared = NamedList(
                book_id=key.book_id,
                live=key.live,
                name=key.name,
                effect=effect,
                note=note,
                declared_at=self._clock.now(),
                declared_by=actor,
            )
            await store.insert_list(connection, declared, change_no)
            return declared

    async def add(self, key: ListKey, entries: Sequence[NewEntry], actor: str) -> list[ListEntry]:
        """Put entries on a list, all or none, and return them in their order.

        An entry that stands already with the same expiry is returned as it is, so an act may be repeated. Raises
        InvalidRequest ``list_entry_invalid``, NotFound ``list_not_found``, Conflict ``list_entry_exists`` for one that stands with
        another expiry (remove it first), LimitExceeded ``list_full`` and ``list_act_too_long``.
        """
        if len(entries) > ADDED_MAX:
            raise LimitExceeded(
                "list_act_too_long", f"one act adds at most {ADDED_MAX} entries", limit=ADDED_MAX
            )
        now = self._clock.now()
        check_actor(actor)
        for each in entries:
            check_entry(each, now)
        if len({(each.kind, each.value) for each in entries}) != len(entries):
            raise InvalidRequest("list_entry_invalid", "a value is named twice", field="value")
        async with self._database.transaction() as connection:
            change_no = await store.next_change(connection)
            await self._found(connection, key)
            at_hand = await self._at_hand(connection, key, entries, now)
            made = [
                at_hand.get((each.kind, each.value)) or self._made(key, each, actor, now) for each in entries
            ]
            new = [each for each in made if (each.kind, each.value) not in at_hand]
            counts = await store.counts(connection, key.book_id, now)
            if counts.of_book + len(new) > ENTRIES_MAX or counts.of_all + len(new) > ENTRIES_TOTAL_MAX:
                detail = f"a book has at most {ENTRIES_MAX} entries, all together {ENTRIES_TOTAL_MAX}"
                raise LimitExceeded("list_full", detail, limit=ENTRIES_MAX)
            await store.insert_entries(connection, new, change_no)
        return made

    async def remove(self, book_id: int, entry_id: UUID, reason: str, actor: str) -> ListEntry:
        """Take an entry off its list and return it as it stands now; who removed it first stays.

        Raises InvalidRequest ``list_entry_invalid`` and NotFound ``list_entry_not_found``.
        """
        check_actor(actor)
        check_reason(reason)
        async with self._database.transaction() as connection:
            change_no = await store.next_change(connection)
            entry = await self._entry(connection, book_id, entry_id)
            if entry.removed_at is not None:
                return entry
            removed = msgspec.structs.replace(
                entry, removed_at=self._clock.now(), removed_by=actor, removed_because=reason
            )
            await store.insert_removal(connection, removed, change_no)
        return removed

    async def entry(self, book_id: int, entry_id: UUID) -> ListEntry:
        """Return an entry, whether it stands or not; raise NotFound ``list_entry_not_found``."""
        async with self._database.connection() as connection:
            return await self._entry(connection, book_id, entry_id)

    async def entries(
        self,
        key: ListKey,
        *,
        before: UUID | None = None,
        is_history: bool = False,
        limit: int = PAGE_MAX,
    ) -> list[ListEntry]:
        """Return entries of a list, newest first, at most ``PAGE_MAX``; with ``is_history`` those that are gone too.

        Raises NotFound ``list_not_found``.
        """
        async with self._database.connection() as connection:
            await self._found(connection, key)
            standing_at = None if is_history else self._clock.now()
            return await store.page(connection, key, before, standing_at, max(1, min(limit, PAGE_MAX)))

    async def effects(self, entries: Sequence[ListEntry]) -> dict[UUID, EntryEffect]:
        """Return what each of at most ``PAGE_MAX`` entries of one mode did while it stood, gone ones too.

        Of an entity the newest ``MATCHED_MAX`` looks count; of a country or category those among the newest ``READ_BACK_MAX``
        looks of the last ``READ_BACK``. Raises LimitExceeded ``list_act_too_long``, InvalidRequest ``list_entry_invalid`` for
        entries of two modes.
        """
        if len(entries) > PAGE_MAX:
            raise LimitExceeded("list_act_too_long", f"at most {PAGE_MAX} entries at a time", limit=PAGE_MAX)
        if len({each.live for each in entries}) > 1:
            raise InvalidRequest("list_entry_invalid", "entries of live and of test lists", field="live")
        now = self._clock.now()
        end = now + timedelta(seconds=1)
        linked = [each for each in entries if each.kind.entity is not None]
        others = [each for each in entries if each.kind.entity is None]
        async with self._database.transaction(read_only=True, snapshot=True) as connection:
            found = await list_effects.by_link(connection, linked, end, MATCHED_MAX)
            found += await list_effects.by_reading(connection, others, (now - READ_BACK, end), READ_BACK_MAX)
        old = {each.id for each in others if each.added_at < now - READ_BACK}
        return {
            each.id: _effect([did for did in found if did.entry_id == each.id], each.id in old)
            for each in entries
        }

    async def lists(self, book_id: int, live: bool) -> list[NamedList]:
        """Return the lists of a book and mode, by name."""
        async with self._database.connection() as connection:
            return await store.named_lists(connection, book_id, live, LISTS_MAX)

    async def names(self, book_id: int) -> frozenset[str]:
        """Return the names that rules for the payments of a book may ask for: of its lists and those of the house."""
        async with self._database.connection() as connection:
            return frozenset(await store.names(connection, book_id, 4 * LISTS_MAX))

    async def refresh(self) -> bool:
        """Bring the picture up to date, at most once in ``refresh_s``; return whether it is.

        False while the database is away: the picture stands. Reads nothing but a number where nothing has changed.
        """
        async with self._single:
            now, last = self._clock.now(), self._refreshed_at
            # A clock that was set back must not put off the next look.
            if last is not None and last <= now < last + self._refresh:
                return True
            try:
                await self._read(now)
            except (Unavailable, OutcomeUnknown) as error:
                _log.warning("lists_not_refreshed", code=error.code)
                return False
            if self._forgot_at is None or now - self._forgot_at >= timedelta(seconds=FORGET_S):
                self._picture.forget_expired(now, EXPIRED_KEPT)
                self._forgot_at = now
            self._refreshed_at = now
            return True

    async def _read(self, now: datetime) -> None:
        """Take up the changes since the last one known, from one snapshot and in pages, so that payments go on between.

        An end before the last page does no harm: what is taken up is committed, and is passed over the next time.
        """
        async with self._database.transaction(read_only=True, snapshot=True) as connection:
            last = await store.last_change(connection)
            if last == self._change_no:
                return
            place: tuple[int, UUID] | None = (self._change_no, _LAST_ID)
            while place is not None and len(self._picture) < ENTRIES_TOTAL_MAX:
                added, place = await store.added_after(connection, place, now - EXPIRED_KEPT, READ_MAX)
                for entry, effect in added:
                    self._picture.add(entry, effect)
            # At the first look there is nothing to remove: what was removed was not read.
            after = (self._change_no or last, _LAST_ID)
            while removed := await store.removed_after(connection, after, READ_MAX):
                for _, entry_id in removed:
                    self._picture.remove(entry_id)
                after = removed[-1]
        self._change_no = last

    async def _at_hand(
        self, connection: Connection, key: ListKey, entries: Sequence[NewEntry], now: datetime
    ) -> dict[tuple[str, str], ListEntry]:
        """Return those of the entries that stand already, by kind and value."""
        wanted = {(each.kind, each.value): each for each in entries}
        found = await store.standing(connection, key, list(wanted), now)
        for each in found:
            if wanted[each.kind, each.value].expires_at != each.expires_at:
                detail = f"{uuid_text('le', each.id)} stands with another expiry; remove it first"
                raise Conflict("list_entry_exists", detail, entry_id=str(each.id))
        return {(each.kind, each.value): each for each in found}

    def _made(self, key: ListKey, entry: NewEntry, actor: str, now: datetime) -> ListEntry:
        return ListEntry(
            id=self._ids.uuid(),
            book_id=key.book_id,
            live=key.live,
            list_name=key.name,
            kind=entry.kind,
            value=entry.value,
            reason=entry.reason,
            added_at=now,
            added_by=actor,
            expires_at=entry.expires_at,
        )

    async def _found(self, connection: Connection, key: ListKey) -> NamedList:
        found = await store.named_list(connection, key)
        if found is None:
            raise NotFound("list_not_found", f"there is no list {key.name[:80]!r}")
        return found

    async def _entry(self, connection: Connection, book_id: int, entry_id: UUID) -> ListEntry:
        found = await store.entry(connection, book_id, entry_id)
        if found is None:
            raise NotFound("list_entry_not_found", f"there is no entry {uuid_text('le', entry_id)}")
        return found


def _effect(did: Sequence[Did], is_cut: bool) -> EntryEffect:
    """Return what an entry did in all currencies together."""
    return EntryEffect(
        payment_count=sum(each.payment_count for each in did),
        blocked_count=sum(each.blocked_count for each in did),
        allowed_count=sum(each.allowed_count for each in did),
        fraud_count=sum(each.fraud_count for each in did),
        values=tuple((each.currency, each.value) for each in did),
        blocked_values=tuple((each.currency, each.blocked_value) for each in did if each.blocked_value),
        last_at=max((each.last_at for each in did), default=None),
        is_partial=is_cut or sum(each.look_count for each in did) >= MATCHED_MAX,
    )
