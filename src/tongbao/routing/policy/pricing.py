"""Pricing: what a channel takes, for the hot path: the terms of a kind of payment are worked out once and remembered.

Every cost is linear in the amount between its bounds, and what the line is depends on a few facts of a payment. ``costs``
says what they are; the totals here are its totals (a property test holds them against each other).
"""

from typing import NamedTuple

from tongbao.routing.policy import costs
from tongbao.routing.policy.volumes import total_in
from tongbao.routing.schema.payments import Payment
from tongbao.routing.schema.spec import Cost, RoutingSpec
from tongbao.routing.schema.volumes import Convert, Used

KINDS_MAX = 20_000
"""Kinds of payments whose terms are remembered; beyond it everything is forgotten and worked out anew."""


class Taken(NamedTuple):
    """What an approval and a decline cost, in minor units of the payment's currency."""

    approved: int
    declined: int


class Pricing:
    """The terms of one specification. Remembers; equal questions have equal answers."""

    def __init__(self, spec: RoutingSpec) -> None:
        self._costs = spec.costs
        self._lines: dict[tuple[object, ...], costs.Line] = {}

    def taken(self, channel: str, payment: Payment, used: Used, convert: Convert) -> Taken:
        """Return what ``channel`` takes for ``payment``; a channel without terms takes nothing."""
        terms = self._costs.get(channel)
        if terms is None:
            return Taken(0, 0)
        volume = total_in(used.month_minor, terms.currency, convert).minor if terms.tiers else 0
        if payment.currency != terms.currency:
            # Its fixed parts move with the rates of the day.
            found = costs.cost(terms, payment, volume, convert)
            return Taken(found.minor, found.declined_minor)
        line = self._line(channel, terms, payment, volume)
        return Taken(line.cost(payment.amount_minor), line.declined_minor)

    def _line(self, channel: str, terms: Cost, payment: Payment, volume: int) -> costs.Line:
        tier = sum(1 for each in terms.tiers if each.from_volume_minor <= volume)
        key = (
            channel,
            tier,
            payment.brand,
            payment.funding,
            payment.card_country,
            payment.merchant_country,
            payment.mcc,
        )
        line = self._lines.get(key)
        if line is None:
            if len(self._lines) >= KINDS_MAX:
                self._lines.clear()
            line = self._lines[key] = costs.line(terms, payment, volume)
        return line
