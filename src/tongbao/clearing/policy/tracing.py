"""Where money is: the steps of its way put in order, the places in which it is now, and that in one sentence.

Movements in one place (batch and state) are told together. What comes next follows from the place alone.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, tzinfo
from uuid import UUID

from tongbao.clearing.policy.cycles import zone_of
from tongbao.clearing.policy.money_texts import LANGUAGES, sentence, text
from tongbao.clearing.schema.batches import BATCH_PREFIX, Batch, BatchState
from tongbao.clearing.schema.bills import BillLine, MoneyState
from tongbao.clearing.schema.movements import KIND_NAMES
from tongbao.clearing.schema.payouts import PAYOUT_PREFIX, Payout, PayoutState
from tongbao.clearing.schema.tracing import Next, Place, Stage, TracedLine, TraceStep
from tongbao.core.ids import uuid_text
from tongbao.core.money import Money

NOT_CAPTURED = "not_captured"
PENDING = "pending"
PARTS_TOLD_MAX = 5
_NEXT = {
    MoneyState.WAITING: Next.CUT,
    MoneyState.CUT: Next.PRICE,
    MoneyState.PRICED: Next.APPROVE,
    MoneyState.APPROVED: Next.SEND,
    MoneyState.SENT: Next.PAY,
    MoneyState.PAID: Next.STATE,
    MoneyState.CARRIED: Next.CARRY,
    MoneyState.FAILED: Next.MEND,
}
_DATED = frozenset({Next.PRICE, Next.APPROVE, Next.SEND, Next.PAY})
"""What is to be done by the date of payment."""
_ON_THE_WAY = frozenset({PayoutState.SENT, PayoutState.ACCEPTED, PayoutState.UNRESOLVED})
_BATCH_STAGES = {
    BatchState.CUT: Stage.CUT,
    BatchState.PRICED: Stage.PRICED,
    BatchState.APPROVED: Stage.APPROVED,
    BatchState.FAILED: Stage.FAILED,
}
_ENDED = {
    PayoutState.PAID: Stage.PAYOUT_PAID,
    PayoutState.REJECTED: Stage.PAYOUT_REJECTED,
    PayoutState.RETURNED: Stage.PAYOUT_RETURNED,
    PayoutState.CANCELED: Stage.PAYOUT_CANCELED,
}


def places(
    lines: Sequence[BillLine], batches: Sequence[Batch], seen_on_statement: Iterable[UUID] = ()
) -> tuple[Place, ...]:
    """Return where movements are now, those in one place together, earliest payout first.

    ``seen_on_statement``: payouts that a statement of the bank shows, after which nothing more happens.
    """
    groups: dict[tuple[object, ...], list[BillLine]] = {}
    for line in lines:
        where, movement = line.where, line.movement
        cut_at = movement.cut_at if where.batch_id is None else None
        groups.setdefault((movement.currency, where.batch_id, where.state, cut_at), []).append(line)
    known = {batch.id: batch for batch in batches}
    stated = set(seen_on_statement)
    found = [_place(group, known, stated) for group in groups.values()]
    return tuple(sorted(found, key=lambda each: (each.payout_on or date.max, each.currency)))


def place_of_batch(batch: Batch, payout: Payout | None, seen_on_statement: Iterable[UUID] = ()) -> Place:
    """Return where the money of a whole batch is; ``payout``: its newest. Its amount is what it pays, or carries on."""
    state = _state_of(batch, payout)
    payout_id = None if payout is None else payout.id
    coming = _NEXT[state]
    if coming is Next.STATE and (batch.state is BatchState.RECONCILED or payout_id in set(seen_on_statement)):
        coming = Next.DONE
    totals = batch.totals
    is_dated = coming in _DATED
    return Place(
        state=state.value,
        currency=batch.currency,
        amount_minor=totals.gross_minor
        + totals.refunds_minor
        + totals.disputes_minor
        + totals.adjustments_minor,
        net_minor=None if state is MoneyState.CUT else batch.paid_minor + batch.carried_minor,
        movement_count=totals.count,
        cut_at=batch.cut_at,
        payout_on=batch.payout_on,
        paid_at=_paid_at(batch) if state is MoneyState.PAID else None,
        batch_id=batch.id,
        payout_id=payout_id,
        next=coming,
        next_on=batch.payout_on if is_dated else None,
    )


def _state_of(batch: Batch, payout: Payout | None) -> MoneyState:
    """Return the state of a bill that a batch is in."""
    match batch.state:
        case BatchState.PAID | BatchState.RECONCILED:
            return MoneyState.PAID if batch.paid_minor else MoneyState.CARRIED
        case BatchState.APPROVED if payout is not None and payout.state in _ON_THE_WAY:
            return MoneyState.SENT
        case BatchState.OPEN:
            return MoneyState.WAITING
        case _:
            return MoneyState(batch.state.value)


def _place(group: Sequence[BillLine], known: dict[UUID, Batch], stated: set[UUID]) -> Place:
    first = group[0]
    where, movement = first.where, first.movement
    batch = None if where.batch_id is None else known.get(where.batch_id)
    costs = [line.cost.net_minor for line in group if line.cost is not None]
    coming = _NEXT[where.state]
    is_stated = batch is not None and batch.state is BatchState.RECONCILED
    if coming is Next.STATE and (is_stated or where.payout_id in stated):
        coming = Next.DONE
    cut_at = movement.cut_at if batch is None else batch.cut_at
    is_dated = coming in _DATED
    return Place(
        state=where.state.value,
        currency=movement.currency,
        amount_minor=sum(line.movement.amount_minor for line in group),
        net_minor=sum(costs) if len(costs) == len(group) else None,
        movement_count=len(group),
        cut_at=cut_at,
        payout_on=where.payout_on,
        paid_at=where.paid_at or (_paid_at(batch) if where.state is MoneyState.PAID else None),
        batch_id=where.batch_id,
        payout_id=where.payout_id,
        next=coming,
        next_at=cut_at if coming is Next.CUT else None,
        next_on=where.payout_on if is_dated else None,
    )


def _paid_at(batch: Batch | None) -> datetime | None:
    steps = () if batch is None else batch.history
    return next((step.at for step in reversed(steps) if step.state is BatchState.PAID), None)


def steps(
    lines: Sequence[BillLine],
    batches: Sequence[Batch],
    payouts: Sequence[Payout],
    reported: Sequence[TracedLine],
) -> tuple[TraceStep, ...]:
    """Return every step of the way, in the order in which they happened; what is known by its day comes after that day."""
    found = [
        *(_moved(line) for line in lines),
        *(step for batch in batches for step in _of_batch(batch)),
        *(step for payout in payouts for step in _of_payout(payout)),
        *(_reported(line) for line in reported),
    ]
    # Sorting is stable: what happened at one instant stays in the order of the way.
    return tuple(sorted(found, key=_when))


def _when(step: TraceStep) -> tuple[str, int]:
    if step.at is not None:
        return step.at.isoformat(), 0
    return f"{step.on}T~", 1


def _moved(line: BillLine) -> TraceStep:
    movement, cost = line.movement, line.cost
    facts = {
        "kind": KIND_NAMES[movement.kind],
        "channel": movement.channel,
        "method": movement.method,
        "currency": movement.currency,
    }
    if cost is not None:
        facts |= {
            "fee_minor": str(cost.fee_minor),
            "net_minor": str(cost.net_minor),
            "is_estimated": str(cost.is_estimated).lower(),
        }
    return TraceStep(
        stage=Stage.MOVED,
        at=movement.occurred_at,
        reference=movement.text_id,
        amount_minor=movement.amount_minor,
        facts=facts,
    )


def _of_batch(batch: Batch) -> Iterable[TraceStep]:
    for step in batch.history:
        stage = _BATCH_STAGES.get(step.state)
        if step.state is BatchState.PAID and not batch.paid_minor:
            stage = Stage.CARRIED
        if stage is None:
            # That it was paid and reconciled is told by the payout and by the bank's line.
            continue
        facts = {"note": step.note} if step.note else {}
        amount = None
        if stage is Stage.PRICED:
            facts |= {
                "schedule": batch.schedule,
                "schedule_version": str(batch.schedule_version),
                "fees_minor": str(batch.totals.fees_minor),
            }
            amount = batch.totals.net_minor
        elif stage is Stage.CARRIED:
            amount = batch.carried_minor
        yield TraceStep(stage=stage, at=step.at, reference=batch.reference, amount_minor=amount, facts=facts)


def _of_payout(payout: Payout) -> Iterable[TraceStep]:
    told = {"end_to_end": payout.end_to_end, "state": payout.state.value}
    made: list[tuple[Stage, datetime | None]] = [
        (Stage.PAYOUT_CREATED, payout.created_at),
        (Stage.PAYOUT_SENT, payout.sent_at),
    ]
    if payout.state in _ENDED:
        made.append((_ENDED[payout.state], payout.ended_at or payout.updated_at))
    for stage, at in made:
        if at is not None:
            yield TraceStep(
                stage=stage, at=at, reference=payout.reference, amount_minor=payout.amount_minor, facts=told
            )


def _reported(line: TracedLine) -> TraceStep:
    """Return the step of a matched line; of the house's own account a merchant learns the day, not the rest."""
    return TraceStep(
        stage=Stage.STATED if line.is_bank else Stage.REPORTED,
        on=line.on,
        amount_minor=line.amount_minor,
        facts={} if line.is_bank else {"channel": line.source},
    )


