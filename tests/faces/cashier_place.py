"""The checkout and the step-up pages of a whole house on a port, every state of them, and a browser before it.

Channels are scripted, so that each state can be reached; everything else is the program as it runs.
"""

import contextlib
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.faces.browser import serving
from tests.payments.scripted import UNRESOLVED, ScriptedChannel, declined
from tests.web.risk_calls import rule
from tests.web.stepped_up import Counter, open_counter
from tests.web.v2_house import Tenant
from tests.web.whole_house import CHANNELS, Whole, open_whole

from tongbao.channels.schema import Action, ActionKind, Answer, Outcome, Reason
from tongbao.core.db import Database
from tongbao.payments.schema.checkout import Extra, ExtraKind, LineItem, OpenAmount
from tongbao.payments.service.sessions import SessionOrder, SessionView

EVERY_KIND = ("card", "alipay", "wechat_pay")
ITEMS = (
    LineItem(name="Longjing, 100 g", unit_minor=16_800, quantity=2, description="Spring harvest, West Lake"),
    LineItem(name="茶杯", unit_minor=4_900),
)
EXTRAS = (
    Extra(kind=ExtraKind.DISCOUNT, amount_minor=-2_400),
    Extra(kind=ExtraKind.SHIPPING, amount_minor=1_200),
    Extra(kind=ExtraKind.TAX, amount_minor=2_260),
)
CARD_FORM = {"method": "card", "number": "4242 4242 4242 4242", "expiry": "12 / 30", "cvc": "737"}
QR = Answer(
    outcome=Outcome.ACTION_REQUIRED,
    action=Action(kind=ActionKind.SHOW_QR, qr_text="https://qr.alipay.com/bax03431ljhokirwl38f00a7"),
)
LEAVE = Answer(
    outcome=Outcome.ACTION_REQUIRED, action=Action(kind=ActionKind.REDIRECT, url="https://bank.test/3ds")
)


@dataclass
class Place:
    """A house that answers on a port, and a merchant of it."""

    whole: Whole
    base: str
    tenant: Tenant
    channels: list[ScriptedChannel] = field(default_factory=list)

    async def session(self, *items: LineItem, tenant: Tenant | None = None, **fields: Any) -> SessionView:
        """An open session with everything that a page can show."""
        values: dict[str, Any] = {
            "method_kinds": EVERY_KIND,
            "extras": () if items else EXTRAS,
            "success_url": f"{self.base}/healthz",
            "cancel_url": "https://shop.test/cart",
            "customer_email": "mei@example.com",
        }
        order = SessionOrder(items or ITEMS, "cny", **(values | fields))
        done = await self.whole.house.payments.sessions.create((tenant or self.tenant).scope, order)
        assert done.view is not None
        return done.view

    def script(self, *replies: Answer) -> None:
        """Script the next answers to authorizations, one a try: whichever channel is asked first gives it."""
        for channel in self.channels:
            channel.replies.clear()
        waiting = list(replies)

        async def answer(call: Any) -> Answer:
            return waiting.pop(0)

        for channel in self.channels:
            channel.reply("authorize", *([answer] * len(replies)))

    async def send(self, view: SessionView, **fields: str) -> None:
        """Send a form of the page of a session, as a browser without script would."""
        path = f"/c/{view.session.reference}"
        shown = await self.whole.http.get(path)
        found = re.search(r'name="key" value="([^"]+)"', shown.text)
        assert found is not None
        form = urlencode(CARD_FORM | {"key": found[1]} | fields)
        headers = {"content-type": "application/x-www-form-urlencoded", "origin": "http://localhost"}
        sent = await self.whole.http.post(f"{path}/pay", content=form, headers=headers)
        assert sent.status_code == 303


@contextlib.asynccontextmanager
async def open_place(database: Database, dsn: str, home: Path) -> AsyncIterator[Place]:
    """Open everything; ends with it. The house is told its own address once it has one."""
    front = _Front()
    async with serving(front) as base, open_whole(database, dsn, home, base) as whole:
        front.app = whole.app
        place = Place(whole, base, await whole.tenant(), _scripted(whole))
        await contact(place)
        yield place


