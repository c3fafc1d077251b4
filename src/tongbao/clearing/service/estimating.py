"""Estimating: what movements will cost that no batch has priced yet, by the same arithmetic as the batch's own.

The lists are those in force when each movement happened. Of what the month sold before them only sales that are asked for, and
those before the first of them, count; and of sales that something goes back of, only each other. So where a merchant's price
depends on volume a part of a bill may come out a step too high or low until its batch is priced.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from tongbao.clearing.policy.agreements import Terms
from tongbao.clearing.policy.batching import batch_id
from tongbao.clearing.policy.cycles import local_date, zone_of
from tongbao.clearing.policy.fee_sums import priced_of
from tongbao.clearing.policy.fees import Schedule, joint
from tongbao.clearing.policy.price_lists import COSTS, MERCHANTS
from tongbao.clearing.policy.pricing import Payment, Seller, Sold, Tally, own_cost
from tongbao.clearing.schema.batches import Batch, BatchState
from tongbao.clearing.schema.movements import Movement, MovementKind, PricedMovement
from tongbao.clearing.service.agreements import Agreements
from tongbao.clearing.service.pricing import PriceLists, Sellers, listed
from tongbao.clearing.store import batches as batch_store
from tongbao.clearing.store import bills as store
from tongbao.clearing.store.batches import PastMovement
from tongbao.clearing.store.movements import Money
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest, LimitExceeded, NotFound

ESTIMATED_MAX = 5_000
"""Movements of one call: some tens of milliseconds of arithmetic. Of more the callers ask call by call."""
BESIDE_MAX = 100_000
"""Unpriced movements of the payments that something goes back of in one call."""

Carried = dict[tuple[str, bool], dict[date, int]]
"""By currency and mode what each month had sold, minor units, once what was asked for so far is counted."""


class _Facts(NamedTuple):
    """What was read for the movements of one book; ``beside``: of the same payments, and not asked for."""

    seller: Seller
    terms: Terms
    movements: list[Movement]
    beside: list[Movement]
    past: dict[UUID, list[PastMovement]]


class Estimating:
    """Estimates movements. One object per process; writes nothing."""

    def __init__(
        self, database: Database, agreements: Agreements, prices: PriceLists, sellers: Sellers
    ) -> None:
        self._database = database
        self._agreements = agreements
        self._prices = prices
        self._sellers = sellers

    async def of(
        self, movements: Sequence[Movement], carried: Carried | None = None
    ) -> dict[UUID, PricedMovement]:
        """Return what movements of one book will cost, by movement; those of which no list is found are left out.

        At most ``ESTIMATED_MAX`` of them are looked at, the first. Who asks for more than one call's movements, as they
        happened, hands the same ``carried`` to each call, empty at first, and gets what one call would have told. Raises
        LimitExceeded ``estimate_too_large`` where their payments have more than ``BESIDE_MAX`` unpriced movements.
        """
        asked = movements[:ESTIMATED_MAX]
        if not asked:
            return {}
        facts = await self._facts(asked)
        sold: Carried = {} if carried is None else carried
        found: dict[UUID, PricedMovement] = {}
        for money in {(each.currency, each.live) for each in facts.movements}:
            group = [each for each in facts.movements if (each.currency, each.live) == money]
            beside = [each for each in facts.beside if (each.currency, each.live) == money]
            try:
                found |= await self._estimated(group, beside, facts, sold.setdefault(money, {}))
            except (NotFound, InvalidRequest):
                # A list that nobody published, or that does not go with the others, leaves its batch unpriced as well.
                continue
        return found

    async def _facts(self, asked: Sequence[Movement]) -> _Facts:
        """Read everything that estimates go by; what goes back takes all of its payment along."""
        book_id = asked[0].book_id
        seller = await self._sellers.seller(book_id)
        intents = list({each.intent_id for each in asked if _goes_back(each) and each.intent_id is not None})
        async with self._database.connection() as connection:
            terms = await self._agreements.terms(connection, (book_id,))
            past = await batch_store.past(connection, book_id, intents) if intents else {}
            beside = (
                await store.unpriced_of_intents(connection, book_id, intents, BESIDE_MAX + 1)
                if intents
                else []
            )
        if len(beside) > BESIDE_MAX:
            raise LimitExceeded("estimate_too_large", "the payments that went back have too many parts")
        wanted = {each.id for each in asked}
        return _Facts(
            seller,
            terms,
            sorted(asked, key=_order),
            sorted((each for each in beside if each.id not in wanted), key=_order),
            past,
        )

    async def _estimated(
        self, asked: list[Movement], beside: list[Movement], facts: _Facts, sold: dict[date, int]
    ) -> dict[UUID, PricedMovement]:
        """Return what movements of one money cost: sales first, then what goes back of them, as a batch does."""
        group = sorted((*asked, *beside), key=_order)
        lists = await self._lists(group, facts)
        aside: dict[date, int] = {}
        await self._count(asked, facts.terms, sold)
        await self._count(beside, facts.terms, aside)
        wanted = {each.id for each in asked}
        found: dict[UUID, PricedMovement] = {}
        tallies: dict[tuple[datetime, bool], Tally] = {}
        for movement in group:
            key = movement.cut_at, movement.id in wanted
            if key not in tallies:
                holding = facts.terms.at(movement.book_id, movement.currency, movement.cut_at).agreement
                volumes = sold if key[1] else aside
                tallies[key] = Tally(_open(movement), holding, facts.seller, volumes)
            if movement.kind is MovementKind.SALE:
                found[movement.id] = tallies[key].sale(movement, lists[movement.occurred_at])
        payments = await self._payments(group, facts, found, lists)
        for movement in group:
            if movement.kind is not MovementKind.SALE:
                schedule = lists[movement.occurred_at]
                payment = payments.get(movement.intent_id) or Payment(())
                tally = tallies[movement.cut_at, movement.id in wanted]
                found[movement.id] = tally.other(movement, schedule, payment)
        return {movement_id: row for movement_id, row in found.items() if movement_id in wanted}

    async def _payments(
        self,
        group: Sequence[Movement],
        facts: _Facts,
        found: dict[UUID, PricedMovement],
        lists: dict[datetime, Schedule],
    ) -> dict[UUID | None, Payment]:
        """Return what each payment sold so far, priced or estimated, and what went back of it."""
        payments: dict[UUID | None, Payment] = {}
        for movement in group:
            if _goes_back(movement) and movement.intent_id is not None and movement.intent_id not in payments:
                past = facts.past.get(movement.intent_id, [])
                payments[movement.intent_id] = await self._paid(movement, past, facts.terms)
        for movement in group:
            payment = payments.get(movement.intent_id)
            if movement.kind is MovementKind.SALE and payment is not None:
                paid = priced_of(found[movement.id].parts)
                payment.sales.append(Sold(movement.amount_minor, paid, lists[movement.occurred_at]))
        return payments

    async def _paid(self, of: Movement, past: Iterable[PastMovement], terms: Terms) -> Payment:
        payment = Payment(())
        for row in past:
            if row.kind is MovementKind.SALE:
                schedule = await self._joint(of, row.occurred_at, terms)
                payment.sales.append(Sold(row.amount_minor, priced_of(row.parts), schedule))
                continue
            payment.refunded_minor -= row.amount_minor
            if row.kind is MovementKind.REFUND:
                payment.refunds[row.source_id] = own_cost(row.parts)
        return payment

    async def _lists(self, group: Sequence[Movement], facts: _Facts) -> dict[datetime, Schedule]:
        """Return the list of every instant: versions hold in one piece, so between two equal ones nothing is asked."""
        instants = sorted({each.occurred_at for each in group})
        found = {at: await self._joint(group[0], at, facts.terms) for at in {instants[0], instants[-1]}}
        spans = [(0, len(instants) - 1)]
        while spans:
            low, high = spans.pop()
            if high - low < 2:
                continue
            if _alike(found[instants[low]], found[instants[high]]):
                found |= dict.fromkeys(instants[low + 1 : high], found[instants[low]])
                continue
            middle = (low + high) // 2
            found[instants[middle]] = await self._joint(group[0], instants[middle], facts.terms)
            spans += [(low, middle), (middle, high)]
        return found

    async def _joint(self, of: Movement, at: datetime, terms: Terms) -> Schedule:
        agreed = terms.at(of.book_id, of.currency, at).agreement
        lists = [
            await listed(self._prices, agreed.schedule, MERCHANTS, at),
            await listed(self._prices, "", COSTS, at),
        ]
        if agreed.agent_schedule:
            lists.append(await self._prices.at(agreed.agent_schedule, at))
        return joint(*lists)

    async def _count(self, group: Sequence[Movement], terms: Terms, sold: dict[date, int]) -> None:
        """Put into ``sold`` what each month, if it is not there yet, had sold before the first sale of it in the group."""
        first: dict[date, Movement] = {}
        for movement in group:
            if movement.kind is MovementKind.SALE:
                agreement = terms.at(movement.book_id, movement.currency, movement.occurred_at).agreement
                first.setdefault(local_date(agreement, movement.occurred_at).replace(day=1), movement)
        unseen = [month_on for month_on in first if month_on not in sold]
        if not unseen:
            return
        async with self._database.connection() as connection:
            priced = await batch_store.volumes(connection, _open(first[unseen[0]]))
            for month_on in unseen:
                movement = first[month_on]
                agreement = terms.at(movement.book_id, movement.currency, movement.occurred_at).agreement
                begins_at = datetime(month_on.year, month_on.month, 1, tzinfo=zone_of(agreement.zone))
                money = Money(movement.book_id, movement.currency, movement.live)
                waiting = await store.sold_unpriced(connection, money, begins_at, movement)
                sold[month_on] = priced.get(month_on, 0) + waiting


def _goes_back(movement: Movement) -> bool:
    return movement.kind in (MovementKind.REFUND, MovementKind.REFUND_FAILED)


def _order(movement: Movement) -> tuple[datetime, int, UUID]:
    return movement.occurred_at, movement.kind, movement.id


def _alike(first: Schedule, last: Schedule) -> bool:
    return (first.name, first.spec) == (last.name, last.spec)


def _open(movement: Movement) -> Batch:
    """Return the batch that a movement will be in, as a view of what is not cut yet."""
    return Batch(
        id=batch_id(movement.book_id, movement.currency, movement.cut_at, live=movement.live),
        book_id=movement.book_id,
        live=movement.live,
        currency=movement.currency,
        cut_at=movement.cut_at,
        payout_on=movement.payout_on,
        state=BatchState.OPEN,
        created_at=movement.occurred_at,
        updated_at=movement.occurred_at,
    )
