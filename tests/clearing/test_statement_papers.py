"""Statements of a real merchant as the files and pages that are handed out: they add up by themselves."""

import csv
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from tests.clearing.settlement import HOURLY, Shop, open_shop
from tests.clearing.test_statement_files import sheets_of
from tests.clearing.test_statements import statements_of

from tongbao.clearing.schema.statements import Period
from tongbao.clearing.service.statement_files import StatementFiles
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import IdFactory

NOON = datetime(2027, 3, 15, 12, 30, tzinfo=UTC)
DAY = date(2027, 3, 15)


@pytest.fixture
async def shop(database: Database, ids: IdFactory) -> AsyncIterator[Shop]:
    """A merchant with two sales, a refund and a batch."""
    async with open_shop(database, ids) as opened:
        opened.house.clock.set(NOON)
        await opened.agree(HOURLY)
        await opened.house.pay(10_000, metadata={"store": "=1+1"})
        await opened.pass_hour()
        view = await opened.house.pay(2_000)
        await opened.house.payments.refunds.create(
            opened.house.scope, intent_id=view.intent.id, amount_minor=500
        )
        await opened.record()
        yield opened


async def day_of(shop: Shop) -> Period:
    return await statements_of(shop).day(shop.house.scope, "CNY", DAY)


async def test_write_csv_changes_sum_from_the_opening_to_the_closing_balance(
    shop: Shop, tmp_path: Path
) -> None:
    path, period, scope = tmp_path / "statement.csv", await day_of(shop), shop.house.scope
    await StatementFiles(statements_of(shop)).csv(scope, "CNY", period, "en", path)
    rows = rows_of(path)
    statement = await statements_of(shop).get(scope, "CNY", period)
    assert [row["What"] for row in rows] == ["Sale", "Fees with tax", "Sale", "Refund"]
    balance = Decimal(statement.opening.total_minor) / 100
    for row in rows:
        balance += Decimal(row["Change of balance"])
        assert Decimal(row["Balance"]) == balance
    assert balance * 100 == statement.closing.total_minor
    assert rows[0]["Store"] == "'=1+1"


async def test_write_workbook_holds_every_line(shop: Shop, tmp_path: Path) -> None:
    path, period = tmp_path / "statement.xlsx", await day_of(shop)
    await StatementFiles(statements_of(shop)).xlsx(shop.house.scope, "CNY", period, "en", path)
    assert len(sheets_of(path)["Movements"]) == 1 + 4


async def test_render_page_holds_every_line(shop: Shop) -> None:
    files, period = StatementFiles(statements_of(shop)), await day_of(shop)
    page = await files.html(shop.house.scope, "CNY", period, "zh-CN", "Tea house")
    assert page.count("<td>收款</td>") == 2
    assert "行明细请下载文件查看" not in page


async def test_write_in_a_language_that_nobody_wrote_is_refused(shop: Shop, tmp_path: Path) -> None:
    files, period = StatementFiles(statements_of(shop)), await day_of(shop)
    with pytest.raises(InvalidRequest) as refused:
        await files.xlsx(shop.house.scope, "CNY", period, "fr", tmp_path / "statement.xlsx")
    assert refused.value.code == "language_unknown"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))
