"""Signing in and out of ``/v2``, and what a signed-in browser may do: cookies, forgery, modes, limits."""

import base64
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
from tests.parties.conftest import PASSWORD, scope_of
from tests.web.v2_house import BASE, V2, Tenant, open_v2, session_headers

from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.parties.schema import MerchantRole, MerchantState, OperatorRole, Permission, Person
from tongbao.web.api.v1.limits import Limits, Rates

WALLET = {"name": "Mei", "currency": "CNY"}


@pytest.fixture(scope="module")
async def v2(database: Database, ids: IdFactory) -> AsyncIterator[V2]:
    async with open_v2(database, ids) as opened:
        yield opened


@pytest.fixture
async def tenant(v2: V2) -> Tenant:
    return await v2.tenant()


@pytest.fixture
async def browser(v2: V2) -> AsyncIterator[httpx.AsyncClient]:
    async with v2.client() as client:
        yield client


async def member(v2: V2, tenant: Tenant, role: MerchantRole = MerchantRole.OWNER) -> Person:
    return await v2.people.member(scope_of(tenant.merchant), role, PASSWORD)


def code_of(answer: httpx.Response) -> str:
    code: str = answer.json()["error"]["code"]
    return code


async def test_session_from_sign_in_to_sign_out(v2: V2, tenant: Tenant, browser: httpx.AsyncClient) -> None:
    person = await member(v2, tenant)
    csrf = await v2.signed_in(person, browser)
    assert set(browser.cookies) == {"session"}
    shown = (await browser.get("/v2/session")).json()
    assert shown["email"] == person.email
    assert shown["merchants"] == [{"merchant": session_headers(tenant)["Tongbao-Merchant"], "role": "owner"}]
    assert shown["house_permissions"] == []
    assert shown["csrf_token"] == csrf["X-CSRF-Token"]
    assert "token" not in shown

    token = browser.cookies["session"]
    ended = await browser.delete("/v2/session", headers=csrf)
    assert (ended.status_code, ended.content) == (204, b"")
    assert not browser.cookies
    again = await browser.get("/v2/session", headers={"Cookie": f"session={token}"})
    assert (again.status_code, code_of(again)) == (401, "session_invalid")


@pytest.mark.parametrize(
    ("base", "address", "cookie", "attributes"),
    [
        (BASE, "127.0.0.1", "session", ("httponly", "samesite=lax", "path=/")),
        ("http://127.0.0.1:8000", "127.0.0.1", "session", ("httponly", "samesite=lax", "path=/")),
        ("http://[::1]:8000", "::1", "session", ("httponly", "samesite=lax", "path=/")),
        (
            "https://pay.example.com",
            "203.0.113.7",
            "__Host-session",
            ("httponly", "samesite=lax", "path=/", "secure"),
        ),
    ],
)
async def test_sign_in_sets_the_cookie_that_the_connection_can_keep(
    v2: V2, tenant: Tenant, base: str, address: str, cookie: str, attributes: tuple[str, ...]
) -> None:
    person = await member(v2, tenant)
    async with v2.client(base, address) as client:
        answer = await client.post("/v2/session", json={"email": person.email, "password": PASSWORD})
    name, _, rest = answer.headers["Set-Cookie"].partition("=")
    assert name == cookie
    _, *found = (part.strip().lower() for part in rest.split(";"))
    assert sorted(found) == sorted(attributes)


@pytest.mark.parametrize(
    ("base", "address"),
    [
        ("http://pay.example.com", "203.0.113.7"),
        ("http://pay.example.com", "127.0.0.1"),
        ("http://localhost", "203.0.113.7"),
    ],
)
async def test_sign_in_over_plain_http_from_elsewhere_is_refused(
    v2: V2, tenant: Tenant, base: str, address: str
) -> None:
    person = await member(v2, tenant)
    async with v2.client(base, address) as client:
        answer = await client.post("/v2/session", json={"email": person.email, "password": PASSWORD})
    assert (answer.status_code, code_of(answer)) == (403, "https_required")
    assert "Set-Cookie" not in answer.headers


