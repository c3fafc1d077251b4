"""Generated requests against the house that serves: none finds a fault of ours, every answer is as declared.

Schemathesis, which nobody here wrote, reads the documents from the running house, makes requests of every operation,
right ones and wrong ones, and judges the answers. Seeded: the same requests in every run.
"""

from collections.abc import Mapping
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.scenarios.running_house import RunningHouse, Shop
from tests.scenarios.things import thing

from tongbao.web.api.v1.table import ROUTES

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
LABELS = [f"{route.method} /v1{route.path}" for route in ROUTES]
MANY = {GenerationMode.POSITIVE: 5, GenerationMode.NEGATIVE: 3}
SOME = {GenerationMode.POSITIVE: 2, GenerationMode.NEGATIVE: 2}
FEW = {GenerationMode.POSITIVE: 1, GenerationMode.NEGATIVE: 1}
"""The operations of ``/v2`` are many, and share how they read and refuse: each is asked rightly, and every third wrongly.

``make soak`` tries all of them both ways and ``MANY`` times.
"""
AMOUNTS = [SOME, pytest.param(MANY, marks=pytest.mark.nightly)]
pytestmark = pytest.mark.slow


def operations(house: RunningHouse, path: str) -> dict[str, Any]:
    """The operations of a document as the tool reads them, by method and path; each must be readable."""
    document: Any = schemathesis.openapi.from_url(house.base_url + path, timeout=60.0)
    document.validate()
    return {operation.label: operation for operation in (each.ok() for each in document.get_all_operations())}


def judge(
    operation: Any,
    shop: Shop,
    mode: GenerationMode,
    examples: Mapping[GenerationMode, int],
    subject: str | None = None,
) -> int:
    """Send generated requests of one operation; return how many. Raises what the tool finds.

    Generated ids lead nowhere, so every second request is about ``subject``, which exists.
    """
    judged = 0

    # A seed by hand: the tool's own one is made of the source of the function, which is read anew for each operation.
    @seed(1)
    @settings(
        max_examples=examples[mode],
        database=None,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def run(case: Any) -> None:
        nonlocal judged
        if subject is not None and judged % 2:
            case.path_parameters["id"] = subject
        case.call_and_validate(
            base_url=shop.base_url,
            session=shop.session,
            headers={"Authorization": f"Bearer {shop.secret}"},
            checks=CHECKS,
        )
        judged += 1

    run()
    return judged


@pytest.fixture(scope="module")
def v1(house: RunningHouse) -> dict[str, Any]:
    """The operations of ``/v1``."""
    return operations(house, "/v1/openapi.json")


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("examples", AMOUNTS)
def test_v1_answers_right_requests_as_its_document_says(
    house: RunningHouse, v1: dict[str, Any], books: Shop, label: str, examples: Mapping[GenerationMode, int]
) -> None:
    collection, has_id, _ = label.partition("/v1/")[2].partition("/{id}")
    subject = thing(books, house.outside, collection) if has_id else None
    assert judge(v1[label], books, GenerationMode.POSITIVE, examples, subject) > 0


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("examples", AMOUNTS)
def test_v1_answers_wrong_requests_as_its_document_says(
    v1: dict[str, Any], books: Shop, label: str, examples: Mapping[GenerationMode, int]
) -> None:
    operation = v1[label]
    if not (operation.path_parameters or operation.query or operation.body):
        pytest.skip("there is nothing in this request that could be wrong")
    assert judge(operation, books, GenerationMode.NEGATIVE, examples) > 0


@pytest.mark.parametrize(("examples", "every"), [(FEW, 3), pytest.param(MANY, 1, marks=pytest.mark.nightly)])
def test_v2_answers_generated_requests_as_its_document_says(
    house: RunningHouse, books: Shop, examples: Mapping[GenerationMode, int], every: int
) -> None:
    found = operations(house, "/v2/openapi.json")
    assert any("/v2/payments" in label for label in found)
    for operation in found.values():
        judge(operation, books, GenerationMode.POSITIVE, examples)
    refusable = [each for each in found.values() if each.path_parameters or each.query or each.body]
    for operation in refusable[::every]:
        judge(operation, books, GenerationMode.NEGATIVE, examples)
