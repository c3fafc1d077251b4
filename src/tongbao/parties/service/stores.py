"""The stores of a merchant. Writes join the caller's transaction, reads open a connection of their own."""

import msgspec
from msgspec import UNSET

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.ids import IdFactory, uuid_text
from tongbao.parties.errors import LiveOnly, UnknownStore
from tongbao.parties.policy import fields
from tongbao.parties.schema import (
    STORE_PREFIX,
    Page,
    PageRequest,
    Scope,
    Store,
    StoreChange,
    StoreDraft,
    StoreId,
    StoreState,
)
from tongbao.parties.service.zones import check_timezone
from tongbao.parties.store import merchants as store

FIRST_PAGE: PageRequest[StoreId] = PageRequest()


class Stores:
    """Opens, changes and lists stores; they serve both modes."""

    def __init__(self, database: Database, clock: Clock, ids: IdFactory) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids

    async def create(self, connection: Connection, scope: Scope, draft: StoreDraft) -> Store:
        """Open a store; joins the caller's transaction. Raises LiveOnly, BadField."""
        _check_live(scope)
        opened = Store(
            store_id=StoreId(self._ids.uuid()),
            name=draft.name,
            address=draft.address,
            timezone=draft.timezone,
            state=StoreState.OPEN,
            created_at=self._clock.now(),
        )
        _check(opened)
        await store.insert_store(connection, scope, opened)
        return opened

    async def change(
        self, connection: Connection, scope: Scope, store_id: StoreId, change: StoreChange
    ) -> Store:
        """Change a store, or close or open it; joins the caller's transaction.

        Raises LiveOnly, UnknownStore, BadField.
        """
        _check_live(scope)
        current = _found(await store.lock_store(connection, scope, store_id), store_id)
        given = {name: value for name, value in msgspec.structs.asdict(change).items() if value is not UNSET}
        changed = msgspec.structs.replace(current, **given)
        _check(changed)
        await store.update_store(connection, scope, changed)
        return changed

    async def get(self, scope: Scope, store_id: StoreId) -> Store:
        """Return one of the merchant's stores; raise UnknownStore."""
        async with self._database.connection() as connection:
            return _found(await store.store_by_id(connection, scope, store_id), store_id)

    async def list(self, scope: Scope, request: PageRequest[StoreId] = FIRST_PAGE) -> Page[Store]:
        """Return a page of the merchant's stores; raise BadField for a page that cannot be."""
        fields.check_page(request)
        async with self._database.connection() as connection:
            return await store.stores(connection, scope, request)


def _found(found: Store | None, store_id: StoreId) -> Store:
    if found is None:
        raise UnknownStore(uuid_text(STORE_PREFIX, store_id))
    return found


def _check_live(scope: Scope) -> None:
    if not scope.live:
        raise LiveOnly("stores")


def _check(checked: Store) -> None:
    fields.check_name("name", checked.name)
    fields.check_address(checked.address)
    check_timezone(checked.timezone)
