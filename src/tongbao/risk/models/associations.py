"""Rules that fraud seems to follow, mined for analysts: conjunctions of up to three conditions, in the language of rules.

Features become conditions by their quantiles (``card_count_1h > 5``), codes by equality (``card_country == "NG"``). The
search is level by level with a beam, on the older payments only. What it finds is then judged on the newer payments,
which it never saw: lift with Wilson's interval, and the chance of as many frauds if the rule meant nothing, which must
pass Benjamini and Hochberg's bound for the share of false findings (JRSS B 57, 1995). A longer rule is kept only where it is
surely better than each part of it, and a rule whose frauds another finds as well only where it is surely more precise. Equal input gives equal rules.

A mined rule is a hint for whoever writes rules; it decides nothing.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import special

from tongbao.core.errors import InvalidRequest
from tongbao.risk.models.base import Floats
from tongbao.risk.schema.models import FEATURES_MAX, Interval

ROWS_MAX = 400_000
CODES_OF_FIELD_MAX = 50
CODE_CHARS_MAX = 64
CONDITIONS_MAX = 3
BEAM = 200
RULES_MAX = 50
QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
HELD_OUT_SHARE = 0.4
GAIN_MIN = 1.1
"""By how much each further condition must raise precision."""
SAME_MIN = 0.8
"""Share of the frauds of a rule that another finds as well, from which on it has to be surely more precise."""
Z95 = 1.959964
_DIGITS = 3
Bits = NDArray[np.uint8]
Flags = NDArray[np.bool_]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule must reach: known frauds on the older payments, lift, the share of false findings, how many rules."""

    fraud_count_min: int = 15
    lift_min: float = 2.0
    false_share_max: float = 0.05
    rules_max: int = RULES_MAX


