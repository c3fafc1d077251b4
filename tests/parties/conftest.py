"""Parties over a real database, on a clock that stands still, and short ways to make somebody."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.parties.schema import (
    Merchant,
    MerchantDraft,
    MerchantRole,
    OperatorPermission,
    OperatorRole,
    OperatorScope,
    Package,
    Permission,
    Person,
    PersonDraft,
    PersonId,
    Scope,
)
from tongbao.parties.service.access import operator_of_job
from tongbao.parties.service.parties import Parties

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
PASSWORD = "seven green herons wade"
ALL = frozenset(permission.value for permission in Permission)
DRAFT = MerchantDraft(
    name="Tea House", country="CN", default_currency="CNY", mcc="5814", package=Package.ENTERPRISE
)


def scope_of(merchant: Merchant, *, live: bool = True, permissions: frozenset[str] = ALL) -> Scope:
    """A scope made by hand, as only tests may."""
    return Scope(
        merchant_id=merchant.merchant_id,
        book_id=merchant.live_book_id if live else merchant.test_book_id,
        live=live,
        actor="person:test",
        permissions=permissions,
    )


@dataclass
class Town:
    """Parties and short ways to bring people and merchants into them."""

    parties: Parties
    clock: FrozenClock
    database: Database
    ids: IdFactory
    operator: OperatorScope

    async def merchant(self, draft: MerchantDraft = DRAFT) -> Merchant:
        """A new merchant."""
        async with self.database.transaction() as connection:
            return await self.parties.merchants.create(connection, self.operator, draft)

    async def scope(self, *, live: bool = True) -> Scope:
        """The scope of a new merchant, with every permission."""
        return scope_of(await self.merchant(), live=live)

    def email(self) -> str:
        """An address that nobody else has."""
        return f"Mei.{self.ids.int63()}@Example.com"

    async def member(self, scope: Scope, role: MerchantRole, password: str | None = None) -> Person:
        """A new member of a merchant."""
        async with self.database.transaction() as connection:
            draft = PersonDraft(email=self.email(), name="Mei Chen")
            joined = await self.parties.people.join(connection, scope, draft, role)
            await self._password(connection, joined.person_id, password)
        return await self.parties.people.get(joined.person_id)

    async def staff(self, role: OperatorRole, password: str | None = None) -> Person:
        """A new person of the house."""
        async with self.database.transaction() as connection:
            draft = PersonDraft(email=self.email(), name="Lin Bo")
            person = await self.parties.people.appoint(connection, self.operator, draft, role)
            await self._password(connection, person.person_id, password)
        return person

    async def token(self, person: Person, address: str = "203.0.113.9") -> str:
        """The token of a new session of somebody who has ``PASSWORD``."""
        issued = await self.parties.sign_in.sign_in(person.email, PASSWORD, address=address, agent="tests")
        return issued.token.get_secret_value()

    async def _password(self, connection: object, person_id: PersonId, password: str | None) -> None:
        if password is not None:
            await self.parties.sign_in.set_password(connection, person_id, password)


@pytest.fixture
def clock() -> FrozenClock:
    """A clock that stands at noon."""
    return FrozenClock(NOON)


@pytest.fixture
async def parties(database: Database, clock: FrozenClock, ids: IdFactory) -> AsyncIterator[Parties]:
    """Parties on the standing clock."""
    async with Parties(database, clock, ids) as opened:
        yield opened


@pytest.fixture
def town(parties: Parties, clock: FrozenClock, database: Database, ids: IdFactory) -> Town:
    """Short ways to make somebody."""
    return Town(parties, clock, database, ids, operator_of_job("tests", frozenset(OperatorPermission)))
