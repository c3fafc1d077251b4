"""How the health of routing looks under ``/v2``: rates, series, the doctor's diagnosis, announcements."""

import enum
from datetime import datetime
from typing import Any, Literal

import msgspec
from pydantic import Field

from tongbao.core.ids import uuid_text
from tongbao.routing.schema import health, notices
from tongbao.routing.schema.health import Dimension, Period
from tongbao.routing.service import explaining
from tongbao.routing.service.health import NOTICE_PREFIX
from tongbao.web.api.decision_models import Words
from tongbao.web.api.shapes import Model

Segment = dict[str, str]


class By(enum.StrEnum):
    """By what attempts may be told apart; ``code`` asks for the codes beside the rates."""

    CHANNEL = "channel"
    METHOD = "method"
    ISSUER = "issuer"
    CURRENCY = "currency"
    CODE = "code"

    @staticmethod
    def dimensions(by: "list[By]") -> tuple[Dimension, ...]:
        """Return what of ``by`` is known of an attempt before it is made."""
        return tuple(Dimension(each.value) for each in dict.fromkeys(by) if each is not By.CODE)


class Estimate(Model):
    """A number with its interval, of 95 % unless told otherwise."""

    value: float
    low: float
    high: float


class Counts(Model):
    """Attempts by what they said, and of whom."""

    approved: int
    issuer_declined: int
    technical: int
    unresolved: int
    neutral: int


class RateRow(Model):
    """Rates of one part of the traffic; null without attempts to judge."""

    segment: Segment
    counts: Counts
    approval: Estimate | None = Field(description="Of the attempts that speak of issuer or channel.")
    completion: Estimate | None = Field(description="Of all attempts.")
    took_ms: float
    at: datetime | None = Field(description="Begin of a point of a series.")


class CodeRow(Model):
    """How often a code ended attempts of one part of the traffic."""

    segment: Segment
    code: str
    mark: str
    count: int
    share: Estimate


class Health(Model):
    """Rates of a time, the busiest part of the traffic first; codes where they were asked for."""

    object: Literal["routing_health"] = "routing_health"
    from_at: datetime
    to_at: datetime
    rates: list[RateRow]
    codes: list[CodeRow]

    @classmethod
    def of(cls, period: Period, rates: list[health.RateRow], codes: list[health.CodeRow]) -> "Health":
        """Return rates as they are sent."""
        told = {"rates": rates, "codes": codes}
        return cls.model_validate(msgspec.to_builtins(told) | _times(period))


class Series(Model):
    """Rates by time, oldest first; a step without attempts has no point."""

    object: Literal["routing_series"] = "routing_series"
    from_at: datetime
    to_at: datetime
    step: str
    points: list[RateRow]

    @classmethod
    def of(cls, period: Period, step: health.Step, points: list[health.RateRow]) -> "Series":
        """Return a series as it is sent."""
        told = msgspec.to_builtins({"points": points, "step": step})
        return cls.model_validate(told | _times(period))


class Gain(Model):
    """Payments and money a day that an action may bring, with intervals of 90 %; null: nothing to compare with."""

    basis: str
    payments_a_day: Estimate | None
    minor_a_day: dict[str, Estimate]
    coverage: float


class Action(Model):
    """A proposal."""

    kind: str
    segment: Segment
    to_channel: str
    gain: Gain
    words: Words


class Cause(Model):
    """One explanation of lost payments; ``routing.schema.health.Cause`` tells what each figure is."""

    fault: str
    segment: Segment
    lost_a_day: Estimate
    points: Estimate
    share: Estimate | None
    p_value: float
    codes: list[str]
    before: float
    now: float
    actions: list[Action]
    words: Words


class Effect(Model):
    """What a part of the traffic added to the change of the approval rate."""

    segment: Segment
    mix: float
    rate: Estimate
    p_value: float
    significant: bool


class CodeEffect(Model):
    """What a code added to the change."""

    code: str
    mark: str
    rate: Estimate
    p_value: float
    significant: bool


class Diagnosis(Model):
    """What changed against the baseline, why, and what may be done; changes are in shares, 0.01 is one point."""

    object: Literal["routing_diagnosis"] = "routing_diagnosis"
    verdict: str = Field(description="`fell`, `rose`, `steady` or `too_few`.")
    words: Words
    baseline: Counts
    current: Counts
    change: Estimate
    p_value: float
    mix: Estimate
    rate: Estimate
    completion_change: Estimate
    effects: list[Effect]
    codes: list[CodeEffect]
    causes: list[Cause]

    @classmethod
    def of(cls, diagnosis: health.Diagnosis) -> "Diagnosis":
        """Return a diagnosis as it is sent, in numbers and in words."""
        told = {
            "words": Words.of(lambda language: explaining.verdict_text(diagnosis, language)),
            "causes": [_cause_fields(each) for each in diagnosis.causes],
        }
        return cls.model_validate(msgspec.to_builtins(diagnosis) | told)


class Notice(Model):
    """One announcement. Its numbers are of the whole house: merchants get none."""

    object: Literal["routing_notice"] = "routing_notice"
    id: str
    at: datetime
    kind: str
    channel: str
    method: str
    issuer: str
    facts: dict[str, str | int | float]
    words: Words

    @classmethod
    def of(cls, notice: notices.Notice) -> "Notice":
        """Return an announcement as it is sent."""
        told = {
            "object": "routing_notice",
            "id": uuid_text(NOTICE_PREFIX, notice.id),
            "words": Words.of(lambda language: explaining.notice_text(notice, language)),
        }
        return cls.model_validate(msgspec.to_builtins(notice) | told)


class Notices(Model):
    """A page of announcements, newest first."""

    object: Literal["list"] = "list"
    data: list[Notice]
    has_more: bool


def _times(period: Period) -> dict[str, Any]:
    return {"from_at": period.start, "to_at": period.end}


def _cause_fields(cause: health.Cause) -> dict[str, Any]:
    actions = [_action_fields(each) for each in cause.actions]
    words = Words.of(lambda language: explaining.cause_text(cause, language))
    fields: dict[str, Any] = msgspec.to_builtins(cause)
    return fields | {"words": words, "actions": actions}


def _action_fields(action: health.Action) -> dict[str, Any]:
    words = Words.of(lambda language: explaining.action_text(action, language))
    fields: dict[str, Any] = msgspec.to_builtins(action)
    return fields | {"words": words}
