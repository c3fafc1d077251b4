"""Matching: what our books expect against what somebody reports, in five passes from sure to likely. Pure; no chance in it.

1. ``reference``: equal reference of ours and kind. Alone on both sides: a pair, or the difference by its name. Several under
   one key (captures of one payment): equal amounts pair up in order of day; what is left pairs where it sums to the same.
2. ``channel_reference``: likewise, by what the channel calls it; a reference of ours that then differs is a mismatch of data.
3. ``total``: what is left under one group (a batch) against what is reported under it, or as its sum.
4. ``amount_date``: the only two of an amount, kind and currency within a window, where also a wider window holds no rival, and
   only where no two references contradict each other. A doubtful match is none: it stays a break with a suggestion.
5. What is left is expected (still in time), missing, a duplicate, or unexpected.

Every record ends in exactly one pair or one break, except that a pair may carry a ``fee_mismatch``. Equal input in equal order
gives equal output, and the order changes only which of equal records is paired with which.
"""

from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from tongbao.clearing.policy import matching_windows
from tongbao.clearing.policy.matching_groups import Group, Groups
from tongbao.clearing.policy.matching_keys import Joined, Keyed, join
from tongbao.clearing.policy.matching_records import UNKNOWN_DAY, Flags, Ints, Records, Small, Texts
from tongbao.clearing.schema.breaks import BreakKind, How

Causes = npt.NDArray[np.str_]


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How exact a comparison is. Days are calendar days.

    ``until_on``: the day (as a number) up to which the other side has reported. ``days_apart_max``: days between the two
    sides of a pair that are no surprise. ``window_days``: for matches by amount and date; the wider window is twice it.
    ``fee_tolerance_minor``: difference of costs that is rounding.
    """

    until_on: int
    days_apart_max: int = 3
    window_days: int = 2
    fee_tolerance_minor: int = 0


class Difference(NamedTuple):
    """A break by indexes: what it is, whom it is about, and reported less expected in minor units."""

    kind: BreakKind
    expected: tuple[int, ...]
    reported: tuple[int, ...]
    difference: int = 0
    cause: str = ""


class Matching(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The outcome. ``expected`` and ``reported`` are the indexes of pairs of one and one, ``how`` says by which pass.

    ``groups``: pairs of several. ``differences`` in the order in which they were found.
    """

    expected: Ints
    reported: Ints
    how: Small
    groups: list[Group]
    differences: list[Difference]


HOWS = (How.REFERENCE, How.CHANNEL_REFERENCE, How.TOTAL, How.AMOUNT_DATE, How.PERSON)
"""What the numbers in ``Matching.how`` mean."""


def match(expected: Records, reported: Records, terms: Terms) -> Matching:
    """Return what belongs together and every difference; columns of both sides share their numbers for words."""
    run = _Run(expected, reported, terms)
    run.by_key(How.REFERENCE, expected.reference, reported.reference)
    run.by_key(How.CHANNEL_REFERENCE, expected.channel_reference, reported.channel_reference)
    run.by_other_kind()
    run.by_group()
    run.by_window()
    run.leftovers()
    return run.outcome()


