"""Statements: the days they are of, what they come to, and their lines in order with the balance after each.

The sums hold for every statement: opening, movements, fees and payouts make the closing balance exactly.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

from tongbao.clearing.policy.cycles import zone_of
from tongbao.clearing.schema.batches import BATCH_PREFIX
from tongbao.clearing.schema.bills import Cost
from tongbao.clearing.schema.movements import KIND_NAMES, Movement
from tongbao.clearing.schema.statements import (
    STATEMENT_DAYS_MAX,
    BatchAct,
    BatchEvent,
    Entry,
    Period,
    Statement,
    StatementLine,
)
from tongbao.core.errors import InvalidRequest, InvariantBroken
from tongbao.core.ids import uuid_text

_DAY = timedelta(days=1)
_YEARS = range(2000, 2200)
PAYMENT_PREFIX = "pi"


def day(on: date, zone: str) -> Period:
    """Return one day; raise InvalidRequest ``zone_unknown``, ``statement_time_invalid``."""
    return period(on, on + _DAY if on.year in _YEARS else on, zone)


def month(year: int, number: int, zone: str) -> Period:
    """Return one month; raise InvalidRequest ``zone_unknown``, ``statement_time_invalid``."""
    if year not in _YEARS or number not in range(1, 13):
        raise InvalidRequest(
            "statement_time_invalid", "a month is a year of this time and a number from 1 to 12"
        )
    begins = date(year, number, 1)
    return period(begins, (begins + 31 * _DAY).replace(day=1), zone)


def period(from_on: date, until_on: date, zone: str) -> Period:
    """Return days from the first on, before the last, in a zone.

    Raises InvalidRequest ``zone_unknown``; ``statement_time_invalid`` for none, more than ``STATEMENT_DAYS_MAX``, or years
    that nobody means.
    """
    if not (from_on.year in _YEARS and until_on.year in _YEARS and from_on < until_on):
        raise InvalidRequest("statement_time_invalid", "a statement has a first day, and ends after it")
    if (until_on - from_on).days > STATEMENT_DAYS_MAX:
        raise InvalidRequest("statement_time_invalid", f"a statement is of at most {STATEMENT_DAYS_MAX} days")
    place = zone_of(zone)
    begins, ends = (
        datetime(on.year, on.month, on.day, tzinfo=place).astimezone(UTC) for on in (from_on, until_on)
    )
    return Period(from_on=from_on, until_on=until_on, zone=zone, from_at=begins, until_at=ends)


def paid_and_returned(events: Iterable[BatchEvent]) -> tuple[int, int, int]:
    """Return how many payouts were paid, their sum, and the sum of what came back, minor units."""
    paid = [each.paid_minor for each in events if each.act is BatchAct.PAID]
    returned = sum(each.paid_minor for each in events if each.act is BatchAct.RETURNED)
    return len(paid), sum(paid), returned


def check_sums(statement: Statement, events: Sequence[BatchEvent]) -> None:
    """Raise InvariantBroken where a statement does not come to its closing balance, or fees are not those of its batches."""
    expected = (
        statement.opening.total_minor
        + statement.movements_minor
        - statement.fees_minor
        - statement.payouts_minor
        + statement.returned_minor
    )
    if expected != statement.closing.total_minor:
        raise InvariantBroken(
            "statement_unbalanced",
            f"the lines come to {expected}, the balance to {statement.closing.total_minor}",
            book_id=statement.book_id,
            currency=statement.currency,
        )
    fees = -sum(each.totals.fees_minor for each in events if each.act is BatchAct.PRICED)
    if fees != statement.fees_minor:
        raise InvariantBroken(
            "statement_fees_differ",
            f"the batches come to {fees}, their movements to {statement.fees_minor}",
            book_id=statement.book_id,
            currency=statement.currency,
        )


class Running:
    """The lines of one statement, put in order as movements come, with the balance after each.

    What a batch did at the very instant of a movement stands before it: no batch holds what happens while it is priced.
    """

    def __init__(self, statement: Statement, events: Sequence[BatchEvent]) -> None:
        self._balance = statement.opening.total_minor
        self._events = list(events)
        self._next = 0

    def movement(self, movement: Movement, cost: Cost | None, payout_on: date) -> Iterator[StatementLine]:
        """Yield what batches did until a movement happened, then the movement."""
        yield from self._until(movement.occurred_at)
        if not movement.amount_minor:
            # A payout that came back: its batch tells so, with the amount.
            return
        self._balance += movement.amount_minor
        batch = "" if movement.batch_id is None else uuid_text(BATCH_PREFIX, movement.batch_id)
        yield StatementLine(
            at=movement.occurred_at,
            entry=KIND_NAMES[movement.kind],
            reference=movement.text_id,
            amount_minor=movement.amount_minor,
            change_minor=movement.amount_minor,
            balance_minor=self._balance,
            payment="" if movement.intent_id is None else uuid_text(PAYMENT_PREFIX, movement.intent_id),
            channel=movement.channel,
            method=movement.method,
            store=movement.store,
            channel_reference=movement.channel_reference or "",
            fee_minor=None if cost is None else cost.fee_minor,
            tax_minor=None if cost is None else cost.tax_minor,
            net_minor=None if cost is None else cost.net_minor,
            batch=batch,
            payout_on=payout_on,
        )

    def rest(self) -> Iterator[StatementLine]:
        """Yield what batches did after the last movement."""
        yield from self._until(None)

    def _until(self, at: datetime | None) -> Iterator[StatementLine]:
        while self._next < len(self._events) and (at is None or self._events[self._next].at <= at):
            event = self._events[self._next]
            self._next += 1
            for entry, amount, change in _entries(event):
                if amount:
                    yield self._of(event, entry, amount, change)

    def _of(self, event: BatchEvent, entry: Entry, amount_minor: int, change_minor: int) -> StatementLine:
        self._balance += change_minor
        reference = uuid_text(BATCH_PREFIX, event.batch_id)
        return StatementLine(
            at=event.at,
            entry=entry.value,
            reference=reference,
            amount_minor=amount_minor,
            change_minor=change_minor,
            balance_minor=self._balance,
            tax_minor=event.totals.tax_minor if entry is Entry.FEES else None,
            batch=reference,
            payout_on=event.payout_on,
        )


def _entries(event: BatchEvent) -> tuple[tuple[Entry, int, int], ...]:
    """Return what an event means: entry, amount, and what it adds to the balance."""
    totals = event.totals
    match event.act:
        case BatchAct.PRICED:
            return (
                (Entry.FEES, totals.fees_minor, totals.fees_minor),
                (Entry.RESERVE_HELD, totals.reserve_held_minor, 0),
                (Entry.RESERVE_RELEASED, totals.reserve_released_minor, 0),
            )
        case BatchAct.PAID:
            return ((Entry.PAYOUT, -event.paid_minor, -event.paid_minor),)
        case BatchAct.RETURNED:
            return ((Entry.PAYOUT_RETURNED, event.paid_minor, event.paid_minor),)
