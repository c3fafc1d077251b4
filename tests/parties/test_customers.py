"""Customers: created, changed, deleted, listed and found, each merchant and mode by itself."""

import asyncio
from datetime import timedelta
from functools import partial

import pytest
from tests.parties.conftest import NOON, Town, scope_of

from tongbao.core.errors import AppError, Conflict, InvalidRequest, NotFound
from tongbao.parties.schema import (
    Address,
    Customer,
    CustomerChange,
    CustomerDraft,
    CustomerId,
    Page,
    PageRequest,
    Scope,
)

FULL = CustomerDraft(
    email="Ada@Example.com",
    name="Ada Li",
    phone="+86 138-0013-8000",
    description="Regular, likes Longjing",
    address=Address(line1="1 Road", city="Hangzhou", country="CN"),
    default_payment_method="pm_1",
    metadata={"tier": "gold", "table": "7"},
)


async def create(town: Town, scope: Scope, draft: CustomerDraft = FULL) -> Customer:
    async with town.database.transaction() as connection:
        return await town.parties.customers.create(connection, scope, draft)


async def change(
    town: Town, scope: Scope, customer_id: CustomerId, wanted: CustomerChange, version: int | None = None
) -> Customer:
    async with town.database.transaction() as connection:
        return await town.parties.customers.change(connection, scope, customer_id, wanted, version)


async def delete(town: Town, scope: Scope, customer_id: CustomerId) -> Customer:
    async with town.database.transaction() as connection:
        return await town.parties.customers.delete(connection, scope, customer_id)


def names(page: Page[Customer]) -> list[str | None]:
    return [customer.name for customer in page.items]


async def test_create_customer_returns_what_get_reads(town: Town) -> None:
    scope = await town.scope()
    created = await create(town, scope)
    assert created == await town.parties.customers.get(scope, created.customer_id)
    assert (created.version, created.created_at, created.deleted_at) == (1, NOON, None)
    assert created.metadata == FULL.metadata
    assert created.address == FULL.address


async def test_create_customer_joins_the_transaction_of_the_caller(town: Town) -> None:
    scope = await town.scope()
    async with town.database.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        created = await town.parties.customers.create(connection, scope, FULL)
        await transaction.rollback()
    with pytest.raises(NotFound):
        await town.parties.customers.get(scope, created.customer_id)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"email": "no-address"}, "email_invalid"),
        ({"email": "a b@example.com"}, "email_invalid"),
        ({"email": "a@example"}, "email_invalid"),
        ({"email": "a" * 65 + "@example.com"}, "email_invalid"),
        ({"email": "a@" + "b" * 250 + ".com"}, "email_invalid"),
        ({"phone": "call me"}, "phone_invalid"),
        ({"phone": "1" * 40}, "phone_invalid"),
        ({"name": "n" * 201}, "name_invalid"),
        ({"name": "bell\x07"}, "name_invalid"),
        ({"name": "half \ud800"}, "name_invalid"),
        ({"email": "a\x00b@example.com"}, "email_invalid"),
        ({"email": "a\ud800@example.com"}, "email_invalid"),
        ({"metadata": {"k": "\x00"}}, "metadata_invalid"),
        ({"description": "d" * 501}, "description_invalid"),
        ({"default_payment_method": "p" * 201}, "default_payment_method_invalid"),
        ({"address": Address(country="XX")}, "country_invalid"),
        ({"address": Address(line1="l" * 201)}, "address_invalid"),
        ({"metadata": {str(number): "x" for number in range(51)}}, "metadata_invalid"),
        ({"metadata": {"k" * 41: "x"}}, "metadata_invalid"),
        ({"metadata": {"k": "v" * 501}}, "metadata_invalid"),
        ({"metadata": {"": "v"}}, "metadata_invalid"),
        ({"metadata": {"k": ""}}, "metadata_invalid"),
    ],
)
async def test_create_customer_with_bad_field_is_refused(
    town: Town, fields: dict[str, object], code: str
) -> None:
    scope = await town.scope()
    with pytest.raises(InvalidRequest) as refused:
        await create(town, scope, CustomerDraft(**fields))  # type: ignore[arg-type]  # a table of any fields
    assert refused.value.code == code
    assert (await town.parties.customers.list(scope)).items == ()


