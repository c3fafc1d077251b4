"""The specification of a risk policy: model, costs, prices, exploration, rules, caps. One version of it is plain JSON."""

from typing import Annotated

import msgspec
from msgspec import Meta

from tongbao.risk.schema.tiers import Costs, Hundredths, Tier

RULES_CHARS_MAX = 60_000
EXPLORE_SHARE_MAX = 0.2

CURRENCIES_MAX = 200

CurrencyCode = Annotated[str, Meta(pattern="^[A-Z]{3}$", max_length=3)]
Worth = Annotated[float, Meta(gt=0, le=1_000_000)]
Price = Annotated[float, Meta(ge=0, le=1_000_000)]


class RiskSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """How payments are judged.

    ``model``: the digest of the model that scores; empty: the scorecard that the house comes with, which is a judgement, so
    step-ups and reviews then cost 4.00 more than what stands here. ``step_up_price`` and
    ``review_price`` (hundredths) are what a step-up or a review costs beyond its fee because both are scarce. With
    ``explore_share`` a payment of at most ``explore_value_max`` gets the tier next to its best instead. ``fallback`` is what
    happens where scoring fails. ``rules`` are text, see ``policy.rules``; ``can_step_up`` and ``can_review`` say which
    tiers this house has people and means for. ``worth`` is what one unit of a currency counts for in that of the costs; see
    ``policy.worth`` for those that are not named.
    """

    model: Annotated[str, Meta(max_length=64)] = ""
    costs: Costs = msgspec.field(default_factory=Costs)
    step_up_price: Price = 0.0
    review_price: Price = 0.0
    explore_share: Annotated[float, Meta(ge=0, le=EXPLORE_SHARE_MAX)] = 0.0
    explore_value_max: Hundredths = 20_000
    fallback: Tier = Tier.STEP_UP
    can_step_up: bool = True
    can_review: bool = True
    rules: Annotated[str, Meta(max_length=RULES_CHARS_MAX)] = ""
    worth: Annotated[dict[CurrencyCode, Worth], Meta(max_length=CURRENCIES_MAX)] = msgspec.field(
        default_factory=dict
    )
