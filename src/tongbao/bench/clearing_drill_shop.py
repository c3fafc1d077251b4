"""The month that the clearing drill lives through: merchants sell over channels on paper, in parts and at once, and money goes back.

Everything goes through the services of payments. What is drawn is drawn before anything is asked, so that a seed gives the same
month; which of two payments of an instant comes first is left to the machine.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from typing import NamedTuple
from uuid import UUID

from tongbao.bench.clearing_drill_terms import CHANNELS, MERCHANTS
from tongbao.channels.schema import Alipay, Card, Merchant, Method, Presentment, WechatPay
from tongbao.channels.service.registry import Channels
from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.ledger.service.ledger import Ledger
from tongbao.parties.schema import MerchantId, Scope
from tongbao.payments.ports import Route, RouteQuestion
from tongbao.payments.schema.attempts import PAID, Attempt, AttemptState
from tongbao.payments.schema.intents import CaptureMethod
from tongbao.payments.schema.orders import ConfirmOrder, IntentOrder
from tongbao.payments.service.payments import Payments
from tongbao.payments.service.plain_hooks import OneProfile, PassRisk
from tongbao.simulator.paper_channels import Habits, PaperChannel, able

SLOTS = 4
"""Times of a day at which merchants sell."""
AT_ONCE = 16
DAYS_BACK_MAX = 3
"""So many days after a sale its money begins to go back."""
RESOLVE_ROUNDS_MAX = 20
_NOTHING: tuple[int, ...] = ()
_CARD = Card(token="tok_drill", exp_month=12, exp_year=2030, brand="visa", card_bin="424242", last4="4242")  # noqa: S106 - a token of nothing
_METHODS: dict[str, Method] = {
    "card": _CARD,
    "alipay": Alipay(presentment=Presentment.PAYER_CODE, payer_code="28763443825664394"),
    "wechat_pay": WechatPay(presentment=Presentment.PAYER_CODE, payer_code="134650000000000000"),
}
_MIX = (
    (("alipay", "CNY"), 25),
    (("wechat_pay", "CNY"), 20),
    (("card", "CNY"), 33),
    (("card", "EUR"), 10),
    (("card", "USD"), 5),
    (("card", "JPY"), 4),
    (("card", "KWD"), 3),
)
_EVERY_DAY = (
    ("alipay", "CNY", 0),
    ("wechat_pay", "CNY", 0),
    ("card", "CNY", 0),
    ("card", "CNY", 1),
    ("card", "EUR", 0),
    ("card", "USD", 1),
)
"""What is sold on every day, by the remainder of its amount, which says over which channel."""


class Wish(NamedTuple):
    """A sale that somebody wants: how, of how much, claimed in so many parts (0: at once), and what comes later."""

    merchant: int
    method: str
    currency: str
    amount_minor: int
    parts: int = 0
    refunds: tuple[int, ...] = ()
    disputed: str = ""


class Spread:
    """Sends a payment over the channel that the remainder of its amount says, and on to the others where that says no."""

    async def choose(self, question: RouteQuestion) -> Route:
        """Return the route."""
        names = question.candidates
        place = question.intent.amount_minor % len(names)
        return Route(names[place], (*names[place + 1 :], *names[:place]))

    def heard(self, attempt: Attempt) -> None:
        """Learn nothing."""

    def dropped(self, attempt: Attempt) -> None:
        """Learn nothing."""


class Market:
    """Merchants, channels and payments of one drill."""

    def __init__(self, database: Database, ledger: Ledger, clock: Clock, ids: IdFactory, seed: int) -> None:
        self._rng = random.Random(seed)
        self._clock = clock
        self.channels = {
            each.name: PaperChannel(
                each.name,
                able(each.methods, each.currencies),
                each.tariff,
                clock,
                Habits(),
                random.Random(f"{seed}:{each.name}"),
            )
            for each in CHANNELS
        }
        self.payments = Payments(
            database,
            ledger,
            Channels(list(self.channels.values())),
            clock,
            ids,
            Metrics(),
            risk=PassRisk(),
            routing=Spread(),
            profiles=OneProfile(Merchant(name="Drill")),
        )
        self.scopes = [_scope(ids.int63()) for _ in MERCHANTS]
        self._later: dict[int, list[Coroutine[None, None, None]]] = defaultdict(list)
        self.counts: dict[str, int] = defaultdict(int)

    async def sell(self, slot: int, wishes: Sequence[Wish]) -> None:
        """Let everything happen that this slot (counted from the first day) has: new sales, and what follows on older ones."""
        turn = asyncio.Semaphore(AT_ONCE)

        async def one(act: Coroutine[None, None, None]) -> None:
            async with turn:
                await act

        acts = [*self._later.pop(slot, ()), *(self._sold(slot, wish) for wish in wishes)]
        await asyncio.gather(*(one(act) for act in acts))

    async def resolve(self) -> None:
        """Ask what became of payments whose answer was lost."""
        for _ in range(RESOLVE_ROUNDS_MAX):
            if not await self.payments.resolving.resolve_due():
                return

    def wishes(self, count: int) -> list[Wish]:
        """Return what is wanted on a day: something over every channel, two sales alike, and more by chance."""
        rng = self._rng
        # Claimed in two parts on the very day.
        found = [Wish(2, "card", "CNY", 200 * rng.randrange(100, 900), parts=2) for _ in range(2)]
        for number, (method, currency, remainder) in enumerate((*_EVERY_DAY, *_EVERY_DAY)):
            amount = 2 * rng.randrange(1_000, 40_000) + remainder
            found.append(Wish(number % len(MERCHANTS), method, currency, amount))
        twin = 200 * rng.randrange(10, 400)
        found += [Wish(merchant, "card", "CNY", twin) for merchant in (0, 1)]
        for currency, end in (("CNY", "won"), ("EUR", "lost")):
            amount = 2 * rng.randrange(1_000, 40_000)
            found.append(Wish(3, "card", currency, amount, refunds=(40,)))
            found.append(Wish(4, "card", currency, amount + 2_000, disputed=end))
        kinds, weights = zip(*_MIX, strict=True)
        for _ in range(count):
            method, currency = rng.choices(kinds, weights)[0]
            amount = rng.choice((100 * rng.randrange(5, 3_000), rng.randrange(150, 400_000)))
            parts, refunds, disputed = 0, _NOTHING, ""
            luck = rng.random()
            if method == "card" and luck < 0.2:
                parts = rng.choice((1, 2, 3))
            elif luck < 0.4:
                refunds = rng.choice(((100,), (40,), (30, 30), (50, 50)))
            elif method == "card" and luck < 0.48:
                disputed = rng.choice(("won", "lost", "open"))
            found.append(
                Wish(rng.randrange(len(MERCHANTS)), method, currency, amount, parts, refunds, disputed)
            )
        return found

    async def _sold(self, slot: int, wish: Wish) -> None:
        scope = self.scopes[wish.merchant]
        order = IntentOrder(
            amount_minor=wish.amount_minor,
            currency=wish.currency.lower(),
            method_kinds=(wish.method,),
            capture_method=CaptureMethod.MANUAL_MULTIPLE if wish.parts else CaptureMethod.AUTOMATIC,
            confirm=ConfirmOrder(method=_METHODS[wish.method]),
        )
        view = (await self.payments.intents.create(scope, order)).view
        self.counts["payments"] += 1
        if view is None or view.attempt is None:
            return
        attempt = view.attempt
        if wish.parts:
            if attempt.state is AttemptState.AUTHORIZED:
                await self._claim(slot, scope, attempt, wish.parts)
        elif attempt.state in PAID:
            for number, percent in enumerate(wish.refunds):
                later = slot + 1 + number * SLOTS * self._days_later(wish)
                self._later[later].append(self._refund(scope, attempt, percent))
            if wish.disputed:
                later = slot + SLOTS * self._days_later(wish)
                self._later[later].append(self._dispute(later, attempt, wish.disputed))

    async def _claim(self, slot: int, scope: Scope, attempt: Attempt, parts: int) -> None:
        """Claim in parts, one in each of the next slots, a little less than what was reserved."""
        part = attempt.amount_minor // (parts + 1) or 1
        for number in range(parts):
            is_last = number == parts - 1
            # The last part is of another size: two alike say less.
            amount = part if not is_last else part + part // 3
            self._later[slot + 1 + number].append(self._capture(scope, attempt.intent_id, amount, is_last))

    async def _capture(self, scope: Scope, intent_id: UUID, amount_minor: int, is_last: bool) -> None:
        self.counts["captures"] += 1
        await self.payments.intents.capture(scope, intent_id, amount_minor, final=is_last)

    async def _refund(self, scope: Scope, attempt: Attempt, percent: int) -> None:
        self.counts["refunds"] += 1
        amount = attempt.captured_minor * percent // 100 or 1
        await self.payments.refunds.create(scope, attempt_id=attempt.id, amount_minor=amount)

    async def _dispute(self, slot: int, attempt: Attempt, end: str) -> None:
        self.counts["disputes"] += 1
        channel = self.channels[attempt.channel]
        amount = attempt.captured_minor
        notice = channel.dispute(attempt.reference, amount)
        theirs = channel.record[-1].channel_reference
        await self.payments.resolving.notified(channel.name, notice)
        if end != "open":
            self._later[slot + SLOTS].append(self._decide(attempt, theirs, end))

    async def _decide(self, attempt: Attempt, theirs: str, end: str) -> None:
        channel = self.channels[attempt.channel]
        notice = channel.end_dispute(attempt.reference, theirs, attempt.captured_minor, won=end == "won")
        await self.payments.resolving.notified(channel.name, notice)

    def _days_later(self, wish: Wish) -> int:
        return 1 + wish.amount_minor % DAYS_BACK_MAX

    async def close(self) -> None:
        """Drop what would come after the last day, and let payments finish."""
        for acts in self._later.values():
            for act in acts:
                act.close()
        await self.payments.__aexit__(None, None, None)


def _scope(book_id: int) -> Scope:
    return Scope(
        merchant_id=MerchantId(book_id),
        book_id=book_id,
        live=False,
        actor="key:drill",
        permissions=frozenset(),
    )
