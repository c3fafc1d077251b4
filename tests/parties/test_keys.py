"""Keys: issued, shown, rotated, revoked, and never stronger than who issues them."""

import asyncio
import hashlib
import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.parties.conftest import ALL, NOON, Town, scope_of

from tongbao.core.errors import AppError, Conflict, InvalidRequest, NotFound, NotPermitted
from tongbao.parties.policy import keys as policy
from tongbao.parties.schema import (
    ApiKey,
    IssuedKey,
    KeyDraft,
    KeyId,
    KeyKind,
    PageRequest,
    Permission,
    Scope,
)
from tongbao.parties.service.keys import Keys

SECRET = KeyDraft(kind=KeyKind.SECRET, label="Back office")
RESTRICTED = KeyDraft(kind=KeyKind.RESTRICTED, permissions=frozenset({Permission.REFUNDS_WRITE}))


async def create(town: Town, scope: Scope, draft: KeyDraft = SECRET) -> IssuedKey:
    async with town.database.transaction() as connection:
        return await town.parties.keys.create(connection, scope, draft)


async def rotate(town: Town, scope: Scope, key_id: KeyId, **options: Any) -> IssuedKey:
    async with town.database.transaction() as connection:
        return await town.parties.keys.rotate(connection, scope, key_id, **options)


async def revoke(town: Town, scope: Scope, key_id: KeyId) -> ApiKey:
    async with town.database.transaction() as connection:
        return await town.parties.keys.revoke(connection, scope, key_id)


async def opens(town: Town, issued: IssuedKey) -> str:
    """``open``, or why not, asked without what an ``Access`` remembers."""
    async with town.database.connection() as connection:
        row = await connection.fetchrow(
            "SELECT revoked_at, expires_at FROM parties.api_key WHERE key_id = $1", issued.key.key_id
        )
    if row["revoked_at"] is not None:
        return "revoked"
    return "expired" if row["expires_at"] and row["expires_at"] <= town.clock.now() else "open"


@pytest.mark.parametrize(
    ("kind", "live", "prefix"),
    [
        (KeyKind.SECRET, True, "sk_live_"),
        (KeyKind.SECRET, False, "sk_test_"),
        (KeyKind.PUBLISHABLE, True, "pk_live_"),
        (KeyKind.PUBLISHABLE, False, "pk_test_"),
        (KeyKind.RESTRICTED, True, "rk_live_"),
        (KeyKind.RESTRICTED, False, "rk_test_"),
    ],
)
async def test_create_key_shows_its_text_once_and_stores_only_a_digest(
    town: Town, kind: KeyKind, live: bool, prefix: str
) -> None:
    scope = await town.scope(live=live)
    chosen = RESTRICTED.permissions if kind is KeyKind.RESTRICTED else frozenset()
    issued = await create(town, scope, KeyDraft(kind=kind, label="Till", permissions=chosen))
    text = issued.text.get_secret_value()
    assert text.startswith(prefix)
    assert (issued.key.prefix, issued.key.last4) == (prefix, text[-4:])
    assert text not in repr(issued)
    assert issued.key == await town.parties.keys.get(scope, issued.key.key_id)
    assert (issued.key.created_by, issued.key.created_at) == (scope.actor, NOON)
    async with town.database.connection() as connection:
        row = await connection.fetchrow(
            "SELECT k::text AS text, digest FROM parties.api_key AS k WHERE key_id = $1", issued.key.key_id
        )
    assert text[8:] not in row["text"]
    assert row["digest"] == hashlib.sha256(text.encode()).digest()


async def test_keys_have_256_random_bits(town: Town) -> None:
    scope = await town.scope()
    keys = Keys(town.database, town.clock, town.ids, random.Random(7))
    async with town.database.transaction() as connection:
        issued = await keys.create(connection, scope, SECRET)
    bits = random.Random(7).getrandbits(256)
    assert issued.text.get_secret_value() == policy.text(KeyKind.SECRET, bits, live=True)


@given(st.integers(0, 2**256 - 1), st.integers(0, 2**256 - 1), st.sampled_from(KeyKind), st.booleans())
def test_text_of_a_key_tells_all_bits_apart_and_has_its_form(
    bits: int, other: int, kind: KeyKind, live: bool
) -> None:
    text = policy.text(kind, bits, live=live)
    assert len(text) == 60
    assert policy.looks_like_a_key(text)
    assert (text == policy.text(kind, other, live=live)) == (bits == other)


