"""Files of transfers, line by line: which columns there are, and what one line says. Pure.

One line of text is one transfer. No field may contain a line break (a reference must be printable anyway), so a
stray quote spoils its own line and never swallows the ones after it. Amounts go from text to integers of minor
units without passing through a float or a Decimal. What cannot be understood is a ``Problem``, a value: a line is
never dropped.

Columns, in any order: ``book``, ``debit``, ``credit``, ``asset``, ``code`` and one of ``amount_minor`` (a whole
number of minor units) and ``amount`` (major units, at most the decimals of the asset); optional ``key``,
``reference``, ``occurred_at`` (ISO 8601 with zone) and ``group``. The columns that a list of refused lines adds
are known and passed over, so such a list can be mended and imported as it is.
"""

import enum
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from tongbao.core.ids import derive, parse_uuid
from tongbao.ledger.errors import BadTransferFile
from tongbao.ledger.schema import (
    GROUP_SIZE_MAX,
    TRANSFER_PREFIX,
    AccountId,
    BookId,
    Refusal,
    Transfer,
    linked,
)

DELIMITERS = (",", ";", "\t")
REQUIRED = ("book", "debit", "credit", "asset", "code")
AMOUNTS = ("amount_minor", "amount")
OPTIONAL = ("key", "reference", "occurred_at", "group")
REPORT_COLUMNS = ("line", "refusal", "detail")
AMOUNT_CHARS_MAX = 40
SHOWN_CHARS_MAX = 60
_V7_LAYOUT = (0x7 << 76) | (0b10 << 62)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class LineRefusal(enum.StrEnum):
    """Why a line is refused before the ledger sees it; the ledger's own reasons are ``schema.Refusal``."""

    LINE_EMPTY = "line_empty"
    LINE_RAGGED = "line_ragged"
    LINE_TOO_LONG = "line_too_long"
    LINE_NOT_UTF8 = "line_not_utf8"
    LINE_HAS_NUL = "line_has_nul"
    LINE_BADLY_QUOTED = "line_badly_quoted"
    KEY_MALFORMED = "key_malformed"
    AMOUNT_MALFORMED = "amount_malformed"
    AMOUNT_TOO_PRECISE = "amount_too_precise"


class Problem(NamedTuple):
    """Why a line is refused: a stable code and one sentence."""

    refusal: str
    detail: str


class Row(NamedTuple):
    """One data line. ``fields`` are as written; with a ``problem`` they are whatever could be read of them."""

    line_no: int
    fields: Sequence[str]
    problem: Problem | None = None


Name = tuple[str, str, str]
"""What a line calls an account: book, account and asset code."""


class Place(NamedTuple):
    """The account that a name stands for."""

    book_id: BookId
    account_id: AccountId
    asset_id: int
    scale: int


Places = Mapping[Name, Place | Problem]


class Columns:
    """Where each field of a line stands."""

    def __init__(self, header: Sequence[str]) -> None:
        """Read a header; raise BadTransferFile for columns that are missing, double or unknown."""
        self.names = tuple(name.strip().lower() for name in header)
        place = {name: at for at, name in enumerate(self.names)}
        known = {*REQUIRED, *AMOUNTS, *OPTIONAL, *REPORT_COLUMNS}
        missing = [name for name in REQUIRED if name not in place]
        unknown = [name for name in self.names if name not in known]
        if missing:
            needed = f"{', '.join(REQUIRED)} and one of {' and '.join(AMOUNTS)}"
            raise BadTransferFile(
                f"the first line must name the columns {needed}; missing: {', '.join(missing)}"
            )
        if unknown:
            raise BadTransferFile(f"unknown columns: {', '.join(shown(name) for name in unknown[:10])}")
        if len(place) < len(self.names):
            raise BadTransferFile("the first line names a column twice")
        if ("amount" in place) is ("amount_minor" in place):
            raise BadTransferFile(
                "give either amount_minor (whole minor units) or amount (major units), not both"
            )
        self.book, self.debit, self.credit = place["book"], place["debit"], place["credit"]
        self.asset, self.code = place["asset"], place["code"]
        self.is_minor = "amount_minor" in place
        self.amount = place["amount_minor" if self.is_minor else "amount"]
        self.key, self.reference = place.get("key"), place.get("reference")
        self.occurred_at, self.group = place.get("occurred_at"), place.get("group")

    def group_of(self, row: Row) -> str:
        """Return the group that a line names; empty for none, and for a line that cannot be read."""
        return "" if self.group is None or row.problem is not None else row.fields[self.group]


