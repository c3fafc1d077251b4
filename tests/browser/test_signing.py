"""Signing in with passkeys in a real browser with a virtual authenticator: people and payers, without any other word."""

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import NamedTuple

import pytest
import uvicorn
from tests.browser.chromium import NEEDS_CHROMIUM, Chromium, Page, open_chromium
from tests.parties.conftest import PASSWORD
from tests.web.whole_house import Whole, open_whole

from tongbao.core.db import Database
from tongbao.core.metrics import Metrics
from tongbao.parties.schema import Holder, HolderKind, OperatorRole
from tongbao.parties.service.passkeys import Passkeys
from tongbao.web.app import create_app
from tongbao.web.locale import signing as words
from tongbao.web.signing.rooms import Doors
from tongbao.web.workers import Workers

pytestmark = NEEDS_CHROMIUM
PHONE = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}
READY = "document.readyState === 'complete' && "
SHOWN = "document.querySelector('[data-passkey]')?.checkVisibility()"


class Place(NamedTuple):
    """A house that answers on a port of this machine."""

    whole: Whole
    base: str


@pytest.fixture(scope="module")
async def place(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Place]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        base = f"http://localhost:{listening.getsockname()[1]}"
        async with open_whole(database, dsn, tmp_path_factory.mktemp("house"), base) as whole:
            metrics = Metrics()
            app = create_app(
                whole.house, Workers(whole.house, whole.events, metrics), metrics, Doors(shows_codes=True)
            )
            server = uvicorn.Server(
                uvicorn.Config(app, log_level="error", lifespan="off", ws="none", access_log=False)
            )
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            yield Place(whole, base)
            server.should_exit = True
            await serving


@pytest.fixture(scope="module")
async def chromium() -> AsyncIterator[Chromium]:
    async with open_chromium() as opened:
        yield opened


@pytest.fixture
async def page(chromium: Chromium) -> AsyncIterator[Page]:
    """A tab on a phone with a fingerprint reader."""
    made = await chromium.page()
    await made.call("WebAuthn.enable", enableUI=False)
    await made.call("WebAuthn.addVirtualAuthenticator", options=PHONE)
    yield made
    await made.call("Page.close")


async def fill(page: Page, **fields: str) -> None:
    """Type into the fields of a page."""
    for name, value in fields.items():
        await page.run(f"document.querySelector('[name={name}]:not([type=hidden])').value = '{value}'")


async def said(page: Page, key: str) -> None:
    """Wait until the page says something."""
    await page.until(f"document.body.innerText.includes({words.TEXTS[key][0]!r})")


async def test_person_adds_a_passkey_and_signs_in_without_a_word(place: Place, page: Page) -> None:
    person = await place.whole.people.staff(OperatorRole.RISK, PASSWORD)
    await page.go(f"{place.base}/sign-in?next=/me")
    await fill(page, email=person.email, password=PASSWORD)
    await page.click("form[action='/sign-in'] button")
    await page.until(READY + "location.pathname === '/me' && " + SHOWN)
    await fill(page, label="Blue phone")
    await page.click("[data-passkey=create] button")
    await said(page, "said_key_added")
    assert "Blue phone" in await page.run("document.body.innerText")
    await page.run("document.querySelector('form[action=\"/sign-out\"] button').click()")
    await page.until(READY + "location.pathname === '/sign-in' && " + SHOWN)
    before = await page.run("document.cookie")
    await page.click("[data-passkey=get] button")
    await page.until(READY + "location.pathname === '/ops/today'")
    assert before == await page.run("document.cookie") == ""  # no script sees a cookie of sign-in
    assert page.complaints == []


async def test_passkey_that_was_removed_lets_nobody_in(place: Place, page: Page) -> None:
    person = await place.whole.people.staff(OperatorRole.RISK, PASSWORD)
    await page.go(f"{place.base}/sign-in?next=/me")
    await fill(page, email=person.email, password=PASSWORD)
    await page.click("form[action='/sign-in'] button")
    await page.until(READY + "location.pathname === '/me' && " + SHOWN)
    await page.click("[data-passkey=create] button")
    await said(page, "said_key_added")
    holder = Holder(HolderKind.PERSON, person.person_id)
    passkeys = Passkeys(place.whole.house.runtime.database, place.whole.clock)
    (kept,) = await passkeys.list(holder)
    async with place.whole.house.runtime.database.transaction() as connection:
        await passkeys.remove(connection, holder, kept.credential_id)
    await page.go(f"{place.base}/sign-in")
    await page.until(SHOWN)
    await page.click("[data-passkey=get] button")
    await said(page, "p_key_unknown")


