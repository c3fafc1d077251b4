"""x"""
from tests.scenarios.running_house import Shop

def test_probe(tea: Shop) -> None:
    done = tea.client.v1.payment_intents.create({"amount": 1999, "currency": "cny", "confirm": True, "payment_method": "pm_card_visa"})
    print(done)
    assert done.status == "succeeded"
