"""``tongbao channels``: check a configuration of channels before money depends on it."""

from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from tongbao.channels.service import building

app = typer.Typer(no_args_is_help=True, help="The routes for money.")


@app.callback()
def _group() -> None:
    """Keep the name of each command a word of its own, also while there is only one."""


@app.command("check")
def check(file: Annotated[Path, typer.Argument(help="TOML file of channels.")]) -> None:
    """Read a file of channels and list its routes; nothing is called."""
    table = Table(box=box.SIMPLE)
    for title in ("route", "adapter", "mode", "enabled"):
        table.add_column(title)
    for spec in building.read_specs(file):
        building.check(spec)
        table.add_row(spec.name, spec.adapter, spec.mode.value, "yes" if spec.enabled else "no")
    Console().print(table)