def import_id_of(digest: bytes) -> UUID:
    """Return the id of an import of a file with this SHA-256: the same file, the same id, anywhere.

    It has the layout of UUIDv7 with the time part zero: keys derived from it share the journal's default
    partition and never keep a month from getting its own.
    """
    bits = int.from_bytes(digest[:10], "big") & ((1 << 74) - 1)
    return UUID(int=((bits >> 62) << 64) | (bits & ((1 << 62) - 1)) | _V7_LAYOUT)


def sniffed_delimiter(header: str) -> str:
    """Return the delimiter that gives a header line the most columns that are known; a comma where none does."""
    known = {*REQUIRED, *AMOUNTS, *OPTIONAL}

    def hits(delimiter: str) -> int:
        return len(known & {name.strip().strip('"').lower() for name in header.split(delimiter)})

    return max(DELIMITERS, key=hits)


def names_in(rows: Sequence[Row], columns: Columns) -> set[Name]:
    """Return every account that the readable rows name."""
    book, asset = columns.book, columns.asset
    names: set[Name] = set()
    for side in (columns.debit, columns.credit):
        names |= {(r.fields[book], r.fields[side], r.fields[asset]) for r in rows if r.problem is None}
    return names


def draft(rows: Sequence[Row], columns: Columns, places: Places, import_id: UUID) -> list[Transfer | Problem]:
    """Return what each row says, in order: a transfer without a group yet, or why there is none."""
    return [
        row.problem
        if row.problem is not None
        else _drafted(row.line_no, row.fields, columns, places, import_id)
        for row in rows
    ]


def link(
    rows: Sequence[Row],
    results: list[Transfer | Problem],
    columns: Columns,
    *,
    oversize: str,
    after_unreadable: bool,
) -> list[Transfer | Problem]:
    """Return ``results`` with consecutive lines of one group linked, or refused together.

    Members of a group with a refused one are refused, and so is a group that touches a line which could not be
    read: that line may have been its member. ``oversize`` is the group that was found too large in the rows
    before these, ``after_unreadable`` says that the line before the first could not be read.
    """
    answers = list(results)
    count = len(rows)
    start = 0
    while start < count:
        group = columns.group_of(rows[start])
        end = start + 1
        if not group:
            start = end
            continue
        while end < count and columns.group_of(rows[end]) == group:
            end += 1
        touched = rows[start - 1].problem is not None if start else after_unreadable
        touched = touched or (end < count and rows[end].problem is not None)
        too_large = end - start > GROUP_SIZE_MAX or (start == 0 and group == oversize)
        answers[start:end] = _group(results[start:end], too_large=too_large, touched=touched)
        start = end
    return answers


def key_of(row: Row, columns: Columns, import_id: UUID) -> UUID:
    """Return the key of a line: the one it gives, or the one that its number has in this import.

    Raises ValueError where the line gives one that is none.
    """
    text = row.fields[columns.key] if columns.key is not None and columns.key < len(row.fields) else ""
    return _key(text) if text else derive(import_id, str(row.line_no))


