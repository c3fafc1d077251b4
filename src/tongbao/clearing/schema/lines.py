"""Lines: what files of channels and banks say, each in one form, whatever it came in.

A file is known by the digest of its bytes and by what it says of itself; a line by its file and its own key, so that the
same line in a file that is sent again counts once.
"""

import enum
from datetime import date, datetime
from uuid import UUID

import msgspec

FILE_PREFIX = "rcf"
LINE_TEXT_CHARS_MAX = 200
REFUSALS_MAX = 1_000
STATEMENTS_MAX = 1_000
"""Statements in one file."""
STRAYS_MAX = 1_000
FILE_BYTES_MAX = 4_000_000_000
LINES_MAX = 10_000_000


class Format(enum.StrEnum):
    """What a file is written in."""

    STRIPE_BALANCE = "stripe_balance"
    ALIPAY_BILL = "alipay_bill"
    WECHAT_TRADE = "wechat_trade"
    WECHAT_FUND = "wechat_fund"
    ISO8583_TOTALS = "iso8583_totals"
    CAMT_052 = "camt.052"
    CAMT_053 = "camt.053"
    CAMT_054 = "camt.054"
    MT940 = "mt940"
    CSV = "csv"  # columns by configuration
    NOTICE = "notice"  # a bank's word about single payouts (pain.002, camt.054, pacs.004): no statement


class Side(enum.StrEnum):
    """Which of the truths a file tells."""

    CHANNEL = "channel"
    BANK = "bank"


class Tells(enum.StrEnum):
    """What the files of a channel tell."""

    PAYMENTS = "payments"  # payment by payment, to be compared with ours
    FUNDS = "funds"  # what moved in our account there, to be compared with what it told of payments and with the bank


class LineKind(enum.StrEnum):
    """What a line is about."""

    SALE = "sale"
    REFUND = "refund"
    DISPUTE = "dispute"
    DISPUTE_WON = "dispute_won"
    FEE = "fee"  # a cost that stands on a line of its own
    TRANSFER = "transfer"  # the channel paid us, or took from us: what the bank shows
    PAYOUT = "payout"  # we paid somebody
    RETURN = "return"  # a payout that came back
    TOTAL = "total"  # sums without single payments (batch totals)
    OTHER = "other"


class Line(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One line of a file. Amounts are signed minor units from the house's view: money to us is positive.

    ``number``: of the line (or entry) in its file, from 1. ``key``: what makes it unique in its source (the channel's id of the
    movement; else a digest of the line and how often it was seen before in the file). ``reference``: ours, where it is told;
    ``channel_reference``: theirs. ``batch``: their settlement or statement entry that it belongs to. ``gross_minor`` less
    ``fee_minor`` is ``net_minor``. ``count``: of payments that a total stands for.
    """

    number: int
    key: str
    kind: LineKind
    currency: str
    gross_minor: int
    fee_minor: int = 0
    net_minor: int
    reference: str = ""
    channel_reference: str = ""
    batch: str = ""
    occurred_at: datetime | None = None
    value_on: date | None = None
    count: int = 1
    text: str = ""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a line was not taken; ``column`` and ``value`` (cut to 80 characters) say where. ``code`` is stable."""

    number: int
    code: str
    detail: str
    column: str = ""
    value: str = ""


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """An opening or closing balance that a statement tells, minor units."""

    currency: str
    amount_minor: int
    on: date


class Told(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One statement of a file that may hold several; ``page`` of it, where one statement goes over several."""

    statement: str = ""
    account: str = ""
    sequence: int | None = None
    page: int = 0
    from_on: date | None = None
    until_on: date | None = None
    opening: Balance | None = None
    closing: Balance | None = None


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says of itself. ``sequence``: of a statement in its account, to find gaps; ``account``: theirs, masked.

    ``from_on`` and ``until_on``: the days that the file is of. ``statements``: each statement by itself, in order of the file; the
    fields beside it are of all of them together (first opening, last closing, number and name of the last).
    ``declared_count`` and ``declared_minor``: totals that the file ends with, to be compared with its lines.
    """

    source: str
    format: Format
    side: Side
    statement: str = ""
    account: str = ""
    sequence: int | None = None
    from_on: date | None = None
    until_on: date | None = None
    opening: Balance | None = None
    closing: Balance | None = None
    declared_count: int | None = None
    declared_minor: int | None = None
    encoding: str = "utf-8"
    statements: tuple[Told, ...] = ()


class FileState(enum.StrEnum):
    """How far a file is: a reading that was killed goes on from ``reading`` with nothing counted twice."""

    READING = "reading"
    READ = "read"
    REFUSED = "refused"  # nothing of it counts


class SourceFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file as it was taken in. ``refused_count`` lines were not; the first thousand are kept with their reason.

    ``period_by``: who says which days it is of (``policy.periods.ToldBy``). ``strays``: ids of the lines whose day lies far
    outside of them, the first thousand.
    """

    id: UUID
    name: str
    digest: bytes
    size_bytes: int
    header: Header
    state: FileState
    line_count: int = 0
    repeated_count: int = 0
    refused_count: int = 0
    problems: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    period_by: str = ""
    strays: tuple[int, ...] = ()
    received_at: datetime
    received_by: str


class CsvColumns(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Which columns of a table say what; names as in its head line. Empty: the file does not tell it.

    ``key``: columns that make a line unique, joined; without any the line's own digest and how often it came are the key.
    ``kinds``: from the text of the kind column to a ``LineKind``; what is not named is ``other``. ``amount_unit``: ``major`` (19.99)
    or ``minor`` (1999). ``time_format``: as ``strptime``; empty: ISO 8601. ``skip_before``: lines before the head line;
    ``end_mark``: a line that begins so ends the table. ``decimal_comma``: 1.234,56.
    """

    key: tuple[str, ...] = ()
    kind: str = ""
    kinds: dict[str, str] = {}
    currency: str = ""
    gross: str = ""
    fee: str = ""
    net: str = ""
    reference: str = ""
    channel_reference: str = ""
    batch: str = ""
    occurred_at: str = ""
    value_on: str = ""
    text: str = ""
    amount_unit: str = "major"
    time_format: str = ""
    delimiter: str = ","
    skip_before: int = 0
    end_mark: str = ""
    decimal_comma: bool = False
    negative_kinds: tuple[str, ...] = ()


class SourceTerms(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is agreed with a source of files: a channel by its name in the house, or an account at a bank.

    ``zone``: of times without one. ``currency``: of amounts without one. ``report_days``: days after which a payment should be
    reported; ``is_daily``: a file is expected for every working day;
    ``tells_fees``: a cost of 0 on a line means that there was none. ``bank``: of a channel, the account it pays to. ``account``: the account that its statements must name.
    ``channel``: whose files these are, where the source does not bear the channel's name; ``tells``: what they tell of it.
    """

    source: str
    side: Side
    format: Format
    zone: str = "UTC"
    currency: str = ""
    report_days: int = 2
    is_daily: bool = True
    tells_fees: bool = False
    calendars: tuple[str, ...] = ()
    account: str = ""
    bank: str = ""
    channel: str = ""
    tells: Tells = Tells.PAYMENTS
    columns: CsvColumns = CsvColumns()

    @property
    def of_channel(self) -> str:
        """The channel whose files these are; of a bank its own name."""
        return self.channel or self.source
