"""Which movements a document of payments has made: the same steps, keys and amounts as the journal's on ``in_transit``.

What ``payments.policy.postings`` posts is worked out again from the document alone, so that a version which is seen twice,
or one that is never seen, changes nothing. A movement carries the key of its transfer as its id. One kind comes of payouts: that one
came back.

Source: the table at the head of ``payments.policy.postings``.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from tongbao.channels.schema import Card, Operation, kind_of
from tongbao.clearing.schema.agreements import Cut
from tongbao.clearing.schema.fees import LABEL_CHARS_MAX
from tongbao.clearing.schema.movements import Movement, MovementKind
from tongbao.clearing.schema.payout_facts import PayoutChanged
from tongbao.clearing.schema.payouts import PayoutState
from tongbao.core.errors import InvariantBroken
from tongbao.core.ids import derive, uuid_text
from tongbao.payments.schema.attempts import PAID, ActState, Attempt
from tongbao.payments.schema.refunds import Dispute, DisputeState, Refund, RefundState

UNKNOWN = "unknown"
"""What channels write of a card's funding that they do not know; prices take it for empty."""
Moving = Attempt | Refund | Dispute
CutOf = Callable[[datetime], Cut]
"""Where a movement of an instant belongs, by the agreement of that instant."""


class Origin(NamedTuple):
    """What a movement has of the attempt that it goes back to, and of the store that sold."""

    channel: str
    method: str
    brand: str = ""
    funding: str = ""
    card_country: str = ""
    store: str = ""


class Moved(NamedTuple):
    """One move on ``in_transit``: what it is, its key in the journal, its signed minor units, when, and what channels call it."""

    kind: MovementKind
    key: UUID
    amount_minor: int
    occurred_at: datetime
    reference: str
    channel_reference: str | None


def origin_of(attempt: Attempt, store: str = "") -> Origin:
    """Return the origin of everything that follows on an attempt."""
    method = attempt.method
    if not isinstance(method, Card):
        return Origin(attempt.channel, kind_of(method), store=store[:LABEL_CHARS_MAX])
    funding = "" if method.funding == UNKNOWN else method.funding
    country = method.country or ""
    return Origin(attempt.channel, kind_of(method), method.brand, funding, country, store[:LABEL_CHARS_MAX])


def movements_of(
    document: Moving,
    origin: Origin,
    recorded_at: datetime,
    cut_of: CutOf,
    instants: Mapping[UUID, datetime] | None = None,
) -> tuple[Movement, ...]:
    """Return every movement that a document has made so far, in the order in which they happened.

    Captures and ends carry the time of the version that shows them first, or that of the journal where ``instants`` tells it by
    the key of the transfer. Raises InvariantBroken ``movements_differ`` where an attempt's captures do not come to what it says
    was captured.
    """
    found: list[Movement] = []
    for moved in _moves(document):
        at = (instants or {}).get(moved.key, moved.occurred_at)
        cut = cut_of(at)
        found.append(
            Movement(
                id=moved.key,
                book_id=document.book_id,
                live=document.live,
                kind=moved.kind,
                transfer_key=moved.key,
                source_id=document.id,
                intent_id=document.intent_id,
                channel=origin.channel,
                method=origin.method,
                brand=origin.brand,
                funding=origin.funding,
                card_country=origin.card_country,
                store=origin.store,
                currency=document.currency,
                amount_minor=moved.amount_minor,
                reference=moved.reference,
                channel_reference=moved.channel_reference,
                occurred_at=at,
                recorded_at=recorded_at,
                cut_at=cut.cut_at,
                payout_on=cut.payout_on,
            )
        )
    return tuple(found)


def keys_of(document: Moving) -> list[UUID]:
    """Return the keys of the transfers by which a document has moved ``in_transit`` so far."""
    return [moved.key for moved in _moves(document)]


