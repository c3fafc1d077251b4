"""The ledger explorer page by page: both languages, hostile names, live part, preferences, proof, sizes."""

import gzip
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import NamedTuple
from uuid import UUID

import asyncpg
import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.middleware.base import RequestResponseEndpoint
from starlette.responses import Response
from tests.conftest import Bench, make_bench

from tongbao.core.errors import Unavailable
from tongbao.core.ids import int_text
from tongbao.ledger.schema import AccountState, Side, Transfer, capture, linked, reversal, void
from tongbao.ledger.service.ledger import Ledger
from tongbao.parties.schema import OperatorPermission, OperatorRole, OperatorScope, Person, PersonId
from tongbao.parties.service.sign_in import csrf_of
from tongbao.simulator.street import Street
from tongbao.web import explorer, ledger_views, pages
from tongbao.web.figures import Figures, account_text, transfer_text
from tongbao.web.locale import ledger as words
from tongbao.web.signing.guarding import OperatorVisitor
from tongbao.web.signing.refusing import behind, error_page

CSP = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
PAGE_BYTES_MAX = 120 * 1024
KIT_BYTES_MAX = 96 * 1024
VISITS = 60
SCRIPT = "<script>alert(1)</script>"
RTL = "\u202eمتجر 🏮"
INLINE = re.compile(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+\s*=|javascript:", re.IGNORECASE)


AT = datetime(2026, 1, 1, tzinfo=UTC)
TOKEN = "ses_0123456789abcdef"
VISITOR = OperatorVisitor(
    person=Person(
        person_id=PersonId(UUID(int=7)),
        email="lin@house.test",
        name="Lin",
        locale="en",
        created_at=AT,
        disabled_at=None,
    ),
    session=None,  # type: ignore[arg-type]  # the pages of books never look at it
    csrf=csrf_of(TOKEN),
    memberships=(),
    operator=OperatorScope(
        person_id=PersonId(UUID(int=7)),
        actor="person:lin",
        permissions=frozenset({OperatorPermission.BOOKS_READ}),
    ),
    roles=(OperatorRole.AUDITOR,),
    token=TOKEN,
)
"""Somebody whom the guard has let in."""


class Site(NamedTuple):
    """A browser before the explorer, and the ledger behind it."""

    browser: httpx.AsyncClient
    ledger: Ledger


@pytest.fixture
async def site(ledger: Ledger) -> AsyncIterator[Site]:
    """The explorer alone, under the content policy of the real application."""
    app = FastAPI()

    async def guard(request: Request) -> None:
        request.state.visitor = VISITOR

    app.include_router(behind(explorer.router(ledger), guard, error_page, frozenset({"/preferences"})))
    explorer.mount_static(app)

    @app.middleware("http")
    async def secure(request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = CSP
        return response

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://ledger.test") as browser:
        yield Site(browser, ledger)


class _Reader(HTMLParser):
    """Collects what a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(html: str) -> _Reader:
    reader = _Reader()
    reader.feed(html)
    return reader


async def get(site: Site, path: str, status: int = 200, language: str = "") -> str:
    """Fetch a page and hold it against everything that must be true of every page."""
    answer = await site.browser.get(path, headers={"accept-language": language})
    assert answer.status_code == status, answer.text[:300]
    assert answer.headers["cache-control"] == "no-store"
    assert len(answer.content) <= PAGE_BYTES_MAX
    tags = read(answer.text).tags
    assert not [tag for tag, attrs in tags if tag == "style" or "style" in attrs]
    assert not [tag for tag, attrs in tags if tag == "script" and not attrs.get("src")]
    assert not [name for _, attrs in tags for name in attrs if name.startswith("on")]
    assert not [attrs for _, attrs in tags if (attrs.get("href") or "").lower().startswith("javascript:")]
    ids = [attrs["id"] for _, attrs in tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    if "fragment=" not in path:
        assert [tag for tag, _ in tags].count("h1") == 1
        assert {"header", "main"} <= {tag for tag, _ in tags}
    fields = {
        attrs["id"] for tag, attrs in tags if tag in {"input", "select"} and attrs.get("type") != "hidden"
    }
    assert fields <= {attrs["for"] for tag, attrs in tags if tag == "label"}
    assert all("scope" in attrs for tag, attrs in tags if tag == "th")
    return answer.text


async def busy(site: Site) -> Bench:
    """A book with a bit of everything: transfers, a group, holds in each state, a reversal, sealed."""
    bench = await make_bench(site.ledger)
    post = site.ledger.posting.post_one
    first = bench.transfer("equity", "a", 100_000, reference="INV-7")
    await post(first)
    group = linked([bench.transfer("a", "b", 700), bench.transfer("a", "c", 300)])
    await site.ledger.posting.post(group)
    hold = bench.hold("a", "b", 1_280, expires_at=datetime.now(UTC) + timedelta(hours=1))
    other = bench.hold("a", "c", 500)
    await site.ledger.posting.post([hold, other, bench.hold("a", "b", 42)])
    await post(capture(bench.key(), bench.book.book_id, hold.key, 1_000, "bike", final=True))
    await post(void(bench.key(), bench.book.book_id, other.key, "bike.void"))
    await post(reversal(bench.book.book_id, group[0].key, "undo"))
    await site.ledger.sealing.seal_all()
    return bench


def address(bench: Bench, name: str | None = None, key: object = None) -> str:
    """The path of a bench's book, or of one of its accounts or transfers."""
    if name is not None:
        return f"/ops/ledger/books/{bench.book.code}/accounts/{account_text(bench.accounts[name].account_id)}"
    return (
        f"/ops/ledger/transfers/{bench.book.code}/{key}"
        if key is not None
        else f"/ops/ledger/books/{bench.book.code}"
    )


async def test_every_page_in_both_languages_shows_what_it_must(site: Site) -> None:
    street = Street(site.ledger)
    await street.open()
    for _ in range(VISITS):
        await street.visit()
    bench = await busy(site)
    page = await site.ledger.reading.statement(bench.book.book_id, bench.accounts["a"].account_id)
    transfers = [address(bench, key=transfer_text(entry.key)) for entry in page.entries]
    cases = {
        "/ops/ledger": ("Trial balance", "试算平衡"),
        "/ops/ledger?fragment=live": ("Balanced to the cent", "分毫不差"),
        "/ops/ledger/books/mer_noodles": ("Payable to the merchant now", "应付商户"),
        address(bench): ("Open holds", "未结冻结"),
        address(bench, "a"): ("Statement", "对账单"),
        **dict.fromkeys(transfers, ("Debited", "借记")),
        "/ops/ledger/books/nobody": ("There is nothing here", "页面不存在"),
    }
    for path, (english, chinese) in cases.items():
        status = 404 if "nobody" in path else 200
        in_english = await get(site, path, status, language="en-GB")
        in_chinese = await get(site, path, status, language="zh-Hans-CN, en;q=0.5")
        assert english in in_english
        assert chinese not in in_english
        assert chinese in in_chinese
        if "fragment" not in path:
            assert '<html lang="en"' in in_english
            assert '<html lang="zh-CN"' in in_chinese


async def test_overview_shows_equal_totals_and_a_live_part(site: Site) -> None:
    bench = await busy(site)
    html = await get(site, "/ops/ledger")
    sums = re.findall(r'<th scope="row">Total CNY</th><td[^>]*>([\d,.]+)</td><td[^>]*>([\d,.]+)</td>', html)
    assert len(sums) == 1
    assert sums[0][0] == sums[0][1] != "0.00"
    assert '<span class="tag ok">equal</span>' in html
    assert bench.book.code in html
    live = await get(site, "/ops/ledger?fragment=live")
    assert "<html" not in live
    assert "Transfers sealed" in live


async def test_overview_of_unbalanced_books_says_so(site: Site, dsn: str) -> None:
    bench = await busy(site)
    direct = await asyncpg.connect(dsn)
    statement = "UPDATE ledger.balance SET debits_minor = debits_minor + $2 WHERE account_id = $1"
    await direct.execute(statement, bench.accounts["a"].account_id, 1)
    try:
        html = await get(site, "/ops/ledger")
    finally:
        await direct.execute(statement, bench.accounts["a"].account_id, -1)
        await direct.close()
    assert "Out of balance" in html
    assert "CNY: differs by 0.01" in html
    assert "Balanced to the cent" not in html


async def test_search_finds_by_beginning_by_part_or_says_that_nothing_matches(site: Site) -> None:
    code = f"find-{site.ledger.ids.int63()}"
    await site.ledger.accounts.open_book(code, "empty", "Found")
    for wanted in (code, code[:-3], code[3:].upper()):
        assert f'href="/ops/ledger/books/{code}"' in await get(site, f"/ops/ledger?q={wanted}")
    assert "No book has a code like “zzz&lt;”" in await get(site, "/ops/ledger?q=zzz<")
    assert "All books" in await get(site, "/ops/ledger?q=%00")


async def test_list_of_books_continues_page_by_page(site: Site) -> None:
    for _ in range(ledger_views.BOOKS_SHOWN + 1):
        await site.ledger.accounts.open_book(f"many-{site.ledger.ids.int63()}", "empty", "Many")
    seen: list[str] = []
    path: str | None = "/ops/ledger"
    while path:
        html = await get(site, path)
        seen += re.findall(r'class="mono" href="/ops/ledger/books/([^"]+)"', html)
        found = re.search(r'href="(/ops/ledger\?after=[^"#]+)', html)
        path = found and found[1]
    assert sorted(seen) == seen == sorted(set(seen))
    assert len(seen) > ledger_views.BOOKS_SHOWN


async def test_statement_pages_by_cursor_without_gap_or_repetition(site: Site) -> None:
    bench = await make_bench(site.ledger)
    await site.ledger.posting.post([bench.transfer("equity", "a", n) for n in range(1, 121)])
    await site.ledger.sealing.seal_all()
    numbers: list[int] = []
    path: str | None = address(bench, "a")
    pages_seen = 0
    while path:
        html = await get(site, path)
        numbers += [int(n) for n in re.findall(r'class="num mut seq">(\d+)<', html)]
        found = re.search(r'rel="next" href="([^"#]+)', html)
        path, pages_seen = found and found[1], pages_seen + 1
    assert numbers == list(range(120, 0, -1))
    assert pages_seen == 3


async def test_statement_shows_running_balance_holds_chart_and_history(site: Site) -> None:
    bench = await busy(site)
    account = bench.accounts["a"]
    await site.ledger.accounts.change_account(
        bench.book.book_id, account.account_id, actor="lin", reason="audit", state=AccountState.RECEIVE_ONLY
    )
    html = await get(site, address(bench, "a"))
    assert "<b>1,000.00</b>" in html
    assert "INV-7" in html
    assert "+12.80" in html
    assert "−12.80" in html
    assert 'role="img" aria-label="Balance after each of' in html
    assert "receives only" in html
    assert "audit" in html


async def test_debit_side_account_is_shown_on_its_natural_side(site: Site) -> None:
    bench = await make_bench(site.ledger)
    bench.accounts["bank"] = await site.ledger.accounts.open_account(
        bench.book.book_id, "bank", "CNY", side=Side.DEBIT, ceiling_minor=0
    )
    await site.ledger.posting.post_one(bench.transfer("bank", "a", 1_280))
    html = await get(site, address(bench, "bank"))
    assert '<p class="big">12.80 CNY</p>' in html
    assert "at least 0.00" in html
    assert "being sealed" in html


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        ("2999-01-01T00:00", 200, "<b>990.00 CNY</b>"),
        ("2001-01-01T00:00:00%2B08:00", 200, "<b>0.00 CNY</b>"),
        ("yesterday", 400, "not a date and time"),
        ("0001-01-01T00:00", 400, "not a date and time"),
        ("9999-12-31T23:59-23:00", 400, "not a date and time"),
    ],
)
@pytest.mark.parametrize("axis", ["recorded", "occurred", "sideways"])
async def test_balance_at_a_moment_is_answered_or_refused(
    site: Site, asked: str, status: int, expected: str, axis: str
) -> None:
    bench = await make_bench(site.ledger)
    await site.ledger.posting.post_one(bench.transfer("equity", "a", 99_000))
    assert expected in await get(site, f"{address(bench, 'a')}?at={asked}&axis={axis}", status)


