"""``/v2/payments/{payment}/decisions`` and ``/v2/decisions``: why a payment went where it went, and what came of it."""

from typing import Annotated

from fastapi import APIRouter, Depends

from tongbao.decisions.schema.log import PREFIX as DECISION_PREFIX
from tongbao.decisions.service.log import DecisionLog
from tongbao.parties.schema import Permission, Scope
from tongbao.payments.schema.intents import Intent
from tongbao.payments.service.payments import Payments
from tongbao.web.api import decision_models as models
from tongbao.web.api.access import Gate
from tongbao.web.api.calls import Calls
from tongbao.web.api.shapes import IdPath, path_id

PREFIX = "/v2"


def router(calls: Calls, gate: Gate, payments: Payments, log: DecisionLog) -> APIRouter:
    """Return the routes over open payments and the decision log."""
    routes = calls.router(PREFIX, "decisions")
    reader = Depends(gate.scope(Permission.PAYMENTS_READ))

    @routes.get("/payments/{payment}/decisions")
    async def lineage(scope: Annotated[Scope, reader], payment: IdPath) -> models.Lineage:
        """List every decision about a payment, `pi_…`, with candidates, chances, reasons and outcomes."""
        found = await payments.intents.get(scope, path_id(Intent.PREFIX, payment))
        traced = await log.lineage(scope.book_id, found.intent.id)
        return models.Lineage(data=[models.Decision.of(each) for each in traced])

    @routes.get("/decisions/{decision}")
    async def decision(scope: Annotated[Scope, reader], decision: IdPath) -> models.Decision:
        """Return one decision, `dec_…`."""
        traced = await log.decision(scope.book_id, path_id(DECISION_PREFIX, decision))
        return models.Decision.of(traced)

    return routes
