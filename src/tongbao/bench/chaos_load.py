"""The load of the chaos drills: orders at a rate that can be changed while it runs, whatever becomes of those before them.

An open loop, so what piles up behind a fault is seen as payers would see it. Each order has a client of its own, which
begins at one process and the next order at the other; so what an order went through is known order by order. Four of
five are cards (a fifth of them authorized and then captured), the others codes of Alipay and WeChat Pay; a tenth is refunded.
"""

import asyncio
import random
import time
from collections import Counter

from tongbao.bench.chaos_measures import Outcome, Seen
from tongbao.bench.payment_drill_client import Acknowledged, Client, Unanswered
from tongbao.bench.payment_drill_load import INTENTS, UNREACHABLE
from tongbao.bench.payment_drill_search import luhn_digit
from tongbao.core.http import HttpClient

CARD_BEGINNING = "421337"
CARD_DIGITS = 16
CARD_SHARE, MANUAL_SHARE, REFUND_SHARE = 0.8, 0.2, 0.1
AMOUNT_MINOR_MIN, AMOUNT_MINOR_MAX = 500, 20_000
OPEN_MAX = 400
"""Orders under way at once; beyond it the shop waits: a machine that does not keep up is not buried under orders for good."""
ORDERS_MAX = 200_000
BEHIND_S_MAX = 1.0
"""Beats that a busy machine has missed by more than so long are not made up for."""
PAYER_POLL_S, PAYER_POLLS_MAX = 0.5, 8
CONFIRM_PAUSE_S, CONFIRMS_MAX = 1.5, 6
"""An order whose channel cannot be reached is confirmed again, as a payer presses the button again."""
ISSUERS_NO = "DO_NOT_HONOR"
"""What issuers of the sandbox say where they decline (``Habits.declines``); another reason is the house's or the channel's."""
_OUTCOMES = {
    "succeeded": Outcome.PAID,
    "requires_capture": Outcome.PAID,
    "requires_action": Outcome.PAID,
    "processing": Outcome.WAITING,
}


