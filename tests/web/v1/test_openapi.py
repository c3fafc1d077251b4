"""The OpenAPI document: it is valid, equal for equal tables, and the interface does what it says."""

from typing import Any

import httpx
import msgspec
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from tests.web.v1.conftest import Shop

from tongbao.web.api.v1.openapi import FAILURES, document
from tongbao.web.api.v1.table import ROUTES

DOCUMENT: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document(ROUTES)))
OPERATIONS = [
    (path, method, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]


def test_document_is_the_same_for_the_same_table() -> None:
    assert document(ROUTES) == document(ROUTES)


def test_document_has_every_route_once() -> None:
    assert len(OPERATIONS) == len(ROUTES)
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(ids)) == len(ids)


def operations() -> list[Any]:
    """The operations as the tool reads them; each must be readable."""
    found: list[Any] = list(schemathesis.openapi.from_dict(DOCUMENT).get_all_operations())
    return [result.ok() for result in found]


def test_document_is_read_by_a_tool_that_nobody_here_wrote() -> None:
    schemathesis.openapi.from_dict(DOCUMENT).validate()
    assert len(operations()) == len(ROUTES)


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_operation_declares_its_id_parameters_and_failures(
    path: str, method: str, operation: dict[str, Any]
) -> None:
    names = {parameter["name"] for parameter in operation["parameters"]}
    assert ("id" in names) == ("{id}" in path)
    assert ("Idempotency-Key" in names) == (method != "get")
    assert ("requestBody" in operation) == (method == "post")
    assert set(operation["responses"]) == {"200", *FAILURES}
    assert "Needs the permission" in operation["description"]


def cases(operation: Any, count: int) -> list[Any]:
    """Requests made from the schema of an operation, the same in every run."""
    made: list[Any] = []

    @settings(
        max_examples=count,
        database=None,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy())
    def collect(case: Any) -> None:
        made.append(case)

    collect()
    return made


async def sent(shop: Shop, case: Any) -> httpx.Response:
    """Send a generated request as it was meant, with the merchant's key."""
    prepared: Any = requests.Request(**case.as_transport_kwargs(base_url="http://test")).prepare()
    headers = {**prepared.headers, "Authorization": f"Bearer {shop.key}"}
    return await shop.http.request(prepared.method, prepared.url, headers=headers, content=prepared.body)


@pytest.mark.parametrize("operation", operations(), ids=lambda operation: str(operation.label))
async def test_interface_answers_generated_requests_without_a_fault_of_its_own(
    shop: Shop, operation: Any
) -> None:
    accepted = {"200", *FAILURES}
    for case in cases(operation, 8):
        answer = await sent(shop, case)
        assert str(answer.status_code) in accepted
        assert answer.status_code < 500, (case.method, case.formatted_path, case.body, answer.text)
        told = answer.json()
        if answer.status_code == 200:
            assert told["object"]
        else:
            assert told["error"]["code"] not in ("parameter_unknown", "route_unknown", "internal"), told
