"""The wallet's pages: what they show of one payer, what they keep from every other, and what their forms do."""

import html
import re
from typing import Any

import pytest
from tests.faces.merchant_place import Shop
from tests.faces.wallet_place import HOSTILE, Purse, new_payer, unknown
from tests.parties.conftest import PASSWORD, scope_of
from tests.web.merchant.visits import member, visit
from tests.web.wallet.conftest import Phone, signed_in
from tests.web.whole_house import BASE

from tongbao.core.ids import int_text, parse_uuid
from tongbao.ledger.schema import BOOK_PREFIX, BookId, Side
from tongbao.parties.schema import MerchantRole, Payer
from tongbao.payments.schema.complaints import ComplaintCause, Said
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
            f"/wallet/mandates/{purse.named['mandate']}/pause",
            f"/wallet/mandates/{purse.named['mandate']}/resume",
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


async def test_mandate_is_paused_and_goes_on_as_its_payer_says(purse: Purse) -> None:
    payer = await new_payer(purse.whole, "Ada", purse.shops[0])
    reference = await purse.mandate(2, payer)
    async with signed_in(purse, payer) as http:
        phone = Phone(http)
        path = f"/wallet/mandates/{reference}"
        answer = await phone.post(f"{path}/pause", "/wallet/mandates")
        page = await phone.get(answer.headers["location"])
        assert "Paused by you" in page
        assert "Pause</button>" not in page
        told = await purse.whole.get(purse.shops[2], f"/v1/mandates/{reference}")
        assert (told["status"], told["paused"]) == ("inactive", True)
        answer = await phone.post(f"{path}/resume", "/wallet/mandates")
        assert "Pause</button>" in await phone.get(answer.headers["location"])
        assert (await phone.post(f"{path}/end", "/wallet/mandates")).status_code == 303
        late = await phone.post(f"{path}/resume", "/wallet/mandates")
        assert late.headers["location"].endswith("said=mandate_over")


async def bought(purse: Purse, payer: Payer, amount: int = 3_300) -> str:
    """Something bought at the second shop; the address of its bill."""
    made = await purse.scan(amount, 1, payer=payer)
    return f"/wallet/bills/{await purse.bill(made['id'], 1)}"


async def test_payer_complains_reads_the_answer_and_takes_the_next_one_back(
    purse: Purse, stranger: Payer
) -> None:
    bill, desk = await bought(purse, stranger), purse.whole.house.payments.complaints
    async with signed_in(purse, stranger) as http:
        phone = Phone(http)
        assert "Tell the shop" in await phone.get(bill)
        said = {"cause": "wrong_amount", "words": f"It was to be 30 {HOSTILE}"}
        # Sent twice it is told once.
        for _ in range(2):
            sent = await phone.post(f"{bill}/complaint", f"{bill}/complaint", **said)
            assert (sent.status_code, sent.headers["location"]) == (303, f"{bill}?said=complained")
        page = await phone.get(f"{bill}?said=complained")
        assert "<img src=x" not in page
        assert "It was to be 30 <img" in html.unescape(page)
        assert "Waits for the shop" in page
        assert "Tell the shop here" not in page
        assert "Waiting for an answer of Everyday Grocery" in html.unescape(await phone.get("/wallet"))
        (complaint,) = await desk.recent(stranger.wallet_book_id)
        await desk.answer(purse.shops[1].scope, complaint.id, f"Three were a deposit {HOSTILE}")
        page = await phone.get(bill)
        assert "Three were a deposit &lt;img" in page
        assert "has answered you" in await phone.get("/wallet")
        await phone.post(f"{bill}/complaint", f"{bill}/complaint", cause="duplicate")
        again = (await desk.recent(stranger.wallet_book_id))[0]
        path = f"{bill}/complaint/{again.reference}/withdraw"
        assert (await phone.post(path, bill)).headers["location"].endswith("said=complaint_withdrawn")
        assert (await phone.post(path, bill)).headers["location"].endswith("said=complaint_ended")
        assert "Taken back" in await phone.get(bill)


async def test_complaint_that_says_too_little_is_not_taken(purse: Purse, stranger: Payer) -> None:
    bill = await bought(purse, stranger)
    async with signed_in(purse, stranger) as http:
        phone = Phone(http)
        for fields in (
            {},
            {"cause": "x"},
            {"cause": "wrong_amount"},
            {"cause": "duplicate", "words": "x" * 1001},
        ):
            answer = await phone.post(f"{bill}/complaint", f"{bill}/complaint", **fields)
            assert answer.status_code == 400, fields
            assert 'class="wrong"' in answer.text
        assert await purse.whole.house.payments.complaints.recent(stranger.wallet_book_id) == []


async def test_complaint_about_what_went_back_is_told_why_not(purse: Purse, stranger: Payer) -> None:
    bill = await bought(purse, stranger)
    reference = bill.rpartition("/")[2]
    await purse.whole.house.payments.refunds.create(
        purse.shops[1].scope, attempt_id=parse_uuid("pa", reference)
    )
    async with signed_in(purse, stranger) as http:
        phone = Phone(http)
        page = await phone.get(f"{bill}/complaint")
        assert "Everything was given back" in page
        assert 'name="cause"' not in page
        answer = await phone.post(f"{bill}/complaint", bill, cause="duplicate")
        assert answer.status_code == 409


