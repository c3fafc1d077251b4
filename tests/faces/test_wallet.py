"""The wallet as a person uses it: a code scanned while it is shown, everything without a script, and what pages weigh."""

import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import expect
from tests.faces.browser import (
    NARROW,
    PHONE,
    WIDE,
    PageIn,
    assert_accessible,
    console_errors,
)
from tests.faces.wallet_place import HOSTILE, Purse, new_payer, open_purse

from tongbao.core.db import Database

PAGE_BYTES_MAX, SCRIPT_BYTES_MAX, REQUESTS_MAX = 60_000, 20_000, 8


@pytest.fixture(scope="module")
async def purse(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Purse]:
    async with open_purse(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


async def test_code_is_scanned_while_it_is_shown_and_the_phone_says_paid(
    purse: Purse, page_in: PageIn
) -> None:
    page = await purse.signed_in(await page_in("light", "en", PHONE, purse.base))
    await page.goto(f"{purse.base}/wallet")
    await page.get_by_role("link", name="Pay code").first.click()
    await expect(page.get_by_text(re.compile("Good for .* more seconds"))).to_be_visible()
    code = await page.locator("[name=shown]").get_attribute("value")
    assert code is not None
    await purse.scan(1_900, code=code)
    await expect(page.get_by_role("heading", name="Paid")).to_be_visible()
    await expect(page.get_by_text("¥19.00")).to_be_visible()
    await assert_accessible(page)
    await page.get_by_role("link", name="Bills").click()
    await expect(page.get_by_text("−¥19.00").first).to_be_visible()
    assert console_errors(page) == []


async def test_code_that_is_over_is_replaced_by_the_next_one(purse: Purse, page_in: PageIn) -> None:
    page = await purse.signed_in(await page_in("light", "en", PHONE, purse.base))
    await page.clock.install()
    await page.goto(f"{purse.base}/wallet/code")
    first = await page.locator("[name=shown]").get_attribute("value")
    await page.clock.run_for(62_000)
    await expect(page.locator("[name=shown]")).not_to_have_attribute("value", first or "")
    await expect(page.get_by_text(re.compile("Good for .* more seconds"))).to_be_visible()


async def test_without_a_script_a_card_is_kept_fills_the_wallet_and_pays(
    purse: Purse, page_in: PageIn
) -> None:
    payer = await new_payer(purse.whole, HOSTILE)
    page = await purse.signed_in(await page_in("light", "en", NARROW, purse.base, script=False), payer)
    await page.goto(f"{purse.base}/wallet/code")
    await page.get_by_role("link", name="Top up").click()
    await page.get_by_role("link", name="Add a card").click()
    await page.get_by_label("Card number").fill("4242 4242 4242 4242")
    await page.get_by_label("Expiry").fill("12/31")
    await page.get_by_label("Security code").fill("123")
    await page.get_by_role("button", name="Keep this card").click()
    await expect(page.get_by_text("•••• 4242").first).to_be_visible()
    await page.goto(f"{purse.base}/wallet/top-up")
    await page.get_by_text("¥200.00").click()
    await page.get_by_role("button", name="Top up now").click()
    await expect(page.get_by_text("The money is in your wallet.")).to_be_visible()
    await page.get_by_role("link", name="Pay code").first.click()
    code = await page.locator("[name=shown]").get_attribute("value")
    assert code is not None
    await purse.scan(4_500, code=code)
    await page.get_by_role("button", name="Was it paid?").click()
    await expect(page.get_by_role("heading", name="Paid")).to_be_visible()
    await page.goto(f"{purse.base}/wallet/me")
    await expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)


