"""Batches: their ids, what they come to, the transfers that their prices mean, and who may move them on.

What a batch comes to (``Totals.net_minor``) begins with what was carried on to it. From ``payout_min_minor`` on it is paid
whole; below, it is carried on to the next batch, and where it is negative the merchant owes it. On the books::

    withheld      in_transit → merchant_reserve
    fees          in_transit → fee_revenue, their tax → fee_revenue/tax          (the other way round where they go back)
    released      merchant_reserve → available
    left          in_transit → available
    lacking       available → in_transit, and what available cannot bear merchant_debt → in_transit
    collected     available → merchant_debt

Only what no earlier batch is still to be paid from bears a lack: what was carried on and what is released. All transfers of
a batch are one linked group, their keys derived from the batch, so that pricing it again posts nothing twice.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from tongbao.clearing.schema.agreements import Agreement, Cut
from tongbao.clearing.schema.batches import BATCH_MOVES, HISTORY_MAX, Batch, BatchState, Step, Totals
from tongbao.core.errors import Conflict, NotPermitted
from tongbao.core.ids import derive, first_uuid_at
from tongbao.ledger.schema import AccountId, BookId, Transfer, linked

APPROVERS_NEEDED = 2
JOB = "job:clearing"
"""Who moves what needs nobody."""


class Accounts(NamedTuple):
    """The accounts of one book and currency that batches post to."""

    book_id: BookId
    asset_id: int
    in_transit: AccountId
    available: AccountId
    merchant_reserve: AccountId
    merchant_debt: AccountId
    fee_revenue: AccountId
    fee_tax: AccountId


class Settled(NamedTuple):
    """What becomes of the net of a batch, minor units: sent to the merchant, or carried on (negative: owed)."""

    paid_minor: int
    carried_minor: int


def batch_id(book_id: int, currency: str, cut_at: datetime, *, live: bool) -> UUID:
    """Return the id of the batch of this money and cut: the same in any process, ordered by the cut."""
    return derive(first_uuid_at(cut_at), f"batch:{book_id}:{currency}:{'live' if live else 'test'}")


def settled(totals: Totals, agreement: Agreement) -> Settled:
    """Return what is paid of a net and what is carried on; their sum is the net."""
    net = totals.net_minor
    if net > 0 and net >= agreement.payout_min_minor:
        return Settled(net, 0)
    return Settled(0, net)


def needs_two(paid_minor: int, agreement: Agreement) -> bool:
    """Return whether two people have to approve what is paid."""
    limit = agreement.approval_above_minor
    return limit is not None and paid_minor > limit


def transfers(batch: Batch, accounts: Accounts) -> list[Transfer]:
    """Return what the prices of a batch mean for the books, as one linked group in this order; empty where nothing moves.

    Together they take exactly the batch's movements off ``in_transit``.
    """
    found = [
        Transfer(
            key=derive(batch.id, label),
            book_id=accounts.book_id,
            debit_account_id=debit,
            credit_account_id=credit,
            amount_minor=amount_minor,
            asset_id=accounts.asset_id,
            code=f"settlement.{label}",
            reference=batch.reference,
        )
        for label, debit, credit, amount_minor in _moves(batch.totals, accounts)
        if amount_minor
    ]
    return linked(found) if found else []


def _moves(totals: Totals, to: Accounts) -> Iterator[tuple[str, AccountId, AccountId, int]]:
    """Yield label, debit, credit and amount of every transfer; amounts of nothing too."""
    yield "reserve", to.in_transit, to.merchant_reserve, -totals.reserve_held_minor
    yield "release", to.merchant_reserve, to.available, totals.reserve_released_minor
    yield _signed("fees", to.in_transit, to.fee_revenue, -totals.fees_minor - totals.tax_minor)
    yield _signed("tax", to.in_transit, to.fee_tax, totals.tax_minor)
    brought = totals.brought_minor
    left = totals.net_minor - brought - totals.reserve_released_minor
    free = max(brought, 0) + totals.reserve_released_minor
    owed = max(-brought, 0)
    if left >= 0:
        yield "net", to.in_transit, to.available, left
        free += left
    else:
        borne = min(-left, free)
        yield "net", to.available, to.in_transit, borne
        yield "debt", to.merchant_debt, to.in_transit, -left - borne
        free, owed = free - borne, owed - left - borne
    yield "collect", to.available, to.merchant_debt, min(free, owed)


def _signed(
    label: str, debit: AccountId, credit: AccountId, amount_minor: int
) -> tuple[str, AccountId, AccountId, int]:
    return (
        (label, debit, credit, amount_minor) if amount_minor >= 0 else (label, credit, debit, -amount_minor)
    )


def moved(batch: Batch, state: BatchState, at: datetime, actor: str, note: str = "", **changes: Any) -> Batch:
    """Return the next version of a batch in ``state``, with who moved it and why.

    Of the history the newest ``HISTORY_MAX`` steps are kept. Raises Conflict ``batch_state`` for a move that does not exist.
    """
    if state not in BATCH_MOVES[batch.state]:
        raise Conflict("batch_state", f"{batch.reference} is {batch.state} and cannot become {state}")
    step = Step(state=state, at=at, actor=actor, note=note)
    return msgspec.structs.replace(
        batch,
        state=state,
        version=batch.version + 1,
        updated_at=at,
        history=(*batch.history, step)[-HISTORY_MAX:],
        **changes,
    )


def replanned(batch: Batch, cut: Cut, at: datetime, reference: str) -> Batch:
    """Return the next version of a batch that is paid on another date, and by which announcement; its state stays."""
    note = f"{reference}: paid on {cut.payout_on}, before {batch.payout_on}"
    step = Step(state=batch.state, at=at, actor=JOB, note=note)
    return msgspec.structs.replace(
        batch,
        payout_on=cut.payout_on,
        is_provisional=cut.is_provisional,
        version=batch.version + 1,
        updated_at=at,
        history=(*batch.history, step)[-HISTORY_MAX:],
    )


def approved(batch: Batch, at: datetime, actor: str, note: str = "") -> Batch:
    """Return a priced or mended batch with one more approval, and approved where that was the last one it needs.

    Each approval is a step of the history. Where nothing is to be paid the batch is paid with the last one. Raises Conflict
    ``batch_state``; NotPermitted ``approval_twice``, ``approval_by_maker`` for whoever made the batch what it is, and
    ``approval_needs_people`` for the job.
    """
    if BatchState.APPROVED not in BATCH_MOVES[batch.state]:
        raise Conflict("batch_state", f"{batch.reference} is {batch.state} and cannot be approved")
    if actor in batch.approvals:
        raise NotPermitted("approval_twice", f"you approved {batch.reference} already; somebody else has to")
    makers = {step.actor for step in batch.history if step.state is not BatchState.APPROVED}
    if actor != JOB and actor in makers:
        raise NotPermitted("approval_by_maker", f"you moved {batch.reference} yourself; somebody else has to")
    if actor == JOB and (batch.needs_two or batch.state is BatchState.FAILED):
        raise NotPermitted("approval_needs_people", f"{batch.reference} is approved by people only")
    approvals = (*batch.approvals, actor)
    if batch.needs_two and len(approvals) < APPROVERS_NEEDED:
        step = Step(state=BatchState.APPROVED, at=at, actor=actor, note=note)
        return msgspec.structs.replace(
            batch,
            version=batch.version + 1,
            updated_at=at,
            approvals=approvals,
            history=(*batch.history, step)[-HISTORY_MAX:],
        )
    done = moved(batch, BatchState.APPROVED, at, actor, note, approvals=approvals)
    if done.paid_minor:
        return done
    paid = moved(done, BatchState.PAID, at, actor, "nothing is to be paid")
    return msgspec.structs.replace(paid, version=done.version)