@pytest.mark.parametrize(
    ("draft", "code"),
    [
        (KeyDraft(kind=KeyKind.RESTRICTED), "permissions_invalid"),
        (KeyDraft(kind=KeyKind.SECRET, permissions=RESTRICTED.permissions), "permissions_invalid"),
        (KeyDraft(kind=KeyKind.PUBLISHABLE, permissions=RESTRICTED.permissions), "permissions_invalid"),
        (KeyDraft(kind=KeyKind.SECRET, label="l" * 81), "label_invalid"),
        (KeyDraft(kind=KeyKind.SECRET, expires_at=NOON), "expires_at_invalid"),
        (
            KeyDraft(kind=KeyKind.SECRET, expires_at=datetime(2030, 1, 1)),  # noqa: DTZ001
            "expires_at_invalid",
        ),
        (KeyDraft(kind=KeyKind.SECRET, allowed_addresses=("203.0.113.1/24",)), "allowed_addresses_invalid"),
        (KeyDraft(kind=KeyKind.SECRET, allowed_addresses=("example.com",)), "allowed_addresses_invalid"),
        (
            KeyDraft(kind=KeyKind.SECRET, allowed_addresses=tuple(f"10.0.0.{n}" for n in range(33))),
            "allowed_addresses_invalid",
        ),
    ],
)
async def test_create_key_of_an_impossible_draft_is_refused(town: Town, draft: KeyDraft, code: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await create(town, await town.scope(), draft)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("held", "draft", "allowed"),
    [
        (ALL, SECRET, True),
        (ALL - {"people.write"}, SECRET, False),
        (frozenset({"keys.write"}), RESTRICTED, False),
        (frozenset({"keys.write", "refunds.write"}), RESTRICTED, True),
        (frozenset({"keys.write"}), KeyDraft(kind=KeyKind.PUBLISHABLE), True),
    ],
)
async def test_create_and_rotate_key_give_nothing_that_the_caller_lacks(
    town: Town, held: frozenset[str], draft: KeyDraft, allowed: bool
) -> None:
    merchant = await town.merchant()
    narrow = scope_of(merchant, permissions=held)
    existing = await create(town, scope_of(merchant), draft)
    for act in (create(town, narrow, draft), rotate(town, narrow, existing.key.key_id)):
        if allowed:
            assert (await act).key.kind is draft.kind
        else:
            with pytest.raises(NotPermitted) as refused:
                await act
            assert refused.value.code == "grant_too_wide"


async def test_rotate_key_lets_the_old_one_live_for_the_overlap(town: Town) -> None:
    scope = await town.scope()
    old = await create(
        town, scope, KeyDraft(kind=KeyKind.SECRET, label="Till", allowed_addresses=("10.0.0.0/8",))
    )
    new = await rotate(town, scope, old.key.key_id, overlap=timedelta(hours=1))
    assert (new.key.kind, new.key.label, new.key.permissions) == (old.key.kind, "Till", old.key.permissions)
    assert (new.key.allowed_addresses, new.key.expires_at) == (("10.0.0.0/8",), None)
    assert new.text.get_secret_value() != old.text.get_secret_value()
    shown = await town.parties.keys.get(scope, old.key.key_id)
    assert (shown.replaced_by, shown.expires_at) == (new.key.key_id, NOON + timedelta(hours=1))
    town.clock.advance(timedelta(minutes=59, seconds=59))
    assert [await opens(town, old), await opens(town, new)] == ["open", "open"]
    town.clock.advance(timedelta(seconds=1))
    assert [await opens(town, old), await opens(town, new)] == ["expired", "open"]


async def test_rotate_key_with_an_end_keeps_that_end_and_gives_as_long_a_life_again(town: Town) -> None:
    scope = await town.scope()
    draft = KeyDraft(kind=KeyKind.SECRET, expires_at=NOON + timedelta(days=30))
    old = await create(town, scope, draft)
    town.clock.advance(timedelta(days=29, hours=20))
    new = await rotate(town, scope, old.key.key_id)
    shown = await town.parties.keys.get(scope, old.key.key_id)
    assert shown.expires_at == NOON + timedelta(days=30)
    assert new.key.expires_at == town.clock.now() + timedelta(days=30)


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), timedelta(days=7, seconds=1)])
async def test_rotate_key_with_impossible_overlap_is_refused(town: Town, overlap: timedelta) -> None:
    scope = await town.scope()
    issued = await create(town, scope)
    with pytest.raises(InvalidRequest) as refused:
        await rotate(town, scope, issued.key.key_id, overlap=overlap)
    assert refused.value.code == "overlap_invalid"


