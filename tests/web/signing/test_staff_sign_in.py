"""People sign in: cookies, new tokens, equal answers, requests of other sites, ends by the clock."""

import re
from datetime import timedelta

import pytest
from fastapi import Request
from tests.parties.conftest import PASSWORD
from tests.web.signing.conftest import CSRF, Browser
from tests.web.whole_house import BASE

from tongbao.core.errors import LimitExceeded, NotFound
from tongbao.core.ids import uuid_text
from tongbao.parties.errors import GrantTooWide, PermissionMissing
from tongbao.parties.schema import (
    SESSION_PREFIX,
    MerchantRole,
    OperatorPermission,
    OperatorRole,
    Permission,
)
from tongbao.web.locale import frames as frame_words
from tongbao.web.locale import signing as words
from tongbao.web.signing.pacing import Paces, Try
from tongbao.web.signing.rooms import guards_of

NEW = "eleven brave otters swim"
OPTIONS = re.compile(r'data-options="[^"]*"')
ELSEWHERE = {
    "//evil.example",
    "/\\evil.example",
    "https://evil.example",
    "https:evil.example",
    "%2f%2fevil.example",
    "/%2fevil.example",
    "/%5cevil.example",
    "/\nevil",
    "/a\r\nSet-Cookie: x=1",
    "/a//evil",
    "javascript:alert(1)",
    "evil.example",
    "/" + "a" * 3_000,
}
HOSTILE = '"><script>alert(1)</script>'


async def test_password_opens_a_session_in_a_cookie_that_no_script_and_no_other_site_has(
    browser: Browser,
) -> None:
    answer = await browser.sign_in(await browser.staff(OperatorRole.RISK))
    assert (answer.status_code, answer.headers["location"]) == (303, "/ops")
    cookie = next(each for each in answer.headers.get_list("set-cookie") if each.startswith("session="))
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/" in cookie
    assert "Lin Bo" in await browser.get("/me")


async def test_signing_in_makes_a_new_token_and_ends_the_one_before(browser: Browser) -> None:
    person = await browser.staff(OperatorRole.RISK)
    await browser.sign_in(person)
    before = browser.http.cookies["session"]
    await browser.sign_in(person)
    after = browser.http.cookies["session"]
    assert before != after
    browser.http.cookies.clear()
    browser.http.cookies.set("session", before)
    assert (await browser.http.get("/me")).headers["location"] == "/sign-in?next=/me"


async def test_token_that_somebody_planted_is_not_the_one_of_the_session(browser: Browser) -> None:
    person = await browser.staff(OperatorRole.RISK)
    csrf = await browser.csrf("/sign-in")
    planted = "f" * 64
    fields = {"email": person.email, "password": PASSWORD, "csrf": csrf}
    visit = browser.http.cookies["visit"]
    answer = await browser.http.post(
        "/sign-in", data=fields, headers={"origin": BASE, "cookie": f"visit={visit}; session={planted}"}
    )
    assert answer.status_code == 303
    assert f"session={planted}" not in str(answer.headers.get_list("set-cookie"))


async def test_unknown_address_and_wrong_password_get_the_same_page(browser: Browser, other: Browser) -> None:
    person = await browser.staff(OperatorRole.RISK)
    known = await browser.sign_in(person, "not the password of her")
    fields = {"email": person.email, "password": "not the password of her"}
    unknown = await other.post("/sign-in", fields | {"email": "no.one@example.com"}, "/sign-in")
    assert (known.status_code, unknown.status_code) == (401, 401)
    assert words.TEXTS["p_sign_in_refused"][0] in known.text
    told = [
        CSRF.sub("", OPTIONS.sub("", each.text.replace(person.email, "@").replace("no.one@example.com", "@")))
        for each in (known, unknown)
    ]
    assert told[0] == told[1]


async def test_fifth_wrong_password_locks_and_says_how_long(browser: Browser) -> None:
    person = await browser.staff(OperatorRole.RISK)
    for _ in range(5):
        answer = await browser.sign_in(person, "not the password of her")
    assert answer.status_code == 401
    locked = await browser.sign_in(person)
    assert locked.status_code == 429
    assert "Try again in 1 min" in locked.text


@pytest.mark.parametrize("field", ["missing", "wrong", "other"])
async def test_form_without_the_token_of_its_visit_is_refused(
    browser: Browser, other: Browser, field: str
) -> None:
    person = await browser.staff(OperatorRole.RISK)
    csrf = {
        "missing": "",
        "wrong": "0" * 64,
        "other": await other.csrf("/sign-in"),
    }[field]
    await browser.get("/sign-in")
    fields = {"email": person.email, "password": PASSWORD, "csrf": csrf}
    assert (await browser.post("/sign-in", fields)).status_code == 403
    assert "session" not in browser.http.cookies


