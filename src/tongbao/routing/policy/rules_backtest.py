"""What new routing rules would have done to payments that were routed by the old ones.

Honest about what a log can tell. Where a payment would have gone is known as far as rules decide it; what the other
channel would have answered is not in the log. For that there is one estimate: how the payments that match the same rule
and really went there fared, with their count and a 95 % Wilson interval (Wilson 1927), refused under
``ESTIMATE_COUNT_MIN``. They were chosen for that channel, so even this is a hint, not a measurement.

A payment counts as changed where the new rules say something else of it than the old ones and what they say is not the
route it took. Where a filter leaves several channels, or an old rule falls away, the ranking decides: that is told apart.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from tongbao.core.errors import InvalidRequest, LimitExceeded
from tongbao.routing.policy.rules import Rule, Ruled, Rules, apply
from tongbao.routing.schema.payments import Payment

ROWS_MAX = 500_000
ESTIMATE_COUNT_MIN = 30
INTERVAL_Z = 1.959964
"""Two-sided 95 % of the normal distribution."""
RANKED = "(ranked)"
"""Stands for the channel where filters leave several and the ranking chooses."""
NOWHERE = "(none)"
"""Stands for the channel where the rules leave none."""

Amounts = Mapping[str, int]
"""Minor units by currency."""


@dataclass(frozen=True, slots=True)
class Logged:
    """A payment as it was routed: the channel chosen of ``candidates``, and how it ended.

    ``cost_minor``: what the attempt cost, in minor units of the payment's currency.
    """

    payment: Payment
    channel: str
    candidates: tuple[str, ...]
    approved: bool
    cost_minor: int


@dataclass(frozen=True, slots=True)
class Approval:
    """How many of ``count`` payments were approved; ``low`` and ``high`` bound the share (95 %, 0 and 1 of no payments)."""

    count: int
    approved_count: int
    low: float
    high: float

    @property
    def is_enough(self) -> bool:
        """Whether there are payments enough to speak of a share."""
        return self.count >= ESTIMATE_COUNT_MIN


@dataclass(frozen=True, slots=True)
class Move:
    """Payments that one rule takes from a channel to another.

    ``count`` and ``amounts`` are expectations where a split draws, exact otherwise. ``seen`` is how those fared on the
    channel they took; ``there`` how payments matching the same rule fared that really went to ``to_channel``.
    """

    from_channel: str
    to_channel: str
    count: float
    amounts: Amounts
    seen: Approval
    there: Approval


@dataclass(frozen=True, slots=True)
class RuleResult:
    """One new rule on the log. ``amounts``: money of payments that change route; ``costs``: cost of what matched."""

    name: str
    matched_count: int
    changed_count: float
    amounts: Amounts
    approval: Approval
    costs: Amounts
    moves: tuple[Move, ...]


@dataclass(frozen=True, slots=True)
class Released:
    """Payments that an old rule decided and no new one does: the ranking would have chosen, perhaps the same."""

    rule: str
    count: int
    amounts: Amounts


@dataclass(frozen=True, slots=True)
class Backtest:
    """The whole: results in the order of the new rules."""

    payments_count: int
    changed_count: float
    rules: tuple[RuleResult, ...]
    released: tuple[Released, ...]


@dataclass(slots=True)
class _Tally:
    count: int = 0
    approved_count: int = 0

    def add(self, row: Logged) -> None:
        self.count += 1
        self.approved_count += row.approved

    def approval(self) -> Approval:
        low, high = wilson(self.approved_count, self.count)
        return Approval(self.count, self.approved_count, low, high)


@dataclass(slots=True)
class _Moved:
    count: Fraction = Fraction(0)
    amounts: dict[str, Fraction] = field(default_factory=dict)
    seen: _Tally = field(default_factory=_Tally)

    def add(self, row: Logged, share: Fraction) -> None:
        self.count += share
        currency = row.payment.currency
        self.amounts[currency] = self.amounts.get(currency, Fraction(0)) + share * row.payment.amount_minor
        self.seen.add(row)


@dataclass(slots=True)
class _Sheet:
    """What is gathered of one rule."""

    matched: _Tally = field(default_factory=_Tally)
    costs: Counter[str] = field(default_factory=Counter)
    there: dict[str, _Tally] = field(default_factory=dict)
    moves: dict[tuple[str, str], _Moved] = field(default_factory=dict)

    def match(self, row: Logged) -> None:
        self.matched.add(row)
        self.costs[row.payment.currency] += row.cost_minor
        self.there.setdefault(row.channel, _Tally()).add(row)


def backtest(rows: Sequence[Logged], old: Rules, new: Rules) -> Backtest:
    """Return what ``new`` would have done to ``rows``, which were routed under ``old``.

    Raises LimitExceeded ``backtest_too_long`` beyond ``ROWS_MAX`` rows and InvalidRequest ``backtest_row_invalid`` for one
    whose channel is not among its candidates.
    """
    if len(rows) > ROWS_MAX:
        raise LimitExceeded(
            "backtest_too_long", f"a back-test reads at most {ROWS_MAX} payments", count=len(rows)
        )
    sheets = {rule.name: _Sheet() for rule in new.rules}
    released: dict[str, _Moved] = {}
    for row in rows:
        if row.channel not in row.candidates:
            detail = f"{row.channel} is not among the candidates of payment {row.payment.subject_id}"
            raise InvalidRequest("backtest_row_invalid", detail, channel=row.channel)
        before, after = apply(old, row.payment, row.candidates), apply(new, row.payment, row.candidates)
        for name in after.matched:
            sheets[name].match(row)
        blamed, shares = _fate(before, after, row.channel)
        for channel, share in shares.items():
            sheets[blamed].moves.setdefault((row.channel, channel), _Moved()).add(row, share)
        if not shares and (rule := _release(before, after, row.channel)):
            released.setdefault(rule, _Moved()).add(row, Fraction(1))
    results = tuple(_result(rule, sheets[rule.name]) for rule in new.rules)
    return Backtest(
        payments_count=len(rows),
        changed_count=math.fsum(each.changed_count for each in results),
        rules=results,
        released=tuple(
            Released(name, each.seen.count, _minor(each.amounts)) for name, each in released.items()
        ),
    )


def sentence(move: Move) -> str:
    """Return in English what is known of a move and what is not."""
    count = f"{move.count:.1f}".removesuffix(".0")
    said = f"{count} payments would have left {move.from_channel}, where {_share(move.seen)}"
    if move.to_channel == NOWHERE:
        return f"{said}; no channel would have been left for them."
    if move.to_channel == RANKED:
        return f"{said}; the ranking would have chosen among the channels left, so where to is unknown."
    said += f", for {move.to_channel}. How they would have fared there is unknown; "
    if not move.there.is_enough:
        return f"{said}only {move.there.count} payments like them went there, too few for an estimate."
    return f"{said}of the payments like them that did go there {_share(move.there)}."


def wilson(approved_count: int, count: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share; 0 and 1 where nothing was counted."""
    if count == 0:
        return 0.0, 1.0
    share, square = approved_count / count, INTERVAL_Z**2
    center = (share + square / (2 * count)) / (1 + square / count)
    half = (
        math.sqrt(share * (1 - share) / count + square / (4 * count**2)) * INTERVAL_Z / (1 + square / count)
    )
    return max(0.0, center - half), min(1.0, center + half)


