"""Bills as they are shown: movements of a wallet told with the shops behind them, and summed by day and kind. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlencode

from tongbao.parties.schema import Merchant
from tongbao.payments.schema.payer_reads import Movement, OwnPayment
from tongbao.web.ui.charts_bars import bars
from tongbao.web.ui.charts_lines import columns
from tongbao.web.ui.figure import Axis, Figure, Series
from tongbao.web.ui.kit import Kit
from tongbao.web.ui.money import plain_amount
from tongbao.web.wallet import kinds

BILLS = "/wallet/bills"
PAID, REFUNDED, TOPPED_UP = "wallet.paid", "wallet.refunded", "wallet.topped_up"
SENT, RECEIVED = "wallet.sent", "wallet.received"
WHAT = {PAID: "paid", REFUNDED: "refunded", TOPPED_UP: "topped_up", SENT: "sent", RECEIVED: "received"}
"""The word for each code of the ledger; any other is ``moved``."""
MONTHS_BACK_MAX = 36


class Bill(NamedTuple):
    """One line: ``what`` is a word of ``WHAT``, ``shop`` empty where no merchant is behind it; minor units, signed."""

    reference: str
    what: str
    shop: str
    kind: str
    note: str
    amount_minor: int
    currency: str
    at: datetime

    @property
    def href(self) -> str:
        """Where it is told in full."""
        return f"{BILLS}/{self.reference}"

    @property
    def is_spent(self) -> bool:
        """Whether it counts as spending, or as less of it."""
        return self.what in ("paid", "refunded")


class Day(NamedTuple):
    """The bills of one day, newest first."""

    on: date
    bills: tuple[Bill, ...]


class Month(NamedTuple):
    """One month of UTC."""

    year: int
    month: int

    @classmethod
    def of(cls, at: datetime) -> "Month":
        """Return the month of an instant."""
        return cls(at.year, at.month)

    @classmethod
    def parse(cls, text: str, now: datetime) -> "Month":
        """Return the month that an address names as ``2026-11``; this one for any other text, or one out of reach."""
        current = cls.of(now)
        year, _, month = text.partition("-")
        if not (year.isascii() and year.isdigit() and len(year) == 4 and month.isascii() and month.isdigit()):
            return current
        wanted = cls(int(year), int(month))
        is_known = 1 <= wanted.month <= 12 and 0 <= current.number - wanted.number <= MONTHS_BACK_MAX
        return wanted if is_known else current

    @property
    def number(self) -> int:
        """Months since the year 0, for counting."""
        return self.year * 12 + self.month - 1

    @property
    def first(self) -> datetime:
        """When it begins."""
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @property
    def text(self) -> str:
        """As addresses name it."""
        return f"{self.year:04d}-{self.month:02d}"

    def moved(self, months: int) -> "Month":
        """Return a month later or, with a minus, before."""
        return Month((self.number + months) // 12, (self.number + months) % 12 + 1)


def bill_of(movement: Movement, paid: OwnPayment | None, shops: Mapping[int, Merchant]) -> Bill:
    """Return a movement as a line."""
    shop = None if paid is None else shops.get(paid.intent.book_id)
    return Bill(
        reference=movement.reference,
        what=WHAT.get(movement.code, "moved"),
        shop="" if shop is None else shop.display_name or shop.name,
        kind=kinds.kind_of(shop.mcc) if shop is not None else "",
        note="" if paid is None else paid.intent.description or "",
        amount_minor=movement.amount_minor,
        currency=movement.currency,
        at=movement.at,
    )


def narrowed(bills: Sequence[Bill], word: str, kind: str) -> list[Bill]:
    """Return the lines of a kind whose shop, note, amount or reference holds a word; all for empty ones."""
    wanted = word.strip().casefold()
    return [
        each
        for each in bills
        if (not kind or each.kind == kind)
        and (
            not wanted
            or any(wanted in held.casefold() for held in (each.shop, each.note, each.reference))
            or wanted.lstrip("¥$€£-−") in plain_amount(abs(each.amount_minor), each.currency)
        )
    ]


def by_day(bills: Sequence[Bill]) -> list[Day]:
    """Return lines by day, newest first as they came."""
    days: dict[date, list[Bill]] = defaultdict(list)
    for each in bills:
        days[each.at.date()].append(each)
    return [Day(on, tuple(found)) for on, found in days.items()]


def spent_minor(bills: Sequence[Bill]) -> int:
    """Return what was spent less what was given back, minor units; never below 0."""
    return max(0, -sum(each.amount_minor for each in bills if each.is_spent))


def in_minor(bills: Sequence[Bill]) -> int:
    """Return what came in otherwise than as a refund."""
    return sum(each.amount_minor for each in bills if each.amount_minor > 0 and not each.is_spent)


def river(bills: Sequence[Bill], month: Month, ui: Kit, words: tuple[str, str, str]) -> Figure:
    """Return what was spent day by day; ``words``: the caption, the name of a day, the name of the values."""
    caption, day, name = words
    currency = bills[0].currency if bills else "CNY"
    count = (month.moved(1).first - month.first).days
    spent = [0] * count
    for each in bills:
        if each.is_spent:
            spent[each.at.day - 1] -= each.amount_minor
    texts = [f"{(month.first + timedelta(days=place)):%m-%d}" for place in range(count)]
    axis = Axis(caption, day, lambda value: ui.money(round(value), currency), low=0)
    return columns([Series(name, [float(max(0, value)) for value in spent])], texts, axis)


def sums(
    bills: Sequence[Bill], names: Mapping[str, str], ui: Kit, words: tuple[str, str, str]
) -> Figure | None:
    """Return what was spent by kind, the most first; None where nothing was. ``words`` as in ``river``."""
    caption, head, value_head = words
    found: dict[str, int] = defaultdict(int)
    for each in bills:
        if each.is_spent:
            found[each.kind or kinds.OTHER] -= each.amount_minor
    ranked = sorted(((value, kind) for kind, value in found.items() if value > 0), reverse=True)
    if not ranked:
        return None
    currency = bills[0].currency
    axis = Axis(caption, head, lambda value: ui.money(round(value), currency), low=0)
    return bars([(names[kind], float(value)) for value, kind in ranked], axis, value_head)


def month_address(month: Month, word: str = "", kind: str = "") -> str:
    """Return the address of a month, narrowed or not."""
    kept = {name: value for name, value in (("m", month.text), ("q", word), ("kind", kind)) if value}
    return f"{BILLS}?{urlencode(kept)}"
