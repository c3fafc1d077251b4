"""Champion against challenger: which model's decisions cost less, by labels that were known when it was decided. Pure.

Both scores become tiers by the same prices (least expected cost), and tiers become costs by what is known of each payment.
Only payments whose labels were due count, and of those only labels that had arrived: leaving out payments without a label
would count frauds, which are told early, too often. Pairs of costs are resampled (Efron 1979) by customer, because
payments of one spree are one piece of luck. The challenger is promoted where it is cheaper in 95 % of the resamples and
enough frauds were seen.
"""

from datetime import UTC, datetime

import msgspec
import numpy as np
from numpy.typing import NDArray

from tongbao.core.errors import InvalidRequest
from tongbao.risk.policy.tiering import ManyRates, Range, allowed_within, costs_of_many, terms_of
from tongbao.risk.schema.models import Comparison, ComparisonVerdict, Interval
from tongbao.risk.schema.tiers import Costs, Rates

PROB_MIN = 0.95
FRAUDS_MIN = 50
RESAMPLES = 2_000
RESAMPLES_MAX = 20_000
ROWS_MAX = 2_000_000
_DRAWS_AT_ONCE = 4_000_000
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Pricing(msgspec.Struct, frozen=True, kw_only=True):
    """How scores become tiers and tiers costs, as in the specification of a policy, and the rates of the middle tiers.

    Default rates are those of the published comparison of step-up policies. Prices of what is scarce move tiers; they are
    no cost of a payment.
    """

    costs: Costs = Costs()
    step_up: Rates = Rates(lost_share=0.08, caught_share=0.9)
    review: Rates = Rates(lost_share=0.12, caught_share=0.99)
    step_up_price: float = 0.0
    review_price: float = 0.0
    can_step_up: bool = True
    can_review: bool = True


