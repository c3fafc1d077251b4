"""Whom risk control bothers, by groups of payments: shares with their intervals, false positives, what stands apart."""

import enum
from datetime import datetime

import msgspec

from tongbao.risk.schema.models import Interval

COUNTRIES_MAX = 15
"""Countries with a group of their own; the rest is together."""
OTHERS = "others"
UNKNOWN = "unknown"
BANDS: tuple[tuple[str, int | None], ...] = (
    ("below 20", 2_000),
    ("20 to 100", 10_000),
    ("100 to 500", 50_000),
    ("500 and more", None),
)
"""Bands of the amount in major units of the costs, with the hundredths before which each ends."""


class Segment(enum.StrEnum):
    """By what payments are put into groups."""

    CARD_COUNTRY = "card_country"
    CUSTOMER = "customer"
    AMOUNT = "amount"


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """One group: shares stepped up, held and declined, and the false positives among its good payments.

    Shares are None where the group is too small to be told of, ``false`` where too few of it are known to have been good;
    the counts behind it are 0 then.
    """

    group: str
    count: int
    step_up: Interval | None = None
    review: Interval | None = None
    decline: Interval | None = None
    good_count: int = 0
    false_count: int = 0
    false: Interval | None = None


class SegmentShares(msgspec.Struct, frozen=True, kw_only=True):
    """The groups of a segment. ``ratio``: lowest false positive rate over the highest, None with fewer than two to compare.

    ``marked`` groups are bothered more than the least bothered one, beyond chance and beyond the four-fifths rule.
    """

    segment: Segment
    groups: tuple[Group, ...]
    ratio: float | None = None
    marked: frozenset[str] = frozenset()


class Fairness(msgspec.Struct, frozen=True, kw_only=True):
    """Groups of the payments of a time; with ``is_partial`` there were more than are read, and these are the newest."""

    from_at: datetime
    to_at: datetime
    payment_count: int
    good_count: int
    is_partial: bool
    segments: tuple[SegmentShares, ...]
