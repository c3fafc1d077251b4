"""The ledger in one page, run for real: a card payment, a split, a hold and a coupon budget.

Run it with ``.venv/bin/python examples/ledger_tour.py``; it uses a throw-away database of its own. What it prints
stands in ``ledger_tour.txt`` and in docs/concepts/ledger.md, and a test compares them.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

import msgspec

from tongbao.core import migrate
from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.core.money import Money, format_money
from tongbao.ledger.schema import BookId, Kind, PostResult, Transfer, capture, linked
from tongbao.ledger.service.ledger import Ledger
from tongbao.ledger.service.reading import unbalanced

CNY = 156


class Tour:
    """One merchant's book, and short ways to post on it and to print it."""

    def __init__(self, ledger: Ledger, book_id: BookId) -> None:
        self.ledger = ledger
        self.book_id = book_id

    async def transfer(
        self, debit: str, credit: str, yuan: str, code: str, kind: Kind = Kind.PLAIN
    ) -> Transfer:
        """Return a transfer between two accounts of the book by their codes."""
        accounts = self.ledger.accounts
        return Transfer(
            key=self.ledger.ids.uuid(),
            book_id=self.book_id,
            debit_account_id=(await accounts.account_by_code(self.book_id, debit, "CNY")).account_id,
            credit_account_id=(await accounts.account_by_code(self.book_id, credit, "CNY")).account_id,
            amount_minor=Money.of_major(yuan, "CNY").amount_minor,
            asset_id=CNY,
            code=code,
            kind=kind,
        )

    async def show(self, *codes: str) -> None:
        """Print the natural balances of some accounts, and what holds keep back."""
        for code in codes:
            account = await self.ledger.accounts.account_by_code(self.book_id, code, "CNY")
            held = account.debits_held_minor
            line = f"    {code:<20}{yuan(account.natural_minor):>12}"
            print(line + (f"   ({yuan(held)} held)" if held else ""))


def yuan(amount_minor: int) -> str:
    """Format minor units as people write them."""
    return format_money(Money(amount_minor, "CNY"), locale="en")


def said(results: list[PostResult]) -> str:
    """Return outcomes as words."""
    return ", ".join(result.refusal or result.outcome for result in results)


async def card_payment(tour: Tour) -> None:
    """A payment of 100.00 over a card channel; the house keeps 0.60."""
    print("1. A card payment of 100.00 with a fee of 0.60: three transfers, one group")
    payment = linked(
        [
            await tour.transfer("channel_receivable", "in_transit", "100.00", "card.capture"),
            await tour.transfer("in_transit", "fee_revenue", "0.60", "card.fee"),
            await tour.transfer("in_transit", "available", "99.40", "card.clear"),
        ]
    )
    print("   first time:", said(await tour.ledger.posting.post(payment)))
    print("   repeated:  ", said(await tour.ledger.posting.post(payment)))
    await tour.show("channel_receivable", "in_transit", "fee_revenue", "available")


async def split(tour: Tour) -> None:
    """The merchant's share is divided between two stores, which are virtual accounts."""
    print("2. A split: 60.00 and 30.00 of it belong to two stores")
    for store in ("east", "west"):
        await tour.ledger.accounts.open_account(tour.book_id, f"available/{store}", "CNY", floor_minor=0)
    shares = linked(
        [
            await tour.transfer("available", "available/east", "60.00", "split.share"),
            await tour.transfer("available", "available/west", "30.00", "split.share"),
        ]
    )
    print("  ", said(await tour.ledger.posting.post(shares)))
    await tour.show("available", "available/east", "available/west")
    [total] = await tour.ledger.reading.roll_up(tour.book_id, "available")
    print(f"    rolled up: {yuan(total.posted_minor)} over {total.account_count} accounts")


async def hold(tour: Tour) -> None:
    """A payout of 50.00 is reserved, then 45.00 of it is taken and the rest released."""
    print("3. A hold of 50.00: it counts at once, although nothing has moved")
    reserved = await tour.transfer("available/east", "payout_clearing", "50.00", "payout.hold", Kind.HOLD)
    print("  ", said([await tour.ledger.posting.post_one(reserved)]))
    await tour.show("available/east")
    too_much = await tour.transfer("available/east", "payout_clearing", "20.00", "payout")
    print("   another 20.00:", said([await tour.ledger.posting.post_one(too_much)]))
    taken = capture(tour.ledger.ids.uuid(), tour.book_id, reserved.key, 45_00, "payout.capture", final=True)
    print("   captured 45.00, the rest released:", said([await tour.ledger.posting.post_one(taken)]))
    await tour.show("available/east", "payout_clearing")


async def coupon_budget(tour: Tour) -> None:
    """A campaign with 10.00 to give: a budget is an account, so it cannot be overspent."""
    print("4. A coupon budget of 10.00 meets three coupons of 4.00")
    fund = await tour.transfer("coupon_funding", "coupon_budget", "10.00", "coupon.fund")
    coupons = [await tour.transfer("coupon_budget", "in_transit", "4.00", "coupon.redeem") for _ in range(3)]
    print("  ", said(await tour.ledger.posting.post([fund, *coupons])))
    rest = await tour.transfer("coupon_budget", "in_transit", "4.00", "coupon.redeem")
    result = await tour.ledger.posting.post_one(msgspec.structs.replace(rest, up_to=True))
    print(f"   as much as there is: {result.outcome}, {yuan(result.amount_minor)}")
    await tour.show("coupon_budget")


async def main(home: Path) -> None:
    """Start a database, walk the tour, prove the books."""
    server = EmbeddedServer(home)
    server.start()
    try:
        await migrate.upgrade(server.dsn())
        clock = RealClock()
        ids = IdFactory(clock)
        async with Database(server.dsn()) as database, Ledger(database, clock, Metrics(), ids) as ledger:
            book = await ledger.accounts.open_book("mer_tea", "merchant", "Tea House", ("CNY",))
            tour = Tour(ledger, book.book_id)
            for part in (card_payment, split, hold, coupon_budget):
                await part(tour)
            print("5. The proof")
            print("   sealed:", await ledger.sealing.seal_all(), "transfers")
            report = await ledger.verifying.verify("mer_tea")
            print(f"   verified: {report.transfer_count} transfers in {report.seal_count} seal(s),", end=" ")
            print("nothing wrong" if report.sound else report.findings)
            print(
                "   debits minus credits by asset:",
                unbalanced(await ledger.reading.trial_balance()) or "none differ",
            )
    finally:
        server.stop()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="tongbao-") as folder:
        Path(folder).chmod(0o755)
        asyncio.run(main(Path(folder) / "postgres"))
        sys.stdout.flush()
