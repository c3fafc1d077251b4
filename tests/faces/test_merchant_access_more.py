"""Pages of the portal in every mode and language: disputes, links and customers."""

from collections.abc import AsyncIterator

import pytest
from tests.faces.browser import PageIn
from tests.faces.merchant_place import OTHER_PAGES, Shop, look, open_shop

from tongbao.core.db import Database


@pytest.fixture(scope="module")
async def shop(database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    async with open_shop(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.mark.parametrize("name", OTHER_PAGES)
async def test_page_is_accessible_in_every_mode_and_language(shop: Shop, page_in: PageIn, name: str) -> None:
    await look(shop, page_in, OTHER_PAGES[name])
