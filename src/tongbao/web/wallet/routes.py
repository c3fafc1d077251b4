"""All routes of the wallet, over an open house; signing in to it and ``/wallet/security`` stand in ``web.signing``."""

from fastapi import APIRouter

from tongbao.parties.schema import MerchantId
from tongbao.web.house import House
from tongbao.web.wallet import about, bills, cards, code, complaints, filling, home, mandates
from tongbao.web.wallet.rooms import open_rooms


def routers(house: House, keeper: MerchantId | None = None) -> list[APIRouter]:
    """Return the routes; ``keeper`` is the merchant through whom payers fill wallets that no merchant has opened.

    Without one such a wallet is filled by nobody, and the page says so. Only test money comes in here.
    """
    rooms = open_rooms(house, keeper)
    return [each.router(rooms) for each in (home, bills, complaints, code, filling, cards, mandates, about)]
