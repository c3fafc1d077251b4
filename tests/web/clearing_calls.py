"""What the tests of clearing's faces share: payments that are recorded, agreements, people of the house, files."""

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
from tests.web.v2_house import Json, Tenant
from tests.web.whole_house import Whole, told

from tongbao.core.ids import int_text
from tongbao.ledger.schema import BOOK_PREFIX
from tongbao.parties.schema import OperatorRole

OWN = "/v2/settlements"
HOUSE = "/v2/operations/settlements"
HOURLY: Json = {
    "cycle": "d",
    "days": 0,
    "cuts": [f"{hour:02}:00:00" for hour in range(24)],
    "zone": "UTC",
    "calendars": [],
}
"""A cut every hour, paid on the day: tests need not wait."""


def book(tenant: Tenant) -> str:
    """The book of a merchant as the house names it."""
    return int_text(BOOK_PREFIX, tenant.scope.book_id)


@contextlib.asynccontextmanager
async def clerk(whole: Whole) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody of the house who settles, in test mode."""
    async with whole.operator(OperatorRole.OPERATOR_L2) as browser:
        yield browser


async def agree(whole: Whole, tenant: Tenant, currency: str = "CNY", **terms: object) -> Json:
    """Agree with a merchant on hourly cuts, with other terms where they are given."""
    async with clerk(whole) as mei:
        body: Json = {"agreement": HOURLY | terms, "note": "for a test"}
        return told(await mei.post(f"/v2/fees/agreements/{book(tenant)}/{currency}", json=body), 201)


async def settled(whole: Whole, tenant: Tenant) -> None:
    """Record everything, let the next hour begin, and cut, price and approve what is due."""
    await whole.tally()
    whole.clock.advance(timedelta(hours=1, seconds=10))
    for _ in range(100):
        if not await whole.house.clearing.settling.step(tenant.scope.book_id):
            return
    raise AssertionError("settling never came to its end")
