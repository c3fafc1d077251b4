"""What the risk drill measures: facts of all scenes in, one report out. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.bench.payment_drill_audit import Findings
from tongbao.bench.risk_drill_payers import Stopped, payment_id
from tongbao.bench.risk_drill_reading import Look, Rebuilt, first_looks, reasons_of
from tongbao.bench.risk_drill_shop import HELD, PASSED, STEPPED_UP, STOPPED, Paid, Shop
from tongbao.risk.schema.reasons import ReasonCode
from tongbao.risk.schema.tiers import Tier

GOOD = ("calm", "beside attacks", "around the kill", "cut short", "resumed")
"""Scenes in which customers pay as ever."""
FAILING = "failing"
SCORING_CUT, SCORING_AWAY, SCORING_BACK = "scoring cut short", "scoring away", "scoring back"
"""Scenes around the kill of the scoring process: under way then, begun while it was away, begun once it was back."""
FALLBACK = Tier.FRICTIONLESS
"""The tier that the drill's policy has for what could not be judged."""
FRICTIONLESS_SHARE_MIN = 0.95
BURST_BEFORE_MAX = 8
"""Cards that a tester may try before it is stopped."""
SPREE_PASSED_SHARE_MAX = 0.15
SHOWN_MAX = 50


class Proofs(NamedTuple):
    """How payments stood: after the right code, after five wrong ones, and what a new request for the latter met."""

    passed: str
    failed: str
    again: str


NEVER = Stopped(0, 0.0, 0, 0.0)
UNASKED = Proofs("", "", "")


@dataclass
class Measured:
    """What the scenes found, in the words of the payments' states and of what payers met."""

    burst: Stopped = NEVER
    spree: Stopped = NEVER
    proofs: Proofs = UNASKED
    away_s: tuple[float, float] = (0.0, 0.0)
    scoring_away_s: float = 0.0
    released: str = ""
    rejected: str = ""
    frozen_stopped: bool = False
    one_refused: bool = False
    released_pay: bool = False
    frozen_while_failing: str = ""
    cases: int = 0
    took_s: float = 0.0
    faults: list[str] = field(default_factory=list)


class RiskReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the drill found. Shares are in [0, 1]; money is minor units of the drill's currency.

    ``shares``: tiers of customers who pay as ever; ``newcomer_shares``: of people whom nobody has seen before.
    ``burst_attempts_before_stop``: cards that were tried before the first that risk control did not let pass.
    ``false_declines_of_good``: ordinary payments that risk control declined. ``fallback_tier_used``: looks at which scoring
    failed. ``cut_by_kill``: requests that nobody answered because their process was killed; the audit follows them up.
    ``scoring_away_tiers`` and ``scoring_away_reasons``: of payments begun while the scoring process was away, which was
    ``scoring_away_s`` long from the kill until every process asked it again.
    """

    shares: dict[str, float]
    newcomer_shares: dict[str, float]
    burst_attempts_before_stop: int
    burst_stopped_share: float
    burst_passed_minor: int
    burst_reasons: dict[str, int]
    spree_attempts_before_stop: int
    spree_stopped_share: float
    spree_value_passed_share: float
    spree_passed_minor: int
    spree_reasons: dict[str, int]
    false_declines_of_good: int
    good_payments: int
    step_up_passed: bool
    step_up_failed: str
    step_up_failed_again: str
    held_released: str
    held_rejected: str
    frozen_stopped: bool
    freeze_released_by_two: bool
    killed_rebuilt_equal: bool
    decisions_checked: int
    paid_while_killed: int
    cut_by_kill: int
    scoring_away_tiers: dict[str, int]
    scoring_away_reasons: dict[str, int]
    scoring_away_paid: int
    scoring_away_s: float
    scoring_back_judged: int
    fallback_tier_used: int
    fallback_paid: int
    frozen_while_failing: str
    errors: int
    ledger_balanced: bool
    double_charges: int
    lost: int
    unresolved: int
    unexplained: int
    cases: int
    payments: int
    took_s: float
    faults: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """True where good payers pass, attacks stop, people decide, and neither a kill nor a failure shows."""
        wrong = (
            self.false_declines_of_good,
            self.errors,
            self.double_charges,
            self.lost,
            self.unresolved,
            self.unexplained,
        )
        return not any(wrong) and all(self._promises.values())

    @property
    def _promises(self) -> dict[str, bool]:
        """Every promise of the drill by name, and whether it was kept."""
        return {
            "good payers pass": self.shares[PASSED] >= FRICTIONLESS_SHARE_MIN,
            "the tester is stopped": self.burst_attempts_before_stop <= BURST_BEFORE_MAX,
            "the thief is stopped": self.spree_value_passed_share <= SPREE_PASSED_SHARE_MAX,
            "a right code pays": self.step_up_passed,
            "wrong codes do not": self.step_up_failed == "requires_payment_method",
            "released is captured": self.held_released == "succeeded",
            "rejected is given back": self.held_rejected == "canceled",
            "frozen is stopped": self.frozen_stopped,
            "frozen stays frozen": self.frozen_while_failing == STOPPED,
            "two people release": self.freeze_released_by_two,
            "a rebuilt state is the same": self.killed_rebuilt_equal,
            "payments go on under a kill": self.paid_while_killed > 0,
            "payments go on at the configured tier without scoring": set(self.scoring_away_tiers)
            == {FALLBACK.value}
            and set(self.scoring_away_reasons) == {ReasonCode.UNAVAILABLE.value}
            and self.scoring_away_paid > 0,
            "judgements come back": self.scoring_back_judged > 0,
            "payments go on where scoring fails": self.fallback_tier_used > 0 and self.fallback_paid > 0,
            "the books balance": self.ledger_balanced,
        }

    @property
    def broken_promises(self) -> list[str]:
        """What the drill promises and did not see."""
        return [name for name, is_kept in self._promises.items() if not is_kept]


def report_of(
    measured: Measured, shop: Shop, looks: Sequence[Look], rebuilt: Rebuilt, findings: Findings
) -> RiskReport:
    """Return the report; see ``RiskReport``."""
    firsts = first_looks(looks)
    paid = shop.paid
    good = [each for each in paid if each.scene in GOOD]
    proofs = measured.proofs
    away, back = (looks_in(paid, scene, firsts) for scene in (SCORING_AWAY, SCORING_BACK))
    unexplained = [str(each.id) for each in looks if not each.reasons]
    faults = [
        *measured.faults,
        *(f"error: {each}" for each in shop.errors),
        *(f"rebuilt differs: {each}" for each in rebuilt.differing),
        *(
            ()
            if rebuilt.is_state_equal
            else ("the state rebuilt from snapshot and journal has another digest",)
        ),
        *(f"double charge: {each}" for each in findings.double_charges),
        *(f"lost: {each}" for each in findings.lost),
        *(f"unresolved: {each}" for each in findings.unresolved),
        *(f"ledger: {each}" for each in findings.ledger),
    ]
    return RiskReport(
        shares=shares(good, firsts),
        newcomer_shares=shares([each for each in paid if each.scene == "newcomers"], firsts),
        burst_attempts_before_stop=measured.burst.attempts_before,
        burst_stopped_share=measured.burst.stopped_share,
        burst_passed_minor=measured.burst.passed_minor,
        burst_reasons=why(paid, "burst", firsts),
        spree_attempts_before_stop=measured.spree.attempts_before,
        spree_stopped_share=measured.spree.stopped_share,
        spree_value_passed_share=measured.spree.passed_value_share,
        spree_passed_minor=measured.spree.passed_minor,
        spree_reasons=why(paid, "spree", firsts),
        false_declines_of_good=sum(each.met == STOPPED for each in good),
        good_payments=len(good),
        step_up_passed=proofs.passed == "succeeded",
        step_up_failed=proofs.failed,
        step_up_failed_again=proofs.again,
        held_released=measured.released,
        held_rejected=measured.rejected,
        frozen_stopped=measured.frozen_stopped,
        freeze_released_by_two=measured.one_refused and measured.released_pay,
        killed_rebuilt_equal=rebuilt.is_equal,
        decisions_checked=rebuilt.checked,
        paid_while_killed=paid_between(paid, measured.away_s),
        cut_by_kill=shop.cut,
        scoring_away_tiers=dict(Counter(each.tier for each in away)),
        scoring_away_reasons=reasons_of(away),
        scoring_away_paid=sum(each.met == PASSED for each in paid if each.scene == SCORING_AWAY),
        scoring_away_s=round(measured.scoring_away_s, 1),
        scoring_back_judged=sum(not each.is_fallback for each in back),
        fallback_tier_used=sum(each.is_fallback for each in looks_in(paid, FAILING, firsts)),
        fallback_paid=sum(each.met == PASSED for each in paid if each.scene == FAILING),
        frozen_while_failing=measured.frozen_while_failing,
        errors=len(shop.errors),
        ledger_balanced=not findings.ledger,
        double_charges=len(findings.double_charges),
        lost=len(findings.lost),
        unresolved=len(findings.unresolved),
        unexplained=len(unexplained),
        cases=measured.cases,
        payments=len(paid),
        took_s=round(measured.took_s, 1),
        faults=tuple(faults[:SHOWN_MAX]),
    )


def told(report: RiskReport) -> list[str]:
    """Return the report as people read it, a line for each scene."""
    return [
        f"good payers: {_percent(report.shares)} of {report.good_payments:,}; "
        f"{report.false_declines_of_good} declined by risk control",
        f"newcomers: {_percent(report.newcomer_shares)}",
        f"card testing: stopped after {report.burst_attempts_before_stop} cards, {report.burst_stopped_share:.0%} of all "
        f"tries; {_counted(report.burst_reasons)}",
        f"stolen card: stopped after {report.spree_attempts_before_stop} payments, {report.spree_value_passed_share:.1%} of "
        f"the money passed; {_counted(report.spree_reasons)}",
        f"killed: {report.paid_while_killed} paid meanwhile, {report.decisions_checked:,} decisions held against the "
        f"journal, {'all equal' if report.killed_rebuilt_equal else 'NOT EQUAL'}",
        f"scoring process killed: back after {report.scoring_away_s} s; meanwhile {_counted(report.scoring_away_tiers)} for "
        f"the reason {_counted(report.scoring_away_reasons)}, {report.scoring_away_paid} paid; then "
        f"{report.scoring_back_judged} judged",
        f"scoring failed: {report.fallback_tier_used} looks at the configured tier, {report.errors} errors for payers",
    ]


def _percent(found: Mapping[str, float]) -> str:
    return ", ".join(f"{share:.1%} {tier}" for tier, share in found.items())


def _counted(found: Mapping[str, int]) -> str:
    return ", ".join(f"{count} x {name}" for name, count in found.items())


def shares(paid: Sequence[Paid], firsts: Mapping[UUID, Look]) -> dict[str, float]:
    """Return the share of each tier at the first look at these payments; 0 for all where there is none."""
    seen = [firsts[payment_id(each)] for each in paid if each.id and payment_id(each) in firsts]
    tiers = Counter(each.tier for each in seen)
    return {tier.value: round(tiers[tier.value] / max(1, len(seen)), 4) for tier in Tier}


def looks_in(paid: Sequence[Paid], scene: str, firsts: Mapping[UUID, Look]) -> list[Look]:
    """Return the first look at each payment of a scene, those left out that nobody was told the id of."""
    ids = [payment_id(each) for each in paid if each.scene == scene and each.id]
    return [firsts[each] for each in ids if each in firsts]


def why(paid: Sequence[Paid], scene: str, firsts: Mapping[UUID, Look]) -> dict[str, int]:
    """Return the rules, or reasons, behind what was not let pass in a scene, with how often each was given."""
    ids = [
        payment_id(each) for each in paid if each.scene == scene and each.met in (STEPPED_UP, HELD, STOPPED)
    ]
    return reasons_of([firsts[each] for each in ids if each in firsts])


def paid_between(paid: Sequence[Paid], away_s: tuple[float, float]) -> int:
    """Return how many payments were begun and succeeded while a process was away; instants in Unix seconds."""
    from_s, until_s = away_s
    return sum(
        from_s <= each.began_s and each.began_s + each.took_s <= until_s and each.met == PASSED
        for each in paid
    )
