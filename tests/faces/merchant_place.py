"""A merchant with a week of trade behind it, in a house that answers on a port: what the pages of the portal are shown with."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from playwright.async_api import Page
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.faces.browser import serving
from tests.parties.conftest import PASSWORD, scope_of
from tests.payments.scripted import UNRESOLVED, ScriptedChannel, approved, declined
from tests.web.v2_house import Tenant
from tests.web.whole_house import BASE, CHANNELS, Whole, open_whole

from tongbao.channels.schema import (
    Action,
    ActionKind,
    Answer,
    Notification,
    NotificationKind,
    Outcome,
    Reason,
)
from tongbao.core.db import Database
from tongbao.core.ids import int_text, parse_uuid
from tongbao.parties.schema import MERCHANT_PREFIX, MerchantRole, Person
from tongbao.payments.schema.checkout import LineItem
from tongbao.payments.schema.webhooks import EndpointDraft

HOSTILE = '<img src=x onerror=alert(1)> "O\'Brien" ‮אבג'
QR = Answer(
    outcome=Outcome.ACTION_REQUIRED,
    action=Action(kind=ActionKind.SHOW_QR, qr_text="https://qr.alipay.com/bax03431ljhokirwl38f00a7"),
)

PAGES = (
    "",
    "/payments",
    "/payments/{cascaded}",
    "/payments/{disputed}",
    "/payments/{plain}/refund",
    "/payments/{held}/capture",
    "/refunds",
    "/refunds/{refund}",
    "/disputes",
    "/disputes/{dispute}",
    "/links",
    "/links/new",
    "/links/new?kind=open",
    "/links/{link}",
    "/links/{link}/poster",
    "/till",
    "/customers",
    "/customers/{hostile}",
)
MORNING = timedelta(hours=10)


@dataclass
class Shop:
    """A merchant, its owner, and the payments by what they are here for."""

    whole: Whole
    base: str
    tenant: Tenant
    owner: Person
    channels: list[ScriptedChannel]
    named: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> str:
        """Where the pages of the merchant begin."""
        return f"/merchant/{int_text(MERCHANT_PREFIX, self.tenant.merchant.merchant_id)}"

    def script(self, *replies: Answer) -> None:
        """Script the next answers to authorizations, whichever channel is asked; after them all is approved."""
        waiting = list(replies)

        async def answer(call: Any) -> Answer:
            return waiting.pop(0) if waiting else approved(call, captured=call.capture)

        for channel in self.channels:
            channel.replies.clear()
            channel.reply("authorize", *([answer] * len(replies)))

    async def api(self, path: str, **fields: str) -> dict[str, Any]:
        """Write over ``/v1`` as the merchant's own program does."""
        answer = await self.whole.send(self.tenant, "POST", path, data=fields)
        assert answer.status_code < 500, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def pay(self, name: str, amount: int, *replies: Answer, **fields: str) -> str:
        """A payment by card; returns its id, also of one that was declined."""
        self.script(*replies)
        order = {
            "amount": str(amount),
            "currency": "cny",
            "confirm": "true",
            "payment_method": "pm_card_visa",
        }
        made = await self.api("/v1/payment_intents", **(order | fields))
        intent: str = made["id"] if "id" in made else made["error"]["payment_intent"]["id"]
        self.named[name] = intent
        self.script()
        return intent

    async def dispute(self, payment: str, reason: str = "13.1", days: int = 9) -> str:
        """A dispute that the channel tells of; returns its id."""
        payments, scope = self.whole.house.payments, self.tenant.scope
        view = await payments.intents.get(scope, parse_uuid("pi", payment))
        assert view.attempt is not None
        answer = Answer(outcome=Outcome.APPROVED, amount_minor=view.attempt.captured_minor)
        told = Notification(
            kind=NotificationKind.DISPUTE,
            event_id=f"evt_{payment}",
            reference=view.attempt.reference,
            answer=answer,
            dispute_reference=f"case-{payment[-6:]}",
            dispute_status="needs_response",
            reason_code=reason,
            respond_by=self.whole.clock.now() + timedelta(days=days),
        )
        await payments.disputes.heard(view.attempt, told)
        story = await payments.intents.story(scope, parse_uuid("pi", payment))
        return story.disputes[0].reference

    async def settle(self) -> None:
        """Let everything that reads facts read them, and clearing take its steps."""
        await self.whole.tally()
        for _, step in self.whole.house.clearing.steps():
            await step()
        await self.whole.tally()

    async def signed_in(self, page: Page, person: Person | None = None) -> Page:
        """Sign the browser of a page in."""
        token = await self.whole.people.token(person or self.owner)
        cookies = [
            {"name": "session", "value": token, "url": self.base},
            {"name": "mode", "value": "test", "url": self.base},
        ]
        await page.context.add_cookies(cookies)  # type: ignore[arg-type]  # a mapping of these keys
        return page


