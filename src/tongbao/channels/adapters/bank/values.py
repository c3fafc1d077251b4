"""What is said to a bank and by it: settings, orders, acknowledgments, reports."""

import enum
from datetime import date, datetime, time

import msgspec
from pydantic import SecretStr

ORDERS_MAX = 5_000
"""Credit transfers in one message."""
ID_CHARS = 35
NAME_CHARS = 70
TEXT_CHARS = 140
CONTENT_BYTES_MAX = 64 * 1024 * 1024


class Charset(enum.StrEnum):
    """Which letters a bank takes."""

    SEPA = "sepa"
    ANY = "any"


class OwnAccount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The house's account in one currency. ``scheme``: ``iban`` or ``local``; ``agent_code``: BIC, CNAPS or ABA number."""

    number: str
    scheme: str = "iban"
    agent_code: str = ""
    country: str = ""


class HttpWay(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bank reached over HTTP: POST of a message, GET of everything that it has said, as XML documents in a row.

    ``collect_url`` must not take away what it shows. ``password`` is of HTTP basic authentication.
    """

    send_url: str
    collect_url: str
    user: str = ""
    password: SecretStr | None = None
    timeout_s: float = 30.0


class FolderWay(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A gateway (EBICS, SFTP) that takes files out of one folder and puts what the bank says into another."""

    out: str
    into: str


class BankSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One bank of the house; exactly one of ``http`` and ``folder``.

    ``accounts`` by currency. ``refuses_repeats``: the bank agreed to refuse a message whose id it has had (DUPL), so sending
    the same bytes again is safe after a lost answer. ``cut_off``: local time in ``zone`` after which a day is too late;
    ``calendars``: the days on which it works. ``purpose``: category purpose of ISO 20022 (SUPP: payments to suppliers).
    """

    holder: str
    accounts: dict[str, OwnAccount]
    http: HttpWay | None = None
    folder: FolderWay | None = None
    charset: Charset = Charset.SEPA
    refuses_repeats: bool = False
    zone: str = "UTC"
    cut_off: time = time(15, 0)
    calendars: tuple[str, ...] = ()
    purpose: str = "SUPP"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One credit transfer, minor units. ``end_to_end`` is what it is found by in every message after this one."""

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


class OrderMessage(msgspec.Struct, frozen=True, kw_only=True):
    """Orders of one currency that go together. Equal values make equal bytes."""

    message_id: str
    made_at: datetime
    orders: tuple[Order, ...]


class Acknowledgment(enum.StrEnum):
    """What sending came to. Only ``not_sent`` says that the bank does not have it."""

    RECEIVED = "received"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"


class RawMessage(msgspec.Struct, frozen=True):
    """Something that a bank said, as it came; ``handle`` names it to whoever collected it."""

    handle: str
    content: bytes


class LineKind(enum.StrEnum):
    """What a line of a report tells."""

    STATUS = "status"
    BOOKED = "booked"  # it left our account
    RETURNED = "returned"  # it came back to it


class ReportLine(msgspec.Struct, frozen=True, kw_only=True):
    """What a bank says of one transfer, or of all that ``message_id`` or ``part_id`` holds where ``end_to_end`` is empty.

    ``status``: of ISO 20022, for lines of that kind; ``code``: the reason (ISO external code); ``amount_minor``: of bookings.
    """

    kind: LineKind
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


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A message of a bank: ``kind`` is ``pain.002``, ``camt.052``, ``camt.053``, ``camt.054``, or another one with no lines."""

    kind: str
    message_id: str
    lines: tuple[ReportLine, ...] = ()
