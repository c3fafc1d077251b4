"""What the health service answers: approval rates, their course, and the doctor's diagnosis of a change.

Two rates are told apart everywhere. ``approval`` is approved against everything that speaks of issuer or channel
(approved, issuer_declined, technical, unresolved): the judged attempts. ``completion`` is approved against all
attempts, those included that payer or merchant spoiled (neutral). Changes are in shares: 0.01 is one point.
"""

import enum
from datetime import datetime, timedelta

import msgspec

from tongbao.routing.schema.notices import Notice
from tongbao.routing.schema.payments import Mark

ROWS_MAX = 5_000
"""Of one answer about rates."""
CELLS_MAX = 50_000
"""Rows of a table that the doctor takes."""
ISSUERS_MAX = 100
"""Told apart by the doctor; the others are taken together as ``OTHER_ISSUERS``."""
OTHER_ISSUERS = "*"
NOTICES_PAGE_MAX = 100
POINTS_MAX = 3_000
"""Points of one series."""
RANGE_DAYS_MAX = 400


class Dimension(enum.StrEnum):
    """By what attempts are told apart."""

    CHANNEL = "channel"
    METHOD = "method"
    ISSUER = "issuer"
    CURRENCY = "currency"
    MARK = "mark"
    CODE = "code"


SEGMENT_DIMENSIONS = (Dimension.CHANNEL, Dimension.METHOD, Dimension.ISSUER, Dimension.CURRENCY)
"""What is known of an attempt before it is made."""


class Step(enum.StrEnum):
    """How far the points of a series are apart; days are of UTC."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"

    @property
    def length(self) -> timedelta:
        """Return the time between two points."""
        return {
            Step.MINUTE: timedelta(minutes=1),
            Step.HOUR: timedelta(hours=1),
            Step.DAY: timedelta(days=1),
        }[self]


class Period(msgspec.Struct, frozen=True):
    """A half-open interval of time, in UTC; whole minutes are counted."""

    start: datetime
    end: datetime

    @property
    def days(self) -> float:
        """Return the length in days."""
        return (self.end - self.start).total_seconds() / 86_400


class HealthScope(msgspec.Struct, frozen=True, kw_only=True):
    """Whose attempts: of one book, or of all where ``book_id`` is None; live or test."""

    live: bool
    book_id: int | None = None


class Cell(msgspec.Struct, frozen=True):
    """Attempts that share everything; what was not asked for is empty. Sums of minor units and milliseconds."""

    channel: str
    method: str
    issuer: str
    currency: str
    mark: str
    code: str
    count: int
    amount_minor: int = 0
    took_ms: int = 0
    at: datetime | None = None


class Estimate(msgspec.Struct, frozen=True):
    """A number with its interval; of 95 % unless told otherwise."""

    value: float
    low: float
    high: float


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts by mark."""

    approved: int = 0
    issuer_declined: int = 0
    technical: int = 0
    unresolved: int = 0
    neutral: int = 0

    @property
    def judged(self) -> int:
        """Return the attempts that speak of issuer or channel."""
        return self.approved + self.issuer_declined + self.technical + self.unresolved

    @property
    def total(self) -> int:
        """Return all attempts."""
        return self.judged + self.neutral


class RateRow(msgspec.Struct, frozen=True, kw_only=True):
    """Rates of what ``segment`` names. ``approval`` and ``completion`` are None without attempts to judge.

    Intervals are Wilson's. ``took_ms``: mean over all attempts. ``at``: begin of a point of a series.
    """

    segment: dict[Dimension, str]
    counts: Counts
    approval: Estimate | None
    completion: Estimate | None
    took_ms: float
    at: datetime | None = None


class CodeRow(msgspec.Struct, frozen=True, kw_only=True):
    """How often a code ended attempts; ``share``: of all attempts of the segment, with Wilson's interval."""

    segment: dict[Dimension, str]
    code: str
    mark: str
    count: int
    share: Estimate


