"""The door through which faces reach the words of risk control: reasons, cards of models, cases, rules and back-tests.

Pure functions; languages are ``zh`` and ``en``. What the words are made of is told in the policies named below.
"""

from collections.abc import Mapping

import msgspec

from tongbao.core.errors import NotFound
from tongbao.decisions.schema.log import Fact, Why
from tongbao.risk.policy.backtest_texts import rule_sentences, whole_sentences
from tongbao.risk.policy.case_timeline import Evidence
from tongbao.risk.policy.model_card import model_card
from tongbao.risk.policy.neighborhood import Neighborhood
from tongbao.risk.policy.reason_texts import analyst_text, analyst_words
from tongbao.risk.schema.models import ModelFacts
from tongbao.risk.schema.reasons import Contribution, ReasonCode
from tongbao.risk.store.models import ModelRow

__all__ = [
    "Evidence",
    "ModelRow",
    "Neighborhood",
    "analyst_text",
    "card_text",
    "code_words",
    "rule_sentences",
    "said",
    "whole_sentences",
]

_NOTES = ("rule", "because", "list", "reason", "freeze", "best")
"""Facts of a reason that people are told as they are."""


def said(why: Why, language: str) -> str:
    """Return a reason of a decision about risk in a sentence; of a code that is unknown here the code itself."""
    try:
        code = ReasonCode(why.code)
    except ValueError:
        return why.code
    log_odds = why.facts.get("log_odds")
    if isinstance(log_odds, int | float):
        return analyst_text(
            Contribution(code=code, log_odds=float(log_odds), features=_features(why.facts)), language
        )
    notes = [str(why.facts[name]) for name in _NOTES if why.facts.get(name)]
    joint, comma, end = ("：", "，", "。") if language.startswith("zh") else (": ", ", ", ".")
    told = analyst_words(code, language)
    return f"{told}{joint}{comma.join(notes)}{end}" if notes else f"{told}{end}"


def code_words(code: str, language: str) -> str:
    """Return what a code means to an analyst, without numbers; the code itself where it is unknown here."""
    try:
        return analyst_words(ReasonCode(code), language)
    except ValueError:
        return code


def card_text(digest: str, card: Mapping[str, object], language: str) -> str:
    """Return the card of a model as Markdown; raise NotFound ``model_card_missing`` for one that was kept without facts."""
    try:
        facts = msgspec.convert(card.get("facts", card), ModelFacts, strict=False)
    except msgspec.ValidationError as error:
        raise NotFound(
            "model_card_missing", f"nothing was written down for a card of {digest[:12]}", digest=digest[:80]
        ) from error
    return model_card(facts, language)


def _features(facts: Mapping[str, Fact]) -> tuple[tuple[str, float], ...]:
    return tuple(
        (name, float(value))
        for name, value in facts.items()
        if name != "log_odds" and isinstance(value, int | float)
    )
