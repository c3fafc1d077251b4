"""All routes of ``/v1``, in the order in which the reference tells them."""

from tongbao.web.api.v1.routes import charges, checkout, customers, events, intents, methods, refunds
from tongbao.web.api.v1.routing import Route

ROUTES: tuple[Route, ...] = (
    *intents.ROUTES,
    *charges.ROUTES,
    *refunds.ROUTES,
    *customers.ROUTES,
    *methods.ROUTES,
    *checkout.ROUTES,
    *events.ROUTES,
)
