"""Looks at a page in every mode: it is loaded once in a language, and its mode is changed where it stands.

The mode of a page is an attribute of its root; nothing else of it differs, but for pages that say less to older users. Those are
loaded again (``sparing``). Each combination of mode and language is asked for what differs in it; all rules of axe are asked in
English and light.
"""

import os
from collections.abc import Iterable
from urllib.parse import urljoin

from playwright.async_api import Page
from tests.faces.browser import (
    COLOR_RULES,
    LANGUAGES,
    SIZE_RULES,
    SWITCH,
    WORD_RULES,
    console_errors,
    sideways,
    too_small,
    violations,
)

IS_THOROUGH = os.environ.get("TONGBAO_LOOKS") == "all"
"""Whether all rules are asked of everything in every combination of mode and language: ``make looks``."""
UNFOLD = "document.querySelectorAll('details').forEach((each) => { each.name = ''; each.open = true; })"
MODE_OF = """() => [document.documentElement.lang, 'elder' in document.documentElement.dataset]"""


async def wrong_with(
    page: Page, address: str, language: str, *, status: int = 200, sparing: bool = False, unfold: bool = False
) -> list[str]:
    """Return what somebody could not use of a page, in light, dark and large text, and empty where there is nothing.

    ``page`` was opened in the language and in light; ``sparing`` pages are loaded again for large text, and ``unfold`` opens
    what is folded before each look.
    """
    found = await _open(page, address, status, (language, False), unfold)
    # Another language changes words and widths: what is built, and in which colors, is the same.
    is_first = IS_THOROUGH or language == LANGUAGES[0]
    if is_first or sparing:
        found += await _seen(page, "light", () if is_first else WORD_RULES)
    if is_first:
        # Colors move nothing, and change nothing that other rules look at.
        await page.evaluate(SWITCH, "dark")
        found += await _seen(page, "dark", COLOR_RULES)
    if sparing:
        if is_first:
            found += await sideways(page, modes=("light",))
        await _large(page, address, on=True)
        found += await _open(page, address, status, (language, True), unfold)
    else:
        await page.evaluate(SWITCH, "elder")
    # Large text is the same page in the same colors, its quiet words in stronger ones, unless the page says less.
    rules = SIZE_RULES if is_first else (*WORD_RULES, *SIZE_RULES)
    found += await _seen(page, "elder", () if sparing and is_first else rules)
    found += [f"elder: {each}" for each in await too_small(page)]
    found += await sideways(page, modes=("elder", "light") if is_first and not sparing else ("elder",))
    if sparing:
        await _large(page, address, on=False)
    return [f"{language} {each}" for each in found]


async def wrong_among(
    page: Page, addresses: Iterable[str], language: str, *, sparing: bool = False, unfold: bool = False
) -> str:
    """Return what is wrong with pages that are there, a line for each thing, with what the console was told."""
    found = []
    for address in addresses:
        wrong = await wrong_with(page, address, language, sparing=sparing, unfold=unfold)
        found += [f"{address} {each}" for each in wrong]
    return "\n".join([*found, *console_errors(page)])


async def _seen(page: Page, mode: str, rules: tuple[str, ...]) -> list[str]:
    """What axe finds in a page that stands in a mode, by these rules or by all."""
    found = await violations(page, () if IS_THOROUGH else rules, every=IS_THOROUGH)
    return [f"{mode}: {each}" for each in found]


async def _open(page: Page, address: str, status: int, wanted: tuple[str, bool], unfold: bool) -> list[str]:
    """Load a page; what is wrong with its status, its language, its size."""
    answer = await page.goto(address)
    assert answer is not None
    shown = tuple(await page.evaluate(MODE_OF))
    if unfold:
        await page.evaluate(UNFOLD)
    found = [] if answer.status == status else [f"status {answer.status}"]
    return found if shown == wanted else [*found, f"is shown as {shown}"]


async def _large(page: Page, address: str, *, on: bool) -> None:
    """Choose large text, or the normal one, on the whole site."""
    site = urljoin(address, "/")
    await page.context.add_cookies([{"name": "elder", "value": str(int(on)), "url": site}])
