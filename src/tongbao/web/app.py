"""The HTTP application: wires rooms to routes. Health, metrics, the ledger's API and its explorer.

- ``/healthz``: the process lives. ``/readyz``: it can serve (database answers, books in order), 503 otherwise.
- ``/metrics``: Prometheus text. ``/v2/ledger``: the ledger's API. ``/``: the explorer for people.
- ``/v2/policies``, ``/v2/routing``, ``/v2/experiments``: what the house decides by itself, and why.
- ``/v2/risk``: payments judged, lists, freezes, cases, rules, models.
- ``/v2/channels/{name}/notifications``: what channels tell us. ``/l``, ``/c``: the hosted checkout for payers.
"""

from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from tongbao.core.metrics import Metrics
from tongbao.core.requests.apart import RequestsApart
from tongbao.parties.schema import OperatorPermission
from tongbao.payments.service.pay_codes import PayCodes
from tongbao.risk.service import compiling as risk_compiling
from tongbao.risk.service.hindsight import Hindsight
from tongbao.routing.service import compiling as routing_compiling
from tongbao.routing.service.backtesting import Backtesting
from tongbao.routing.service.trying import Trying
from tongbao.web import explorer, watching
from tongbao.web.api import (
    answers,
    channels,
    clearing,
    decisions,
    experiments,
    fx,
    passkeys,
    pay_codes,
    payments,
    policies,
    risk,
    routing,
    sessions,
    wallets,
    webhooks,
)
from tongbao.web.api import ledger as ledger_api
from tongbao.web.api.access import Gate
from tongbao.web.api.acts import Acts
from tongbao.web.api.calls import Calls
from tongbao.web.api.risk_hot import HotAssess
from tongbao.web.api.risk_sides import Services as RiskServices
from tongbao.web.api.supposing import Supposing
from tongbao.web.api.v1.app import Api
from tongbao.web.api.v1.joining import VaultCards
from tongbao.web.cashier import routes as cashier
from tongbao.web.crowding import Crowding
from tongbao.web.guarding_headers import GuardingHeaders
from tongbao.web.house import House
from tongbao.web.merchant import selling, workshop
from tongbao.web.ops import disputes, money
from tongbao.web.ops import routes as ops
from tongbao.web.signing import routes as signing
from tongbao.web.signing.refusing import behind, error_page
from tongbao.web.signing.rooms import Doors, guards_of, open_signing
from tongbao.web.step_up.routes import step_up_router
from tongbao.web.ui import assets, gallery, saved_views
from tongbao.web.wallet import routes as wallet
from tongbao.web.workers import Workers

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_FAILURE = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "detail", "facts"],
            "properties": {
                "code": {"type": "string"},
                "detail": {"type": "string"},
                "facts": {"type": "object"},
            },
        }
    },
}
FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {"application/json": {"schema": _FAILURE}}}
    for status, text in (("4XX", "Refused, and why."), ("5XX", "A fault of ours, or busy: repeat later."))
}
"""How every route of ``/v2`` fails, for its document; see ``web.errors``."""


def create_app(house: House, workers: Workers, metrics: Metrics, doors: Doors | None = None) -> ASGIApp:
    """Return the application over an open house; ``doors`` tell the log-ins of a demonstration."""
    runtime = house.runtime
    app = FastAPI(
        title="Tongbao", docs_url=None, redoc_url=None, openapi_url="/v2/openapi.json", responses={**FAILURES}
    )
    answers.install(app)
    app.include_router(ledger_api.router(runtime.ledger))
    app.include_router(_books(house))
    app.include_router(ops.router(house, house.hub, workers))
    for routes in signing.routers(open_signing(house, doors)):
        app.include_router(routes)
    for routes in (
        *selling.routers(house, house.hub),
        *workshop.routers(house, house.hub),
        *wallet.routers(house, None if doors is None else doors.keeper),
        disputes.router(house),
        *money.routers(house),
        gallery.router(house.hub),
        saved_views.router(),
    ):
        app.include_router(routes)
    assets.mount(app)
    calls = Calls(runtime.database, runtime.clock, runtime.ledger.ids)
    gate, judged = Gate(house.parties.access, house.limits), _risk_services(house)
    for routes in _payment_routes(house, calls, gate, judged):
        app.include_router(routes)
    app.include_router(cashier.router(_till(house)))
    app.include_router(
        step_up_router(
            house.proofs.challenging,
            house.proofs.links,
            house.proving.go_on,
            house.limits,
            house.proofs.passkeys,
        )
    )

    app.router.routes.extend(watching.routes(runtime.database, workers, metrics))
    front = _Front(HotAssess(app, gate, calls, judged, SECURITY_HEADERS), house.api)
    return GuardingHeaders(Crowding(front, metrics), SECURITY_HEADERS)


