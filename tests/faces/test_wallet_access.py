"""Every page of the wallet in every mode and language, everything unfolded: what axe sees, how large things are, no overflow."""

from collections.abc import AsyncIterator

import pytest
from tests.faces.browser import (
    LOOKS,
    PHONE,
    PageIn,
    assert_accessible,
    assert_elder,
    assert_no_sideways,
    console_errors,
)
from tests.faces.wallet_place import Purse, open_purse

from tongbao.core.db import Database

PAGES = {
    "home": "/wallet",
    "code": "/wallet/code",
    "bills": "/wallet/bills",
    "bill": "/wallet/bills/{hostile}",
    "top_up": "/wallet/top-up",
    "methods": "/wallet/methods",
    "mandates": "/wallet/mandates",
    "me": "/wallet/me",
    "privacy": "/wallet/privacy",
}
OPEN_ALL = "document.querySelectorAll('details').forEach((each) => { each.open = true; })"


@pytest.fixture(scope="module")
async def purse(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Purse]:
    async with open_purse(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.mark.parametrize(("mode", "language"), LOOKS)
async def test_every_page_is_accessible(purse: Purse, page_in: PageIn, mode: str, language: str) -> None:
    page = await purse.signed_in(await page_in(mode, language, PHONE, purse.base))
    for path in PAGES.values():
        answer = await page.goto(purse.base + path.format(**purse.named))
        assert answer is not None
        assert answer.status == 200, path
        await page.evaluate(OPEN_ALL)
        await assert_accessible(page)
        if mode != "dark":
            # Colors move nothing.
            await assert_no_sideways(page)
        if mode == "elder":
            await assert_elder(page)
    assert console_errors(page) == []
