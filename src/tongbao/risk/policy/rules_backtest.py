"""What new rules would have done to payments that were judged under old ones.

Honest about what a log can tell. Which payments a rule matches is exact; what became of those that were let through is
known, too, once their labels have come: give it payments older than the usual delay of a dispute. What would have become
of a payment that was kept out is not in the log, so a rule's precision is that among payments that went through, with a
95 % interval (Wilson 1927), and is refused under ``KNOWN_COUNT_MIN`` of them.

A payment is *good* where it went through and nobody disputed it, *bad* where it was disputed or is known as fraud,
*unclear* otherwise. Which tier it would get is certain where the log tells the tier of the score alone (``scored``) or
both rule sets bound it; otherwise the mildest possible is taken and the payment counted as uncertain.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tongbao.core.errors import InvalidRequest, LimitExceeded
from tongbao.risk.policy.rules import Applied, Rules, apply, stricter
from tongbao.risk.schema.rules import Act
from tongbao.risk.schema.tiers import Tier

ROWS_MAX = 2_000_000
KNOWN_COUNT_MIN = 30
OVERLAPS_MAX = 5
"""Rules in force that are named beside a new one."""
INTERVAL_Z = 1.959964
"""Two-sided 95 % of the normal distribution."""

Amounts = Mapping[str, int]
"""Hundredths of the major unit by currency; nothing is converted."""


@dataclass(frozen=True, slots=True)
class Logged:
    """A payment as it was judged and how it ended.

    ``values`` are those of the fields of both rule sets, see ``language.ValuesReader``; ``unit`` is what shares are drawn
    by; ``value`` is in hundredths; ``scored``: the tier that score and costs alone gave, None where the log does not tell.
    ``is_disputed``: disputed, or known as fraud otherwise; ``is_blocked``: kept out by risk control, a step-up that was not
    passed included.
    """

    values: Mapping[str, object]
    at: datetime
    unit: str
    value: int
    currency: str
    tier: Tier
    is_succeeded: bool
    is_refunded: bool = False
    is_disputed: bool = False
    is_blocked: bool = False
    scored: Tier | None = None


@dataclass(frozen=True, slots=True)
class Sums:
    """How many payments, and their money by currency in hundredths."""

    count: int
    amounts: Amounts


@dataclass(frozen=True, slots=True)
class Split:
    """Payments by what became of them; the three are disjoint."""

    good: Sums
    bad: Sums
    unclear: Sums

    @property
    def count(self) -> int:
        """All of them."""
        return self.good.count + self.bad.count + self.unclear.count


@dataclass(frozen=True, slots=True)
class Matched:
    """Payments and what became of them; the four endings overlap, and not every payment has one."""

    all: Sums
    succeeded: Sums
    refunded: Sums
    disputed: Sums
    blocked: Sums


@dataclass(frozen=True, slots=True)
class Precision:
    """How many of ``count`` payments that went through were bad; ``low`` and ``high`` bound the share (95 %)."""

    count: int
    bad_count: int
    low: float
    high: float

    @property
    def is_enough(self) -> bool:
        """Whether there are payments enough to speak of a share."""
        return self.count >= KNOWN_COUNT_MIN


@dataclass(frozen=True, slots=True)
class RuleResult:
    """One new rule on the log, drafts as if they acted.

    ``share``: matched of all payments, in [0, 1]. ``raised`` and ``lowered``: payments that this rule alone would have given a
    stricter or milder tier than they had; ``raised.good`` is the friction that it adds. ``covered_count``: matched payments
    that an acting rule in force of another name matches too; ``overlaps``: those rules, the heaviest first.
    """

    name: str
    act: Act
    is_draft: bool
    matched: Matched
    share: float
    precision: Precision
    raised: Split
    lowered: Split
    covered_count: int
    overlaps: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Backtest:
    """The whole: every payment, those that any acting new rule matches, and what the new set changes.

    ``before`` and ``after`` count payments by tier; ``uncertain_count`` of those after are the mildest possible.
    """

    payments: Matched
    matched: Matched
    precision: Precision
    before: Mapping[Tier, int]
    after: Mapping[Tier, int]
    raised: Split
    lowered: Split
    uncertain_count: int
    rules: tuple[RuleResult, ...]


@dataclass(slots=True)
class _Adding:
    count: int = 0
    amounts: Counter[str] = field(default_factory=Counter)

    def add(self, row: Logged) -> None:
        self.count += 1
        self.amounts[row.currency] += row.value

    def sums(self) -> Sums:
        return Sums(self.count, dict(sorted(self.amounts.items())))


@dataclass(slots=True)
class _Endings:
    """Sums of payments by ending; ``known_count`` are those that went through or are bad."""

    all: _Adding = field(default_factory=_Adding)
    succeeded: _Adding = field(default_factory=_Adding)
    refunded: _Adding = field(default_factory=_Adding)
    disputed: _Adding = field(default_factory=_Adding)
    blocked: _Adding = field(default_factory=_Adding)
    known_count: int = 0

    def add(self, row: Logged) -> None:
        self.all.add(row)
        if row.is_succeeded:
            self.succeeded.add(row)
        if row.is_refunded:
            self.refunded.add(row)
        if row.is_disputed:
            self.disputed.add(row)
        if row.is_blocked:
            self.blocked.add(row)
        self.known_count += row.is_succeeded or row.is_disputed

    def matched(self) -> Matched:
        return Matched(
            self.all.sums(),
            self.succeeded.sums(),
            self.refunded.sums(),
            self.disputed.sums(),
            self.blocked.sums(),
        )

    def precision(self) -> Precision:
        return Precision(
            self.known_count, self.disputed.count, *wilson(self.disputed.count, self.known_count)
        )


@dataclass(slots=True)
class _Splitting:
    good: _Adding = field(default_factory=_Adding)
    bad: _Adding = field(default_factory=_Adding)
    unclear: _Adding = field(default_factory=_Adding)

    def add(self, row: Logged) -> None:
        if row.is_disputed:
            self.bad.add(row)
        elif row.is_succeeded:
            self.good.add(row)
        else:
            self.unclear.add(row)

    def split(self) -> Split:
        return Split(self.good.sums(), self.bad.sums(), self.unclear.sums())


@dataclass(slots=True)
class _Sheet:
    """What is gathered of one rule, or of all."""

    endings: _Endings = field(default_factory=_Endings)
    raised: _Splitting = field(default_factory=_Splitting)
    lowered: _Splitting = field(default_factory=_Splitting)
    overlaps: Counter[str] = field(default_factory=Counter)
    covered_count: int = 0

    def move(self, row: Logged, after: Tier) -> None:
        if after.strictness > row.tier.strictness:
            self.raised.add(row)
        elif after.strictness < row.tier.strictness:
            self.lowered.add(row)


def backtest(rows: Iterable[Logged], old: Rules, new: Rules) -> Backtest:
    """Return what ``new`` would have done to ``rows``, which were judged under ``old``; rows are read once.

    Raises LimitExceeded ``backtest_too_long`` beyond ``ROWS_MAX`` rows and InvalidRequest ``backtest_row_invalid`` for one
    without the values that the rules need or with a negative amount.
    """
    sheets = {rule.name: _Sheet() for rule in new.rules}
    payments, whole = _Endings(), _Sheet()
    tiers_before: Counter[Tier] = Counter()
    tiers_after: Counter[Tier] = Counter()
    uncertain_count = 0
    fields = old.fields | new.fields
    for row in rows:
        if payments.all.count >= ROWS_MAX:
            detail = f"a back-test reads at most {ROWS_MAX} payments"
            raise LimitExceeded("backtest_too_long", detail, limit=ROWS_MAX)
        _check(row, fields)
        payments.add(row)
        before = apply(old, row.values, row.at, row.unit)
        after = apply(new, row.values, row.at, row.unit)
        for hit in after.hits:
            _match(sheets[hit.name], row, hit.name, before)
            sheets[hit.name].move(row, _with_one_more(hit.act, before, row.tier))
        if after.tier is not None:
            whole.endings.add(row)
        tier, is_certain = _tier_after(row, before, after)
        uncertain_count += not is_certain
        whole.move(row, tier)
        tiers_before[row.tier] += 1
        tiers_after[tier] += 1
    return Backtest(
        payments=payments.matched(),
        matched=whole.endings.matched(),
        precision=whole.endings.precision(),
        before=dict(tiers_before),
        after=dict(tiers_after),
        raised=whole.raised.split(),
        lowered=whole.lowered.split(),
        uncertain_count=uncertain_count,
        rules=tuple(
            _result(rule.name, rule.act, rule.is_draft, sheets[rule.name], payments.all.count)
            for rule in new.rules
        ),
    )


def wilson(bad_count: int, count: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share; 0 and 1 where nothing was counted."""
    if count == 0:
        return 0.0, 1.0
    share, square = bad_count / count, INTERVAL_Z**2
    center = (share + square / (2 * count)) / (1 + square / count)
    half = (
        math.sqrt(share * (1 - share) / count + square / (4 * count**2)) * INTERVAL_Z / (1 + square / count)
    )
    return max(0.0, center - half), min(1.0, center + half)