def _books(house: House) -> APIRouter:
    """Return the explorer of the books, for whoever may read them; anybody may choose how pages look."""
    guard = guards_of(house).of_operator(OperatorPermission.BOOKS_READ)
    pages_of_books = explorer.router(house.runtime.ledger)
    return behind(pages_of_books, guard, error_page, frozenset({"/preferences"}))


def _payment_routes(house: House, calls: Calls, gate: Gate, judged: RiskServices) -> list[APIRouter]:
    """Return the routes of ``/v2`` around payments."""
    runtime = house.runtime
    return [
        payments.router(calls, gate, house.parties, house.payments, runtime.ledger),
        wallets.router(calls, gate, house.parties, house.payments, runtime.ledger),
        pay_codes.router(calls, gate, house.parties, _pay_codes(house)),
        channels.router(calls, gate, house.payments),
        channels.notification_router(calls, house.payments, runtime.metrics),
        sessions.router(calls, gate, house.parties),
        passkeys.router(calls, gate, house.parties.customer_passkeys),
        webhooks.router(calls, gate, webhooks.Webhooks(house.endpoints, house.deliveries)),
        fx.router(calls, gate, house.exchange_rates),
        *_decision_routes(house, calls, gate, judged),
        *_clearing_routes(house, calls, gate),
    ]


def _pay_codes(house: House) -> PayCodes:
    """Return the payers' codes that merchants scan."""
    return pay_codes.open_pay_codes(
        house.payments, house.requests, house.parties, house.runtime.ledger, secret=house.proofs.secret
    )


def _clearing_routes(house: House, calls: Calls, gate: Gate) -> list[APIRouter]:
    """Return the routes of ``/v2`` around fees, settlements, payouts and reconciliation."""
    runtime = house.runtime
    acts = Acts(calls, RequestsApart(runtime.database, runtime.clock))
    services = clearing.Services(house.clearing, house.parties.merchants, runtime.clock)
    return clearing.routers(calls, gate, acts, services)


def _risk_services(house: House) -> RiskServices:
    """Return what the routes around risk control reach."""
    runtime, made = house.runtime, house.decisions
    hindsight = Hindsight(
        runtime.database, runtime.clock, runtime.ledger.ids, (made.log, made.policies), house.risk
    )
    return RiskServices(house.risk, hindsight, house.proofs.challenging, house.payments)


def _decision_routes(house: House, calls: Calls, gate: Gate, judged: RiskServices) -> list[APIRouter]:
    """Return the routes of ``/v2`` around what the house decides by itself."""
    runtime, made, registry = house.runtime, house.decisions, house.payments.channels
    acts = Acts(calls, RequestsApart(runtime.database, runtime.clock))
    names = [channel.name for channel in registry.all()]
    supposing = Supposing(
        registry, house.parties.merchants, Trying(house.routing.router), runtime.clock, runtime.ledger.ids
    )
    backtesting = Backtesting(made.log, made.policies, names)
    return [
        decisions.router(calls, gate, house.payments, made.log),
        policies.router(
            calls,
            gate,
            acts,
            policies.Services(
                made.policies,
                house.parties.merchants,
                {
                    routing_compiling.POLICY: policies.Kind(house.routing.replaying, house.routing.live),
                    risk_compiling.POLICY: policies.Kind(judged.hindsight.replaying, house.risk.live),
                },
            ),
        ),
        routing.router(calls, gate, acts, routing.Services(house.routing.health, backtesting, supposing)),
        experiments.router(calls, gate, acts, made.experiments, house.parties.merchants),
        risk.router(calls, gate, acts, judged),
    ]


def _till(house: House) -> cashier.Till:
    """Return what the checkout needs of a house."""
    runtime = house.runtime
    return cashier.Till(
        house.payments,
        house.parties.merchants,
        VaultCards(house.vault, runtime.database),
        house.limits,
        runtime.clock,
        runtime.ledger.ids,
        house.base_url,
    )


class _Front:
    """Sends ``/v1`` straight to its own application, past the framework and its middleware: payments are hot."""

    def __init__(self, app: ASGIApp, api: Api) -> None:
        self._app = app
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/v1/"):
            await self._api(dict(scope, root_path="/v1"), receive, send)
        else:
            await self._app(scope, receive, send)
