"""Cards and customers by the official client: declines, saved methods, set-ups, payments under a mandate."""

from typing import Any

import pytest
import stripe
from tests.scenarios.running_house import Shop, wait_for

CARD = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2034, "cvc": "123"}


def card(number: str) -> dict[str, Any]:
    """The details of a card with this number."""
    return {"type": "card", "card": CARD | {"number": number}}


@pytest.mark.parametrize(
    ("method", "code", "decline_code"),
    [
        ("pm_card_chargeDeclined", "card_declined", "do_not_honor"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", None),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", None),
    ],
)
def test_decline_is_a_card_error_with_the_intent(
    tea: Shop, method: str, code: str, decline_code: str | None
) -> None:
    with pytest.raises(stripe.CardError) as declined:
        tea.pay(1_700, method)
    error = declined.value
    assert (error.http_status, error.code) == (402, code)
    assert error.error is not None
    if decline_code is not None:
        assert error.error.decline_code == decline_code
    told: Any = error.error.payment_intent
    assert (told["status"], told["amount"]) == ("requires_payment_method", 1_700)
    assert told["last_payment_error"]["code"] == code
    found = tea.v1.payment_intents.retrieve(told["id"])
    assert found.last_payment_error.code == code
    charge = tea.v1.charges.retrieve(found.latest_charge)
    assert (charge.status, charge.paid, charge.failure_code) == ("failed", False, code)
    assert tea.v1.payment_intents.confirm(found.id, {"payment_method": "pm_card_visa"}).status == "succeeded"


def test_processing_error_is_inquired_before_it_is_believed(tea: Shop) -> None:
    intent = tea.pay(1_700, "pm_card_chargeDeclinedProcessingError")
    assert (intent.status, intent.outcome_certainty) == ("processing", "unknown")

    def ended() -> Any:
        found = tea.v1.payment_intents.retrieve(intent.id)
        return None if found.status == "processing" else found

    found = wait_for(ended, "the end of the payment")
    assert (found.status, found.last_payment_error.code) == ("requires_payment_method", "processing_error")


@pytest.mark.parametrize(
    ("number", "decline_code"),
    [
        ("4000000000009987", "lost_card"),
        ("4000000000009979", "stolen_card"),
        ("4100000000000019", "fraudulent"),
    ],
)
def test_decline_of_a_card_given_in_full_tells_its_reason(tea: Shop, number: str, decline_code: str) -> None:
    with pytest.raises(stripe.CardError) as declined:
        tea.v1.payment_intents.create(
            {"amount": 1_700, "currency": "cny", "confirm": True, "payment_method_data": card(number)}
        )
    assert declined.value.error is not None
    assert declined.value.error.decline_code == decline_code
    assert declined.value.error.advice_code == "do_not_try_again"
    assert number not in str(declined.value.json_body)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"number": "4242424242424241"}, "incorrect_number"),
        ({"exp_month": 13}, "invalid_expiry_month"),
        ({"exp_year": 2019}, "invalid_expiry_year"),
        ({"cvc": "12"}, "invalid_cvc"),
    ],
)
def test_card_that_cannot_be_is_a_card_error(tea: Shop, change: dict[str, Any], code: str) -> None:
    with pytest.raises(stripe.CardError) as refused:
        tea.v1.payment_methods.create({"type": "card", "card": CARD | change})
    assert refused.value.code == code


def test_method_is_attached_listed_used_and_detached(tea: Shop) -> None:
    customer = tea.v1.customers.create({"email": "mei@example.com", "name": "Mei 梅"})
    method = tea.v1.payment_methods.create({**card("5555555555554444"), "billing_details": {"name": "Mei"}})
    assert (method.card.brand, method.card.last4, method.customer) == ("mastercard", "4444", None)
    assert tea.v1.payment_methods.attach(method.id, {"customer": customer.id}).customer == customer.id
    assert [
        each.id for each in tea.v1.payment_methods.list({"customer": customer.id, "type": "card"}).data
    ] == [method.id]
    assert [each.id for each in tea.v1.customers.payment_methods.list(customer.id).data] == [method.id]
    paid = tea.pay(2_200, method.id, customer=customer.id)
    assert (paid.status, paid.payment_method) == ("succeeded", method.id)
    assert tea.v1.payment_methods.detach(method.id).customer is None
    assert tea.v1.payment_methods.list({"customer": customer.id}).data == []


