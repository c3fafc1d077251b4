"""Raw requests that are wrong, hostile or too many at once: each is told so, and nothing is done twice or kept."""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from tests.scenarios.running_house import Outside, RunningHouse, Shop
from tests.scenarios.things import ITEMS, channel_reference, thing

from tongbao.web.api.v1.table import ROUTES

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
NUMBER = "4012888888881881"
"""A card that is nowhere but in this module: where it may stand, and where it may not."""
SESSION = {
    "line_items[0][quantity]": "1",
    "line_items[0][price_data][currency]": "cny",
    "line_items[0][price_data][unit_amount]": "100",
    "line_items[0][price_data][product_data][name]": "Tea",
}


@pytest.fixture
def outside(house: RunningHouse) -> Outside:
    return house.outside


def documents(house: RunningHouse) -> int:
    """How many documents and customers there are."""
    [row] = house.rows(
        "SELECT (SELECT count(*) FROM payments.document) + (SELECT count(*) FROM parties.customer) AS count"
    )
    return int(row["count"])


def told(answer: httpx.Response) -> tuple[int, str]:
    """The status and the code of an error."""
    assert answer.headers["Request-Id"].startswith("req_")
    return answer.status_code, str(answer.json()["error"]["code"])


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        (FORM, b"amount=100&currency=cny&description=%zz", 400, "parameters_malformed"),
        (FORM, b"amount=100&currency=cny&description=%ff%fe", 400, "parameters_malformed"),
        (FORM, b"amount=100&currency=cny&description=\xff\xfe", 400, "parameters_malformed"),
        (FORM, b"amount=100&currency=cny&description=%00", 400, "parameters_malformed"),
        (FORM, b"amount=100&amount=200&currency=cny", 400, "parameter_repeated"),
        (FORM, b"amount=100&currency=cny&metadata[a=1", 400, "parameters_malformed"),
        (FORM, b"amount=100&currency=cny&metadata" + b"[a]" * 40 + b"=1", 400, "parameters_malformed"),
        (FORM, b"&".join(b"metadata[k%d]=v" % each for each in range(600)), 400, "parameters_malformed"),
        (FORM, b"amount=100&currency=cny&metadata=flat", 400, "parameter_invalid_object"),
        (FORM, b"description=" + b"x" * 70_000, 413, "body_too_large"),
        (FORM, b"x" * 3_000_000, 413, "body_too_large"),
        (JSON, b"{", 400, "parameters_malformed"),
        (JSON, b"[1, 2]", 400, "parameters_malformed"),
        (JSON, b'{"amount": NaN, "currency": "cny"}', 400, "parameters_malformed"),
        (JSON, b'{"amount": 100, "amount": 200, "currency": "cny"}', 400, "parameter_repeated"),
        (JSON, b'{"amount": 100, "currency": "cny", "description": "\\u0000"}', 400, "parameters_malformed"),
        (JSON, b'{"amount": 100, "currency": "cny", "description": "\\ud800"}', 400, "parameters_malformed"),
        (JSON, b'{"metadata":' * 30_000, 413, "body_too_large"),
        (JSON, b'{"a":' * 9_000 + b"1" + b"}" * 9_000, 400, "parameters_malformed"),
        (JSON, b'{"amount": 1e2, "currency": "cny"}', 400, "parameter_invalid_integer"),
        (JSON, b'{"amount": 1' + b"0" * 5_000 + b', "currency": "cny"}', 400, "parameter_invalid_integer"),
        (JSON, b'{"amount": true, "currency": "cny"}', 400, "parameter_invalid_integer"),
        ({"Content-Type": "text/plain"}, b"amount=100&currency=cny", 415, "content_type_wrong"),
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"--x--", 415, "content_type_wrong"),
        ({"Content-Type": "application/xml"}, b"<amount>100</amount>", 415, "content_type_wrong"),
        (FORM | {"Idempotency-Key": "k" * 256}, b"amount=100&currency=cny", 400, "idempotency_key_invalid"),
        (FORM | {"Stripe-Version": "newest"}, b"amount=100&currency=cny", 400, "api_version_invalid"),
        (FORM | {"Authorization": "Bearer"}, b"amount=100&currency=cny", 401, "api_key_invalid"),
        (FORM | {"Authorization": "Basic %%%"}, b"amount=100&currency=cny", 401, "api_key_invalid"),
    ],
)
def test_malformed_request_is_told_what_is_wrong_and_does_nothing(
    tea: Shop, house: RunningHouse, headers: dict[str, str], body: bytes, status: int, code: str
) -> None:
    before = documents(house)
    assert told(tea.send("POST", "/v1/payment_intents", headers=headers, content=body)) == (status, code)
    assert documents(house) == before


