"""The front door: who comes in where. Four doors with a line each; a demonstration tells its log-ins as well."""

from fastapi import APIRouter, Request, Response

from tongbao.web.page_route import page_route
from tongbao.web.signing import frames, places
from tongbao.web.signing.addresses import FRONT
from tongbao.web.signing.refusing import SIGN_IN, WALLET_SIGN_IN, error_page
from tongbao.web.signing.rooms import Doors

CASHIER = "cashier"


def router(doors: Doors, path: str = FRONT, cashier: str = "") -> APIRouter:
    """Return the route; ``cashier`` is the address of a payment to try, empty where there is none."""
    routes = APIRouter(include_in_schema=False, route_class=page_route(error_page))

    async def show(request: Request) -> Response:
        there = places.built(request.app)
        found = [
            (CASHIER, cashier, "card"),
            ("wallet", "/wallet" if "/wallet" in there else WALLET_SIGN_IN, "wallet"),
            ("merchant", SIGN_IN, "shop"),
            ("ops", "/ops", "shield"),
        ]
        context = {"doors": [each for each in found if each[1]], "log_ins": doors.log_ins}
        return frames.plain(request, frames.Page("frames/welcome.html", "", context))

    routes.add_api_route(path, show, methods=["GET", "HEAD"], response_model=None)
    return routes
