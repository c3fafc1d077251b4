"""Sessions, cookies and rates: whoever brings a token of their own gets another, and nobody may try for ever."""

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
from tests.parties.conftest import PASSWORD
from tests.web.whole_house import BASE, Whole, open_whole

from tongbao.core.db import Database
from tongbao.parties.schema import OperatorRole, Person
from tongbao.web.api.v1.limits import Limits, Rates
from tongbao.web.signing.pacing import Try

CSRF = re.compile(r'name="csrf" value="([^"]+)"')
SLOW = Rates(test_reads=3, test_writes=2, live_reads=3, live_writes=2)


@pytest.fixture(scope="module")
async def whole(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Whole]:
    async with open_whole(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.fixture(scope="module")
async def person(whole: Whole) -> Person:
    return await whole.people.staff(OperatorRole.RISK, PASSWORD)


def browser(whole: Whole, number: int) -> httpx.AsyncClient:
    """A browser at an address of its own."""
    transport = httpx.ASGITransport(whole.app, raise_app_exceptions=False, client=(f"127.2.0.{number}", 1))
    return httpx.AsyncClient(transport=transport, base_url=BASE)


async def sign_in(http: httpx.AsyncClient, person: Person, password: str = PASSWORD) -> httpx.Response:
    """Sign in as a browser does, keeping whatever cookies it has."""
    found = CSRF.search((await http.get("/sign-in")).text)
    assert found is not None
    fields = {"csrf": found[1], "email": person.email, "password": password}
    return await http.post("/sign-in", data=fields, headers={"origin": BASE})


async def test_token_that_was_planted_before_signing_in_is_worth_nothing(
    whole: Whole, person: Person
) -> None:
    planted = "A" * 43
    async with browser(whole, 1) as victim, browser(whole, 2) as attacker:
        victim.cookies.set("session", planted)
        attacker.cookies.set("session", planted)
        assert (await sign_in(victim, person)).status_code == 303
        tokens = {cookie.value for cookie in victim.cookies.jar if cookie.name == "session"}
        assert len(tokens - {planted}) == 1
        assert (await attacker.get("/me")).headers["location"].startswith("/sign-in")


async def test_session_of_the_attacker_ends_when_the_victim_signs_in_over_it(
    whole: Whole, person: Person
) -> None:
    other = await whole.people.staff(OperatorRole.AUDITOR, PASSWORD)
    async with browser(whole, 3) as attacker, browser(whole, 4) as victim:
        await sign_in(attacker, other)
        own = attacker.cookies["session"]
        victim.cookies.set("session", own, domain="localhost.local", path="/")
        await sign_in(victim, person)
        assert (await attacker.get("/me")).headers["location"].startswith("/sign-in")


async def test_visit_of_another_browser_signs_nobody_in(whole: Whole, person: Person) -> None:
    async with browser(whole, 5) as attacker, browser(whole, 6) as victim:
        found = CSRF.search((await attacker.get("/sign-in")).text)
        assert found is not None
        await victim.get("/sign-in")
        fields = {"csrf": found[1], "email": person.email, "password": PASSWORD}
        answer = await victim.post("/sign-in", data=fields, headers={"origin": BASE})
        assert answer.status_code == 403
        assert "session" not in victim.cookies


async def test_signing_out_ends_the_session_and_not_the_cookie_alone(whole: Whole, person: Person) -> None:
    async with browser(whole, 7) as http, browser(whole, 8) as thief:
        await sign_in(http, person)
        thief.cookies.set("session", http.cookies["session"])
        assert (await thief.get("/me")).status_code == 200
        found = CSRF.search((await http.get("/me")).text)
        assert found is not None
        left = await http.post("/sign-out", data={"csrf": found[1]}, headers={"origin": BASE})
        assert left.status_code == 303
        assert (await thief.get("/me")).status_code == 303


async def test_every_cookie_is_kept_from_scripts_and_from_other_sites(whole: Whole, person: Person) -> None:
    async with browser(whole, 9) as http:
        answers = [await http.get("/sign-in?lang=zh-CN"), await sign_in(http, person)]
        chosen = {"theme": "dark", "elder": "1", "back": "/"}
        answers.append(await http.post("/preferences", data=chosen, headers={"origin": BASE}))
        cookies = [each for answer in answers for each in answer.headers.get_list("set-cookie")]
        assert len(cookies) >= 5
        for cookie in cookies:
            assert "httponly" in cookie.lower(), cookie
            assert "samesite=lax" in cookie.lower() or "samesite=strict" in cookie.lower(), cookie
            assert "path=/" in cookie.lower(), cookie


async def test_cookie_over_tls_is_bound_to_the_house_and_goes_over_tls_alone(
    whole: Whole, person: Person
) -> None:
    transport = httpx.ASGITransport(whole.app, raise_app_exceptions=False, client=("127.2.0.10", 1))
    async with httpx.AsyncClient(transport=transport, base_url="https://localhost") as http:
        found = CSRF.search((await http.get("/sign-in")).text)
        assert found is not None
        fields = {"csrf": found[1], "email": person.email, "password": PASSWORD}
        answer = await http.post("/sign-in", data=fields, headers={"origin": "https://localhost"})
        kept = [each for each in answer.headers.get_list("set-cookie") if each.startswith("__Host-session=")]
        assert len(kept) == 1
        assert "; secure" in kept[0].lower()
        assert "domain=" not in kept[0].lower()


async def test_strange_name_of_the_house_is_refused(whole: Whole) -> None:
    transport = httpx.ASGITransport(whole.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://rebound.test") as http:
        for path in ("/me", "/ops/routing", "/wallet/security"):
            assert (await http.get(path)).status_code == 403, path


async def test_tries_are_paced_by_address_whoever_is_named(whole: Whole) -> None:
    burst, per_minute = Try.CODE.value
    async with browser(whole, 11) as http, browser(whole, 12) as other:
        tokens = []
        for each in (http, other):
            found = CSRF.search((await each.get("/wallet/sign-in")).text)
            assert found is not None
            tokens.append(found[1])
        began = time.monotonic()
        statuses: list[int] = []
        # However slow the machine is, permits come back more slowly than they are taken.
        while 429 not in statuses and time.monotonic() - began < 60:
            fields = {"csrf": tokens[0], "contact": f"nobody{len(statuses)}"}
            answer = await http.post("/wallet/sign-in/code", data=fields, headers={"origin": BASE})
            statuses.append(answer.status_code)
        assert (answer.status_code, int(answer.headers["retry-after"]) >= 1) == (429, True)
        assert burst <= len(statuses) - 1 <= burst + 1 + per_minute
        assert set(statuses) == {400, 429}
        fields = {"csrf": tokens[1], "contact": "nobody"}
        elsewhere = await other.post("/wallet/sign-in/code", data=fields, headers={"origin": BASE})
        assert elsewhere.status_code == 400


async def test_everybody_is_counted_and_told_how_long_to_wait(
    whole: Whole, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Limits(SLOW, seconds=lambda: 100.0)
    monkeypatch.setattr(whole.house.limits, "_rates", slow._rates)
    monkeypatch.setattr(whole.house.limits, "_buckets", slow._buckets)
    monkeypatch.setattr(whole.house.limits, "_seconds", slow._seconds)
    tenant = await whole.tenant()
    async with browser(whole, 13) as http:
        http.cookies.set("session", await whole.people.token(person))
        sends: tuple[Callable[[], Awaitable[httpx.Response]], ...] = (
            lambda: whole.send(tenant, "GET", "/v1/customers"),
            lambda: whole.send(tenant, "GET", "/v2/payments/search"),
            lambda: http.get("/me"),
        )
        for send in sends:
            last = [await send() for _ in range(5)][-1]
            assert last.status_code == 429
            assert int(last.headers["retry-after"]) >= 1
        # Nobody is signed in at a link: its followers are counted by where they are.
        followed = [await http.get("/l/plink_00000000000000000000000000") for _ in range(5)]
        assert [each.status_code for each in followed] == [404, 404, 429, 429, 429]
