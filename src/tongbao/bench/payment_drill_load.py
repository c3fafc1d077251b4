"""The load of the payment drill: orders of a shop, each from its payment to the end that chance has for it.

Cards are charged at once, or authorized and captured whole, in part or not at all; codes of Alipay and WeChat Pay are
shown until somebody pays; some of what was paid is refunded, whole or in part. The currency names the peer.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from tongbao.bench.payment_drill_client import Acknowledged, Client, Unanswered
from tongbao.bench.payment_drill_search import luhn_digit
from tongbao.bench.payment_drill_world import HOST_SIM, PANS, STRIPE_REPLICA

INTENTS = "/v1/payment_intents"
CARD_COUNT = 40
REPLICA_SHARE = 0.03
REPLICA_PAYMENTS_MAX = 150
"""It does some thirty payments a second at first, and fewer as its state grows."""
HOST_SHARE = 0.15
ALIPAY_SHARE = 0.18
WECHAT_SHARE = 0.17
MANUAL_SHARE = 0.35
REFUND_SHARE = 0.2
MARKED_SHARE = 0.12
"""Of the payments at iso8583sim: a third each is declined, answered slowly, and never answered."""
TWICE_SHARE = 0.03
AGAIN_SHARE = 0.05
AMOUNT_MINOR_MIN, AMOUNT_MINOR_MAX = 200, 50_000
PAYER_WAIT_S = 4.0
PAYER_POLL_S = 0.5
GIVES_UP_PROB = 0.5
UNREACHABLE = "CHANNEL_UNAVAILABLE"
CONFIRMS_MAX = 8
CONFIRM_PAUSE_S = 1.5
"""An order whose channel cannot be reached is confirmed again, as a payer presses the button again."""


class Order(NamedTuple):
    """One payment before it is made."""

    number: int
    kind: str
    currency: str
    amount_minor: int
    manual: bool


class Load:
    """All orders of one drill. ``run`` makes them, ``done`` counts those that have ended."""

    def __init__(self, client: Client, peers: list[str], payments: int, seed: int, pan_prefix: str) -> None:
        self.done = 0
        self.unanswered: list[str] = []
        self.kinds: Counter[str] = Counter()
        self._client = client
        self._random = random.Random(seed)
        self._prefix = pan_prefix
        self._cards = [self._card(f"{self._random.randrange(3, 10)}") for _ in range(CARD_COUNT)]
        self._marked = {what: self._card(digits) for what, digits in PANS.items()}
        self._orders = [self._order(number, peers) for number in range(payments)]

    async def run(self, clients: int, progressed: Callable[[int], Awaitable[None]]) -> None:
        """Make all orders, ``clients`` at a time; ``progressed`` hears of each that has ended."""
        waiting = iter(self._orders)

        async def serve() -> None:
            for order in waiting:
                try:
                    await self._make(order)
                except Unanswered as error:
                    self.unanswered.append(f"order {order.number}: {error}")
                self.done += 1
                await progressed(self.done)

        await asyncio.gather(*(serve() for _ in range(clients)))

    def _order(self, number: int, peers: list[str]) -> Order:
        chance = self._random.random()
        kind, currency = "card", "USD"
        if chance < REPLICA_SHARE:
            if STRIPE_REPLICA in peers and self.kinds[STRIPE_REPLICA] < REPLICA_PAYMENTS_MAX:
                kind, currency = STRIPE_REPLICA, "GBP"
        elif chance < REPLICA_SHARE + HOST_SHARE:
            if HOST_SIM in peers:
                kind, currency = HOST_SIM, "EUR"
        elif chance < REPLICA_SHARE + HOST_SHARE + ALIPAY_SHARE:
            kind, currency = "alipay", "CNY"
        elif chance < REPLICA_SHARE + HOST_SHARE + ALIPAY_SHARE + WECHAT_SHARE:
            kind, currency = "wechat_pay", "CNY"
        self.kinds[kind] += 1
        manual = currency != "CNY" and self._random.random() < MANUAL_SHARE
        amount = self._random.randint(AMOUNT_MINOR_MIN, AMOUNT_MINOR_MAX)
        return Order(number, kind, currency, amount, manual)

    async def _make(self, order: Order) -> None:
        """Take one order to its end."""
        form: dict[str, object] = {
            "amount": order.amount_minor,
            "currency": order.currency.lower(),
            "capture_method": "manual" if order.manual else "automatic",
            "confirm": "true",
            "metadata[order]": order.number,
            "payment_method_types[0]": order.kind if order.currency == "CNY" else "card",
            **self._method(order),
        }
        key = f"order-{order.number}"
        told = await self._send(order, "create", INTENTS, key, form)
        for number in range(1, CONFIRMS_MAX + 1):
            if told.code_of_channel != UNREACHABLE or told.id is None:
                break
            await asyncio.sleep(CONFIRM_PAUSE_S)
            path, key = f"{INTENTS}/{told.id}/confirm", f"confirm-{order.number}-{number}"
            told = await self._send(order, "confirm", path, key, self._method(order))
        if told.status == "requires_action" and told.id is not None:
            told = await self._wait_for_payer(order, told)
        if told.status == "requires_capture" and told.id is not None:
            told = await self._claim(order, told)
        if told.status == "succeeded" and self._random.random() < REFUND_SHARE:
            await self._refund(order, told)

    def _method(self, order: Order) -> dict[str, object]:
        if order.currency == "CNY":
            return {
                "payment_method_data[type]": order.kind,
                f"payment_method_data[{order.kind}][presentment]": "merchant_qr",
            }
        number = self._random.choice(self._cards)
        if order.kind == HOST_SIM and self._random.random() < MARKED_SHARE:
            number = self._random.choice(list(self._marked.values()))
        return {
            "payment_method_data[type]": "card",
            "payment_method_data[card][number]": number,
            "payment_method_data[card][exp_month]": 11,
            "payment_method_data[card][exp_year]": 2031,
            "payment_method_data[card][cvc]": 123,
        }

    async def _wait_for_payer(self, order: Order, told: Acknowledged) -> Acknowledged:
        """Show the code until somebody pays; give up on some that nobody pays in time."""
        for _ in range(round(PAYER_WAIT_S / PAYER_POLL_S)):
            await asyncio.sleep(PAYER_POLL_S)
            body = await self._client.get(f"{INTENTS}/{told.id}")
            if body.get("status") != "requires_action":
                return self._client.acknowledge(order.number, "read", (200, body))
        if self._random.random() < GIVES_UP_PROB:
            return await self._cancel(order, told)
        return told

    async def _claim(self, order: Order, told: Acknowledged) -> Acknowledged:
        """Capture an authorization whole or in part, or let it go."""
        chance = self._random.random()
        if chance < 0.2:
            return await self._cancel(order, told)
        form: dict[str, object] = {}
        # The replica keeps a part that is not captured as a refund, which its list cannot tell from ours.
        if chance < 0.5 and order.kind != STRIPE_REPLICA:
            form["amount_to_capture"] = max(1, order.amount_minor * self._random.randint(20, 90) // 100)
        return await self._send(
            order, "capture", f"{INTENTS}/{told.id}/capture", f"capture-{order.number}", form
        )

    async def _cancel(self, order: Order, told: Acknowledged) -> Acknowledged:
        return await self._send(order, "cancel", f"{INTENTS}/{told.id}/cancel", f"cancel-{order.number}", {})

    async def _refund(self, order: Order, told: Acknowledged) -> None:
        form: dict[str, object] = {"payment_intent": told.id}
        if self._random.random() < 0.5:
            form["amount"] = max(1, told.amount_minor * self._random.randint(10, 90) // 100)
        await self._send(order, "refund", "/v1/refunds", f"refund-{order.number}", form)

    async def _send(
        self, order: Order, what: str, path: str, key: str, form: dict[str, object]
    ) -> Acknowledged:
        """Send a request; a few twice at once, a few again after their answer."""
        answer: tuple[int, dict[str, Any]]
        if self._random.random() < TWICE_SHARE:
            answer = await self._client.twice(path, key, form)
        else:
            answer = await self._client.post(path, key, form)
        told = self._client.acknowledge(order.number, what, answer)
        if self._random.random() < AGAIN_SHARE:
            await self._client.again(path, key, form, answer)
        return told

    def _card(self, digits: str) -> str:
        """Return a card number with the drill's beginning, then these digits, then chance and a check digit."""
        body = self._prefix + digits
        body += "".join(str(self._random.randrange(10)) for _ in range(15 - len(body)))
        return body + luhn_digit(body)
