"""How Alipay writes money and time: yuan as text with two decimals, instants as the wall clock of Shanghai."""

from datetime import UTC, datetime, timedelta, timezone

from tongbao.channels.schema import WireUnit
from tongbao.core.money import Money

WIRE_UNIT = WireUnit.MAJOR_TEXT
CURRENCY = "CNY"
SHANGHAI = timezone(timedelta(hours=8), "Asia/Shanghai")  # no daylight saving since 1991


def to_wire(amount_minor: int) -> str:
    """Return fen as yuan: 1999 is ``19.99``."""
    return str(Money(amount_minor, CURRENCY).major)


def from_wire(text: str) -> int:
    """Return yuan as fen; raise InvalidRequest for anything but digits with up to two decimals."""
    return Money.of_major(text, CURRENCY).amount_minor


def to_wire_time(at: datetime) -> str:
    """Return an instant as ``2026-11-22 16:30:00``."""
    return at.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M:%S")


def from_wire_time(at: datetime) -> datetime:
    """Return what Alipay said without a zone as an instant in UTC."""
    return at.replace(tzinfo=SHANGHAI).astimezone(UTC)
