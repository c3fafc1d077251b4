"""``/v2/operations/settlements/profits``: what the house earned, equal to the batches' own costs, for operators alone."""

import csv
import io
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
from tests.web.clearing_calls import HOUSE, agree, book, clerk, settled
from tests.web.v2_house import Json, Tenant
from tests.web.whole_house import Whole, open_whole, refusal, told

from tongbao.core.db import Database
from tongbao.parties.schema import OperatorRole

PROFITS = f"{HOUSE}/profits"
SUMS = ("count", "volume_minor", "fees_minor", "tax_minor", "cost_minor", "agent_minor", "margin_minor")


@pytest.fixture(scope="module")
async def whole(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Whole]:
    async with open_whole(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.fixture(scope="module")
async def tenant(whole: Whole) -> Tenant:
    """A merchant with a batch of two sales in each of two currencies."""
    tenant = await whole.tenant()
    for currency in ("CNY", "EUR"):
        await agree(whole, tenant, currency)
        for amount in (10_000, 25_000):
            await whole.pay(tenant, amount, currency.lower())
    await settled(whole, tenant)
    return tenant


@pytest.fixture
async def mei(whole: Whole, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with clerk(whole) as opened:
        yield opened


def days(whole: Whole) -> Json:
    """The days around now."""
    today = whole.clock.now().date()
    return {"from": str(today - timedelta(days=2)), "to": str(today + timedelta(days=2))}


async def test_report_equals_the_costs_of_the_batches(
    whole: Whole, tenant: Tenant, mei: httpx.AsyncClient
) -> None:
    report = told(await mei.get(PROFITS, params=days(whole) | {"book": book(tenant)}))
    assert (report["object"], report["live"], report["by"]) == ("profit_report", False, ["month", "book"])
    asked = {"book": book(tenant), "state": "approved"}
    batches = told(await mei.get(f"{HOUSE}/batches", params=asked))["data"]
    assert {each["currency"] for each in batches} == {"CNY", "EUR"}
    for batch in batches:
        (line,) = [each for each in report["data"] if each["currency"] == batch["currency"]]
        (total,) = [each for each in report["totals"] if each["currency"] == batch["currency"]]
        steps = {each["step"]: each["amount_minor"] for each in batch["waterfall"]["steps"]}
        assert (line["volume_minor"], line["fees_minor"]) == (steps["gross"], -steps["fees"])
        assert line["margin_minor"] == batch["costs"]["margin_minor"]
        assert (line["book"], line["method"], line["channel"]) == (book(tenant), None, None)
        assert all(line[name] == total[name] for name in SUMS)


async def test_report_told_apart_by_anything_has_the_same_sums(
    whole: Whole, tenant: Tenant, mei: httpx.AsyncClient
) -> None:
    base = days(whole) | {"book": book(tenant), "currency": "CNY"}
    (whole_sum,) = told(await mei.get(PROFITS, params=base))["totals"]
    for by in (
        ["month"],
        ["method"],
        ["channel"],
        ["book", "channel"],
        ["channel", "month", "book", "method"],
    ):
        report = told(await mei.get(PROFITS, params=base | {"by": by}))
        assert report["totals"] == [whole_sum]
        assert set(report["by"]) == set(by)
        assert report["line_count"] == len(report["data"])
        for name in SUMS:
            assert sum(each[name] for each in report["data"]) == whole_sum[name], (by, name)


async def test_report_of_one_channel_is_its_own_part(
    whole: Whole, tenant: Tenant, mei: httpx.AsyncClient
) -> None:
    base = days(whole) | {"book": book(tenant), "currency": "CNY", "by": ["channel"]}
    lines = told(await mei.get(PROFITS, params=base))["data"]
    for line in lines:
        (alone,) = told(await mei.get(PROFITS, params=base | {"channel": line["channel"]}))["data"]
        assert alone == line
    assert told(await mei.get(PROFITS, params=base | {"channel": "moon"}))["data"] == []


async def test_report_as_a_table_adds_up(whole: Whole, tenant: Tenant, mei: httpx.AsyncClient) -> None:
    base = days(whole) | {"book": book(tenant), "by": ["channel", "book"]}
    report = told(await mei.get(PROFITS, params=base))
    answer = await mei.get(PROFITS, params=base | {"format": "csv"})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="profits-')
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert len(rows) == report["line_count"]
    for row, line in zip(rows, report["data"], strict=True):
        assert (row["Book"], row["Channel"], row["Currency"]) == (
            line["book"],
            line["channel"],
            line["currency"],
        )
        assert row["Margin"] == f"{line['margin_minor'] / 100:.2f}"
    zh = await mei.get(PROFITS, params=base | {"format": "csv", "language": "zh"})
    assert "商户账簿" in zh.content.decode("utf-8-sig").splitlines()[0]


async def test_report_of_real_money_holds_no_tests(whole: Whole, mei: httpx.AsyncClient) -> None:
    report = told(await mei.get(PROFITS, params=days(whole), headers={"Tongbao-Mode": "live"}))
    assert (report["live"], report["data"], report["totals"]) == (True, [], [])


@pytest.mark.parametrize(
    ("params", "status", "code"),
    [
        ({"from": None}, 400, "request_invalid"),
        ({"from": "2026-02-30"}, 400, "request_invalid"),
        ({"from": "2026-02-02", "to": "2026-02-02"}, 400, "statement_time_invalid"),
        ({"from": "2024-01-01", "to": "2026-01-01"}, 400, "statement_time_invalid"),
        ({"from": "0001-01-01", "to": "0001-02-01"}, 400, "statement_time_invalid"),
        ({"zone": "Moon/Base"}, 400, "zone_unknown"),
        ({"zone": "x" * 65}, 400, "request_invalid"),
        ({"by": ["payer"]}, 400, "request_invalid"),
        ({"by": ["month"] * 5}, 400, "request_invalid"),
        ({"book": "x"}, 404, "resource_missing"),
        ({"currency": "cny"}, 400, "request_invalid"),
        ({"channel": "x" * 81}, 400, "request_invalid"),
        ({"format": "pdf"}, 400, "request_invalid"),
        ({"language": "fr"}, 400, "request_invalid"),
    ],
)
async def test_question_that_cannot_be_is_refused(
    whole: Whole, mei: httpx.AsyncClient, params: Json, status: int, code: str
) -> None:
    asked = {name: value for name, value in (days(whole) | params).items() if value is not None}
    assert refusal(await mei.get(PROFITS, params=asked)) == (status, code)


async def test_profits_are_closed_to_merchants_and_to_the_first_desk(whole: Whole, tenant: Tenant) -> None:
    assert (await whole.refused(tenant, "GET", PROFITS, **days(whole)))[0] == 401
    async with whole.operator(OperatorRole.OPERATOR_L1) as desk:
        assert (await desk.get(PROFITS, params=days(whole))).status_code == 403
    async with whole.operator(OperatorRole.AUDITOR) as auditor:
        told(await auditor.get(PROFITS, params=days(whole)))
