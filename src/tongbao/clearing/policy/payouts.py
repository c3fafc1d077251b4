"""Payouts: their ids, when a bank executes them, what banks mean, what each move posts, and when to ask again.

On the books, all keys derived from the payout, so that repeating a step posts nothing twice::

    created    merchant: available → payout_clearing
    paid       merchant: payout_clearing → house_receivable      platform: clearing → bank
    rejected   merchant: payout_clearing → available             (canceled alike)
    returned   merchant: house_receivable → available            platform: bank → clearing

Only an explicit answer ends a payout, or two people who know it from elsewhere. A bank that refuses a message or a transfer as one that it has had (DUPL, AM05) says
that the first one arrived, and nothing about what became of it.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from tongbao.clearing.policy.calendars import CALENDARS, Known, next_working_day, of_codes
from tongbao.clearing.policy.cycles import zone_of
from tongbao.clearing.schema.bank_messages import BankLine, BankTerms, Tidings
from tongbao.clearing.schema.payouts import PAYOUT_MOVES, Payout, PayoutState, Resolving
from tongbao.core.errors import Conflict, InvalidRequest, NotPermitted
from tongbao.core.ids import derive, parse_uuid, uuid_text
from tongbao.ledger.schema import AccountId, BookId, Transfer

JOB = "job:payouts"
INQUIRY_FIRST = timedelta(hours=4)
INQUIRY_LONGEST = timedelta(hours=24)
RESEND_FIRST = timedelta(minutes=1)
RESEND_LONGEST = timedelta(hours=1)
RESENDS_MAX = 8
ENDED = frozenset({PayoutState.REJECTED, PayoutState.RETURNED, PayoutState.CANCELED})
"""The money is back where it was, and the batch may be paid anew."""
_PREFIX = "po"
_TIME_SHIFT = 80
"""Bits below the milliseconds of a UUIDv7 (RFC 9562, 5.7)."""
_REPEATED = frozenset({"DUPL", "AM05"})
_MEANINGS = {
    "RCVD": PayoutState.ACCEPTED,
    "PDNG": PayoutState.ACCEPTED,
    "ACTC": PayoutState.ACCEPTED,
    "ACCP": PayoutState.ACCEPTED,
    "ACSP": PayoutState.ACCEPTED,
    "ACWC": PayoutState.ACCEPTED,
    "ACWP": PayoutState.ACCEPTED,
    "ACFC": PayoutState.ACCEPTED,
    "ACSC": PayoutState.PAID,
    "ACCC": PayoutState.PAID,
    "RJCT": PayoutState.REJECTED,
    "CANC": PayoutState.REJECTED,
}
"""What a status of ISO 20022 (ExternalPaymentTransactionStatus1Code) means for a payout."""
_DESTINATION_REASONS = frozenset(
    {
        "AC01", "AC03", "AC04", "AC06", "AC13", "AC14", "AC15", "AC16", "AG01", "AG03", "BE01", "BE06", "BE15", "BE17",
        "MD07", "MS02", "MS03", "NOAS", "RC01", "RC03", "RC04", "RC10", "RC11", "RR01", "RR02", "RR03", "RR04", "TM01",
    }
)  # fmt: skip
"""Reasons that lie with the account: nothing more goes there until somebody mended it."""
_HOUSE_REASONS = frozenset({"AM04", "AM02", "AM21", "AC02", "AC05", "AM10", "AM18", "DT01", "ED05", "FF01"})
"""Reasons that lie with the house or its bank; the merchant's account is not to blame."""


class Accounts(NamedTuple):
    """The accounts of one book and currency that payouts post to, and the platform's."""

    book_id: BookId
    platform_id: BookId
    asset_id: int
    available: AccountId
    payout_clearing: AccountId
    house_receivable: AccountId
    clearing: AccountId
    bank: AccountId


class Meaning(NamedTuple):
    """What a line means: the state, whether money moved at the bank (a booking), and the code to keep."""

    state: PayoutState
    is_booking: bool
    code: str


