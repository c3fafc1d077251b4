"""Money and books in the console, wired: every route around reconciliation, settling, prices and days."""

from fastapi import APIRouter

from tongbao.web.house import House
from tongbao.web.ops import batches, breaks, days, fees, holidays, matched, payouts, sources
from tongbao.web.ops.money_desk import Money


def routers(house: House) -> list[APIRouter]:
    """Return the routes over an open house."""
    money = Money(house)
    rooms = (breaks, matched, sources, batches, payouts, fees, days, holidays)
    return [each.router(money) for each in rooms]
