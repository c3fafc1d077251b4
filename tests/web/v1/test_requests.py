"""Headers: keys, languages, versions, idempotency keys; and the request that may be repeated."""

import base64
from datetime import timedelta
from typing import Any, cast

import pytest
from tests.web.v1.samples import AT, CLOCK, SCOPE

from tongbao.core.errors import AppError
from tongbao.core.requests.asks import Rendered, ask_digest
from tongbao.web.api.v1 import requests
from tongbao.web.api.v1.ports import Services
from tongbao.web.api.v1.renderings.events import API_VERSION
from tongbao.web.api.v1.requests import Call


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "header",
    ["Bearer sk_test_x", "bearer sk_test_x", "Bearer  sk_test_x ", basic("sk_test_x:"), basic("sk_test_x")],
)
def test_api_key_is_read_from_bearer_and_basic(header: str) -> None:
    assert requests.api_key(header) == "sk_test_x"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "api_key_missing"),
        ("", "api_key_missing"),
        ("Bearer", "api_key_invalid"),
        ("Bearer ", "api_key_invalid"),
        ("Basic !!!", "api_key_invalid"),
        (basic(":x"), "api_key_invalid"),
        ("Basic " + base64.b64encode(b"\xff\xfe").decode(), "api_key_invalid"),
        ("Digest x", "api_key_invalid"),
        ("sk_test_x", "api_key_invalid"),
    ],
)
def test_api_key_that_cannot_be_read_is_refused(header: str | None, code: str) -> None:
    with pytest.raises(AppError) as caught:
        requests.api_key(header)
    assert caught.value.code == code


@pytest.mark.parametrize("header", ["", "k" * 256, "a\tb", "schlüssel", "a\n"])
def test_idempotency_key_outside_of_the_rule_is_refused(header: str) -> None:
    with pytest.raises(AppError) as caught:
        requests.idempotency_key(header)
    assert caught.value.code == "idempotency_key_invalid"


@pytest.mark.parametrize("header", [None, "k", "k" * 255, "a b~!"])
def test_idempotency_key_within_the_rule_is_taken(header: str | None) -> None:
    assert requests.idempotency_key(header) == header


@pytest.mark.parametrize("header", ["2020-08-27", "2026-10-28.endive", "2025-03-31.basil"])
def test_version_of_a_caller_is_named_back(header: str) -> None:
    assert requests.version(header) == header
    assert requests.version(None) == API_VERSION


@pytest.mark.parametrize("header", ["", "latest", "2026-10-28.X", "2026-10-28\n", "2026-10-28; beta=v1"])
def test_version_of_another_form_is_refused(header: str) -> None:
    with pytest.raises(AppError) as caught:
        requests.version(header)
    assert caught.value.code == "api_version_invalid"


@pytest.mark.parametrize(
    ("header", "chinese"),
    [
        (None, False),
        ("", False),
        ("*", False),
        ("zh", True),
        ("zh-CN,zh;q=0.9,en;q=0.8", True),
        ("en,zh;q=0.9", False),
        ("en;q=0.5, zh-Hans;q=0.7", True),
        ("zha", False),
        ("zh;q=0", False),
        ("zh;q=x", False),
        ("de;q=0.1,ZH-tw;q=1", True),
    ],
)
def test_language_is_chinese_where_it_comes_first(header: str | None, chinese: bool) -> None:
    assert requests.prefers_chinese(header) is chinese


class Clocked:
    clock = CLOCK


def call(**changes: Any) -> Call:
    fields: dict[str, Any] = {
        "services": cast(Services, Clocked()),
        "scope": SCOPE,
        "request_id": "req_1",
        "method": "POST",
        "path": "/refunds",
        "got": {},
        "key": "k1",
        "fingerprint": b"f",
    }
    return Call(**(fields | changes))


def render(_view: object) -> Rendered:
    return Rendered(200, b"{}")


def test_ask_is_of_the_method_path_and_key() -> None:
    ask = call().ask(render)
    assert ask is not None
    assert ask.digest == ask_digest("POST", "/refunds", "k1")
    others = [call(path="/customers"), call(key="k2"), call(method="DELETE")]
    assert ask.digest not in {other.ask(render).digest for other in others}  # type: ignore[union-attr]  # all have keys
    assert (ask.key, ask.request_id, ask.fingerprint) == ("k1", "req_1", b"f")


def test_ask_is_kept_longer_where_money_moves() -> None:
    short, long = call().ask(render), call(moves_money=True).ask(render)
    assert short is not None
    assert long is not None
    assert short.kept_until == AT + timedelta(hours=24)
    assert long.kept_until == AT + timedelta(days=7)


def test_ask_without_a_key_is_none() -> None:
    assert call(key=None).ask(render) is None
