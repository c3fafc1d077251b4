"""What a page of the checkout may cost the payer: bytes, requests, script, time to the largest thing, and no jumping."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page
from tests.faces.browser import PHONE, PageIn, console_errors
from tests.faces.cashier_place import STATES, Place, open_place

from tongbao.core.db import Database
from tongbao.web import pages

PAGE_BYTES_MAX = 25 * 1024
SCRIPT_BYTES_MAX = 8 * 1024
REQUESTS_MAX = 4
LOOKS_MAX = 3
LCP_MS_MAX = 1_500
"""Three times the goal of 500: machines that run tests are busy."""
_PAINTED = """() => new Promise((done) => {
  let moved = 0;
  new PerformanceObserver((list) => list.getEntries().forEach((each) => { moved += each.value; }))
    .observe({ type: 'layout-shift', buffered: true });
  new PerformanceObserver((list) => {
    const last = list.getEntries().at(-1);
    setTimeout(() => done({ lcp: last.startTime, moved }), 300);
  }).observe({ type: 'largest-contentful-paint', buffered: true });
})"""


@pytest.fixture(scope="module")
async def place(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Place]:
    async with open_place(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


async def cost(page: Page, url: str) -> dict[str, Any]:
    """Open a page cold; how many requests and bytes it took, and how it was painted."""
    session = await page.context.new_cdp_session(page)
    await session.send("Network.enable")
    taken: dict[str, Any] = {"requests": 0, "bytes": 0}
    session.on("Network.requestWillBeSent", lambda _: taken.update(requests=taken["requests"] + 1))
    session.on(
        "Network.loadingFinished",
        lambda told: taken.update(bytes=taken["bytes"] + int(told["encodedDataLength"])),
    )
    await page.goto(url, wait_until="load")
    return taken | dict(await page.evaluate(_PAINTED)) | {"errors": console_errors(page)}


@pytest.mark.parametrize("state", ["pay", "declined", "scan", "paid"])
async def test_page_stays_within_its_budget(place: Place, page_in: PageIn, state: str) -> None:
    url = place.base + await STATES[state](place)
    looks: list[dict[str, Any]] = []
    # What else the machine does is no fault of the page: it is looked at again where it took long, and the quickest counts.
    while len(looks) < LOOKS_MAX and not any(each["lcp"] <= LCP_MS_MAX for each in looks):
        looks.append(await cost(await page_in("light", "en", PHONE, place.base), url))
    spent = min(looks, key=lambda each: float(each["lcp"]))
    assert spent["bytes"] <= PAGE_BYTES_MAX, spent
    assert spent["requests"] <= REQUESTS_MAX, spent
    assert spent["moved"] == 0, spent
    assert 0 < spent["lcp"] <= LCP_MS_MAX, spent
    assert all(each["errors"] == [] for each in looks)


def test_script_of_the_checkout_is_small() -> None:
    for name in ("cashier.js", "passkeys.js", "step_up.js"):
        content = (Path(pages.__file__).parent / "static" / name).read_bytes()
        assert len(gzip.compress(content)) <= SCRIPT_BYTES_MAX
