"""``/wallet/bills/…/complaint``: the payer tells the shop what is wrong with a payment; what came of it stands on the bill's page."""

from collections.abc import Sequence
from typing import NamedTuple

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from tongbao.core.errors import NotFound
from tongbao.core.ids import parse_uuid
from tongbao.parties.schema import Merchant
from tongbao.payments.errors import WrongState
from tongbao.payments.schema.complaints import (
    ANSWER_DAYS,
    COMPLAIN_DAYS,
    COMPLAINTS_MAX,
    WORDLESS,
    WORDS_CHARS_MAX,
    Complaint,
    ComplaintCause,
    ComplaintState,
    Said,
)
from tongbao.payments.schema.payer_reads import OwnPayment
from tongbao.web.signing.guarding import PayerVisitor
from tongbao.web.ui.forms import Form
from tongbao.web.wallet.bills_view import BILLS
from tongbao.web.wallet.rooms import PageRoute, Rooms, Shown, answer, kit_of, language_of, text

PATH = f"{BILLS}/{{reference}}/complaint"
TONES = {ComplaintState.OPEN: "warn", ComplaintState.REFUNDED: "ok"}
LIMITS = {"days": COMPLAIN_DAYS, "count": COMPLAINTS_MAX}


class Told(NamedTuple):
    """A complaint as its payer reads it; ``is_late``: the shop has let the time for its answer pass."""

    complaint: Complaint
    tone: str
    is_open: bool
    is_late: bool


def router(rooms: Rooms) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)

    async def show(request: Request, reference: str) -> Response:
        visitor = await rooms.guards.payer(request)
        paid = await own_payment(rooms, visitor, reference)
        return await _page(rooms, request, visitor, paid, Form({}, kit_of(request)))

    async def send(request: Request, reference: str) -> Response:
        visitor = await rooms.guards.payer(request)
        paid = await own_payment(rooms, visitor, reference)
        form = Form(await rooms.guards.form(request, visitor), kit_of(request))
        return await _send(rooms, request, visitor, paid, form)

    async def withdraw(request: Request, reference: str, complaint: str) -> Response:
        visitor = await rooms.guards.payer(request)
        paid = await own_payment(rooms, visitor, reference)
        await rooms.guards.form(request, visitor)
        return await _withdraw(rooms, visitor, paid, complaint)

    routes.add_api_route(PATH, show, methods=["GET", "HEAD"], response_model=None)
    routes.add_api_route(PATH, send, methods=["POST"], response_model=None)
    routes.add_api_route(f"{PATH}/{{complaint}}/withdraw", withdraw, methods=["POST"], response_model=None)
    return routes


async def own_payment(rooms: Rooms, visitor: PayerVisitor, reference: str) -> OwnPayment:
    """Return a payment from the payer's own wallet; raise NotFound for any other reference."""
    wallet = visitor.payer.wallet_book_id
    await rooms.reads.movement(wallet, reference)
    paid = await rooms.reads.payment(wallet, reference)
    if paid is None:
        raise NotFound("complaint_unknown", "nothing was paid here from this wallet")
    return paid


async def about(rooms: Rooms, visitor: PayerVisitor, paid: OwnPayment) -> list[Complaint]:
    """Return what the payer has complained about a payment, newest first."""
    desk, intent = rooms.house.payments.complaints, paid.intent
    return await desk.own(visitor.payer.wallet_book_id, intent.book_id, intent.id)


def told(rooms: Rooms, complaints: Sequence[Complaint]) -> list[Told]:
    """Return complaints as their payer reads them."""
    now = rooms.house.runtime.clock.now()
    found = []
    for each in complaints:
        is_open = each.state is ComplaintState.OPEN
        found.append(Told(each, TONES.get(each.state, "plain"), is_open, is_open and now > each.answer_by))
    return found


async def _page(
    rooms: Rooms, request: Request, visitor: PayerVisitor, paid: OwnPayment, form: Form, status: int = 200
) -> Response:
    earlier = await about(rooms, visitor, paid)
    language = language_of(request)
    why_not = rooms.house.payments.complaints.objection(paid.attempt, earlier)
    shop = (await rooms.shops([paid.intent.book_id])).get(paid.intent.book_id)
    context = {
        "paid": paid,
        "bill": f"{BILLS}/{paid.attempt.reference}",
        "shop": name_of(shop) or text(language, "a_shop"),
        "causes": [
            (each.value, text(language, f"cause_{each}"), text(language, f"cause_{each}_line"))
            for each in ComplaintCause
        ],
        "form": form,
        "why_not": text(language, f"p_{why_not}", **LIMITS) if why_not is not None else "",
        "words_max": WORDS_CHARS_MAX,
        "answer_days": ANSWER_DAYS,
    }
    return answer(request, visitor, Shown("complaint", "bills", context, status))


async def _send(
    rooms: Rooms, request: Request, visitor: PayerVisitor, paid: OwnPayment, form: Form
) -> Response:
    cause = form.choice("cause", [each.value for each in ComplaintCause])
    is_wordless = cause in WORDLESS or not cause
    words = form.text("words", WORDS_CHARS_MAX, required=not is_wordless)
    if form.errors:
        return await _page(rooms, request, visitor, paid, form, 400)
    attempt, wallet = paid.attempt, visitor.payer.wallet_book_id
    said = Said(ComplaintCause(cause), words)
    try:
        await rooms.house.payments.complaints.complain(wallet, attempt.book_id, attempt.id, said)
    except WrongState as error:
        # The same form sent twice: what it asks for is there.
        if error.code == "complaint_open":
            return _back(paid, "complained")
        return await _page(rooms, request, visitor, paid, form, 409)
    return _back(paid, "complained")


async def _withdraw(rooms: Rooms, visitor: PayerVisitor, paid: OwnPayment, reference: str) -> Response:
    try:
        complaint_id = parse_uuid(Complaint.PREFIX, reference)
    except ValueError:
        raise NotFound("complaint_unknown", "there is no such complaint about this payment") from None
    try:
        await rooms.house.payments.complaints.withdraw(
            visitor.payer.wallet_book_id, paid.intent.book_id, complaint_id
        )
    except WrongState:
        # The shop was quicker: its answer or its refund stands on the bill's page.
        return _back(paid, "complaint_ended")
    return _back(paid, "complaint_withdrawn")


def name_of(shop: Merchant | None) -> str:
    """Return what a shop is called; empty for none."""
    return "" if shop is None else shop.display_name or shop.name


def _back(paid: OwnPayment, said: str) -> Response:
    address = f"{BILLS}/{paid.attempt.reference}?said={said}"
    return RedirectResponse(address, 303, {"Cache-Control": "no-store"})