async def test_rotate_dead_key_is_refused(town: Town) -> None:
    scope = await town.scope()
    revoked, replaced, expired = [
        await create(town, scope, KeyDraft(kind=KeyKind.SECRET, expires_at=NOON + timedelta(hours=1)))
        for _ in range(3)
    ]
    await revoke(town, scope, revoked.key.key_id)
    await rotate(town, scope, replaced.key.key_id)
    town.clock.advance(timedelta(hours=1))
    for dead in (revoked, replaced, expired):
        with pytest.raises(Conflict) as refused:
            await rotate(town, scope, dead.key.key_id)
        assert refused.value.code == "key_dead"


async def test_rotate_ten_times_at_once_replaces_the_key_once(town: Town) -> None:
    scope = await town.scope()
    old = await create(town, scope)
    results = await asyncio.gather(
        *(rotate(town, scope, old.key.key_id) for _ in range(10)), return_exceptions=True
    )
    won = [result for result in results if isinstance(result, IssuedKey)]
    lost = [result.code for result in results if isinstance(result, AppError)]
    assert (len(won), lost) == (1, ["key_dead"] * 9)
    assert len((await town.parties.keys.list(scope)).items) == 2


async def test_rotate_and_revoke_at_once_never_leave_the_old_key_open(town: Town) -> None:
    scope = await town.scope()
    for _ in range(10):
        old = await create(town, scope)
        rotated, revoked = await asyncio.gather(
            rotate(town, scope, old.key.key_id), revoke(town, scope, old.key.key_id), return_exceptions=True
        )
        assert isinstance(revoked, ApiKey)
        assert await opens(town, old) == "revoked"
        assert isinstance(rotated, IssuedKey) or getattr(rotated, "code", "") == "key_dead"


async def test_revoke_key_again_keeps_the_first_instant(town: Town) -> None:
    scope = await town.scope()
    issued = await create(town, scope)
    first = await revoke(town, scope, issued.key.key_id)
    town.clock.advance(timedelta(days=1))
    assert (await revoke(town, scope, issued.key.key_id)).revoked_at == first.revoked_at == NOON


async def test_revoke_any_key_by_the_house(town: Town) -> None:
    issued = await create(town, await town.scope())
    async with town.database.transaction() as connection:
        await town.parties.keys.revoke_any(connection, town.operator, issued.key.key_id)
    assert await opens(town, issued) == "revoked"
    with pytest.raises(NotFound):
        async with town.database.transaction() as connection:
            await town.parties.keys.revoke_any(connection, town.operator, KeyId(town.ids.uuid()))


async def test_list_keys_pages_newest_first(town: Town) -> None:
    scope = await town.scope()
    made = [(await create(town, scope)).key for _ in range(5)]
    keys = town.parties.keys
    first = await keys.list(scope, PageRequest(limit=2))
    assert ([key.key_id for key in first.items], first.has_more) == ([made[4].key_id, made[3].key_id], True)
    rest = await keys.list(scope, PageRequest(limit=9, starting_after=made[3].key_id))
    assert [key.key_id for key in rest.items] == [key.key_id for key in made[2::-1]]
    back = await keys.list(scope, PageRequest(limit=1, ending_before=made[2].key_id))
    assert ([key.key_id for key in back.items], back.has_more) == ([made[3].key_id], True)


async def test_keys_of_one_book_are_invisible_to_every_other(town: Town) -> None:
    merchant = await town.merchant()
    issued = await create(town, scope_of(merchant))
    for foreign in (scope_of(merchant, live=False), await town.scope()):
        for act in (
            town.parties.keys.get(foreign, issued.key.key_id),
            rotate(town, foreign, issued.key.key_id),
            revoke(town, foreign, issued.key.key_id),
        ):
            with pytest.raises(NotFound) as refused:
                await act
            assert refused.value.code == "key_unknown"
        assert (await town.parties.keys.list(foreign)).items == ()
    assert await opens(town, issued) == "open"
