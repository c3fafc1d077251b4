"""The specification of a routing policy: strategy, costs, caps, commitments, rules. One version of it is plain JSON.

Money in a specification is minor units of a named currency; rates are whole basis points.
"""

import enum

import msgspec

CHANNELS_MAX = 64
RULES_CHARS_MAX = 20_000
TIERS_MAX = 12
ROWS_MAX = 200


class Strategy(enum.StrEnum):
    """How the channels that are left after filters and breakers are ranked."""

    LEARNED = "learned"  # expected value from learned acceptance
    LEAST_COST = "least_cost"
    PRIORITY = "priority"  # ``order``, then the others as configured
    SPLIT = "split"  # shares by ``weights``
    ROUND_ROBIN = "round_robin"


class Tier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rates from a month-to-date volume on (of the channel, in the cost's currency)."""

    from_volume_minor: int
    bps: int
    fixed_minor: int = 0


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of a table like an interchange table; empty fields match everything, the most specific line counts.

    ``region``: ``domestic`` (card and merchant of one country), ``foreign``, or empty. Rates are added to the base.
    """

    brand: str = ""
    funding: str = ""
    region: str = ""
    mcc: str = ""
    bps: int
    fixed_minor: int = 0


class Cost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a channel takes for a success: base or tier, a table line, conversion; bounded below and above.

    ``currency``: of all minor amounts here. ``settles``: currencies settled without conversion; any other pays
    ``conversion_bps`` more; empty settles all. ``declined_minor``: fee for each attempt that is declined.
    """

    currency: str
    bps: int
    fixed_minor: int = 0
    minimum_minor: int = 0
    maximum_minor: int | None = None
    declined_minor: int = 0
    tiers: tuple[Tier, ...] = ()
    table: tuple[Row, ...] = ()
    settles: tuple[str, ...] = ()
    conversion_bps: int = 0


class Commitment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A volume promised to a channel for a month; what is missing at its end costs ``shortfall_bps`` of the gap."""

    volume_minor: int
    currency: str
    shortfall_bps: int


class Cap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hard limits of a channel; a payment that would pass one does not go there."""

    currency: str
    amount_minor_max: int | None = None
    day_minor_max: int | None = None
    month_minor_max: int | None = None
    day_count_max: int | None = None


class RoutingSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version of a routing policy.

    ``margin_bps``: what an approved payment earns before its cost; ``retry_cost_minor``: what a failed attempt costs
    beyond fees, in minor units of the payment's currency (the payer's patience). ``explore_floor``: least
    probability of every channel that is neither filtered nor open. ``upstreams``: channels that fail together because they
    share a processor, by its name. Rules are text in the language of ``policy.rules``.
    """

    strategy: Strategy = Strategy.LEARNED
    order: tuple[str, ...] = ()
    weights: dict[str, int] = {}
    costs: dict[str, Cost] = {}
    commitments: dict[str, Commitment] = {}
    caps: dict[str, Cap] = {}
    upstreams: dict[str, tuple[str, ...]] = {}
    rules: str = ""
    margin_bps: int = 250
    retry_cost_minor: int = 0
    explore_floor: float = 0.002
