"""The chaos drills: one fault after the other is done to a whole house under load, and what became of it is told.

Each is an experiment: a steady state first, then the fault, then its end, then waiting until the state is steady again and the
shop knows everything. Afterwards acknowledged answers, our documents, our ledger with its seals and the channels' own
books must tell one story. ``ChaosReport.sound``: no money was wrong, and everything recovered. Bounded: every wait has a limit.
"""

import time
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

import msgspec

from tongbao.bench.chaos_experiment import Experiment, ExperimentReport, Lengths
from tongbao.bench.chaos_faults import FAULTS, chosen, why_skipped
from tongbao.bench.chaos_telling import told
from tongbao.bench.chaos_world import ChaosWorld, Kind

Say = Callable[[str], None]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a drill goes: which experiments (none named: all), how long each phase is, and the seed of the orders."""

    only: tuple[str, ...] = ()
    lengths: Lengths = Lengths()
    seed: int = 1


QUICK = Plan(
    lengths=Lengths(rate_per_s=4.0, before_s=3.0, during_s=5.0, surge_s=10.0, after_s=2.0, timeout_s=6.5)
)


class ChaosReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the drill found. ``money_errors`` is the sum over all experiments and must be 0."""

    money_errors: int
    recovered: bool
    skipped: tuple[str, ...]
    took_s: float
    seed: int
    experiments: tuple[ExperimentReport, ...]

    @property
    def sound(self) -> bool:
        """True where no money was wrong and everything recovered."""
        return self.recovered and not self.money_errors


async def run(home: Path, *, plan: Plan, say: Say) -> ChaosReport:
    """Run the drill in ``home``, a folder of its own; tell ``say`` how it goes and return what was found.

    Starts and ends its own servers and processes. Raises NotFound ``drill_experiment_unknown``, and what starting raises.
    """
    began = time.monotonic()
    reports: list[ExperimentReport] = []
    for kind, names in groupby(chosen(list(plan.only)), key=lambda name: FAULTS[name].kind):
        reason = why_skipped(kind)
        if reason is not None:
            reports += [_left_out(name, reason, say) for name in names]
        else:
            reports += await _in_world(home / kind, kind, list(names), plan, say)
    return report_of(reports, seed=plan.seed, took_s=time.monotonic() - began)


def report_of(experiments: Sequence[ExperimentReport], *, seed: int, took_s: float) -> ChaosReport:
    """Return what all experiments come to; one that was left out is neither recovered nor not."""
    return ChaosReport(
        money_errors=sum(each.money_errors for each in experiments),
        recovered=all(each.recovered for each in experiments if each.skipped is None),
        skipped=tuple(each.name for each in experiments if each.skipped is not None),
        took_s=round(took_s, 1),
        seed=seed,
        experiments=tuple(experiments),
    )


async def _in_world(home: Path, kind: Kind, names: list[str], plan: Plan, say: Say) -> list[ExperimentReport]:
    """Run the experiments that share a world, one after the other."""
    say(f"starting a house ({kind}) for {', '.join(names)} …")
    world = ChaosWorld(home, plan.seed, timeout_s=plan.lengths.timeout_s, kind=kind)
    try:
        key = await world.open()
        experiment = Experiment(world, key, plan.lengths, plan.seed, say)
        await experiment.warm_up()
        reports = []
        for name in names:
            reports.append(await experiment.run(name))
            say(told(reports[-1]))
        return reports
    finally:
        await world.close()


def _left_out(name: str, reason: str, say: Say) -> ExperimentReport:
    report = ExperimentReport(name=name, fault=FAULTS[name].what, skipped=reason)
    say(told(report))
    return report
