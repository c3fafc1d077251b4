"""``/wallet/code``: the pay code that a shop scans. It counts down and renews itself; without a script a button does.

Whether it was used is asked with the code itself in a form, so that no code that still pays stands in an address.
"""

import math
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from markupsafe import Markup

from tongbao.channels.schema import Reason
from tongbao.core.errors import NotFound
from tongbao.core.ids import parse_uuid
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.standing import Standing, standing_of
from tongbao.payments.service.pay_codes import CODE_CHARS, CodeUse, free_up_to
from tongbao.web.cashier.views import code as drawn
from tongbao.web.signing.guarding import PayerVisitor
from tongbao.web.wallet.rooms import PageRoute, Rooms, Shown, answer, kit_of

CODE = "/wallet/code"
USED = f"{CODE}/used"
GROUP = 4


def router(rooms: Rooms) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)

    async def show(request: Request) -> Response:
        visitor = await rooms.guards.payer(request)
        return await _show(rooms, request, visitor)

    async def look(request: Request) -> Response:
        visitor = await rooms.guards.payer(request)
        fields = await rooms.guards.form(request, visitor)
        return await _look(rooms, request, visitor, fields.get("shown", ""))

    async def used(request: Request) -> Response:
        visitor = await rooms.guards.payer(request)
        return await _used(rooms, request, visitor)

    routes.add_api_route(CODE, show, methods=["GET", "HEAD"], response_model=None)
    routes.add_api_route(CODE, look, methods=["POST"], response_model=None)
    routes.add_api_route(USED, used, methods=["GET", "HEAD"], response_model=None)
    return routes


async def _show(rooms: Rooms, request: Request, visitor: PayerVisitor, said: str = "") -> Response:
    held, _ = await rooms.held(visitor)
    context: dict[str, object] = {"held": held, "made": None, "limit": free_up_to(held.currency)}
    try:
        made = await rooms.pay_codes.make(visitor.payer)
    except NotFound:
        # Nobody has filled this wallet yet, so nobody knows whether its money is real.
        return answer(request, visitor, Shown("code", "pay_code", context))
    left = made.expires_at - rooms.house.runtime.clock.now()
    context |= {
        "made": made,
        "drawing": drawn(made.text),
        "groups": grouped(made.text),
        "left_s": max(0, math.floor(left.total_seconds())),
        "said": said,
    }
    return answer(request, visitor, Shown("code", "pay_code", context))


async def _look(rooms: Rooms, request: Request, visitor: PayerVisitor, shown: str) -> Response:
    use = await rooms.pay_codes.use(visitor.payer, shown[:CODE_CHARS])
    there = f"{USED}?{urlencode({'code': shown})}" if use is not None else ""
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"used": there}, headers={"Cache-Control": "no-store"})
    if there:
        return RedirectResponse(there, 303, {"Cache-Control": "no-store"})
    return await _show(rooms, request, visitor, said="not_yet")


async def _used(rooms: Rooms, request: Request, visitor: PayerVisitor) -> Response:
    use = await rooms.pay_codes.use(visitor.payer, request.query_params.get("code", "")[:CODE_CHARS])
    if use is None:
        raise NotFound("pay_code_unused", "this is no code of this wallet that was used")
    intent = await _intent(rooms, visitor, use)
    shop = (await rooms.shops([use.book_id])).get(use.book_id)
    standing = standing_of(intent)
    lacks = intent.last_error is not None and intent.last_error.reason is Reason.INSUFFICIENT_FUNDS
    context = {
        "intent": intent,
        "shop": shop,
        "standing": standing,
        "how": how_of(standing),
        "lacks": lacks,
        "prove": where_to_prove(intent, rooms.house.base_url),
        "spoken": kit_of(request).money(intent.amount_minor, intent.currency),
    }
    return answer(request, visitor, Shown("code_used", "pay_code", context))


async def _intent(rooms: Rooms, visitor: PayerVisitor, use: CodeUse) -> Intent:
    return await rooms.reads.intent(
        visitor.payer.wallet_book_id, use.book_id, parse_uuid(Intent.PREFIX, use.payment)
    )


def how_of(standing: Standing) -> str:
    """Return how a scanned payment stands in one of five words: ``paid declined prove wait canceled``."""
    if standing in (
        Standing.SUCCEEDED,
        Standing.REFUNDED,
        Standing.PARTLY_REFUNDED,
        Standing.REQUIRES_CAPTURE,
        Standing.DISPUTED,
    ):
        return "paid"
    if standing in (Standing.DECLINED, Standing.BLOCKED, Standing.NOT_PAID):
        return "declined"
    if standing is Standing.CANCELED:
        return "canceled"
    return "prove" if standing is Standing.REQUIRES_ACTION else "wait"


def where_to_prove(intent: Intent, base_url: str) -> str:
    """Return where a payer proves who it is for a payment: a page of this house; empty where there is none."""
    address = intent.next_action.url if intent.next_action is not None else None
    if not address or standing_of(intent) is not Standing.REQUIRES_ACTION:
        return ""
    there, own = urlsplit(address), urlsplit(base_url)
    return address if (there.scheme, there.netloc) == (own.scheme, own.netloc) else ""


def grouped(code: str) -> Markup:
    """Return the text of a code in groups that an eye and a voice can follow."""
    parts = [code[place : place + GROUP] for place in range(0, len(code), GROUP)]
    return Markup(" ").join(Markup("<span>{}</span>").format(part) for part in parts)