async def test_transfers_are_told_in_words_with_their_group_and_what_they_refer_to(site: Site) -> None:
    bench = await busy(site)
    page = await site.ledger.reading.statement(bench.book.book_id, bench.accounts["a"].account_id)
    by_code = {(entry.kind.name, entry.code): transfer_text(entry.key) for entry in page.entries}
    reversed_html = await get(site, address(bench, key=by_code["REVERSAL", "undo"]))
    assert "7.00 CNY taken back from “<bdi>b</bdi>” to “<bdi>a</bdi>”" in reversed_html
    original = re.search(r'href="(/ops/ledger/transfers/[^"]+)">the transfer it reverses', reversed_html)
    assert original
    grouped = await get(site, original[1])
    assert "7.00 CNY from “<bdi>a</bdi>” to “<bdi>b</bdi>”" in grouped
    assert "Posted together" in grouped
    assert "3.00</b> CNY" in grouped
    captured = await get(site, address(bench, key=by_code["CAPTURE", "bike"]))
    assert "10.00 CNY captured from “<bdi>a</bdi>” to “<bdi>b</bdi>”" in captured
    held = re.search(r'href="(/ops/ledger/transfers/[^"]+)">the hold it ends', captured)
    assert held
    assert "captured, 10.00 taken" in await get(site, held[1])
    assert "5.00 CNY released to “<bdi>a</bdi>”" in await get(
        site, address(bench, key=by_code["VOID", "bike.void"])
    )


