"""Taking money, wired: every route of the portal around payments, refunds, disputes, complaints, links and customers."""

from fastapi import APIRouter

from tongbao.web.house import House
from tongbao.web.merchant import complaints, customers, disputes, links, payment, payments, refunds, today
from tongbao.web.merchant.portal import open_portal
from tongbao.web.ui.live import Hub


def routers(house: House, hub: Hub | None = None) -> list[APIRouter]:
    """Return the routes over an open house; ``hub`` carries their live parts, one of their own where none is given."""
    portal = open_portal(house, hub)
    rooms = (today, payments, payment, refunds, disputes, complaints, links, customers)
    return [each.router(portal) for each in rooms]
