"""How judged payments look under ``/v2/risk``: what is asked, what was answered, and what became known."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from tongbao.core.ids import uuid_text
from tongbao.decisions.schema.log import PREFIX as DECISION_PREFIX
from tongbao.decisions.schema.log import Fact, Why
from tongbao.payments.schema.intents import Intent
from tongbao.risk.schema.signals import Entity
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service import explaining
from tongbao.risk.service.assessor import Looked
from tongbao.risk.service.looking import Judged, TierShare
from tongbao.web.api.decision_models import Words
from tongbao.web.api.shapes import Model, maybe_id


class Reason(Model):
    """One reason: a code of a closed list, its numbers, and its words for analysts."""

    code: str
    facts: dict[str, Fact]
    words: Words

    @classmethod
    def of(cls, why: Why) -> "Reason":
        """Return a reason as it is sent."""
        words = Words.of(lambda language: explaining.said(why, language))
        return cls(code=why.code, facts=why.facts, words=words)


class Assessment(Model):
    """What is to be done with a payment, and why. It was written down before it was answered."""

    object: Literal["risk_assessment"] = "risk_assessment"
    payment: str
    tier: Tier
    score: float | None = Field(description="Calibrated chance of fraud, 0 to 1; null where scoring failed.")
    reasons: list[Reason]
    rules: list[str] = Field(description="Names of the rules that matched.")
    decision: str
    policy_version: str

    @classmethod
    def of(cls, looked: Looked) -> "Assessment":
        """Return a look as it is sent."""
        decision = looked.decision
        return cls(
            payment=looked.fact.signals.subject,
            tier=looked.tier,
            score=looked.fact.score,
            reasons=[Reason.of(each) for each in decision.reasons],
            rules=list(looked.fact.rules),
            decision=decision.reference,
            policy_version=f"{decision.policy}@{decision.version}",
        )


class CodeWords(Model):
    """A code with its words."""

    code: str
    words: Words


class Known(Model):
    """A look at a payment with everything that became known of it; null: nothing yet. ``value`` is in hundredths."""

    object: Literal["risk_look"] = "risk_look"
    decision: str | None
    payment: str
    live: bool
    at: datetime
    tier: str
    score: float | None
    value: int
    currency: str
    method: str
    entities: dict[str, str] = Field(description="Pseudonyms of those who take part, by kind.")
    reasons: list[CodeWords]
    rules: list[str]
    is_approved: bool | None = Field(description="How the payment ended at its channel.")
    end_code: str
    is_passed: bool | None = Field(description="Whether the payer proved who it is.")
    is_fraud: bool | None
    label_source: str
    labelled_at: datetime | None

    @classmethod
    def of(cls, judged: Judged) -> "Known":
        """Return a row as it is sent."""
        signals = judged.signals
        own: dict[str, Any] = {name: getattr(judged, name) for name in _ROW}
        return cls(
            decision=maybe_id(DECISION_PREFIX, judged.decision_id),
            payment=uuid_text(Intent.PREFIX, judged.subject_id),
            method=signals.method,
            entities={each.name.lower(): key for each in Entity if (key := signals.key(each))},
            reasons=[CodeWords(code=code, words=code_words(code)) for code in judged.reasons],
            rules=list(judged.rules),
            **own,
        )


_ROW = (
    *("live", "at", "tier", "score", "value", "currency", "is_approved", "end_code", "is_passed"),
    *("is_fraud", "label_source", "labelled_at"),
)


class Looks(Model):
    """Every look at a payment, oldest first."""

    object: Literal["list"] = "list"
    data: list[Known]


class Share(Model):
    """The payments of one tier; ``value`` sums hundredths of all currencies, without converting them."""

    tier: str
    share: float = Field(description="Of all payments of the time, 0 to 1.")
    payment_count: int
    approved_count: int
    fraud_count: int
    passed_count: int
    failed_count: int
    value: int


class Shares(Model):
    """How payments of a time were spread over tiers, from the least that a payer notices to the most."""

    object: Literal["risk_shares"] = "risk_shares"
    from_at: datetime = Field(serialization_alias="from")
    to_at: datetime = Field(serialization_alias="to")
    payment_count: int
    data: list[Share]

    @classmethod
    def of(cls, from_at: datetime, to_at: datetime, found: list[TierShare]) -> "Shares":
        """Return counts as they are sent."""
        total = sum(each.payment_count for each in found)
        by_tier = {each.tier: each for each in found}
        data = [
            Share(share=by_tier[tier].payment_count / total, **by_tier[tier]._asdict())
            for tier in Tier
            if tier in by_tier
        ]
        return cls(from_at=from_at, to_at=to_at, payment_count=total, data=data)


class Label(Model):
    """A label as it was taken; it replaces an earlier one of the same payment."""

    object: Literal["risk_label"] = "risk_label"
    payment: str
    decision: str
    is_fraud: bool
    source: str
    actor: str
    at: datetime


def code_words(code: str) -> Words:
    """Return what a code means to an analyst."""
    return Words.of(lambda language: explaining.code_words(code, language))