def payout_id(batch_id: UUID, number: int) -> UUID:
    """Return the id of the ``number``-th payout of a batch, counted from 0: the same in any process, ascending in order.

    Each lies a millisecond behind the one before, in the time part that derived ids keep.
    """
    return derive(UUID(int=batch_id.int + (number << _TIME_SHIFT)), f"payout:{number}")


def message_uuid(first_payout: UUID, purpose: str = "message") -> UUID:
    """Return the id of the message whose first payout this is; a payout is in one message only."""
    return derive(first_payout, purpose)


def end_to_end_of(payout: UUID) -> str:
    """Return what every bank finds a payout by: 28 capital letters and digits, within Max35Text and any character set."""
    return uuid_text(_PREFIX, payout).replace("_", "").upper()


def message_id_of(message: UUID) -> str:
    """Return the id of a message on the wire: 28 capital letters and digits, so that its blocks fit into 35."""
    return uuid_text("mg", message).replace("_", "").upper()


def payout_of(end_to_end: str) -> UUID | None:
    """Return the payout that an end-to-end id names; None where it is not one of ours."""
    text = end_to_end.strip().lower()
    if not text.startswith(_PREFIX):
        return None
    try:
        return parse_uuid(_PREFIX, f"{_PREFIX}_{text[len(_PREFIX) :]}")
    except ValueError:
        return None


def execution_on(terms: BankTerms, due_on: date, now: datetime, known: Known = CALENDARS) -> date:
    """Return the day on which a bank executes what is sent now: a working day, not before ``due_on``, not too late today."""
    local = now.astimezone(zone_of(terms.zone))
    today = local.date()
    earliest = today if local.time() < terms.cut_off else today + timedelta(days=1)
    return next_working_day(of_codes(terms.calendars, known), max(due_on, earliest)).on


def meaning(line: BankLine) -> Meaning | None:
    """Return what a line means for a payout; None where it means nothing yet (unknown status, a repeat refused)."""
    if line.kind is Tidings.BOOKED:
        return Meaning(PayoutState.PAID, True, line.code)
    if line.kind is Tidings.RETURNED:
        return Meaning(PayoutState.RETURNED, True, line.code)
    state = _MEANINGS.get(line.status)
    if state is None or (state is PayoutState.REJECTED and line.code in _REPEATED):
        return None
    return Meaning(state, False, line.code or line.status)


def blames_destination(code: str | None) -> bool:
    """Return whether a refusal with this code pauses the account; an unknown one does, until somebody looked."""
    return code in _DESTINATION_REASONS or code not in _HOUSE_REASONS


def inquiry_after(count: int) -> timedelta:
    """Return how long after the ``count``-th inquiry (from 0) the next one comes: doubling, a day at most."""
    return min(INQUIRY_FIRST * (1 << min(count, 10)), INQUIRY_LONGEST)


def resend_after(attempts: int) -> timedelta:
    """Return how long after ``attempts`` tries the same bytes are handed over again: doubling, an hour at most."""
    return min(RESEND_FIRST * (1 << min(attempts, 10)), RESEND_LONGEST)


def moved(payout: Payout, state: PayoutState, at: datetime, **changes: Any) -> Payout:
    """Return the next version of a payout; raise Conflict ``payout_state`` for a move that does not exist."""
    if state not in PAYOUT_MOVES[payout.state]:
        raise Conflict("payout_state", f"{payout.reference} is {payout.state} and cannot become {state}")
    return msgspec.structs.replace(payout, state=state, version=payout.version + 1, updated_at=at, **changes)


def touched(payout: Payout, at: datetime, **changes: Any) -> Payout:
    """Return the next version of a payout that stays where it is."""
    return msgspec.structs.replace(payout, version=payout.version + 1, updated_at=at, **changes)


