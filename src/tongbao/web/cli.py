"""The command ``tongbao``: mounts the groups of commands and prints errors for people.

Exit status: 0 done, 2 refused with ``code: detail`` on stderr (also for wrong usage), others as a command says.
"""

import importlib.metadata
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from tongbao.core.errors import AppError
from tongbao.web.commands import (
    bench,
    channels,
    days,
    db,
    decisions,
    drill,
    fees,
    ledger,
    payouts,
    policies,
    recon,
    risk,
    routing,
    run,
    sandbox,
    serve,
    settle,
)

REFUSED_EXIT = 2

app = typer.Typer(
    no_args_is_help=True,
    # A traceback with local variables could print what must stay secret.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Tongbao (通宝): an open intelligent payment system.",
)
app.add_typer(db.app, name="db")
app.add_typer(ledger.app, name="ledger")
app.add_typer(bench.app, name="bench")
app.add_typer(drill.app, name="drill")
app.add_typer(channels.app, name="channels")
app.add_typer(days.app, name="days")
app.add_typer(decisions.app, name="decisions")
app.add_typer(fees.app, name="fees")
app.add_typer(payouts.app, name="payouts")
app.add_typer(policies.app, name="policies")
app.add_typer(recon.app, name="recon")
app.add_typer(risk.app, name="risk")
app.add_typer(routing.app, name="routing")
app.add_typer(sandbox.app, name="sandbox")
app.add_typer(serve.app, name="serve")
app.add_typer(settle.app, name="settle")
app.command("run")(run.run)


def main() -> None:
    """Run the command line; the entry point of the installed program."""
    try:
        app()
    except AppError as error:
        _refuse(error.code, error.detail)
    except ValidationError as error:
        # The values are left out: one of them may be a password.
        wrong = "; ".join(
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_input=False)
        )
        _refuse("settings_invalid", wrong)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tongbao {importlib.metadata.version('tongbao')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Take the options that stand before any command."""


def _refuse(code: str, detail: str) -> None:
    Console(stderr=True).print(Text(f"{code}: {detail}", style="red"), soft_wrap=True)
    raise SystemExit(REFUSED_EXIT)
