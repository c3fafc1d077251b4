"""What to do about a break: one suggestion with its facts, from the break and those that stand beside it. Pure.

A suggestion is for a person. None of them is carried out by itself.
"""

import enum
from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple
from uuid import UUID

from tongbao.clearing.schema.breaks import Break, BreakKind
from tongbao.core import currencies

NEAR = timedelta(days=7)


class Suggestion(enum.StrEnum):
    """What to do; the sentences are in ``policy.break_texts``."""

    WAIT = "wait"
    ASK_CHANNEL = "ask_channel"
    INQUIRE = "inquire"
    MAJOR_UNITS = "major_units"
    NET_FOR_GROSS = "net_for_gross"
    SWAPPED = "swapped"
    LOOKS_LIKE = "looks_like"
    PARTIAL = "partial"
    RETURN_TWICE = "return_twice"
    CHECK_PRICE = "check_price"
    FETCH_STATEMENT = "fetch_statement"
    CREDIT_BACK = "credit_back"
    ASK_WHO = "ask_who"


class Amounts(NamedTuple):
    """What both sides of a break say, minor units; a side that is absent is None. ``reference`` is ours, where it is told."""

    expected_minor: int | None
    reported_minor: int | None
    fee_minor: int | None = None
    reference: str = ""
    due_on: date | None = None


class Advice(NamedTuple):
    """A suggestion and what stands in its sentence."""

    suggestion: Suggestion
    facts: dict[str, str]


_PLAIN = {
    BreakKind.DUPLICATE: Suggestion.RETURN_TWICE,
    BreakKind.FEE_MISMATCH: Suggestion.CHECK_PRICE,
    BreakKind.STATEMENT_GAP: Suggestion.FETCH_STATEMENT,
    BreakKind.RETURN_LATE: Suggestion.CREDIT_BACK,
}


def advise(breaks: Sequence[tuple[Break, Amounts]], today: date) -> dict[UUID, Advice]:
    """Return one suggestion for each break, from what stands beside it among ``breaks``."""
    beside = _Beside(breaks)
    return {each.id: _advice(each, amounts, beside, today) for each, amounts in breaks}


class _Beside:
    """Breaks by what makes two of them belong together."""

    def __init__(self, breaks: Sequence[tuple[Break, Amounts]]) -> None:
        self._by_amount: dict[tuple[str, int, bool], list[Break]] = defaultdict(list)
        self._by_difference: dict[tuple[str, int], list[Break]] = defaultdict(list)
        for each, amounts in breaks:
            one_sided = (amounts.expected_minor is None) != (amounts.reported_minor is None)
            if one_sided:
                amount = amounts.expected_minor if amounts.reported_minor is None else amounts.reported_minor
                key = each.found.currency, amount or 0, amounts.reported_minor is None
                self._by_amount[key].append(each)
            elif each.found.difference_minor:
                self._by_difference[each.found.currency, each.found.difference_minor].append(each)

    def half_of(self, of: Break, amount_minor: int, *, is_ours: bool) -> Break | None:
        """Return the nearest break on the other side with this amount within a week; our side where ``is_ours``."""
        return _nearest(of, self._by_amount.get((of.found.currency, amount_minor, is_ours), ()))

    def opposite_of(self, of: Break) -> Break | None:
        """Return the nearest break with the opposite difference within a week."""
        key = of.found.currency, -of.found.difference_minor
        return _nearest(of, self._by_difference.get(key, ()))


def _nearest(of: Break, candidates: Sequence[Break]) -> Break | None:
    near = [each for each in candidates if each.id != of.id and abs(each.opened_on - of.opened_on) <= NEAR]
    return min(near, key=lambda each: (abs(each.opened_on - of.opened_on), each.id), default=None)


def _advice(of: Break, amounts: Amounts, beside: _Beside, today: date) -> Advice:
    kind = of.found.kind
    facts = {"source": of.source, "reference": amounts.reference or "–"}
    if kind in _PLAIN:
        fee = {
            "told": str(of.found.difference_minor + (amounts.fee_minor or 0)),
            "agreed": str(amounts.fee_minor or 0),
        }
        return Advice(_PLAIN[kind], facts | fee)
    if amounts.expected_minor is None or amounts.reported_minor is None:
        return _one_sided(of, amounts, beside, facts | {"days": str((today - of.opened_on).days)})
    return _two_sided(of, amounts, beside, facts)


def _one_sided(of: Break, amounts: Amounts, beside: _Beside, facts: dict[str, str]) -> Advice:
    is_ours = amounts.reported_minor is None
    amount = amounts.expected_minor if is_ours else amounts.reported_minor
    other = beside.half_of(of, amount or 0, is_ours=not is_ours)
    if other is not None:
        apart = str(abs(other.opened_on - of.opened_on).days)
        return Advice(Suggestion.LOOKS_LIKE, facts | {"other": other.reference, "days": apart})
    if of.found.kind is BreakKind.EXPECTED:
        return Advice(Suggestion.WAIT, facts | {"due_on": str(amounts.due_on or "–")})
    if is_ours:
        return Advice(Suggestion.ASK_CHANNEL, facts)
    return Advice(Suggestion.INQUIRE if amounts.reference else Suggestion.ASK_WHO, facts)


def _two_sided(of: Break, amounts: Amounts, beside: _Beside, facts: dict[str, str]) -> Advice:
    expected, reported = amounts.expected_minor or 0, amounts.reported_minor or 0
    factor = 10 ** currencies.currency(of.found.currency).exponent if of.found.currency else 1
    if (
        factor > 1
        and expected
        and reported
        and (reported == expected * factor or expected == reported * factor)
    ):
        return Advice(Suggestion.MAJOR_UNITS, facts | {"factor": str(factor)})
    if amounts.fee_minor and of.found.difference_minor == -amounts.fee_minor:
        return Advice(Suggestion.NET_FOR_GROSS, facts)
    other = beside.opposite_of(of) if of.found.difference_minor else None
    if other is not None:
        return Advice(Suggestion.SWAPPED, facts | {"other": other.reference})
    if (
        of.found.kind in {BreakKind.UNDER_AMOUNT, BreakKind.SPLIT_MISMATCH}
        and expected
        and 0 < reported / expected < 1
    ):
        return Advice(Suggestion.PARTIAL, facts | {"percent": str(reported * 100 // expected)})
    return Advice(Suggestion.ASK_CHANNEL, facts | {"days": "0"})
