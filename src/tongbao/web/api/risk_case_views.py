"""How the evidence of a case looks under ``/v2/risk``: its timeline, whom it met, its summary."""

from datetime import datetime
from typing import Any, Literal

import msgspec
from pydantic import Field

from tongbao.decisions.schema.log import PREFIX as DECISION_PREFIX
from tongbao.risk.schema.cases import Disposition
from tongbao.risk.service.case_reading import Summary
from tongbao.risk.service.case_showing import Picture, evidence_words, suggestion_words
from tongbao.risk.service.explaining import Evidence, Neighborhood
from tongbao.web.api.decision_models import Words
from tongbao.web.api.shapes import Model, maybe_id

LANGUAGES = ("zh", "en")


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