async def test_payer_joins_adds_a_passkey_signs_in_by_it_and_no_person_does(place: Place, page: Page) -> None:
    contact = place.whole.people.email()
    await page.go(f"{place.base}/wallet/join")
    await fill(page, name="Li Na", contact=contact)
    await page.click("form[action='/wallet/join'] button")
    await page.until(READY + "location.pathname.startsWith('/wallet/sign-in/code/')")
    code = await page.run("document.body.innerText.match(/the code is (\\d{6})/)[1]")
    await fill(page, code=code)
    await page.click("main form button")
    await page.until(READY + "location.pathname === '/wallet'")
    await page.go(f"{place.base}/wallet/security")
    await page.until(READY + "location.pathname === '/wallet/security' && " + SHOWN)
    await page.click("[data-passkey=create] button")
    await said(page, "said_key_added")
    await page.run("document.querySelector('form[action=\"/wallet/sign-out\"] button').click()")
    await page.until(READY + "location.pathname === '/wallet/sign-in' && " + SHOWN)
    await page.click("[data-passkey=get] button")
    await page.until(READY + "location.pathname === '/wallet'")
    await page.go(f"{place.base}/wallet/security")
    assert words.TEXTS["means_passkey"][0] in await page.run("document.body.innerText")
    await page.go(f"{place.base}/sign-in")
    await page.until(SHOWN)
    await page.click("[data-passkey=get] button")
    await said(page, "p_key_unknown")


async def test_payer_who_lost_the_passkeys_waits_a_day_for_a_new_one(place: Place, page: Page) -> None:
    house, clock = place.whole.house, place.whole.clock
    contact = place.whole.people.email()
    await page.go(f"{place.base}/wallet/join")
    await fill(page, name="Li Na", contact=contact)
    await page.click("form[action='/wallet/join'] button")
    await by_code(page)
    await page.until(SHOWN)
    await page.click("[data-passkey=create] button")
    await said(page, "said_key_added")
    await sign_in_by_code(place, page, contact)
    await said(page, "needs_passkey")
    assert not await page.run("!!document.querySelector('[data-passkey=create]')")
    await page.run("document.querySelector('form[action$=\"/recover\"]').closest('details').open = true")
    await page.click("form[action$='/recover'] button")
    await said(page, "recovery_title")
    clock.advance(timedelta(hours=24))
    await sign_in_by_code(place, page, contact)
    # The lost device is gone: this one has no passkey of this payer.
    await page.call("WebAuthn.disable")
    await page.call("WebAuthn.enable", enableUI=False)
    await page.call("WebAuthn.addVirtualAuthenticator", options=PHONE)
    await page.until(SHOWN)
    await page.click("[data-passkey=create] button")
    await said(page, "said_recovery_done")
    payer = await house.parties.payer_sign_in.signed_in(await wallet_token(page))
    kept = await Passkeys(house.runtime.database, clock).list(Holder(HolderKind.PAYER, payer.payer.payer_id))
    assert len(kept) == 1


async def by_code(page: Page) -> None:
    """Type the code that the demonstration shows."""
    await page.until(READY + "location.pathname.startsWith('/wallet/sign-in/code/')")
    code = await page.run("document.body.innerText.match(/the code is (\\d{6})/)[1]")
    await fill(page, code=code)
    await page.click("main form button")
    await page.until(READY + "location.pathname === '/wallet'")
    await page.go(await page.run("location.origin") + "/wallet/security")
    await page.until(READY + "location.pathname === '/wallet/security'")


async def sign_in_by_code(place: Place, page: Page, contact: str) -> None:
    """Sign in again, with a code alone."""
    await page.go(f"{place.base}/wallet/sign-in")
    await fill(page, contact=contact)
    await page.run("document.querySelector('[name=contact]').form.querySelector('button').click()")
    await by_code(page)


async def wallet_token(page: Page) -> str:
    """The token of the wallet's session, which only the browser's own tools see."""
    told = await page.call("Network.getCookies")
    return str(next(each["value"] for each in told["cookies"] if each["name"] == "wallet"))
