"""The gallery in a browser: every part in every mode and language, for everybody, and what the scripts add."""

import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, expect
from tests.faces.browser import (
    BINARY,
    LANGUAGES,
    NARROW,
    PHONE,
    PageIn,
    assert_accessible,
    assert_elder,
    console_errors,
    serving,
)
from tests.faces.gallery_place import gallery_app
from tests.faces.looks import wrong_among

from tongbao.web.ui.gallery import GROUPS
from tongbao.web.ui.live import Hub

pytestmark = pytest.mark.skipif(BINARY is None, reason="no chromium on the path")
PAGE_BYTES_MAX = 120 * 1024
SCRIPT_BYTES_MAX = 40 * 1024


@pytest.fixture(scope="module")
async def base() -> AsyncIterator[str]:
    """The gallery on a port."""
    hub = Hub()
    async with serving(gallery_app(hub)) as address:
        yield address
        await hub.close()


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_page_can_be_used_in_every_mode(page_in: PageIn, base: str, language: str) -> None:
    page = await page_in("light", language, base=base)
    wrong = await wrong_among(page, [f"{base}/ui/{group}" for group in GROUPS], language)
    assert not wrong, wrong


async def test_every_page_on_a_phone_keeps_the_sizes_of_large_text(page_in: PageIn, base: str) -> None:
    page = await page_in("elder", "zh-CN", PHONE, base=base)
    for group in GROUPS:
        await page.goto(f"{base}/ui/{group}")
        await assert_elder(page)
    assert console_errors(page) == []


async def test_open_drawer_palette_and_menus_are_accessible(page_in: PageIn, base: str) -> None:
    page = await page_in("elder", "en", base=base)
    await page.goto(f"{base}/ui/tables")
    await page.get_by_text("Columns").first.click()
    await assert_elder(page)
    await assert_accessible(page)
    await page.locator("tbody tr a").first.click()
    await expect(page.locator("#sample")).to_be_visible()
    await assert_accessible(page)
    await page.keyboard.press("Escape")
    await page.keyboard.press("Control+k")
    await expect(page.locator("#palette-q")).to_be_focused()
    await assert_accessible(page)


async def test_console_page_stays_within_its_budget(page_in: PageIn, base: str) -> None:
    page = await page_in(base=base)
    await page.goto(f"{base}/ui/charts")
    await page.wait_for_function("document.readyState === 'complete'")
    loaded: list[tuple[str, int]] = await page.evaluate(
        "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
        ".map((each) => [each.name, each.encodedBodySize])"
    )
    scripts = [size for name, size in loaded if name.endswith(".js")]
    assert len(scripts) == 6
    assert 0 < sum(scripts) <= SCRIPT_BYTES_MAX
    assert sum(scripts) < sum(size for _, size in loaded) <= PAGE_BYTES_MAX


async def test_table_is_changed_in_place_and_history_walks_back(page_in: PageIn, base: str) -> None:
    page = await page_in(base=base)
    await page.goto(f"{base}/ui/tables")
    await page.evaluate("window.same = true")
    rows = page.locator("#table-payments tbody tr")
    await page.focus("#table-payments-state")
    await page.select_option("#table-payments-state", "failed")
    await expect(rows).to_have_count(2)
    await page.wait_for_url("**/ui/tables?state=failed")
    await expect(page.locator("#table-payments-state")).to_be_focused()
    await page.get_by_role("link", name="Amount").click()
    await expect(page.locator("[aria-sort='descending']")).to_contain_text("Amount")
    await page.wait_for_url("**sort=-amount**")
    await page.go_back()
    await page.go_back()
    await expect(rows).to_have_count(12)
    assert await page.evaluate("window.same")


