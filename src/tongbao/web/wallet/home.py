"""``/wallet``: the balance, the pay code, what waits for the payer, this month beside the last, the latest lines."""

from datetime import timedelta

from fastapi import APIRouter, Request, Response

from tongbao.core.ids import uuid_text
from tongbao.parties.schema import Merchant
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.complaints import Complaint, ComplaintState
from tongbao.payments.schema.methods import MandateState
from tongbao.web import pages
from tongbao.web.signing.guarding import PayerVisitor
from tongbao.web.wallet.bills import month_bills
from tongbao.web.wallet.bills_view import BILLS, Month, spent_minor
from tongbao.web.wallet.code import where_to_prove
from tongbao.web.wallet.rooms import PageRoute, Rooms, Shown, answer

HOME = "/wallet"
LATEST = 5
LATEST_ELDER = 3
ANSWERS_MAX = 3
ANSWERS_ELDER = 1
ANSWERS_FOR = timedelta(days=14)
"""How long an answer of a shop is told here; it stays on its bill."""


def router(rooms: Rooms) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)

    async def home(request: Request) -> Response:
        visitor = await rooms.guards.payer(request)
        return await _home(rooms, request, visitor)

    routes.add_api_route(HOME, home, methods=["GET", "HEAD"], response_model=None)
    return routes


async def _home(rooms: Rooms, request: Request, visitor: PayerVisitor) -> Response:
    now = rooms.house.runtime.clock.now()
    held, others = await rooms.held(visitor)
    month = Month.of(now)
    this = await month_bills(rooms, visitor, held.currency, month)
    last = await month_bills(rooms, visitor, held.currency, month.moved(-1))
    wallet = visitor.payer.wallet_book_id
    waiting = await rooms.reads.waiting(wallet)
    shops = await rooms.shops(each.book_id for each in waiting)
    mandates = [each for each in await rooms.reads.mandates(wallet) if each.state is MandateState.ACTIVE]
    is_elder = pages.preferences(request).elder
    count = LATEST_ELDER if is_elder else LATEST
    context = {
        "held": held,
        "others": others,
        "reserved_minor": held.posted_minor - held.available_minor,
        "spent_minor": spent_minor(this.bills),
        "before_minor": spent_minor(last.bills),
        "month_name": month.text,
        "before_name": month.moved(-1).text,
        "latest": [*this.bills, *last.bills][:count],
        "waiting": [
            (each, shops.get(each.book_id), where_to_prove(each, rooms.house.base_url)) for each in waiting
        ],
        "answers": await _answers(rooms, visitor, ANSWERS_ELDER if is_elder else ANSWERS_MAX),
        "mandate_count": len(mandates),
        "can_fill": await _can_fill(rooms, visitor),
    }
    return answer(request, visitor, Shown("home", "home", context))


async def _answers(
    rooms: Rooms, visitor: PayerVisitor, most: int
) -> list[tuple[Complaint, Merchant | None, str]]:
    """Return the payer's complaints that wait or were answered lately, with their shops and where each is told in full."""
    since = rooms.house.runtime.clock.now() - ANSWERS_FOR
    found = [
        each
        for each in await rooms.house.payments.complaints.recent(visitor.payer.wallet_book_id)
        if each.state is not ComplaintState.WITHDRAWN and (each.ended_at is None or each.ended_at >= since)
    ][:most]
    shops = await rooms.shops(each.book_id for each in found)
    bills = [f"{BILLS}/{uuid_text(Attempt.PREFIX, each.attempt_id)}" for each in found]
    return [(each, shops.get(each.book_id), bill) for each, bill in zip(found, bills, strict=True)]


async def _can_fill(rooms: Rooms, visitor: PayerVisitor) -> bool:
    """Return whether there is somebody who takes money into this wallet."""
    return rooms.keeper is not None or await rooms.owner(visitor) is not None
