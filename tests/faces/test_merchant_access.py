"""Pages of the portal that takes money, in every mode and language."""

from collections.abc import AsyncIterator

import pytest
from tests.faces.browser import LANGUAGES, WIDE, PageIn
from tests.faces.looks import wrong_among
from tests.faces.merchant_place import PAGES, Shop, address, open_shop

from tongbao.core.db import Database


@pytest.fixture(scope="module")
async def shop(database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    async with open_shop(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_page_can_be_used_in_every_mode(shop: Shop, page_in: PageIn, language: str) -> None:
    page = await shop.signed_in(await page_in("light", language, WIDE, shop.base))
    wrong = await wrong_among(page, [address(shop, path) for path in PAGES], language)
    assert not wrong, wrong
