"""Pay codes: a wallet's payer shows one, a merchant scans it and is paid, once.

A code is used up in the payer's own book before anything is collected, whoever asks for it and however many at once; a
merchant's repeat of the same request gets the same answer. A code whose payment then fails is used up all the same: the
payer's phone has the next one.
"""

import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.channels.schema import Wallet
from tongbao.core.clock import Clock
from tongbao.core.db import Connection
from tongbao.core.errors import Conflict, InvalidRequest, LimitExceeded, NotFound
from tongbao.core.money import Money
from tongbao.core.requests.asks import Ask, Rendered, ask_digest
from tongbao.core.requests.running import Requests
from tongbao.parties.schema import Payer, Scope
from tongbao.payments.policy import orders
from tongbao.payments.policy import pay_codes as policy
from tongbao.payments.schema.orders import ConfirmOrder, Done, IntentOrder, IntentView
from tongbao.payments.service.intents import Intents

CODE_CHARS = policy.TEXT_CHARS
NONCE_BYTES = 8
KEPT = timedelta(hours=24)
"""So long the payer's phone can ask what became of a code; a used one is long over by then."""
IsLive = Callable[[int], Awaitable[bool]]
"""Whether the money in a wallet, by its book, is real; raises NotFound for a book that is no wallet."""


def free_up_to(currency: str) -> Money:
    """Return the most that a code pays by itself, without a proof of its payer; raise InvalidRequest for no currency."""
    return Money.of_major(policy.FREE_MAJOR_MAX.get(currency, policy.FREE_MAJOR_MAX_OTHER), currency)


class PayCode(NamedTuple):
    """A code as it is shown, and until when it is good."""

    text: str
    expires_at: datetime


class PayCodeOrder(NamedTuple):
    """What a merchant collects with a scanned code; the other fields as in ``IntentOrder``."""

    text: str
    amount_minor: int
    currency: str
    description: str | None = None
    merchant_reference: str | None = None
    customer_id: UUID | None = None
    receipt_email: str | None = None
    return_url: str | None = None


class CodeUse(msgspec.Struct, frozen=True, kw_only=True):
    """What a code was used for: the payment and whose book it is in."""

    payment: str
    book_id: int


class PayCodes:
    """Makes codes for payers, and lets merchants collect with them. ``secret`` is the house's own."""

    def __init__(
        self, intents: Intents, requests: Requests, clock: Clock, is_live: IsLive, *, secret: bytes
    ) -> None:
        self._intents = intents
        self._requests = requests
        self._clock = clock
        self._is_live = is_live
        self._key = policy.key_of(secret)

    async def make(self, payer: Payer) -> PayCode:
        """Return a new code of a payer's wallet, good for a minute; writes nothing. Raises NotFound ``wallet_unknown``."""
        book_id = payer.wallet_book_id
        until = (self._clock.now() + policy.LIFE).replace(microsecond=0)
        facts = policy.CodeFacts(
            book_id, await self._is_live(book_id), until, secrets.token_bytes(NONCE_BYTES)
        )
        return PayCode(policy.text_of(facts, self._key), until)

    async def charge(self, scope: Scope, order: PayCodeOrder, *, ask: Ask | None = None) -> Done[IntentView]:
        """Collect with a scanned code, once. Idempotent by ``ask``; a decline is a view with ``last_error``.

        Above ``policy.pay_codes`` the payment waits in ``requires_action`` until its payer has proved who it is. Raises
        InvalidRequest ``pay_code_invalid``, Conflict ``pay_code_used``, ``pay_code_expired`` or ``pay_code_other_mode``,
        LimitExceeded ``pay_code_limit`` where a payer who must prove itself cannot be asked, and what making an intent
        raises.
        """
        facts = policy.facts_of(order.text, self._key)
        if facts is None:
            raise InvalidRequest("pay_code_invalid", "this is no pay code; let the payer show it again")
        currency = orders.known_currency(order.currency)
        orders.check_amount(order.amount_minor, "amount_minor")
        if facts.live != scope.live:
            raise Conflict("pay_code_other_mode", "this pay code is of the other mode")
        must_prove = not policy.is_free(Money(order.amount_minor, currency))
        can_ask = order.customer_id is not None or (not scope.live and bool(order.receipt_email))
        if must_prove and not can_ask:
            raise LimitExceeded(
                "pay_code_limit", "so much needs a proof of the payer: name a customer who can be asked"
            )
        await self._use_up(scope, facts, ask)
        wanted = IntentOrder(
            amount_minor=order.amount_minor,
            currency=currency,
            method_kinds=("wallet",),
            method=Wallet(facts.wallet_book_id),
            description=order.description,
            merchant_reference=order.merchant_reference,
            customer_id=order.customer_id,
            receipt_email=order.receipt_email,
            must_prove=must_prove,
            confirm=ConfirmOrder(return_url=order.return_url),
        )
        done = await self._intents.create(scope, wanted, ask=ask)
        if done.view is not None:
            await self._tell(facts, CodeUse(payment=done.view.intent.reference, book_id=scope.book_id))
        return done

    async def use(self, payer: Payer, text: str) -> CodeUse | None:
        """Return what one of a payer's own codes was used for; None while it was not, and for any other text."""
        facts = policy.facts_of(text, self._key)
        if facts is None or facts.wallet_book_id != payer.wallet_book_id:
            return None

        async def nothing(_: Connection) -> object:
            raise NotFound("pay_code_unused", "this code was not used yet")

        try:
            told, _ = await self._requests.run(
                facts.wallet_book_id, self._ask("pay_code.told", facts, b""), nothing
            )
        except NotFound:
            return None
        return msgspec.json.decode(told.body, type=CodeUse)

    async def _use_up(self, scope: Scope, facts: policy.CodeFacts, ask: Ask | None) -> None:
        """Let nobody else use a code from now on; whoever repeats the same request goes on."""
        who = secrets.token_bytes(NONCE_BYTES) if ask is None else ask.digest + ask.fingerprint
        claim = self._ask("pay_code.used", facts, scope.book_id.to_bytes(8, "big") + who)

        async def in_time(_: Connection) -> object:
            if self._clock.now() >= facts.expires_at:
                raise Conflict("pay_code_expired", "this pay code is over; let the payer show a new one")
            return None

        try:
            await self._requests.run(facts.wallet_book_id, claim, in_time)
        except Conflict as error:
            if error.code == "idempotency_key_reused":
                raise Conflict("pay_code_used", "this pay code was used already") from error
            raise

    async def _tell(self, facts: policy.CodeFacts, use: CodeUse) -> None:
        """Keep for the payer's phone what its code was used for."""

        async def told(_: Connection) -> object:
            return use

        ask = self._ask("pay_code.told", facts, b"")
        ask = msgspec.structs.replace(ask, render=lambda made: Rendered(200, msgspec.json.encode(made)))
        await self._requests.run(facts.wallet_book_id, ask, told)

    def _ask(self, act: str, facts: policy.CodeFacts, fingerprint: bytes) -> Ask:
        """Return a request under a code as its key, in the payer's own book."""
        return Ask(
            digest=ask_digest(act, facts.nonce, str(facts.wallet_book_id), facts.expires_at.isoformat()),
            fingerprint=ask_digest(fingerprint),
            key=act,
            request_id=act,
            render=lambda _: Rendered(200, b"{}"),
            kept_until=facts.expires_at + KEPT,
        )
