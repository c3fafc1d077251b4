"""``/v2/customers/…/passkeys``: with what a merchant's customers prove who they are, and taking one away.

Passkeys are saved by payers alone, on the page of a step-up. A merchant sees that they are there and removes one that a
customer lost; it takes part in no ceremony.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from tongbao.core.db import Connection
from tongbao.parties import schema
from tongbao.parties.schema import CUSTOMER_PREFIX, CustomerId, Permission, Scope
from tongbao.parties.service.customer_passkeys import CustomerPasskeys
from tongbao.web.api import passkey_models as models
from tongbao.web.api.access import Gate
from tongbao.web.api.calls import Calls, rendered
from tongbao.web.api.shapes import IdPath, path_id

PREFIX = "/v2/customers"


def router(calls: Calls, gate: Gate, passkeys: CustomerPasskeys) -> APIRouter:
    """Return the routes over an open service."""
    routes = calls.router(PREFIX, "customers")
    reader = Depends(gate.scope(Permission.CUSTOMERS_READ))
    writer = Depends(gate.scope(Permission.CUSTOMERS_WRITE))

    @routes.get("/{customer}/passkeys")
    async def listed(scope: Annotated[Scope, reader], customer: IdPath) -> models.Passkeys:
        """List the passkeys of a customer, oldest first."""
        found = await passkeys.list(scope, CustomerId(path_id(CUSTOMER_PREFIX, customer)))
        return models.Passkeys(data=[models.Passkey.of(each) for each in found])

    @routes.post("/{customer}/passkeys/{passkey}/remove", response_model=models.Passkey)
    async def remove(
        request: Request, scope: Annotated[Scope, writer], customer: IdPath, passkey: IdPath
    ) -> Response:
        """Remove a passkey of a customer, who is asked for a code from then on; returns it as it was."""
        customer_id = CustomerId(path_id(CUSTOMER_PREFIX, customer))

        async def work(connection: Connection) -> schema.Passkey:
            return await passkeys.remove(connection, scope, customer_id, passkey)

        return await calls.write(request, scope, work, lambda made: rendered(models.Passkey.of(made)))

    return routes
