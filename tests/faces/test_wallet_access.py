"""The wallet and the doors of the house in every mode and language, all unfolded: what axe sees, sizes, no overflow."""

from collections.abc import AsyncIterator

import pytest
from tests.faces.browser import LANGUAGES, PHONE, PageIn
from tests.faces.looks import wrong_among
from tests.faces.wallet_place import Purse, open_purse

from tongbao.core.db import Database

PAGES = (
    "/wallet",
    "/wallet/code",
    "/wallet/bills",
    "/wallet/bills/{hostile}",
    "/wallet/bills/{hostile}/complaint",
    "/wallet/top-up",
    "/wallet/methods",
    "/wallet/mandates",
    "/wallet/me",
    "/wallet/security",
    "/wallet/privacy",
)


FOR_NOBODY = ("/", "/sign-in", "/sign-in/recover", "/wallet/sign-in")


@pytest.fixture(scope="module")
async def purse(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Purse]:
    async with open_purse(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_page_can_be_used_in_every_mode(purse: Purse, page_in: PageIn, language: str) -> None:
    page = await purse.signed_in(await page_in("light", language, PHONE, purse.base))
    addresses = [purse.base + path.format(**purse.named) for path in PAGES]
    wrong = await wrong_among(page, addresses, language, sparing=True, unfold=True)
    assert not wrong, wrong


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_page_before_signing_in_can_be_used_in_every_mode(
    purse: Purse, page_in: PageIn, language: str
) -> None:
    page = await page_in("light", language, PHONE, purse.base)
    wrong = await wrong_among(page, [purse.base + path for path in FOR_NOBODY], language)
    assert not wrong, wrong
