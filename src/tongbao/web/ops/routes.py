"""The routes of the ops console: today, payments, alerts, health, the wall, routing, decisions, merchants, people, audit."""

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response

from tongbao.parties.schema import OperatorPermission
from tongbao.web.house import House
from tongbao.web.ops import (
    alerts,
    audit,
    costs,
    decisions,
    experiments,
    health,
    merchants,
    payments,
    people,
    policies,
    risk_routes,
    routes_board,
    routes_doctor,
    settings,
    today,
    today_live,
    wall,
)
from tongbao.web.ops.board_view import Boards
from tongbao.web.ops.health_reading import Readings
from tongbao.web.ops.rendering_desk import Desk, Floor, Pages
from tongbao.web.ui.live import Hub
from tongbao.web.workers import Workers

FACES = (
    today,
    today_live,
    payments,
    alerts,
    health,
    wall,
    routes_board,
    routes_doctor,
    costs,
    experiments,
    policies,
    decisions,
    merchants,
    people,
    audit,
    settings,
)


def router(house: House, hub: Hub | None = None, workers: Workers | None = None) -> APIRouter:
    """Return the routes of the console over an open house; ``hub`` and ``workers`` are those of this process."""
    carried, boards = hub or Hub(), Boards(house)
    pages = Pages(Floor(house, carried, Readings(house, boards, carried, workers), boards))
    pages.get("/ops", _first, OperatorPermission.OPERATIONS_READ)
    for face in FACES:
        face.add(pages)
    outer = APIRouter()
    for inner in (pages.routes, risk_routes.router(house)):
        outer.include_router(inner)
    return outer


async def _first(_: Desk) -> Response:
    """Go to the first page of the console."""
    return RedirectResponse("/ops/today", 303, {"Cache-Control": "no-store"})
