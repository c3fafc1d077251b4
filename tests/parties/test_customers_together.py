"""Customers asked for at one moment are read together, and no merchant sees another's."""

import asyncio

from tests.parties.conftest import Town

from tongbao.parties.errors import UnknownCustomer
from tongbao.parties.schema import CustomerDraft


async def test_get_at_once_gives_each_merchant_its_own_customers_only(town: Town) -> None:
    ours, theirs = await town.scope(), await town.scope()
    async with town.database.transaction() as connection:
        made = town.parties.customers
        here = await made.create(connection, ours, CustomerDraft(name="Ada", metadata={"tier": "gold"}))
        there = await made.create(connection, theirs, CustomerDraft(name="Bo"))
    asked = ((ours, here), (ours, there), (theirs, there), (theirs, here))
    found = await asyncio.gather(
        *(town.parties.customers.get(scope, each.customer_id) for scope, each in asked),
        return_exceptions=True,
    )
    assert found[0] == here
    assert found[2] == there
    assert [type(found[place]) for place in (1, 3)] == [UnknownCustomer, UnknownCustomer]
