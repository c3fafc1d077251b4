"""The SQL of merchants, their features and stores."""

from collections.abc import Mapping
from typing import Any

from tongbao.core.db import Connection
from tongbao.parties.schema import (
    Feature,
    Merchant,
    MerchantId,
    OperatorScope,
    Page,
    PageRequest,
    Scope,
    Store,
    StoreId,
)
from tongbao.parties.store.rows import changed_one, page, read, to_json

_MERCHANT = """
SELECT merchant_id, test_book_id, parent_id, name, display_name, country, default_currency, mcc, package, state,
    timezone, metadata, version, created_at, updated_at
FROM parties.merchant
"""
_MERCHANT_BY_ID = _MERCHANT + "WHERE merchant_id = $1"
_SUB_MERCHANT_BY_ID = _MERCHANT + "WHERE merchant_id = $1 AND parent_id = $2"
_MERCHANT_OF_BOOK = _MERCHANT + "WHERE merchant_id = $1 OR test_book_id = $1"
_LOCK_MERCHANT = _MERCHANT_BY_ID + " FOR NO KEY UPDATE"
_ALL_AFTER = (
    _MERCHANT + "WHERE ($1::bigint IS NULL OR merchant_id < $1) ORDER BY merchant_id DESC LIMIT $2 + 1"
)
_ALL_BEFORE = _MERCHANT + "WHERE merchant_id > $1 ORDER BY merchant_id LIMIT $2 + 1"
_SUBS_AFTER = (
    _MERCHANT
    + "WHERE parent_id = $3 AND ($1::bigint IS NULL OR merchant_id < $1) ORDER BY merchant_id DESC LIMIT $2 + 1"
)
_SUBS_BEFORE = _MERCHANT + "WHERE parent_id = $3 AND merchant_id > $1 ORDER BY merchant_id LIMIT $2 + 1"

_INSERT_MERCHANT = """
INSERT INTO parties.merchant (merchant_id, test_book_id, parent_id, name, display_name, country, default_currency,
    mcc, package, state, timezone, metadata, version, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT DO NOTHING
"""
_UPDATE_MERCHANT = """
UPDATE parties.merchant SET name = $2, display_name = $3, default_currency = $4, package = $5, state = $6,
    timezone = $7, metadata = $8, version = $9, updated_at = $10
WHERE merchant_id = $1
"""
_INSERT_EVENT = """
INSERT INTO parties.merchant_event (event_id, merchant_id, act, actor, reason, occurred_at)
VALUES ($1, $2, $3, $4, $5, $6)
"""
_EVENTS = """
SELECT act, actor, reason, occurred_at FROM parties.merchant_event WHERE merchant_id = $1 ORDER BY event_id
"""

_OVERRIDES = "SELECT feature, allowed FROM parties.feature_override WHERE book_id = $1"
_SET_OVERRIDE = """
INSERT INTO parties.feature_override (book_id, feature, allowed) VALUES ($1, $2, $3)
ON CONFLICT (book_id, feature) DO UPDATE SET allowed = excluded.allowed
"""
_DROP_OVERRIDE = "DELETE FROM parties.feature_override WHERE book_id = $1 AND feature = $2"

_STORE = "SELECT store_id, name, address, timezone, state, created_at FROM parties.store "
_STORE_BY_ID = _STORE + "WHERE book_id = $1 AND store_id = $2"
_LOCK_STORE = _STORE_BY_ID + " FOR NO KEY UPDATE"
_STORES_AFTER = (
    _STORE + "WHERE book_id = $3 AND ($1::uuid IS NULL OR store_id < $1) ORDER BY store_id DESC LIMIT $2 + 1"
)
_STORES_BEFORE = _STORE + "WHERE book_id = $3 AND store_id > $1 ORDER BY store_id LIMIT $2 + 1"
_INSERT_STORE = """
INSERT INTO parties.store (book_id, store_id, name, address, timezone, state, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (book_id, store_id) DO NOTHING
"""
_UPDATE_STORE = """
UPDATE parties.store SET name = $3, address = $4, timezone = $5, state = $6 WHERE book_id = $1 AND store_id = $2
"""


async def insert_merchant(connection: Connection, _by: Scope | OperatorScope, merchant: Merchant) -> bool:
    """Add a merchant; False where one of its two books has a merchant already."""
    status = await connection.execute(
        _INSERT_MERCHANT,
        merchant.merchant_id,
        merchant.test_book_id,
        merchant.parent_id,
        merchant.name,
        merchant.display_name,
        merchant.country,
        merchant.default_currency,
        merchant.mcc,
        merchant.package,
        merchant.state,
        merchant.timezone,
        to_json(merchant.metadata),
        merchant.version,
        merchant.created_at,
        merchant.updated_at,
    )
    return changed_one(status)


async def update_merchant(connection: Connection, _by: Scope | OperatorScope, merchant: Merchant) -> None:
    """Write what can change about a merchant."""
    await connection.execute(
        _UPDATE_MERCHANT,
        merchant.merchant_id,
        merchant.name,
        merchant.display_name,
        merchant.default_currency,
        merchant.package,
        merchant.state,
        merchant.timezone,
        to_json(merchant.metadata),
        merchant.version,
        merchant.updated_at,
    )


async def insert_event(
    connection: Connection, by: OperatorScope, merchant: Merchant, event_id: object, act: str, reason: str
) -> None:
    """Add a line to the merchant's history; it happened when the merchant was updated."""
    await connection.execute(
        _INSERT_EVENT, event_id, merchant.merchant_id, act, by.actor, reason, merchant.updated_at
    )


