"""One large batch for ``tongbao bench clearing``: a merchant's day is cut, priced by the house's own lists, posted and approved."""

import random
import time
from datetime import UTC, datetime, timedelta
from datetime import time as day_time
from typing import Any

from tongbao.clearing.schema.agreements import Agreement, Cycle
from tongbao.clearing.schema.batches import BatchState
from tongbao.clearing.schema.movements import Movement, MovementKind
from tongbao.clearing.service.clearing import Clearing
from tongbao.clearing.service.prices import Prices
from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.errors import InvariantBroken
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.ledger.schema import BULK_SIZE_MAX, BookId, Side, Transfer
from tongbao.ledger.service.ledger import Ledger

SEED = 11
CURRENCY = "CNY"
AGREEMENT = Agreement(
    cycle=Cycle.D, days=1, cuts=(day_time(0),), zone="UTC", calendars=(), reserve_e6=50_000, reserve_days=30
)
_STEPS_MAX = 100


async def priced_batch(database: Database, count: int) -> dict[str, Any]:
    """Return how long ``count`` payments take from waiting to approved, in seconds for 200,000.

    Raises InvariantBroken ``bench_batch_wrong`` where the batch does not hold them all or the books do not follow it.
    """
    clock = RealClock()
    ids, metrics = IdFactory(clock), Metrics()
    prices = Prices(database, clock)
    await prices.install()
    async with (
        Ledger(database, clock, metrics, ids) as ledger,
        Clearing(database, ledger, clock, metrics, prices=prices) as clearing,
    ):
        book_id = ids.int63()
        await clearing.agreements.make(book_id, CURRENCY, AGREEMENT, actor="bench", note="a day at once")
        total = await _sell(database, ledger, ids, book_id, count)
        began = time.perf_counter()
        await clearing.settling.cut_due(book_id)
        cut_s = time.perf_counter() - began
        for _ in range(_STEPS_MAX):
            if not await clearing.settling.step(book_id):
                break
        seconds = time.perf_counter() - began
        batches = await clearing.settling.page(book_id)
        posted = await ledger.accounts.account_by_code(BookId(book_id), "in_transit", CURRENCY)
    states = {each.state for each in batches}
    held = sum(each.totals.count for each in batches)
    gross = sum(each.totals.gross_minor for each in batches)
    if (held, gross, posted.posted_minor, states) != (count, total, 0, {BatchState.APPROVED}):
        raise InvariantBroken(
            "bench_batch_wrong",
            f"{held} of {count} payments, {gross} of {total}, {posted.posted_minor} left, {sorted(states)}",
        )
    scale = 200_000 / count
    return {"seconds_cut_200k": round(seconds * scale, 2), "seconds_cut_only_200k": round(cut_s * scale, 2)}


async def _sell(database: Database, ledger: Ledger, ids: IdFactory, book_id: int, count: int) -> int:
    """Let a merchant sell yesterday, in the books and as movements; return the sum in minor units."""
    rng = random.Random(SEED)
    book = BookId(book_id)
    await ledger.accounts.open_book(f"bench_{book_id}", "merchant", "Bench", (CURRENCY,), book_id=book)
    receivable = await ledger.accounts.open_account(
        book, "channel_receivable/acquirer", CURRENCY, side=Side.DEBIT, name="Owed by the acquirer"
    )
    in_transit = await ledger.accounts.account_by_code(book, "in_transit", CURRENCY)
    begin = datetime.combine(datetime.now(UTC).date() - timedelta(days=1), day_time(), UTC)
    names, total = Movement.__struct_fields__, 0
    for start in range(0, count, BULK_SIZE_MAX):
        transfers: list[Transfer] = []
        rows: list[tuple[Any, ...]] = []
        for number in range(start, min(count, start + BULK_SIZE_MAX)):
            key, amount = ids.uuid(), rng.randrange(100, 100_000)
            at = begin + timedelta(seconds=number * 86_400 // count)
            total += amount
            transfers.append(
                Transfer(
                    key=key,
                    book_id=book,
                    debit_account_id=receivable.account_id,
                    credit_account_id=in_transit.account_id,
                    amount_minor=amount,
                    asset_id=in_transit.asset_id,
                    code="payment.charged",
                )
            )
            movement = Movement(
                id=key,
                book_id=book_id,
                live=True,
                kind=MovementKind.SALE,
                transfer_key=key,
                source_id=key,
                intent_id=key,
                channel="acquirer",
                method="card",
                brand=rng.choice(("visa", "mastercard", "unionpay")),
                funding=rng.choice(("debit", "credit")),
                card_country="CN",
                currency=CURRENCY,
                amount_minor=amount,
                reference=f"pa_{key.hex}",
                channel_reference=None,
                occurred_at=at,
                recorded_at=at,
                cut_at=begin + timedelta(days=1),
                payout_on=(begin + timedelta(days=2)).date(),
            )
            rows.append(tuple(getattr(movement, name) for name in names))
        await ledger.posting.post(transfers)
        async with database.connection() as connection:
            await connection.copy_records_to_table(
                "movement", schema_name="clearing", records=rows, columns=names
            )
    return total
