"""Merchants, sub-merchants, packages and stores."""

import asyncio
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from babel import Locale
from tests.parties.conftest import DRAFT, NOON, Town, scope_of

from tongbao.core.errors import AppError, Conflict, InvalidRequest, NotFound, NotPermitted
from tongbao.parties.policy.countries import COUNTRIES
from tongbao.parties.schema import (
    Address,
    Feature,
    Merchant,
    MerchantChange,
    MerchantDraft,
    MerchantId,
    MerchantState,
    Package,
    PageRequest,
    Scope,
    Store,
    StoreChange,
    StoreDraft,
    StoreId,
    StoreState,
)


async def change(town: Town, scope: Scope, wanted: MerchantChange, version: int) -> Merchant:
    async with town.database.transaction() as connection:
        return await town.parties.merchants.change(connection, scope, wanted, version)


async def set_state(
    town: Town, merchant_id: MerchantId, state: MerchantState, version: int, reason: str = "asked for"
) -> Merchant:
    async with town.database.transaction() as connection:
        return await town.parties.merchants.set_state(
            connection, town.operator, merchant_id, state, version, reason
        )


async def sub_merchant(town: Town, scope: Scope, draft: MerchantDraft = DRAFT) -> Merchant:
    async with town.database.transaction() as connection:
        return await town.parties.merchants.create_sub_merchant(connection, scope, draft)


async def set_feature(town: Town, merchant_id: MerchantId, feature: Feature, allowed: bool | None) -> None:
    async with town.database.transaction() as connection:
        await town.parties.merchants.set_feature(
            connection, town.operator, merchant_id, feature, allowed, "agreed"
        )


async def store(town: Town, scope: Scope, draft: StoreDraft) -> Store:
    async with town.database.transaction() as connection:
        return await town.parties.stores.create(connection, scope, draft)


def with_(**fields: Any) -> MerchantDraft:
    values = {"name": "Tea House", "country": "CN", "default_currency": "CNY", "mcc": "5814"}
    return MerchantDraft(**(values | fields))


async def test_create_merchant_gives_it_two_books(town: Town) -> None:
    merchant = await town.merchant()
    assert merchant == await town.parties.merchants.own(scope_of(merchant))
    assert merchant == await town.parties.merchants.any(town.operator, merchant.merchant_id)
    assert merchant.live_book_id == merchant.merchant_id != merchant.test_book_id
    assert (merchant.display_name, merchant.state, merchant.version) == ("Tea House", MerchantState.OPEN, 1)
    assert merchant.parent_id is None


