"""``tongbao drill``: break things on purpose, under load, and count what was lost. The last line is JSON."""

import json
from pathlib import Path
from typing import Annotated, Protocol

import msgspec
import typer
import uvloop
from rich.console import Console

from tongbao.bench import (
    chaos,
    chaos_telling,
    clearing_drill,
    kill,
    payment_drill,
    risk_drill,
    risk_drill_measures,
    routing_outage,
    routing_outage_chart,
    standby,
)
from tongbao.bench.ledger import scratch_home
from tongbao.routing.schema.spec import Strategy

WRONG_EXIT = 1

app = typer.Typer(no_args_is_help=True, help="Break things on purpose and count what was lost.")


@app.callback()
def _group() -> None:
    """Keep the name of each drill a word of its own."""


@app.command("ledger")
def drill_ledger(
    as_json: Annotated[bool, typer.Option("--json", help="Print only the JSON object.")] = False,
    seconds: Annotated[float, typer.Option(min=2.0, max=600.0, help="Seconds of load for each seed.")] = 8.0,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="How many runs, with seeds 1, 2, 3 …")] = 1,
) -> None:
    """Kill API processes, the sealer and PostgreSQL under load: lost 0, doubled 0, books equal the journal."""
    console = Console(stderr=True, quiet=as_json, highlight=False)
    reports = []
    for seed in range(1, seeds + 1):
        with scratch_home("tongbao-drill-") as home:
            report = uvloop.run(kill.run(home.parent, seconds=seconds, seed=seed))
        reports.append(report)
        console.print(
            f"seed {seed}: {report.acknowledged:,} acknowledged, {report.posted:,} posted, {report.refused:,} refused, "
            f"killed {', '.join(report.kills)}; lost {report.acknowledged_missing}, doubled {report.doubled}, "
            + ("sound" if report.sound else f"WRONG: {'; '.join(report.faults) or 'see the counts'}")
        )
    typer.echo(json.dumps(_summary(reports)))
    if not all(report.sound for report in reports):
        raise typer.Exit(WRONG_EXIT)


@app.command("payments")
def drill_payments(
    as_json: Annotated[bool, typer.Option("--json", help="Print only the JSON object.")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="120 payments of seed 7, and each process killed once.")
    ] = False,
    payments: Annotated[
        int | None, typer.Option(min=50, max=100_000, help="How many payments; 5,000, or 120 with --quick.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the orders and of what goes wrong; 1, or 7 with --quick.")
    ] = None,
    peers: Annotated[Path, typer.Option(help="Folder of the peers that `make peers` installs.")] = Path(
        ".peers"
    ),
    postgres: Annotated[bool, typer.Option(help="Kill PostgreSQL, too.")] = True,
) -> None:
    """Kill channels, API processes and the worker under load: double charges 0, lost 0, every attempt resolved."""
    console = Console(stderr=True, quiet=as_json, highlight=False)
    plan = payment_drill.QUICK if quick else payment_drill.Plan()
    plan = msgspec.structs.replace(
        plan, payments=payments or plan.payments, seed=plan.seed if seed is None else seed
    )
    with scratch_home("tongbao-drill-") as home:
        report = uvloop.run(
            payment_drill.run(
                home.parent,
                plan=plan if postgres else plan.sparing(payment_drill.POSTGRES),
                peers=peers,
                say=lambda text: console.print(text, soft_wrap=True),
            )
        )
    for fault in report.faults:
        console.print(fault, style="red", markup=False, soft_wrap=True)
    _end(report)


