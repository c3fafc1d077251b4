"""Risk control in a browser: every page in every mode and language, and the flows of analysts as two people click them."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, expect
from tests.faces.browser import (
    LANGUAGES,
    PHONE,
    WIDE,
    PageIn,
    assert_accessible,
    assert_elder,
    assert_no_sideways,
    console_errors,
)
from tests.faces.looks import wrong_among, wrong_with
from tests.faces.ops_risk_place import House, open_house

from tongbao.core.db import Database

PAGES = {
    "today": "/ops/risk?mode=live",
    "cases": "/ops/risk/cases?mode=live",
    "case": "/ops/risk/cases/{case}",
    "held case": "/ops/risk/cases/{held case}",
    "settings": "/ops/risk/case-settings",
    "freezes": "/ops/risk/freezes?mode=live",
    "lists": "/ops/risk/lists?mode=live",
    "rules": "/ops/risk/rules?mode=live",
    "version": "/ops/risk/rules/{version}?mode=test&tested=1",
    "capacity": "/ops/risk/tradeoff?mode=test&reviews=2&step_ups=5",
    "models": "/ops/risk/models?mode=live",
    "model": "/ops/risk/models/{model}",
    "disputes": "/ops/disputes?mode=test",
    "dispute": "/ops/disputes/{dispute}",
}


@pytest.fixture(scope="module")
async def house(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    """A house with weeks of risk control behind it."""
    async with open_house(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


def address(house: House, name: str) -> str:
    """Where a page is."""
    return house.base + PAGES[name].format(**house.named)


async def opened(house: House, page_in: PageIn, who: str, path: str, width: int = WIDE) -> Page:
    """A page of somebody, in English."""
    page = await house.as_(await page_in("light", "en", width, house.base), who)
    await page.goto(house.base + path.format(**house.named))
    return page


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_page_can_be_used_in_every_mode(house: House, page_in: PageIn, language: str) -> None:
    page = await house.as_(await page_in("light", language, WIDE, house.base), "Mei")
    wrong = await wrong_among(page, [address(house, name) for name in PAGES], language)
    assert not wrong, wrong
    missing = f"{house.base}/ops/risk/cases/nonsense"
    assert await wrong_with(page, missing, language, status=404) == []


async def test_pages_fit_a_phone_with_large_text(house: House, page_in: PageIn) -> None:
    page = await house.as_(await page_in("elder", "zh-CN", PHONE, house.base), "Mei")
    for name in ("today", "cases", "case", "lists", "rules", "dispute"):
        await page.goto(address(house, name))
        await assert_elder(page)
        await assert_no_sideways(page)


async def test_case_is_decided_by_two_people(house: House, page_in: PageIn) -> None:
    house.named["fraud"] = await house.case("card_fraud_flow", value=250_000)
    mei = await opened(house, page_in, "Mei", "/ops/risk/cases/{fraud}")
    await mei.get_by_role("button", name="Take this case").click()
    await expect(mei.get_by_text("The case is yours.")).to_be_visible()
    await mei.get_by_role("radio", name="fraud").check(force=True)
    await mei.get_by_label("Freeze Card", exact=False).check()
    await mei.get_by_role("button", name="Close the case").click()
    await expect(mei.locator("#close-note:invalid")).to_have_count(1)  # nothing is closed without a reason
    await mei.get_by_label("Why, for whoever reads this later").fill("Known device, third time this week.")
    await mei.get_by_role("button", name="Close the case").click()
    await expect(mei.get_by_text("You asked: another person has to agree.")).to_be_visible()
    await expect(mei.get_by_role("button", name="Agree and close")).to_have_count(0)
    wei = await opened(house, page_in, "Wei", "/ops/risk/cases?mode=live&tab=asked")
    await wei.get_by_role("link", name="Card d_flow").or_(wei.locator("tbody a")).first.click()
    await expect(wei.get_by_text("Known device, third time this week.").first).to_be_visible()
    await wei.get_by_role("button", name="Agree and close").click()
    await expect(wei.get_by_text("The case is closed.")).to_be_visible()
    await assert_accessible(wei)
    assert console_errors(mei) + console_errors(wei) == []


async def test_queue_is_worked_by_its_keys(house: House, page_in: PageIn) -> None:
    await house.case("card_keys", value=777_700)
    page = await opened(house, page_in, "Lin", "/ops/risk/cases?mode=live")
    await page.wait_for_function("document.readyState === 'complete'")
    await page.keyboard.press("j")
    await expect(page.locator("tbody tr a").first).to_be_focused()
    await page.keyboard.press("j")
    await page.keyboard.press("k")
    await expect(page.locator("tbody tr a").first).to_be_focused()
    await page.keyboard.press("r")
    await page.wait_for_url("**tab=queue**")
    await page.wait_for_function("document.readyState === 'complete'")
    await page.keyboard.press("a")
    await expect(page.get_by_text("The case is yours.")).to_be_visible()
    await page.wait_for_function("document.readyState === 'complete'")
    await page.keyboard.press("r")
    await expect(page.get_by_text("The case is back in the queue.")).to_be_visible()


async def test_rule_is_written_by_rows_tested_drafted_published_and_watches(
    house: House, page_in: PageIn
) -> None:
    page = await opened(house, page_in, "Mei", "/ops/risk/rules?mode=test")
    await page.get_by_text("Write one by rows").click()
    await page.get_by_label("Name", exact=False).first.fill("many cards")
    await page.get_by_label("Signal of row 1").select_option("device_cards_30d")
    await page.get_by_label("Value of row 1").fill("5")
    await page.get_by_label("Does", exact=True).select_option("review")
    await page.get_by_label("Because", exact=False).fill("many cards on one device")
    await page.get_by_label("Owner", exact=False).fill("mei")
    await page.get_by_role("button", name="Put it into the editor").click()
    await expect(page.locator("#f-rules")).to_contain_text(
        "many cards: when device_cards_30d > 5 then review"
    )
    await expect(page.get_by_text("added – many cards")).to_be_visible()
    await page.get_by_role("button", name="Check and back-test").click()
    await expect(page.get_by_text("What these rules would have done")).to_be_visible()
    await page.get_by_label("What changes, and why").fill("Card testing on one device")
    await page.get_by_role("button", name="Draft a new version").click()
    await page.get_by_role("link", name="Back-test first").click()
    await expect(page.get_by_role("button", name="Publish")).to_have_count(0)
    await page.get_by_role("link", name="Run the back-test").click()
    await expect(page.get_by_role("columnheader", name="Disputed")).to_be_visible()
    await page.get_by_role("button", name="Replay on the log").click()
    await expect(page.get_by_text("The replay is on record.")).to_be_visible()
    await page.get_by_label("Why").fill("Two attacks last week")
    await page.get_by_role("button", name="Publish").click()
    await expect(page.get_by_text("The version is published.")).to_be_visible()
    await page.get_by_text("It only watches").click()
    await page.get_by_label("Why").fill("Let it watch first")
    await page.get_by_role("button", name="Put in force").click()
    await expect(page.get_by_text("It is in force")).to_be_visible()
    await expect(page.get_by_text("watches", exact=True)).to_be_visible()
    await assert_accessible(page)
    assert console_errors(page) == []


async def test_entry_is_added_without_scripts_and_shows_what_it_did(house: House, page_in: PageIn) -> None:
    page = await page_in("light", "en", WIDE, house.base, script=False)
    await house.as_(page, "Mei")
    await page.goto(f"{house.base}/ops/risk/lists?mode=live&list=stolen+cards")
    await page.get_by_label("What", exact=True).select_option("card")
    await page.get_by_label("Value").fill("card_seen_flow")
    await page.get_by_label("Reason").fill("Told by the issuer")
    await page.get_by_role("button", name="Add", exact=True).click()
    row = page.get_by_role("row").filter(has_text="card_seen_flow")
    await expect(row).to_contain_text("nothing yet")
    house.whole.clock.advance(house.moment)
    await house.publish(house.declined("card_seen_flow"))
    await page.reload()
    await expect(row).to_contain_text("payments: 1")


async def test_freeze_is_let_go_by_two_people(house: House, page_in: PageIn) -> None:
    mei = await opened(house, page_in, "Mei", "/ops/risk/freezes?mode=live")
    await mei.get_by_label("What", exact=True).select_option("card")
    await mei.get_by_label("Key, as cases").fill("card_freeze_flow")
    await mei.get_by_label("Reason").fill("A spree on Monday")
    await mei.get_by_role("button", name="Freeze at once").click()
    row = mei.get_by_role("row").filter(has_text="card_freeze_flow")
    await row.locator("summary").click()
    await row.get_by_label("Why").fill("The owner called back")
    await row.get_by_role("button", name="Ask for release").click()
    await expect(mei.get_by_text("A second person has to release it now")).to_be_visible()
    await expect(row.get_by_text("You asked: another person has to agree.")).to_be_visible()
    wei = await opened(house, page_in, "Wei", "/ops/risk/freezes?mode=live")
    row = wei.get_by_role("row").filter(has_text="card_freeze_flow")
    await row.get_by_role("button", name="Release", exact=True).click()
    await expect(wei.get_by_text("Released.")).to_be_visible()
    await expect(wei.get_by_role("row").filter(has_text="card_freeze_flow")).to_be_visible()
    assert console_errors(mei) + console_errors(wei) == []


async def test_dispute_is_found_by_its_state(house: House, page_in: PageIn) -> None:
    page = await opened(house, page_in, "Mei", "/ops/disputes?mode=test")
    await page.get_by_label("State").select_option("won")
    await expect(page.get_by_text("Nothing matches")).to_be_visible()
    await page.get_by_label("State").select_option("needs_response")
    await page.locator("tbody th a").first.click()
    await expect(page.get_by_text("The payer objected; the amount is withheld")).to_be_visible()
    assert console_errors(page) == []
