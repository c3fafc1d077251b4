"""The people of the risk drill: customers who pay as they always do, a card tester, a thief, and payers who prove who they are."""

import asyncio
import itertools
import random
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from tongbao.bench.risk_drill_shop import (
    ISSUER,
    PASSED,
    STEPPED_UP,
    USUAL_MINOR_MAX,
    USUAL_MINOR_MIN,
    Paid,
    Payer,
    Shop,
    card_of,
    daily_minor,
)
from tongbao.bench.risk_drill_world import RiskWorld
from tongbao.core.errors import Unavailable
from tongbao.core.ids import parse_uuid

VISITS_MAX = 3
"""Payments of one customer within the minutes of a drill: risk control takes more within an hour for a small burst."""
LOAD_VISITS_MAX = VISITS_MAX - 1
"""As often they pay in loads, which last as long as processes take to start; the rest is for what comes after."""
SPECIAL_COUNT = 12
"""The first customers, who take part in scenes of their own and in no load."""
NEWCOMER_COUNT = 20
AT_ONCE_MAX = 6
BOT_PAUSE_S = 0.12
DECLINED_MINOR = (105, 205, 151, 254)
"""Tiny amounts whose last digits make the sandbox's issuers decline: a tester's cards are dead for the most part."""
ALIVE_MINOR = 100
ALIVE_SHARE = 0.25
SPREE_MINOR = (18_000, 24_000, 45_000, 65_000, 90_000, 120_000, 75_000, 150_000)
"""What a thief tries with a card whose owner spends 20 to 60: first amounts that no single rule minds, then more."""
WRONG_CODES = 5
ENDED_LOOKS_MAX, ENDED_LOOK_S = 100, 0.2
CODE_POLL_S = 0.1
CODE_S_MAX = 5.0


class Crowd:
    """Customers with an account, a card, a device and an address each. ``open`` before use."""

    def __init__(self, shop: Shop, count: int, seed: int) -> None:
        self.payers: list[Payer] = []
        self._shop = shop
        self._count = count
        self._random = random.Random(seed)
        self._visits: dict[str, int] = {}
        self._turn = itertools.count()
        self._strangers = itertools.count()

    async def open(self) -> None:
        """Open the accounts."""
        gate = asyncio.Semaphore(AT_ONCE_MAX)

        async def one(number: int) -> Payer:
            async with gate:
                email = f"payer{number}@mail{number % 5}.example"
                customer = await self._shop.customer(email)
            return self._person(number, email, customer)

        self.payers = list(await asyncio.gather(*(one(number) for number in range(self._count))))

    @property
    def regulars(self) -> list[Payer]:
        """Everybody who pays as ever, and nothing else."""
        return self.payers[SPECIAL_COUNT:]

    async def newcomers(self, scene: str) -> None:
        """Let people pay once whom nobody here has ever seen."""
        for _ in range(NEWCOMER_COUNT):
            await self.visit(scene, await self.stranger())

    async def stranger(self) -> Payer:
        """Open the account of somebody whom nobody here has ever seen."""
        number = next(self._strangers)
        email = f"new{number}@mail{number % 5}.example"
        return self._person(self._count + number, email, await self._shop.customer(email))

    async def rounds(self, scene: str, count: int) -> None:
        """Let everybody pay ``count`` times, some at once."""
        gate = asyncio.Semaphore(AT_ONCE_MAX)

        async def one(payer: Payer) -> None:
            async with gate:
                await self.visit(scene, payer)

        for _ in range(count):
            self._visits.update({each.card: self._visits.get(each.card, 0) + 1 for each in self.regulars})
            await asyncio.gather(*(one(each) for each in self.regulars))

    async def keep_paying(self, scene: str, rate_per_s: float, count_max: int, stop: asyncio.Event) -> None:
        """Let customers pay in turn at a steady rate, whatever becomes of those before them, until ``stop``.

        Ends before after ``count_max`` payments, and where everybody has paid as often as anybody does in a load.
        """
        async with asyncio.TaskGroup() as group:
            for _ in range(count_max):
                payer = self._whose_turn(LOAD_VISITS_MAX)
                if payer is None or stop.is_set():
                    return
                group.create_task(self.visit(scene, payer))
                await asyncio.sleep(1.0 / rate_per_s)

    async def visit(self, scene: str, payer: Payer, port: int | None = None) -> Paid:
        """Let somebody pay an ordinary amount."""
        return await self._shop.pay(scene, payer, daily_minor(payer, self._random), port)

    def next_payer(self) -> Payer:
        """Return whose turn it is; raise Unavailable where everybody has paid as often as anybody does in an hour."""
        payer = self._whose_turn(VISITS_MAX)
        if payer is None:
            raise Unavailable("drill_crowd_spent", "the drill has too few customers for its scenes")
        return payer

    def _whose_turn(self, visits_max: int) -> Payer | None:
        """Return who comes next of those who paid less than so often; None where there is nobody."""
        for _ in self.regulars:
            payer = self.regulars[next(self._turn) % len(self.regulars)]
            if self._visits.get(payer.card, 0) < visits_max:
                self._visits[payer.card] = self._visits.get(payer.card, 0) + 1
                return payer
        return None

    def _person(self, number: int, email: str, customer: str) -> Payer:
        return Payer(
            card=card_of(self._random),
            device=f"device-{number}-{self._random.randrange(10**9)}",
            address=f"198.51.{number // 250}.{number % 250 + 1}",
            email=email,
            customer=customer,
            usual_minor=self._random.randrange(USUAL_MINOR_MIN, USUAL_MINOR_MAX),
        )