async def test_permission_is_ended_and_a_search_swaps_the_month(purse: Purse, page_in: PageIn) -> None:
    page = await purse.signed_in(await page_in("light", "en", PHONE, purse.base))
    await page.goto(f"{purse.base}/wallet/bills")
    await page.get_by_label("Shop, note or amount").fill("pharmacy")
    await page.get_by_role("button", name="Search").click()
    await expect(page.get_by_text("Golden Noodle House")).to_have_count(0)
    await expect(page.get_by_text("Rainbow Pharmacy").first).to_be_visible()
    await page.goto(f"{purse.base}/wallet/mandates")
    await page.get_by_text("End it").first.click()
    await page.get_by_role("button", name="End it").click()
    await expect(page.get_by_text("No shop may take money by itself")).to_be_visible()
    assert console_errors(page) == []


async def test_payer_complains_without_a_script_and_reads_what_the_shop_answers(
    purse: Purse, page_in: PageIn
) -> None:
    made = await purse.scan(3_300, 1)
    bill = f"{purse.base}/wallet/bills/{await purse.bill(made['id'], 1)}"
    page = await purse.signed_in(await page_in("light", "en", NARROW, purse.base, script=False))
    await page.goto(bill)
    await page.get_by_text("Something is wrong with this payment").click()
    await page.get_by_role("link", name="Tell the shop").click()
    await page.get_by_text("The amount is wrong").click()
    await page.get_by_role("button", name="Send to the shop").click()
    await expect(page.get_by_text("This is needed.")).to_be_visible()
    await page.get_by_label("In a few words").fill(f"It was to be 30. {HOSTILE}")
    await page.get_by_role("button", name="Send to the shop").click()
    await expect(page.get_by_text("Waits for the shop")).to_be_visible()

    desk = await purse.at_shop(await page_in("light", "en", WIDE, purse.base), 1)
    await desk.get_by_role("link", name="¥33.00").click()
    await expect(desk.get_by_text(f"It was to be 30. {HOSTILE}")).to_be_visible()
    await desk.get_by_label("Your answer").fill("Three are a deposit for the bottle.")
    await assert_accessible(desk)
    await desk.get_by_role("button", name="Send the answer").click()
    await expect(desk.get_by_text("Sent. The payer reads it on the bill.")).to_be_visible()
    assert console_errors(desk) == []

    await page.goto(f"{purse.base}/wallet")
    await page.get_by_role("link", name="Look at it").first.click()
    await expect(page.get_by_text("Three are a deposit for the bottle.")).to_be_visible()
    assert page.url == bill


async def test_large_text_is_chosen_on_the_page_about_me(purse: Purse, page_in: PageIn) -> None:
    page = await purse.signed_in(await page_in("light", "en", PHONE, purse.base))
    await page.goto(f"{purse.base}/wallet/me")
    await page.get_by_text("Large, with fewer things at once").click()
    await page.get_by_text("中文").last.click()
    await page.get_by_role("button", name="Apply").click()
    await expect(page.locator("html[data-elder]")).to_have_attribute("lang", "zh-CN")


@pytest.mark.parametrize("path", ["/wallet", "/wallet/code", "/wallet/bills", "/wallet/bills/{hostile}"])
async def test_page_keeps_its_budget(purse: Purse, page_in: PageIn, path: str) -> None:
    page = await purse.signed_in(await page_in("light", "en", PHONE, purse.base))
    sizes: dict[str, int] = {}
    told: dict[str, tuple[str, str]] = {}
    cdp = await page.context.new_cdp_session(page)
    await cdp.send("Network.enable")
    cdp.on(
        "Network.responseReceived",
        lambda each: told.update({each["requestId"]: (each["type"], each["response"]["url"])}),
    )
    cdp.on(
        "Network.loadingFinished", lambda each: sizes.update({each["requestId"]: each["encodedDataLength"]})
    )
    await page.goto(purse.base + path.format(**purse.named), wait_until="load")
    scripts = sum(size for key, size in sizes.items() if key in told and told[key][0] == "Script")
    assert sum(sizes.values()) <= PAGE_BYTES_MAX
    assert scripts <= SCRIPT_BYTES_MAX
    # The mark is the icon of the page as well, and asked for once for each.
    assert len({url for _, url in told.values()}) <= REQUESTS_MAX
