"""Every state of the checkout in every mode and language: what axe sees, how large things are, that nothing is cut off."""

from collections.abc import AsyncIterator

import pytest
from tests.faces.browser import (
    LANGUAGES,
    MODES,
    PHONE,
    PageIn,
    assert_accessible,
    assert_elder,
    assert_no_sideways,
    console_errors,
)
from tests.faces.cashier_place import STATES, Place, open_place
from tests.faces.looks import UNFOLD, wrong_with

from tongbao.core.db import Database

GONE = {"missing": 404}
"""States that say by their status that nothing is there."""


@pytest.fixture(scope="module")
async def place(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Place]:
    async with open_place(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.fixture(scope="module")
async def addresses(place: Place) -> dict[str, str]:
    """Where each state is seen."""
    return {state: place.base + await reach(place) for state, reach in STATES.items()}


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_state_can_be_used_in_every_mode(
    place: Place, addresses: dict[str, str], page_in: PageIn, language: str
) -> None:
    page = await page_in("light", language, PHONE, place.base)
    wrong = []
    for state, address in addresses.items():
        status = GONE.get(state, 200)
        before = len(console_errors(page))
        seen = await wrong_with(page, address, language, status=status, sparing=True)
        # A page that is not there says so with its status, and the console repeats that.
        told = console_errors(page)[before:] if status < 400 else []
        wrong += [f"{state} {each}" for each in (*seen, *told)]
    assert not wrong, "\n".join(wrong)


async def test_everything_that_is_folded_is_accessible_too(place: Place, page_in: PageIn) -> None:
    path = await STATES["declined"](place)
    for mode in MODES:
        page = await page_in(mode, "en", PHONE, place.base)
        await page.goto(place.base + path)
        await page.evaluate(UNFOLD)
        await assert_accessible(page)
        await assert_no_sideways(page)
        if mode == "elder":
            await assert_elder(page)


async def test_page_with_one_way_and_one_button_is_accessible(place: Place, page_in: PageIn) -> None:
    path = await STATES["pay"](place)
    page = await page_in("light", "zh-CN", 320, place.base)
    await page.goto(f"{place.base}{path}?mode=minimal")
    assert await page.locator("main button:visible").count() == 1
    await assert_accessible(page)
    await assert_no_sideways(page)


async def test_colors_that_the_system_forces_leave_everything_to_be_seen(
    place: Place, page_in: PageIn
) -> None:
    path = await STATES["pay"](place)
    page = await page_in("light", "en", PHONE, place.base)
    await page.emulate_media(forced_colors="active")
    await page.goto(place.base + path)
    width = await page.evaluate(
        "parseFloat(getComputedStyle(document.querySelector('.way[open]')).outlineWidth)"
    )
    assert width >= 2
    await assert_accessible(page)
