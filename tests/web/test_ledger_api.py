"""The ledger's HTTP interface: every route, and everything that callers get wrong."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from tests.conftest import Bench

from tongbao.core.errors import (
    AppError,
    Conflict,
    InvalidRequest,
    InvariantBroken,
    LimitExceeded,
    NotFound,
    NotPermitted,
    OutcomeUnknown,
    Unavailable,
)
from tongbao.core.ids import derive, int_text, parse_uuid, uuid_text
from tongbao.ledger.service.ledger import Ledger
from tongbao.web import errors
from tongbao.web.api import answers
from tongbao.web.api import ledger as ledger_api

BASE = "/v2/ledger"
POST = BASE + "/transfers"


@pytest.fixture
async def client(ledger: Ledger) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(ledger) as opened:
        yield opened


def client_of(ledger: Ledger, caller: str = "127.0.0.1") -> httpx.AsyncClient:
    app = FastAPI()
    answers.install(app)
    app.include_router(ledger_api.router(ledger))

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("secret of the house")

    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(caller, 1))
    return httpx.AsyncClient(transport=transport, base_url="http://test")


def body(bench: Bench, debit: str, credit: str, amount_minor: Any, **fields: object) -> dict[str, object]:
    """A transfer as a caller sends it."""
    return {
        "key": uuid_text("tr", bench.key()),
        "book_id": int_text("book", bench.book.book_id),
        "debit_account_id": account(bench, debit),
        "credit_account_id": account(bench, credit),
        "amount_minor": amount_minor,
        "asset": "CNY",
        "code": "test",
    } | fields


def account(bench: Bench, name: str) -> str:
    return int_text("acct", bench.accounts[name].account_id)


def home(bench: Bench) -> str:
    return f"{BASE}/books/{bench.book.code}"


async def test_every_read_after_one_transfer_tells_it(client: httpx.AsyncClient, bench: Bench) -> None:
    sent = body(bench, "equity", "a", 1250, reference="order-1", occurred_at="2026-01-02T03:04:05+08:00")
    posted = (await client.post(POST, json=sent)).json()["results"]
    assert [(row["outcome"], row["amount_minor"], row["key"]) for row in posted] == [
        ("posted", 1250, sent["key"])
    ]
    again = (await client.post(POST, json=sent)).json()["results"]
    assert again == [posted[0] | {"outcome": "exists"}]
    await bench.ledger.sealing.seal_all()

    book = (await client.get(home(bench))).json()
    assert book["id"] == sent["book_id"]
    listed = (await client.get(f"{BASE}/books", params={"limit": 500})).json()
    assert book in listed
    accounts = (await client.get(home(bench) + "/accounts")).json()
    assert [row["code"] for row in accounts] == sorted(bench.accounts)
    one = (await client.get(f"{home(bench)}/accounts/{account(bench, 'a')}")).json()
    assert (one["posted_minor"], one["available_minor"], one["scale"], one["floor_minor"]) == (
        1250,
        1250,
        2,
        0,
    )
    changes = (await client.get(f"{home(bench)}/accounts/{account(bench, 'a')}/changes")).json()
    assert [(row["change_no"], row["reason"]) for row in changes] == [(1, "opened")]
    page = (await client.get(f"{home(bench)}/accounts/{account(bench, 'a')}/statement")).json()
    assert [(e["posted_delta_minor"], e["balance_minor"], e["seq"]) for e in page["entries"]] == [
        (1250, 1250, 1)
    ]
    assert page["entries"][0]["other_account_id"] == account(bench, "equity")
    row = (await client.get(f"{home(bench)}/transfers/{sent['key']}")).json()
    assert (row["amount_minor"], row["reference"], row["kind"]) == (1250, "order-1", "plain")
    assert row["occurred_at"] == "2026-01-01T19:04:05Z"
    head = (await client.get(home(bench) + "/seals/head")).json()
    assert (head["seal_no"], head["transfer_count"], len(head["seal_hash"])) == (1, 1, 64)
    trial = (await client.get(f"{BASE}/trial-balance", params={"book": bench.book.code})).json()
    assert trial["balanced"]
    assert sum(line["debits_minor"] for line in trial["lines"]) == 1250
    assert (await client.get(f"{BASE}/trial-balance")).json()["balanced"]


async def test_balance_on_both_axes_differs_by_business_time(client: httpx.AsyncClient, bench: Bench) -> None:
    sent = body(bench, "equity", "a", 500, occurred_at="2026-01-02T00:00:00Z")
    await client.post(POST, json=sent)
    path = f"{home(bench)}/accounts/{account(bench, 'a')}/balance"
    found = {
        axis: (await client.get(path, params={"at": "2026-01-02T08:00:00+08:00", "axis": axis})).json()
        for axis in ("recorded", "occurred")
    }
    assert (found["recorded"]["posted_minor"], found["occurred"]["posted_minor"]) == (0, 500)


async def test_statement_pages_follow_each_other(client: httpx.AsyncClient, bench: Bench) -> None:
    for number in range(1, 6):
        await client.post(POST, json=body(bench, "equity", "a", number))
    await bench.ledger.sealing.seal_all()
    path, amounts, before = f"{home(bench)}/accounts/{account(bench, 'a')}/statement", [], None
    while True:
        params = {"limit": 2} | ({} if before is None else {"before": before})
        page = (await client.get(path, params=params)).json()
        amounts += [entry["posted_delta_minor"] for entry in page["entries"]]
        before = page["next_before"]
        if before is None:
            break
    assert amounts == [5, 4, 3, 2, 1]


async def test_account_pages_keep_all_assets_of_a_code(client: httpx.AsyncClient, bench: Bench) -> None:
    for asset in ("EUR", "USD", "JPY"):
        await bench.ledger.accounts.open_account(bench.book.book_id, "a", asset)
    seen: list[tuple[str, str]] = []
    while True:
        params: dict[str, str | int] = {"limit": 1, "after": seen[-1][0] if seen else ""}
        page = (await client.get(home(bench) + "/accounts", params=params)).json()
        if not page:
            break
        seen += [(row["code"], row["asset"]) for row in page]
    assert len(seen) == len(set(seen)) == len(bench.accounts) + 3


async def test_hold_capture_and_reversal_go_through_the_interface(
    client: httpx.AsyncClient, bench: Bench
) -> None:
    await client.post(POST, json=body(bench, "equity", "a", 100))
    hold = body(bench, "a", "b", 80, kind="hold", expires_at="2099-01-01T00:00:00Z")
    capture = {
        "key": uuid_text("tr", bench.key()),
        "book_id": hold["book_id"],
        "kind": "capture",
        "amount_minor": 30,
        "final": True,
        "code": "test",
        "refers_to": hold["key"],
    }
    reversal = capture | {
        "key": uuid_text("tr", derive(parse_uuid("tr", str(capture["key"])), "reversal")),
        "kind": "reversal",
        "amount_minor": 0,
        "final": False,
        "refers_to": capture["key"],
    }
    results = (await client.post(POST, json=[hold, capture, reversal])).json()["results"]
    assert [(row["outcome"], row["amount_minor"]) for row in results] == [
        ("posted", 80),
        ("posted", 30),
        ("posted", 30),
    ]
    assert await bench.posted("a") == 100


async def test_refusals_are_results_beside_those_that_pass(client: httpx.AsyncClient, bench: Bench) -> None:
    first = uuid_text("tr", bench.key())
    group = [body(bench, "equity", "b", 1, key=first, group=first), body(bench, "a", "b", 10**9, group=first)]
    cases = [
        (body(bench, "equity", "a", 7), None),
        (body(bench, "equity", "a", -1), "amount_not_positive"),
        (body(bench, "equity", "a", 0), "amount_not_positive"),
        (body(bench, "equity", "a", 2**53), "amount_too_large"),
        (body(bench, "equity", "a", 10**400), "amount_too_large"),
        (body(bench, "a", "a", 1), "same_account"),
        (body(bench, "equity", "a", 1, code="No Spaces"), "code_invalid"),
        (body(bench, "equity", "a", 1, reference="x" * 10_000), "reference_too_long"),
        (body(bench, "equity", "a", 1, reference="a\0b"), "reference_too_long"),
        (body(bench, "equity", "a", 1, kind="void"), "fields_invalid"),
        (
            body(bench, "equity", "a", 1, kind="capture", refers_to=uuid_text("tr", UUID(int=1))),
            "hold_unknown",
        ),
        (body(bench, "equity", "a", 1, debit_account_id=int_text("acct", 1)), "account_unknown"),
        (body(bench, "equity", "dollars", 1), "asset_mismatch"),
        (body(bench, "equity", "a", 1, asset="NOPE"), "asset_mismatch"),
        (body(bench, "equity", "a", 1, asset="\0"), "asset_mismatch"),
        (body(bench, "b", "a", 10**9), "below_floor"),
        (body(bench, "equity", "capped", 1001), "above_ceiling"),
        (group[0], "group_refused"),
        (group[1], "below_floor"),
    ]
    answer = await client.post(POST, json=[sent for sent, _ in cases])
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [(row["refusal"]) for row in results] == [refusal for _, refusal in cases]
    assert await bench.posted("a") == 7


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"", "body_invalid"),
        (b"{", "body_invalid"),
        (b"[{]", "body_invalid"),
        (b"null", "body_invalid"),
        (b"17", "body_invalid"),
        (b"\xff\xfe", "body_invalid"),
        (b'{"key": 1}', "body_invalid"),
        (b'[{"amount_minor": 1.5}]', "body_invalid"),
        (b'"' + b"x" * 1000 + b'"', "body_invalid"),
        (b"[" * 100_000, "body_invalid"),
        (b'{"key": "tr_x", "book_id": "book_x", "code": "a", "amount_minor": 1}', "id_malformed"),
        (b'{"key": "tr_x", "book_id": "book_x", "code": "a", "amount_minor": NaN}', "body_invalid"),
        (b'{"key": "tr_x", "book_id": "book_x", "code": "a", "amount_minor": "1"}', "body_invalid"),
        (b'{"key": "tr_x", "book_id": "book_x", "code": "a", "amount_minor": true}', "body_invalid"),
        (b'{"key": "tr_x", "book_id": "book_x", "code": "a", "surprise": 1}', "body_invalid"),
        (b'{"key": "tr_x", "book_id": "book_x", "code": "a", "kind": "expiry"}', "body_invalid"),
        (b'{"key": "tr_x", "book_id": "book_x", "code": "\\ud800"}', "body_invalid"),
        (
            b'{"key": "tr_x", "book_id": "book_x", "code": "a", "occurred_at": "2026-01-01T00:00:00"}',
            "body_invalid",
        ),
    ],
)
async def test_bad_body_is_refused_as_a_whole(client: httpx.AsyncClient, sent: bytes, code: str) -> None:
    answer = await client.post(POST, content=sent, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert "xxxx" not in answer.text


async def test_instant_beyond_the_calendar_is_refused(client: httpx.AsyncClient, bench: Bench) -> None:
    sent = body(bench, "equity", "a", 1, occurred_at="9999-12-31T23:59:59-12:00")
    answer = await client.post(POST, json=sent)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "time_invalid")
    path = f"{home(bench)}/accounts/{account(bench, 'a')}/balance"
    answer = await client.get(path, params={"at": "9999-12-31T23:59:59-12:00"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "time_invalid")


async def test_8001_transfers_are_too_many_and_8000_are_not(client: httpx.AsyncClient, bench: Bench) -> None:
    many = [body(bench, "equity", "other", 1) for _ in range(8_001)]
    answer = await client.post(POST, json=many)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "bulk_too_large")
    answer = await client.post(POST, json=many[:8_000])
    assert {row["outcome"] for row in answer.json()["results"]} == {"posted"}
    assert await bench.posted("other") == 8_000


async def test_body_of_another_kind_or_size_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post(POST, content=b"{}", headers={"Content-Type": "text/plain"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "content_type_wrong")
    large = b" " * (ledger_api.BODY_BYTES_MAX + 1)
    answer = await client.post(POST, content=large, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


BAD_READS: list[tuple[str, dict[str, str | int], int, str]] = [
    ("/books/none", {}, 404, "book_unknown"),
    ("/books/none/accounts", {}, 404, "book_unknown"),
    ("/books/none/seals/head", {}, 404, "book_unknown"),
    ("/books/%00", {}, 400, "request_invalid"),
    ("/books/" + "x" * 1000, {}, 400, "request_invalid"),
    ("/books", {"limit": 0}, 400, "request_invalid"),
    ("/books", {"limit": 10**30}, 400, "request_invalid"),
    ("/books", {"limit": "many"}, 400, "request_invalid"),
    ("/books", {"after": "\0"}, 400, "request_invalid"),
    ("/trial-balance", {"book": "none"}, 404, "book_unknown"),
    ("{home}/accounts/acct_1", {}, 400, "id_malformed"),
    ("{home}/accounts/17", {}, 400, "id_malformed"),
    ("{home}/accounts/acct_zzzzzzzzzzzzz", {}, 400, "id_malformed"),
    ("{home}/accounts/acct_0000000000001", {}, 404, "account_unknown"),
    ("{home}/accounts/acct_0000000000001/statement", {}, 404, "account_unknown"),
    ("{a}/statement", {"limit": 501}, 400, "request_invalid"),
    ("{a}/statement", {"before": "x"}, 400, "cursor_invalid"),
    ("{a}/statement", {"before": "1.9999999999999999999.1"}, 400, "cursor_invalid"),
    ("{a}/statement", {"before": "-1.1.1"}, 400, "cursor_invalid"),
    ("{a}/balance", {}, 400, "request_invalid"),
    ("{a}/balance", {"at": "yesterday"}, 400, "time_invalid"),
    ("{a}/balance", {"at": "2026-01-01T00:00:00"}, 400, "time_invalid"),
    ("{a}/balance", {"at": "2026-01-01T00:00:00Z", "axis": "z"}, 400, "request_invalid"),
    ("{home}/transfers/tr_zz", {}, 400, "id_malformed"),
    ("{home}/transfers/nothing", {}, 400, "id_malformed"),
    ("{home}/transfers/00000000-0000-7000-8000-000000000000", {}, 404, "transfer_unknown"),
    ("/nothing", {}, 404, "route_unknown"),
]


async def test_bad_reads_are_refused_in_one_form(client: httpx.AsyncClient, bench: Bench) -> None:
    for path, params, status, code in BAD_READS:
        place = f"{home(bench).removeprefix(BASE)}/accounts/{account(bench, 'a')}"
        full = path.replace("{a}", place).replace("{home}", home(bench).removeprefix(BASE))
        answer = await client.get(BASE + full, params=params)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), path
        assert set(answer.json()["error"]) == {"code", "detail", "facts"}
    assert (await client.delete(BASE + "/books")).json()["error"]["code"] == "method_not_allowed"


async def test_caller_from_another_machine_is_refused(ledger: Ledger) -> None:
    async with client_of(ledger, caller="192.0.2.1") as foreign:
        answer = await foreign.get(BASE + "/books")
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "local_only")
    async with client_of(ledger, caller="::1") as local:
        assert (await local.get(BASE + "/books")).status_code == 200


async def test_unexpected_error_tells_nothing_of_the_inside(client: httpx.AsyncClient) -> None:
    answer = await client.get("/bug")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    assert "secret" not in answer.text


async def test_schema_of_the_interface_can_be_written(client: httpx.AsyncClient) -> None:
    schema = (await client.get("/openapi.json")).json()
    assert POST in schema["paths"]
    content = schema["paths"][POST]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert content["description"]
    assert "$defs" not in content


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidRequest("x", "d"), 400, "x"),
        (NotPermitted("x", "d"), 403, "x"),
        (NotFound("x", "d"), 404, "x"),
        (Conflict("x", "d"), 409, "x"),
        (LimitExceeded("bulk_too_large", "d"), 413, "bulk_too_large"),
        (LimitExceeded("x", "d"), 429, "x"),
        (InvariantBroken("x", "secret"), 500, "internal"),
        (Unavailable("x", "d", retry_after_s=1.2), 503, "x"),
        (OutcomeUnknown("x", "gone"), 504, "x"),
        (AppError("x", "d"), 500, "x"),
    ],
)
def test_answer_to_each_kind_of_error(error: AppError, status: int, code: str) -> None:
    answer = errors.answer(error)
    told = answer.body["error"]
    assert isinstance(told, dict)
    assert (answer.status, told["code"]) == (status, code)
    assert answer.headers == ({"Retry-After": "2"} if status == 503 else {})
    assert "secret" not in str(answer.body)
    assert status != 504 or told["detail"] == "gone; repeat with the same key"
