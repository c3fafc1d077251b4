"""The wallet's pages: what they show of one payer, what they keep from every other, and what their forms do."""

import html
import re
from typing import Any

import pytest
from tests.faces.wallet_place import HOSTILE, Purse, new_payer, unknown
from tests.web.wallet.conftest import Phone, signed_in
from tests.web.whole_house import BASE

from tongbao.core.ids import int_text
from tongbao.ledger.schema import BOOK_PREFIX, BookId, Side
from tongbao.parties.schema import Payer
from tongbao.payments.schema.orders import PageOrder
from tongbao.web.api.wallets import FUNDING

PAGES = (
    "/wallet",
    "/wallet/code",
    "/wallet/bills",
    "/wallet/top-up",
    "/wallet/methods",
    "/wallet/mandates",
    "/wallet/me",
    "/wallet/privacy",
)
CARD = {"number": "4242 4242 4242 4242", "expiry": "12/31", "cvc": "123"}
PM = re.compile(r"/wallet/methods/(pm_\w+)/remove")
SHOWN = re.compile(r'name="shown" value="([^"]+)"')
ONCE = re.compile(r'name="once" value="([^"]+)"')


async def balance(purse: Purse, payer: Payer) -> int:
    found = await purse.whole.house.payments.wallets.balance(payer.wallet_book_id, "CNY")
    return found.available_minor


@pytest.fixture
async def stranger(purse: Purse) -> Payer:
    """Somebody else, with 800 yuan and nothing bought."""
    return await new_payer(purse.whole, "Tom", purse.shops[0])


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("language", ["en", "zh-CN"])
async def test_page_is_shown_to_its_payer_and_leads_nobody_else_in(
    phone: Phone, path: str, language: str
) -> None:
    page = await phone.get(path, language=language)
    assert f'lang="{language}"' in page
    assert "onerror=alert(1)>" not in page
    phone.http.cookies.clear()
    answer = await phone.http.get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/wallet/sign-in?next={path}")


async def test_home_shows_the_balance_what_waits_and_the_latest(purse: Purse, phone: Phone) -> None:
    page = html.unescape(await phone.get("/wallet"))
    assert "Harbor Books asks for ¥1,200.00" in page
    assert "Shops that may take money by themselves: 1" in page
    assert page.count('class="bill"') == 5
    assert (await phone.get("/wallet", elder="1")).count('class="bill"') == 3
    assert f"{await balance(purse, purse.payer) / 100:,.2f}" in page


async def test_bills_of_a_month_are_summed_searched_and_narrowed(phone: Phone) -> None:
    page = html.unescape(await phone.get("/wallet/bills"))
    whole = page.count('class="bill"')
    assert whole > 5
    assert "Spent by kind" in page
    found = await phone.get("/wallet/bills?q=pharm")
    assert 0 < found.count('class="bill"') < whole
    kind = await phone.get("/wallet/bills?kind=groceries")
    assert "Golden Noodle House" not in kind
    assert "No bill fits" in await phone.get("/wallet/bills?q=zzz")
    empty = await phone.get("/wallet/bills?m=2026-01")
    assert "No bills in 2026-01" in empty
    for odd in ("2026-13", "x", "9999-01", "1990-01", "２０２６-01", "-"):
        assert (await phone.get(f"/wallet/bills?m={odd}")).count('class="bill"') == whole


async def test_bill_is_told_in_full_with_its_story_and_a_way_to_complain(purse: Purse, phone: Phone) -> None:
    page = await phone.get(f"/wallet/bills/{purse.named['hostile']}")
    assert HOSTILE in html.unescape(page)
    assert "<img src=x" not in page
    assert "mailto:help@shop.test" in page
    assert "Paid from your balance" in page
    refund = html.unescape(await phone.get(f"/wallet/bills/{purse.named['refund']}"))
    assert "+¥10.00" in refund
    assert "came back to your balance" in refund


@pytest.mark.parametrize("name", ["hostile", "refund"])
async def test_bill_of_another_payer_is_a_page_that_is_not_there(
    purse: Purse, stranger: Payer, name: str
) -> None:
    async with signed_in(purse, stranger) as http:
        assert (await http.get(f"/wallet/bills/{purse.named[name]}")).status_code == 404
        page = await http.get("/wallet/bills")
        assert page.text.count('class="bill"') == 1