async def test_local_cookie_over_tls_is_no_session(v2: V2, tenant: Tenant) -> None:
    token = await v2.people.token(await member(v2, tenant))
    async with v2.client("https://pay.example.com") as client:
        planted = await client.get("/v2/session", headers={"Cookie": f"session={token}"})
        own = await client.get("/v2/session", headers={"Cookie": f"__Host-session={token}"})
    assert (planted.status_code, own.status_code) == (401, 200)


async def test_sign_in_with_an_unknown_address_and_a_wrong_password_is_told_the_same(
    v2: V2, tenant: Tenant, browser: httpx.AsyncClient
) -> None:
    person = await member(v2, tenant)
    disabled = await member(v2, tenant)
    async with v2.house.database.transaction() as connection:
        await v2.parties.people.disable(connection, v2.people.operator, disabled.person_id)
    told = [
        await browser.post("/v2/session", json={"email": email, "password": password})
        for email, password in (
            (person.email, "wrong wrong wrong"),
            ("nobody@example.com", PASSWORD),
            (disabled.email, PASSWORD),
        )
    ]
    assert {answer.status_code for answer in told} == {401}
    assert len({answer.content for answer in told}) == 1
    assert {code_of(answer) for answer in told} == {"sign_in_refused"}
    assert not browser.cookies


async def test_sign_in_after_too_many_wrong_ones_is_locked(
    v2: V2, tenant: Tenant, browser: httpx.AsyncClient
) -> None:
    person = await member(v2, tenant)
    for email in (person.email, "somebody@example.com"):
        for _ in range(5):
            await browser.post("/v2/session", json={"email": email, "password": "wrong wrong wrong"})
        locked = await browser.post("/v2/session", json={"email": email, "password": PASSWORD})
        assert (locked.status_code, code_of(locked)) == (429, "sign_in_locked")
        assert locked.headers["Retry-After"] == "60"
    v2.house.clock.advance(timedelta(seconds=61))
    assert await v2.signed_in(person, browser)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "request_invalid"),
        ({"email": "a@b.c"}, 400, "request_invalid"),
        ({"email": 1, "password": "x"}, 400, "request_invalid"),
        ({"email": "a\0@b.c", "password": "x"}, 400, "request_invalid"),
        ({"email": "a@b.c", "password": "x", "remember": True}, 400, "request_invalid"),
        ({"email": "a@b.c", "password": "p" * 129}, 400, "password_invalid"),
        ({"email": "a@b.c", "password": "x\0y"}, 401, "sign_in_refused"),
        ({"email": "a@b.c", "password": "4242424242424242"}, 401, "sign_in_refused"),
        ({"email": "4242424242424242", "password": "x"}, 400, "card_data_not_allowed_here"),
    ],
)
async def test_sign_in_with_a_bad_body_is_refused(
    v2: V2, body: dict[str, object], status: int, code: str
) -> None:
    answer = await v2.http.post("/v2/session", json=body)
    assert (answer.status_code, code_of(answer)) == (status, code), answer.text
    assert "p" * 129 not in answer.text


async def test_sign_in_by_a_form_of_another_page_is_refused(v2: V2) -> None:
    answer = await v2.http.post("/v2/session", data={"email": "a@b.c", "password": "x"})
    assert (answer.status_code, code_of(answer)) == (415, "content_type_wrong")


async def test_sign_in_again_ends_the_session_before(
    v2: V2, tenant: Tenant, browser: httpx.AsyncClient
) -> None:
    person = await member(v2, tenant)
    await v2.signed_in(person, browser)
    before = browser.cookies["session"]
    await v2.signed_in(person, browser)
    assert browser.cookies["session"] != before
    answer = await v2.http.get("/v2/session", headers={"Cookie": f"session={before}"})
    assert answer.status_code == 401


async def test_sign_out_everywhere_ends_all_sessions(
    v2: V2, tenant: Tenant, browser: httpx.AsyncClient
) -> None:
    person = await member(v2, tenant)
    other = await v2.people.token(person)
    csrf = await v2.signed_in(person, browser)
    assert (await browser.delete("/v2/session/all", headers=csrf)).status_code == 204
    answer = await v2.http.get("/v2/session", headers={"Cookie": f"session={other}"})
    assert (answer.status_code, code_of(answer)) == (401, "session_invalid")


