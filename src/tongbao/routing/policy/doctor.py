"""The success-rate doctor: why a smaller or larger share of payments is approved than before, and what to do.

It says of a change whether it is more than chance, how much of it is traffic that moved (mix) and how much rates that
changed, which channels, methods, issuers, currencies and codes it lies in, who is at fault, and what may be done. All
tests of one diagnosis share a false discovery rate of 5 %, effects and causes apart.
"""

import math
from collections.abc import Sequence

import msgspec

from tongbao.routing.policy.doctor_actions import propose
from tongbao.routing.policy.doctor_causes import Found, codes_risen, search
from tongbao.routing.policy.doctor_effects import (
    Z95,
    Decomposition,
    codes_of,
    discoveries,
    effects_of,
    estimate,
    two_sided,
)
from tongbao.routing.policy.doctor_strata import Strata, fault_of, lay_out
from tongbao.routing.schema.health import (
    Cause,
    Cell,
    CodeEffect,
    Diagnosis,
    Effect,
    Estimate,
    Fault,
    Verdict,
)

JUDGED_MIN = 30
"""Judged attempts in either period before anything is said."""
SIGNIFICANT = 0.05


def diagnose(baseline: Sequence[Cell], current: Sequence[Cell], days: float) -> Diagnosis:
    """Return what changed from ``baseline`` to ``current``, whose period has so many ``days``.

    Deterministic. Raises ValueError where ``days`` is not positive.
    """
    if days <= 0:
        raise ValueError("a period has a length")
    strata = lay_out(baseline, current)
    if min(counts.judged for counts in strata.counts) < JUDGED_MIN:
        return _too_few(strata)
    approval = Decomposition(strata.approved, strata.judged)
    completion = Decomposition(strata.approved, strata.total)
    effects, codes = _guarded(effects_of(strata, approval), codes_of(strata))
    p_value = two_sided(approval.change, approval.change_variance)
    verdict = Verdict.STEADY
    if p_value < SIGNIFICANT:
        verdict = Verdict.FELL if approval.change < 0 else Verdict.ROSE
    return Diagnosis(
        verdict=verdict,
        baseline=strata.counts[0],
        current=strata.counts[1],
        change=estimate(approval.change, approval.change_variance),
        p_value=p_value,
        mix=estimate(float(approval.mix.sum()), approval.mix_variance),
        rate=estimate(float(approval.rate.sum()), float(approval.rate_variance.sum())),
        completion_change=estimate(completion.change, completion.change_variance),
        effects=tuple(effects),
        codes=tuple(codes),
        causes=tuple(_cause(strata, completion, found, days) for found in search(strata, completion)),
    )


def _too_few(strata: Strata) -> Diagnosis:
    nothing = Estimate(0.0, -1.0, 1.0)
    return Diagnosis(
        verdict=Verdict.TOO_FEW,
        baseline=strata.counts[0],
        current=strata.counts[1],
        change=nothing,
        p_value=1.0,
        mix=nothing,
        rate=nothing,
        completion_change=nothing,
    )


def _guarded(effects: list[Effect], codes: list[CodeEffect]) -> tuple[list[Effect], list[CodeEffect]]:
    """Return effects and codes with their significance, judged together."""
    kept = discoveries([*(each.p_value for each in effects), *(each.p_value for each in codes)])
    return (
        [
            msgspec.structs.replace(each, significant=is_kept)
            for each, is_kept in zip(effects, kept[: len(effects)], strict=True)
        ],
        [
            msgspec.structs.replace(each, significant=is_kept)
            for each, is_kept in zip(codes, kept[len(effects) :], strict=True)
        ],
    )


def _cause(strata: Strata, completion: Decomposition, found: Found, days: float) -> Cause:
    total = float(strata.total[1].sum())
    of_fault = [key for key in strata.codes if fault_of(*key) is found.fault]
    return Cause(
        fault=found.fault,
        segment=found.segment,
        lost_a_day=estimate(found.lost / days, found.lost_variance / days**2),
        points=estimate(-found.lost / total, found.lost_variance / total**2),
        share=_share(completion, found, total),
        p_value=found.p_value,
        codes=() if found.fault is Fault.MIX else codes_risen(strata, found, of_fault),
        before=found.before,
        now=found.now,
        actions=propose(strata, found, days),
    )


def _share(completion: Decomposition, found: Found, total: float) -> Estimate | None:
    """Return the cause's share of the fall of the completion rate, by the delta method; None without a clear fall.

    The fall is the cause and an independent rest, so the covariance of the two is the cause's own variance.
    """
    fall, fall_variance = -completion.change, completion.change_variance
    if fall <= Z95 * math.sqrt(fall_variance):
        return None
    points, variance = found.lost / total, found.lost_variance / total**2
    share = points / fall
    relative = variance / points**2 + fall_variance / fall**2 - 2 * variance / (points * fall)
    return estimate(share, share * share * max(relative, 0.0))
