"""The dispatcher: words before ids, unknown paths, wrong methods; and the table itself."""

import pytest

from tongbao.core.errors import AppError
from tongbao.parties.schema import Permission
from tongbao.web.api.v1.expansion import EDGES
from tongbao.web.api.v1.routing import Routes
from tongbao.web.api.v1.table import ROUTES

# What the research asks for, by what the official client calls.
WANTED = """
POST /payment_intents | GET /payment_intents | GET /payment_intents/search | GET /payment_intents/{id}
POST /payment_intents/{id} | POST /payment_intents/{id}/confirm | POST /payment_intents/{id}/capture
POST /payment_intents/{id}/cancel | POST /payment_intents/{id}/increment_authorization
GET /charges | GET /charges/{id} | POST /refunds | GET /refunds | GET /refunds/{id} | POST /refunds/{id}
GET /disputes | GET /disputes/{id} | POST /disputes/{id} | POST /disputes/{id}/close
POST /customers | GET /customers | GET /customers/{id} | POST /customers/{id} | DELETE /customers/{id}
GET /customers/{id}/payment_methods | POST /payment_methods | GET /payment_methods | GET /payment_methods/{id}
POST /payment_methods/{id} | POST /payment_methods/{id}/attach | POST /payment_methods/{id}/detach
POST /setup_intents | GET /setup_intents | GET /setup_intents/{id} | POST /setup_intents/{id}/confirm
POST /setup_intents/{id}/cancel | GET /mandates/{id} | POST /tokens | GET /account
GET /balance | GET /balance_transactions | GET /balance_transactions/{id} | GET /events | GET /events/{id}
POST /webhook_endpoints | GET /webhook_endpoints | GET /webhook_endpoints/{id} | POST /webhook_endpoints/{id}
DELETE /webhook_endpoints/{id} | POST /payment_links | GET /payment_links | GET /payment_links/{id}
POST /payment_links/{id} | GET /payment_links/{id}/line_items | POST /checkout/sessions
GET /checkout/sessions | GET /checkout/sessions/{id} | POST /checkout/sessions/{id}/expire
GET /checkout/sessions/{id}/line_items
"""


@pytest.fixture(scope="module")
def routes() -> Routes:
    return Routes(ROUTES)


def test_table_has_what_is_wanted_and_nothing_else() -> None:
    wanted = {part.strip() for line in WANTED.strip().splitlines() for part in line.split("|")}
    assert {f"{route.method} {route.path}" for route in ROUTES} == wanted


@pytest.mark.parametrize(
    ("method", "path", "found", "subject"),
    [
        ("POST", "/payment_intents", "/payment_intents", ""),
        ("GET", "/payment_intents/search", "/payment_intents/search", ""),
        ("GET", "/payment_intents/pi_1", "/payment_intents/{id}", "pi_1"),
        ("POST", "/payment_intents/pi_1/confirm", "/payment_intents/{id}/confirm", "pi_1"),
        ("GET", "/checkout/sessions/cs_1/line_items", "/checkout/sessions/{id}/line_items", "cs_1"),
        ("GET", "/payment_intents/{id}", "/payment_intents/{id}", "{id}"),
    ],
)
def test_find_returns_the_route_and_the_id(
    routes: Routes, method: str, path: str, found: str, subject: str
) -> None:
    route, text = routes.find(method, path)
    assert (route.path, text) == (found, subject)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/nothing",
        "/payment_intents/",
        "/payment_intents//confirm",
        "/payment_intents/pi_1/x",
        "/checkout",
    ],
)
def test_find_of_an_unknown_path_is_not_found(routes: Routes, path: str) -> None:
    with pytest.raises(AppError) as caught:
        routes.find("GET", path)
    assert caught.value.code == "route_unknown"


def test_find_of_another_method_names_those_that_are(routes: Routes) -> None:
    with pytest.raises(AppError) as caught:
        routes.find("DELETE", "/payment_intents/pi_1")
    assert (caught.value.code, caught.value.facts["allowed"]) == ("method_not_allowed", "GET, POST")


def test_two_routes_at_one_place_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="two routes"):
        Routes([ROUTES[0], ROUTES[0]])


def test_every_route_with_an_id_says_what_it_must_be() -> None:
    for route in ROUTES:
        assert (route.subject is not None) == ("{id}" in route.path)


def test_reads_need_a_reading_permission_and_writes_another() -> None:
    for route in ROUTES:
        reads = route.permission.value.endswith(".read")
        assert reads == (route.method == "GET"), route.path
    made = {
        route.permission for route in ROUTES if route.path in ("/tokens", "/payment_methods") and route.writes
    }
    assert made == {Permission.METHODS_CREATE}


def test_every_answer_that_expands_is_of_a_kind_in_the_table() -> None:
    kinds = {route.answers for route in ROUTES}
    assert set(EDGES) <= kinds
