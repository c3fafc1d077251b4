"""How payers are reached, and what signing in to a wallet hands across the door of this room.

``Messages`` is what parties ask of others: a carrier of codes and notices. The rest are the values around it.
"""

from datetime import datetime
from enum import StrEnum
from typing import NewType, Protocol
from uuid import UUID

import msgspec
from pydantic import SecretStr

from tongbao.parties.schema import PayerId

CodeId = NewType("CodeId", UUID)
PayerSessionId = NewType("PayerSessionId", UUID)
PayerDeviceId = NewType("PayerDeviceId", UUID)

PAYER_SESSION_PREFIX = "psess"
PAYER_DEVICE_PREFIX = "pdev"
CODE_PREFIX = "pcode"


class ContactKind(StrEnum):
    """What kind of address a payer has."""

    EMAIL = "email"
    PHONE = "phone"


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """An address of a payer; ``folded`` is the form in which addresses are compared."""

    kind: ContactKind
    address: str
    folded: str


class Notice(StrEnum):
    """What payers are told without having asked, at every address they have."""

    RECOVERY_BEGUN = "recovery_begun"
    RECOVERY_DONE = "recovery_done"
    PASSKEY_ADDED = "passkey_added"


class Messages(Protocol):
    """Carries messages to payers. What is not delivered raises Unavailable; nobody waits for it."""

    async def code(self, to: Contact, code: str, locale: str, minutes: int) -> None:
        """Hand over a code for signing in, good for some minutes."""
        ...

    async def notice(self, to: Contact, notice: Notice, locale: str) -> None:
        """Hand over a notice."""
        ...


class Means(StrEnum):
    """How a payer has signed in; a code alone is the weaker one."""

    CODE = "code"
    PASSKEY = "passkey"


class PayerSession(msgspec.Struct, frozen=True, kw_only=True):
    """One browser in which a payer is signed in. ``seen_at`` is coarse: at most once a minute."""

    session_id: PayerSessionId
    payer_id: PayerId
    means: Means
    address: str
    agent: str
    created_at: datetime
    seen_at: datetime
    ended_at: datetime | None


class IssuedPayerSession(msgspec.Struct, frozen=True):
    """A new session and, this one time, its token."""

    session: PayerSession
    token: SecretStr


class RememberedDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A browser that its payer wants to be known again: it shortens what is asked, and proves nothing by itself."""

    device_id: PayerDeviceId
    payer_id: PayerId
    label: str
    remembered_at: datetime
    seen_at: datetime
    revoked_at: datetime | None


class CodeSent(msgspec.Struct, frozen=True, kw_only=True):
    """What a visitor is told after asking for a code, whether or not anybody has that address.

    ``shown`` is the code itself, in a demonstration alone, where no message leaves the house.
    """

    code_id: CodeId
    masked: str
    expires_at: datetime
    shown: str | None = None


class Proved(msgspec.Struct, frozen=True, kw_only=True):
    """What a right code proves: who reads this address is here. ``payer_id`` is None for somebody new."""

    contact: Contact
    payer_id: PayerId | None
    name: str
    locale: str


class Enrolment(StrEnum):
    """Whether a payer may add a passkey in a session, and why not."""

    ALLOWED = "allowed"
    NEEDS_PASSKEY = "needs_passkey"  # there is one already: sign in with it, or recover
    WAITS = "waits"  # recovery has begun and its time is not over
    RECOVERED = "recovered"  # allowed, and the passkeys from before go
