"""From a key to a scope: what opens, what does not and why, and how soon a change counts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from tests.parties.conftest import NOON, PASSWORD, Town, scope_of

from tongbao.core.db import Database
from tongbao.core.errors import AppError, NotFound, NotPermitted
from tongbao.parties.errors import KeyRefused, NotAuthenticated, PermissionMissing, SessionRefused
from tongbao.parties.policy import keys as policy
from tongbao.parties.policy import roles
from tongbao.parties.schema import (
    IssuedKey,
    KeyDraft,
    KeyKind,
    MerchantId,
    MerchantRole,
    MerchantState,
    OperatorPermission,
    OperatorRole,
    Permission,
    Scope,
)
from tongbao.parties.service import access as access_module
from tongbao.parties.service.access import FRESH_S, Access, operator_of_job, require, require_operator
from tongbao.parties.service.freshness import Remembered

UNKNOWN = "sk_live_" + "0" * 52


class CountingDatabase(Database):
    """The same pool, which counts how often it lends a connection."""

    def __init__(self, database: Database) -> None:
        super().__init__(database.dsn)
        self._pool = database._pool
        self.lent = 0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        self.lent += 1
        async with super().connection() as lent:
            yield lent


class Seconds:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class Door:
    """An ``Access`` whose freshness and whose questions to the database a test can see."""

    def __init__(self, town: Town) -> None:
        self.database = CountingDatabase(town.database)
        self.seconds = Seconds()
        self.access = Access(self.database, town.clock, monotonic_s=self.seconds)

    async def code(self, text: str, address: str | None = None) -> str:
        """``open``, or the code of the refusal."""
        try:
            await self.access.scope_of_key(text, address=address)
        except AppError as error:
            return error.code
        return "open"


@pytest.fixture
async def door(town: Town) -> AsyncIterator[Door]:
    opened = Door(town)
    yield opened
    await opened.access.close()


async def issue(town: Town, scope: Scope, draft: KeyDraft) -> IssuedKey:
    async with town.database.transaction() as connection:
        return await town.parties.keys.create(connection, scope, draft)


async def secret(town: Town, scope: Scope, **fields: Any) -> str:
    issued = await issue(town, scope, KeyDraft(kind=KeyKind.SECRET, **fields))
    return issued.text.get_secret_value()


async def set_state(town: Town, merchant_id: MerchantId, state: MerchantState, version: int) -> None:
    async with town.database.transaction() as connection:
        await town.parties.merchants.set_state(
            connection, town.operator, merchant_id, state, version, "a test asks for it"
        )


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize(
    ("kind", "permissions", "expected"),
    [
        (KeyKind.SECRET, frozenset(), frozenset(Permission)),
        (KeyKind.PUBLISHABLE, frozenset(), {Permission.CHECKOUT_CLIENT, Permission.METHODS_CREATE}),
        (KeyKind.RESTRICTED, frozenset({Permission.LEDGER_READ}), {Permission.LEDGER_READ}),
    ],
)
async def test_scope_of_key_has_the_merchant_mode_and_rights_of_the_key(
    town: Town,
    door: Door,
    live: bool,
    kind: KeyKind,
    permissions: frozenset[Permission],
    expected: set[Permission],
) -> None:
    scope = await town.scope(live=live)
    issued = await issue(town, scope, KeyDraft(kind=kind, permissions=permissions))
    opened = await door.access.scope_of_key(issued.text.get_secret_value(), address=None)
    assert (opened.merchant_id, opened.book_id, opened.live) == (scope.merchant_id, scope.book_id, live)
    assert opened.permissions == expected
    assert opened.actor.startswith("key:key_")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sk_live_",
        UNKNOWN,
        UNKNOWN[:-1],
        UNKNOWN.replace("0", "u"),
        UNKNOWN.upper(),
        "x" * 1_000_000,
        "\ud800",
    ],
)
async def test_scope_of_key_of_no_key_is_refused(door: Door, text: str) -> None:
    assert await door.code(text) == "api_key_invalid"


async def test_scope_of_key_with_a_changed_character_is_refused(town: Town, door: Door) -> None:
    text = await secret(town, await town.scope())
    last = "0" if text[-1] != "0" else "1"
    assert await door.code(text) == "open"
    assert await door.code(text[:-1] + last) == "api_key_invalid"
    assert await door.code(text.replace("sk_live", "sk_test")) == "api_key_invalid"


async def test_scope_of_key_after_its_end_is_refused_at_once_even_where_it_is_remembered(
    town: Town, door: Door
) -> None:
    text = await secret(town, await town.scope(), expires_at=NOON + timedelta(hours=1))
    assert await door.code(text) == "open"
    town.clock.set(NOON + timedelta(minutes=59, seconds=59))
    assert await door.code(text) == "open"
    town.clock.set(NOON + timedelta(hours=1))
    assert await door.code(text) == "api_key_expired"


async def test_revocation_counts_after_two_seconds_at_the_latest(town: Town, door: Door) -> None:
    scope = await town.scope()
    issued = await issue(town, scope, KeyDraft(kind=KeyKind.SECRET))
    text = issued.text.get_secret_value()
    assert await door.code(text) == "open"
    async with town.database.transaction() as connection:
        await town.parties.keys.revoke(connection, scope, issued.key.key_id)
    door.seconds.now_s += FRESH_S - 0.001
    assert await door.code(text) == "open"
    door.seconds.now_s += 0.001
    assert await door.code(text) == "api_key_revoked"
    assert await door.code(text, "203.0.113.1") == "api_key_revoked"


async def test_suspension_and_its_end_count_after_two_seconds(town: Town, door: Door) -> None:
    scope = await town.scope()
    text = await secret(town, scope)
    assert await door.code(text) == "open"
    steps = [
        (MerchantState.SUSPENDED, "merchant_suspended"),
        (MerchantState.OPEN, "open"),
        (MerchantState.CLOSED, "api_key_revoked"),
    ]
    for version, (state, expected) in enumerate(steps, 1):
        await set_state(town, scope.merchant_id, state, version)
        door.seconds.now_s += FRESH_S
        assert await door.code(text) == expected


@pytest.mark.parametrize(
    ("allowed", "address", "expected"),
    [
        ((), None, "open"),
        (("203.0.113.0/24",), "203.0.113.255", "open"),
        (("203.0.113.0/24",), "203.0.114.0", "api_key_address"),
        (("203.0.113.7",), "203.0.113.7", "open"),
        (("203.0.113.7",), "203.0.113.8", "api_key_address"),
        (("203.0.113.0/24",), "::ffff:203.0.113.9", "open"),
        (("2001:db8::/32",), "2001:db8::1", "open"),
        (("2001:db8::/32",), "203.0.113.9", "api_key_address"),
        (("10.0.0.0/8", "2001:db8::/32"), "2001:db8::1", "open"),
        (("203.0.113.0/24",), None, "api_key_address"),
        (("0.0.0.0/0",), "not an address", "api_key_address"),
    ],
)
async def test_scope_of_key_looks_at_the_address(
    town: Town, door: Door, allowed: tuple[str, ...], address: str | None, expected: str
) -> None:
    text = await secret(town, await town.scope(), allowed_addresses=allowed)
    assert [await door.code(text, address), await door.code(text, address)] == [expected, expected]


async def test_remembered_key_asks_the_database_once_in_two_seconds(town: Town, door: Door) -> None:
    text = await secret(town, await town.scope())
    await door.code(text)
    await door.access.close()
    asked = door.database.lent
    for _ in range(50):
        await door.code(text)
    assert door.database.lent == asked
    door.seconds.now_s += FRESH_S
    await door.code(text)
    assert door.database.lent == asked + 1


async def test_unknown_key_asks_the_database_once_in_two_seconds_and_shapeless_ones_never(door: Door) -> None:
    for _ in range(20):
        assert await door.code(UNKNOWN) == "api_key_invalid"
    assert door.database.lent == 1
    door.seconds.now_s += FRESH_S
    await door.code(UNKNOWN)
    assert door.database.lent == 2
    await door.code("sk_live_short")
    assert door.database.lent == 2


async def test_key_made_while_its_absence_is_remembered_opens_two_seconds_later(
    town: Town, door: Door
) -> None:
    scope = await town.scope()
    async with town.database.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        issued = await town.parties.keys.create(connection, scope, KeyDraft(kind=KeyKind.SECRET))
        text = issued.text.get_secret_value()
        assert await door.code(text) == "api_key_invalid"
        await transaction.commit()
    door.seconds.now_s += FRESH_S
    assert await door.code(text) == "open"


async def test_hundred_requests_at_once_ask_the_database_once(town: Town, door: Door) -> None:
    text = await secret(town, await town.scope())
    codes = await asyncio.gather(*(door.code(text) for _ in range(100)))
    await door.access.close()
    assert codes == ["open"] * 100
    assert door.database.lent == 2  # the question, and the note that the key was used


async def test_caller_that_gives_up_does_not_fail_the_others(town: Town, door: Door) -> None:
    text = await secret(town, await town.scope())
    impatient = asyncio.create_task(door.code(text))
    patient = asyncio.create_task(door.code(text))
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient == "open"


async def test_million_wrong_keys_do_not_push_out_the_right_one(
    town: Town, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = await secret(town, await town.scope())
    await door.code(text)
    await door.access.close()
    door.access._unknown = Remembered(10)
    for number in range(40):
        await door.code(policy.text(KeyKind.SECRET, number + 1, live=True))
    assert len(door.access._unknown) == 10
    asked = door.database.lent
    assert await door.code(text) == "open"
    assert door.database.lent == asked


async def test_last_use_is_written_once_a_minute(town: Town, door: Door) -> None:
    scope = await town.scope()
    issued = await issue(town, scope, KeyDraft(kind=KeyKind.SECRET))
    text, key_id = issued.text.get_secret_value(), issued.key.key_id

    async def used_at() -> object:
        await door.code(text)
        await door.access.close()
        door.seconds.now_s += FRESH_S
        return (await town.parties.keys.get(scope, key_id)).last_used_at

    assert await used_at() == NOON
    town.clock.advance(timedelta(seconds=59))
    assert await used_at() == NOON
    town.clock.advance(timedelta(seconds=1))
    assert await used_at() == NOON + timedelta(minutes=1)


async def test_refused_key_is_not_noted_as_used(town: Town, door: Door) -> None:
    scope = await town.scope()
    issued = await issue(town, scope, KeyDraft(kind=KeyKind.SECRET))
    async with town.database.transaction() as connection:
        await town.parties.keys.revoke(connection, scope, issued.key.key_id)
    assert await door.code(issued.text.get_secret_value()) == "api_key_revoked"
    await door.access.close()
    assert (await town.parties.keys.get(scope, issued.key.key_id)).last_used_at is None


async def test_database_away_is_told_and_then_forgotten(town: Town) -> None:
    text = await secret(town, await town.scope())
    door = Door(town)
    pool, door.database._pool = door.database._pool, None
    assert await door.code(text) == "database_closed"
    door.database._pool = pool
    assert await door.code(text) == "open"
    await door.access.close()


async def test_require_names_the_permission_that_is_missing(town: Town) -> None:
    scope = scope_of(await town.merchant(), permissions=frozenset({"payments.read"}))
    require(scope, Permission.PAYMENTS_READ)
    with pytest.raises(PermissionMissing) as refused:
        require(scope, Permission.REFUNDS_WRITE)
    assert (refused.value.code, refused.value.facts["permission"]) == ("permission_missing", "refunds.write")
    operator = operator_of_job("tests", frozenset({OperatorPermission.AUDIT_READ}))
    require_operator(operator, OperatorPermission.AUDIT_READ)
    with pytest.raises(PermissionMissing, match=r"rules\.publish"):
        require_operator(operator, OperatorPermission.RULES_PUBLISH)


async def test_refusals_of_unknown_callers_are_told_from_missing_rights() -> None:
    assert issubclass(KeyRefused, NotAuthenticated)
    assert issubclass(SessionRefused, NotAuthenticated)
    assert issubclass(PermissionMissing, NotPermitted)
    assert not issubclass(PermissionMissing, NotAuthenticated)


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("role", list(MerchantRole))
async def test_scope_of_session_has_the_rights_of_the_role(
    town: Town, role: MerchantRole, live: bool
) -> None:
    merchant = await town.merchant()
    person = await town.member(scope_of(merchant), role, PASSWORD)
    token = await town.token(person)
    scope = await town.parties.access.scope_of_session(token, merchant_id=merchant.merchant_id, live=live)
    assert scope.book_id == (merchant.live_book_id if live else merchant.test_book_id)
    assert (scope.live, scope.merchant_id) == (live, merchant.merchant_id)
    assert scope.permissions == roles.of_merchant_role(role, live=live)
    assert scope.actor.startswith("person:person_")


async def test_scope_of_session_at_a_foreign_merchant_is_unknown(town: Town) -> None:
    person = await town.member(await town.scope(), MerchantRole.OWNER, PASSWORD)
    other = await town.merchant()
    token = await town.token(person)
    for merchant_id in (other.merchant_id, MerchantId(town.ids.int63())):
        with pytest.raises(NotFound) as refused:
            await town.parties.access.scope_of_session(token, merchant_id=merchant_id, live=True)
        assert refused.value.code == "merchant_unknown"


async def test_change_of_role_counts_at_the_next_request(town: Town) -> None:
    merchant = await town.merchant()
    scope = scope_of(merchant)
    await town.member(scope, MerchantRole.OWNER)
    person = await town.member(scope, MerchantRole.FINANCE, PASSWORD)
    token = await town.token(person)

    async def rights() -> frozenset[str]:
        opened = await town.parties.access.scope_of_session(
            token, merchant_id=merchant.merchant_id, live=True
        )
        return opened.permissions

    assert "payouts.write" in await rights()
    async with town.database.transaction() as connection:
        await town.parties.people.change_role(connection, scope, person.person_id, MerchantRole.VIEWER)
    assert "payouts.write" not in await rights()
    async with town.database.transaction() as connection:
        await town.parties.people.leave(connection, scope, person.person_id)
    with pytest.raises(NotFound):
        await rights()


async def test_people_of_a_suspended_merchant_may_look_and_of_a_closed_one_nothing(town: Town) -> None:
    merchant = await town.merchant()
    person = await town.member(scope_of(merchant), MerchantRole.OWNER, PASSWORD)
    token = await town.token(person)
    await set_state(town, merchant.merchant_id, MerchantState.SUSPENDED, 1)
    scope = await town.parties.access.scope_of_session(token, merchant_id=merchant.merchant_id, live=True)
    assert scope.permissions
    assert {permission.partition(".")[2] for permission in scope.permissions} == {"read"}
    await set_state(town, merchant.merchant_id, MerchantState.CLOSED, 2)
    with pytest.raises(NotPermitted) as refused:
        await town.parties.access.scope_of_session(token, merchant_id=merchant.merchant_id, live=True)
    assert refused.value.code == "merchant_closed"


async def test_operator_of_session_has_the_rights_of_all_roles_and_merchants_people_have_none(
    town: Town,
) -> None:
    person = await town.staff(OperatorRole.RISK, PASSWORD)
    opened = await town.parties.access.operator_of_session(await town.token(person))
    assert opened.permissions == roles.OPERATOR_ROLES[OperatorRole.RISK]
    assert (opened.person_id, opened.actor.partition("_")[0]) == (person.person_id, "person:person")
    owner = await town.member(await town.scope(), MerchantRole.OWNER, PASSWORD)
    nobody = await town.parties.access.operator_of_session(await town.token(owner))
    assert nobody.permissions == frozenset()


async def test_scope_of_job_has_only_what_it_asked_for(town: Town) -> None:
    merchant = await town.merchant()
    wanted = frozenset({Permission.WEBHOOKS_READ})
    access = town.parties.access
    scope = await access.scope_of_job(merchant.merchant_id, live=False, job="webhooks", permissions=wanted)
    assert (scope.book_id, scope.live) == (merchant.test_book_id, False)
    assert (scope.actor, scope.permissions) == ("job:webhooks", wanted)
    with pytest.raises(NotFound):
        await access.scope_of_job(MerchantId(1), live=True, job="webhooks", permissions=wanted)


def test_remembered_forgets_the_least_recently_used() -> None:
    remembered: Remembered[int] = Remembered(2)
    remembered.put(b"a", 1, 10.0)
    remembered.put(b"b", 2, 10.0)
    assert remembered.get(b"a", 0.0) == 1
    remembered.put(b"c", 3, 10.0)
    assert [remembered.get(digest, 0.0) for digest in (b"a", b"b", b"c")] == [1, None, 3]
    assert [remembered.get(b"a", at) for at in (9.999, 10.0)] == [1, None]


def test_limits_of_what_is_remembered_are_named() -> None:
    assert (access_module.KEYS_REMEMBERED_MAX, access_module.UNKNOWN_REMEMBERED_MAX) == (10_000, 10_000)
