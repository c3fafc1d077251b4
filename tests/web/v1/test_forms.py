"""Parameters as nested text: what is read, what is refused, and that every encoding reads the same."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stripe._encode import _api_encode

from tongbao.core.errors import AppError
from tongbao.web.api.v1.forms import BODY_BYTES_MAX, PAIRS_MAX, Params, parse_form, parse_json
from tongbao.web.api.v1.requests import fingerprint, parse_body

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("amount=1999&currency=usd", {"amount": "1999", "currency": "usd"}),
        ("a=", {"a": ""}),
        ("a", {"a": ""}),
        ("&a=1&&", {"a": "1"}),
        ("a=b=c", {"a": "b=c"}),
        ("a=1+2%2B3%20", {"a": "1 2+3 "}),
        ("metadata[a]=b", {"metadata": {"a": "b"}}),
        ("metadata%5Ba%5D=b", {"metadata": {"a": "b"}}),
        ("metadata%5ba%5d=b", {"metadata": {"a": "b"}}),
        ("metadata[a%26b]=c%3Dd", {"metadata": {"a&b": "c=d"}}),
        ("items[0][price]=x&items[1][price]=y", {"items": {"0": {"price": "x"}, "1": {"price": "y"}}}),
        ("expand[]=a&expand[]=b", {"expand": {"0": "a", "1": "b"}}),
        ("expand[0]=a&expand[1]=b", {"expand": {"0": "a", "1": "b"}}),
        ("a=%E4%BD%A0", {"a": "你"}),
        ("a=你", {"a": "你"}),
        ("a=%255B", {"a": "%5B"}),
        ("a=[x]", {"a": "[x]"}),
        ("a.b-c=1", {"a.b-c": "1"}),
        ("a[b][c][d][e][f]=1", {"a": {"b": {"c": {"d": {"e": {"f": "1"}}}}}}),
    ],
)
def test_parse_form_reads_nested_parameters(text: str, expected: Params) -> None:
    assert parse_form(text.encode()) == expected


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"a=1&a=2", "parameter_repeated"),
        (b"a[b]=1&a[b]=2", "parameter_repeated"),
        (b"a=1&a[b]=2", "parameter_repeated"),
        (b"a[b]=2&a=1", "parameter_repeated"),
        (b"a[0]=1&a[1]=2&a[0]=3", "parameter_repeated"),
        (b"a[1]=1&a[]=2", "parameter_repeated"),
        (b"a[b]=1&a[b][c]=2", "parameter_repeated"),
        (b"=1", "parameters_malformed"),
        (b"[a]=1", "parameters_malformed"),
        (b"a[=1", "parameters_malformed"),
        (b"a]=1", "parameters_malformed"),
        (b"a[b]c=1", "parameters_malformed"),
        (b"a[b]c[d]=1", "parameters_malformed"),
        (b"a[[b]]=1", "parameters_malformed"),
        (b"a[][b]=1", "parameters_malformed"),
        (b"a[b][c][d][e][f][g]=1", "parameters_malformed"),
        (b"a=%zz", "parameters_malformed"),
        (b"a=%4", "parameters_malformed"),
        (b"%=1", "parameters_malformed"),
        (b"a=%ff", "parameters_malformed"),
        (b"a=\xff", "parameters_malformed"),
        (b"a=%00", "parameters_malformed"),
        (b"a=\0", "parameters_malformed"),
        (b"m[" + b"k" * 300 + b"]=1", "parameters_malformed"),
        (b"&".join(b"a%d=1" % at for at in range(PAIRS_MAX + 1)), "parameters_malformed"),
    ],
)
def test_parse_form_refuses_what_could_be_read_in_two_ways(raw: bytes, code: str) -> None:
    with pytest.raises(AppError) as caught:
        parse_form(raw)
    assert caught.value.code == code


def test_parse_form_takes_as_many_pairs_as_it_says() -> None:
    raw = b"&".join(b"a%d=1" % at for at in range(PAIRS_MAX))
    assert len(parse_form(raw)) == PAIRS_MAX


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", {}),
        ("{}", {}),
        (
            '{"amount": 1999, "confirm": true, "x": false}',
            {"amount": "1999", "confirm": "true", "x": "false"},
        ),
        ('{"a": null}', {"a": ""}),
        ('{"a": 1.50}', {"a": "1.50"}),
        ('{"a": 123456789012345678901234567890}', {"a": "123456789012345678901234567890"}),
        ('{"items": [{"price": "x"}]}', {"items": {"0": {"price": "x"}}}),
        ('{"metadata": {}, "list": [], "deep": {"er": {}}}', {}),
        ('{"a": "\\u4f60"}', {"a": "你"}),
    ],
)
def test_parse_json_reads_as_a_form_would(body: str, expected: Params) -> None:
    assert parse_json(body.encode()) == expected


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        "1",
        "null",
        '"a"',
        "{",
        "{'a': 1}",
        '{"a": NaN}',
        '{"a": Infinity}',
        '{"a": "\\u0000"}',
        '{"a": "\\ud800"}',
        '{"": 1}',
        '{"a[b]": 1}',
        '{"a": ' + "[" * 5_000 + "]" * 5_000 + "}",
        '{"a":{"b":{"c":{"d":{"e":{"f":{"g":1}}}}}}}',
        json.dumps({"a": ["x"] * (PAIRS_MAX + 1)}),
    ],
)
def test_parse_json_refuses_what_a_form_could_not_say(body: str) -> None:
    with pytest.raises(AppError) as caught:
        parse_json(body.encode())
    assert caught.value.code == "parameters_malformed"


def test_parse_json_with_a_key_twice_is_refused() -> None:
    with pytest.raises(AppError) as caught:
        parse_json(b'{"m": {"a": 1, "a": 2}}')
    assert (caught.value.code, caught.value.facts["param"]) == ("parameter_repeated", "a")


NAMES = st.text("abcdefghij_0123456789-", min_size=1, max_size=8).filter(lambda name: not name.isdigit())
# The client writes a boolean that stands directly in a list as Python does; no parameter is a list of them.
SCALARS = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30),
    st.integers(-(10**12), 10**12),
)
LEAVES = st.one_of(SCALARS, st.booleans())
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner.filter(lambda item: not isinstance(item, bool)), min_size=1, max_size=4),
        st.dictionaries(NAMES, inner, min_size=1, max_size=4),
    ),
    max_leaves=12,
)
BODIES = st.dictionaries(NAMES, TREES, max_size=6)


def as_text(value: Any) -> Any:
    """What a parameter is in the form's form, by a way that shares nothing with the parser."""
    if isinstance(value, dict):
        return {name: as_text(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return {str(at): as_text(inner) for at, inner in enumerate(value)}
    return json.dumps(value) if isinstance(value, bool) else str(value)


def depth(value: Any) -> int:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return 1 + max((depth(each) for each in inner), default=0)
    return 0


@given(BODIES.filter(lambda body: depth(body) <= 6))
def test_parse_form_of_the_official_client_gives_back_what_went_in(body: dict[str, Any]) -> None:
    encoded = urlencode(list(_api_encode(body)))
    assert parse_form(encoded.encode()) == as_text(body)
    # The client leaves brackets as they are in some versions.
    loose = "&".join(f"{quote(key, safe='[]')}={quote(str(value))}" for key, value in _api_encode(body))
    assert parse_form(loose.encode()) == as_text(body)


@given(BODIES.filter(lambda body: depth(body) <= 6))
def test_fingerprint_is_the_same_for_form_and_json_in_any_order(body: dict[str, Any]) -> None:
    form = parse_body(FORM, urlencode(list(_api_encode(body))).encode())
    turned = dict(reversed(body.items()))
    as_json = parse_body("application/json; charset=utf-8", json.dumps(turned).encode())
    assert fingerprint(form) == fingerprint(as_json)


def read(parse: Callable[[bytes], Params], raw: bytes) -> object:
    """What comes of reading bytes: parameters, or the code of a refusal."""
    try:
        return parse(raw)
    except AppError as error:
        return error.code


@given(st.binary(max_size=200))
def test_parse_of_any_bytes_is_a_mapping_or_a_refusal(raw: bytes) -> None:
    for found in (read(parse_form, raw), read(parse_json, raw)):
        assert isinstance(found, dict) or found in ("parameters_malformed", "parameter_repeated")


@pytest.mark.parametrize(
    ("content_type", "body", "code"),
    [
        ("text/plain", b"a=1", "content_type_wrong"),
        ("multipart/form-data; boundary=x", b"a=1", "content_type_wrong"),
        (FORM, b"a" * (BODY_BYTES_MAX + 1), "body_too_large"),
    ],
)
def test_parse_body_of_another_type_or_size_is_refused(content_type: str, body: bytes, code: str) -> None:
    with pytest.raises(AppError) as caught:
        parse_body(content_type, body)
    assert caught.value.code == code


def test_parse_body_without_a_type_is_a_form() -> None:
    assert parse_body(None, b"a=1") == {"a": "1"}
    assert parse_body(None, b"") == {}


@pytest.mark.parametrize("outer", ["card[{}]", "payment_method_data[card][{}]"])
def test_fingerprint_holds_no_more_of_a_card_than_may_be_shown(outer: str) -> None:
    def of(number: str, cvc: str) -> bytes:
        return fingerprint(
            parse_form(f"{outer.format('number')}={number}&{outer.format('cvc')}={cvc}".encode())
        )

    assert of("4242424242424242", "123") == of("4242 4200 0000 4242", "999")
    assert of("4242424242424242", "123") != of("4242424242424341", "123")
    assert of("4242424242424242", "1") != of("5555555555554444", "1")