def returned_payout(fact: PayoutChanged, recorded_at: datetime, cut_of: CutOf) -> Movement | None:
    """Return the movement of a payout that came back; None for any other news of one.

    It moves nothing on ``in_transit``: the money goes back to ``available``, and its batch is paid anew. It stands among the
    merchant's movements so that a bill shows it, and so that a price list may charge for it.
    """
    if fact.state != PayoutState.RETURNED or fact.alarm:
        return None
    key = derive(fact.payout_id, "returned")
    cut = cut_of(fact.occurred_at)
    return Movement(
        id=key,
        book_id=fact.book_id,
        live=fact.live,
        kind=MovementKind.PAYOUT_RETURNED,
        transfer_key=key,
        source_id=fact.payout_id,
        intent_id=None,
        channel="",
        method="",
        currency=fact.currency,
        amount_minor=0,
        reference=fact.subject,
        channel_reference=fact.end_to_end,
        occurred_at=fact.occurred_at,
        recorded_at=recorded_at,
        cut_at=cut.cut_at,
        payout_on=cut.payout_on,
    )


def _moves(document: Moving) -> Iterator[Moved]:
    match document:
        case Attempt():
            return _of_attempt(document)
        case Refund():
            return _of_refund(document)
        case Dispute():
            return _of_dispute(document)


def _of_attempt(attempt: Attempt) -> Iterator[Moved]:
    """Yield what was claimed: at once, at the channel's own desk, or by captures."""
    if attempt.state not in PAID or not attempt.captured_minor:
        # Money of an attempt that is given back, or contradicted, stands in suspense.
        return
    captures = list(_captures(attempt))
    if not captures:
        at = attempt.ended_at or attempt.updated_at
        captures = [_sale(attempt, derive(attempt.id, "charged"), attempt.captured_minor, at, None)]
    total = sum(each.amount_minor for each in captures)
    if total != attempt.captured_minor:
        raise InvariantBroken(
            "movements_differ",
            f"{attempt.reference} says {attempt.captured_minor}, its captures come to {total}",
        )
    yield from captures


def _captures(attempt: Attempt) -> Iterator[Moved]:
    """Yield one move for each hold that a capture took from, oldest hold first, as the ledger was told to."""
    grown = sum(
        act.amount_minor for act in attempt.acts if _done(act.state, act.operation, Operation.INCREMENT)
    )
    left = {derive(attempt.id, "hold"): attempt.authorized_minor - grown}
    for act in attempt.acts:
        if _done(act.state, act.operation, Operation.INCREMENT):
            left[derive(act.id, "hold")] = act.amount_minor
        elif _done(act.state, act.operation, Operation.CAPTURE):
            wanted = act.amount_minor
            for hold, held in left.items():
                taken = min(held, wanted)
                if taken:
                    left[hold], wanted = held - taken, wanted - taken
                    key = derive(act.id, f"capture:{hold}")
                    yield _sale(attempt, key, taken, attempt.updated_at, act.channel_reference)


def _done(state: ActState, operation: Operation, wanted: Operation) -> bool:
    return state is ActState.APPROVED and operation is wanted


def _sale(attempt: Attempt, key: UUID, amount_minor: int, at: datetime, theirs: str | None) -> Moved:
    theirs = theirs or attempt.channel_reference
    return Moved(MovementKind.SALE, key, amount_minor, at, attempt.reference, theirs)


def _of_refund(refund: Refund) -> Iterator[Moved]:
    ours, theirs, amount = refund.reference, refund.channel_reference, refund.amount_minor
    made = derive(refund.id, "made")
    yield Moved(MovementKind.REFUND, made, -amount, refund.created_at, ours, theirs)
    if refund.state is RefundState.FAILED:
        at = refund.ended_at or refund.updated_at
        yield Moved(MovementKind.REFUND_FAILED, derive(refund.id, "failed"), amount, at, ours, theirs)


def _of_dispute(dispute: Dispute) -> Iterator[Moved]:
    ours, theirs = uuid_text(Attempt.PREFIX, dispute.attempt_id), dispute.channel_reference
    opened, amount = derive(dispute.id, "opened"), dispute.amount_minor
    yield Moved(MovementKind.DISPUTE, opened, -amount, dispute.created_at, ours, theirs)
    if dispute.state is DisputeState.WON:
        ended = derive(dispute.id, "ended")
        yield Moved(MovementKind.DISPUTE_WON, ended, amount, dispute.updated_at, ours, theirs)
