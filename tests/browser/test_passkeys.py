"""Passkeys in a real browser with a virtual authenticator: saved after a code, used next time, and every way it can fail."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import NamedTuple

import httpx
import pytest
import uvicorn
from tests.browser.chromium import NEEDS_CHROMIUM, Chromium, Page, open_chromium
from tests.web.stepped_up import Counter, open_counter
from tests.web.whole_house import Whole, open_whole

from tongbao.core.db import Database
from tongbao.web.locale import step_up as words

pytestmark = NEEDS_CHROMIUM
PHONE = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}
SOON = timedelta(seconds=30)
LEFT = "location.pathname === '/'"


class Place(NamedTuple):
    """A house that answers on a port of this machine."""

    whole: Whole
    base: str


class Payer(NamedTuple):
    """A payer at a counter, before a browser on a phone with a fingerprint reader."""

    counter: Counter
    page: Page
    phone: str

    async def open(self) -> str:
        """Pay, and look at the page of the step-up; returns the payment."""
        payment, path = await self.counter.pay()
        # The code goes with the first look, here as anywhere.
        await self.counter.page(path)
        await self.page.go(self.counter.base + path)
        return payment

    async def type_code(self) -> None:
        """Type the code that was sent and confirm."""
        await self.page.until("document.querySelector('#code')")
        await self.page.run(f"document.querySelector('#code').value = '{self.counter.code}'")
        await self.page.click("[action$='/answer'] button")

    async def save(self) -> None:
        """Pay with a code and save the passkey that is offered."""
        await self.open()
        await self.page.until("document.querySelector('[name=device]')")
        await self.type_code()
        await self.page.until("location.pathname.endsWith('/save') && document.readyState === 'complete'")
        assert said("save_ask") in await self.text()
        await self.page.click("[data-passkey=create] button")
        await self.page.until(LEFT)

    async def text(self) -> str:
        """What the payer can read."""
        return str(await self.page.run("document.body.innerText"))

    async def told(self) -> str:
        """What the page says after the browser said no."""
        await self.page.until("document.querySelector('[data-told]')?.checkVisibility()")
        return str(await self.page.run("document.querySelector('[data-told]').textContent"))


def said(key: str) -> str:
    return words.text(key, "en")


@pytest.fixture(scope="module")
async def place(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Place]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        base = f"http://localhost:{listening.getsockname()[1]}"
        async with open_whole(database, dsn, tmp_path_factory.mktemp("house"), base) as whole:
            server = uvicorn.Server(
                uvicorn.Config(whole.app, log_level="error", lifespan="off", ws="none", access_log=False)
            )
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            yield Place(whole, base)
            server.should_exit = True
            await serving


@pytest.fixture(scope="module")
async def chromium() -> AsyncIterator[Chromium]:
    async with open_chromium() as opened:
        yield opened


@contextlib.asynccontextmanager
async def payer_at(place: Place, chromium: Chromium) -> AsyncIterator[Payer]:
    async with httpx.AsyncClient(base_url=place.base) as browser:
        counter = await open_counter(place.whole, place.base, browser)
        counter.return_url = f"{place.base}/"
        page = await chromium.page()
        await page.call("WebAuthn.enable", enableUI=False)
        phone = await page.call("WebAuthn.addVirtualAuthenticator", options=PHONE)
        yield Payer(counter, page, phone["authenticatorId"])
        assert page.complaints == []
        await page.call("Page.close")


@pytest.fixture
async def payer(place: Place, chromium: Chromium) -> AsyncIterator[Payer]:
    async with payer_at(place, chromium) as made:
        yield made


async def test_passkey_is_saved_after_a_code_and_confirms_the_next_payment(payer: Payer) -> None:
    await payer.save()
    [kept] = await payer.counter.passkeys()
    assert kept["transports"] == ["internal"]
    payment = await payer.open()
    assert said("key_ask") in await payer.text()
    await payer.page.click("[data-passkey=get] button")
    await payer.page.until(LEFT)
    assert await payer.counter.status(payment) == "succeeded"
    [challenge] = await payer.counter.challenges(payment)
    assert (challenge["means"], challenge["state"]) == ("passkey", "passed")
    [used] = await payer.counter.passkeys()
    assert used["last_used_at"] is not None


async def test_offer_is_declined_with_one_click(payer: Payer) -> None:
    payment = await payer.open()
    await payer.page.until("document.querySelector('[name=device]')")
    await payer.type_code()
    await payer.page.until("location.pathname.endsWith('/save') && document.readyState === 'complete'")
    await payer.page.click("[action$='/continue'] button")
    await payer.page.until(LEFT)
    assert await payer.counter.status(payment) == "succeeded"
    assert await payer.counter.passkeys() == []


async def test_payer_without_verification_or_passkey_is_told_and_takes_a_code(payer: Payer) -> None:
    await payer.save()
    payment = await payer.open()
    await payer.page.call("WebAuthn.setUserVerified", authenticatorId=payer.phone, isUserVerified=False)
    await payer.page.click("[data-passkey=get] button")
    assert await payer.told() == said("told_canceled")
    await payer.page.call("WebAuthn.clearCredentials", authenticatorId=payer.phone)
    await payer.page.call("WebAuthn.setUserVerified", authenticatorId=payer.phone, isUserVerified=True)
    await payer.page.click("[data-passkey=get] button")
    assert await payer.told() == said("told_canceled")
    # What the browser refused is no attempt.
    [challenge] = await payer.counter.challenges(payment)
    assert challenge["attempts_left"] == 5
    path = await payer.page.run("location.pathname")
    await payer.page.click("[action$='/switch'] button")
    await payer.page.until("document.querySelector('#code')")
    payer.counter.code = await sent_code(payer, path)
    await payer.type_code()
    await payer.page.until("!document.querySelector('#code')")
    assert await payer.counter.status(payment) == "succeeded"


async def test_device_that_has_the_passkey_saves_no_second_one(payer: Payer) -> None:
    await payer.save()
    await payer.open()
    path = await payer.page.run("location.pathname")
    await payer.counter.send(f"{path}/switch", means="code")
    await payer.counter.page(path)
    await payer.page.go(payer.counter.base + path)
    await payer.page.until("document.querySelector('[name=device]')")
    await payer.type_code()
    await payer.page.until("location.pathname.endsWith('/save') && document.readyState === 'complete'")
    await payer.page.click("[data-passkey=create] button")
    assert await payer.told() == said("told_saved_before")
    assert len(await payer.counter.passkeys()) == 1


async def test_page_under_another_name_says_so(payer: Payer) -> None:
    await payer.save()
    _, path = await payer.counter.pay()
    await payer.page.go(payer.counter.base.replace("localhost", "127.0.0.1") + path)
    await payer.page.click("[data-passkey=get] button")
    assert await payer.told() == said("told_foreign")


async def test_browser_without_passkeys_or_script_takes_a_code(payer: Payer) -> None:
    await payer.save()
    _, path = await payer.counter.pay()
    script = await payer.page.call(
        "Page.addScriptToEvaluateOnNewDocument", source="delete window.PublicKeyCredential"
    )
    await payer.page.go(payer.counter.base + path)
    assert await payer.told() == said("told_unable")
    await payer.page.call("Page.removeScriptToEvaluateOnNewDocument", **script)
    await payer.page.call("Emulation.setScriptExecutionDisabled", value=True)
    await payer.page.go(payer.counter.base + path)
    assert said("key_no_script") in await payer.text()
    assert not await payer.page.run("document.querySelector('[data-passkey]').checkVisibility()")
    await payer.page.click("[action$='/switch'] button")
    await payer.page.until("document.querySelector('#code')")


async def sent_code(payer: Payer, path: str) -> str:
    """The code of a challenge whose page the browser opened: a new one, half a minute later."""
    payer.counter.whole.clock.advance(SOON)
    await payer.counter.send(f"{path}/resend")
    return payer.counter.code