class Stopped(NamedTuple):
    """How far an attack came: attempts before the first that did not pass, the share that did not, and the money that did."""

    attempts_before: int
    stopped_share: float
    passed_minor: int
    passed_value_share: float


def customer_key(payer: Payer) -> str:
    """Return the key that risk control knows a customer by."""
    found = payer_customer_id(payer)
    return found.hex if found else ""


def payer_customer_id(payer: Payer) -> UUID | None:
    """Return the id of a payer's account; None for a guest."""
    return parse_uuid("cus", payer.customer) if payer.customer else None


def payment_id(paid: Paid) -> UUID:
    """Return the id of a payment."""
    return parse_uuid("pi", paid.id)


async def try_cards(shop: Shop, cards: int, seed: int) -> list[Paid]:
    """Try many cards with tiny amounts from one device and address, as a program does; most are dead."""
    chance = random.Random(f"{seed}/tester")
    found = []
    for number in range(cards):
        is_alive = chance.random() < ALIVE_SHARE
        amount = ALIVE_MINOR if is_alive else chance.choice(DECLINED_MINOR)
        tester = Payer(card_of(chance), "device-bot", "203.0.113.66", f"t{number}@quick.example")
        found.append(await shop.pay("burst", tester, amount))
        await asyncio.sleep(BOT_PAUSE_S)
    return found


async def go_on_a_spree(shop: Shop, victim: Payer) -> list[Paid]:
    """Use somebody's card for high amounts, through the owner's account, from a new device and address.

    A step-up goes to the owner, so the thief never passes one. In test mode, where everybody pays with the same few cards, a
    card is known by its holder; a guest with the same number would be somebody else there.
    """
    thief = victim._replace(device="device-thief", address="203.0.113.99")
    found = []
    for amount in SPREE_MINOR:
        found.append(await shop.pay("spree", thief, amount))
        await asyncio.sleep(BOT_PAUSE_S)
    return found


def stopped(paid: Sequence[Paid]) -> Stopped:
    """Return how far an attack came, from its attempts in order; raises ValueError for none.

    An issuer's no does not stop an attack: the tester has learned what it wanted to know.
    """
    is_stopped = [each.met not in (PASSED, ISSUER) for each in paid]
    whole = sum(each.amount_minor for each in paid)
    if not whole:
        raise ValueError("an attack has attempts")
    passed = sum(each.amount_minor for each in paid if each.met == PASSED)
    before = is_stopped.index(True) if True in is_stopped else len(paid)
    return Stopped(before, round(sum(is_stopped) / len(paid), 4), passed, round(passed / whole, 4))


async def prove(world: RiskWorld, shop: Shop, paid: Paid) -> str:
    """Open the page of a stepped-up payment, type the code that was sent; return how the payment stands then."""
    await shop.look(paid.url)
    await shop.type_code(paid.url, await _code(world, paid))
    return str((await shop.read(paid.id))["status"])


async def fail(world: RiskWorld, shop: Shop, paid: Paid) -> str:
    """Open the page and type wrong codes until there are no attempts left; return how the payment stands then.

    The right code, typed too late, must not help any more.
    """
    await shop.look(paid.url)
    right = await _code(world, paid)
    wrong = f"{(int(right) + 1) % 1_000_000:06d}"
    for _ in range(WRONG_CODES):
        await shop.type_code(paid.url, wrong)
    await shop.type_code(paid.url, right)
    # The workers carry out what a failed proof means.
    for _ in range(ENDED_LOOKS_MAX):
        status = str((await shop.read(paid.id))["status"])
        if status != "requires_action":
            break
        await asyncio.sleep(ENDED_LOOK_S)
    return status


async def ask_again(shop: Shop, paid: Paid) -> str:
    """Confirm a payment once more, as a shop may after a proof failed; return what that meets: a state, or a code."""
    status, body = await shop.post(f"/v1/payment_intents/{paid.id}/confirm", f"again-{paid.id}", {}, None)
    if "error" in body:
        return str(body["error"].get("code") or status)
    return str(body.get("status"))


def on_a_new_device(payer: Payer, number: int) -> Payer:
    """Return a customer who has bought a new phone and is away from home."""
    return payer._replace(device=f"device-new-{number}", address=f"192.0.2.{number + 1}")


def check_stepped_up(paid: Paid) -> None:
    """Raise Unavailable where a payment that a scene needs stepped up was not."""
    if paid.met != STEPPED_UP:
        raise Unavailable("drill_not_stepped_up", f"{paid.id} met {paid.met}, a step-up was expected")


async def _code(world: RiskWorld, paid: Paid) -> str:
    for _ in range(round(CODE_S_MAX / CODE_POLL_S)):
        if code := world.code_for(paid.amount_minor):
            return code
        await asyncio.sleep(CODE_POLL_S)
    raise Unavailable("drill_code_missing", f"no code was sent for {paid.id}")
