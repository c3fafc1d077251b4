"""``/merchant/{merchant}``: the day of a merchant at a glance, live; and the finder, which any id leads from.

``/merchant`` itself leads to the one merchant that somebody belongs to, or lets them choose.
"""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from markupsafe import Markup

from tongbao.core.ids import int_text
from tongbao.parties.schema import MERCHANT_PREFIX, MerchantId, OperatorPermission, Permission
from tongbao.parties.service.access import operator_of_job
from tongbao.payments.schema.orders import PageOrder
from tongbao.web.merchant import today_figures as figures
from tongbao.web.merchant import today_view as view
from tongbao.web.merchant.portal import PREFIX, Desk, PageRoute, Portal, Shown
from tongbao.web.merchant.today_attention import attention
from tongbao.web.signing import frames
from tongbao.web.ui import stream
from tongbao.web.ui.live import Channel

LATEST = 8
LIVE_PERIOD_S = 2.0
FOUND = {
    "pi": "/payments/",
    "re": "/refunds/",
    "dp": "/disputes/",
    "cus": "/customers/",
    "plink": "/links/",
    "bat": "/settlements/",
    "po": "/payouts/",
    "we": "/webhooks/",
}
"""Where ids lead by their beginnings; everything else is looked for among payments."""


def router(portal: Portal) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)
    pages = _TodayPages(portal)
    answers: tuple[tuple[str, Callable[..., Awaitable[Response]]], ...] = (
        ("/merchant", pages.choose),
        (PREFIX, pages.today),
        (f"{PREFIX}/find", pages.find),
        (f"{PREFIX}/stream", pages.stream),
    )
    for path, answer in answers:
        routes.add_api_route(path, answer, methods=["GET"], response_model=None)
    return routes


class _TodayPages:
    """Answers the pages."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._operator = operator_of_job("portal", frozenset({OperatorPermission.MERCHANTS_READ}))

    async def choose(self, request: Request) -> Response:
        """Lead to the merchant of whoever is signed in; where there are several, let them choose."""
        visitor = await self._portal.guards.staff(request)
        own = visitor.memberships
        if len(own) == 1:
            address = f"/merchant/{int_text(MERCHANT_PREFIX, own[0].merchant_id)}"
            return RedirectResponse(address, 303, {"Cache-Control": "no-store"})
        rows = [(await self._named(each.merchant_id), each) for each in own]
        language = view.language_of(request)
        context = {
            "t": view.words(language),
            "merchants": [
                (name, int_text(MERCHANT_PREFIX, each.merchant_id), each.role.value) for name, each in rows
            ],
        }
        return frames.person(request, visitor, frames.Page("merchant/choose.html", "", context))

    async def today(self, request: Request, merchant: str) -> Response:
        """Answer the day."""
        desk = await self._desk(request, merchant)
        scope, now = desk.visitor.scope, self._portal.now()
        day = figures.day_of(now, desk.zone)
        overviews, house = self._portal.overviews, self._portal.house
        hours = await overviews.takings(scope, day.from_at, day.to_at)
        gone = await overviews.gone_back(scope, day.from_at, day.to_at)
        rails = await overviews.rails(scope, day.from_at, day.to_at)
        may_money = desk.visitor.may(Permission.PAYOUTS_READ)
        coming = await house.clearing.bills.coming(scope, desk.currency) if may_money else ()
        batches = (
            await house.clearing.settling.page(scope.book_id, currency=desk.currency, limit=LATEST)
            if may_money
            else []
        )
        context = {
            "taken": view.taken(figures.taken(hours, day, desk.currency), desk),
            "approval": view.approval(figures.approval(hours, day), desk),
            "back": view.back(figures.back(gone, day, desk.currency), desk),
            "payout": view.payout(coming, batches, desk) if may_money else None,
            "rails": view.rails(figures.shares(rails), desk),
            "latest": await self._latest(desk),
            "attention": await attention(desk),
            "source": desk.to("/stream", channels="taken,latest", mode=desk.mode),
            "zone": desk.visitor.merchant.timezone,
        }
        return desk.page(Shown("today.html", "today", context))

    async def find(self, request: Request, merchant: str) -> Response:
        """Lead to what an id names; what is no id of its own page is looked for among payments."""
        desk = await self._desk(request, merchant)
        text = request.query_params.get("q", "").strip()[:200]
        prefix, _, rest = text.rpartition("_")
        if prefix in FOUND and rest.isalnum():
            address = desk.to(FOUND[prefix] + text)
        elif text and (named := await self._portal.house.payments.intents.find(desk.visitor.scope, text)):
            address = desk.to(f"/payments/{named[0].intent.reference}")
        else:
            address = desk.to("/payments", **({"q": text} if text else {}))
        return RedirectResponse(address, 303, {"Cache-Control": "no-store"})

    async def stream(self, request: Request, merchant: str) -> Response:
        """Answer what changes on the page of the day."""
        desk = await self._desk(request, merchant)
        book = desk.visitor.scope.book_id
        known = {
            "taken": Channel(f"taken:{book}", self._live(desk, self._taken), LIVE_PERIOD_S),
            "latest": Channel(f"latest:{book}", self._live(desk, self._latest), LIVE_PERIOD_S),
        }
        names = {channel.name: name for name, channel in known.items()}
        return stream.answer(request, self._portal.hub, stream.wanted(request, known), names)

    @staticmethod
    def _live(desk: Desk, render: "Callable[[Desk], Awaitable[Markup]]") -> "Callable[[str], Awaitable[str]]":
        async def rendered(language: str) -> str:
            return str(await render(desk.in_language(language)))

        return rendered

    async def _taken(self, desk: Desk) -> Markup:
        day = figures.day_of(self._portal.now(), desk.zone)
        hours = await self._portal.overviews.takings(desk.visitor.scope, day.from_at, day.to_at)
        return view.taken_now(figures.taken(hours, day, desk.currency), desk)

    async def _latest(self, desk: Desk) -> Markup:
        page = await self._portal.house.payments.intents.page(desk.visitor.scope, PageOrder(limit=LATEST))
        return view.latest(page.items, desk)

    async def _named(self, merchant_id: MerchantId) -> str:
        found = await self._portal.house.parties.merchants.any(self._operator, merchant_id)
        return found.display_name or found.name

    async def _desk(self, request: Request, merchant: str) -> Desk:
        visitor = await self._portal.guards.at_merchant(request, merchant, Permission.PAYMENTS_READ)
        return Desk(self._portal, request, visitor)
