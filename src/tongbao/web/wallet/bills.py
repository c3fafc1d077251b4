"""``/wallet/bills``: a month of lines with its days and kinds, searched; and one line told in full, ready to be printed."""

from typing import NamedTuple

from fastapi import APIRouter, Request, Response

from tongbao.channels.schema import Reason
from tongbao.parties.schema import Merchant
from tongbao.payments.schema.payer_reads import Movement, OwnPayment
from tongbao.payments.schema.refunds import RefundState
from tongbao.payments.schema.standing import standing_of
from tongbao.web.cashier.telling import contact
from tongbao.web.locale.wallet import TEXTS
from tongbao.web.signing.guarding import PayerVisitor
from tongbao.web.ui.kit import Kit
from tongbao.web.wallet import bills_view as view
from tongbao.web.wallet import complaints, kinds
from tongbao.web.wallet.rooms import PageRoute, Rooms, Shown, answer, kit_of, language_of, text

WORD_CHARS_MAX = 200
DAYS_ELDER = 3
"""So many days stand open for whoever wants fewer things at once."""
SAID_WHY_NOT = ("complaint_late", "complaint_repeated", "complaint_disputed")
"""Why nothing can be said about a payment any more, where the page does not show it anyway."""
TONES = {"succeeded": "ok", "refunded": "plain", "partly_refunded": "plain", "canceled": "plain"}


class MonthBills(NamedTuple):
    """The lines of a month, newest first; not ``is_whole`` where there were more than are read."""

    bills: tuple[view.Bill, ...]
    is_whole: bool


def router(rooms: Rooms) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)

    async def month(request: Request) -> Response:
        visitor = await rooms.guards.payer(request)
        return await _month(rooms, request, visitor)

    async def one(request: Request, reference: str) -> Response:
        visitor = await rooms.guards.payer(request)
        return await _one(rooms, request, visitor, reference)

    routes.add_api_route(view.BILLS, month, methods=["GET", "HEAD"], response_model=None)
    routes.add_api_route(f"{view.BILLS}/{{reference}}", one, methods=["GET", "HEAD"], response_model=None)
    return routes


async def month_bills(rooms: Rooms, visitor: PayerVisitor, currency: str, month: view.Month) -> MonthBills:
    """Return the lines of a month of a payer's own wallet."""
    wallet = visitor.payer.wallet_book_id
    found = await rooms.reads.movements(wallet, currency, month.first, month.moved(1).first)
    paid = await rooms.reads.payments(wallet, [each.reference for each in found.items])
    shops = await rooms.shops(each.intent.book_id for each in paid.values())
    lines = tuple(view.bill_of(each, paid.get(each.reference), shops) for each in found.items)
    return MonthBills(lines, found.is_whole)


async def _month(rooms: Rooms, request: Request, visitor: PayerVisitor) -> Response:
    ui, language = kit_of(request), language_of(request)
    now = rooms.house.runtime.clock.now()
    month = view.Month.parse(request.query_params.get("m", ""), now)
    word = request.query_params.get("q", "").strip()[:WORD_CHARS_MAX]
    asked = request.query_params.get("kind", "")
    kind = asked if asked in kinds.KINDS else ""
    held, _ = await rooms.held(visitor)
    found, is_whole = await month_bills(rooms, visitor, held.currency, month)
    shown = view.narrowed(found, word, kind)
    names = {each: str(text(language, f"kind_{each}")) for each in kinds.KINDS}
    present = [each for each in kinds.KINDS if any(bill.kind == each for bill in found)]
    is_newest = month == view.Month.of(now)
    context = {
        "month": month,
        "currency": held.currency,
        "q": word,
        "kind": kind,
        "names": names,
        "present": [(each, names[each]) for each in present],
        "spent_minor": view.spent_minor(shown),
        "in_minor": view.in_minor(shown),
        "days": view.by_day(shown),
        "first_days": DAYS_ELDER,
        "is_whole": is_whole,
        "river": _river(shown, month, ui, language),
        "sums": view.sums(shown, names, ui, (month.text, _t(language, "kind"), _t(language, "spent"))),
        "before": view.month_address(month.moved(-1)),
        "after": "" if is_newest else view.month_address(month.moved(1)),
        "whole_month": view.month_address(month),
    }
    return answer(request, visitor, Shown("bills", "bills", context))


