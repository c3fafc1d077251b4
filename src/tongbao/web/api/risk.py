"""``/v2/risk`` and ``/v2/operations/risk``: payments judged, lists, freezes, challenges, cases, rules, models.

A merchant asks for its own payments; the house for those of all, in the mode of ``Tongbao-Mode``. Only a merchant has
payments judged here, and only the house has models.
"""

from fastapi import APIRouter

from tongbao.web.api import (
    risk_cards,
    risk_case_acts,
    risk_case_settings,
    risk_cases,
    risk_freezes,
    risk_lists,
    risk_looks,
    risk_rules,
    risk_tradeoff,
)
from tongbao.web.api.access import Gate
from tongbao.web.api.acts import Acts
from tongbao.web.api.calls import Calls
from tongbao.web.api.risk_sides import Services, Side, sides

PREFIX = "/v2"
BODY_BYTES_MAX = 1024 * 1024
"""A thousand entries of a list; two sets of rules."""


def router(calls: Calls, gate: Gate, acts: Acts, services: Services) -> APIRouter:
    """Return the routes of both sides."""
    routes = calls.router(PREFIX, "risk", body_bytes_max=BODY_BYTES_MAX)
    merchants, house = sides(gate)
    freezers = risk_freezes.Freezers(services.risk.freezing, services.hindsight.freezing_own)
    risk_looks.add_assess(routes, merchants, calls, acts, services)
    for side in (merchants, house):
        _add_both(routes, side, (calls, acts), services)
        _add_people(routes, side, acts, (services, freezers))
        risk_freezes.add_challenges(routes, side, calls.clock, services.challenging)
    risk_freezes.add_challenge(routes, merchants, calls.clock, services.challenging)
    risk_case_settings.add_case_settings(routes, house, acts, services.hindsight.case_settings)
    risk_cards.add_models(routes, house, services.risk, services.hindsight.cards)
    return routes


def _add_both(routes: APIRouter, side: Side, asked: tuple[Calls, Acts], services: Services) -> None:
    """Add what is asked about payments, lists and rules."""
    calls, acts = asked
    risk_looks.add_looks(routes, side, calls.clock, services)
    risk_looks.add_labels(routes, side, acts, services)
    risk_lists.add_lists(routes, side, acts, services.risk.lists)
    risk_lists.add_entries(routes, side, calls.clock, acts, services.risk.lists)
    risk_lists.add_effects(routes, side, services.risk.lists)
    risk_rules.add_rules(routes, side, acts, services.hindsight.backtesting)
    risk_tradeoff.add_tradeoff(routes, side, calls.clock, services.hindsight.pricing)
    risk_cards.add_fairness(routes, side, services.hindsight.fairness)
    risk_cards.add_explanation(routes, side, services.hindsight.recalling, services.hindsight.looking)


def _add_people(
    routes: APIRouter, side: Side, acts: Acts, how: tuple[Services, risk_freezes.Freezers]
) -> None:
    """Add freezes and cases."""
    services, freezers = how
    risk = services.risk
    risk_freezes.add_freezes(routes, side, acts, freezers)
    risk_freezes.add_releases(routes, side, acts, freezers)
    risk_cases.add_lists_of_cases(routes, side, risk.case_reading)
    risk_cases.add_taking(routes, side, acts, risk.cases)
    risk_cases.add_case(routes, side, risk.case_reading)
    risk_case_acts.add_work(routes, side, acts, risk.cases)
    analysts = risk_case_acts.Analysts(risk.cases, risk.case_reading, freezers)
    risk_case_acts.add_closing(routes, side, acts, analysts)
