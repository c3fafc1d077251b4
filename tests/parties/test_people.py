"""People: who belongs where, who may give what, and who stays apart from whom."""

import asyncio

import pytest
from tests.parties.conftest import Town, scope_of

from tongbao.core.errors import AppError, Conflict, InvalidRequest, NotFound, NotPermitted
from tongbao.parties.policy import roles
from tongbao.parties.schema import (
    MerchantRole,
    OperatorRole,
    OperatorScope,
    Person,
    PersonDraft,
    PersonId,
    Scope,
)


async def join(town: Town, scope: Scope, email: str, role: MerchantRole, name: str = "Mei") -> PersonId:
    async with town.database.transaction() as connection:
        draft = PersonDraft(email=email, name=name)
        return (await town.parties.people.join(connection, scope, draft, role)).person_id


async def change_role(town: Town, scope: Scope, person_id: PersonId, role: MerchantRole) -> None:
    async with town.database.transaction() as connection:
        await town.parties.people.change_role(connection, scope, person_id, role)


async def leave(town: Town, scope: Scope, person_id: PersonId) -> None:
    async with town.database.transaction() as connection:
        await town.parties.people.leave(connection, scope, person_id)


async def appoint(town: Town, operator: OperatorScope, email: str, role: OperatorRole) -> Person:
    async with town.database.transaction() as connection:
        return await town.parties.people.appoint(
            connection, operator, PersonDraft(email=email, name="Lin"), role
        )


async def dismiss(town: Town, operator: OperatorScope, person_id: PersonId, role: OperatorRole) -> None:
    async with town.database.transaction() as connection:
        await town.parties.people.dismiss(connection, operator, person_id, role)


async def roles_at(town: Town, scope: Scope) -> dict[PersonId, MerchantRole]:
    return {member.person.person_id: member.role for member in await town.parties.people.members(scope)}


async def test_join_makes_a_person_once_for_all_merchants(town: Town) -> None:
    first, second = await town.scope(), await town.scope()
    email = town.email()
    person_id = await join(town, first, email, MerchantRole.OWNER, "Mei Chen")
    assert await join(town, second, email.upper(), MerchantRole.VIEWER, "Somebody Else") == person_id
    person = await town.parties.people.get(person_id)
    assert (person.email, person.name) == (email, "Mei Chen")
    memberships = await town.parties.people.memberships(person_id)
    assert {(item.merchant_id, item.role) for item in memberships} == {
        (first.merchant_id, MerchantRole.OWNER),
        (second.merchant_id, MerchantRole.VIEWER),
    }


async def test_join_of_one_address_at_once_makes_one_person(town: Town) -> None:
    email = town.email()
    scopes = [await town.scope() for _ in range(5)]
    joined = await asyncio.gather(*(join(town, scope, email, MerchantRole.OWNER) for scope in scopes))
    assert len(set(joined)) == 1
    assert len(await town.parties.people.memberships(joined[0])) == 5


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"email": "nobody"}, "email_invalid"),
        ({"name": " "}, "name_invalid"),
        ({"name": "n" * 201}, "name_invalid"),
        ({"locale": "not_a_tag!"}, "locale_invalid"),
    ],
)
async def test_join_with_bad_field_is_refused(town: Town, fields: dict[str, str], code: str) -> None:
    draft = PersonDraft(**({"email": "a@example.com", "name": "A"} | fields))
    scope = await town.scope()
    with pytest.raises(InvalidRequest) as refused:
        async with town.database.transaction() as connection:
            await town.parties.people.join(connection, scope, draft, MerchantRole.VIEWER)
    assert refused.value.code == code


async def test_last_owner_stays(town: Town) -> None:
    scope = await town.scope()
    email = town.email()
    owner = await join(town, scope, email, MerchantRole.OWNER)
    for act in (
        leave(town, scope, owner),
        change_role(town, scope, owner, MerchantRole.VIEWER),
        join(town, scope, email, MerchantRole.VIEWER),
    ):
        with pytest.raises(Conflict) as refused:
            await act
        assert refused.value.code == "last_owner"
    await join(town, scope, town.email(), MerchantRole.OWNER)
    await leave(town, scope, owner)
    assert list((await roles_at(town, scope)).values()) == [MerchantRole.OWNER]


async def test_two_owners_who_leave_at_once_leave_one(town: Town) -> None:
    for _ in range(5):
        scope = await town.scope()
        owners = [await join(town, scope, town.email(), MerchantRole.OWNER) for _ in range(2)]
        results = await asyncio.gather(
            *(leave(town, scope, owner) for owner in owners), return_exceptions=True
        )
        assert sorted(str(getattr(result, "code", "left")) for result in results) == ["last_owner", "left"]
        assert len(await roles_at(town, scope)) == 1