@pytest.mark.parametrize(
    "path",
    [
        "/ops/ledger/books/nobody",
        "/ops/ledger/books/%00",
        "/ops/ledger/books/%3Cscript%3Ealert(1)",
        "/ops/ledger/books/{book}/accounts/acct_zzz",
        f"/ops/ledger/books/{{book}}/accounts/{int_text('acct', 7)}",
        "/ops/ledger/books/nobody/accounts/acct_0000000000007",
        "/ops/ledger/transfers/{book}/tr_01jd3k8v4yefvb3k4g8h2m5n6p",
        "/ops/ledger/transfers/{book}/x",
        "/ops/ledger/transfers/nobody/tr_01jd3k8v4yefvb3k4g8h2m5n6p",
    ],
)
async def test_unknown_things_are_a_page_with_status_404(site: Site, path: str) -> None:
    bench = await make_bench(site.ledger)
    html = await get(site, path.replace("{book}", bench.book.code), 404)
    assert "There is nothing here" in html
    assert "<script>alert" not in html


@pytest.mark.parametrize("before", ["x", "1.2", "9" * 40, "1.1.1.1", "-1.-1"])
async def test_broken_cursor_is_a_page_with_status_400(site: Site, before: str) -> None:
    bench = await busy(site)
    assert "is not right" in await get(site, f"{address(bench, 'a')}?before={before}", 400)