def resolving(payout: Payout, wish: Resolving) -> Payout | None:
    """Return a payout with what a first person says became of it; None where a second one has now said the same.

    Raises Conflict ``payout_state`` unless it is unresolved, InvalidRequest ``resolution_invalid`` for anything but paid and
    rejected, NotPermitted ``resolution_twice`` for the same person again.
    """
    if payout.state is not PayoutState.UNRESOLVED:
        raise Conflict("payout_state", f"{payout.reference} is {payout.state}, not unresolved")
    if wish.state not in (PayoutState.PAID, PayoutState.REJECTED):
        raise InvalidRequest("resolution_invalid", "a payout was paid or rejected")
    first = payout.resolving
    if first is None or first.state is not wish.state:
        return touched(payout, wish.at, resolving=wish)
    if first.actor == wish.actor:
        raise NotPermitted("resolution_twice", "you said so already; somebody else has to")
    return None


def is_possible(payout: Payout, state: PayoutState) -> bool:
    """Return whether a payout may go to a state from where it is."""
    return state in PAYOUT_MOVES[payout.state]


def checked_line(payout: Payout, line: BankLine) -> str | None:
    """Return why a line cannot be about this payout although it names it; None where it can."""
    if line.amount_minor is not None and (line.amount_minor, line.currency) != (
        payout.amount_minor,
        payout.currency,
    ):
        return "amount_differs"
    return None


def created_transfers(payout: Payout, accounts: Accounts) -> list[Transfer]:
    """Return what creating a payout posts."""
    return [
        _transfer(
            payout, "created", (accounts.book_id, accounts.available, accounts.payout_clearing), accounts
        )
    ]


def transfers(before: Payout, state: PayoutState, accounts: Accounts) -> list[Transfer]:
    """Return what a move posts; empty where money stays. A return that comes first posts the payment as well."""
    return [_transfer(before, label, move, accounts) for label, move in _moves(before.state, state, accounts)]


def _moves(
    before: PayoutState, state: PayoutState, to: Accounts
) -> Iterator[tuple[str, tuple[BookId, AccountId, AccountId]]]:
    """Yield label, and book, debit and credit of every transfer."""
    if state in (PayoutState.REJECTED, PayoutState.CANCELED):
        yield "given_back", (to.book_id, to.payout_clearing, to.available)
    if state is PayoutState.PAID or (state is PayoutState.RETURNED and before is not PayoutState.PAID):
        yield "paid", (to.book_id, to.payout_clearing, to.house_receivable)
        yield "paid_bank", (to.platform_id, to.clearing, to.bank)
    if state is PayoutState.RETURNED:
        yield "returned", (to.book_id, to.house_receivable, to.available)
        yield "returned_bank", (to.platform_id, to.bank, to.clearing)


def _transfer(
    payout: Payout, label: str, move: tuple[BookId, AccountId, AccountId], accounts: Accounts
) -> Transfer:
    book_id, debit, credit = move
    return Transfer(
        key=derive(payout.id, label),
        book_id=book_id,
        debit_account_id=debit,
        credit_account_id=credit,
        amount_minor=payout.amount_minor,
        asset_id=accounts.asset_id,
        code=f"payout.{label}",
        reference=payout.reference,
    )


def is_overdue(payout: Payout, alarm_after: timedelta, now: datetime) -> bool:
    """Return whether a payout has been without an end for so long, since it was sent and was to go, that people should know."""
    if payout.sent_at is None:
        return False
    due = datetime(payout.due_on.year, payout.due_on.month, payout.due_on.day, tzinfo=UTC)
    return now - max(payout.sent_at, due) >= alarm_after


def contradicts(payout: Payout, state: PayoutState) -> bool:
    """Return whether a bank that says ``state`` now said something else before; a repeat or a late word does not."""
    back = (PayoutState.REJECTED, PayoutState.CANCELED)
    if state is PayoutState.REJECTED:
        return payout.state in (PayoutState.PAID, PayoutState.RETURNED, PayoutState.CANCELED)
    return state in (PayoutState.PAID, PayoutState.RETURNED) and payout.state in back