@app.command("routing")
def drill_routing(
    as_json: Annotated[bool, typer.Option("--json", help="Print only the JSON object.")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Short outages at a low rate, under a minute.")
    ] = False,
    rate: Annotated[
        float | None, typer.Option(min=1.0, max=500.0, help="Payments a second; 25, or 15 with --quick.")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(min=0.5, max=10.0, help="Seconds a channel may take; 10, or 2 with --quick."),
    ] = None,
    strategy: Annotated[
        Strategy, typer.Option(help="Strategy of the routing policy that is rolled out.")
    ] = Strategy.LEARNED,
    seed: Annotated[int, typer.Option(help="Seed of the cards, the amounts and the issuers' answers.")] = 1,
    peers: Annotated[Path, typer.Option(help="Folder of the peers that `make peers` installs.")] = Path(
        ".peers"
    ),
    picture: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Draw what happened into this SVG file.")
    ] = None,
) -> None:
    """Kill, then silence, the channel that most payments take: approvals, cost, and how fast others took over."""
    console = Console(stderr=True, quiet=as_json, highlight=False)
    plan = routing_outage.QUICK if quick else routing_outage.Plan()
    plan = msgspec.structs.replace(
        plan,
        rate_per_s=rate or plan.rate_per_s,
        timeout_s=timeout or plan.timeout_s,
        strategy=strategy,
        seed=seed,
    )
    with scratch_home("tongbao-drill-") as home:
        seen = uvloop.run(
            routing_outage.run(
                home.parent, plan=plan, peers=peers, say=lambda text: console.print(text, soft_wrap=True)
            )
        )
    report = seen.report
    if picture is not None:
        picture.write_text(routing_outage_chart.chart(seen.seconds, report.outages, report.channels))
    for fault in report.faults:
        console.print(fault, style="red", markup=False, soft_wrap=True)
    _end(report)


@app.command("risk")
def drill_risk(
    as_json: Annotated[bool, typer.Option("--json", help="Print only the JSON object.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer customers and cards.")] = False,
    customers: Annotated[
        int | None,
        typer.Option(min=60, max=2_000, help="Customers who pay as ever; 320, or 80 with --quick."),
    ] = None,
    cards: Annotated[
        int | None, typer.Option(min=10, max=500, help="Cards that are tested; 40, or 25 with --quick.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the payers, the amounts and the issuers' answers.")] = 1,
) -> None:
    """Test cards, empty one, fail proofs, kill who judges: good payers pass, attacks stop, and state is rebuilt."""
    console = Console(stderr=True, quiet=as_json, highlight=False)
    plan = risk_drill.QUICK if quick else risk_drill.Plan()
    plan = msgspec.structs.replace(
        plan, customers=customers or plan.customers, cards=cards or plan.cards, seed=seed
    )
    with scratch_home("tongbao-drill-") as home:
        report = uvloop.run(
            risk_drill.run(home.parent, plan=plan, say=lambda text: console.print(text, soft_wrap=True))
        )
    for line in risk_drill_measures.told(report):
        console.print(line, markup=False, soft_wrap=True)
    for fault in (*report.broken_promises, *report.faults):
        console.print(fault, style="red", markup=False, soft_wrap=True)
    _end(report)


@app.command("clearing")
def drill_clearing(
    as_json: Annotated[bool, typer.Option("--json", help="Print only the JSON object.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Twelve days of a few payments each.")] = False,
    payments: Annotated[
        int | None,
        typer.Option(min=0, max=5_000, help="Payments a day by chance; 60, or 2 with --quick."),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Seed of the payments, of what goes wrong, and of the kills.")
    ] = 1,
) -> None:
    """Settle, pay and reconcile a month with wrong files while processes are killed: every fault by its name, nobody twice."""
    console = Console(stderr=True, quiet=as_json, highlight=False)
    plan = clearing_drill.QUICK if quick else clearing_drill.Plan()
    wanted = plan.payments if payments is None else payments
    plan = msgspec.structs.replace(plan, payments=wanted, seed=seed)
    with scratch_home("tongbao-drill-") as home:
        report = uvloop.run(
            clearing_drill.run(home.parent, plan=plan, say=lambda text: console.print(text, soft_wrap=True))
        )
    for line in clearing_drill.told(report):
        console.print(line, markup=False, soft_wrap=True)
    for fault in report.faults:
        console.print(fault, style="red", markup=False, soft_wrap=True)
    _end(report)


