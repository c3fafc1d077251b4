"""Data keys: one of 256 bits for each person in a book, stored wrapped, in clear only for a moment.

The book itself is a person too (``BOOK_ITSELF``): from its key the blind index is derived, so that rotating the
wrapping key changes no index.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from uuid import UUID

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import AppError, InvariantBroken, Unavailable
from tongbao.core.metrics import Metrics
from tongbao.privacy import store
from tongbao.privacy.errors import KeyRefused, PersonShredded, SealBroken
from tongbao.privacy.ports import KeySource
from tongbao.privacy.schema import BOOK_ITSELF, PersonKey, WrappedKey
from tongbao.privacy.sealing import KEY_BYTES

CACHED_MAX = 1_000
CACHED_FOR = timedelta(minutes=1)
REWRAP_MAX = 10_000
TRIES_MAX = 3
_CacheKey = tuple[bytes, WrappedKey]
_Find = Callable[[Connection, int, UUID], Awaitable[PersonKey | None]]


class DataKeys:
    """Makes, opens and rewraps data keys. Opened ones stay in memory for a minute, at most ``cached_max``.

    They are remembered by their wrapped form and its place, as it was read from the database just now: a key that was
    destroyed, moved or rolled back is never found.
    """

    def __init__(
        self,
        keys: KeySource,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        metrics: Metrics,
        *,
        region: str,
        cached_max: int = CACHED_MAX,
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._random_bytes = random_bytes
        self._region = region
        self._cached_max = cached_max
        self._open: OrderedDict[_CacheKey, tuple[bytes, datetime]] = OrderedDict()
        self._unwrapped = metrics.counter("vault_keys_unwrapped", "Data keys opened by the key source")

    def __repr__(self) -> str:
        return f"DataKeys({len(self._open)} open)"

    async def open(self, key: PersonKey) -> bytes:
        """Return a data key in clear; raise PersonShredded, KeyRefused, SealBroken or KeysUnusable."""
        if key.wrapped is None:
            raise PersonShredded(key.person_id)
        place, now = (key.context, key.wrapped), self._clock.now()
        known = self._open.get(place)
        if known is not None and known[1] > now:
            self._open.move_to_end(place)
            return known[0]
        clear = await self._keys.unwrap(key.wrapped, key.context)
        self._unwrapped.inc()
        self._remember(place, clear, now)
        return clear

    async def of_person(
        self, connection: Connection, book_id: int, person_id: UUID
    ) -> tuple[PersonKey, bytes]:
        """Return the person's data key, stored and in clear, making it where there is none; joins the transaction.

        Nobody can destroy it until that ends. Raises PersonShredded where it was destroyed.
        """
        return await self._find_or_make(store.person_key_kept, connection, book_id, person_id)

    async def of_new_person(
        self, connection: Connection, book_id: int, person_id: UUID
    ) -> tuple[PersonKey, bytes]:
        """Make the data key of a person whose id is new; joins the transaction."""
        made = await self._make(connection, book_id, person_id)
        if made is None:
            raise InvariantBroken("person_id_repeated", "the id of a new person exists already")
        return made

    async def of_book(self, connection: Connection, book_id: int) -> bytes:
        """Return the key of the book itself in clear, making it where there is none; joins the transaction."""
        # Read without a lock: it is never destroyed, and every card of the book passes here.
        return (await self._find_or_make(store.person_key, connection, book_id, BOOK_ITSELF))[1]

    async def rewrap(self, database: Database, limit: int) -> int:
        """Wrap up to ``limit`` data keys again under the current version; return how many. Opens transactions.

        Repeat until it returns 0; interrupted, it goes on where it stopped. Items are not touched. A key that
        does not open holds nothing up: the others are written, then InvariantBroken ``keys_not_rewrapped`` is
        raised.
        """
        version = await self._keys.current_version()
        async with database.connection() as connection:
            stale = await store.stale_keys(connection, version, max(1, min(limit, REWRAP_MAX)))
        changes: list[tuple[PersonKey, WrappedKey, WrappedKey]] = []
        broken: list[AppError] = []
        for key in stale:
            assert key.wrapped is not None  # destroyed ones are not stale
            try:
                clear = await self._keys.unwrap(key.wrapped, key.context)
            except (KeyRefused, SealBroken) as error:
                broken.append(error)
            else:
                changes.append((key, key.wrapped, await self._keys.wrap(clear, key.context)))
        count = 0
        if changes:
            async with database.transaction() as connection:
                count = await store.replace_wrappings(connection, changes)
        if broken:
            raise InvariantBroken(
                "keys_not_rewrapped",
                f"{len(broken)} data keys do not open: {broken[0]}",
                broken_count=len(broken),
                rewrapped_count=count,
            )
        return count

    async def _find_or_make(
        self, find: _Find, connection: Connection, book_id: int, person_id: UUID
    ) -> tuple[PersonKey, bytes]:
        for _ in range(TRIES_MAX):
            found = await find(connection, book_id, person_id)
            if found is not None:
                return found, await self.open(found)
            made = await self._make(connection, book_id, person_id)
            if made is not None:
                return made
            # Another transaction stored one a moment ago: the next look finds it, unless it is gone again.
        raise Unavailable("data_key_contended", "a data key is being made and removed; repeat")

    async def _make(
        self, connection: Connection, book_id: int, person_id: UUID
    ) -> tuple[PersonKey, bytes] | None:
        """Store a new data key; None where somebody else did so first."""
        clear = self._random_bytes(KEY_BYTES)
        blank = PersonKey(book_id=book_id, person_id=person_id, region=self._region, wrapped=None)
        wrapped = await self._keys.wrap(clear, blank.context)
        if not await store.insert_key(connection, blank, wrapped, self._clock.now()):
            return None
        return PersonKey(book_id=book_id, person_id=person_id, region=self._region, wrapped=wrapped), clear

    def _remember(self, place: _CacheKey, clear: bytes, now: datetime) -> None:
        self._open[place] = (clear, now + CACHED_FOR)
        self._open.move_to_end(place)
        if len(self._open) > self._cached_max:
            self._open.popitem(last=False)
