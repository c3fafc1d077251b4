"""The demonstration's clearing: agreements with every merchant, accounts to pay to, a bank, and files of the channels.

The tea house is paid on the day, with a cut every few minutes; the bookshop the working day after. A clerk of the sandbox's
bank books whatever it is told to pay, and closes its day every few minutes with a statement. Channels send a file every minute,
WeChat Pay two of them, its trades and its funds; what it withdraws to the bank stands on the next statement. The workers reconcile.
A start goes on with the files where those before it ended: what happened while a house was stopped is told as well.
"""

import asyncio
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from tongbao.channels.schema import Mode
from tongbao.channels.service.banks import BankSettings, BankSpec, Charset, FolderWay, OwnAccount
from tongbao.clearing.schema.agreements import CUTS_A_DAY_MAX, Agreement, Cycle
from tongbao.clearing.schema.lines import CsvColumns, Format, Side, SourceTerms, Tells
from tongbao.clearing.schema.payouts import Destination, DestinationState
from tongbao.clearing.service.account_numbers import account_number
from tongbao.clearing.service.house import ClearingHouse
from tongbao.core.clock import Clock
from tongbao.core.errors import AppError
from tongbao.core.logs import get_logger
from tongbao.parties.service.demo import DEMO
from tongbao.simulator import day_files
from tongbao.simulator.bank_clerk import BankClerk
from tongbao.simulator.sandbox import wechat_acts
from tongbao.simulator.sandbox.settlement_files import Row
from tongbao.simulator.sandbox.world import World
from tongbao.web.demo_costs import agree_costs

MAKER, SECOND = "job:demo", "job:demo-second"
NOTE = "for the demonstration"
ROUND_S = 5.0
FILE_EVERY = timedelta(minutes=1)
BANK_DAY = timedelta(minutes=2)
"""So long a day of the sandbox's bank lasts: at its end it sends a statement."""
COSTS_AHEAD = timedelta(minutes=1)
"""So long after a first start the costs that were agreed with the channels hold."""
BANK = "demo_bank"
BANK_ZONE = "Asia/Shanghai"
"""The bank's days are those of the wallets that pay to it."""
BANK_ACCOUNT = "9988776655"
FIRST_CUT = timedelta(minutes=1)
CUT_EVERY = timedelta(minutes=3)
RENEW_BEFORE = timedelta(minutes=10)
APPROVAL_ABOVE_MINOR = 10_000_000
WECHAT, FUNDS = "wechatpay", "wechatpay_funds"
WORLD_NAMES = {WECHAT: wechat_acts.CHANNEL}
"""What the world calls a channel, where the house calls it otherwise."""
FILE_STAMP = "%Y-%m-%d-%H%M%S"
FORMATS = {"alipay": Format.ALIPAY_BILL, WECHAT: Format.WECHAT_TRADE, FUNDS: Format.WECHAT_FUND}
_COLUMNS = CsvColumns(
    key=("id",),
    kind="kind",
    kinds={each: each for each in ("sale", "refund", "dispute", "dispute_won")},
    currency="currency",
    gross="gross",
    fee="fee",
    reference="reference",
    channel_reference="channel_reference",
    occurred_at="at",
    amount_unit="minor",
)


class _Account(NamedTuple):
    """An account of a merchant of the demonstration, by its currency."""

    number: str
    agent_code: str
    country: str


ACCOUNTS = {
    "CNY": _Account("6222020200112233", "102331000014", "CN"),
    "USD": _Account("000123456789", "021000021", "US"),
}


def demo_bank(home: Path) -> BankSpec:
    """Return the bank of the demonstration, behind two folders below ``home``."""
    for name in ("out", "into"):
        (home / name).mkdir(parents=True, exist_ok=True)
    own = {
        currency: OwnAccount(
            number=BANK_ACCOUNT, scheme="local", agent_code=each.agent_code, country=each.country
        )
        for currency, each in ACCOUNTS.items()
    }
    settings = BankSettings(
        holder="Tongbao",
        accounts=own,
        folder=FolderWay(out=str(home / "out"), into=str(home / "into")),
        charset=Charset.ANY,
        refuses_repeats=True,
        cut_off=time(23, 59, 59),
    )
    return BankSpec(name=BANK, mode=Mode.TEST, settings=settings)


