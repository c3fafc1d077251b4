"""How looks at models in use, and whom risk control bothers, are sent under ``/v2/risk``."""

from datetime import datetime
from typing import Any, Literal

import msgspec
from pydantic import Field

from tongbao.risk.schema.fairness import Group as GroupFound
from tongbao.risk.schema.fairness import SegmentShares
from tongbao.risk.schema.models import Interval as IntervalFound
from tongbao.risk.schema.models import Shift as ShiftFound
from tongbao.risk.schema.watches import KeptAlarm
from tongbao.risk.schema.watches import Watch as WatchFound
from tongbao.risk.service import wording
from tongbao.risk.service.fairness import Fairness as FairnessFound
from tongbao.risk.service.fairness import group_words, segment_words
from tongbao.web.api.decision_models import Words
from tongbao.web.api.shapes import Model


class Interval(Model):
    """An estimate with the bounds of its interval of 95 %."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, found: IntervalFound | None) -> "Interval | None":
        """Return an interval as it is sent."""
        return None if found is None else cls(value=found.value, low=found.low, high=found.high)


class AlarmTold(Model):
    """An alarm; ``subject`` is a feature or a stream, or empty."""

    kind: str
    severity: str
    subject: str
    value: float
    since: datetime
    last_at: datetime
    words: Words

    @classmethod
    def of(cls, found: KeptAlarm) -> "AlarmTold":
        """Return an alarm as it is sent."""
        alarm = found.alarm
        return cls(
            kind=alarm.kind.value,
            severity=alarm.severity.value,
            subject=alarm.subject,
            value=alarm.value,
            since=found.since,
            last_at=found.last_at,
            words=Words.of(lambda language: wording.alarm_text(alarm, language)),
        )


class Shift(Model):
    """How far a feature moved from what the model learned on: its stability index, and what chance alone reaches."""

    name: str
    psi: float
    noise: float
    count: int
    words: Words

    @classmethod
    def of(cls, found: ShiftFound) -> "Shift":
        """Return a shift as it is sent."""
        return cls(
            name=found.name,
            psi=found.psi,
            noise=found.noise,
            count=found.count,
            words=Words.of(lambda language: wording.feature_words(found.name, language)),
        )


class Watch(Model):
    """The latest look at a model. ``looked_at`` null: nobody has looked yet."""

    object: Literal["risk_model_watch"] = "risk_model_watch"
    model: str
    looked_at: datetime | None = None
    standing: str | None = Field(default=None, description="`keep`, `roll_back`, `retrain`.")
    rolled_back_to: int | None = None
    score_psi: float | None = None
    calibration: dict[str, Any] | None = None
    features: list[Shift] = Field(
        default=[], description="Of the features that the model leans on, the farthest first."
    )
    feature_count: int = Field(default=0, description="0: kept without what its features looked like.")
    alarms: list[AlarmTold] = Field(default=[], description="Alarms that stand, the worst first.")
    past: list[AlarmTold] = Field(default=[], description="Alarms that went away, the newest first.")

    @classmethod
    def of(cls, digest: str, found: WatchFound | None) -> "Watch":
        """Return a look as it is sent."""
        if found is None:
            return cls(model=digest)
        facts = found.facts
        fit = facts.calibration
        return cls(
            model=digest,
            looked_at=facts.at,
            standing=found.standing.value,
            rolled_back_to=found.rolled_back_to,
            score_psi=None if facts.score is None else facts.score.psi,
            calibration=None if fit is None else msgspec.to_builtins(fit),
            features=[Shift.of(each) for each in sorted(facts.features, key=lambda each: -each.psi)],
            feature_count=found.feature_count,
            alarms=[AlarmTold.of(each) for each in found.alarms],
            past=[AlarmTold.of(each) for each in found.past],
        )


class Group(Model):
    """A group of payments. Shares are null where it is too small to be told of, or too few of it are known to be good."""

    group: str
    words: Words
    count: int
    step_up: Interval | None
    review: Interval | None
    decline: Interval | None
    good_count: int
    false_count: int
    false_positive: Interval | None
    is_marked: bool = Field(description="Bothered more than the least bothered group, beyond chance.")


class Segment(Model):
    """Groups of one kind; ``ratio``: lowest false positive rate over the highest, null with fewer than two to compare."""

    segment: str
    words: Words
    ratio: float | None
    groups: list[Group]


class Fairness(Model):
    """Whom risk control bothered, by groups of the latest payments."""

    object: Literal["risk_fairness"] = "risk_fairness"
    from_at: datetime
    to_at: datetime
    payment_count: int
    good_count: int = Field(
        description="Known to have been good: said so, or approved and without fraud in time."
    )
    is_partial: bool
    segments: list[Segment]

    @classmethod
    def of(cls, found: FairnessFound) -> "Fairness":
        """Return it as it is sent."""
        return cls(
            from_at=found.from_at,
            to_at=found.to_at,
            payment_count=found.payment_count,
            good_count=found.good_count,
            is_partial=found.is_partial,
            segments=[_segment(each) for each in found.segments],
        )


def _segment(found: SegmentShares) -> Segment:
    return Segment(
        segment=found.segment.value,
        words=Words.of(lambda language: segment_words(found.segment, language)),
        ratio=found.ratio,
        groups=[_group(each, each.group in found.marked) for each in found.groups],
    )


def _group(found: GroupFound, is_marked: bool) -> Group:
    return Group(
        group=found.group,
        words=Words.of(lambda language: group_words(found.group, language)),
        count=found.count,
        step_up=Interval.of(found.step_up),
        review=Interval.of(found.review),
        decline=Interval.of(found.decline),
        good_count=found.good_count,
        false_count=found.false_count,
        false_positive=Interval.of(found.false),
        is_marked=is_marked,
    )
