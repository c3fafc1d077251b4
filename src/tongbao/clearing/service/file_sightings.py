"""Differences that are about files: statements that are missing, lines of a wrong day, and what a channel's two files say otherwise."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import NamedTuple

import msgspec

from tongbao.clearing.policy import breaking
from tongbao.clearing.policy.breaking import Sighting
from tongbao.clearing.policy.statement_gaps import Gap
from tongbao.clearing.schema.breaks import BreakKind, Found
from tongbao.clearing.schema.lines import SourceFile
from tongbao.clearing.store.reconciliation import Row

STRAYS_SEEN_MAX = 10_000
"""Lines of wrong days that one run tells of."""


class Stray(NamedTuple):
    """Of which days the file is whose line has a far other one."""

    file: str
    from_on: date
    until_on: date


def of_gaps(gaps: Iterable[Gap], source: str, lead: str) -> list[Sighting]:
    """Return missing statements of a source; one that is run under another's name says in each gap whose it is."""
    found = []
    for on, facts in gaps:
        told = facts if source == lead else facts | {"gap": f"{source}/{facts['gap']}", "source": source}
        found.append(Sighting(Found(kind=BreakKind.STATEMENT_GAP, facts=told), on))
    return found


def strays_of(files: Iterable[Sequence[SourceFile]], since_on: date) -> dict[int, Stray]:
    """Return the lines of files since a day whose day lies far outside of their file's, by the ids of lines, at most 10,000."""
    found: dict[int, Stray] = {}
    for file in (each for some in files for each in some):
        header = file.header
        if header.from_on is None or header.until_on is None or header.until_on < since_on:
            continue
        of = Stray(file.name, header.from_on, header.until_on)
        for line in file.strays[: STRAYS_SEEN_MAX - len(found)]:
            found[line] = of
    return found


def of_strays(lines: Sequence[Row], strays: Mapping[int, Stray]) -> list[Sighting]:
    """Return the breaks of lines of a wrong day that nothing else is said of."""
    found = []
    for row in lines:
        of = strays[row["id"]]
        facts = {
            "cause": breaking.FILE_DAY,
            "file": of.file,
            "from_on": str(of.from_on),
            "until_on": str(of.until_on),
        }
        broken = Found(
            kind=BreakKind.DATA_MISMATCH, reported=(row["id"],), currency=row["currency"], facts=facts
        )
        found.append(Sighting(broken, row["day"]))
    return found


def about_funds(of: Sighting) -> Sighting:
    """Return a difference between what a channel told of payments and what moved there, which is no money of the books."""
    facts = {**of.found.facts, breaking.ABOUT: breaking.FUNDS}
    return of._replace(found=msgspec.structs.replace(of.found, facts=facts))
