"""Money that goes back, by the official client: refunds, disputes, charges, the balance and what moved it."""

import pytest
import stripe
from tests.scenarios.running_house import Outside, RunningHouse, Shop, wait_for
from tests.scenarios.things import channel_reference, disputed


@pytest.fixture
def outside(house: RunningHouse) -> Outside:
    return house.outside


def pending(shop: Shop, currency: str) -> int:
    """What the merchant has in a currency, available or not yet."""
    balance = shop.v1.balance.retrieve()
    return sum(each.amount for each in [*balance.pending, *balance.available] if each.currency == currency)


def test_refund_in_parts_gives_back_all_and_no_more(tea: Shop, outside: Outside) -> None:
    intent = tea.pay(6_000)
    part = tea.v1.refunds.create(
        {
            "payment_intent": intent.id,
            "amount": 2_000,
            "reason": "requested_by_customer",
            "metadata": {"why": "cold"},
        }
    )
    assert (part.status, part.amount, part.currency, part.charge) == (
        "succeeded",
        2_000,
        "cny",
        intent.latest_charge,
    )
    with pytest.raises(stripe.InvalidRequestError) as refused:
        tea.v1.refunds.create({"payment_intent": intent.id, "amount": 4_100})
    assert (refused.value.http_status, refused.value.param) == (400, "amount")
    rest = tea.v1.refunds.create({"charge": intent.latest_charge})
    assert (rest.status, rest.amount) == ("succeeded", 4_000)
    with pytest.raises(stripe.InvalidRequestError) as over:
        tea.v1.refunds.create({"payment_intent": intent.id})
    assert over.value.code == "charge_already_refunded"
    assert [each.id for each in tea.v1.refunds.list({"payment_intent": intent.id}).data] == [rest.id, part.id]
    charge = tea.v1.charges.retrieve(intent.latest_charge)
    assert (charge.refunded, charge.amount_refunded) == (True, 6_000)
    held = outside.held(channel_reference(intent))
    assert held["taken_minor"] in ({}, {"CNY": 0})


def test_refund_metadata_is_merged(tea: Shop) -> None:
    refund = tea.v1.refunds.create({"payment_intent": tea.pay(1_400).id, "metadata": {"a": "1", "b": "2"}})
    changed = tea.v1.refunds.update(refund.id, {"metadata": {"a": "", "c": "3"}})
    assert changed.metadata.to_dict() == {"b": "2", "c": "3"}
    assert tea.v1.refunds.retrieve(refund.id).metadata.to_dict() == {"b": "2", "c": "3"}


def test_refund_of_what_was_not_captured_is_refused(tea: Shop) -> None:
    intent = tea.pay(1_400, capture_method="manual")
    with pytest.raises(stripe.InvalidRequestError):
        tea.v1.refunds.create({"payment_intent": intent.id})


def test_dispute_is_answered_and_won(tea: Shop, outside: Outside) -> None:
    before = pending(tea, "cny")
    intent, dispute, reference = disputed(tea, outside, 7_000)
    assert (dispute.status, dispute.amount, dispute.charge) == ("needs_response", 7_000, intent.latest_charge)
    assert pending(tea, "cny") == before
    staged = tea.v1.disputes.update(
        dispute.id, {"evidence": {"product_description": "Tea"}, "submit": False, "metadata": {"desk": "2"}}
    )
    assert (staged.status, staged.evidence.product_description) == ("needs_response", "Tea")
    handed = tea.v1.disputes.update(dispute.id, {"evidence": {"customer_name": "Mei"}})
    assert (handed.status, handed.evidence.product_description) == ("under_review", "Tea")
    outside.tell(f"disputes/{reference}", {"status": "won"})
    wait_for(lambda: tea.v1.disputes.retrieve(dispute.id).status == "won", "the outcome")
    assert pending(tea, "cny") == before + 7_000


def test_dispute_that_is_closed_is_lost(tea: Shop, outside: Outside) -> None:
    before = pending(tea, "cny")
    intent, dispute, _ = disputed(tea, outside, 3_000)
    assert tea.v1.disputes.close(dispute.id).status == "lost"
    with pytest.raises(stripe.InvalidRequestError) as refused:
        tea.v1.disputes.close(dispute.id)
    assert refused.value.code == "dispute_closed"
    assert pending(tea, "cny") == before
    with pytest.raises(stripe.InvalidRequestError):
        tea.v1.refunds.create({"payment_intent": intent.id})


def test_charge_shows_its_balance_transaction_when_asked(tea: Shop) -> None:
    intent = tea.pay(4_400)
    charge = tea.v1.charges.retrieve(
        intent.latest_charge, {"expand": ["balance_transaction", "payment_intent"]}
    )
    moved = charge.balance_transaction
    assert (moved.amount, moved.currency, moved.type, moved.source) == (4_400, "cny", "charge", charge.id)
    assert moved.net == moved.amount - moved.fee
    assert charge.payment_intent.id == intent.id
    assert [each.id for each in tea.v1.charges.list({"payment_intent": intent.id}).data] == [charge.id]
    assert tea.v1.balance_transactions.retrieve(moved.id).amount == 4_400


def test_balance_is_what_moved_it(tea: Shop) -> None:
    before = pending(tea, "jpy")
    intent = tea.pay(9_000, currency="jpy")
    refund = tea.v1.refunds.create({"payment_intent": intent.id, "amount": 2_500})
    assert pending(tea, "jpy") == before + 6_500
    page = tea.v1.balance_transactions.list({"limit": 2, "currency": "jpy"}).data
    assert [(each.type, each.amount, each.source) for each in page] == [
        ("refund", -2_500, refund.id),
        ("charge", 9_000, intent.latest_charge),
    ]
    everything = tea.v1.balance_transactions.list({"limit": 100, "currency": "jpy"})
    assert sum(each.net for each in everything.auto_paging_iter()) == pending(tea, "jpy")


def test_nothing_of_one_merchant_shows_in_the_balance_of_another(tea: Shop, books: Shop) -> None:
    before = pending(books, "cny")
    tea.pay(2_000)
    assert pending(books, "cny") == before
