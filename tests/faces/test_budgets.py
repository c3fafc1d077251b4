"""What every page of the consoles and the wallet may cost: bytes, script, requests; no error on a console, no jumping.

Which pages there are is read from the navigation of each face, so that a new place is weighed as soon as it stands there. The
checkout has a file of its own (``test_cashier_budget``).
"""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
from playwright.async_api import Page
from tests.faces.browser import PHONE, WIDE, PageIn, console_errors
from tests.faces.test_journey import House, open_house
from tests.parties.conftest import PASSWORD, scope_of
from tests.web.signed_in import signed_in

from tongbao.core.db import Database
from tongbao.core.ids import int_text
from tongbao.parties.ports import Means
from tongbao.parties.schema import MERCHANT_PREFIX, MerchantRole, OperatorRole
from tongbao.parties.service.payer_sign_in import Browser, contact_of
from tongbao.web.signing.opening_wallets import open_wallet

ROLES = (OperatorRole.OPERATOR_L2, OperatorRole.RISK, OperatorRole.ADMIN)
KB = 1024
PLACES = """() => [...new Set([...document.querySelectorAll('nav a[href^="/"]')]
  .map((each) => each.getAttribute('href')))]"""
MOVED = """() => new Promise((done) => {
  let moved = 0;
  new PerformanceObserver((list) => list.getEntries().forEach((each) => { moved += each.value; }))
    .observe({ type: 'layout-shift', buffered: true });
  setTimeout(() => done(moved), 50);
})"""


class Budget(NamedTuple):
    """What a page of a face may take from the wire, cold."""

    bytes_max: int
    script_bytes_max: int
    requests_max: int
    moved_max: float


CONSOLE = Budget(120 * KB, 40 * KB, 10, 0.05)
WALLET = Budget(60 * KB, 20 * KB, 8, 0.02)


@pytest.fixture(scope="module")
async def house(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    async with open_house(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


async def weighed(page: Page, address: str) -> dict[str, Any]:
    """Open a page with nothing kept from before; what it took."""
    session = await page.context.new_cdp_session(page)
    await session.send("Network.enable")
    await session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    kinds: dict[str, str] = {}
    sizes: dict[str, int] = {}
    asked: list[str] = []

    def begun(told: dict[str, Any]) -> None:
        url = told["request"]["url"]
        # Pictures inside a style sheet are asked of nobody.
        # The mark is asked for once as picture and once as icon of the page; a cache that is on gives it twice.
        if not url.startswith("data:") and url.rpartition("/")[2][:60] not in asked:
            kinds[told["requestId"]] = told["type"]
            asked.append(url.rpartition("/")[2][:60])

    session.on("Network.requestWillBeSent", begun)
    session.on(
        "Network.loadingFinished",
        lambda told: sizes.update({told["requestId"]: int(told["encodedDataLength"])}),
    )
    before = len(console_errors(page))
    answer = await page.goto(address, wait_until="load")
    assert answer is not None
    spent = {
        "address": address,
        "status": answer.status,
        "bytes": sum(sizes.values()),
        "script": sum(size for number, size in sizes.items() if kinds.get(number) == "Script"),
        "requests": len([kind for kind in kinds.values() if kind != "EventSource"]),
        "asked": asked,
        "moved": await page.evaluate(MOVED),
        "errors": console_errors(page)[before:],
    }
    await session.detach()
    return spent


def over(spent: dict[str, Any], budget: Budget) -> dict[str, Any]:
    """What a page took beyond what it may, by name; empty where it stayed within."""
    limits = {
        "bytes": budget.bytes_max,
        "script": budget.script_bytes_max,
        "requests": budget.requests_max,
        "moved": budget.moved_max,
    }
    beyond = {name: spent[name] for name, most in limits.items() if spent[name] > most}
    if "requests" in beyond:
        beyond["asked"] = spent["asked"]
    if spent["status"] != 200:
        beyond["status"] = spent["status"]
    if spent["errors"]:
        beyond["errors"] = spent["errors"]
    return beyond


def complaints(spent: list[dict[str, Any]], budget: Budget) -> str:
    """What all pages took too much of, a line for each."""
    return "\n".join(f"{each['address']}: {wrong}" for each in spent if (wrong := over(each, budget)))


async def keep(house: House, page: Page, name: str, token: str) -> None:
    """Sign the browser of a page in."""
    kept = [(name, token), ("mode", "test")]
    await page.context.add_cookies([{"name": each, "value": of, "url": house.base} for each, of in kept])


async def places(house: House, page: Page, home: str) -> list[str]:
    """The addresses that the navigation of a face leads to, with its first page."""
    await page.goto(house.base + home)
    own = home.split("/")[1]
    found = [each for each in await page.evaluate(PLACES) if each.split("/")[1].partition("?")[0] == own]
    return list(dict.fromkeys([home, *found]))


async def test_every_place_of_the_house_stays_within_its_budget(house: House, page_in: PageIn) -> None:
    page = await page_in("light", "en", WIDE, house.base)
    await keep(house, page, "session", (await signed_in(house.whole, "Lin Bo", ROLES)).token)
    found = await places(house, page, "/ops/risk")
    assert len(found) > 5
    spent = [await weighed(page, house.base + each) for each in found]
    assert complaints(spent, CONSOLE) == ""


async def test_every_place_of_a_merchant_stays_within_its_budget(house: House, page_in: PageIn) -> None:
    page = await page_in("light", "en", WIDE, house.base)
    tenant = await house.whole.tenant()
    for amount in range(1_000, 13_000, 1_000):
        await house.whole.pay(tenant, amount)
    owner = await house.whole.people.member(scope_of(tenant.merchant), MerchantRole.OWNER, PASSWORD)
    await keep(house, page, "session", await house.whole.people.token(owner))
    home = f"/merchant/{int_text(MERCHANT_PREFIX, tenant.merchant.merchant_id)}"
    found = await places(house, page, home)
    assert len(found) > 4
    spent = [await weighed(page, house.base + each) for each in found]
    assert complaints(spent, CONSOLE) == ""


async def test_every_place_of_the_wallet_stays_within_its_budget(house: House, page_in: PageIn) -> None:
    page = await page_in("light", "en", PHONE, house.base)
    whole = house.whole
    payer = await open_wallet(whole.house, "Li Na", "en", contact_of(whole.people.email()))
    browser = Browser("127.0.0.1", "tests")
    issued = await whole.house.parties.payer_sign_in.open(payer.payer_id, Means.CODE, browser)
    await keep(house, page, "wallet", issued.token.get_secret_value())
    found = await places(house, page, "/wallet/security")
    spent = [await weighed(page, house.base + each) for each in found]
    assert complaints(spent, WALLET) == ""
