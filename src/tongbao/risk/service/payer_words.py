"""What a payer is told of what risk control wants: kind words that say what to do, and nothing of what was noticed."""

from collections.abc import Sequence

from tongbao.risk.policy.reason_texts import payer_text
from tongbao.risk.schema.reasons import ReasonCode
from tongbao.risk.schema.tiers import Tier

_STEPS, _NOTHING, _OTHER = ReasonCode.NEW_CARD, ReasonCode.LOW_RISK, ReasonCode.LISTED_BLOCKED
"""Codes whose texts ask to follow steps, say that all is well, and ask to pay otherwise."""
_CODES = frozenset(ReasonCode)


def payer_sentence(tier: Tier, reasons: Sequence[str], language: str) -> str | None:
    """Return what the payer of a payment in ``tier`` reads; None where there is nothing to do, also under review.

    ``reasons`` are codes, those that decided first; one of another version says nothing. A payment that was declined has no
    steps to follow: its payer is not sent to look for them. Raises InvalidRequest ``language_unknown``.
    """
    if tier is Tier.STEP_UP:
        return payer_text(_STEPS, language)
    if tier is not Tier.DECLINE:
        return None
    useless = {payer_text(_STEPS, language), payer_text(_NOTHING, language)}
    known = (payer_text(ReasonCode(each), language) for each in reasons if each in _CODES)
    return next((text for text in known if text not in useless), payer_text(_OTHER, language))
