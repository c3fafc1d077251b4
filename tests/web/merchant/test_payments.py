"""The list of payments: what is found, who may look, what a file of it holds, and that names stay text."""

import csv
import io
from collections.abc import AsyncIterator

import pytest
from tests.faces.merchant_place import HOSTILE, Shop, open_quiet_shop
from tests.web.merchant.visits import Visit, member, visit

from tongbao.core.db import Database
from tongbao.core.ids import int_text
from tongbao.parties.schema import MERCHANT_PREFIX, MerchantRole


@pytest.fixture(scope="module")
async def shop(database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    async with open_quiet_shop(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.fixture
async def owner(shop: Shop) -> AsyncIterator[Visit]:
    async with visit(shop) as made:
        yield made


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("q=A-1042", "plain"),
        ("q=mei@example.com&state=succeeded", "plain"),
        ("q={plain}", "plain"),
        ("q={refund}", "refunded"),
        ("q=¥299.00", "declined"),
        ("q=299", "declined"),
        ("state=requires_capture", "held"),
        ("state=disputed", "disputed"),
        ("least=500&most=1,000", "held"),
        ("state=succeeded&q=明前", "cascaded"),
    ],
)
async def test_payment_is_found_by_what_people_know(shop: Shop, owner: Visit, query: str, name: str) -> None:
    text = await owner.page(f"/payments?{query.format(**shop.named)}")
    assert shop.named[name] in text
    assert "1 row" in text


@pytest.mark.parametrize(
    "query",
    ["q=nobody", "q=cus_0000000000000000000000000e", "from=2001-01-01&to=2001-01-02", "method=alipay"],
)
async def test_what_names_nothing_finds_nothing_and_says_so(owner: Visit, query: str) -> None:
    assert "Nothing" in await owner.page(f"/payments?{query}")


@pytest.mark.parametrize(
    "query",
    ["state=odd", "from=nonsense", "least=many", "after=pi_wrong", "after=x", "columns=,,", "sort=at"],
)
async def test_what_an_address_gets_wrong_is_passed_over(shop: Shop, owner: Visit, query: str) -> None:
    assert shop.named["plain"] in await owner.page(f"/payments?{query}")


async def test_file_holds_every_payment_with_plain_amounts(shop: Shop, owner: Visit) -> None:
    answer = await owner.answer("/payments?format=csv&columns=amount")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = {row["Id"]: row for row in csv.DictReader(io.StringIO(answer.text))}
    assert rows[shop.named["plain"]]["Amount"] == "168.00"
    assert rows[shop.named["plain"]]["Currency"] == "CNY"
    assert rows[shop.named["refunded"]]["Refunded"] == "60.00"
    assert len(rows) == 22


async def test_names_of_others_stay_text(owner: Visit) -> None:
    text = await owner.page("/payments")
    assert HOSTILE not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text


async def test_nobody_signed_in_is_sent_to_sign_in_and_comes_back(shop: Shop) -> None:
    answer = await shop.whole.http.get(f"{shop.home}/payments?q=A-1042")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in?next=")


async def test_member_of_another_merchant_finds_no_such_page(shop: Shop, owner: Visit) -> None:
    other = await shop.whole.tenant()
    home = f"/merchant/{int_text(MERCHANT_PREFIX, other.merchant.merchant_id)}"
    for path in (
        "",
        "/payments",
        "/refunds",
        "/disputes",
        "/links",
        "/customers",
        "/till",
        "/find?q=x",
        "/stream",
    ):
        assert (await owner.answer(path, home=home)).status_code == 404
    assert (await owner.answer("/payments", home="/merchant/acct_wrong")).status_code == 404


@pytest.mark.parametrize("role", list(MerchantRole))
async def test_every_role_sees_what_it_may(shop: Shop, role: MerchantRole) -> None:
    async with visit(shop, await member(shop, role)) as made:
        answer = await made.answer("/payments")
        assert answer.status_code == 200
        text = await made.page(f"/payments/{shop.named['plain']}")
        # A developer may do in test mode what its program will do.
        may_refund = role is not MerchantRole.VIEWER
        assert (f"/payments/{shop.named['plain']}/refund" in text) is may_refund


async def test_mode_of_an_address_counts_and_is_remembered(shop: Shop, owner: Visit) -> None:
    answer = await owner.answer("/payments?mode=live")
    assert shop.named["plain"] not in answer.text
    assert any(each.startswith("mode=live") for each in answer.headers.get_list("set-cookie"))
