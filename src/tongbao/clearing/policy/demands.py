"""Demands: what may be asked of a merchant that owes, what came, what is given up, and how old the rest is. Pure."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from uuid import UUID

import msgspec

from tongbao.clearing.policy.adjustments import check_text
from tongbao.clearing.policy.breaking import NOTE_CHARS_MAX
from tongbao.clearing.policy.hand_moves import HandMove
from tongbao.clearing.schema.adjustments import REFERENCE_CHARS_MAX, Deed
from tongbao.clearing.schema.demands import (
    AGE_DAYS,
    DEMAND_MOVES,
    RECEIPTS_MAX,
    STANDING,
    AgeRow,
    DebtAge,
    Demand,
    DemandOrder,
    DemandState,
    Receipt,
)
from tongbao.clearing.schema.movements import MovementKind
from tongbao.core.errors import Conflict, InvalidRequest, NotPermitted
from tongbao.core.ids import derive
from tongbao.ledger.schema import AMOUNT_MINOR_MAX

DUE_WITHIN = timedelta(days=366)
RECEIVED_WITHIN = timedelta(days=366)
ACTS_MAX = 300
"""So much is done about one demand before nothing more is proposed about it."""
_RECEIVED = "received"


def check(order: DemandOrder, today: date) -> None:
    """Raise InvalidRequest ``amount_invalid``, ``due_invalid``, ``reference_invalid``, ``note_invalid``."""
    check_amount(order.amount_minor)
    if not today <= order.due_on <= today + DUE_WITHIN:
        raise InvalidRequest("due_invalid", "a demand is due within a year from today", param="due_on")
    check_text(order.reference, "reference", REFERENCE_CHARS_MAX)
    check_text(order.note, "note", NOTE_CHARS_MAX)


def check_amount(amount_minor: int) -> None:
    """Raise InvalidRequest ``amount_invalid`` for what cannot be owed or paid."""
    if not 0 < amount_minor <= AMOUNT_MINOR_MAX:
        raise InvalidRequest(
            "amount_invalid", f"from 1 to {AMOUNT_MINOR_MAX} minor units", param="amount_minor"
        )


def check_owed(order: DemandOrder, owed_minor: int, demanded_minor: int) -> None:
    """Raise Conflict ``debt_smaller`` where more would be demanded than is owed, other demands counted."""
    free = owed_minor - demanded_minor
    if order.amount_minor > free:
        raise Conflict(
            "debt_smaller",
            f"{owed_minor} {order.currency} are owed, of which {demanded_minor} are demanded already",
            owed_minor=owed_minor,
            demanded_minor=demanded_minor,
        )


def check_receipt(bank_reference: str, received_on: date, today: date) -> None:
    """Raise InvalidRequest ``bank_reference_invalid``, ``received_invalid`` for a day to come, or long gone."""
    check_text(bank_reference, "bank_reference", REFERENCE_CHARS_MAX)
    if not today - RECEIVED_WITHIN <= received_on <= today:
        raise InvalidRequest(
            "received_invalid", "money is received today, or was within a year", param="received_on"
        )


def made(order: DemandOrder, demand_id: UUID, at: datetime, actor: str, *, live: bool) -> Demand:
    """Return a new demand."""
    deed = Deed(act="demanded", at=at, actor=actor, note=order.note, amount_minor=order.amount_minor)
    return Demand(
        id=demand_id,
        live=live,
        order=order,
        state=DemandState.OPEN,
        history=(deed,),
        created_by=actor,
        created_at=at,
        updated_at=at,
    )


def receipt_id(demand_id: UUID, bank_reference: str) -> UUID:
    """Return the id of a receipt: the same money is the same receipt."""
    return derive(demand_id, f"receipt:{bank_reference}")


def received(known: Demand, receipt: Receipt, note: str = "") -> Demand:
    """Return a demand of which something was paid.

    Raises Conflict ``demand_state``, ``demand_receipts_max``; InvalidRequest ``amount_over_demand``, ``currency_differs``.
    """
    _check_standing(known)
    if receipt.currency != known.order.currency:
        raise InvalidRequest(
            "currency_differs", f"{known.text_id} is in {known.order.currency}", param="currency"
        )
    if receipt.amount_minor > known.left_minor:
        raise InvalidRequest(
            "amount_over_demand",
            f"{known.left_minor} {known.order.currency} are left of {known.text_id}",
            param="amount_minor",
        )
    if sum(deed.act == _RECEIVED for deed in known.history) >= RECEIPTS_MAX:
        raise Conflict("demand_receipts_max", f"{known.text_id} was paid in {RECEIPTS_MAX} parts already")
    state = DemandState.PAID if receipt.amount_minor == known.left_minor else DemandState.PART_PAID
    deed = Deed(
        act=_RECEIVED,
        at=receipt.recorded_at,
        actor=receipt.actor,
        note=note,
        amount_minor=receipt.amount_minor,
    )
    # What is still to be given up has changed: whoever wanted to looks at it again.
    return _next(
        known, state, deed, received_minor=known.received_minor + receipt.amount_minor, given_up_by=""
    )


def given_up(known: Demand, at: datetime, actor: str, note: str) -> Demand:
    """Return a demand of which a first person wants to write off what is left. Raises Conflict ``demand_state``, ``write_off_proposed``, ``demand_acts_max``."""
    _check_standing(known)
    check_text(note, "note", NOTE_CHARS_MAX)
    if len(known.history) >= ACTS_MAX:
        raise Conflict("demand_acts_max", f"{known.text_id} was acted on {ACTS_MAX} times: decide on it now")
    if known.given_up_by:
        raise Conflict(
            "write_off_proposed", f"{known.given_up_by} proposed it already: approve it, or decline"
        )
    deed = Deed(act="write_off_proposed", at=at, actor=actor, note=note, amount_minor=known.left_minor)
    return _next(known, known.state, deed, given_up_by=actor)


def kept(known: Demand, at: datetime, actor: str, note: str) -> Demand:
    """Return a demand whose write-off is refused, or withdrawn. Raises Conflict ``write_off_not_proposed``."""
    _check_proposed(known)
    return _next(
        known, known.state, Deed(act="write_off_declined", at=at, actor=actor, note=note), given_up_by=""
    )


def written_off(known: Demand, at: datetime, actor: str, note: str, owed_minor: int) -> tuple[Demand, int]:
    """Return a demand that a second person gives up, and how much of it is lost: no more than is still owed.

    Raises Conflict ``demand_state``, ``write_off_not_proposed``, ``debt_gone``; NotPermitted ``four_eyes``.
    """
    _check_standing(known)
    _check_proposed(known)
    if actor == known.given_up_by:
        raise NotPermitted("four_eyes", "you proposed to write it off; somebody else has to approve it")
    lost = min(known.left_minor, owed_minor)
    if lost <= 0:
        raise Conflict("debt_gone", f"what {known.text_id} asks for is not owed any more: cancel it")
    deed = Deed(act="written_off", at=at, actor=actor, note=note, amount_minor=lost)
    after = _next(known, DemandState.WRITTEN_OFF, deed, written_off_minor=lost)
    return after, lost


def canceled(known: Demand, at: datetime, actor: str, note: str) -> Demand:
    """Return a demand that is taken back before anything came of it. Raises Conflict ``demand_state``."""
    if DemandState.CANCELED not in DEMAND_MOVES[known.state]:
        raise Conflict("demand_state", f"{known.text_id} is {known.state} and cannot be canceled")
    check_text(note, "note", NOTE_CHARS_MAX)
    return _next(known, DemandState.CANCELED, Deed(act="canceled", at=at, actor=actor, note=note))


def paid_move(known: Demand, receipt: Receipt) -> HandMove:
    """Return what a receipt moves."""
    return _move(known, MovementKind.DEBT_PAID, receipt.amount_minor, receipt.id, receipt.bank_reference)


def lost_move(known: Demand, lost_minor: int) -> HandMove:
    """Return what giving up moves; its key is the demand's, since that happens once."""
    return _move(known, MovementKind.DEBT_WRITTEN_OFF, lost_minor, known.id, known.order.reference)


