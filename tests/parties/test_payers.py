"""Payers, devices and the rows of passkeys."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from tests.parties.conftest import NOON, Town, scope_of

from tongbao.core.errors import AppError, Conflict, InvalidRequest, LimitExceeded, NotFound
from tongbao.parties.schema import (
    CustomerDraft,
    CustomerId,
    CustomerOwner,
    Device,
    DeviceId,
    DeviceOwner,
    Holder,
    HolderKind,
    Passkey,
    Payer,
    PayerId,
    Scope,
)

KEY = b"cose public key"


async def payer(town: Town, book_id: int | None = None) -> Payer:
    async with town.database.transaction() as connection:
        return await town.parties.payers.create(connection, book_id or town.ids.int63(), "Wei", "zh-Hans")


async def customer_owner(town: Town, scope: Scope) -> CustomerOwner:
    async with town.database.transaction() as connection:
        customer = await town.parties.customers.create(connection, scope, CustomerDraft(name="Ada"))
    return CustomerOwner(scope, customer.customer_id)


async def register(town: Town, owner: DeviceOwner, label: str = "Phone", public_key: bytes = b"") -> Device:
    async with town.database.transaction() as connection:
        return await town.parties.devices.register(connection, owner, label, public_key)


async def touch(town: Town, owner: DeviceOwner, device_id: DeviceId) -> None:
    async with town.database.transaction() as connection:
        await town.parties.devices.touch(connection, owner, device_id)


async def passkey(town: Town, holder: Holder, credential_id: bytes, **fields: Any) -> Passkey:
    async with town.database.transaction() as connection:
        return await town.parties.passkeys.register(
            connection, holder, credential_id, fields.pop("public_key", KEY), **fields
        )


async def use(town: Town, credential_id: bytes, sign_count: int) -> str:
    try:
        async with town.database.transaction() as connection:
            await town.parties.passkeys.touch(connection, credential_id, sign_count)
    except AppError as error:
        return error.code
    return "used"


def holder_of(town: Town) -> Holder:
    return Holder(HolderKind.PAYER, town.ids.uuid())


async def test_payer_is_found_by_id_and_by_wallet(town: Town) -> None:
    created = await payer(town)
    assert created == await town.parties.payers.get(created.payer_id)
    assert created == await town.parties.payers.of_wallet(created.wallet_book_id)
    assert (created.name, created.locale, created.created_at) == ("Wei", "zh-Hans", NOON)


async def test_wallet_has_one_payer(town: Town) -> None:
    book_id = town.ids.int63()
    results = await asyncio.gather(*(payer(town, book_id) for _ in range(5)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Payer"] + ["WalletTaken"] * 4


@pytest.mark.parametrize(("name", "locale"), [("", "en"), ("n" * 201, "en"), ("Wei", "chinese!")])
async def test_payer_with_bad_field_is_refused(town: Town, name: str, locale: str) -> None:
    with pytest.raises(InvalidRequest):
        async with town.database.transaction() as connection:
            await town.parties.payers.create(connection, town.ids.int63(), name, locale)


async def test_unknown_payer_is_told(town: Town) -> None:
    for act in (town.parties.payers.get(PayerId(town.ids.uuid())), town.parties.payers.of_wallet(1)):
        with pytest.raises(NotFound) as refused:
            await act
        assert refused.value.code == "payer_unknown"


@pytest.mark.parametrize("of_payer", [True, False])
async def test_devices_are_registered_touched_and_listed_by_owner(town: Town, of_payer: bool) -> None:
    owner: DeviceOwner = await payer(town) if of_payer else await customer_owner(town, await town.scope())
    phone = await register(town, owner, "Phone", KEY)
    town.clock.advance(timedelta(hours=1))
    tablet = await register(town, owner, "Tablet")
    assert await town.parties.devices.list(owner) == [tablet, phone]
    town.clock.advance(timedelta(hours=1))
    await touch(town, owner, phone.device_id)
    seen = await town.parties.devices.list(owner)
    assert [(device.label, device.last_seen_at - NOON) for device in seen] == [
        ("Phone", timedelta(hours=2)),
        ("Tablet", timedelta(hours=1)),
    ]
    assert (seen[0].public_key, seen[0].first_seen_at) == (KEY, NOON)


async def test_devices_of_one_owner_are_unknown_to_every_other(town: Town) -> None:
    merchant = await town.merchant()
    owner = await customer_owner(town, scope_of(merchant))
    device = await register(town, owner)
    strangers: list[DeviceOwner] = [
        await payer(town),
        await customer_owner(town, scope_of(merchant)),
        CustomerOwner(scope_of(merchant, live=False), owner.customer_id),
        CustomerOwner(await town.scope(), owner.customer_id),
    ]
    for stranger in strangers:
        assert await town.parties.devices.list(stranger) == []
        with pytest.raises(NotFound) as refused:
            await touch(town, stranger, device.device_id)
        assert refused.value.code == "device_unknown"


async def test_device_of_a_customer_who_is_not_there_is_refused(town: Town) -> None:
    scope = await town.scope()
    gone = await customer_owner(town, scope)
    async with town.database.transaction() as connection:
        await town.parties.customers.delete(connection, scope, gone.customer_id)
    foreign = await customer_owner(town, await town.scope())
    for customer_id in (gone.customer_id, foreign.customer_id, CustomerId(town.ids.uuid())):
        with pytest.raises(NotFound) as refused:
            await register(town, CustomerOwner(scope, customer_id))
        assert refused.value.code == "customer_unknown"


async def test_device_with_bad_field_or_one_too_many_is_refused(town: Town) -> None:
    owner = await payer(town)
    for label, public_key in (("", b""), ("l" * 201, b""), ("Phone", b"k" * 4_097)):
        with pytest.raises(InvalidRequest):
            await register(town, owner, label, public_key)
    for _ in range(100):
        await register(town, owner)
    with pytest.raises(LimitExceeded) as refused:
        await register(town, owner)
    assert refused.value.code == "devices_full"


async def test_passkey_is_registered_found_listed_and_removed(town: Town) -> None:
    holder, credential_id = holder_of(town), town.ids.uuid().bytes
    made = await passkey(town, holder, credential_id, transports=["usb", "nfc"], label="Key ring")
    assert made == await town.parties.passkeys.find(credential_id)
    assert await town.parties.passkeys.list(holder) == [made]
    person = Holder(HolderKind.PERSON, holder.holder_id)
    assert await town.parties.passkeys.list(person) == []
    with pytest.raises(NotFound):
        async with town.database.transaction() as connection:
            await town.parties.passkeys.remove(connection, person, credential_id)
    async with town.database.transaction() as connection:
        await town.parties.passkeys.remove(connection, holder, credential_id)
    with pytest.raises(NotFound) as refused:
        await town.parties.passkeys.find(credential_id)
    assert refused.value.code == "passkey_unknown"


async def test_passkey_is_registered_once_for_everybody(town: Town) -> None:
    credential_id = town.ids.uuid().bytes
    await passkey(town, holder_of(town), credential_id)
    with pytest.raises(Conflict) as refused:
        await passkey(town, holder_of(town), credential_id)
    assert refused.value.code == "passkey_taken"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [(0, 0, "used"), (0, 5, "used"), (5, 6, "used"), (5, 5, "passkey_cloned"), (5, 0, "passkey_cloned")],
)
async def test_counter_of_a_passkey_that_does_not_grow_tells_a_copy(
    town: Town, before: int, after: int, expected: str
) -> None:
    credential_id = town.ids.uuid().bytes
    await passkey(town, holder_of(town), credential_id, sign_count=before)
    assert await use(town, credential_id, after) == expected
    found = await town.parties.passkeys.find(credential_id)
    assert found.last_used_at == (NOON if expected == "used" else None)
    assert found.sign_count == (after if expected == "used" else before)


async def test_use_of_an_unknown_passkey_is_told(town: Town) -> None:
    assert await use(town, b"x" * 16, 1) == "passkey_unknown"


@pytest.mark.parametrize(
    ("credential_id", "fields", "code"),
    [
        (b"short", {}, "credential_id_invalid"),
        (b"x" * 1_024, {}, "credential_id_invalid"),
        (b"x" * 16, {"public_key": b""}, "public_key_invalid"),
        (b"x" * 16, {"public_key": b"k" * 4_097}, "public_key_invalid"),
        (b"x" * 16, {"sign_count": -1}, "sign_count_invalid"),
        (b"x" * 16, {"sign_count": 2**32}, "sign_count_invalid"),
        (b"x" * 16, {"transports": ["pigeon"]}, "transports_invalid"),
        (b"x" * 16, {"label": "l" * 201}, "label_invalid"),
    ],
)
async def test_passkey_with_bad_field_is_refused(
    town: Town, credential_id: bytes, fields: dict[str, Any], code: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await passkey(town, holder_of(town), credential_id, **fields)
    assert refused.value.code == code


async def test_holder_has_fifty_passkeys_at_most(town: Town) -> None:
    holder = holder_of(town)
    for _ in range(50):
        await passkey(town, holder, town.ids.uuid().bytes)
    with pytest.raises(LimitExceeded) as refused:
        await passkey(town, holder, town.ids.uuid().bytes)
    assert refused.value.code == "passkeys_full"