class DemoClearing:
    """Opens everything once, and then lives: a round every ``ROUND_S`` seconds."""

    def __init__(
        self, clearing: ClearingHouse, clock: Clock, world: World, channels: Sequence[str], bank: Path
    ) -> None:
        self._clearing = clearing
        self._clock = clock
        self._world = world
        self._channels = channels
        self._clerk = BankClerk(bank / "out", bank / "into", BANK_ACCOUNT)
        self._agreed_until: datetime | None = None
        self._sent_at = self._closed_at = clock.now()
        self._told_until: dict[str, datetime] = {}
        self._owed: dict[str, int] = defaultdict(int)
        self._log = get_logger("demo")

    async def open(self) -> None:
        """Agree with every merchant, give each an account, and agree with the channels on their files and costs."""
        await self._agree()
        for merchant in DEMO:
            currency = merchant.draft.default_currency
            await self._account(merchant.test_book_id, currency, merchant.draft.name)
        await agree_costs(self._clearing, self._clock, (MAKER, SECOND), COSTS_AHEAD)
        sources = (*self._channels, *([FUNDS] if WECHAT in self._channels else []), BANK)
        await agree_sources(self._clearing, sources, MAKER)
        for name in self._channels:
            self._told_until[name] = await self._told(name)

    async def live(self) -> None:
        """Renew what is agreed, send files, answer for the bank, for ever; what fails is told and tried again."""
        while True:
            try:
                await self.round()
            except AppError as error:
                self._log.warning("demo_clearing_failed", code=error.code, detail=error.detail)
            await asyncio.sleep(ROUND_S)

    async def round(self) -> None:
        """Do once what is due now."""
        now = self._clock.now()
        if self._agreed_until is None or now + RENEW_BEFORE > self._agreed_until:
            await self._agree()
        await asyncio.to_thread(self._clerk.work)
        if now - self._sent_at >= FILE_EVERY:
            # What was decided a moment ago is told by the next file.
            await self._send(now.replace(microsecond=0))
            self._sent_at = now
        if now - self._closed_at >= BANK_DAY:
            await asyncio.to_thread(self._clerk.close_day, now.astimezone(ZoneInfo(BANK_ZONE)))
            self._closed_at = now

    async def _agree(self) -> None:
        """Agree on the next cuts of whoever is paid on the day; a day has so many at most that they are renewed."""
        now = self._clock.now()
        cuts = [now + FIRST_CUT + CUT_EVERY * number for number in range(CUTS_A_DAY_MAX)]
        for merchant in DEMO:
            draft = merchant.draft
            agreement = _on_the_day(cuts) if draft.country == "CN" else _day_after(draft.timezone)
            await self._clearing.agreements.make(
                merchant.test_book_id, draft.default_currency, agreement, actor=MAKER, note=NOTE
            )
        self._agreed_until = cuts[-1]

    async def _account(self, book_id: int, currency: str, holder: str) -> Destination:
        destinations, known = self._clearing.destinations, ACCOUNTS[currency]
        number = account_number("local", known.number, known.agent_code, known.country)
        made = await destinations.propose(book_id, currency, number, holder, actor=MAKER, note=NOTE)
        if made.state is not DestinationState.PROPOSED:
            return made
        return await destinations.confirm(
            book_id, made.id, actor=SECOND, seen_version=made.version, note=NOTE
        )

    async def _told(self, name: str) -> datetime:
        """Return until when the last file of a channel told, a whole second; now, where it sent none."""
        for file in await self._clearing.intake.page(name, limit=1):
            with suppress(ValueError):
                return datetime.strptime(file.name.removeprefix(f"{name}-"), FILE_STAMP).replace(tzinfo=UTC)
        return self._clock.now().replace(microsecond=0)

    async def _send(self, until: datetime) -> None:
        """Send the file of every channel that has something to tell."""
        for name in self._channels:
            held = self._world.payments(channel=WORLD_NAMES.get(name, name))
            rows = day_files.rows_of(held, self._told_until.get(name, self._sent_at), until)
            if rows:
                await self._take(name, day_files.file_of(name, rows, until.date()), until)
                if name == WECHAT:
                    await self._send_funds(rows, until)
            self._told_until[name] = until

    async def _send_funds(self, rows: Sequence[Row], until: datetime) -> None:
        """Send the bill of WeChat Pay's account, which pays out what it owes at once."""
        owed = self._owed[WECHAT] + day_files.net_of(rows)
        sent_minor = max(owed, 0)
        reference = f"WX{until:%Y%m%d%H%M%S}"
        if sent_minor:
            await asyncio.to_thread(self._clerk.credit, "CNY", sent_minor, reference)
        await self._take(FUNDS, day_files.funds_of(rows, sent_minor, reference, until), until)
        self._owed[WECHAT] = owed - sent_minor

    async def _take(self, name: str, content: bytes, until: datetime) -> None:
        terms = await self._clearing.intake.source(name)
        with tempfile.TemporaryDirectory(prefix="demo-file-") as folder:
            path = Path(folder) / f"{name}-{until:{FILE_STAMP}}"
            await asyncio.to_thread(path.write_bytes, content)
            await self._clearing.intake.take(path, terms, MAKER)


async def agree_sources(clearing: ClearingHouse, names: Iterable[str], actor: str) -> None:
    """Agree with channels and the bank on what their files are like, where it was not agreed so before."""
    known = await clearing.intake.sources()
    for name in names:
        if known.get(name) != terms_of(name):
            await clearing.intake.agree(terms_of(name), actor)


def terms_of(name: str) -> SourceTerms:
    """Return what is agreed with a channel, or with the bank: Alipay and WeChat Pay send bills of their own, acquirers a table."""
    if name == BANK:
        return SourceTerms(
            source=BANK,
            side=Side.BANK,
            format=Format.CAMT_053,
            zone=BANK_ZONE,
            report_days=1,
            is_daily=False,
        )
    is_funds = name == FUNDS
    is_chinese = name in FORMATS
    return SourceTerms(
        source=name,
        side=Side.CHANNEL,
        format=FORMATS.get(name, Format.CSV),
        zone="Asia/Shanghai" if is_chinese else "UTC",
        currency="CNY" if is_chinese else "",
        report_days=1,
        is_daily=False,
        channel=WECHAT if is_funds else "",
        tells=Tells.FUNDS if is_funds else Tells.PAYMENTS,
        bank=BANK if is_funds else "",
        columns=CsvColumns() if is_chinese else _COLUMNS,
    )


def _on_the_day(cuts: Sequence[datetime]) -> Agreement:
    return Agreement(
        cycle=Cycle.D,
        days=0,
        cuts=tuple(sorted(each.time().replace(second=0, microsecond=0) for each in cuts)),
        zone="UTC",
        calendars=(),
        approval_above_minor=APPROVAL_ABOVE_MINOR,
    )


def _day_after(zone: str) -> Agreement:
    return Agreement(zone=zone, calendars=("US",))