async def test_bill_and_complaint_of_another_payer_are_unknown(
    purse: Purse, phone: Phone, stranger: Payer
) -> None:
    bill, desk = await bought(purse, stranger), purse.whole.house.payments.complaints
    other = f"/wallet/bills/{purse.named['hostile']}"
    async with signed_in(purse, stranger) as http:
        await Phone(http).post(f"{bill}/complaint", bill, cause="unrecognized")
    (made,) = await desk.recent(stranger.wallet_book_id)
    own = await desk.recent(purse.payer.wallet_book_id)
    top_up = (await phone.get("/wallet/bills?q=pi_")).partition("/wallet/bills/pi_")[2].partition('"')[0]
    await phone.get(f"{bill}/complaint", 404)
    for path in (
        f"{bill}/complaint",
        f"{bill}/complaint/{made.reference}/withdraw",
        # Of their own payment, but somebody else's complaint.
        f"{other}/complaint/{made.reference}/withdraw",
        f"{other}/complaint/{unknown('cmp', purse.whole)}/withdraw",
        f"{other}/complaint/x/withdraw",
        "/wallet/bills/pa_x/complaint",
        f"/wallet/bills/pi_{top_up}/complaint",
    ):
        answer = await phone.post(path, "/wallet/methods", cause="unrecognized")
        assert answer.status_code == 404, path
    assert (await desk.recent(stranger.wallet_book_id))[0].state == "open"
    assert await desk.recent(purse.payer.wallet_book_id) == own


async def shop_of(purse: Purse, number: int) -> Shop:
    """One of the shops as the visits of the portal know it, with an owner of its own."""
    tenant, people = purse.shops[number], purse.whole.people
    owner = await people.member(scope_of(tenant.merchant), MerchantRole.OWNER, PASSWORD)
    return Shop(purse.whole, BASE, tenant, owner, [])


async def test_shop_reads_the_complaint_in_its_portal_and_answers_once(purse: Purse, stranger: Payer) -> None:
    bill, desk = await bought(purse, stranger), purse.whole.house.payments.complaints
    reference, scope = bill.rpartition("/")[2], purse.shops[1].scope
    said = Said(ComplaintCause.UNRECOGNIZED, HOSTILE)
    made = await desk.complain(stranger.wallet_book_id, scope.book_id, parse_uuid("pa", reference), said)
    path, shop = f"/complaints/{made.reference}", await shop_of(purse, 1)
    async with visit(shop) as owner:
        assert re.search("payers? waits? for an answer", await owner.page(""))
        for page in ("/disputes", "/complaints"):
            assert 'Payers who ask <span class="count">' in await owner.page(page)
        assert path in await owner.page("/complaints?state=open")
        assert path not in await owner.page("/complaints?state=answered")
        exported = await owner.page("/complaints?format=csv")
        assert made.reference in exported
        page = await owner.page(path)
        assert HOSTILE in html.unescape(page)
        assert "<img src=x" not in page
        refund = re.findall(r'href="[^"]*(/payments/[^"]+/refund[?]cause=fraudulent)"', page)[0]
        assert re.search(r'value="fraudulent" checked', await owner.page(refund))
        assert (await owner.send(path, path, words=" ")).status_code == 422
        answer = await owner.send(path, path, words="It was <b>you</b>")
        assert answer.headers["location"].endswith("said=complaint_answered")
        page = await owner.page(path)
        assert "It was &lt;b&gt;you" in page
        assert "Send the answer" not in page
        late = await owner.send(path, "/links/new", words="Other words")
        assert late.status_code == 409
        assert "This has ended already." in late.text
    assert (await desk.get(scope, made.id)).answer == "It was <b>you</b>"
    await purse.whole.tally()
    told = await purse.whole.get(purse.shops[1], "/v1/events", type="complaint.closed")
    found = told["data"][0]["data"]["object"]
    assert (found["id"], found["status"], found["reason"]) == (made.reference, "answered", "unrecognized")
    assert (found["words"], found["answer"]) == (HOSTILE, "It was <b>you</b>")
    assert "wallet_book_id" not in found


async def test_complaint_is_closed_to_other_shops_and_to_who_may_only_look(
    purse: Purse, stranger: Payer
) -> None:
    bill, desk = await bought(purse, stranger), purse.whole.house.payments.complaints
    reference, scope = bill.rpartition("/")[2], purse.shops[1].scope
    said = Said(ComplaintCause.DUPLICATE)
    made = await desk.complain(stranger.wallet_book_id, scope.book_id, parse_uuid("pa", reference), said)
    path, shop = f"/complaints/{made.reference}", await shop_of(purse, 1)
    async with visit(shop, await member(shop, MerchantRole.VIEWER)) as viewer:
        assert "Send the answer" not in await viewer.page(path)
        assert (await viewer.send(path, path, words="Mine")).status_code == 403
    async with visit(await shop_of(purse, 2)) as other:
        assert made.reference not in await other.page("/complaints")
        await other.page(path, 404)
        assert (await other.send(path, "/links/new", words="Mine")).status_code == 404
        await other.page("/complaints/x", 404)
    async with visit(shop) as owner:
        sent = {"words": "Mine", "once": "o" * 16}
        foreign = await owner.http.post(shop.home + path, data=sent, headers={"origin": BASE})
        assert foreign.status_code in (401, 403)
    assert (await desk.get(scope, made.id)).state == "open"


async def test_complaint_without_its_token_or_from_another_site_is_not_told(
    purse: Purse, phone: Phone
) -> None:
    path, desk = f"/wallet/bills/{purse.named['hostile']}/complaint", purse.whole.house.payments.complaints
    own = await desk.recent(purse.payer.wallet_book_id)
    for headers, fields in (({"origin": BASE}, {}), ({"origin": "https://evil.example"}, {"csrf": "x"})):
        sent = {"cause": "unrecognized"} | fields
        assert (await phone.http.post(path, data=sent, headers=headers)).status_code in (401, 403)
    assert await desk.recent(purse.payer.wallet_book_id) == own


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
