"""Frames around pages: only places that are built and may be seen, the switch of modes, names as text, both languages."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request, Response
from msgspec.structs import replace
from tests.parties.conftest import DRAFT, PASSWORD
from tests.web.signing.conftest import Browser
from tests.web.whole_house import BASE

from tongbao.core.ids import int_text
from tongbao.parties.schema import MERCHANT_PREFIX, MerchantRole, OperatorRole, Permission
from tongbao.web.locale import frames as words
from tongbao.web.page_route import page_route
from tongbao.web.signing import frames, places, routes
from tongbao.web.signing.refusing import error_page, wallet_error_page
from tongbao.web.signing.rooms import DemoLogIn, Doors, guards_of, open_signing
from tongbao.web.ui import icons

HOSTILE = "</a><script>alert(1)</script>"


@pytest.fixture
async def faces(browser: Browser) -> AsyncIterator[Browser]:
    """A browser before a small application whose pages are frames alone."""
    house = browser.whole.house
    guards = guards_of(house)
    app = FastAPI()
    people = APIRouter(route_class=page_route(error_page))
    payers = APIRouter(route_class=page_route(wallet_error_page))

    async def ops(request: Request) -> Response:
        return frames.operator(
            request, await guards.operator(request), frames.Page("frames/console.html", "payments", {})
        )

    async def merchant(request: Request, merchant: str) -> Response:
        visitor = await guards.at_merchant(request, merchant, Permission.PAYMENTS_READ)
        page = frames.Page("frames/console.html", "payments", {"flash": ("Done.", "ok")})
        return frames.merchant(request, visitor, page)

    async def wallet(request: Request) -> Response:
        visitor = await guards.payer(request)
        return frames.payer(request, visitor, frames.Page("frames/wallet.html", "home", {}))

    for path in ("/ops", "/ops/payments", "/ops/people", "/ops/risk/cases"):
        people.add_api_route(path, ops, response_model=None)
    for path in ("/merchant/{merchant}", "/merchant/{merchant}/payments", "/merchant/{merchant}/keys"):
        people.add_api_route(path, merchant, response_model=None)
    payers.add_api_route("/wallet", wallet, response_model=None)
    doors = Doors((DemoLogIn("ops", "risk@tongbao.example", "amber-fjord", "risk"),), shows_codes=True)
    for router in (people, payers, *routes.routers(open_signing(house, doors))):
        app.include_router(router)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as http:
        yield Browser(browser.whole, http)


async def test_console_of_the_house_shows_built_places_that_a_role_may_see(faces: Browser) -> None:
    answer = await faces.sign_in(await faces.staff(OperatorRole.RISK))
    assert answer.headers["location"] == "/ops"
    page = await faces.get("/ops/payments")
    assert 'href="/ops/payments" aria-current="page"' in page
    assert 'href="/ops/risk/cases"' in page
    assert 'href="/ops/people"' not in page  # built, but not for this role
    assert 'href="/ops/audit"' not in page  # not built
    assert 'action="/sign-out"' in page
    assert 'data-href="/ops/risk/cases"' in page
    assert words.TEXTS["place_ops_cases"][1] in await faces.get("/ops/payments", language="zh-CN")


async def test_portal_has_a_switch_of_modes_that_is_remembered(faces: Browser) -> None:
    tenant = await faces.whole.tenant(
        await faces.whole.people.merchant(replace(DRAFT, name=HOSTILE)), live=True
    )
    merchant = int_text(MERCHANT_PREFIX, tenant.merchant.merchant_id)
    person = await faces.whole.people.member(tenant.scope, MerchantRole.VIEWER, PASSWORD)
    answer = await faces.sign_in(person)
    home = f"/merchant/{merchant}"
    assert answer.headers["location"] == home
    page = await faces.get(f"{home}/payments")
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page
    assert f'href="{home}/payments" aria-current="page"' in page
    assert f'href="{home}/keys"' not in page  # a viewer sees no keys
    assert "Done." in page
    assert 'value="test" aria-current="true"' in page
    kept = await faces.post("/me/mode", {"mode": "live", "back": f"{home}/payments"}, f"{home}/payments")
    assert kept.headers["location"] == f"{home}/payments"
    assert 'value="live" aria-current="true"' in await faces.get(f"{home}/payments")
    away = await faces.post("/me/mode", {"mode": "live", "back": "//evil.example"}, f"{home}/payments")
    assert away.headers["location"] == "/me"
    assert (await faces.http.get("/merchant/acct_nobody/payments")).status_code == 404
    assert (await faces.http.get("/ops")).status_code == 403


async def test_wallet_shows_its_doors_once_they_are_built(faces: Browser) -> None:
    answer = await faces.join(HOSTILE, faces.whole.people.email())
    assert answer.headers["location"] == "/wallet"
    page = await faces.get("/wallet")
    assert 'href="/wallet" aria-current="page"' in page
    assert 'href="/wallet/security"' in page
    assert 'href="/wallet/bills"' not in page
    faces.http.cookies.clear()
    assert (await faces.http.get("/wallet")).headers["location"] == "/wallet/sign-in?next=/wallet"


async def test_front_door_tells_log_ins_of_a_demonstration_alone(faces: Browser, browser: Browser) -> None:
    shown = await faces.get("/")
    assert "amber-fjord" in shown
    assert "amber-fjord" in await faces.get("/sign-in")
    assert words.TEXTS["demo_log_ins"][0] not in await browser.get("/")


def test_every_place_has_words_and_a_drawing_of_its_own_key() -> None:
    listed = [
        *(("ops", place) for group in places.OPS for place in group.places),
        *(("merchant", place) for group in places.MERCHANT for place in group.places),
        *(("wallet", place) for place in places.WALLET),
    ]
    for face, place in listed:
        assert f"place_{face}_{place.key}" in words.TEXTS
        assert icons.icon(place.icon)
    for group in (*places.OPS, *places.MERCHANT):
        assert f"group_{group.key}" in words.TEXTS
    keys = [(face, place.key) for face, place in listed]
    assert len(set(keys)) == len(keys)
