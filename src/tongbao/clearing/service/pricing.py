"""Pricing: a batch that was cut gets its fees, its reserve and its transfers, all in one commit or none of it.

Movements go through memory a few thousand at a time, however large the batch is. While one process prices the money of a
book, nobody else cuts or prices it; a process that is killed leaves nothing behind and the next one begins anew.
"""

from bisect import bisect_left
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol
from uuid import UUID

import msgspec

from tongbao.clearing.policy.agreements import Terms
from tongbao.clearing.policy.batching import JOB, Accounts, moved, needs_two, settled, transfers
from tongbao.clearing.policy.cycles import local_date
from tongbao.clearing.policy.fee_sums import priced_of
from tongbao.clearing.policy.fees import Schedule, joint
from tongbao.clearing.policy.price_lists import COSTS, MERCHANTS
from tongbao.clearing.policy.pricing import Payment, Seller, Sold, Tally, own_cost
from tongbao.clearing.schema.agreements import Agreement
from tongbao.clearing.schema.batches import Batch, BatchState
from tongbao.clearing.schema.fees import ScheduleSpec
from tongbao.clearing.schema.movements import Movement, MovementKind
from tongbao.clearing.service.agreements import Agreements
from tongbao.clearing.store import batches as store
from tongbao.clearing.store import movements
from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import InvariantBroken, NotFound
from tongbao.ledger.errors import UnknownAccount
from tongbao.ledger.schema import Account, BookId, Side
from tongbao.ledger.service.ledger import Ledger

CHUNK = 2_000
"""Movements in memory at a time: some ten milliseconds of work between two turns of the event loop."""
INSTANTS_MAX = 10_000
"""Instants of one batch of which is remembered what holds; more than a few are only asked for where versions change."""
ACCOUNTS_CACHED_MAX = 50_000


class PriceLists(Protocol):
    """Where price lists are kept; see ``clearing.service.prices``."""

    async def at(self, name: str, instant: datetime) -> Schedule:
        """Return the version of a list that holds at an instant; raise NotFound."""
        ...


class Sellers(Protocol):
    """Where prices learn what a merchant is."""

    async def seller(self, book_id: int) -> Seller:
        """Return what is known of the merchant whose book this is. Cached by the implementer."""
        ...


