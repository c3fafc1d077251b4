"""Experiments: arms, weights by epoch, planned looks, and what a look says."""

import enum
from datetime import datetime

import msgspec

ARMS_MAX = 20
GUARDRAILS_MAX = 10
EXPERIMENTS_MAX = 200
MEASUREMENTS_MAX = 1_000
EPOCHS_MAX = 200
WEIGHT_BPS_TOTAL = 10_000
LOOKS_MAX = 12
HORIZON_DAYS_MAX = 365


class ExperimentState(enum.StrEnum):
    """The life of an experiment."""

    DRAFT = "draft"
    RUNNING = "running"
    STOPPED = "stopped"  # by hand, or because of harm
    CONCLUDED = "concluded"


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured: a share (0 to 1) or a mean, of all exposed units.

    A unit without a value counts as 0, and values outside of ``value_min`` to ``value_max`` as the nearer of the two.
    ``covariate``: the outcome that holds the same of the unit from before the experiment; it takes noise away (CUPED).
    ``per``: the outcome to divide by, for a ratio of two sums (spend per order, where a unit has many orders). A metric has
    one of the two at most.
    """

    outcome: str
    higher_is_better: bool = True
    value_min: float = 0.0
    value_max: float = 1.0
    covariate: str | None = None
    per: str | None = None

    @property
    def second(self) -> str | None:
        """Return the outcome that is read beside the metric's own, if there is one."""
        return self.covariate or self.per


class Epoch(msgspec.Struct, frozen=True, kw_only=True):
    """Weights of the arms in 1/10,000 since an instant; analysis goes by epoch (Simpson's paradox)."""

    number: int
    started_at: datetime
    weights_bps: dict[str, int]


class LookArm(msgspec.Struct, frozen=True, kw_only=True):
    """What a planned look said of one arm: its difference to control (arm minus control) with the interval of the look.

    None where one of the two arms was too small. ``is_better`` speaks only where the difference is significant.
    """

    arm: str
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    is_significant: bool = False
    is_better: bool = False


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """A planned look that was taken. It is kept and never taken again, however often somebody reads.

    ``at``: units exposed before this instant were looked at; ``taken_at``: when that was done.
    """

    number: int
    at: datetime
    taken_at: datetime
    arms: tuple[LookArm, ...]


class ExperimentDraft(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody asks for; the fields are those of ``Experiment``."""

    name: str
    unit: str
    layer: str | None = None
    layer_from_bps: int = 0
    layer_to_bps: int = WEIGHT_BPS_TOTAL
    arms: tuple[str, ...]
    weights_bps: dict[str, int]
    metric: Metric
    guardrails: tuple[Metric, ...] = ()
    looks: int = 4
    horizon_days: int = 28
    effect_min: float | None = None
    note: str = ""


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment of one book (0: the house). The first arm is control.

    ``layer``: experiments of one layer share its traffic and exclude each other; None runs on everybody. ``layer_from_bps``
    and ``layer_to_bps``: its slice of the layer. ``unit``: what is assigned (``customer``, ``device``, ``merchant``).
    ``effect_min``: the smallest difference worth finding, in the unit of the metric. ``has_merges``: units were merged,
    so what a unit was exposed to no longer follows from its name alone.
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
    effect_min: float | None = None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    created_by: str
    note: str = ""
    has_merges: bool = False
    taken: tuple[Look, ...] = ()


class Place(msgspec.Struct, frozen=True):
    """Where a unit stands in an experiment: its arm, and the epoch whose weights chose it.

    Epoch 0 marks a unit that was merged into another: it keeps the arm and is no longer counted.
    """

    arm: str
    epoch: int


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """The value of one outcome of one unit as it stood at an instant."""

    unit: str
    outcome: str
    value: float
    measured_at: datetime


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """The units of one arm that were exposed in one epoch: moments of the metric and of its second outcome.

    Variances and the covariance are those of single units, with n - 1 below; 0 of one unit.
    """

    arm: str
    epoch: int
    units: int
    mean: float
    variance: float
    second_mean: float = 0.0
    second_variance: float = 0.0
    covariance: float = 0.0


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
    """One arm: units and mean now, the difference to control of the last look taken, and the always valid interval now.

    ``mean`` weighs epochs by their units and is for display; differences compare within epochs. None: nothing may be
    or can be said; for control there are no differences.
    """

    arm: str
    units: int
    mean: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    always_low: float | None = None
    always_high: float | None = None
    is_significant: bool = False
    state: ReadoutState


class GuardrailReading(msgspec.Struct, frozen=True, kw_only=True):
    """One guardrail: its arms with always valid intervals; ``harmful`` names the arms that are surely worse."""

    outcome: str
    arms: tuple[ArmReading, ...]
    harmful: tuple[str, ...] = ()


class Readout(msgspec.Struct, frozen=True, kw_only=True):
    """What one look says. ``sample_ratio_p``: chance of so skewed a split under the weights; below 0.0005 blocks.

    ``look``: the last one taken, 0 before the first. ``units_missing``: units an arm still needs to find
    ``effect_min`` with 80 % power; None where nobody named one, or where nothing is known of control yet.
    """

    experiment: str
    at: datetime
    look: int
    looks: int
    sample_ratio_p: float
    state: ReadoutState
    arms: tuple[ArmReading, ...]
    guardrails: tuple[GuardrailReading, ...] = ()
    units_missing: int | None = None
