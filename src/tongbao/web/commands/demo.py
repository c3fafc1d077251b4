"""``tongbao demo``: show the whole system among parties nobody here wrote. With ``--json`` the last line is one object."""

import json
from pathlib import Path
from typing import Annotated

import msgspec
import typer
import uvloop
from rich.console import Console

from tongbao.bench import demo_real, demo_real_report
from tongbao.bench.ledger import scratch_home
from tongbao.core.errors import InvalidRequest

WRONG_EXIT = 1
WIDTH_MIN = 110
"""Columns that the report takes where nobody looks at a terminal."""

app = typer.Typer(no_args_is_help=True, help="Show the whole system among parties nobody here wrote.")


@app.callback()
def _group() -> None:
    """Keep ``real`` a word of its own, also while there is only one command."""


@app.command("real")
def demo_real_command(
    as_json: Annotated[bool, typer.Option("--json", help="Print only the JSON object.")] = False,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Some thirty payments, well under a minute; some two hundred in a minute without."
        ),
    ] = False,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of who buys what; 1, or 7 with --quick. Processes race all the same."),
    ] = None,
    peers: Annotated[Path, typer.Option(help="Folder of the peers that `make peers` installs.")] = Path(
        ".peers"
    ),
) -> None:
    """Live a day: the stripe client pays over iso8583sim, localstripe, Alipay and WeChat Pay; mock-bank pays out; books are closed."""
    if not peers.is_dir():
        raise InvalidRequest("peers_missing", f"there is no folder {peers}: `make peers` makes it")
    console = Console(stderr=True, quiet=as_json, highlight=False)
    plan = demo_real.QUICK if quick else demo_real.Plan()
    plan = msgspec.structs.replace(plan, seed=plan.seed if seed is None else seed)
    with scratch_home("tongbao-demo-") as home:
        report = uvloop.run(
            demo_real.run(
                home.parent,
                plan=plan,
                peers=peers,
                say=lambda text: console.print(text, markup=False, soft_wrap=True),
            )
        )
    for fault in report.faults:
        console.print(fault, style="red", markup=False, soft_wrap=True)
    if as_json:
        typer.echo(json.dumps({"sound": report.sound} | msgspec.to_builtins(report)))
    else:
        shown = Console(highlight=False)
        shown = shown if shown.is_terminal else Console(highlight=False, width=max(shown.width, WIDTH_MIN))
        shown.print(demo_real_report.table(report))
    if not report.sound:
        raise typer.Exit(WRONG_EXIT)
