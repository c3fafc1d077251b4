"""Calendars and announcements as they are read: years, days, what an announcement would change, who did what. Pure."""

from collections.abc import Sequence
from datetime import date

from markupsafe import Markup

from tongbao.clearing.schema.announcements import (
    AnnouncedHoliday,
    Announcement,
    AnnouncementState,
    CalendarYear,
    DayChange,
)
from tongbao.web.ops.money_desk import Desk

PATH = "/ops/holidays"
CALENDARS = ("CN", "US", "TARGET")
"""In the order in which they are offered; ``calendar_<code>`` says whose days they are."""
Cells = tuple[str | Markup, ...]


def address(known: Announcement) -> str:
    """Return where an announcement is looked at."""
    return f"{PATH}/{known.text_id}"


def year_address(calendar: str, year: int) -> str:
    """Return where a year of a calendar is looked at."""
    return f"{PATH}/{calendar}/{year}"


def title(calendar: str, year: int, desk: Desk) -> Markup:
    """Return a year of a calendar in words."""
    return desk.t("calendar_year", place=desk.t(f"calendar_{calendar}"), year=year)


def calendars(desk: Desk) -> list[tuple[str, str]]:
    """Return the calendars as a choice."""
    return [(code, str(desk.t(f"calendar_{code}"))) for code in CALENDARS]


def years(found: Sequence[CalendarYear], desk: Desk) -> list[Cells]:
    """Return years as rows, by calendar; the year leads to its days."""
    return [
        (
            desk.link(year_address(each.calendar, each.year), title(each.calendar, each.year, desk)),
            desk.tag("holiday", each.state.value),
            desk.ui.count(sum(_length(holiday) for holiday in each.holidays)),
            desk.ui.count(len(each.workdays)) if each.workdays else "–",
        )
        for each in sorted(found, key=lambda each: (CALENDARS.index(each.calendar), each.year))
    ]


def holidays(found: Sequence[AnnouncedHoliday], desk: Desk) -> list[Cells]:
    """Return holidays as rows."""
    return [(_text(each.name), _span(each, desk), desk.ui.count(_length(each))) for each in found]


def workdays(found: Sequence[date], desk: Desk) -> list[Markup]:
    """Return days of weekends that are worked."""
    return [_day(on, desk) for on in found]


def changes(found: Sequence[DayChange], desk: Desk) -> list[Cells]:
    """Return what an announcement would change, day by day."""
    return [
        (
            _day(each.on, desk),
            desk.tag("change", "free" if each.is_free else "worked"),
            _text(each.name) if each.name else "–",
        )
        for each in found
    ]


def announcements(found: Sequence[Announcement], known: Sequence[CalendarYear], desk: Desk) -> list[Cells]:
    """Return announcements as rows, in their order; ``known`` are years as they count, which say what still holds."""
    return [
        (
            desk.link(address(each), title(each.order.calendar, each.order.year, desk)),
            state(each, known, desk),
            desk.who(each.proposed_by),
            desk.ui.when(each.history[0].at, "minute"),
            desk.who(each.history[1].actor) if len(each.history) > 1 else "–",
        )
        for each in found
    ]


def state(of: Announcement, known: Sequence[CalendarYear], desk: Desk) -> Markup:
    """Return the state of an announcement as a tag; one that a later one of its year replaced no longer holds."""
    replaced = of.state is AnnouncementState.IN_FORCE and any(
        each.by is not None and each.by.id != of.id
        for each in known
        if (each.calendar, each.year) == (of.order.calendar, of.order.year)
    )
    return desk.tag("announcement", "replaced" if replaced else of.state.value)


def history(of: Announcement, desk: Desk) -> list[dict[str, object]]:
    """Return what was done about an announcement, newest first."""
    return [
        {
            "at": each.at,
            "title": desk.t(f"announcement_did_{each.act}"),
            "who": desk.who(each.actor),
            "line": each.note,
            "tone": {"in_force": "ok", "declined": "warn", "proposed": "review"}.get(each.act, "plain"),
            "glyph": {"in_force": "check"}.get(each.act, "dot"),
        }
        for each in reversed(of.history)
    ]


def _length(holiday: AnnouncedHoliday) -> int:
    return (holiday.last - holiday.first).days + 1


def _span(holiday: AnnouncedHoliday, desk: Desk) -> Markup:
    first, last = _day(holiday.first, desk), _day(holiday.last, desk)
    return first if holiday.first == holiday.last else Markup("{} – {}").format(first, last)


def _day(on: date, desk: Desk) -> Markup:
    """Return a day with its weekday, by which people check it."""
    return Markup('<span class="nowrap">{}</span> {}').format(on, desk.t(f"weekday_{on.isoweekday()}"))


def _text(words: str) -> Markup:
    return Markup("<bdi>{}</bdi>").format(words)
