"""``tongbao bench``: the benchmark book. Progress goes to stderr, figures to stdout, one JSON object last."""

import importlib
import json
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console
from rich.table import Table

from tongbao.bench import ledger, payments, routing

app = typer.Typer(no_args_is_help=True, help="Measure, beside a reference in the same run.")


@app.callback()
def _group() -> None:
    """Keep the name of each benchmark a word of its own, also while there is only one."""


@app.command("ledger")
def bench_ledger(
    as_json: Annotated[bool, typer.Option("--json", help="Print only the JSON object.")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="A third of the time, a tenth of the transfers.")
    ] = False,
) -> None:
    """Transfers a second, latency, bytes and reads, as ratios to pgbench TPC-B on the same server."""
    console = Console(stderr=True, quiet=as_json, highlight=False)
    figures = uvloop.run(
        ledger.run(ledger.QUICK if quick else ledger.FULL, lambda text: console.print(text, soft_wrap=True))
    )
    typer.echo(json.dumps(figures))


@app.command("payments")
def bench_payments(
    as_json: Annotated[bool, typer.Option("--json", help="Print only the JSON object.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="A quarter of the time.")] = False,
) -> None:
    """Whole payments a second over HTTP, added latency and memory, as ratios to pgbench TPC-B."""
    console = Console(stderr=True, quiet=as_json, highlight=False)
    sizes = payments.QUICK if quick else payments.FULL
    figures = uvloop.run(payments.run(sizes, lambda text: console.print(text, soft_wrap=True)))
    typer.echo(json.dumps(figures))


@app.command("routing")
def bench_routing(
    as_json: Annotated[bool, typer.Option("--json", help="Print only the JSON object.")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few seeds and baselines, in under a minute.")
    ] = False,
) -> None:
    """Regret and approvals against published policies in simulated worlds, evaluation off policy, and speed."""
    console = Console(stderr=True, quiet=as_json, highlight=False)
    figures = routing.run(
        routing.QUICK if quick else routing.FULL, lambda text: console.print(text, soft_wrap=True)
    )
    table = Table(title="Regret: ours, the windowed hedge, ratios; points over static rules; approvals %")
    for name in ("regime", "ours", "hedge", "ratio", "to the best", "uplift", "first", "final"):
        table.add_column(name, no_wrap=name == "regime", overflow="fold")
    for line in routing.table(figures):
        table.add_row(*line)
    console.print(table)
    typer.echo(json.dumps(figures))


@app.command("clearing")
def bench_clearing(
    as_json: Annotated[bool, typer.Option("--json", help="Print only the JSON object.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the lines.")] = False,
) -> None:
    """Reconcile a million lines beside a plain join of the same files, and cut and price a large batch."""
    console = Console(stderr=True, quiet=as_json, highlight=False)
    clearing: Any = importlib.import_module("tongbao.bench.clearing")
    sizes = clearing.QUICK if quick else clearing.FULL
    figures = uvloop.run(clearing.run(sizes, lambda text: console.print(text, soft_wrap=True)))
    typer.echo(json.dumps(figures))


@app.command("city")
def bench_city(
    as_json: Annotated[bool, typer.Option("--json", help="Print only the JSON object.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Two small days.")] = False,
) -> None:
    """Payments a second of a living city, as a ratio to pgbench TPC-B, and equal figures for equal seeds."""
    console = Console(stderr=True, quiet=as_json, highlight=False)
    city: Any = importlib.import_module("tongbao.bench.city")
    sizes = city.QUICK if quick else city.FULL
    figures = uvloop.run(city.run(sizes, lambda text: console.print(text, soft_wrap=True)))
    typer.echo(json.dumps(figures))


@app.command("web")
def bench_web(
    as_json: Annotated[bool, typer.Option("--json", help="Print only the JSON object.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="One short round, few pages.")] = False,
) -> None:
    """Pages a second beside a trivial endpoint, live streams, and pages weighed and examined by a browser."""
    console = Console(stderr=True, quiet=as_json, highlight=False)
    web: Any = importlib.import_module("tongbao.bench.web")
    sizes = web.QUICK if quick else web.FULL
    figures = uvloop.run(web.run(sizes, lambda text: console.print(text, soft_wrap=True)))
    typer.echo(json.dumps(figures))


@app.command("system")
def bench_system(
    as_json: Annotated[bool, typer.Option("--json", help="Print only the JSON object.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="A quarter of the time, few payers.")] = False,
    minutes: Annotated[
        int | None,
        typer.Option(help="Soak at half of the peak for so long, and tell whether anything grows."),
    ] = None,
) -> None:
    """Payments a second with everything on, as a ratio to pgbench TPC-B; processor, memory and disk by process."""
    console = Console(stderr=True, quiet=as_json, highlight=False)

    def say(text: str) -> None:
        console.print(text, soft_wrap=True)

    system: Any = importlib.import_module("tongbao.bench.system")
    sizes = system.QUICK if quick else system.FULL
    if minutes is None:
        figures = uvloop.run(system.run(sizes, say))
    else:
        soak: Any = importlib.import_module("tongbao.bench.system_soak")
        figures = uvloop.run(soak.run(sizes, minutes, say))
    typer.echo(json.dumps(figures))


@app.command("risk")
def bench_risk(
    as_json: Annotated[bool, typer.Option("--json", help="Print only the JSON object.")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Two folds and the speed, in under a minute.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            help="Parquet file of the Fraud Detection Handbook; or name its folder in TONGBAO_DATA.",
        ),
    ] = None,
) -> None:
    """Precision beside published figures, speed of a decision, cost of tiers, and live against file."""
    console = Console(stderr=True, quiet=as_json, highlight=False)
    # It brings libraries that learn, which take seconds to import; no other command is to wait for them.
    risk: Any = importlib.import_module("tongbao.bench.risk")
    figures = risk.run(
        risk.QUICK if quick else risk.FULL, lambda text: console.print(text, soft_wrap=True), data
    )
    for title, heads, lines in risk.tables(figures):
        table = Table(*heads, title=title)
        for line in lines:
            table.add_row(*line)
        console.print(table)
    typer.echo(json.dumps(figures))
