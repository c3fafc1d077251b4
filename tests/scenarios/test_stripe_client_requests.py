"""What every request shares, seen by the official client: idempotency, expansion, errors, languages, forms."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import stripe
from tests.scenarios.running_house import Shop

ORDER: dict[str, Any] = {
    "amount": 1_800,
    "currency": "cny",
    "confirm": True,
    "payment_method": "pm_card_visa",
    "metadata": {"order": "18"},
}
FORM = {"amount": "1800", "currency": "cny", "metadata[order]": "18", "payment_method_types[0]": "card"}


def with_key(key: str) -> dict[str, str]:
    """The option of the client that names the idempotency key."""
    return {"idempotency_key": key}


def test_same_key_and_parameters_give_the_identical_answer(tea: Shop) -> None:
    options = with_key(str(uuid.uuid4()))
    first = tea.v1.payment_intents.create(ORDER, options)
    again = tea.v1.payment_intents.create(ORDER, options)
    assert again.to_dict() == first.to_dict()
    assert "idempotent-replayed" not in first.last_response.headers
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert again.last_response.headers["Request-Id"] != first.last_response.headers["Request-Id"]


def test_same_key_with_other_parameters_is_an_idempotency_error(tea: Shop) -> None:
    options = with_key(str(uuid.uuid4()))
    tea.v1.payment_intents.create(ORDER, options)
    with pytest.raises(stripe.IdempotencyError) as refused:
        tea.v1.payment_intents.create(ORDER | {"amount": 1_900}, options)
    assert refused.value.http_status == 400
    told: Any = refused.value.json_body
    assert told["error"]["code"] == "idempotency_key_reused"


def test_same_key_of_another_merchant_is_another_key(tea: Shop, books: Shop) -> None:
    options = with_key(str(uuid.uuid4()))
    mine = tea.v1.payment_intents.create(ORDER, options)
    theirs = books.v1.payment_intents.create(ORDER, options)
    assert mine.id != theirs.id


def test_same_key_at_once_is_one_payment(tea: Shop) -> None:
    options = with_key(str(uuid.uuid4()))

    def ask(retries: int) -> str:
        # The client repeats a 409 by itself, where it may; where it may not, it says so.
        try:
            return str(tea.v1.payment_intents.create(ORDER, options | {"max_network_retries": retries}).id)
        except stripe.APIError as error:
            told: Any = error.json_body
            return str(told["error"]["code"])

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, [3, 0] * 4))
    [only] = set(answers) - {"idempotency_key_in_use"}
    assert answers[::2] == [only] * 4
    assert tea.v1.payment_intents.create(ORDER, options).id == only


def test_replayed_decline_is_the_same_decline(tea: Shop) -> None:
    options = with_key(str(uuid.uuid4()))
    order = ORDER | {"payment_method": "pm_card_chargeDeclinedInsufficientFunds"}
    bodies = []
    for _ in range(2):
        with pytest.raises(stripe.CardError) as declined:
            tea.v1.payment_intents.create(order, options)
        bodies.append(declined.value.json_body)
    assert bodies[0] == bodies[1]


def test_expansion_works_on_create_retrieve_and_list(tea: Shop) -> None:
    customer = tea.v1.customers.create({"name": "Expanded"})
    made = tea.v1.payment_intents.create(
        ORDER | {"customer": customer.id, "expand": ["customer", "latest_charge.balance_transaction"]}
    )
    assert made.customer.name == "Expanded"
    assert made.latest_charge.balance_transaction.amount == 1_800
    read = tea.v1.payment_intents.retrieve(made.id, {"expand": ["latest_charge.payment_intent"]})
    assert read.latest_charge.payment_intent.id == made.id
    page = tea.v1.payment_intents.list({"customer": customer.id, "expand": ["data.latest_charge.refunds"]})
    assert page.data[0].latest_charge.refunds.data == []
    with pytest.raises(stripe.InvalidRequestError) as refused:
        tea.v1.payment_intents.retrieve(made.id, {"expand": ["secrets"]})
    assert refused.value.param == "expand[secrets]"


def test_wrong_key_is_an_authentication_error(tea: Shop) -> None:
    wrong = tea.v1_with("sk_test_" + "x" * 40)
    with pytest.raises(stripe.AuthenticationError) as refused:
        wrong.payment_intents.list()
    assert refused.value.http_status == 401


def test_publishable_key_may_make_methods_and_nothing_else(tea: Shop) -> None:
    public = tea.v1_with(tea.publishable)
    card = {"number": "4242424242424242", "exp_month": 1, "exp_year": 2033, "cvc": "321"}
    assert public.payment_methods.create({"type": "card", "card": card}).card.last4 == "4242"
    for act in (public.payment_intents.list, public.balance.retrieve):
        with pytest.raises(stripe.PermissionError) as refused:
            act()
        assert refused.value.http_status == 403


def test_missing_object_is_an_invalid_request(tea: Shop) -> None:
    for missing in ("pi_01jd0000000000000000000000", "pi_nonsense", "cus_x"):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            tea.v1.payment_intents.retrieve(missing)
        assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")
        assert refused.value.request_id


@pytest.mark.parametrize(
    ("order", "code", "param"),
    [
        ({}, "parameter_missing", "amount"),
        ({"amount": 100}, "parameter_missing", "currency"),
        ({"amount": 0, "currency": "cny"}, "parameter_out_of_range", "amount"),
        ({"amount": "1.5", "currency": "cny"}, "parameter_invalid_integer", "amount"),
        ({"amount": 100, "currency": "zzz"}, "currency_invalid", "currency"),
        ({"amount": 100, "currency": "cny", "amout": 1}, "parameter_unknown", "amout"),
        (
            {"amount": 100, "currency": "cny", "metadata": {"k": "v" * 600}},
            "metadata_too_large",
            "metadata[k]",
        ),
        ({"amount": 100, "currency": "cny", "customer": "cus_x"}, "resource_missing", "customer"),
    ],
)
def test_wrong_parameter_is_named(tea: Shop, order: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        tea.v1.payment_intents.create(order)
    assert (refused.value.code, refused.value.param) == (code, param)
    assert refused.value.user_message


def test_errors_speak_chinese_to_who_asks_for_it(tea: Shop) -> None:
    chinese = {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.5"}
    answer = tea.send("POST", "/v1/payment_intents", data={"amount": "5"}, headers=chinese)
    assert answer.json()["error"]["message"] == "缺少必填参数：currency。"
    declined = tea.send(
        "POST",
        "/v1/payment_intents",
        data=FORM | {"confirm": "true", "payment_method": "pm_card_chargeDeclinedInsufficientFunds"},
        headers=chinese,
    )
    message = declined.json()["error"]["message"]
    assert declined.status_code == 402
    assert any("\u4e00" <= char <= "\u9fff" for char in message)
    english = tea.send("POST", "/v1/payment_intents", data={"amount": "5"})
    assert english.json()["error"]["message"].isascii()


def test_form_and_json_give_the_same_result(tea: Shop) -> None:
    asked = {
        "amount": 1_800,
        "currency": "cny",
        "metadata": {"order": "18"},
        "payment_method_types": ["card"],
    }
    key = {"Idempotency-Key": str(uuid.uuid4())}
    by_form = tea.send("POST", "/v1/payment_intents", data=FORM, headers=key)
    by_json = tea.send("POST", "/v1/payment_intents", json=asked, headers=key)
    assert by_form.status_code == by_json.status_code == 200
    assert by_json.headers["Idempotent-Replayed"] == "true"
    assert by_json.content == by_form.content


def test_key_is_taken_as_the_user_of_basic(tea: Shop) -> None:
    answer = httpx.get(tea.base_url + "/v1/account", auth=(tea.secret, ""), timeout=10.0)
    assert (answer.status_code, answer.json()["object"]) == (200, "account")
    bare = httpx.get(tea.base_url + "/v1/account", timeout=10.0)
    assert (bare.status_code, bare.headers["WWW-Authenticate"]) == (401, 'Bearer realm="/v1"')


def test_live_and_test_mode_do_not_see_each_other(tea: Shop) -> None:
    live = tea.v1_with(tea.live)
    intent = tea.v1.payment_intents.create(ORDER)
    assert intent.livemode is False
    with pytest.raises(stripe.InvalidRequestError) as refused:
        live.payment_intents.retrieve(intent.id)
    assert refused.value.http_status == 404
    with pytest.raises(stripe.InvalidRequestError) as no_test_cards:
        live.payment_intents.create(ORDER)
    assert no_test_cards.value.param == "payment_method"
