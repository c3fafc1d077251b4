"""Prices: who pays what for a movement, as versions of a schedule that hold from a date on.

Rates are whole millionths (``_e6``: 100 is one basis point, 1,000,000 is all of it), so that 0.38 % and
2.275 % are whole numbers. Amounts are minor units of the movement's currency; what is fixed is given by currency.
"""

import enum
from collections.abc import Mapping
from datetime import date
from typing import Annotated

import msgspec
from msgspec import Meta

from tongbao.core.money import Rounding

RATE_WHOLE = 1_000_000
"""A rate of 100 %."""
CHARGES_MAX = 500
TIERS_MAX = 50
VALUES_MAX = 200
LABEL_CHARS_MAX = 80

RateE6 = Annotated[int, Meta(ge=0, le=RATE_WHOLE)]
MinorUnits = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Label = Annotated[str, Meta(min_length=1, max_length=LABEL_CHARS_MAX)]
CurrencyCode = Annotated[str, Meta(pattern="^[A-Z]{3}$")]
Values = Annotated[tuple[str, ...], Meta(max_length=VALUES_MAX)]


class Bearer(enum.StrEnum):
    """Who pays a charge, and so which account it moves."""

    MERCHANT = "merchant"  # withheld from what the merchant gets: the house's revenue
    HOUSE = "house"  # what the channel charges the house: interchange, scheme, acquirer
    AGENT = "agent"  # what the house owes whoever brought the merchant


class Basis(enum.StrEnum):
    """What a rate is taken of."""

    AMOUNT = "amount"  # the amount of the movement, whichever its sign
    FEE = "fee"  # the sum of the merchant's charges on the same movement, before tax: commissions, taxes


class TierMode(enum.StrEnum):
    """What a tier's rate holds for, once the month's volume is in it."""

    WHOLE = "whole"  # the whole movement, by the volume before it
    MARGINAL = "marginal"  # that part of the movement that lies in the tier


class OnRefund(enum.StrEnum):
    """What becomes of a charge when its payment goes back."""

    KEPT = "kept"
    RETURNED = "returned"  # in proportion; the last refund returns exactly what is left


class Tier(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A step by the month's volume of the same merchant and charge: from ``from_minor`` on this rate and fixed part hold."""

    from_minor: MinorUnits = 0
    rate_e6: RateE6 = 0
    fixed_minor: Mapping[CurrencyCode, MinorUnits] = {}


class Match(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Which movements a charge is for: every field that is given must hold; empty is anything.

    ``kinds``: of movements (``sale``, ``refund``, ``dispute``, ``payout``); ``fundings``: ``credit``, ``debit``, ``prepaid``;
    ``regions``: ``domestic``, ``intra``, ``inter`` (the card's country against the merchant's); ``packages``: of ``parties``.
    Amounts are minor units, half-open.
    """

    kinds: Values = ("sale",)
    methods: Values = ()
    channels: Values = ()
    brands: Values = ()
    fundings: Values = ()
    regions: Values = ()
    currencies: Values = ()
    stores: Values = ()
    packages: Values = ()
    mccs: Values = ()
    amount_from_minor: MinorUnits | None = None
    amount_to_minor: MinorUnits | None = None


class Charge(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One price. Of the charges with one ``name`` the first that matches counts; different names add up.

    ``tiers``: at least one, ascending, the first from 0. ``min_minor`` and ``max_minor`` bound the charge of one movement, by
    currency. ``from_on`` and ``until_on``: a promotion, in the zone of the agreement, half-open. ``free_minor``: volume a
    month for which nothing is charged (small merchants), by currency. ``tax_e6``: tax on the charge; ``tax_included`` where
    the price holds it already. ``rounding`` once, at the end of each charge.
    """

    name: Label
    bearer: Bearer = Bearer.MERCHANT
    basis: Basis = Basis.AMOUNT
    match: Match = Match()
    tiers: Annotated[tuple[Tier, ...], Meta(min_length=1, max_length=TIERS_MAX)] = (Tier(),)
    tier_mode: TierMode = TierMode.WHOLE
    min_minor: Mapping[CurrencyCode, MinorUnits] = {}
    max_minor: Mapping[CurrencyCode, MinorUnits] = {}
    free_minor: Mapping[CurrencyCode, MinorUnits] = {}
    from_on: date | None = None
    until_on: date | None = None
    tax_name: str = ""
    tax_e6: RateE6 = 0
    tax_included: bool = False
    on_refund: OnRefund = OnRefund.KEPT
    rounding: Rounding = Rounding.HALF_UP


class ScheduleSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A schedule of prices: what one version of it says."""

    charges: Annotated[tuple[Charge, ...], Meta(max_length=CHARGES_MAX)] = ()


class Priceable(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What prices go by, of one movement. ``amount_minor`` is positive; for a refund what goes back.

    ``on``: the business date in the zone of the agreement; ``volume_minor``: what the merchant sold this month before this
    movement, in the same currency and mode. What is not known is empty, and matches only charges that do not ask for it.
    """

    kind: str
    amount_minor: int
    currency: str
    on: date
    volume_minor: int = 0
    method: str = ""
    channel: str = ""
    brand: str = ""
    funding: str = ""
    region: str = ""
    store: str = ""
    package: str = ""
    mcc: str = ""


class FeePart(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One charge of one movement, minor units, positive where the bearer pays. ``amount_minor`` holds ``tax_minor``.

    ``tax_name`` and ``tax_e6`` are those of the charge, empty where it has no tax; parts that were stored before they were
    told have the amount of their tax alone.
    """

    name: str
    bearer: Bearer
    amount_minor: int
    tax_minor: int = 0
    tax_name: str = ""
    tax_e6: int = 0


class Priced(msgspec.Struct, frozen=True, gc=False):
    """What a movement costs whom, with the parts in the order of the schedule. The sums are exactly those of the parts.

    ``tax_minor`` is the tax within ``merchant_minor``; taxes of other bearers stand on their parts.
    """

    parts: tuple[FeePart, ...] = ()
    merchant_minor: int = 0
    house_minor: int = 0
    agent_minor: int = 0
    tax_minor: int = 0