def _fate(before: Ruled, after: Ruled, channel: str) -> tuple[str, Mapping[str, Fraction]]:
    """Return the new rule that moves a payment away from its channel, and the chance of each channel it moves to."""
    if _says(before) == _says(after):
        return "", {}
    blamed = after.filtered.get(channel) or after.decided_by or ""
    if after.split is not None:
        total = sum(after.split.values())
        return blamed, {name: Fraction(part, total) for name, part in after.split.items() if name != channel}
    if after.preferred is not None:
        first = after.preferred[0]
        return blamed, {first: Fraction(1)} if first != channel else {}
    if channel in after.allowed:
        return "", {}
    target = after.allowed[0] if len(after.allowed) == 1 else RANKED
    return blamed, {target if after.allowed else NOWHERE: Fraction(1)}


def _release(before: Ruled, after: Ruled, channel: str) -> str:
    """Return the old rule without which the ranking is freer than it was; empty where there is none."""
    if after.decided_by is not None or channel not in after.allowed:
        return ""
    if before.decided_by is not None:
        return before.decided_by
    return next((rule for name, rule in before.filtered.items() if name in after.allowed), "")


def _says(ruled: Ruled) -> object:
    split = None if ruled.split is None else tuple(ruled.split.items())
    return ruled.allowed, ruled.preferred, split


def _result(rule: Rule, sheet: _Sheet) -> RuleResult:
    none = Approval(0, 0, *wilson(0, 0))
    there = {name: each.approval() for name, each in sheet.there.items()}
    moves = tuple(
        Move(
            from_channel=source,
            to_channel=target,
            count=float(each.count),
            amounts=_minor(each.amounts),
            seen=each.seen.approval(),
            there=there.get(target, none),
        )
        for (source, target), each in sorted(sheet.moves.items())
    )
    return RuleResult(
        name=rule.name,
        matched_count=sheet.matched.count,
        changed_count=float(sum(each.count for each in sheet.moves.values())),
        amounts=_minor(_sum(each.amounts for each in sheet.moves.values())),
        approval=sheet.matched.approval(),
        costs=dict(sheet.costs),
        moves=moves,
    )


def _sum(amounts: Iterable[Mapping[str, Fraction]]) -> dict[str, Fraction]:
    total: dict[str, Fraction] = {}
    for each in amounts:
        for currency, minor in each.items():
            total[currency] = total.get(currency, Fraction(0)) + minor
    return total


def _minor(amounts: Mapping[str, Fraction]) -> dict[str, int]:
    """Return expectations in whole minor units, halves up."""
    return {currency: math.floor(minor + Fraction(1, 2)) for currency, minor in sorted(amounts.items())}


def _share(approval: Approval) -> str:
    percent = 100 * approval.approved_count / approval.count
    bounds = f"95 % interval {100 * approval.low:.1f} to {100 * approval.high:.1f} %"
    return f"{approval.approved_count} of {approval.count} were approved ({percent:.1f} %, {bounds})"
