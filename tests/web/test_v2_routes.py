"""Every route of ``/v2`` by one table: who may call it, whose things it shows, and what nonsense does to it."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from tests.web.v2_house import V2, Tenant, open_v2

from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.parties.schema import Permission
from tongbao.web.api.access import OperatorGate, ScopeGate, SessionGate

P = Permission
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "api-v2.md"
UNGUARDED = {
    ("GET", "/v2/channels/{channel}/notifications"),
    ("POST", "/v2/channels/{channel}/notifications"),
    ("POST", "/v2/session"),
}


class Row(NamedTuple):
    """One route for merchants: its method and path with the names of ids, its permission, a good request.

    ``foreign``: the status that another merchant gets for the same ids.
    """

    method: str
    path: str
    permission: Permission
    body: dict[str, Any] | None = None
    params: dict[str, str] | None = None
    status: int = 200
    foreign: int = 404

    def sent(self, ids: dict[str, str]) -> dict[str, Any]:
        """The request with ids filled in."""
        fill = {name: value.format(**ids) for name, value in (self.params or {}).items()}
        body = {
            name: value.format(**ids) if isinstance(value, str) else value
            for name, value in (self.body or {}).items()
        }
        sent = {"method": self.method, "url": self.path.format(**ids), "params": fill}
        return sent | ({"json": body} if self.body is not None else {})


CNY = {"currency": "CNY"}
MONEY = {"amount_minor": 100, "currency": "CNY"}
ROWS = (
    Row("GET", "/v2/payments/{payment}/story", P.PAYMENTS_READ),
    # A search for what another merchant has finds nothing, which is no error.
    Row("GET", "/v2/payments/search", P.PAYMENTS_READ, params={"q": "{payment}"}, foreign=200),
    Row("GET", "/v2/mandates", P.PAYMENTS_READ, params={"customer": "{customer}"}),
    Row("POST", "/v2/mandates/{mandate}/end", P.PAYMENTS_WRITE),
    Row("GET", "/v2/customers/{customer}/passkeys", P.CUSTOMERS_READ),
    Row("POST", "/v2/customers/{customer}/passkeys/{passkey}/remove", P.CUSTOMERS_WRITE),
    Row("POST", "/v2/wallets", P.WALLETS_WRITE, CNY | {"name": "Mei"}, status=201, foreign=201),
    Row("GET", "/v2/wallets/{wallet}", P.WALLETS_READ, params=CNY),
    Row("GET", "/v2/wallets/{wallet}/statement", P.WALLETS_READ, params=CNY),
    Row(
        "POST",
        "/v2/wallets/{wallet}/top_ups",
        P.WALLETS_WRITE,
        MONEY | {"payment_method": "{method}", "customer": "{customer}"},
        status=201,
    ),
    Row(
        "POST",
        "/v2/wallet_transfers",
        P.WALLETS_WRITE,
        MONEY | {"from_wallet": "{wallet}", "to_wallet": "{other_wallet}"},
        status=201,
    ),
    Row("GET", "/v2/wallet_transfers", P.WALLETS_READ, foreign=200),
    Row("GET", "/v2/channels", P.ROUTING_READ, foreign=200),
    Row("GET", "/v2/webhook_endpoints/{endpoint}/health", P.WEBHOOKS_READ),
    Row("GET", "/v2/webhook_endpoints/{endpoint}/deliveries", P.WEBHOOKS_READ),
    Row("GET", "/v2/events/{event}/deliveries", P.WEBHOOKS_READ),
    Row("POST", "/v2/events/{event}/resend", P.WEBHOOKS_WRITE, {"endpoint": "{endpoint}"}),
    Row("POST", "/v2/webhook_endpoints/{endpoint}/replay", P.WEBHOOKS_WRITE, {"dead": True}),
    Row("POST", "/v2/webhook_endpoints/{endpoint}/rotate_secret", P.WEBHOOKS_WRITE, {"overlap_s": 60}),
    Row("POST", "/v2/webhook_endpoints/{endpoint}/disable", P.WEBHOOKS_WRITE),
    Row("POST", "/v2/webhook_endpoints/{endpoint}/enable", P.WEBHOOKS_WRITE),
)
EACH = pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.method} {row.path}")
WRITES = pytest.mark.parametrize(
    "row", [row for row in ROWS if row.method == "POST"], ids=lambda row: row.path
)
BODIES = pytest.mark.parametrize(
    "row", [row for row in ROWS if row.body is not None], ids=lambda row: row.path
)
NONSENSE: tuple[object, ...] = (
    None,
    True,
    -1,
    0,
    1.5,
    2**63,
    10**40,
    "",
    "\0",
    "x\0y",
    "\ud800",
    "a" * 5_000,
    "CNY\n",
    "pi_00000000000000000000000000",
    "wallet_0000000000000",
    "wallet_zzzzzzzzzzzzz",
    "4242 4242 4242 4242",
    "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59",
    [],
    {},
    [[["x"]]],
    {"a": {"b": None}},
)


@pytest.fixture(scope="module")
async def v2(database: Database, ids: IdFactory) -> AsyncIterator[V2]:
    async with open_v2(database, ids) as opened:
        yield opened


@pytest.fixture(scope="module")
async def ours(v2: V2) -> Tenant:
    return await v2.furnished()


@pytest.fixture(scope="module")
async def theirs(v2: V2) -> Tenant:
    return await v2.furnished()


async def send(v2: V2, tenant: Tenant, sent: dict[str, Any], body: dict[str, Any]) -> httpx.Response:
    """Send a request with another body, escaped so that it may hold what no UTF-8 can."""
    headers = tenant.headers | {"Content-Type": "application/json"}
    rest = {name: value for name, value in sent.items() if name != "json"}
    return await v2.http.request(**rest, content=json.dumps(body), headers=headers)


async def call(v2: V2, row: Row, ids: dict[str, str], key: str | None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return await v2.http.request(**row.sent(ids), headers=headers)


def code_of(answer: httpx.Response) -> str:
    code: str = answer.json()["error"]["code"]
    return code


def routes(v2: V2) -> Iterator[APIRoute]:
    for router in v2.routers:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            yield route


def guards(dependant: Dependant) -> Iterator[object]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from guards(inner)


def test_every_route_declares_a_permission(v2: V2) -> None:
    unguarded, declared = set(), set()
    for route in routes(v2):
        found = [each for each in guards(route.dependant) if isinstance(each, ScopeGate | OperatorGate)]
        session = any(isinstance(each, SessionGate) for each in guards(route.dependant))
        for method in route.methods or ():
            if found:
                declared.add((method, route.path, found[0].permission))
            elif not session or not route.path.startswith("/v2/session"):
                unguarded.add((method, route.path))
    assert unguarded == UNGUARDED
    for row in ROWS:
        assert any(
            method == row.method and permission == row.permission and _fits(path, row.path)
            for method, path, permission in declared
        ), row


def test_every_route_for_merchants_is_in_the_table(v2: V2) -> None:
    for route in routes(v2):
        if any(isinstance(each, ScopeGate) for each in guards(route.dependant)):
            assert any(_fits(route.path, row.path) and row.method in (route.methods or ()) for row in ROWS), (
                route
            )


def test_reference_page_lists_every_route_with_its_permission(v2: V2) -> None:
    page = PAGE.read_text(encoding="utf-8")
    for row in ROWS:
        line = rf"\| `{re.escape(f'{row.method} {row.path}')}(\?[a-z=]+)?` \| `{row.permission}` \|"
        assert re.search(line, page), row
    for route in routes(v2):
        assert route.path in page, route.path


def _fits(path: str, named: str) -> bool:
    mine, other = path.split("/"), named.split("/")
    return len(mine) == len(other) and all(
        a == b or (a.startswith("{") and b.startswith("{")) for a, b in zip(mine, other, strict=True)
    )


async def test_openapi_describes_every_route(v2: V2) -> None:
    paths = v2.app.openapi()["paths"]
    assert "/v2/wallets/{wallet}/top_ups" in paths
    assert "requestBody" in paths["/v2/wallets"]["post"]
    assert not any("notifications" in path for path in paths)


@EACH
async def test_call_with_the_permission_alone_is_answered(v2: V2, ours: Tenant, row: Row) -> None:
    answer = await call(v2, row, ours.ids, await v2.key(ours.scope, row.permission))
    assert answer.status_code == row.status, answer.text
    assert answer.headers["Request-Id"].startswith("req_")
    assert answer.headers["Cache-Control"] == "no-store"


@EACH
async def test_call_without_the_permission_is_refused(v2: V2, ours: Tenant, row: Row) -> None:
    others = [each for each in Permission if each is not row.permission]
    answer = await call(v2, row, ours.ids, await v2.key(ours.scope, *others))
    assert (answer.status_code, code_of(answer)) == (403, "permission_missing")
    assert answer.json()["error"]["facts"]["permission"] == row.permission


@EACH
async def test_call_without_a_key_is_refused(v2: V2, ours: Tenant, row: Row) -> None:
    answer = await call(v2, row, ours.ids, None)
    assert (answer.status_code, code_of(answer)) == (401, "api_key_missing")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.headers["Request-Id"].startswith("req_")


@EACH
async def test_call_with_another_merchants_ids_finds_nothing(
    v2: V2, ours: Tenant, theirs: Tenant, row: Row
) -> None:
    for mine, other in ((ours, theirs), (theirs, ours)):
        answer = await call(v2, row, other.ids, mine.key)
        assert answer.status_code == row.foreign, answer.text
        if row.path == "/v2/payments/search":
            assert answer.json()["data"] == []


async def test_call_with_one_foreign_id_among_own_ones_finds_nothing(
    v2: V2, ours: Tenant, theirs: Tenant
) -> None:
    ran = 0
    for row in ROWS:
        named = [name for name in ours.ids if f"{{{name}}}" in f"{row.path}{row.body}{row.params}"]
        for name in named if row.foreign == 404 else ():
            answer = await call(v2, row, ours.ids | {name: theirs.ids[name]}, ours.key)
            assert answer.status_code == 404, (row, name, answer.text)
            ran += 1
    assert ran == 22


async def test_call_of_the_live_mode_finds_nothing_of_the_test_mode(v2: V2, ours: Tenant) -> None:
    live = await v2.tenant(ours.merchant, live=True)
    for row in ROWS:
        if row.foreign == 404:
            answer = await call(v2, row, ours.ids, live.key)
            assert answer.status_code == 404, (row, answer.text)


@WRITES
async def test_write_twice_with_one_key_is_answered_once(v2: V2, row: Row) -> None:
    tenant = await v2.furnished()
    headers = tenant.headers | {"Idempotency-Key": f"key {row.path}"}
    sent = row.sent(tenant.ids)
    first = await v2.http.request(**sent, headers=headers)
    again = await v2.http.request(**sent, headers=headers)
    assert first.status_code == again.status_code == row.status, again.text
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert first.headers["Request-Id"] != again.headers["Request-Id"]
    if row.path.endswith("rotate_secret"):
        assert first.json()["secret"].startswith("whsec_")
        assert again.json() == first.json() | {"secret": None}
    else:
        assert again.json() == first.json()


@BODIES
async def test_write_with_one_key_and_another_body_is_a_conflict(v2: V2, row: Row) -> None:
    tenant = await v2.furnished()
    headers = tenant.headers | {"Idempotency-Key": "k"}
    changed: dict[str, dict[str, Any]] = {
        "/v2/wallets": {"name": "Other"},
        "/v2/events/{event}/resend": {},
        "/v2/webhook_endpoints/{endpoint}/replay": {"limit": 5},
        "/v2/webhook_endpoints/{endpoint}/rotate_secret": {"overlap_s": 61},
    }
    sent = row.sent(tenant.ids)
    await v2.http.request(**sent, headers=headers)
    if row.path.endswith("resend"):
        other = await v2.hooks.endpoint("http://localhost:1/b", scope=tenant.scope)
        changed[row.path] = {"endpoint": other.endpoint.reference}
    sent["json"] |= changed.get(row.path, {"amount_minor": 99})
    answer = await v2.http.request(**sent, headers=headers)
    assert (answer.status_code, code_of(answer)) == (409, "idempotency_key_reused")


@BODIES
async def test_write_with_an_unknown_or_missing_field_is_refused(v2: V2, ours: Tenant, row: Row) -> None:
    sent = row.sent(ours.ids)
    for body in (sent["json"] | {"surprise": 1}, sent["json"] | {"\U0001f600": 1}):
        answer = await send(v2, ours, sent, body)
        assert (answer.status_code, code_of(answer)) == (400, "request_invalid"), answer.text
    for name in sent["json"]:
        short = {key: value for key, value in sent["json"].items() if key != name}
        answer = await send(v2, ours, sent, short)
        # The card belongs to a customer, who has to be named with it.
        assert answer.status_code == (row.status if name == "overlap_s" else 400), (name, answer.text)


@BODIES
async def test_write_with_nonsense_in_any_field_is_refused(v2: V2, ours: Tenant, row: Row) -> None:
    sent = row.sent(ours.ids)
    for name in [*sent["json"], "note", "since", "after", "limit", "locale", "return_url"]:
        for value in NONSENSE:
            body = sent["json"] | {name: value}
            answer = await send(v2, ours, sent, body)
            assert answer.status_code < 500, (name, value, answer.text)
            assert answer.status_code < 300 or code_of(answer)


@EACH
async def test_call_with_nonsense_for_ids_and_parameters_is_refused(v2: V2, ours: Tenant, row: Row) -> None:
    texts = ("x", "pi_", "%00", "wallet_zzzzzzzzzzzzz", "%ff", "é", "a" * 70)
    for text in texts:
        for name in ours.ids:
            if f"{{{name}}}" in row.path:
                sent = row.sent(ours.ids) | {"url": row.path.format(**(ours.ids | {name: text}))}
                answer = await v2.http.request(**sent, headers=ours.headers)
                assert answer.status_code in {400, 404}, (text, answer.text)
    for params in ({"limit": "0"}, {"limit": "x"}, {"starting_after": "x"}, {"currency": "\0"}, {"x": "1"}):
        sent = row.sent(ours.ids)
        answer = await v2.http.request(**(sent | {"params": sent["params"] | params}), headers=ours.headers)
        assert answer.status_code == 400, (params, answer.text)


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "body_invalid"),
        (b"[1]", "application/json", 400, "body_invalid"),
        (b"null", "application/json", 400, "body_invalid"),
        (b'{"name": "\xff"}', "application/json", 400, "body_invalid"),
        (b'{"name": "\\ud800"}', "application/json", 400, "body_invalid"),
        (b'{"name": NaN}', "application/json", 400, "body_invalid"),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "application/json", 400, "body_invalid"),
        (b"name=Mei", "application/x-www-form-urlencoded", 415, "content_type_wrong"),
        (b"{}", "text/plain", 415, "content_type_wrong"),
        (b'{"name": "' + b"a" * 65_536 + b'"}', "application/json", 413, "body_too_large"),
        (
            b'{"name": "4242424242424242", "currency": "CNY"}',
            "application/json",
            400,
            "card_data_not_allowed_here",
        ),
        (b"", "application/json", 400, "request_invalid"),
    ],
)
async def test_write_with_a_body_that_cannot_be_read_is_refused(
    v2: V2, ours: Tenant, content: bytes, kind: str, status: int, code: str
) -> None:
    headers = ours.headers | {"Content-Type": kind}
    answer = await v2.http.post("/v2/wallets", content=content, headers=headers)
    assert (answer.status_code, code_of(answer)) == (status, code), answer.text
    assert answer.headers["Request-Id"].startswith("req_")


@pytest.mark.parametrize("path", ["/v2/mandates/{mandate}/end", "/v2/webhook_endpoints/{endpoint}/enable"])
async def test_write_with_a_body_where_none_is_taken_is_refused(v2: V2, ours: Tenant, path: str) -> None:
    answer = await v2.send(ours, path.format(**ours.ids), {"surprise": 1})
    assert (answer.status_code, code_of(answer)) == (400, "body_invalid")
    assert (await v2.send(ours, path.format(**ours.ids), {})).status_code == 200


@pytest.mark.parametrize("key", ["k" * 256, "4242424242424242"])
async def test_write_with_a_key_that_cannot_be_kept_is_refused(v2: V2, ours: Tenant, key: str) -> None:
    body = {"name": "Mei", "currency": "CNY"}
    answer = await v2.send(ours, "/v2/wallets", body, key=key)
    assert answer.status_code == 400, answer.text


async def test_bug_of_ours_is_told_as_nothing_but_a_request_id(
    v2: V2, ours: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise RuntimeError("secret of the house")

    monkeypatch.setattr(v2.house.payments.channels, "all", fails)
    answer = await v2.http.get("/v2/channels", headers=ours.headers)
    assert (answer.status_code, code_of(answer)) == (500, "internal")
    assert "secret" not in answer.text
    assert answer.headers["Request-Id"].startswith("req_")


async def test_request_that_ends_before_its_body_is_refused(v2: V2, ours: Tenant) -> None:
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v2/wallets",
        "raw_path": b"/v2/wallets",
        "query_string": b"",
        "headers": [(b"authorization", ours.headers["Authorization"].encode())],
        "scheme": "http",
        "server": ("localhost", 80),
        "client": ("127.0.0.1", 1),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def keep(message: Any) -> None:
        sent.append(message)

    await v2.app(scope, receive, keep)
    assert sent[0]["status"] == 400
    assert b"body_incomplete" in sent[1]["body"]