async def events(
    connection: Connection, _operator: OperatorScope, merchant_id: MerchantId
) -> list[dict[str, Any]]:
    """Return a merchant's history, oldest first: act, actor, reason, occurred_at."""
    return [dict(row) for row in await connection.fetch(_EVENTS, merchant_id)]


async def merchant_of(connection: Connection, scope: Scope) -> Merchant | None:
    """Return the scope's own merchant."""
    return _merchant(await connection.fetchrow(_MERCHANT_BY_ID, scope.merchant_id))


async def lock_merchant_of(connection: Connection, scope: Scope) -> Merchant | None:
    """Return the scope's own merchant, locked until the caller's transaction ends."""
    return _merchant(await connection.fetchrow(_LOCK_MERCHANT, scope.merchant_id))


async def sub_merchant(connection: Connection, scope: Scope, merchant_id: MerchantId) -> Merchant | None:
    """Return a sub-merchant of the scope's merchant."""
    return _merchant(await connection.fetchrow(_SUB_MERCHANT_BY_ID, merchant_id, scope.merchant_id))


async def merchant_by_id(
    connection: Connection, _operator: OperatorScope, merchant_id: MerchantId
) -> Merchant | None:
    """Return any merchant, for the house."""
    return _merchant(await connection.fetchrow(_MERCHANT_BY_ID, merchant_id))


async def merchant_of_book(connection: Connection, _operator: OperatorScope, book_id: int) -> Merchant | None:
    """Return the merchant whose live or test book this is."""
    return _merchant(await connection.fetchrow(_MERCHANT_OF_BOOK, book_id))


async def lock_merchant_by_id(
    connection: Connection, _operator: OperatorScope, merchant_id: MerchantId
) -> Merchant | None:
    """Return any merchant, for the house, locked until the caller's transaction ends."""
    return _merchant(await connection.fetchrow(_LOCK_MERCHANT, merchant_id))


async def merchants(
    connection: Connection, _operator: OperatorScope, request: PageRequest[MerchantId]
) -> Page[Merchant]:
    """Return a page of all merchants."""
    back = request.ending_before
    statement, cursor = (_ALL_AFTER, request.starting_after) if back is None else (_ALL_BEFORE, back)
    return page(await connection.fetch(statement, cursor, request.limit), request, _merchant_row)


async def sub_merchants(
    connection: Connection, scope: Scope, request: PageRequest[MerchantId]
) -> Page[Merchant]:
    """Return a page of the sub-merchants of the scope's merchant."""
    back = request.ending_before
    statement, cursor = (_SUBS_AFTER, request.starting_after) if back is None else (_SUBS_BEFORE, back)
    rows = await connection.fetch(statement, cursor, request.limit, scope.merchant_id)
    return page(rows, request, _merchant_row)


async def overrides_of(connection: Connection, scope: Scope) -> dict[Feature, bool]:
    """Return the features that the scope's merchant has, or lacks, apart from its package."""
    rows = await connection.fetch(_OVERRIDES, scope.merchant_id)
    return {Feature(row["feature"]): row["allowed"] for row in rows}


async def overrides_by_id(
    connection: Connection, _operator: OperatorScope, merchant_id: MerchantId
) -> dict[Feature, bool]:
    """Return the same of any merchant, for the house."""
    rows = await connection.fetch(_OVERRIDES, merchant_id)
    return {Feature(row["feature"]): row["allowed"] for row in rows}


async def set_override(
    connection: Connection, _operator: OperatorScope, merchant_id: MerchantId, feature: Feature, allowed: bool
) -> None:
    """Give a feature to a merchant, or take it away, whatever its package says."""
    await connection.execute(_SET_OVERRIDE, merchant_id, feature, allowed)


async def drop_override(
    connection: Connection, _operator: OperatorScope, merchant_id: MerchantId, feature: Feature
) -> None:
    """Let the package decide again."""
    await connection.execute(_DROP_OVERRIDE, merchant_id, feature)


async def insert_store(connection: Connection, scope: Scope, store: Store) -> None:
    """Add a store."""
    await connection.execute(
        _INSERT_STORE,
        scope.merchant_id,
        store.store_id,
        store.name,
        to_json(store.address),
        store.timezone,
        store.state,
        store.created_at,
    )


async def update_store(connection: Connection, scope: Scope, store: Store) -> None:
    """Write what can change about a store."""
    await connection.execute(
        _UPDATE_STORE,
        scope.merchant_id,
        store.store_id,
        store.name,
        to_json(store.address),
        store.timezone,
        store.state,
    )


async def store_by_id(connection: Connection, scope: Scope, store_id: StoreId) -> Store | None:
    """Return one of the merchant's stores."""
    row = await connection.fetchrow(_STORE_BY_ID, scope.merchant_id, store_id)
    return None if row is None else _store_row(row)


async def lock_store(connection: Connection, scope: Scope, store_id: StoreId) -> Store | None:
    """Return one of the merchant's stores, locked until the caller's transaction ends."""
    row = await connection.fetchrow(_LOCK_STORE, scope.merchant_id, store_id)
    return None if row is None else _store_row(row)


async def stores(connection: Connection, scope: Scope, request: PageRequest[StoreId]) -> Page[Store]:
    """Return a page of the merchant's stores."""
    back = request.ending_before
    statement, cursor = (_STORES_AFTER, request.starting_after) if back is None else (_STORES_BEFORE, back)
    rows = await connection.fetch(statement, cursor, request.limit, scope.merchant_id)
    return page(rows, request, _store_row)


def _merchant(row: Mapping[str, Any] | None) -> Merchant | None:
    return None if row is None else _merchant_row(row)


def _merchant_row(row: Mapping[str, Any]) -> Merchant:
    return read(row, Merchant, json=("metadata",))


def _store_row(row: Mapping[str, Any]) -> Store:
    return read(row, Store, json=("address",))
