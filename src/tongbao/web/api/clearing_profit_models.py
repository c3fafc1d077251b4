"""How profit reports look under ``/v2/operations/settlements/profits``."""

from collections.abc import Iterable, Sequence
from datetime import date
from enum import StrEnum
from typing import Literal

from pydantic import Field

from tongbao.clearing.schema.statements import ProfitLine
from tongbao.core.ids import int_text
from tongbao.ledger.schema import BOOK_PREFIX
from tongbao.web.api.shapes import Model

LINES_MAX = 1_000
"""Lines of a report as data; the file holds all of them."""


class Apart(StrEnum):
    """By what a report is told apart, beside the currency."""

    MONTH = "month"
    BOOK = "book"
    METHOD = "method"
    CHANNEL = "channel"


FIELDS = {Apart.MONTH: "month_on", Apart.BOOK: "book_id", Apart.METHOD: "method", Apart.CHANNEL: "channel"}
"""By the names of the service."""


class Sums(Model):
    """What the house earned, minor units: `margin = fees - tax - cost - agent + write_offs`."""

    currency: str
    count: int = Field(description="Movements that were priced.")
    volume_minor: int = Field(description="Sales.")
    fees_minor: int = Field(description="With tax.")
    tax_minor: int
    cost_minor: int = Field(description="What channels cost.")
    agent_minor: int
    write_offs_minor: int = Field(description="Negative where the house lost.")
    margin_minor: int
    margin_e6: int | None = Field(description="Millionths of the sales, rounded down; null without sales.")


class Line(Sums):
    """One line; what it is not told apart by, or what is not known of it, is null."""

    month_on: date | None
    book: str | None
    method: str | None
    channel: str | None

    @classmethod
    def of(cls, found: ProfitLine, by: frozenset[Apart]) -> "Line":
        """Return a line as it is sent."""
        key = found.key
        told = {
            "month_on": key.month_on if Apart.MONTH in by else None,
            "book": None if key.book_id is None else int_text(BOOK_PREFIX, key.book_id),
            "method": key.method or None,
            "channel": key.channel or None,
        }
        return cls.model_validate(_sums(found) | told)


class Report(Model):
    """A profit report: sums by currency, and its first lines. Days are half-open, in `zone`."""

    object: Literal["profit_report"] = "profit_report"
    from_on: date
    until_on: date = Field(description="Not included.")
    zone: str
    live: bool
    by: list[Apart]
    totals: list[Sums]
    line_count: int
    data: list[Line]
    has_more: bool


def sums_of(lines: Iterable[ProfitLine]) -> list[Sums]:
    """Return lines that are told apart by nothing as sums by currency."""
    return [Sums.model_validate(_sums(each)) for each in lines]


def lines_of(lines: Sequence[ProfitLine], by: frozenset[Apart]) -> list[Line]:
    """Return the first lines as they are sent."""
    return [Line.of(each, by) for each in lines[:LINES_MAX]]


def _sums(found: ProfitLine) -> dict[str, object]:
    own = {name: getattr(found, name) for name in Sums.model_fields if hasattr(found, name)}
    return own | {"currency": found.key.currency}
