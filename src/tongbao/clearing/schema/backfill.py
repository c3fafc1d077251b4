"""Back-fill: how far the journal was gone through for moves that nobody recorded, and what that came to."""

from uuid import UUID

import msgspec

UNEXPLAINED_KEPT = 20
"""Keys of moves without a document that are named, of one account."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far one account was gone through, newest entry first; ``next_before`` is the ledger's cursor, None at the beginning."""

    book_id: int
    account_id: int
    next_before: str | None = None
    is_done: bool = False
    seen_count: int = 0
    made_count: int = 0
    unexplained_count: int = 0
    unexplained: tuple[UUID, ...] = ()


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A book in which movements and ``in_transit`` are not equal, minor units."""

    book_id: int
    currency: str
    balance_minor: int
    movements_minor: int


class Backfilled(msgspec.Struct, frozen=True, kw_only=True):
    """What a back-fill has come to so far, over all its calls. ``is_equal`` holds where every book was gone through and agrees."""

    account_count: int
    done_count: int
    seen_count: int
    made_count: int
    unexplained_count: int
    unexplained: tuple[UUID, ...]
    differences: tuple[Difference, ...]

    @property
    def is_equal(self) -> bool:
        """Whether all is done and movements come to what stands on ``in_transit``, in every book and currency."""
        return self.done_count == self.account_count and not self.differences
