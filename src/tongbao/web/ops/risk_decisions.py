"""A decision of risk control as the page of a payment shows it: the tier, what each would have cost, and every reason in words."""

from typing import NamedTuple

from tongbao.decisions.schema.log import Candidate, Decision
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service import wording
from tongbao.risk.service.assessing import Assessing
from tongbao.risk.service.compiling import POLICY
from tongbao.risk.service.wording import Said
from tongbao.web.ops.risk_desk import value_text, words_of

_PLACES = {tier.value: tier.strictness for tier in Tier}


class Known(NamedTuple):
    """What became known of a look; None: nothing yet."""

    is_approved: bool | None
    end_code: str
    is_passed: bool | None
    is_fraud: bool | None
    label_source: str


class RiskCard(NamedTuple):
    """What is shown of a decision beside what all decisions have; ``score`` is the chance of fraud in [0, 1]."""

    tier: str
    score: float | None
    reasons: tuple[Said, ...]
    candidates: tuple[Candidate, ...]
    rules: tuple[str, ...]
    drafts: str
    model: str
    currency: str
    known: Known | None


def is_of_risk(decision: Decision) -> bool:
    """Return whether risk control made a decision."""
    return decision.kind == POLICY


async def known_of(assessing: Assessing, decisions: list[Decision]) -> dict[object, Known]:
    """Return by decision what became known of the looks behind it."""
    subjects = {(each.book_id, each.subject_id) for each in decisions if is_of_risk(each)}
    found: dict[object, Known] = {}
    for book_id, subject_id in subjects:
        for look in await assessing.looks(book_id, subject_id):
            found[look.decision_id] = Known(
                look.is_approved, look.end_code, look.is_passed, look.is_fraud, look.label_source
            )
    return found


def card_of(decision: Decision, known: Known | None, language: str) -> RiskCard:
    """Return a decision of risk control in words."""
    context = decision.context
    score = context.get("score")
    rules = [str(each.facts["rule"]) for each in decision.reasons if "rule" in each.facts]
    return RiskCard(
        tier=words_of(wording.TIERS, decision.chosen, language),
        score=float(score) if isinstance(score, int | float) else None,
        reasons=tuple(wording.why_said(each, language) for each in decision.reasons),
        candidates=tuple(sorted(decision.candidates, key=lambda each: _PLACES.get(each.name, len(_PLACES)))),
        rules=tuple(rules),
        drafts=str(context.get("drafts", "")),
        model=str(context.get("model", "")),
        currency=str(context.get("currency", "")),
        known=known,
    )


def cost_text(cost: float, currency: str) -> str:
    """Return an expected cost, which is in fractions of hundredths, as an amount."""
    return value_text(round(cost), currency) if currency else f"{cost / 100:,.2f}"