@pytest.mark.parametrize("cookie", ["", "session=", "session=x", "session=" + "y" * 5_000, "other=1"])
async def test_session_without_a_living_one_is_refused(v2: V2, cookie: str) -> None:
    for method, path in (("GET", "/v2/session"), ("DELETE", "/v2/session"), ("DELETE", "/v2/session/all")):
        answer = await v2.http.request(method, path, headers={"Cookie": cookie})
        assert answer.status_code in {401, 403}, answer.text


@pytest.mark.parametrize("csrf", [None, "", "wrong", "é"])
async def test_write_without_the_right_forgery_token_is_refused(
    v2: V2, tenant: Tenant, browser: httpx.AsyncClient, csrf: str | None
) -> None:
    await v2.signed_in(await member(v2, tenant), browser)
    headers = {**session_headers(tenant)} | ({} if csrf is None else {"X-CSRF-Token": csrf})
    sent = [(name.encode(), value.encode()) for name, value in headers.items()]
    for method, path, body in (
        ("POST", "/v2/wallets", WALLET),
        ("POST", "/v2/channels/one/switch", {"enabled": False}),
        ("DELETE", "/v2/session", None),
        ("DELETE", "/v2/session/all", None),
    ):
        answer = await browser.request(method, path, json=body, headers=sent)
        assert (answer.status_code, code_of(answer)) == (403, "csrf_invalid"), path
    assert (await browser.get("/v2/session")).status_code == 200


async def test_forgery_token_of_another_session_is_refused(
    v2: V2, tenant: Tenant, browser: httpx.AsyncClient
) -> None:
    person = await member(v2, tenant)
    async with v2.client() as other:
        foreign = await v2.signed_in(person, other)
        await v2.signed_in(person, browser)
        answer = await browser.delete("/v2/session", headers=foreign)
    assert (answer.status_code, code_of(answer)) == (403, "csrf_invalid")


async def test_signed_in_member_acts_for_a_merchant_in_a_mode(
    v2: V2, tenant: Tenant, browser: httpx.AsyncClient
) -> None:
    csrf = await v2.signed_in(await member(v2, tenant), browser)
    made = {}
    for mode in ("test", "live"):
        headers = session_headers(tenant, mode, **csrf)
        answer = await browser.post("/v2/wallets", json=WALLET, headers=headers)
        assert (answer.status_code, answer.json()["live"]) == (201, mode == "live")
        made[mode] = answer.json()["id"]
    for mode, other in (("test", "live"), ("live", "test")):
        path = f"/v2/wallets/{made[mode]}"
        for asked, status in ((mode, 200), (other, 404)):
            headers = session_headers(tenant, asked)
            answer = await browser.get(path, params={"currency": "CNY"}, headers=headers)
            assert answer.status_code == status
    default = {"Tongbao-Merchant": session_headers(tenant)["Tongbao-Merchant"]}
    answer = await browser.get(f"/v2/wallets/{made['test']}?currency=cny", headers=default)
    assert answer.status_code == 200


async def test_signed_in_member_without_the_permission_is_refused(
    v2: V2, tenant: Tenant, browser: httpx.AsyncClient
) -> None:
    csrf = await v2.signed_in(await member(v2, tenant, MerchantRole.VIEWER), browser)
    headers = session_headers(tenant, **csrf)
    answer = await browser.post("/v2/wallets", json=WALLET, headers=headers)
    assert (answer.status_code, code_of(answer)) == (403, "permission_missing")
    assert (await browser.get("/v2/channels", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 400, "merchant_invalid"),
        ({"Tongbao-Merchant": "x"}, 400, "merchant_invalid"),
        ({"Tongbao-Merchant": "acct_0000000000001"}, 404, "merchant_unknown"),
    ],
)
async def test_signed_in_member_without_a_merchant_of_theirs_is_refused(
    v2: V2, tenant: Tenant, browser: httpx.AsyncClient, headers: dict[str, str], status: int, code: str
) -> None:
    await v2.signed_in(await member(v2, tenant), browser)
    answer = await browser.get("/v2/channels", headers=headers)
    assert (answer.status_code, code_of(answer)) == (status, code)
    stranger = session_headers(await v2.tenant())
    answer = await browser.get("/v2/channels", headers=stranger)
    assert (answer.status_code, code_of(answer)) == (404, "merchant_unknown")
    answer = await browser.get("/v2/channels", headers=session_headers(tenant, "both"))
    assert (answer.status_code, code_of(answer)) == (400, "mode_invalid")


