"""Payments by the official client, unchanged but for its address: collect, capture, cancel, raise, find."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
import stripe
from tests.scenarios.running_house import Outside, RunningHouse, Shop, wait_for
from tests.scenarios.things import channel_reference


@pytest.fixture
def outside(house: RunningHouse) -> Outside:
    return house.outside


def reserved(tea: Shop, amount: int) -> str:
    """Authorize a payment that waits for its capture; return its id."""
    intent = tea.pay(amount, capture_method="manual")
    assert (intent.status, intent.amount_capturable, intent.amount_received) == (
        "requires_capture",
        amount,
        0,
    )
    return str(intent.id)


def test_module_level_client_works_with_nothing_but_its_address_changed(
    tea: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripe, "api_key", tea.secret)
    monkeypatch.setattr(stripe, "api_base", tea.base_url)
    monkeypatch.setattr(stripe, "default_http_client", stripe.RequestsClient(session=tea.session))
    intent = stripe.PaymentIntent.create(amount=1_900, currency="cny", payment_method="pm_card_visa")
    assert intent.status == "requires_confirmation"
    assert intent.confirm().status == "succeeded"
    assert stripe.PaymentIntent.retrieve(intent.id).amount_received == 1_900
    assert stripe.PaymentIntent.list(limit=1).data[0].id == intent.id


@pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload:DeprecationWarning:httpx")
async def test_asynchronous_client_works_as_well(tea: Shop) -> None:
    http = stripe.HTTPXClient()
    client = stripe.StripeClient(tea.secret, base_addresses={"api": tea.base_url}, http_client=http)
    intents = client.v1.payment_intents
    made = await asyncio.gather(
        *(intents.create_async({"amount": 700 + each, "currency": "cny"}) for each in range(3))
    )
    found = await intents.retrieve_async(made[0].id)
    await http.close_async()  # type: ignore[no-untyped-call]  # the client left it untyped
    assert (found.status, found.amount) == ("requires_payment_method", 700)


def test_payment_step_by_step_goes_through_its_states(tea: Shop) -> None:
    intents = tea.v1.payment_intents
    made = intents.create({"amount": 2_000, "currency": "cny", "metadata": {"order": "7"}})
    assert made.status == "requires_payment_method"
    changed = intents.update(
        made.id, {"amount": 2_100, "metadata": {"table": "4"}, "description": "Oolong 乌龙"}
    )
    assert (changed.amount, changed.metadata.to_dict()) == (2_100, {"order": "7", "table": "4"})
    paid = intents.confirm(made.id, {"payment_method": "pm_card_mastercard"})
    assert (paid.status, paid.amount_received, paid.description) == ("succeeded", 2_100, "Oolong 乌龙")
    assert intents.retrieve(made.id).to_dict() == paid.to_dict()


def test_payment_is_at_the_acquirer_what_it_is_here(tea: Shop, outside: Outside) -> None:
    intent = tea.pay(3_300)
    held = outside.held(channel_reference(intent))
    assert held["taken_minor"] == {"CNY": 3_300}


def test_list_pages_through_everything_once(tea: Shop) -> None:
    customer = tea.v1.customers.create({"name": "Pages"})
    wanted = {"amount": 900, "currency": "cny", "customer": customer.id}
    made = [tea.v1.payment_intents.create(wanted).id for _ in range(7)]
    pages = tea.v1.payment_intents.list({"limit": 3, "customer": customer.id})
    assert [intent.id for intent in pages.auto_paging_iter()] == made[::-1]
    first = pages.data
    after = tea.v1.payment_intents.list({"limit": 2, "customer": customer.id, "starting_after": first[-1].id})
    assert ([intent.id for intent in after.data], after.has_more) == (made[::-1][3:5], True)
    before = tea.v1.payment_intents.list(
        {"limit": 2, "customer": customer.id, "ending_before": after.data[0].id}
    )
    assert [intent.id for intent in before.data] == made[::-1][1:3]


@pytest.mark.parametrize("limit", [0, 101, "many"])
def test_list_with_a_limit_out_of_range_is_refused(tea: Shop, limit: object) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        tea.v1.payment_intents.list({"limit": limit})
    assert refused.value.param == "limit"


def test_search_finds_by_metadata_and_state(tea: Shop) -> None:
    paid = tea.pay(1_200, metadata={"basket": "b-77"})
    open_one = tea.v1.payment_intents.create(
        {"amount": 1_200, "currency": "cny", "metadata": {"basket": "b-77"}}
    )
    both = tea.v1.payment_intents.search({"query": "metadata['basket']:'b-77'"})
    assert {intent.id for intent in both.data} == {paid.id, open_one.id}
    found = tea.v1.payment_intents.search({"query": "metadata['basket']:'b-77' AND status:'succeeded'"})
    assert [intent.id for intent in found.data] == [paid.id]
    none = tea.v1.payment_intents.search({"query": "metadata['basket']:'b-78'"})
    assert (none.data, none.has_more) == ([], False)


def test_capture_in_parts_takes_them_and_releases_the_rest(tea: Shop, outside: Outside) -> None:
    intent_id = reserved(tea, 10_000)
    part = tea.v1.payment_intents.capture(intent_id, {"amount_to_capture": 3_000, "final_capture": False})
    assert (part.status, part.amount_received, part.amount_capturable) == ("requires_capture", 3_000, 7_000)
    last = tea.v1.payment_intents.capture(intent_id, {"amount_to_capture": 2_500})
    assert (last.status, last.amount_received, last.amount_capturable) == ("succeeded", 5_500, 0)
    held = outside.held(channel_reference(last))
    assert held["taken_minor"] == {"CNY": 5_500}


def test_capture_above_what_is_authorized_is_refused(tea: Shop) -> None:
    intent_id = reserved(tea, 4_000)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        tea.v1.payment_intents.capture(intent_id, {"amount_to_capture": 4_100})
    assert refused.value.http_status == 400
    assert (refused.value.code, refused.value.param) == ("amount_too_large", "amount_to_capture")
    assert tea.v1.payment_intents.capture(intent_id).amount_received == 4_000


def test_cancel_releases_what_was_reserved(tea: Shop, outside: Outside) -> None:
    intent_id = reserved(tea, 4_200)
    canceled = tea.v1.payment_intents.cancel(intent_id, {"cancellation_reason": "requested_by_customer"})
    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "requested_by_customer")
    assert canceled.amount_capturable == 0
    assert canceled.canceled_at
    held = outside.held(channel_reference(canceled))
    assert held["taken_minor"] in ({}, {"CNY": 0})
    for act in (tea.v1.payment_intents.capture, tea.v1.payment_intents.confirm):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            act(intent_id)
        assert refused.value.code == "payment_intent_unexpected_state"


def test_cancel_of_what_was_paid_is_refused(tea: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        tea.v1.payment_intents.cancel(tea.pay(1_500).id)
    assert refused.value.code == "payment_intent_unexpected_state"


def test_increment_raises_what_can_be_captured(tea: Shop) -> None:
    intent_id = reserved(tea, 5_000)
    raised = tea.v1.payment_intents.increment_authorization(intent_id, {"amount": 6_500})
    assert (raised.status, raised.amount, raised.amount_capturable) == ("requires_capture", 6_500, 6_500)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        tea.v1.payment_intents.increment_authorization(intent_id, {"amount": 6_000})
    assert refused.value.param == "amount"
    assert tea.v1.payment_intents.capture(intent_id).amount_received == 6_500


@pytest.mark.parametrize(("ends", "done"), [(82, True), (84, True), (81, False)])
def test_payment_whose_answer_got_lost_is_found_out(
    tea: Shop, outside: Outside, ends: int, done: bool
) -> None:
    intent = tea.pay(10_000 + ends)
    # An inquiry right after the silence may have found it out already.
    assert (intent.status, intent.outcome_certainty) in (("processing", "unknown"), ("succeeded", "known"))

    def ended() -> str | None:
        status = tea.v1.payment_intents.retrieve(intent.id).status
        return None if status == "processing" else str(status)

    found = wait_for(ended, "the end of the payment")
    taken = outside.held(channel_reference(intent))["taken_minor"] if done else {}
    assert (found, taken.get("CNY", 0)) == (
        ("succeeded", 10_000 + ends) if done else ("requires_payment_method", 0)
    )


@pytest.mark.parametrize(
    ("kind", "action"), [("alipay", "display_qr_code"), ("wechat_pay", "wechat_pay_display_qr_code")]
)
def test_code_is_shown_paid_by_its_payer_and_told(
    tea: Shop, outside: Outside, kind: str, action: str
) -> None:
    intent = tea.v1.payment_intents.create(
        {
            "amount": 5_600,
            "currency": "cny",
            "confirm": True,
            "payment_method_types": [kind],
            "payment_method_data": {"type": kind},
        }
    )
    assert (intent.status, intent.next_action.type) == ("requires_action", action)
    assert intent.next_action[action].data
    outside.pay(channel_reference(intent))
    paid = wait_for(
        lambda: next(
            (each for each in [tea.v1.payment_intents.retrieve(intent.id)] if each.status == "succeeded"),
            None,
        ),
        "the payment of the code",
    )
    assert (paid.amount_received, paid.next_action) == (5_600, None)


def test_payment_in_yen_has_no_decimals_and_in_dinar_three(tea: Shop, outside: Outside) -> None:
    for currency, amount in (("jpy", 1_200), ("kwd", 12_345)):
        intent = tea.pay(amount, currency=currency)
        assert (intent.status, intent.currency, intent.amount_received) == ("succeeded", currency, amount)
        held = outside.held(channel_reference(intent))
        assert held["taken_minor"] == {currency.upper(): amount}


def test_many_payments_at_once_are_each_made_once(tea: Shop) -> None:
    customer = tea.v1.customers.create({"name": "Crowd"})
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda each: tea.pay(1_000 + 10 * each, customer=customer.id), range(24)))
    assert {intent.status for intent in made} == {"succeeded"}
    listed = tea.v1.payment_intents.list({"customer": customer.id, "limit": 100}).data
    assert sorted(intent.amount for intent in listed) == [1_000 + 10 * each for each in range(24)]
