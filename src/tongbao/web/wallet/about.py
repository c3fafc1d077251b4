"""``/wallet/me`` and ``/wallet/privacy``: who the payer is here, how pages look, and what is kept of them and why."""

from fastapi import APIRouter, Request, Response

from tongbao.core.ids import int_text
from tongbao.parties.service import payer_sign_in
from tongbao.web.api.payment_models import WALLET_PREFIX
from tongbao.web.wallet.rooms import PageRoute, Rooms, Shown, answer

ME = "/wallet/me"
PRIVACY = "/wallet/privacy"
PLACES = (
    ("methods", "/wallet/methods", "card"),
    ("security", "/wallet/security", "shield"),
    ("top_up", "/wallet/top-up", "plus"),
    ("mandates", "/wallet/mandates", "refresh"),
    ("privacy", PRIVACY, "eye"),
)
PLACES_ELDER = 3
KEPT = ("name", "contacts", "codes", "sessions", "devices", "passkeys", "money", "cards", "risk")
"""What is kept of a payer: each a card of words (``keep_…``), from the tables that hold it."""


def router(rooms: Rooms) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)

    async def me(request: Request) -> Response:
        visitor = await rooms.guards.payer(request)
        found = await rooms.house.parties.payer_sign_in.contacts(visitor.payer.payer_id)
        context = {
            "visitor": visitor,
            "number": int_text(WALLET_PREFIX, visitor.payer.wallet_book_id),
            "contacts": [payer_sign_in.masked(each) for each in found],
            "places": PLACES,
            "first_places": PLACES_ELDER,
        }
        return answer(request, visitor, Shown("me", "me", context))

    async def privacy(request: Request) -> Response:
        visitor = await rooms.guards.payer(request)
        return answer(request, visitor, Shown("privacy", "me", {"kept": KEPT}))

    routes.add_api_route(ME, me, methods=["GET", "HEAD"], response_model=None)
    routes.add_api_route(PRIVACY, privacy, methods=["GET", "HEAD"], response_model=None)
    return routes
