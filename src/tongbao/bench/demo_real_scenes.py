"""The scenes of ``tongbao demo real``: what the merchant and its customers do, in order, through the merchant's own program."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from tongbao.bench import payment_drill_audit, risk_drill_history
from tongbao.bench.demo_real_asking import Asked
from tongbao.bench.demo_real_channels import CARD_CURRENCY, WALLETS
from tongbao.bench.demo_real_orders import SMALL_MINOR_BELOW, WALLET_KINDS, Orders, Sizes
from tongbao.bench.demo_real_peers import HOST_SIM
from tongbao.bench.demo_real_world import World
from tongbao.bench.payment_drill_client import Client
from tongbao.bench.payment_drill_settling import Settling
from tongbao.bench.risk_drill_shop import Payer
from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.errors import Unavailable
from tongbao.core.ids import uuid_text
from tongbao.payments.schema.attempts import OPEN, Attempt, AttemptState
from tongbao.payments.schema.intents import Intent

AT_ONCE = 6
WISH_MINOR = 100
TEST_PAUSE_S = 0.25
SEEN_S = 1.0
"""So long after something happened risk control certainly knows of it."""
WRONG_CODES = 6
PROOF_S_MAX = 60.0
RESOLVE_S_MAX = 180.0
HOST_CLOSED = timedelta(seconds=6)
"""So long after a payment the host's back office tells: an approval that comes late stands in its book by then."""
TELL_EVERY_S = 4.0
POLL_S = 0.25
PAGE_S = 20.0
FORM = "application/x-www-form-urlencoded"
Say = Callable[[str], None]


class BackOffice(Settling):
    """The back office of the card host, which tells by signed notices what its book says of payments that were never answered."""

    async def tell(self, attempt: Attempt) -> None:
        """Send the notice about one attempt."""
        await self._tell(attempt)


