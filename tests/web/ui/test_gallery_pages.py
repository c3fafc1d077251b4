"""The gallery and its files without a browser: no inline script or style, escaping, errors, files that are kept."""

import gzip
import re
from collections.abc import AsyncIterator

import httpx
import pytest
from tests.faces.gallery_place import gallery_app

from tongbao.core.errors import InvalidRequest
from tongbao.web.ui import assets, icons
from tongbao.web.ui.gallery import GROUPS
from tongbao.web.ui.saved_views import NAME_MAX, QUERY_MAX, VIEWS_MAX, SavedView, kept

INLINE = re.compile(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+\s*=|javascript:", re.IGNORECASE)
CONSOLE_BYTES_MAX, CONSOLE_GZ_MAX = 40 * 1024, 9 * 1024
CORE_BYTES_MAX = 5 * 1024


@pytest.fixture
async def browser() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(gallery_app())
    async with httpx.AsyncClient(transport=transport, base_url="http://ui.test") as client:
        yield client


@pytest.mark.parametrize("language", ["en", "zh-CN"])
@pytest.mark.parametrize("group", list(GROUPS))
async def test_page_holds_no_inline_script_or_style_and_every_id_once(
    browser: httpx.AsyncClient, group: str, language: str
) -> None:
    answer = await browser.get(f"/ui/{group}?lang={language}")
    assert answer.status_code == 200
    assert not INLINE.search(answer.text)
    ids = re.findall(r'\sid="([^"]+)"', answer.text)
    assert len(ids) == len(set(ids))
    assert f'<html lang="{language}"' in answer.text
    for address in set(re.findall(r"/static/ledger/[\w.-]+", answer.text)):
        assert (await browser.get(address)).status_code == 200


async def test_first_page_is_led_to_and_an_unknown_one_is_a_page_with_status_404(
    browser: httpx.AsyncClient,
) -> None:
    assert (await browser.get("/ui")).headers["location"] == "/ui/ground"
    assert (await browser.get("/ui/nothing")).status_code == 404


async def test_hostile_entries_are_shown_as_text(browser: httpx.AsyncClient) -> None:
    answer = await browser.post("/ui/forms", data={"name": '"><script>alert(1)</script>', "fee": "x"})
    assert answer.status_code == 422
    assert "<script>alert" not in answer.text
    assert "&#34;&gt;&lt;script&gt;" in answer.text
    assert 'aria-describedby="f-fee-hint f-fee-error" aria-invalid="true"' in answer.text
    answer = await browser.get("/ui/tables", params={"q": '"><script>alert(1)</script>'})
    assert "<script>alert" not in answer.text


async def test_table_is_exported_with_its_filters(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/ui/tables?state=failed&format=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert len(answer.text.splitlines()) == 3


async def test_files_are_kept_for_ever_and_compressed_where_the_browser_takes_it(
    browser: httpx.AsyncClient,
) -> None:
    address = assets.address("console.css")
    small = await browser.get(address, headers={"accept-encoding": "gzip"})
    plain = await browser.get(address, headers={"accept-encoding": "identity"})
    assert small.headers["content-encoding"] == "gzip"
    assert small.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert small.content == plain.content
    assert "content-encoding" not in plain.headers
    assert (await browser.get(assets.PREFIX + "/console.000000000000.css")).status_code == 404


def test_files_stay_within_their_budgets() -> None:
    def content(name: str) -> bytes:
        return assets.ASSETS[assets.address(name).rpartition("/")[2]].content

    assert len(content("console.css")) <= CONSOLE_BYTES_MAX
    assert len(gzip.compress(content("console.css"))) <= CONSOLE_GZ_MAX
    assert len(content("core.js")) <= CORE_BYTES_MAX
    assert len(gzip.compress(content("core.js"))) <= 2_048


def test_every_drawing_is_in_the_sprite_and_an_unknown_one_is_refused() -> None:
    sprite = icons.sprite().decode()
    assert all(f'id="{name}"' in sprite for name in icons.NAMES)
    with pytest.raises(KeyError):
        icons.icon("nothing")


async def test_view_is_kept_in_a_cookie_and_dropped_again(browser: httpx.AsyncClient) -> None:
    sent = {"name": "坏单 <b>", "query": "state=failed", "back": "/ui/tables"}
    answer = await browser.post("/views/payments", data=sent)
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/tables")
    assert "httponly" in answer.headers["set-cookie"].lower()
    page = await browser.get("/ui/tables")
    assert "坏单 &lt;b&gt;" in page.text
    assert 'href="/ui/tables?state=failed"' in page.text
    await browser.post("/views/payments", data={"drop": "坏单 <b>"})
    assert "坏单" not in (await browser.get("/ui/tables")).text


async def test_form_of_another_site_keeps_no_view_and_leads_nowhere_else(browser: httpx.AsyncClient) -> None:
    foreign = {"sec-fetch-site": "cross-site"}
    with pytest.raises(InvalidRequest):
        await browser.post("/views/payments", data={"name": "x", "query": ""}, headers=foreign)
    answer = await browser.post("/views/payments", data={"name": "x", "query": "", "back": "//evil.test"})
    assert answer.headers["location"] == "/"


@pytest.mark.parametrize(
    "fields",
    [
        {"name": " "},
        {"name": "x" * (NAME_MAX + 1)},
        {"name": "x", "query": "q" * (QUERY_MAX + 1)},
        {"name": "a\x00b"},
    ],
)
def test_view_without_a_fit_name_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        kept((), fields)
    assert refused.value.code == "view_invalid"


def test_oldest_view_goes_where_there_are_too_many() -> None:
    views: tuple[SavedView, ...] = ()
    for number in range(VIEWS_MAX + 2):
        views = kept(views, {"name": f"v{number}", "query": ""})
    assert [view.name for view in views] == [f"v{number}" for number in range(2, VIEWS_MAX + 2)]
    assert kept(views, {"name": "v3", "query": "q=1"})[-1] == SavedView("v3", "q=1")


@pytest.mark.parametrize("cookie", ["{", "[1]", '{"a": 1}', "%ff", '[["a"]]', "null"])
async def test_cookie_that_is_not_ours_holds_no_views(browser: httpx.AsyncClient, cookie: str) -> None:
    answer = await browser.get("/ui/tables", headers={"cookie": f"views_payments={cookie}"})
    assert answer.status_code == 200
