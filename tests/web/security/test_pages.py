"""Every page of the house, walked as each kind of person, with hostile names everywhere: what is in it, and around it.

Pages are found by their links and by the routes of the application, forms on the pages; so new ones are tried by themselves.
"""

import html
import json
from urllib.parse import urlsplit

import httpx
import pytest
from tests.web.security.routes import Form, Looked, Map, is_endless
from tests.web.security.town import MARK, Town
from tests.web.whole_house import BASE

from tongbao.parties.service.sign_in import csrf_of

FOREIGN = "https://evil.test"
ELSEWHERE = (
    FOREIGN,
    "//evil.test",
    "///evil.test",
    "/\\evil.test",
    "\\\\evil.test",
    "/%5cevil.test",
    "/%2f/evil.test",
    "/\t/evil.test",
    "javascript:alert(1)",
    "data:text/html,x",
    " https://evil.test",
    "http:evil.test",
    "/..//evil.test\n",
)
WAYS = ("next", "back", "return", "return_to", "return_url", "to", "url", "wanted", "from")
FORBIDDEN_IN_POLICY = ("unsafe-inline", "unsafe-eval", "*", "http:")
ATTRIBUTES_THAT_LEAD = ("href", "src", "action", "formaction", "data-href")
BY_ITSELF = frozenset({"/preferences", "/views/{table}"})
"""Forms that change nothing but how this browser sees pages; they say where they stand by the origin alone."""


@pytest.fixture(scope="module")
async def pages(town: Town, known: Map) -> list[tuple[httpx.AsyncClient, Looked]]:
    """Every page, with the browser that looked at it."""
    theirs = town.theirs
    walks = (
        (town.staff, ["/", "/me", *known.starts("/ops/")]),
        (theirs.owner, ["/me", *known.starts("/merchant/", merchant=theirs.reference)]),
        (town.payer, known.starts("/wallet/")),
        (town.nobody, ["/welcome", "/sign-in", *theirs.sessions]),
    )
    found = []
    for browser, begin in walks:
        found += [(browser, looked) for looked in await known.walked(browser, begin)]
    closed = [looked.address for _, looked in found if looked.answer.status_code == 403]
    found += [(town.auditor, looked) for looked in await known.walked(town.auditor, closed)]
    return found


def forms(pages: list[tuple[httpx.AsyncClient, Looked]], known: Map) -> list[tuple[httpx.AsyncClient, Form]]:
    """Every form that is sent to this house, one for each route and its fields, with who saw it."""
    found: dict[tuple[object, ...], tuple[httpx.AsyncClient, Form]] = {}
    for browser, looked in pages:
        for form in looked.read.forms:
            if form.method == "post" and form.action:
                place = (known.template(form.action), tuple(sorted(form.fields)))
                found.setdefault(place, (browser, form))
    return list(found.values())


async def sent(
    browser: httpx.AsyncClient, action: str, fields: dict[str, str], origin: str = BASE
) -> httpx.Response:
    """Send a form as a browser does that shows a page of ``origin``."""
    site = "same-origin" if origin == BASE else "cross-site"
    headers = {"origin": origin, "sec-fetch-site": site} if origin else {}
    return await browser.post(action, data=fields, headers=headers)


async def test_no_page_breaks_and_every_private_page_is_kept_by_nobody(
    pages: list[tuple[httpx.AsyncClient, Looked]],
) -> None:
    assert len({looked.template for _, looked in pages}) > 30
    for _, looked in pages:
        answer = looked.answer
        assert answer.status_code < 500, (looked.address, answer.text[:400])
        if "html" in answer.headers.get("content-type", ""):
            assert answer.headers["cache-control"] == "no-store", looked.address


async def test_hostile_names_are_text_wherever_they_stand(
    pages: list[tuple[httpx.AsyncClient, Looked]],
) -> None:
    shown = set()
    for _, looked in pages:
        for tag, attributes in looked.read.elements:
            assert tag != MARK, looked.address
            assert (
                tag != "script" or attributes.get("src", "").startswith("/static/") or is_data(attributes)
            ), looked.address
            assert not [name for name in attributes if name.startswith("on") or name == "style"], (
                looked.address,
                tag,
                attributes,
            )
            for name in ATTRIBUTES_THAT_LEAD:
                scheme = urlsplit(attributes.get(name, "").strip().lower()).scheme
                assert scheme in {"", "http", "https", "mailto", "tel", "data"}, (looked.address, attributes)
        assert f"<{MARK}" not in looked.answer.text.lower(), looked.address
        if MARK in html.unescape(looked.answer.text):
            shown.add(looked.template)
    # The hostile strings were really there to be shown.
    assert len(shown) > 12, sorted(shown)