def ages(rows: Iterable[AgeRow]) -> tuple[DebtAge, ...]:
    """Return demands in five ages, by currency and mode."""
    sums: dict[tuple[str, bool], tuple[list[int], list[int]]] = {}
    for currency, live, days, count, amount in rows:
        counts, amounts = sums.setdefault((currency, live), ([0] * 5, [0] * 5))
        place = sum(days > end for end in AGE_DAYS)
        counts[place] += count
        amounts[place] += amount
    return tuple(
        DebtAge(currency=currency, live=live, counts=_five(counts), amounts_minor=_five(amounts))
        for (currency, live), (counts, amounts) in sorted(sums.items())
    )


def _five(values: list[int]) -> tuple[int, int, int, int, int]:
    first, second, third, fourth, fifth = values
    return first, second, third, fourth, fifth


def _move(known: Demand, kind: MovementKind, amount_minor: int, document_id: UUID, theirs: str) -> HandMove:
    order = known.order
    return HandMove(
        kind, order.book_id, known.live, order.currency, amount_minor, document_id, known.text_id, theirs
    )


def _check_standing(known: Demand) -> None:
    if known.state not in STANDING:
        raise Conflict("demand_state", f"{known.text_id} is {known.state} already", id=known.text_id)


def _check_proposed(known: Demand) -> None:
    if not known.given_up_by or known.state not in STANDING:
        raise Conflict("write_off_not_proposed", f"nobody wants to write {known.text_id} off")


def _next(known: Demand, state: DemandState, deed: Deed, **changes: object) -> Demand:
    return msgspec.structs.replace(
        known,
        state=state,
        version=known.version + 1,
        history=(*known.history, deed),
        updated_at=deed.at,
        **changes,
    )
