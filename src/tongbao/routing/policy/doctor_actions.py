"""What may be done about a cause, from a closed list, and what it may bring.

A move to another channel is worth what that channel does better in the same segments in the same period; where nobody
else takes such payments, no number is given. Whatever asks somebody to mend something is worth what was lost.
"""

from typing import NamedTuple

import numpy as np

from tongbao.routing.policy.doctor_causes import Found, common_difference
from tongbao.routing.policy.doctor_effects import Z90, estimate
from tongbao.routing.policy.doctor_strata import Floats, Ints, Strata
from tongbao.routing.schema.health import Action, ActionKind, Basis, Dimension, Estimate, Fault, Gain

COMPARED_MIN = 30
"""Attempts on either side before two channels are compared."""
OUT_OF_ORDER = 0.35
"""The share of technical failures from which a whole channel is better taken out of traffic."""
NO_GAIN = Gain(basis=Basis.NONE)


class _Better(NamedTuple):
    """A channel that does better in the same segments: with the gain in payments of the period, and its variance."""

    channel: str
    gained: float
    variance: float
    compared: Ints
    coverage: float


def propose(strata: Strata, found: Found, days: float) -> tuple[Action, ...]:
    """Return the actions against a cause, best first. ``days``: the length of the current period."""
    kinds = {
        Fault.AUTHENTICATION: ActionKind.STEP_UP,
        Fault.CONFIGURATION: ActionKind.FIX_CONFIGURATION,
        Fault.ISSUER: _whom_to_ask(found),
        Fault.TECHNICAL: _whom_to_ask(found),
    }
    actions = list(_moves(strata, found, days))
    if found.fault is Fault.FUNDS:
        # Nothing in the tallies tells how many of these payers have the money later.
        actions.append(Action(kind=ActionKind.RETRY_LATER, segment=found.segment, gain=NO_GAIN))
    elif found.fault in kinds:
        actions.append(
            Action(kind=kinds[found.fault], segment=found.segment, gain=_mended(strata, found, days))
        )
    return tuple(actions)


def _whom_to_ask(found: Found) -> ActionKind:
    return ActionKind.ASK_ISSUER if Dimension.ISSUER in found.segment else ActionKind.ASK_ACQUIRER


def _moves(strata: Strata, found: Found, days: float) -> list[Action]:
    """Return the move away from the channel that a cause names, where one may be expected to help."""
    channel = found.segment.get(Dimension.CHANNEL)
    if channel is None or found.fault in (Fault.FUNDS, Fault.PAYER):
        return []
    members = found.members
    if found.fault is Fault.MIX:
        members = np.array([i for i, name in enumerate(strata.names) if name[0] == channel], dtype=np.int64)
    is_out = (
        found.fault is Fault.TECHNICAL
        and set(found.segment) == {Dimension.CHANNEL}
        and found.now >= OUT_OF_ORDER
    )
    kind = ActionKind.TAKE_OUT if is_out else ActionKind.MOVE_TRAFFIC
    others = _compared(strata, members)
    if not others:
        return (
            [Action(kind=kind, segment=found.segment, gain=NO_GAIN)] if found.fault is Fault.TECHNICAL else []
        )
    best = max(others, key=lambda each: (each.gained - Z90 * each.variance**0.5, each.channel))
    if best.gained - Z90 * best.variance**0.5 <= 0:
        return []
    gain = Gain(
        basis=Basis.COMPARISON,
        payments_a_day=_scaled(best.gained, best.variance, 1 / days),
        minor_a_day=_in_money(strata, best.compared, (best.gained, best.variance), days),
        coverage=best.coverage,
    )
    return [Action(kind=kind, segment=found.segment, gain=gain, to_channel=best.channel)]


def _compared(strata: Strata, members: Ints) -> list[_Better]:
    """Return how every other channel does now in the segments of ``members``, of one channel, that it takes too."""
    index = {name: place for place, name in enumerate(strata.names)}
    total, approved = strata.total[1], strata.approved[1]
    found = []
    for channel in sorted(
        {name[0] for name in strata.names} - {strata.names[member][0] for member in members}
    ):
        pairs = [(member, index.get((channel, *strata.names[member][1:]))) for member in members]
        both = [(here, there) for here, there in pairs if there is not None and total[here] and total[there]]
        if not both:
            continue
        here, there = (np.array(side, dtype=np.int64) for side in zip(*both, strict=True))
        if min(total[here].sum(), total[there].sum()) < COMPARED_MIN:
            continue
        counts: Floats = np.stack([total[here], total[there]])
        hits: Floats = np.stack([approved[here], approved[there]])
        difference, variance = common_difference(hits, counts)
        reach = float(total[here].sum())
        coverage = reach / float(total[members].sum())
        found.append(_Better(channel, difference * reach, variance * reach * reach, here, coverage))
    return found


def _mended(strata: Strata, found: Found, days: float) -> Gain:
    """Return the gain where everything that was lost comes back."""
    return Gain(
        basis=Basis.BASELINE,
        payments_a_day=_scaled(found.lost, found.lost_variance, 1 / days),
        minor_a_day=_in_money(strata, found.members, (found.lost, found.lost_variance), days),
        coverage=1.0,
    )


def _in_money(
    strata: Strata, members: Ints, payments: tuple[float, float], days: float
) -> dict[str, Estimate]:
    """Return payments (estimate and variance) as minor units a day, by currency, at the mean amount of each."""
    value, variance = payments
    whole = float(strata.total[1][members].sum())
    found = {}
    for currency in sorted({strata.names[member][3] for member in members}):
        of_it = members[[strata.names[member][3] == currency for member in members]]
        # Payments spread over currencies as attempts do, each at the mean amount: amounts over all attempts.
        factor = float(strata.amount[1][of_it].sum()) / whole / days if whole else 0.0
        each = _scaled(value, variance, factor)
        found[currency] = Estimate(float(round(each.value)), float(round(each.low)), float(round(each.high)))
    return found


def _scaled(value: float, variance: float, factor: float) -> Estimate:
    return estimate(value * factor, variance * factor * factor, Z90)
