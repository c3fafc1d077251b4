"""Looking at every page of the merchant's money and workshop, in a language and every mode."""

from collections.abc import Sequence

from tests.faces.browser import PageIn
from tests.faces.looks import wrong_among
from tests.faces.merchant_money_place import Till


async def walk(till: Till, page_in: PageIn, paths: Sequence[str], language: str) -> None:
    """Look at one page after the other; fail on what somebody could not use. ``live:`` stands before pages of real money."""
    page = await till.signed_in(await page_in("light", language, base=till.base), mode="live")
    wrong = await wrong_among(page, [_address(till, path) for path in paths], language)
    assert not wrong, wrong


def _address(till: Till, path: str) -> str:
    rest = path.removeprefix("live:").format_map(till.named)
    joint = "&" if "?" in rest else "?"
    return f"{till.base}{till.home}{rest}{joint}mode={'live' if path.startswith('live:') else 'test'}"
