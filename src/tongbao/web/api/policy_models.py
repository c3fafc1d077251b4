"""How policies look under ``/v2``: versions, replays, roll-outs and the audit trail."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from pydantic import Field, StrictBool, StrictFloat, StrictInt, StringConstraints

from tongbao.core.ids import uuid_text
from tongbao.decisions.policy.report_words import report_text
from tongbao.decisions.policy.rollout import GUARDRAILS_MAX, RolloutOrder
from tongbao.decisions.schema import evaluation, policies
from tongbao.decisions.schema.log import Fact
from tongbao.decisions.schema.policies import NOTE_CHARS_MAX, SHARE_BPS_MAX
from tongbao.decisions.service.policy_reading import NUMBER_MAX
from tongbao.web.api.decision_models import Words
from tongbao.web.api.shapes import Body, Instant, Model, Text, maybe_id

REPLAY_PREFIX = "replay"
COUNT_MAX = 1_000_000_000
Note = Annotated[str, StringConstraints(max_length=NOTE_CHARS_MAX)]
Number = Annotated[StrictInt, Field(ge=1, le=NUMBER_MAX, description="Number of a version.")]
Epoch = Annotated[
    StrictInt, Field(ge=0, le=NUMBER_MAX, description="The roll-out that is changed; another one refuses.")
]
Finite = Annotated[StrictFloat | StrictInt, Field(allow_inf_nan=False)]


class Draft(Body):
    """A new version: its specification as plain JSON, and what it is for."""

    spec: dict[str, Any]
    note: Note = ""


class Span(Body):
    """A time, from an instant and before another one."""

    from_at: Instant = Field(alias="from")
    to_at: Instant = Field(alias="to")


class PublishOrder(Body):
    """Whether a replay that says worse is overruled, and why."""

    force: StrictBool = False
    note: Note = ""


class Guardrail(Body):
    """A limit that a challenger must keep against the champion; see ``decisions.schema.policies``."""

    outcome: Text
    worse_by: Finite
    higher_is_better: StrictBool = True
    value_range: Finite = 1.0
    count_min: StrictInt = Field(default=100, ge=1, le=COUNT_MAX)


class RolloutBody(Body):
    """Who shall decide from now on."""

    champion: Number
    challenger: Number | None = None
    share_bps: StrictInt = Field(default=0, ge=0, le=SHARE_BPS_MAX)
    shadow: Number | None = None
    guardrails: list[Guardrail] = Field(default=[], max_length=GUARDRAILS_MAX)
    note: Note = ""
    epoch: Epoch | None = None

    def order(self) -> RolloutOrder:
        """Return the order as the service takes it."""
        return msgspec.convert(self.model_dump(), RolloutOrder)


class PromoteOrder(Body):
    """Why the challenger becomes the champion."""

    note: Note = ""
    epoch: Epoch | None = None


class ReturnOrder(Body):
    """Why the champion decides alone again."""

    reason: Note
    epoch: Epoch | None = None


class RetireOrder(Body):
    """Why a version is put away."""

    note: Note = ""


class Estimate(Model):
    """A mean outcome by one estimator with its interval of 95 %."""

    estimator: str
    value: float
    low: float
    high: float


class Report(Model):
    """One replay of a version on logged decisions; ``decisions.schema.evaluation.Report`` tells what each figure is."""

    object: Literal["policy_replay"] = "policy_replay"
    id: str
    policy: str
    version: int
    against: str
    outcome: str
    from_at: datetime
    to_at: datetime
    count: int
    missing_count: int
    verdict: str = Field(description="`better`, `worse`, `undecided` or `refused`.")
    refusal: str | None
    caveats: list[str]
    words: Words = Field(description="The whole in one paragraph.")
    logged: Estimate
    estimates: list[Estimate]
    difference: Estimate | None
    recommended: str
    agreement: float
    overlap: float
    effective_count: float
    weight_max: float
    clipped_share: float
    unsupported: float
    made_at: datetime
    made_by: str

    @classmethod
    def of(cls, report: evaluation.Report) -> "Report":
        """Return a replay as it is sent."""
        told = {
            "object": "policy_replay",
            "id": uuid_text(REPLAY_PREFIX, report.id),
            "words": Words.of(lambda language: report_text(report, language)),
        }
        return cls.model_validate(msgspec.to_builtins(report) | told)


class Version(Model):
    """One version of a policy."""

    object: Literal["policy_version"] = "policy_version"
    policy: str
    version: int
    state: str
    spec: dict[str, Any]
    digest: str
    note: str
    created_at: datetime
    created_by: str
    replay: str | None = Field(description="The replay that counts, `replay_…`.")

    @classmethod
    def of(cls, version: policies.PolicyVersion) -> "Version":
        """Return a version as it is sent."""
        return cls.model_validate(version_fields(version))


class VersionWithReplays(Version):
    """One version with its replays, newest first."""

    replays: list[Report]

    @classmethod
    def told(
        cls, version: policies.PolicyVersion, replays: tuple[evaluation.Report, ...]
    ) -> "VersionWithReplays":
        """Return a version as it is sent with its replays."""
        return cls.model_validate(
            version_fields(version) | {"replays": [Report.of(each) for each in replays]}
        )


class Versions(Model):
    """A page of versions, newest first."""

    object: Literal["list"] = "list"
    data: list[Version]
    has_more: bool


class Rollout(Model):
    """Who decides now; ``share_bps`` of the payments, in 1/10,000, are the challenger's."""

    object: Literal["policy_rollout"] = "policy_rollout"
    policy: str
    epoch: int
    champion: int
    challenger: int | None
    share_bps: int
    shadow: int | None
    guardrails: list[Guardrail]
    started_at: datetime
    started_by: str
    note: str

    @classmethod
    def of(cls, rollout: policies.Rollout) -> "Rollout":
        """Return a roll-out as it is sent, without its salt."""
        return cls.model_validate(msgspec.to_builtins(rollout) | {"object": "policy_rollout"})


class Policy(Model):
    """A policy as it stands; without a roll-out what is above it decides."""

    object: Literal["policy"] = "policy"
    name: str
    rollout: Rollout | None
    problem: str | None = Field(
        description="Why what was rolled out does not decide in the process that answers."
    )


class Change(Model):
    """One line of the audit trail."""

    change_no: int
    at: datetime
    actor: str
    action: str
    version: int | None
    details: dict[str, Fact]

    @classmethod
    def of(cls, change: policies.PolicyChange) -> "Change":
        """Return a line as it is sent."""
        return cls.model_validate(msgspec.to_builtins(change))


class Changes(Model):
    """A part of the audit trail, oldest first; go on with ``after`` = the last ``change_no``."""

    object: Literal["list"] = "list"
    data: list[Change]
    has_more: bool


def version_fields(version: policies.PolicyVersion) -> dict[str, Any]:
    """Return the fields of a version as it is sent."""
    fields: dict[str, Any] = msgspec.to_builtins(version)
    return fields | {"object": "policy_version", "replay": maybe_id(REPLAY_PREFIX, version.replay_id)}
