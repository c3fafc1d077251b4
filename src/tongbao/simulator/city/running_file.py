"""Outcomes of a city as JSON lines: what it was, what became of each visit, and what all of it came to.

One object with one key a line: ``lived`` first, every ``visited`` by number, at last ``came_to``, so that a file that was cut
short is noticed. Lines come in and go out as bytes: where they are kept is the caller's affair.
"""

from collections.abc import Iterable, Iterator

import msgspec

from tongbao.core.errors import InvalidRequest, LimitExceeded
from tongbao.simulator.city.schema import CityTerms, Statistics, Visited

VERSION = 1
LINES_MAX = 5_000_000
LINE_BYTES_MAX = 16_384


class Measured(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What it took, which no two runs have in common, and whether everything was in order afterwards.

    ``payments_per_s``: payments that got an answer by second of the machine, everything that the house does beside them
    included. ``is_balanced``: every book was proved. ``acts_refused``, ``rounds_failed``: counts by what and why.
    """

    seconds: float
    payments_per_s: float
    lanes: int
    is_balanced: bool
    books: int
    captures: int = 0
    refunds: int = 0
    labels: int = 0
    acts_refused: dict[str, int] = {}
    rounds_failed: dict[str, int] = {}


class CameTo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The end of a file: figures of the city, and of the run."""

    statistics: Statistics
    measured: Measured


class Lived(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The beginning of a file."""

    version: int
    terms: CityTerms


class Outcomes(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was read."""

    terms: CityTerms
    visited: tuple[Visited, ...]
    came_to: CameTo


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    lived: Lived | None = None
    visited: Visited | None = None
    came_to: CameTo | None = None


_DECODER = msgspec.json.Decoder(_Line)
_ENCODER = msgspec.json.Encoder()


def written(outcomes: Outcomes) -> Iterator[bytes]:
    """Yield the lines of a file, each with its line feed."""
    yield _line(_Line(lived=Lived(version=VERSION, terms=outcomes.terms)))
    for visited in outcomes.visited:
        yield _line(_Line(visited=visited))
    yield _line(_Line(came_to=outcomes.came_to))


def read(lines: Iterable[bytes]) -> Outcomes:
    """Return what a file holds.

    Raises InvalidRequest ``city_outcomes_broken`` (with ``line``, from 1) for the first line that is none of an outcome file
    or stands in the wrong place, ``city_outcomes_version`` for another format, LimitExceeded ``city_outcomes_too_long``.
    """
    lived: Lived | None = None
    came_to: CameTo | None = None
    visited: list[Visited] = []
    number = 0
    for number, text in enumerate(lines, 1):
        if number > LINES_MAX:
            raise LimitExceeded("city_outcomes_too_long", f"a file of outcomes has at most {LINES_MAX} lines")
        line = _read(number, text)
        if (line.lived is not None) != (number == 1) or came_to is not None:
            raise _broken(number, "out of order")
        lived = lived or line.lived
        came_to = line.came_to
        if line.visited is not None:
            if visited and visited[-1].number >= line.visited.number:
                raise _broken(number, "visits are written by number, each once")
            visited.append(line.visited)
    if lived is None or came_to is None:
        raise _broken(number + 1, "the file was cut short")
    return Outcomes(terms=lived.terms, visited=tuple(visited), came_to=came_to)


def _read(number: int, text: bytes) -> _Line:
    if len(text) > LINE_BYTES_MAX:
        raise _broken(number, f"longer than {LINE_BYTES_MAX} bytes")
    try:
        line = _DECODER.decode(text)
    except msgspec.MsgspecError as error:
        raise _broken(number, str(error)) from None
    if sum(each is not None for each in (line.lived, line.visited, line.came_to)) != 1:
        raise _broken(number, "exactly one of lived, visited and came_to")
    if line.lived is not None and line.lived.version != VERSION:
        raise InvalidRequest(
            "city_outcomes_version", f"the file has format {line.lived.version}, not {VERSION}"
        )
    return line


def _broken(line: int, reason: str) -> InvalidRequest:
    return InvalidRequest("city_outcomes_broken", f"line {line}: {reason}", line=line)


def _line(line: _Line) -> bytes:
    return _ENCODER.encode(line) + b"\n"
