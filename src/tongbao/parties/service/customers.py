"""Customers of a merchant, in one mode: whatever the scope's book owns and nothing else.

Writes join the caller's transaction, reads open a connection of their own. A customer of another merchant, or of
the other mode, is unknown.
"""

import msgspec
from msgspec import UNSET

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.gathering import Gathering
from tongbao.core.ids import IdFactory, uuid_text
from tongbao.parties.errors import CustomerDeleted, UnknownCustomer, VersionChanged
from tongbao.parties.policy import fields
from tongbao.parties.schema import (
    CUSTOMER_PREFIX,
    Customer,
    CustomerChange,
    CustomerDraft,
    CustomerId,
    Holder,
    HolderKind,
    Page,
    PageRequest,
    Scope,
)
from tongbao.parties.store import customers as store
from tongbao.parties.store import sessions

FIRST_PAGE: PageRequest[CustomerId] = PageRequest()


class Customers:
    """Creates, changes, deletes, lists and finds customers."""

    def __init__(self, database: Database, clock: Clock, ids: IdFactory) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        # Nothing but the payments themselves asks as often: each makes sure of its customer.
        self._reading = Gathering(database, store.by_ids)

    async def create(self, connection: Connection, scope: Scope, draft: CustomerDraft) -> Customer:
        """Add a customer; joins the caller's transaction. Two may have one e-mail address. Raises BadField."""
        customer = Customer(
            customer_id=CustomerId(self._ids.uuid()),
            version=1,
            created_at=self._clock.now(),
            deleted_at=None,
            **msgspec.structs.asdict(draft),
        )
        _check(customer)
        await store.insert(connection, scope, customer, _folded(customer))
        return customer

    async def change(
        self,
        connection: Connection,
        scope: Scope,
        customer_id: CustomerId,
        change: CustomerChange,
        version: int | None = None,
    ) -> Customer:
        """Change a customer, where ``version`` is given only while it is current; joins the caller's transaction.

        Metadata is merged: a key with an empty value is removed. Raises UnknownCustomer, CustomerDeleted,
        VersionChanged, BadField.
        """
        current = _found(await store.lock(connection, scope, customer_id), customer_id)
        if current.deleted_at is not None:
            raise CustomerDeleted(uuid_text(CUSTOMER_PREFIX, customer_id))
        if version is not None and version != current.version:
            raise VersionChanged(version, current.version)
        given = {name: value for name, value in msgspec.structs.asdict(change).items() if value is not UNSET}
        if change.metadata is not UNSET:
            given["metadata"] = fields.merge_metadata(current.metadata, change.metadata)
        changed = msgspec.structs.replace(current, version=current.version + 1, **given)
        _check(changed)
        await store.update(connection, scope, changed, _folded(changed))
        return changed

    async def delete(self, connection: Connection, scope: Scope, customer_id: CustomerId) -> Customer:
        """Empty a customer, remove its passkeys and leave a tombstone; once more does nothing. Joins the transaction.

        Raises UnknownCustomer.
        """
        current = _found(await store.lock(connection, scope, customer_id), customer_id)
        if current.deleted_at is not None:
            return current
        tombstone = Customer(
            customer_id=customer_id,
            version=current.version + 1,
            created_at=current.created_at,
            deleted_at=self._clock.now(),
            **msgspec.structs.asdict(CustomerDraft()),
        )
        await store.update(connection, scope, tombstone, None)
        await sessions.delete_passkeys(connection, Holder(HolderKind.CUSTOMER, customer_id, scope.book_id))
        return tombstone

    async def get(self, scope: Scope, customer_id: CustomerId) -> Customer:
        """Return a customer, of a deleted one the tombstone; raise UnknownCustomer."""
        return _found(await self._reading.one((scope.book_id, customer_id)), customer_id)

    async def list(self, scope: Scope, request: PageRequest[CustomerId] = FIRST_PAGE) -> Page[Customer]:
        """Return a page of customers, without deleted ones; raise BadField for a page that cannot be."""
        fields.check_page(request)
        async with self._database.connection() as connection:
            return await store.customers(connection, scope, request)

    async def find_by_email(
        self, scope: Scope, email: str, request: PageRequest[CustomerId] = FIRST_PAGE
    ) -> Page[Customer]:
        """Return a page of those with this e-mail address, without regard to case; raise BadField."""
        fields.check_page(request)
        async with self._database.connection() as connection:
            return await store.of_email(connection, scope, fields.fold_email(email), request)

    async def find_by_metadata(
        self, scope: Scope, key: str, value: str, request: PageRequest[CustomerId] = FIRST_PAGE
    ) -> Page[Customer]:
        """Return a page of those whose metadata has exactly this value under this key; raise BadField."""
        fields.check_page(request)
        fields.check_metadata({key: value})
        async with self._database.connection() as connection:
            return await store.of_metadata(connection, scope, key, value, request)


def _found(customer: Customer | None, customer_id: CustomerId) -> Customer:
    if customer is None:
        raise UnknownCustomer(uuid_text(CUSTOMER_PREFIX, customer_id))
    return customer


def _folded(customer: Customer) -> str | None:
    return None if customer.email is None else fields.fold_email(customer.email)


def _check(customer: Customer) -> None:
    """Raise BadField for the first field that cannot be accepted."""
    if customer.email is not None:
        fields.check_email(customer.email)
    if customer.phone is not None:
        fields.check_phone(customer.phone)
    if customer.address is not None:
        fields.check_address(customer.address)
    fields.check_text("name", customer.name or "", chars_max=fields.NAME_CHARS_MAX)
    fields.check_text("description", customer.description or "")
    fields.check_text(
        "default_payment_method", customer.default_payment_method or "", chars_max=fields.NAME_CHARS_MAX
    )
    fields.check_metadata(customer.metadata)
