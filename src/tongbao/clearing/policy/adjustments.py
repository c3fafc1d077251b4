"""Adjustments: what may be proposed, who may approve it, and what it moves. Pure.

Whoever proposes never approves. Above the limit of the merchant's agreement, the same as of batches, two others do.
"""

from datetime import datetime
from uuid import UUID

import msgspec

from tongbao.clearing.policy.breaking import NOTE_CHARS_MAX
from tongbao.clearing.policy.hand_moves import POSTED, HandMove
from tongbao.clearing.schema.adjustments import (
    ADJUSTMENT_MOVES,
    EVIDENCE_CHARS_MAX,
    REASON_CHARS_MAX,
    REFERENCE_CHARS_MAX,
    Adjustment,
    AdjustmentOrder,
    AdjustmentState,
    Deed,
)
from tongbao.clearing.schema.agreements import Agreement
from tongbao.clearing.schema.movements import MovementKind
from tongbao.core.errors import Conflict, InvalidRequest, NotPermitted
from tongbao.core.ids import derive
from tongbao.ledger.schema import AMOUNT_MINOR_MAX

APPROVERS_NEEDED = 2


def check(order: AdjustmentOrder) -> None:
    """Raise InvalidRequest ``amount_invalid``, ``reason_invalid``, ``reference_invalid``, ``evidence_invalid``."""
    if order.amount_minor == 0 or abs(order.amount_minor) > AMOUNT_MINOR_MAX:
        raise InvalidRequest(
            "amount_invalid",
            f"from 1 to {AMOUNT_MINOR_MAX} minor units, given or taken",
            param="amount_minor",
        )
    check_text(order.reason, "reason", REASON_CHARS_MAX)
    check_text(order.reference, "reference", REFERENCE_CHARS_MAX)
    check_text(order.evidence, "evidence", EVIDENCE_CHARS_MAX)


def check_text(text: str, name: str, chars_max: int) -> None:
    """Raise InvalidRequest ``<name>_invalid`` for nothing, too much, or what cannot be stored."""
    if not 0 < len(text.strip()) <= len(text) <= chars_max or "\0" in text:
        raise InvalidRequest(f"{name}_invalid", f"{name}: 1 to {chars_max} characters are needed", param=name)


def check_note(note: str) -> None:
    """Raise InvalidRequest ``note_invalid`` for what cannot be kept as a reason; none is fine."""
    if len(note) > NOTE_CHARS_MAX or "\0" in note:
        raise InvalidRequest("note_invalid", f"a note has at most {NOTE_CHARS_MAX} characters", param="note")


def check_reversal(order: AdjustmentOrder, first: Adjustment) -> None:
    """Raise Conflict ``adjustment_state`` where the first was never posted, InvalidRequest ``reversal_differs`` where it is another sum."""
    if first.state is not AdjustmentState.POSTED:
        raise Conflict(
            "adjustment_state", f"{first.text_id} is {first.state}: only what was posted is taken back"
        )
    if (order.currency, order.amount_minor) != (first.order.currency, -first.order.amount_minor):
        raise InvalidRequest(
            "reversal_differs",
            f"{first.text_id} is taken back by {-first.order.amount_minor} {first.order.currency}",
            param="amount_minor",
        )


def proposed(
    order: AdjustmentOrder, adjustment_id: UUID, at: datetime, actor: str, *, live: bool, needs_two: bool
) -> Adjustment:
    """Return a new adjustment."""
    return Adjustment(
        id=adjustment_id,
        live=live,
        order=order,
        state=AdjustmentState.PROPOSED,
        needs_two=needs_two,
        proposed_by=actor,
        history=(Deed(act="proposed", at=at, actor=actor, amount_minor=order.amount_minor),),
        created_at=at,
        updated_at=at,
    )


def is_above(amount_minor: int, agreement: Agreement) -> bool:
    """Return whether an amount, given or taken, is above what one person may approve."""
    limit = agreement.approval_above_minor
    return limit is not None and abs(amount_minor) > limit


def approved(known: Adjustment, at: datetime, actor: str, note: str) -> Adjustment:
    """Return an adjustment with one more approval, and posted where that was the last one it needs.

    Raises Conflict ``adjustment_state``, NotPermitted ``four_eyes`` for the proposer, ``approval_twice``.
    """
    _check_open(known, AdjustmentState.POSTED)
    if actor == known.proposed_by:
        raise NotPermitted("four_eyes", f"you proposed {known.text_id}; somebody else has to approve it")
    if actor in known.approvals:
        raise NotPermitted("approval_twice", f"you approved {known.text_id} already; somebody else has to")
    approvals = (*known.approvals, actor)
    is_last = len(approvals) >= (APPROVERS_NEEDED if known.needs_two else 1)
    state = AdjustmentState.POSTED if is_last else AdjustmentState.PROPOSED
    after = _next(known, state, Deed(act="approved", at=at, actor=actor, note=note))
    return msgspec.structs.replace(
        after, approvals=approvals, movement_id=derive(known.id, POSTED) if is_last else None
    )


def declined(known: Adjustment, at: datetime, actor: str, note: str) -> Adjustment:
    """Return an adjustment that is refused, or withdrawn by who proposed it. Raises Conflict ``adjustment_state``."""
    _check_open(known, AdjustmentState.DECLINED)
    return _next(known, AdjustmentState.DECLINED, Deed(act="declined", at=at, actor=actor, note=note))


def move(of: Adjustment) -> HandMove:
    """Return what an adjustment moves."""
    order = of.order
    return HandMove(
        MovementKind.ADJUSTMENT,
        order.book_id,
        of.live,
        order.currency,
        order.amount_minor,
        of.id,
        of.text_id,
        order.reference,
        order.intent_id,
    )


def _check_open(known: Adjustment, wanted: AdjustmentState) -> None:
    if wanted not in ADJUSTMENT_MOVES[known.state]:
        raise Conflict("adjustment_state", f"{known.text_id} is {known.state} already", id=known.text_id)


def _next(known: Adjustment, state: AdjustmentState, deed: Deed) -> Adjustment:
    return msgspec.structs.replace(
        known,
        state=state,
        version=known.version + 1,
        history=(*known.history, deed),
        updated_at=deed.at,
    )