@pytest.mark.parametrize(
    ("draft", "code"),
    [
        (with_(name=""), "name_invalid"),
        (with_(name="n" * 201), "name_invalid"),
        (with_(country="cn"), "country_invalid"),
        (with_(country="EU"), "country_invalid"),
        (with_(default_currency="QQQ"), "currency_unknown"),
        (with_(default_currency="XAU"), "default_currency_invalid"),
        (with_(mcc="581"), "mcc_invalid"),
        (with_(mcc="５８１４"), "mcc_invalid"),
        (with_(timezone="Mars/Olympus"), "timezone_invalid"),
        (with_(metadata={"k": "v" * 501}), "metadata_invalid"),
    ],
)
async def test_create_merchant_with_bad_field_is_refused(town: Town, draft: MerchantDraft, code: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await town.merchant(draft)
    assert refused.value.code == code


def test_countries_are_the_assigned_ones() -> None:
    assert len(COUNTRIES) == 249
    territories = Locale("en").territories
    assert all(code in territories for code in COUNTRIES)


async def test_create_once_opens_under_given_ids_once(town: Town) -> None:
    merchant_id, test_book_id = MerchantId(town.ids.int63()), town.ids.int63()

    async def create() -> Merchant | None:
        async with town.database.transaction() as connection:
            return await town.parties.merchants.create_once(
                connection, town.operator, DRAFT, merchant_id, test_book_id
            )

    results = await asyncio.gather(*(create() for _ in range(5)))
    opened = [merchant for merchant in results if merchant is not None]
    assert [merchant.merchant_id for merchant in opened] == [merchant_id]
    with pytest.raises(InvalidRequest) as refused:
        async with town.database.transaction() as connection:
            await town.parties.merchants.create_once(
                connection, town.operator, DRAFT, merchant_id, int(merchant_id)
            )
    assert refused.value.code == "test_book_id_invalid"


async def test_create_once_with_a_book_of_another_merchant_is_refused(town: Town) -> None:
    other = await town.merchant()
    cases = [(MerchantId(town.ids.int63()), other.test_book_id), (other.merchant_id, town.ids.int63())]
    for merchant_id, test_book_id in cases:
        with pytest.raises(Conflict) as refused:
            async with town.database.transaction() as connection:
                await town.parties.merchants.create_once(
                    connection, town.operator, DRAFT, merchant_id, test_book_id
                )
        assert refused.value.code == "books_taken"


async def test_change_merchant_counts_versions_and_merges_metadata(town: Town) -> None:
    merchant = await town.merchant(with_(metadata={"a": "1", "b": "2"}))
    scope = scope_of(merchant)
    town.clock.advance(timedelta(hours=1))
    wanted = MerchantChange(display_name="Tea", timezone="Asia/Shanghai", metadata={"a": "", "c": "3"})
    changed = await change(town, scope, wanted, 1)
    assert (changed.name, changed.display_name, changed.timezone) == ("Tea House", "Tea", "Asia/Shanghai")
    assert (changed.metadata, changed.version) == ({"b": "2", "c": "3"}, 2)
    assert (changed.created_at, changed.updated_at) == (NOON, NOON + timedelta(hours=1))
    assert changed == await town.parties.merchants.own(scope)


async def test_change_merchant_at_once_from_one_version_succeeds_once(town: Town) -> None:
    scope = await town.scope()
    results = await asyncio.gather(
        *(change(town, scope, MerchantChange(name=f"N{number}"), 1) for number in range(8)),
        return_exceptions=True,
    )
    assert sorted(type(result).__name__ for result in results) == ["Merchant"] + ["VersionChanged"] * 7


async def test_change_merchant_to_a_bad_field_or_from_test_mode_is_refused(town: Town) -> None:
    merchant = await town.merchant()
    with pytest.raises(InvalidRequest):
        await change(town, scope_of(merchant), MerchantChange(default_currency="QQQ"), 1)
    with pytest.raises(NotPermitted) as refused:
        await change(town, scope_of(merchant, live=False), MerchantChange(name="N"), 1)
    assert refused.value.code == "live_only"
    assert (await town.parties.merchants.own(scope_of(merchant))).version == 1


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            [MerchantState.SUSPENDED, MerchantState.OPEN, MerchantState.SUSPENDED, MerchantState.CLOSED],
            "closed",
        ),
        ([MerchantState.CLOSED, MerchantState.OPEN], "merchant_state"),
        ([MerchantState.CLOSED, MerchantState.SUSPENDED], "merchant_state"),
        ([MerchantState.OPEN], "merchant_state"),
        ([MerchantState.SUSPENDED, MerchantState.SUSPENDED], "merchant_state"),
    ],
)
async def test_state_of_a_merchant_follows_its_moves(
    town: Town, path: list[MerchantState], expected: str
) -> None:
    merchant = await town.merchant()
    outcome = ""
    for version, state in enumerate(path, 1):
        try:
            outcome = (await set_state(town, merchant.merchant_id, state, version)).state
        except AppError as error:
            outcome = error.code
    assert outcome == expected


async def test_set_state_without_reason_or_of_an_old_version_is_refused(town: Town) -> None:
    merchant = await town.merchant()
    with pytest.raises(InvalidRequest) as refused:
        await set_state(town, merchant.merchant_id, MerchantState.SUSPENDED, 1, " ")
    assert refused.value.code == "reason_invalid"
    with pytest.raises(Conflict):
        await set_state(town, merchant.merchant_id, MerchantState.SUSPENDED, 2)
    with pytest.raises(NotFound):
        await set_state(town, MerchantId(town.ids.int63()), MerchantState.SUSPENDED, 1)