@pytest.mark.parametrize("reference", ["pa_x", "zz_1", "..%2F..", "pi_0000000000000000000000000e"])
async def test_bill_that_nobody_has_is_a_page_that_is_not_there(phone: Phone, reference: str) -> None:
    await phone.get(f"/wallet/bills/{reference}", 404)


async def test_pay_code_is_scanned_and_the_phone_learns_of_it(purse: Purse, stranger: Payer) -> None:
    async with signed_in(purse, stranger) as http:
        phone = Phone(http)
        page = await phone.get("/wallet/code")
        code = SHOWN.findall(page)[0]
        assert page.count("<svg") > 1
        not_yet = await phone.post("/wallet/code", "/wallet/code", shown=code)
        assert "Nobody has used the last code" in not_yet.text
        await purse.scan(3_300, code=code)
        answer = await phone.post("/wallet/code", "/wallet/code", shown=code)
        assert answer.status_code == 303
        paid = html.unescape(await phone.get(answer.headers["location"]))
        assert "¥33.00" in paid
        assert "Golden Noodle House" in paid
        told = await http.post(
            "/wallet/code",
            data={"csrf": re.findall(r'name="csrf" value="([^"]+)"', page)[0], "shown": code},
            headers={"origin": BASE, "accept": "application/json"},
        )
        assert told.json()["used"] == answer.headers["location"]
        async with signed_in(purse, purse.payer) as other:
            assert (await other.get(answer.headers["location"])).status_code == 404


@pytest.mark.parametrize(
    ("amount", "more", "said"),
    [
        (90_000, {}, "There is not enough in your wallet"),
        (110_000, {"receipt_email": "tom@example.com"}, "Confirm that it is you"),
    ],
)
async def test_scan_that_does_not_pay_says_what_to_do(
    purse: Purse, stranger: Payer, amount: int, more: dict[str, Any], said: str
) -> None:
    async with signed_in(purse, stranger) as http:
        phone = Phone(http)
        code = SHOWN.findall(await phone.get("/wallet/code"))[0]
        await purse.scan(amount, code=code, **more)
        page = html.unescape(await phone.get(f"/wallet/code/used?code={code}"))
        assert said in page
        assert await balance(purse, stranger) == 80_000


async def test_wallet_that_nobody_filled_shows_no_code_but_where_to_fill_it(purse: Purse) -> None:
    async with signed_in(purse, await new_payer(purse.whole, "New")) as http:
        phone = Phone(http)
        page = await phone.get("/wallet/code")
        assert "Fill your wallet first" in page
        assert "Nothing has moved yet" in await phone.get("/wallet")
        assert "No bills in" in await phone.get("/wallet/bills")
        assert "No card in your wallet" in await phone.get("/wallet/top-up")
        await phone.get("/wallet/code/used?code=x", 404)


async def test_card_is_kept_chosen_and_removed_and_fills_the_wallet_once(purse: Purse) -> None:
    payer = await new_payer(purse.whole, "Ann")
    async with signed_in(purse, payer) as http:
        phone = Phone(http)
        assert (await phone.post("/wallet/methods", "/wallet/methods", **CARD)).status_code == 303
        other = CARD | {"number": "5555555555554444"}
        assert (await phone.post("/wallet/methods", "/wallet/methods", **other)).status_code == 303
        page = await phone.get("/wallet/methods?said=card_added")
        assert "4242424242424242" not in page
        first, last = PM.findall(page)
        assert page.index(first) < page.index("•••• 4242")
        await phone.post(f"/wallet/methods/{last}/default", "/wallet/methods")
        assert PM.findall(await phone.get("/wallet/methods")) == [last, first]
        form = {"amount": "other", "other": "123.45", "card": last}
        once = ONCE.findall(await phone.get("/wallet/top-up"))[0]
        for _ in range(2):
            answer = await phone.post("/wallet/top-up", "/wallet/top-up", once=once, **form)
            assert answer.headers["location"] == "/wallet?said=filled", answer.text
        assert await balance(purse, payer) == 12_345
        assert "data-paycode" in await phone.get("/wallet/code")
        await phone.post(f"/wallet/methods/{first}/remove", "/wallet/methods")
        assert PM.findall(await phone.get("/wallet/methods")) == [last]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"number": ""}, "This is needed"),
        ({"number": "4242424242424241"}, "This is no card number"),
        ({"expiry": "13/31"}, "no date of a card"),
        ({"expiry": "12/20"}, "no date of a card"),
        ({"expiry": "soon"}, "no date of a card"),
        ({"cvc": "1"}, "three or four digits"),
    ],
)
async def test_card_that_cannot_be_is_refused_beside_its_field(
    phone: Phone, fields: dict[str, str], said: str
) -> None:
    answer = await phone.post("/wallet/methods", "/wallet/methods", **(CARD | fields))
    assert answer.status_code == 400
    assert said in answer.text
    assert "424242424242424" not in answer.text


