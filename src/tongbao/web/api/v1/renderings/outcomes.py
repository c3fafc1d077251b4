"""How a payment was taken, as Stripe's ``outcome``: by risk control, by the issuer; and what its 3-D Secure came to.

Sellers read these texts. They say what risk control did and never why: the reasons are in ``/v2``, for those who may see them.
"""

from tongbao.channels.schema import AuthenticationResult, Fault
from tongbao.channels.service.codes import reason_info
from tongbao.payments.schema.attempts import Attempt, AttemptState
from tongbao.payments.schema.intents import Intent, Judged
from tongbao.risk.schema.reasons import ReasonCode
from tongbao.risk.schema.tiers import Tier
from tongbao.web.api.v1.renderings.bases import Tree, nulls

FAILED = frozenset({AttemptState.DECLINED, AttemptState.NOT_FOUND, AttemptState.REVERSED})
BLOCKED_MESSAGE = "Risk control blocked this payment as too risky; it was not sent to the issuer."
REVIEW_MESSAGE = "Payment held: risk control found an elevated risk and placed it in the review queue."
PROOF_MESSAGE = "The payer did not prove who it is; the payment was not sent to the issuer."
COMPLETE_MESSAGE = "Payment complete."
SCORE_MAX = 99
_LEVELS = {Tier.DECLINE: "highest", Tier.REVIEW: "elevated", Tier.STEP_UP: "elevated"}
_RULED = frozenset(
    {
        ReasonCode.RULE.value,
        ReasonCode.LISTED_BLOCKED.value,
        ReasonCode.ACCOUNT_FROZEN.value,
    }
)


def attempt_outcome(attempt: Attempt) -> Tree:
    """Return the ``outcome`` of a charge whose end is known."""
    judged = attempt.judged
    level = "normal" if attempt.signals_id is not None else "not_assessed"
    outcome = _base(judged, level)
    if attempt.state in FAILED:
        return outcome | _failed(attempt)
    said: Tree = {"network_status": "approved_by_network", "seller_message": COMPLETE_MESSAGE}
    if judged is not None and judged.tier is Tier.REVIEW:
        said |= {"seller_message": REVIEW_MESSAGE, "reason": "elevated_risk_level"}
        return outcome | said | {"type": "manual_review"}
    return outcome | said | {"type": "authorized"}


def stopped_outcome(intent: Intent) -> Tree | None:
    """Return the ``outcome`` of a payment that risk control let nobody send; None where an attempt tells its own."""
    error, judged = intent.last_error, intent.judged
    if error is None or judged is None or error.attempt_id is not None:
        return None
    outcome = _base(judged, "normal") | {"network_status": "not_sent_to_network", "type": "blocked"}
    if judged.tier is not Tier.DECLINE:
        return outcome | {"reason": reason_info(error.reason).error_code, "seller_message": PROOF_MESSAGE}
    is_ruled = bool(judged.reasons) and judged.reasons[0] in _RULED
    return outcome | {
        "reason": "rule" if is_ruled else "highest_risk_level",
        "seller_message": BLOCKED_MESSAGE,
    }


def three_d_secure(attempt: Attempt) -> Tree | None:
    """Return the block of a card's charge; None where nobody was asked, or nothing came of it yet."""
    known = attempt.authentication
    if known is None:
        return None
    reason = "rejected" if known.result is AuthenticationResult.FAILED else None
    return {
        "authentication_flow": known.flow,
        "electronic_commerce_indicator": known.eci,
        "exemption_indicator": None,
        "exemption_indicator_applied": None,
        "result": known.result,
        "result_reason": reason,
        "transaction_id": None,
        "version": known.version,
    }


def _base(judged: Judged | None, level: str) -> Tree:
    outcome = nulls(
        "advice_code", "network_advice_code", "network_decline_code", "risk_score", "rule", "reason"
    )
    if judged is None:
        return outcome | {"risk_level": level}
    score = None if judged.score is None else min(round(judged.score * 100), SCORE_MAX)
    return outcome | {"risk_level": _LEVELS.get(judged.tier, level), "risk_score": score}


def _failed(attempt: Attempt) -> Tree:
    known = reason_info(attempt.reason) if attempt.reason else None
    blocked = known is not None and known.fault is Fault.RISK
    return {
        "network_decline_code": attempt.code,
        "network_status": "not_sent_to_network" if blocked else "declined_by_network",
        "reason": known.decline_code if known else None,
        "seller_message": known.engineer_en if known else None,
        "type": "blocked" if blocked else "issuer_declined",
    }
