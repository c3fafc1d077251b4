"""``/v2/fx``: rates and conversions as callers get them, who may ask, and what is refused."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.fx.rate_files import HEADING, written
from tests.web.v2_house import Tenant
from tests.web.whole_house import Whole, open_whole, refusal, told

from tongbao.core.db import Database
from tongbao.fx.service.importing import Importing

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "api-v2.md"
RATES, CONVERT = "/v2/fx/rates", "/v2/fx/convert"


@pytest.fixture(scope="module")
async def whole(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Whole]:
    folder = tmp_path_factory.mktemp("house")
    async with open_whole(database, dsn, folder) as opened:
        today = opened.clock.now().date()
        lines = [f"{today - timedelta(days=2)},1.1172,175.68,N/A,7.4326,", "2026-01-02,1.1,170,N/A,7.4,"]
        await Importing(database, opened.clock).take(written(folder, *lines, heading=HEADING), actor="mei")
        yield opened


@pytest.fixture(scope="module")
async def tenant(whole: Whole) -> Tenant:
    return await whole.tenant()


async def ask(whole: Whole, tenant: Tenant, path: str, **params: Any) -> httpx.Response:
    return await whole.http.get(path, params=params, headers=tenant.headers)


async def test_rate_of_a_pair_comes_with_its_legs_and_its_age(whole: Whole, tenant: Tenant) -> None:
    found = told(await ask(whole, tenant, RATES, base="USD", quote="CNY"))
    (rate,) = found["data"]
    assert (rate["rate"], rate["numerator"], rate["denominator"]) == ("6.6528822", "5309", "798")
    assert (rate["source"], rate["age_days"]) == ("ecb", 2)
    assert [(leg["quote"], leg["rate"], leg["revision"]) for leg in rate["legs"]] == [
        ("CNY", "7.4326", 1),
        ("USD", "1.1172", 1),
    ]


async def test_rates_without_a_pair_are_all_of_the_euro(whole: Whole, tenant: Tenant) -> None:
    found = told(await ask(whole, tenant, RATES))
    assert [(each["base"], each["quote"]) for each in found["data"]] == [
        ("EUR", "CNY"),
        ("EUR", "JPY"),
        ("EUR", "USD"),
    ]
    earlier = told(await ask(whole, tenant, RATES, quote="USD", on="2026-01-04"))
    assert earlier["data"][0]["published_on"] == "2026-01-02"


async def test_conversion_is_a_quotation_that_binds_nobody(whole: Whole, tenant: Tenant) -> None:
    asked = {"amount_minor": 10_000, "currency": "USD", "to": "CNY"}
    found = told(await ask(whole, tenant, CONVERT, **asked))
    assert (found["converted_minor"], found["converted_currency"]) == (66_529, "CNY")
    assert (found["is_binding"], found["is_exact"], found["rounding"]) == (False, False, "half_even")
    down = told(await ask(whole, tenant, CONVERT, **asked, rounding="down"))
    assert down["converted_minor"] == 66_528


@pytest.mark.parametrize(
    ("path", "params", "status", "code"),
    [
        (RATES, {"base": "USD"}, 400, "rate_pair_incomplete"),
        (RATES, {"quote": "GBP"}, 404, "rate_unknown"),
        (RATES, {"quote": "QQQ"}, 400, "currency_unknown"),
        (RATES, {"quote": "usd"}, 400, "request_invalid"),
        (RATES, {"on": "2199-01-01"}, 400, "rate_in_future"),
        (RATES, {"age_days_max": 1}, 409, "rate_too_old"),
        (RATES, {"on": "1998-01-01"}, 404, "rate_unknown"),
        (CONVERT, {"currency": "USD", "to": "CNY"}, 400, "request_invalid"),
        (CONVERT, {"amount_minor": -1, "currency": "USD", "to": "CNY"}, 400, "request_invalid"),
        (CONVERT, {"amount_minor": 1, "currency": "USD", "to": "XAU"}, 400, "currency_without_minor_unit"),
        (
            CONVERT,
            {"amount_minor": 1, "currency": "USD", "to": "CNY", "rounding": "x"},
            400,
            "request_invalid",
        ),
        (CONVERT, {"amount_minor": 2**60, "currency": "EUR", "to": "JPY"}, 400, "request_invalid"),
    ],
)
async def test_questions_without_an_answer_say_why(
    whole: Whole, tenant: Tenant, path: str, params: dict[str, Any], status: int, code: str
) -> None:
    answer = await ask(whole, tenant, path, **params)
    assert answer.status_code == status, answer.text
    assert refusal(answer)[1] == code


@pytest.mark.parametrize("path", [RATES, f"{CONVERT}?amount_minor=1&currency=USD&to=CNY"])
async def test_nobody_asks_without_a_key(whole: Whole, path: str) -> None:
    answer = await whole.http.get(path)
    assert answer.status_code == 401, answer.text


def test_reference_page_lists_the_routes() -> None:
    page = REFERENCE.read_text(encoding="utf-8")
    assert f"| `GET {RATES}` | `payments.read` |" in page
    assert f"| `GET {CONVERT}` | `payments.read` |" in page