async def test_top_up_that_the_bank_declines_brings_nothing_in(purse: Purse, stranger: Payer) -> None:
    async with signed_in(purse, stranger) as http:
        phone = Phone(http)
        await phone.post("/wallet/methods", "/wallet/methods", **CARD)
        card = PM.findall(await phone.get("/wallet/methods"))[0]
        for form in (
            {"amount": "other", "other": "0"},
            {"amount": "other", "other": "5000.01"},
            {"amount": "other", "other": "1.234"},
            {"amount": "75"},
            {"amount": "50", "card": "pm_x"},
            {"amount": "50", "once": "!"},
        ):
            fields = {"card": card, "once": "o" * 16} | form
            answer = await phone.post("/wallet/top-up", "/wallet/top-up", **fields)
            assert answer.status_code == 400, form
        assert await balance(purse, stranger) == 80_000


async def test_card_and_mandate_of_another_payer_cannot_be_touched(
    purse: Purse, phone: Phone, stranger: Payer
) -> None:
    await phone.post("/wallet/methods", "/wallet/methods", **CARD)
    card = PM.findall(await phone.get("/wallet/methods"))[0]
    async with signed_in(purse, stranger) as http:
        other = Phone(http)
        for path in (
            f"/wallet/methods/{card}/remove",
            f"/wallet/methods/{card}/default",
            f"/wallet/methods/{unknown('pm', purse.whole)}/remove",
            f"/wallet/mandates/{purse.named['mandate']}/end",
            f"/wallet/mandates/{unknown('mandate', purse.whole)}/end",
            "/wallet/mandates/x/end",
        ):
            answer = await other.post(path, "/wallet/methods")
            assert answer.status_code == 404, path
        fields = {"amount": "50", "card": card, "once": "o" * 16}
        assert (await other.post("/wallet/top-up", "/wallet/top-up", **fields)).status_code in (400, 409)
    assert card in await phone.get("/wallet/methods")
    assert "Harbor Books" in await phone.get("/wallet/mandates")


async def test_mandate_is_ended_by_its_payer_and_stands_among_the_earlier(purse: Purse) -> None:
    payer = await new_payer(purse.whole, "Eve", purse.shops[0])
    reference = await purse.mandate(2, payer)
    async with signed_in(purse, payer) as http:
        phone = Phone(http)
        assert "At most ¥500.00 in 30 days, ¥99.00 used" in html.unescape(await phone.get("/wallet/mandates"))
        path = f"/wallet/mandates/{reference}/end"
        assert (await phone.post(path, "/wallet/mandates")).status_code == 303
        page = await phone.get("/wallet/mandates?said=mandate_ended")
        assert "No shop may take money by itself" in page
        assert "Earlier" in page
    found = await purse.whole.house.payments.setups.mandates(purse.shops[2].scope, PageOrder())
    assert [each.state.value for each in found.items if each.reference == reference] == ["inactive"]


async def test_form_without_its_token_or_from_another_site_is_not_obeyed(phone: Phone) -> None:
    for headers, fields in (({"origin": BASE}, {}), ({"origin": "https://evil.example"}, {"csrf": "x"})):
        answer = await phone.http.post("/wallet/methods", data=CARD | fields, headers=headers)
        assert answer.status_code in (401, 403)


async def test_wallet_of_real_money_is_not_filled_here(purse: Purse) -> None:
    live = await purse.whole.tenant(live=True)
    payer = await new_payer(purse.whole, "Real")
    await purse.whole.house.runtime.ledger.accounts.open_account(
        BookId(payer.wallet_book_id),
        f"{FUNDING}/{int_text(BOOK_PREFIX, live.scope.book_id)}",
        "CNY",
        side=Side.DEBIT,
    )
    async with signed_in(purse, payer) as http:
        assert "real money" in await Phone(http).get("/wallet/top-up")
