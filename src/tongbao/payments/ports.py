"""What payments asks of rooms that plug into it."""

from datetime import datetime
from typing import Protocol, runtime_checkable
from uuid import UUID

import msgspec

from tongbao.channels.schema import Initiator, Merchant, Method
from tongbao.decisions.schema.log import Decision
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.orders import Device
from tongbao.risk.schema.challenges import Challenge, Purpose
from tongbao.risk.schema.facts import Assessed
from tongbao.risk.schema.tiers import Tier


class RiskQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """A payment that is about to be tried; amounts in the intent are minor units.

    ``payer_address`` and ``device``: where the payer is and on what, where it is known. ``can_authenticate``: a channel that
    can carry it lets the issuer make sure of the payer.
    """

    intent: Intent
    method: Method
    merchant: Merchant
    initiator: Initiator
    payer_address: str | None = None
    device: Device | None = None
    can_authenticate: bool = False


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What risk control decided, and why; ``step_up_url`` is where the payer proves who it is, until ``step_up_until``.

    ``by_issuer``: it is the issuer that makes sure of the payer (3-D Secure), on the way of the payment itself.
    ``decision`` and ``fact`` are written in the commit of what follows; None where nobody decided.
    """

    tier: Tier
    reasons: tuple[str, ...] = ()
    step_up_url: str | None = None
    step_up_until: datetime | None = None
    by_issuer: bool = False
    decision: Decision | None = None
    fact: Assessed | None = None


class RiskControl(Protocol):
    """Judges a payment before a channel is chosen. A failure of it must never fail a payment."""

    async def assess(self, question: RiskQuestion) -> Verdict:
        """Return the verdict; writes nothing."""
        ...


class Proofs(Protocol):
    """Where proofs of payers are asked for; see ``risk.service.challenging.Challenging``."""

    async def latest(self, purpose: Purpose) -> Challenge | None:
        """Return the newest challenge for exactly this payment; None where there is none."""
        ...

    async def abandon(self, book_id: int, challenge_id: UUID) -> Challenge:
        """End an open challenge; raises NotFound, and Conflict where it has ended."""
        ...


class RouteQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """Over which of these channels shall a payment go? All of them can carry it.

    ``excluded``: channels that cannot, each with the code of why; ``tried``: channels that said no to it already.
    """

    intent: Intent
    method: Method
    merchant: Merchant
    initiator: Initiator
    candidates: tuple[str, ...]
    excluded: dict[str, str] = {}
    tried: tuple[str, ...] = ()


class Route(msgspec.Struct, frozen=True):
    """The channel to try first, and those to cascade to, in order, where a no allows it.

    ``decision`` is written in the commit of the attempt; None where nobody decided (one channel, a failure).
    """

    channel: str
    fallbacks: tuple[str, ...] = ()
    decision: Decision | None = None


class Routing(Protocol):
    """Chooses among the channels that can carry a payment."""

    async def choose(self, question: RouteQuestion) -> Route:
        """Return the route; writes nothing. A Conflict says that nothing may be chosen; any other failure is passed over."""
        ...

    def heard(self, attempt: Attempt) -> None:
        """Take note that the channel of an attempt has answered, whatever it said."""
        ...

    def dropped(self, attempt: Attempt) -> None:
        """Take note that an attempt was planned and not made: the request is a repeat, or somebody was faster."""
        ...


@runtime_checkable
class Foresight(Protocol):
    """A routing that can tell beforehand how likely a way to pay works."""

    def chance(
        self, intent: Intent, kind: str, merchant: Merchant, candidates: tuple[str, ...]
    ) -> float | None:
        """Return the chance of an approval over the likeliest of these channels, in [0, 1]; None where all are ill."""
        ...


class MerchantProfiles(Protocol):
    """Where payments learn what channels and payers are told about a merchant."""

    async def profile(self, book_id: int) -> Merchant:
        """Return what channels may know of the merchant whose book this is. Cached by the implementer."""
        ...

    async def features(self, book_id: int) -> frozenset[str]:
        """Return what the merchant's package holds, in the words of ``parties``. Cached by the implementer."""
        ...


class CardMemory(Protocol):
    """Where security codes wait for their authorization; after it nobody may keep them (PCI DSS 4.0, 3.3.1)."""

    def forget_cvc(self, token: str) -> None:
        """Forget the security code of a card, if this process remembers it."""
        ...


class SecretBox(Protocol):
    """Keeps secrets that must be read again, such as those that webhooks are signed with."""

    def seal(self, clear: bytes, context: bytes) -> bytes:
        """Return ``clear`` encrypted and bound to ``context``."""
        ...

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Return what was sealed under this context; raises where it was not, or was changed."""
        ...
