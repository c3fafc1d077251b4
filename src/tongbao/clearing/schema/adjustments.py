"""Adjustments: what the house agrees with a merchant to give or take, beside all payments; one proposes, others approve.

``amount_minor`` is signed from the merchant's view: a credit is positive. What was posted is never changed: it is taken back by an
adjustment of the opposite amount that names it.
"""

import enum
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import msgspec

from tongbao.core.ids import uuid_text

ADJUSTMENT_PREFIX = "adj"
REFERENCE_CHARS_MAX = 80
REASON_CHARS_MAX = 500
EVIDENCE_CHARS_MAX = 4_000


class AdjustmentState(enum.StrEnum):
    """The life of an adjustment. Money moves with ``posted``, and in the same commit."""

    PROPOSED = "proposed"
    POSTED = "posted"
    DECLINED = "declined"


ADJUSTMENT_MOVES: Mapping[AdjustmentState, frozenset[AdjustmentState]] = {
    AdjustmentState.PROPOSED: frozenset({AdjustmentState.POSTED, AdjustmentState.DECLINED}),
    AdjustmentState.POSTED: frozenset(),
    AdjustmentState.DECLINED: frozenset(),
}
"""Where an adjustment may go from each state."""


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """What was done about an adjustment or a demand: who, when, why. ``amount_minor``: where money was part of it."""

    act: str
    at: datetime
    actor: str
    note: str = ""
    amount_minor: int = 0


class AdjustmentOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody proposes. ``reference``: the proposer's own (a ticket), once in a book; ``evidence``: what shows it to be right.

    ``intent_id``: the payment that it is about; ``reverses``: the posted adjustment that it takes back as a whole.
    """

    book_id: int
    currency: str
    amount_minor: int
    reason: str
    reference: str
    evidence: str
    intent_id: UUID | None = None
    reverses: UUID | None = None


class Adjustment(msgspec.Struct, frozen=True, kw_only=True):
    """One adjustment. ``needs_two``: above the limit of the agreement two people approve, neither of whom proposed.

    ``movement_id`` is None until it is posted.
    """

    id: UUID
    live: bool
    order: AdjustmentOrder
    state: AdjustmentState
    version: int = 1
    needs_two: bool = False
    approvals: tuple[str, ...] = ()
    proposed_by: str
    movement_id: UUID | None = None
    history: tuple[Deed, ...] = ()
    created_at: datetime
    updated_at: datetime

    @property
    def text_id(self) -> str:
        """The id as people and APIs see it: ``adj_01jd…``."""
        return uuid_text(ADJUSTMENT_PREFIX, self.id)
