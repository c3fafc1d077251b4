"""Payers of a replayed history: a saved card with each merchant where they buy, and one confirmed payment an order.

Everything goes over the public interface at an instant of its own. What was not answered is asked again under the same key,
as a merchant's program should: a repeat is the same request, so nothing is paid twice.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode

import msgspec

from tongbao.core.http import HttpClient, NoAnswer, NotSent
from tongbao.simulator.city.acting import CVC, FORM, INTENTS, Answer
from tongbao.simulator.histories.planning import Household, household
from tongbao.simulator.histories.schema import Order
from tongbao.simulator.instants import made_at

LANES_MAX = 256
REQUEST_S = 60.0
TRIES_MAX = 6
PAUSE_S = 0.1
LEFT = "left_unfinished"
"""Why a payment ended that asked its payer for something: nobody of a file answers."""
REPEATED = frozenset({0, 409, 429, 500, 502, 503, 504})


class Outcome(StrEnum):
    """How a payment ended. ``held`` waits for somebody, ``unresolved`` for an answer; ``refused`` was never a payment."""

    APPROVED = "approved"
    DECLINED = "declined"
    HELD = "held"
    UNRESOLVED = "unresolved"
    REFUSED = "refused"


class Paid(msgspec.Struct, kw_only=True):
    """What became of payments so far. ``approved``: orders by what they are called in the file; ``open``: intents to read again."""

    outcomes: Counter[Outcome] = msgspec.field(default_factory=Counter)
    reasons: Counter[str] = msgspec.field(default_factory=Counter)
    approved: set[str] = msgspec.field(default_factory=set)
    open: dict[str, tuple[Order, Outcome]] = msgspec.field(default_factory=dict)
    repeats: int = 0


class Paying:
    """Pays orders at one house. ``keys``: secret keys of merchants by number; ``numbers``: numbers of stores by name."""

    def __init__(
        self,
        base_url: str,
        keys: Mapping[int, str],
        numbers: Mapping[str, int],
        currency: str,
        seed: int,
    ) -> None:
        self.paid = Paid()
        self._base_url = base_url
        self._keys = keys
        self._numbers = numbers
        self._currency = currency.lower()
        self._seed = seed
        self._http = HttpClient(connections_max=LANES_MAX)
        self._saved: dict[tuple[int, str], asyncio.Task[tuple[str, str] | None]] = {}

    async def close(self) -> None:
        """Close all connections."""
        await self._http.close()

    async def pay_all(self, orders: list[Order], lanes: int) -> None:
        """Pay the orders of a stretch of time, up to ``lanes`` at once, each at its instant."""
        queue = iter(orders)

        async def lane() -> None:
            for order in queue:
                await self.pay(order)

        await asyncio.gather(*(lane() for _ in range(min(lanes, len(orders)))))

    async def pay(self, order: Order) -> None:
        """Pay an order with the card that its customer has with the merchant; note how it ended."""
        shop = self._numbers[order.store]
        saved = await self._method(shop, order)
        if saved is None:
            self._note(order, Outcome.REFUSED, "card_not_saved", None)
            return
        method, customer = saved
        payer = self._payer(order)
        form = {
            "amount": str(order.amount_minor),
            "currency": self._currency,
            "confirm": "true",
            "payment_method": method,
            "customer": customer,
            "metadata[order]": order.order,
            "radar_options[session]": payer.device,
            "radar_options[ip_address]": payer.address,
        }
        answer = await self._post(shop, INTENTS, form, f"order/{order.number}", order.at)
        intent = answer.intent
        self._note(order, _outcome(answer, intent), answer.error_code, intent.get("id"))

    async def read_again(self, at: datetime) -> None:
        """Ask what became of payments that were not final."""
        waiting, self.paid.open = self.paid.open, {}
        for intent_id, (order, outcome) in waiting.items():
            shop = self._numbers[order.store]
            answer = await self._send("GET", shop, f"{INTENTS}/{intent_id}", None, None, at)
            self.paid.outcomes[outcome] -= 1
            now = _outcome(answer, answer.intent)
            self._note(order, now, LEFT if now is Outcome.DECLINED else None, intent_id)

    def _note(self, order: Order, outcome: Outcome, reason: str | None, intent_id: str | None) -> None:
        self.paid.outcomes[outcome] += 1
        if outcome is Outcome.APPROVED:
            self.paid.approved.add(order.order)
        elif outcome in (Outcome.HELD, Outcome.UNRESOLVED) and intent_id is not None:
            self.paid.open[intent_id] = (order, outcome)
        if reason is not None:
            self.paid.reasons[reason] += 1

    async def _method(self, shop: int, order: Order) -> tuple[str, str] | None:
        """Return the saved card and the customer of an order; make both where the customer is new there."""
        name = (shop, order.customer)
        task = self._saved.get(name)
        if task is None:
            task = self._saved[name] = asyncio.create_task(self._save(shop, order))
        return await task

    async def _save(self, shop: int, order: Order) -> tuple[str, str] | None:
        payer = self._payer(order)
        card = {
            "type": "card",
            "card[number]": payer.card.number,
            "card[exp_month]": str(payer.card.exp_month),
            "card[exp_year]": str(payer.card.exp_year),
            "card[cvc]": CVC,
        }
        made = await self._post(shop, "/v1/payment_methods", card, f"card/{shop}/{order.customer}", order.at)
        if made.status != 200:
            return None
        method: str = made.body["id"]
        form = {"payment_method": method, "email": payer.email, "metadata[customer]": order.customer}
        known = await self._post(shop, "/v1/customers", form, f"customer/{shop}/{order.customer}", order.at)
        return (method, known.body["id"]) if known.status == 200 else None

    def _payer(self, order: Order) -> Household:
        return household(order.customer, self._seed, order.at.year)

    async def _post(self, shop: int, path: str, form: dict[str, str], key: str, at: datetime) -> Answer:
        return await self._send("POST", shop, path, urlencode(form).encode(), f"history/{key}", at)

    async def _send(
        self, method: str, shop: int, path: str, body: bytes | None, key: str | None, at: datetime
    ) -> Answer:
        """Ask until there is an answer that ends the request, ``TRIES_MAX`` times at most."""
        headers = {"Authorization": f"Bearer {self._keys[shop]}"} | made_at(at)
        if key is not None:
            headers |= {"Content-Type": FORM, "Idempotency-Key": key}
        answer = Answer(0, {})
        for number in range(TRIES_MAX):
            if number:
                self.paid.repeats += 1
                await asyncio.sleep(PAUSE_S * number)
            answer = await self._once(method, path, headers, body)
            if answer.status not in REPEATED:
                break
        return answer

    async def _once(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        try:
            got = await self._http.request(
                method, self._base_url + path, headers=headers, body=body, timeout_s=REQUEST_S
            )
            return Answer(got.status, msgspec.json.decode(got.body, type=dict[str, Any]))
        except (NotSent, NoAnswer, msgspec.MsgspecError):
            return Answer(0, {})


def _outcome(answer: Answer, intent: dict[str, Any]) -> Outcome:
    status = intent.get("status")
    if status == "succeeded":
        return Outcome.APPROVED
    if answer.status in REPEATED or status == "processing":
        return Outcome.UNRESOLVED
    if status in ("requires_payment_method", "canceled"):
        return Outcome.DECLINED
    return Outcome.HELD if status in ("requires_action", "requires_capture") else Outcome.REFUSED
