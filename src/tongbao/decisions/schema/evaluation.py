"""Evaluation off policy: what a version that never met traffic would have earned, from what another one logged."""

import enum
from datetime import datetime
from uuid import UUID

import msgspec


class Verdict(enum.StrEnum):
    """What an evaluation says of a policy against the one that logged."""

    BETTER = "better"
    WORSE = "worse"
    UNDECIDED = "undecided"  # the interval of the difference holds zero
    REFUSED = "refused"  # the log does not tell: see ``Report.refusal``


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A mean outcome by one estimator (``ips``, ``snips``, ``dr``) with its 95 % interval, in the outcome's unit."""

    estimator: str
    value: float
    low: float
    high: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One replay of a policy on logged decisions.

    ``agreement``: mean probability with which the new policy chooses what was logged. ``effective_count``: the Kish
    effective sample size of the weights. ``logged``: the mean outcome that was seen, with its interval.
    """

    id: UUID
    policy: str
    version: int
    against: str
    outcome: str
    from_at: datetime
    to_at: datetime
    count: int
    agreement: float
    effective_count: float
    weight_max: float
    logged: Estimate
    estimates: tuple[Estimate, ...] = ()
    difference: Estimate | None = None
    verdict: Verdict
    refusal: str | None = None
    made_at: datetime
    made_by: str
