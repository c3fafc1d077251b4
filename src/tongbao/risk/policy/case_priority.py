"""What a look at a case is worth: expected money saved, by the minute that an analyst spends. Pure arithmetic.

Money is in hundredths of the house's currency. What a payment may lose is its value times the chance that it is fraud; how
much of that a look still saves depends on where the money is: all of it while the payment is held, little once it passed,
least where it was declined and only the next try is at stake. Minutes are those that closed cases of the same kind took,
drawn to what is assumed of the kind until there are enough of them.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.risk.schema.cases import CaseFile, CasePayment, Cause, Stake
from tongbao.risk.schema.tiers import Tier

PASSED_SAVED_SHARE = 0.2
"""Of what passed: a refund before the goods leave, or the recall of a transfer, still comes in time."""
DECLINED_SAVED_SHARE = 0.05
"""What was declined is safe; this is for the next try with the same card elsewhere in the house."""
UNSCORED_CHANCE = 0.2
"""Of a payment that a rule or a list held without a score."""
NEAR_FRAUD_CHANCE = 0.3
"""At least this is the chance of a payment whose case holds a known fraud."""
LOOK_WORTH = 100.0
"""Hundredths that any look is worth, so that cases without money at stake have an order, too."""
OVERDUE_DOUBLES_H = 4.0
"""After so many hours past its due time a case counts twice, after twice as many thrice, and so on."""
MINUTES_PRIOR: dict[Cause, float] = {
    Cause.HELD: 6.0,
    Cause.DECLINED: 3.0,
    Cause.WATCHED_RULE: 8.0,
    Cause.FRAUD_KNOWN: 12.0,
}
PRIOR_CASES = 20.0
"""So many closed cases weigh as much as the assumption."""
CASE_MINUTES_MAX = 120.0
"""Of one case: what lay open over lunch was not worked on."""


class Worked(msgspec.Struct, frozen=True):
    """Closed cases of a kind and the minutes they took together, each counted for ``CASE_MINUTES_MAX`` at most."""

    count: int
    minutes: float


class Rank(NamedTuple):
    """The place of a case in the queue; the greater goes first."""

    is_overdue: bool
    per_minute: float


def saving_of(payments: Sequence[CasePayment], worth: Mapping[str, float]) -> float:
    """Return the expected money that a look at these payments saves. A payment with several looks counts once."""
    is_near_fraud = any(each.is_fraud for each in payments)
    return sum(
        each.value * worth.get(each.currency, 1.0) * chance_of(each, is_near_fraud) * _saved_share(each)
        for each in latest_looks(payments)
    )


def chance_of(payment: CasePayment, is_near_fraud: bool) -> float:
    """Return the chance in [0, 1] that a payment is fraud: its label, otherwise its score."""
    if payment.is_fraud is not None:
        return float(payment.is_fraud)
    score = UNSCORED_CHANCE if payment.score is None else min(max(payment.score, 0.0), 1.0)
    return max(score, NEAR_FRAUD_CHANCE) if is_near_fraud else score


def chance_max(payments: Sequence[CasePayment]) -> float:
    """Return the highest chance among payments; 0 where there are none."""
    is_near_fraud = any(each.is_fraud for each in payments)
    return max((chance_of(each, is_near_fraud) for each in payments), default=0.0)


def stakes_of(payments: Sequence[CasePayment]) -> tuple[Stake, ...]:
    """Return the money of payments by currency, in the order of its code; a payment with several looks counts once."""
    sums: dict[str, list[int]] = {}
    for each in latest_looks(payments):
        amounts = sums.setdefault(each.currency, [0, 0])
        amounts[0] += each.value
        amounts[1] += each.value if each.is_held else 0
    return tuple(Stake(currency, *sums[currency]) for currency in sorted(sums))


def latest_looks(payments: Sequence[CasePayment]) -> list[CasePayment]:
    """Return one look at each payment: the latest, or the latest of those that are held; oldest first."""
    found: dict[tuple[int, UUID], CasePayment] = {}
    for each in sorted(payments, key=lambda payment: (payment.is_held, payment.event_id)):
        found[(each.book_id, each.subject_id)] = each
    return sorted(found.values(), key=lambda payment: payment.event_id)


def expected_minutes(kind: Cause, worked: Worked | None) -> float:
    """Return how long a case of this kind takes, in minutes above 0, from what closed ones took."""
    seen = worked or Worked(0, 0.0)
    return (PRIOR_CASES * MINUTES_PRIOR[kind] + seen.minutes) / (PRIOR_CASES + seen.count)


def rank_of(case: CaseFile, minutes: float, now: datetime) -> Rank:
    """Return the place of a case in the queue, given the minutes it is expected to take.

    Cases past their due time go first, and count for more with every hour, so that each has its turn.
    """
    overdue_h = max((now - case.due_at).total_seconds() / 3600, 0.0)
    return Rank(
        case.due_at <= now,
        (case.saving + LOOK_WORTH) / minutes * (1 + overdue_h / OVERDUE_DOUBLES_H),
    )


def _saved_share(payment: CasePayment) -> float:
    if payment.is_held:
        return 1.0
    if payment.is_fraud is not None:
        return 0.0
    return DECLINED_SAVED_SHARE if payment.tier is Tier.DECLINE else PASSED_SAVED_SHARE