def is_data(attributes: dict[str, str]) -> bool:
    """Whether a script element holds data alone, which no browser runs."""
    return attributes.get("type") in {"application/json", "application/ld+json"}


async def test_parts_of_pages_are_as_harmless_as_pages(
    pages: list[tuple[httpx.AsyncClient, Looked]],
) -> None:
    for browser, looked in {looked.template: (browser, looked) for browser, looked in pages}.values():
        if looked.answer.status_code != 200 or "html" not in looked.answer.headers["content-type"]:
            continue
        if "data-swap" not in looked.answer.text and "data-drawer" not in looked.answer.text:
            continue
        answer = await browser.get(looked.address, headers={"x-fragment": "1"})
        assert f"<{MARK}" not in answer.text.lower(), looked.address
        assert answer.headers["cache-control"] == "no-store", looked.address


async def test_live_parts_are_as_harmless_as_pages(town: Town, known: Map) -> None:
    for each in known.known:
        if each.method != "GET" or not is_endless(each.path) or not each.is_page:
            continue
        path = each.filled([town.theirs.reference] * len(each.parameters))
        # Which channels there are is told by the refusal of one that is not.
        asked = await town.staff.get(f"{path}?channels=no-such-channel")
        assert asked.status_code in {303, 403, 404}, path
        assert MARK not in asked.text or f"<{MARK}" not in asked.text, path


async def test_every_form_is_refused_without_its_token_and_from_another_site(
    town: Town, known: Map, pages: list[tuple[httpx.AsyncClient, Looked]]
) -> None:
    found = forms(pages, known)
    assert len(found) > 20
    for browser, form in found:
        template = known.template(form.action)
        plain = {name: value for name, value in form.fields.items() if name != "csrf"}
        foreign = await sent(browser, form.action, form.fields, FOREIGN)
        nowhere = await sent(browser, form.action, form.fields, "")
        assert foreign.status_code in {400, 403, 422}, (form.action, foreign.status_code)
        assert nowhere.status_code in {400, 403, 422} or template in BY_ITSELF, (
            form.action,
            nowhere.status_code,
        )
        if template in BY_ITSELF or template.startswith(("/c/", "/l/", "/step-up/", "/books/", "/ui/")):
            # Nobody is signed in there: who holds the address may do it.
            continue
        for token in ("", stranger_token(town, browser)):
            answer = await sent(browser, form.action, plain | ({"csrf": token} if token else {}))
            assert answer.status_code in {400, 401, 403}, (form.action, token, answer.status_code)


def stranger_token(town: Town, browser: httpx.AsyncClient) -> str:
    """The token that goes with somebody else's session."""
    other = town.ours.owner.cookies["session"]
    assert other not in browser.cookies.values()
    return csrf_of(other)


async def test_every_route_of_a_form_refuses_what_stands_on_another_site(town: Town, known: Map) -> None:
    ids = town.theirs.one_each()
    for each in known.known:
        if each.method != "POST" or not each.is_page:
            continue
        values = [town.theirs.reference if name == "merchant" else ids[0] for name in each.parameters]
        for origin in (FOREIGN, "null") if each.path in BY_ITSELF else (FOREIGN, "null", ""):
            answer = await sent(visitor_of(town, each.path), each.filled(values), {"csrf": "0" * 64}, origin)
            assert answer.status_code in {400, 401, 403, 404, 410, 415, 422}, (each.path, origin)


def visitor_of(town: Town, path: str) -> httpx.AsyncClient:
    """Somebody who is signed in where a path leads; nobody where nobody needs to be."""
    faces = {"ops": town.staff, "me": town.staff, "merchant": town.theirs.owner, "wallet": town.payer}
    return faces.get(path.split("/")[1], town.nobody)


async def test_no_way_back_leads_out_of_the_house(
    town: Town, known: Map, pages: list[tuple[httpx.AsyncClient, Looked]]
) -> None:
    ways = [(browser, form) for browser, form in forms(pages, known) if set(WAYS) & set(form.fields)]
    assert {known.template(form.action) for _, form in ways} >= {"/preferences", "/sign-in"}
    for browser, form in ways:
        for address in ELSEWHERE:
            fields = form.fields | dict.fromkeys(set(WAYS) & set(form.fields), address)
            if form.action == "/sign-out" or known.template(form.action).endswith("/sign-out"):
                continue
            stays(await sent(browser, form.action, fields), form.action)
    for address in ELSEWHERE[:6]:
        for path in ("/sign-in", "/wallet/sign-in", "/me"):
            for browser in (town.nobody, town.staff):
                answer = await browser.get(path, params=dict.fromkeys(WAYS, address))
                stays(answer, path)
                assert f'href="{html.escape(address)}"' not in answer.text, path
                assert f'action="{html.escape(address)}"' not in answer.text, path


