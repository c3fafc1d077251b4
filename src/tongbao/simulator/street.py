"""A street of shops that keeps the ledger busy: card payments, splits, wallet holds and coupons.

Each visit is one linked group of transfers inside one book, as the rooms above the ledger will post them, so
that a fresh installation has something true to look at. Seeded; amounts in CNY minor units.
"""

import asyncio
import random

from tongbao.ledger.schema import (
    Account,
    AccountId,
    Book,
    BookId,
    Kind,
    Outcome,
    Transfer,
    capture,
    linked,
    void,
)
from tongbao.ledger.service.ledger import Ledger

CNY = 156
FEE_BPS = 60
COUPON_BUDGET_MINOR = 50_000_00
COUPON_MINOR = 5_00
WALLET_START_MINOR = 800_00
HOLD_MINOR_MAX = 60_00
SHOPS = (
    ("noodles", "Lanzhou Noodles 兰州拉面", 18_00, 48_00),
    ("books", "Paper Lantern Books 纸灯书店", 25_00, 180_00),
    ("bikes", "Hutong Bikes 胡同单车", 3_00, 30_00),
    ("flowers", "Spring Festival Flowers 年宵花市", 12_00, 260_00),
)
STORES = ("east", "west")


class Shop:
    """One merchant's book with the accounts that a visit touches."""

    def __init__(self, book: Book, accounts: dict[str, Account], low_minor: int, high_minor: int) -> None:
        self.book = book
        self.accounts = accounts
        self.low_minor = low_minor
        self.high_minor = high_minor

    def account_id(self, code: str) -> AccountId:
        """Return the id of an account by its code."""
        return self.accounts[code].account_id


class Street:
    """Opens the shops and lets payers visit them."""

    def __init__(self, ledger: Ledger, seed: int = 20) -> None:
        self._ledger = ledger
        self._rng = random.Random(seed)
        self._shops: list[Shop] = []
        self._wallets: list[Shop] = []

    async def open(self) -> None:
        """Open every book once; a second start finds them open, with their money."""
        for code, name, low, high in SHOPS:
            book = await self._ledger.accounts.open_book(f"mer_{code}", "merchant", name, ("CNY",))
            for store in STORES:
                await self._ledger.accounts.open_account(
                    book.book_id,
                    f"available/{store}",
                    "CNY",
                    name=f"Payable to the {store} store",
                    floor_minor=0,
                )
            shop = Shop(book, await self._accounts(book.book_id), low, high)
            if shop.accounts["coupon_budget"].posted_minor == 0:
                await self._move(shop, "coupon_funding", "coupon_budget", COUPON_BUDGET_MINOR, "coupon.fund")
            self._shops.append(shop)
        for name in ("lin", "zhou", "aminah"):
            book = await self._ledger.accounts.open_book(
                f"wallet_{name}", "wallet", f"Wallet of {name}", ("CNY",)
            )
            wallet = Shop(book, await self._accounts(book.book_id), 2_00, HOLD_MINOR_MAX)
            if wallet.accounts["wallet"].posted_minor == 0:
                await self._move(wallet, "wallet_funding", "wallet", WALLET_START_MINOR, "wallet.top_up")
            self._wallets.append(wallet)

    async def live(self, visits_per_s: float) -> None:
        """Let payers come and go for ever, at random intervals, until cancelled."""
        while True:
            await asyncio.sleep(self._rng.expovariate(visits_per_s))
            await self.visit()

    async def visit(self) -> int:
        """Let one payer come by; return how many transfers were posted."""
        roll = self._rng.random()
        if roll < 0.15:
            transfers = self._wallet_hold(self._rng.choice(self._wallets))
        elif roll < 0.30:
            transfers = self._split(self._rng.choice(self._shops))
        else:
            transfers = self._card_payment(self._rng.choice(self._shops), with_coupon=roll > 0.85)
        results = await self._ledger.posting.post(transfers)
        return sum(1 for result in results if result.outcome is Outcome.POSTED)

    def _card_payment(self, shop: Shop, *, with_coupon: bool) -> list[Transfer]:
        """Return a captured card payment with its fee; a coupon's funder pays a part of it."""
        amount = self._rng.randrange(shop.low_minor, shop.high_minor)
        coupon = min(COUPON_MINOR, amount // 2) if with_coupon else 0
        fee = max(1, amount * FEE_BPS // 10_000)
        legs = [
            ("channel_receivable", "in_transit", amount - coupon, "card.capture"),
            ("in_transit", "fee_revenue", fee, "card.fee"),
            ("in_transit", "available", amount - fee, "card.clear"),
        ]
        if coupon:
            legs.insert(1, ("coupon_budget", "in_transit", coupon, "coupon.redeem"))
        return self._linked(shop, legs)

    def _split(self, shop: Shop) -> list[Transfer]:
        """Return a payment that two stores of one merchant share, seven to three."""
        amount = self._rng.randrange(shop.low_minor, shop.high_minor)
        east = amount * 7 // 10
        return self._linked(
            shop,
            [
                ("channel_receivable", "in_transit", amount, "split.capture"),
                ("in_transit", "available/east", east, "split.share"),
                ("in_transit", "available/west", amount - east, "split.share"),
            ],
        )

    def _wallet_hold(self, wallet: Shop) -> list[Transfer]:
        """Return a bike ride: a hold, then a capture of part of it, or a void where the ride was not taken."""
        reserved = self._rng.randrange(wallet.low_minor + 1, wallet.high_minor)
        hold = self._transfer(wallet, "wallet", "wallet_clearing", reserved, "wallet.hold", Kind.HOLD)
        if self._rng.random() < 0.2:
            return [hold, void(self._ledger.ids.uuid(), wallet.book.book_id, hold.key, "wallet.void")]
        used = self._rng.randrange(1, reserved)
        taken = capture(
            self._ledger.ids.uuid(), wallet.book.book_id, hold.key, used, "wallet.capture", final=True
        )
        # Money comes back in as salary would, so that the street never runs dry.
        top_up = self._transfer(wallet, "wallet_funding", "wallet", used, "wallet.top_up")
        return [hold, taken, top_up]

    async def _accounts(self, book_id: BookId) -> dict[str, Account]:
        return {account.code: account for account in await self._ledger.accounts.accounts(book_id)}

    async def _move(self, shop: Shop, debit: str, credit: str, amount_minor: int, code: str) -> None:
        await self._ledger.posting.post_one(self._transfer(shop, debit, credit, amount_minor, code))

    def _linked(self, shop: Shop, legs: list[tuple[str, str, int, str]]) -> list[Transfer]:
        return linked(
            [self._transfer(shop, debit, credit, amount, code) for debit, credit, amount, code in legs]
        )

    def _transfer(
        self, shop: Shop, debit: str, credit: str, amount_minor: int, code: str, kind: Kind = Kind.PLAIN
    ) -> Transfer:
        return Transfer(
            key=self._ledger.ids.uuid(),
            book_id=shop.book.book_id,
            debit_account_id=shop.account_id(debit),
            credit_account_id=shop.account_id(credit),
            amount_minor=amount_minor,
            asset_id=CNY,
            code=code,
            kind=kind,
        )
