"""How passkeys of customers look under ``/v2``: nothing with which somebody could ask an authenticator."""

from datetime import datetime

from pydantic import Field

from tongbao.core.ids import uuid_text
from tongbao.parties import schema
from tongbao.web.api.shapes import Model


class Passkey(Model):
    """A passkey of a customer."""

    object: str = "passkey"
    id: str = Field(description="`passkey_…`, of a digest of its credential.")
    customer: str
    synchronized: bool = Field(description="Whether its provider copies it to other devices of the customer.")
    transports: list[str] = Field(
        description="How it is reached, in the words of WebAuthn: `internal`, `hybrid`…"
    )
    created_at: datetime
    last_used_at: datetime | None

    @classmethod
    def of(cls, passkey: schema.Passkey) -> "Passkey":
        """Return how a passkey looks."""
        return cls(
            id=passkey.reference,
            customer=uuid_text(schema.CUSTOMER_PREFIX, passkey.holder.holder_id),
            synchronized=passkey.label == "multi_device",
            transports=list(passkey.transports),
            created_at=passkey.created_at,
            last_used_at=passkey.last_used_at,
        )


class Passkeys(Model):
    """A customer's passkeys, oldest first: all of them, at most 50."""

    object: str = "list"
    data: list[Passkey]
    has_more: bool = False
