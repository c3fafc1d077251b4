"""Instants and dates as files write them: aware UTC from local text, and nothing outside of this century.

Codes of what is refused: ``time_malformed``, ``date_malformed``, ``date_absurd``. An hour that the clocks of a zone show twice is the
first of the two.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, time
from functools import lru_cache
from zoneinfo import ZoneInfo

from tongbao.clearing.adapters.unfit import Unfit
from tongbao.core.errors import InvalidRequest

YEARS = range(2000, 2100)
_CACHED = 65_536
_NOON = time(12)
_BYTES_OF_ISO = 40


class Instants:
    """Reads times of one source: ``zone`` for those that name none, ``form`` as ``strptime`` or empty for ISO 8601.

    Raises InvalidRequest ``file_unreadable`` for a zone that is none.
    """

    def __init__(self, zone: str, form: str = "") -> None:
        try:
            self.zone = ZoneInfo(zone)
        except (KeyError, ValueError, OSError) as error:
            raise InvalidRequest("file_unreadable", f"{zone[:80]} is no time zone") from error
        self._form = form
        self.instant: Callable[[str, str], datetime] = lru_cache(maxsize=_CACHED)(self._instant)
        """Return the instant, UTC, that a text in a column says; raise Unfit."""
        self.day: Callable[[str, str], date] = lru_cache(maxsize=_CACHED)(self._day)
        """Return the date that a text in a column says; raise Unfit."""

    def local(self, at: datetime) -> date:
        """Return the day of an instant in the zone."""
        return at.astimezone(self.zone).date()

    def noon(self, on: date) -> datetime:
        """Return the noon of a day in the zone: when something happened of which only the day is told."""
        return datetime.combine(on, _NOON, tzinfo=self.zone).astimezone(UTC)

    def _instant(self, text: str, column: str) -> datetime:
        at = self._parsed(text, column, "time_malformed")
        if at.year not in YEARS:
            raise Unfit("date_absurd", "a time lies between 2000 and 2099", column, text)
        return (at if at.tzinfo is not None else at.replace(tzinfo=self.zone)).astimezone(UTC)

    def _day(self, text: str, column: str) -> date:
        on = self._parsed(text, column, "date_malformed").date()
        if on.year not in YEARS:
            raise Unfit("date_absurd", "a date lies between 2000 and 2099", column, text)
        return on

    def _parsed(self, text: str, column: str, code: str) -> datetime:
        try:
            if self._form:
                return datetime.strptime(text, self._form)  # noqa: DTZ007 - the zone is added by the caller
            if len(text) > _BYTES_OF_ISO:
                raise ValueError(text)
            return datetime.fromisoformat(text)
        except (ValueError, OverflowError):
            wanted = f"a time as {self._form}" if self._form else "a time as in ISO 8601"
            raise Unfit(code, wanted, column, text) from None
