"""The load of the routing drill: card payments at a steady rate, whatever becomes of those before them.

An open loop: a channel that keeps payers waiting does not slow the shop down, so what piles up is seen as it would be.
"""

import asyncio
import random
import time
from typing import NamedTuple

from tongbao.bench.payment_drill_client import Client, Unanswered
from tongbao.bench.payment_drill_load import INTENTS
from tongbao.bench.payment_drill_search import luhn_digit

ISSUER_COUNT = 6
CARDS_PER_ISSUER = 20
CARD_DIGITS = 16
AMOUNT_MINOR_MIN, AMOUNT_MINOR_MAX = 500, 20_000
PAYMENTS_MAX = 100_000
OPEN_MAX = 1_000
"""Payments under way at once; beyond it the shop waits, and the drill says that it could not keep its rate."""


class Paid(NamedTuple):
    """One payment as the shop saw it: its id, when it was asked for (Unix seconds), how long, and the answer."""

    payment: str
    at_s: float
    took_s: float
    status: str


class SteadyLoad:
    """Payments at ``rate_per_s`` until ``stop``."""

    def __init__(self, client: Client, rate_per_s: float, seed: int, currency: str) -> None:
        self.paid: list[Paid] = []
        self.unanswered: list[str] = []
        self.late_s_max = 0.0
        self._client = client
        self._rate = rate_per_s
        self._currency = currency
        self._random = random.Random(seed)
        self._cards = [
            self._card(f"42133{issuer}") for issuer in range(ISSUER_COUNT) for _ in range(CARDS_PER_ISSUER)
        ]
        self._stopped = False

    def stop(self) -> None:
        """Begin no payment any more."""
        self._stopped = True

    async def run(self) -> None:
        """Begin a payment at every beat; return when all that were begun are answered."""
        gate = asyncio.Semaphore(OPEN_MAX)
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(PAYMENTS_MAX):
                due = began + number / self._rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                await gate.acquire()
                if self._stopped:
                    return
                self.late_s_max = max(self.late_s_max, time.monotonic() - due)
                group.create_task(self._pay(number, gate))

    async def _pay(self, number: int, gate: asyncio.Semaphore) -> None:
        form: dict[str, object] = {
            "amount": self._random.randint(AMOUNT_MINOR_MIN, AMOUNT_MINOR_MAX),
            "currency": self._currency.lower(),
            "confirm": "true",
            "metadata[order]": number,
            "payment_method_types[0]": "card",
            "payment_method_data[type]": "card",
            "payment_method_data[card][number]": self._random.choice(self._cards),
            "payment_method_data[card][exp_month]": 11,
            "payment_method_data[card][exp_year]": 2031,
            "payment_method_data[card][cvc]": 123,
        }
        at_s, began = time.time(), time.monotonic()
        try:
            answer = await self._client.post(INTENTS, f"order-{number}", form)
            told = self._client.acknowledge(number, "create", answer)
            took_s = time.monotonic() - began
            self.paid.append(Paid(told.id or "", at_s, took_s, told.status or ""))
        except Unanswered as error:
            self.unanswered.append(f"order {number}: {error}")
        finally:
            gate.release()

    def _card(self, beginning: str) -> str:
        length = CARD_DIGITS - 1 - len(beginning)
        body = beginning + "".join(str(self._random.randrange(10)) for _ in range(length))
        return body + luhn_digit(body)