def _check(row: Logged, fields: frozenset[str]) -> None:
    missing = sorted(fields - row.values.keys())
    if missing or row.value < 0:
        detail = f"payment {row.unit} has no {missing[0]}" if missing else f"payment {row.unit} has no amount"
        raise InvalidRequest("backtest_row_invalid", detail, unit=row.unit)


def _match(sheet: _Sheet, row: Logged, name: str, before: Applied) -> None:
    sheet.endings.add(row)
    others = [
        hit.name for hit in before.hits if hit.name != name and not hit.is_draft and hit.act is not Act.WATCH
    ]
    sheet.overlaps.update(others)
    sheet.covered_count += bool(others)


def _with_one_more(act: Act, before: Applied, tier: Tier) -> Tier:
    """Return the tier of a payment if one more rule had acted beside those in force."""
    if act is Act.ALLOW:  # the score counts no longer, the floors that it met stay
        return before.floor if before.floor.strictness < tier.strictness else tier
    return tier if act.tier is None else stricter(tier, act.tier)


def _tier_after(row: Logged, before: Applied, after: Applied) -> tuple[Tier, bool]:
    """Return the tier under the new rules, the mildest possible where it is not certain, and whether it is certain."""
    if row.scored is not None:
        return after.over(row.scored), True
    if (before.floor, before.ceiling) == (after.floor, after.ceiling):
        return row.tier, True
    if after.is_score_set_aside:
        return after.floor, True
    if not before.is_score_set_aside:
        if before.floor.strictness < row.tier.strictness:  # only the score can have been that strict
            return after.over(row.tier), True
        if after.floor.strictness >= row.tier.strictness:  # the score was no stricter than the floor it met
            return after.floor, True
    return after.floor, after.floor is Tier.DECLINE


def _result(name: str, act: Act, is_draft: bool, sheet: _Sheet, count: int) -> RuleResult:
    return RuleResult(
        name=name,
        act=act,
        is_draft=is_draft,
        matched=sheet.endings.matched(),
        share=sheet.endings.all.count / count if count else 0.0,
        precision=sheet.endings.precision(),
        raised=sheet.raised.split(),
        lowered=sheet.lowered.split(),
        covered_count=sheet.covered_count,
        overlaps=tuple(sheet.overlaps.most_common(OVERLAPS_MAX)),
    )
