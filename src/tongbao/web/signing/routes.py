"""All routes of signing in, over an open house."""

from fastapi import APIRouter

from tongbao.web.signing import me_routes, staff_routes, wallet_routes, wallet_security, welcome
from tongbao.web.signing.rooms import Signing


def routers(signing: Signing) -> list[APIRouter]:
    """Return the routes of sign-in, of the pages about oneself, and of the front door."""
    return [
        staff_routes.router(signing),
        me_routes.router(signing),
        wallet_routes.router(signing),
        wallet_security.router(signing),
        welcome.router(signing.doors, cashier=signing.doors.cashier),
    ]
