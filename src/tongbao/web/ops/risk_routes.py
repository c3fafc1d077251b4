"""The routes of risk control in the console: today, cases, freezes, lists, rules, capacity, models."""

from fastapi import APIRouter, Depends

from tongbao.parties.schema import OperatorPermission
from tongbao.web.house import House
from tongbao.web.ops.entering import Entrance
from tongbao.web.ops.risk_case import CasePage
from tongbao.web.ops.risk_case_settings import CaseSettingsPage
from tongbao.web.ops.risk_desk import Desk, error_page
from tongbao.web.ops.risk_freezes import FreezesPage
from tongbao.web.ops.risk_lists import ListsPage
from tongbao.web.ops.risk_models import ModelsPage
from tongbao.web.ops.risk_queue import QueuePage
from tongbao.web.ops.risk_rules import RulesPage
from tongbao.web.ops.risk_today import TodayPage
from tongbao.web.ops.risk_tradeoff import TradeOffPage
from tongbao.web.ops.risk_version import VersionPage
from tongbao.web.page_route import page_route


def router(house: House) -> APIRouter:
    """Return the routes of risk control over an open house."""
    desk = Desk(house)
    today, queue, case = TodayPage(desk), QueuePage(desk), CasePage(desk)
    freezes, lists, rules, models = FreezesPage(desk), ListsPage(desk), RulesPage(desk), ModelsPage(desk)
    version = VersionPage(desk)
    tradeoff = TradeOffPage(desk, desk.hindsight)
    settings = CaseSettingsPage(desk, desk.hindsight.case_settings)
    routes = APIRouter(prefix="/ops/risk", include_in_schema=False, route_class=page_route(error_page))
    entrance = Entrance(house)
    enters = [Depends(entrance.of(OperatorPermission.CASES_READ))]
    for path, answer in (
        ("", today.show),
        ("/cases", queue.show),
        ("/cases/{case}", case.show),
        ("/case-settings", settings.show),
        ("/freezes", freezes.show),
        ("/lists", lists.show),
        ("/rules", rules.show),
        ("/rules/{version}", version.show),
        ("/tradeoff", tradeoff.show),
        ("/models", models.show),
        ("/models/{digest}", models.card),
    ):
        routes.add_api_route(path, answer, methods=["GET", "HEAD"], dependencies=enters, response_model=None)
    for path, act in (
        ("/cases", queue.take_next),
        ("/cases/{case}", case.act),
        ("/case-settings", settings.act),
        ("/freezes", freezes.act),
        ("/lists", lists.act),
        ("/rules", rules.act),
        ("/rules/{version}", version.act),
        ("/tradeoff", tradeoff.act),
    ):
        routes.add_api_route(path, act, methods=["POST"], dependencies=enters, response_model=None)
    return routes
