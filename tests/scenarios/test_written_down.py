"""What a house has written down: no card number in any table or log, and no fault of its own.

The fixture that ends a house looks as well, when all scenarios that it served have done what they do.
"""

import base64

import httpx
from tests.scenarios.running_house import RunningHouse, Shop, wait_for
from tests.scenarios.traces import (
    card_numbers_in,
    everything_written,
    faults_in,
    forms,
    log_lines,
    numbers_of_the_suite,
)

from tongbao.core.embedded.server import EmbeddedServer

NUMBER = "4012888888881881"


def test_forms_find_a_number_that_is_there() -> None:
    for text in (
        NUMBER,
        "4012 8888 8888 1881",
        NUMBER.encode().hex(),
        base64.b64encode(b"ab" + NUMBER.encode() + b"c").decode(),
    ):
        assert any(form in b"xx" + text.encode() + b"yy" for form in forms(NUMBER))


def test_no_card_number_is_written_down_anywhere(
    tea: Shop, house: RunningHouse, server: EmbeddedServer
) -> None:
    assert {NUMBER, "4242424242424242"} <= numbers_of_the_suite()
    card = {"number": NUMBER, "exp_month": 12, "exp_year": 2033, "cvc": "737"}
    data = {"type": "card", "card": card}
    tea.pay(2_100)
    paid = tea.v1.payment_intents.create(
        {"amount": 2_100, "currency": "cny", "confirm": True, "payment_method_data": data},
        {"idempotency_key": "card-in-clear"},
    )
    tea.v1.refunds.create({"payment_intent": paid.id, "amount": 100})
    tea.v1.payment_methods.create(data, {"idempotency_key": "method-in-clear"})
    tea.v1.tokens.create({"card": card}, {"idempotency_key": "token-in-clear"})
    tea.v1.setup_intents.create({"payment_method_data": data, "confirm": True})
    # Events are written last: what they hold must be there to be searched.
    wait_for(
        lambda: [
            event
            for event in tea.v1.events.list({"type": "payment_intent.succeeded", "limit": 5}).data
            if event.data.object["id"] == paid.id
        ],
        "the event",
    )
    written = everything_written(house, server)
    assert len(written) > 20
    assert any(b"card-in-clear" in text for text in written.values())
    assert card_numbers_in(written) == []


def test_house_met_no_fault_of_its_own(house: RunningHouse) -> None:
    lines = log_lines(house)
    assert lines
    assert faults_in(lines) == []
    assert {line["event"] for line in lines if line["level"] == "warning"} <= {"notification_forged"}
    assert httpx.get(f"{house.base_url}/readyz", timeout=10.0).json() == {"ready": True, "causes": []}
