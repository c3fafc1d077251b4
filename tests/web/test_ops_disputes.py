"""Disputes in the console: over all merchants, by state, in full, for whoever may see them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.faces.merchant_place import Shop, open_quiet_shop
from tests.web.risk_pages import LANGUAGES, SCRIPT, get
from tests.web.signed_in import become

from tongbao.core.db import Database
from tongbao.core.ids import parse_uuid
from tongbao.parties.schema import OperatorRole
from tongbao.web.ops import risk_words as words


@pytest.fixture(scope="module")
async def shop(database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    """A merchant with two disputes, about one of which it has given evidence."""
    home: Path = tmp_path_factory.mktemp("house")
    async with open_quiet_shop(database, dsn, home, full=False) as opened:
        opened.named["fraud"] = await opened.dispute(await opened.pay("fraud", 12_300), "10.4", days=1)
        opened.named["goods"] = await opened.dispute(await opened.pay("goods", 45_600), "13.1", days=-1)
        await opened.whole.house.payments.disputes.change(
            opened.tenant.scope,
            parse_uuid("dp", opened.named["fraud"]),
            evidence={"customer_name": SCRIPT, "receipt": "paid at the till"},
            submit=True,
        )
        await become(opened.whole, "Mei")
        yield opened


async def test_list_tells_merchant_amount_state_and_date(shop: Shop) -> None:
    for language, texts in zip(
        LANGUAGES,
        (("needs an answer", "under review", "overdue by"), ("待应诉", "审理中", "逾期")),
        strict=True,
    ):
        html = await get(shop.whole, "/ops/disputes?mode=test", language=language)
        assert [text for text in (*texts, "¥123.00", "¥456.00") if text not in html] == []
    narrowed = await get(shop.whole, "/ops/disputes?mode=test&state=under_review")
    assert ("¥123.00" in narrowed, "¥456.00" in narrowed) == (True, False)
    assert words.TEXTS["disputes_empty"][0] in await get(shop.whole, "/ops/disputes?mode=live")
    file = await shop.whole.http.get("/ops/disputes?mode=test&format=csv")
    assert shop.named["fraud"] in file.text


async def test_one_shows_its_evidence_with_names_escaped(shop: Shop) -> None:
    for language, place in zip(LANGUAGES, (0, 1), strict=True):
        html = await get(shop.whole, f"/ops/disputes/{shop.named['fraud']}", language=language)
        assert "paid at the till" in html
        assert words.TEXTS["d_about_fraud"][place] in html
        assert words.TEXTS["d_e_customer_name"][place] in html
    late = await get(shop.whole, f"/ops/disputes/{shop.named['goods']}")
    assert words.TEXTS["d_evidence_none"][0] in late
    assert shop.named["goods"] in late


@pytest.mark.parametrize("path", ["dp_0000000000000000000000000e", "pi_1", "nonsense", "%00"])
async def test_dispute_nobody_knows_is_a_page_that_says_so(shop: Shop, path: str) -> None:
    await get(shop.whole, f"/ops/disputes/{path}", 404)


async def test_only_who_may_see_all_disputes_sees_them(shop: Shop) -> None:
    await become(shop.whole, "Sec", (OperatorRole.SECURITY,))
    for path in ("/ops/disputes", f"/ops/disputes/{shop.named['fraud']}"):
        assert (await shop.whole.http.get(path)).status_code == 403
    shop.whole.http.cookies.clear()
    answer = await shop.whole.http.get("/ops/disputes")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=/ops/disputes")
