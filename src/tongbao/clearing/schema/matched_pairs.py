"""Matched pairs as people look at them: what belongs together, by what it was found, and both sides."""

from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.clearing.schema.break_sides import ExpectedSide, ReportedSide
from tongbao.clearing.schema.breaks import How, Leg

PAIRS_PAGE_MAX = 100


class PairKey(NamedTuple):
    """What names a match: the line and the record of ours. Line 0, or a record of zeros, is nobody."""

    leg: Leg
    line_id: int
    expected_id: UUID


class PairFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which matches are looked at: every field that is given must hold; None is anything."""

    leg: Leg = Leg.CHANNEL
    source: str | None = None
    how: How | None = None


class MatchedPair(msgspec.Struct, frozen=True, kw_only=True):
    """One match. ``confidence`` in (0, 1]; a side is None where somebody settled the other one alone.

    ``run_id``: of the run that found it, or of the act of a person. ``source``: who sent the line, empty without one.
    """

    key: PairKey
    how: How
    confidence: float
    run_id: UUID
    source: str
    expected: ExpectedSide | None = None
    reported: ReportedSide | None = None
