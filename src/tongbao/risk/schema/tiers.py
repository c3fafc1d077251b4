"""The four things that may be done with a payment, and what each costs."""

import enum
from typing import Annotated

import msgspec
from msgspec import Meta

Hundredths = Annotated[int, Meta(ge=0, le=10**12)]
"""Money in hundredths of a major unit, as ``Signals.value``."""
Bps = Annotated[int, Meta(ge=0, le=10_000)]


class Tier(enum.StrEnum):
    """What is done with a payment, from the least to the most that a payer notices."""

    FRICTIONLESS = "frictionless"
    STEP_UP = "step_up"
    REVIEW = "review"
    DECLINE = "decline"

    @property
    def strictness(self) -> int:
        """0 for frictionless to 3 for decline."""
        return _ORDER[self]


TIERS = tuple(Tier)
_ORDER = {tier: place for place, tier in enumerate(Tier)}


class Costs(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What outcomes cost, in hundredths; the defaults are those of the published comparison of step-up policies.

    A fraud that passes costs its amount and ``fraud_fee``. A good payment that is lost costs its margin and ``goodwill``.
    ``step_up_fee`` is what a challenge costs, ``review_fee`` what a look by a person costs.
    """

    fraud_fee: Hundredths = 1_500
    margin_bps: Bps = 150
    goodwill: Hundredths = 200
    step_up_fee: Hundredths = 5
    review_fee: Hundredths = 400


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of payments in a tier: the shares of good ones lost and of frauds caught, both in [0, 1]."""

    lost_share: float
    caught_share: float
