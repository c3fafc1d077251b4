"""What merchants hear of their payouts and accounts: facts of this room become events of theirs, exactly once.

The names are those that receivers know from Stripe: ``payout.created``, ``payout.paid``, ``payout.failed``, ``payout.canceled`` and
``account.external_account.updated``. A payout that came back after it was booked is ``payout.failed`` to whoever knows no more,
and ``payout.returned`` beside it. What only people of the house should look at is no event.
"""

from collections.abc import Mapping, Sequence
from functools import partial

from tongbao.clearing.schema.payout_facts import DestinationChanged, PayoutChanged
from tongbao.clearing.schema.payouts import PayoutState
from tongbao.clearing.store import destinations, modes, payouts
from tongbao.core.clock import Clock
from tongbao.core.db import Connection
from tongbao.core.events.facts import Delivered
from tongbao.core.events.subscriptions import Projection
from tongbao.payments.schema.notices import AccountNotice, PayoutNotice, Told
from tongbao.payments.service import events

SUBSCRIPTION = "clearing.merchant_notices"
PAYOUT_EVENTS: Mapping[str, tuple[str, ...]] = {
    PayoutState.CREATED: ("payout.created",),
    PayoutState.PAID: ("payout.paid",),
    PayoutState.REJECTED: ("payout.failed",),
    PayoutState.RETURNED: ("payout.failed", "payout.returned"),
    PayoutState.CANCELED: ("payout.canceled",),
}
"""By the state that a payout came to; merchants are told of nothing else."""
ACCOUNT_EVENTS = ("account.external_account.updated",)
"""Whatever happened to an account, and whoever did it."""


def notices(clock: Clock) -> Projection:
    """Return what makes events of facts."""
    return Projection(SUBSCRIPTION, (PayoutChanged, DestinationChanged), partial(_tell, clock))


async def _tell(clock: Clock, connection: Connection, delivered: Sequence[Delivered]) -> None:
    """Write the events of a batch of facts; joins the caller's transaction, and may be repeated."""
    told: list[Told] = []
    for each in delivered:
        match each.fact:
            case PayoutChanged() as fact:
                found = await _of_payout(connection, each, fact)
            case DestinationChanged() as fact:
                found = await _of_account(connection, each, fact)
            case _:
                found = None
        if found is not None:
            told.append(found)
    await events.tell(clock, connection, told)


async def _of_payout(connection: Connection, delivered: Delivered, fact: PayoutChanged) -> Told | None:
    """Return what a merchant is told of a payout; what changes in it is the fact's, whatever happened since."""
    types = PAYOUT_EVENTS.get(fact.state)
    if types is None or fact.alarm:
        return None
    payout = await payouts.one(connection, fact.book_id, fact.payout_id)
    if payout is None:
        return None
    notice = PayoutNotice(
        id=fact.payout_id,
        book_id=fact.book_id,
        live=fact.live,
        version=fact.version,
        state=fact.state,
        amount_minor=fact.amount_minor,
        currency=fact.currency,
        arrive_on=payout.due_on,
        batch_id=fact.batch_id,
        destination_id=payout.destination_id,
        end_to_end=fact.end_to_end,
        failure_code=fact.code,
        created_at=payout.created_at,
    )
    return Told(delivered, types, notice)


async def _of_account(connection: Connection, delivered: Delivered, fact: DestinationChanged) -> Told | None:
    """Return what a merchant is told of an account; nobody is told of one in a book of no merchant."""
    account = await destinations.one(connection, fact.book_id, fact.destination_id)
    live = await modes.of_book(connection, fact.book_id)
    if account is None or live is None:
        return None
    notice = AccountNotice(
        id=fact.destination_id,
        book_id=fact.book_id,
        live=live,
        version=fact.version,
        state=fact.state,
        currency=fact.currency,
        country=account.country,
        holder=account.holder,
        last4=fact.last4,
        usable_at=fact.usable_at,
        created_at=account.created_at,
    )
    return Told(delivered, ACCOUNT_EVENTS, notice)
