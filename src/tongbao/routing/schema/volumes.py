"""What went over a channel, by currency, in the day and the month that are running."""

from collections.abc import Callable, Mapping

import msgspec

Convert = Callable[[int, str, str], int | None]
"""Minor units of one currency in another, by a rate of now; None where there is no rate."""


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """Approved amounts in minor units by currency, and the day's count; calendar days and months of UTC.

    What has been sent and has not ended is counted in, as if it were approved.
    """

    day_minor: Mapping[str, int] = {}
    month_minor: Mapping[str, int] = {}
    day_count: int = 0


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """Volumes of several currencies in one. ``is_partial``: some had no rate and are left out."""

    minor: int
    is_partial: bool = False


def no_rates(minor: int, source: str, target: str) -> int | None:
    """Convert nothing but a currency into itself: what is used where no rates are known."""
    return minor if source == target else None
