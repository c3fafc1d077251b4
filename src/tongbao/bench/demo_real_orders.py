"""What the merchant's customers buy: ordinary payers, doubtful ones, a card tester, cards that meet silence, and codes of wallets.

Pure: a seed and sizes in, orders out. Amounts are minor units; ordinary amounts are whole euros, so that the ones of scenes are
found by them. Cards of iso8583sim are told apart by their digits 11 to 14.
"""

import random
from typing import Any

import msgspec

from tongbao.bench.demo_real_channels import (
    CARD_CURRENCY,
    DECLINED,
    LATE,
    LOST_MINOR,
    SILENT,
    WALLET_CURRENCY,
)
from tongbao.bench.payment_drill_search import luhn_digit
from tongbao.bench.risk_drill_payers import on_a_new_device
from tongbao.bench.risk_drill_shop import Payer, daily_minor

PAN_PREFIX = "4213370926"
"""The first digits of every card here; nothing else in the world has them."""
PAN_DIGITS = 16
ROUND_MINOR = 100
USUAL_MINOR = (2_000, 6_000)
SMALL_MINOR_BELOW, LARGE_MINOR_FROM = 1_000, 4_000
"""Below the one only the card host takes a payment, from the other on the second channel is preferred."""
DOUBTFUL_MINOR = 42_200
"""Far above what anybody here spends, and what the starter rules take for much on a new device."""
TESTED_MINOR = (100, 400)
WALLET_MINOR = (900, 9_000)
REFUNDED_SHARE = 0.5
WALLET_KINDS = ("alipay", "wechat_pay")


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """How many take part.

    ``visits`` of each of the ``customers``, ``doubtful`` ones among them, ``cards`` that a tester tries, ``silent``
    cards that the host answers late or never, ``codes`` of each wallet and ``lost`` ones of WeChat Pay, and ``refunds``.

    Of the doubtful every second fails to prove who it is.
    """

    customers: int
    visits: int
    doubtful: int
    cards: int
    silent: int
    codes: int
    lost: int
    refunds: int


class Orders:
    """Draws orders from a seed; each has a number, which is its idempotency key."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._number = 0

    def person(self, number: int, email: str, customer: str) -> Payer:
        """Return a customer with an account, and a card, a device and an address that are nobody else's."""
        return Payer(
            card=self.card(str(self._chance.randrange(3, 10))),
            device=f"device-{number}-{self._chance.randrange(10**9)}",
            address=f"198.51.{number // 250}.{number % 250 + 1}",
            email=email,
            customer=customer,
            usual_minor=self._chance.randrange(*USUAL_MINOR, ROUND_MINOR),
        )

    def saved(self, who: Payer) -> dict[str, Any]:
        """Return the wish to keep a customer's card as a method."""
        return {"key": f"method-{who.device}", "form": {"type": "card", "card": _card(who.card)}}

    def visit(self, who: Payer) -> dict[str, Any]:
        """Return an ordinary payment of a customer."""
        return self._by_card(max(SMALL_MINOR_BELOW, daily_minor(who, self._chance)), who)

    def doubtful(self, who: Payer, place: int) -> dict[str, Any]:
        """Return a payment of much money from a device that nobody has seen; the amount names it."""
        return self._by_card(DOUBTFUL_MINOR + ROUND_MINOR * place, on_a_new_device(who, place))

    def test_of_a_card(self) -> dict[str, Any]:
        """Return one try of a card tester: a small amount, a dead card, always the same device and address."""
        email = f"t{self._number}@quick.example"
        tester = Payer(self.card(DECLINED), "device-tester", "203.0.113.66", email)
        return self._by_card(self._chance.randrange(*TESTED_MINOR), tester)

    def into_silence(self, place: int) -> dict[str, Any]:
        """Return a payment with a card for which the host answers too late, or never: both in turn."""
        card = self.card(SILENT if place % 2 else LATE)
        guest = Payer(card, f"device-silent-{place}", f"203.0.113.{place + 100}", f"s{place}@mail.example")
        return self._by_card(SMALL_MINOR_BELOW - 1 - place, guest)

    def code(self, kind: str) -> dict[str, Any]:
        """Return a payment by the code of a wallet."""
        return self._by_code(kind, self._chance.randrange(*WALLET_MINOR))

    def lost_code(self) -> dict[str, Any]:
        """Return a payment by a code of WeChat Pay that the house never hears of."""
        return self._by_code(WALLET_KINDS[1], LOST_MINOR)

    def refund(self, intent: str, amount_minor: int) -> dict[str, Any]:
        """Return a refund of a payment, whole or in part."""
        form: dict[str, Any] = {"payment_intent": intent}
        if self._chance.random() < REFUNDED_SHARE:
            form["amount"] = max(1, amount_minor * self._chance.randint(20, 80) // 100)
        return self._order(form)

    def card(self, digits: str) -> str:
        """Return a card number with the beginning of all, then these digits, then chance and a check digit."""
        body = PAN_PREFIX + digits
        body += "".join(str(self._chance.randrange(10)) for _ in range(PAN_DIGITS - 1 - len(body)))
        return body + luhn_digit(body)

    def _by_card(self, amount: int, who: Payer) -> dict[str, Any]:
        form: dict[str, Any] = {
            "amount": amount,
            "currency": CARD_CURRENCY.lower(),
            "confirm": True,
            "payment_method_types": ["card"],
            "payment_method_data": {"type": "card", "card": _card(who.card)},
            "receipt_email": who.email,
            "radar_options": {"session": who.device, "ip_address": who.address},
        }
        return self._order(form | ({"customer": who.customer} if who.customer else {}))

    def _by_code(self, kind: str, amount: int) -> dict[str, Any]:
        form = {
            "amount": amount,
            "currency": WALLET_CURRENCY.lower(),
            "confirm": True,
            "payment_method_types": [kind],
            "payment_method_data": {"type": kind, kind: {"presentment": "merchant_qr"}},
        }
        return self._order(form)

    def _order(self, form: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        if "amount" in form and "currency" in form:
            form["metadata"] = {"order": str(self._number)}
        return {"key": f"order-{self._number}", "form": form}


def _card(number: str) -> dict[str, Any]:
    return {"number": number, "exp_month": 11, "exp_year": 2031, "cvc": "123"}
