"""Passkeys of a merchant's customers, as the merchant sees them: which there are, and one taken away."""

from tongbao.core.db import Connection, Database
from tongbao.core.ids import uuid_text
from tongbao.parties.errors import UnknownCustomer, UnknownPasskey
from tongbao.parties.schema import CUSTOMER_PREFIX, CustomerId, Holder, HolderKind, Passkey, Scope
from tongbao.parties.store import customers, sessions


class CustomerPasskeys:
    """Lists and removes. A customer of another merchant, or of the other mode, is unknown with its passkeys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, scope: Scope, customer_id: CustomerId) -> list[Passkey]:
        """Return a customer's passkeys, oldest first, at most 50; raise UnknownCustomer."""
        async with self._database.connection() as connection:
            if await customers.by_id(connection, scope, customer_id) is None:
                raise _unknown(customer_id)
            return await sessions.passkeys(connection, _holder(scope, customer_id))

    async def remove(
        self, connection: Connection, scope: Scope, customer_id: CustomerId, reference: str
    ) -> Passkey:
        """Remove a customer's passkey, named as the list names it, and return it; joins the caller's transaction.

        Raises UnknownCustomer and UnknownPasskey.
        """
        if await customers.lock(connection, scope, customer_id) is None:
            raise _unknown(customer_id)
        for passkey in await sessions.passkeys(connection, _holder(scope, customer_id)):
            if passkey.reference == reference:
                await sessions.delete_passkey(connection, passkey.holder, passkey.credential_id)
                return passkey
        raise UnknownPasskey(reference)


def _holder(scope: Scope, customer_id: CustomerId) -> Holder:
    return Holder(HolderKind.CUSTOMER, customer_id, scope.book_id)


def _unknown(customer_id: CustomerId) -> UnknownCustomer:
    return UnknownCustomer(uuid_text(CUSTOMER_PREFIX, customer_id))
