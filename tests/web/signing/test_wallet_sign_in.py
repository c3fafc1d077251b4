"""Payers sign in: codes, new wallets, remembered browsers, and the day that a recovery takes."""

from datetime import timedelta

import pytest
from tests.web.signing.conftest import Browser

from tongbao.parties.schema import OperatorRole
from tongbao.web.locale import signing as words

SECURITY, HOME = "/wallet/security", "/wallet"


def address(browser: Browser) -> str:
    """An address that nobody else has."""
    return browser.whole.people.email()


async def test_wallet_is_opened_with_a_name_an_address_and_a_code(browser: Browser, other: Browser) -> None:
    contact = address(browser)
    answer = await browser.join("Li Na <b>", contact)
    assert (answer.status_code, answer.headers["location"]) == (303, HOME)
    cookie = next(each for each in answer.headers.get_list("set-cookie") if each.startswith("wallet="))
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    page = await browser.get(SECURITY)
    assert "<b>" not in page.split("<main")[0]
    assert f"{contact[:1]}***@" in page
    path, code = await other.code_for(contact.upper())
    back = await other.post(path, {"code": code}, path)
    assert back.headers["location"] == HOME


async def test_token_is_new_with_each_sign_in_and_the_old_one_dead(browser: Browser) -> None:
    contact = address(browser)
    await browser.join("Li Na", contact)
    before = browser.http.cookies["wallet"]
    path, code = await browser.code_for(contact)
    await browser.post(path, {"code": code}, path)
    assert browser.http.cookies["wallet"] != before
    browser.http.cookies.clear()
    browser.http.cookies.set("wallet", before)
    assert (await browser.http.get(SECURITY)).headers["location"] == f"/wallet/sign-in?next={SECURITY}"


async def test_cookie_of_a_payer_is_none_of_a_person_and_the_other_way_round(
    browser: Browser, other: Browser
) -> None:
    await browser.join("Li Na", address(browser))
    token = browser.http.cookies["wallet"]
    browser.http.cookies.set("session", token)
    assert (await browser.http.get("/me")).status_code == 303
    await other.sign_in(await other.staff(OperatorRole.RISK))
    other.http.cookies.set("wallet", other.http.cookies["session"])
    assert (await other.http.get(SECURITY)).status_code == 303


async def test_address_that_nobody_has_gets_the_same_pages_and_no_code_is_right(browser: Browser) -> None:
    path, code = await browser.code_for(address(browser))
    assert code == ""
    for guess in ("000000", "123456"):
        answer = await browser.post(path, {"code": guess}, path)
        assert (answer.status_code, words.TEXTS["p_code_wrong"][0] in answer.text) == (401, True)


async def test_code_is_good_once_in_its_visit_and_for_ten_minutes(browser: Browser, other: Browser) -> None:
    contact = address(browser)
    await browser.join("Li Na", contact)
    path, code = await browser.code_for(contact)
    await other.get("/wallet/sign-in")
    stolen = await other.post(path, {"code": code}, "/wallet/sign-in")
    assert stolen.status_code == 401
    malformed = await browser.post(path, {"code": "12ab"}, path)
    assert (malformed.status_code, words.TEXTS["p_code_invalid"][0] in malformed.text) == (400, True)
    assert (await browser.post(path, {"code": f"{code[:3]} {code[3:]}"}, path)).status_code == 303
    again = await browser.http.get(path)
    assert again.status_code == 410
    late_path, late = await browser.code_for(contact)
    csrf = await browser.csrf(late_path)
    browser.whole.clock.advance(timedelta(minutes=10))
    answer = await browser.post(late_path, {"code": late, "csrf": csrf})
    assert (answer.status_code, words.TEXTS["p_code_over"][0] in answer.text) == (401, True)


async def test_fifth_wrong_code_closes_it_and_the_sixth_code_of_an_hour_is_not_sent(browser: Browser) -> None:
    contact = address(browser)
    await browser.join("Li Na", contact)
    path, code = await browser.code_for(contact)
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    csrf = await browser.csrf(path)
    for _ in range(5):
        assert (await browser.post(path, {"code": wrong, "csrf": csrf})).status_code == 401
    right = await browser.post(path, {"code": code, "csrf": csrf})
    assert words.TEXTS["p_code_over"][0] in right.text
    for _ in range(3):
        await browser.code_for(contact)
    refused = await browser.post("/wallet/sign-in/code", {"contact": contact}, "/wallet/sign-in")
    assert (refused.status_code, "Try again in 60 min" in refused.text) == (429, True)


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"contact": "nobody@"}, "p_email_invalid"),
        ({"contact": "abc"}, "p_phone_invalid"),
        ({"contact": "a@b.example", "name": " "}, "p_name_invalid"),
    ],
)
async def test_what_cannot_be_is_said_and_what_was_typed_stays(
    browser: Browser, fields: dict[str, str], key: str
) -> None:
    answer = await browser.post("/wallet/join", {"name": "Li Na"} | fields, "/wallet/join")
    assert (answer.status_code, words.TEXTS[key][0] in answer.text) == (400, True)
    assert f'value="{fields["contact"]}"' in answer.text