class Pricing:
    """Prices batches. One object per process."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        clock: Clock,
        agreements: Agreements,
        prices: PriceLists,
        sellers: Sellers,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._clock = clock
        self._agreements = agreements
        self._prices = prices
        self._sellers = sellers
        self._known: dict[tuple[int, str], Accounts] = {}

    async def price(self, batch: Batch) -> Batch | None:
        """Price a batch and return it; None where it is not its turn: priced already, behind another, or being priced.

        One transaction of its own. Raises NotFound for a list that an agreement names and nobody published, InvalidRequest
        ``schedule_invalid`` for lists that do not go together, InvariantBroken ``settlement_refused``.
        """
        accounts = await self._accounts(batch.book_id, batch.currency)
        seller = await self._sellers.seller(batch.book_id)
        of = movements.Money(batch.book_id, batch.currency, batch.live)
        async with AsyncExitStack() as turn, self._database.transaction() as connection:
            await store.be_patient(connection)
            position = await store.lock_position(connection, of)
            if position is None or await store.first_cut(connection, of) != batch.id:
                return None
            standing = await store.one(connection, batch.book_id, batch.id, lock=True)
            if standing is None or standing.state is not BatchState.CUT:
                return None
            terms = await self._agreements.terms(connection, (batch.book_id,))
            holding = terms.at(batch.book_id, batch.currency, batch.cut_at)
            volumes = await store.volumes(connection, batch)
            tally = Tally(standing, holding.agreement, seller, volumes)
            lists = _Lists(self._prices, terms, standing)
            await self._each(connection, standing, tally, lists)
            standing = msgspec.structs.replace(standing, agreement_version=holding.version)
            priced = await self._settled(
                connection, standing, tally, holding.agreement, position.carried_minor
            )
            await self._post(connection, turn, priced, accounts)
        return priced

    async def _each(self, connection: Connection, batch: Batch, tally: Tally, lists: "_Lists") -> None:
        """Price every movement: sales first, then what goes back of them."""
        async for chunk in movements.stream(connection, batch.book_id, batch.id, CHUNK, sales=True):
            schedules = await lists.each(chunk)
            rows = [tally.sale(*each) for each in zip(chunk, schedules, strict=True)]
            await store.copy_priced(connection, rows)
        payments: dict[UUID | None, Payment] = {}
        async for chunk in movements.stream(connection, batch.book_id, batch.id, CHUNK, sales=False):
            schedules = await lists.each(chunk)
            # The last payment of a chunk may go on in the next one; what was found of it goes along.
            kept = {each.intent_id: payments[each.intent_id] for each in chunk if each.intent_id in payments}
            payments = kept | await self._payments(connection, chunk, lists, known=kept)
            rows = [
                tally.other(movement, schedule, payments[movement.intent_id])
                for movement, schedule in zip(chunk, schedules, strict=True)
            ]
            await store.copy_priced(connection, rows)

    async def _payments(
        self,
        connection: Connection,
        chunk: Sequence[Movement],
        lists: "_Lists",
        known: dict[UUID | None, Payment],
    ) -> dict[UUID | None, Payment]:
        """Return what was priced before of the payments that a chunk goes back to, but for those that are known."""
        wanted = {each.intent_id for each in chunk} - known.keys()
        found: dict[UUID | None, Payment] = {intent_id: Payment(()) for intent_id in wanted}
        asked = [intent_id for intent_id in wanted if intent_id is not None]
        past = await store.past(connection, chunk[0].book_id, asked) if asked else {}
        for intent_id, rows in past.items():
            payment = found[intent_id]
            for row in rows:
                if row.kind is MovementKind.SALE:
                    schedule = await lists.at(row.occurred_at)
                    payment.sales.append(Sold(row.amount_minor, priced_of(row.parts), schedule))
                    continue
                payment.refunded_minor -= row.amount_minor
                if row.kind is MovementKind.REFUND:
                    payment.refunds[row.source_id] = own_cost(row.parts)
        return found

    async def _settled(
        self, connection: Connection, batch: Batch, tally: Tally, agreement: Agreement, brought_minor: int
    ) -> Batch:
        """Write what the batch comes to: reserve, volumes, what is carried on, and the batch itself."""
        on = local_date(agreement, batch.cut_at)
        released_minor = await store.release(connection, batch, on)
        if tally.held_minor:
            until_on = on + timedelta(days=agreement.reserve_days)
            await store.hold(connection, batch, tally.held_minor, until_on)
        totals = tally.totals(released_minor, brought_minor)
        result = settled(totals, agreement)
        latest = await self._list_of(agreement, batch.cut_at)
        priced = moved(
            batch,
            BatchState.PRICED,
            self._clock.now(),
            JOB,
            totals=totals,
            paid_minor=result.paid_minor,
            carried_minor=result.carried_minor,
            needs_two=needs_two(result.paid_minor, agreement),
            schedule=latest.name,
            schedule_version=latest.version,
        )
        await store.write_volumes(connection, batch, tally.volumes)
        await store.carry(connection, priced)
        if not await store.update(connection, priced):
            raise InvariantBroken("batch_moved_under_lock", f"{batch.reference} moved while it was locked")
        return priced

    async def _list_of(self, agreement: Agreement, at: datetime) -> Schedule:
        return await listed(self._prices, agreement.schedule, MERCHANTS, at)

    async def _post(
        self, connection: Connection, turn: AsyncExitStack, batch: Batch, accounts: Accounts
    ) -> None:
        """Post the transfers of a batch in the caller's transaction; ``turn`` is left after its commit."""
        group = transfers(batch, accounts)
        posting = await turn.enter_async_context(self._ledger.posting.joining(group, exactly=True))
        for result in await posting.write(connection) or ():
            if not result.accepted:
                raise InvariantBroken(
                    "settlement_refused",
                    f"the ledger refused {result.refusal}: {result.detail}",
                    batch=batch.reference,
                )

    async def _accounts(self, book_id: int, currency: str) -> Accounts:
        """Return the accounts of a book, those opened that it began without; transactions of its own."""
        known = self._known.get((book_id, currency))
        if known is not None:
            return known
        found = [await self._account(BookId(book_id), currency, *each) for each in _ACCOUNTS]
        ids = [account.account_id for account in found]
        if len(self._known) >= ACCOUNTS_CACHED_MAX:
            self._known.clear()
        self._known[(book_id, currency)] = Accounts(BookId(book_id), found[0].asset_id, *ids)
        return self._known[(book_id, currency)]

    async def _account(
        self, book_id: BookId, currency: str, code: str, side: Side, limits: tuple[int | None, int | None]
    ) -> Account:
        try:
            return await self._ledger.accounts.account_by_code(book_id, code, currency)
        except UnknownAccount:
            floor, ceiling = limits
            return await self._ledger.accounts.open_account(
                book_id, code, currency, side=side, floor_minor=floor, ceiling_minor=ceiling
            )