async def test_create_customer_at_every_limit_is_accepted(town: Town) -> None:
    scope = await town.scope()
    metadata = {f"{number:040}": "界" * 500 for number in range(50)}
    created = await create(town, scope, CustomerDraft(name="n" * 200, metadata=metadata))
    found = await town.parties.customers.find_by_metadata(scope, f"{7:040}", "界" * 500)
    assert found.items == (created,)


async def test_change_customer_sets_empties_and_leaves_fields(town: Town) -> None:
    scope = await town.scope()
    created = await create(town, scope)
    wanted = CustomerChange(email=None, name="Ada Wang", metadata={"tier": "", "table": "8", "new": "x"})
    changed = await change(town, scope, created.customer_id, wanted)
    assert (changed.email, changed.name, changed.phone) == (None, "Ada Wang", FULL.phone)
    assert changed.metadata == {"table": "8", "new": "x"}
    assert (changed.version, changed.created_at) == (2, created.created_at)
    assert changed == await town.parties.customers.get(scope, created.customer_id)
    assert (await town.parties.customers.find_by_email(scope, "ada@example.com")).items == ()
    assert (await town.parties.customers.find_by_metadata(scope, "tier", "gold")).items == ()
    assert (await town.parties.customers.find_by_metadata(scope, "new", "x")).items == (changed,)


async def test_change_customer_of_an_old_version_is_refused(town: Town) -> None:
    scope = await town.scope()
    created = await create(town, scope)
    await change(town, scope, created.customer_id, CustomerChange(name="B"), 1)
    with pytest.raises(Conflict) as refused:
        await change(town, scope, created.customer_id, CustomerChange(name="C"), 1)
    assert (refused.value.code, refused.value.facts) == ("version_changed", {"seen": 1, "current": 2})


async def test_change_customer_twenty_times_at_once_loses_none(town: Town) -> None:
    scope = await town.scope()
    created = await create(town, scope, CustomerDraft(name="A"))
    await asyncio.gather(
        *(
            change(town, scope, created.customer_id, CustomerChange(metadata={f"k{number}": "v"}))
            for number in range(20)
        )
    )
    now = await town.parties.customers.get(scope, created.customer_id)
    assert (len(now.metadata), now.version) == (20, 21)


async def test_change_customer_to_too_much_metadata_is_refused(town: Town) -> None:
    scope = await town.scope()
    created = await create(town, scope, CustomerDraft(metadata={str(number): "x" for number in range(50)}))
    with pytest.raises(InvalidRequest) as refused:
        await change(town, scope, created.customer_id, CustomerChange(metadata={"one more": "x"}))
    assert refused.value.code == "metadata_invalid"


async def test_delete_customer_leaves_nothing_that_tells_who_it_was(town: Town) -> None:
    scope = await town.scope()
    created = await create(town, scope)
    town.clock.advance(timedelta(hours=1))
    tombstone = await delete(town, scope, created.customer_id)
    assert tombstone == await town.parties.customers.get(scope, created.customer_id)
    assert tombstone == Customer(
        customer_id=created.customer_id,
        email=None,
        name=None,
        phone=None,
        description=None,
        address=None,
        default_payment_method=None,
        metadata={},
        version=2,
        created_at=NOON,
        deleted_at=NOON + timedelta(hours=1),
    )
    async with town.database.connection() as connection:
        row = await connection.fetchrow(
            "SELECT c::text AS text FROM parties.customer AS c WHERE customer_id = $1", created.customer_id
        )
        left = await connection.fetchval(
            "SELECT count(*) FROM parties.customer_metadata WHERE customer_id = $1", created.customer_id
        )
    for word in ("Ada", "xample", "138", "Longjing", "Hangzhou", "pm_1", "gold"):
        assert word not in row["text"].replace(str(created.customer_id), "")
    assert left == 0
    assert (await town.parties.customers.list(scope)).items == ()
    assert (await town.parties.customers.find_by_email(scope, "ada@example.com")).items == ()


async def test_delete_customer_again_returns_the_tombstone(town: Town) -> None:
    scope = await town.scope()
    created = await create(town, scope)
    first = await delete(town, scope, created.customer_id)
    town.clock.advance(timedelta(days=1))
    assert await delete(town, scope, created.customer_id) == first
    with pytest.raises(Conflict) as refused:
        await change(town, scope, created.customer_id, CustomerChange(name="back"))
    assert refused.value.code == "customer_deleted"


