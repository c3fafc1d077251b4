"""How experiments look under ``/v2``; ``decisions.schema.experiments`` tells what each figure is."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from pydantic import Field, StrictInt

from tongbao.decisions.schema import experiments as schema
from tongbao.decisions.schema.experiments import (
    ARMS_MAX,
    GUARDRAILS_MAX,
    HORIZON_DAYS_MAX,
    LOOKS_MAX,
    MEASUREMENTS_MAX,
    WEIGHT_BPS_TOTAL,
)
from tongbao.decisions.service.policy_reading import NUMBER_MAX
from tongbao.web.api.policy_models import Finite, Note
from tongbao.web.api.shapes import Body, Instant, Model, Text

Bps = Annotated[StrictInt, Field(ge=0, le=WEIGHT_BPS_TOTAL, description="In 1/10,000.")]
Weights = Annotated[dict[Text, Bps], Field(max_length=ARMS_MAX, description="By arm; they add up to 10,000.")]
Seen = Annotated[
    StrictInt | None,
    Field(ge=1, le=NUMBER_MAX, description="The version that was seen; another one refuses."),
]


class MetricBody(Body):
    """What is measured of a unit, and from where to where it may range."""

    outcome: Text
    higher_is_better: bool = Field(default=True, strict=True)
    value_min: Finite = 0.0
    value_max: Finite = 1.0
    covariate: Text | None = None
    per: Text | None = None


class Draft(Body):
    """An experiment as somebody wants it; the first arm is control."""

    name: Text
    unit: Text = Field(description="What is assigned: `customer`, `device`, …")
    layer: Text | None = None
    layer_from_bps: Bps = 0
    layer_to_bps: Bps = WEIGHT_BPS_TOTAL
    arms: list[Text] = Field(max_length=ARMS_MAX)
    weights_bps: Weights
    metric: MetricBody
    guardrails: list[MetricBody] = Field(default=[], max_length=GUARDRAILS_MAX)
    looks: StrictInt = Field(default=4, ge=1, le=LOOKS_MAX)
    horizon_days: StrictInt = Field(default=28, ge=1, le=HORIZON_DAYS_MAX)
    effect_min: Finite | None = None
    note: Note = ""

    def draft(self) -> schema.ExperimentDraft:
        """Return the draft as the service takes it."""
        return msgspec.convert(self.model_dump(), schema.ExperimentDraft)


class StartOrder(Body):
    """Which version is started."""

    version: Seen = None


class WeightsOrder(Body):
    """Other weights, for units that come from now on."""

    weights_bps: Weights
    version: Seen = None


class EndOrder(Body):
    """Why an experiment ends."""

    note: Note = ""
    version: Seen = None


class UnitBody(Body):
    """Whose arm is asked for: the merchant's own name of a customer or device, no personal data."""

    unit: Text


class MeasurementBody(Body):
    """The value of one outcome of one unit as it stood at an instant; now where it is left out."""

    unit: Text
    outcome: Text
    value: Finite
    measured_at: Instant | None = None


class Measurements(Body):
    """What was measured; the latest value of each unit and outcome stands, in whatever order they arrive."""

    measurements: list[MeasurementBody] = Field(min_length=1, max_length=MEASUREMENTS_MAX)

    def values(self, now: datetime) -> list[schema.Measurement]:
        """Return the values as the service takes them."""
        return [
            schema.Measurement(
                unit=each.unit,
                outcome=each.outcome,
                value=float(each.value),
                measured_at=each.measured_at or now,
            )
            for each in self.measurements
        ]


class Metric(Model):
    """What is measured."""

    outcome: str
    higher_is_better: bool
    value_min: float
    value_max: float
    covariate: str | None
    per: str | None


class Epoch(Model):
    """Weights since an instant."""

    number: int
    started_at: datetime
    weights_bps: dict[str, int]


class LookArm(Model):
    """What a planned look said of one arm against control."""

    arm: str
    difference: float | None
    low: float | None
    high: float | None
    is_significant: bool
    is_better: bool


class Look(Model):
    """A planned look that was taken."""

    number: int
    at: datetime
    taken_at: datetime
    arms: list[LookArm]


class Experiment(Model):
    """An experiment; its salt is told to nobody."""

    object: Literal["experiment"] = "experiment"
    name: str
    version: int
    state: str
    unit: str
    layer: str | None
    layer_from_bps: int
    layer_to_bps: int
    arms: list[str]
    epochs: list[Epoch]
    metric: Metric
    guardrails: list[Metric]
    looks: int
    horizon_days: int
    effect_min: float | None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    created_by: str
    note: str
    has_merges: bool
    taken: list[Look]

    @classmethod
    def of(cls, experiment: schema.Experiment) -> "Experiment":
        """Return an experiment as it is sent."""
        return cls.model_validate(msgspec.to_builtins(experiment))


class Experiments(Model):
    """The experiments of a merchant, the newest first."""

    object: Literal["list"] = "list"
    data: list[Experiment]


class ArmReading(Model):
    """One arm now."""

    arm: str
    units: int
    mean: float | None
    difference: float | None
    low: float | None
    high: float | None
    always_low: float | None
    always_high: float | None
    is_significant: bool
    state: str


class GuardrailReading(Model):
    """One guardrail now."""

    outcome: str
    arms: list[ArmReading]
    harmful: list[str]


class Readout(Model):
    """What may be concluded now."""

    object: Literal["experiment_readout"] = "experiment_readout"
    experiment: str
    at: datetime
    look: int
    looks: int
    sample_ratio_p: float
    state: str
    arms: list[ArmReading]
    guardrails: list[GuardrailReading]
    units_missing: int | None

    @classmethod
    def of(cls, readout: schema.Readout) -> "Readout":
        """Return a read-out as it is sent."""
        return cls.model_validate(msgspec.to_builtins(readout))


class Placed(Model):
    """Which arm a unit has; null where it is not in the experiment, or the experiment does not run."""

    object: Literal["experiment_placement"] = "experiment_placement"
    experiment: str
    unit: str
    arm: str | None
    epoch: int | None


class Kept(Model):
    """How many values were taken in."""

    object: Literal["experiment_measurements"] = "experiment_measurements"
    experiment: str
    count: int
