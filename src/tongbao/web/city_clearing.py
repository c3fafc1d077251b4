"""Clearing of a city: what was agreed with its shops and channels, a file of each channel a day, and a bank that books.

Shops are cut at their midnight and paid the working day after, by the calendar of their country where it has one here; others
are paid the day after.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from tongbao.clearing.schema.agreements import Agreement, Cycle
from tongbao.clearing.schema.batches import BatchState
from tongbao.clearing.schema.breaks import BreakKind
from tongbao.clearing.schema.payouts import DestinationState
from tongbao.clearing.service.account_numbers import account_number
from tongbao.clearing.service.house import ClearingHouse
from tongbao.core.clock import Clock
from tongbao.simulator import day_files
from tongbao.simulator.bank_clerk import BankClerk
from tongbao.simulator.city.schema import Shop
from tongbao.simulator.sandbox.settlement_files import Row
from tongbao.simulator.sandbox.world import World
from tongbao.web.city_shops import ZONES, Opened
from tongbao.web.demo_clearing import (
    ACCOUNTS,
    BANK,
    BANK_ACCOUNT,
    BANK_ZONE,
    FILE_STAMP,
    FUNDS,
    WECHAT,
    WORLD_NAMES,
    agree_sources,
)
from tongbao.web.demo_costs import agree_costs

MAKER, SECOND = "job:city", "job:city-second"
NOTE = "for the city"
APPROVAL_ABOVE_MINOR = 100_000_000
CALENDARS = {"CN": ("CN",), "US": ("US",)}
BATCHES_PAGE = 200
PAGES_MAX = 1_000
A_DAY = timedelta(days=1)
PAID_STATES = (BatchState.PAID, BatchState.RECONCILED)


class CityClearing:
    """Opens everything once; ``day`` sends what channels report of the time since the last one, ``clerk`` lets the bank answer."""

    def __init__(
        self,
        clearing: ClearingHouse,
        clock: Clock,
        world: World,
        *,
        channels: Sequence[str],
        opened: Opened,
        bank: Path,
    ) -> None:
        self._opened = opened
        self._clearing = clearing
        self._clock = clock
        self._world = world
        self._channels = channels
        self._clerk = BankClerk(bank / "out", bank / "into", BANK_ACCOUNT)
        self._told_until = clock.now()
        self._owed_minor = 0

    async def open(self, shops: Sequence[Shop]) -> None:
        """Agree with every shop, give each an account where the bank pays its currency, and agree with the channels.

        The channels agree on what they take and what their files are like.
        """
        for shop in shops:
            calendars = CALENDARS.get(shop.country, ())
            agreement = Agreement(
                cycle=Cycle.T if calendars else Cycle.D,
                zone=ZONES.get(shop.country, "UTC"),
                calendars=calendars,
                approval_above_minor=APPROVAL_ABOVE_MINOR,
            )
            await self._clearing.agreements.make(
                self._opened[shop.number].book_id, shop.currency, agreement, actor=MAKER, note=NOTE
            )
            if shop.currency in ACCOUNTS:
                await self._account(shop)
        await agree_costs(self._clearing, self._clock, (MAKER, SECOND))
        await agree_sources(self._clearing, (*self._channels, FUNDS, BANK), MAKER)

    async def clerk(self) -> None:
        """Let the bank book what lies before it."""
        await asyncio.to_thread(self._clerk.work)

    async def day(self) -> None:
        """Take in what every channel has to report since the last time, and let the bank state what it booked."""
        since, until = self._told_until, self._clock.now().replace(microsecond=0)
        self._told_until = until
        for name in self._channels:
            held = self._world.payments(channel=WORLD_NAMES.get(name, name))
            rows = day_files.rows_of(held, since, until)
            if not rows:
                continue
            await self._take(name, day_files.file_of(name, rows, until.date()), until)
            if name == WECHAT:
                await self._take(FUNDS, await self._funds(rows, until), until)
        await asyncio.to_thread(self._clerk.close_day, until.astimezone(ZoneInfo(BANK_ZONE)))

    async def settled(self, shops: Sequence[Shop]) -> tuple[dict[str, int], int]:
        """Return what was paid out to shops by currency, minor units, and how many batches were cut."""
        paid: dict[str, int] = {}
        count = 0
        for shop in shops:
            before = None
            for _ in range(PAGES_MAX):
                page = await self._clearing.settling.page(
                    self._opened[shop.number].book_id, before=before, limit=BATCHES_PAGE
                )
                count += len(page)
                for batch in page:
                    if batch.state in PAID_STATES:
                        paid[batch.currency] = paid.get(batch.currency, 0) + batch.paid_minor
                if len(page) < BATCHES_PAGE:
                    break
                before = page[-1].id
        return dict(sorted(paid.items())), count

    async def breaks(self) -> tuple[int, int]:
        """Return how many breaks of reconciliation stand, and how much beside them is merely still under way: in time."""
        # A day of a channel may have begun that is still to come by the clock of the house.
        lines = await self._clearing.break_desk.ages(self._clock.now().date() + A_DAY)
        standing = sum(sum(each.counts) for each in lines)
        in_time = sum(sum(each.counts) for each in lines if each.kind == BreakKind.EXPECTED)
        return standing - in_time, in_time

    async def _funds(self, rows: Sequence[Row], until: datetime) -> bytes:
        """Return the bill of WeChat Pay's account, which sends what it owes to the bank at once."""
        owed_minor = self._owed_minor + day_files.net_of(rows)
        sent_minor = max(owed_minor, 0)
        self._owed_minor = owed_minor - sent_minor
        reference = f"WX{until:%Y%m%d%H%M%S}"
        if sent_minor:
            await asyncio.to_thread(self._clerk.credit, "CNY", sent_minor, reference)
        return day_files.funds_of(rows, sent_minor, reference, until)

    async def _take(self, name: str, content: bytes, until: datetime) -> None:
        terms = await self._clearing.intake.source(name)
        with tempfile.TemporaryDirectory(prefix="city-file-") as folder:
            path = Path(folder) / f"{name}-{until:{FILE_STAMP}}"
            await asyncio.to_thread(path.write_bytes, content)
            await self._clearing.intake.take(path, terms, MAKER)

    async def _account(self, shop: Shop) -> None:
        known, opened = ACCOUNTS[shop.currency], self._opened[shop.number]
        number = account_number("local", known.number, known.agent_code, known.country)
        destinations = self._clearing.destinations
        made = await destinations.propose(
            opened.book_id, shop.currency, number, opened.holder, actor=MAKER, note=NOTE
        )
        if made.state is DestinationState.PROPOSED:
            await destinations.confirm(
                opened.book_id, made.id, actor=SECOND, seen_version=made.version, note=NOTE
            )
