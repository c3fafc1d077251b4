"""Money on its way out and the workshop, wired: settlements, payouts, papers, stores, people, keys, webhooks, developers."""

from fastapi import APIRouter

from tongbao.web.house import House
from tongbao.web.merchant import (
    bill,
    developers,
    keys,
    payouts,
    payouts_accounts,
    people,
    receipts,
    settlements,
    statements,
    stores,
    webhooks,
)
from tongbao.web.merchant.portal import open_portal
from tongbao.web.ui.live import Hub


def routers(house: House, hub: Hub | None = None) -> list[APIRouter]:
    """Return the routes over an open house; accounts stand before payouts, whose ids take the same place."""
    portal = open_portal(house, hub)
    rooms = (
        settlements,
        payouts_accounts,
        payouts,
        bill,
        statements,
        receipts,
        stores,
        people,
        keys,
        webhooks,
        developers,
    )
    return [room.router(portal) for room in rooms]
