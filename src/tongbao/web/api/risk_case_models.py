"""How cases look under ``/v2/risk``: the queue, one case, its evidence, whom it met, its summary."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
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
from tongbao.risk.service.case_reading import Queued, Summary
from tongbao.risk.service.case_showing import (
    Picture,
    case_words,
    evidence_words,
    suggestion_words,
)
from tongbao.risk.service.explaining import Evidence, Neighborhood
from tongbao.web.api.decision_models import Words
from tongbao.web.api.risk_look_models import CodeWords, code_words
from tongbao.web.api.shapes import Model, maybe_id

LANGUAGES = ("zh", "en")


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


class Entry(Model):
    """An entry of the timeline. ``is_of_case``: not only of the same entity."""

    at: datetime
    kind: str
    decision: str | None
    is_of_case: bool
    actor: str
    facts: dict[str, Any]
    words: Words


class Timeline(Model):
    """The evidence in order of time."""

    object: Literal["list"] = "list"
    data: list[Entry]

    @classmethod
    def of(cls, found: list[Evidence]) -> "Timeline":
        """Return evidence as it is sent."""
        zh, en = (evidence_words(found, language) for language in LANGUAGES)
        rows = zip(found, zh, en, strict=True)
        return cls(data=[_entry(each, Words(zh=a, en=b)) for each, a, b in rows])


class Node(Model):
    """Somebody or something that took part; ``hop`` 0 is the entity of the case. Hubs are shown, not walked through."""

    entity: str
    key: str
    hop: int
    is_hub: bool
    payment_count: int
    fraud_count: int
    is_partial: bool = Field(description="There may be more: only the latest were counted.")
    values: dict[str, int] = Field(description="Hundredths by currency.")


class Edge(Model):
    """Payments in which two nodes met, by their places in the list of nodes."""

    first: int
    second: int
    count: int
    fraud_count: int


class Graph(Model):
    """Whom the entity of a case met, two hops far."""

    object: Literal["risk_case_graph"] = "risk_case_graph"
    nodes: list[Node]
    edges: list[Edge]
    left_out_count: int
    words: Words

    @classmethod
    def of(cls, web: Neighborhood, words: Words) -> "Graph":
        """Return a neighborhood as it is sent."""
        nodes = [
            Node(
                entity=each.entity.name.lower(),
                key=each.key,
                hop=each.hop,
                is_hub=each.is_hub,
                payment_count=each.tally.count,
                fraud_count=each.tally.fraud_count,
                is_partial=each.tally.is_partial,
                values=dict(each.tally.values),
            )
            for each in web.nodes
        ]
        edges = [Edge.model_validate(msgspec.structs.asdict(each)) for each in web.edges]
        return cls(nodes=nodes, edges=edges, left_out_count=web.left_out_count, words=words)


class Signed(Model):
    """A summary that somebody signed."""

    text: str
    by: str
    at: datetime
    version: int
    language: str
    is_edited: bool


class SummaryShown(Model):
    """The draft as it would be now, and what was signed. ``is_stale``: the case went on since."""

    object: Literal["risk_case_summary"] = "risk_case_summary"
    draft: str
    language: str
    suggestion: Disposition
    confidence: str
    suggestion_words: str
    confidence_words: str
    chance: float
    signed: Signed | None
    is_stale: bool

    @classmethod
    def of(cls, found: Summary, language: str) -> "SummaryShown":
        """Return a summary as it is sent."""
        words, draft, line = suggestion_words(found, language), found.draft, found.signed
        signed = None
        if line is not None:
            signed = Signed(
                text=line.note,
                by=line.actor,
                at=line.at,
                version=line.version,
                language=str(line.after.get("language", "")),
                is_edited=bool(line.after.get("is_edited", False)),
            )
        return cls(
            draft=draft.text,
            language=language,
            suggestion=draft.suggestion,
            confidence=draft.confidence.value,
            suggestion_words=words.disposition,
            confidence_words=words.confidence,
            chance=draft.chance,
            signed=signed,
            is_stale=found.is_stale,
        )


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


def picture_words(zh: Picture, en: Picture) -> Words:
    """Return what a picture shows, in sentences."""
    return Words(zh=zh.text, en=en.text)


def _entry(each: Evidence, words: Words) -> Entry:
    return Entry(
        at=each.at,
        kind=each.kind.value,
        decision=maybe_id(DECISION_PREFIX, each.event_id),
        is_of_case=each.is_of_case,
        actor=each.actor,
        facts=dict(each.facts),
        words=words,
    )


def _looks(looks: tuple[UUID, ...] | None) -> list[str] | None:
    return None if looks is None else [uuid_text(DECISION_PREFIX, each) for each in looks]
