"""The door through which pages reach the tables of words of risk control: tiers, entities, acts, alarms, reasons with numbers.

Pure functions and tables; languages are ``en`` and ``zh-CN``.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from tongbao.decisions.schema.log import Fact, Why
from tongbao.risk.models.registry import NAMES
from tongbao.risk.policy.alarms import alarm_text, alarms
from tongbao.risk.policy.case_texts import (
    ACTS,
    CAUSES,
    DISPOSITIONS,
    ENTITIES,
    SEVERITIES,
    STATES,
    TIERS,
    column,
    entity_text,
    money,
    reason_text,
)
from tongbao.risk.policy.feature_texts import feature_words
from tongbao.risk.policy.model_card import model_card
from tongbao.risk.policy.reason_texts import analyst_text
from tongbao.risk.schema.models import ModelFacts
from tongbao.risk.schema.reasons import Contribution, ReasonCode

__all__ = [
    "ACTS",
    "CAUSES",
    "DISPOSITIONS",
    "ENTITIES",
    "SEVERITIES",
    "STATES",
    "TIERS",
    "Said",
    "alarm_text",
    "alarms",
    "column",
    "entity_text",
    "facts_of_card",
    "feature_words",
    "model_card",
    "money",
    "reason_text",
    "why_said",
]
_FEATURES = frozenset(NAMES)
_CODES = frozenset(ReasonCode)


class Said(NamedTuple):
    """A reason of a decision in words; ``facts`` are what else it names, such as a rule, a list or a freeze.

    ``log_odds`` is what it adds to the score, None where it is no part of it.
    """

    text: str
    facts: Mapping[str, Fact]
    log_odds: float | None = None


def why_said(why: Why, language: str) -> Said:
    """Return a reason in words: one of a model with the features behind it, any other with what it names.

    A code of another version is returned as it is. Raises InvalidRequest ``language_unknown``.
    """
    weight = why.facts.get("log_odds")
    if why.code not in _CODES or not isinstance(weight, int | float):
        return Said(reason_text(why.code, language), why.facts)
    behind = tuple(
        (name, float(value))
        for name, value in why.facts.items()
        if name in _FEATURES and isinstance(value, int | float)
    )
    contribution = Contribution(code=ReasonCode(why.code), log_odds=float(weight), features=behind)
    return Said(analyst_text(contribution, language), {}, float(weight))


def facts_of_card(card: Mapping[str, Any]) -> ModelFacts | None:
    """Return the facts that a kept model was described with; None where it came without, or with others."""
    try:
        return msgspec.convert(card.get("facts", card), ModelFacts)
    except msgspec.ValidationError:
        return None