async def test_list_customers_pages_newest_first_in_both_directions(town: Town) -> None:
    scope = await town.scope()
    made = [await create(town, scope, CustomerDraft(name=str(number))) for number in range(7)]
    customers = town.parties.customers
    first = await customers.list(scope, PageRequest(limit=3))
    assert (names(first), first.has_more) == (["6", "5", "4"], True)
    second = await customers.list(scope, PageRequest(limit=3, starting_after=made[4].customer_id))
    assert (names(second), second.has_more) == (["3", "2", "1"], True)
    last = await customers.list(scope, PageRequest(limit=3, starting_after=made[1].customer_id))
    assert (names(last), last.has_more) == (["0"], False)
    back = await customers.list(scope, PageRequest(limit=3, ending_before=made[1].customer_id))
    assert (names(back), back.has_more) == (["4", "3", "2"], True)
    start = await customers.list(scope, PageRequest(limit=3, ending_before=made[4].customer_id))
    assert (names(start), start.has_more) == (["6", "5"], False)
    exact = await customers.list(scope, PageRequest(limit=7))
    assert (len(exact.items), exact.has_more) == (7, False)


@pytest.mark.parametrize("limit", [0, -1, 101])
async def test_list_customers_with_impossible_limit_is_refused(town: Town, limit: int) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await town.parties.customers.list(await town.scope(), PageRequest(limit=limit))
    assert refused.value.code == "limit_invalid"


async def test_list_customers_in_two_directions_at_once_is_refused(town: Town) -> None:
    cursor = CustomerId(town.ids.uuid())
    with pytest.raises(InvalidRequest) as refused:
        await town.parties.customers.list(
            await town.scope(), PageRequest(starting_after=cursor, ending_before=cursor)
        )
    assert refused.value.code == "starting_after_invalid"


async def test_find_customers_pages_those_that_match(town: Town) -> None:
    scope = await town.scope()
    for number in range(5):
        await create(
            town, scope, CustomerDraft(name=f"m{number}", email="Same@Example.com", metadata={"k": "v"})
        )
        await create(town, scope, CustomerDraft(name="other", email="other@example.com", metadata={"k": "w"}))
    customers = town.parties.customers
    for find in (
        partial(customers.find_by_email, scope, " sAME@example.COM "),
        partial(customers.find_by_metadata, scope, "k", "v"),
    ):
        first = await find(PageRequest(limit=2))
        assert (names(first), first.has_more) == (["m4", "m3"], True)
        cursor = first.items[-1].customer_id
        assert names(await find(PageRequest(limit=9, starting_after=cursor))) == ["m2", "m1", "m0"]
        assert names(await find(PageRequest(limit=9, ending_before=cursor))) == ["m4"]


async def test_find_customers_by_what_nobody_can_have_is_answered(town: Town) -> None:
    scope = await town.scope()
    assert (await town.parties.customers.find_by_email(scope, "a\x00\ud800@example.com")).items == ()
    for key, value in (("k\x00", "v"), ("k", "\ud800"), ("k", ""), ("", "v")):
        with pytest.raises(InvalidRequest) as refused:
            await town.parties.customers.find_by_metadata(scope, key, value)
        assert refused.value.code == "metadata_invalid"


async def test_customers_of_one_book_are_invisible_to_every_other(town: Town) -> None:
    merchant = await town.merchant()
    mine = scope_of(merchant)
    created = await create(town, mine)
    customers = town.parties.customers
    for foreign in (scope_of(merchant, live=False), await town.scope(), await town.scope(live=False)):
        others = await create(town, foreign, CustomerDraft(name="theirs"))
        with pytest.raises(NotFound):
            await customers.get(foreign, created.customer_id)
        with pytest.raises(NotFound):
            await change(town, foreign, created.customer_id, CustomerChange(name="stolen"))
        with pytest.raises(NotFound):
            await delete(town, foreign, created.customer_id)
        cursor = PageRequest(starting_after=created.customer_id)
        assert (await customers.list(foreign, cursor)).items == ()
        back = PageRequest(ending_before=created.customer_id)
        assert (await customers.list(foreign, back)).items == (others,)
        assert (await customers.find_by_email(foreign, "ada@example.com")).items == ()
        assert (await customers.find_by_metadata(foreign, "tier", "gold")).items == ()
    assert await customers.get(mine, created.customer_id) == created


async def test_unknown_customer_error_names_the_id_and_nobody(town: Town) -> None:
    scope = await town.scope()
    with pytest.raises(AppError, match=r"customer_unknown: no customer cus_[0-9a-z]{26}"):
        await town.parties.customers.get(scope, CustomerId(town.ids.uuid()))
