"""Attempts of two periods, laid out for comparison: one stratum for each channel, method, issuer and currency.

An attempt meets its obstacles one after another: channel, configuration, authentication, the payer's money, the payer,
the issuer. At risk of one is who was stopped by none of those before it; so an outage of a channel does not look like
an issuer that declines less.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from tongbao.routing.schema.health import SEGMENT_DIMENSIONS, Cell, Counts, Dimension, Fault
from tongbao.routing.schema.payments import SICK, Mark

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FAULTS = (
    Fault.TECHNICAL,
    Fault.CONFIGURATION,
    Fault.AUTHENTICATION,
    Fault.FUNDS,
    Fault.PAYER,
    Fault.ISSUER,
)
"""In the order in which an attempt meets them."""
AUTHENTICATION_CODES = frozenset({"authentication_required", "authentication_failed", "approve_with_id"})
FUNDS_CODES = frozenset({"insufficient_funds", "limit_exceeded"})
CONFIGURATION_CODES = frozenset(
    {
        "amount_too_large",
        "amount_too_small",
        "card_not_supported",
        "configuration_invalid",
        "currency_not_supported",
        "duplicate",
        "merchant_invalid",
        "not_permitted_to_merchant",
        "reference_conflict",
        "request_invalid",
        "state_invalid",
    }
)
"""What the merchant, or whoever set up the channel, can mend."""


def fault_of(mark: str, code: str) -> Fault | None:
    """Return who stopped an attempt; None where it was approved. A telling code goes before the mark."""
    if mark == Mark.APPROVED:
        return None
    if code in AUTHENTICATION_CODES:
        return Fault.AUTHENTICATION
    if code in FUNDS_CODES:
        return Fault.FUNDS
    if code in CONFIGURATION_CODES:
        return Fault.CONFIGURATION
    if mark in SICK:
        return Fault.TECHNICAL
    return Fault.PAYER if mark == Mark.NEUTRAL else Fault.ISSUER


@dataclass(frozen=True)
class Part:
    """A part of the traffic: what it is called, and the numbers of its strata, ascending."""

    segment: dict[Dimension, str]
    members: Ints


@dataclass(frozen=True)
class Strata:
    """Counts by stratum. ``[0]`` of the first axis is the baseline period, ``[1]`` the current one.

    ``names``: channel, method, issuer, currency. ``approved``, ``judged``, ``total`` and ``amount`` (minor units of
    all attempts): (2, n). ``stopped``: (faults, 2, n). ``codes``: counts (2, n) by mark and code.
    """

    names: list[tuple[str, ...]]
    approved: Floats
    judged: Floats
    total: Floats
    amount: Floats
    stopped: Floats
    codes: dict[tuple[str, str], Floats]
    counts: tuple[Counts, Counts]

    def at_risk(self, fault: Fault) -> Floats:
        """Return the attempts that got as far as ``fault``: (2, n)."""
        place = FAULTS.index(fault)
        risk: Floats = self.approved + self.stopped[place:].sum(axis=0)
        return risk

    def parts(self, orders: Sequence[int]) -> list[Part]:
        """Return the parts of the traffic by so many dimensions each, of equal ones the first."""
        found: dict[bytes, Part] = {}
        for order in orders:
            for places in combinations(range(len(SEGMENT_DIMENSIONS)), order):
                for part in self.parts_by(places):
                    found.setdefault(part.members.tobytes(), part)
        return list(found.values())

    def parts_by(self, places: Sequence[int]) -> list[Part]:
        """Return the parts by the dimensions at ``places`` of ``SEGMENT_DIMENSIONS``."""
        members: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for index, name in enumerate(self.names):
            members[tuple(name[place] for place in places)].append(index)
        return [
            Part(
                {SEGMENT_DIMENSIONS[place]: value for place, value in zip(places, values, strict=True)},
                np.array(inside, dtype=np.int64),
            )
            for values, inside in sorted(members.items())
        ]


def lay_out(baseline: Sequence[Cell], current: Sequence[Cell]) -> Strata:
    """Return both tables by stratum; cells of one stratum, mark and code are added up."""
    names = sorted({_name(cell) for cell in (*baseline, *current)})
    index = {name: place for place, name in enumerate(names)}
    size = len(names)
    approved, judged, total, amount = (np.zeros((2, size)) for _ in range(4))
    stopped = np.zeros((len(FAULTS), 2, size))
    codes: dict[tuple[str, str], Floats] = {}
    marks: tuple[dict[str, int], dict[str, int]] = (defaultdict(int), defaultdict(int))
    for period, cells in enumerate((baseline, current)):
        for cell in cells:
            place = index[_name(cell)]
            total[period, place] += cell.count
            amount[period, place] += cell.amount_minor
            marks[period][cell.mark] += cell.count
            if cell.mark != Mark.NEUTRAL:
                judged[period, place] += cell.count
            fault = fault_of(cell.mark, cell.code)
            if fault is None:
                approved[period, place] += cell.count
                continue
            stopped[FAULTS.index(fault), period, place] += cell.count
            codes.setdefault((cell.mark, cell.code), np.zeros((2, size)))[period, place] += cell.count
    counts = (Counts(**marks[0]), Counts(**marks[1]))
    return Strata(names, approved, judged, total, amount, stopped, codes, counts)


def _name(cell: Cell) -> tuple[str, ...]:
    return cell.channel, cell.method, cell.issuer, cell.currency
