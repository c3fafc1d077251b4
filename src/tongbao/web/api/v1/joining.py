"""Joins rooms whose writes take a connection to repeatable requests: claim, work and answer in one transaction."""

from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from tongbao.core.db import Connection, Database
from tongbao.core.requests.asks import Ask
from tongbao.core.requests.running import Requests
from tongbao.parties.schema import Customer, CustomerChange, CustomerDraft, CustomerId, PageRequest, Scope
from tongbao.parties.service.customers import Customers
from tongbao.payments.schema.orders import Done, Page
from tongbao.payments.schema.webhooks import (
    Endpoint,
    EndpointChange,
    EndpointDraft,
    IssuedEndpoint,
)
from tongbao.payments.service.webhooks import WebhookEndpoints
from tongbao.privacy.schema import CardInput, CardToken
from tongbao.privacy.service.vault import Vault

View = TypeVar("View")


class Joining:
    """Runs one small write, repeatable where it has a key. Opens its transaction."""

    def __init__(self, database: Database, requests: Requests) -> None:
        self._database = database
        self._requests = requests

    async def run(
        self, scope: Scope, ask: Ask | None, work: Callable[[Connection], Awaitable[View]]
    ) -> Done[View]:
        """Do the work once; an exception of it is raised and frees the key."""
        if ask is None:
            async with self._database.transaction() as connection:
                return Done(await work(connection))
        made: list[View] = []

        async def kept(connection: Connection) -> View:
            view = await work(connection)
            made[:] = [view]
            return view

        rendered, is_replay = await self._requests.run(scope.book_id, ask, kept)
        return Done(None if is_replay else made[0], rendered)


class JoinedCustomers:
    """The customers of ``parties`` as the interface asks for them."""

    def __init__(self, customers: Customers, joining: Joining) -> None:
        self._customers = customers
        self._joining = joining

    async def create(self, scope: Scope, draft: CustomerDraft, *, ask: Ask | None) -> Done[Customer]:
        """Make a customer."""
        return await self._joining.run(
            scope, ask, lambda connection: self._customers.create(connection, scope, draft)
        )

    async def change(
        self, scope: Scope, customer_id: UUID, change: CustomerChange, *, ask: Ask | None
    ) -> Done[Customer]:
        """Change a customer."""
        subject = CustomerId(customer_id)
        return await self._joining.run(
            scope, ask, lambda connection: self._customers.change(connection, scope, subject, change)
        )

    async def delete(self, scope: Scope, customer_id: UUID, *, ask: Ask | None) -> Done[Customer]:
        """Delete a customer."""
        subject = CustomerId(customer_id)
        return await self._joining.run(
            scope, ask, lambda connection: self._customers.delete(connection, scope, subject)
        )

    async def get(self, scope: Scope, customer_id: UUID) -> Customer:
        """Return one."""
        return await self._customers.get(scope, CustomerId(customer_id))

    async def page(
        self, scope: Scope, *, email: str | None, limit: int, after: UUID | None, before: UUID | None
    ) -> Page[Customer]:
        """Return a page."""
        request = PageRequest[CustomerId](
            limit=limit,
            starting_after=CustomerId(after) if after else None,
            ending_before=CustomerId(before) if before else None,
        )
        found = (
            await self._customers.list(scope, request)
            if email is None
            else await self._customers.find_by_email(scope, email, request)
        )
        return Page(list(found.items), found.has_more)


class JoinedEndpoints:
    """The webhook endpoints of ``payments`` as the interface asks for them."""

    def __init__(self, endpoints: WebhookEndpoints, joining: Joining) -> None:
        self._endpoints = endpoints
        self._joining = joining

    async def create(self, scope: Scope, draft: EndpointDraft, *, ask: Ask | None) -> Done[IssuedEndpoint]:
        """Make an endpoint."""
        return await self._joining.run(
            scope, ask, lambda connection: self._endpoints.create(connection, scope, draft)
        )

    async def change(
        self,
        scope: Scope,
        endpoint_id: UUID,
        change: EndpointChange,
        *,
        enabled: bool | None,
        ask: Ask | None,
    ) -> Done[Endpoint]:
        """Change an endpoint, and switch it where ``enabled`` says so."""

        async def work(connection: Connection) -> Endpoint:
            changed = await self._endpoints.update(connection, scope, endpoint_id, change)
            if enabled is None:
                return changed
            switch = self._endpoints.enable if enabled else self._endpoints.disable
            return await switch(connection, scope, endpoint_id)

        return await self._joining.run(scope, ask, work)

    async def delete(self, scope: Scope, endpoint_id: UUID, *, ask: Ask | None) -> Done[Endpoint]:
        """Delete an endpoint; return what it was."""

        async def work(connection: Connection) -> Endpoint:
            found = await self._endpoints.get(scope, endpoint_id)
            await self._endpoints.delete(connection, scope, endpoint_id)
            return found

        return await self._joining.run(scope, ask, work)

    async def get(self, scope: Scope, endpoint_id: UUID) -> Endpoint:
        """Return one."""
        return await self._endpoints.get(scope, endpoint_id)

    async def list(self, scope: Scope) -> list[Endpoint]:
        """Return all of them."""
        return await self._endpoints.list(scope)


class VaultCards:
    """The vault of ``privacy`` as the interface reaches it."""

    def __init__(self, vault: Vault, database: Database) -> None:
        self._vault = vault
        self._database = database

    async def keep(self, scope: Scope, card: CardInput) -> CardToken:
        """Seal a card and return its token. Opens a transaction."""
        async with self._database.transaction() as connection:
            return await self._vault.tokenize_card(connection, scope.book_id, card)