async def test_hostile_names_are_shown_as_text_in_every_page(site: Site) -> None:
    accounts = site.ledger.accounts
    book = await accounts.open_book(f"evil-{site.ledger.ids.int63()}", "empty", f"{SCRIPT}{RTL}{'long' * 50}")
    path = "x/" + "y" * 198
    one = await accounts.open_account(book.book_id, path, "CNY", name='"><img src=x onerror=alert(1)>')
    two = await accounts.open_account(book.book_id, "/".join(["d"] * 100), "CNY", name=RTL)
    await accounts.change_account(
        book.book_id, one.account_id, actor="<b>", reason="</td>{{7*7}}", floor_minor=-1000
    )
    transfer = Transfer(
        key=site.ledger.ids.uuid(),
        book_id=book.book_id,
        debit_account_id=one.account_id,
        credit_account_id=two.account_id,
        amount_minor=1_000,
        asset_id=156,
        code="x",
        reference=f"{SCRIPT}{{0.__class__}}",
    )
    assert (await site.ledger.posting.post_one(transfer)).accepted
    base = f"/ops/ledger/books/{book.code}"
    key = transfer_text(transfer.key)
    for where in (
        f"/ops/ledger?q={book.code}",
        base,
        f"{base}/accounts/{account_text(one.account_id)}",
        f"/ops/ledger/transfers/{book.code}/{key}",
    ):
        reader = read(await get(site, where))
        scripts = {attrs.get("src") for tag, attrs in reader.tags if tag == "script"}
        assert scripts <= {
            pages.ADDRESSES[name]
            for name in ("core.js", "palette.js", "table.js", "chart.js", "live.js", "ledger.js")
        }
        assert {attrs.get("src") for tag, attrs in reader.tags if tag == "img"} == {
            pages.ADDRESSES["mark.svg"]
        }
        assert "b" not in {tag for tag, attrs in reader.tags if "onerror" in attrs}
        assert any(SCRIPT in text for text in reader.text)
    assert "<bdi>" in await get(site, base)


async def test_language_is_chosen_by_address_then_cookie_then_browser(site: Site) -> None:
    assert 'lang="zh-CN" data-theme' in await get(site, "/ops/ledger?lang=zh-CN", language="en")
    assert site.browser.cookies["lang"] == "zh-CN"
    assert 'lang="zh-CN" data-theme' in await get(site, "/ops/ledger", language="en")
    assert 'lang="en" data-theme' in await get(site, "/ops/ledger?lang=en")
    site.browser.cookies.clear()
    for header, language in (
        ("zh;q=0.2, en;q=0.9", "en"),
        ("fr, zh-TW", "zh-CN"),
        ("de;q=x, zh", "zh-CN"),
        ("*", "en"),
        ("", "en"),
    ):
        assert f'lang="{language}" data-theme' in await get(site, "/ops/ledger?lang=tlh", language=header)


