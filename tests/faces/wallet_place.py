"""A payer with a month behind them, in a house that answers on a port: what the pages of the wallet are shown with."""

import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from playwright.async_api import Page
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.faces.browser import serving
from tests.parties.conftest import PASSWORD, scope_of
from tests.web.v2_house import Json, Tenant
from tests.web.whole_house import Whole, open_whole

from tongbao.channels.schema import Wallet
from tongbao.core.db import Database
from tongbao.core.ids import int_text, parse_uuid, uuid_text
from tongbao.ledger.schema import BOOK_PREFIX, BookId, Side
from tongbao.parties.ports import Means
from tongbao.parties.schema import MERCHANT_PREFIX, MerchantRole, Payer
from tongbao.parties.service.payer_sign_in import Browser, contact_of
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.complaints import ComplaintCause, Said
from tongbao.payments.schema.methods import Mandate, MandateState, Period
from tongbao.payments.service.pay_codes import PayCodes
from tongbao.payments.store import documents
from tongbao.web.api.pay_codes import open_pay_codes
from tongbao.web.api.wallets import FUNDING
from tongbao.web.signing.opening_wallets import open_wallet
from tongbao.web.wallet.routes import routers

HOSTILE = '<img src=x onerror=alert(1)> "Mei"'
SHOPS = (
    ("Golden Noodle House", "5812"),
    ("Everyday Grocery 每日生鲜", "5411"),
    ("City Metro", "4111"),
    ("Harbor Books", "5942"),
    ("Rainbow Pharmacy", "5912"),
)
TICKETS = (2_600, 8_940, 400, 6_800, 12_730, 5_600, 2_250, 7_415)


@dataclass
class Purse:
    """A payer, the shops they buy at, and the bills by what they are here for."""

    whole: Whole
    base: str
    payer: Payer
    codes: PayCodes
    shops: list[Tenant]
    named: dict[str, str]

    async def token(self, payer: Payer | None = None) -> str:
        """A session of a payer."""
        browser = Browser("127.0.0.1", "Mozilla/5.0 (Linux; Android 14) Chrome/130.0 Mobile")
        sign_in = self.whole.house.parties.payer_sign_in
        issued = await sign_in.open((payer or self.payer).payer_id, Means.CODE, browser)
        return issued.token.get_secret_value()

    async def signed_in(self, page: Page, payer: Payer | None = None) -> Page:
        """Sign the browser of a page in."""
        cookie = {"name": "wallet", "value": await self.token(payer), "url": self.base}
        await page.context.add_cookies([cookie])  # type: ignore[list-item]  # a mapping of these keys
        return page

    async def at_shop(self, page: Page, shop: int) -> Page:
        """Sign the owner of a shop in and open what payers ask it."""
        tenant = self.shops[shop]
        owner = await self.whole.people.member(scope_of(tenant.merchant), MerchantRole.OWNER, PASSWORD)
        token = await self.whole.people.token(owner)
        cookies = [{"name": "session", "value": token, "url": self.base}]
        cookies += [{"name": "mode", "value": "test", "url": self.base}]
        await page.context.add_cookies(cookies)  # type: ignore[arg-type]  # a mapping of these keys
        home = f"{self.base}/merchant/{int_text(MERCHANT_PREFIX, tenant.merchant.merchant_id)}"
        await page.goto(f"{home}/complaints")
        return page

    async def scan(
        self, amount: int, shop: int = 0, *, code: str = "", payer: Payer | None = None, **more: str
    ) -> Json:
        """A shop scans a code, a new one where none is given; returns the payment as the shop gets it."""
        text = code or (await self.codes.make(payer or self.payer)).text
        body = {"code": text, "amount_minor": amount, "currency": "CNY", **more}
        answer = await self.whole.send(self.shops[shop], "POST", "/v2/pay_codes/charges", json=body)
        assert answer.status_code == 201, answer.text
        made: Json = answer.json()
        return made

    async def bill(self, payment: str, shop: int = 0) -> str:
        """The reference under which a payment stands among the bills."""
        found = await self.whole.house.payments.intents.find(self.shops[shop].scope, payment)
        assert found[0].attempt is not None
        return found[0].attempt.reference

    async def mandate(self, shop: int, payer: Payer | None = None) -> str:
        """A shop may take money from a wallet by itself; no channel of wallets sets that up yet, so it is written down."""
        house, scope = self.whole.house, self.shops[shop].scope
        own = (payer or self.payer).wallet_book_id
        made = await house.payments.methods.create(scope, Wallet(book_id=own))
        assert made.view is not None
        now = self.whole.clock.now()
        kept = Mandate(
            id=self.whole.ids.uuid(),
            book_id=scope.book_id,
            live=False,
            created_at=now,
            updated_at=now,
            state=MandateState.ACTIVE,
            method_id=made.view.id,
            currency="CNY",
            amount_minor_max=20_000,
            period=Period.MONTH,
            period_minor_max=50_000,
            used_minor=9_900,
            used_count=1,
            accepted_at=now,
        )
        async with house.runtime.database.transaction() as connection:
            await documents.insert(connection, [kept])
        return kept.reference


@contextlib.asynccontextmanager
async def open_purse(database: Database, dsn: str, home: Path, *, full: bool = True) -> AsyncIterator[Purse]:
    """Open a house with a payer; ``full``: with a month of bills, a refund, a mandate and what waits."""
    front = _Front()
    async with serving(front) as base, open_whole(database, dsn, home, base) as whole:
        front.app = whole.app
        yield await furnished(whole, base, full=full)