@pytest.mark.parametrize("role", [role for role in MerchantRole if role is not MerchantRole.OWNER])
async def test_nobody_gives_or_takes_a_role_above_their_own(town: Town, role: MerchantRole) -> None:
    merchant = await town.merchant()
    scope = scope_of(merchant)
    owner = await join(town, scope, town.email(), MerchantRole.OWNER)
    await join(town, scope, town.email(), MerchantRole.OWNER)
    viewer = await join(town, scope, town.email(), MerchantRole.VIEWER)
    narrow = scope_of(merchant, permissions=frozenset[str](roles.of_merchant_role(role)))
    for act in (
        join(town, narrow, town.email(), MerchantRole.OWNER),
        change_role(town, narrow, viewer, MerchantRole.OWNER),
        change_role(town, narrow, owner, MerchantRole.VIEWER),
        leave(town, narrow, owner),
    ):
        with pytest.raises(NotPermitted) as refused:
            await act
        assert refused.value.code == "grant_too_wide"
    assert (await roles_at(town, scope))[owner] is MerchantRole.OWNER


async def test_people_are_not_changed_from_test_mode(town: Town) -> None:
    merchant = await town.merchant()
    person_id = await join(town, scope_of(merchant), town.email(), MerchantRole.OWNER)
    testing = scope_of(merchant, live=False)
    for act in (
        join(town, testing, town.email(), MerchantRole.OWNER),
        change_role(town, testing, person_id, MerchantRole.OWNER),
        leave(town, testing, person_id),
    ):
        with pytest.raises(NotPermitted) as refused:
            await act
        assert refused.value.code == "live_only"
    assert list(await roles_at(town, testing)) == [person_id]


async def test_people_of_one_merchant_are_unknown_to_another(town: Town) -> None:
    person_id = await join(town, await town.scope(), town.email(), MerchantRole.OWNER)
    foreign = await town.scope()
    assert await town.parties.people.members(foreign) == []
    for act in (change_role(town, foreign, person_id, MerchantRole.VIEWER), leave(town, foreign, person_id)):
        with pytest.raises(NotFound) as refused:
            await act
        assert refused.value.code == "person_unknown"


async def test_appoint_and_dismiss_give_and_take_rights(town: Town) -> None:
    email = town.email()
    person = await appoint(town, town.operator, email, OperatorRole.RISK)
    assert (await appoint(town, town.operator, email, OperatorRole.LEGAL)).person_id == person.person_id
    await appoint(town, town.operator, email, OperatorRole.LEGAL)
    await dismiss(town, town.operator, person.person_id, OperatorRole.RISK)
    with pytest.raises(NotFound):
        await dismiss(town, town.operator, person.person_id, OperatorRole.RISK)
    await dismiss(town, town.operator, person.person_id, OperatorRole.LEGAL)


@pytest.mark.parametrize("wanted", sorted(roles.KEPT_APART))
@pytest.mark.parametrize("held", sorted(roles.KEPT_APART))
async def test_system_security_and_audit_are_three_people(
    town: Town, wanted: OperatorRole, held: OperatorRole
) -> None:
    email = town.email()
    await appoint(town, town.operator, email, OperatorRole.LEGAL)
    await appoint(town, town.operator, email, held)
    if wanted is held:
        await appoint(town, town.operator, email, wanted)
        return
    with pytest.raises(Conflict) as refused:
        await appoint(town, town.operator, email, wanted)
    assert refused.value.code == "roles_clash"


async def test_two_roles_kept_apart_given_at_once_end_in_one(town: Town) -> None:
    email = town.email()
    await appoint(town, town.operator, email, OperatorRole.LEGAL)
    results = await asyncio.gather(
        appoint(town, town.operator, email, OperatorRole.ADMIN),
        appoint(town, town.operator, email, OperatorRole.AUDITOR),
        return_exceptions=True,
    )
    assert [result.code for result in results if isinstance(result, AppError)] == ["roles_clash"]


async def test_nobody_changes_what_they_are_in_the_house(town: Town) -> None:
    email = town.email()
    person = await appoint(town, town.operator, email, OperatorRole.SECURITY)
    self_scope = OperatorScope(
        person_id=person.person_id,
        actor="person:self",
        permissions=roles.of_operator_roles({OperatorRole.SECURITY}),
    )

    async def disable() -> None:
        async with town.database.transaction() as connection:
            await town.parties.people.disable(connection, self_scope, person.person_id)

    for act in (
        appoint(town, self_scope, email, OperatorRole.RISK),
        dismiss(town, self_scope, person.person_id, OperatorRole.SECURITY),
        disable(),
    ):
        with pytest.raises(NotPermitted) as refused:
            await act
        assert refused.value.code == "grant_too_wide"


async def test_unknown_people_are_told_by_id(town: Town) -> None:
    nobody = PersonId(town.ids.uuid())
    with pytest.raises(NotFound, match="person_unknown: no person person_"):
        await town.parties.people.get(nobody)
    with pytest.raises(NotFound):
        async with town.database.transaction() as connection:
            await town.parties.people.disable(connection, town.operator, nobody)
