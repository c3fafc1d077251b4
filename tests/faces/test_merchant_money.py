"""The merchant's money on its way out and its workshop, in a browser: every page in every mode, and the acts of both."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import expect
from tests.faces.browser import LANGUAGES, PageIn, console_errors
from tests.faces.merchant_money_place import CODE, Till, open_till
from tests.faces.merchant_walks import walk

from tongbao.core.db import Database

MONEY = (
    "/settlements",
    "/settlements/adjustments",
    "/settlements/{batch2}",
    "/payouts",
    "/payouts/{payout0}",
    "/payouts/accounts",
    "/payouts/accounts/new",
    "/payouts/accounts/{proposed}",
    "/bill",
    "/bill/where?q={payment}",
    "/statements",
    "/statements/2026-11",
    "/receipts",
)
WORKSHOP = (
    "live:/stores",
    "live:/stores/{store}",
    "live:/people",
    "/keys",
    "/keys/new",
    "/keys/{key}",
    "/webhooks",
    "/webhooks/new",
    "/webhooks/{endpoint}",
    "/webhooks/{endpoint}/events/{event}",
    "/developers",
)


@pytest.fixture(scope="module")
async def till(database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Till]:
    async with open_till(database, dsn, tmp_path_factory.mktemp("house"), port=True) as opened:
        yield opened


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_page_can_be_used_in_every_mode(till: Till, page_in: PageIn, language: str) -> None:
    await walk(till, page_in, (*MONEY, *WORKSHOP), language)


async def test_account_is_changed_by_two_people(till: Till, page_in: PageIn) -> None:
    mei = await till.signed_in(await page_in(base=till.base))
    await mei.goto(f"{till.base}{till.home}/payouts")
    await mei.get_by_role("link", name="Change the account").click()
    await mei.get_by_label("Holder of the account").fill("New Tea House")
    await mei.get_by_label("Account number").fill("6222020200334455")
    await mei.get_by_label("Code of the bank").fill(CODE)
    await mei.get_by_label("Country, two letters").fill("CN")
    await mei.get_by_role("button", name="Propose it").click()
    await expect(mei.get_by_text("You proposed it, so somebody else")).to_be_visible()
    address = mei.url.partition("?")[0]

    chen = await till.signed_in(await page_in(base=till.base), till.second)
    await chen.goto(address)
    await chen.locator("summary", has_text="Confirm it").click()
    await chen.get_by_role("button", name="Confirm it").click()
    await expect(chen.get_by_text("Confirmed. It cools down now.")).to_be_visible()
    await expect(chen.get_by_text("Nothing is paid to it until")).to_be_visible()
    assert not console_errors(mei) + console_errors(chen)


async def test_money_is_followed_without_a_script(till: Till, page_in: PageIn) -> None:
    page = await till.signed_in(await page_in(base=till.base, script=False))
    await page.goto(f"{till.base}{till.home}/bill")
    await page.get_by_role("link", name="Where is my money?").click()
    field = page.get_by_label("Any id or order number")
    await field.fill(till.named["payment"])
    await field.press("Enter")
    await expect(page.get_by_role("link", name="Cut into a batch")).to_be_visible()
    await page.get_by_role("link", name="Cut into a batch").first.click()
    await expect(page.get_by_role("heading", name="Fees by their part")).to_be_visible()


async def test_key_is_made_shown_once_and_revoked(till: Till, page_in: PageIn) -> None:
    page = await till.signed_in(await page_in(base=till.base))
    await page.goto(f"{till.base}{till.home}/keys")
    await page.get_by_role("link", name="Create a key").click()
    await page.get_by_label("What it is for").fill("till at the door")
    await page.get_by_role("button", name="Create it").click()
    await expect(page.locator(".secret code")).to_contain_text("sk_test_")
    await page.get_by_role("link", name="All keys").click()
    await page.get_by_role("link", name="till at the door").click()
    await page.locator("summary", has_text="Revoke it").click()
    await page.get_by_label("Reason").fill("the till was stolen")
    await page.get_by_role("button", name="Revoke it").click()
    await expect(page.get_by_text("The key opens nothing any more.")).to_be_visible()
    assert not console_errors(page)


async def test_endpoint_is_tried_without_a_script(till: Till, page_in: PageIn) -> None:
    page = await till.signed_in(await page_in(base=till.base, script=False))
    await page.goto(f"{till.base}{till.home}/webhooks/{till.named['endpoint']}")
    await page.get_by_role("button", name="Send a test").click()
    await expect(page.get_by_text("A test is on its way")).to_be_visible()
    await page.get_by_role("link", name="webhook_endpoint.test").first.click()
    await page.get_by_role("button", name="Send again").click()
    await expect(page.get_by_text("It is sent again now.")).to_be_visible()