class Payments(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Payments with matured labels in the order of time: features (n, n_names), codes by field, labels (n,)."""

    names: tuple[str, ...]
    rows: Floats
    is_fraud: Flags
    codes: Mapping[str, Sequence[str]] = {}


class MinedRule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule and what it did on the newer payments, which it was not found on.

    ``support``: share of payments that match; ``precision``: share of those that are fraud; ``recall``: share of all
    frauds that match; ``lift``: precision over the base rate. ``mined_lift``: what the search believed. ``chance``: the
    probability of as many frauds if the rule meant nothing.
    """

    text: str
    conditions: int
    count: int
    fraud_count: int
    support: float
    precision: Interval
    recall: float
    lift: Interval
    mined_lift: float
    chance: float


class _Condition(msgspec.Struct, frozen=True, eq=False):
    """A condition: its text, what it bounds (a rule bounds nothing twice), and the payments it holds for, as bits."""

    text: str
    bounds: tuple[str, str]
    older: Bits
    newer: Bits


class _Found(msgspec.Struct, frozen=True, eq=False):
    """A conjunction on the older payments; ``parts`` are places of conditions, ascending."""

    parts: tuple[int, ...]
    bits: Bits
    frauds: Bits
    precision: float
    precision_low: float
    worth: float


def mine(payments: Payments, limits: Limits | None = None) -> list[MinedRule]:
    """Return the rules, the most surely lifting first; none where there is too little fraud to find any.

    Raises InvalidRequest ``association_rows_invalid`` for payments that do not fit together or are too many.
    """
    limits = limits or Limits()
    _check(payments)
    cut = len(payments.is_fraud) - round(len(payments.is_fraud) * HELD_OUT_SHARE)
    older, newer = payments.is_fraud[:cut], payments.is_fraud[cut:]
    if min(np.count_nonzero(older), np.count_nonzero(newer)) < limits.fraud_count_min:
        return []
    conditions = list(_conditions(payments, cut))
    judged = []
    for each in _pruned(_searched(conditions, older, limits), limits):
        parts = [conditions[part] for part in each.parts]
        bits = np.bitwise_and.reduce([part.newer for part in parts])
        text = " and ".join(part.text for part in parts)
        judged.append(_judged((text, len(parts)), bits, newer, each.precision / float(np.mean(older))))
    kept = [each for each in _surviving(judged, limits.false_share_max) if each.lift.value >= limits.lift_min]
    return sorted(kept, key=lambda each: (-each.lift.low, each.conditions, each.text))[: limits.rules_max]


def wilson(hits: int, count: int) -> Interval:
    """Return a share with Wilson's interval of 95 %; ``count`` is positive."""
    share = hits / count
    center = (share + Z95**2 / (2 * count)) / (1 + Z95**2 / count)
    half = Z95 / (1 + Z95**2 / count) * math.sqrt(share * (1 - share) / count + Z95**2 / (4 * count**2))
    return Interval(share, min(max(center - half, 0.0), share), max(min(center + half, 1.0), share))


def plain_number(value: float) -> str:
    """Return a number as rules write it: plain decimals with three significant digits, whole where it is large."""
    if value == 0:
        return "0"
    places = max(_DIGITS - 1 - math.floor(math.log10(abs(value))), 0)
    text = f"{value:.{min(places, 15)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _check(payments: Payments) -> None:
    rows, count = payments.rows, len(payments.is_fraud)
    if rows.ndim != 2 or rows.shape != (count, len(payments.names)) or len(payments.names) > FEATURES_MAX:
        raise InvalidRequest("association_rows_invalid", f"rows {rows.shape} do not fit names and labels")
    if count > ROWS_MAX or any(len(each) != count for each in payments.codes.values()):
        detail = f"{count} payments are more than {ROWS_MAX}, or codes do not fit them"
        raise InvalidRequest("association_rows_invalid", detail)


def _conditions(payments: Payments, cut: int) -> Iterator[_Condition]:
    """Yield every condition that holds for some and not for all of the older payments."""
    for (text, name, side), mask in _masks(payments, cut):
        if 0 < np.count_nonzero(mask[:cut]) < cut:
            yield _Condition(text, (name, side), np.packbits(mask[:cut]), np.packbits(mask[cut:]))


def _masks(payments: Payments, cut: int) -> Iterator[tuple[tuple[str, str, str], Flags]]:
    """Yield text, name and side of conditions with the payments that they hold for, none twice."""
    for place, name in enumerate(payments.names):
        column = payments.rows[:, place]
        known = column[:cut][np.isfinite(column[:cut])]
        if not len(known):
            continue
        edges = np.unique(np.quantile(known, QUANTILES, method="inverted_cdf"))
        for bound in dict.fromkeys(plain_number(edge) for edge in edges.tolist()):
            # What stands in the text is what is measured, not the number before it was rounded.
            yield (f"{name} > {bound}", name, ">"), column > float(bound)
            yield (f"{name} <= {bound}", name, "<"), column <= float(bound)
    for name, values in sorted(payments.codes.items()):
        # Nothing and what is too long to be a code are unknown, of which every comparison of a rule is false.
        codes = np.array([code if len(code) <= CODE_CHARS_MAX else "" for code in values], dtype=np.str_)
        found, counts = np.unique(codes[:cut], return_counts=True)
        for place in np.lexsort((found, -counts))[:CODES_OF_FIELD_MAX]:
            code = str(found[place])
            if code and code.isascii() and code.isprintable() and not set(code) & {'"', "\\"}:
                yield (f'{name} == "{code}"', name, "="), codes == code


def _searched(conditions: list[_Condition], is_fraud: Flags, limits: Limits) -> list[_Found]:
    """Return what reaches the limits, of one condition up to ``CONDITIONS_MAX``; each level grows out of a beam."""
    fraud = np.packbits(is_fraud)
    singles = [
        each
        for place, condition in enumerate(conditions)
        if (each := _weighed((place,), condition.older, fraud, limits)) is not None
    ]
    found, level = list(singles), singles
    for _ in range(CONDITIONS_MAX - 1):
        grown: dict[tuple[int, ...], _Found] = {}
        for each, other in itertools.product(_best(level), singles):
            parts = tuple(sorted({*each.parts, *other.parts}))
            bounds = {conditions[part].bounds for part in parts}
            if len(parts) == len(each.parts) or len(bounds) < len(parts) or parts in grown:
                continue
            if _ones(each.frauds & other.bits) < limits.fraud_count_min:
                continue
            longer = _weighed(parts, each.bits & other.bits, fraud, limits)
            if longer is not None and longer.precision >= each.precision * GAIN_MIN:
                grown[parts] = longer
        level = list(grown.values())
        found += level
    base = float(np.mean(is_fraud))
    return [each for each in found if each.precision >= base * limits.lift_min]


def _weighed(parts: tuple[int, ...], bits: Bits, fraud: Bits, limits: Limits) -> _Found | None:
    frauds = bits & fraud
    hits = _ones(frauds)
    if hits < limits.fraud_count_min:
        return None
    precision = wilson(hits, _ones(bits))
    # The lower bound alone would take rules of a handful; many frauds at a lower rate are worth as much to an analyst.
    return _Found(parts, bits, frauds, precision.value, precision.low, precision.low * math.sqrt(hits))


def _best(level: list[_Found]) -> list[_Found]:
    return sorted(level, key=lambda each: (-each.worth, each.parts))[:BEAM]


def _pruned(found: list[_Found], limits: Limits) -> list[_Found]:
    """Return at most twice the rules that are wanted: the best first, none without gain over a part, none twice."""
    precision_of = {each.parts: each.precision for each in found}
    kept: list[_Found] = []
    for each in sorted(found, key=lambda one: (-one.worth, len(one.parts), one.parts)):
        shorter = (
            part for size in range(1, len(each.parts)) for part in itertools.combinations(each.parts, size)
        )
        if any(each.precision_low <= precision_of.get(part, 0.0) for part in shorter):
            continue
        if not any(_adds_nothing(each, other) for other in kept):
            kept.append(each)
        if len(kept) == 2 * limits.rules_max:
            break
    return kept


def _adds_nothing(each: _Found, other: _Found) -> bool:
    """Return whether ``other`` finds most of the frauds of ``each``, and is not surely less precise."""
    shared = _ones(each.frauds & other.frauds)
    return shared >= SAME_MIN * _ones(each.frauds) and other.precision >= each.precision_low


def _judged(named: tuple[str, int], bits: Bits, is_fraud: Flags, mined_lift: float) -> MinedRule:
    """Return what a rule, text and number of conditions, did on the newer payments."""
    text, conditions = named
    count, hits = _ones(bits), _ones(bits & np.packbits(is_fraud))
    base = float(np.mean(is_fraud))
    precision = wilson(hits, count) if count else Interval(0.0, 0.0, 1.0)
    # The binomial tail, by the incomplete beta function.
    chance = float(special.betainc(hits, count - hits + 1, base)) if hits else 1.0
    return MinedRule(
        text=text,
        conditions=conditions,
        count=count,
        fraud_count=hits,
        support=count / len(is_fraud),
        precision=precision,
        recall=hits / int(np.count_nonzero(is_fraud)),
        lift=Interval(precision.value / base, precision.low / base, precision.high / base),
        mined_lift=mined_lift,
        chance=chance,
    )


def _surviving(rules: list[MinedRule], false_share_max: float) -> list[MinedRule]:
    """Return the rules whose chances pass Benjamini and Hochberg's bound."""
    ordered = sorted(rules, key=lambda each: (each.chance, each.text))
    passing = [
        place
        for place, each in enumerate(ordered, start=1)
        if each.chance <= false_share_max * place / len(ordered)
    ]
    return ordered[: max(passing, default=0)]


def _ones(bits: Bits) -> int:
    return int(np.bitwise_count(bits).sum())
