"""Value types of the ledger: transfers in, results out, and what reads return.

Amounts are integers of minor units of the account's asset, always positive; the direction is in the accounts.
Balances are signed ``credits - debits``: a customer's money is positive on its (credit-normal) account, an
asset such as a channel receivable negative. ``Balance.natural_minor`` turns the sign by the normal side.
"""

import enum
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, NewType
from uuid import UUID

import msgspec

from tongbao.core.events.facts import Fact
from tongbao.core.ids import derive, int_text

BookId = NewType("BookId", int)
AccountId = NewType("AccountId", int)
TransferKey = NewType("TransferKey", UUID)
Address = tuple[BookId, UUID]
"""A transfer or hold: its book and key."""

BOOK_PREFIX = "book"
ACCOUNT_PREFIX = "acct"
TRANSFER_PREFIX = "tr"

AMOUNT_MINOR_MAX = 2**53 - 1
"""Largest amount of one transfer: what a JSON number carries exactly (90 trillion in cents)."""
BALANCE_MINOR_MAX = 2**62
"""Largest sum of debits or of credits that an account may reach; far from the end of BIGINT."""
REFERENCE_CHARS_MAX = 200
CODE_CHARS_MAX = 48
GROUP_SIZE_MAX = 100
BULK_SIZE_MAX = 8_000
STRIPE_COUNT = 16
ACCOUNT_CODE_CHARS_MAX = 200
ASSET_ID_MAX = 2**31 - 1


class Side(enum.IntEnum):
    """Which side of an account increases it in the eyes of an accountant."""

    DEBIT = -1
    CREDIT = 1


class Kind(enum.IntEnum):
    """What a journal row is."""

    PLAIN = 0  # moves posted money
    HOLD = 1  # reserves; moves nothing yet
    CAPTURE = 2  # moves reserved money, releasing what it uses (all of it when final)
    VOID = 3  # releases what is left of a hold
    EXPIRY = 4  # the same, because its time has come
    REVERSAL = 5  # the whole of an earlier transfer the other way round, once


class AccountState(enum.IntEnum):
    """Whether money may enter and leave; voids and expiries of holds always pass."""

    OPEN = 0
    RECEIVE_ONLY = 1
    FROZEN = 2
    CLOSED = 3


class HoldState(enum.IntEnum):
    """The life of a hold: open, then exactly one of the three ends."""

    OPEN = 0
    CAPTURED = 1
    VOIDED = 2
    EXPIRED = 3


class Outcome(enum.StrEnum):
    """What became of a transfer."""

    POSTED = "posted"
    EXISTS = "exists"
    REFUSED = "refused"


class Refusal(enum.StrEnum):
    """Why a transfer was refused, in the order in which the checks are made."""

    AMOUNT_NOT_POSITIVE = "amount_not_positive"
    AMOUNT_TOO_LARGE = "amount_too_large"
    SAME_ACCOUNT = "same_account"
    CODE_INVALID = "code_invalid"
    REFERENCE_TOO_LONG = "reference_too_long"
    TIME_INVALID = "time_invalid"
    FIELDS_INVALID = "fields_invalid"
    GROUP_SPLIT = "group_split"
    GROUP_TOO_LARGE = "group_too_large"
    KEY_CONFLICT = "key_conflict"
    TRANSFER_UNKNOWN = "transfer_unknown"
    NOT_REVERSIBLE = "not_reversible"
    HOLD_UNKNOWN = "hold_unknown"
    HOLD_CLOSED = "hold_closed"
    HOLD_EXPIRED = "hold_expired"
    HOLD_NOT_DUE = "hold_not_due"
    HOLD_EXCEEDED = "hold_exceeded"
    ACCOUNT_UNKNOWN = "account_unknown"
    ACCOUNT_CLOSED = "account_closed"
    ACCOUNT_FROZEN = "account_frozen"
    ASSET_MISMATCH = "asset_mismatch"
    BELOW_FLOOR = "below_floor"
    ABOVE_CEILING = "above_ceiling"
    BALANCE_TOO_LARGE = "balance_too_large"
    NOTHING_TO_MOVE = "nothing_to_move"
    GROUP_REFUSED = "group_refused"