async def test_member_of_a_suspended_merchant_looks_and_changes_nothing(
    v2: V2, tenant: Tenant, browser: httpx.AsyncClient
) -> None:
    csrf = await v2.signed_in(await member(v2, tenant), browser)
    async with v2.house.database.transaction() as connection:
        await v2.parties.merchants.set_state(
            connection,
            v2.people.operator,
            tenant.merchant.merchant_id,
            MerchantState.SUSPENDED,
            tenant.merchant.version,
            "test",
        )
    headers = session_headers(tenant, **csrf)
    assert (await browser.get("/v2/channels", headers=headers)).status_code == 200
    answer = await browser.post("/v2/wallets", json=WALLET, headers=headers)
    assert (answer.status_code, code_of(answer)) == (403, "permission_missing")
    by_key = await v2.http.get("/v2/channels", headers=tenant.headers)
    assert (by_key.status_code, code_of(by_key)) == (403, "merchant_suspended")


async def test_key_beside_a_cookie_is_what_counts(v2: V2, tenant: Tenant, browser: httpx.AsyncClient) -> None:
    await v2.signed_in(await member(v2, tenant, MerchantRole.VIEWER), browser)
    answer = await browser.post("/v2/wallets", json=WALLET, headers=tenant.headers)
    assert answer.status_code == 201
    wrong = await browser.get("/v2/channels", headers={"Authorization": "Bearer sk_test_x"})
    assert (wrong.status_code, code_of(wrong)) == (401, "api_key_invalid")


async def test_key_as_the_user_of_basic_is_taken(v2: V2, tenant: Tenant) -> None:
    basic = base64.b64encode(f"{tenant.key}:".encode()).decode()
    answer = await v2.http.get("/v2/channels", headers={"Authorization": f"Basic {basic}"})
    assert answer.status_code == 200


async def test_operator_route_takes_no_key_and_no_member(
    v2: V2, tenant: Tenant, browser: httpx.AsyncClient
) -> None:
    path, body = "/v2/channels/one/switch", {"enabled": False}
    by_key = await v2.send(tenant, path, body)
    assert (by_key.status_code, code_of(by_key)) == (401, "session_missing")
    csrf = await v2.signed_in(await member(v2, tenant), browser)
    by_member = await browser.post(path, json=body, headers=csrf)
    assert (by_member.status_code, code_of(by_member)) == (403, "permission_missing")
    auditor = await v2.people.staff(OperatorRole.AUDITOR, PASSWORD)
    csrf = await v2.signed_in(auditor, browser)
    by_auditor = await browser.post(path, json=body, headers=csrf)
    assert (by_auditor.status_code, code_of(by_auditor)) == (403, "permission_missing")
    assert v2.house.payments.channels.is_enabled("one")


async def test_too_many_calls_of_one_key_are_told_to_wait(database: Database, ids: IdFactory) -> None:
    seconds = [0.0]
    rates = Rates(test_reads=2, test_writes=1, live_reads=2, live_writes=1)
    limits = Limits(rates, seconds=lambda: seconds[0])
    async with open_v2(database, ids, limits) as v2:
        tenant = await v2.tenant()
        reads = [await v2.http.get("/v2/channels", headers=tenant.headers) for _ in range(3)]
        assert [answer.status_code for answer in reads] == [200, 200, 429]
        assert (code_of(reads[2]), reads[2].headers["Retry-After"]) == ("rate_limit", "1")
        other = await v2.key(tenant.scope, Permission.ROUTING_READ)
        answer = await v2.http.get("/v2/channels", headers={"Authorization": f"Bearer {other}"})
        assert answer.status_code == 200
        guess = {"email": "a@b.c", "password": "x"}
        guesses = [await v2.http.post("/v2/session", json=guess) for _ in range(2)]
        assert [answer.status_code for answer in guesses] == [401, 429]
        seconds[0] += 1
        assert (await v2.http.get("/v2/channels", headers=tenant.headers)).status_code == 200
