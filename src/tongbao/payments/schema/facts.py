"""What payments tells upper rooms and, as events, the merchant: documents as they were at the commit."""

import msgspec

from tongbao.core.events.facts import Fact
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.checkout import CheckoutSession, PaymentLink, WalletTransfer
from tongbao.payments.schema.complaints import Complaint
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.methods import Mandate, PaymentMethod, SetupIntent
from tongbao.payments.schema.refunds import Dispute, Refund

AnyDocument = (
    Intent
    | Attempt
    | Refund
    | Dispute
    | PaymentMethod
    | SetupIntent
    | Mandate
    | PaymentLink
    | CheckoutSession
    | WalletTransfer
    | Complaint
)


class Event(msgspec.Struct, frozen=True, array_like=True):
    """One thing that happened: its type (``payment_intent.succeeded``) and the place of its document in the fact."""

    type: str
    index: int = 0


class Happened(Fact, frozen=True, kw_only=True, tag="payments.happened"):
    """Facts: in one commit, these documents came to these versions, and that means these events.

    Feeds webhooks and ``/v1/events``; rooms above match on the documents. ``request_id`` and ``idempotency_key``
    name the request that caused it, where there was one.
    """

    book_id: int
    live: bool
    events: tuple[Event, ...]
    documents: tuple[AnyDocument, ...]
    request_id: str | None = None
    idempotency_key: str | None = None

    @property
    def subject(self) -> str:
        """Return the text id of the first document."""
        return self.documents[0].reference
