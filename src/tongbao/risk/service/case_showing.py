"""Cases as pages show them, in English or Chinese: the words of a case, of its evidence, the picture of whom it met.

Reads nothing: what is shown comes from ``case_reading``. Every function raises InvalidRequest ``language_unknown``.
"""

from collections.abc import Sequence
from typing import NamedTuple

from tongbao.risk.policy.case_texts import (
    CAUSES,
    CONFIDENCES,
    DISPOSITIONS,
    SEVERITIES,
    STATES,
    column,
    entity_text,
    stakes_text,
)
from tongbao.risk.policy.case_timeline import Evidence, evidence_text
from tongbao.risk.policy.neighborhood import Neighborhood
from tongbao.risk.policy.neighborhood_chart import (
    Table,
    neighborhood_chart,
    neighborhood_table,
    neighborhood_text,
)
from tongbao.risk.schema.cases import CaseFile, EntityKey
from tongbao.risk.service.case_reading import Summary


class CaseWords(NamedTuple):
    """A case in words; ``disposition`` is empty while it is open, ``at_stake`` and ``held`` are amounts by currency."""

    state: str
    severity: str
    kind: str
    who: str
    disposition: str
    at_stake: str
    held: str


class Picture(NamedTuple):
    """A neighborhood as an SVG, in sentences, and as rows of a table."""

    svg: str
    text: str
    table: Table


class SuggestionWords(NamedTuple):
    """What a draft suggests, in words."""

    disposition: str
    confidence: str


def case_words(case: CaseFile, language: str) -> CaseWords:
    """Return the words of a case."""
    at = column(language)
    who = case.key if case.entity is None else entity_text(EntityKey(case.entity, case.key), language)
    return CaseWords(
        state=STATES[case.state][at],
        severity=SEVERITIES[case.severity][at],
        kind=CAUSES[case.kind][at],
        who=who,
        disposition="" if case.disposition is None else DISPOSITIONS[case.disposition][at],
        at_stake=stakes_text(case.stakes, language),
        held=stakes_text(case.stakes, language, held=True),
    )


def evidence_words(entries: Sequence[Evidence], language: str) -> list[str]:
    """Return the entries of a timeline in words, in their order."""
    return [evidence_text(each, language) for each in entries]


def suggestion_words(summary: Summary, language: str) -> SuggestionWords:
    """Return what the draft suggests."""
    at, draft = column(language), summary.draft
    return SuggestionWords(DISPOSITIONS[draft.suggestion][at], CONFIDENCES[draft.confidence][at])


def picture_of(case: CaseFile, web: Neighborhood, language: str) -> Picture:
    """Return the picture of whom the entity of a case met, with the same as text."""
    return Picture(
        neighborhood_chart(web, case.name, language),
        neighborhood_text(web, language),
        neighborhood_table(web, language),
    )