async def test_closed_merchant_does_not_change(town: Town) -> None:
    merchant = await town.merchant()
    await set_state(town, merchant.merchant_id, MerchantState.CLOSED, 1)
    with pytest.raises(NotPermitted) as refused:
        await change(town, scope_of(merchant), MerchantChange(name="N"), 2)
    assert refused.value.code == "merchant_closed"


async def test_history_tells_what_the_house_did_and_why(town: Town) -> None:
    merchant = await town.merchant()
    await set_state(town, merchant.merchant_id, MerchantState.SUSPENDED, 1, "documents missing")
    async with town.database.transaction() as connection:
        await town.parties.merchants.set_package(
            connection, town.operator, merchant.merchant_id, Package.BASIC, 2
        )
    await set_feature(town, merchant.merchant_id, Feature.SPLITS, True)
    history = await town.parties.merchants.history(town.operator, merchant.merchant_id)
    assert [(line["act"], line["reason"]) for line in history] == [
        ("created", "opened by the house"),
        ("suspended", "documents missing"),
        ("package", "enterprise to basic"),
        ("splits=True", "agreed"),
    ]
    assert {line["actor"] for line in history} == {"job:tests"}


async def test_sub_merchant_belongs_to_its_parent_alone(town: Town) -> None:
    parent, other = await town.scope(), await town.scope()
    made = await sub_merchant(town, parent, with_(name="Stall"))
    assert (made.parent_id, made.package) == (parent.merchant_id, Package.ENTERPRISE)
    merchants = town.parties.merchants
    assert await merchants.sub_merchant(parent, made.merchant_id) == made
    assert (await merchants.sub_merchants(parent)).items == (made,)
    assert (await merchants.sub_merchants(other)).items == ()
    for scope, merchant_id in ((other, made.merchant_id), (parent, other.merchant_id)):
        with pytest.raises(NotFound):
            await merchants.sub_merchant(scope, merchant_id)


async def test_sub_merchant_is_refused_where_it_may_not_be(town: Town) -> None:
    basic = scope_of(await town.merchant(with_()))
    parent = await town.merchant()
    child = scope_of(await sub_merchant(town, scope_of(parent)))
    suspended = await town.merchant()
    await set_state(town, suspended.merchant_id, MerchantState.SUSPENDED, 1)
    cases = [
        (basic, "feature_missing"),
        (child, "merchant_state"),
        (scope_of(suspended), "merchant_suspended"),
        (scope_of(parent, live=False), "live_only"),
    ]
    for scope, code in cases:
        with pytest.raises(AppError) as refused:
            await sub_merchant(town, scope)
        assert refused.value.code == code
    await set_feature(town, basic.merchant_id, Feature.SUB_MERCHANTS, True)
    assert (await sub_merchant(town, basic)).parent_id == basic.merchant_id


async def test_merchants_are_paged_newest_first(town: Town) -> None:
    parent = await town.scope()
    made = [await sub_merchant(town, parent) for _ in range(4)]
    merchants = town.parties.merchants
    for pages in (
        partial(merchants.all, town.operator),
        partial(merchants.sub_merchants, parent),
    ):
        first = await pages(PageRequest(limit=2))
        assert (first.items, first.has_more) == ((made[3], made[2]), True)
        after = await pages(PageRequest(limit=1, starting_after=made[2].merchant_id))
        assert after.items == (made[1],)
        back = await pages(PageRequest(limit=2, ending_before=made[1].merchant_id))
        assert (back.items, back.has_more) == ((made[3], made[2]), False)


