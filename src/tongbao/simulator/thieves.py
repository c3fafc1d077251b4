"""Thieves: now and then somebody tries stolen card numbers, many of them with small amounts, to see which still work.

Seeded. One phone and one address a burst, a new card with every attempt. Over HTTP with a merchant's key, like anybody.
"""

import asyncio
import contextlib
import random
import uuid

from tongbao.core.http import HttpClient, NoAnswer, NotSent
from tongbao.simulator.sandbox.declines import passes_luhn
from tongbao.simulator.shoppers import card_form, send

ATTEMPTS = 25
PAUSE_S = 0.4
ISSUERS = ("411111", "545454", "401288")
DIGITS = 16


class CardTester:
    """Tests cards in bursts. ``key`` is a secret test key of the merchant that is misused."""

    def __init__(self, base_url: str, key: str, http: HttpClient, seed: str) -> None:
        self._base_url = base_url
        self._key = key
        self._http = http
        self._rng = random.Random(seed)
        self.bursts = 0

    async def live(self, bursts_per_s: float) -> None:
        """Come at random intervals for ever; a burst that nobody answers is followed by the next one."""
        while True:
            await asyncio.sleep(self._rng.expovariate(bursts_per_s))
            with contextlib.suppress(NotSent, NoAnswer):
                await self.burst()

    async def burst(self) -> None:
        """Try ``ATTEMPTS`` cards."""
        self.bursts += 1
        device, address = (
            f"emulator-{self._rng.getrandbits(32):08x}",
            f"203.0.113.{self._rng.randrange(1, 255)}",
        )
        for _ in range(ATTEMPTS):
            form = {
                "amount": str(self._rng.randrange(100, 400, 100)),
                "currency": "cny",
                "description": "Gift card 礼品卡",
                "confirm": "true",
                "payment_method_data[type]": "card",
                "radar_options[session]": device,
                "radar_options[ip_address]": address,
                **card_form(self._number()),
            }
            key = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
            await send(self._http, f"{self._base_url}/v1/payment_intents", self._key, key, form)
            await asyncio.sleep(PAUSE_S)

    def _number(self) -> str:
        """Return a number that a card could have."""
        start = self._rng.choice(ISSUERS)
        body = start + "".join(str(self._rng.randrange(10)) for _ in range(DIGITS - len(start) - 1))
        return next(body + str(check) for check in range(10) if passes_luhn(body + str(check)))