# Code, side, floor and ceiling, in the order of ``Accounts``; as in the chart of a merchant's book.
_ACCOUNTS: tuple[tuple[str, Side, tuple[int | None, int | None]], ...] = (
    ("in_transit", Side.CREDIT, (None, None)),
    ("available", Side.CREDIT, (0, None)),
    ("merchant_reserve", Side.CREDIT, (0, None)),
    ("merchant_debt", Side.DEBIT, (None, 0)),
    ("fee_revenue", Side.CREDIT, (None, None)),
    ("fee_revenue/tax", Side.CREDIT, (None, None)),
)


class _Held(NamedTuple):
    """What movements of an instant are priced by: the versions of agreement and lists, and the lists as one."""

    key: tuple[object, ...]
    joint: Schedule


class _Lists:
    """The lists by which the movements of one batch are priced, each by the agreement and the versions of its time.

    Every version holds in one piece, so between two instants with the same versions nothing is asked again.
    """

    def __init__(self, prices: PriceLists, terms: Terms, batch: Batch) -> None:
        self._prices = prices
        self._terms = terms
        self._batch = batch
        self._joined: dict[tuple[object, ...], Schedule] = {}
        self._instants: list[datetime] = []
        self._held: list[_Held] = []

    async def each(self, chunk: Sequence[Movement]) -> list[Schedule]:
        """Return the list of each movement."""
        first = await self.at(min(each.occurred_at for each in chunk))
        last = await self.at(max(each.occurred_at for each in chunk))
        if first is last:
            return [first] * len(chunk)
        return [await self.at(each.occurred_at) for each in chunk]

    async def at(self, instant: datetime) -> Schedule:
        """Return the merchant's list with the house's costs and the agent's commissions at an instant, as one."""
        place = bisect_left(self._instants, instant)
        around = self._held[max(place - 1, 0) : place + 1]
        is_inside = len(around) == 2 and around[0].key == around[1].key
        if is_inside or (place < len(self._instants) and self._instants[place] == instant):
            return around[-1].joint
        held = await self._asked(instant)
        if len(self._instants) >= INSTANTS_MAX:
            self._instants, self._held, place = [], [], 0
        self._instants.insert(place, instant)
        self._held.insert(place, held)
        return held.joint

    async def _asked(self, instant: datetime) -> _Held:
        version = self._terms.at(self._batch.book_id, self._batch.currency, instant)
        agreed = version.agreement
        lists = [
            await listed(self._prices, agreed.schedule, MERCHANTS, instant),
            await listed(self._prices, "", COSTS, instant),
        ]
        if agreed.agent_schedule:
            lists.append(await self._prices.at(agreed.agent_schedule, instant))
        key = (version.book_id, version.version, *((each.name, each.version) for each in lists))
        if key not in self._joined:
            self._joined[key] = joint(*lists)
        return _Held(key, self._joined[key])


async def listed(prices: PriceLists, name: str, otherwise: str, instant: datetime) -> Schedule:
    """Return a list by name, else the house's; an empty one where the house published none. Raises NotFound for a name."""
    if name:
        return await prices.at(name, instant)
    try:
        return await prices.at(otherwise, instant)
    except NotFound:
        return Schedule(otherwise, 0, ScheduleSpec())
