"""Economics of a choice: what an approval earns over each channel, what a refusal costs, and who is capped out."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tongbao.decisions.schema.log import Why
from tongbao.routing.models.beliefs import Floats
from tongbao.routing.policy import caps, commitments, costs, volumes
from tongbao.routing.schema.payments import Payment
from tongbao.routing.schema.spec import RoutingSpec
from tongbao.routing.schema.volumes import Convert, Used

BPS = 10_000
GAIN_SHARE_MIN = 1e-4
"""An approval is worth at least this share of its amount, however dear the channel: a sale is what everybody wants."""
UsedOf = Callable[[str], Used]


class Economics(NamedTuple):
    """In minor units of the payment's currency, (1, k) each: gain of an approval, loss of a refusal, cost, price credit."""

    gain: Floats
    loss: Floats
    cost: Floats
    credit: Floats


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
    spec: RoutingSpec,
    payment: Payment,
    channels: Sequence[str],
    used: UsedOf,
    convert: Convert,
    month_left_share: float,
) -> Economics:
    """Return what the payment earns and costs over each channel; a channel without terms costs nothing."""
    amount = payment.amount_minor
    if not (spec.costs or spec.commitments):
        nothing = np.zeros((1, len(channels)))
        gain = np.full((1, len(channels)), amount * max(spec.margin_bps / BPS, GAIN_SHARE_MIN))
        return Economics(gain, nothing + float(spec.retry_cost_minor), nothing, nothing)
    rows = [_terms(spec, payment, name, used, convert, month_left_share) for name in channels]
    cost, declined, credit = (np.array([column]) for column in zip(*rows, strict=True))
    gain = amount * spec.margin_bps / BPS - cost + credit
    return Economics(
        np.maximum(gain, amount * GAIN_SHARE_MIN), declined + float(spec.retry_cost_minor), cost, credit
    )


def _terms(
    spec: RoutingSpec, payment: Payment, name: str, used: UsedOf, convert: Convert, month_left_share: float
) -> tuple[float, float, float]:
    """Return cost of an approval, cost of a decline and credit for a commitment, in minor units."""
    terms = spec.costs.get(name)
    commitment = spec.commitments.get(name)
    if terms is None and commitment is None:
        return 0.0, 0.0, 0.0
    month: Mapping[str, int] = used(name).month_minor
    cost = declined = credit = 0.0
    if terms is not None:
        volume = volumes.total_in(month, terms.currency, convert).minor if terms.tiers else 0
        found = costs.cost(terms, payment, volume, convert)
        cost, declined = float(found.minor), float(found.declined_minor)
    if commitment is not None:
        done = volumes.total_in(month, commitment.currency, convert).minor
        expected = commitments.expected_at_pace(done, month_left_share)
        price = commitments.price(commitment, done, expected, month_left_share)
        credit = payment.amount_minor * price.bps / BPS
    return cost, declined, credit