def test_method_described_at_creation_is_kept_until_it_is_confirmed(tea: Shop) -> None:
    made = tea.v1.payment_intents.create(
        {"amount": 1_600, "currency": "cny", "payment_method_data": card("5555555555554444")}
    )
    assert made.status == "requires_confirmation"
    assert tea.v1.payment_methods.retrieve(made.payment_method).card.last4 == "4444"
    assert tea.v1.payment_intents.confirm(made.id).status == "succeeded"


def test_deleted_customer_can_be_named_no_more(tea: Shop) -> None:
    customer = tea.v1.customers.create({"name": "Gone"})
    tea.v1.customers.delete(customer.id)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        tea.v1.payment_intents.create({"amount": 1_600, "currency": "cny", "customer": customer.id})
    assert (refused.value.code, refused.value.param) == ("resource_missing", "customer")


def test_token_of_a_card_becomes_a_method(tea: Shop) -> None:
    token = tea.v1.tokens.create({"card": CARD})
    method = tea.v1.payment_methods.create({"type": "card", "card": {"token": token.id}})
    assert method.card.last4 == "4242"
    assert tea.pay(1_300, method.id).status == "succeeded"


def test_customer_is_made_changed_listed_and_deleted(tea: Shop) -> None:
    customers = tea.v1.customers
    made = customers.create(
        {
            "email": "lin@example.com",
            "name": "Lin",
            "address": {"city": "杭州", "country": "CN"},
            "metadata": {"a": "1"},
        }
    )
    changed = customers.update(made.id, {"name": "Lin Wei", "metadata": {"a": "", "b": "2"}})
    assert (changed.name, changed.email, changed.metadata.to_dict()) == (
        "Lin Wei",
        "lin@example.com",
        {"b": "2"},
    )
    assert changed.address.city == "杭州"
    assert [each.id for each in customers.list({"email": "lin@example.com"}).data] == [made.id]
    assert customers.delete(made.id).deleted is True
    assert customers.retrieve(made.id).deleted is True
    assert customers.list({"email": "lin@example.com"}).data == []


def test_saved_method_is_charged_without_its_payer(tea: Shop) -> None:
    customer = tea.v1.customers.create({"name": "Member"})
    setup = tea.v1.setup_intents.create(
        {"customer": customer.id, "payment_method": "pm_card_visa", "confirm": True, "usage": "off_session"}
    )
    assert setup.status == "succeeded"
    assert tea.v1.mandates.retrieve(setup.mandate).status == "active"
    paid = tea.pay(3_100, setup.payment_method, customer=customer.id, off_session=True)
    assert (paid.status, paid.customer) == ("succeeded", customer.id)


def test_setup_step_by_step_and_canceled(tea: Shop) -> None:
    customer = tea.v1.customers.create({})
    setups = tea.v1.setup_intents
    made = setups.create({"customer": customer.id})
    assert made.status == "requires_payment_method"
    kept = setups.confirm(made.id, {"payment_method": "pm_card_visa"})
    assert (kept.status, kept.customer) == ("succeeded", customer.id)
    other = setups.create({"customer": customer.id})
    assert setups.cancel(other.id).status == "canceled"
    assert [each.id for each in setups.list({"customer": customer.id}).data] == [other.id, made.id]


def test_setup_of_a_declined_card_is_a_card_error(tea: Shop) -> None:
    with pytest.raises(stripe.CardError) as declined:
        tea.v1.setup_intents.create({"payment_method": "pm_card_chargeDeclined", "confirm": True})
    assert declined.value.error is not None
    told: Any = declined.value.error.setup_intent
    assert told["status"] == "requires_payment_method"
