"""The query language of searches: what each query asks for, and what is refused rather than half obeyed."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.web.v1.samples import CUS

from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import uuid_text
from tongbao.payments.schema.orders import PageOrder
from tongbao.web.api.v1.routes.searching import page_order


def at(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status:'succeeded'", {"state": "succeeded"}),
        ('status:"succeeded"', {"state": "succeeded"}),
        (" status : 'succeeded' ", {"state": "succeeded"}),
        ("currency:'usd' AND amount:1999", {"containing": {"currency": "USD", "amount_minor": 1999}}),
        (f"customer:'{uuid_text('cus', CUS)}'", {"owner_id": CUS}),
        ("metadata['order']:'6735'", {"containing": {"metadata": {"order": "6735"}}}),
        ("metadata[\"a b\"]:'AND'", {"containing": {"metadata": {"a b": "AND"}}}),
        ("metadata['a']:'1' AND metadata['b']:'2'", {"containing": {"metadata": {"a": "1", "b": "2"}}}),
        ("created>=100 AND created<200", {"created_from": at(100), "created_to": at(200)}),
        ("created>100 AND created<=200", {"created_from": at(101), "created_to": at(201)}),
        ("created:100", {"created_from": at(100), "created_to": at(101)}),
    ],
)
def test_query_becomes_the_page_that_it_asks_for(query: str, expected: dict[str, Any]) -> None:
    assert page_order({"query": query, "limit": 3}) == PageOrder(limit=3, **expected)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "status",
        "status:succeeded",
        "status:'done'",
        "-status:'succeeded'",
        "status:'succeeded' OR status:'canceled'",
        "status:'succeeded' status:'canceled'",
        "status:'succeeded' AND",
        "status:'succeeded' AND status:'canceled'",
        "status:'succeeded'ANDamount:1",
        "status~'succ'",
        "description:'x'",
        "amount>5",
        "amount:'x'",
        "amount:9999999999999",
        "currency['a']:'b'",
        "metadata:'a'",
        "metadata['a']>'b'",
        "metadata['a']:null",
        "customer:'pi_1'",
        "created:'x'",
        "created:999999999999999",
        "metadata['a']:'it\\'s'",
        " AND ".join(f"metadata['k{at}']:'v'" for at in range(11)),
    ],
)
def test_query_outside_of_the_language_is_refused(query: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        page_order({"query": query})
    assert (caught.value.code, caught.value.facts["param"]) == ("query_invalid", "query")