@pytest.mark.parametrize("field", ["missing", "wrong", "other"])
async def test_form_without_the_token_of_its_session_is_refused(
    browser: Browser, other: Browser, field: str
) -> None:
    await browser.sign_in(await browser.staff(OperatorRole.RISK))
    await other.sign_in(await other.staff(OperatorRole.RISK))
    csrf = {"missing": "", "wrong": "0" * 64, "other": await other.csrf("/me")}[field]
    answer = await browser.post("/me/name", {"name": "Somebody Else", "locale": "en", "csrf": csrf})
    assert answer.status_code == 403
    assert "Somebody Else" not in await browser.get("/me")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", ""])
async def test_form_of_another_site_is_refused(browser: Browser, origin: str) -> None:
    person = await browser.staff(OperatorRole.RISK)
    fields = {"email": person.email, "password": PASSWORD}
    assert (await browser.post("/sign-in", fields, "/sign-in", origin=origin)).status_code == 403


async def test_page_under_a_strange_name_is_not_answered(browser: Browser) -> None:
    await browser.sign_in(await browser.staff(OperatorRole.RISK))
    answer = await browser.http.get("/me", headers={"host": "evil.example"})
    assert answer.status_code in {303, 403}
    assert "Lin Bo" not in answer.text


async def test_visit_of_yesterday_and_one_of_nobody_sign_nobody_in(browser: Browser) -> None:
    person = await browser.staff(OperatorRole.RISK)
    csrf = await browser.csrf("/sign-in")
    browser.whole.clock.advance(timedelta(hours=2))
    fields = {"email": person.email, "password": PASSWORD, "csrf": csrf}
    assert (await browser.post("/sign-in", fields)).status_code == 403
    for forged in ("5.abc.def", "", "x" * 300, "zz.a"):
        answer = await browser.http.post(
            "/sign-in", data=fields, headers={"origin": BASE, "cookie": f"visit={forged}"}
        )
        assert answer.status_code == 403


async def test_session_ends_after_a_quarter_of_an_hour_of_nothing_and_after_eight_hours(
    browser: Browser,
) -> None:
    clock = browser.whole.clock
    await browser.sign_in(await browser.staff(OperatorRole.RISK))
    clock.advance(timedelta(minutes=14))
    await browser.get("/me")
    clock.advance(timedelta(minutes=15))
    assert (await browser.http.get("/me")).status_code == 303
    await browser.sign_in(await browser.staff(OperatorRole.RISK))
    for _ in range(8 * 6 - 1):
        clock.advance(timedelta(minutes=10))
        await browser.get("/me")
    clock.advance(timedelta(minutes=10))
    assert (await browser.http.get("/me")).status_code == 303


@pytest.mark.parametrize("wanted", sorted(ELSEWHERE))
async def test_next_never_leads_to_another_site(browser: Browser, wanted: str) -> None:
    answer = await browser.sign_in(await browser.staff(OperatorRole.RISK), wanted=wanted)
    assert (answer.status_code, answer.headers["location"]) == (303, "/ops")


async def test_page_that_was_wanted_comes_after_signing_in(browser: Browser) -> None:
    asked = await browser.http.get("/me?x=1&y=a%20b")
    assert asked.status_code == 303
    wanted = asked.headers["location"]
    assert wanted == "/sign-in?next=/me%3Fx%3D1%26y%3Da%2520b"
    assert 'name="next" value="/me?x=1&amp;y=a%20b"' in await browser.get(wanted)
    answer = await browser.sign_in(await browser.staff(OperatorRole.RISK), wanted="/me?x=1&y=a%20b")
    assert answer.headers["location"] == "/me?x=1&y=a%20b"


async def test_form_of_a_session_that_is_over_is_a_page_and_no_redirect(browser: Browser) -> None:
    answer = await browser.post("/me/name", {"name": "A"})
    assert answer.status_code == 401
    assert "You are signed out" in answer.text
    fragment = await browser.http.get("/me", headers={"x-fragment": "1"})
    assert fragment.status_code == 401


async def test_signing_out_ends_the_session_and_takes_the_cookie(browser: Browser) -> None:
    await browser.sign_in(await browser.staff(OperatorRole.RISK))
    token = browser.http.cookies["session"]
    answer = await browser.post("/sign-out", {}, "/me")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?said=signed_out")
    assert "session" not in browser.http.cookies
    browser.http.cookies.set("session", token)
    assert (await browser.http.get("/me")).status_code == 303