async def furnished(whole: Whole, base: str, *, full: bool = True) -> Purse:
    """Put the pages into an open house, and a payer before them."""
    shops = [await _shop(whole, name, mcc) for name, mcc in (SHOPS if full else SHOPS[:1])]
    include(whole, shops[0])
    house = whole.house
    codes = open_pay_codes(
        house.payments, house.requests, house.parties, house.runtime.ledger, secret=house.proofs.secret
    )
    payer = await new_payer(whole, "Li Na 李娜", shops[0] if full else None)
    purse = Purse(whole, base, payer, codes, shops, {})
    if full:
        await _month(purse)
    return purse


async def new_payer(whole: Whole, name: str, through: Tenant | None = None) -> Payer:
    """Somebody with a wallet, which a shop fills with 800 yuan where one is given."""
    payer = await open_wallet(whole.house, name, "zh-CN", contact_of(whole.people.email()))
    if through is not None:
        await whole.house.runtime.ledger.accounts.open_account(
            BookId(payer.wallet_book_id),
            f"{FUNDING}/{int_text(BOOK_PREFIX, through.scope.book_id)}",
            "CNY",
            side=Side.DEBIT,
            name="Whose book the money comes from",
        )
        await fill(whole, payer, through, 80_000)
    return payer


async def fill(whole: Whole, payer: Payer, through: Tenant, amount: int) -> None:
    """Money into a wallet, as the shop that keeps it puts it there."""
    made = await whole.send(
        through,
        "POST",
        "/v1/payment_methods",
        data={
            "type": "card",
            "card[number]": "4242424242424242",
            "card[exp_month]": "12",
            "card[exp_year]": "2031",
        },
    )
    body = {"amount_minor": amount, "currency": "CNY", "payment_method": made.json()["id"]}
    path = f"/v2/wallets/{int_text('wallet', payer.wallet_book_id)}/top_ups"
    answer = await whole.send(through, "POST", path, json=body)
    assert answer.status_code == 201, answer.text
    assert answer.json()["status"] == "succeeded"


def include(whole: Whole, keeper: Tenant) -> None:
    """Let a merchant's test book take what payers put into their wallets, as in a demonstration: these routes come first."""
    app: Any = whole.app
    while not isinstance(app, FastAPI):
        app = app._app
    known = list(app.router.routes)
    for routes in routers(whole.house, keeper.merchant.merchant_id):
        app.include_router(routes)
    app.router.routes[:] = [*app.router.routes[len(known) :], *known]
    app.state.built_addresses = None


class _Front:
    """An application that is known later than the port it is served on."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


async def _shop(whole: Whole, name: str, mcc: str) -> Tenant:
    tenant = await whole.tenant()
    metadata = '{"support_email": "help@shop.test", "support_phone": "+86 571 8888 6666"}'
    async with whole.house.runtime.database.transaction() as connection:
        await connection.execute(
            "UPDATE parties.merchant SET display_name = $2, mcc = $3, metadata = $4 WHERE merchant_id = $1",
            tenant.merchant.merchant_id,
            name,
            mcc,
            metadata,
        )
    return tenant


async def _month(purse: Purse) -> None:
    """A month of bills: what was bought day by day, a refund, a name that means harm, a payment that waits."""
    whole, rng = purse.whole, random.Random(7)
    for place, ticket in enumerate(TICKETS):
        shop = rng.randrange(len(SHOPS)) if place else 0
        made = await purse.scan(ticket, shop, description=f"Order {1_000 + place}")
        purse.named[f"bill{place}"] = await purse.bill(made["id"], shop)
        if place == len(TICKETS) - 2:
            body = {"payment_intent": made["id"], "amount": "1000"}
            answer = await whole.send(purse.shops[shop], "POST", "/v1/refunds", data=body)
            assert answer.status_code == 200, answer.text
            purse.named["refund"] = answer.json()["id"]
        whole.clock.advance(timedelta(days=3, hours=3, minutes=17))
    await fill(whole, purse.payer, purse.shops[0], 100_000)
    hostile = await purse.scan(1_234, 1, description=HOSTILE)
    purse.named["hostile"] = await purse.bill(hostile["id"], 1)
    await _complaint(purse, purse.named["hostile"], 1)
    purse.named["mandate"] = await purse.mandate(3)
    waiting = await purse.scan(120_000, 3, receipt_email="mei@example.com")
    assert waiting["status"] == "requires_action"
    purse.named["waiting"] = waiting["id"]
    await whole.tally()


async def _complaint(purse: Purse, bill: str, shop: int) -> None:
    """Something that the payer told a shop about a bill, and its answer."""
    desk, scope = purse.whole.house.payments.complaints, purse.shops[shop].scope
    said = Said(ComplaintCause.WRONG_AMOUNT, f"It was to be 12 yuan. {HOSTILE}")
    wallet = purse.payer.wallet_book_id
    made = await desk.complain(wallet, scope.book_id, parse_uuid(Attempt.PREFIX, bill), said)
    await desk.answer(scope, made.id, f"The rest is a deposit for the bottle. {HOSTILE}")


def unknown(prefix: str, whole: Whole) -> str:
    """The id of something that is not there."""
    return uuid_text(prefix, whole.ids.uuid())
