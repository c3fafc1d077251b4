"""What the database tells about keys and passwords before anybody is let in: read and judged inside this room."""

from datetime import datetime

import msgspec

from tongbao.parties.schema import (
    KeyId,
    MerchantId,
    MerchantState,
    OperatorRole,
    Permission,
    Person,
    PersonId,
)


class KeyFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What decides whether a key opens, read in one row by its digest."""

    key_id: KeyId
    digest: bytes
    merchant_id: MerchantId
    book_id: int
    live: bool
    permissions: frozenset[Permission]
    allowed_addresses: tuple[str, ...]
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    merchant_state: MerchantState


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """What a sign-in is checked against; ``password_digest`` is None where none was ever set."""

    person_id: PersonId
    password_digest: str | None
    disabled_at: datetime | None


class Failures(msgspec.Struct, frozen=True):
    """Sign-ins charged to one e-mail address from one network address since the last success."""

    count: int
    last_at: datetime | None
    locked_until: datetime | None


class StaffMember(msgspec.Struct, frozen=True):
    """Somebody of the house and what they are to it."""

    person: Person
    roles: tuple[OperatorRole, ...]
