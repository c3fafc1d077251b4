"""The SQL of people, their memberships and operator roles."""

from datetime import datetime

from tongbao.core.db import Connection
from tongbao.parties.facts import Credentials, StaffMember
from tongbao.parties.schema import (
    Member,
    Membership,
    MerchantRole,
    OperatorRole,
    OperatorScope,
    Person,
    PersonId,
    Scope,
)
from tongbao.parties.store.rows import changed_one, read

MEMBERS_MAX = 500

_PERSON = "SELECT person_id, email, name, locale, created_at, disabled_at FROM parties.person "
_PERSON_BY_ID = _PERSON + "WHERE person_id = $1"
_PERSON_BY_EMAIL = _PERSON + "WHERE email_folded = $1"
_LOCK_PERSON = _PERSON_BY_ID + " FOR NO KEY UPDATE"
_INSERT_PERSON = """
INSERT INTO parties.person (person_id, email, email_folded, name, locale, created_at)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (email_folded) DO NOTHING
"""
_SET_PASSWORD = "UPDATE parties.person SET password_digest = $2, password_set_at = $3 WHERE person_id = $1"  # noqa: S105
_DISABLE = "UPDATE parties.person SET disabled_at = coalesce(disabled_at, $2) WHERE person_id = $1"
_CREDENTIALS = "SELECT person_id, password_digest, disabled_at FROM parties.person WHERE email_folded = $1"

_INSERT_MEMBERSHIP = """
INSERT INTO parties.membership (book_id, person_id, role, created_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (book_id, person_id) DO UPDATE SET role = excluded.role
"""
_DELETE_MEMBERSHIP = "DELETE FROM parties.membership WHERE book_id = $1 AND person_id = $2"
_LOCK_ROLES = """
SELECT person_id, role FROM parties.membership WHERE book_id = $1 ORDER BY person_id FOR NO KEY UPDATE
"""
_MEMBERS = """
SELECT p.person_id, p.email, p.name, p.locale, p.created_at, p.disabled_at, m.role
FROM parties.membership AS m JOIN parties.person AS p ON p.person_id = m.person_id
WHERE m.book_id = $1 ORDER BY m.created_at, m.person_id LIMIT $2
"""
_MEMBERSHIPS = """
SELECT person_id, book_id AS merchant_id, role, created_at FROM parties.membership
WHERE person_id = $1 ORDER BY created_at, book_id LIMIT $2
"""

_INSERT_ROLE = """
INSERT INTO parties.operator_role (person_id, role, granted_by, granted_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (person_id, role) DO NOTHING
"""
_STAFF = """
SELECT p.person_id, p.email, p.name, p.locale, p.created_at, p.disabled_at, array_agg(r.role ORDER BY r.role) AS roles
FROM parties.operator_role AS r JOIN parties.person AS p ON p.person_id = r.person_id
GROUP BY p.person_id ORDER BY p.name, p.person_id LIMIT $1
"""
_DESCRIBE = "UPDATE parties.person SET name = $2, locale = $3 WHERE person_id = $1"
_DELETE_ROLE = "DELETE FROM parties.operator_role WHERE person_id = $1 AND role = $2"


async def insert_person(connection: Connection, person: Person, email_folded: str) -> bool:
    """Add a person; False where the e-mail address has one."""
    status = await connection.execute(
        _INSERT_PERSON,
        person.person_id,
        person.email,
        email_folded,
        person.name,
        person.locale,
        person.created_at,
    )
    return changed_one(status)


async def person_by_id(connection: Connection, person_id: PersonId) -> Person | None:
    """Return a person."""
    row = await connection.fetchrow(_PERSON_BY_ID, person_id)
    return None if row is None else read(row, Person)


async def lock_person(connection: Connection, person_id: PersonId) -> Person | None:
    """Return a person, locked until the caller's transaction ends."""
    row = await connection.fetchrow(_LOCK_PERSON, person_id)
    return None if row is None else read(row, Person)


async def person_by_email(connection: Connection, email_folded: str) -> Person | None:
    """Return the person of an e-mail address in its folded form."""
    row = await connection.fetchrow(_PERSON_BY_EMAIL, email_folded)
    return None if row is None else read(row, Person)


async def credentials(connection: Connection, email_folded: str) -> Credentials | None:
    """Return what a sign-in is checked against."""
    row = await connection.fetchrow(_CREDENTIALS, email_folded)
    return None if row is None else read(row, Credentials)


async def set_password(connection: Connection, person_id: PersonId, digest: str, now: datetime) -> None:
    """Write a password's digest."""
    await connection.execute(_SET_PASSWORD, person_id, digest, now)


async def disable(
    connection: Connection, _operator: OperatorScope, person_id: PersonId, now: datetime
) -> bool:
    """Keep a person out for good; False where there is no such person."""
    return changed_one(await connection.execute(_DISABLE, person_id, now))


async def staff(connection: Connection, _operator: OperatorScope) -> list[StaffMember]:
    """Return the people of the house, at most ``MEMBERS_MAX``."""
    return [
        StaffMember(read(row, Person), tuple(OperatorRole(role) for role in row["roles"]))
        for row in await connection.fetch(_STAFF, MEMBERS_MAX)
    ]


async def describe(connection: Connection, person_id: PersonId, name: str, locale: str) -> bool:
    """Write a person's name and language; False where there is no such person."""
    return changed_one(await connection.execute(_DESCRIBE, person_id, name, locale))


async def set_membership(
    connection: Connection, scope: Scope, person_id: PersonId, role: MerchantRole, now: datetime
) -> None:
    """Make a person what they are to the scope's merchant."""
    await connection.execute(_INSERT_MEMBERSHIP, scope.merchant_id, person_id, role, now)


async def delete_membership(connection: Connection, scope: Scope, person_id: PersonId) -> None:
    """Make a person nothing to the scope's merchant."""
    await connection.execute(_DELETE_MEMBERSHIP, scope.merchant_id, person_id)


async def lock_roles(connection: Connection, scope: Scope) -> dict[PersonId, MerchantRole]:
    """Return who is what to the scope's merchant, locked until the caller's transaction ends."""
    rows = await connection.fetch(_LOCK_ROLES, scope.merchant_id)
    return {row["person_id"]: MerchantRole(row["role"]) for row in rows}


async def members(connection: Connection, scope: Scope) -> list[Member]:
    """Return the people of the scope's merchant, at most ``MEMBERS_MAX``, those who joined first before."""
    rows = await connection.fetch(_MEMBERS, scope.merchant_id, MEMBERS_MAX)
    return [Member(read(row, Person), MerchantRole(row["role"])) for row in rows]


async def memberships(connection: Connection, person_id: PersonId) -> list[Membership]:
    """Return to which merchants a person belongs, at most ``MEMBERS_MAX``."""
    return [read(row, Membership) for row in await connection.fetch(_MEMBERSHIPS, person_id, MEMBERS_MAX)]


async def insert_operator_role(
    connection: Connection, operator: OperatorScope, person_id: PersonId, role: OperatorRole, now: datetime
) -> None:
    """Give a person a role in the house."""
    await connection.execute(_INSERT_ROLE, person_id, role, operator.actor, now)


async def delete_operator_role(
    connection: Connection, _operator: OperatorScope, person_id: PersonId, role: OperatorRole
) -> bool:
    """Take a role in the house away; False where the person had it not."""
    return changed_one(await connection.execute(_DELETE_ROLE, person_id, role))