@contextlib.asynccontextmanager
async def open_shop(database: Database, dsn: str, home: Path, *, full: bool = True) -> AsyncIterator[Shop]:
    """Open a house with a merchant that trades in test mode; ``full``: with a week of trade."""
    front = _Front()
    async with serving(front) as base, open_whole(database, dsn, home, base) as whole:
        front.app = whole.app
        yield await _opened(whole, base, full=full)


@contextlib.asynccontextmanager
async def open_quiet_shop(
    database: Database, dsn: str, home: Path, *, full: bool = True
) -> AsyncIterator[Shop]:
    """The same without a port, for tests that ask the application itself."""
    async with open_whole(database, dsn, home) as whole:
        yield await _opened(whole, BASE, full=full)


async def _opened(whole: Whole, base: str, *, full: bool) -> Shop:
    tenant = await whole.tenant()
    owner = await whole.people.member(scope_of(tenant.merchant), MerchantRole.OWNER, PASSWORD)
    shop = Shop(whole, base, tenant, owner, _scripted(whole))
    if full:
        await _trade(shop)
    return shop


class _Front:
    """An application that is known later than the port it is served on."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def _scripted(whole: Whole) -> list[ScriptedChannel]:
    registry = whole.house.payments.channels
    scripted = [ScriptedChannel(name) for name in CHANNELS]
    for each in scripted:
        registry._channels[each.name] = each
    return scripted


async def _trade(shop: Shop) -> None:
    """A week of trade: what is paid, declined, given back, disputed, waited for."""
    whole, clock = shop.whole, shop.whole.clock
    # A week from ten in the morning ends well within its day, whenever tests run.
    clock.advance((MORNING - timedelta(hours=clock.now().hour)) % timedelta(days=1))
    async with whole.house.runtime.database.transaction() as connection:
        draft = EndpointDraft(url="https://hooks.teahouse.com/tongbao", enabled_events=("*",))
        await whole.house.endpoints.create(connection, shop.tenant.scope, draft)
    mei = (await shop.api("/v1/customers", name="陈美", email="mei@example.com"))["id"]
    odd = (await shop.api("/v1/customers", name=HOSTILE, email="odd@example.com"))["id"]
    shop.named |= {"mei": mei, "hostile": odd}
    for day in range(7):
        await shop.pay(f"day{day}", 8_800 + 1_700 * day, receipt_email="an@example.com")
        clock.advance(timedelta(hours=5))
        await shop.pay(f"evening{day}", 23_500 - 900 * day, description="Tea for two")
        clock.advance(timedelta(hours=19))
    await shop.settle()
    await shop.pay(
        "plain", 16_800, customer=mei, description="Longjing, 100 g", **{"metadata[order]": "A-1042"}
    )
    await shop.pay("odd", 5_900, customer=odd, description=HOSTILE, receipt_email="odd@example.com")
    no = declined(Reason.INSUFFICIENT_FUNDS, "51")
    await shop.pay(
        "declined", 29_900, declined(Reason.CHANNEL_UNAVAILABLE, "91"), no, receipt_email="bo@example.com"
    )
    await shop.pay("cascaded", 12_400, declined(Reason.CHANNEL_UNAVAILABLE, "91"), description="明前龙井")
    await shop.pay("held", 64_000, capture_method="manual", description="Room deposit")
    await shop.pay("unresolved", 7_700, UNRESOLVED)
    clock.advance(timedelta(minutes=20))
    refunded = await shop.pay("refunded", 18_000, receipt_email="an@example.com")
    refund = await shop.api(
        "/v1/refunds", payment_intent=refunded, amount="6000", reason="requested_by_customer"
    )
    shop.named["refund"] = refund["id"]
    link = await whole.house.payments.sessions.create_link(
        shop.tenant.scope, (LineItem(name="茶道体验课", unit_minor=26_800),), "CNY"
    )
    assert link.view is not None
    shop.named["link"] = link.view.reference
    shop.named["dispute"] = await shop.dispute(await shop.pay("disputed", 45_600, customer=mei))
    clock.advance(timedelta(minutes=40))
    await shop.settle()


def address(shop: Shop, path: str) -> str:
    """Where a page is, with the ids of what the shop has in their places."""
    return shop.base + shop.home + path.format(**shop.named)
