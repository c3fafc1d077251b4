"""The checkout clicked through as a payer would: paid, refused and paid otherwise, confirmed, without script, in every look."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from playwright.async_api import Page, expect
from tests.faces.browser import PHONE, PageIn, console_errors
from tests.faces.cashier_place import ITEMS, QR, STATES, Place, counter, open_place
from tests.payments.scripted import declined

from tongbao.channels.schema import Reason
from tongbao.core.db import Database
from tongbao.payments.schema.checkout import LineItem
from tongbao.web.locale import cashier as words
from tongbao.web.locale import step_up as step_words

HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>{{7*7}}'
PHONE_KEY = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@pytest.fixture(scope="module")
async def place(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Place]:
    async with open_place(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


def said(key: str, language: str = "en", **values: object) -> str:
    return words.text(key, language).format(**values)


def complaints(page: Page) -> list[str]:
    """What a page wrote as errors, on our pages: the shop at the end has no icon, which the browser asks for and tells of."""
    return [each for each in console_errors(page) if "404" not in each]


async def type_card(page: Page, number: str = "4242424242424242") -> None:
    """Type a card as people do: digits, nothing else."""
    await page.get_by_label(said("number")).press_sequentially(number)
    await page.get_by_label(said("expiry")).press_sequentially("1230")
    await page.get_by_label(said("cvc")).press_sequentially("737")


async def link(place: Place, **fields: Any) -> str:
    """The address of a link of the merchant, for cards unless it is said."""
    sessions = place.whole.house.payments.sessions
    fields = {"method_kinds": ("card",)} | fields
    done = await sessions.create_link(place.tenant.scope, ITEMS, "cny", **fields)
    assert done.view is not None
    return f"{place.base}/l/{done.view.reference}"


async def test_link_is_paid_by_card_and_leaves_a_receipt(place: Place, page_in: PageIn) -> None:
    page = await page_in("light", "en", PHONE, place.base)
    await page.goto(await link(place, redirect_url=f"{place.base}/healthz"))
    assert re.search(r"/c/cs_", page.url)
    await type_card(page)
    assert await page.get_by_label(said("number")).input_value() == "4242 4242 4242 4242"
    await page.get_by_role("button", name="Pay CN¥385.00").click()
    await expect(page.get_by_role("heading", name=said("paid"))).to_be_visible()
    await page.get_by_role("link", name=said("receipt_page")).click()
    await expect(page.get_by_role("heading", name=said("receipt"))).to_be_visible()
    await expect(page.locator(".receipt")).to_contain_text("Visa •••• 4242")
    await expect(page.get_by_role("button", name=said("print"))).to_be_visible()
    await page.get_by_role("link", name=said("receipt_back")).click()
    await page.get_by_role("link", name="Go on to").click()
    assert page.url == f"{place.base}/healthz"
    assert complaints(page) == []


async def test_payer_without_script_chooses_the_sum_and_pays_it(place: Place, page_in: PageIn) -> None:
    page = await page_in("light", "en", PHONE, place.base, script=False)
    await page.goto(place.base + await STATES["asking"](place))
    amount = page.get_by_label(said("amount_in", currency="CNY"))
    await expect(amount).to_have_value("20.00")
    await amount.fill("4.99")
    await page.get_by_role("button", name=said("to_ways")).click()
    await expect(page.get_by_role("alert")).to_contain_text("5.00")
    await expect(amount).to_have_value("4.99")
    await amount.fill("88.80")
    await page.get_by_role("button", name=said("to_ways")).click()
    await type_card(page)
    await page.get_by_role("button", name="Pay CN¥88.80").click()
    await expect(page.get_by_role("heading", name=said("paid"))).to_be_visible()


async def test_mistyped_card_is_told_before_it_is_sent_and_nothing_typed_is_lost(
    place: Place, page_in: PageIn
) -> None:
    page = await page_in("light", "en", PHONE, place.base)
    await page.goto(place.base + await STATES["pay"](place))
    await type_card(page, "4242424242424241")
    await page.get_by_label("Name on the card").fill("Mei Lin")
    await page.get_by_role("button", name="Pay CN¥395.60").click()
    number = page.get_by_label(said("number"))
    assert await number.evaluate("(input) => input.validationMessage") == said("p_number")
    assert await page.get_by_label("Name on the card").input_value() == "Mei Lin"
    place.script()
    await number.fill("4242 4242 4242 4242")
    await page.get_by_role("button", name="Pay CN¥395.60").click()
    await expect(page.get_by_role("heading", name=said("paid"))).to_be_visible()


async def test_declined_payer_reads_what_was_tried_and_switches_in_one_tap(
    place: Place, page_in: PageIn
) -> None:
    page = await page_in("light", "en", PHONE, place.base)
    await page.goto(place.base + await STATES["pay"](place))
    place.script(declined(Reason.CHANNEL_UNAVAILABLE, "91"), declined(Reason.INSUFFICIENT_FUNDS, "51"), QR)
    await type_card(page)
    await page.get_by_role("button", name="Pay CN¥395.60").click()
    alert = page.get_by_role("alert")
    await expect(alert).to_contain_text(said("declined"))
    await expect(alert).to_contain_text("Visa •••• 4242")
    await expect(alert).to_contain_text(said("tried_routes", n=2))
    await expect(page.get_by_role("link", name="help@shop.test")).to_have_attribute(
        "href", "mailto:help@shop.test"
    )
    button = page.get_by_role("button", name=said("pay_instead", method="Alipay"))
    await expect(button).to_be_in_viewport()
    await button.click()
    await expect(page.get_by_role("heading", name=said("scan_alipay"))).to_be_visible()
    assert complaints(page) == []


async def test_way_that_was_used_last_is_chosen_next_time_until_it_is_forgotten(
    place: Place, page_in: PageIn
) -> None:
    page = await page_in("light", "en", PHONE, place.base)
    await page.goto(place.base + await STATES["pay"](place))
    place.script(QR)
    await page.locator("summary", has_text="Alipay").click()
    await page.get_by_role("button", name=said("show_code")).click()
    await expect(page.get_by_role("heading", name=said("scan_alipay"))).to_be_visible()
    await page.goto(place.base + await STATES["pay"](place))
    first = page.locator(".way").first
    await expect(first).to_contain_text(said("why_last"))
    await expect(first).to_contain_text("Alipay")
    assert await first.get_attribute("open") is not None
    await page.get_by_text(said("device")).click()
    await expect(page.locator(".device")).to_contain_text(said("device_way", method="Alipay"))
    await page.get_by_role("button", name=said("device_forget")).click()
    await expect(page.get_by_role("status")).to_have_text(said("said_forgotten"))
    assert await page.context.cookies() == []
    await expect(page.locator(".way").first).to_contain_text("Card")


async def test_waiting_page_moves_on_by_itself(place: Place, page_in: PageIn) -> None:
    path = await STATES["wait"](place)
    page = await page_in("light", "en", PHONE, place.base)
    await page.goto(place.base + path)
    await expect(page.get_by_text(said("dont_pay"))).to_be_visible()
    await expect(page.get_by_text(said("w_known_unknown"))).to_be_visible()
    view = await place.whole.house.payments.sessions.by_reference(path.rpartition("/")[2])
    assert view.intent is not None
    await expect(page.locator("main")).to_contain_text(view.intent.reference)
    # Nobody there has ever seen it: it can be paid again.
    place.whole.clock.advance(timedelta(minutes=10))
    while await place.whole.house.payments.resolving.resolve_due():
        pass
    await expect(page.get_by_text(said("never_made"))).to_be_visible(timeout=15_000)


async def test_code_confirms_a_payment(place: Place, page_in: PageIn) -> None:
    async with counter(place) as made:
        payment, path = await made.pay()
        await made.page(path)
        page = await page_in("light", "en", PHONE, place.base)
        await page.goto(place.base + path)
        await page.get_by_label(step_words.text("code", "en")).press_sequentially(made.code)
        await page.get_by_role("button", name="Confirm and pay CN¥450.00").click()
        await page.wait_for_url(f"{place.base}/healthz*")
        assert await made.status(payment) == "succeeded"


async def test_passkey_confirms_a_payment(place: Place, page_in: PageIn) -> None:
    async with counter(place) as made:
        _, path = await made.pay()
        await made.page(path)
        page = await page_in("light", "en", PHONE, place.base)
        session = await page.context.new_cdp_session(page)
        await session.send("WebAuthn.enable", {"enableUI": False})
        await session.send("WebAuthn.addVirtualAuthenticator", {"options": PHONE_KEY})
        await page.goto(place.base + path)
        await page.locator("[name=device]").wait_for(state="attached")
        await page.get_by_label(step_words.text("code", "en")).fill(made.code)
        await page.get_by_role("button", name="Confirm and pay").click()
        await page.get_by_role("button", name=step_words.text("save_key", "en")).click()
        await page.wait_for_url(f"{place.base}/healthz*")
        payment, path = await made.pay()
        await page.goto(place.base + path)
        await page.get_by_role("button", name="Confirm and pay CN¥450.00").click()
        await page.wait_for_url(f"{place.base}/healthz*")
        assert await made.status(payment) == "succeeded"
        [challenge] = await made.challenges(payment)
        assert challenge["means"] == "passkey"
        assert complaints(page) == []


async def test_everything_works_without_script_from_link_to_receipt(place: Place, page_in: PageIn) -> None:
    page = await page_in("light", "zh-CN", PHONE, place.base, script=False)
    await page.goto(await link(place))
    place.script(declined(Reason.INSUFFICIENT_FUNDS, "51"))
    for _ in range(2):
        await page.locator("#number").fill("4242 4242 4242 4242")
        await page.locator("#expiry").fill("12/30")
        await page.locator("#cvc").fill("737")
        await page.locator("form[action$='/pay'] button").click()
        place.script()
    await expect(page.locator("h1")).to_have_text(said("paid", "zh-CN"))
    await page.get_by_role("link", name=said("receipt_page", "zh-CN")).click()
    await expect(page.locator(".receipt")).to_contain_text("¥385.00")
    await expect(page.locator("[data-print]")).to_be_hidden()
    waiting = await page_in("light", "en", PHONE, place.base, script=False)
    await waiting.goto(place.base + await STATES["scan"](place))
    assert 'http-equiv="refresh"' in await waiting.content()


async def test_code_is_answered_without_script(place: Place, page_in: PageIn) -> None:
    async with counter(place) as made:
        payment, path = await made.pay()
        await made.page(path)
        page = await page_in("light", "en", PHONE, place.base, script=False)
        await page.goto(place.base + path)
        await page.locator("#code").fill(made.code)
        await page.locator("form[action$='/answer'] button").click()
        await page.wait_for_url(f"{place.base}/healthz*")
        assert await made.status(payment) == "succeeded"


async def test_switches_change_language_colors_and_size_and_are_kept(place: Place, page_in: PageIn) -> None:
    path = await STATES["pay"](place)
    page = await page_in("light", "en", PHONE, place.base)
    await page.goto(place.base + path)
    await page.get_by_role("link", name=said("elder_on")).click()
    await expect(page.locator("html")).to_have_attribute("data-elder", "")
    await expect(page.get_by_role("button", name=said("more_time"))).to_be_visible()
    await page.get_by_role("link", name=said("to_dark")).click()
    ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(11, 20, 20)"
    await page.get_by_role("link", name=said("other_language")).click()
    await expect(page.get_by_role("heading", name=said("how", "zh-CN"))).to_be_visible()
    await page.goto(place.base + path)
    await expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await page.get_by_role("link", name=said("elder_off", "zh-CN")).click()
    await expect(page.locator("html")).not_to_have_attribute("data-elder", "")


async def test_payer_who_needs_more_time_gets_it(place: Place, page_in: PageIn) -> None:
    view = await place.session()
    page = await page_in("elder", "en", PHONE, place.base)
    await page.goto(f"{place.base}/c/{view.session.reference}")
    await page.get_by_role("button", name=said("more_time")).click()
    await expect(page.get_by_role("status")).to_have_text(said("said_longer"))
    after = await place.whole.house.payments.sessions.by_reference(view.session.reference)
    assert after.session.expires_at > view.session.expires_at


async def test_amount_is_read_aloud_where_the_browser_has_a_voice(place: Place, page_in: PageIn) -> None:
    path = await STATES["pay"](place)
    page = await page_in("elder", "en", PHONE, place.base)
    await page.goto(place.base + path)
    has_voice = await page.evaluate("speechSynthesis.getVoices().some((one) => one.lang.startsWith('en'))")
    await expect(page.locator("[data-speak]")).to_be_visible(visible=has_voice)
    await page.add_init_script(
        "speechSynthesis.getVoices = () => [{ lang: 'en-US', name: 'test' }];"
        "window.SpeechSynthesisUtterance = class { constructor(text) { this.text = text; } };"
        "speechSynthesis.speak = (words) => { window.heard = words.text; };"
    )
    await page.goto(place.base + path)
    await page.get_by_role("button", name=said("read_aloud")).click()
    assert await page.evaluate("window.heard") == "Pay 395.60 Chinese yuan to Tea House."


async def test_hostile_names_are_text(place: Place, page_in: PageIn) -> None:
    item = LineItem(name=HOSTILE, description=HOSTILE, unit_minor=2_000)
    view = await place.session(item)
    page = await page_in("light", "en", PHONE, place.base)
    await page.goto(f"{place.base}/c/{view.session.reference}")
    assert await page.locator(".items bdi").first.text_content() == HOSTILE
    assert await page.locator("main img, main script").count() == 0
    assert complaints(page) == []
