"""What the state of risk control is folded from: four facts, in commit order."""

import enum
from uuid import UUID

from tongbao.core.events.facts import Fact
from tongbao.core.ids import uuid_text
from tongbao.risk.schema.signals import Signals
from tongbao.risk.schema.tiers import Tier


class LabelSource(enum.StrEnum):
    """Who says whether a payment was fraud."""

    DISPUTE = "dispute"
    REFUND = "refund"
    CASE = "case"
    API = "api"
    FILE = "file"


class Assessed(Fact, frozen=True, kw_only=True, tag="risk.assessed"):
    """Fact: a payment was judged. ``decision_id`` names the decision, None where scoring failed.

    ``score`` is the calibrated chance of fraud, ``reasons`` codes, ``rules`` the names of rules that matched, ``segment`` the
    path under which the rates of its tier are learned. ``is_again``: another look at a payment that was counted already,
    after its payer proved who it is; ``signals.id`` is then that of the first look.
    """

    signals: Signals
    tier: Tier
    score: float | None = None
    decision_id: UUID | None = None
    reasons: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    segment: tuple[str, ...] = ()
    is_again: bool = False

    @property
    def subject(self) -> str:
        """Return the payment intent."""
        return self.signals.subject


class Ended(Fact, frozen=True, kw_only=True, tag="risk.ended"):
    """Fact: an attempt of a judged payment came to an end, or its end was corrected; ``code`` is the reason of a no."""

    signals_id: UUID
    book_id: int
    live: bool
    subject_id: UUID
    is_approved: bool
    code: str = ""

    @property
    def subject(self) -> str:
        """Return the payment intent."""
        return uuid_text("pi", self.subject_id)


class Proved(Fact, frozen=True, kw_only=True, tag="risk.proved"):
    """Fact: a payer was asked to prove who it is and did (``is_passed``), or did not in time or in all its attempts."""

    signals_id: UUID
    book_id: int
    live: bool
    subject_id: UUID
    means: str
    is_passed: bool

    @property
    def subject(self) -> str:
        """Return the payment intent."""
        return uuid_text("pi", self.subject_id)


class Labelled(Fact, frozen=True, kw_only=True, tag="risk.labelled"):
    """Fact: it became known whether a payment was fraud; a later label of the same payment replaces an earlier one."""

    signals_id: UUID
    book_id: int
    live: bool
    subject_id: UUID
    is_fraud: bool
    source: LabelSource
    actor: str = ""

    @property
    def subject(self) -> str:
        """Return the payment intent."""
        return uuid_text("pi", self.subject_id)