async def test_table_without_scripts_filters_sorts_pages_and_keeps_a_view(page_in: PageIn, base: str) -> None:
    page = await page_in(base=base, script=False)
    await page.goto(f"{base}/ui/tables")
    await page.select_option("#table-payments-state", "succeeded")
    await page.get_by_role("button", name="Search", exact=True).click()
    await page.get_by_role("link", name="Next").click()
    assert "after=12" in page.url
    await page.get_by_text("Save this view").first.click()
    await page.fill("#table-payments-name", "Good <b>ones</b>")
    await page.locator("details[open] button").click()
    await page.goto(f"{base}/ui/tables")
    await page.get_by_role("link", name="Good <b>ones</b>").click()
    assert page.url.endswith("?state=succeeded")
    await page.get_by_role("button", name="Remove Good").click()
    await expect(page.get_by_role("link", name="Good <b>ones</b>")).to_have_count(0)


async def test_form_keeps_what_was_entered_and_leads_to_the_first_error(page_in: PageIn, base: str) -> None:
    page = await page_in(base=base)
    await page.goto(f"{base}/ui/forms")
    await page.fill("#f-fee", "12.345")
    await page.evaluate("document.querySelectorAll('[required]').forEach((each) => (each.required = false))")
    await page.get_by_role("button", name="Check").click()
    await expect(page.locator("#f-name")).to_be_focused()
    await expect(page.locator("#f-fee")).to_have_value("12.345")
    await expect(page.locator("#f-fee-error")).to_have_text("CNY has 2 decimals.")
    await assert_accessible(page)


async def test_palette_narrows_and_goes_and_an_id_goes_to_the_finder(page_in: PageIn, base: str) -> None:
    page = await page_in(base=base)
    await page.goto(f"{base}/ui/ground")
    await _palette(page)
    await page.keyboard.type("char")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/ui/charts")
    await _palette(page)
    await page.keyboard.type("pi_0000")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/ui/find?q=pi_0000")


async def _palette(page: Page) -> None:
    await page.wait_for_function("document.readyState === 'complete'")
    await page.keyboard.press("/")
    await expect(page.locator("#palette-q")).to_be_focused()


async def test_keys_walk_over_rows_and_copying_says_so(page_in: PageIn, base: str) -> None:
    page = await page_in(base=base)
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.goto(f"{base}/ui/tables")
    await page.locator("#table-payments tbody tr a").first.focus()
    await page.keyboard.press("j")
    await expect(page.locator("#table-payments tbody tr a").nth(1)).to_be_focused()
    await page.goto(f"{base}/ui/figures")
    await page.locator("[data-copy]").first.click()
    await expect(page.locator(".toast")).to_have_text("Copied")
    assert await page.evaluate("navigator.clipboard.readText()") == "pi_01kavt00m5wq3n8c2d6e9f7g00"


async def test_two_tabs_share_one_stream_and_say_when_it_is_lost(page_in: PageIn) -> None:
    hub = Hub(heartbeat_s=0.2)
    async with serving(gallery_app(hub)) as base:
        first = await page_in(base=base)
        second = await first.context.new_page()
        for page in (first, second):
            await page.goto(f"{base}/ui/stories")
        for page in (first, second):
            await expect(page.locator("[data-channel=gallery] b")).not_to_have_text("0")
        assert hub.clients == 1
        await first.close()
        shown = await second.locator("[data-channel=gallery] b").inner_text()
        await expect(second.locator("[data-channel=gallery] b")).not_to_have_text(shown)
        await expect(second.locator(".live")).to_have_text("Live")
        await hub.close()
        await expect(second.locator(".live")).to_have_text("Reconnecting")


async def test_menu_opens_on_a_phone_without_scripts(page_in: PageIn, base: str) -> None:
    page = await page_in(base=base, width=NARROW, script=False)
    await page.goto(f"{base}/ui/ground")
    await expect(page.locator("#places")).to_be_hidden()
    await page.get_by_role("button", name="Menu").click()
    await page.get_by_role("link", name="Tables").click()
    assert page.url.endswith("/ui/tables")


async def test_switches_change_language_theme_and_size(page_in: PageIn, base: str) -> None:
    page = await page_in(base=base, script=False)
    await page.goto(f"{base}/ui/ground")
    await page.get_by_role("button", name="中文").click()
    await page.get_by_role("button", name="大字版").click()
    await page.get_by_role("button", name=re.compile("深色|自动|浅色")).click()
    assert await page.locator("html[lang='zh-CN'][data-elder]").count() == 1
    assert page.url.endswith("/ui/ground")
