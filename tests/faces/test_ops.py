"""The console of operations in the browser: every page in every mode and language, its narrowest width, flows as people click them."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from playwright.async_api import Page, expect
from tests.faces.browser import LANGUAGES, NARROW, PageIn, console_errors
from tests.faces.looks import wrong_among
from tests.faces.merchant_place import Shop, open_shop
from tests.payments.scripted import UNRESOLVED
from tests.web.signed_in import SignedIn, signed_in

from tongbao.core.db import Database
from tongbao.parties.schema import OperatorRole

ROLES = (OperatorRole.OPERATOR_L2, OperatorRole.RISK, OperatorRole.AUDITOR)
PAGES = (
    "/ops/today",
    "/ops/payments",
    "/ops/payments/{cascaded}",
    "/ops/payments/{cascaded}/decisions",
    "/ops/alerts",
    "/ops/health",
    "/ops/wall",
    "/ops/wall?kiosk=1",
    "/ops/routing?amount=120&currency=CNY&method=card",
    "/ops/routing/doctor",
    "/ops/costs",
    "/ops/experiments",
    "/ops/policies",
    "/ops/decisions",
    "/ops/merchants",
    "/ops/merchants/{merchant}",
    "/ops/people",
    "/ops/audit",
    "/me",
    "/",
)


@pytest.fixture(scope="module")
async def shop(database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    """A house with a week of a merchant's trade."""
    async with open_shop(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        opened.named["merchant"] = opened.home.rpartition("/")[2]
        await opened.whole.house.decisions.policies.draft(
            "routing", {"strategy": "least_cost"}, "Cheaper", "mei"
        )
        yield opened


@pytest.fixture
async def lin(shop: Shop) -> SignedIn:
    """Somebody of the house who sees everything that is looked at here."""
    return await signed_in(shop.whole, "Lin Wei", ROLES)


async def sit(shop: Shop, page: Page, who: SignedIn) -> None:
    """Let somebody who is signed in sit before a page."""
    await page.context.add_cookies([{"name": "session", "value": who.token, "url": shop.base}])


async def opened(shop: Shop, page: Page, who: SignedIn, path: str) -> Page:
    """Open a page as somebody."""
    await sit(shop, page, who)
    answer = await page.goto(shop.base + path.format(**shop.named))
    assert answer is not None
    assert answer.status == 200, path
    return page


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_page_can_be_used_in_every_mode(
    shop: Shop, lin: SignedIn, page_in: PageIn, language: str
) -> None:
    page = await page_in("light", language, base=shop.base)
    await sit(shop, page, lin)
    wrong = await wrong_among(page, [shop.base + path.format(**shop.named) for path in PAGES], language)
    assert not wrong, wrong
    await sit(shop, page, await signed_in(shop.whole, "Sam Okoye", (OperatorRole.ADMIN,)))
    wrong = await wrong_among(page, [f"{shop.base}/ops/settings"], language)
    assert not wrong, wrong


async def test_alert_is_seen_and_answered_with_a_note(shop: Shop, lin: SignedIn, page_in: PageIn) -> None:
    page = await opened(shop, await page_in(base=shop.base, script=False), lin, "/ops/alerts")
    card = page.locator("section.card", has_text="Payments without an answer for long")
    await card.get_by_text("I have seen it").first.click()
    await card.get_by_label("What you do about it").fill("Asked the channel <b>now</b>")
    await card.get_by_role("button", name="I have seen it").click()
    await expect(page.get_by_role("status").first).to_contain_text("Your note was kept.")
    await expect(card).to_contain_text("Asked the channel <b>now</b>")


async def test_merchant_is_suspended_and_opened_again(shop: Shop, lin: SignedIn, page_in: PageIn) -> None:
    page = await opened(shop, await page_in(base=shop.base, script=False), lin, "/ops/merchants")
    await page.get_by_role("link", name="Tea House").first.click()
    await page.get_by_text("Suspend", exact=True).first.click()
    await page.get_by_label("Reason").first.fill("Complaints of payers")
    await page.get_by_role("button", name="Suspend").click()
    await expect(page.locator("main")).to_contain_text("Complaints of payers")
    await page.get_by_text("Open again", exact=True).first.click()
    await page.get_by_label("Reason").first.fill("Settled")
    await page.get_by_role("button", name="Open again").click()
    await expect(page.locator("main")).to_contain_text("Settled")


async def test_policy_is_published_by_hand(shop: Shop, lin: SignedIn, page_in: PageIn) -> None:
    page = await opened(shop, await page_in(base=shop.base), lin, "/ops/policies")
    await page.get_by_text("Publish", exact=True).first.click()
    form = page.locator("form[action='/ops/policies/publish']")
    await form.get_by_label("Reason").fill("The first one")
    await form.get_by_role("button", name="Publish").click()
    await expect(page.locator("main")).to_contain_text("The first one")
    assert console_errors(page) == []


async def test_payment_is_found_by_its_id_and_explained(shop: Shop, lin: SignedIn, page_in: PageIn) -> None:
    page = await opened(shop, await page_in(base=shop.base), lin, "/ops/today")
    await page.locator("#finder-q").fill(shop.named["cascaded"])
    await page.locator("#finder-q").press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("¥124.00")
    await page.get_by_role("link", name="All 3 decisions").click()
    await expect(page.get_by_text("Same answer: yes").first).to_be_visible()


async def test_live_part_arrives_by_the_stream(shop: Shop, lin: SignedIn, page_in: PageIn) -> None:
    page = await opened(shop, await page_in(base=shop.base), lin, "/ops/health?mode=test")
    await expect(page.locator("[data-live-stream]")).to_have_attribute("data-state", "on")
    row = page.locator("tr", has_text="Payments without an answer").locator("td").first
    before = int(await row.inner_text())
    await shop.pay("late", 4_400, UNRESOLVED)
    shop.whole.clock.advance(timedelta(minutes=2))
    await expect(row).to_have_text(str(before + 1))


async def test_wall_turns_to_its_next_scene(shop: Shop, lin: SignedIn, page_in: PageIn) -> None:
    page = await opened(shop, await page_in(base=shop.base, width=NARROW * 6), lin, "/ops/wall?kiosk=1")
    await expect(page.locator("[data-scene=money]")).to_be_visible()
    await page.keyboard.press("ArrowRight")
    await expect(page.locator("[data-scene=rails]")).to_be_visible()
    await expect(page.locator("[data-scene=money]")).to_be_hidden()
    await page.get_by_role("button", name="Hold").click()
    await expect(page.get_by_role("button", name="Rotate")).to_be_visible()
    bare = await opened(shop, await page_in(base=shop.base, script=False), lin, "/ops/wall?kiosk=1")
    await bare.get_by_role("link", name="Next").click()
    await expect(bare.locator("[data-scene=rails]")).to_be_visible()
