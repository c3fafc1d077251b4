"""The command ``tongbao``: mounts the groups of commands and prints errors for people.

Exit status: 0 done, 2 refused with ``code: detail`` on stderr (also for wrong usage), others as a command says.
"""

import importlib.metadata
from collections.abc import Mapping
from typing import Annotated, ClassVar

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from tongbao.core.errors import AppError
from tongbao.web.doors import Door, Doors

REFUSED_EXIT = 2

COMMANDS = {
    "run": "Start the whole system on this machine; Ctrl-C stops it cleanly, data stay in .tongbao/.",
    "adjustments": "Adjustments: money that no payment moves, by two people.",
    "bench": "Measure, beside a reference in the same run.",
    "channels": "The routes for money.",
    "city": "Live a seeded city through the public interfaces.",
    "days": "The close of days: checklist, score, report.",
    "db": "Start, stop, look at, dump and restore the database.",
    "debts": "Debts of merchants: demands, what came, what is given up.",
    "decisions": "Why payments went where they went, and the log behind it.",
    "demo": "Show the whole system among parties nobody here wrote.",
    "drill": "Break things on purpose and count what was lost.",
    "fees": "Fees: price lists, simulated before they are published.",
    "fx": "Exchange: reference rates with their source and day.",
    "ledger": "Read, prove and fill the books.",
    "merchants": "Merchants: open one with its first owner, list them.",
    "payouts": "Payouts: what is on its way to merchants' accounts.",
    "people": "People of the house: the first one, their roles, a way back in.",
    "policies": "What decides: draft a version, replay it on the log, publish it, give it traffic, take it back.",
    "receipts": "Receipts and invoices: numbered without gaps, never changed.",
    "recon": "Reconciliation: files, runs, and differences.",
    "risk": "Risk control: how it stands, why payments were judged so, rules, lists, freezes, cases, files replayed.",
    "routing": "Which channel payments take: its state, its health, its rules.",
    "sandbox": "Play the world outside: Alipay, WeChat Pay, card acquirers.",
    "serve": "Run one role of a larger set-up.",
    "settle": "Settlement: batches, agreements, and when merchants are paid.",
    "vault": "The vault's key: rotate it, see what it holds.",
}
"""Each is a module of ``web.commands`` with an ``app``; ``run`` is one command."""


class Commands(Doors):
    """All commands, each loaded when it is called."""

    doors: ClassVar[Mapping[str, Door]] = {
        name: Door(name, f"tongbao.web.commands.{name}:{'run' if name == 'run' else 'app'}", line)
        for name, line in COMMANDS.items()
    }


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    # A traceback with local variables could print what must stay secret.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Tongbao (通宝): an open intelligent payment system.",
)


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
