"""Orders: which make sense, and which parameter a refusal names."""

from datetime import timedelta
from uuid import UUID

import pytest
from tests.payments.builders import ATTEMPT_ID, CARD, NOW, attempt, intent

from tongbao.channels.schema import Alipay
from tongbao.ledger.schema import AMOUNT_MINOR_MAX
from tongbao.payments.errors import BadAmount, BadParameter, WrongState
from tongbao.payments.policy import orders, schedule
from tongbao.payments.schema.attempts import OPEN, AttemptState
from tongbao.payments.schema.intents import CONFIRMABLE, CaptureMethod, Intent, IntentState
from tongbao.payments.schema.orders import ConfirmOrder, IntentChange, IntentOrder


def intent_from(**fields: object) -> Intent:
    values: dict[str, object] = {"amount_minor": 1000, "currency": "cny"}
    order = IntentOrder(**(values | fields))  # type: ignore[arg-type]
    return orders.intent_from(
        order, intent_id=UUID(int=1), book_id=7, live=False, client_secret="secret", now=NOW
    )


REFUSED: list[tuple[dict[str, object], str, str]] = [
    ({"amount_minor": 0}, "amount_too_small", "amount"),
    ({"amount_minor": -1}, "amount_too_small", "amount"),
    ({"amount_minor": AMOUNT_MINOR_MAX + 1}, "amount_too_large", "amount"),
    ({"currency": "xxq"}, "invalid_currency", "currency"),
    ({"currency": ""}, "invalid_currency", "currency"),
    ({"currency": "xau"}, "invalid_currency", "currency"),
    ({"currency": "xxx"}, "invalid_currency", "currency"),
    ({"currency": "cn\0"}, "invalid_currency", "currency"),
    ({"metadata": {str(n): "v" for n in range(51)}}, "metadata_too_large", "metadata"),
    ({"metadata": {"k" * 41: "v"}}, "metadata_too_large", "metadata"),
    ({"metadata": {"": "v"}}, "metadata_too_large", "metadata"),
    ({"metadata": {"k": "v" * 501}}, "metadata_too_large", "metadata"),
    ({"description": "d" * 1001}, "parameter_too_long", "description"),
    ({"descriptor": "d" * 23}, "parameter_too_long", "statement_descriptor"),
    ({"merchant_reference": "r" * 65}, "parameter_too_long", "merchant_reference"),
    ({"merchant_reference": ""}, "parameter_invalid_empty", "merchant_reference"),
    ({"method_kinds": ("card", "cash")}, "payment_method_type_unknown", "payment_method_types"),
    ({"method": Alipay()}, "payment_method_type_mismatch", "payment_method"),
    ({"expires_at": NOW}, "expires_at_invalid", "expires_at"),
    ({"expires_at": NOW - timedelta(seconds=1)}, "expires_at_invalid", "expires_at"),
    ({"expires_at": NOW + timedelta(days=30, seconds=1)}, "expires_at_invalid", "expires_at"),
    ({"wallet_book_id": 5, "capture_method": CaptureMethod.MANUAL}, "parameter_invalid", "capture_method"),
]


@pytest.mark.parametrize(("fields", "code", "param"), REFUSED)
def test_order_that_makes_no_sense_is_refused_by_parameter(
    fields: dict[str, object], code: str, param: str
) -> None:
    with pytest.raises(BadParameter) as refused:
        intent_from(**fields)
    assert (refused.value.code, refused.value.facts["param"]) == (code, param)


@pytest.mark.parametrize(
    "fields",
    [
        {"amount_minor": 1},
        {"amount_minor": AMOUNT_MINOR_MAX},
        {"currency": "JPY"},
        {"currency": "kwd"},
        {"metadata": {str(n): "v" * 500 for n in range(50)}},
        {"metadata": {"k" * 40: ""}},
        {"description": "d" * 1000, "descriptor": "d" * 22, "merchant_reference": "r" * 64},
        {"expires_at": NOW + timedelta(days=30)},
    ],
)
def test_order_at_its_limits_is_taken(fields: dict[str, object]) -> None:
    made = intent_from(**fields)
    assert made.currency == str(fields.get("currency", "CNY")).upper()
    assert made.due_at == made.expires_at == fields.get("expires_at", NOW + schedule.INTENT_LIFE)


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, IntentState.REQUIRES_PAYMENT_METHOD),
        ({"method_id": UUID(int=4)}, IntentState.REQUIRES_CONFIRMATION),
        ({"method": CARD}, IntentState.REQUIRES_PAYMENT_METHOD),
        ({"method": CARD, "confirm": ConfirmOrder()}, IntentState.REQUIRES_CONFIRMATION),
    ],
)
def test_order_begins_in_the_state_that_its_method_allows(
    fields: dict[str, object], state: IntentState
) -> None:
    assert intent_from(**fields).state is state


def test_kinds_of_method_are_kept_once_and_are_cards_by_default() -> None:
    assert intent_from().method_kinds == ("card",)
    assert intent_from(method_kinds=("alipay", "card", "alipay")).method_kinds == ("alipay", "card")