@app.command("chaos")
def drill_chaos(
    as_json: Annotated[bool, typer.Option("--json", help="Print only the JSON object.")] = False,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Each fault for seconds instead of a quarter minute; nine minutes in all."
        ),
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this experiment; may be repeated. None named: all."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the orders and of the channels' answers.")] = 1,
) -> None:
    """Kill, fill, silence, slow, mis-set and overload one thing after the other: what degraded, what recovered, money errors 0.

    Thirteen experiments on a house of its own, a quarter of an hour on a machine with nothing else to do.
    """
    console = Console(stderr=True, quiet=as_json, highlight=False)
    plan = chaos.QUICK if quick else chaos.Plan()
    plan = msgspec.structs.replace(plan, only=tuple(only or ()), seed=seed)
    with scratch_home("tongbao-drill-") as home:
        report = uvloop.run(
            chaos.run(
                home.parent, plan=plan, say=lambda text: console.print(text, markup=False, soft_wrap=True)
            )
        )
    for line in chaos_telling.table(report.experiments):
        console.print(line, markup=False, soft_wrap=True)
    for each in report.experiments:
        for fault in each.faults:
            console.print(f"{each.name}: {fault}", style="red", markup=False, soft_wrap=True)
    _end(report)


@app.command("standby")
def drill_standby(
    as_json: Annotated[bool, typer.Option("--json", help="Print only the JSON object.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="A few seconds of load by fewer buyers.")] = False,
    detect: Annotated[
        float | None,
        typer.Option(min=0.0, max=60.0, help="Seconds until somebody acts; 3, or 0.5 with --quick."),
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, max=8, help="API processes behind the one address.")
    ] = standby.QUICK.processes,
    commit_mode: Annotated[
        str, typer.Option(help="What a commit waits for on the standby: on (its disk) or remote_apply.")
    ] = standby.QUICK.commit_mode,
    seed: Annotated[int, typer.Option(help="Seed of the cards and the amounts.")] = 1,
) -> None:
    """Kill the primary -9 under payments and promote its synchronous standby: lost 0, doubled 0, books equal."""
    console = Console(stderr=True, quiet=as_json, highlight=False)
    plan = standby.QUICK if quick else standby.Plan()
    plan = msgspec.structs.replace(
        plan,
        detect_s=plan.detect_s if detect is None else detect,
        processes=processes,
        commit_mode=commit_mode,
        seed=seed,
    )
    with scratch_home("tongbao-drill-") as home:
        report = uvloop.run(
            standby.run(home.parent, plan=plan, say=lambda text: console.print(text, soft_wrap=True))
        )
    for fault in report.faults:
        console.print(fault, style="red", markup=False, soft_wrap=True)
    _end(report)


class _Judged(Protocol):
    """What a drill found, and whether all of it is well."""

    @property
    def sound(self) -> bool: ...


def _end(report: _Judged) -> None:
    """Print what was found as the last line; exit with ``WRONG_EXIT`` where something is wrong."""
    typer.echo(json.dumps({"sound": report.sound} | msgspec.to_builtins(report)))
    if not report.sound:
        raise typer.Exit(WRONG_EXIT)


def _summary(reports: list[kill.KillReport]) -> dict[str, object]:
    """Return the counts summed over all seeds, whether all were sound, and each report."""
    counts = (
        "acknowledged",
        "posted",
        "refused",
        "acknowledged_missing",
        "doubled",
        "refused_yet_posted",
        "repeats_differing",
    )
    summed: dict[str, object] = {name: sum(getattr(report, name) for report in reports) for name in counts}
    return (
        {"seeds": len(reports), "sound": all(r.sound for r in reports)}
        | summed
        | {"reports": [msgspec.to_builtins(report) for report in reports]}
    )