def sentences(found: Sequence[Place], zone: str) -> dict[str, str]:
    """Return where money is, in one sentence of each language, with times of a zone."""
    place = zone_of(zone)
    return {language: _sentence(found, language, place) for language in LANGUAGES}


def _sentence(found: Sequence[Place], language: str, zone: tzinfo) -> str:
    told = [_told(place, language, zone) for place in found[:PARTS_TOLD_MAX]]
    if len(found) > PARTS_TOLD_MAX:
        told.append(f"+ {len(found) - PARTS_TOLD_MAX} …")
    match len(told):
        case 0:
            return sentence("nothing", language)
        case 1:
            return told[0]
    mark = text(("; ", "；"), language)
    parts = mark.join(each.rstrip(".。") for each in told)
    return sentence("several", language, parts=f"{parts}{text(('.', '。'), language)}")


def _told(place: Place, language: str, zone: tzinfo) -> str:
    amount = place.amount_minor if place.net_minor is None else place.net_minor
    facts = {
        "amount": str(Money(amount, place.currency)),
        "cut": _instant(place.cut_at, zone),
        "payout": "" if place.payout_on is None else place.payout_on.isoformat(),
        "paid": _instant(place.paid_at, zone),
        "batch": "" if place.batch_id is None else uuid_text(BATCH_PREFIX, place.batch_id),
        "payout_id": "" if place.payout_id is None else uuid_text(PAYOUT_PREFIX, place.payout_id),
    }
    if place.carried_to is not None:
        facts["carried_to"] = uuid_text(BATCH_PREFIX, place.carried_to)
        return sentence("carried_on", language, **facts)
    return sentence(place.state, language, **facts)


def _instant(at: datetime | None, zone: tzinfo) -> str:
    return "" if at is None else at.astimezone(zone).strftime("%Y-%m-%d %H:%M")
