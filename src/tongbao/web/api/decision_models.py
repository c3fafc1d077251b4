"""How decisions look under ``/v2``: candidates, chances, reasons in Chinese and English, and what came of them."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from tongbao.core.ids import uuid_text
from tongbao.decisions.schema import log as schema
from tongbao.decisions.schema.log import Fact
from tongbao.decisions.service.log import Traced
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.intents import Intent
from tongbao.risk.service import explaining as risk_explaining
from tongbao.risk.service.compiling import POLICY as RISK
from tongbao.routing.service import explaining
from tongbao.routing.service.compiling import POLICY
from tongbao.web.api.shapes import Model, maybe_id, same_fields

Share = Annotated[float, Field(description="A probability, 0 to 1.")]


class Words(Model):
    """The same in both languages."""

    zh: str
    en: str

    @classmethod
    def of(cls, told: Callable[[str], str]) -> "Words":
        """Return what ``told`` says in each language."""
        return cls(zh=told("zh"), en=told("en"))


class Reason(Model):
    """One reason: a code of a closed list, its numbers, and its words."""

    code: str
    facts: dict[str, Fact]
    words: Words

    @classmethod
    def of(cls, why: schema.Why, kind: str = POLICY) -> "Reason":
        """Return a reason of a kind of decision as it is sent."""
        say = risk_explaining.said if kind == RISK else explaining.said
        words = Words.of(lambda language: say(why, language))
        return cls(code=why.code, facts=why.facts, words=words)


class Candidate(Model):
    """One thing that could have been chosen. ``score`` with its interval of 90 % is in the unit of the policy."""

    name: str
    propensity: Share
    score: float | None
    low: float | None
    high: float | None
    excluded: str | None = Field(description="Code of why it could not be chosen.")
    excluded_words: Words | None
    facts: dict[str, Fact]

    @classmethod
    def of(cls, candidate: schema.Candidate) -> "Candidate":
        """Return a candidate as it is sent."""
        words = None
        if candidate.excluded is not None:
            text = explaining.text_of(candidate.excluded)
            words = Words(zh=text.zh, en=text.en)
        return cls.model_validate(same_fields(cls, candidate, excluded_words=words))


class Shadow(Model):
    """What a version that acts on nothing would have chosen, with its probabilities."""

    version: int
    chosen: str
    propensities: dict[str, Share]


class News(Model):
    """One piece of news of what came of a decision; ``value`` null takes back what was said before."""

    name: str
    value: float | None
    label: str
    source: str
    occurred_at: datetime
    recorded_at: datetime


class Choice(Model):
    """What was chosen among what, by which policy, and why."""

    policy: str
    version: int = Field(description="0: what decides where no policy was rolled out.")
    policy_version: str = Field(description="Policy and version as one name, `routing@3`.")
    arm: str = Field(description="`champion` or `challenger` of the roll-out.")
    context: dict[str, Fact]
    candidates: list[Candidate]
    chosen: str
    propensity: Share
    reasons: list[Reason]
    why: Words | None = Field(description="Why this one, in one sentence with numbers.")

    @classmethod
    def of_decision(cls, decision: schema.Decision) -> "Choice":
        """Return the choice of a decision as it is sent."""
        return cls.model_validate(choice_fields(cls, decision))


class Decision(Choice):
    """One automatic choice with what came of it, oldest news first."""

    object: Literal["decision"] = "decision"
    id: str
    live: bool
    kind: str
    payment: str = Field(description="What it is about, `pi_…`.")
    attempt: str | None = Field(description="What it became, `pa_…`.")
    decided_at: datetime
    shadow: Shadow | None
    latency_us: int
    outcomes: list[News]

    @classmethod
    def of(cls, traced: Traced) -> "Decision":
        """Return a decision as it is sent."""
        decision = traced.decision
        shadow = decision.shadow
        return cls.model_validate(
            {
                **choice_fields(cls, decision),
                "id": decision.reference,
                "payment": uuid_text(Intent.PREFIX, decision.subject_id),
                "attempt": maybe_id(Attempt.PREFIX, decision.effect_id),
                "shadow": None if shadow is None else Shadow.model_validate(same_fields(Shadow, shadow)),
                "outcomes": [News.model_validate(same_fields(News, each)) for each in traced.outcomes],
            }
        )


class Lineage(Model):
    """Everything that was decided about a payment, oldest first."""

    object: Literal["list"] = "list"
    data: list[Decision]


def choice_fields(model: type[Choice], decision: schema.Decision) -> dict[str, object]:
    """Return the fields of a choice; of what is not routing's there is no sentence."""
    why = None
    if decision.kind == POLICY:
        why = Words.of(lambda language: explaining.sentence(decision, language))
    return {
        **same_fields(model, decision),
        "object": "decision",
        "policy_version": f"{decision.policy}@{decision.version}",
        "candidates": [Candidate.of(each) for each in decision.candidates],
        "reasons": [Reason.of(each, decision.kind) for each in decision.reasons],
        "why": why,
    }