def test_tries_of_one_machine_are_paced() -> None:
    seconds = [0.0]
    paces = Paces(seconds=lambda: seconds[0])
    burst, per_minute = Try.CODE.value
    for _ in range(burst):
        paces.take(Try.CODE, "203.0.113.9")
    with pytest.raises(LimitExceeded) as refused:
        paces.take(Try.CODE, "203.0.113.9")
    assert refused.value.facts["retry_after_s"] == 60 // per_minute
    paces.take(Try.CODE, "203.0.113.10")
    paces.take(Try.SIGN_IN, "203.0.113.9")
    seconds[0] = 60 / per_minute
    paces.take(Try.CODE, "203.0.113.9")


async def test_names_that_are_markup_are_shown_as_text(browser: Browser) -> None:
    await browser.sign_in(await browser.staff(OperatorRole.RISK))
    answer = await browser.post("/me/name", {"name": HOSTILE, "locale": "en"}, "/me")
    assert answer.status_code == 303
    page = await browser.get("/me")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    wrong = await browser.post("/sign-in", {"email": HOSTILE, "password": "x"}, "/sign-in")
    assert "<script>alert" not in wrong.text


async def test_password_is_changed_with_the_present_one_and_ends_other_sessions(
    browser: Browser, other: Browser
) -> None:
    person = await browser.staff(OperatorRole.RISK)
    await browser.sign_in(person)
    await other.sign_in(person)
    wrong = await browser.post("/me/password", {"password": "not it at all", "new": NEW}, "/me")
    assert wrong.status_code == 401
    weak = await browser.post("/me/password", {"password": PASSWORD, "new": "short"}, "/me")
    assert (weak.status_code, words.TEXTS["p_password_invalid"][0] in weak.text) == (400, True)
    before = browser.http.cookies["session"]
    done = await browser.post("/me/password", {"password": PASSWORD, "new": NEW}, "/me")
    assert done.headers["location"] == "/me?said=password_changed"
    assert browser.http.cookies["session"] != before
    assert words.TEXTS["said_password_changed"][0] in await browser.get("/me?said=password_changed")
    assert (await other.http.get("/me")).status_code == 303
    assert (await other.sign_in(person)).status_code == 401
    assert (await other.sign_in(person, NEW)).status_code == 303


async def test_session_of_another_browser_is_ended_and_one_of_another_person_is_not(
    browser: Browser, other: Browser
) -> None:
    person, stranger = await browser.staff(OperatorRole.RISK), await browser.staff(OperatorRole.RISK)
    await browser.sign_in(person)
    await other.sign_in(stranger)
    theirs = (await browser.whole.house.parties.sign_in.sessions(stranger.person_id))[0]
    reference = uuid_text(SESSION_PREFIX, theirs.session_id)
    assert (await browser.post("/me/end", {"session": reference}, "/me")).status_code == 404
    await other.get("/me")
    await other.sign_in(person)
    page = await browser.get("/me")
    mine = re.findall(r'name="session" value="(session_\w+)"', page)
    assert len(mine) == 1
    await browser.post("/me/end", {"session": mine[0]}, "/me")
    assert (await other.http.get("/me")).status_code == 303


async def test_recovery_code_sets_a_password_once(browser: Browser, other: Browser) -> None:
    person = await browser.staff(OperatorRole.RISK)
    await browser.sign_in(person)
    made = await browser.post("/me/codes", {}, "/me")
    codes = re.findall(r"\b[a-z2-7]{4}(?:-[a-z2-7]{4}){3}\b", made.text)
    assert len(set(codes)) == 10
    fields = {"email": person.email, "code": codes[0].upper().replace("-", " "), "password": NEW}
    weak = await other.post("/sign-in/recover", fields | {"password": "short"}, "/sign-in/recover")
    assert weak.status_code == 400
    done = await other.post("/sign-in/recover", fields, "/sign-in/recover")
    assert done.headers["location"] == "/sign-in?said=password_set"
    assert (await browser.http.get("/me")).status_code == 303
    again = await other.post("/sign-in/recover", fields, "/sign-in/recover")
    nobody = await other.post(
        "/sign-in/recover", fields | {"email": "no.one@example.com"}, "/sign-in/recover"
    )
    assert (again.status_code, nobody.status_code) == (401, 401)
    assert (await other.sign_in(person, NEW)).status_code == 303


