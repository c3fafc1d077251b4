"""The page of payouts where holidays are not announced: a month says so, and what is to come then."""

from collections.abc import AsyncIterator

import pytest
from tests.faces.merchant_money_place import Till, open_till
from tests.web.merchant.money_visits import Visit, visit

from tongbao.clearing.schema.agreements import Agreement
from tongbao.core.db import Database


@pytest.fixture(scope="module")
async def till(database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Till]:
    async with open_till(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        await opened.whole.house.clearing.agreements.make(
            opened.tenant.scope.book_id, "CNY", Agreement(days=60), actor="mei", note="for a test"
        )
        yield opened


@pytest.fixture
async def owner(till: Till) -> AsyncIterator[Visit]:
    async with visit(till) as made:
        yield made


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "CN 2031 are not announced yet"), ("zh-CN", "CN 2031 年节假日安排尚未公布")],
)
async def test_month_that_is_not_announced_says_so(
    till: Till, owner: Visit, language: str, words: str
) -> None:
    assert words in await owner.page("/payouts?month=2031-02", language=language)
    assert words not in await owner.page("/payouts?month=2026-02", language=language)
