"""One purchase seen by everybody in it: a link is made, paid, seen live, given back in part, found by the house, and proved.

Three people in three browsers before one house; nothing is scripted but what they type.
"""

import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.faces.browser import PHONE, WIDE, PageIn, console_errors, serving
from tests.parties.conftest import PASSWORD, scope_of
from tests.web.signed_in import signed_in
from tests.web.whole_house import Whole, open_whole

from tongbao.core.db import Database
from tongbao.core.ids import int_text
from tongbao.ledger.schema import BOOK_PREFIX, BookId
from tongbao.ledger.service.reading import unbalanced
from tongbao.parties.schema import MERCHANT_PREFIX, MerchantRole, OperatorRole
from tongbao.web.locale import cashier as cashier_words
from tongbao.web.locale import ledger as ledger_words
from tongbao.web.locale import merchant as words

ROLES = (OperatorRole.OPERATOR_L2, OperatorRole.RISK)
PAYMENT = re.compile(r"pi_[0-9a-z]{26}")
HOSTILE = '<img src=x onerror=alert(1)> "Yoga", 10 July'


class House:
    """A house that answers on a port."""

    def __init__(self, whole: Whole, base: str) -> None:
        self.whole = whole
        self.base = base


class _Front:
    """An application that is known later than the port it is served on."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@contextlib.asynccontextmanager
async def open_house(database: Database, dsn: str, home: Path) -> AsyncIterator[House]:
    """Open the house; it is told its own address once it has one."""
    front = _Front()
    async with serving(front) as base, open_whole(database, dsn, home, base) as whole:
        front.app = whole.app
        yield House(whole, base)


@pytest.fixture(scope="module")
async def house(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    async with open_house(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


def said(key: str) -> str:
    """A text of the portal."""
    return words.TEXTS[key][0]


async def test_purchase_from_its_link_to_its_proof(house: House, page_in: PageIn) -> None:
    tenant = await house.whole.tenant()
    owner = await house.whole.people.member(scope_of(tenant.merchant), MerchantRole.OWNER, PASSWORD)
    shop = await page_in("light", "en", WIDE, house.base)
    payer = await page_in("light", "en", PHONE, house.base)
    ops = await page_in("dark", "en", WIDE, house.base)
    home = f"/merchant/{int_text(MERCHANT_PREFIX, tenant.merchant.merchant_id)}"

    await sign_in(house, shop, owner.email)
    await shop.wait_for_url(re.compile(home))
    link = await make_link(shop, "128.50")
    await shop.goto(f"{house.base}{home}?mode=test")
    latest = shop.locator('[data-channel="latest"]')
    await expect(latest).not_to_contain_text("128.50")

    await pay(payer, link)
    # Nobody has loaded the merchant's page again: it was told.
    await expect(latest).to_contain_text("128.50")

    payment = await refund(shop, "28.50")
    await house.whole.tally()
    await shop.reload()
    await expect(shop.locator("main")).to_contain_text("28.50")

    await find(house, ops, payment)
    await expect(ops.locator("main")).to_contain_text(payment)
    await prove(house, ops, tenant.scope.book_id)
    for page in (shop, payer, ops):
        assert console_errors(page) == []


async def sign_in(house: House, page: Page, email: str) -> None:
    """Sign in with a password, from the front door on."""
    await page.goto(f"{house.base}/sign-in")
    await page.locator('input[name="email"]').fill(email)
    await page.locator('input[name="password"]').fill(PASSWORD)
    await page.locator('form[action="/sign-in"] button').last.click()


async def make_link(page: Page, amount: str) -> str:
    """Make a payment link from the first page of the portal; returns its address."""
    await page.get_by_role("link", name=said("new_link")).first.click()
    await page.get_by_label(said("link_name")).fill(HOSTILE)
    await page.get_by_label(said("c_amount"), exact=False).first.fill(amount)
    await page.get_by_role("button", name=said("create_link")).click()
    await expect(page.locator("main")).to_contain_text(HOSTILE)
    found = re.search(r"http[^\s\"<>]+/l/plink_[0-9a-z]+", await page.content())
    assert found is not None
    return found[0]


async def pay(page: Page, link: str) -> None:
    """Follow a link on a phone and pay with a card."""
    await page.goto(link)
    await expect(page.locator("body")).to_contain_text(HOSTILE)
    for key, typed in (("number", "4242424242424242"), ("expiry", "1230"), ("cvc", "737")):
        await page.get_by_label(cashier_words.text(key, "en")).press_sequentially(typed)
    await page.get_by_role("button", name=re.compile("Pay .*128.50")).click()
    await expect(page.get_by_role("heading", name=cashier_words.text("paid", "en"))).to_be_visible()


async def refund(page: Page, amount: str) -> str:
    """Give a part of the newest payment back, from the live list on; returns the id of the payment."""
    await page.locator('[data-channel="latest"] a').first.click()
    await page.wait_for_url(PAYMENT)
    found = PAYMENT.search(page.url)
    assert found is not None
    await page.get_by_role("link", name=said("do_refund"), exact=True).click()
    await page.locator('input[name="amount"]').fill(amount)
    await page.locator('input[name="cause"]').first.check()
    await page.get_by_role("button", name=said("go_check")).click()
    await page.locator('form:has(input[name="step"][value="do"]) button').first.click()
    await page.wait_for_url(re.compile(rf"/payments/{found[0]}(\?|$)"))
    return found[0]


async def find(house: House, page: Page, payment: str) -> None:
    """Find a payment by its id as somebody of the house does: with one key, from wherever they are."""
    person = await signed_in(house.whole, "Lin Bo", ROLES)
    kept = [("session", person.token), ("mode", "test")]
    await page.context.add_cookies(
        [{"name": name, "value": value, "url": house.base} for name, value in kept]
    )
    await page.goto(f"{house.base}/ops/risk?mode=test")
    await page.keyboard.press("/")
    await page.keyboard.type(payment)
    await page.keyboard.press("Enter")
    await page.wait_for_url(re.compile(payment))


async def prove(house: House, page: Page, book_id: int) -> None:
    """Let the house prove the merchant's book, and see for ourselves that debits equal credits."""
    await page.goto(f"{house.base}/books/{int_text(BOOK_PREFIX, book_id)}")
    await page.locator('form[action$="/verify"] button').first.click()
    await expect(page.locator("main")).to_contain_text(ledger_words.TEXTS["sound"][0])
    lines = await house.whole.house.runtime.ledger.reading.trial_balance(BookId(book_id))
    assert sum(line.debits_minor for line in lines) > 0
    assert unbalanced(lines) == {}