def test_body_without_a_length_is_read_no_further_than_allowed(tea: Shop) -> None:
    pieces: Iterator[bytes] = itertools.repeat(b"description=" + b"x" * 10_000 + b"&", 300)
    try:
        answer = tea.send("POST", "/v1/payment_intents", headers=FORM, content=pieces)
    except httpx.TransportError:
        # The house answered and hung up while the body was still coming.
        return
    assert told(answer) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/payment_intents/", 404),
        ("GET", "/v1//payment_intents", 404),
        ("GET", "/v1/payment_intents/%ff", 404),
        ("GET", "/v1/payment_intents/..%2f..%2fetc", 404),
        ("GET", "/v1/payment_intents/pi_" + "0" * 5_000, 404),
        ("PUT", "/v1/payment_intents", 405),
        ("DELETE", "/v1/payment_intents", 405),
        ("POST", "/v1/payment_intents?amount=100", 400),
        ("GET", "/v1/payment_intents?limit=1&limit=2", 400),
        ("GET", "/v1/payment_intents?starting_after=pi_x", 400),
    ],
)
def test_path_or_query_that_leads_nowhere_is_refused(tea: Shop, method: str, path: str, status: int) -> None:
    answer = tea.send(method, path)
    assert answer.status_code == status
    assert ("Allow" in answer.headers) == (status == 405)
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("payment_intents", {"amount": 100, "currency": "cny", "metadata": {"note": NUMBER}}),
        ("payment_intents", {"amount": 100, "currency": "cny", "metadata": {NUMBER: "note"}}),
        ("payment_intents", {"amount": 100, "currency": "cny", "description": f"card {NUMBER}, thanks"}),
        ("payment_intents", {"amount": 100, "currency": "cny", "description": "4012 8888 8888 1881"}),
        ("payment_intents", {"amount": 100, "currency": "cny", "description": "4012-8888-8888-1881"}),
        ("payment_intents", {"amount": 100, "currency": "cny", "statement_descriptor": f"visa{NUMBER}"}),
        ("payment_intents", {"amount": 100, "currency": "cny", "merchant_reference": NUMBER}),
        ("payment_intents", {"amount": int(NUMBER), "currency": "cny"}),
        ("payment_intents", {"amount": 100, "currency": "cny", NUMBER: "1"}),
        ("payment_intents", {"amount": 100, "currency": "cny", "unknown": {"deep": [NUMBER]}}),
        ("customers", {"name": NUMBER}),
        ("customers", {"address": {"line1": "４０１２８８８８８８８８１８８１"}}),
        ("payment_methods", {"type": "card", "billing_details": {"name": NUMBER}}),
        ("payment_methods", {"type": "card", "card": {"cvc": NUMBER}}),
        ("setup_intents", {"description": NUMBER}),
        ("webhook_endpoints", {"url": f"https://shop.example.com/{NUMBER}", "enabled_events": ["*"]}),
        ("payment_links", {"line_items": ITEMS, "inactive_message": NUMBER}),
        ("checkout/sessions", {"mode": "payment", "line_items": ITEMS, "client_reference_id": NUMBER}),
    ],
)
def test_card_number_in_the_wrong_place_is_refused_and_nothing_is_kept(
    tea: Shop, house: RunningHouse, path: str, body: dict[str, Any]
) -> None:
    before = documents(house)
    answer = tea.send("POST", f"/v1/{path}", json=body)
    assert told(answer) == (400, "card_data_not_allowed_here")
    assert NUMBER not in answer.text
    assert documents(house) == before


def test_card_number_in_header_query_or_path_is_refused_or_found_nowhere(tea: Shop) -> None:
    in_key = tea.send("POST", "/v1/customers", headers={"Idempotency-Key": f"o-{NUMBER}"}, data={"name": "A"})
    in_query = tea.send("GET", f"/v1/payment_intents/search?query=metadata['a']:'{NUMBER}'")
    assert told(in_key) == told(in_query) == (400, "card_data_not_allowed_here")
    assert told(tea.send("GET", f"/v1/payment_intents/{NUMBER}")) == (404, "resource_missing")


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        ("1", "CNY", None),
        ("100", "usdt", "currency_invalid"),
        ("100", "us", "currency_invalid"),
        ("100", "zzz", "currency_invalid"),
        ("10.00", "cny", "parameter_invalid_integer"),
        ("-100", "cny", "parameter_out_of_range"),
        ("999999999999", "jpy", None),
        ("1000000000000", "jpy", "parameter_out_of_range"),
        ("١٠٠", "cny", "parameter_invalid_integer"),  # Arabic digits are the case
        (" 100", "cny", "parameter_invalid_integer"),
        ("0x64", "cny", "parameter_invalid_integer"),
    ],
)
def test_amount_is_whole_minor_units_of_a_currency_that_exists(
    tea: Shop, amount: str, currency: str, code: str | None
) -> None:
    answer = tea.send("POST", "/v1/payment_intents", data={"amount": amount, "currency": currency})
    if code is None:
        assert answer.status_code == 200
        assert (answer.json()["amount"], answer.json()["currency"]) == (int(amount), currency.lower())
    else:
        assert told(answer) == (400, code)


