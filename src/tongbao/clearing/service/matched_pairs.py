"""Matched pairs, read: a list of them over all sources, and one with everything that stands in one star with it."""

from typing import Any

from tongbao.clearing.policy.matching import HOWS
from tongbao.clearing.schema.break_sides import ExpectedSide, ReportedSide
from tongbao.clearing.schema.breaks import Leg
from tongbao.clearing.schema.matched_pairs import PAIRS_PAGE_MAX, MatchedPair, PairFilter, PairKey
from tongbao.clearing.store import break_sides, matched_pairs
from tongbao.clearing.store.batches import be_patient
from tongbao.core.db import Connection, Database
from tongbao.core.errors import NotFound

STAR_MAX = 200
"""Records of one match that are shown together."""


class MatchedPairs:
    """Reads matches. One object per process; writes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, asked: PairFilter, *, after: PairKey | None = None, limit: int = PAIRS_PAGE_MAX
    ) -> tuple[list[MatchedPair], bool]:
        """Return matches of a filter with both sides, the newest line first, and whether there are more.

        At most ``PAIRS_PAGE_MAX``; ``after`` is the last one of the page before.
        """
        limit = max(1, min(limit, PAIRS_PAGE_MAX))
        async with self._database.transaction(read_only=True, snapshot=True) as connection:
            await be_patient(connection)
            rows = await matched_pairs.page(connection, asked, HOWS, after, limit + 1)
            found = await _with_sides(connection, asked.leg, rows[:limit])
        return found, len(rows) > limit

    async def get(self, key: PairKey) -> tuple[MatchedPair, list[MatchedPair]]:
        """Return a match, and all matches of its star, itself among them; raise NotFound ``match_unknown``."""
        async with self._database.transaction(read_only=True, snapshot=True) as connection:
            await be_patient(connection)
            rows = await matched_pairs.star(connection, key, STAR_MAX)
            star = await _with_sides(connection, key.leg, rows)
        mine = next((each for each in star if each.key == key), None)
        if mine is None:
            raise NotFound("match_unknown", "there is no such match")
        return mine, star


async def _with_sides(connection: Connection, leg: Leg, rows: list[Any]) -> list[MatchedPair]:
    """Return rows with both sides; a record that is nowhere any more is None."""
    lines = await break_sides.reported(connection, leg, [row["line_id"] for row in rows])
    books: set[int] = set()
    if leg is Leg.BANK:
        references = [each.reference for each in lines.values() if each.reference]
        books = await matched_pairs.books_of_payouts(connection, references)
    records = await break_sides.expected(connection, leg, [row["expected_id"] for row in rows], books)
    return [_pair(row, records, lines) for row in rows]


def _pair(row: Any, records: dict[Any, ExpectedSide], lines: dict[int, ReportedSide]) -> MatchedPair:
    key = matched_pairs.key_of(row)
    return MatchedPair(
        key=key,
        how=HOWS[row["how"]],
        confidence=float(row["confidence"]),
        run_id=row["run_id"],
        source=row["source"],
        expected=records.get(key.expected_id),
        reported=lines.get(key.line_id),
    )
