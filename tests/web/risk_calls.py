"""What the tests of ``/v2/risk`` share: payments to be judged, people on both sides, and time that passes."""

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
from tests.parties.conftest import PASSWORD, scope_of
from tests.web.v2_house import Json, Tenant
from tests.web.whole_house import BASE, Whole, told

from tongbao.core.ids import int_text
from tongbao.parties.schema import MERCHANT_PREFIX, MerchantRole

OWN = "/v2/risk"
HOUSE = "/v2/operations/risk"


def order(tenant: Tenant, **fields: Any) -> Json:
    """A payment of 30.00 EUR that somebody makes elsewhere; each merchant has a customer of its own."""
    values: Json = {
        "amount_minor": 3_000,
        "currency": "EUR",
        "customer": key(tenant, "cus"),
        "card": key(tenant, "card"),
        "device": key(tenant, "dev"),
        "card_country": "DE",
    }
    return {name: value for name, value in (values | fields).items() if value is not None}


def key(tenant: Tenant, kind: str) -> str:
    """The pseudonym of the customer of a merchant, or of what it pays with. No run of digits is that of a card."""
    return f"{kind}-{tenant.scope.book_id:x}"


async def judged(whole: Whole, tenant: Tenant, **fields: Any) -> Json:
    """The answer about a payment."""
    return await whole.post(tenant, f"{OWN}/assess", order(tenant, **fields))


async def settled(whole: Whole) -> None:
    """Let everything that reads facts, and every picture in memory, be up to date."""
    await whole.tally()
    whole.clock.advance(timedelta(seconds=5))
    risk = whole.house.risk
    while await risk.following.step():
        pass
    await risk.live.refresh()
    await risk.lists.refresh()
    await risk.freezing.refresh()


async def rule(whole: Whole, tenant: Tenant, rules: str, **spec: Any) -> None:
    """Let a merchant's own policy decide by these rules; its first version."""
    path = "/v2/policies/risk"
    made = await whole.post(tenant, f"{path}/versions", {"spec": {"rules": rules, **spec}})
    await whole.post(tenant, f"{path}/versions/{made['version']}/publish")
    await whole.post(tenant, f"{path}/rollout", {"champion": made["version"]})
    await settled(whole)


@contextlib.asynccontextmanager
async def member(whole: Whole, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody of a merchant in a browser of their own, signed in, in test mode."""
    transport = httpx.ASGITransport(whole.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as browser:
        person = await whole.people.member(scope_of(tenant.merchant), MerchantRole.OWNER, PASSWORD)
        body = {"email": person.email, "password": PASSWORD}
        session = told(await browser.post("/v2/session", json=body), 201)
        browser.headers["X-CSRF-Token"] = session["csrf_token"]
        browser.headers["Tongbao-Merchant"] = int_text(MERCHANT_PREFIX, tenant.merchant.merchant_id)
        yield browser
