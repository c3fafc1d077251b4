"""The issuer's page: where a payer is sent to be authenticated, and where a tester lets it pass or fail."""

import html

from aiohttp import web

from tongbao.core.money import Money, format_money
from tongbao.simulator.sandbox.desk import Desk
from tongbao.simulator.sandbox.issuers import PATH, Issuers, is_asking
from tongbao.simulator.sandbox.payer_pages import HEADERS, STYLE
from tongbao.simulator.sandbox.schema import Payment


class AcsPages:
    """The pages, and what their buttons do."""

    def __init__(self, desk: Desk, issuers: Issuers) -> None:
        self._desk = desk
        self._issuers = issuers

    def routes(self) -> list[web.RouteDef]:
        """Return the page of a payment and its form."""
        return [web.get(f"{PATH}{{number}}", self.show), web.post(f"{PATH}{{number}}", self.act)]

    async def show(self, request: web.Request) -> web.Response:
        """Show whom the cardholder pays how much, and the two ways to answer."""
        payment = self._payment(request)
        self._issuers.lapse(payment)
        return _page(payment)

    async def act(self, request: web.Request) -> web.Response:
        """Pass or fail, and lead back to the merchant where it named an address."""
        payment = self._payment(request)
        act = (await request.post()).get("act")
        if act in ("pass", "fail"):
            self._issuers.conclude(payment, is_passed=act == "pass")
        await self._desk.world.settled()
        back = payment.details.get("back", "")
        if back.startswith(("http://", "https://")) and not is_asking(payment):
            raise web.HTTPSeeOther(back)
        return _page(payment)

    def _payment(self, request: web.Request) -> Payment:
        payment = self._desk.world.by_channel_reference(request.match_info["number"])
        if payment is None or "acs" not in payment.details:
            raise web.HTTPNotFound
        return payment


def _page(payment: Payment) -> web.Response:
    amount = format_money(Money(payment.amount_minor, payment.currency), "en_US")
    if is_asking(payment):
        body = (
            "<p>Is it you who pays?<br>是您本人在付款吗？</p><form method=post>"
            "<button name=act value=pass>Yes, it is me 是本人</button>"
            "<button name=act value=fail>No 不是</button></form>"
        )
    else:
        body = f"<p role=status>{html.escape(payment.details.get('authentication', '').split('/')[0])}</p>"
    text = (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>Sandbox issuer</title><style>{STYLE}</style><h1>Sandbox issuer 沙盒发卡行</h1>"
        f"<b>{html.escape(amount)}</b><p>{html.escape(payment.details.get('card', ''))}</p>{body}"
        f"<p><small>{html.escape(payment.channel)}: no real money</small></p></html>"
    )
    return web.Response(text=text, content_type="text/html", charset="utf-8", headers=HEADERS)
