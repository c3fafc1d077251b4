"""``tongbao bench``: the benchmark book. Progress goes to stderr, figures to stdout, one JSON object last."""

import asyncio
import json
import sys
from typing import Annotated

import typer
import uvloop

from tongbao.bench import ledger

app = typer.Typer(no_args_is_help=True, help="Measure, beside a reference in the same run.")


@app.command("ledger")
def bench_ledger(
    as_json: Annotated[bool, typer.Option("--json", help="Print only the JSON object.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="A third of the time, a tenth of the statement.")] = False,
) -> None:
    """Transfers a second, latency, bytes and reads, as ratios to pgbench TPC-B on the same server."""
    figures = _run(ledger.run(quick=quick, say=_say(as_json)))
    typer.echo(json.dumps(figures))


def _say(silent: bool):  # type: ignore[no-untyped-def]
    return (lambda _text: None) if silent else (lambda text: print(text, file=sys.stderr, flush=True))


def _run(work):  # type: ignore[no-untyped-def]
    return uvloop.run(work) if sys.platform != "win32" else asyncio.run(work)
