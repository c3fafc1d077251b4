"""Whom risk control bothers: shares and false positives by groups of payments that merchants know. Pure.

Groups are of three kinds: the country of the card, whether the customer was seen before, and bands of the amount. Known to
have been good is a payment that somebody said so of, and one that went on, was approved and got no label of fraud although
it had the time: of payments that were declined nobody knows. A false positive is a good payment that was not let pass
unseen. Groups of fewer than ``GROUP_COUNT_MIN`` payments are not told: a share of few names people and proves nothing.
Intervals are Wilson's, of 95 %.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tongbao.risk.models.associations import wilson
from tongbao.risk.policy.model_card import GROUP_COUNT_MIN, RATIO_MIN
from tongbao.risk.schema.fairness import (
    BANDS,
    COUNTRIES_MAX,
    OTHERS,
    UNKNOWN,
    Group,
    Segment,
    SegmentShares,
)
from tongbao.risk.schema.models import GroupCounts, Interval
from tongbao.risk.schema.tiers import Tier

STOPPING = (Tier.STEP_UP, Tier.REVIEW, Tier.DECLINE)


class Told(NamedTuple):
    """A judged payment as fairness sees it. ``is_good`` None: nobody knows yet, or ever will.

    ``is_known``: whether its customer was seen before, None where there is none. ``value`` in hundredths of the costs.
    """

    tier: Tier
    value: int
    country: str
    is_known: bool | None
    is_good: bool | None


def shares(payments: Sequence[Told]) -> tuple[SegmentShares, ...]:
    """Return the groups of every segment, the greatest first; bands in their order."""
    countries = _countries(payments)
    return (
        _segment(Segment.CARD_COUNTRY, ((_country(each, countries), each) for each in payments)),
        _segment(Segment.CUSTOMER, ((_customer(each), each) for each in payments)),
        _segment(Segment.AMOUNT, ((_band(each.value), each) for each in payments)),
    )


def group_counts(found: Iterable[SegmentShares]) -> tuple[GroupCounts, ...]:
    """Return the groups that are great enough as a model card takes them."""
    return tuple(
        GroupCounts(
            group=f"{of.segment.value} {each.group}", good_count=each.good_count, false_count=each.false_count
        )
        for of in found
        for each in of.groups
        if each.false is not None
    )


def _segment(segment: Segment, payments: Iterable[tuple[str, Told]]) -> SegmentShares:
    tiers: Counter[tuple[str, Tier]] = Counter()
    good: Counter[str] = Counter()
    false: Counter[str] = Counter()
    for name, each in payments:
        tiers[name, each.tier] += 1
        if each.is_good:
            good[name] += 1
            false[name] += each.tier is not Tier.FRICTIONLESS
    names = {name for name, _ in tiers}
    groups = [_group(name, tiers, good[name], false[name]) for name in names]
    order = [name for name, _ in BANDS]
    groups.sort(
        key=lambda each: (
            order.index(each.group) if segment is Segment.AMOUNT else 0,
            each.group in (OTHERS, UNKNOWN),
            -each.count,
            each.group,
        )
    )
    return _compared(segment, groups)


def _group(name: str, tiers: Counter[tuple[str, Tier]], good: int, false: int) -> Group:
    count = sum(tiers[name, tier] for tier in Tier)
    if count < GROUP_COUNT_MIN:
        return Group(group=name, count=count)
    step_up, review, decline = (wilson(tiers[name, tier], count) for tier in STOPPING)
    is_enough = good >= GROUP_COUNT_MIN
    return Group(
        group=name,
        count=count,
        step_up=step_up,
        review=review,
        decline=decline,
        good_count=good if is_enough else 0,
        false_count=false if is_enough else 0,
        false=wilson(false, good) if is_enough else None,
    )


def _compared(segment: Segment, groups: Sequence[Group]) -> SegmentShares:
    """Return the groups with those marked whose good payers are bothered beyond chance more than others'."""
    rates = [each.false for each in groups if each.false is not None]
    if len(rates) < 2:
        return SegmentShares(segment=segment, groups=tuple(groups))
    lowest = min(rates, key=lambda each: (each.value, each.high))
    highest = max(rates, key=lambda each: each.value)
    marked = frozenset(
        each.group for each in groups if each.false is not None and _is_apart(each.false, lowest)
    )
    ratio = lowest.value / highest.value if highest.value else 1.0
    return SegmentShares(segment=segment, groups=tuple(groups), ratio=ratio, marked=marked)


def _is_apart(rate: Interval, lowest: Interval) -> bool:
    return rate.low > lowest.high and lowest.value < RATIO_MIN * rate.value


def _countries(payments: Sequence[Told]) -> frozenset[str]:
    """Return the countries that get a group of their own: the most frequent that are great enough."""
    counts = Counter(each.country for each in payments if each.country)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return frozenset(name for name, count in ordered[:COUNTRIES_MAX] if count >= GROUP_COUNT_MIN)


def _country(each: Told, known: frozenset[str]) -> str:
    if not each.country:
        return UNKNOWN
    return each.country if each.country in known else OTHERS


def _customer(each: Told) -> str:
    if each.is_known is None:
        return UNKNOWN
    return "known" if each.is_known else "new"


def _band(value: int) -> str:
    return next(name for name, end in BANDS if end is None or value < end)
