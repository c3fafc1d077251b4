"""Scripts: a plan written down as JSON lines, and read again to be acted out by whoever replays it.

One object with one key a line: ``city`` (format version and terms) first, every ``shop`` by number, every ``trouble``, then
each ``day`` followed by its ``visit`` lines in order of (``at``, ``number``), at last ``end`` with the count of visits, so
that a file that was cut short is noticed. A script is read whole before anything is acted out. Lines come in and go out as
bytes: where they are kept is the caller's affair.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC
from zoneinfo import ZoneInfo

import msgspec

from tongbao.core.errors import AppError, InvalidRequest, LimitExceeded
from tongbao.simulator.city.chances import checked, zone_of
from tongbao.simulator.city.fitness import unfit_shop, unfit_trouble, unfit_visit
from tongbao.simulator.city.planning import Acts
from tongbao.simulator.city.schema import SHOPS_MAX, CityTerms, Day, Shop, Trouble, Visit

VERSION = 1
LINES_MAX = 5_000_000
LINE_BYTES_MAX = 16_384
TROUBLES_MAX = 100_000


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a script is of."""

    version: int
    terms: CityTerms


class End(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last line: how many visits stand above it."""

    visits: int


class _AnyHeader(msgspec.Struct, frozen=True):
    """The version of a header, whatever else it holds: later formats hold other things."""

    version: int


class _AnyFirst(msgspec.Struct, frozen=True):
    """A first line of any format."""

    city: _AnyHeader


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One line; exactly one of these is set."""

    city: Header | None = None
    shop: Shop | None = None
    trouble: Trouble | None = None
    day: Day | None = None
    visit: Visit | None = None
    end: End | None = None


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """A plan that was read: what ``planning.Acts`` has, and the terms that it was made of."""

    terms: CityTerms
    shops: tuple[Shop, ...]
    troubles: tuple[Trouble, ...]
    acted: tuple[tuple[Day, tuple[Visit, ...]], ...]

    def days(self) -> Iterator[tuple[Day, tuple[Visit, ...]]]:
        """Yield the days in order."""
        return iter(self.acted)


_DECODER = msgspec.json.Decoder(Line)
_FIRST = msgspec.json.Decoder(_AnyFirst)
_ENCODER = msgspec.json.Encoder()


def written(terms: CityTerms, acts: Acts) -> Iterator[bytes]:
    """Yield the lines of a plan, each with its line feed; days are made as they are written."""
    yield _line(Line(city=Header(VERSION, terms)))
    for shop in acts.shops:
        yield _line(Line(shop=shop))
    for trouble in acts.troubles:
        yield _line(Line(trouble=trouble))
    count = 0
    for day, visits in acts.days():
        yield _line(Line(day=day))
        for visit in visits:
            count += 1
            yield _line(Line(visit=visit))
    yield _line(Line(end=End(count)))


def read(lines: Iterable[bytes]) -> Script:
    """Return the script of some lines.

    Raises InvalidRequest ``city_script_version`` for another format, ``city_script_broken`` (with ``line``, from 1) for the
    first line that is no line of a script, breaks the order or names what is not there, and LimitExceeded
    ``city_script_too_long``.
    """
    reader, number = _Reader(), 0
    for number, text in enumerate(lines, 1):
        if number > LINES_MAX:
            raise LimitExceeded("city_script_too_long", f"a script has at most {LINES_MAX} lines")
        if len(text) > LINE_BYTES_MAX:
            raise broken(number, f"longer than {LINE_BYTES_MAX} bytes")
        reader.take(number, text)
    return reader.script(number)


def broken(line: int, reason: str) -> InvalidRequest:
    """Return the error of a line, counted from 1."""
    return InvalidRequest("city_script_broken", f"line {line}: {reason}", line=line)


class _Reader:
    """Takes one line after the other; knows what may come next."""

    def __init__(self) -> None:
        self._terms: CityTerms | None = None
        self._zone: ZoneInfo | None = None
        self._shops: list[Shop] = []
        self._troubles: list[Trouble] = []
        self._days: list[tuple[Day, list[Visit]]] = []
        self._last = -1
        self._count = 0
        self._ended = False

    def take(self, number: int, text: bytes) -> None:
        """Read one line."""
        if self._ended:
            raise broken(number, "a line after the end")
        if self._terms is None:
            _check_version(number, text)
        line = self._parsed(number, text)
        if (self._terms is None) != (line.city is not None):
            told = "a second header" if self._terms else "a script begins with the line of its city"
            raise broken(number, told)
        reason: str | None = None
        if line.city is not None:
            self._head(number, line.city)
        elif line.visit is not None:
            reason = self._visit(line.visit)
        elif line.day is not None:
            reason = self._day(line.day)
        elif line.shop is not None:
            reason = self._shop(line.shop)
        elif line.trouble is not None:
            reason = self._trouble(line.trouble)
        elif line.end is not None:
            self._ended = True
            if line.end.visits != self._count:
                reason = f"{self._count} visits stand above the end, which counts {line.end.visits}"
        if reason is not None:
            raise broken(number, reason)

    def script(self, lines: int) -> Script:
        """Return what was read; raise InvalidRequest ``city_script_broken`` where the end is missing."""
        if self._terms is None or not self._ended:
            raise broken(lines + 1, "the script is cut short: its end is missing")
        return Script(
            terms=self._terms,
            shops=tuple(self._shops),
            troubles=tuple(self._troubles),
            acted=tuple((day, tuple(visits)) for day, visits in self._days),
        )

    def _parsed(self, number: int, text: bytes) -> Line:
        if not text.endswith(b"\n"):
            raise broken(number, "the line is cut short: it has no line feed")
        try:
            line = _DECODER.decode(text)
        except (msgspec.MsgspecError, ValueError, OverflowError) as error:
            raise broken(number, str(error)) from None
        given = sum(getattr(line, name) is not None for name in line.__struct_fields__)
        if given != 1:
            raise broken(number, f"one of {', '.join(line.__struct_fields__)} to a line, not {given}")
        return line

    def _head(self, number: int, header: Header) -> None:
        try:
            self._terms, self._zone = checked(header.terms), zone_of(header.terms)
        except AppError as error:
            raise broken(number, error.detail) from None

    def _shop(self, shop: Shop) -> str | None:
        if self._troubles or self._days:
            return "a shop after troubles or days"
        if shop.number != len(self._shops) or shop.number >= SHOPS_MAX:
            return f"shop {shop.number} where shop {len(self._shops)} is next, of at most {SHOPS_MAX}"
        reason = unfit_shop(shop)
        if reason is None:
            self._shops.append(shop)
        return reason

    def _trouble(self, trouble: Trouble) -> str | None:
        if self._days:
            return "a trouble after days"
        if len(self._troubles) >= TROUBLES_MAX:
            return f"more than {TROUBLES_MAX} troubles"
        reason = unfit_trouble(trouble)
        if reason is None:
            self._troubles.append(trouble)
        return reason

    def _day(self, day: Day) -> str | None:
        if self._days and day.on <= self._days[-1][0].on:
            return f"the day {day.on} out of order, after {self._days[-1][0].on}"
        self._days.append((day, []))
        return None

    def _visit(self, visit: Visit) -> str | None:
        if not self._days:
            return "a visit before the first day"
        day, before = self._days[-1]
        reason = unfit_visit(visit) or self._misplaced(visit, day, before)
        if reason is None:
            self._last, self._count = visit.number, self._count + 1
            before.append(_in_utc(visit))
        return reason

    def _misplaced(self, visit: Visit, day: Day, before: list[Visit]) -> str | None:
        """Return why a visit cannot stand here, though it may be well in itself."""
        if not 0 <= visit.shop < len(self._shops):
            return f"shop {visit.shop} is not in the script"
        if visit.currency != self._shops[visit.shop].currency:
            return f"shop {visit.shop} takes {self._shops[visit.shop].currency}, not {visit.currency}"
        if visit.number <= self._last or (before and visit.at < before[-1].at):
            return f"visit {visit.number} out of order"
        if visit.at.astimezone(self._zone).date() != day.on:
            return f"visit {visit.number} is not on the day {day.on}"
        return None


def _check_version(number: int, text: bytes) -> None:
    """Refuse a header of another version before it is read as one of this; what is no header is told elsewhere."""
    try:
        version = _FIRST.decode(text).city.version
    except (msgspec.MsgspecError, ValueError):
        return
    if version != VERSION:
        raise InvalidRequest(
            "city_script_version",
            f"line {number}: a script of version {version}; this program reads version {VERSION}",
            line=number,
        )


def _line(line: Line) -> bytes:
    return _ENCODER.encode(line) + b"\n"


def _in_utc(visit: Visit) -> Visit:
    return visit if visit.at.tzinfo is UTC else msgspec.structs.replace(visit, at=visit.at.astimezone(UTC))