def parse_amount(text: str, scale: int) -> int | Problem:
    """Return minor units for plain decimal text of major units, exactly; ``scale`` is the asset's decimals."""
    whole, point, fraction = text.partition(".")
    digits = whole.removeprefix("-") + fraction
    if (
        not (digits.isascii() and digits.isdigit())
        or len(text) > AMOUNT_CHARS_MAX
        or (point and not fraction)
    ):
        return _malformed_amount(text)
    if whole in ("", "-"):
        return _malformed_amount(text)
    if len(fraction) > scale:
        return Problem(LineRefusal.AMOUNT_TOO_PRECISE, f"amount {text} has more than {scale} decimals")
    return int(whole + fraction.ljust(scale, "0"))


def parse_minor(text: str) -> int | Problem:
    """Return a whole number of minor units."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(text) > AMOUNT_CHARS_MAX:
        return _malformed_amount(text)
    return int(text)


def shown(text: str) -> str:
    """Return ``text`` as a message may show it: printable and short."""
    short = text if len(text) <= SHOWN_CHARS_MAX else text[: SHOWN_CHARS_MAX - 1] + "…"
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in short)


def _drafted(
    line_no: int, fields: Sequence[str], columns: Columns, places: Places, import_id: UUID
) -> Transfer | Problem:
    """Return what the fields of one line say; its hot path makes no object that it does not return."""
    book, asset = fields[columns.book], fields[columns.asset]
    debit = places[book, fields[columns.debit], asset]
    credit = places[book, fields[columns.credit], asset]
    if type(debit) is Problem:
        return debit
    if type(credit) is Problem:
        return credit
    assert type(debit) is Place
    assert type(credit) is Place
    text = fields[columns.amount]
    amount_minor = parse_minor(text) if columns.is_minor else parse_amount(text, debit.scale)
    if type(amount_minor) is Problem:
        return amount_minor
    assert type(amount_minor) is int
    given = "" if columns.key is None else fields[columns.key]
    try:
        key = _key(given) if given else derive(import_id, str(line_no))
    except ValueError:
        return Problem(LineRefusal.KEY_MALFORMED, f"{shown(given)!r} is neither a UUID nor a tr_ id")
    occurred_at = None
    if columns.occurred_at is not None and fields[columns.occurred_at]:
        try:
            occurred_at = _instant(fields[columns.occurred_at])
        except (ValueError, OverflowError):
            detail = f"{shown(fields[columns.occurred_at])!r} is not an ISO 8601 instant with a time zone"
            return Problem(Refusal.TIME_INVALID, detail)
    return Transfer(
        key=key,
        book_id=debit.book_id,
        debit_account_id=debit.account_id,
        credit_account_id=credit.account_id,
        amount_minor=amount_minor,
        asset_id=debit.asset_id,
        code=fields[columns.code],
        reference=None if columns.reference is None else fields[columns.reference] or None,
        occurred_at=occurred_at,
    )


def _group(members: list[Transfer | Problem], *, too_large: bool, touched: bool) -> list[Transfer | Problem]:
    """Return the members of one group, linked, or refused together where one of them cannot be posted."""
    if too_large:
        problem = Problem(Refusal.GROUP_TOO_LARGE, f"a group has at most {GROUP_SIZE_MAX} transfers")
        return [member if isinstance(member, Problem) else problem for member in members]
    if touched or any(isinstance(member, Problem) for member in members):
        detail = "it touches a line that cannot be read" if touched else "another member was refused"
        problem = Problem(Refusal.GROUP_REFUSED, detail)
        return [member if isinstance(member, Problem) else problem for member in members]
    if len(members) == 1:
        return members
    return [*linked([member for member in members if isinstance(member, Transfer)])]


def _key(text: str) -> UUID:
    if text.startswith(TRANSFER_PREFIX + "_"):
        return parse_uuid(TRANSFER_PREFIX, text)
    if not _UUID.fullmatch(text):
        raise ValueError("not a UUID")
    return UUID(text)


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("no time zone")
    return at.astimezone(UTC)


def _malformed_amount(text: str) -> Problem:
    return Problem(LineRefusal.AMOUNT_MALFORMED, f"{shown(text)!r} is not a plain number")
