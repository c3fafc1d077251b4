"""An announcement as people type it: one holiday a line, ``2027-02-05 2027-02-12 春节 Spring Festival``. Pure.

What is typed becomes an order as it stands; whether it can be right is for the room to say.
"""

from collections.abc import Iterator, Mapping
from datetime import date

from tongbao.clearing.schema.announcements import (
    SOURCE_CHARS_MAX,
    AnnouncedHoliday,
    AnnouncementOrder,
    CalendarYear,
)
from tongbao.core.errors import InvalidRequest

USUAL = "CN"
"""The calendar whose days have to be announced."""
LIMITS = {"source": SOURCE_CHARS_MAX, "holidays": 8_000, "workdays": 1_000}
"""How many characters each field takes."""


def fields_of(known: CalendarYear) -> dict[str, str]:
    """Return the fields of a form that begins from what counts now; who announced it is for a person to say."""
    return {
        "calendar": known.calendar,
        "year": str(known.year),
        "source": "",
        "holidays": "\n".join(_line(each) for each in known.holidays),
        "workdays": "\n".join(str(on) for on in known.workdays),
    }


def order_of(fields: Mapping[str, str]) -> AnnouncementOrder:
    """Return what was typed; raise InvalidRequest ``announcement_unreadable`` with the line that is none."""
    for name, most in LIMITS.items():
        if len(fields.get(name, "")) > most:
            raise InvalidRequest("announcement_unreadable", f"{name}: at most {most} characters")
    year = fields.get("year", "").strip()
    return AnnouncementOrder(
        calendar=fields.get("calendar", ""),
        year=int(year) if year.isascii() and year.isdigit() and len(year) <= 4 else 0,
        source=fields.get("source", "").strip(),
        holidays=tuple(_holiday(number, line) for number, line in _lines(fields.get("holidays", ""))),
        workdays=tuple(
            _day(number, word)
            for number, line in _lines(fields.get("workdays", ""))
            for word in line.replace(",", " ").split()
        ),
    )


def _line(holiday: AnnouncedHoliday) -> str:
    span = f"{holiday.first}" if holiday.first == holiday.last else f"{holiday.first} {holiday.last}"
    return f"{span} {holiday.name}"


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that say something, with their numbers."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield number, line.strip()


def _holiday(number: int, line: str) -> AnnouncedHoliday:
    """Return the holiday of a line: its first day, its last one where it has several, its name."""
    first, *rest = line.split(maxsplit=2)
    begin = _day(number, first)
    last = _maybe_day(rest[0]) if rest else None
    name = rest if last is None else rest[1:]
    return AnnouncedHoliday(" ".join(name), begin, last or begin)


def _day(number: int, word: str) -> date:
    found = _maybe_day(word)
    if found is None:
        raise InvalidRequest("announcement_unreadable", f"line {number}: {word[:20]!r} is no day")
    return found


def _maybe_day(word: str) -> date | None:
    try:
        return date.fromisoformat(word)
    except ValueError:
        return None