class Transfer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One instruction to the ledger. Build the special kinds with the functions below it.

    - ``key``: made by the caller (UUIDv7, ``core.ids``); repeating it repeats the answer, never the effect.
    - ``amount_minor``: minor units; for ``up_to`` the most to move; 0 for captures of everything, voids and
      reversals, which take theirs from the row they refer to.
    - ``code``: what the money is for, ``[a-z0-9_.]``, e.g. ``card_sale``; ``reference``: the caller's id.
    - ``refers_to``: the hold (capture, void, expiry) or the transfer (reversal).
    - ``final``: this capture is the last one and releases the rest of the hold.
    - ``up_to``: a balancing transfer: moves as much of the amount as the limits of both accounts allow.
    - ``group_key``: key of the first transfer of a linked group; its members succeed or fail together.
    - ``occurred_at``: business time; None means the time of recording. ``expires_at``: end of a hold.
    """

    key: UUID
    book_id: BookId
    debit_account_id: AccountId
    credit_account_id: AccountId
    amount_minor: int
    asset_id: int
    code: str
    kind: Kind = Kind.PLAIN
    reference: str | None = None
    occurred_at: datetime | None = None
    refers_to: UUID | None = None
    group_key: UUID | None = None
    expires_at: datetime | None = None
    final: bool = False
    up_to: bool = False


def capture(
    key: UUID,
    book_id: BookId,
    hold_key: UUID,
    amount_minor: int,
    code: str,
    *,
    final: bool = False,
    reference: str | None = None,
    occurred_at: datetime | None = None,
) -> Transfer:
    """Return the capture of part of a hold; ``final`` releases the rest, final with amount 0 captures it all."""
    return _following(
        key,
        book_id,
        hold_key,
        Kind.CAPTURE,
        code,
        reference,
        occurred_at,
        amount_minor=amount_minor,
        final=final,
    )


def void(
    key: UUID,
    book_id: BookId,
    hold_key: UUID,
    code: str,
    *,
    reference: str | None = None,
    occurred_at: datetime | None = None,
) -> Transfer:
    """Return the release of everything that is left of a hold."""
    return _following(key, book_id, hold_key, Kind.VOID, code, reference, occurred_at)


def reversal(
    book_id: BookId,
    original_key: UUID,
    code: str,
    *,
    reference: str | None = None,
    occurred_at: datetime | None = None,
) -> Transfer:
    """Return the reversal of a posted transfer. Its key is derived from the original's: it can happen once."""
    key = derive(original_key, "reversal")
    return _following(key, book_id, original_key, Kind.REVERSAL, code, reference, occurred_at)


def linked(transfers: Sequence[Transfer]) -> list[Transfer]:
    """Return the transfers as one group: all are posted, or none. It is named by its first member's key."""
    return [msgspec.structs.replace(t, group_key=transfers[0].key) for t in transfers]


def _following(
    key: UUID,
    book_id: BookId,
    refers_to: UUID,
    kind: Kind,
    code: str,
    reference: str | None,
    occurred_at: datetime | None,
    *,
    amount_minor: int = 0,
    final: bool = False,
) -> Transfer:
    """Return a transfer that takes accounts and asset from the row it refers to."""
    return Transfer(
        key=key,
        book_id=book_id,
        debit_account_id=AccountId(0),
        credit_account_id=AccountId(0),
        amount_minor=amount_minor,
        asset_id=0,
        code=code,
        kind=kind,
        reference=reference,
        occurred_at=occurred_at,
        refers_to=refers_to,
        final=final,
    )


class PostResult(msgspec.Struct, frozen=True, gc=False):
    """What became of one transfer; ``EXISTS`` repeats the amount and time of the original."""

    key: UUID
    outcome: Outcome
    amount_minor: int = 0
    recorded_at: datetime | None = None
    refusal: Refusal | None = None
    detail: str = ""

    @property
    def accepted(self) -> bool:
        """True where the transfer stands in the journal, now or since an earlier call."""
        return self.outcome is not Outcome.REFUSED


class JournalRow(NamedTuple):
    """One row of the journal, its fields in the order of the columns that the store copies.

    ``released_minor`` stands on final captures only: how much of the hold they freed (other captures free
    exactly their amount). ``requested_minor`` stands on balancing transfers: the most that was asked for.
    A named tuple, because a batch is handed to the driver as it is.
    """

    book_id: BookId
    key: UUID
    debit_account_id: AccountId
    credit_account_id: AccountId
    amount_minor: int
    asset_id: int
    kind: Kind
    code: str
    reference: str | None
    occurred_at: datetime
    recorded_at: datetime
    batch_index: int
    group_key: UUID | None
    group_size: int | None
    refers_to: UUID | None
    released_minor: int | None
    requested_minor: int | None
    expires_at: datetime | None


class AccountRow(msgspec.Struct):
    """An account as the posting decision sees it, under lock. Mutable: decisions are made in order on it."""

    book_id: BookId
    account_id: AccountId
    debits_minor: int
    credits_minor: int
    debits_held_minor: int
    credits_held_minor: int
    floor_minor: int | None
    ceiling_minor: int | None
    asset_id: int
    state: AccountState


class HoldRow(msgspec.Struct):
    """A hold as the posting decision sees it, under lock. Mutable like ``AccountRow``."""

    book_id: BookId
    key: UUID
    debit_account_id: AccountId
    credit_account_id: AccountId
    asset_id: int
    amount_minor: int
    remaining_minor: int
    captured_minor: int
    state: HoldState
    expires_at: datetime | None
    is_new: bool = False


class Total:
    """What a batch changes on one account; ``outflow`` and ``inflow`` must fit its floor and ceiling."""

    __slots__ = (
        "asset_id",
        "book_id",
        "credits",
        "credits_held",
        "debits",
        "debits_held",
        "inflow",
        "outflow",
        "touches_holds",
    )

    def __init__(self, book_id: BookId, asset_id: int) -> None:
        self.book_id = book_id
        self.asset_id = asset_id
        self.debits = 0
        self.credits = 0
        self.debits_held = 0
        self.credits_held = 0
        self.outflow = 0
        self.inflow = 0
        self.touches_holds = False