def _river(bills: list[view.Bill], month: view.Month, ui: Kit, language: str) -> object:
    words = (month.text, _t(language, "day"), _t(language, "spent"))
    return view.river(bills, month, ui, words) if any(each.is_spent for each in bills) else None


async def _one(rooms: Rooms, request: Request, visitor: PayerVisitor, reference: str) -> Response:
    wallet = visitor.payer.wallet_book_id
    movement = await rooms.reads.movement(wallet, reference)
    paid = await rooms.reads.payment(wallet, reference)
    shop = None
    if paid is not None:
        shop = (await rooms.shops([paid.intent.book_id])).get(paid.intent.book_id)
    bill = view.bill_of(movement, paid, {} if shop is None or paid is None else {paid.intent.book_id: shop})
    language = language_of(request)
    standing = standing_of(paid.intent) if paid is not None else None
    context = {
        "bill": bill,
        "title": text(language, f"what_{bill.what}"),
        "standing": text(language, f"standing_{standing}") if standing is not None else "",
        "tone": TONES.get(str(standing), "warn"),
        "paid": paid,
        "shop": shop,
        "contact": contact(shop) if shop is not None else None,
        "entries": _story(movement, paid, shop, kit_of(request), language),
        **await _complaints(rooms, visitor, paid, language),
        "month": view.Month.of(movement.at),
        "back": view.month_address(view.Month.of(movement.at)),
    }
    return answer(request, visitor, Shown("bill", "bills", context))


async def _complaints(
    rooms: Rooms, visitor: PayerVisitor, paid: OwnPayment | None, language: str
) -> dict[str, object]:
    """Return what the payer has complained about a payment, and whether and where they may complain."""
    if paid is None:
        return {"complaints": (), "can_complain": False, "why_not": ""}
    found = await complaints.about(rooms, visitor, paid)
    why_not = rooms.house.payments.complaints.objection(paid.attempt, found)
    return {
        "complaints": complaints.told(rooms, found),
        "can_complain": why_not is None,
        "why_not": text(language, f"p_{why_not}", **complaints.LIMITS) if why_not in SAID_WHY_NOT else "",
        "complain_at": f"{view.BILLS}/{paid.attempt.reference}/complaint",
    }


def _story(
    movement: Movement, paid: OwnPayment | None, shop: Merchant | None, ui: Kit, language: str
) -> list[dict[str, object]]:
    """Return what happened, the oldest first, as the kit draws it."""
    if paid is None:
        what = view.WHAT.get(movement.code, "moved")
        return [{"at": movement.at, "title": _t(language, f"what_{what}"), "tone": "ok", "glyph": "check"}]
    intent, attempt = paid.intent, paid.attempt
    name = shop.display_name or shop.name if shop is not None else _t(language, "a_shop")
    entries: list[dict[str, object]] = [
        {
            "at": intent.created_at,
            "title": text(language, "story_asked", amount=ui.money(intent.amount_minor, intent.currency)),
            "line": name,
            "glyph": "shop",
        },
        {"at": attempt.sent_at, "title": _t(language, "story_wallet"), "glyph": "wallet"},
    ]
    if attempt.ended_at is not None:
        is_good = (
            attempt.reason in (None, Reason.OTHER) and attempt.captured_minor + attempt.authorized_minor > 0
        )
        entries.append(
            {
                "at": attempt.ended_at,
                "title": _t(language, "story_paid" if is_good else "story_not_paid"),
                "tone": "ok" if is_good else "error",
                "glyph": "check" if is_good else "close",
            }
        )
    for refund in paid.refunds:
        amount = ui.money(refund.amount_minor, refund.currency)
        key = "story_refunded" if refund.state is RefundState.SUCCEEDED else "story_refund_open"
        entries.append(
            {
                "at": refund.ended_at or refund.created_at,
                "title": text(language, key, amount=amount),
                "tone": "ok" if refund.state is RefundState.SUCCEEDED else "warn",
                "glyph": "refund",
            }
        )
    return entries


def _t(language: str, key: str) -> str:
    assert key in TEXTS
    return str(text(language, key))
