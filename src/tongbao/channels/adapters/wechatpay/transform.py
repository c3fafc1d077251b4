"""How WeChat Pay writes money and time: whole fen, and instants of RFC 3339 in Shanghai's time."""

from datetime import datetime, timedelta, timezone

from tongbao.channels.schema import WireUnit
from tongbao.core.money import Money

WIRE_UNIT = WireUnit.MINOR
CURRENCY = "CNY"
SHANGHAI = timezone(timedelta(hours=8), "Asia/Shanghai")  # no daylight saving since 1991


def to_wire(amount_minor: int) -> int:
    """Return fen as they are, proven to be an amount: 1999 is ``1999``."""
    return Money(amount_minor, CURRENCY).amount_minor


def from_wire(total: int) -> int:
    """Return fen as they came, proven to be an amount; raise InvalidRequest for any other."""
    return Money(total, CURRENCY).amount_minor


def to_wire_time(at: datetime) -> str:
    """Return an instant as ``2026-11-22T16:30:00+08:00``."""
    return at.astimezone(SHANGHAI).isoformat(timespec="seconds")