@pytest.mark.parametrize(
    ("back", "expected"),
    [
        ("/ops/ledger/books/x?after=a", "/ops/ledger/books/x?after=a"),
        ("//elsewhere.test/", "/"),
        ("/\\elsewhere.test", "/"),
        ("https://elsewhere.test", "/"),
        ("/x\r\nset-cookie: a=b", "/"),
        ("", "/"),
    ],
)
async def test_preferences_are_remembered_and_lead_back_into_the_house(
    site: Site, back: str, expected: str
) -> None:
    answer = await site.browser.post("/preferences", data={"theme": "dark", "elder": "1", "back": back})
    assert (answer.status_code, answer.headers["location"]) == (303, expected)
    assert all(
        "HttpOnly" in cookie and "SameSite=lax" in cookie for cookie in answer.headers.get_list("set-cookie")
    )
    html = await get(site, "/ops/ledger")
    assert 'data-theme="dark" data-elder>' in html
    await site.browser.post("/preferences", data={"theme": "purple", "elder": "0", "lang": "xx"})
    html = await get(site, "/ops/ledger")
    assert 'data-theme="dark">' in html


async def test_forms_from_other_sites_or_too_large_are_refused(site: Site) -> None:
    foreign = await site.browser.post(
        "/preferences", data={"theme": "dark"}, headers={"sec-fetch-site": "cross-site"}
    )
    large = await site.browser.post("/preferences", content=b"x" * 5_000)
    assert (foreign.status_code, large.status_code) == (400, 400)
    assert "set-cookie" not in foreign.headers


async def proved(site: Site, path: str, remembered: str = "", language: str = "en") -> httpx.Response:
    """What the form of a proof is answered."""
    fields = {"remembered": remembered, "csrf": csrf_of(TOKEN)}
    headers = {"origin": "http://ledger.test", "accept-language": language}
    return await site.browser.post(path, data=fields, headers=headers)


async def test_proof_without_its_token_or_from_another_site_is_refused(site: Site) -> None:
    bench = await make_bench(site.ledger)
    path = f"{address(bench)}/verify"
    foreign = await site.browser.post(
        path, data={"csrf": csrf_of(TOKEN)}, headers={"origin": "http://evil.test"}
    )
    without = await site.browser.post(path, headers={"origin": "http://ledger.test"})
    assert (foreign.status_code, without.status_code) == (403, 403)


@pytest.mark.parametrize(
    ("old", "now"),
    [
        ("/books/x?after=a%2Fb", "/ops/ledger/books/x?after=a%2Fb"),
        ("/books/x/accounts/acct_0000000000007", "/ops/ledger/books/x/accounts/acct_0000000000007"),
        ("/books/%2F%2Fevil.test", "/ops/ledger/books/%2F%2Fevil.test"),
        ("/transfers/x/tr_1", "/ops/ledger/transfers/x/tr_1"),
    ],
)
async def test_old_addresses_lead_to_those_of_now(site: Site, old: str, now: str) -> None:
    answer = await site.browser.get(old)
    assert answer.status_code in {308, 404}
    if "%2F%2F" not in old:
        assert (answer.status_code, answer.headers["location"]) == (308, now)


async def test_verify_of_sound_book_says_so_and_of_tampered_one_names_the_row(site: Site, dsn: str) -> None:
    bench = await busy(site)
    path = address(bench) + "/verify"
    sound = await proved(site, path)
    assert sound.status_code == 200
    assert "Nothing is wrong with this book." in sound.text
    head = re.search(r'hash">([0-9a-f]{64})<', sound.text)
    assert head
    assert "Nothing is wrong" in (await proved(site, path, f" {head[1]} ")).text
    assert "History was rewritten" in (await proved(site, path, "ab" * 32)).text
    assert (await proved(site, path, "ab")).status_code == 400
    direct = await asyncpg.connect(dsn)
    change = "UPDATE ledger.transfer SET amount_minor = amount_minor + 1 WHERE book_id = $1 AND reference = 'INV-7' RETURNING key"
    key = await direct.fetchval(change, bench.book.book_id)
    await direct.close()
    tampered = await proved(site, path, language="zh")
    assert "此账簿被改动过或已损坏" in tampered.text
    assert "一笔已封存的转账被修改" in tampered.text
    assert transfer_text(key) in tampered.text
    assert not INLINE.search(tampered.text)
    assert (await proved(site, "/ops/ledger/books/nobody/verify")).status_code == 404


