"""Money and books of the console in a browser: every page in every mode for everybody, and the work of people as they do it."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import FilePayload, Page, expect
from tests.faces.browser import BINARY, LANGUAGES, PHONE, PageIn, console_errors
from tests.faces.looks import wrong_among
from tests.faces.ops_money_app import Place, fill, open_place, seen_paths
from tests.web.signed_in import SignedIn

from tongbao.core.db import Database

pytestmark = pytest.mark.skipif(BINARY is None, reason="no chromium on the path")


@pytest.fixture(scope="module")
async def place(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Place]:
    async with open_place(database, dsn, tmp_path_factory.mktemp("place"), on_port=True) as opened:
        await fill(opened)
        yield opened


@pytest.fixture(scope="module")
async def paths(place: Place) -> list[str]:
    """A page of each kind, with something on it."""
    return await seen_paths(place)


async def sit(page: Page, place: Place, who: SignedIn) -> None:
    """Let somebody who is signed in sit before a page."""
    await page.context.add_cookies([{"name": "session", "value": who.token, "url": place.base}])


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_page_can_be_used_in_every_mode(
    page_in: PageIn, place: Place, paths: list[str], language: str
) -> None:
    page = await page_in("light", language, base=place.base)
    await sit(page, place, await place.become("Mei"))
    wrong = await wrong_among(page, [place.base + path for path in paths], language)
    assert not wrong, wrong


async def test_break_is_resolved_by_two_people(page_in: PageIn, place: Place, paths: list[str]) -> None:
    del paths
    page = await page_in(base=place.base)
    await sit(page, place, await place.become("Mei"))
    await page.goto(f"{place.base}/ops/breaks?kind=over_amount")
    await page.locator("tbody th a[href*='brk_']").first.click()
    await expect(page.get_by_text("differs").first).to_be_visible()
    address = page.url
    await page.get_by_text("Propose a write-off").click()
    box = page.locator("details.confirm[open]")
    await box.get_by_label("Reason").fill("rounded by the channel")
    await box.get_by_role("button", name="Propose", exact=True).click()
    await expect(page.get_by_text("A second person decides now")).to_be_visible()
    await expect(page.get_by_text("you cannot do both")).to_be_visible()
    await sit(page, place, await place.become("Chen"))
    await page.goto(address)
    await page.get_by_text("Approve the write-off").click()
    box = page.locator("details.confirm[open]")
    await box.get_by_label("Reason").fill("agreed")
    await box.get_by_role("button", name="Write it off").click()
    await expect(page.get_by_text("Written off and posted.")).to_be_visible()
    assert console_errors(page) == []


async def test_batch_is_approved_by_two_people_without_scripts(
    page_in: PageIn, place: Place, paths: list[str]
) -> None:
    del paths
    page = await page_in(base=place.base, script=False)
    await sit(page, place, await place.become("Mei"))
    await page.goto(f"{place.base}/ops/batches")
    await page.locator("tbody th a").first.click()
    address = page.url
    await page.get_by_role("button", name="Approve ¥").click()
    await expect(page.get_by_text("A second person is needed")).to_be_visible()
    await sit(page, place, await place.become("Chen"))
    await page.goto(address)
    await page.get_by_role("button", name="Approve ¥").click()
    await expect(page.get_by_text("It is paid on its day")).to_be_visible()


async def test_day_is_closed_by_two_people(page_in: PageIn, place: Place) -> None:
    page = await page_in(width=PHONE, base=place.base)
    await sit(page, place, await place.become("Mei"))
    on = f"{place.whole.clock.now().year - 1}-03-01"
    await page.goto(f"{place.base}/ops/days/{on}")
    await page.get_by_label("Reason").fill("a quiet day")
    await page.get_by_role("button", name="Close and lock").click()
    await expect(page.get_by_text("A second person decides.")).to_be_visible()
    await sit(page, place, await place.become("Chen"))
    await page.goto(f"{place.base}/ops/days/{on}")
    await page.get_by_label("Reason").fill("seen")
    await page.get_by_role("button", name="Close and lock").click()
    await expect(page.get_by_text("The day is closed and locked.")).to_be_visible()


async def test_file_is_sent_with_its_progress_and_a_wrong_one_is_told(page_in: PageIn, place: Place) -> None:
    page = await page_in(base=place.base)
    await sit(page, place, await place.become("Mei"))
    await page.goto(f"{place.base}/ops/sources")
    good: FilePayload = {
        "name": "day.csv",
        "mimeType": "text/csv",
        "buffer": b"id,kind,currency,gross,reference,at\n",
    }
    bad: FilePayload = {"name": "noise.csv", "mimeType": "text/csv", "buffer": b"\x00\x01 nothing"}
    await page.set_input_files("#f-file", bad)
    await page.get_by_role("button", name="Send the file").click()
    await expect(page.get_by_text("not in the format that was agreed")).to_be_visible()
    await page.set_input_files("#f-file", good)
    await page.get_by_role("button", name="Send the file").click()
    await expect(page.get_by_text("The file is taken in.")).to_be_visible()
