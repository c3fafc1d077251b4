"""People: who belongs to which merchant in which role, and who works for the house.

Writes join the caller's transaction, reads open a connection of their own. Nobody gives a role that may do more
than they may themselves, and nobody changes what they are in the house.
"""

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.ids import IdFactory, uuid_text
from tongbao.parties.errors import GrantTooWide, LastOwner, LiveOnly, RolesClash, UnknownPerson
from tongbao.parties.facts import StaffMember
from tongbao.parties.policy import fields, roles
from tongbao.parties.schema import (
    PERSON_PREFIX,
    Member,
    Membership,
    MerchantRole,
    OperatorRole,
    OperatorScope,
    Person,
    PersonDraft,
    PersonId,
    Scope,
)
from tongbao.parties.store import access as access_store
from tongbao.parties.store import people as store
from tongbao.parties.store import sessions as session_store


class People:
    """Brings people in, gives and takes their roles."""

    def __init__(self, database: Database, clock: Clock, ids: IdFactory) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids

    async def join(
        self, connection: Connection, scope: Scope, draft: PersonDraft, role: MerchantRole
    ) -> Membership:
        """Make somebody a member of the scope's merchant; joins the caller's transaction.

        Who has the e-mail address already keeps name and locale; who belongs here already gets the new role.
        Raises LiveOnly, BadField, GrantTooWide, LastOwner.
        """
        _check_grant(scope, role)
        person = await self._person(connection, draft)
        held = await store.lock_roles(connection, scope)
        await self._set_role(connection, scope, person.person_id, role, held)
        return Membership(
            person_id=person.person_id,
            merchant_id=scope.merchant_id,
            role=role,
            created_at=self._clock.now(),
        )

    async def change_role(
        self, connection: Connection, scope: Scope, person_id: PersonId, role: MerchantRole
    ) -> None:
        """Give a member another role, from their next request on; joins the caller's transaction.

        Raises LiveOnly, UnknownPerson, GrantTooWide (also for a member who may do more than the caller),
        LastOwner.
        """
        _check_grant(scope, role)
        held = await self._member_roles(connection, scope, person_id)
        _check_grant(scope, held[person_id])
        await self._set_role(connection, scope, person_id, role, held)

    async def leave(self, connection: Connection, scope: Scope, person_id: PersonId) -> None:
        """Take a member out of the scope's merchant; joins the caller's transaction.

        Raises LiveOnly, UnknownPerson, GrantTooWide for a member who may do more than the caller, LastOwner.
        """
        held = await self._member_roles(connection, scope, person_id)
        _check_grant(scope, held[person_id])
        _check_owner_remains(held, person_id)
        await store.delete_membership(connection, scope, person_id)

    async def members(self, scope: Scope) -> list[Member]:
        """Return the people of the scope's merchant, at most 500, those who joined first before."""
        async with self._database.connection() as connection:
            return await store.members(connection, scope)

    async def memberships(self, person_id: PersonId) -> list[Membership]:
        """Return to which merchants a person belongs, at most 500: what they may choose from after signing in."""
        async with self._database.connection() as connection:
            return await store.memberships(connection, person_id)

    async def appoint(
        self, connection: Connection, operator: OperatorScope, draft: PersonDraft, role: OperatorRole
    ) -> Person:
        """Give somebody a role in the house; once more does nothing. Joins the caller's transaction.

        Raises BadField, GrantTooWide for oneself, RolesClash for two of admin, security and auditor.
        """
        person = await self._person(connection, draft)
        await store.lock_person(connection, person.person_id)
        _check_other(operator, person.person_id)
        held = await access_store.operator_roles(connection, person.person_id)
        clash = roles.clash(role, held)
        if clash is not None:
            raise RolesClash(role, clash)
        await store.insert_operator_role(connection, operator, person.person_id, role, self._clock.now())
        return person

    async def dismiss(
        self, connection: Connection, operator: OperatorScope, person_id: PersonId, role: OperatorRole
    ) -> None:
        """Take a role in the house away; joins the caller's transaction.

        Raises GrantTooWide for oneself, UnknownPerson where the person has it not.
        """
        _check_other(operator, person_id)
        if not await store.delete_operator_role(connection, operator, person_id, role):
            raise UnknownPerson(uuid_text(PERSON_PREFIX, person_id))

    async def disable(self, connection: Connection, operator: OperatorScope, person_id: PersonId) -> None:
        """Keep somebody out for good and end their sessions; joins the caller's transaction.

        Raises GrantTooWide for oneself, UnknownPerson.
        """
        _check_other(operator, person_id)
        now = self._clock.now()
        if not await store.disable(connection, operator, person_id, now):
            raise UnknownPerson(uuid_text(PERSON_PREFIX, person_id))
        await session_store.end_all(connection, person_id, now)

    async def staff(self, operator: OperatorScope) -> list[StaffMember]:
        """Return the people of the house with their roles, at most 500, in order of their names."""
        async with self._database.connection() as connection:
            return await store.staff(connection, operator)

    async def staff_member(self, operator: OperatorScope, email: str) -> Person:
        """Return somebody of the house by e-mail address, without regard to case; raise UnknownPerson."""
        folded = fields.fold_email(email)
        for each in await self.staff(operator):
            if fields.fold_email(each.person.email) == folded:
                return each.person
        raise UnknownPerson(email)

    async def describe(self, person_id: PersonId, name: str, locale: str) -> None:
        """Give a person another name and language, as they ask themselves; raise BadField, UnknownPerson."""
        fields.check_name("name", name)
        fields.check_locale(locale)
        async with self._database.connection() as connection:
            if not await store.describe(connection, person_id, name.strip(), locale):
                raise UnknownPerson(uuid_text(PERSON_PREFIX, person_id))

    async def get(self, person_id: PersonId) -> Person:
        """Return a person; raise UnknownPerson."""
        async with self._database.connection() as connection:
            person = await store.person_by_id(connection, person_id)
        if person is None:
            raise UnknownPerson(uuid_text(PERSON_PREFIX, person_id))
        return person

    async def _person(self, connection: Connection, draft: PersonDraft) -> Person:
        """Return the person of an e-mail address, made from the draft where there is none."""
        check_draft(draft)
        folded = fields.fold_email(draft.email)
        person = Person(
            person_id=PersonId(self._ids.uuid()),
            email=draft.email,
            name=draft.name,
            locale=draft.locale,
            created_at=self._clock.now(),
            disabled_at=None,
        )
        if await store.insert_person(connection, person, folded):
            return person
        return await store.person_by_email(connection, folded) or person

    async def _member_roles(
        self, connection: Connection, scope: Scope, person_id: PersonId
    ) -> dict[PersonId, MerchantRole]:
        _check_live(scope)
        held = await store.lock_roles(connection, scope)
        if person_id not in held:
            raise UnknownPerson(uuid_text(PERSON_PREFIX, person_id))
        return held

    async def _set_role(
        self,
        connection: Connection,
        scope: Scope,
        person_id: PersonId,
        role: MerchantRole,
        held: dict[PersonId, MerchantRole],
    ) -> None:
        if role is not MerchantRole.OWNER:
            _check_owner_remains(held, person_id)
        await store.set_membership(connection, scope, person_id, role, self._clock.now())


def check_draft(draft: PersonDraft) -> None:
    """Raise BadField for what cannot be a person."""
    fields.check_email(draft.email)
    fields.check_name("name", draft.name)
    fields.check_locale(draft.locale)


def _check_live(scope: Scope) -> None:
    if not scope.live:
        raise LiveOnly("people")


def _check_grant(scope: Scope, role: MerchantRole) -> None:
    """Raise LiveOnly in test mode, GrantTooWide where a role may do more than the scope."""
    _check_live(scope)
    missing = roles.missing(roles.of_merchant_role(role), scope.permissions)
    if missing:
        raise GrantTooWide(missing)


def _check_owner_remains(held: dict[PersonId, MerchantRole], person_id: PersonId) -> None:
    """Raise LastOwner where nobody else owns the merchant that this person owns."""
    owners = {person for person, role in held.items() if role is MerchantRole.OWNER}
    if owners == {person_id}:
        raise LastOwner()


def _check_other(operator: OperatorScope, person_id: PersonId) -> None:
    if operator.person_id == person_id:
        raise GrantTooWide(frozenset({"one's own roles"}))