async def test_large_chart_of_accounts_is_paged_within_the_size_of_a_page(site: Site) -> None:
    book = await site.ledger.accounts.open_book(f"large-{site.ledger.ids.int63()}", "empty", "Large")
    for number in range(ledger_views.ACCOUNTS_SHOWN + 10):
        await site.ledger.accounts.open_account(book.book_id, f"pots/{number:03}-{'p' * 180}", "CNY")
    html = await get(site, f"/ops/ledger/books/{book.code}")
    found = re.search(r'href="(/ops/ledger/books/[^"#]+\?after=[^"#]+)', html)
    assert found
    second = await get(site, found[1])
    assert (
        html.count('<th scope="row">') + second.count('<th scope="row">') >= ledger_views.ACCOUNTS_SHOWN + 10
    )
    assert "pots" in second


async def test_tree_adds_up_what_stands_below_each_path(site: Site) -> None:
    bench = await make_bench(site.ledger)
    for code in ("a/x", "a/y", "pots/one", "pots/two"):
        bench.accounts[code] = await site.ledger.accounts.open_account(bench.book.book_id, code, "CNY")
    for number, code in enumerate(("a", "a/x", "a/y", "pots/one", "pots/two"), start=1):
        await site.ledger.posting.post_one(bench.transfer("equity", code, number * 100))
    html = await get(site, address(bench))
    assert "6.00 with 2 below" in html
    assert "path of 2 accounts" in html
    assert re.search(r'<tr class="d1">\s*<th scope="row"><span class="node"><a [^>]+><bdi>a/x</bdi>', html)
    assert ">9.00</td>" in html


async def test_assets_are_small_and_kept_for_ever(site: Site) -> None:
    total = 0
    for address_of in set(
        re.findall(r"/static/ledger/[\w.-]+", (await site.browser.get("/ops/ledger")).text)
    ):
        answer = await site.browser.get(address_of)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        total += len(answer.content)
    assert 0 < total <= KIT_BYTES_MAX
    assert len(gzip.compress(pages.ASSETS[pages.ADDRESSES["ledger.js"].rpartition("/")[2]].content)) < 2_000
    assert (await site.browser.get(pages.STATIC_PREFIX + "/ledger.000.css")).status_code == 404


async def test_busy_database_is_a_page_with_status_503(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise Unavailable("database_busy", "no database connection became free in time")

    monkeypatch.setattr(site.ledger.reading, "trial_balance", away)
    assert "Very busy at the moment" in await get(site, "/ops/ledger", 503)


def test_every_text_has_words_in_every_language_with_the_same_values() -> None:
    fields = re.compile(r"\{(\w+)\}")
    for key, texts in words.TEXTS.items():
        assert len(texts) == len(words.LANGUAGES), key
        assert all(texts), key
        assert set(fields.findall(texts[0])) == set(fields.findall(texts[1])), key
    used = set()
    for path in (pages.HERE / "templates/ops/ledger").glob("*.html"):
        used |= set(re.findall(r"\bt\('(\w+)'[,)]", path.read_text(encoding="utf-8")))
    assert used <= words.TEXTS.keys()


def test_every_template_name_of_the_ledger_is_translated() -> None:
    assert words.account_name("Not yet explained", "zh-CN") == "待查"
    assert words.account_name("Not yet explained", "en") == "Not yet explained"
    assert words.account_name("Lin's own", "zh-CN") == "Lin's own"


@pytest.mark.parametrize(
    ("minor", "scale", "expected"),
    [
        (0, 2, "0.00"),
        (-1_280, 2, "−12.80"),
        (123_456_789, 0, "123,456,789"),
        (1_234, 3, "1.234"),
        (2**62, 2, "46,116,860,184,273,879.04"),
        (1, 18, "0.000000000000000001"),
    ],
)
def test_amounts_keep_every_digit(minor: int, scale: int, expected: str) -> None:
    assert {Figures(language).amount(minor, scale) for language in words.LANGUAGES} == {expected}


def test_ages_never_lie_in_the_future() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert Figures("en").age(now + timedelta(seconds=5), now) == Figures("en").age(now, now)
    assert Figures("en").age(now - timedelta(seconds=3), now) == "3 seconds ago"
    assert Figures("zh-CN").age(now - timedelta(minutes=3), now) == "3分钟前"
