"""The SQL of customers: every statement leads with the book of the scope."""

from collections.abc import Mapping, Sequence
from typing import Any

from tongbao.core import copying
from tongbao.core.db import Connection
from tongbao.parties.schema import Customer, CustomerId, Page, PageRequest, Scope
from tongbao.parties.store.rows import page, read, to_json

_CUSTOMER = """
SELECT c.customer_id, c.email, c.name, c.phone, c.description, c.address, c.default_payment_method, c.metadata,
    c.version, c.created_at, c.deleted_at
FROM parties.customer AS c
"""
_BY_ID = _CUSTOMER + "WHERE c.book_id = $1 AND c.customer_id = $2"
_BY_IDS = """
SELECT c.book_id, c.customer_id, c.email, c.name, c.phone, c.description, c.address, c.default_payment_method, c.metadata,
    c.version, c.created_at, c.deleted_at
FROM unnest($1::text::bigint[], $2::uuid[]) AS u (book_id, customer_id)
JOIN parties.customer AS c ON c.book_id = u.book_id AND c.customer_id = u.customer_id
"""
_LOCK = _BY_ID + " FOR NO KEY UPDATE OF c"
_AFTER = " AND ($2::uuid IS NULL OR c.customer_id < $2) ORDER BY c.customer_id DESC LIMIT $3 + 1"
_BEFORE = " AND c.customer_id > $2 ORDER BY c.customer_id LIMIT $3 + 1"
_OF_BOOK = "WHERE c.book_id = $1 AND c.deleted_at IS NULL"
_OF_EMAIL = "WHERE c.book_id = $1 AND c.email_folded = $4"
_OF_METADATA = """
JOIN parties.customer_metadata AS m ON m.book_id = c.book_id AND m.customer_id = c.customer_id
WHERE c.book_id = $1 AND m.book_id = $1 AND m.key = $4 AND m.value = $5
"""
_LIST_AFTER = _CUSTOMER + _OF_BOOK + _AFTER
_LIST_BEFORE = _CUSTOMER + _OF_BOOK + _BEFORE
_EMAIL_AFTER = _CUSTOMER + _OF_EMAIL + _AFTER
_EMAIL_BEFORE = _CUSTOMER + _OF_EMAIL + _BEFORE
_METADATA_AFTER = _CUSTOMER + _OF_METADATA + _AFTER
_METADATA_BEFORE = _CUSTOMER + _OF_METADATA + _BEFORE

_INSERT = """
INSERT INTO parties.customer (book_id, customer_id, email, email_folded, name, phone, description, address,
    default_payment_method, metadata, version, created_at, deleted_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
"""
_UPDATE = """
UPDATE parties.customer SET email = $3, email_folded = $4, name = $5, phone = $6, description = $7, address = $8,
    default_payment_method = $9, metadata = $10, version = $11, created_at = $12, deleted_at = $13
WHERE book_id = $1 AND customer_id = $2
"""
_DROP_METADATA = "DELETE FROM parties.customer_metadata WHERE book_id = $1 AND customer_id = $2"
_INSERT_METADATA = """
INSERT INTO parties.customer_metadata (book_id, customer_id, key, value)
SELECT $1, $2, u.key, u.value FROM unnest($3::text[], $4::text[]) AS u (key, value)
"""


async def insert(connection: Connection, scope: Scope, customer: Customer, email_folded: str | None) -> None:
    """Add a customer."""
    await connection.execute(_INSERT, scope.book_id, *_values(customer, email_folded))
    await _set_metadata(connection, scope, customer)


async def update(connection: Connection, scope: Scope, customer: Customer, email_folded: str | None) -> None:
    """Write a customer over."""
    await connection.execute(_UPDATE, scope.book_id, *_values(customer, email_folded))
    await connection.execute(_DROP_METADATA, scope.book_id, customer.customer_id)
    await _set_metadata(connection, scope, customer)


async def by_id(connection: Connection, scope: Scope, customer_id: CustomerId) -> Customer | None:
    """Return one of the merchant's customers of this mode, a deleted one too."""
    row = await connection.fetchrow(_BY_ID, scope.book_id, customer_id)
    return None if row is None else _customer(row)


async def by_ids(
    connection: Connection, places: Sequence[tuple[int, CustomerId]]
) -> dict[tuple[int, CustomerId], Customer]:
    """Return customers by book and id, deleted ones too; what does not exist is left out."""
    books = copying.array([book_id for book_id, _ in places])
    rows = await connection.fetch(_BY_IDS, books, [customer_id for _, customer_id in places])
    return {(row["book_id"], row["customer_id"]): _customer(row) for row in rows}


async def lock(connection: Connection, scope: Scope, customer_id: CustomerId) -> Customer | None:
    """Return one of the merchant's customers, locked until the caller's transaction ends."""
    row = await connection.fetchrow(_LOCK, scope.book_id, customer_id)
    return None if row is None else _customer(row)


async def customers(connection: Connection, scope: Scope, request: PageRequest[CustomerId]) -> Page[Customer]:
    """Return a page of the merchant's customers of this mode."""
    return await _page(connection, scope, request, (_LIST_AFTER, _LIST_BEFORE))


async def of_email(
    connection: Connection, scope: Scope, email_folded: str, request: PageRequest[CustomerId]
) -> Page[Customer]:
    """Return a page of those who have this e-mail address, given in its folded form."""
    return await _page(connection, scope, request, (_EMAIL_AFTER, _EMAIL_BEFORE), email_folded)


async def of_metadata(
    connection: Connection, scope: Scope, key: str, value: str, request: PageRequest[CustomerId]
) -> Page[Customer]:
    """Return a page of those whose metadata has this value under this key."""
    return await _page(connection, scope, request, (_METADATA_AFTER, _METADATA_BEFORE), key, value)


async def _page(
    connection: Connection,
    scope: Scope,
    request: PageRequest[CustomerId],
    statements: tuple[str, str],
    *filters: str,
) -> Page[Customer]:
    after, before = statements
    back = request.ending_before
    statement, cursor = (after, request.starting_after) if back is None else (before, back)
    rows = await connection.fetch(statement, scope.book_id, cursor, request.limit, *filters)
    return page(rows, request, _customer)


async def _set_metadata(connection: Connection, scope: Scope, customer: Customer) -> None:
    if customer.metadata:
        keys, values = list(customer.metadata), list(customer.metadata.values())
        await connection.execute(_INSERT_METADATA, scope.book_id, customer.customer_id, keys, values)


def _values(customer: Customer, email_folded: str | None) -> tuple[object, ...]:
    return (
        customer.customer_id,
        customer.email,
        email_folded,
        customer.name,
        customer.phone,
        customer.description,
        None if customer.address is None else to_json(customer.address),
        customer.default_payment_method,
        to_json(customer.metadata),
        customer.version,
        customer.created_at,
        customer.deleted_at,
    )


def _customer(row: Mapping[str, Any]) -> Customer:
    return read(row, Customer, json=("address", "metadata"))
