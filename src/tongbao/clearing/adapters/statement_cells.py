"""The cells of a statement as every file writes them: times in the statement's zone, amounts as text with all decimals.

A text that a program for tables would take for a formula gets an apostrophe before it (OWASP, CSV injection); amounts are
ours and keep their minus.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import NamedTuple

from tongbao.clearing.policy.cycles import zone_of
from tongbao.clearing.policy.money_texts import COLUMNS, ENTRIES, WORDS, text
from tongbao.clearing.schema.movements import KIND_NAMES
from tongbao.clearing.schema.statements import FeeSum, Holdings, KindSum, Statement, StatementLine
from tongbao.core import currencies

DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n")
_AMOUNTS = frozenset(name for name in COLUMNS if name.endswith("_minor"))


def guarded(value: str) -> str:
    """Return a text that no program for tables takes for a formula."""
    return f"'{value}" if value.startswith(DANGEROUS) else value


def amount(minor: int | None, currency: str) -> str:
    """Return minor units as ``-12.30``: with all decimals of the currency, a point, and nothing between thousands."""
    if minor is None:
        return ""
    exponent = currencies.currency(currency).exponent
    digits = str(abs(minor)).rjust(exponent + 1, "0")
    written = f"{digits[:-exponent]}.{digits[-exponent:]}" if exponent else digits
    return f"-{written}" if minor < 0 else written


def head(language: str) -> list[str]:
    """Return the names of the columns."""
    return [text(words, language) for words in COLUMNS.values()]


class Cells:
    """Writes the lines of one statement in one language."""

    def __init__(self, statement: Statement, language: str) -> None:
        """Raise InvalidRequest ``language_unknown``."""
        self._currency = statement.currency
        self._zone = zone_of(statement.period.zone)
        self._entries = {entry: text(words, language) for entry, words in ENTRIES.items()}

    def of(self, line: StatementLine) -> list[str]:
        """Return one line in the order of the columns."""
        return [self._cell(name, line) for name in COLUMNS]

    def _cell(self, name: str, line: StatementLine) -> str:
        if name in _AMOUNTS:
            return amount(getattr(line, name), self._currency)
        match name:
            case "at":
                return line.at.astimezone(self._zone).isoformat(sep=" ", timespec="seconds")
            case "entry":
                return self._entries[line.entry]
            case "currency":
                return self._currency
            case "payout_on":
                return "" if line.payout_on is None else line.payout_on.isoformat()
        return guarded(getattr(line, name))


class SummaryRow(NamedTuple):
    """A row of what a statement comes to. ``kind``: ``sum`` for a balance, ``part`` for what another row holds, or empty.

    ``number``: of movements or payouts, empty where none is told.
    """

    kind: str
    name: str
    number: str
    amount: str


def heading(statement: Statement, language: str) -> Iterator[tuple[str, str]]:
    """Yield what a statement is of: a word and its value."""
    period = statement.period
    last_on = period.until_on - timedelta(days=1)
    days = str(last_on) if last_on == period.from_on else f"{period.from_on} – {last_on}"
    yield text(WORDS["days"], language), days
    yield text(WORDS["zone"], language), period.zone
    yield text(COLUMNS["currency"], language), statement.currency
    made_at = statement.made_at.astimezone(zone_of(period.zone))
    yield text(WORDS["made_at"], language), made_at.isoformat(sep=" ", timespec="minutes")


def summary(statement: Statement, language: str) -> Iterator[SummaryRow]:
    """Yield what a statement comes to, from the opening balance to the closing one.

    The rows of no kind lie between the two balances and make the one of the other.
    """

    def row(code: str, minor: int, kind: str = "", count: int | None = None) -> SummaryRow:
        name = text(WORDS[code], language)
        return SummaryRow(kind, name, "" if count is None else str(count), amount(minor, currency))

    def group(each: KindSum | FeeSum, kind: str, minor: int) -> SummaryRow:
        name = f"{text(ENTRIES[KIND_NAMES[each.kind]], language)} · {each.method} · {each.channel}"
        return SummaryRow(kind, guarded(name), str(each.count), amount(minor, currency))

    def balance(code: str, holdings: Holdings) -> Iterator[SummaryRow]:
        yield row(code, holdings.total_minor, "sum")
        for name in Holdings.__struct_fields__:
            minor = getattr(holdings, name)
            yield row(name, -minor if name == "owed_minor" else minor, "part")

    currency = statement.currency
    yield from balance("opening", statement.opening)
    for moved in statement.movements:
        yield group(moved, "", moved.amount_minor)
    yield row("fees", -statement.fees_minor, count=sum(each.count for each in statement.fees))
    for fee in statement.fees:
        yield group(fee, "part", -fee.fee_minor)
    yield row("tax", -statement.tax_minor, "part")
    yield row("payouts", -statement.payouts_minor, count=statement.payout_count)
    yield row("returned", statement.returned_minor)
    yield from balance("closing", statement.closing)
    yield row("held", statement.held_minor, "part")
    yield row("released", statement.released_minor, "part")
