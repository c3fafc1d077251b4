"""Facts of payouts and of the accounts that they go to: what webhooks, alarms and rooms above are told."""

from datetime import datetime
from uuid import UUID

from tongbao.clearing.schema.payouts import DESTINATION_PREFIX, PAYOUT_PREFIX
from tongbao.core.events.facts import Fact
from tongbao.core.ids import uuid_text


class PayoutChanged(Fact, frozen=True, kw_only=True, tag="clearing.payout_changed"):
    """A payout came to a state, as its ``version``. ``alarm``: why a person should look at it; empty where nobody has to."""

    book_id: int
    live: bool
    payout_id: UUID
    batch_id: UUID
    state: str
    amount_minor: int
    currency: str
    end_to_end: str
    code: str = ""
    alarm: str = ""
    version: int = 0

    @property
    def subject(self) -> str:
        """Return the text id of the payout."""
        return uuid_text(PAYOUT_PREFIX, self.payout_id)


class DestinationChanged(Fact, frozen=True, kw_only=True, tag="clearing.destination_changed"):
    """An account that money may go to came to a state: the owner is told of every change, whoever made it."""

    book_id: int
    destination_id: UUID
    currency: str
    state: str
    scheme: str
    last4: str
    actor: str
    usable_at: datetime | None = None
    note: str = ""
    version: int = 0

    @property
    def subject(self) -> str:
        """Return the text id of the destination."""
        return uuid_text(DESTINATION_PREFIX, self.destination_id)
