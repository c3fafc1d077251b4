"""``make pictures``: takes the pictures of the README from a seeded house, and writes them small to ``docs/pictures``.

Run as ``python -m pytest tests/faces/pictures.py``. Every picture is what a browser shows at an address, in the mode, language
and width that its name says, and none is larger than ``BYTES_MAX``. A page that is not built is left out and told.
"""

import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from playwright.async_api import Page
from tests.faces.browser import PHONE, WIDE, PageIn
from tests.faces.small_png import small
from tests.faces.test_budgets import ROLES, keep
from tests.faces.test_journey import House, open_house
from tests.parties.conftest import DRAFT, PASSWORD, scope_of
from tests.payments.scripted import ScriptedChannel, declined
from tests.web.risk_calls import judged, rule, settled
from tests.web.security.town import form
from tests.web.signed_in import signed_in
from tests.web.v2_house import Tenant
from tests.web.whole_house import CHANNELS, Whole

from tongbao.channels.schema import Reason
from tongbao.core.db import Database
from tongbao.core.ids import int_text
from tongbao.parties.schema import MERCHANT_PREFIX, MerchantRole
from tongbao.web.locale import cashier as words

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
BYTES_MAX = 120_000
DAYS = 7
LATELY = 20
BUYERS = (("陈美", "mei@example.com"), ("Tom Reed", "tom@example.com"), ("An Nguyen", "an@example.com"))
GOODS = ("Longjing, 100 g", "明前龙井 50 g", "Gaiwan, white porcelain", "茶杯一对", "Tea tasting for two")
RULES = 'large: when amount > 500 EUR then review because "large amount" owner mei\n'
SETTLE_MS = 400


class Shot(NamedTuple):
    """A picture: its name, who looks, the address, and the look; ``pays``: the card is paid with before."""

    name: str
    who: str
    address: str
    mode: str = "light"
    language: str = "en"
    width: int = WIDE
    pays: bool = False


@dataclass
class Scene:
    """A house with a week behind it."""

    house: House
    tokens: dict[str, tuple[str, str]] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)


SHOTS = (
    Shot("checkout-phone-zh", "payer", "{session}", "light", "zh-CN", PHONE),
    Shot("checkout-phone-dark", "payer", "{session}", "dark", "en", PHONE),
    Shot("checkout-elder-zh", "payer", "{session}", "elder", "zh-CN", PHONE),
    Shot("checkout-paid-phone", "payer", "{session}", "light", "en", PHONE, pays=True),
    Shot("merchant-today-light", "merchant", "{merchant}?mode=test"),
    Shot("merchant-payments-dark-zh", "merchant", "{merchant}/payments?mode=test", "dark", "zh-CN"),
    Shot("merchant-payment-light", "merchant", "{merchant}/payments/{payment}?mode=test"),
    Shot("merchant-settlements-light-zh", "merchant", "{merchant}/settlements?mode=test", "light", "zh-CN"),
    Shot("ops-today-dark", "ops", "/ops/today?mode=test", "dark"),
    Shot("ops-cases-light", "ops", "/ops/risk/cases?mode=test"),
    Shot("ops-case-dark-zh", "ops", "/ops/risk/cases/{case}?mode=test", "dark", "zh-CN"),
    Shot("ops-routing-light", "ops", "/ops/routing?mode=test"),
    Shot("ops-ledger-dark-zh", "ops", "/ops/ledger", "dark", "zh-CN"),
    Shot("ops-wall", "ops", "/ops/wall?kiosk=1&mode=test", "dark"),
)


@pytest.fixture(scope="module")
async def scene(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Scene]:
    async with open_house(database, dsn, tmp_path_factory.mktemp("house")) as house:
        yield await seeded(house)


async def seeded(house: House) -> Scene:
    """A week of trade of a tea house, a case that waits for people."""
    whole = house.whole
    draft = msgspec.structs.replace(DRAFT, name="Jade Spring Tea House", display_name="Jade Spring 翠泉茶舍")
    tenant = await whole.tenant(await whole.people.merchant(draft))
    scene = Scene(house)
    await rule(whole, tenant, RULES)
    payment = await traded(house, tenant)
    await judged(whole, tenant, amount_minor=86_000, customer="cus-tom-reed")
    await settled(whole)
    with contextlib.suppress(Exception):
        for _, step in whole.house.clearing.steps():
            await step()
    await settled(whole)
    await whole.tally()
    cases = (await whole.get(tenant, "/v2/risk/cases"))["data"]
    owner = await whole.people.member(scope_of(tenant.merchant), MerchantRole.OWNER, PASSWORD)
    scene.tokens = {
        "merchant": ("session", await whole.people.token(owner)),
        "ops": ("session", (await signed_in(whole, "Lin Bo", ROLES)).token),
    }
    scene.places = {
        "merchant": f"/merchant/{int_text(MERCHANT_PREFIX, tenant.merchant.merchant_id)}",
        "payment": payment,
        "session": await session(house, tenant),
        "case": cases[0]["id"] if cases else "none",
    }
    return scene


