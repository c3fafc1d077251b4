"""Whether a challenger keeps its guardrails: read after every payment, without crying wolf more often for it.

The reading is the asymptotic confidence sequence of ``confidence`` on the difference of the two arms' means, two-sided
at ``ALPHA`` (so harm alone is cried in vain in about half as many roll-outs), tuned to ``TUNED_AT`` decisions of both
arms. Several guardrails of one roll-out share ``ALPHA`` (Bonferroni). Both arms carry the larger of the two
variances: of rare events a small arm has seen too few to vary just when its mean is low, which would read as certain
harm (of equal arms at 2 %, one with a share of 5 %, every sixth stream was breached without it, none of 2,000 with).
Each variance holds a quarter of the squared ``value_range`` as one more observation, so that an arm in which nothing
varied yet is not taken for certain (Waudby-Smith and Ramdas 2024). A decision counts as one observation; units that
come often make it less than one.
"""

import enum
import math

import msgspec

from tongbao.decisions.policy.confidence import Moments, difference
from tongbao.decisions.schema.policies import Guardrail

ALPHA = 0.05
TUNED_AT = 10_000


class GuardrailState(enum.StrEnum):
    """What a look says of one guardrail."""

    BREACHED = "breached"
    KEEPING = "keeping"
    TOO_FEW = "too_few"  # an arm has fewer decisions with an outcome than ``count_min``


class Totals(msgspec.Struct, frozen=True):
    """One arm's standing outcomes: how many, their sum, the sum of their squares."""

    count: int = 0
    total: float = 0.0
    total_of_squares: float = 0.0

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(
            self.count + other.count,
            self.total + other.total,
            self.total_of_squares + other.total_of_squares,
        )


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One look: how much worse the challenger's mean is (``harm``, in the outcome's unit), with the interval."""

    state: GuardrailState
    champion_count: int
    challenger_count: int
    harm: float = 0.0
    low: float = -math.inf
    high: float = math.inf


def judge(guardrail: Guardrail, champion: Totals, challenger: Totals, guardrails: int = 1) -> Reading:
    """Return what the totals of one roll-out's epoch say; ``guardrails`` is how many of them share the error.

    Breached where the challenger is worse by more than ``worse_by`` with the whole interval.
    """
    counts = {"champion_count": champion.count, "challenger_count": challenger.count}
    if min(champion.count, challenger.count) < max(guardrail.count_min, 1):
        return Reading(state=GuardrailState.TOO_FEW, **counts)
    better, worse = (champion, challenger) if guardrail.higher_is_better else (challenger, champion)
    variance = max(_variance(better, guardrail.value_range), _variance(worse, guardrail.value_range))
    first, second = (Moments(arm.count, arm.total / arm.count, variance) for arm in (better, worse))
    low, high = (float(each) for each in difference(first, second, ALPHA / guardrails, TUNED_AT))
    state = GuardrailState.BREACHED if low > guardrail.worse_by else GuardrailState.KEEPING
    return Reading(state=state, harm=(low + high) / 2, low=low, high=high, **counts)


def _variance(totals: Totals, value_range: float) -> float:
    """Return the variance of one outcome of an arm that has at least one, with one more observation as told above."""
    squares = max(totals.total_of_squares - totals.total**2 / totals.count, 0.0)
    return (squares + value_range**2 / 4) / (totals.count + 1)