class Scenes:
    """Plays everything; ``notes`` holds what did not come as it should."""

    def __init__(
        self, world: World, database: Database, shop: Asked, key: str, sizes: Sizes, seed: int, say: Say
    ) -> None:
        self.notes: list[str] = []
        self._lost: set[str] = set()
        self._seed = seed
        self._world = world
        self._database = database
        self._shop = shop
        self._sizes = sizes
        self._orders = Orders(seed)
        self._say = say
        client = Client(world.http, world.api_ports, key)
        self._office = BackOffice(world, client, database, say)

    async def play(self) -> None:
        """Let everybody pay, prove, fail, try and return; ends when nothing is open any more."""
        made: list[dict[str, Any]] = []
        takes_cards = self._world.takes_cards
        if takes_cards:
            people = await self._people()
            for _ in range(self._sizes.visits):
                made += await self._act("pay", [self._orders.visit(each) for each in people])
            self._say(f"{len(people)} customers paid {len(made)} times by card")
        shown = await self._codes()
        if takes_cards:
            await self._silence()
            await self._tests()
            await self._doubts(people)
        await self._pay_codes()
        await self._resolve()
        made += [await self._read(each["id"]) for each in shown]
        await self._refunds([each for each in made if each.get("status") == "succeeded"])
        await self._resolve()

    async def _people(self) -> list[Payer]:
        """Open accounts, keep a card for each, and let risk control know the weeks of payments behind them."""
        emails = [f"payer{number}@mail{number % 5}.example" for number in range(self._sizes.customers)]
        accounts = await self._act("customer", [{"key": each, "form": {"email": each}} for each in emails])
        people = [
            self._orders.person(number, email, account["id"])
            for number, (email, account) in enumerate(zip(emails, accounts, strict=True))
        ]
        methods = await self._act("method", [self._orders.saved(each) for each in people])
        wish = {"amount": WISH_MINOR, "currency": CARD_CURRENCY.lower()}
        await self._act("want", [{"key": "wanted", "form": wish}])
        saved = {str(each["id"]): who for each, who in zip(methods, people, strict=True)}
        count = await risk_drill_history.seed(self._database, self._world.home / "data", saved, self._seed)
        self._say(
            f"{len(people)} customers with {count:,} payments of {risk_drill_history.WEEKS} weeks behind them"
        )
        await asyncio.sleep(SEEN_S)
        return people

    async def _codes(self) -> list[dict[str, Any]]:
        """Show codes of both wallets; some that WeChat Pay makes get lost on their way to the house."""
        wanted = [self._orders.code(kind) for kind in WALLET_KINDS for _ in range(self._sizes.codes)]
        shown = await self._act("pay", wanted)
        lost = await self._act("pay", [self._orders.lost_code() for _ in range(self._sizes.lost)])
        self._lost = {str(each["id"]) for each in lost if each.get("id")}
        self._say(
            f"{len(shown)} codes of Alipay and WeChat Pay were shown, {len(lost)} were lost on their way"
        )
        return [each for each in shown if each.get("id")]

    async def _silence(self) -> None:
        if self._world.peers.has(HOST_SIM):
            count = min(self._sizes.silent, SMALL_MINOR_BELOW // 2)
            await self._act("pay", [self._orders.into_silence(place) for place in range(count)])
            self._say(f"{count} cards met silence at the host")

    async def _doubts(self, customers: list[Payer]) -> None:
        """Let customers spend much from a new device; every second proves who it is, the others fail."""
        doubtful = customers[: self._sizes.doubtful]
        wanted = [self._orders.doubtful(each, place) for place, each in enumerate(doubtful)]
        for place, (order, paid) in enumerate(zip(wanted, await self._act("pay", wanted), strict=True)):
            url = ((paid.get("next_action") or {}).get("redirect_to_url") or {}).get("url") or ""
            if "/step-up/" not in url:
                self.notes.append(f"{paid.get('id')} should have been doubted and is {paid.get('status')}")
                continue
            ended = await self._prove(paid["id"], url, order["form"]["amount"], passes=place % 2 == 0)
            self._say(f"a doubtful payment, {'proved' if place % 2 == 0 else 'not proved'}: {ended}")

    async def _tests(self) -> None:
        """Try dead cards from one device, one after the other."""
        met = []
        for _ in range(self._sizes.cards):
            met += await self._act("pay", [self._orders.test_of_a_card()])
            await asyncio.sleep(TEST_PAUSE_S)
        stopped = sum(_is_blocked(each) for each in met)
        self._say(f"a tester tried {len(met)} cards; risk control stopped {stopped} of the tries")

    async def _pay_codes(self) -> None:
        """Let everybody who sees a code pay it."""
        for attempt in (await payment_drill_audit.read_documents(self._database)).attempts:
            if attempt.channel in WALLETS and attempt.state is AttemptState.ACTION_REQUIRED:
                body = {"reference": attempt.reference, "channel": WALLETS[attempt.channel]}
                told = await self._world.control("POST", "pay", body)
                if told["refused"]:
                    self.notes.append(f"the wallet refused to pay {attempt.reference}: {told['refused']}")

    async def _resolve(self) -> None:
        """Wait until nothing is open: the house inquires by itself, the host's back office tells its book, the shop cancels."""
        told: dict[str, float] = {}
        clock = RealClock()
        began = time.monotonic()
        while (now := time.monotonic()) - began < RESOLVE_S_MAX:
            documents = await payment_drill_audit.read_documents(self._database)
            if not payment_drill_audit.unresolved(documents):
                return
            for attempt in documents.attempts:
                is_early = attempt.channel == HOST_SIM and clock.now() - attempt.sent_at < HOST_CLOSED
                if (
                    attempt.state in OPEN
                    and not is_early
                    and now - told.get(attempt.reference, 0.0) > TELL_EVERY_S
                ):
                    told[attempt.reference] = now
                    await self._end(attempt)
            await asyncio.sleep(POLL_S)
        self.notes.append(f"something was still open after {RESOLVE_S_MAX:.0f} s")

    async def _end(self, attempt: Attempt) -> None:
        """Do the world's part for what is open: the host's word, or that nobody waits for a code that was lost."""
        intent = uuid_text(Intent.PREFIX, attempt.intent_id)
        if attempt.channel == HOST_SIM and attempt.state is AttemptState.UNRESOLVED:
            await self._office.tell(attempt)
        elif intent in self._lost and attempt.state is not AttemptState.UNRESOLVED:
            await self._act("cancel", [{"subject": intent, "key": f"cancel-{intent}"}])

    async def _refunds(self, paid: list[dict[str, Any]]) -> None:
        """Give back some of what was paid: the first and the last of all, so that every channel is met."""
        count = min(self._sizes.refunds, len(paid))
        chosen = [*paid[: count - count // 2], *paid[len(paid) - count // 2 :]]
        done = await self._act("refund", [self._orders.refund(each["id"], each["amount"]) for each in chosen])
        self.notes += [f"a refund was refused: {each['error']}" for each in done if each.get("error")]
        self._say(f"{len(done)} payments were refunded")

    async def _prove(self, intent: str, url: str, amount_minor: int, *, passes: bool) -> str:
        """Open the page of a stepped-up payment and type the code that was sent, or wrong ones; return how it ended."""
        await self._page("GET", url, None)
        code = await self._code(amount_minor)
        typed = [code] if passes else [f"{(int(code) + 1) % 1_000_000:06d}"] * WRONG_CODES
        for each in typed:
            await self._page("POST", f"{url}/answer", urlencode({"code": each}).encode())
        for _ in range(round(PROOF_S_MAX / POLL_S)):
            status = str((await self._read(intent))["status"])
            if status not in ("requires_action", "processing"):
                break
            await asyncio.sleep(POLL_S)
        return status

    async def _code(self, amount_minor: int) -> str:
        for _ in range(round(PROOF_S_MAX / POLL_S)):
            if code := await asyncio.to_thread(self._world.code_for, amount_minor):
                return code
            await asyncio.sleep(POLL_S)
        raise Unavailable("demo_code_missing", f"no code was sent for a payment of {amount_minor}")

    async def _page(self, method: str, url: str, body: bytes | None) -> None:
        parts = urlsplit(url)
        headers = {} if body is None else {"Origin": f"{parts.scheme}://{parts.netloc}", "Content-Type": FORM}
        answer = await self._world.http.request(method, url, headers=headers, body=body, timeout_s=PAGE_S)
        if answer.status >= 500:
            self.notes.append(f"the page of a step-up answered {answer.status}")

    async def _read(self, intent: str) -> dict[str, Any]:
        return (await self._act("read", [{"subject": intent, "key": ""}]))[0]

    async def _act(self, what: str, orders: list[dict[str, Any]]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self._shop.ask(what, orders=orders, at_once=AT_ONCE))["done"]
        return [_intent(each) for each in found]


def _intent(answer: dict[str, Any]) -> dict[str, Any]:
    """Return what an answer is about: of a decline the intent that stands in the error."""
    error = answer.get("error") or {}
    return (
        {**error["payment_intent"], "declined": error.get("code")} if error.get("payment_intent") else answer
    )


def _is_blocked(intent: dict[str, Any]) -> bool:
    return intent.get("risk_state") == "blocked"
