"""Merchants and sub-merchants: opened, changed, suspended, and what their packages let them do.

Methods that write join the caller's transaction, so that an HTTP layer commits them with its idempotency row;
reads open a connection of their own. A scope says *for whom*: whether its holder may is asked before, with
``access.require``.
"""

import msgspec
from msgspec import UNSET

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.ids import IdFactory, int_text
from tongbao.parties.errors import (
    BadField,
    BooksTaken,
    FeatureMissing,
    LiveOnly,
    MerchantNotOpen,
    MoveRefused,
    UnknownMerchant,
    VersionChanged,
)
from tongbao.parties.policy import fields, packages
from tongbao.parties.schema import (
    MERCHANT_MOVES,
    MERCHANT_PREFIX,
    Feature,
    Merchant,
    MerchantChange,
    MerchantDraft,
    MerchantId,
    MerchantState,
    OperatorScope,
    Package,
    Page,
    PageRequest,
    Scope,
)
from tongbao.parties.service.zones import check_timezone
from tongbao.parties.store import keys as key_store
from tongbao.parties.store import merchants as store

FIRST_PAGE: PageRequest[MerchantId] = PageRequest()


class Merchants:
    """All that is done with merchants, by the house (``OperatorScope``) and by themselves (``Scope``)."""

    def __init__(self, database: Database, clock: Clock, ids: IdFactory) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids

    async def create(self, connection: Connection, operator: OperatorScope, draft: MerchantDraft) -> Merchant:
        """Open a merchant with a live and a test book; joins the caller's transaction. Raises BadField.

        The books are numbers here: opening them in the ledger is the caller's next step.
        """
        merchant = self._from(draft, self._ids.int63(), self._ids.int63(), None)
        await _insert(connection, operator, merchant)
        await self._record(connection, operator, merchant, "created", "opened by the house")
        return merchant

    async def create_once(
        self,
        connection: Connection,
        operator: OperatorScope,
        draft: MerchantDraft,
        merchant_id: MerchantId,
        test_book_id: int,
    ) -> Merchant | None:
        """Open a merchant under given ids, for imports and seeds; None where it is open already.

        Joins the caller's transaction; of two at once the second waits for the first. Raises BadField, BooksTaken.
        """
        merchant = self._from(draft, merchant_id, test_book_id, None)
        if not await store.insert_merchant(connection, operator, merchant):
            existing = await store.merchant_by_id(connection, operator, merchant_id)
            if existing is None or existing.test_book_id != test_book_id:
                raise BooksTaken(int_text(MERCHANT_PREFIX, merchant_id))
            return None
        await self._record(connection, operator, merchant, "created", "opened under given ids")
        return merchant

    async def create_sub_merchant(
        self, connection: Connection, scope: Scope, draft: MerchantDraft
    ) -> Merchant:
        """Open a sub-merchant of the scope's merchant, in its package; joins the caller's transaction.

        Raises LiveOnly, BadField, FeatureMissing, MerchantNotOpen, and MoveRefused for a sub-merchant's own.
        """
        if not scope.live:
            raise LiveOnly("sub-merchants")
        parent = _found(await store.lock_merchant_of(connection, scope), scope.merchant_id)
        if parent.state is not MerchantState.OPEN:
            raise MerchantNotOpen(parent.state)
        if parent.parent_id is not None:
            raise MoveRefused("merchant", "a sub-merchant", "a parent")
        overrides = await store.overrides_of(connection, scope)
        if not packages.feature_allowed(parent.package, Feature.SUB_MERCHANTS, overrides):
            raise FeatureMissing(Feature.SUB_MERCHANTS)
        inherited = msgspec.structs.replace(draft, package=parent.package)
        merchant = self._from(inherited, self._ids.int63(), self._ids.int63(), parent.merchant_id)
        await _insert(connection, scope, merchant)
        return merchant

    async def change(
        self, connection: Connection, scope: Scope, change: MerchantChange, version: int
    ) -> Merchant:
        """Change the scope's merchant where ``version`` is current; joins the caller's transaction.

        ``metadata`` is merged: a key with an empty value is removed. Raises LiveOnly, BadField,
        VersionChanged, MerchantNotOpen for a closed one.
        """
        if not scope.live:
            raise LiveOnly("merchants")
        merchant = _found(await store.lock_merchant_of(connection, scope), scope.merchant_id)
        if merchant.state is MerchantState.CLOSED:
            raise MerchantNotOpen(merchant.state)
        given = {name: value for name, value in msgspec.structs.asdict(change).items() if value is not UNSET}
        if change.metadata is not UNSET:
            given["metadata"] = fields.merge_metadata(merchant.metadata, change.metadata)
        changed = self._next(merchant, version, **given)
        _check(changed)
        await store.update_merchant(connection, scope, changed)
        return changed

    async def set_state(
        self,
        connection: Connection,
        operator: OperatorScope,
        merchant_id: MerchantId,
        state: MerchantState,
        version: int,
        reason: str,
    ) -> Merchant:
        """Suspend, open again or close a merchant; joins the caller's transaction.

        Its keys stop within ``access.FRESH_S`` seconds; closing revokes them for good. A sub-merchant has a
        state of its own. Raises UnknownMerchant, VersionChanged, MoveRefused, BadField for an empty reason.
        """
        fields.check_text("reason", reason, required=True)
        merchant = await self._locked(connection, operator, merchant_id)
        changed = self._next(merchant, version, state=state)
        if state not in MERCHANT_MOVES[merchant.state]:
            raise MoveRefused("merchant", merchant.state, state)
        await store.update_merchant(connection, operator, changed)
        if state is MerchantState.CLOSED:
            await key_store.revoke_all(connection, operator, merchant_id, changed.updated_at)
        await self._record(connection, operator, changed, state, reason)
        return changed

    async def set_package(
        self,
        connection: Connection,
        operator: OperatorScope,
        merchant_id: MerchantId,
        package: Package,
        version: int,
    ) -> Merchant:
        """Sell a merchant another package, from now on; joins the caller's transaction.

        Raises UnknownMerchant, VersionChanged.
        """
        merchant = await self._locked(connection, operator, merchant_id)
        changed = self._next(merchant, version, package=package)
        await store.update_merchant(connection, operator, changed)
        await self._record(connection, operator, changed, "package", f"{merchant.package} to {package}")
        return changed

    async def set_feature(
        self,
        connection: Connection,
        operator: OperatorScope,
        merchant_id: MerchantId,
        feature: Feature,
        allowed: bool | None,
        reason: str,
    ) -> None:
        """Give one feature, take it away, or (None) let the package decide; joins the caller's transaction.

        Raises UnknownMerchant, BadField for an empty reason.
        """
        fields.check_text("reason", reason, required=True)
        merchant = await self._locked(connection, operator, merchant_id)
        if allowed is None:
            await store.drop_override(connection, operator, merchant_id, feature)
        else:
            await store.set_override(connection, operator, merchant_id, feature, allowed)
        dated = msgspec.structs.replace(merchant, updated_at=self._clock.now())
        await self._record(connection, operator, dated, f"{feature}={allowed}", reason)

    async def own(self, scope: Scope) -> Merchant:
        """Return the scope's merchant; raise UnknownMerchant."""
        async with self._database.connection() as connection:
            return _found(await store.merchant_of(connection, scope), scope.merchant_id)

    async def sub_merchant(self, scope: Scope, merchant_id: MerchantId) -> Merchant:
        """Return a sub-merchant of the scope's merchant; raise UnknownMerchant, also for other people's."""
        async with self._database.connection() as connection:
            return _found(await store.sub_merchant(connection, scope, merchant_id), merchant_id)

    async def sub_merchants(
        self, scope: Scope, request: PageRequest[MerchantId] = FIRST_PAGE
    ) -> Page[Merchant]:
        """Return a page of the scope's sub-merchants; raise BadField for a page that cannot be."""
        fields.check_page(request)
        async with self._database.connection() as connection:
            return await store.sub_merchants(connection, scope, request)

    async def any(self, operator: OperatorScope, merchant_id: MerchantId) -> Merchant:
        """Return any merchant, for the house; raise UnknownMerchant."""
        async with self._database.connection() as connection:
            return _found(await store.merchant_by_id(connection, operator, merchant_id), merchant_id)

    async def of_book(self, operator: OperatorScope, book_id: int) -> Merchant:
        """Return the merchant whose live or test book this is, for the house; raise UnknownMerchant."""
        async with self._database.connection() as connection:
            found = await store.merchant_of_book(connection, operator, book_id)
        return _found(found, MerchantId(book_id))

    async def all(
        self, operator: OperatorScope, request: PageRequest[MerchantId] = FIRST_PAGE
    ) -> Page[Merchant]:
        """Return a page of all merchants, for the house; raise BadField for a page that cannot be."""
        fields.check_page(request)
        async with self._database.connection() as connection:
            return await store.merchants(connection, operator, request)

    async def history(self, operator: OperatorScope, merchant_id: MerchantId) -> list[dict[str, object]]:
        """Return what the house did to a merchant, oldest first: act, actor, reason, occurred_at."""
        async with self._database.connection() as connection:
            return await store.events(connection, operator, merchant_id)

    async def features(self, scope: Scope) -> frozenset[Feature]:
        """Return what the scope's merchant may use: its package, and what was given or taken apart from it."""
        async with self._database.connection() as connection:
            merchant = _found(await store.merchant_of(connection, scope), scope.merchant_id)
            overrides = await store.overrides_of(connection, scope)
        return packages.features(merchant.package, overrides)

    async def features_of(self, operator: OperatorScope, merchant: Merchant) -> frozenset[Feature]:
        """Return what any merchant may use, for the house."""
        async with self._database.connection() as connection:
            overrides = await store.overrides_by_id(connection, operator, merchant.merchant_id)
        return packages.features(merchant.package, overrides)

    async def require_feature(self, scope: Scope, feature: Feature) -> None:
        """Raise FeatureMissing where the scope's merchant may not use a feature."""
        if feature not in await self.features(scope):
            raise FeatureMissing(feature)

    async def _locked(
        self, connection: Connection, operator: OperatorScope, merchant_id: MerchantId
    ) -> Merchant:
        return _found(await store.lock_merchant_by_id(connection, operator, merchant_id), merchant_id)

    async def _record(
        self, connection: Connection, operator: OperatorScope, merchant: Merchant, act: str, reason: str
    ) -> None:
        await store.insert_event(connection, operator, merchant, self._ids.uuid(), act, reason)

    def _from(
        self, draft: MerchantDraft, merchant_id: int, test_book_id: int, parent_id: MerchantId | None
    ) -> Merchant:
        now = self._clock.now()
        merchant = Merchant(
            merchant_id=MerchantId(merchant_id),
            test_book_id=test_book_id,
            parent_id=parent_id,
            name=draft.name,
            display_name=draft.display_name or draft.name,
            country=draft.country,
            default_currency=draft.default_currency,
            mcc=draft.mcc,
            package=draft.package,
            state=MerchantState.OPEN,
            timezone=draft.timezone,
            metadata=draft.metadata,
            version=1,
            created_at=now,
            updated_at=now,
        )
        _check(merchant)
        return merchant

    def _next(self, merchant: Merchant, seen: int, **values: object) -> Merchant:
        """Return the next version of a merchant; raise VersionChanged where ``seen`` is not the current one."""
        if seen != merchant.version:
            raise VersionChanged(seen, merchant.version)
        return msgspec.structs.replace(
            merchant, version=merchant.version + 1, updated_at=self._clock.now(), **values
        )


async def _insert(connection: Connection, by: Scope | OperatorScope, merchant: Merchant) -> None:
    if not await store.insert_merchant(connection, by, merchant):
        raise BooksTaken(int_text(MERCHANT_PREFIX, merchant.merchant_id))


def _found(merchant: Merchant | None, merchant_id: MerchantId) -> Merchant:
    if merchant is None:
        raise UnknownMerchant(int_text(MERCHANT_PREFIX, merchant_id))
    return merchant


def _check(merchant: Merchant) -> None:
    """Raise BadField, or InvalidRequest ``currency_unknown``, for the first field that cannot be accepted."""
    fields.check_name("name", merchant.name)
    fields.check_name("display_name", merchant.display_name)
    fields.check_country(merchant.country)
    fields.check_currency(merchant.default_currency)
    fields.check_mcc(merchant.mcc)
    fields.check_metadata(merchant.metadata)
    check_timezone(merchant.timezone)
    if merchant.merchant_id == merchant.test_book_id:
        raise BadField("test_book_id", "live and test never share a book")
