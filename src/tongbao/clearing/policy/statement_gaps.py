"""Statements that are missing: a number is skipped, a balance does not go on from the last one, or a day brought nothing."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from itertools import pairwise

from tongbao.clearing.schema.lines import Header, SourceFile, SourceTerms

NextDay = Callable[[date, int], date]
"""Returns the day that lies so many working days after a day; with 0 the same day or the next working one."""
GAPS_MAX = 400


def gaps_of(
    files: Sequence[SourceFile], terms: SourceTerms, until_on: date, working_day: NextDay
) -> list[tuple[date, dict[str, str]]]:
    """Return the day and facts of each gap in the files of a source, oldest first, at most 400.

    ``gap`` in the facts says which it is and makes it the same gap in every run. Days are looked at from the first file on; the
    last ``terms.report_days`` working days are still in time.
    """
    headers = sorted(
        (file.header for file in files if file.header.until_on is not None),
        key=lambda header: (header.until_on or date.min, header.sequence or 0),
    )
    gaps = [*_skipped(headers), *_unjoined(headers)]
    if terms.is_daily and headers:
        gaps += _silent_days(headers, terms, until_on, working_day)
    return sorted(gaps, key=lambda gap: (gap[0], gap[1]["gap"]))[:GAPS_MAX]


def _skipped(headers: Sequence[Header]) -> list[tuple[date, dict[str, str]]]:
    """Return the numbers between the first and the last that no statement has; a year begins again at 1."""
    gaps = []
    numbered = [header for header in headers if header.sequence is not None]
    for before, after in pairwise(numbered):
        first, last = before.sequence or 0, after.sequence or 0
        if last > first + 1 and (before.until_on or date.min).year == (after.until_on or date.min).year:
            facts = {"gap": f"sequence:{first + 1}-{last - 1}", "from": str(first + 1), "to": str(last - 1)}
            gaps.append((after.until_on or date.min, facts))
    return gaps


def _unjoined(headers: Sequence[Header]) -> list[tuple[date, dict[str, str]]]:
    """Return where an opening balance is not the closing one of the statement before."""
    gaps = []
    told = [header for header in headers if header.opening is not None and header.closing is not None]
    for before, after in pairwise(told):
        closing, opening = before.closing, after.opening
        if closing is None or opening is None or closing.currency != opening.currency:
            continue
        if closing.amount_minor != opening.amount_minor:
            on = after.until_on or date.min
            facts = {
                "gap": f"balance:{on}",
                "closing_minor": str(closing.amount_minor),
                "opening_minor": str(opening.amount_minor),
                "currency": opening.currency,
            }
            gaps.append((on, facts))
    return gaps


def _silent_days(
    headers: Sequence[Header], terms: SourceTerms, until_on: date, working_day: NextDay
) -> list[tuple[date, dict[str, str]]]:
    covered: set[date] = set()
    for header in headers:
        last = header.until_on or date.min
        first = header.from_on or last
        covered |= {first + timedelta(days=days) for days in range(min((last - first).days, 400) + 1)}
    gaps: list[tuple[date, dict[str, str]]] = []
    on = working_day(min(covered), 0)
    while working_day(on, terms.report_days) < until_on and len(gaps) < GAPS_MAX:
        if on not in covered:
            gaps.append((on, {"gap": f"day:{on}", "on": str(on)}))
        on = working_day(on, 1)
    return gaps
