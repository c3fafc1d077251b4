"""Ranking: from what is known of channels to written probabilities, for any number of payments side by side.

A channel is worth ``p * gain - (1 - p) * loss``: what an approval earns after its cost, less what a refusal costs. The
probabilities are those of Thompson sampling on that value, with a floor for every channel in traffic; half-open channels
get the share of their probes; what is filtered or open gets none. Where every breaker is open, the one that has waited
longest counts as half-open: a payment is never failed by a breaker. All arrays are (n, k).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tongbao.decisions.models.choosing import floored, thompson_propensities
from tongbao.routing.models.board import Sight
from tongbao.routing.models.breakers import BreakerState
from tongbao.routing.models.cells import Floats

Mask = NDArray[np.bool_]
PROBES_SHARE_MAX = 0.3
"""However many channels are half-open, most payments go where they are safe."""
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
    traffic = allowed & (prospect.state == BreakerState.CLOSED)
    probes = allowed & (prospect.state == BreakerState.HALF_OPEN)
    stuck = ~(traffic | probes).any(axis=-1)
    forced = np.zeros_like(allowed)
    if stuck.any():
        longest = np.where(allowed, prospect.waiting_s, -np.inf).argmax(axis=-1)
        forced[stuck, longest[stuck]] = True
        probes = probes | forced
    return Gates(traffic, probes, forced)


def shared(wanted: Floats, prospect: Prospect, gate: Gates, floor: float) -> Floats:
    """Return the probabilities of choosing each channel from those wanted among the channels in traffic.

    ``wanted`` sums to one over ``gate.traffic`` in each row that has traffic. Probes take their share off the top;
    where no channel is in traffic, they share everything.
    """
    in_traffic = gate.traffic.any(axis=-1, keepdims=True)
    probing = np.where(gate.probes, np.maximum(prospect.probe_share, 1e-6), 0.0)
    total = probing.sum(axis=-1, keepdims=True)
    target = np.where(in_traffic, np.minimum(total, PROBES_SHARE_MAX), 1.0)
    probing *= np.divide(target, total, out=np.zeros_like(total), where=total > 0)
    if floor > 0:
        usable = np.where(in_traffic, gate.traffic, True)
        wanted = np.where(in_traffic, floored(np.where(in_traffic, wanted, 1.0), usable, floor), 0.0)
    result = wanted * (1.0 - probing.sum(axis=-1, keepdims=True)) + probing
    return np.asarray(result / result.sum(axis=-1, keepdims=True))


def thompson(value: Worth, gate: Gates) -> Floats:
    """Return the probability that each channel in traffic is worth most, zero where there is no traffic."""
    if gate.traffic.all():
        return thompson_propensities(value.mean, value.sd, gate.traffic)
    usable = np.where(gate.traffic.any(axis=-1, keepdims=True), gate.traffic, True)
    return np.where(gate.traffic, thompson_propensities(value.mean, value.sd, usable), 0.0)


def order(value: Worth, gate: Gates, chosen: int, wanted: Floats) -> list[int]:
    """Return the other channels of one payment, whose arrays are (k,): where it goes on after a no.

    Those in traffic first, among them what was wanted in whole (a rule, a priority), then by value; the half-open last.
    """
    named = np.where(wanted >= 1.0, 1.0, 0.0)
    rank = np.lexsort((-value.mean[0], -named, ~gate.traffic))
    usable = gate.traffic | (gate.probes & ~gate.forced)
    return [int(place) for place in rank if place != chosen and usable[place]]