class NoticePage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the notices, newest first, and whether older ones follow."""

    items: list[Notice]
    has_more: bool


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """What a part of the traffic added to the change of the approval rate.

    ``mix``: by its share of the traffic; ``rate``: by its own rate, with interval. Over the values of one
    dimension, or of one pair of dimensions, mix and rate sum to the change. ``significant``: of the rate effect,
    with a false discovery rate of 5 % over all effects of the diagnosis.
    """

    segment: dict[Dimension, str]
    mix: float
    rate: Estimate
    p_value: float
    significant: bool


class CodeEffect(msgspec.Struct, frozen=True, kw_only=True):
    """What a code added to the change of the approval rate; of neutral codes: to that of the completion rate."""

    code: str
    mark: Mark
    rate: Estimate
    p_value: float
    significant: bool


class Fault(enum.StrEnum):
    """Who is to blame for a cause, in the order in which an attempt meets them; the mix is nobody's fault."""

    TECHNICAL = "technical"
    CONFIGURATION = "configuration"
    AUTHENTICATION = "authentication"
    FUNDS = "funds"
    PAYER = "payer"
    ISSUER = "issuer"
    MIX = "mix"


class ActionKind(enum.StrEnum):
    """What may be proposed; nothing else is."""

    MOVE_TRAFFIC = "move_traffic"
    TAKE_OUT = "take_out"
    ASK_ISSUER = "ask_issuer"
    ASK_ACQUIRER = "ask_acquirer"
    STEP_UP = "step_up"
    RETRY_LATER = "retry_later"
    FIX_CONFIGURATION = "fix_configuration"


class Basis(enum.StrEnum):
    """What a gain is reckoned from."""

    COMPARISON = "comparison"  # the rates of other channels in the same segments, now
    BASELINE = "baseline"  # what was lost against the baseline period: a gain if it is mended altogether
    NONE = "none"  # nothing to compare with: no number is given


class Gain(msgspec.Struct, frozen=True, kw_only=True):
    """Payments and money a day that an action may bring, with intervals of 90 %.

    ``coverage``: the share of the segment's attempts that had something to compare with.
    """

    basis: Basis
    payments_a_day: Estimate | None = None
    minor_a_day: dict[str, Estimate] = {}
    coverage: float = 0.0


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal for a segment; ``to_channel`` where traffic is to go elsewhere."""

    kind: ActionKind
    segment: dict[Dimension, str]
    gain: Gain
    to_channel: str = ""


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """One explanation of lost payments.

    ``segment``: where, empty for everywhere. ``lost_a_day``: approvals lost against the baseline. ``points``: the
    same as a share of all attempts, that is, of the completion rate. ``share``: of the whole fall of the completion
    rate; None where that did not fall significantly. ``codes``: those that rose there, most first. ``before`` and
    ``now``: how often it happened to attempts that got that far.
    """

    fault: Fault
    segment: dict[Dimension, str]
    lost_a_day: Estimate
    points: Estimate
    share: Estimate | None
    p_value: float
    codes: tuple[str, ...] = ()
    before: float = 0.0
    now: float = 0.0
    actions: tuple[Action, ...] = ()


class Verdict(enum.StrEnum):
    """What became of the approval rate; ``steady`` where the change is not significant."""

    FELL = "fell"
    ROSE = "rose"
    STEADY = "steady"
    TOO_FEW = "too_few"  # attempts in one of the periods to say anything


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """The doctor's answer. ``change`` = ``mix`` + ``rate``, of the approval rate; causes by size, largest first."""

    verdict: Verdict
    baseline: Counts
    current: Counts
    change: Estimate
    p_value: float
    mix: Estimate
    rate: Estimate
    completion_change: Estimate
    effects: tuple[Effect, ...] = ()
    codes: tuple[CodeEffect, ...] = ()
    causes: tuple[Cause, ...] = ()
