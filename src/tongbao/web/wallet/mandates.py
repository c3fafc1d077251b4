"""``/wallet/mandates``: who may take money from the wallet by themselves, how much, and how to pause or end it."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from tongbao.core.errors import NotFound
from tongbao.core.ids import parse_uuid
from tongbao.parties.schema import Scope
from tongbao.payments.errors import WrongState
from tongbao.payments.schema.methods import Mandate, MandateState
from tongbao.web.signing.guarding import PayerVisitor
from tongbao.web.ui.kit import Kit
from tongbao.web.wallet.rooms import PageRoute, Rooms, Shown, answer, language_of, text

MANDATES = "/wallet/mandates"


def router(rooms: Rooms) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)

    async def show(request: Request) -> Response:
        visitor = await rooms.guards.payer(request)
        return await _show(rooms, request, visitor)

    async def end(request: Request, reference: str) -> Response:
        visitor = await rooms.guards.payer(request)
        await rooms.guards.form(request, visitor)
        scope, mandate = await _own(rooms, visitor, reference)
        await rooms.house.payments.setups.end_mandate(scope, mandate.id)
        return _done("mandate_ended")

    async def pause(request: Request, reference: str) -> Response:
        return await _pause(rooms, request, reference, is_paused=True)

    async def resume(request: Request, reference: str) -> Response:
        return await _pause(rooms, request, reference, is_paused=False)

    routes.add_api_route(MANDATES, show, methods=["GET", "HEAD"], response_model=None)
    for name, act in (("end", end), ("pause", pause), ("resume", resume)):
        path = f"{MANDATES}/{{reference}}/{name}"
        routes.add_api_route(path, act, methods=["POST"], response_model=None)
    return routes


async def _show(rooms: Rooms, request: Request, visitor: PayerVisitor) -> Response:
    found = await rooms.reads.mandates(visitor.payer.wallet_book_id)
    shops = await rooms.shops(each.book_id for each in found)
    language = language_of(request)
    told = [
        (
            each,
            shops[each.book_id].display_name or shops[each.book_id].name if each.book_id in shops else "",
            terms(each, language),
        )
        for each in found
    ]
    context = {
        "active": [each for each in told if each[0].state is not MandateState.INACTIVE],
        "ended": [each for each in told if each[0].state is MandateState.INACTIVE],
    }
    return answer(request, visitor, Shown("mandates", "me", context))


async def _pause(rooms: Rooms, request: Request, reference: str, *, is_paused: bool) -> Response:
    """Pause a mandate or let it go on; one that has ended meanwhile stands among the earlier ones."""
    visitor = await rooms.guards.payer(request)
    await rooms.guards.form(request, visitor)
    scope, mandate = await _own(rooms, visitor, reference)
    try:
        await rooms.house.payments.setups.pause_mandate(scope, mandate.id, is_paused=is_paused)
    except WrongState:
        return _done("mandate_over")
    return _done("mandate_paused" if is_paused else "mandate_resumed")


def _done(said: str) -> Response:
    return RedirectResponse(f"{MANDATES}?said={said}", 303, {"Cache-Control": "no-store"})


async def _own(rooms: Rooms, visitor: PayerVisitor, reference: str) -> tuple[Scope, Mandate]:
    """Return a mandate over the payer's own wallet, and on whose behalf it is changed; raise NotFound for any other id."""
    try:
        mandate_id = parse_uuid(Mandate.PREFIX, reference)
    except ValueError:
        raise NotFound("mandate_unknown", "there is no such permission over this wallet") from None
    mandate = await rooms.reads.mandate(visitor.payer.wallet_book_id, mandate_id)
    shop = (await rooms.shops([mandate.book_id])).get(mandate.book_id)
    if shop is None:
        raise NotFound("mandate_unknown", "there is no such permission over this wallet")
    # The mandate stands in the merchant's book; its payer changes it there, and may do nothing else.
    scope = Scope(
        merchant_id=shop.merchant_id,
        book_id=mandate.book_id,
        live=mandate.live,
        actor=visitor.actor,
        permissions=frozenset(),
    )
    return scope, mandate


def terms(mandate: Mandate, language: str) -> list[str]:
    """Return what a mandate permits, a sentence for each cap; one that says so where there is none."""
    kit = Kit(language)
    currency = mandate.currency or "CNY"
    found = []
    if mandate.amount_minor_max is not None:
        found.append(text(language, "term_each", amount=kit.money(mandate.amount_minor_max, currency)))
    if mandate.period_minor_max is not None and mandate.period is not None:
        used = kit.money(mandate.used_minor, currency)
        most = kit.money(mandate.period_minor_max, currency)
        found.append(text(language, f"term_{mandate.period}", amount=most, used=used))
    if mandate.period_count_max is not None and mandate.period is not None:
        found.append(
            text(
                language,
                f"term_count_{mandate.period}",
                count=mandate.period_count_max,
                used=mandate.used_count,
            )
        )
    if mandate.ends_at is not None and mandate.state is not MandateState.INACTIVE:
        found.append(text(language, "term_until", at=kit.when(mandate.ends_at, "day")))
    return [str(each) for each in found] or [str(text(language, "term_none"))]
