"""From a form to a payment: what was typed is read, a card is sealed, the intent is confirmed once for each form.

What goes wrong is a ``Problem``, a word that the page puts into a sentence; never what was typed.
"""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass

from tongbao.channels.schema import Method
from tongbao.core.clock import Clock
from tongbao.core.errors import Conflict, InvalidRequest, LimitExceeded, OutcomeUnknown, Unavailable
from tongbao.core.ids import IdFactory, uuid_text
from tongbao.core.requests.asks import Ask, Rendered, ask_digest
from tongbao.core.requests.running import kept_until
from tongbao.parties.schema import Merchant, Scope
from tongbao.payments.schema.checkout import CheckoutSession
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.orders import ConfirmOrder, Device
from tongbao.payments.service.intents import Intents
from tongbao.privacy.schema import CardInput
from tongbao.web.api.v1.ports import Cards
from tongbao.web.api.v1.routes.cards import card_of
from tongbao.web.cashier import faces

KEY_PREFIX = "try"
_KEY = re.compile(r"[0-9a-z_]{8,64}")
_EXPIRY = re.compile(r"\s*(\d{1,2})\s*[/.\-]?\s*(\d{4}|\d{2})\s*", re.ASCII)


class Problem(enum.StrEnum):
    """Why a form was not taken; the words are in ``locale.cashier`` under ``p_<problem>``."""

    NUMBER = "number"
    EXPIRY = "expiry"
    CVC = "cvc"
    NAME = "name"
    METHOD = "method"
    AGAIN = "again"
    BUSY = "busy"


_CONFLICTS = {"idempotency_key_reused": Problem.AGAIN, "no_channel": Problem.METHOD}
_PROBLEMS = {
    "number": Problem.NUMBER,
    "exp_month": Problem.EXPIRY,
    "exp_year": Problem.EXPIRY,
    "cvc": Problem.CVC,
    "name": Problem.NAME,
}
"""What is wrong by the field that the vault names."""


@dataclass(frozen=True)
class Typed:
    """What a form says: which form it is, how to pay, and a card where that is how."""

    key: str
    kind: str
    card: CardInput | None


@dataclass(frozen=True)
class Payer:
    """Who pays what: a session and its intent, on behalf of whom, from which network address, back to which page.

    ``device`` is the reference that the payer's browser keeps for this house, None where it keeps none.
    """

    session: CheckoutSession
    intent: Intent
    scope: Scope
    address: str | None
    page_url: str
    device: str | None = None


def payer_scope(merchant: Merchant, session: CheckoutSession) -> Scope:
    """Return the scope of whoever has a session's address: the merchant's book of its mode, and no permission.

    There is no key to make it from; the pages use it for the session's own intent and for sealing a card only.
    """
    return Scope(
        merchant_id=merchant.merchant_id,
        book_id=session.book_id,
        live=session.live,
        actor="payer",
        permissions=frozenset(),
    )


def read_form(fields: Mapping[str, str]) -> Typed | Problem:
    """Return what a form says, or why it is not complete."""
    key, kind = fields.get("key", ""), fields.get("method", "")
    if not _KEY.fullmatch(key):
        return Problem.AGAIN
    if kind not in faces.PRESENTMENTS:
        return Problem.METHOD
    if kind != "card":
        return Typed(key, kind, None)
    card = _card_input(fields)
    return card if isinstance(card, Problem) else Typed(key, kind, card)


class Paying:
    """Pays what forms ask for."""

    def __init__(self, intents: Intents, cards: Cards, clock: Clock, ids: IdFactory) -> None:
        self._intents = intents
        self._cards = cards
        self._clock = clock
        self._ids = ids

    def new_key(self) -> str:
        """Return the key of a form that is about to be shown."""
        return uuid_text(KEY_PREFIX, self._ids.uuid())

    async def pay(self, payer: Payer, typed: Typed) -> Problem | None:
        """Confirm the intent with what was typed, once for each form; how that ended stands in the intent.

        A second click, or a second form while the first is under way, changes nothing. A problem means that nothing
        was sent to any channel.
        """
        found = await self._method(payer, typed)
        if isinstance(found, Problem):
            return found
        method, fingerprint = found
        order = ConfirmOrder(
            method=method,
            return_url=payer.page_url,
            payer_address=payer.address,
            device=Device(reference=payer.device) if payer.device else None,
        )
        try:
            await self._intents.confirm(
                payer.scope, payer.intent.id, order, ask=self._ask(payer, typed, fingerprint)
            )
        except Conflict as error:
            # Any other conflict: it is under way or done already, and the page tells how it stands.
            return _CONFLICTS.get(error.code)
        except OutcomeUnknown:
            # It may have been sent. Only what is stored tells, and that is what the page shows.
            return None
        except (Unavailable, LimitExceeded):
            return Problem.BUSY
        return None

    async def _method(self, payer: Payer, typed: Typed) -> tuple[Method, str] | Problem:
        """Return the method to pay with, a card sealed first, and what tells it from others of its kind."""
        if typed.card is None:
            return faces.CODES[typed.kind], ""
        try:
            token = await self._cards.keep(payer.scope, typed.card)
        except InvalidRequest as error:
            return _PROBLEMS.get(str(error.facts.get("param")), Problem.NUMBER)
        except (Unavailable, OutcomeUnknown):
            return Problem.BUSY
        return card_of(token), token.fingerprint

    def _ask(self, payer: Payer, typed: Typed, fingerprint: str) -> Ask:
        return Ask(
            digest=ask_digest("cashier.pay", payer.session.reference, typed.key),
            fingerprint=ask_digest(typed.kind, fingerprint),
            key=typed.key,
            request_id=uuid_text("req", self._ids.uuid()),
            render=lambda _: Rendered(303, payer.page_url.encode()),
            kept_until=kept_until(self._clock.now(), moves_money=True),
        )


def _card_input(fields: Mapping[str, str]) -> CardInput | Problem:
    """Return a card as it was typed, or which part of it is missing or no date."""
    number, cvc = fields.get("number", "").strip(), fields.get("cvc", "").strip()
    expiry = _EXPIRY.fullmatch(fields.get("expiry", ""))
    if not number:
        return Problem.NUMBER
    if expiry is None:
        return Problem.EXPIRY
    if not cvc:
        return Problem.CVC
    return CardInput(
        number=number,
        exp_month=int(expiry[1]),
        exp_year=int(expiry[2]),
        cvc=cvc,
        holder_name=fields.get("name"),
    )
