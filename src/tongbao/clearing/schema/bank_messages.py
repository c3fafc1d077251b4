"""What clearing says to banks and hears from them, whatever it looks like on the wire."""

import enum
from datetime import date, datetime, time
from uuid import UUID

import msgspec

MESSAGE_PAYOUTS_MAX = 1_000
"""Payouts in one message."""


class BankTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What is agreed with a bank. ``refuses_repeats``: it refuses a message whose id it has had, so that repeats are safe.

    ``cut_off``: local time in ``zone`` from which on a day is too late; ``calendars``: the bank's working days.
    """

    name: str
    live: bool
    test: bool
    currencies: frozenset[str]
    refuses_repeats: bool = False
    zone: str = "UTC"
    cut_off: time = time(15, 0)
    calendars: tuple[str, ...] = ()


class Instruction(msgspec.Struct, frozen=True, kw_only=True):
    """One payout as a bank is told of it, minor units. ``number`` is clear: never logged, never stored as it is."""

    end_to_end: str
    amount_minor: int
    currency: str
    execution_on: date
    holder: str
    scheme: str
    number: str
    agent_code: str = ""
    country: str = ""
    text: str = ""


class Acknowledged(enum.StrEnum):
    """What sending came to. Only ``not_sent`` says that the bank does not have it."""

    RECEIVED = "received"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"


class Heard(msgspec.Struct, frozen=True):
    """Something that a bank said, as it came; ``handle`` names it to the bank's adapter."""

    handle: str
    content: bytes


class Tidings(enum.StrEnum):
    """What a line tells."""

    STATUS = "status"
    BOOKED = "booked"
    RETURNED = "returned"


class BankLine(msgspec.Struct, frozen=True, kw_only=True):
    """What a bank says of one payout, or of all that ``message_id`` or ``part_id`` holds where ``end_to_end`` is empty."""

    kind: Tidings
    end_to_end: str = ""
    message_id: str = ""
    part_id: str = ""
    status: str = ""
    code: str = ""
    text: str = ""
    amount_minor: int | None = None
    currency: str = ""
    booked_on: date | None = None
    bank_reference: str = ""


class BankReport(msgspec.Struct, frozen=True, kw_only=True):
    """A message of a bank: ``kind`` as ISO 20022 calls it (``pain.002``, ``camt.053``), and what it tells of payouts."""

    kind: str
    message_id: str
    lines: tuple[BankLine, ...] = ()


class MessageState(enum.StrEnum):
    """Where a message is. Outgoing: ready, sending, sent, unknown. Incoming: read or refused; ready where it is still to be applied."""

    READY = "ready"
    SENDING = "sending"  # committed before the bank is called
    SENT = "sent"
    UNKNOWN = "unknown"  # its answer was lost and it must not be repeated by itself
    READ = "read"
    REFUSED = "refused"  # unreadable; kept for people


class BankMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it went or came. ``content`` is sealed; ``digest`` is that of the clear bytes.

    ``attempts``: how often it was handed over; ``due_at``: when that is tried (again), or given up waiting for.
    """

    id: UUID
    at: datetime
    is_outgoing: bool
    bank: str
    kind: str
    message_id: str
    state: MessageState
    attempts: int = 0
    due_at: datetime | None = None
    digest: bytes
    content: bytes
