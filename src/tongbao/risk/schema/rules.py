"""What rules of a risk policy do, and what is told of those that matched a payment."""

import enum

import msgspec

from tongbao.risk.schema.tiers import Tier


class Act(enum.StrEnum):
    """What a rule does with a payment that it matches; what that means beside a score stands in ``policy.rules``."""

    ALLOW = "allow"  # the score counts no longer
    STEP_UP = "step_up"
    REVIEW = "review"
    DECLINE = "decline"
    WATCH = "watch"  # only says that it matched

    @property
    def tier(self) -> Tier | None:
        """The tier that a payment gets at least; None for ``watch``."""
        return _TIERS[self]


_TIERS = {
    Act.ALLOW: Tier.FRICTIONLESS,
    Act.STEP_UP: Tier.STEP_UP,
    Act.REVIEW: Tier.REVIEW,
    Act.DECLINE: Tier.DECLINE,
    Act.WATCH: None,
}


class Hit(msgspec.Struct, frozen=True):
    """A rule that matched a payment; ``because`` are its owner's words. A draft (``is_draft``) does nothing else."""

    name: str
    act: Act
    because: str
    is_draft: bool = False
