import os
import pytest
from tests.faces.merchant_place import open_shop
from tests.faces.browser import *

@pytest.fixture(scope="module")
async def shop(database, dsn, tmp_path_factory):
    async with open_shop(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened

SHOTS = os.environ.get("SHOTS", "").split()

async def test_shots(shop, page_in):
    for spec in SHOTS:
        name, path, mode, language, width = spec.split("|")
        for key, value in sorted(shop.named.items(), key=lambda one: -len(one[0])):
            path = path.replace("{" + key + "}", value)
        page = await shop.signed_in(await page_in(mode, language, int(width), shop.base))
        answer = await page.goto(shop.base + shop.home + path)
        print(name, answer.status, console_errors(page))
        await page.screenshot(path=f"/tmp/h_w1/shots/{name}.png", full_page=True)