async def test_link_of_an_operator_sets_a_password_once_and_within_the_hour(browser: Browser) -> None:
    whole = browser.whole
    person = await browser.staff(OperatorRole.RISK)
    security = await whole.house.parties.access.who(
        await whole.people.token(await browser.staff(OperatorRole.SECURITY))
    )
    recovering = whole.house.parties.recovering
    late = (await recovering.make_link(security.operator, person.person_id)).get_secret_value()
    whole.clock.advance(timedelta(hours=1))
    assert words.TEXTS["p_link_dead"][0] in await browser.get(f"/sign-in/reset/{late}", 401)
    token = (await recovering.make_link(security.operator, person.person_id)).get_secret_value()
    path = f"/sign-in/reset/{token}"
    assert person.email in await browser.get(path)
    assert (await browser.post(path, {"password": "short"}, path)).status_code == 400
    assert (await browser.post(path, {"password": NEW}, path)).status_code == 303
    assert (await browser.http.get(path)).status_code == 401
    assert (await browser.sign_in(person, NEW)).status_code == 303
    with pytest.raises(PermissionMissing):
        await recovering.make_link(
            (await whole.house.parties.access.who(browser.http.cookies["session"])).operator, person.person_id
        )
    with pytest.raises(GrantTooWide):
        await recovering.make_link(security.operator, security.person.person_id)


async def test_what_lets_somebody_back_in_needs_a_fresh_sign_in(browser: Browser) -> None:
    await browser.sign_in(await browser.staff(OperatorRole.RISK))
    for _ in range(2):
        browser.whole.clock.advance(timedelta(minutes=10))
        page = await browser.get("/me")
    assert 'data-passkey="create"' not in page
    answer = await browser.post("/me/codes", {}, "/me")
    assert (answer.status_code, words.TEXTS["p_sign_in_again"][0] in answer.text) == (403, True)


async def test_member_of_one_merchant_finds_no_other(browser: Browser, other: Browser) -> None:
    mine, merchant = await browser.member(MerchantRole.VIEWER)
    _, foreign = await other.member(MerchantRole.OWNER)
    await browser.sign_in(mine)
    guards = guards_of(browser.whole.house)
    found = await guards.at_merchant(asking(browser, "/"), merchant, Permission.PAYMENTS_READ)
    assert (found.role, found.scope.live, found.may(Permission.KEYS_READ)) == (
        MerchantRole.VIEWER,
        False,
        False,
    )
    live = await guards.at_merchant(asking(browser, "/", b"mode=live"), merchant)
    assert live.scope.live
    for name in (foreign, "acct_999999999", "nonsense", "acct_-1", ""):
        with pytest.raises(NotFound):
            await guards.at_merchant(asking(browser, "/"), name)
    with pytest.raises(PermissionMissing):
        await guards.at_merchant(asking(browser, "/"), merchant, Permission.KEYS_WRITE)
    with pytest.raises(PermissionMissing):
        await guards.operator(asking(browser, "/"), OperatorPermission.CASES_READ)


async def test_pages_of_the_house_say_who_may_see_them(browser: Browser) -> None:
    person, _ = await browser.member(MerchantRole.OWNER)
    await browser.sign_in(person)
    page = await browser.get("/ops/risk", 403)
    assert "cases.read" in page
    assert "Risk analyst" in page
    assert "风控分析员" in await browser.get("/ops/risk", 403, "zh-CN")
    assert (await browser.http.get("/ops/ledger/books/house")).status_code == 403
    assert (await browser.http.get("/ops/ledger")).status_code == 403


async def test_books_are_for_those_who_may_read_them(browser: Browser) -> None:
    assert (await browser.http.get("/ops/ledger")).headers["location"] == "/sign-in?next=/ops/ledger"
    await browser.sign_in(await browser.staff(OperatorRole.AUDITOR))
    await browser.get("/ops/ledger")
    kept = await browser.http.post("/preferences", data={"lang": "zh-CN", "back": "/"})
    assert kept.status_code == 303


async def test_every_page_of_sign_in_is_in_both_languages(browser: Browser) -> None:
    for path in ("/sign-in", "/sign-in/recover", "/wallet/sign-in", "/wallet/join", "/"):
        english, chinese = await browser.get(path), await browser.get(path, language="zh-CN")
        assert '<html lang="en"' in english
        assert '<html lang="zh-CN"' in chinese
        assert "<h1>" in english
    for key, texts in (*words.TEXTS.items(), *frame_words.TEXTS.items()):
        assert all(texts), key
        named, named_too = (set(re.findall(r"{(\w+)}", each)) for each in texts)
        assert named == named_too, key


def asking(browser: Browser, path: str, query: bytes = b"") -> Request:
    """A request of a browser that is signed in, as a guard sees it."""
    cookies = "; ".join(f"{name}={value}" for name, value in browser.http.cookies.items())
    return Request(
        {
            "type": "http",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "query_string": query,
            "server": ("localhost", 80),
            "headers": [(b"host", b"localhost"), (b"cookie", cookies.encode())],
            "client": ("127.0.0.1", 1),
        }
    )