async def traded(house: House, tenant: Tenant) -> str:
    """Pay through a week, some of it given back; returns a payment with a story to tell."""
    whole, told_of = house.whole, ""
    channels = scripted(whole)
    buyers = [
        (await form(whole, tenant, "customers", name=name, email=email))["id"] for name, email in BUYERS
    ]
    for number in range(DAYS * 4 + LATELY):
        good = GOODS[number % len(GOODS)]
        order = {
            "amount": str(4_900 + (number * 3_700) % 26_000),
            "currency": "cny",
            "confirm": "true",
            "payment_method": "pm_card_visa",
            "customer": buyers[number % len(buyers)],
            "description": good,
            "metadata[order]": f"A-{1_040 + number}",
        }
        if number % 8 == 3:
            await refused(whole, tenant, channels, order)
        paid = await form(whole, tenant, "payment_intents", **order)
        if number % 9 == 4:
            told_of = paid["id"]
            back = {"payment_intent": told_of, "amount": "1900", "reason": "requested_by_customer"}
            await form(whole, tenant, "refunds", **back)
        whole.clock.advance(timedelta(hours=6) if number < DAYS * 4 else timedelta(seconds=50))
    await whole.tally()
    return told_of


def scripted(whole: Whole) -> list[ScriptedChannel]:
    """Put channels where the house has those that approve everything: they approve what nothing else is said about."""
    registry = whole.house.payments.channels
    made = [ScriptedChannel(name) for name in CHANNELS]
    for each in made:
        registry._channels[each.name] = each
    return made


async def refused(
    whole: Whole, tenant: Tenant, channels: list[ScriptedChannel], order: dict[str, str]
) -> None:
    """A payment that no issuer wanted."""
    for each in channels:
        each.reply("authorize", declined(Reason.INSUFFICIENT_FUNDS, "51"))
    await whole.send(tenant, "POST", "/v1/payment_intents", data=order)
    for each in channels:
        each.replies.clear()


async def session(house: House, tenant: Tenant) -> str:
    """The address of a checkout with two things in it."""
    fields = {"mode": "payment", "success_url": "https://shop.example/done"}
    for at, (name, amount, count) in enumerate((("明前龙井 100 g", "16800", "2"), ("茶杯", "4900", "1"))):
        fields |= {
            f"line_items[{at}][price_data][currency]": "cny",
            f"line_items[{at}][price_data][unit_amount]": amount,
            f"line_items[{at}][price_data][product_data][name]": name,
            f"line_items[{at}][quantity]": count,
        }
    made = await form(house.whole, tenant, "checkout/sessions", **fields)
    return f"/c/{made['id']}"


@pytest.mark.parametrize("shot", SHOTS, ids=lambda shot: shot.name)
async def test_picture_is_taken_and_small(scene: Scene, page_in: PageIn, shot: Shot) -> None:
    house = scene.house
    page = await page_in(shot.mode, shot.language, shot.width, house.base)
    if shot.who in scene.tokens:
        await keep(house, page, *scene.tokens[shot.who])
    answer = await page.goto(house.base + shot.address.format(**scene.places), wait_until="load")
    assert answer is not None
    if answer.status != 200:
        pytest.skip(f"not built: {shot.address}")
    if shot.pays:
        await paid(page, shot.language)
    await page.wait_for_timeout(SETTLE_MS)
    if shot.width == PHONE:
        await page.set_viewport_size({"width": PHONE, "height": 844})
    taken = await page.screenshot()
    written = await small(await page_in(base=house.base), taken)
    assert len(written) <= BYTES_MAX, len(written)
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{shot.name}.png").write_bytes(written)


async def paid(page: Page, language: str) -> None:
    """Type a card and pay."""
    for key, typed in (("number", "4242424242424242"), ("expiry", "1230"), ("cvc", "737")):
        await page.get_by_label(words.text(key, language)).press_sequentially(typed)
    await page.get_by_role("button", name=re.compile("Pay")).first.click()
    await page.get_by_role("heading", name=words.text("paid", language)).wait_for()
