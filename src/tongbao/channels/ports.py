"""What every channel adapter fulfils, and what it is lent by the house."""

from typing import Protocol

from tongbao.channels.schema import (
    Acknowledgment,
    Answer,
    Authorize,
    Capabilities,
    Follow,
    Inquire,
    Notification,
    Payout,
    RawNotification,
)
from tongbao.privacy.schema import RevealedCard


class Channel(Protocol):
    """One configured route for money.

    No method raises for anything that the other side does: silence, garbage and refusals are answers
    (``Outcome``). Repeating a call with the same reference is the same act upstream. A call that the
    capabilities exclude is answered DECLINED with ``Reason.REQUEST_INVALID`` and never sent.
    """

    @property
    def name(self) -> str:
        """Name of the route, unique in the house: ``alipay_main``."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it can do; constant while the process runs."""
        ...

    async def authorize(self, call: Authorize) -> Answer:
        """Reserve, or with ``capture`` claim, money of the payer."""
        ...

    async def increment(self, call: Follow) -> Answer:
        """Authorize ``amount_minor`` more on an open authorization."""
        ...

    async def capture(self, call: Follow) -> Answer:
        """Claim all or part of what was authorized."""
        ...

    async def void(self, call: Follow) -> Answer:
        """Give back what was authorized and not captured; on channels that can, undo a capture of today."""
        ...

    async def refund(self, call: Follow) -> Answer:
        """Return captured money. PENDING where the channel finishes it later."""
        ...

    async def inquire(self, call: Inquire) -> Answer:
        """Ask what became of an act; UNRESOLVED where the channel cannot tell, too."""
        ...

    async def payout(self, call: Payout) -> Answer:
        """Send money out of the house."""
        ...

    def parse_notification(self, raw: RawNotification) -> Notification:
        """Check and read a notification; raise NotificationForged or NotificationMalformed."""
        ...

    def acknowledge(self, *, accepted: bool) -> Acknowledgment:
        """Return what the channel wants to hear; not accepted makes it repeat the notification."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class CardVault(Protocol):
    """Where adapters turn a token into a card. Every reveal is audited with the channel as actor."""

    async def reveal_card(self, token: str, *, purpose: str, actor: str, subject: str) -> RevealedCard:
        """Return the card; ``subject`` is our reference of the act. Raise NotFound ``token_unknown``."""
        ...
