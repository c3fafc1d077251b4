"""What is told of a model in use: intervals, drift, alarms, comparisons with a challenger, and the facts of its card."""

import enum
from datetime import date, datetime

import msgspec

FEATURES_MAX = 200
GROUPS_MAX = 50


class Interval(msgspec.Struct, frozen=True):
    """An estimate with the bounds of its interval of 95 %."""

    value: float
    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Return whether ``value`` lies within the bounds."""
        return self.low <= value <= self.high


class CalibrationFit(msgspec.Struct, frozen=True, kw_only=True):
    """How log-odds of the outcome follow those of the score: ``intercept`` + ``slope`` * log-odds, 0 and 1 where it is right.

    ``slope`` below 1: scores are too extreme. ``level`` is the intercept with the slope held at 1, in log-odds: above 0,
    more is fraud than was said.
    """

    slope: Interval
    intercept: Interval
    level: Interval
    count: int
    fraud_count: int


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """How far a column moved from its reference: the population stability index, 0 where nothing moved.

    ``noise`` is what chance alone reaches once in a thousand windows of ``count`` independent payments.
    """

    name: str
    psi: float
    noise: float
    count: int


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """The mean of a stream in [0, 1] changed: ``before``, ``after``, and how many values the new mean is of."""

    name: str
    before: float
    after: float
    count: int


class AlertCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Payments that were not let pass unseen, of all; in the window and in the reference."""

    alerts: int
    payments: int
    alerts_before: int
    payments_before: int


class DriftFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of a model in a window that ends at ``at``; None and empty where nothing can be said."""

    model: str
    at: datetime
    score: Shift | None = None
    features: tuple[Shift, ...] = ()
    alerts: AlertCounts | None = None
    calibration: CalibrationFit | None = None
    changes: tuple[Change, ...] = ()


class AlarmKind(enum.StrEnum):
    """What is wrong with a model."""

    SCORE_DRIFT = "score_drift"
    FEATURE_DRIFT = "feature_drift"
    ALERT_RATE = "alert_rate"
    CALIBRATION_SLOPE = "calibration_slope"
    CALIBRATION_LEVEL = "calibration_level"
    MEAN_CHANGED = "mean_changed"


class Severity(enum.StrEnum):
    """What an alarm asks for: to be known, to be looked at, to be acted on at once."""

    NOTICE = "notice"
    WARNING = "warning"
    CRITICAL = "critical"


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm: ``value`` left the range from ``low`` to ``high``; ``subject`` is a feature or stream, or empty.

    ``low`` and ``high`` are None where there is no such bound, ``before`` where it is not known what the value was.
    """

    kind: AlarmKind
    severity: Severity
    value: float
    low: float | None = None
    high: float | None = None
    subject: str = ""
    before: float | None = None
    count: int = 0


class Standing(enum.StrEnum):
    """What becomes of a model in use, by its alarms."""

    KEEP = "keep"
    ROLL_BACK = "roll_back"
    RETRAIN = "retrain"  # the model before it is alarmed as well, or there is none: going back helps nobody


class ComparisonVerdict(enum.StrEnum):
    """What a comparison of two models says."""

    PROMOTE = "promote"
    KEEP = "keep"
    TOO_FEW = "too_few"


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Champion against challenger on the payments whose labels were due at ``decided_at``.

    Costs are hundredths per payment. ``saving``: champion's minus challenger's. ``cheaper_prob``: share of resamples in
    which the challenger costs less. ``moved_share``: payments that the two give different tiers.
    """

    verdict: ComparisonVerdict
    decided_at: datetime
    count: int
    fraud_count: int
    fraud_count_min: int
    champion_cost: float
    challenger_cost: float
    saving: Interval
    cheaper_prob: float
    prob_min: float
    moved_share: float
    resamples: int


class FeatureImportance(msgspec.Struct, frozen=True, kw_only=True):
    """One feature: its ``group``, and its share in what the model gains by all of them, in [0, 1]."""

    name: str
    group: str
    share: float


class Threshold(msgspec.Struct, frozen=True, kw_only=True):
    """From which score on a payment of ``value`` hundredths gets ``tier``."""

    tier: str
    value: int
    score: float


class GroupCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Good payments of one declared group, and those of them that were not let pass unseen."""

    group: str
    good_count: int
    false_count: int


class ModelMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """How good a model is on payments that it was not trained on. ``cost``: hundredths per payment; None: not measured."""

    ap: float
    auc: float
    count: int
    fraud_count: int
    calibration: CalibrationFit | None = None
    cost: float | None = None
    baseline_ap: float | None = None
    baseline_cost: float | None = None


class ModelVersions(msgspec.Struct, frozen=True, kw_only=True):
    """What a model was made with: library names with versions, and the versions of features and policy."""

    features: str
    policy: str
    libraries: dict[str, str] = {}


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a model card tells.

    Training payments are from ``trained_from`` to before ``trained_to``; labels are those known at ``labels_known_at``.
    ``label_delay_s``: how long labels take. ``limits_zh`` and ``limits_en`` add known limits to those every model has.
    """

    digest: str
    kind: str
    trained_from: date
    trained_to: date
    labels_known_at: datetime
    label_delay_s: int
    train_count: int
    train_fraud_count: int
    seed: int
    metrics: ModelMetrics
    versions: ModelVersions
    features: tuple[FeatureImportance, ...] = ()
    thresholds: tuple[Threshold, ...] = ()
    groups: tuple[GroupCounts, ...] = ()
    drift: DriftFacts | None = None
    limits_zh: tuple[str, ...] = ()
    limits_en: tuple[str, ...] = ()
