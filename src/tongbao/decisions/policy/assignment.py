"""Which arm a unit gets: computed from names alone, so that every process gives the same answer and stores nothing.

A bucket in [0, 1) is the first eight bytes of SHA-256 over a salt and the unit. Each experiment has a random salt of
its own: with checksums (CRC-32) or one bucket for all, two experiments were measured to correlate by -0.38. Buckets of a
layer use the layer's name as salt, so its experiments cut one order of units into slices and exclude each other.
"""

from bisect import bisect_right
from datetime import datetime
from itertools import accumulate
from typing import NamedTuple

from tongbao.decisions.policy.rollout import bucket
from tongbao.decisions.schema.experiments import WEIGHT_BPS_TOTAL, Experiment, Place

MERGED = 0
"""The epoch of a unit that counts under another name."""


class Plan(NamedTuple):
    """An experiment made ready for its fast path.

    ``bounds``: upper ends of the arms but the last, in [0, 1]; ``places``: what the stretches between them mean.
    ``layer_salt`` is None where there is no layer; ``slice_from`` and ``slice_to`` lie in [0, 1], half-open.
    """

    salt: str
    bounds: tuple[float, ...]
    places: tuple[Place, ...]
    layer_salt: str | None
    slice_from: float
    slice_to: float


def plan(experiment: Experiment) -> Plan:
    """Return the plan of an experiment under the weights of its last epoch; arms without weight are left out."""
    epoch = experiment.epochs[-1]
    arms = [arm for arm in experiment.arms if epoch.weights_bps[arm] > 0]
    ends = list(accumulate(epoch.weights_bps[arm] for arm in arms))
    return Plan(
        salt=experiment.salt,
        bounds=tuple(end / WEIGHT_BPS_TOTAL for end in ends[:-1]),
        places=tuple(Place(arm, epoch.number) for arm in arms),
        layer_salt=None if experiment.layer is None else layer_salt(experiment.layer, experiment.book_id),
        slice_from=experiment.layer_from_bps / WEIGHT_BPS_TOTAL,
        slice_to=experiment.layer_to_bps / WEIGHT_BPS_TOTAL,
    )


def place(made: Plan, unit: str) -> Place | None:
    """Return the place of a unit, None where its layer gives it to others. Cost: one or two SHA-256."""
    if made.layer_salt is not None and not made.slice_from <= bucket(made.layer_salt, unit) < made.slice_to:
        return None
    return made.places[bisect_right(made.bounds, bucket(made.salt, unit))]


def layer_salt(layer: str, book_id: int) -> str:
    """Return the salt of a layer's buckets; layers of two books have nothing in common."""
    return f"layer:{layer}:{book_id}"


def overlaps(one: Experiment, other: Experiment) -> bool:
    """Return whether two experiments of one book would share units of a layer."""
    return (
        one.layer is not None
        and one.layer == other.layer
        and one.layer_from_bps < other.layer_to_bps
        and other.layer_from_bps < one.layer_to_bps
    )


def first(one: tuple[Place, datetime], other: tuple[Place, datetime] | None) -> tuple[Place, datetime]:
    """Return where somebody stands who was exposed under two names: the first exposure wins.

    ``other`` is the name that stays: it wins at equal instants, and does not count where it was merged away itself.
    """
    if other is None or other[0].epoch == MERGED:
        return one
    return one if one[1] < other[1] else other
