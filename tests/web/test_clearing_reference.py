"""Every route of clearing: named by the reference page with its permission, and closed to whoever does not have it."""

import collections
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from tests.web.v2_house import Tenant
from tests.web.whole_house import Whole, open_whole

from tongbao.core.db import Database
from tongbao.core.requests.apart import RequestsApart
from tongbao.parties.schema import Permission
from tongbao.web.api import clearing
from tongbao.web.api.access import Gate, OperatorGate, ScopeGate
from tongbao.web.api.acts import Acts
from tongbao.web.api.calls import Calls

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "api-v2.md"


@pytest.fixture(scope="module")
async def whole(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Whole]:
    async with open_whole(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


def guarded(whole: Whole) -> Iterator[tuple[str, str, ScopeGate | OperatorGate]]:
    """Method, path and gate of every route."""
    house = whole.house
    database, clock = house.runtime.database, whole.clock
    calls = Calls(database, clock, whole.ids)
    services = clearing.Services(house.clearing, house.parties.merchants, clock)
    gate = Gate(house.parties.access, house.limits)
    for routes in clearing.routers(calls, gate, Acts(calls, RequestsApart(database, clock)), services):
        for route in routes.routes:
            assert isinstance(route, APIRoute)
            (found,) = [
                each for each in guards(route.dependant) if isinstance(each, ScopeGate | OperatorGate)
            ]
            for method in route.methods or ():
                yield method, route.path, found


def guards(dependant: Dependant) -> Iterator[object]:
    """Whatever a route depends on."""
    for inner in dependant.dependencies:
        yield inner.call
        yield from guards(inner)


async def test_reference_page_lists_every_route_with_its_permission(whole: Whole) -> None:
    page = PAGE.read_text(encoding="utf-8")
    listed = 0
    for method, path, gate in guarded(whole):
        assert f"| `{method} {path}` | `{gate.permission.value}` |" in page, (method, path)
        listed += 1
    assert listed > 60


async def test_every_route_is_closed_to_keys_without_the_permission_and_to_nobody(whole: Whole) -> None:
    tenant = await whole.tenant()
    narrow = Tenant(tenant.merchant, tenant.scope, await whole.key(tenant, Permission.PAYMENTS_READ))
    places = collections.defaultdict(lambda: "x", {"version": "1", "on": "2026-01-31", "currency": "CNY"})
    for method, path, gate in guarded(whole):
        url = path.format_map(places)
        nobody = await whole.http.request(method, url)
        assert nobody.status_code == 401, (method, path, nobody.text)
        answer = await whole.send(narrow, method, url)
        is_house = isinstance(gate, OperatorGate)
        assert answer.status_code == (401 if is_house else 403), (method, path, answer.text)
