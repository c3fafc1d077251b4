"""How cases look under ``/v2/risk``: the queue, one case, its payments."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from tongbao.core.ids import uuid_text
from tongbao.decisions.schema.log import PREFIX as DECISION_PREFIX
from tongbao.payments.schema.intents import Intent
from tongbao.risk.schema.cases import (
    CaseFile,
    CasePayment,
    CaseState,
    Cause,
    Disposal,
    Disposition,
    HeldAct,
    Severity,
)
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service.case_reading import Queued
from tongbao.risk.service.case_showing import (
    case_words,
)
from tongbao.web.api.decision_models import Words
from tongbao.web.api.risk_look_models import CodeWords, code_words
from tongbao.web.api.shapes import Model


class Money(Model):
    """Money at stake in one currency, in hundredths; ``held`` is the part that waits."""

    currency: str
    value: int
    held: int


class Closing(Model):
    """How a case is to be closed; payments by the look that rang, `dec_…`."""

    disposition: Disposition
    fraud: list[str] | None
    genuine: list[str] | None
    on_held: HeldAct | None
    freeze: bool
    note: str

    @classmethod
    def of(cls, disposal: Disposal) -> "Closing":
        """Return it as it is sent."""
        return cls(
            disposition=disposal.disposition,
            fraud=_looks(disposal.fraud),
            genuine=_looks(disposal.genuine),
            on_held=disposal.on_held,
            freeze=disposal.freeze,
            note=disposal.note,
        )


class Asked(Model):
    """A closing that waits for a second person."""

    closing: Closing
    by: str
    at: datetime


class Case(Model):
    """A case. Acts name the ``version`` that they were decided on."""

    object: Literal["risk_case"] = "risk_case"
    id: str
    live: bool
    version: int
    state: CaseState
    severity: Severity
    kind: Cause
    entity: str | None = Field(description="Null where only the payment itself is known.")
    key: str
    who: Words
    opened_at: datetime
    updated_at: datetime
    due_at: datetime
    payment_count: int
    saving: float = Field(
        description="Expected money that a look saves, in hundredths of the house's currency."
    )
    chance_max: float
    stakes: list[Money]
    assignee: str | None
    request: Asked | None
    disposition: Disposition | None
    closed_at: datetime | None

    @classmethod
    def of(cls, case: CaseFile) -> "Case":
        """Return a case as it is sent."""
        return cls.model_validate(case_fields(cls, case))


class Cases(Model):
    """Cases, newest first."""

    object: Literal["list"] = "list"
    data: list[Case]
    has_more: bool


class QueuedCase(Case):
    """A case that nobody has, with the minutes that it is expected to take."""

    minutes: float

    @classmethod
    def queued(cls, queued: Queued) -> "QueuedCase":
        """Return a case of the queue as it is sent."""
        return cls.model_validate(case_fields(cls, queued.case) | {"minutes": queued.minutes})


class Queue(Model):
    """Cases in the order in which they are taken: overdue ones first, then by money saved per minute."""

    object: Literal["list"] = "list"
    data: list[QueuedCase]


class Taken(Model):
    """The case that was given out; null where the queue is empty."""

    object: Literal["risk_case_taken"] = "risk_case_taken"
    case: Case | None


class Payment(Model):
    """A payment of a case, by the look that rang; ``value`` in hundredths."""

    decision: str
    payment: str
    at: datetime
    value: int
    currency: str
    tier: Tier
    score: float | None
    reasons: list[CodeWords]
    rules: list[str]
    is_held: bool
    is_fraud: bool | None
    ruling: HeldAct | None

    @classmethod
    def of(cls, found: CasePayment) -> "Payment":
        """Return a payment as it is sent."""
        own = {name: getattr(found, name) for name in cls.model_fields if hasattr(found, name)}
        told = {
            "decision": uuid_text(DECISION_PREFIX, found.event_id),
            "payment": uuid_text(Intent.PREFIX, found.subject_id),
            "reasons": [CodeWords(code=code, words=code_words(code)) for code in found.reasons],
            "rules": list(found.rules),
        }
        return cls.model_validate(own | told)


class WholeCase(Case):
    """A case with its payments, oldest first."""

    payments: list[Payment]

    @classmethod
    def whole(cls, case: CaseFile, payments: list[CasePayment]) -> "WholeCase":
        """Return a case with its payments as it is sent."""
        told = {"payments": [Payment.of(each) for each in payments]}
        return cls.model_validate(case_fields(cls, case) | told)


def case_fields(model: type[Case], case: CaseFile) -> dict[str, Any]:
    """Return the fields of a case as it is sent."""
    own = {name: getattr(case, name) for name in model.model_fields if hasattr(case, name)}
    asked = case.request
    return own | {
        "id": case.name,
        "entity": None if case.entity is None else case.entity.name.lower(),
        "who": Words.of(lambda language: case_words(case, language).who),
        "stakes": [Money(**each._asdict()) for each in case.stakes],
        "assignee": case.assignee or None,
        "request": None
        if asked is None
        else Asked(closing=Closing.of(asked.disposal), by=asked.by, at=asked.at),
    }


def _looks(looks: tuple[UUID, ...] | None) -> list[str] | None:
    return None if looks is None else [uuid_text(DECISION_PREFIX, each) for each in looks]
