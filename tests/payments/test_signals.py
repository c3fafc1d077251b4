"""Signals: what risk control may know of a payment, with nobody's name in it."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.channels.schema import Alipay, Card, Initiator, Merchant, Method
from tongbao.payments.policy.signals import Pseudonyms, domain_of, hundredths, network_of, signals_of
from tongbao.payments.ports import RiskQuestion
from tongbao.payments.schema.intents import Intent, IntentState
from tongbao.payments.schema.orders import Device
from tongbao.risk.schema.signals import DeviceSign, Signals

AT = datetime(2026, 5, 4, 12, tzinfo=UTC)
PSEUDONYMS = Pseudonyms(b"a secret of the house")
CARD = Card(
    token="tok_secret",
    exp_month=12,
    exp_year=2030,
    brand="visa",
    card_bin="42424242",
    last4="4242",
    funding="debit",
    country="DE",
    fingerprint="fp_1",
)


def intent(**fields: object) -> Intent:
    values: dict[str, object] = {
        "id": UUID(int=7),
        "book_id": 1001,
        "live": True,
        "created_at": AT,
        "updated_at": AT,
        "state": IntentState.REQUIRES_CONFIRMATION,
        "amount_minor": 1999,
        "currency": "EUR",
        "client_secret": "x",
        "receipt_email": "Mei.Lin@Example.COM",
    }
    return Intent(**(values | fields))  # type: ignore[arg-type]


def seen(of: Intent | None = None, method: Method = CARD, **fields: object) -> Signals:
    values: dict[str, object] = {
        "intent": of or intent(),
        "method": method,
        "merchant": Merchant(name="Tea House", mcc="5462", country="CN"),
        "initiator": Initiator.PAYER,
        "payer_address": "203.0.113.9",
        "device": Device(reference="dev_7", signs=DeviceSign.VPN),
    }
    question = RiskQuestion(**(values | fields))  # type: ignore[arg-type]
    return signals_of(question, UUID(int=9), AT, PSEUDONYMS)


def test_signals_hold_what_is_known_and_nobody_in_clear() -> None:
    found = seen()
    assert (found.value, found.currency, found.method, found.funding) == (1999, "EUR", "card", "debit")
    assert (found.card, found.card_country, found.merchant_country, found.mcc) == ("fp_1", "DE", "CN", "5462")
    assert (found.merchant, found.email_domain, found.device_signs) == ("1001", "example.com", DeviceSign.VPN)
    assert found.customer
    written = msgspec.json.encode(found).decode().lower()
    for clear in ("mei.lin", "203.0.113", "tok_secret", "dev_7", "4242", "tea house"):
        assert clear not in written


def test_same_people_have_the_same_keys_and_others_have_others() -> None:
    assert seen().customer == seen(intent(receipt_email="mei.lin@example.com ")).customer
    assert seen().customer != seen(intent(receipt_email="chen@example.com")).customer
    assert seen(intent(customer_id=UUID(int=3))).customer == UUID(int=3).hex
    assert seen().address != seen(payer_address="203.0.113.10").address
    assert Pseudonyms(b"another house").of("device", "dev_7") != seen().device
    assert PSEUDONYMS.of("device", "x") != PSEUDONYMS.of("address", "x")


def test_what_is_unknown_is_empty() -> None:
    found = seen(intent(receipt_email=None), Alipay(), payer_address=None, device=None)
    empty = (found.customer, found.card, found.device, found.address, found.email_domain, found.card_country)
    assert (empty, found.beneficiary, found.device_signs) == (("",) * 6, "", DeviceSign.NONE)
    assert seen(intent(wallet_book_id=5)).beneficiary == "wallet:5"
    assert seen(initiator=Initiator.MERCHANT).is_recurring


@pytest.mark.parametrize(
    ("amount_minor", "currency", "value"),
    [(1999, "EUR", 1999), (500, "JPY", 50_000), (12_345, "KWD", 1234), (1, "CNY", 1)],
)
def test_value_is_in_hundredths_whatever_the_exponent(amount_minor: int, currency: str, value: int) -> None:
    assert hundredths(amount_minor, currency) == value


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.9"),
        (" 203.0.113.9 ", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("not an address", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_network_is_what_names_a_connection(address: str | None, network: str) -> None:
    assert network_of(address) == network


@given(st.text(max_size=200))
def test_any_text_for_an_address_or_a_mailbox_is_taken(text: str) -> None:
    network_of(text)
    assert len(domain_of(text)) <= 80


def test_test_cards_are_told_apart_by_who_holds_them() -> None:
    anybody = intent(live=False, receipt_email=None)
    assert seen(anybody, device=None).card == ""
    one, other = (seen(anybody, device=Device(reference=name)).card for name in ("dev_1", "dev_2"))
    assert "" not in (one, other)
    assert one != other
    assert seen(intent(live=False)).card == seen(intent(live=False), device=None).card