async def test_features_come_from_the_package_and_from_overrides(town: Town) -> None:
    merchant = await town.merchant(with_())
    scope = scope_of(merchant)
    merchants = town.parties.merchants
    assert Feature.CARDS in await merchants.features(scope)
    with pytest.raises(NotPermitted) as refused:
        await merchants.require_feature(scope, Feature.MANDATES)
    assert (refused.value.code, refused.value.facts["feature"]) == ("feature_missing", "mandates")
    await set_feature(town, merchant.merchant_id, Feature.MANDATES, True)
    await merchants.require_feature(scope, Feature.MANDATES)
    await set_feature(town, merchant.merchant_id, Feature.CARDS, False)
    assert Feature.CARDS not in await merchants.features(scope)
    await set_feature(town, merchant.merchant_id, Feature.CARDS, None)
    await set_feature(town, merchant.merchant_id, Feature.MANDATES, None)
    assert Feature.CARDS in await merchants.features(scope)
    assert Feature.MANDATES not in await merchants.features(scope)
    assert Feature.MANDATES in await merchants.features(await town.scope())


async def test_package_changes_by_the_version_that_was_seen(town: Town) -> None:
    merchant = await town.merchant(with_())
    scope = scope_of(merchant)
    assert Feature.CUSTOM_ROUTING not in await town.parties.merchants.features(scope)
    async with town.database.transaction() as connection:
        changed = await town.parties.merchants.set_package(
            connection, town.operator, merchant.merchant_id, Package.ENTERPRISE, 1
        )
    assert (changed.package, changed.version) == (Package.ENTERPRISE, 2)
    assert Feature.CUSTOM_ROUTING in await town.parties.merchants.features(scope)


async def test_store_is_opened_changed_closed_and_listed(town: Town) -> None:
    scope = await town.scope()
    first = await store(town, scope, StoreDraft(name="East", address=Address(city="Hangzhou", country="CN")))
    second = await store(town, scope, StoreDraft(name="West", timezone="Asia/Shanghai"))
    stores = town.parties.stores
    async with town.database.transaction() as connection:
        changed = await stores.change(
            connection, scope, first.store_id, StoreChange(name="Old East", state=StoreState.CLOSED)
        )
    assert (changed.name, changed.state, changed.address) == ("Old East", StoreState.CLOSED, first.address)
    assert await stores.get(scope, first.store_id) == changed
    page = await stores.list(scope, PageRequest(limit=1))
    assert (page.items, page.has_more) == ((second,), True)
    assert (await stores.list(scope, PageRequest(starting_after=second.store_id))).items == (changed,)
    assert (await stores.list(scope, PageRequest(ending_before=first.store_id))).items == (second,)


@pytest.mark.parametrize(
    ("draft", "code"),
    [
        (StoreDraft(name=""), "name_invalid"),
        (StoreDraft(name="E", timezone="Nowhere"), "timezone_invalid"),
        (StoreDraft(name="E", address=Address(country="ZZ")), "country_invalid"),
        (StoreDraft(name="E", address=Address(postal_code="9" * 201)), "address_invalid"),
    ],
)
async def test_store_with_bad_field_is_refused(town: Town, draft: StoreDraft, code: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await store(town, await town.scope(), draft)
    assert refused.value.code == code


async def test_stores_of_one_merchant_are_unknown_to_another(town: Town) -> None:
    merchant = await town.merchant()
    made = await store(town, scope_of(merchant), StoreDraft(name="East"))
    foreign = await town.scope()
    stores = town.parties.stores
    assert (await stores.list(foreign)).items == ()
    for store_id in (made.store_id, StoreId(town.ids.uuid())):
        with pytest.raises(NotFound):
            await stores.get(foreign, store_id)
        with pytest.raises(NotFound):
            async with town.database.transaction() as connection:
                await stores.change(connection, foreign, store_id, StoreChange(name="X"))
    testing = scope_of(merchant, live=False)
    assert await stores.get(testing, made.store_id) == made
    with pytest.raises(NotPermitted) as refused:
        await store(town, testing, StoreDraft(name="East"))
    assert refused.value.code == "live_only"