class _Front:
    """An application that is known later than the port it is served on."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def _scripted(whole: Whole) -> list[ScriptedChannel]:
    """Put scripted channels where the house has those that approve everything."""
    registry = whole.house.payments.channels
    scripted = [ScriptedChannel(name) for name in CHANNELS]
    for each in scripted:
        registry._channels[each.name] = each
    return scripted


async def contact(place: Place) -> None:
    """Let the merchant say where it can be asked."""
    whole, merchant = place.whole, place.tenant.merchant
    async with whole.house.runtime.database.transaction() as connection:
        await connection.execute(
            "UPDATE parties.merchant SET metadata = $2 WHERE merchant_id = $1",
            merchant.merchant_id,
            '{"support_email": "help@shop.test", "support_phone": "+86 571 8888 6666"}',
        )


async def opened(place: Place) -> str:
    """A session that can be paid."""
    return f"/c/{(await place.session()).session.reference}"


async def asking(place: Place) -> str:
    """A link whose payer chooses the sum."""
    done = await place.whole.house.payments.sessions.create_link(
        place.tenant.scope,
        (LineItem(name="Gift 打赏", unit_minor=2_000),),
        "cny",
        open_amount=OpenAmount(least_minor=500, most_minor=500_000, preset_minor=2_000),
    )
    assert done.view is not None
    return f"/l/{done.view.reference}"


async def refused(place: Place) -> str:
    """A session whose card was declined over two routes."""
    view = await place.session()
    place.script(declined(Reason.CHANNEL_UNAVAILABLE, "91"), declined(Reason.INSUFFICIENT_FUNDS, "51"))
    await place.send(view)
    place.script()
    return f"/c/{view.session.reference}"


async def scanned(place: Place) -> str:
    """A session whose code waits to be scanned."""
    view = await place.session()
    place.script(QR)
    await place.send(view, method="alipay")
    return f"/c/{view.session.reference}"


async def left(place: Place) -> str:
    """A session whose payer has to confirm with its bank."""
    view = await place.session()
    place.script(LEAVE)
    await place.send(view)
    return f"/c/{view.session.reference}"


async def unresolved(place: Place) -> str:
    """A session whose outcome nobody knows."""
    view = await place.session()
    place.script(UNRESOLVED)
    await place.send(view)
    return f"/c/{view.session.reference}"


async def paid(place: Place) -> str:
    """A session that was paid."""
    view = await place.session()
    place.script()
    await place.send(view)
    return f"/c/{view.session.reference}"


async def receipt(place: Place) -> str:
    """The receipt of a session."""
    return f"{await paid(place)}/receipt"


async def held(place: Place) -> str:
    """A session that people look at."""
    tenant = await place.whole.tenant()
    await rule(place.whole, tenant, 'all: when amount > 1 CNY then review because "all" owner mei\n')
    view = await place.session(tenant=tenant)
    place.script()
    await place.send(view)
    return f"/c/{view.session.reference}"


async def expired(place: Place) -> str:
    """A session whose time is over."""
    sessions = place.whole.house.payments.sessions
    view = await place.session()
    done = await sessions.expire(place.tenant.scope, view.session.id)
    assert done.view is not None
    return f"/c/{view.session.reference}"


async def missing(place: Place) -> str:
    """An address that leads nowhere."""
    del place
    return "/c/cs_0000000000000000000000000e"


@contextlib.asynccontextmanager
async def counter(place: Place) -> AsyncIterator[Counter]:
    """A merchant whose payers are all asked who they are."""
    async with httpx.AsyncClient(base_url=place.base) as browser:
        made = await open_counter(place.whole, place.base, browser)
        made.return_url = f"{place.base}/healthz"
        place.script()
        yield made


async def asked(place: Place) -> str:
    """The page of a step-up that asks for a code."""
    async with counter(place) as made:
        _, path = await made.pay()
        await made.page(path)
        place.whole.clock.advance(timedelta(seconds=1))
        return path


STATES: dict[str, Callable[[Place], Coroutine[Any, Any, str]]] = {
    "pay": opened,
    "asking": asking,
    "declined": refused,
    "wait": unresolved,
    "scan": scanned,
    "leave": left,
    "paid": paid,
    "receipt": receipt,
    "held": held,
    "expired": expired,
    "missing": missing,
    "step_up": asked,
}
"""Every state of the pages, and how it is reached; each returns the path of its page."""
