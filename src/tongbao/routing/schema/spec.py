"""The specification of a routing policy: strategy, costs, caps, commitments, rules. One version of it is plain JSON.

Money in a specification is minor units of a named currency; rates are whole basis points. The bounds of single values
are checked where JSON is decoded, what must hold between values in ``policy.costs`` and ``policy.rules_text``.
"""

import enum
from typing import Annotated

import msgspec
from msgspec import Meta

CHANNELS_MAX = 64
RULES_CHARS_MAX = 20_000
TIERS_MAX = 12
ROWS_MAX = 200
FEATURES_MAX = 200
"""Weights of one channel in a prior."""
WEIGHT_MAX = 4.0

Minor = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
SignedMinor = Annotated[int, Meta(ge=-(1 << 63) + 1, le=(1 << 63) - 1)]
Bps = Annotated[int, Meta(ge=0, le=10_000)]
SignedBps = Annotated[int, Meta(ge=-10_000, le=10_000)]
Count = Annotated[int, Meta(ge=0, le=1_000_000_000)]
CurrencyCode = Annotated[str, Meta(pattern="^[A-Z]{3}$", max_length=3)]
Channel = Annotated[str, Meta(min_length=1, max_length=80)]
Feature = Annotated[str, Meta(min_length=1, max_length=120)]
Weight = Annotated[float, Meta(ge=-WEIGHT_MAX, le=WEIGHT_MAX)]
Weights = Annotated[dict[Feature, Weight], Meta(max_length=FEATURES_MAX)]


class Strategy(enum.StrEnum):
    """How the channels that are left after filters and breakers are ranked."""

    LEARNED = "learned"  # expected value from learned acceptance
    LEAST_COST = "least_cost"
    PRIORITY = "priority"  # ``order``, then the others as configured
    SPLIT = "split"  # shares by ``weights``
    ROUND_ROBIN = "round_robin"


class Tier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rates from a month-to-date volume on (of the channel, in the cost's currency)."""

    from_volume_minor: Minor
    bps: Bps
    fixed_minor: Minor = 0


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of a table like an interchange table; empty fields match everything, the most specific line counts.

    ``region``: ``domestic`` (card and merchant of one country), ``foreign``, or empty. Rates are
    added to the base, or taken from it where they are negative.
    """

    brand: str = ""
    funding: str = ""
    region: str = ""
    mcc: str = ""
    bps: SignedBps
    fixed_minor: SignedMinor = 0


class Cost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a channel takes for a success: base or tier, a table line, conversion; bounded below and above.

    ``currency``: of all minor amounts here. ``settles``: currencies settled without conversion; any other pays
    ``conversion_bps`` more; empty settles all. ``declined_minor``: fee for each attempt that is declined.
    """

    currency: CurrencyCode
    bps: Bps
    fixed_minor: Minor = 0
    minimum_minor: Minor = 0
    maximum_minor: Minor | None = None
    declined_minor: Minor = 0
    tiers: Annotated[tuple[Tier, ...], Meta(max_length=TIERS_MAX)] = ()
    table: Annotated[tuple[Row, ...], Meta(max_length=ROWS_MAX)] = ()
    settles: tuple[CurrencyCode, ...] = ()
    conversion_bps: Bps = 0


class Commitment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A volume promised to a channel for a month; what is missing at its end costs ``shortfall_bps`` of the gap."""

    volume_minor: Minor
    currency: CurrencyCode
    shortfall_bps: Bps


class Cap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hard limits of a channel; a payment that would pass one does not go there."""

    currency: CurrencyCode
    amount_minor_max: Minor | None = None
    day_minor_max: Minor | None = None
    month_minor_max: Minor | None = None
    day_count_max: Count | None = None


class RoutingSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version of a routing policy.

    ``margin_bps``: what an approved payment earns before its cost; ``retry_cost_minor``: what a failed attempt costs
    beyond fees, in minor units of the payment's currency (the payer's patience). ``explore_floor``: least
    probability of every channel that is neither filtered nor open. ``upstreams``: channels that fail together because they
    share a processor, by its name. Rules are text in the language of ``policy.rules``. ``prior``: by channel, what each
    feature of a payment adds to the log-odds of an issuer's yes; features are those of ``models.prior``.
    """

    strategy: Strategy = Strategy.LEARNED
    order: Annotated[tuple[Channel, ...], Meta(max_length=CHANNELS_MAX)] = ()
    weights: Annotated[dict[Channel, Count], Meta(max_length=CHANNELS_MAX)] = {}
    costs: Annotated[dict[Channel, Cost], Meta(max_length=CHANNELS_MAX)] = {}
    commitments: Annotated[dict[Channel, Commitment], Meta(max_length=CHANNELS_MAX)] = {}
    caps: Annotated[dict[Channel, Cap], Meta(max_length=CHANNELS_MAX)] = {}
    upstreams: Annotated[dict[str, tuple[Channel, ...]], Meta(max_length=CHANNELS_MAX)] = {}
    rules: Annotated[str, Meta(max_length=RULES_CHARS_MAX)] = ""
    margin_bps: Bps = 250
    retry_cost_minor: Minor = 0
    explore_floor: Annotated[float, Meta(ge=0.0, le=1.0 / CHANNELS_MAX)] = 0.0005
    prior: Annotated[dict[Channel, Weights], Meta(max_length=CHANNELS_MAX)] = {}
