"""What a payer sees: one small page a payment, to pay it or to walk away. A QR code and a redirect lead here."""

import html

from aiohttp import web

from tongbao.simulator.sandbox.alipay import AlipayGateway
from tongbao.simulator.sandbox.alipay_acts import CHANNEL as ALIPAY
from tongbao.simulator.sandbox.desk import Desk
from tongbao.simulator.sandbox.payers import Payers
from tongbao.simulator.sandbox.schema import PAYABLE, Payment, Purpose
from tongbao.simulator.sandbox.wire import yuan

STYLE = (
    "body{font:18px/1.5 system-ui,sans-serif;max-width:24rem;margin:4rem auto;padding:0 1rem;text-align:center}"
    "h1{font-size:1.2rem}b{font-size:2.5rem}button{font:inherit;width:100%;padding:.8rem;margin:.4rem 0;border:1px solid #888;"
    "border-radius:.6rem;background:#fff}button[value=pay],button[value=pass]{background:#1677ff;border-color:#1677ff;color:#fff}"
)
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


class PayerPages:
    """The pages, and what their buttons do."""

    def __init__(self, desk: Desk, payers: Payers, alipay: AlipayGateway) -> None:
        self._desk = desk
        self._payers = payers
        self._alipay = alipay

    def routes(self) -> list[web.RouteDef]:
        """Return the page of a payment and its form."""
        return [web.get("/payer/{number}", self.show), web.post("/payer/{number}", self.act)]

    async def show(self, request: web.Request) -> web.Response:
        """Show a payment; to look at it is to have scanned its code."""
        payment = self._payment(request)
        self._payers.scan(payment)
        await self._desk.world.settled()
        return self._page(payment, _redirect(request))

    async def act(self, request: web.Request) -> web.Response:
        """Pay or cancel, and lead back to the merchant where it named an address."""
        payment = self._payment(request)
        form = await request.post()
        if form.get("act") == "pay":
            self._payers.pay(payment)
        elif form.get("act") == "cancel":
            self._payers.cancel(payment)
        await self._desk.world.settled()
        url = self._alipay.return_url(payment) if payment.channel == ALIPAY else _redirect(request)
        if url and url.startswith(("http://", "https://")) and payment.state not in PAYABLE:
            raise web.HTTPSeeOther(url)
        return self._page(payment, url)

    def _payment(self, request: web.Request) -> Payment:
        payment = self._desk.world.by_channel_reference(request.match_info["number"])
        if payment is None or payment.purpose is not Purpose.PAYMENT or "subject" not in payment.details:
            raise web.HTTPNotFound
        return payment

    def _page(self, payment: Payment, url: str | None) -> web.Response:
        subject = html.escape(payment.details["subject"])
        if payment.state in PAYABLE:
            again = payment.details.get("last_decline")
            said = f"<p role=alert>{html.escape(again)}</p>" if again else ""
            body = (
                f"{said}<form method=post><button name=act value=pay>Pay 支付</button>"
                "<button name=act value=cancel>Cancel 取消</button></form>"
            )
        else:
            body = f"<p role=status>{html.escape(payment.state)}</p>"
        text = (
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
            f"<title>Sandbox payer</title><style>{STYLE}</style>"
            f"<p>{subject}</p><b>¥{yuan(payment.amount_minor)}</b>{body}"
            f"<p><small>{html.escape(payment.channel)}: no real money</small></p></html>"
        )
        return web.Response(text=text, content_type="text/html", charset="utf-8", headers=HEADERS)


def _redirect(request: web.Request) -> str | None:
    """Return where WeChat Pay's browser page leads back to: the merchant adds it to the address itself."""
    return request.query.get("redirect_url")