class _Run:
    """One comparison in the making: which records are still open, and what was found."""

    def __init__(self, expected: Records, reported: Records, terms: Terms) -> None:
        self._expected, self._reported, self._terms = expected, reported, terms
        self._open_expected: Flags = np.ones(len(expected), dtype=np.bool_)
        self._open_reported: Flags = np.ones(len(reported), dtype=np.bool_)
        self._pairs: list[tuple[Ints, Ints, int]] = []
        self._groups: list[Group] = []
        self._differences: list[Difference] = []

    def by_key(self, how: How, mine: Texts, theirs: Texts) -> None:
        """Pair by a reference and the kind."""
        left, right = self._keyed(mine, self._expected.kind, 0), self._keyed(theirs, self._reported.kind, 1)
        found = join(left, right)
        if how is How.REFERENCE:
            strays = self._strays(found)
            if len(strays):
                found = join(left, right._replace(at=np.setdiff1d(right.at, strays)))
        self._one_and_one(how, found.expected, found.reported)
        groups = Groups(self._expected, self._reported, how)
        for at_expected, at_reported in found.shared:
            groups.settle(at_expected, at_reported)
        self._take_groups(how, groups)

    def _strays(self, found: Joined) -> Ints:
        """Return reported records that tell our reference of one thing and the channel's of another.

        They belong to neither for sure, and never take the place of the one whose reference they tell.
        """
        expected, reported = self._expected, self._reported
        mine, theirs = (
            expected.channel_reference[found.expected],
            reported.channel_reference[found.reported],
        )
        doubtful = found.reported[(mine != b"") & (theirs != b"") & (mine != theirs)]
        at = np.concatenate([doubtful, *(others for _, others in found.shared)])
        if not len(at):
            return at
        owned = join(
            self._keyed(expected.channel_reference, expected.kind, 0),
            Keyed(reported.channel_reference, reported.kind, np.sort(at)),
        )
        named = expected.reference[owned.expected]
        strays: Ints = owned.reported[(named != b"") & (named != reported.reference[owned.reported])]
        return strays

    def by_other_kind(self) -> None:
        """Name records that share a reference and are not of one kind: a refund that was booked as a sale."""
        expected, reported = self._expected, self._reported
        for mine, theirs in (
            (expected.reference, reported.reference),
            (expected.channel_reference, reported.channel_reference),
        ):
            found = join(
                self._keyed(mine, np.zeros_like(expected.kind), 0),
                self._keyed(theirs, np.zeros_like(reported.kind), 1),
            )
            same = (expected.currency[found.expected] == reported.currency[found.reported]) & (
                np.abs(expected.amount[found.expected]) == np.abs(reported.amount[found.reported])
            )
            for index, other in zip(
                found.expected[same].tolist(), found.reported[same].tolist(), strict=True
            ):
                moved = int(reported.amount[other] - expected.amount[index])
                self._differ(BreakKind.DATA_MISMATCH, (index,), (other,), moved, "kind")

    def by_group(self) -> None:
        """Pair what is left of a batch with what is reported under its name, by their sums.

        One of the sides tells no references: otherwise the parts were compared one by one before, and what is left of them
        are different things.
        """
        for nameless in (1, 0):
            groups = Groups(self._expected, self._reported, How.TOTAL)
            found = join(self._grouped(0, nameless), self._grouped(1, nameless))
            alone = zip(found.expected.tolist(), found.reported.tolist(), strict=True)
            for index, other in alone:
                groups.total(np.array([index]), np.array([other]))
            for at_expected, at_reported in found.shared:
                groups.total(at_expected, at_reported)
            self._take_groups(How.TOTAL, groups)

    def by_window(self) -> None:
        """Pair the only two of an amount near a day."""
        at_expected, at_reported = matching_windows.only_two(
            (self._expected, np.flatnonzero(self._open_expected)),
            (self._reported, np.flatnonzero(self._open_reported)),
            self._terms.window_days,
        )
        self._pair(How.AMOUNT_DATE, at_expected, at_reported)

    def leftovers(self) -> None:
        """Name what has no other half."""
        for index in np.flatnonzero(self._open_expected).tolist():
            overdue = int(self._expected.due_on[index]) < self._terms.until_on
            kind = BreakKind.MISSING if overdue else BreakKind.EXPECTED
            self._differ(kind, (index,), (), -int(self._expected.amount[index]))
        for index in np.flatnonzero(self._open_reported).tolist():
            self._differ(BreakKind.UNEXPECTED, (), (index,), int(self._reported.amount[index]))

    def outcome(self) -> Matching:
        """Return everything that was found."""
        pairs = self._pairs
        none: Ints = np.array([], dtype=np.int64)
        expected = np.concatenate([each[0] for each in pairs]) if pairs else none
        reported = np.concatenate([each[1] for each in pairs]) if pairs else none
        how = np.concatenate([np.full(len(each[0]), each[2]) for each in pairs]) if pairs else none
        return Matching(
            expected=expected,
            reported=reported,
            how=how.astype(np.int16),
            groups=self._groups,
            differences=self._differences,
        )

    def _keyed(self, text: Texts, number: Small, side: int) -> Keyed:
        is_open = self._open_reported if side else self._open_expected
        return Keyed(text, number, np.flatnonzero(is_open))

    def _grouped(self, side: int, nameless: int) -> Keyed:
        """Return the open records of a side by group and currency; of the nameless side those that tell no reference."""
        records = self._reported if side else self._expected
        keyed = self._keyed(records.group, records.currency, side)
        if side != nameless:
            return keyed
        at = keyed.at[(records.reference[keyed.at] == b"") & (records.channel_reference[keyed.at] == b"")]
        return keyed._replace(at=at)

    def _one_and_one(self, how: How, at_expected: Ints, at_reported: Ints) -> None:
        """Pair records that are alone under their key, or name how they differ."""
        expected, reported = self._expected, self._reported
        same_currency = expected.currency[at_expected] == reported.currency[at_reported]
        moved = reported.amount[at_reported] - expected.amount[at_expected]
        cause = self._causes(how, at_expected, at_reported)
        agreed = same_currency & (moved == 0) & (cause == "")
        self._pair(how, at_expected[agreed], at_reported[agreed])
        for place in np.flatnonzero(~agreed).tolist():
            index, other = int(at_expected[place]), int(at_reported[place])
            kind = _kind_of(bool(same_currency[place]), int(moved[place]), int(expected.amount[index]))
            self._differ(kind, (index,), (other,), int(moved[place]), str(cause[place]))

    def _causes(self, how: How, at_expected: Ints, at_reported: Ints) -> Causes:
        """Return which datum of pairs differs although their key is the same: ``on``, ``reference`` or nothing."""
        expected, reported = self._expected, self._reported
        cause = np.zeros(len(at_expected), dtype="U9")
        days = expected.on[at_expected].astype(np.int64), reported.on[at_reported].astype(np.int64)
        known = (days[0] != UNKNOWN_DAY) & (days[1] != UNKNOWN_DAY)
        cause[known & (np.abs(days[0] - days[1]) > self._terms.days_apart_max)] = "on"
        if how is How.CHANNEL_REFERENCE:
            mine, theirs = expected.reference[at_expected], reported.reference[at_reported]
            cause[(mine != b"") & (theirs != b"") & (mine != theirs)] = "reference"
        return cause

    def _take_groups(self, how: How, groups: Groups) -> None:
        pairs = np.array(groups.pairs, dtype=np.int64).reshape(-1, 2)
        order = np.argsort(pairs[:, 0], kind="stable")
        self._one_and_one(how, pairs[order, 0], pairs[order, 1])
        for group in groups.sums:
            self._groups.append(group)
            self._close(group.expected, group.reported)
        for kind, mine, theirs, moved in groups.differences:
            self._differ(kind, mine, theirs, moved)

    def _pair(self, how: How, at_expected: Ints, at_reported: Ints) -> None:
        self._pairs.append((at_expected, at_reported, HOWS.index(how)))
        self._open_expected[at_expected] = False
        self._open_reported[at_reported] = False
        expected, reported = self._expected, self._reported
        moved = reported.fee[at_reported] - expected.fee[at_expected]
        told = expected.has_fee[at_expected] & reported.has_fee[at_reported]
        for place in np.flatnonzero(told & (np.abs(moved) > self._terms.fee_tolerance_minor)).tolist():
            pair = (int(at_expected[place]),), (int(at_reported[place]),)
            self._differences.append(Difference(BreakKind.FEE_MISMATCH, *pair, int(moved[place])))

    def _differ(
        self,
        kind: BreakKind,
        expected: tuple[int, ...],
        reported: tuple[int, ...],
        moved: int,
        cause: str = "",
    ) -> None:
        self._differences.append(Difference(kind, expected, reported, moved, cause))
        # A duplicate names what was paired already: that pair stands.
        self._close(() if kind is BreakKind.DUPLICATE else expected, reported)

    def _close(self, expected: tuple[int, ...], reported: tuple[int, ...]) -> None:
        self._open_expected[list(expected)] = False
        self._open_reported[list(reported)] = False


def _kind_of(is_same_currency: bool, moved: int, expected: int) -> BreakKind:
    """Return how two records under one key differ. More and less are of the absolute amounts: a refund of -5 is over -4."""
    if not is_same_currency:
        return BreakKind.CURRENCY_MISMATCH
    # The same, or the same the other way round: what is wrong is not how much.
    if moved in {0, -2 * expected}:
        return BreakKind.DATA_MISMATCH
    return BreakKind.OVER_AMOUNT if abs(expected + moved) > abs(expected) else BreakKind.UNDER_AMOUNT