class ScoredPayments(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Payments with the scores of both models, arrays (n,).

    Scores are calibrated chances of fraud, ``values`` hundredths. Instants are whole seconds since 1970; ``known_at_s`` is
    when the label became known, anything where ``is_fraud`` is False. ``customers``: a number for whoever paid.
    """

    champion: Floats
    challenger: Floats
    values: Integers
    occurred_at_s: Integers
    known_at_s: Integers
    is_fraud: Flags
    customers: Integers


class Contest(msgspec.Struct, frozen=True, kw_only=True):
    """How a comparison is held: when, how long labels take, and what a challenger must show."""

    decided_at: datetime
    label_delay_s: int
    fraud_count_min: int = FRAUDS_MIN
    prob_min: float = PROB_MIN
    resamples: int = RESAMPLES


def compare(
    payments: ScoredPayments, contest: Contest, pricing: Pricing, rng: np.random.Generator
) -> Comparison:
    """Return the comparison; equal payments and an equal state of ``rng`` give equal results.

    Raises InvalidRequest ``comparison_invalid`` for arrays that do not fit, scores outside [0, 1] and numbers out of range.
    """
    _check(payments, contest)
    decided_s = int(contest.decided_at.timestamp())
    due = payments.occurred_at_s <= decided_s - contest.label_delay_s
    is_fraud = payments.is_fraud[due] & (payments.known_at_s[due] <= decided_s)
    values = payments.values[due].astype(np.float64)
    champion, challenger = (
        tiers_of(scores[due], values, pricing) for scores in (payments.champion, payments.challenger)
    )
    costs, other_costs = (costs_of(tiers, values, is_fraud, pricing) for tiers in (champion, challenger))
    savings = costs - other_costs
    saving, cheaper_prob = _resampled(savings, payments.customers[due], contest.resamples, rng)
    frauds, count = int(np.count_nonzero(is_fraud)), len(values)
    return Comparison(
        verdict=_verdict(frauds, cheaper_prob, contest),
        decided_at=contest.decided_at,
        count=count,
        fraud_count=frauds,
        fraud_count_min=contest.fraud_count_min,
        champion_cost=float(costs.mean()) if count else 0.0,
        challenger_cost=float(other_costs.mean()) if count else 0.0,
        saving=saving,
        cheaper_prob=cheaper_prob,
        prob_min=contest.prob_min,
        moved_share=float(np.mean(champion != challenger)) if count else 0.0,
        resamples=contest.resamples,
    )


def tiers_of(scores: Floats, values: Floats, pricing: Pricing) -> Integers:
    """Return the places in ``TIERS`` of the tiers of least expected cost, the milder where two cost the same."""
    rates = ManyRates.same(pricing.step_up, pricing.review)
    terms = terms_of(pricing.costs, pricing.step_up_price, pricing.review_price)
    within = Range(can_step_up=pricing.can_step_up, can_review=pricing.can_review)
    costs = np.where(allowed_within(within), costs_of_many(scores, values, rates, terms), np.inf)
    cheapest: Integers = costs.argmin(axis=1)
    return cheapest


def costs_of(tiers: Integers, values: Floats, is_fraud: Flags, pricing: Pricing) -> Floats:
    """Return what each payment costs on average in its tier, in hundredths, when it is known what it was."""
    rates = ManyRates.same(pricing.step_up, pricing.review)
    # What is known to be fraud has a chance of one, whatever a model said.
    costs = costs_of_many(is_fraud.astype(np.float64), values, rates, terms_of(pricing.costs))
    own: Floats = costs[np.arange(len(costs)), tiers]
    return own


def comparison_text(comparison: Comparison, language: str) -> str:
    """Return the comparison in words, Chinese for languages that begin with ``zh``, else English."""
    chinese = language.startswith("zh")
    facts = {
        "at": comparison.decided_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M"),
        "count": f"{comparison.count:,}",
        "frauds": f"{comparison.fraud_count:,}",
        "frauds_min": f"{comparison.fraud_count_min:,}",
        "champion": f"{comparison.champion_cost / 100:.4f}",
        "challenger": f"{comparison.challenger_cost / 100:.4f}",
        "saving": f"{comparison.saving.value / 100:+.4f}",
        "low": f"{comparison.saving.low / 100:+.4f}",
        "high": f"{comparison.saving.high / 100:+.4f}",
        "prob": f"{comparison.cheaper_prob * 100:.1f} %",
        "prob_min": f"{comparison.prob_min * 100:g} %",
        "moved": f"{comparison.moved_share * 100:.2f} %",
    }
    parts = [_SEEN[0 if chinese else 1], _VERDICTS[comparison.verdict][0 if chinese else 1]]
    return ("" if chinese else " ").join(part.format(**facts) for part in parts)


_SEEN = (
    "截至 {at}（UTC），{count} 笔支付的标签已到期，其中 {frauds} 笔为欺诈。现用模型每笔成本 {champion}，挑战模型 {challenger}，"
    "每笔节省 {saving}（95 % 区间 {low} 至 {high}）。两者对 {moved} 的支付给出不同处置；挑战模型更省的概率为 {prob}。",
    "At {at} (UTC) the labels of {count} payments were due, {frauds} of them fraud. The champion costs {champion} a payment, "
    "the challenger {challenger}: a saving of {saving} (95 % interval {low} to {high}). The two treat {moved} of payments "
    "differently; the challenger is cheaper with a probability of {prob}.",
)
_VERDICTS: dict[ComparisonVerdict, tuple[str, str]] = {
    ComparisonVerdict.PROMOTE: (
        "结论：启用挑战模型（要求概率不低于 {prob_min}）。",
        "Verdict: promote the challenger ({prob_min} are asked for).",
    ),
    ComparisonVerdict.KEEP: (
        "结论：保留现用模型（要求概率不低于 {prob_min}）。",
        "Verdict: keep the champion ({prob_min} are asked for).",
    ),
    ComparisonVerdict.TOO_FEW: (
        "结论：欺诈样本不足（至少 {frauds_min} 笔），保留现用模型。",
        "Verdict: too few frauds to tell (at least {frauds_min}), keep the champion.",
    ),
}


def _check(payments: ScoredPayments, contest: Contest) -> None:
    columns = [getattr(payments, name) for name in ScoredPayments.__struct_fields__]
    if {each.shape for each in columns} != {payments.values.shape} or payments.values.ndim != 1:
        raise InvalidRequest("comparison_invalid", "the columns are not of one length")
    scores = np.stack([payments.champion, payments.challenger])
    if len(payments.values) > ROWS_MAX or not bool(np.all((scores >= 0) & (scores <= 1))):
        raise InvalidRequest("comparison_invalid", f"more than {ROWS_MAX} payments, or scores outside 0 to 1")
    if not bool(np.all(payments.values >= 0)):
        raise InvalidRequest("comparison_invalid", "a value is negative")
    if not 1 <= contest.resamples <= RESAMPLES_MAX or contest.label_delay_s < 0:
        raise InvalidRequest("comparison_invalid", "the number of resamples or the delay is out of range")


def _resampled(
    savings: Floats, customers: Integers, resamples: int, rng: np.random.Generator
) -> tuple[Interval, float]:
    """Return the saving per payment with its interval, and the share of resamples in which there is one.

    Customers without a difference are drawn as a number only: how many of n draws fall on the others is binomial.
    """
    if not len(savings):
        return Interval(0.0, 0.0, 0.0), 0.0
    _, places = np.unique(customers, return_inverse=True)
    sums = np.bincount(places, weights=savings)
    moved = sums[sums != 0]
    if not len(moved):
        return Interval(0.0, 0.0, 0.0), 0.0
    hits = rng.binomial(len(sums), len(moved) / len(sums), resamples)
    totals = np.empty(resamples)
    at_once = max(_DRAWS_AT_ONCE // int(hits.max(initial=1)), 1)
    for begin in range(0, resamples, at_once):
        part = hits[begin : begin + at_once]
        drawn = np.append(moved[rng.integers(len(moved), size=int(part.sum()))], 0.0)
        ends = np.cumsum(part)
        running = np.append(0.0, np.cumsum(drawn[:-1]))
        totals[begin : begin + at_once] = running[ends] - running[ends - part]
    means = totals / len(savings)
    low, high = np.quantile(means, [0.025, 0.975])
    # A resample that costs the same by either speaks for neither.
    cheaper_prob = float(np.mean(totals > 0) + np.mean(totals == 0) / 2)
    return Interval(float(savings.mean()), float(low), float(high)), cheaper_prob


def _verdict(frauds: int, cheaper_prob: float, contest: Contest) -> ComparisonVerdict:
    if frauds < contest.fraud_count_min:
        return ComparisonVerdict.TOO_FEW
    return ComparisonVerdict.PROMOTE if cheaper_prob >= contest.prob_min else ComparisonVerdict.KEEP
