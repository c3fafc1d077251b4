"""The places of the faces: what stands in the navigation, for whom, and whether it is built.

A place is shown to who may see it, once a route with exactly its address is there (``{merchant}`` stands for the merchant's
id, as in the route); so nobody is led to a page that does not exist. Texts are ``place_<face>_<key>`` in ``locale.frames``.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from fastapi import FastAPI

from tongbao.parties.schema import OperatorPermission, Permission

O = OperatorPermission  # noqa: E741  # one letter keeps the lists readable
P = Permission


class Place(NamedTuple):
    """A place of a face; ``permission`` None: everybody who may see the face. ``icon`` names a drawing of the sprite."""

    key: str
    address: str
    permission: OperatorPermission | Permission | None
    icon: str


class Group(NamedTuple):
    """Places that stand together under one word (``group_<key>``)."""

    key: str
    places: tuple[Place, ...]


OPS: tuple[Group, ...] = (
    Group(
        "now",
        (
            Place("today", "/ops/today", O.OPERATIONS_READ, "home"),
            Place("payments", "/ops/payments", O.OPERATIONS_READ, "card"),
            Place("alerts", "/ops/alerts", O.OPERATIONS_READ, "bell"),
            Place("health", "/ops/health", O.OPERATIONS_READ, "heart"),
            Place("wall", "/ops/wall", O.OPERATIONS_READ, "wall"),
        ),
    ),
    Group(
        "risk",
        (
            Place("risk", "/ops/risk", O.CASES_READ, "shield"),
            Place("cases", "/ops/risk/cases", O.CASES_READ, "flag"),
            Place("disputes", "/ops/disputes", O.ALL_DISPUTES_READ, "flag"),
            Place("freezes", "/ops/risk/freezes", O.CASES_READ, "freeze"),
            Place("lists", "/ops/risk/lists", O.CASES_READ, "table"),
            Place("rules", "/ops/risk/rules", O.CASES_READ, "rules"),
            Place("models", "/ops/risk/models", O.CASES_READ, "chart"),
        ),
    ),
    Group(
        "routing",
        (
            Place("routing", "/ops/routing", O.OPERATIONS_READ, "route"),
            Place("doctor", "/ops/routing/doctor", O.OPERATIONS_READ, "search"),
            Place("costs", "/ops/costs", O.OPERATIONS_READ, "bill"),
            Place("experiments", "/ops/experiments", O.OPERATIONS_READ, "swap"),
            Place("policies", "/ops/policies", O.OPERATIONS_READ, "settings"),
            Place("decisions", "/ops/decisions", O.OPERATIONS_READ, "eye"),
        ),
    ),
    Group(
        "money",
        (
            Place("breaks", "/ops/breaks", O.BOOKS_READ, "alert"),
            Place("matched", "/ops/matched", O.BOOKS_READ, "check"),
            Place("sources", "/ops/sources", O.BOOKS_READ, "download"),
            Place("batches", "/ops/batches", O.BOOKS_READ, "bill"),
            Place("payouts", "/ops/payouts", O.BOOKS_READ, "bank"),
            Place("fees", "/ops/fees", O.BOOKS_READ, "scale"),
            Place("days", "/ops/days", O.BOOKS_READ, "calendar"),
            Place("profits", "/ops/days/profits", O.BOOKS_READ, "chart"),
            Place("holidays", "/ops/holidays", O.BOOKS_READ, "globe"),
            Place("ledger", "/ops/ledger", O.BOOKS_READ, "book"),
        ),
    ),
    Group(
        "house",
        (
            Place("merchants", "/ops/merchants", O.MERCHANTS_READ, "shop"),
            Place("people", "/ops/people", O.STAFF_READ, "people"),
            Place("audit", "/ops/audit", O.AUDIT_READ, "lock"),
            Place("settings", "/ops/settings", O.SETTINGS_WRITE, "settings"),
        ),
    ),
)
_M = "/merchant/{merchant}"
MERCHANT: tuple[Group, ...] = (
    Group(
        "selling",
        (
            Place("today", _M, P.PAYMENTS_READ, "home"),
            Place("payments", f"{_M}/payments", P.PAYMENTS_READ, "card"),
            Place("refunds", f"{_M}/refunds", P.REFUNDS_READ, "refund"),
            Place("disputes", f"{_M}/disputes", P.DISPUTES_READ, "flag"),
            Place("links", f"{_M}/links", P.PAYMENTS_READ, "qr"),
            Place("customers", f"{_M}/customers", P.CUSTOMERS_READ, "people"),
        ),
    ),
    Group(
        "money",
        (
            Place("settlements", f"{_M}/settlements", P.PAYOUTS_READ, "bank"),
            Place("payouts", f"{_M}/payouts", P.PAYOUTS_READ, "calendar"),
            Place("bill", f"{_M}/bill", P.REPORTS_READ, "bill"),
            Place("statements", f"{_M}/statements", P.REPORTS_READ, "book"),
        ),
    ),
    Group(
        "business",
        (
            Place("stores", f"{_M}/stores", P.MERCHANT_READ, "shop"),
            Place("people", f"{_M}/people", P.PEOPLE_READ, "person"),
        ),
    ),
    Group(
        "building",
        (
            Place("keys", f"{_M}/keys", P.KEYS_READ, "key"),
            Place("webhooks", f"{_M}/webhooks", P.WEBHOOKS_READ, "webhook"),
            Place("developers", f"{_M}/developers", None, "code"),
        ),
    ),
)
WALLET: tuple[Place, ...] = (
    Place("home", "/wallet", None, "home"),
    Place("pay_code", "/wallet/code", None, "qr"),
    Place("bills", "/wallet/bills", None, "bill"),
    Place("security", "/wallet/security", None, "shield"),
    Place("me", "/wallet/me", None, "person"),
)
"""Five, as many as a thumb finds; what is seldom needed stands below ``me``."""


def built(app: FastAPI) -> frozenset[str]:
    """Return the addresses of everything that an application answers, as its routes name them; read once."""
    known: frozenset[str] | None = getattr(app.state, "built_addresses", None)
    if known is None:
        known = frozenset(_paths(app.routes))
        app.state.built_addresses = known
    return known


def _paths(routes: Iterable[object]) -> Iterator[str]:
    """Yield the address of each route, also of routers that stand in others; none of ours is included under a prefix."""
    for route in routes:
        if path := getattr(route, "path", None):
            yield str(path)
        if (inner := getattr(route, "original_router", None)) is not None:
            yield from _paths(inner.routes)


def shown(groups: Sequence[Group], held: frozenset[str], there: frozenset[str]) -> list[Group]:
    """Return the groups with the places that somebody may see and that are built; empty groups are left out."""
    kept = [Group(group.key, tuple(of(group.places, held, there))) for group in groups]
    return [group for group in kept if group.places]


def of(places: Sequence[Place], held: frozenset[str], there: frozenset[str]) -> list[Place]:
    """Return the places of a list that somebody may see and that are built."""
    return [
        place
        for place in places
        if place.address in there and (place.permission is None or place.permission.value in held)
    ]


def address(place: Place, merchant: str = "") -> str:
    """Return where a place is, for a merchant where it is one of theirs."""
    return place.address.replace("{merchant}", merchant)
