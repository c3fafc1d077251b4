"""What one line of a history says, or why it takes no part. Pure: text in, values out, nothing dropped."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from zoneinfo import ZoneInfo

from tongbao.core.errors import InvalidRequest
from tongbao.simulator.histories.schema import TEXT_CHARS_MAX, Field, Line, Refusal, Refused, Row, Terms

AMOUNT_CHARS_MAX = 40
REMEMBERED_MAX = 8_192
AMOUNT_MINOR_MAX = 10**12
"""More than that is no purchase but a mistake in a file."""
FUZZ = Decimal("0.001")
"""So far from a whole minor unit an amount may lie: what binary fractions leave of a decimal, and far less than anybody means."""
_NAMES = (Field.ORDER, Field.CUSTOMER, Field.STORE)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")


class Reader:
    """Reads the rows of one file by its terms. Raises InvalidRequest ``history_zone_unknown``."""

    def __init__(self, header: Sequence[str], terms: Terms) -> None:
        place = {name: at for at, name in enumerate(header)}
        self._places: Mapping[Field, tuple[int, ...]] = {
            field: tuple(place[name] for name in names) for field, names in terms.columns.items()
        }
        self._scale = Decimal(10) ** terms.exponent
        self._exponent = terms.exponent
        self._zone = zone_of(terms.zone)
        # The lines of an order have one instant, and prices come again and again.
        self._instant = lru_cache(REMEMBERED_MAX)(self._instant_of)
        self._minor = lru_cache(REMEMBERED_MAX)(self._minor_of)

    def read(self, row: Row) -> Line | Refused:
        """Return what a row says."""
        names = [row.fields[self._places[field][0]].strip() for field in _NAMES]
        for field, name in zip(_NAMES, names, strict=True):
            if not name:
                return _refused(row, names[0], Refusal.NAME_MISSING, f"no {field} is named")
            if len(name) > TEXT_CHARS_MAX or _UNPRINTABLE.search(name):
                return _refused(
                    row,
                    names[0],
                    Refusal.NAME_MALFORMED,
                    f"{field}: up to {TEXT_CHARS_MAX} printable characters",
                )
        quantity = self._quantity_of(row)
        if quantity is not None:
            return _refused(row, names[0], *quantity)
        amount = self._amount(row)
        if isinstance(amount, tuple):
            return _refused(row, names[0], *amount)
        at = self._instant(row.fields[self._places[Field.AT][0]].strip())
        if at is None:
            text = row.fields[self._places[Field.AT][0]]
            return _refused(row, names[0], Refusal.INSTANT_MALFORMED, f"{text[:40]!r} is no ISO 8601 instant")
        order, customer, store = names
        return Line(row.line_no, order, customer, store, amount, at)

    def _quantity_of(self, row: Row) -> tuple[Refusal, str] | None:
        """Return what is wrong with the quantity of a row; None where nothing is, or no column says it."""
        for at in self._places.get(Field.QUANTITY, ()):
            text = row.fields[at].strip()
            if text and _decimal(text) is None:
                return Refusal.QUANTITY_MALFORMED, f"{text[:40]!r} is no quantity"
        return None

    def _amount(self, row: Row) -> int | tuple[Refusal, str]:
        """Return what was paid by a row: the amount less its discounts."""
        total = self._minor(row.fields[self._places[Field.AMOUNT][0]])
        for at in self._places.get(Field.DISCOUNT, ()):
            taken_off = self._minor(row.fields[at] or "0")
            if isinstance(total, tuple) or isinstance(taken_off, tuple):
                return total if isinstance(total, tuple) else taken_off
            total -= taken_off
        return total

    def _minor_of(self, text: str) -> int | tuple[Refusal, str]:
        found = _decimal(text.strip())
        if found is None:
            return Refusal.AMOUNT_MALFORMED, f"{text.strip()[:40]!r} is no plain number"
        if abs(found) > AMOUNT_MINOR_MAX:
            return Refusal.AMOUNT_TOO_LARGE, f"an amount is at most {AMOUNT_MINOR_MAX} minor units"
        minor = found * self._scale
        nearest = round(minor)
        if abs(minor - nearest) > FUZZ:
            return Refusal.AMOUNT_TOO_PRECISE, f"{text.strip()[:40]} has more than {self._exponent} decimals"
        return nearest

    def _instant_of(self, text: str) -> datetime | None:
        try:
            at = datetime.fromisoformat(text)
            at = at.replace(tzinfo=self._zone) if at.tzinfo is None else at
            return at.astimezone(UTC)
        except (ValueError, OverflowError):
            return None


def zone_of(name: str) -> tzinfo:
    """Return a time zone by its IANA name; raise InvalidRequest ``history_zone_unknown``."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InvalidRequest(
            "history_zone_unknown", f"{name[:40]!r} is no time zone, such as UTC or Asia/Shanghai"
        ) from None


def _decimal(text: str) -> Decimal | None:
    """Return a plain number; None for what is none, and for infinities."""
    if not text.isascii() or len(text) > AMOUNT_CHARS_MAX or "_" in text:
        return None
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def _refused(row: Row, order: str, refusal: Refusal, detail: str) -> Refused:
    return Refused(row.line_no, order[:TEXT_CHARS_MAX], refusal, detail)
