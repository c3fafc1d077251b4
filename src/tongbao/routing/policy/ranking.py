"""Ranking: from what is known of channels to written probabilities, for many payments side by side.

A channel is worth ``p * gain - (1 - p) * loss``: what an approval earns after its cost, less what a refusal costs. The
probabilities are those of Thompson sampling on that value, with a floor for every channel in traffic; half-open channels
get the share of their probes; what is filtered or open gets none. Where every breaker is open, the one that has waited
longest counts as half-open: a payment is never failed by a breaker. All arrays are (n, k).
``policy.traffic`` has the same for one payment in plain numbers.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tongbao.decisions.models.choosing import thompson_propensities
from tongbao.routing.models.beliefs import Floats, Ints
from tongbao.routing.models.board import Sight
from tongbao.routing.models.breakers import CLOSED, HALF_OPEN

Mask = NDArray[np.bool_]
PROBE_SHARE_MIN = 1e-6
PROBES_SHARE_MAX = 0.3
"""However many channels are half-open, most payments go where they are safe."""
SPREAD = 0.2
"""The share of a belief's standard deviation that is drawn from; chosen on tuning seeds."""
BOLDNESS = 1.5
"""Standard deviations that count for a channel where a payment goes on after a no: the cheapest attempt to learn from."""
Z90 = 1.6449
"""Half the width of a 90 % interval in standard deviations."""


class Prospect(NamedTuple):
    """What is believed of channels: success mean and deviation, breaker state, share of probes, since when it waits."""

    mean: Floats
    sd: Floats
    state: NDArray[np.int64]
    probe_share: Floats
    waiting_s: Floats


class Worth(NamedTuple):
    """Expected value in minor units with its deviation."""

    mean: Floats
    sd: Floats


class Gates(NamedTuple):
    """Who may be chosen: in traffic, by probes only, and where every breaker is open and one had to be let through."""

    traffic: Mask
    probes: Mask
    forced: Mask


def prospect(sight: Sight) -> Prospect:
    """Return the chance of an approval: an issuer's yes over a channel that is technically well."""
    well, yes = sight.health, sight.acceptance
    sd = np.sqrt((well.mean * yes.sd) ** 2 + (yes.mean * well.sd) ** 2)
    breaker = sight.breaker
    return Prospect(well.mean * yes.mean, sd, breaker.state, breaker.probe_share, breaker.waiting_s)


def worth(prospect: Prospect, gain: Floats, loss: Floats | float) -> Worth:
    """Return the expected value of a payment over each channel; ``gain`` and ``loss`` in minor units."""
    mean = prospect.mean * gain - (1.0 - prospect.mean) * loss
    return Worth(mean, prospect.sd * np.abs(gain + loss))


def gates(prospect: Prospect, allowed: Mask) -> Gates:
    """Return who may be chosen; every row of ``allowed`` has at least one channel."""
    nobody = np.zeros_like(allowed)
    if not prospect.state.any():
        return Gates(allowed, nobody, nobody)
    traffic = allowed & (prospect.state == CLOSED)
    probes = allowed & (prospect.state == HALF_OPEN)
    stuck = ~(traffic | probes).any(axis=-1)
    if not stuck.any():
        return Gates(traffic, probes, nobody)
    longest = np.where(allowed, prospect.waiting_s, -np.inf).argmax(axis=-1)
    nobody[stuck, longest[stuck]] = True
    return Gates(traffic, probes | nobody, nobody)


def shared(wanted: Floats, prospect: Prospect, gate: Gates, floor: float) -> Floats:
    """Return the probabilities of choosing each channel from those wanted among the channels in traffic.

    ``wanted`` sums to one over ``gate.traffic`` in each row that has traffic. Every channel in traffic gets ``floor``;
    probes take their share off the top; where no channel is in traffic, they share everything.
    """
    if floor > 0:
        count = gate.traffic.sum(axis=-1, keepdims=True)
        wanted = wanted * (1.0 - floor * count) + floor * gate.traffic
    if not gate.probes.any():
        return wanted
    in_traffic = gate.traffic.any(axis=-1, keepdims=True)
    probing = np.where(gate.probes, np.maximum(prospect.probe_share, PROBE_SHARE_MIN), 0.0)
    total = probing.sum(axis=-1, keepdims=True)
    target = np.where(in_traffic, np.minimum(total, PROBES_SHARE_MAX), 1.0)
    probing *= np.divide(target, total, out=np.zeros_like(total), where=total > 0)
    result = np.where(in_traffic, wanted, 0.0) * (1.0 - probing.sum(axis=-1, keepdims=True)) + probing
    return np.asarray(result / result.sum(axis=-1, keepdims=True))


def thompson(value: Worth, gate: Gates) -> Floats:
    """Return the probability that each channel in traffic is worth most, zero where there is no traffic.

    The belief that is drawn from is narrower than what is believed, by ``SPREAD``: second attempts do most of the exploring.
    """
    mean, sd = value.mean, SPREAD * value.sd
    if gate.traffic.all():
        return thompson_propensities(mean, sd, gate.traffic)
    usable = np.where(gate.traffic.any(axis=-1, keepdims=True), gate.traffic, True)
    return np.where(gate.traffic, thompson_propensities(mean, sd, usable), 0.0)


def bold(value: Worth) -> Floats:
    """Return what second attempts are ranked by: the value, and a premium for what is not known."""
    return value.mean + BOLDNESS * value.sd


def without(gate: Gates, places: Ints) -> Gates:
    """Return the gates with one channel of each row shut."""
    left = np.ones_like(gate.traffic)
    left[np.arange(len(left)), places] = False
    return Gates(*(each & left for each in gate))