def at_once(count: int, act: Callable[[int], httpx.Response]) -> list[httpx.Response]:
    """The answers to requests that are sent at the same time."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(act, range(count)))


def taken(outside: Outside, intent: Any) -> int:
    """What the payer of an intent is poorer by, in minor units."""
    return int(outside.held(channel_reference(intent))["taken_minor"].get("CNY", 0))


def test_captures_at_once_capture_once(tea: Shop, outside: Outside) -> None:
    intent = tea.pay(5_000, capture_method="manual")
    answers = at_once(8, lambda _: tea.send("POST", f"/v1/payment_intents/{intent.id}/capture"))
    assert {answer.status_code for answer in answers} <= {200, 400, 409}
    assert any(answer.status_code == 200 for answer in answers)
    assert tea.v1.payment_intents.retrieve(intent.id).amount_received == 5_000
    assert taken(outside, intent) == 5_000


def test_partial_captures_at_once_never_exceed_the_authorization(tea: Shop, outside: Outside) -> None:
    intent = tea.pay(5_000, capture_method="manual")
    part = {"amount_to_capture": "1500", "final_capture": "false"}
    answers = at_once(8, lambda _: tea.send("POST", f"/v1/payment_intents/{intent.id}/capture", data=part))
    done = sum(answer.status_code == 200 for answer in answers)
    assert 1 <= done <= 3
    assert tea.v1.payment_intents.retrieve(intent.id).amount_received == 1_500 * done
    assert taken(outside, intent) == 1_500 * done


def test_refunds_at_once_never_exceed_what_was_captured(tea: Shop, outside: Outside) -> None:
    intent = tea.pay(3_000)
    refund = {"payment_intent": intent.id, "amount": "1000"}
    answers = at_once(8, lambda _: tea.send("POST", "/v1/refunds", data=refund))
    done = sum(answer.status_code == 200 for answer in answers)
    assert 1 <= done <= 3
    assert {answer.status_code for answer in answers} <= {200, 400, 409}
    assert tea.v1.charges.retrieve(intent.latest_charge).amount_refunded == 1_000 * done
    assert taken(outside, intent) == 3_000 - 1_000 * done


@pytest.mark.parametrize("first", ["capture", "cancel"])
def test_capture_and_cancel_at_once_have_one_winner(tea: Shop, outside: Outside, first: str) -> None:
    intent = tea.pay(4_000, capture_method="manual")
    acts = ("capture", "cancel") if first == "capture" else ("cancel", "capture")
    path = f"/v1/payment_intents/{intent.id}/"
    answers = at_once(6, lambda each: tea.send("POST", path + acts[each % 2]))
    assert {answer.status_code for answer in answers} <= {200, 400, 409}
    status = tea.v1.payment_intents.retrieve(intent.id).status
    assert (status, taken(outside, intent)) in (("succeeded", 4_000), ("canceled", 0))
    won = {answer.json()["status"] for answer in answers if answer.status_code == 200}
    assert won == {status}


def test_confirmations_at_once_charge_once(tea: Shop, outside: Outside) -> None:
    intent = tea.v1.payment_intents.create({"amount": 2_500, "currency": "cny"})
    method = {"payment_method": "pm_card_visa"}
    path = f"/v1/payment_intents/{intent.id}/confirm"
    answers = at_once(8, lambda _: tea.send("POST", path, data=method))
    assert {answer.status_code for answer in answers} <= {200, 400, 409}
    attempts = tea.v1.charges.list({"payment_intent": intent.id}).data
    assert [charge.status for charge in attempts] == ["succeeded"]
    assert taken(outside, tea.v1.payment_intents.retrieve(intent.id)) == 2_500


def test_replay_with_another_body_is_refused_and_on_another_path_is_another_request(tea: Shop) -> None:
    key = {"Idempotency-Key": "scenario-42"}
    first = tea.send("POST", "/v1/customers", data={"name": "A"}, headers=key)
    other = tea.send("POST", "/v1/customers", data={"name": "B"}, headers=key)
    assert told(other) == (400, "idempotency_key_reused")
    changed = tea.send("POST", f"/v1/customers/{first.json()['id']}", data={"name": "B"}, headers=key)
    assert (changed.status_code, changed.json()["name"]) == (200, "B")
    again = tea.send("POST", "/v1/customers", data={"name": "A"}, headers=key)
    assert (again.content, again.headers["Idempotent-Replayed"]) == (first.content, "true")


SUBJECTS = [route for route in ROUTES if "{id}" in route.path]


@pytest.mark.parametrize("collection", sorted({route.path.partition("/{id}")[0] for route in SUBJECTS}))
def test_id_of_another_merchant_leads_nowhere(
    tea: Shop, books: Shop, outside: Outside, collection: str
) -> None:
    theirs = thing(tea, outside, collection.removeprefix("/"))
    needed = {
        "/payment_methods/{id}/attach": {"customer": books.v1.customers.create({}).id},
        "/payment_intents/{id}/increment_authorization": {"amount": "9000"},
    }
    for route in SUBJECTS:
        if route.path.partition("/{id}")[0] == collection:
            path = "/v1" + route.path.replace("{id}", theirs)
            own = tea.send("GET", path) if route.method == "GET" else None
            assert own is None or own.status_code == 200, own.text
            answer = books.send(route.method, path, data=needed.get(route.path))
            assert told(answer) == (404, "resource_missing"), (route.method, route.path)


@pytest.mark.parametrize(
    ("path", "collection", "body"),
    [
        ("refunds", "charges", {"charge": "{id}"}),
        ("refunds", "payment_intents", {"payment_intent": "{id}"}),
        ("payment_intents", "customers", {"amount": "100", "currency": "cny", "customer": "{id}"}),
        (
            "payment_intents",
            "payment_methods",
            {"amount": "100", "currency": "cny", "payment_method": "{id}"},
        ),
        ("payment_intents/{own}", "customers", {"customer": "{id}"}),
        ("payment_methods/{own}/attach", "customers", {"customer": "{id}"}),
        ("checkout/sessions", "customers", {"customer": "{id}", "mode": "payment", **SESSION}),
        ("setup_intents", "customers", {"customer": "{id}"}),
        ("setup_intents", "payment_methods", {"payment_method": "{id}"}),
    ],
)
def test_parameter_that_names_a_thing_of_another_merchant_leads_nowhere(
    tea: Shop, books: Shop, outside: Outside, path: str, collection: str, body: dict[str, str]
) -> None:
    theirs = thing(tea, outside, collection)
    asked = {name: value.replace("{id}", theirs) for name, value in body.items()}
    if "{own}" in path:
        path = path.replace("{own}", thing(books, outside, path.partition("/")[0]))
    status, code = told(books.send("POST", f"/v1/{path}", data=asked))
    assert (status in (400, 404), code) == (True, "resource_missing")


@pytest.mark.parametrize("name", ["payment_intents", "charges", "refunds", "disputes", "events"])
def test_cursor_of_another_merchant_shows_nothing_of_it(
    tea: Shop, books: Shop, outside: Outside, name: str
) -> None:
    theirs = thing(tea, outside, name)
    answer = books.send("GET", f"/v1/{name}?starting_after={theirs}&limit=100")
    mine = {each["id"] for each in tea.send("GET", f"/v1/{name}?limit=100").json()["data"]}
    if answer.status_code == 200:
        assert not mine & {each["id"] for each in answer.json()["data"]}
    else:
        assert told(answer)[1] == "resource_missing"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b"{}"),
        ({"Sandbox-Signature": "t=1795334400,v1=00"}, b"{}"),
        ({}, b"\xff" * 100),
    ],
)
def test_notification_that_no_channel_signed_is_refused(
    tea: Shop, headers: dict[str, str], body: bytes
) -> None:
    for channel in ("card_east", "alipay", "wechatpay"):
        answer = httpx.post(
            f"{tea.base_url}/v2/channels/{channel}/notifications", content=body, headers=JSON | headers
        )
        assert answer.status_code in (400, 401), (channel, answer.text)
    unknown = httpx.post(f"{tea.base_url}/v2/channels/nobody/notifications", content=body, headers=JSON)
    assert unknown.status_code == 404