class Asset(msgspec.Struct, frozen=True):
    """Something that is counted: an ISO 4217 currency (id = numeric code) or points, credits and the like."""

    asset_id: int
    code: str
    scale: int


class Book(msgspec.Struct, frozen=True):
    """A closed set of accounts that balances by itself."""

    book_id: BookId
    code: str
    template: str
    name: str
    created_at: datetime


class Account(msgspec.Struct, frozen=True):
    """An account and its balance at one instant. Sums are of minor units; see the module for signs."""

    book_id: BookId
    account_id: AccountId
    code: str
    name: str
    asset_id: int
    asset: str
    scale: int
    normal_side: Side
    striped: bool
    state: AccountState
    floor_minor: int | None
    ceiling_minor: int | None
    debits_minor: int
    credits_minor: int
    debits_held_minor: int
    credits_held_minor: int

    @property
    def posted_minor(self) -> int:
        """Signed balance, credits minus debits."""
        return self.credits_minor - self.debits_minor

    @property
    def available_minor(self) -> int:
        """What could be debited now, were the floor zero: posted minus what outgoing holds reserve."""
        return self.posted_minor - self.debits_held_minor

    @property
    def natural_minor(self) -> int:
        """The posted balance as an accountant writes it: positive on the account's normal side."""
        return self.posted_minor * self.normal_side


class AccountChange(msgspec.Struct, frozen=True):
    """One line of an account's history of states and limits."""

    change_no: int
    changed_at: datetime
    state: AccountState
    floor_minor: int | None
    ceiling_minor: int | None
    actor: str
    reason: str


class BalanceAt(msgspec.Struct, frozen=True):
    """The balance of one account as of an instant."""

    account_id: AccountId
    at: datetime
    debits_minor: int
    credits_minor: int
    debits_held_minor: int
    credits_held_minor: int

    @property
    def posted_minor(self) -> int:
        """Signed balance, credits minus debits."""
        return self.credits_minor - self.debits_minor


class Entry(msgspec.Struct, frozen=True):
    """One leg on one account. ``posted_delta_minor`` and ``held_delta_minor`` are signed, credits positive.

    ``seq`` is None and ``balance_minor`` is None while the row is not sealed yet (normally under a second).
    """

    seq: int | None
    key: UUID
    kind: Kind
    code: str
    reference: str | None
    other_account_id: AccountId
    posted_delta_minor: int
    held_delta_minor: int
    balance_minor: int | None
    occurred_at: datetime
    recorded_at: datetime


class StatementPage(msgspec.Struct, frozen=True):
    """Entries of one account, newest first. ``next_before`` continues; None at the beginning of time."""

    account: Account
    entries: tuple[Entry, ...]
    next_before: str | None


class RollUp(msgspec.Struct, frozen=True):
    """Sums over an account and everything below it, in one asset."""

    code: str
    asset: str
    scale: int
    account_count: int
    debits_minor: int
    credits_minor: int
    debits_held_minor: int
    credits_held_minor: int

    @property
    def posted_minor(self) -> int:
        """Signed balance, credits minus debits."""
        return self.credits_minor - self.debits_minor


class TrialBalanceLine(msgspec.Struct, frozen=True):
    """Sums of one account for a trial balance."""

    book_code: str
    account_code: str
    asset: str
    scale: int
    debits_minor: int
    credits_minor: int


class NewestSeal(msgspec.Struct, frozen=True):
    """The newest seal of a book, in short."""

    book_id: BookId
    book_code: str
    seal_no: int
    last_seq: int
    seal_hash: bytes
    sealed_at: datetime


class Sealed(Fact, frozen=True, kw_only=True, tag="ledger.sealed"):
    """A fact: these transfers of a book have their final place. The ledger's feed for rooms above.

    A consumer reads the seal's keys, or statements up to ``last_seq``; positions and numbers have no gaps.
    """

    book_id: BookId
    seal_no: int
    first_seq: int
    last_seq: int
    seal_hash: str

    @property
    def subject(self) -> str:
        """Return the text id of the book."""
        return int_text(BOOK_PREFIX, self.book_id)


class House(msgspec.Struct, frozen=True):
    """How many books there are, how many transfers they sealed, and whose seals are the newest."""

    book_count: int
    transfer_count: int
    newest: tuple[NewestSeal, ...]


class Seal(msgspec.Struct, frozen=True):
    """One link of a book's chain; ``keys`` holds 16 bytes and ``leaves`` 32 bytes a transfer, in order."""

    book_id: BookId
    seal_no: int
    first_seq: int
    transfer_count: int
    sealed_at: datetime
    root: bytes
    previous_hash: bytes
    seal_hash: bytes
    keys: bytes
    leaves: bytes


class Unsealed(msgspec.Struct, frozen=True):
    """Transfers that no seal holds: how many, since when the oldest; ``moved_at``: when the sealer last did something."""

    count: int
    oldest_at: datetime | None
    moved_at: datetime