class ChaosLoad:
    """Orders at ``rate_per_s``, which may be set at any time, until ``stop``."""

    def __init__(self, http: HttpClient, ports: list[int], key: str, seed: str) -> None:
        self.rate_per_s = 0.0
        self.seen: list[Seen] = []
        self.answers: list[Acknowledged] = []
        self.contradictions: list[str] = []
        self.unanswered: list[str] = []
        self.repeats: Counter[str] = Counter()
        self._http = http
        self._ports = ports
        self._key = key
        self._seed = seed
        self._random = random.Random(seed)
        self._gate = asyncio.Semaphore(OPEN_MAX)
        self._open: set[asyncio.Task[None]] = set()
        self._stopped = False

    @property
    def succeeded(self) -> set[str]:
        """Payments that were acknowledged as succeeded."""
        return {
            each.id
            for each in self.answers
            if each.id and each.status == "succeeded" and each.id[:3] == "pi_"
        }

    def stop(self) -> None:
        """Begin no order any more."""
        self._stopped = True

    async def run(self) -> None:
        """Begin orders at their beats until ``stop``."""
        due = time.monotonic()
        for number in range(ORDERS_MAX):
            due = max(due + 1 / self.rate_per_s, time.monotonic() - BEHIND_S_MAX)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self._gate.acquire()
            if self._stopped:
                return
            task = asyncio.create_task(self._order(number), name="order")
            self._open.add(task)
            task.add_done_callback(self._ended)

    async def finish(self) -> None:
        """Wait until every order that was begun has ended."""
        while self._open:
            await asyncio.gather(*self._open)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._open.discard(task)
        self._gate.release()

    async def _order(self, number: int) -> None:
        """Take one order to its end, and keep what was said of it."""
        turn = number % len(self._ports)
        client = Client(self._http, self._ports[turn:] + self._ports[:turn], self._key)
        seen = Seen(begun_s=time.monotonic())
        self.seen.append(seen)
        try:
            await self._take_to_its_end(client, number, seen)
        except Unanswered as error:
            if seen.outcome is None:
                seen.end(Outcome.UNANSWERED, client.repeats, time.monotonic())
            self.unanswered.append(f"order {number}: {error} was never answered")
        self.answers += client.answers
        self.contradictions += client.contradictions
        self.repeats.update(client.repeats)

    async def _take_to_its_end(self, client: Client, number: int, seen: Seen) -> None:
        is_card = self._random.random() < CARD_SHARE
        manual = is_card and self._random.random() < MANUAL_SHARE
        refunds = self._random.random() < REFUND_SHARE
        method = self._card() if is_card else self._code(self._random.choice(("alipay", "wechat_pay")))
        form: dict[str, object] = {
            "amount": self._random.randint(AMOUNT_MINOR_MIN, AMOUNT_MINOR_MAX),
            "currency": "usd" if is_card else "cny",
            "capture_method": "manual" if manual else "automatic",
            "confirm": "true",
            "metadata[order]": f"{self._seed}-{number}",
            "payment_method_types[0]": method["payment_method_data[type]"],
            **method,
        }
        told = await self._ask(client, number, INTENTS, "order", form)
        seen.end(outcome_of(told), client.repeats, time.monotonic())
        told = await self._confirm_again(client, number, told, method)
        if told.status == "requires_action":
            told = await self._wait_for_payer(client, number, told)
        if told.status == "requires_capture":
            told = await self._ask(client, number, f"{INTENTS}/{told.id}/capture", "capture", {})
        if told.status == "succeeded" and refunds:
            await self._ask(client, number, "/v1/refunds", "refund", {"payment_intent": told.id})

    async def _confirm_again(
        self, client: Client, number: int, told: Acknowledged, method: dict[str, object]
    ) -> Acknowledged:
        """Press the button again where the channel could not be reached."""
        for again in range(CONFIRMS_MAX):
            if told.code_of_channel != UNREACHABLE or told.id is None:
                break
            await asyncio.sleep(CONFIRM_PAUSE_S)
            told = await self._ask(client, number, f"{INTENTS}/{told.id}/confirm", f"confirm-{again}", method)
        return told

    async def _wait_for_payer(self, client: Client, number: int, told: Acknowledged) -> Acknowledged:
        """Show the code until it is paid; nobody waits forever."""
        for _ in range(PAYER_POLLS_MAX):
            await asyncio.sleep(PAYER_POLL_S)
            body = await client.get(f"{INTENTS}/{told.id}")
            if body.get("status") != "requires_action":
                return client.acknowledge(number, "read", (200, body))
        return told

    async def _ask(
        self, client: Client, number: int, path: str, what: str, form: dict[str, object]
    ) -> Acknowledged:
        answer = await client.post(path, f"{what}-{self._seed}-{number}", form)
        return client.acknowledge(number, what, answer)

    def _card(self) -> dict[str, object]:
        """Return a card that nobody has used before, so that no rule counts one payment after another."""
        length = CARD_DIGITS - 1 - len(CARD_BEGINNING)
        body = CARD_BEGINNING + "".join(str(self._random.randrange(10)) for _ in range(length))
        return {
            "payment_method_data[type]": "card",
            "payment_method_data[card][number]": body + luhn_digit(body),
            "payment_method_data[card][exp_month]": 11,
            "payment_method_data[card][exp_year]": 2031,
            "payment_method_data[card][cvc]": 123,
        }

    @staticmethod
    def _code(kind: str) -> dict[str, object]:
        return {"payment_method_data[type]": kind, f"payment_method_data[{kind}][presentment]": "merchant_qr"}


def outcome_of(told: Acknowledged) -> Outcome:
    """Return what an answer means for the shop: a code that is shown and the no of an issuer are as ever, any other no is not."""
    if told.code_of_channel == UNREACHABLE:
        return Outcome.UNREACHABLE
    if told.status in _OUTCOMES:
        return _OUTCOMES[told.status]
    return Outcome.DECLINED if told.code_of_channel == ISSUERS_NO else Outcome.REFUSED
