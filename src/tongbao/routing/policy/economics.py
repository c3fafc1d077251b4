"""Economics of a choice: what an approval earns over each channel, what a refusal costs, and who is capped out."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tongbao.decisions.schema.log import Why
from tongbao.routing.policy import caps, commitments, volumes
from tongbao.routing.policy.pricing import Pricing
from tongbao.routing.schema.payments import Payment
from tongbao.routing.schema.spec import RoutingSpec
from tongbao.routing.schema.volumes import Convert, Used

BPS = 10_000
GAIN_SHARE_MIN = 1e-4
"""An approval is worth at least this share of its amount, however dear the channel: a sale is what everybody wants."""
UsedOf = Callable[[str], Used]


class Terms(NamedTuple):
    """What costs and caps depend on at this moment."""

    used: UsedOf
    convert: Convert
    month_left_share: float


class Economics(NamedTuple):
    """In minor units of the payment's currency, by place: gain of an approval, loss of a refusal, cost, price credit."""

    gain: list[float]
    loss: list[float]
    cost: list[float]
    credit: list[float]


def capped(
    spec: RoutingSpec, payment: Payment, channels: Sequence[str], used: UsedOf, convert: Convert
) -> dict[str, Why]:
    """Return the channels that a payment would carry beyond one of their caps, and which."""
    if not spec.caps:
        return {}
    found = {
        name: caps.passed(spec.caps[name], payment, used(name), convert)
        for name in channels
        if name in spec.caps
    }
    return {name: why for name, why in found.items() if why is not None}


def economics(
    spec: RoutingSpec, pricing: Pricing, payment: Payment, channels: Sequence[str], terms: Terms
) -> Economics:
    """Return what the payment earns and costs over each channel; one without terms costs nothing."""
    amount = payment.amount_minor
    earned, least = amount * spec.margin_bps / BPS, amount * GAIN_SHARE_MIN
    if not (spec.costs or spec.commitments):
        nothing = [0.0] * len(channels)
        gain = [max(earned, least)] * len(channels)
        return Economics(gain, [float(spec.retry_cost_minor)] * len(channels), nothing, nothing)
    rows = [_row(spec, pricing, payment, name, terms) for name in channels]
    return Economics(
        [max(earned - cost + credit, least) for cost, _, credit in rows],
        [declined + spec.retry_cost_minor for _, declined, _ in rows],
        [cost for cost, _, _ in rows],
        [credit for _, _, credit in rows],
    )


def _row(
    spec: RoutingSpec, pricing: Pricing, payment: Payment, name: str, terms: Terms
) -> tuple[float, float, float]:
    """Return cost of an approval, cost of a decline and credit for a commitment, in minor units."""
    used = terms.used(name)
    taken = pricing.taken(name, payment, used, terms.convert)
    commitment = spec.commitments.get(name)
    if commitment is None:
        return float(taken.approved), float(taken.declined), 0.0
    done = volumes.total_in(used.month_minor, commitment.currency, terms.convert).minor
    expected = commitments.expected_at_pace(done, terms.month_left_share)
    price = commitments.price(commitment, done, expected, terms.month_left_share)
    return float(taken.approved), float(taken.declined), payment.amount_minor * price.bps / BPS
