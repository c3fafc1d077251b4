"""What the reading of one file counted: lines, refusals, sums, days, and from them every problem that the file's own words show."""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from zoneinfo import ZoneInfo

import msgspec

from tongbao.clearing.adapters.statement_parts import REPEATED
from tongbao.clearing.policy.periods import Period, period_of
from tongbao.clearing.schema.lines import (
    LINES_MAX,
    REFUSALS_MAX,
    STRAYS_MAX,
    FileState,
    Format,
    Header,
    Line,
    Refusal,
    SourceFile,
    SourceTerms,
)
from tongbao.clearing.store import lines as store
from tongbao.core.errors import InvalidRequest

TRUNCATED = "file_truncated"
OF_OTHERS = "account_differs"
STRAYS_OF_DAY = 100
_OWN_CODES = frozenset({TRUNCATED, OF_OTHERS, REPEATED})
"""Refusals that are a problem of their own."""


class Tally:
    """What a reading counted. ``on``: the day that was named with the file."""

    def __init__(self, terms: SourceTerms, on: date | None) -> None:
        self._zone = ZoneInfo(terms.zone)
        self._on = on
        self.source = terms.source
        self.line_count = 0
        self.refused_count = 0
        self._sum = 0
        self._refusals: list[Refusal] = []
        self._codes: set[str] = set()
        self._last_on: date | None = None
        self._days: Counter[date] = Counter()
        self._of_day: dict[date, list[int]] = {}

    def sort(self, chunk: Sequence[Line | Refusal]) -> list[tuple[Line, date]]:
        """Count a chunk; return its lines with their business days. Raises InvalidRequest ``file_too_long``."""
        lines: list[tuple[Line, date]] = []
        for entry in chunk:
            if isinstance(entry, Refusal):
                self.refused_count += 1
                self._codes.add(entry.code)
                if len(self._refusals) < REFUSALS_MAX:
                    self._refusals.append(entry)
                continue
            self.line_count += 1
            self._sum += entry.gross_minor
            lines.append((entry, self._day(entry)))
        # A number stands in the line's id: past its bits it would run into the next file.
        last = chunk[-1].number if chunk else 0
        if self.line_count + self.refused_count > LINES_MAX or last >= 1 << store.LINE_BITS:
            raise InvalidRequest("file_too_long", f"a file has at most {LINES_MAX:,} lines: split it")
        return lines

    def finished(self, kept: store.KeptFile, header: Header, new_count: int) -> SourceFile:
        """Return the file as it is after its last line, with every problem that its own words show.

        ``new_count``: lines that no file had brought before.
        """
        file, problems = kept.file, []
        if TRUNCATED in self._codes:
            problems.append(TRUNCATED)
        if self._codes - _OWN_CODES:
            problems.append("lines_refused")
        if header.declared_count is not None and header.declared_count != self.line_count:
            problems.append("count_differs")
        if header.declared_minor is not None and header.declared_minor != self._sum:
            problems.append("total_differs")
        problems += [code for code in (OF_OTHERS, REPEATED) if code in self._codes]
        moved = _moved(header)
        if moved is not None and moved != self._sum and "total_differs" not in problems:
            problems.append("balances_differ")
        period = self._period(file, header)
        if period is not None:
            header = msgspec.structs.replace(header, from_on=period.first, until_on=period.last)
        return msgspec.structs.replace(
            file,
            header=header,
            period_by=period.by.value if period else "",
            strays=self._strays(kept.number, period),
            state=FileState.READ,
            line_count=self.line_count,
            repeated_count=self.line_count - new_count,
            refused_count=self.refused_count,
            problems=tuple(problems),
            refusals=tuple(self._refusals),
        )

    def _period(self, file: SourceFile, header: Header) -> Period | None:
        if header.format is Format.NOTICE:
            return None
        return period_of((header.from_on, header.until_on), self._on, file.name, self._days)

    def _strays(self, file_number: int, period: Period | None) -> tuple[int, ...]:
        """Return the ids of the first lines whose day lies far outside of the file's."""
        if period is None:
            return ()
        far = [number for on, numbers in self._of_day.items() if period.is_far(on) for number in numbers]
        return tuple(store.line_id(file_number, number) for number in sorted(far)[:STRAYS_MAX])

    def _day(self, line: Line) -> date:
        """Return the business day of a line in the zone of its source; one that tells none has that of its neighbor."""
        if line.occurred_at is not None:
            on = self._last_on = line.occurred_at.astimezone(self._zone).date()
            self._days[on] += 1
            numbers = self._of_day.setdefault(on, [])
            if len(numbers) < STRAYS_OF_DAY:
                numbers.append(line.number)
        elif line.value_on is not None:
            self._last_on = line.value_on
        return self._last_on or date(1970, 1, 1)


def _moved(header: Header) -> int | None:
    """Return what moved between the balances of each statement, so that a gap between two is none of the lines; None where not told."""
    pairs = [(each.opening, each.closing) for each in header.statements or (header,)]
    if any(
        opening is None or closing is None or opening.currency != closing.currency
        for opening, closing in pairs
    ):
        return None
    return sum(
        closing.amount_minor - opening.amount_minor for opening, closing in pairs if opening and closing
    )
