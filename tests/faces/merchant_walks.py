"""What every page of the merchant's money and workshop must keep, in one mode and language after the other."""

from collections.abc import Sequence

from tests.faces.browser import (
    PageIn,
    assert_elder,
    assert_no_sideways,
    console_errors,
    violations,
)
from tests.faces.merchant_money_place import Till


async def walk(till: Till, page_in: PageIn, paths: Sequence[str], mode: str, language: str) -> None:
    """Open pages one after the other; fail on what axe finds, on errors of the console, on what leaves a narrow screen."""
    page = await till.signed_in(await page_in(mode, language, base=till.base), mode="live")
    wrong = []
    for path in paths:
        rest = path.removeprefix("live:")
        address = rest.format_map(till.named)
        joint = "&" if "?" in address else "?"
        answer = await page.goto(
            f"{till.base}{till.home}{address}{joint}mode={'live' if 'live:' in path else 'test'}"
        )
        assert answer is not None
        wrong += [f"{path}: {each}" for each in await violations(page)]
        wrong += [f"{path}: status {answer.status}"] if answer.status != 200 else []
        try:
            await assert_no_sideways(page)
            if mode == "elder":
                await assert_elder(page)
        except AssertionError as error:
            wrong.append(f"{path}: {error}")
    wrong += console_errors(page)
    assert not wrong, "\n".join(wrong)
