"""The portal of a merchant that takes money: every page in every mode, and its acts as a person clicks them."""

from collections.abc import AsyncIterator

import pytest
from tests.faces.browser import LANGUAGES, WIDE, PageIn, console_errors
from tests.faces.looks import wrong_among
from tests.faces.merchant_place import PAGES, Shop, address, open_shop

from tongbao.core.db import Database


@pytest.fixture(scope="module")
async def shop(database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    async with open_shop(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_page_can_be_used_in_every_mode(shop: Shop, page_in: PageIn, language: str) -> None:
    page = await shop.signed_in(await page_in("light", language, WIDE, shop.base))
    wrong = await wrong_among(page, [address(shop, path) for path in PAGES], language)
    assert not wrong, wrong


async def test_refund_is_filled_in_checked_and_made(shop: Shop, page_in: PageIn) -> None:
    payment = await shop.pay("to refund", 9_900, description="Tea set")
    page = await shop.signed_in(await page_in("light", "en", WIDE, shop.base))
    await page.goto(address(shop, f"/payments/{payment}"))
    await page.get_by_role("link", name="Refund", exact=True).click()
    await page.get_by_label("Amount in CNY").fill("120.00")
    await page.get_by_label("The customer asked for it").check()
    await page.get_by_role("button", name="Continue").click()
    assert "¥99.00" in await page.locator(".wrong").inner_text()
    await page.get_by_label("Amount in CNY").fill("40")
    await page.get_by_role("button", name="Continue").click()
    await page.get_by_text("¥59.00 of it stay with you.").wait_for()
    await page.get_by_role("button", name="Refund ¥40.00").click()
    await page.get_by_text("¥40.00 returned to the payer").wait_for()
    assert await page.get_by_text("Partly refunded").count() == 1
    # The form that was refused said so with its status, and the console repeats that.
    assert [each for each in console_errors(page) if "422" not in each] == []


async def test_payment_without_script_is_captured_and_another_canceled(shop: Shop, page_in: PageIn) -> None:
    held = await shop.pay("to capture", 50_000, capture_method="manual")
    waiting = await shop.pay("to cancel", 20_000, capture_method="manual")
    page = await shop.signed_in(await page_in("light", "en", WIDE, shop.base, script=False))
    await page.goto(address(shop, f"/payments/{held}"))
    await page.get_by_role("link", name="Capture").click()
    await page.get_by_label("Amount in CNY").fill("300.00")
    await page.get_by_role("button", name="Continue").click()
    assert await page.get_by_text("¥200.00 of the reservation are released.").is_visible()
    await page.get_by_role("button", name="Capture ¥300.00").click()
    assert await page.get_by_text("¥300.00 captured").is_visible()
    await page.goto(address(shop, f"/payments/{waiting}"))
    await page.get_by_role("link", name="Cancel").click()
    await page.get_by_label("The payer left").check()
    await page.get_by_role("button", name="Continue").click()
    await page.get_by_role("button", name="Cancel the payment").click()
    assert await page.get_by_text("Payment canceled").is_visible()


async def test_payment_opens_beside_the_list_and_the_list_is_searched_in_place(
    shop: Shop, page_in: PageIn
) -> None:
    page = await shop.signed_in(await page_in("light", "en", WIDE, shop.base))
    await page.goto(address(shop, "/payments"))
    await page.get_by_label("Id, order, e-mail or amount").fill("A-1042")
    await page.get_by_role("button", name="Search").click()
    await page.wait_for_url("**q=A-1042")
    await page.get_by_text("1 row", exact=True).wait_for()
    await page.get_by_role("link", name="¥168.00").click()
    await page.locator("dialog[open]").get_by_text("What happened").wait_for()
    assert console_errors(page) == []


async def test_dispute_is_answered(shop: Shop, page_in: PageIn) -> None:
    dispute = await shop.dispute(await shop.pay("objected", 31_000))
    page = await shop.signed_in(await page_in("light", "en", WIDE, shop.base))
    await page.goto(address(shop, f"/disputes/{dispute}"))
    await page.get_by_label("Tracking number").fill("SF1234567890")
    await page.get_by_role("button", name="Keep for later").click()
    await page.get_by_text("Kept. Hand it in before the time is over.").wait_for()
    assert await page.get_by_label("Tracking number").input_value() == "SF1234567890"
    await page.get_by_role("button", name="Hand in").click()
    await page.get_by_text("Evidence handed in").wait_for()
    assert await page.get_by_text("With the bank").is_visible()


async def test_link_is_made_and_switched_off(shop: Shop, page_in: PageIn) -> None:
    page = await shop.signed_in(await page_in("light", "en", WIDE, shop.base))
    await page.goto(address(shop, "/links/new"))
    await page.get_by_label("What for").fill("Yoga class")
    await page.get_by_label("Amount").fill("88.00")
    await page.get_by_role("button", name="Create the link").click()
    await page.get_by_text("The link can be paid now.").wait_for()
    assert await page.get_by_alt_text("QR code of the payment link").evaluate(
        "each => each.decode().then(() => each.naturalWidth)"
    )
    pay = await page.get_by_role("link", name="/l/plink_").get_attribute("href")
    assert pay is not None
    await page.get_by_text("Switch off", exact=True).first.click()
    await page.get_by_role("button", name="Switch off").click()
    await page.get_by_text("The link was switched off.").wait_for()
    answer = await page.goto(pay)
    assert answer is not None
    assert answer.status != 200


async def test_new_payment_arrives_on_the_page_of_the_day(shop: Shop, page_in: PageIn) -> None:
    page = await shop.signed_in(await page_in("light", "en", WIDE, shop.base))
    await page.goto(address(shop, ""))
    await page.get_by_text("Live", exact=True).last.wait_for()
    await shop.pay("just now", 123_456, description="Just now")
    await page.get_by_role("link", name="¥1,234.56").wait_for()
    assert console_errors(page) == []
