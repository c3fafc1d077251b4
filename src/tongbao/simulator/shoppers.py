"""Shoppers: payers who buy through the public interface, as anybody's program would, with test cards and QR codes.

Seeded. They pay by card (most succeed, some are declined), scan Alipay codes, change their minds, and now and then
get money back. Everything goes over HTTP with a merchant's key; nothing here reaches into the house.
"""

import asyncio
import contextlib
import random
import uuid
from typing import NamedTuple
from urllib.parse import urlencode

import msgspec

from tongbao.core.http import HttpAnswer, HttpClient, NoAnswer, NotSent

REFUND_SHARE = 0.08
MANUAL_SHARE = 0.2
QR_SHARE = 0.25
CARDS = {
    "4242424242424242": 80,
    "5555555555554444": 20,
    "4000000000009995": 4,
    "4000000000000002": 3,
    "4000000000000069": 1,
}
"""Test cards of the sandbox and how often each is used: good ones, no funds, declined, expired."""
GOODS = (
    ("Longjing tea 龙井", 68_00, 380_00),
    ("Steamed buns 包子", 6_00, 32_00),
    ("Gaiwan set 盖碗", 99_00, 499_00),
)


PEOPLE = 150
"""Who shops: each with an address, a phone and a card of their own, and each comes back."""


class Person(NamedTuple):
    """Somebody who shops: a mailbox, what the phone is known by, a network address, a card's number."""

    email: str
    device: str
    address: str
    card: str


class Shopper:
    """Buys, again and again, as many people. ``key`` is a secret test key of the merchant."""

    def __init__(self, base_url: str, key: str, http: HttpClient, seed: str) -> None:
        self._base_url = base_url
        self._key = key
        self._http = http
        self._rng = random.Random(seed)
        self._people = [self._person(number) for number in range(PEOPLE)]
        self.bought = 0

    async def live(self, visits_per_s: float) -> None:
        """Visit at random intervals for ever; a visit that nobody answers is followed by the next one."""
        while True:
            await asyncio.sleep(self._rng.expovariate(visits_per_s))
            with contextlib.suppress(NotSent, NoAnswer):
                await self.visit()

    async def visit(self) -> None:
        """Buy something once."""
        name, low, high = self._rng.choice(GOODS)
        # Amounts end in zero: the sandbox answers some other endings in special ways.
        amount = self._rng.randrange(low, high, 100)
        person = self._rng.choice(self._people)
        form = {
            "amount": str(amount),
            "currency": "cny",
            "description": name,
            "metadata[order]": f"A-{self._rng.randrange(10**6):06d}",
            "confirm": "true",
            "receipt_email": person.email,
            "radar_options[session]": person.device,
            "radar_options[ip_address]": person.address,
        }
        if self._rng.random() < QR_SHARE:
            form |= {"payment_method_types[0]": "alipay", "payment_method_data[type]": "alipay"}
            await self._post("/v1/payment_intents", form)
            return
        manual = self._rng.random() < MANUAL_SHARE
        form |= {"payment_method_data[type]": "card", **card_form(person.card)}
        if manual:
            form["capture_method"] = "manual"
        answer = await self._post("/v1/payment_intents", form)
        intent = msgspec.json.decode(answer.body)
        if answer.status != 200:
            return
        self.bought += 1
        if manual and intent["status"] == "requires_capture":
            await self._post(f"/v1/payment_intents/{intent['id']}/capture", {})
        elif self._rng.random() < REFUND_SHARE and intent["status"] == "succeeded":
            part = self._rng.choice((amount, amount // 2))
            await self._post("/v1/refunds", {"payment_intent": intent["id"], "amount": str(part)})

    def _person(self, number: int) -> Person:
        return Person(
            email=f"payer{number}@example.com",
            device=f"phone-{number}-{self._rng.getrandbits(32):08x}",
            address=f"198.51.100.{number + 1}",
            card=self._rng.choices(list(CARDS), list(CARDS.values()))[0],
        )

    async def _post(self, path: str, form: dict[str, str]) -> HttpAnswer:
        key = uuid.UUID(int=self._rng.getrandbits(128), version=4)
        return await send(self._http, self._base_url + path, self._key, str(key), form)


def card_form(number: str) -> dict[str, str]:
    """Return the fields of a payment by the card of this number."""
    return {
        "payment_method_data[card][number]": number,
        "payment_method_data[card][exp_month]": "12",
        "payment_method_data[card][exp_year]": "2030",
        "payment_method_data[card][cvc]": "123",
    }


async def send(
    http: HttpClient, url: str, key: str, idempotency_key: str, form: dict[str, str]
) -> HttpAnswer:
    """Send a form with a merchant's secret key; raise NotSent and NoAnswer as the client does."""
    return await http.request(
        "POST",
        url,
        headers={
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/x-www-form-urlencoded",
            "Idempotency-Key": idempotency_key,
        },
        body=urlencode(form).encode(),
        timeout_s=30.0,
    )