SUBSTANCE: list[dict[str, object]] = [
    {"amount_minor": 5},
    {"currency": "usd"},
    {"method_id": UUID(int=9)},
    {"capture_method": CaptureMethod.MANUAL},
]


@pytest.mark.parametrize("fields", SUBSTANCE)
@pytest.mark.parametrize("state", sorted(set(IntentState) - orders.CHANGEABLE))
def test_change_of_substance_after_confirming_is_refused(
    state: IntentState, fields: dict[str, object]
) -> None:
    with pytest.raises(WrongState, match="cannot be used to change"):
        orders.changed_intent(intent(state), IntentChange(**fields), NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize("state", sorted(OPEN))
def test_change_of_substance_while_the_payer_is_asked_is_refused(state: AttemptState) -> None:
    asked = intent(IntentState.REQUIRES_ACTION)
    with pytest.raises(WrongState) as refused:
        orders.changed_intent(asked, IntentChange(amount_minor=5), NOW, attempt(state))
    assert refused.value.code == "payment_intent_attempt_open"
    assert orders.changed_intent(asked, IntentChange(description="x"), NOW, attempt(state)).description == "x"


@pytest.mark.parametrize("state", sorted(IntentState))
def test_metadata_and_description_may_change_at_any_time(state: IntentState) -> None:
    before = intent(state, metadata={"a": "1", "b": "2"})
    after = orders.changed_intent(before, IntentChange(metadata={"a": "", "c": "3"}, description="x"), NOW)
    assert (after.metadata, after.description, after.state) == ({"b": "2", "c": "3"}, "x", state)
    assert after.version == before.version + 1


CHANGES: list[tuple[dict[str, object], str]] = [
    ({"amount_minor": 0}, "amount_too_small"),
    ({"currency": "zzz"}, "invalid_currency"),
    ({"method_kinds": ("cash",)}, "payment_method_type_unknown"),
    ({"descriptor": "d" * 23}, "parameter_too_long"),
    ({"metadata": {str(n): "v" for n in range(51)}}, "metadata_too_large"),
]


@pytest.mark.parametrize(("fields", "code"), CHANGES)
def test_change_that_makes_no_sense_is_refused(fields: dict[str, object], code: str) -> None:
    with pytest.raises(BadParameter) as refused:
        orders.changed_intent(
            intent(IntentState.REQUIRES_PAYMENT_METHOD),
            IntentChange(**fields),  # type: ignore[arg-type]
            NOW,
        )
    assert refused.value.code == code


def test_change_of_method_decides_what_the_intent_waits_for() -> None:
    waiting = intent(IntentState.REQUIRES_PAYMENT_METHOD)
    given = orders.changed_intent(waiting, IntentChange(method_id=UUID(int=9)), NOW)
    taken = orders.changed_intent(given, IntentChange(method_id=None), NOW)
    assert (given.state, taken.state) == (
        IntentState.REQUIRES_CONFIRMATION,
        IntentState.REQUIRES_PAYMENT_METHOD,
    )


def test_top_up_cannot_become_a_manual_capture() -> None:
    topping = intent(IntentState.REQUIRES_PAYMENT_METHOD, wallet_book_id=5)
    with pytest.raises(BadParameter, match="automatic captures"):
        orders.changed_intent(topping, IntentChange(capture_method=CaptureMethod.MANUAL), NOW)


@pytest.mark.parametrize("state", sorted(IntentState))
def test_confirming_is_for_intents_that_wait(state: IntentState) -> None:
    if state in CONFIRMABLE:
        orders.check_confirmable(intent(state), None)
        return
    with pytest.raises(WrongState) as refused:
        orders.check_confirmable(intent(state), None)
    assert refused.value.facts["status"] == state.value


@pytest.mark.parametrize("state", sorted(AttemptState))
def test_confirming_again_waits_until_the_last_attempt_is_known(state: AttemptState) -> None:
    wanted = intent(IntentState.REQUIRES_PAYMENT_METHOD, attempt_id=ATTEMPT_ID)
    if state not in OPEN:
        orders.check_confirmable(wanted, attempt(state))
        return
    with pytest.raises(WrongState, match="may still succeed"):
        orders.check_confirmable(wanted, attempt(state))


def test_method_of_a_kind_that_the_intent_does_not_take_is_refused() -> None:
    orders.check_method(intent(), CARD)
    with pytest.raises(BadParameter, match="takes card, not alipay"):
        orders.check_method(intent(), Alipay())


@pytest.mark.parametrize("amount_minor", [0, -3, AMOUNT_MINOR_MAX + 1])
def test_amounts_that_the_ledger_cannot_post_are_refused(amount_minor: int) -> None:
    with pytest.raises(BadAmount):
        orders.check_amount(amount_minor, "amount")


def test_capture_method_of_the_confirmation_goes_before_that_of_the_intent() -> None:
    assert orders.captures_at_once(intent(), None)
    assert not orders.captures_at_once(intent(), CaptureMethod.MANUAL)
    assert orders.captures_at_once(
        intent(capture_method=CaptureMethod.MANUAL_MULTIPLE), CaptureMethod.AUTOMATIC_ASYNC
    )
