"""Confirming: from a wish to money, whatever the channel says."""

from tests.payments.conftest import House


async def test_create_confirmed_card_payment_succeeds_and_posts(house: House) -> None:
    view = await house.pay(1999)
    assert view.intent.state == "succeeded"
    assert view.attempt is not None
    assert view.attempt.state == "charged"
    assert await house.balance("in_transit") == 1999
    assert await house.balance("channel_receivable/one") == -1999
