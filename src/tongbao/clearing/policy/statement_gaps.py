"""Statements that are missing: a number is skipped, a balance does not go on from the last one, or a day brought nothing.

A file may hold several statements: each is looked at by itself, and one that came in two files once. Numbers and balances are those of
one account in one currency.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from itertools import pairwise

import msgspec

from tongbao.clearing.schema.lines import Format, Header, SourceFile, SourceTerms, Told

NextDay = Callable[[date, int], date]
"""Returns the day that lies so many working days after a day; with 0 the same day or the next working one."""
GAPS_MAX = 400
Gap = tuple[date, dict[str, str]]


def gaps_of(
    files: Sequence[SourceFile], terms: SourceTerms, until_on: date, working_day: NextDay
) -> list[Gap]:
    """Return the day and facts of each gap in the files of a source, oldest first, at most 400.

    ``gap`` in the facts says which it is and makes it the same gap in every run. Days are looked at from the first file on; the
    last ``terms.report_days`` working days are still in time. A file without lines that is of a day is that day's statement.
    """
    # What a bank says beside its statements is none of them.
    told = [each for file in files if file.header.format is not Format.NOTICE for each in _told(file.header)]
    gaps: list[Gap] = []
    for statements in _accounts(told):
        gaps += [*_skipped(statements), *_unjoined(statements)]
    dated = [each for each in told if each.until_on is not None]
    if terms.is_daily and dated:
        gaps += _silent_days(dated, terms, until_on, working_day)
    return sorted(gaps, key=lambda gap: (gap[0], gap[1]["gap"]))[:GAPS_MAX]


def _told(header: Header) -> Iterator[Told]:
    """Yield the statements of a file, each with days; a file that tells none apart is one."""
    whole = Told(
        statement=header.statement,
        account=header.account,
        sequence=header.sequence,
        from_on=header.from_on,
        until_on=header.until_on,
        opening=header.opening,
        closing=header.closing,
    )
    for each in header.statements or (whole,):
        if each.until_on is None:
            yield msgspec.structs.replace(each, from_on=header.from_on, until_on=header.until_on)
        else:
            yield each


def _accounts(told: Sequence[Told]) -> list[list[Told]]:
    """Return statements by account and currency, in order of day, number and page; of one that came again the last."""
    found: dict[tuple[str, str], dict[object, Told]] = {}
    for each in told:
        if each.until_on is None:
            continue
        balance = each.closing or each.opening
        name = each if each.sequence is None else (each.sequence, each.page, each.until_on)
        found.setdefault((each.account, balance.currency if balance else ""), {})[name] = each
    return [
        sorted(group.values(), key=lambda each: (each.until_on or date.min, each.sequence or 0, each.page))
        for group in found.values()
    ]


def _skipped(statements: Sequence[Told]) -> Iterator[Gap]:
    """Yield the numbers between the first and the last that no statement has; a year begins again at 1."""
    numbered = [each for each in statements if each.sequence is not None]
    for before, after in pairwise(numbered):
        first, last = before.sequence or 0, after.sequence or 0
        if last > first + 1 and (before.until_on or date.min).year == (after.until_on or date.min).year:
            facts = {"gap": f"sequence:{first + 1}-{last - 1}", "from": str(first + 1), "to": str(last - 1)}
            yield after.until_on or date.min, facts


def _unjoined(statements: Sequence[Told]) -> Iterator[Gap]:
    """Yield where an opening balance is not the closing one of the statement before."""
    told = [each for each in statements if each.opening is not None and each.closing is not None]
    for before, after in pairwise(told):
        closing, opening = before.closing, after.opening
        if closing is None or opening is None or closing.amount_minor == opening.amount_minor:
            continue
        on = after.until_on or date.min
        facts = {
            "gap": f"balance:{on}",
            "closing_minor": str(closing.amount_minor),
            "opening_minor": str(opening.amount_minor),
            "currency": opening.currency,
        }
        yield on, facts


def _silent_days(
    told: Sequence[Told], terms: SourceTerms, until_on: date, working_day: NextDay
) -> Iterator[Gap]:
    covered: set[date] = set()
    for each in told:
        last = each.until_on or date.min
        first = each.from_on or last
        covered |= {first + timedelta(days=days) for days in range(min((last - first).days, 400) + 1)}
    count, on = 0, working_day(min(covered), 0)
    while working_day(on, terms.report_days) < until_on and count < GAPS_MAX:
        if on not in covered:
            count += 1
            yield on, {"gap": f"day:{on}", "on": str(on)}
        on = working_day(on, 1)