async def test_remembered_browser_spares_the_address_until_it_is_forgotten(browser: Browser) -> None:
    contact = address(browser)
    await browser.join("Li Na", contact, remember="1")
    assert words.TEXTS["remember_this"][0] not in await browser.get(SECURITY)
    await browser.post("/wallet/sign-out", {}, SECURITY)
    assert words.TEXTS["known_here"][0] in await browser.get("/wallet/sign-in")
    asked = await browser.post("/wallet/sign-in/code", {"device": "1"}, "/wallet/sign-in")
    path = asked.headers["location"]
    assert f"{contact[:1]}***@" in await browser.get(path)
    assert (await browser.http.get(SECURITY)).status_code == 303  # it signs nobody in
    path, code = await browser.code_for(contact)
    await browser.post(path, {"code": code}, path)
    page = await browser.get(SECURITY)
    device = page.split('name="device" value="')[1].split('"')[0]
    await browser.post(f"{SECURITY}/forget-device", {"device": device}, SECURITY)
    assert words.TEXTS["known_here"][0] not in await browser.get("/wallet/sign-in")
    assert (await browser.post(f"{SECURITY}/forget-device", {"device": device}, SECURITY)).status_code == 404


async def test_payer_ends_own_sessions_and_nobody_elses(browser: Browser, other: Browser) -> None:
    contact = address(browser)
    await browser.join("Li Na", contact)
    await other.join("Tom", address(other))
    theirs = (await other.get(SECURITY)).count('name="session"')
    assert theirs == 0
    payer = (await browser.whole.house.parties.payer_sign_in.signed_in(other.http.cookies["wallet"])).session
    reference = f"psess_{payer.session_id.hex}"
    answer = await browser.post(f"{SECURITY}/end", {"session": reference}, SECURITY)
    assert answer.status_code == 404
    await other.get(SECURITY)
    path, code = await other.code_for(contact)
    await other.post(path, {"code": code}, path)
    await browser.post(f"{SECURITY}/end-others", {}, SECURITY)
    assert (await other.http.get(SECURITY)).status_code == 303


async def test_session_of_a_payer_ends_by_the_clock(browser: Browser) -> None:
    clock = browser.whole.clock
    await browser.join("Li Na", address(browser))
    clock.advance(timedelta(minutes=14))
    await browser.get(SECURITY)
    clock.advance(timedelta(minutes=15))
    assert (await browser.http.get(SECURITY)).status_code == 303
    await browser.join("Li Na", address(browser))
    for _ in range(12 * 6 - 1):
        clock.advance(timedelta(minutes=10))
        await browser.get(SECURITY)
    clock.advance(timedelta(minutes=10))
    assert (await browser.http.get(SECURITY)).status_code == 303


@pytest.mark.parametrize("csrf", ["", "0" * 64])
async def test_form_of_the_wallet_carries_the_token_of_its_session(browser: Browser, csrf: str) -> None:
    await browser.join("Li Na", address(browser))
    assert (await browser.post(f"{SECURITY}/remember", {"csrf": csrf})).status_code == 403
    foreign = await browser.post(f"{SECURITY}/remember", {}, SECURITY, origin="https://evil.example")
    assert foreign.status_code == 403
    assert (await browser.post(f"{SECURITY}/burn", {}, SECURITY)).status_code == 400


async def test_next_of_the_wallet_leads_nowhere_else(browser: Browser) -> None:
    answer = await browser.join("Li Na", address(browser), next="//evil.example")
    assert answer.headers["location"] == HOME
    path, code = await browser.code_for(address(browser))
    assert 'name="next"' not in await browser.get(f"{path}?next=//evil.example")
    assert code == ""
    assert (await browser.http.get("/wallet/sign-in/code/nonsense")).status_code == 404
