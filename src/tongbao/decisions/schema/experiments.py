"""Experiments: arms, weights by epoch, planned looks, and what a look says."""

import enum
from datetime import datetime

import msgspec

ARMS_MAX = 20
WEIGHT_BPS_TOTAL = 10_000
LOOKS_MAX = 12


class ExperimentState(enum.StrEnum):
    """The life of an experiment."""

    DRAFT = "draft"
    RUNNING = "running"
    STOPPED = "stopped"  # by hand, or because of harm
    CONCLUDED = "concluded"


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured: a share (``binary``) or a mean within ``value_min`` to ``value_max``."""

    outcome: str
    higher_is_better: bool = True
    value_min: float = 0.0
    value_max: float = 1.0


class Epoch(msgspec.Struct, frozen=True, kw_only=True):
    """Weights of the arms in 1/10,000 since an instant; analysis goes by epoch (Simpson's paradox)."""

    number: int
    started_at: datetime
    weights_bps: dict[str, int]


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment of one book (0: the house). The first arm is control.

    ``layer``: experiments of one layer share its traffic and exclude each other; None runs on everybody. ``layer_from_bps``
    and ``layer_to_bps``: its slice of the layer. ``unit``: what is assigned (``customer``, ``device``, ``merchant``).
    """

    book_id: int
    name: str
    version: int
    state: ExperimentState
    unit: str
    salt: str
    layer: str | None = None
    layer_from_bps: int = 0
    layer_to_bps: int = WEIGHT_BPS_TOTAL
    arms: tuple[str, ...]
    epochs: tuple[Epoch, ...]
    metric: Metric
    guardrails: tuple[Metric, ...] = ()
    looks: int = 4
    horizon_days: int = 28
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    created_by: str
    note: str = ""


class ReadoutState(enum.StrEnum):
    """What a look may conclude."""

    BLOCKED = "blocked"  # the sample ratio is broken: nothing may be read
    TOO_EARLY = "too_early"
    RUNNING = "running"
    BETTER = "better"
    WORSE = "worse"
    HARMFUL = "harmful"  # the confidence sequence excludes no harm: stop now
    NO_DIFFERENCE = "no_difference"  # the last look is over


class ArmReading(msgspec.Struct, frozen=True, kw_only=True):
    """One arm: units, mean, difference to control with the interval of this look and the always valid one."""

    arm: str
    units: int
    mean: float
    difference: float = 0.0
    low: float = 0.0
    high: float = 0.0
    always_low: float = 0.0
    always_high: float = 0.0
    is_significant: bool = False
    state: ReadoutState


class Readout(msgspec.Struct, frozen=True, kw_only=True):
    """What one look says. ``sample_ratio_p``: chance of so skewed a split under the weights; below 0.0005 blocks."""

    experiment: str
    at: datetime
    look: int
    looks: int
    sample_ratio_p: float
    state: ReadoutState
    arms: tuple[ArmReading, ...]
