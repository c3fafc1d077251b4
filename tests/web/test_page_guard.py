"""What stands before forms: where they come from, by which name the house is asked, how long they may be."""

from collections.abc import Mapping
from urllib.parse import urlencode

import pytest
from starlette.requests import Request

from tongbao.core.errors import InvalidRequest, NotPermitted
from tongbao.web.page_guard import guest, long_form, refuse_foreign, refuse_strange_host


def asked(headers: Mapping[str, str], body: bytes = b"", client: str | None = "203.0.113.9") -> Request:
    """A form as it comes in, in two parts."""
    parts = [body[:7], body[7:]]

    async def receive() -> dict[str, object]:
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    scope = {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "path": "/",
        "query_string": b"",
        "server": ("127.0.0.1", 80),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": None if client is None else (client, 1),
    }
    return Request(scope, receive)


@pytest.mark.parametrize(
    ("host", "origin", "is_own"),
    [
        ("pay.example", "https://pay.example", True),
        ("pay.example:8000", "http://pay.example:8000", True),
        ("pay.example:8000", "http://pay.example", False),
        ("pay.example", "https://evil.example", False),
        ("pay.example", "https://pay.example.evil.example", False),
        ("pay.example", "null", False),
        ("pay.example", "", False),
    ],
)
def test_form_is_taken_from_this_site_only(host: str, origin: str, is_own: bool) -> None:
    request = asked({"host": host} | ({"origin": origin} if origin else {}))
    if is_own:
        refuse_foreign(request)
        return
    with pytest.raises(NotPermitted) as refused:
        refuse_foreign(request)
    assert refused.value.code == "origin_foreign"


@pytest.mark.parametrize(
    ("host", "is_known"),
    [
        ("localhost:8000", True),
        ("127.0.0.1", True),
        ("[::1]:8000", True),
        ("ops.example", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
    ],
)
def test_house_is_asked_by_its_own_name_only(host: str, is_known: bool) -> None:
    request = asked({"host": host})
    if is_known:
        refuse_strange_host(request, "https://ops.example")
        return
    with pytest.raises(NotPermitted) as refused:
        refuse_strange_host(request, "https://ops.example")
    assert refused.value.code == "host_strange"


def test_guest_is_counted_by_the_network_address() -> None:
    assert guest(asked({})) == "payer:203.0.113.9"
    assert guest(asked({}, client=None)) == "payer:unknown"


async def test_long_form_keeps_lines_and_leaves_out_what_was_left_empty() -> None:
    body = urlencode({"text": "一行\r\ntwo", "empty": "", "note": " x "}).encode()
    assert await long_form(asked({}, body), 1_000, 10) == {"text": "一行\ntwo", "note": " x "}


@pytest.mark.parametrize(
    "body", [b"a=" + b"x" * 1_000, b"&".join(b"a=1" for _ in range(11)), b"a=%ff", b"a=\xff"]
)
async def test_long_form_that_is_too_large_or_no_text_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await long_form(asked({}, body), 1_000, 10)
    assert refused.value.code == "form_invalid"