def stays(answer: httpx.Response, where: str) -> None:
    """Fail where an answer leads a browser anywhere else."""
    target = answer.headers.get("location", "/")
    read = urlsplit(target)
    assert not read.scheme or f"{read.scheme}://{read.netloc}" == BASE, (where, target)
    assert read.scheme or (target.startswith("/") and target[1:2] not in {"/", "\\"}), (where, target)
    assert not any(ord(each) < 32 for each in target), (where, target)


async def test_every_answer_carries_the_headers_that_guard_it(
    town: Town, known: Map, pages: list[tuple[httpx.AsyncClient, Looked]]
) -> None:
    answers = [looked.answer for _, looked in pages]
    for path in ("/no-such-page", "/healthz", "/readyz", "/metrics", "/v2/openapi.json", "/v2/nothing"):
        answers.append(await town.nobody.get(path))
    answers.append(await town.nobody.delete("/sign-in"))
    answers.append(await town.nobody.post("/sign-in", content=b"\xff"))
    answers.append(await town.nobody.get("/static/ledger/no-such-file.css"))
    answers += [await town.nobody.get(link) for link in assets(pages)]
    for each in known.known:
        if each.method == "GET" and not is_endless(each.path) and not each.path.startswith("/v1/"):
            answers.append(await town.nobody.get(each.filled(["x"] * len(each.parameters))))
    for answer in answers:
        guarded(answer)


def guarded(answer: httpx.Response) -> None:
    """Fail where a header is missing that keeps browsers from running, framing or guessing anything."""
    where = answer.request.url.path
    policy = answer.headers.get("content-security-policy", "")
    assert "default-src 'none'" in policy, where
    assert "frame-ancestors 'none'" in policy, where
    assert "base-uri 'none'" in policy, where
    assert not [word for word in FORBIDDEN_IN_POLICY if word in policy], (where, policy)
    assert answer.headers.get("x-frame-options") == "DENY", where
    assert answer.headers.get("x-content-type-options") == "nosniff", where
    assert answer.headers.get("referrer-policy") in {"same-origin", "no-referrer"}, where


def assets(pages: list[tuple[httpx.AsyncClient, Looked]]) -> list[str]:
    """The addresses of every style, script and picture that pages name."""
    links = {
        values.get("href") or values.get("src", "")
        for _, looked in pages
        for _, values in looked.read.elements
    }
    found = sorted(link for link in links if link.startswith("/static/"))
    assert len(found) > 4
    return found


async def test_interface_for_machines_is_never_guessed_to_be_a_page(town: Town) -> None:
    for path in ("/v1/payment_intents", "/v1/nothing", "/v1/openapi.json"):
        answer = await town.whole.send(town.ours.tenant, "GET", path)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers.get("x-content-type-options") == "nosniff", path
        assert answer.headers["cache-control"] == "no-store"


async def test_assets_are_kept_for_ever_under_names_of_their_content(
    town: Town, pages: list[tuple[httpx.AsyncClient, Looked]]
) -> None:
    for link in assets(pages):
        answer = await town.nobody.get(link)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"], link


async def test_hostile_text_in_an_address_is_text_in_the_page(town: Town, known: Map) -> None:
    attack = f"\"'><{MARK}>"
    for browser, prefix, values in (
        (town.staff, "/ops/", {}),
        (town.theirs.owner, "/merchant/", {"merchant": town.theirs.reference}),
        (town.payer, "/wallet/", {}),
        (town.nobody, "/sign-in/", {}),
    ):
        for address in known.starts(prefix, **values):
            asked = dict.fromkeys(
                (
                    "q",
                    "query",
                    "state",
                    "after",
                    "before",
                    "cursor",
                    "sort",
                    "view",
                    "from",
                    "to",
                    "said",
                    "on",
                ),
                attack,
            )
            answer = await browser.get(address, params=asked)
            assert answer.status_code < 500, address
            assert f"<{MARK}" not in answer.text.lower(), address
    for each in known.known:
        if each.method == "GET" and each.is_page and each.parameters and not is_endless(each.path):
            odd = [town.theirs.reference if name == "merchant" else f"<{MARK}>" for name in each.parameters]
            answer = await visitor_of(town, each.path).get(each.filled(odd))
            assert answer.status_code < 500, each.path
            assert f"<{MARK}" not in answer.text.lower(), each.path


async def test_errors_of_machines_tell_what_was_sent_as_data(town: Town) -> None:
    answer = await town.nobody.get(f"/v2/<{MARK}>")
    assert answer.headers["content-type"].startswith("application/json")
    assert json.loads(answer.text)["error"]["code"] == "route_unknown"
