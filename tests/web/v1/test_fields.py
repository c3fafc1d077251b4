"""Typed readers: a table for each type, what they refuse and which parameter they name."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.web.v1.samples import CUS

from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import uuid_text
from tongbao.web.api.v1.fields import (
    Boolean,
    Choice,
    CreatedRange,
    CurrencyCode,
    Email,
    Field,
    Form,
    Id,
    Instant,
    Integer,
    Many,
    Metadata,
    Nested,
    Text,
    Url,
)
from tongbao.web.api.v1.forms import Value

CUSTOMER = Id(prefixes=("cus",), what="customer")
CHARGE = Id(prefixes=("ch", "pa"), what="charge")


def at(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        (Integer(maximum=100), "42", 42),
        (Integer(maximum=100), "0042", 42),
        (Integer(minimum=-5, maximum=5), "-5", -5),
        (Text(), "ü 你", "ü 你"),
        (Text(clears=True), "", None),
        (Boolean(), "true", True),
        (Boolean(), "false", False),
        (Choice(values=("a", "b")), "b", "b"),
        (CurrencyCode(), "usd", "USD"),
        (CurrencyCode(), "KWD", "KWD"),
        (CUSTOMER, uuid_text("cus", CUS), CUS),
        (CHARGE, uuid_text("ch", CUS), CUS),
        (CHARGE, uuid_text("pa", CUS), CUS),
        (Instant(), "1700000000", at(1_700_000_000)),
        (Email(), "a@example.com", "a@example.com"),
        (Url(), "https://example.com/x?y=1", "https://example.com/x?y=1"),
        (Metadata(), {"a": "1", "b": ""}, {"a": "1", "b": ""}),
        (Many(item=Integer()), {"0": "1", "1": "2"}, (1, 2)),
        (Many(item=Integer()), {"1": "2", "0": "1"}, (1, 2)),
        (Many(item=Integer()), "", ()),
        (Nested(fields={"a": Integer()}), {"a": "1"}, {"a": 1}),
        (CreatedRange(), "100", (at(100), at(101))),
        (CreatedRange(), {"gte": "100", "lt": "200"}, (at(100), at(200))),
        (CreatedRange(), {"gt": "100", "lte": "200"}, (at(101), at(201))),
        (CreatedRange(), {"gt": "100", "gte": "150"}, (at(150), None)),
    ],
)
def test_read_of_a_good_value_returns_it_typed(field: Field, value: Value, expected: Any) -> None:
    assert field.read(value, "p") == expected


@pytest.mark.parametrize(
    ("field", "value", "code", "param"),
    [
        (Integer(), "", "parameter_invalid_empty", "p"),
        (Integer(), "1.5", "parameter_invalid_integer", "p"),
        (Integer(), "1e3", "parameter_invalid_integer", "p"),
        (Integer(), " 1", "parameter_invalid_integer", "p"),
        (Integer(), "+1", "parameter_invalid_integer", "p"),
        (Integer(), "1\n", "parameter_invalid_integer", "p"),
        (Integer(), "١٢", "parameter_invalid_integer", "p"),
        (Integer(), "1_000", "parameter_invalid_integer", "p"),
        (Integer(), "9" * 19, "parameter_invalid_integer", "p"),
        (Integer(minimum=1), "0", "parameter_out_of_range", "p"),
        (Integer(maximum=5), "6", "parameter_out_of_range", "p"),
        (Integer(), {"a": "1"}, "parameter_invalid_string", "p"),
        (Text(chars_max=3), "abcd", "parameter_too_long", "p"),
        (Text(), "", "parameter_invalid_empty", "p"),
        (Boolean(), "True", "parameter_invalid_boolean", "p"),
        (Boolean(), "1", "parameter_invalid_boolean", "p"),
        (Choice(values=("a",)), "A", "parameter_invalid_enum", "p"),
        (CurrencyCode(), "us", "currency_invalid", "p"),
        (CurrencyCode(), "zzz", "currency_invalid", "p"),
        (CurrencyCode(), "ﬀx", "currency_invalid", "p"),
        (CUSTOMER, "cus_1", "resource_missing", "p"),
        (CUSTOMER, uuid_text("pm", CUS), "resource_missing", "p"),
        (CUSTOMER, uuid_text("cus", CUS).upper(), "resource_missing", "p"),
        (Instant(), "99999999999999", "parameter_out_of_range", "p"),
        (Email(), "a", "email_invalid", "p"),
        (Email(), "a@b c", "email_invalid", "p"),
        (Url(), "javascript:alert(1)", "url_invalid", "p"),
        (Url(), "https://", "url_invalid", "p"),
        (Metadata(), "x", "parameter_invalid_object", "p"),
        (Metadata(), "", "parameter_invalid_empty", "p"),
        (Metadata(), {"a": {"b": "c"}}, "parameter_invalid_string", "p[a]"),
        (Metadata(), {"k" * 41: "v"}, "metadata_too_large", "p"),
        (Metadata(), {"k": "v" * 501}, "metadata_too_large", "p[k]"),
        (Metadata(), {f"k{at}": "v" for at in range(51)}, "metadata_too_large", "p"),
        (Many(item=Integer()), "1", "parameter_invalid_array", "p"),
        (Many(item=Integer()), {"0": "1", "2": "3"}, "parameter_invalid_array", "p"),
        (Many(item=Integer()), {"a": "1"}, "parameter_invalid_array", "p"),
        (Many(item=Integer()), {"0": "x"}, "parameter_invalid_integer", "p[0]"),
        (Many(item=Integer(), items_max=1), {"0": "1", "1": "2"}, "parameter_invalid_array", "p"),
        (Many(item=Integer(), items_min=1), "", "parameter_invalid_array", "p"),
        (Nested(fields={}), "x", "parameter_invalid_object", "p"),
        (Nested(fields={}), {"x": "1"}, "parameter_unknown", "p[x]"),
        (Nested(fields={"a": Text(required=True)}), {}, "parameter_missing", "p[a]"),
        (CreatedRange(), {"ge": "1"}, "parameter_unknown", "p[ge]"),
        (CreatedRange(), {"gt": "x"}, "parameter_invalid_integer", "p[gt]"),
    ],
)
def test_read_of_a_bad_value_names_the_parameter(field: Field, value: Value, code: str, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        field.read(value, "p")
    assert (caught.value.code, caught.value.facts["param"]) == (code, param)


def test_form_refuses_the_unknown_before_the_missing() -> None:
    form = Form({"amount": Integer(required=True), "note": Text()})
    with pytest.raises(InvalidRequest) as caught:
        form.read({"ammount": "1"})
    assert (caught.value.code, caught.value.facts["param"]) == ("parameter_unknown", "ammount")
    with pytest.raises(InvalidRequest) as caught:
        form.read({"note": "x"})
    assert (caught.value.code, caught.value.facts["param"]) == ("parameter_missing", "amount")
    assert form.read({"amount": "1"}) == {"amount": 1}


def test_unknown_parameter_is_named_in_part_only() -> None:
    with pytest.raises(InvalidRequest) as caught:
        Form().read({"x" * 5_000: "1"})
    assert len(caught.value.facts["param"]) == 100


def test_schema_of_a_form_says_what_it_reads() -> None:
    form = Form({"amount": Integer(minimum=1, maximum=9, required=True, about="How much."), "m": Metadata()})
    schema = form.schema()
    assert schema["required"] == ["amount"]
    assert schema["additionalProperties"] is False
    properties = schema["properties"]
    assert isinstance(properties, dict)
    assert properties["amount"] == {"type": "integer", "minimum": 1, "maximum": 9, "description": "How much."}
