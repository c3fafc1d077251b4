"""``tongbao risk status``: who decides, how payments were spread over tiers, what waits for people, whether scores moved."""

from datetime import timedelta
from typing import NamedTuple

from tongbao.decisions.schema.policies import Rollout
from tongbao.risk.schema.cases import CaseScope, CaseState
from tongbao.risk.schema.freezes import PAGE_MAX, FreezeQuery, FreezeState
from tongbao.risk.schema.models import Shift
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.schema.watches import Watch
from tongbao.risk.service.case_reading import Wanted
from tongbao.risk.service.compiling import POLICY
from tongbao.risk.service.looking import Mode, TierShare
from tongbao.web.commands.at_desk import Json, Live, instant, print_json, print_line, print_table
from tongbao.web.commands.risk_desk import RiskDesk, at_risk_desk, plain
from tongbao.web.commands.risk_payments import tell_alarms

DAY = timedelta(days=1)


class _Status(NamedTuple):
    """What is shown; counts of cases and freezes stop at ``PAGE_MAX``. ``score_shift`` None: too few payments."""

    rollout: Rollout | None
    model: str
    tiers: list[TierShare]
    cases: dict[str, int]
    freezes: dict[str, int]
    score_shift: Shift | None
    watch: Watch | None = None


def status(live: Live = True, as_json: Json = False) -> None:
    """Show how risk control stands: policy, model, tiers of the last day, open cases, freezes, drift of scores."""
    found = at_risk_desk(lambda desk: _read(desk, live))
    if as_json:
        print_json(plain(found))
        return
    _tell(found)


async def _read(desk: RiskDesk, live: bool) -> _Status:
    now, looking = desk.runtime.clock.now(), desk.hindsight.looking
    policies = desk.decisions.policies
    rollout = await policies.current(POLICY)
    model = ""
    if rollout is not None:
        champion = await policies.version(POLICY, rollout.champion)
        model = str(champion.spec.get("model", ""))
    cases = {}
    for state in (CaseState.OPEN, CaseState.ASSIGNED, CaseState.WAITING):
        page = await desk.risk.case_reading.page(Wanted(CaseScope(live), state), limit=PAGE_MAX)
        cases[state.value] = len(page)
    freezes = {}
    for kind in (FreezeState.FROZEN, FreezeState.REQUIRES_APPROVAL):
        query = FreezeQuery(live=live, state=kind, limit=PAGE_MAX)
        freezes[kind.value] = len((await desk.risk.freezing.page(query)).items)
    mode = Mode(live)
    tiers = await looking.shares(mode, now - DAY, now)
    shift = await looking.score_shift(mode, now)
    watch = await desk.risk.watching.kept(model, live=live) if model else None
    return _Status(rollout, model, tiers, cases, freezes, shift, watch)


def _tell(found: _Status) -> None:
    rollout = found.rollout
    if rollout is None:
        print_line("Policy: what is built in decides; nothing was rolled out yet.")
    else:
        others = "" if rollout.challenger is None else f", version {rollout.challenger} is tried"
        print_line(f"Policy: {rollout.policy} version {rollout.champion} decides{others}.")
    print_line(f"Model: {found.model or 'the scorecard that the house comes with'}")
    _tell_tiers(found.tiers)
    print_line(f"Cases: {_counts(found.cases)}")
    print_line(f"Freezes: {_counts(found.freezes)}")
    _tell_watch(found)
    shift = found.score_shift
    if shift is None:
        print_line("Scores: too few payments to say whether they moved.")
        return
    moved = "moved" if shift.psi > shift.noise else "have not moved"
    print_line(
        f"Scores of the last day {moved} against the week before: stability index {shift.psi:.3f}, "
        f"chance alone reaches {shift.noise:.3f}."
    )


def _tell_watch(found: _Status) -> None:
    if not found.model:
        return
    watch = found.watch
    if watch is None:
        print_line("Watch: nobody has looked at the model in force yet.")
        return
    print_line(f"Watch: looked at {instant(watch.facts.at)} UTC, {len(watch.alarms)} alarms.")
    tell_alarms(found.model[:12], watch, "en")


def _tell_tiers(tiers: list[TierShare]) -> None:
    total = sum(each.payment_count for each in tiers)
    if not total:
        print_line("Payments: none was judged in the last day.")
        return
    by_tier = {each.tier: each for each in tiers}
    print_table(
        ("Tier", "Payments#", "Share#", "Approved#", "Known frauds#", "Proved#", "Not proved#"),
        [
            (
                tier.value,
                f"{by_tier[tier].payment_count:,}",
                f"{by_tier[tier].payment_count / total:.1%}",
                f"{by_tier[tier].approved_count:,}",
                f"{by_tier[tier].fraud_count:,}",
                f"{by_tier[tier].passed_count:,}",
                f"{by_tier[tier].failed_count:,}",
            )
            for tier in Tier
            if tier in by_tier
        ],
        title="Payments of the last day",
    )


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(
        f"{count}{'+' if count == PAGE_MAX else ''} {name.replace('_', ' ')}"
        for name, count in counts.items()
    )
